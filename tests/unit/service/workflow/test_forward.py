"""Going forward under a hold, over a real store with the real rules; only the outside and the engine are fake."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain import keys, spans
from service.domain.facts import Absent
from service.domain.model import Actor, Mode, Operation, Outcome
from service.domain.planning.plan import Plan
from service.domain.policy import RecoveredWhen
from service.workflow import record
from tests.fakes.delivery import PROVE, RESTORE, RETURN, SYNC, UNMARK
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import QUICK, SLI, TARGET, Stage, attribute, named, orphans, roots

JANE = Actor(kind="user", name="jane")


def burns(stage: Stage, *keys_of_bad: str) -> None:
    """These releases fail; every other one is well."""
    stage.tell_series(SLI, lambda: 0.31 if stage.app.live.key in keys_of_bad else 0.001)


def plan_of(row: Operation) -> Plan:
    plan = record.load(row).plan
    assert plan is not None
    return plan


async def test_promise_7_a_fix_is_deployed_verified_and_ends_the_hold_with_auto_sync_as_it_was(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert (row.outcome, row.kind.value) == (Outcome.RECOVERED, "forward")
    assert stage.delivery.sent == [PROVE, SYNC, RESTORE]
    assert (stage.app.live.key, stage.app.auto_sync, stage.app.marker) == (made.FIX.key, True, "")
    ended = await stage.holds.load(hold.id)
    assert ended is not None
    assert ended.ended_by == "forward"
    assert ended.ended_because == f"release 44 (f1f1f1f) differs from what was held, is live, and was seen to be well ({row.id})"


async def test_promise_9_the_end_of_the_hold_is_in_the_audit_trail_of_all_it_concerns(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    row = await stage.went_forward()
    for subject in (row.id, hold.id, hold.operation_id):
        assert "hold_ended" in [one.kind for one in await stage.operations.events(subject)], subject


async def test_promise_9_it_has_a_trace_of_its_own_linked_to_the_rollback(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    row = await stage.went_forward()
    trace = await stage.trace(row.id)
    mine = [span for span in trace if span.trace_id.hex() == row.trace_id]
    (root,) = roots(mine)
    assert root.name == "forward prod:checkout 43→f1f1f1f"
    assert orphans(mine) == []
    assert [link.trace_id.hex() for link in root.links] == [spans.trace_id(hold.operation_id)]
    assert [attribute(span, spans.STEP) for span in mine if span.name.startswith(spans.ACT)] == [PROVE, SYNC, RESTORE]
    (end,) = named(trace, spans.HOLD_END)
    assert (attribute(end, spans.HOLD_ENDED_BY), len(end.links)) == ("forward", 2)


async def test_promise_10_a_release_that_went_forward_is_an_ordinary_one_and_may_be_suspect_later(stage: Stage) -> None:
    await stage.held()
    stage.push()
    await stage.went_forward()
    assert await stage.targets.handles_made_by_backout(TARGET) == ("43",)


@pytest.mark.parametrize(("mode", "outcome"), [(Mode.OBSERVE, Outcome.OBSERVED), (Mode.SUGGEST, Outcome.SUGGESTED)])
async def test_in_a_lower_mode_it_is_recorded_or_told_and_nothing_is_done(stage: Stage, mode: Mode, outcome: Outcome) -> None:
    await stage.held()
    stage.change(mode=mode)
    stage.push()
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert (row.outcome, row.mode, stage.delivery.sent) == (outcome, mode, [])
    assert await stage.hold() is not None
    assert await stage.keep() is None


async def test_in_mode_approve_a_person_decides_by_the_plans_digest(stage: Stage) -> None:
    await stage.held()
    stage.change(mode=Mode.APPROVE)
    stage.push()
    row = await stage.went_forward()
    assert row.phase == "awaiting_approval"
    offer = (await stage.messages())[-1]
    assert (offer["event"], offer["to"]) == ("approval_wanted", "f1f1f1f")
    body = {"digest": plan_of(row).digest, "names": [], "reason": ""}
    assert await stage.operations.decide(row.id, seq=row.seq, actor=JANE, approve=True, at=stage.clock.now(), body=body)
    done = await stage.drive(identity=row.id)
    assert (done.outcome, stage.app.live.key, await stage.hold()) == (Outcome.RECOVERED, made.FIX.key, None)


async def test_an_approval_is_void_when_another_release_is_desired_by_then(stage: Stage) -> None:
    await stage.held()
    stage.change(mode=Mode.APPROVE)
    stage.push()
    row = await stage.went_forward()
    other = replace(made.FIX, key="other", sources=(made.source("d" * 40),))
    stage.push(other, replace(made.FIX_IMAGE, digest="sha256:" + "7" * 64, reference="registry.example/shop/web@sha256:" + "7" * 64))
    body = {"digest": plan_of(row).digest, "names": [], "reason": ""}
    await stage.operations.decide(row.id, seq=row.seq, actor=JANE, approve=True, at=stage.clock.now(), body=body)
    stage.delivery.sent.clear()
    done = await stage.drive(identity=row.id)
    assert (done.outcome, stage.delivery.sent) == (Outcome.REFUSED, [])
    assert "the approval no longer holds" in done.says


async def test_promise_8_a_release_that_is_not_well_goes_back_once_and_is_held_too(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    burns(stage, made.FIX.key)
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert row.outcome is Outcome.NOT_RECOVERED
    assert stage.delivery.sent == [PROVE, SYNC, RETURN]
    assert (stage.app.live.key, stage.app.auto_sync) == (made.GOAL.key, False)
    now = await stage.hold()
    assert now is not None
    assert (now.id, now.held, now.remembered["auto_sync"]) == (hold.id, (made.SUSPECT.key, made.FIX.key), hold.remembered["auto_sync"])
    assert "release 43 (v2.4.6 · beef000) is live again" in row.says
    assert (await stage.messages())[-1]["title"] == "prod:checkout went forward, NOT well: back again"
    assert await stage.keep() is None
    assert len(await stage.targets.handles_made_by_backout(TARGET)) == 2


async def test_promise_7_what_only_the_failed_fix_has_is_bad_as_well_from_then_on(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    burns(stage, made.FIX.key)
    await stage.went_forward()
    await stage.keeper.round()
    told = {one.key: one.bad for one in await stage.holds.releases(hold.id)}
    assert {str(trait) for trait in (told[made.FIX.key] or told[made.SUSPECT.key]).traits} >= {str(made.FIX_IMAGE.exact)}  # type: ignore[union-attr]


async def test_harm_is_watched_for_the_bake_time_and_no_longer_for_all_was_well_before(stage: Stage) -> None:
    await stage.held()
    stage.change(recovered_when=replace(QUICK, give_up_after=timedelta(hours=2)))
    stage.push()
    burns(stage, made.FIX.key)
    row = await stage.went_forward()
    assert row.outcome is Outcome.NOT_RECOVERED
    assert row.done_at is not None
    assert row.done_at - row.created_at < timedelta(minutes=1)


async def test_promise_1_what_could_not_be_measured_goes_back_too(stage: Stage) -> None:
    await stage.held()
    stage.push()
    began = await stage.keep()
    assert began is not None
    row = await stage.drive(until="verify", identity=began.id)
    stage.facts.tell(keys.series(SLI), Absent("Prometheus is away"))
    row = await stage.drive(identity=began.id)
    assert (row.outcome, stage.app.live.key) == (Outcome.INCONCLUSIVE, made.GOAL.key)


async def test_with_nothing_to_measure_by_it_needs_a_person_and_then_stays(stage: Stage) -> None:
    await stage.held()
    nothing = RecoveredWhen(bake=QUICK.bake, scrape_interval=QUICK.scrape_interval, passes=2, give_up_after=timedelta(seconds=10))
    stage.change(recovered_when=nothing)
    stage.push()
    row = await stage.went_forward()
    assert row.phase == "awaiting_approval"
    findings = {one.rule: one.answer.word for one in plan_of(row).verdict.findings}
    assert findings["recovery_can_be_measured"] == "unknown"
    body = {"digest": plan_of(row).digest, "names": ["recovery_can_be_measured"], "reason": ""}
    await stage.operations.decide(row.id, seq=row.seq, actor=JANE, approve=True, at=stage.clock.now(), body=body)
    done = await stage.drive(identity=row.id)
    assert (done.outcome, stage.app.live.key) == (Outcome.INCONCLUSIVE, made.FIX.key)
    assert await stage.hold() is not None


async def test_a_sync_that_fails_goes_back_and_does_not_hold_the_fix(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    stage.delivery.fares[SYNC] = ["failed"]
    row = await stage.went_forward()
    assert (row.outcome, stage.delivery.sent[-1]) == (Outcome.FAILED, RETURN)
    now = await stage.hold()
    assert now is not None
    assert now.held == hold.held
    assert await stage.keep() is None


async def test_what_could_not_be_taken_back_is_told_loudly(stage: Stage) -> None:
    await stage.held()
    stage.push()
    burns(stage, made.FIX.key)
    stage.delivery.fares[RETURN] = ["refused"]
    row = await stage.went_forward()
    assert "it could not be taken back: the server said no; the hold stays, and a person is needed now" in row.says


async def test_promise_13_an_end_before_anything_was_measured_says_how_to_look_at_the_hold_and_the_target(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    stage.delivery.fares[SYNC] = ["refused"]
    row = await stage.went_forward()
    assert row.outcome is Outcome.FAILED
    _title, says, *lines = (await stage.messages())[-1]["text"].splitlines()
    assert (says, lines) == (
        f"{row.says}.",
        [f"What the hold waits for: backout holds show {hold.id}", "What is live, and what stands in the way now: backout check prod:checkout"],
    )


async def test_promise_7_auto_sync_waits_while_another_release_is_desired_by_then(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    began = await stage.keep()
    assert began is not None
    await stage.drive(until="verify", identity=began.id)
    newer = replace(made.FIX, key="newer", sources=(made.source("d" * 40),))
    stage.push(newer, made.FIX_IMAGE)
    stage.app.manifests[newer.key] = (made.rendered(),)
    row = await stage.drive(identity=began.id)
    assert row.outcome is Outcome.RECOVERED
    assert "the hold stays, for auto-sync was not given back: what is desired now is another release" in row.says
    assert (stage.app.auto_sync, (await stage.hold() or hold).id) == (False, hold.id)


async def test_promise_5_a_persons_own_fix_is_only_measured_and_ends_the_hold(stage: Stage) -> None:
    await stage.held()
    stage.push()
    now = stage.clock.now()
    stage.app.history.insert(0, replace(made.FIX, handle="44", started_at=now, deployed_at=now, by=JANE))
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [RESTORE])
    assert (await stage.hold(), stage.app.auto_sync) == (None, True)


@pytest.mark.parametrize("well", [True, False])
async def test_a_plan_that_a_person_carried_out_themselves_is_measured_once_and_ends_the_hold_if_it_is_well(stage: Stage, *, well: bool) -> None:
    await stage.held()
    stage.change(mode=Mode.SUGGEST)
    stage.push()
    offer = await stage.went_forward()
    now = stage.clock.now()
    stage.app.history.insert(0, replace(made.FIX, handle="44", started_at=now, deployed_at=now, by=JANE))
    stage.app.auto_sync = True
    if not well:
        burns(stage, made.FIX.key)
    row = await stage.went_forward()
    assert (offer.outcome, row.outcome) == (Outcome.SUGGESTED, Outcome.RECOVERED if well else Outcome.NOT_RECOVERED)
    assert (await stage.hold() is None, await stage.keep()) == (well, None)


async def test_promise_5_a_persons_fix_that_is_not_well_is_not_touched(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    now = stage.clock.now()
    stage.app.history.insert(0, replace(made.FIX, handle="44", started_at=now, deployed_at=now, by=JANE))
    burns(stage, made.FIX.key)
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert (row.outcome, stage.delivery.sent, stage.app.live.key) == (Outcome.NOT_RECOVERED, [], made.FIX.key)
    left = await stage.hold()
    assert left is not None
    assert left.held == hold.held


@pytest.mark.parametrize("mode", [Mode.SUGGEST, Mode.APPROVE, Mode.AUTO])
async def test_auto_sync_that_a_person_turned_on_with_their_fix_is_left_as_they_set_it(stage: Stage, mode: Mode) -> None:
    await stage.held()
    stage.change(mode=mode)
    stage.push()
    now = stage.clock.now()
    stage.app.history.insert(0, replace(made.FIX, handle="44", started_at=now, deployed_at=now, by=JANE))
    stage.app.auto_sync = True
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.RECOVERED, [UNMARK], None)


@pytest.mark.parametrize("mode", [Mode.SUGGEST, Mode.APPROVE, Mode.AUTO])
async def test_promise_1_a_persons_release_of_which_nobody_knows_whether_it_differs_ends_no_hold_by_itself(stage: Stage, mode: Mode) -> None:
    await stage.held()
    stage.change(mode=mode)
    stage.push()
    now = stage.clock.now()
    stage.app.history.insert(0, replace(made.FIX, handle="44", started_at=now, deployed_at=now, by=JANE))
    stage.app.auto_sync = True
    began = await stage.keep()
    assert began is not None
    del stage.app.manifests[made.FIX.key]  # it could be compared when the keeper looked, and no more when the rules are asked
    stage.change()  # which forgets what was read before
    row = await stage.drive(identity=began.id)
    assert row.outcome is not Outcome.RECOVERED
    assert await stage.hold() is not None


async def test_cancelling_while_it_is_measured_takes_it_back(stage: Stage) -> None:
    await stage.held()
    stage.push()
    began = await stage.keep()
    assert began is not None
    await stage.drive(until="verify", identity=began.id)
    assert await stage.operations.request_cancel(began.id, actor=JANE, reason="wrong one", at=stage.clock.now())
    row = await stage.drive(identity=began.id)
    assert (row.outcome, stage.app.live.key) == (Outcome.CANCELLED, made.GOAL.key)


async def test_a_hold_that_was_ended_meanwhile_is_nothing_to_act_under(stage: Stage) -> None:
    hold = await stage.held()
    stage.push()
    began = await stage.keep()
    assert began is not None
    await stage.drive(until="act", identity=began.id)
    stage.delivery.sent.clear()
    await stage.holds.end(hold.id, by="user:jane", because="mine", at=stage.clock.now())
    row = await stage.drive(identity=began.id)
    assert (row.outcome, stage.delivery.sent) == (Outcome.FAILED, [])
    assert "the hold has ended" in row.says


async def test_promise_12_everything_stopped_means_nothing_is_deployed(stage: Stage) -> None:
    await stage.held()
    stage.push()
    stage.stop_file.write_text("by jane")
    stage.delivery.sent.clear()
    row = await stage.went_forward()
    assert (row.outcome, stage.delivery.sent) == (Outcome.REFUSED, [])
