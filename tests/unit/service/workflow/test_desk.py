from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from service.domain import keys
from service.domain.errors import BusyError, ConflictError, NotFoundError, RefusedError, TemporaryError
from service.domain.facts import Absent, Fact, Key
from service.domain.model import Actor, Hold, Image, Json, Mode, Operation, Outcome, TargetId, Way
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Intention, Work
from service.domain.rule import Case
from service.domain.verdict import Answer
from service.workflow import record
from tests.fakes.delivery import BACK, RESTORE, UNMARK, FakeDelivery
from tests.fakes.store import operation
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import OTHER, TARGET, Stage, attribute, roots, spans

JANE = Actor(kind="user", name="jane")
UNKNOWN = "caches_stay_coherent"


# --- asking ---------------------------------------------------------------------------------------------------------------------


async def test_a_check_answers_with_verdict_and_plan_and_touches_nothing(stage: Stage) -> None:
    found = await stage.desk.check(TARGET)
    assert (found.verdict.worst, found.plan is not None) == (Answer.PASS, True)
    assert [one.rule for one in found.verdict.findings if one.rule == "alert_is_firing"] == []
    assert (stage.delivery.intended, await stage.operations.find()) == ([], ())


async def test_a_target_that_nobody_listed_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="there is no target prod:cart; backout targets lists them"):
        await stage.desk.check(TargetId("prod", "cart"))
    with pytest.raises(NotFoundError):
        await stage.desk.rollback(TargetId("prod", "cart"), JANE, digest="", names=(), reason="")


# --- a person's rollback -----------------------------------------------------------------------------------------------------------


async def test_a_rollback_without_a_digest_waits_for_an_approval(stage: Stage) -> None:
    operation = await stage.desk.rollback(TARGET, JANE, digest="", names=(), reason="it is slow")
    assert stage.engine.started == [Work(kind="operation", id=operation.id, seq=0)]
    assert (operation.mode, operation.automatic, operation.requested_by) == (Mode.APPROVE, False, JANE)
    row = await stage.drive(identity=operation.id)
    assert row.phase == "awaiting_approval"
    assert (await stage.events(operation.id))[0].says == "asked for by user:jane: it is slow"


async def test_a_rollback_with_the_shown_digest_is_carried_out(stage: Stage) -> None:
    shown = (await stage.desk.check(TARGET)).plan
    assert shown is not None
    operation = await stage.desk.rollback(TARGET, JANE, digest=shown.digest, names=(), reason="")
    row = await stage.drive(identity=operation.id)
    assert row.outcome is Outcome.RECOVERED
    assert len(roots(await stage.trace(operation.id))) == 1


async def test_promise_3_a_second_rollback_is_told_which_one_is_alive(stage: Stage) -> None:
    first = await stage.desk.rollback(TARGET, JANE, digest="", names=(), reason="")
    with pytest.raises(ConflictError, match=first.id):
        await stage.desk.rollback(TARGET, JANE, digest="", names=(), reason="")


# --- deciding ----------------------------------------------------------------------------------------------------------------------


async def waiting(stage: Stage) -> tuple[Operation, str]:
    await stage.begin(mode=Mode.APPROVE)
    row = await stage.drive()
    plan = record.load(row).plan
    assert plan is not None
    return row, plan.digest


async def decide(stage: Stage, *, digest: str = "", names: tuple[str, ...] = (), approve: bool = True, reason: str = "") -> Operation:
    return await stage.desk.decide("op_1", JANE, approve=approve, digest=digest, names=names, reason=reason)


async def test_an_approval_sets_the_operation_going(stage: Stage) -> None:
    row, digest = await waiting(stage)
    decided = await decide(stage, digest=digest)
    assert stage.engine.started == [Work(kind="operation", id="op_1", seq=row.seq + 1)]
    assert decided.phase == "decided"
    assert (await stage.drive()).outcome is Outcome.RECOVERED


@pytest.mark.parametrize("digest", ["", "sha256:0"])
async def test_promise_12_an_approval_without_the_plans_digest_is_not_taken(stage: Stage, digest: str) -> None:
    await waiting(stage)
    with pytest.raises(ConflictError, match="names the digest"):
        await decide(stage, digest=digest)
    assert (await stage.row()).phase == "awaiting_approval"


async def test_promise_12_an_approval_that_does_not_name_each_doubt_is_not_taken(stage: Stage) -> None:
    stage.change(declares=replace(made.POLICY.declares, cache=None))
    _, digest = await waiting(stage)
    with pytest.raises(RefusedError, match=f"missing: {UNKNOWN}"):
        await decide(stage, digest=digest, names=("something_else",))
    await decide(stage, digest=digest, names=(UNKNOWN,))


async def test_promise_12_an_approval_after_the_offer_ended_is_not_taken(stage: Stage) -> None:
    _, digest = await waiting(stage)
    stage.clock.pass_(minutes=30)
    with pytest.raises(ConflictError, match="the offer has ended"):
        await decide(stage, digest=digest)


async def test_the_second_decision_is_told_that_there_was_a_first(stage: Stage) -> None:
    _, digest = await waiting(stage)
    await decide(stage, digest=digest)
    with pytest.raises(ConflictError, match="does not wait for a decision"):
        await decide(stage, digest=digest, approve=False)


async def test_a_rejection_needs_no_digest(stage: Stage) -> None:
    await waiting(stage)
    await decide(stage, approve=False, reason="not now")
    assert (await stage.drive()).outcome is Outcome.REJECTED


async def test_what_is_not_there_cannot_be_decided_or_cancelled(stage: Stage) -> None:
    for act in (decide(stage), stage.desk.cancel("op_1", JANE, "")):
        with pytest.raises(NotFoundError, match="there is no operation op_1"):
            await act


# --- cancelling ----------------------------------------------------------------------------------------------------------------------


async def test_a_cancel_wakes_a_waiting_operation(stage: Stage) -> None:
    row, _ = await waiting(stage)
    await stage.desk.cancel("op_1", JANE, "")
    assert stage.engine.started == [Work(kind="operation", id="op_1", seq=row.seq + 1)]
    ended = await stage.step()
    assert (ended.outcome, ended.says) == (Outcome.CANCELLED, "cancelled by user:jane: no reason given; nothing was changed")


async def test_promise_3_a_cancel_starts_no_second_segment_beside_the_running_one(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    await stage.desk.cancel("op_1", JANE, "wrong one")
    assert stage.engine.started == [Work(kind="operation", id="op_1", seq=0)]  # the id that runs already: the engine runs it once


async def test_a_cancel_counts_once_and_never_after_the_end(stage: Stage) -> None:
    await stage.begin()
    await stage.desk.cancel("op_1", JANE, "x")
    with pytest.raises(ConflictError, match="is being cancelled already"):
        await stage.desk.cancel("op_1", JANE, "x")
    await stage.drive()
    with pytest.raises(ConflictError, match="has ended"):
        await stage.desk.cancel("op_1", JANE, "x")


# --- the end of a hold ------------------------------------------------------------------------------------------------------------------


async def held(stage: Stage) -> Hold:
    """Rolled back and held; Git still wants the bad release."""
    assert (await stage.recovered()).outcome is Outcome.RECOVERED
    stage.app.desired_revision, stage.app.desired = made.SUSPECT.revision, made.SUSPECT
    await stage.keeper.round()  # which writes down what only the bad release has
    stage.app.desired = None
    hold = await stage.hold()
    assert hold is not None
    stage.delivery.sent.clear()
    return hold


async def end(stage: Stage, hold: Hold, **choices: Any) -> Hold:
    given = {"leave_auto_sync_off": False, "accept_bad": False, **choices}
    return await stage.desk.end_hold(hold.id, JANE, reason="fixed", **given)


async def test_promise_7_a_hold_does_not_end_while_the_bad_release_would_come_back(stage: Stage) -> None:
    hold = await held(stage)
    with pytest.raises(RefusedError, match="release a fix first"):
        await end(stage, hold)
    assert (await stage.hold() is not None, stage.delivery.sent) == (True, [])


@pytest.mark.parametrize(("image", "ends"), [("9", True), (None, False)])
async def test_the_same_revision_with_other_parameters_ends_a_hold_only_if_it_differs_where_the_bad_release_did(
    stage: Stage, image: str | None, ends: bool
) -> None:
    hold = await held(stage)
    fix = replace(made.SUSPECT, key="key-45", sources=tuple(replace(source, parameters="sha256:new") for source in made.SUSPECT.sources))
    bad = stage.app.images[made.SUSPECT.key]
    stage.app.desired, stage.app.desired_revision = fix, made.SUSPECT.revision
    stage.app.images[fix.key] = replace(bad, digest="sha256:" + image * 64) if image else bad
    if ends:
        assert (await end(stage, hold)).ended_because == "fixed"
        return
    with pytest.raises(RefusedError, match="what is desired is another release, but compared with release 42"):
        await end(stage, hold)


async def test_promise_7_a_hold_ends_when_a_fix_is_desired_and_auto_sync_is_given_back(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    ended = await end(stage, hold)
    assert (ended.ended_by, ended.ended_because, await stage.hold()) == ("user:jane", "fixed", None)
    assert (stage.delivery.sent, stage.app.auto_sync) == ([RESTORE], True)
    last = (await stage.events())[-1]
    assert (last.kind, last.says) == ("hold_ended", "hold ended by user:jane: fixed (done: give auto-sync back)")


async def test_a_person_may_say_that_the_bad_release_may_come_back(stage: Stage) -> None:
    hold = await held(stage)
    await end(stage, hold, accept_bad=True)
    assert (stage.app.auto_sync, await stage.hold()) == (True, None)


async def test_a_person_may_end_the_hold_and_leave_auto_sync_off(stage: Stage) -> None:
    hold = await held(stage)
    assert stage.app.marker
    await end(stage, hold, leave_auto_sync_off=True)
    assert (stage.app.auto_sync, stage.delivery.sent, await stage.hold()) == (False, [UNMARK], None)
    assert stage.app.marker == ""  # a mark that no hold explains would bar every later rollback
    assert (await stage.events())[-1].says.endswith("(auto-sync left as it is)")


async def test_a_mark_of_somebody_else_is_left_alone_at_the_end_of_a_hold(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.marker = "operation=op_99 suspect=x goal=y"
    await end(stage, hold, leave_auto_sync_off=True)
    assert (stage.app.marker, stage.delivery.sent) == ("operation=op_99 suspect=x goal=y", [])


async def test_a_mark_that_nobody_can_look_at_is_told_at_the_end_of_a_hold(stage: Stage) -> None:
    hold = await held(stage)
    stage.delivery.trouble["read"] = TemporaryError("503")
    await end(stage, hold, leave_auto_sync_off=True)
    assert (await stage.events())[-1].says.endswith("(auto-sync left as it is; the mark on the target may still be there: 503)")


async def test_promise_1_when_nobody_knows_what_would_come_back_the_hold_stays(stage: Stage) -> None:
    hold = await held(stage)
    stage.delivery.trouble["read"] = TemporaryError("503")
    with pytest.raises(RefusedError, match="what would come back is unknown: 503"):
        await end(stage, hold, accept_bad=True)
    await end(stage, hold, leave_auto_sync_off=True)
    assert await stage.hold() is None


@pytest.mark.parametrize("fare", ["refused", "failed", "foreign", "running"])
async def test_promise_7_a_hold_stays_when_auto_sync_cannot_be_given_back(stage: Stage, fare: str) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    stage.delivery.fares[RESTORE] = [fare]
    with pytest.raises(RefusedError, match="auto-sync"):
        await end(stage, hold)
    assert await stage.hold() is not None


async def test_promise_5_auto_sync_that_somebody_changed_meanwhile_is_not_touched(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision, stage.app.auto_sync = "f1f1", True
    with pytest.raises(RefusedError, match="not as Backout left it"):
        await end(stage, hold)


async def test_a_target_without_auto_sync_loses_its_mark_with_the_hold(stage: Stage) -> None:
    stage.app.auto_sync = False
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    assert stage.app.marker
    await end(stage, hold)
    assert (stage.app.marker, stage.delivery.sent, await stage.hold()) == ("", [UNMARK], None)
    assert (await stage.events())[-1].says.endswith("(there was no auto-sync to give back)")


async def test_a_mark_that_cannot_be_taken_off_does_not_keep_the_hold(stage: Stage) -> None:
    stage.app.auto_sync = False
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    stage.delivery.fares[UNMARK] = ["refused"]
    await end(stage, hold)
    assert await stage.hold() is None
    assert "the mark on the target may still be there: the server said no" in (await stage.events())[-1].says


async def test_promise_9_the_end_of_a_hold_is_a_trace_of_its_own_linked_to_the_operation(stage: Stage) -> None:
    hold = await held(stage)
    await end(stage, hold, accept_bad=True)
    last = (await stage.trace())[-1]
    assert (last.name, attribute(last, spans.HOLD_ID)) == (spans.HOLD_END, hold.id)
    assert not last.parent_span_id
    assert last.trace_id.hex() != (await stage.row()).trace_id
    assert [link.trace_id.hex() for link in last.links] == [(await stage.row()).trace_id]


async def test_a_hold_ends_once(stage: Stage) -> None:
    hold = await held(stage)
    await end(stage, hold, leave_auto_sync_off=True)
    with pytest.raises(ConflictError, match="was ended by user:jane"):
        await end(stage, hold)
    with pytest.raises(NotFoundError, match="there is no hold hld_0"):
        await end(stage, replace(hold, id="hld_0"))


async def test_a_hold_of_an_instance_that_is_configured_no_more_is_refused(stage: Stage) -> None:
    hold = await held(stage)
    stage.deliveries.clear()
    with pytest.raises(RefusedError, match="not configured any more"):
        await end(stage, hold)


# --- what bars the end of a hold ---------------------------------------------------------------------------------------------------------


class Rendering(FakeDelivery):
    """Renders what is desired too, and may not know which revision that is."""

    desired: tuple[Image, ...] | Absent = ()
    revision_known = True

    @property
    def kinds(self) -> frozenset[str]:
        return super().kinds | {"desired images"}

    async def look(self, target: TargetId) -> keys.TargetState:
        found = await super().look(target)
        return found if self.revision_known else replace(found, desired_revision="")

    async def read(self, key: Key[Any]) -> Fact[Any]:
        if key.kind != "desired images":
            return await super().read(key)
        return self.desired if isinstance(self.desired, Absent) else made.known(self.desired)


def rendering(stage: Stage, *desired: Image) -> Rendering:
    found = Rendering(stage.clock, TARGET, stage.app)
    found.desired, found.fates, found.sent = desired, stage.delivery.fates, stage.delivery.sent
    stage.deliveries["prod"] = found
    return found


async def again(stage: Stage, *, revision: str = "d00d" + "0" * 36, handle: str = "44", fare: str = "done", auto_sync: bool = False) -> Operation:
    """Under the open hold a person released something new, which is bad too; and took it back by hand. Answers that operation when it has ended."""
    stage.clock.pass_(minutes=30)
    newer = made.release(handle, version="v2.5.1", revision=revision, started_at=stage.clock.now())
    stage.app.history.insert(0, newer)
    stage.app.images[newer.key] = Image(reference="registry.example/shop/web:2.5.1", digest="sha256:" + "8" * 64, proof="pods")
    stage.app.auto_sync, stage.app.desired_revision = auto_sync, revision
    await stage.watcher.look(TARGET)
    stage.delivery.fares[BACK] = [fare]
    return await by_hand(stage)


async def by_hand(stage: Stage) -> Operation:
    """A person's rollback that names every doubt; the row when it has ended."""
    plan = (await stage.desk.check(TARGET)).plan
    assert plan is not None
    names = [f.rule for f in plan.verdict.findings if f.answer and not f.waived]
    operation = await stage.desk.rollback(TARGET, JANE, digest=plan.digest, names=names, reason="bad too")
    return await stage.drive(identity=operation.id)


async def test_promise_7_a_second_rollback_under_an_open_hold_joins_it(stage: Stage) -> None:
    first = await held(stage)
    second = await again(stage)
    assert (second.outcome, stage.app.live.key) == (Outcome.RECOVERED, made.GOAL.key)
    hold = await stage.hold()
    assert hold is not None
    assert (hold.id, hold.operation_id, hold.opened_at) == (first.id, "op_1", first.opened_at)
    assert hold.held == (made.SUSPECT.key, "key-44")
    assert hold.remembered == {**first.remembered, "revisions": [made.SUSPECT.revision, "d00d" + "0" * 36]}
    assert record.load(second).hold_id == first.id
    assert f"backout holds end {first.id}" in (await stage.messages())[-1]["text"]


class PinsNow(FakeDelivery):
    """Since somebody else owns the spec a pin is all that stays."""

    def offers(self, case: Case) -> tuple[Offer, ...]:
        (back,) = super().offers(case)
        return (replace(back, way=Way.PIN, steps=(replace(back.steps[-1], undo=Step(name=RESTORE, says="follow the branch again")),)),)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        return {**await super().intend(step, intention), **({"remembered": {"follows": ["main"]}} if step.name == BACK else {})}


async def test_promise_7_the_end_of_a_hold_takes_back_each_kind_of_change_that_was_made_under_it_the_newest_first(stage: Stage) -> None:
    await held(stage)
    stage.app.auto_sync = True  # somebody turned it on, and what came was bad again
    pins = PinsNow(stage.clock, TARGET, stage.app)
    stage.deliveries["prod"] = pins
    told: list[tuple[str, str, bool]] = []

    class Tells(PinsNow):
        async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
            told.append((step.says, intention.operation_id, bool(step.parameters["accept_bad"])))
            stage.app.auto_sync = False
            return await super().intend(step, intention)

    second = await again(stage, auto_sync=True)
    hold = await stage.hold()
    assert hold is not None
    stage.deliveries["prod"] = Tells(stage.clock, TARGET, stage.app)
    stage.app.desired_revision = "f1f1"
    await end(stage, hold, accept_bad=True)
    assert second.first_effect_at is not None
    assert told == [("follow the branch again", second.id, True), ("give auto-sync back", "op_1", True)]


async def test_promise_7_a_second_rollback_that_was_refused_takes_only_its_own_release_out_of_the_hold(stage: Stage) -> None:
    first = await held(stage)
    second = await again(stage, fare="refused")
    assert second.outcome is Outcome.FAILED
    assert second.first_effect_at is not None
    hold = await stage.hold()
    assert hold is not None
    assert (hold.id, hold.held, hold.closed_at) == (first.id, (made.SUSPECT.key,), None)


@pytest.mark.parametrize("bad", [made.SUSPECT.revision, "d00d" + "0" * 36])
async def test_promise_7_a_hold_does_not_end_while_any_of_its_releases_would_come_back(stage: Stage, bad: str) -> None:
    await held(stage)
    await again(stage)
    hold = await stage.hold()
    assert hold is not None
    stage.app.desired_revision = bad
    stage.delivery.sent.clear()
    with pytest.raises(RefusedError, match="the desired revision is still one that was rolled back"):
        await end(stage, hold)
    assert (await stage.hold() is not None, stage.delivery.sent) == (True, [])


async def test_promise_3_a_hold_does_not_end_while_an_operation_works_on_the_target(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    await stage.begin(identity="op_2", mode=Mode.APPROVE)
    for choice in ({}, {"accept_bad": True}, {"leave_auto_sync_off": True}):
        with pytest.raises(BusyError, match="operation op_2 works on prod:checkout now"):
            await end(stage, hold, **choice)
    assert (await stage.hold() is not None, stage.delivery.sent) == (True, [])
    await stage.desk.cancel("op_2", JANE, "first the hold")
    await stage.drive(identity="op_2")
    await end(stage, hold)
    assert await stage.hold() is None


@pytest.mark.parametrize("leave_auto_sync_off", [False, True])
async def test_promise_7_an_operation_that_begins_while_a_hold_is_being_ended_keeps_it(stage: Stage, *, leave_auto_sync_off: bool) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"

    class Slow(FakeDelivery):
        async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
            found = await super().intend(step, intention)
            await stage.begin(identity="op_2", mode=Mode.APPROVE)  # an alert, in the seconds that the delivery system takes
            return found

    slow = Slow(stage.clock, TARGET, stage.app)
    stage.deliveries["prod"] = slow
    with pytest.raises(BusyError, match="operation op_2 works on prod:checkout now"):
        await end(stage, hold, leave_auto_sync_off=leave_auto_sync_off)
    assert (await stage.hold() is not None, slow.sent, stage.app.auto_sync) == (True, [], False)


async def test_an_operation_on_another_target_is_not_in_the_way_of_the_end_of_a_hold(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    row = operation("op_2", target=OTHER, mode=Mode.APPROVE, data=record.dump(record.Rollback()))
    await stage.operations.begin(row, (), ())
    await end(stage, hold)
    assert await stage.hold() is None


@pytest.mark.parametrize("choice", [{}, {"accept_bad": True}])
async def test_promise_10_while_everything_is_stopped_no_end_of_a_hold_writes_to_the_target(stage: Stage, choice: dict[str, bool]) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    with pytest.raises(RefusedError, match="everything is stopped: stopped by user:joe: freeze"):
        await end(stage, hold, **choice)
    assert (await stage.hold() is not None, stage.delivery.sent) == (True, [])
    await end(stage, hold, leave_auto_sync_off=True)
    assert (await stage.hold(), stage.delivery.sent, stage.app.auto_sync) == (None, [], False)


async def test_promise_1_a_hold_does_not_end_while_it_is_not_known_which_revision_is_desired(stage: Stage) -> None:
    hold = await held(stage)
    delivery = rendering(stage, made.OLD_IMAGE)
    delivery.revision_known = False
    with pytest.raises(RefusedError, match="which revision is desired is not known"):
        await end(stage, hold)
    assert (await stage.hold() is not None, delivery.sent) == (True, [])


async def test_promise_7_a_newer_commit_that_still_has_the_bad_image_is_still_bad(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    rendering(stage, made.NEW_IMAGE, Image(reference="registry.example/mesh/proxy:1"))
    with pytest.raises(RefusedError, match=r"is another release, but compared with release 42 .* it still has registry\.example/shop/web@sha256:4"):
        await end(stage, hold)
    assert await stage.hold() is not None


async def test_promise_7_one_field_of_configuration_that_only_the_bad_release_has_is_enough(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    stage.app.manifests[made.GOAL.key] = (made.rendered(replicas="3"),)
    delivery = rendering(stage, made.OLD_IMAGE)
    with pytest.raises(RefusedError, match=r"it still has apps/Deployment shop/web spec\.replicas, and differs in"):
        await end(stage, hold)
    assert (await stage.hold() is not None, delivery.sent) == (True, [])
    stage.app.manifests[made.GOAL.key] = (made.rendered(),)
    await end(stage, hold)
    assert await stage.hold() is None


async def test_promise_1_a_hold_whose_bad_release_was_never_compared_does_not_end_by_itself(stage: Stage) -> None:
    assert (await stage.recovered()).outcome is Outcome.RECOVERED
    stage.app.desired_revision = "f1f1"
    hold = await stage.hold()
    assert hold is not None
    with pytest.raises(RefusedError, match=r"what only release 42 .* has is not known yet"):
        await end(stage, hold)
    await end(stage, hold, accept_bad=True)
    assert await stage.hold() is None


async def test_promise_1_what_is_desired_and_cannot_be_rendered_keeps_the_hold(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    rendering(stage).desired = Absent("the manifests do not render")
    with pytest.raises(RefusedError, match=r"is unknown: compared with release 42 .* its images are not known"):
        await end(stage, hold)


async def test_a_hold_ends_when_what_is_desired_has_none_of_the_bad_images(stage: Stage) -> None:
    hold = await held(stage)
    stage.app.desired_revision = "f1f1"
    delivery = rendering(stage, made.FIX_IMAGE)
    await end(stage, hold)
    assert (await stage.hold(), delivery.sent) == (None, [RESTORE])


async def test_promise_1_a_target_of_an_instance_that_is_configured_no_more_has_no_plan_and_is_not_acted_on(stage: Stage) -> None:
    stage.deliveries.clear()
    found = await stage.desk.check(TARGET)
    assert (found.plan, found.verdict.worst is Answer.PASS) == (None, False)
    begun = await stage.desk.rollback(TARGET, JANE, digest="", names=(), reason="")
    row = await stage.drive(identity=begun.id)
    assert (row.outcome, row.first_effect_at) == (Outcome.REFUSED, None)
