"""Conditions of the policy in the story: they hold back what begins by itself, hold people only where they say so, and a failed one never acts."""

from service.domain.conditions import Condition
from service.domain.model import Actor, Mode, Outcome
from service.domain.policy import Tightening
from service.domain.verdict import Answer
from tests.unit.service.workflow.stage import TARGET, Stage

ALICE = Actor(kind="user", name="alice")


def lower(when: str, mode: Mode) -> Tightening:
    return Tightening(when=Condition(when, about_rule=False), reason="nobody watches at this hour", at_most=mode)


async def by_alice(stage: Stage) -> Outcome | None:
    plan = (await stage.desk.check(TARGET)).plan
    assert plan is not None
    operation = await stage.desk.rollback(TARGET, ALICE, digest=plan.digest, names=(), reason="now")
    return (await stage.drive(identity=operation.id)).outcome


async def test_auto_waits_for_a_person_while_a_condition_lowers_the_mode_and_says_why(stage: Stage) -> None:
    stage.change(conditions=(lower("automatic && now.getHours() == 14", Mode.APPROVE),))
    await stage.begin()
    row = await stage.drive(until="awaiting_approval")
    assert row.says == "at most mode approve now: nobody watches at this hour; mode approve: every question has a yes; a person decides"
    assert (row.first_effect_at, stage.delivery.sent) == (None, [])
    assert [one["event"] for one in await stage.messages()] == ["approval_wanted"]


async def test_a_condition_that_does_not_hold_changes_nothing(stage: Stage) -> None:
    stage.change(conditions=(lower("now.getHours() == 3", Mode.SUGGEST),))
    assert (await stage.recovered()).outcome is Outcome.RECOVERED


async def test_lowered_to_suggest_the_plan_is_sent_and_nothing_is_done(stage: Stage) -> None:
    stage.change(conditions=(lower("true", Mode.SUGGEST),))
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent) == (Outcome.SUGGESTED, [])


async def test_a_person_is_not_held_by_a_lowered_mode(stage: Stage) -> None:
    stage.change(conditions=(lower("true", Mode.OBSERVE),))
    assert await by_alice(stage) is Outcome.RECOVERED


async def test_a_person_is_held_by_an_answer_that_counts_as_a_block(stage: Stage) -> None:
    strict = Tightening(when=Condition("true"), reason="the cache is under repair", rule="caches_stay_coherent", answer=Answer.BLOCK)
    stage.change(conditions=(strict,))
    assert await by_alice(stage) is Outcome.REFUSED
    assert stage.delivery.sent == []


async def test_promise_1_a_condition_that_fails_leaves_auto_to_a_person_who_names_it(stage: Stage) -> None:
    stage.change(conditions=(lower("alert.labels['tier'] == 'gold'", Mode.APPROVE),))
    await stage.begin()
    row = await stage.drive(until="awaiting_approval")
    assert (row.says, stage.delivery.sent) == ("a person decides, naming policy_can_be_applied", [])
    (told,) = await stage.messages()
    assert 'The policy cannot be applied: conditions[0].when asks for "tier", which is not there.' in told["text"]
