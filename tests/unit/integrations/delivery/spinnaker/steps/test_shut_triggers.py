from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.sandbox.gate.settings import Outage
from service.domain import keys
from service.domain.errors import PermanentError, RefusedError, StoppedError, TemporaryError
from service.domain.facts import Facts
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from service.domain.rule import Case
from service.domain.rules import rollback_will_stay
from service.domain.verdict import Answer
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.saved import trigger
from tests.unit.integrations.delivery.spinnaker.stage import NEW, WEB, Stage

MARK = "operation=op_1 suspect=2 goal=1"
CRON = trigger("cron", cronExpression="0 0 * * * *", id="c1", runAsUser="robot")


async def with_doors(stage: Stage, *triggers: Any, shuts: bool = True, **more: Any) -> None:
    """A saved pipeline that deployed what runs now has these triggers; the adapter may switch them off."""
    await stage.deploys(NEW, triggers=list(triggers or (CRON,)), **more)
    stage.pass_(minutes=10)
    stage.spinnaker = stage.adapter(shut_triggers=shuts)


async def plan(stage: Stage) -> tuple[Mapping[str, Step], Intention]:
    offer = await stage.offer()
    _, intention = await stage.ready(marker=MARK, not_before=None)
    return {step.name: step for step in offer.steps}, intention


async def shut(stage: Stage) -> tuple[Step, Intention, Mapping[str, Json]]:
    """Switched off, and seen so."""
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    intent = await stage.spinnaker.intend(step, intention)
    await stage.spinnaker.act(step, intent, CountingGuard())
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.DONE
    return step, intention, intent


def saved(stage: Stage, name: str = "deploy") -> dict[str, Any]:
    return next(one for one in stage.gate.front50.pipelines("shop") if one["name"] == name)


async def finding(stage: Stage) -> Any:
    case: Case = await stage.case()
    found: dict[Any, Any] = dict(case.facts.known)
    limits = keys.Limits(automatic_rollbacks=0, within=timedelta(hours=1), held=(), made_by_backout=(), alive=(), wide_outage="", disarmed="")
    found[keys.limits(WEB)] = replace(found[keys.state(WEB)], value=limits)
    return rollback_will_stay.RULE.ask(replace(case, facts=Facts(known=found, now=stage.clock.now())))


async def test_the_trigger_goes_off_first_the_rest_of_the_pipeline_stays_and_the_hold_gives_it_back(stage: Stage) -> None:
    await with_doors(stage)
    before = saved(stage)
    step, intention, intent = await shut(stage)
    off = saved(stage)
    (one,) = off["triggers"]
    assert (one["enabled"], one["backoutHold"]) == (False, {str(WEB): MARK})
    assert off["disabled"] is False if "disabled" in before else "disabled" not in off
    assert {**one, "enabled": True, "backoutHold": None} == {**CRON, "backoutHold": None}
    assert intent["stops"] == "what starts its pipelines"
    state = await stage.state()
    assert (state.marker, state.owner.kind) == (MARK, "nobody")
    assert step.undo is not None
    back = await stage.spinnaker.intend(step.undo, replace(intention, ours=(intent,)))
    await stage.spinnaker.act(step.undo, back, CountingGuard())
    assert (await stage.spinnaker.observe(step.undo, back)).seen is Seen.DONE
    assert saved(stage)["triggers"] == before["triggers"] == [CRON]
    assert (await stage.state()).marker == ""


async def test_promise_3_done_twice_it_saves_once_and_a_lost_answer_is_looked_at(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    intent = await stage.spinnaker.intend(step, intention)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.NOT_SEEN
    stage.gate.faults.lose_answers = 1
    guard = CountingGuard()
    with pytest.raises(TemporaryError):
        await stage.spinnaker.act(step, intent, guard)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.DONE
    await stage.spinnaker.act(step, intent, guard)
    assert guard.asked == 1


async def test_it_is_the_first_step_and_the_rule_says_that_the_plan_does_it(stage: Stage) -> None:
    await with_doors(stage)
    assert [step.name for step in (await stage.offer()).steps] == ["shut_triggers", "undo"]
    found = await finding(stage)
    assert (found.answer, "the plan switches it off until the hold ends" in found.says) == (Answer.PASS, True), found.says


async def test_where_the_settings_do_not_let_it_a_person_is_told_what_to_switch_off(stage: Stage) -> None:
    await with_doors(stage, shuts=False)
    offer = await stage.offer()
    assert [(step.name, step.owner) for step in offer.steps] == [("undo", "backout"), ("shut_by_hand", "person")]
    assert "cron 0 0 * * * * of pipeline deploy" in offer.steps[-1].says
    assert (await finding(stage)).answer is Answer.WARN


async def test_one_that_a_tool_owns_is_a_persons_and_the_verdict_warns(stage: Stage) -> None:
    await with_doors(stage, locked={"ui": True, "description": "written by dinghy"})
    offer = await stage.offer()
    assert [step.name for step in offer.steps] == ["undo", "shut_by_hand"]
    assert "its editor is locked: written by dinghy" in offer.steps[-1].says
    found = await finding(stage)
    assert (found.answer, "leaves it alone" in found.says) == (Answer.WARN, True), found.says


async def test_a_pipeline_that_deployed_it_before_is_a_sure_door_though_its_stage_tells_nothing(stage: Stage) -> None:
    await with_doors(stage)
    config = saved(stage)
    stage.gate.save_pipeline({**config, "stages": [{**config["stages"][0], "source": "artifact", "manifests": []}]})
    assert [step.name for step in (await stage.offer()).steps] == ["shut_triggers", "undo"]


async def test_what_a_person_saves_between_look_and_save_is_read_again_and_kept(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    intent = await stage.spinnaker.intend(step, intention)
    tries: list[int] = []

    async def alice() -> None:
        """She saves right before our request, once."""
        if not tries:
            stage.pass_(seconds=1)
            stage.gate.save_pipeline({**saved(stage), "limitConcurrent": True})
        tries.append(1)

    await stage.spinnaker.act(step, intent, alice)
    assert len(tries) == 2
    now = saved(stage)
    assert (now["limitConcurrent"], now["triggers"][0]["enabled"]) == (True, False)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.DONE


async def test_what_cannot_be_saved_is_refused_and_nothing_changed(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.faults.saves = Outage(status=403, message="Access is denied")
    before = saved(stage)
    with pytest.raises(RefusedError, match=r"pipeline deploy could not be saved: .*Access is denied"):
        await stage.spinnaker.act(step, intent, CountingGuard())
    assert saved(stage) == before
    assert (step.optional, step.needed_for) == (True, rollback_will_stay.RULE.name)


async def test_what_cannot_be_seen_after_a_refusal_is_not_taken_for_untouched(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    intent = await stage.spinnaker.intend(step, intention)

    async def then_away() -> None:
        stage.gate.faults.front50 = Outage(status=403, message="Access is denied")

    with pytest.raises(PermanentError, match=r"could not be saved: .*; whether others are off already is not known: "):
        await stage.spinnaker.act(step, intent, then_away)


async def two_doors(stage: Stage) -> tuple[Step, Intention, Mapping[str, Json]]:
    """A second pipeline that deploys the target has a trigger too; nothing is sent yet."""
    await with_doors(stage)
    other = {key: value for key, value in saved(stage).items() if key not in {"id", "updateTs", "index"}}
    stage.gate.save_pipeline({**other, "name": "nightly", "triggers": [trigger("cron", cronExpression="0 3 * * * *", id="c2")]})
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    return step, intention, await stage.spinnaker.intend(step, intention)


def on(stage: Stage) -> list[bool]:
    return [saved(stage, name)["triggers"][0]["enabled"] for name in ("deploy", "nightly")]


async def test_a_stop_between_two_saves_is_no_proof_that_nothing_happened_and_what_is_off_can_be_taken_back(stage: Stage) -> None:
    step, intention, intent = await two_doors(stage)
    asked: list[int] = []

    async def stopped_after_the_first() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise StoppedError("everything is stopped")

    with pytest.raises(PermanentError, match="everything is stopped; off already: "):
        await stage.spinnaker.act(step, intent, stopped_after_the_first)
    assert sorted(on(stage)) == [False, True]
    seen = await stage.spinnaker.observe(step, intent)
    assert seen.seen is Seen.NOT_SEEN
    assert seen.not_seen_until is not None
    stage.pass_(seconds=(seen.not_seen_until - stage.clock.now()).total_seconds())
    late = await stage.spinnaker.observe(step, intent)
    assert (late.seen, "is still on, and off already: " in late.says) == (Seen.FAILED, True), late.says
    assert step.undo is not None
    back = await stage.spinnaker.intend(step.undo, replace(intention, ours=(intent,), at=stage.clock.now()))
    await stage.spinnaker.act(step.undo, back, CountingGuard())
    assert ((await stage.spinnaker.observe(step.undo, back)).seen, on(stage)) == (Seen.DONE, [True, True])


async def test_a_stop_before_the_first_save_is_told_as_a_stop(stage: Stage) -> None:
    step, _, intent = await two_doors(stage)

    async def stopped() -> None:
        raise StoppedError("everything is stopped")

    with pytest.raises(StoppedError):
        await stage.spinnaker.act(step, intent, stopped)
    assert on(stage) == [True, True]


async def test_a_trigger_that_changed_since_the_plan_stays_on(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    stage.gate.save_pipeline({**saved(stage), "triggers": [{**CRON, "cronExpression": "0 5 * * * *"}]})
    with pytest.raises(RefusedError, match="none of the triggers is on any more"):
        await stage.spinnaker.intend(steps["shut_triggers"], intention)


async def test_somebody_who_changes_it_after_the_intent_is_seen(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    step = steps["shut_triggers"]
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.save_pipeline({**saved(stage), "triggers": []})
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.FOREIGN


async def test_promise_5_while_a_person_deploys_nothing_is_switched_off(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    stage.gate.kubernetes.never_becomes_ready(NEW)
    async with stage.gate_session() as session:
        await session.post("/pipelines/shop/deploy", json={"type": "manual", "user": "alice"})
    stage.pass_(seconds=2)
    with pytest.raises(RefusedError, match="is acting on it"):
        await stage.spinnaker.intend(steps["shut_triggers"], intention)


async def test_a_second_rollback_under_the_hold_remembers_what_the_first_one_switched_off(stage: Stage) -> None:
    await with_doors(stage)
    _, intention, first = await shut(stage)
    stage.gate.save_pipeline({**saved(stage), "triggers": [*saved(stage)["triggers"], trigger("git", branch="main")]})
    steps, _ = await plan(stage)
    again = await stage.spinnaker.intend(steps["shut_triggers"], replace(intention, marker="operation=op_2 x", own_marker=MARK))
    assert [one["mark"] for one in again["remembered"]["triggers"]] == [MARK, "operation=op_2 x"]
    assert again["remembered"]["triggers"][0] == first["remembered"]["triggers"][0]


async def test_the_list_shows_that_a_mark_came_or_went(stage: Stage) -> None:
    await with_doors(stage)

    async def stamp() -> str:
        return next(one.stamp for one in (await stage.spinnaker.targets()).targets if one.target == WEB)

    before = await stamp()
    await shut(stage)
    assert await stamp() != before


async def test_promise_5_an_intent_from_before_the_fix_went_live_shuts_nothing(stage: Stage) -> None:
    await with_doors(stage)
    steps, intention = await plan(stage)
    intent = await stage.spinnaker.intend(steps["shut_triggers"], intention)
    stage.runs(f"registry.example/shop/web@sha256:{'c' * 64}", at_once=False)
    stage.pass_(seconds=2)
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="was deployed meanwhile"):
        await stage.spinnaker.act(steps["shut_triggers"], intent, guard)
    assert guard.asked == 0
    assert saved(stage)["triggers"][0]["enabled"] is True
