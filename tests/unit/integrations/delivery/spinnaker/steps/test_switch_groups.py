from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.server_groups import ClusterAddress
from integrations.delivery.spinnaker.steps.switch_groups import job_of
from integrations.sandbox.gate.settings import Outage
from service.domain import keys
from service.domain.errors import RefusedError, TemporaryError
from service.domain.facts import Known
from service.domain.model import Way
from service.domain.ports import Observation, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.machines import MAIN, Machines, machines
from tests.unit.integrations.delivery.spinnaker.recordings import answers

NEW, OLD = "web-main-v001", "web-main-v000"
SIZE = {"min": 2, "max": 4, "desired": 3}


@pytest.fixture
async def stage() -> AsyncIterator[Machines]:
    async with machines() as made:
        yield made


async def sent(stage: Machines, **more: Any) -> tuple[Any, Any]:
    """The switch, as it was sent."""
    step, intention = await stage.ready(**more)
    intent = await stage.spinnaker.intend(step, intention)
    await stage.spinnaker.act(step, intent, CountingGuard())
    return step, intent


async def seen(stage: Machines, step: Any, intent: Any, *, seconds: int = 0) -> Observation:
    for _ in range(seconds // 10):
        stage.pass_(seconds=10)
    return await stage.spinnaker.observe(step, intent)


async def test_the_old_group_gets_its_traffic_first_and_the_bad_one_loses_it_then(stage: Machines) -> None:
    step, intent = await sent(stage)
    assert (await seen(stage, step, intent)).seen is Seen.RUNNING
    done = await seen(stage, step, intent, seconds=180)
    assert done.seen is Seen.DONE, done
    assert done.says == f"server group {OLD} takes the traffic again, {NEW} is disabled"
    assert stage.operations() == ["enableServerGroup", "disableServerGroup"]
    assert stage.serving() == [OLD]
    assert (done.details["handle"], done.details["status"]) == (OLD, "SUCCEEDED")
    assert done.details["before"][NEW] == {"disabled": False, "minimum": 2, "maximum": 4, "images": ["ami-2"]}
    assert done.details["after"][NEW]["disabled"] is True
    current = (await stage.state()).current
    assert current is not None
    assert (current.handle, current.by.name) == (OLD, "backout")


async def test_an_old_group_that_was_scaled_down_grows_before_the_bad_one_is_disabled(stage: Machines) -> None:
    stage.gate.groups.resize(OLD, "prod", "us-east-1", {"min": 0, "desired": 0})
    stage.pass_(minutes=1)
    step, intent = await sent(stage)
    done = await seen(stage, step, intent, seconds=400)
    assert done.seen is Seen.DONE, done
    assert stage.operations()[:3] == ["enableServerGroup", "resizeServerGroup", "disableServerGroup"]
    assert (stage.old.desired, stage.old.disabled, stage.bad.disabled) == (3, False, True)


async def test_it_names_both_groups_and_carries_nothing_of_an_alert(stage: Machines) -> None:
    await sent(stage)
    (task,) = [run.execution for run in stage.gate.executions if run.kind == "ORCHESTRATION"]
    context = next(one for one in task["stages"] if one["type"] == "rollbackServerGroup")["context"]
    assert context["rollbackType"] == "EXPLICIT"
    assert (context["rollbackContext"]["rollbackServerGroupName"], context["rollbackContext"]["restoreServerGroupName"]) == (NEW, OLD)
    assert context["reason"] == "Backout op_1"
    assert {run["type"] for run in task["stages"]}.isdisjoint({"rollbackCluster", "cloneServerGroup"})


def test_the_job_is_shaped_like_the_recorded_one() -> None:
    """Recording 12c: what Orca was given there, but for its reason."""
    (first, *_) = [body["execution"] for body in answers("12c-explicit-resize", "/tasks/") if "execution" in body]
    recorded = next(one for one in first["stages"] if one["type"] == "rollbackServerGroup")["context"]
    where = ClusterAddress(application="web", account="prod", cluster="web-main", region="us-east-1", provider="aws")
    ours = job_of(where, bad="web-main-v007", good="web-main-v006", desired=3)
    assert ours["rollbackContext"] == recorded["rollbackContext"]
    assert {key: ours[key] for key in ("cloudProvider", "credentials", "region", "rollbackType")} == {
        key: recorded[key] for key in ("cloudProvider", "credentials", "region", "rollbackType")
    }
    assert ours["moniker"].items() <= recorded["moniker"].items()


async def test_promise_3_acting_twice_starts_one_task(stage: Machines) -> None:
    step, intent = await sent(stage)
    await stage.spinnaker.act(step, intent, CountingGuard())
    await seen(stage, step, intent, seconds=180)
    await stage.adapter().act(step, intent, CountingGuard())  # after a restart, and after it was done
    assert stage.started() == 1
    assert stage.operations() == ["enableServerGroup", "disableServerGroup"]


async def test_promise_3_a_lost_answer_is_looked_for_and_nothing_is_sent_again(stage: Machines) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert (await stage.adapter().observe(step, intent)).seen is Seen.RUNNING
    await stage.adapter().act(step, intent, CountingGuard())
    assert (await seen(stage, step, intent, seconds=180)).seen is Seen.DONE
    assert stage.started() == 1


async def test_a_repeat_with_both_names_changes_nothing_where_rollback_cluster_goes_forward_again(stage: Machines) -> None:
    """The flip-flop of recording 12j, and why only EXPLICIT is ever sent."""
    step, intent = await sent(stage)
    await seen(stage, step, intent, seconds=180)
    job = job_of((await stage.cluster()).address, bad=NEW, good=OLD, desired=3)
    await stage.by_hand(job)
    assert stage.serving() == [OLD]
    choosing = {
        "type": "rollbackCluster",
        "cloudProvider": "aws",
        "credentials": "prod",
        "regions": ["us-east-1"],
        "moniker": {"app": "web", "cluster": "web-main"},
    }
    await stage.by_hand(choosing)
    assert stage.serving() == [NEW]


async def test_a_traffic_guard_that_refuses_is_told_word_for_word_and_the_bad_group_still_serves(stage: Machines) -> None:
    """A guard may ask for a share of the machines (Orca's min-capacity-ratio), so it can refuse although the old group serves."""
    stage.gate.groups.has_a_traffic_guard(cluster="web-main", account="prod", region="us-east-1", share=0.4)
    step, intent = await sent(stage)
    while "enableServerGroup" not in stage.operations():
        stage.pass_(seconds=1)
    stage.bad.desired = 9  # what fails is tried again, so the bad group was given more machines
    words = (
        f"This cluster ('web-main' in prod/us-east-1) has traffic guards enabled. Disabling [{NEW}] would leave the cluster with 3 instances up "
        "(25.0% of 12 instances currently up). The configured minimum is 40.0%."
    )
    (run,) = stage.gate.executions
    while run.status != "TERMINAL":
        stage.pass_(seconds=1)
    at_once = await stage.spinnaker.observe(step, intent)
    assert (at_once.seen, words in at_once.says) == (Seen.RUNNING, True), at_once  # the cache does not show the old group's traffic yet
    failed = await seen(stage, step, intent, seconds=40)  # all that it asked for is done, so nothing else is waited for
    assert failed.seen is Seen.FAILED, failed
    assert words in failed.says
    assert words in failed.details["message"]
    assert stage.serving() == [OLD, NEW]
    assert stage.operations() == ["enableServerGroup"]


async def test_a_switch_whose_last_step_failed_is_no_failure_while_the_cache_still_shows_the_bad_group(stage: Machines) -> None:
    stage.gate.groups.resize(OLD, "prod", "us-east-1", {"min": 0, "desired": 0})
    stage.pass_(minutes=1)
    step, intent = await sent(stage)
    while not stage.bad.disabled:
        stage.pass_(seconds=1)
    stage.gate.clouddriver.may_write = lambda _user, _account: False
    (run,) = stage.gate.executions
    while run.status != "TERMINAL":
        stage.pass_(seconds=1)
    early = await stage.spinnaker.observe(step, intent)
    assert (early.seen, f"{NEW} takes traffic" in early.says) == (Seen.RUNNING, True), early
    assert (await seen(stage, step, intent, seconds=40)).seen is Seen.DONE


async def test_an_operation_that_the_cloud_refused_has_its_words_and_says_how_both_stand(stage: Machines) -> None:
    stage.gate.faults.refuse_operations["disableServerGroup"] = "AutoScaling says no"
    step, intent = await sent(stage)
    failed = await seen(stage, step, intent, seconds=300)
    assert failed.seen is Seen.FAILED, failed
    assert "AutoScaling says no" in failed.says
    assert failed.says.endswith("both serve, the bad one too: mend what failed, then ask for the same again, never for the reverse")


async def test_what_is_half_done_is_done_again_with_the_same_names(stage: Machines) -> None:
    stage.gate.faults.refuse_operations["disableServerGroup"] = "no"
    step, intent = await sent(stage)
    assert (await seen(stage, step, intent, seconds=300)).seen is Seen.FAILED
    stage.gate.faults.refuse_operations.clear()
    step, intent = await sent(stage, operation_id="op_2", not_before=None)
    done = await seen(stage, step, intent, seconds=300)
    assert done.seen is Seen.DONE, done
    assert stage.serving() == [OLD]


async def test_a_look_up_that_took_too_long_posted_nothing_and_is_asked_for_again(stage: Machines) -> None:
    stage.gate.faults.lookups_are_slow = True
    step, intent = await sent(stage)
    found = await seen(stage, step, intent, seconds=10)
    assert found.seen is Seen.NOT_SEEN
    assert "in 5 sec" in found.says
    assert stage.operations() == []
    stage.gate.faults.lookups_are_slow = False
    await stage.spinnaker.act(step, intent, CountingGuard())
    assert (await seen(stage, step, intent, seconds=180)).seen is Seen.DONE
    assert stage.operations() == ["enableServerGroup", "disableServerGroup"]


@pytest.mark.parametrize("which", ["old", "bad"])
async def test_promise_5_a_group_that_somebody_destroyed_before_we_act_means_nothing_is_sent(stage: Machines, which: str) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.groups.is_destroyed(getattr(stage, which))
    stage.pass_(minutes=1)
    with pytest.raises(RefusedError, match="destroyed server group"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert stage.started() == 0
    with pytest.raises(RefusedError):
        await stage.spinnaker.intend(step, intention)


async def test_promise_5_a_size_or_traffic_that_somebody_changed_meanwhile_means_hands_off(stage: Machines) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.groups.resize(OLD, "prod", "us-east-1", {"min": 0, "desired": 0})
    stage.pass_(minutes=1)
    with pytest.raises(RefusedError, match=f"size or the traffic of its server groups meanwhile: {OLD}"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match=f"{OLD} is smaller than {NEW} now: 0 of 0 instances run"):
        await stage.spinnaker.intend(step, intention)
    assert stage.started() == 0


async def test_promise_5_a_group_that_somebody_deployed_is_left_alone(stage: Machines) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.group("ami-3")
    stage.pass_(minutes=1)
    found = await stage.spinnaker.observe(step, intent)
    assert (found.seen, found.says) == (Seen.FOREIGN, "server group web-main-v002 was deployed meanwhile")
    with pytest.raises(RefusedError, match="web-main-v002 was deployed meanwhile"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match="it is no longer release"):
        await stage.spinnaker.intend(step, intention)
    assert stage.started() == 0


async def test_promise_5_who_switched_it_back_by_hand_was_not_us(stage: Machines) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.old.disabled, stage.bad.disabled = False, True
    stage.pass_(minutes=1)
    found = await stage.spinnaker.observe(step, intent)
    assert (found.seen, found.says) == (Seen.FOREIGN, f"somebody else gave server group {OLD} its traffic back meanwhile")


async def test_the_old_group_may_be_destroyed_while_we_act_and_that_is_told(stage: Machines) -> None:
    stage.gate.groups.resize(OLD, "prod", "us-east-1", {"min": 0, "desired": 0})
    stage.pass_(minutes=1)
    step, intent = await sent(stage)
    stage.gate.groups.is_destroyed(stage.old)
    found = await seen(stage, step, intent, seconds=300)
    assert f"{OLD} is gone" in found.says
    assert f"{NEW} takes traffic" in found.says
    assert stage.serving() == [NEW]


async def test_a_cluster_that_somebody_emptied_while_we_acted_is_an_end_and_is_told(stage: Machines) -> None:
    step, intent = await sent(stage)
    stage.gate.groups.all.clear()
    found = await seen(stage, step, intent, seconds=60)
    assert found.seen is Seen.FAILED
    assert "has no server group" in found.says


async def test_another_group_under_the_same_name_is_not_the_one_that_was_meant(stage: Machines) -> None:
    step, intention = await stage.ready()
    stage.gate.groups.is_destroyed(stage.old)
    stage.group("ami-9", sequence=0, disabled=True)
    stage.pass_(minutes=1)
    with pytest.raises(RefusedError, match=f"server group {OLD} is another one now"):
        await stage.spinnaker.intend(step, intention)


async def test_a_third_group_that_serves_is_for_a_person(stage: Machines) -> None:
    step, intention = await stage.ready()
    third = stage.group("ami-0", sequence=500)
    third.created = stage.old.created.replace(year=stage.old.created.year - 1)
    stage.pass_(minutes=1)
    with pytest.raises(RefusedError, match="web-main-v500 takes traffic too"):
        await stage.spinnaker.intend(step, intention)
    case = await stage.case()
    fact = case.facts.read(keys.state(MAIN))
    assert isinstance(fact, Known)
    offer = await stage.offer(goal=fact.value.history[2])
    assert (offer.way, offer.steps) == (Way.ENABLE_PREVIOUS, ())
    assert "takes traffic too" in offer.impossible


async def test_load_balancers_that_somebody_changed_mean_hands_off(stage: Machines) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.bad.load_balancers.append("web-internal")
    stage.pass_(minutes=1)
    with pytest.raises(RefusedError, match="load balancers"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match="somebody edited the spec"):
        await stage.spinnaker.intend(step, intention)


async def test_an_old_group_that_has_to_grow_and_cannot_launch_is_left_alone(stage: Machines) -> None:
    stage.gate.groups.resize(OLD, "prod", "us-east-1", {"min": 0, "desired": 0})
    stage.pass_(minutes=1)
    step, intention = await stage.ready()
    stage.old.image_is_gone = True
    stage.pass_(minutes=1)
    with pytest.raises(RefusedError, match="has to grow, and its image or launch configuration is not there"):
        await stage.spinnaker.intend(step, intention)


async def test_a_task_that_has_asked_for_nothing_is_withdrawn(stage: Machines) -> None:
    stage.gates_clock.hold()
    step, intent = await sent(stage)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.RUNNING
    await stage.clock.sleep(120)
    stuck = await stage.spinnaker.observe(step, intent)
    assert (stuck.seen, stuck.withdrawable) == (Seen.STUCK, True)
    await stage.spinnaker.withdraw(step, intent, CountingGuard())
    stage.gates_clock.go_on(minutes=3)
    assert stage.operations() == []
    ended = await stage.spinnaker.observe(step, intent)
    assert (ended.seen, "it was cancelled" in ended.says) == (Seen.FAILED, True)


async def test_while_nobody_answers_nobody_knows(stage: Machines) -> None:
    step, intent = await sent(stage)
    stage.gate.faults.orca = Outage(status=503)
    with pytest.raises(TemporaryError):
        await stage.spinnaker.observe(step, intent)


async def test_a_cancelled_task_may_go_on_for_a_while(stage: Machines) -> None:
    step, intent = await sent(stage)
    while "enableServerGroup" not in stage.operations():
        stage.pass_(seconds=1)
    (task,) = [run.execution["id"] for run in stage.gate.executions if run.kind == "ORCHESTRATION"]
    stage.gate.somebody_cancels(task)
    stage.pass_(seconds=5)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.RUNNING
    failed = await seen(stage, step, intent, seconds=120)
    assert failed.seen is Seen.FAILED
    assert f"{NEW} takes traffic" in failed.says


async def test_it_is_certain_that_nothing_happened_only_when_no_request_can_be_under_way(stage: Machines) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    found = await stage.spinnaker.observe(step, intent)
    assert found.seen is Seen.NOT_SEEN
    assert found.not_seen_until is not None
    assert found.not_seen_until > intention.at


async def test_a_hand_started_deploy_that_disabled_the_old_group_after_the_trouble_began_is_still_gone_back_from(stage: Machines) -> None:
    cluster = {"application": "web", "stack": "main", "account": "prod", "provider": "aws", "availabilityZones": {"us-east-1": []}, "strategy": "redblack"}
    deploy = {"refId": "1", "requisiteStageRefIds": [], "type": "deploy", "name": "deploy", "clusters": [{**cluster, "imageId": "ami-3", "capacity": SIZE}]}
    stage.gate.save_pipeline({"application": "web", "name": "deploy", "stages": [deploy], "triggers": []})
    async with stage.gate_session() as session:
        await session.post("/pipelines/web/deploy", json={"type": "manual", "user": "alice"})
    for _ in range(30):
        stage.pass_(seconds=10)
    assert stage.operations() == ["createServerGroup", "disableServerGroup"]
    live = (await stage.state()).current
    assert live is not None
    began = live.started_at + timedelta(seconds=3)
    step, intent = await sent(stage, not_before=began)
    assert (await seen(stage, step, intent, seconds=180)).seen is Seen.DONE
    assert stage.serving() == [NEW]


async def test_promise_5_what_a_person_does_to_a_group_after_such_a_deploy_is_an_act_of_theirs(stage: Machines) -> None:
    resize = {"type": "resizeServerGroup", "cloudProvider": "aws", "credentials": "prod", "region": "us-east-1", "serverGroupName": NEW, "asgName": NEW}
    await stage.by_hand({**resize, "capacity": SIZE})
    step, intention = await stage.ready(not_before=stage.clock.now() - timedelta(minutes=9))
    with pytest.raises(RefusedError, match="alice is acting on it"):
        await stage.spinnaker.intend(step, intention)
