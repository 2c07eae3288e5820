from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.settings import RollbackPipeline
from integrations.delivery.spinnaker.steps.run_own_pipeline import RunOwnPipeline
from service.domain.errors import RefusedError, TemporaryError
from service.domain.model import Json, Way
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Intention, Observation, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import NEW, OLD, WEB, Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_undo import tools_of
from tests.unit.integrations.delivery.spinnaker.test_own_pipeline import BY_REVISION, UNDO, save

JUDGMENT = {"refId": "0", "requisiteStageRefIds": [], "type": "manualJudgment", "name": "Really?"}
BEHIND = {**UNDO, "requisiteStageRefIds": ["0"]}


def owned(stage: Stage, parameters: Mapping[str, str] = BY_REVISION, **saved: Any) -> None:
    """The team's pipeline is saved, and named in the settings."""
    save(stage, **saved)
    own = RollbackPipeline(pipeline="Rollback web", targets=("k8s/shop/*",), parameters=parameters)
    stage.spinnaker = stage.adapter(rollback_pipelines=(own,))


async def ready(stage: Stage) -> tuple[Step, Intention, Mapping[str, Json]]:
    (step,) = (await stage.offer()).steps
    _, intention = await stage.ready(not_before=None)
    return step, intention, await stage.spinnaker.intend(step, intention)


async def started(stage: Stage) -> tuple[Step, Mapping[str, Json]]:
    step, _, intent = await ready(stage)
    await stage.spinnaker.act(step, intent, CountingGuard())
    return step, intent


async def seen(stage: Stage, step: Step, intent: Mapping[str, Json], **later: float) -> Observation:
    stage.pass_(**later)
    return await stage.spinnaker.observe(step, intent)


def runs(stage: Stage) -> list[dict[str, Any]]:
    return [one.execution for one in stage.gate.executions if one.kind == "PIPELINE"]


async def test_it_is_the_only_way_where_the_team_named_one_and_says_what_it_is_given(stage: Stage) -> None:
    owned(stage)
    offer: Offer = await stage.offer()
    (step,) = offer.steps
    assert (offer.way, offer.impossible, step.name) == (Way.OWN_PIPELINE, "", "run_own_pipeline")
    assert "pipeline Rollback web for deployment web with revision=1" in step.says
    assert "/pipelines/shop/" in step.command
    assert step.undo is None


async def test_a_missing_parameter_is_no_way_and_says_what_to_give(stage: Stage) -> None:
    owned(stage, parameters={})
    offer = await stage.offer()
    assert (offer.way, offer.steps) == (Way.OWN_PIPELINE, ())
    assert offer.impossible == "pipeline Rollback web cannot be started: parameter revision is required and has no value"


async def test_it_is_started_once_parsed_first_and_followed_until_the_old_release_is_live(stage: Stage) -> None:
    owned(stage)
    step, _, intent = await ready(stage)
    guard = CountingGuard()
    await stage.spinnaker.act(step, intent, guard)
    await stage.spinnaker.act(step, intent, guard)
    assert guard.asked == 2  # parse, start
    assert (await seen(stage, step, intent)).seen is Seen.RUNNING
    done = await seen(stage, step, intent, seconds=60)
    assert (done.seen, done.details["handle"], done.details["status"]) == (Seen.DONE, "3", "SUCCEEDED")
    assert (done.details["before"]["images"], done.details["after"]["images"]) == ([NEW], [OLD])
    (run,) = runs(stage)
    assert run["trigger"]["parameters"] == {"revision": "1"}
    assert run["trigger"]["correlationId"] == intent["marker"]
    assert stage.posted() == 1


async def test_promise_3_a_lost_answer_is_found_by_the_marker_and_nothing_is_started_again(stage: Stage) -> None:
    owned(stage)
    step, _, intent = await ready(stage)
    guard = CountingGuard()

    async def lose_the_second() -> None:
        await guard()
        stage.gate.faults.lose_answers = guard.asked - 1

    with pytest.raises(TemporaryError):
        await stage.spinnaker.act(step, intent, lose_the_second)
    await stage.spinnaker.act(step, intent, guard)
    assert (guard.asked, len(runs(stage))) == (2, 1)
    assert (await seen(stage, step, intent, seconds=60)).seen is Seen.DONE


async def test_a_start_that_never_arrived_is_not_seen_until_that_is_certain(stage: Stage) -> None:
    owned(stage)
    step, _, intent = await ready(stage)
    told = await seen(stage, step, intent)
    assert told.seen is Seen.NOT_SEEN
    assert told.not_seen_until is not None
    assert told.not_seen_until - stage.clock.now() > timedelta(seconds=120)


async def test_a_run_that_spinnaker_started_twice_is_found_and_said(stage: Stage) -> None:
    owned(stage)
    step, intent = await started(stage)
    stage.pass_(seconds=60)
    async with stage.gate_session() as session:
        body = {"type": "manual", "parameters": {"revision": "3"}, "correlationId": intent["marker"]}
        await session.post("/pipelines/shop/Rollback web", json=body)
    told = await seen(stage, step, intent, seconds=60)
    assert "Spinnaker started it 2 times" in told.says


@pytest.mark.parametrize("answer", ["continue", "stop"])
async def test_its_own_judgment_is_shown_to_a_person_who_answers_it_in_spinnaker(stage: Stage, answer: str) -> None:
    owned(stage, stages=[JUDGMENT, BEHIND])
    step, intent = await started(stage)
    waits = await seen(stage, step, intent, seconds=30)
    assert (waits.seen, waits.withdrawable) == (Seen.STUCK, False)
    assert "waits for a person's judgment in Spinnaker: Really?" in waits.says
    (run,) = runs(stage)
    stage_id = next(one["id"] for one in run["stages"] if one["type"] == "manualJudgment")
    async with stage.gate_session() as session:
        await session.patch(f"/pipelines/{run['id']}/stages/{stage_id}", json={"judgmentStatus": answer})
    told = await seen(stage, step, intent, minutes=1)
    if answer == "continue":
        assert told.seen is Seen.DONE
    else:
        assert (told.seen, "judgment Really? was stopped" in told.says) == (Seen.FAILED, True)


async def test_one_that_waits_behind_another_is_withdrawn_before_it_asked_for_anything(stage: Stage) -> None:
    wait = {"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 3600}
    owned(stage, stages=[wait, {**BEHIND, "manifestName": "deployment web"}], limitConcurrent=True, keepWaitingPipelines=True)
    step, _, intent = await ready(stage)
    async with stage.gate_session() as session:
        await session.post("/pipelines/shop/Rollback%20web", json={"type": "docker", "parameters": {"revision": "1"}})
    stage.pass_(seconds=1)
    (other,) = runs(stage)
    other["stages"] = other["stages"][:1]  # it waits, and does not touch the target
    await stage.spinnaker.act(step, intent, CountingGuard())
    told = await seen(stage, step, intent, minutes=1)
    assert (told.seen, told.withdrawable) == (Seen.STUCK, True)
    await stage.spinnaker.withdraw(step, intent, CountingGuard())
    told = await seen(stage, step, intent, seconds=10)
    assert (told.seen, "ended CANCELED" in told.says, stage.posted()) == (Seen.FAILED, True, 0)


async def test_one_that_runs_and_has_asked_for_nothing_yet_says_so_and_can_be_withdrawn(stage: Stage) -> None:
    wait = {"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 60}
    owned(stage, stages=[wait, BEHIND])
    step, intent = await started(stage)
    told = await seen(stage, step, intent, seconds=20)
    assert (told.seen, told.nothing_yet) == (Seen.RUNNING, True)
    await stage.spinnaker.withdraw(step, intent, CountingGuard())
    told = await seen(stage, step, intent, seconds=10)
    assert (told.seen, told.nothing_yet, stage.posted()) == (Seen.FAILED, False, 0)


async def test_promise_4_a_second_run_that_asked_for_nothing_is_withdrawn_though_the_first_one_acted(stage: Stage) -> None:
    """Spinnaker starts one request twice now and then: the second would go back whenever its wait is over, past `act_before` it may be."""
    wait = {"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 60}
    afterwards = {"refId": "9", "requisiteStageRefIds": [BEHIND["refId"]], "type": "wait", "waitTime": 3600}
    owned(stage, stages=[wait, BEHIND, afterwards])
    step, intent = await started(stage)
    stage.pass_(seconds=90)
    async with stage.gate_session() as session:
        await session.post("/pipelines/shop/Rollback web", json={"type": "manual", "parameters": {"revision": "1"}})
    runs(stage)[1]["trigger"]["correlationId"] = intent["marker"]  # six parallel posts start up to six: the marker is a marker and no lock
    told = await seen(stage, step, intent, seconds=20)
    assert (stage.posted(), told.seen, told.nothing_yet) == (1, Seen.RUNNING, True)
    await stage.spinnaker.withdraw(step, intent, CountingGuard())
    told = await seen(stage, step, intent, seconds=10)
    assert ([one["status"] for one in runs(stage)], told.nothing_yet) == (["RUNNING", "CANCELED"], False)


async def test_what_other_stages_of_a_withdrawn_run_did_is_not_said_to_be_nothing(stage: Stage) -> None:
    build = {"refId": "8", "requisiteStageRefIds": [], "type": "jenkins", "name": "Migrate down"}
    wait = {"refId": "0", "requisiteStageRefIds": ["8"], "type": "wait", "waitTime": 60}
    owned(stage, stages=[build, wait, BEHIND])
    step, intent = await started(stage)
    assert (await seen(stage, step, intent, seconds=20)).nothing_yet
    await stage.spinnaker.withdraw(step, intent, CountingGuard())
    told = await seen(stage, step, intent, seconds=10)
    assert told.seen is Seen.FAILED
    assert told.says.endswith("; stage Migrate down (jenkins) had begun, and what it did stays"), told.says


async def test_a_paused_run_is_told(stage: Stage) -> None:
    wait = {"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 60}
    owned(stage, stages=[wait, BEHIND])
    step, intent = await started(stage)
    stage.pass_(seconds=5)
    (run,) = runs(stage)
    async with stage.gate_session() as session:
        await session.put(f"/pipelines/{run['id']}/pause")
    told = await seen(stage, step, intent, seconds=5)
    assert (told.seen, "PAUSED" in told.says) == (Seen.STUCK, True)


async def test_a_refused_undo_in_it_is_told_word_for_word(stage: Stage) -> None:
    owned(stage)
    stage.gate.faults.refuse_operations = {"undoRolloutManifest": "kubectl says no"}
    step, intent = await started(stage)
    told = await seen(stage, step, intent, seconds=60)
    assert (told.seen, "kubectl says no" in told.says) == (Seen.FAILED, True)


async def test_one_that_succeeded_and_did_nothing_is_no_success(stage: Stage) -> None:
    owned(stage, stages=[{"refId": "1", "requisiteStageRefIds": [], "type": "wait", "waitTime": 1}])
    step, intent = await started(stage)
    told = await seen(stage, step, intent, seconds=60)
    assert (told.seen, "SUCCEEDED, and deployment web is still at revision 2" in told.says) == (Seen.FAILED, True)


async def test_another_deploy_meanwhile_is_somebody_elses(stage: Stage) -> None:
    owned(stage)
    step, _, intent = await ready(stage)
    stage.runs("registry.example/web:4.0")
    assert (await seen(stage, step, intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="was deployed meanwhile"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    stage.runs(OLD)
    assert "somebody else brought" in (await seen(stage, step, intent)).says


async def test_a_pipeline_that_changed_since_is_not_started(stage: Stage) -> None:
    owned(stage)
    step, intention, intent = await ready(stage)
    saved = next(one for one in stage.gate.front50.pipelines("shop"))
    stage.gate.save_pipeline({**saved, "description": "changed"})
    with pytest.raises(RefusedError, match="was changed meanwhile"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    stage.gate.save_pipeline({**saved, "parameterConfig": [*saved["parameterConfig"], {"name": "why", "required": True}]})
    with pytest.raises(RefusedError, match="parameter why is required"):
        await stage.spinnaker.intend(step, intention)
    stage.gate.front50.delete(saved["id"])
    with pytest.raises(RefusedError, match="no pipeline of that name"):
        await stage.spinnaker.intend(step, intention)
    other = replace(step, parameters={**step.parameters, "values": {"revision": "7"}})
    stage.gate.save_pipeline(saved)
    with pytest.raises(RefusedError, match="with other values"):
        await stage.spinnaker.intend(other, intention)


async def test_an_expression_in_a_value_is_never_sent(stage: Stage) -> None:
    stage.runs("registry.example/web:${1/0}")
    stage.runs("registry.example/web:5.0")
    stage.pass_(minutes=10)
    owned(stage, parameters={"revision": "{image}"})
    offer = await stage.offer()
    assert "which Spinnaker would evaluate" in offer.impossible
    assert runs(stage) == []
    assert str(WEB)


class StartsAtOnce(Client):
    """A Gate that starts what it was to parse only."""

    async def plan(self, config: Mapping[str, Json], parameters: Mapping[str, Json], marker: str, guard: Any) -> Reply:
        return await self.start("shop", str(config["id"]), parameters, marker, guard)


async def test_a_server_that_starts_what_it_was_to_parse_is_not_asked_to_start_it_too(stage: Stage) -> None:
    owned(stage)
    step, _, intent = await ready(stage)
    with pytest.raises(TemporaryError, match="was to parse only"):
        await RunOwnPipeline(tools_of(stage, client=StartsAtOnce)).act(intent, CountingGuard())
    assert len(runs(stage)) == 1
    assert (await seen(stage, step, intent, seconds=60)).seen is Seen.DONE


async def test_a_run_that_waits_for_its_execution_window_is_withdrawn_before_it_asked_for_anything(stage: Stage) -> None:
    wait = {"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 3600}
    owned(stage, stages=[wait, BEHIND])
    step, intent = await started(stage)
    stage.pass_(seconds=5)
    (run,) = runs(stage)
    run["stages"][0]["type"] = "restrictExecutionDuringTimeWindow"
    told = await seen(stage, step, intent)
    assert (told.seen, told.withdrawable, "waits for an execution window" in told.says) == (Seen.STUCK, True, True)


async def test_a_run_that_is_no_longer_among_the_newest_is_found_further_back(stage: Stage) -> None:
    owned(stage, stages=[{"refId": "1", "requisiteStageRefIds": [], "type": "wait", "waitTime": 1}])
    step, intent = await started(stage)
    stage.pass_(seconds=30)
    for _ in range(6):
        await stage.starts("Rollback%20web", "docker")
    told = await seen(stage, step, intent)
    assert (told.seen, "SUCCEEDED" in told.says) == (Seen.FAILED, True)
