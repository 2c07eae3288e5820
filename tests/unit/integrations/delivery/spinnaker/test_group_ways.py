from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from integrations.delivery.spinnaker.group_ways import FAST, GROWS
from service.domain import keys
from service.domain.errors import RefusedError
from service.domain.facts import Absent, Facts, Known
from service.domain.model import Way
from service.domain.ports import Seen
from service.domain.rule import Case
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.machines import MAIN, Machines, machines
from tests.unit.integrations.sandbox.gate.test_deploys import deploy_group

NEW, OLD = "web-main-v001", "web-main-v000"


@pytest.fixture
async def stage() -> AsyncIterator[Machines]:
    async with machines() as made:
        yield made


def groups_of(case: Case) -> keys.ServerGroups:
    fact = case.facts.read(keys.server_groups(MAIN))
    assert isinstance(fact, Known)
    return fact.value


def telling(case: Case, groups: keys.ServerGroups) -> Case:
    """The case with other server groups."""
    fact = case.facts.read(keys.server_groups(MAIN))
    assert isinstance(fact, Known)
    return replace(case, facts=Facts(known={**case.facts.known, keys.server_groups(MAIN): replace(fact, value=groups)}, now=case.facts.now))


async def test_an_old_group_that_still_runs_is_the_fastest_way_back_and_the_plan_says_so(stage: Machines) -> None:
    offer = await stage.offer()
    assert (offer.way, offer.because, offer.impossible) == (Way.ENABLE_PREVIOUS, FAST, "")
    (step,) = offer.steps
    assert step.says == f"Give server group {OLD} its traffic back and wait until it is healthy, disable {NEW}; nothing is destroyed"
    assert (step.parameters["bad"], step.parameters["good"], step.parameters["grows"]) == (NEW, OLD, False)
    assert '"rollbackType": "EXPLICIT"' in step.command
    assert '"credentials": "prod"' in step.command
    assert '"cloudProvider": "aws"' in step.command
    assert "rollbackCluster" not in step.command
    assert offer.permissions == ("get", "sync")


@pytest.mark.parametrize("smaller", [{"running": 0, "desired": 0}, {"running": 1, "desired": 3}, {"running": 2, "desired": 2}])
async def test_an_old_group_that_is_smaller_grows_first_and_the_plan_says_so(stage: Machines, smaller: dict[str, Any]) -> None:
    case = await stage.case()
    new, old = groups_of(case).groups
    offer = stage.spinnaker.offers(telling(case, replace(groups_of(case), groups=(new, replace(old, **smaller)))))[0]
    assert offer.because == GROWS
    assert f"scale server group {OLD} up to what {NEW} has" in offer.steps[-1].says
    assert offer.steps[-1].parameters["grows"] is True


@pytest.mark.parametrize("change", [{"running": None}, {"desired": None}])
async def test_an_old_group_that_does_not_tell_its_size_is_no_way(stage: Machines, change: dict[str, Any]) -> None:
    case = await stage.case()
    new, old = groups_of(case).groups
    offer = stage.spinnaker.offers(telling(case, replace(groups_of(case), groups=(new, replace(old, **change)))))[0]
    assert offer.steps == ()
    assert offer.impossible == f"how large {NEW} and {OLD} are is not told"


async def test_what_is_gone_or_unknown_or_empty_is_no_way_and_says_why(stage: Machines) -> None:
    case = await stage.case()
    new, old = groups_of(case).groups

    def why(told: Case) -> str:
        offer = stage.spinnaker.offers(told)[0]
        assert (offer.way, offer.steps) == (Way.ENABLE_PREVIOUS, ())
        return offer.impossible

    assert (
        why(telling(case, replace(groups_of(case), groups=(new,))))
        == f"server group {OLD} is not there any more: only a deploy of the old version brings it back"
    )
    assert why(telling(case, replace(groups_of(case), cloud=""))) == "which cloud runs them is not told"
    empty = replace(groups_of(case), groups=(replace(new, desired=0), replace(old, running=0, desired=0)))
    assert why(telling(case, empty)) == f"neither {NEW} nor {OLD} has a machine: nothing would serve"
    assert why(telling(case, replace(groups_of(case), groups=(old,)))) == f"server group {NEW} is not there any more"
    swapped = stage.spinnaker.offers(replace(case, suspect=case.goal, goal=case.suspect))[0]
    assert (swapped.steps, "is not what is rolled out now" in swapped.impossible) == ((), True)
    hidden = {key: fact for key, fact in case.facts.known.items() if key != keys.server_groups(MAIN)}
    unread = replace(case, facts=Facts(known={**hidden, keys.server_groups(MAIN): Absent("Gate answered 503")}, now=case.facts.now))
    assert why(unread) == "the server groups are unknown: Gate answered 503"


async def deploys_and_goes_on(stage: Machines, trigger: str = "docker") -> str:
    """A pipeline has deployed 3.0 by red/black, waits, and would deploy again; answers the run's id."""
    cluster = {"application": "web", "stack": "main", "account": "prod", "provider": "aws", "availabilityZones": {"us-east-1": []}, "strategy": "redblack"}
    deploy = {"type": "deploy", "clusters": [{**cluster, "imageId": "ami-3", "capacity": {"min": 2, "max": 4, "desired": 3}}]}
    first = {"refId": "1", "requisiteStageRefIds": [], "name": "deploy", **deploy}
    pause = {"refId": "2", "requisiteStageRefIds": ["1"], "type": "wait", "name": "wait", "waitTime": 7200}
    again = {"refId": "3", "requisiteStageRefIds": ["2"], "name": "deploy again", **deploy}
    stage.gate.save_pipeline({"application": "web", "name": "deploy", "stages": [first, pause, again], "triggers": []})
    async with stage.gate_session() as session, session.post("/pipelines/web/deploy", json={"type": trigger, "user": "ci"}) as answer:
        ref: str = (await answer.json())["ref"]
    for _ in range(60):
        stage.pass_(seconds=10)
    assert stage.serving() == ["web-main-v002"]
    return ref.rpartition("/")[2]


async def test_an_automated_deploy_that_still_runs_is_cancelled_first_and_then_switched(stage: Machines) -> None:
    run = await deploys_and_goes_on(stage)
    offer = await stage.offer()
    assert [step.name for step in offer.steps] == ["stop_deploy", "switch_groups"]
    stop, switch = offer.steps
    _, intention = await stage.ready()
    intention = replace(intention, not_before=None)
    intent = await stage.spinnaker.intend(stop, intention)
    await stage.spinnaker.act(stop, intent, CountingGuard())
    for _ in range(12):
        stage.pass_(seconds=10)
    assert (await stage.spinnaker.observe(stop, intent)).seen is Seen.DONE
    assert stage.gate.run_of(run)["status"] == "CANCELED"
    intent = await stage.spinnaker.intend(switch, replace(intention, at=stage.clock.now()))
    await stage.spinnaker.act(switch, intent, CountingGuard())
    for _ in range(30):
        stage.pass_(seconds=10)
    assert (await stage.spinnaker.observe(switch, intent)).seen is Seen.DONE
    assert stage.serving() == [NEW]


async def test_promise_5_a_deploy_that_a_person_started_is_left_alone(stage: Machines) -> None:
    await deploys_and_goes_on(stage, "manual")
    case = await stage.case()
    offer = stage.spinnaker.offers(case)[0]
    assert [step.name for step in offer.steps] == ["switch_groups"]
    step, intention = await stage.ready()
    with pytest.raises(RefusedError, match="is acting on it"):
        await stage.spinnaker.intend(step, intention)


@pytest.mark.parametrize("strategy", ["highlander", "redblack"])
async def test_the_refusal_names_the_strategy_of_the_deploy_after_which_the_old_group_is_gone(stage: Machines, strategy: str) -> None:
    old = (await stage.state()).history[0]
    stage.gate.save_pipeline({"application": "web", "name": "deploy", "stages": [deploy_group("ami-3", strategy)], "triggers": []})
    async with stage.gate_session() as session:
        await session.post("/pipelines/web/deploy", json={"type": "docker", "user": "x"})
    for _ in range(60):
        stage.pass_(seconds=10)
    for one in [one for one in stage.gate.groups.all if one.name == old.handle]:  # red/black leaves it: somebody destroyed it
        stage.gate.groups.is_destroyed(one)
    stage.pass_(minutes=3)
    offer = stage.spinnaker.offers(replace(await stage.case(), goal=old))[0]
    live = (await stage.state()).history[0].handle
    told = f"server group {old.handle} is not there any more; {live} was deployed with strategy {strategy}"
    assert offer.steps == ()
    destroys = ", which destroys the groups before it" if strategy == "highlander" else ""
    assert offer.impossible == f"{told}{destroys}: only a deploy of the old version brings it back"
