from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.steps.see_canary import LEFT, SeeCanary, plan
from integrations.delivery.spinnaker.steps.stop_deploy import why_not
from service.domain.errors import RefusedError
from service.domain.keys import CanaryPart, Running
from service.domain.model import Actor, Json
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.machines import Machines, machines
from tests.unit.integrations.delivery.spinnaker.stage import Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_undo import tools_of
from tests.unit.integrations.sandbox.gate.test_canary_stages import canary
from tests.unit.integrations.sandbox.gate.test_deploys import deploy_group

GONE = "web-main-canary-v000"


@pytest.fixture
async def fleet() -> AsyncIterator[Machines]:
    async with machines() as one:
        yield one


async def measured(fleet: Machines) -> tuple[str, tuple[Step, ...], Intention]:
    """A trigger's run has deployed the bad image to the target by red/black, and measures it with machines of its own; the plan to go back."""
    fleet.gate.kayenta.seconds = 7200
    stages = [deploy_group("ami-3", "redblack"), canary("web", refId="2", requisiteStageRefIds=["1"])]
    fleet.gate.save_pipeline({"application": "web", "name": "deploy", "stages": stages, "triggers": []})
    async with fleet.gate_session() as session, session.post("/pipelines/web/deploy", json={"type": "docker", "user": "x"}) as answer:
        ref = (await answer.json())["ref"]
    for _ in range(120):
        fleet.pass_(seconds=10)
    _, intention = await fleet.ready()
    return ref.rpartition("/")[2], (await fleet.offer()).steps, replace(intention, not_before=fleet.clock.now() - timedelta(seconds=10))


async def carry_out(fleet: Machines, step: Step, intention: Intention) -> Mapping[str, Json]:
    intent = await fleet.spinnaker.intend(step, replace(intention, at=fleet.clock.now()))
    await fleet.spinnaker.act(step, intent, CountingGuard())
    return intent


async def test_the_run_is_cancelled_the_target_goes_back_and_what_the_canary_left_is_a_persons_and_waited_for(fleet: Machines) -> None:
    run, steps, intention = await measured(fleet)
    assert [(one.name, one.owner) for one in steps] == [
        ("stop_deploy", "backout"),
        ("switch_groups", "backout"),
        (LEFT, "person"),
        (LEFT, "person"),
        ("see_canary", "backout"),
    ]
    stop, switch, baseline, orphan, wait = steps
    assert "its canary analysis ends with it, whose clean-up is skipped: server group web-main-baseline-v000 (baseline, us-east-1)" in stop.says
    assert baseline.says == "Disable server group web-main-baseline-v000 (baseline, us-east-1): the cancelled run does not clean it up"
    assert f'"serverGroupName": "{GONE}"' in orphan.command

    intent = await carry_out(fleet, stop, intention)
    fleet.pass_(seconds=90)
    assert (await fleet.spinnaker.observe(stop, intent)).seen is Seen.DONE
    assert (fleet.gate.run_of(run)["status"], [one.cancelled for one in fleet.gate.kayenta.analyses]) == ("CANCELED", [True])

    intent = await carry_out(fleet, switch, intention)
    for _ in range(30):
        fleet.pass_(seconds=10)
    assert (await fleet.spinnaker.observe(switch, intent)).seen is Seen.DONE

    intent = await carry_out(fleet, wait, intention)
    told = await fleet.spinnaker.observe(wait, intent)
    assert (told.seen, "web-main-baseline-v000" in told.says, GONE in told.says) == (Seen.STUCK, True, True)
    await fleet.by_hand(*({"type": "disableServerGroup", "serverGroupName": name, **PLACE} for name in ("web-main-baseline-v000",)))
    told = await fleet.spinnaker.observe(wait, intent)
    assert (told.seen, "web-main-baseline-v000" in told.says, GONE in told.says) == (Seen.STUCK, False, True)
    fleet.gate.groups.is_destroyed(next(one for one in fleet.gate.groups.all if one.name == GONE))
    for _ in range(6):
        fleet.pass_(seconds=10)
    assert (await fleet.spinnaker.observe(wait, intent)).seen is Seen.DONE


PLACE = {"cloudProvider": "aws", "credentials": "prod", "account": "prod", "region": "us-east-1"}


async def test_one_that_nobody_takes_out_within_the_hour_ends_as_not_recovered(fleet: Machines) -> None:
    _, steps, intention = await measured(fleet)
    intent = await carry_out(fleet, steps[-1], intention)
    fleet.pass_(minutes=59)
    assert (await fleet.spinnaker.observe(steps[-1], intent)).seen is Seen.STUCK
    fleet.pass_(minutes=1)
    assert (await fleet.spinnaker.observe(steps[-1], intent)).seen is Seen.FAILED


async def test_a_canary_that_grew_since_the_plan_stops_the_intent_and_the_act(fleet: Machines) -> None:
    run, steps, intention = await measured(fleet)
    intent = await fleet.spinnaker.intend(steps[0], intention)
    played = fleet.gate.run_of(run)
    made = next(one for one in played["stages"] if one["context"].get("deploy.server.groups", {}).get("us-east-1") == [GONE])
    played["stages"].append({**made, "id": "another", "context": {**made["context"], "deploy.server.groups": {"us-east-1": ["web-main-canary-v001"]}}})
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="has made more for its canary analysis since"):
        await fleet.spinnaker.act(steps[0], intent, guard)
    with pytest.raises(RefusedError, match="is not what the plan says"):
        await fleet.spinnaker.intend(steps[0], intention)
    assert (guard.asked, fleet.gate.run_of(run)["status"]) == (0, "RUNNING")


def running(*parts: CanaryPart, automated: bool = True) -> Running:
    by = Actor(kind="automation", name="docker trigger")
    return Running(by=by, ours=False, automated=automated, phase="RUNNING", says="p", since=None, revision="", measures=True, canary=parts)


async def test_a_deployment_that_measures_is_out_of_traffic_once_it_is_scaled_to_nothing(stage: Stage) -> None:
    part = CanaryPart(role="canary", name="deployment web-canary", account="k8s", location="shop", provider="kubernetes")
    stage.runs("registry.example/web:3.0", name="web-canary")
    order, wait = plan(replace(await stage.state(), running=running(part)), "http://gate")
    assert order.says == "Scale to nothing deployment web-canary (canary, shop): the cancelled run does not clean it up"
    assert '"replicas": 0' in order.command
    intent: dict[str, Any] = {**wait.parameters, "application": "shop", "at": stage.clock.now().isoformat()}
    sees = SeeCanary(tools_of(stage))
    assert (await sees.see(intent)).seen is Seen.STUCK
    stage.gate.kubernetes.scale("k8s", "shop", "deployment web-canary", 0)
    stage.pass_(minutes=1)
    assert (await sees.see(intent)).seen is Seen.DONE
    missing = {**part_of(wait), "name": "deployment nobody"}
    assert (await sees.see({**intent, "parts": [missing]})).seen is Seen.DONE


def part_of(wait: Step) -> dict[str, Any]:
    (only,) = wait.parameters["parts"]
    return dict(only)


async def test_nothing_is_left_of_a_persons_run_for_it_is_not_ended(stage: Stage) -> None:
    part = CanaryPart(role="canary", name="x-v000", account="prod", location="us-east-1")
    state = await stage.state()
    assert plan(replace(state, running=running(part, automated=False)), "http://gate") == ()
    assert plan(state, "http://gate") == ()


async def test_a_run_that_deployed_the_target_and_only_measures_by_now_is_still_acting(stage: Stage) -> None:
    measures = {
        "refId": "2",
        "requisiteStageRefIds": ["1"],
        "type": "kayentaCanary",
        "name": "measure",
        "canaryConfig": {"lifetimeDuration": "PT60M", "scopes": [{"scopeName": "default", "experimentScope": "web"}]},
    }
    run = await stage.deploys("registry.example/web:3.0", more=[measures])
    for _ in range(6):
        stage.pass_(seconds=10)
    state = await stage.state()
    assert state.running is not None
    assert (state.running.measures, state.running.canary, run in state.running.says) == (True, (), True)
    looked = await stage.looked()
    assert [why_not(one, looked) for one in looked.acting] == [""]
    assert [one.name for one in (await stage.offer()).steps] == ["stop_deploy", "undo"]
