from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.executions import Status
from integrations.delivery.spinnaker.steps.stop_deploy import StopDeploy, plan, why_not
from integrations.moment import MOMENT, Moment
from integrations.sandbox.gate.settings import Outage
from service.domain.errors import RefusedError, TemporaryError
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Observation, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_undo import tools_of

BAD = "registry.example/web:3.0"


class TellsNothing(Client):
    """A Gate that answers for a run with an object that is none."""

    async def pipeline_run(self, identity: str) -> Reply:
        return replace(await super().pipeline_run(identity), body={})


async def half_way(stage: Stage, **more: Any) -> str:
    """A trigger's deploy of a version that never gets ready: its run waits for it."""
    stage.gate.kubernetes.never_becomes_ready(BAD)
    return await stage.deploys(BAD, **more)


async def steps(stage: Stage) -> tuple[tuple[Step, ...], Intention]:
    _, intention = await stage.ready()
    return (await stage.offer()).steps, replace(intention, not_before=stage.clock.now() - timedelta(seconds=10))


async def seen(stage: Stage, step: Step, intent: Any, **later: float) -> Observation:
    stage.pass_(**later)
    return await stage.spinnaker.observe(step, intent)


async def test_the_run_that_deploys_the_bad_release_is_told_as_automated_and_ended_before_the_undo(stage: Stage) -> None:
    run = await half_way(stage)
    running = (await stage.state()).running
    assert running is not None
    assert (running.automated, running.ours) == (True, False)
    (stop, undo), intention = await steps(stage)
    assert (stop.name, undo.name) == ("stop_deploy", "undo")
    assert run in stop.says
    assert running.revision == intention.suspect.revision
    intent = await stage.spinnaker.intend(stop, intention)
    guard = CountingGuard()
    await stage.spinnaker.act(stop, intent, guard)
    await stage.spinnaker.act(stop, intent, guard)
    assert guard.asked == 1
    assert (await seen(stage, stop, intent, seconds=10)).seen is Seen.DONE
    ended = stage.gate.run_of(run)
    assert (ended["status"], ended["cancellationReason"]) == ("CANCELED", "Backout op_1")
    back = await stage.spinnaker.intend(undo, intention)
    await stage.spinnaker.act(undo, back, CountingGuard())
    assert (await seen(stage, undo, back, seconds=60)).seen is Seen.DONE
    current = (await stage.state()).current
    assert current is not None
    assert current.key == intention.goal.key


async def test_before_the_cancellation_nothing_is_seen_and_after_it_the_end_is_waited_for(stage: Stage) -> None:
    await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    assert (await seen(stage, stop, intent)).seen is Seen.NOT_SEEN
    await stage.spinnaker.act(stop, intent, CountingGuard())
    told = await seen(stage, stop, intent)
    assert (told.seen, "told to end" in told.says) == (Seen.RUNNING, True)


async def test_a_run_that_ended_since_the_look_is_not_said_to_be_over_before_the_next_step_can_see_it(stage: Stage) -> None:
    """Within one moment the next step is given the same look, and would take the run for somebody who acts."""
    run = await half_way(stage)
    (stop, undo), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    await stage.spinnaker.act(stop, intent, CountingGuard())
    moment = MOMENT.set(Moment(stage.clock))
    try:
        assert (await stage.state()).running is not None
        stage.pass_(milliseconds=900)
        assert stage.gate.run_of(run)["status"] == "CANCELED"
        told = await stage.spinnaker.observe(stop, intent)
    finally:
        MOMENT.reset(moment)
    assert (told.seen, told.says.endswith("has ended since the last look at deployment web")) == (Seen.RUNNING, True), told
    stage.pass_(seconds=10)
    assert (await stage.spinnaker.observe(stop, intent)).seen is Seen.DONE
    await stage.spinnaker.intend(undo, intention)


async def test_promise_5_a_persons_run_is_left_alone(stage: Stage) -> None:
    await half_way(stage, trigger="manual")
    running = (await stage.state()).running
    assert running is not None
    assert not running.automated
    offered, intention = await steps(stage)
    assert [step.name for step in offered] == ["undo"]
    with pytest.raises(RefusedError, match="is acting on it"):
        await stage.spinnaker.intend(offered[0], intention)


CANARY = {"refId": "2", "requisiteStageRefIds": ["1"], "type": "acaTask", "name": "canary"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"about": {"rollback": {"onFailure": True}}}, "a rollback of its own"),
        ({"about": {"strategy": "monitored"}}, "deployment monitor takes a bad deploy back by itself"),
        ({"more": [CANARY]}, "canary"),
    ],
    ids=["own rollback", "monitored", "canary"],
)
async def test_a_run_whose_end_would_do_something_is_left_alone(stage: Stage, more: Any, why: str) -> None:
    await half_way(stage, **more)
    (stop, _), intention = await steps(stage)
    with pytest.raises(RefusedError, match=why):
        await stage.spinnaker.intend(stop, intention)


@pytest.mark.parametrize("status", ["canceled", "failed"])
async def test_a_run_whose_end_starts_another_pipeline_is_left_alone(stage: Stage, status: str) -> None:
    await half_way(stage)
    upstream = next(config for config in await stage.get("/applications/shop/pipelineConfigs") if config["name"] == "deploy")
    trigger = {"type": "pipeline", "enabled": True, "application": "shop", "pipeline": upstream["id"], "status": [status]}
    stage.gate.save_pipeline({"application": "shop", "name": "cleanup", "stages": [], "triggers": [trigger]})
    (stop, _), intention = await steps(stage)
    with pytest.raises(RefusedError, match="its end starts pipeline cleanup"):
        await stage.spinnaker.intend(stop, intention)


async def test_a_run_that_waits_behind_it_would_begin_at_once_so_both_are_left_alone(stage: Stage) -> None:
    await half_way(stage, limitConcurrent=True, keepWaitingPipelines=True)
    await stage.starts("deploy", "docker")
    (stop, _), intention = await steps(stage)
    with pytest.raises(RefusedError, match="waits behind it"):
        await stage.spinnaker.intend(stop, intention)


async def test_a_run_that_ended_by_itself_is_nothing_to_cancel(stage: Stage) -> None:
    run = await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    stage.gate.somebody_cancels(run, reason="alice was faster")
    stage.pass_(seconds=10)
    guard = CountingGuard()
    await stage.spinnaker.act(stop, intent, guard)
    assert (guard.asked, (await seen(stage, stop, intent)).seen) == (0, Seen.DONE)


async def test_another_deploy_meanwhile_stops_the_act(stage: Stage) -> None:
    await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    stage.runs("registry.example/web:4.0")
    assert (await seen(stage, stop, intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="deployed meanwhile"):
        await stage.spinnaker.act(stop, intent, CountingGuard())


async def test_a_lost_answer_is_found_in_the_runs_own_words(stage: Stage) -> None:
    run = await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    stage.gate.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await stage.spinnaker.act(stop, intent, CountingGuard())
    guard = CountingGuard()
    await stage.spinnaker.act(stop, intent, guard)
    assert (guard.asked, (await seen(stage, stop, intent, seconds=10)).seen) == (0, Seen.DONE)
    assert stage.gate.run_of(run)["status"] == "CANCELED"


async def test_while_a_run_cannot_be_read_nobody_knows(stage: Stage) -> None:
    await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    stage.gate.faults.orca = Outage(status=503)
    with pytest.raises(TemporaryError):
        await seen(stage, stop, intent)


async def test_promise_5_the_step_itself_leaves_a_persons_run_alone(stage: Stage) -> None:
    await half_way(stage, trigger="manual")
    running = (await stage.state()).running
    assert running is not None
    _, intention = await steps(stage)
    with pytest.raises(RefusedError, match="by hand"):
        await stage.spinnaker.intend(plan(running, intention.suspect, "x"), intention)


async def test_an_automated_run_that_has_not_deployed_yet_may_be_the_fix(stage: Stage) -> None:
    first = {"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 3600}
    await stage.deploys(BAD, about={"requisiteStageRefIds": ["0"]}, more=[first])
    (stop, _), intention = await steps(stage)
    with pytest.raises(RefusedError, match="what it deploys is not known"):
        await stage.spinnaker.intend(stop, intention)


async def test_a_person_who_acted_and_a_release_that_came_since_stop_the_intent(stage: Stage) -> None:
    await half_way(stage)
    (stop, _), intention = await steps(stage)
    scale = {"type": "scaleManifest", "cloudProvider": "kubernetes", "account": "k8s", "location": "shop", "manifestName": "deployment web", "replicas": 3}
    async with stage.gate_session() as session:
        await session.post("/tasks", json={"application": "shop", "description": "scale", "job": [scale]})
    stage.pass_(minutes=2)
    with pytest.raises(RefusedError, match="scaleManifest"):
        await stage.spinnaker.intend(stop, intention)
    stage.runs("registry.example/web:4.0")
    with pytest.raises(RefusedError, match="was deployed since"):
        await stage.spinnaker.intend(stop, intention)


async def test_a_run_that_began_after_the_intent_is_not_ours_to_end(stage: Stage) -> None:
    await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    await stage.starts("deploy", "docker")
    foreign = await seen(stage, stop, intent)
    assert (foreign.seen, "began meanwhile" in foreign.says) == (Seen.FOREIGN, True)


async def test_a_run_whose_pipeline_is_not_saved_any_more_is_left_alone(stage: Stage) -> None:
    run = await half_way(stage)
    looked = await stage.looked()
    (one,) = [each for each in looked.runs if each.id == run]
    assert why_not(one, looked) == ""
    assert "not among the saved ones" in why_not(one, replace(looked, pipelines=()))


OPEN = {"kato.tasks": [{"id": "1", "status": {"completed": True}}, {"id": "2", "status": {"completed": False}}]}
CLOSED = {"kato.tasks": [{"id": "1", "status": {"completed": False}}, {"id": "2", "status": {"completed": True}}], "kato.last.task.id": {"id": "2"}}
UNTOLD = {"kato.last.task.id": {"id": "2"}}


@pytest.mark.parametrize(("context", "waited"), [(OPEN, True), (CLOSED, False), (UNTOLD, True), ({}, False)], ids=["open", "closed", "untold", "nothing"])
async def test_what_the_ended_run_had_asked_for_is_waited_for_and_not_for_ever(stage: Stage, context: dict[str, Any], waited: bool) -> None:
    run = await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    await stage.spinnaker.act(stop, intent, CountingGuard())
    stage.pass_(seconds=10)
    played = stage.gate.run_of(run)
    kept = {key: value for key, value in played["stages"][0]["context"].items() if not key.startswith("kato.")}
    played["stages"][0]["context"] = {**kept, **context}
    told = await seen(stage, stop, intent, seconds=30)
    assert (told.seen, "may still be under way" in told.says) == ((Seen.RUNNING, True) if waited else (Seen.DONE, False))
    assert (await seen(stage, stop, intent, seconds=60)).seen is Seen.DONE
    if waited:
        for one in (played, *played["stages"]):
            one["endTime"] = None
        assert (await seen(stage, stop, intent)).seen is Seen.RUNNING
        assert (await seen(stage, stop, intent, minutes=10)).seen is Seen.DONE


async def test_a_run_that_is_answered_as_nothing_has_not_ended(stage: Stage) -> None:
    await half_way(stage)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    with pytest.raises(TemporaryError, match="could not be read"):
        await StopDeploy(tools_of(stage, client=TellsNothing)).see(intent)


async def test_only_what_is_about_to_happen_after_its_end_keeps_a_run(stage: Stage) -> None:
    run = await half_way(stage)
    looked = await stage.looked()
    (one,) = [each for each in looked.runs if each.id == run]
    behind = replace(one, id="another", status=Status.BUFFERED)
    assert "waits behind it" in why_not(one, replace(looked, runs=(one, behind)))
    assert why_not(one, replace(looked, runs=(one, replace(behind, config="another")))) == ""
    assert why_not(one, replace(looked, runs=(one, replace(behind, status=Status.SUCCEEDED)))) == ""
    canary = replace(one.stages[0], id="canary", kind="acaTask", context={})
    assert "canary" in why_not(replace(one, stages=(*one.stages, canary)), looked)
    assert why_not(replace(one, stages=(*one.stages, replace(canary, status=Status.SUCCEEDED))), looked) == ""


JUDGED = {"refId": "2", "requisiteStageRefIds": ["1"], "type": "manualJudgment", "name": "promote?"}
AFTER = {
    "refId": "3",
    "requisiteStageRefIds": ["2"],
    "type": "scaleManifest",
    "name": "scale",
    "cloudProvider": "kubernetes",
    "account": "k8s",
    "location": "shop",
    "manifestName": "deployment web",
    "replicas": 5,
}


async def stopped(stage: Stage, **judgment: Any) -> tuple[str, CountingGuard, Observation]:
    """A trigger's deploy of what gets ready waits for a judgment before it goes on; it is ended."""
    run = await stage.deploys(BAD, more=[{**JUDGED, **judgment}, AFTER])
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    guard = CountingGuard()
    await stage.spinnaker.act(stop, intent, guard)
    return run, guard, await seen(stage, stop, intent, seconds=90)


async def test_a_judgment_that_waits_is_answered_with_stop_and_ends_the_run(stage: Stage) -> None:
    run, guard, told = await stopped(stage)
    ended = stage.gate.run_of(run)
    judged = next(one for one in ended["stages"] if one["type"] == "manualJudgment")
    assert (judged["context"]["judgmentStatus"], judged["context"]["judgmentInput"]) == ("stop", "Backout op_1")
    assert (ended["status"], guard.asked, told.seen) == ("TERMINAL", 1, Seen.DONE), told.says


async def test_one_whose_stop_would_let_the_run_go_on_is_not_answered_and_the_run_is_cancelled(stage: Stage) -> None:
    run, guard, told = await stopped(stage, failPipeline=False, continuePipeline=True)
    ended = stage.gate.run_of(run)
    assert "judgmentStatus" not in next(one for one in ended["stages"] if one["type"] == "manualJudgment")["context"]
    assert (ended["status"], guard.asked, told.seen) == ("CANCELED", 1, Seen.DONE), told.says


class WithoutTheRole(Client):
    """A Gate whose judgment asks for a role that we do not have: the answer is taken back, and it waits on (contract 1.5)."""

    async def reject(self, identity: str, stage: str, reason: str, guard: Any) -> None:
        del identity, stage, reason
        await guard()


async def test_a_judgment_that_asks_for_another_role_waits_on_and_the_run_is_cancelled(stage: Stage) -> None:
    run = await stage.deploys(BAD, more=[JUDGED, AFTER])
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    guard = CountingGuard()
    await StopDeploy(tools_of(stage, client=WithoutTheRole)).act(intent, guard)
    assert guard.asked == 2
    assert (await seen(stage, stop, intent, seconds=90)).seen is Seen.DONE
    assert stage.gate.run_of(run)["status"] == "CANCELED"


async def test_a_paused_run_is_cancelled_too(stage: Stage) -> None:
    run = await half_way(stage)
    async with stage.gate_session() as session:
        await session.put(f"/pipelines/{run}/pause")
    stage.pass_(seconds=2)
    assert stage.gate.run_of(run)["status"] == "PAUSED"
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    await stage.spinnaker.act(stop, intent, CountingGuard())
    assert (await seen(stage, stop, intent, minutes=2)).seen is Seen.DONE
    assert stage.gate.run_of(run)["status"] == "CANCELED"


ARTIFACT = {"type": "docker/image", "name": "registry.example/web", "reference": BAD}


async def starts_with(stage: Stage, reference: str) -> str:
    async with stage.gate_session() as session:
        body = {"type": "docker", "tag": reference, "artifacts": [{**ARTIFACT, "reference": reference}]}
        async with session.post("/pipelines/shop/deploy", json=body) as answer:
            return str((await answer.json())["ref"]).rpartition("/")[2]


async def two_of(stage: Stage, second: str) -> tuple[str, str]:
    """A run of the bad image goes on, and another run of its pipeline waits behind it."""
    await half_way(stage, limitConcurrent=True, keepWaitingPipelines=True)
    (first,) = [one.execution["id"] for one in stage.gate.executions if one.kind == "PIPELINE"]
    stage.gate.somebody_cancels(first, reason="it was started without an artifact")
    stage.pass_(seconds=10)
    running = await starts_with(stage, BAD)
    stage.pass_(seconds=30)
    waiting = await starts_with(stage, second)
    stage.pass_(seconds=5)
    return running, waiting


async def test_a_run_of_the_same_version_that_waits_behind_it_is_cancelled_first(stage: Stage) -> None:
    running, waiting = await two_of(stage, BAD)
    assert stage.gate.run_of(waiting)["status"] == "NOT_STARTED"
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    assert intent["runs"] == [waiting, running]
    await stage.spinnaker.act(stop, intent, CountingGuard())
    assert (await seen(stage, stop, intent, minutes=2)).seen is Seen.DONE
    assert [stage.gate.run_of(one)["status"] for one in (running, waiting)] == ["CANCELED", "CANCELED"]
    assert stage.gate.run_of(waiting).get("startTime") is None


async def test_one_that_may_be_the_fix_is_left_alone_and_so_is_what_it_waits_for(stage: Stage) -> None:
    await two_of(stage, "registry.example/web:3.1")
    (stop, _), intention = await steps(stage)
    with pytest.raises(RefusedError, match="may be the fix"):
        await stage.spinnaker.intend(stop, intention)


async def test_one_that_came_to_wait_since_the_intent_stops_the_act(stage: Stage) -> None:
    await two_of(stage, BAD)
    (stop, _), intention = await steps(stage)
    intent = await stage.spinnaker.intend(stop, intention)
    await starts_with(stage, "registry.example/web:3.1")
    stage.pass_(seconds=5)
    told = await seen(stage, stop, intent)
    assert told.seen is Seen.FOREIGN


async def test_a_run_that_somebody_started_by_hand_and_that_waits_behind_it_is_left_alone(stage: Stage) -> None:
    run = await half_way(stage)
    looked = await stage.looked()
    one = replace(next(each for each in looked.runs if each.id == run), artifacts=(ARTIFACT,))
    waits = replace(one, id="another", status=Status.NOT_STARTED)
    assert why_not(one, replace(looked, runs=(one, waits))) == ""
    assert "by hand waits behind it" in why_not(one, replace(looked, runs=(one, replace(waits, origin="deck"))))
