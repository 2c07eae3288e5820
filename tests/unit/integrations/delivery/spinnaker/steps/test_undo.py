import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.manifest_facts import LookedManifest
from integrations.delivery.spinnaker.settings import Settings
from integrations.delivery.spinnaker.steps.step import Tools, marker_of, own_task
from integrations.delivery.spinnaker.steps.undo import Undo
from integrations.sandbox.gate.settings import Outage
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.model import Json, TargetId
from service.domain.ports import Guard, Observation, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import NEW, OLD, WEB, Stage

CONFIGURED = {"containers": [{"name": "web", "image": OLD, "envFrom": [{"configMapRef": {"name": "web-config-v003"}}, {"secretRef": {"name": "web-key"}}]}]}


class NamesNoTask(Client):
    """A Gate that starts what it is asked for and does not say what it started."""

    async def post_task(self, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Reply:
        return replace(await super().post_task(application, description, jobs, marker, guard), body={"eventId": "1"})


class HalfRead(Reader):
    """One of the old revisions cannot be read."""

    async def get(self, target: TargetId, *, anew: bool = False) -> LookedManifest:
        looked = await super().get(target, anew=anew)
        assert isinstance(looked, LookedManifest)
        return replace(looked, history=replace(looked.history, revisions=looked.history.revisions[:1], complete=False))


def tools_of(stage: Stage, client: type[Client] = Client, reader: type[Reader] = Reader) -> Tools:
    settings = Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop",))
    speaks = client(settings, stage.clock, traceparent=str)
    stage.opened.append(speaks)
    return Tools(settings, speaks, reader(settings, speaks, stage.clock), stage.clock)


async def sent(stage: Stage, **more: Any) -> tuple[Any, Any]:
    """The undo, as it was sent."""
    step, intention = await stage.ready(**more)
    intent = await stage.spinnaker.intend(step, intention)
    await stage.spinnaker.act(step, intent, CountingGuard())
    return step, intent


async def seen(stage: Stage, step: Any, intent: Any, **later: float) -> Observation:
    if later:
        stage.pass_(**later)
    return await stage.spinnaker.observe(step, intent)


async def test_the_undo_names_the_revision_absolutely_and_carries_nothing_of_an_alert(stage: Stage) -> None:
    await sent(stage)
    stage.pass_(seconds=1)
    (posted,) = [one for one in stage.gate.clouddriver.posted if one["name"] == "undoRolloutManifest"]
    assert posted["body"]["revision"] == 1
    assert "numRevisionsBack" not in posted["body"]
    assert posted["body"]["reason"] == "Backout op_1"


async def test_it_runs_is_done_and_tells_what_it_changed(stage: Stage) -> None:
    step, intent = await sent(stage)
    assert (await seen(stage, step, intent)).seen is Seen.RUNNING
    assert (await seen(stage, step, intent, seconds=3)).seen is Seen.RUNNING
    done = await seen(stage, step, intent, seconds=20)
    assert done.seen is Seen.DONE
    assert done.details["handle"] == "3"
    assert done.details["before"] == {"revision": 2, "images": [NEW]}
    assert done.details["after"] == {"revision": 3, "images": [OLD]}
    assert done.details["status"] == "SUCCEEDED"
    assert (await stage.state()).current is not None


async def test_what_backout_put_live_is_told_as_backouts(stage: Stage) -> None:
    step, intent = await sent(stage)
    await seen(stage, step, intent, seconds=20)
    current = (await stage.state()).current
    assert current is not None
    assert (current.by.kind, current.by.name) == ("service", "backout")


async def test_the_marker_names_operation_step_target_and_attempt(stage: Stage) -> None:
    _, one = await stage.ready()
    others = [
        replace(one, operation_id="op_2"),
        replace(one, at=one.at + timedelta(seconds=1)),
        replace(one, target=replace(WEB, name="k8s/shop/deployment/b")),
    ]
    markers = {marker_of(each, "undo") for each in (one, *others)} | {marker_of(one, "other")}
    assert len(markers) == 5
    assert all(marker.startswith("backout-") and marker.replace("-", "").isalnum() for marker in markers)


async def test_a_refused_undo_keeps_kubectls_words(stage: Stage) -> None:
    stage.gate.faults.refuse_operations["undoRolloutManifest"] = "error: unable to find specified revision 1 in history"
    step, intent = await sent(stage)
    failed = await seen(stage, step, intent, seconds=20)
    assert failed.seen is Seen.FAILED
    assert "unable to find specified revision 1 in history" in failed.says
    assert failed.details["handle"] == ""


async def test_an_undo_whose_wait_failed_has_happened_all_the_same(stage: Stage) -> None:
    stage.gate.kubernetes.never_becomes_ready(OLD)
    step, intent = await sent(stage)
    assert (await seen(stage, step, intent, seconds=60)).seen is Seen.RUNNING
    done = await seen(stage, step, intent, minutes=6)
    assert done.seen is Seen.DONE
    assert "ended TERMINAL" in done.says
    assert done.details["handle"] == "3"


async def test_a_deploy_over_it_is_somebody_elses(stage: Stage) -> None:
    step, intent = await sent(stage)
    await seen(stage, step, intent, seconds=20)
    stage.runs("registry.example/web:3.0")
    foreign = await seen(stage, step, intent)
    assert (foreign.seen, foreign.details["handle"]) == (Seen.FOREIGN, "3")


async def test_somebody_who_brought_the_goal_back_meanwhile_is_not_us(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.runs(OLD)
    foreign = await seen(stage, step, intent)
    assert foreign.seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="brought revision 1 back"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert stage.started() == 0


async def test_a_cancelled_task_that_had_asked_already_may_still_happen(stage: Stage) -> None:
    step, intent = await sent(stage)
    stage.pass_(seconds=1)
    (task,) = [run.id for run in await stage.reader().applications.running_tasks("shop")]
    stage.gate.somebody_cancels(task)
    cancelled = await seen(stage, step, intent, seconds=0.5)
    assert cancelled.seen is Seen.RUNNING
    assert "may still happen" in cancelled.says
    assert (await seen(stage, step, intent, seconds=5)).seen is Seen.DONE


async def test_a_task_cancelled_before_it_asked_never_happens(stage: Stage) -> None:
    step, intent = await sent(stage)
    stage.gate.somebody_cancels(str((await seen(stage, step, intent)).details["task"]))
    failed = await seen(stage, step, intent, seconds=30)
    assert failed.seen is Seen.FAILED
    assert stage.posted() == 0


@pytest.mark.parametrize("minutes", [1, 5, 9])
async def test_a_standstill_after_orca_died_is_neither_failure_nor_reason_to_send_again(stage: Stage, minutes: int) -> None:
    step, intent = await sent(stage)
    stage.pass_(seconds=1)
    stage.gate.orca_is_killed()
    with pytest.raises(TemporaryError):
        await seen(stage, step, intent, seconds=30)
    stage.gate.orca_is_started_again()
    assert (await seen(stage, step, intent, minutes=minutes)).seen is Seen.RUNNING
    guard = CountingGuard()
    await stage.spinnaker.act(step, intent, guard)
    assert (guard.asked, stage.started()) == (0, 1)
    assert (await seen(stage, step, intent, minutes=11)).seen is Seen.DONE
    assert stage.posted() == 1


async def test_promise_3_a_lost_answer_is_found_by_its_marker_also_after_it_ended(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert (await seen(stage, step, intent, minutes=2)).seen is Seen.DONE
    fresh = stage.adapter()
    guard = CountingGuard()
    await fresh.act(step, json.loads(json.dumps(dict(intent))), guard)
    assert (guard.asked, stage.started(), stage.posted()) == (0, 1, 1)


async def test_nothing_is_sent_once_the_intent_is_too_old(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.pass_(minutes=5)
    with pytest.raises(TemporaryError, match="too old to be sent"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert stage.started() == 0
    not_seen = await seen(stage, step, intent)
    assert not_seen.seen is Seen.NOT_SEEN
    assert not_seen.not_seen_until is not None
    assert not_seen.not_seen_until <= stage.clock.now()


async def test_nothing_is_certain_before_gates_own_time_outs_are_over(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    not_seen = await seen(stage, step, intent)
    assert not_seen.not_seen_until is not None
    assert not_seen.not_seen_until - intention.at >= timedelta(seconds=30 + 120)


async def test_promise_5_a_run_that_may_deploy_stops_the_intent_and_the_act(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    scale = {"type": "scaleManifest", "cloudProvider": "kubernetes", "account": "k8s", "location": "shop", "manifestName": "deployment web", "replicas": 3}
    async with stage.gate_session() as session:
        await session.post("/tasks", json={"application": "shop", "description": "scale", "job": [scale]})
    stage.pass_(seconds=1)
    assert (await seen(stage, step, intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="is acting on it"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match="is acting on it"):
        await stage.spinnaker.intend(step, intention)


async def test_promise_5_an_act_of_a_person_since_the_trouble_began_means_hands_off(stage: Stage) -> None:
    scale = {"type": "scaleManifest", "cloudProvider": "kubernetes", "account": "k8s", "location": "shop", "manifestName": "deployment web", "replicas": 3}
    async with stage.gate_session() as session:
        await session.post("/tasks", json={"application": "shop", "description": "scale", "job": [scale]})
    stage.pass_(minutes=2)
    step, intention = await stage.ready(not_before=stage.clock.now() - timedelta(minutes=3))
    with pytest.raises(RefusedError, match="scaleManifest"):
        await stage.spinnaker.intend(step, intention)
    await stage.spinnaker.intend(step, replace(intention, not_before=stage.clock.now()))


async def test_a_paused_roll_out_is_refused_and_offered_no_way(stage: Stage) -> None:
    step, intention = await stage.ready()
    kubernetes = stage.gate.kubernetes
    kubernetes.is_paused(kubernetes.workloads[0])
    with pytest.raises(RefusedError, match="edited the spec since"):
        await stage.spinnaker.intend(step, intention)
    digest = (await stage.state()).spec_digest
    with pytest.raises(RefusedError, match="roll-out is paused"):
        await stage.spinnaker.intend(replace(step, parameters={**step.parameters, "spec_digest": digest}), intention)
    offer = await stage.offer()
    assert "is paused" in offer.impossible
    assert offer.steps == ()


async def test_a_revision_that_is_gone_is_refused(stage: Stage) -> None:
    step, intention = await stage.ready()
    kubernetes = stage.gate.kubernetes
    kubernetes.forgets_revisions(kubernetes.workloads[0], keep=1)
    with pytest.raises(RefusedError, match="does not have"):
        await stage.spinnaker.intend(step, intention)


async def test_a_revision_that_changed_its_number_meanwhile_is_not_sent(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.runs(OLD)
    stage.runs(NEW)
    with pytest.raises(RefusedError, match="number 3 now"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert stage.started() == 0


async def test_what_the_old_template_names_has_to_be_there(stage: Stage) -> None:
    stage.runs(OLD, template={"spec": CONFIGURED})
    stage.pass_(minutes=10)
    stage.runs(NEW)
    stage.pass_(minutes=10)
    step, intention = await stage.ready()
    with pytest.raises(RefusedError, match="ConfigMap web-config-v003, which revision 3 needs"):
        await stage.spinnaker.intend(step, intention)
    stage.gate.kubernetes.has("k8s", "shop", "configMap", "web-config-v003")
    with pytest.raises(RefusedError, match="Secret web-key"):
        await stage.spinnaker.intend(step, intention)
    stage.gate.kubernetes.has("k8s", "shop", "secret", "web-key")
    assert (await stage.spinnaker.intend(step, intention))["revision"] == 3


async def test_a_config_that_cannot_be_read_is_not_taken_for_there_nor_for_gone(stage: Stage) -> None:
    step, intention = await stage.ready()
    stage.gate.faults.clouddriver = Outage(status=500)
    with pytest.raises(TemporaryError):
        await stage.spinnaker.intend(step, intention)


async def test_a_deleted_target_has_failed_and_takes_no_intent(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    kubernetes = stage.gate.kubernetes
    kubernetes.is_deleted(kubernetes.workloads[0])
    assert (await seen(stage, step, intent)).seen is Seen.FAILED
    with pytest.raises(RefusedError, match="is gone"):
        await stage.spinnaker.intend(step, intention)


async def test_an_expression_in_a_name_is_never_sent(stage: Stage) -> None:
    step, intention = await stage.ready(operation_id="op_${1+1}")
    intent = await stage.spinnaker.intend(step, intention)
    with pytest.raises(RefusedError, match="evaluate"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert stage.started() == 0


async def test_a_step_that_is_not_known_is_a_mistake(stage: Stage) -> None:
    step, intention = await stage.ready()
    with pytest.raises(PermanentError, match="no step 'roll_back'"):
        await stage.spinnaker.intend(replace(step, name="roll_back"), intention)


async def test_of_a_list_that_ends_too_early_nothing_is_concluded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    stage.pass_(seconds=5)
    async with stage.gate_session() as session:
        for _ in range(3):
            await session.post("/tasks", json={"application": "shop", "description": "d", "job": [{"type": "wait", "waitTime": 1}]})
    looked = await stage.looked()
    assert own_task(looked, intent) is None
    monkeypatch.setattr("integrations.delivery.spinnaker.steps.step.TASKS_SHOWN", 3)
    with pytest.raises(TemporaryError, match="behind the end of the list"):
        own_task(looked, intent)


async def test_a_release_that_came_since_the_plan_stops_the_intent(stage: Stage) -> None:
    step, intention = await stage.ready()
    stage.runs("registry.example/web:3.0")
    with pytest.raises(RefusedError, match="was deployed since"):
        await stage.spinnaker.intend(step, intention)


async def test_an_edit_after_the_intent_stops_the_act(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    kubernetes = stage.gate.kubernetes
    kubernetes.is_paused(kubernetes.workloads[0])
    with pytest.raises(RefusedError, match="edited the spec meanwhile"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert stage.started() == 0


async def test_what_has_asked_for_the_undo_already_is_not_withdrawn(stage: Stage) -> None:
    step, intent = await sent(stage)
    stage.pass_(seconds=1)
    assert stage.posted() == 1
    guard = CountingGuard()
    await stage.spinnaker.withdraw(step, intent, guard)
    assert guard.asked == 0


async def test_promise_3_a_start_that_names_no_task_is_not_believed_and_not_sent_again(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    undo = Undo(tools_of(stage, client=NamesNoTask))
    with pytest.raises(TemporaryError, match="named no task"):
        await undo.act(intent, CountingGuard())
    guard = CountingGuard()
    await undo.act(intent, guard)
    assert (guard.asked, stage.started()) == (0, 1)
    assert (await seen(stage, step, intent, seconds=20)).seen is Seen.DONE


async def test_a_revision_is_only_said_to_be_gone_where_all_could_be_read(stage: Stage) -> None:
    step, intention = await stage.ready()
    tools = tools_of(stage, reader=HalfRead)
    with pytest.raises(RefusedError, match="not all of its revisions could be read"):
        await Undo(tools).may(step, intention, await tools.reader.get(WEB))


async def test_a_task_that_never_begins_is_stuck_is_not_sent_again_and_can_be_withdrawn_once(stage: Stage) -> None:
    step, intent = await sent(stage)
    stage.gate.orca_is_killed()
    stage.pass_(seconds=5)
    stage.gate.orca_is_started_again()
    fresh = await seen(stage, step, intent)
    assert (fresh.seen, fresh.withdrawable, "asked for nothing yet" in fresh.says) == (Seen.RUNNING, False, True)
    stuck = await seen(stage, step, intent, seconds=40)
    assert (stuck.seen, stuck.withdrawable) == (Seen.STUCK, True)
    guard = CountingGuard()
    await stage.spinnaker.act(step, intent, guard)
    assert (guard.asked, stage.started()) == (0, 1)
    await stage.spinnaker.withdraw(step, intent, guard)
    assert guard.asked == 1
    ended = await seen(stage, step, intent, minutes=12)
    assert (ended.seen, "it was cancelled" in ended.says) == (Seen.FAILED, True)
    await stage.spinnaker.withdraw(step, intent, guard)
    assert (guard.asked, stage.posted()) == (1, 0)


async def refused_and(stage: Stage, **more: Any) -> tuple[Any, Any, dict[str, Any]]:
    """An undo that changed nothing, and Orca's own map of its task, which ended with that."""
    stage.gate.faults.refuse_operations["undoRolloutManifest"] = "no"
    step, intent = await sent(stage)
    task = str((await seen(stage, step, intent, seconds=20)).details["task"])
    played = stage.gate.run_of(task)
    played.update(more)
    return step, intent, played


async def test_a_task_that_says_it_succeeded_is_not_believed_against_the_cluster(stage: Stage) -> None:
    step, intent, _ = await refused_and(stage, status="SUCCEEDED")
    failed = await seen(stage, step, intent)
    assert (failed.seen, "SUCCEEDED, and deployment web still rolls out what it did before" in failed.says) == (Seen.FAILED, True)


async def test_what_a_cancelled_task_had_asked_for_is_waited_for_and_not_for_ever(stage: Stage) -> None:
    now = round(stage.clock.now().timestamp() * 1000)
    step, intent, played = await refused_and(stage, status="CANCELED", endTime=now + 20_000)
    assert (await seen(stage, step, intent, seconds=35)).seen is Seen.RUNNING
    assert (await seen(stage, step, intent, seconds=30)).seen is Seen.FAILED
    played["endTime"] = None
    assert (await seen(stage, step, intent)).seen is Seen.RUNNING
    assert (await seen(stage, step, intent, minutes=10)).seen is Seen.FAILED


async def test_a_cancelled_task_that_had_asked_for_nothing_is_not_waited_for(stage: Stage) -> None:
    step, intent, played = await refused_and(stage, status="CANCELED")
    played["endTime"] = round(stage.clock.now().timestamp() * 1000)
    for one in played["stages"]:
        one["context"] = {}
    assert (await seen(stage, step, intent)).seen is Seen.FAILED
