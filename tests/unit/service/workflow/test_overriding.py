"""A block is refused unless two persons override it together (docs/architecture.md section 1, the table)."""

from dataclasses import replace

import pytest

from service.domain.errors import ConflictError, RefusedError
from service.domain.keys import Owner
from service.domain.model import Actor, Mode, Operation, Outcome
from service.domain.planning.plan import Plan
from service.workflow import record
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import POLICY, TARGET, Stage, attribute, named, spans

ALICE, BOB = Actor(kind="user", name="alice"), Actor(kind="user", name="bob")
RULE = "caches_stay_coherent"
SENTENCE = "Declared: releases cannot read each other's cached values"


@pytest.fixture
def blocked(stage: Stage) -> Stage:
    """A target whose cache the releases cannot share: a block that people can know better about."""
    stage.change(declares=replace(POLICY.declares, cache="incompatible"))
    return stage


async def asked(stage: Stage, *override: str, names: tuple[str, ...] = (), reason: str = "the cache was emptied by hand") -> Operation:
    """Alice asks for a rollback with an override, and the operation is driven until it waits or ends."""
    plan = (await stage.desk.check(TARGET)).plan
    assert plan is not None
    operation = await stage.desk.rollback(TARGET, ALICE, digest=plan.digest, names=names, reason=reason, override=override or (RULE,))
    return await stage.drive(identity=operation.id)


def plan_of(operation: Operation) -> Plan:
    plan = record.load(operation).plan
    assert plan is not None
    return plan


async def confirm(
    stage: Stage, operation: Operation, actor: Actor = BOB, *, digest: str = "", override: tuple[str, ...] = (RULE,), reason: str = "seen"
) -> Operation:
    plan = plan_of(operation)
    return await stage.desk.confirm_override(operation.id, actor, digest=digest or plan.digest, names=(), override=override, reason=reason)


async def test_a_block_is_refused_as_long_as_nobody_asks_for_an_override(blocked: Stage) -> None:
    plan = (await blocked.desk.check(TARGET)).plan
    assert plan is not None
    operation = await blocked.desk.rollback(TARGET, ALICE, digest=plan.digest, names=(RULE,), reason="now")
    row = await blocked.drive(identity=operation.id)
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
    assert SENTENCE in row.says


async def test_promise_12_an_override_waits_for_a_second_person_and_acts_when_one_confirms_it(blocked: Stage) -> None:
    row = await asked(blocked)
    assert (row.phase, row.first_effect_at) == ("awaiting_approval", None)
    assert row.says == f"a second person decides on overriding {RULE}"
    (told,) = [one for one in await blocked.messages() if one["event"] == "override_wanted"]
    assert f"user:alice asks to override {RULE}: the cache was emptied by hand" in told["text"]
    assert SENTENCE in told["text"]
    assert f"backout override {row.id}" in told["text"]
    assert told["plan_digest"] == plan_of(row).digest
    await confirm(blocked, row)
    row = await blocked.drive(identity=row.id)
    assert (row.outcome, blocked.app.live.key) == (Outcome.RECOVERED, made.GOAL.key)


async def test_an_override_is_in_rows_trace_and_messages_with_both_persons_and_reasons(blocked: Stage) -> None:
    row = await asked(blocked)
    await confirm(blocked, row, reason="I emptied it")
    row = await blocked.drive(identity=row.id)
    rows = {one.kind: one for one in await blocked.events(row.id)}
    assert rows["accepted"].body["override"] == [RULE]
    assert rows["override_asked"].says == f"user:alice asks to override {RULE}: the cache was emptied by hand"
    assert rows["override_given"].says == f"override of {RULE} confirmed by user:bob: I emptied it"
    assert (rows["override_given"].body["actor"], rows["override_given"].body["override"]) == ("user:bob", [RULE])
    end = (await blocked.messages())[-1]
    assert f"Overridden: {RULE}, by user:alice (the cache was emptied by hand) and user:bob (I emptied it)." in end["text"]
    trace = await blocked.trace(row.id)
    (waited,) = named(trace, spans.APPROVAL)
    assert (attribute(waited, spans.APPROVAL_BY), attribute(waited, spans.OVERRIDE)) == ("user:bob", RULE)
    (completed,) = named(trace, spans.COMPLETED)
    assert (attribute(completed, spans.OVERRIDE), attribute(completed, spans.OVERRIDE_BY)) == (RULE, "user:alice user:bob")


async def test_the_digest_of_a_plan_that_overrides_is_another_one_than_of_the_plan_that_does_not(blocked: Stage) -> None:
    shown = (await blocked.desk.check(TARGET)).plan
    assert shown is not None
    row = await asked(blocked)
    assert plan_of(row).overrides == (RULE,)
    assert plan_of(row).digest != shown.digest
    with pytest.raises(ConflictError, match="digest"):
        await confirm(blocked, row, digest=shown.digest)


@pytest.mark.parametrize(
    "second",
    [ALICE, Actor(kind="user", name="Alice"), Actor(kind="user", name=" ALICE "), Actor(kind="user", name="\uff41lice")],
    ids=["same", "case", "spaces", "lookalike"],
)
async def test_promise_12_the_one_who_asked_never_confirms_under_any_writing_of_the_name(blocked: Stage, second: Actor) -> None:
    row = await asked(blocked)
    with pytest.raises(RefusedError, match="somebody else has to confirm it"):
        await confirm(blocked, row, second)
    assert (await blocked.row(row.id)).phase == "awaiting_approval"


@pytest.mark.parametrize("who", [Actor(kind="service", name="portal"), Actor(kind="automation", name="backout"), Actor(kind="alert", name="HighErrorRate")])
async def test_promise_11_only_persons_ask_for_an_override_and_give_it(blocked: Stage, who: Actor) -> None:
    row = await asked(blocked)
    with pytest.raises(RefusedError, match="by persons"):
        await confirm(blocked, row, who)
    await blocked.desk.cancel(row.id, ALICE, "")
    await blocked.drive(identity=row.id)
    with pytest.raises(RefusedError, match="by persons"):
        await blocked.desk.rollback(TARGET, who, digest="sha256:0", names=(), reason="x", override=(RULE,))


async def test_a_decision_in_the_store_that_the_desk_would_not_have_let_in_does_not_count(blocked: Stage) -> None:
    row = await asked(blocked)
    body = {"digest": plan_of(row).digest, "names": [], "override": [RULE], "reason": "me again"}
    assert await blocked.operations.decide(row.id, seq=row.seq, actor=ALICE, approve=True, at=blocked.clock.now(), body=body)
    row = await blocked.drive(identity=row.id)
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
    assert "was not confirmed by a second person" in row.says


async def test_an_approval_is_no_override(blocked: Stage) -> None:
    row = await asked(blocked)
    with pytest.raises(RefusedError, match=f"backout override {row.id}"):
        await blocked.desk.decide(row.id, BOB, approve=True, digest=plan_of(row).digest, names=(RULE,), reason="")
    body = {"digest": plan_of(row).digest, "names": [RULE], "reason": ""}
    assert await blocked.operations.decide(row.id, seq=row.seq, actor=BOB, approve=True, at=blocked.clock.now(), body=body)
    assert (await blocked.drive(identity=row.id)).outcome is Outcome.REFUSED


async def test_each_block_is_named_and_nothing_else_and_with_a_reason(blocked: Stage) -> None:
    row = await asked(blocked)
    with pytest.raises(RefusedError, match=f"missing: {RULE}"):
        await confirm(blocked, row, override=())
    with pytest.raises(RefusedError, match="schema_is_compatible is not overridden by this plan"):
        await confirm(blocked, row, override=(RULE, "schema_is_compatible"))
    with pytest.raises(RefusedError, match="needs a reason"):
        await confirm(blocked, row, reason=" ")


@pytest.mark.parametrize(("digest", "reason"), [("", "because"), ("sha256:0", "  ")])
async def test_asking_needs_the_digest_and_a_reason(blocked: Stage, digest: str, reason: str) -> None:
    with pytest.raises(RefusedError, match="names the digest of the plan that was looked at, and a reason"):
        await blocked.desk.rollback(TARGET, ALICE, digest=digest, names=(), reason=reason, override=(RULE,))
    assert await blocked.operations.find() == ()


async def test_promise_12_a_block_that_was_not_named_ends_it_refused(blocked: Stage) -> None:
    row = await asked(blocked)
    blocked.app.owner = Owner(kind="applicationset", name="shops", reverts=True)
    await confirm(blocked, row)
    row = await blocked.drive(identity=row.id)
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
    assert row.says.startswith("the approval no longer holds: rollback_will_stay is now block")


async def test_a_block_that_can_never_be_overridden_is_refused_at_once(blocked: Stage) -> None:
    blocked.app.owner = Owner(kind="applicationset", name="shops", reverts=True)
    row = await asked(blocked, RULE, "rollback_will_stay")
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
    assert row.says.startswith("rollback_will_stay can never be overridden: ")


async def test_an_override_of_what_does_not_block_is_refused(stage: Stage) -> None:
    row = await asked(stage, RULE)
    assert row.outcome is Outcome.REFUSED
    assert row.says == f"{RULE} does not block (any more): look at the plan again"


async def test_a_plan_that_asks_for_no_override_cannot_be_overridden(stage: Stage) -> None:
    operation = await stage.desk.rollback(TARGET, ALICE, digest="", names=(), reason="")
    row = await stage.drive(identity=operation.id)
    with pytest.raises(ConflictError, match="asks for no override"):
        await confirm(stage, row)


async def test_nobody_confirms_in_time_and_nothing_is_done(blocked: Stage) -> None:
    row = await asked(blocked)
    row = await blocked.drive(identity=row.id, patient=True)
    assert (row.outcome, row.first_effect_at) == (Outcome.EXPIRED, None)


async def test_an_override_can_be_rejected_by_anybody_who_may_decide(blocked: Stage) -> None:
    row = await asked(blocked)
    await blocked.desk.decide(row.id, BOB, approve=False, digest="", names=(), reason="no")
    assert (await blocked.drive(identity=row.id)).outcome is Outcome.REJECTED


async def test_promise_10_an_override_does_not_get_past_the_stop_switch(blocked: Stage) -> None:
    row = await asked(blocked)
    await blocked.switch.stop(by="user:eve", reason="freeze", at=blocked.clock.now())
    await confirm(blocked, row)
    row = await blocked.drive(identity=row.id)
    assert (row.outcome, row.says) == (Outcome.REFUSED, "everything is stopped: stopped by user:eve: freeze")


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE])
async def test_promise_11_an_automatic_operation_never_overrides_whatever_its_record_says(blocked: Stage, mode: Mode) -> None:
    plan = (await blocked.desk.check(TARGET)).plan
    assert plan is not None
    await blocked.begin(mode=mode, confirmed=record.Confirmed(digest=plan.digest, names=(RULE,), reason="x", override=(RULE,)))
    row = await blocked.drive()
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
    assert SENTENCE in row.says


async def test_an_override_whose_time_passed_before_anything_was_written_overrides_nothing_and_is_not_told_so(blocked: Stage) -> None:
    row = await asked(blocked)
    await confirm(blocked, row)
    row = await blocked.drive(identity=row.id, until="act")
    blocked.clock.pass_(minutes=40)  # a restart that took long: the world is judged anew, by nobody's leave
    row = await blocked.drive(identity=row.id)
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
    assert "Overridden" not in (await blocked.messages())[-1]["text"]
    (completed,) = named(await blocked.trace(row.id), spans.COMPLETED)
    assert attribute(completed, spans.OVERRIDE_BY) is None
