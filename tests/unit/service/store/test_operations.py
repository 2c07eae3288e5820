from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.domain.chain import verify
from service.domain.errors import ConflictError, NotFoundError, UnavailableError
from service.domain.model import Actor, Hold, Operation, Outcome, TargetId
from service.domain.ports import AuditEvent, HoldChange, Message, Placement, SpanDraft, Transition, Work
from service.store import tables as t
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.holds import HoldStore
from service.store.operations import OperationStore, new_id
from tests.fakes.clock import START
from tests.fakes.hand_over import FakeEngine
from tests.fakes.store import TARGET, breaks, delivery, notice, operation

JANE = Actor(kind="user", name="jane")
LATER = START + timedelta(minutes=1)
OTHER = TargetId("prod", "cart")


def event(kind: str = "noted", says: str = "something happened", **body: Any) -> AuditEvent:
    return AuditEvent(kind=kind, says=says, at=START, body=body)


def span(name: str = "verdict", says: str = "pass") -> SpanDraft:
    return SpanDraft(path=(name,), name=name, started_at=START, ended_at=LATER, says=says)


def hold(identity: str = "hld_1", *held: str, remembered: Any = None) -> HoldChange:
    opened = Hold(
        id=identity,
        target=TARGET,
        operation_id="op_1",
        opened_at=START,
        reason="rolled back",
        review_at=START + timedelta(days=7),
        owner="alert:HighErrorRate",
        held=held or ("key-42",),
        remembered=remembered or {"stopped": True},
    )
    return HoldChange(open=opened)


def step(phase: str = "act", **changes: Any) -> Transition:
    return Transition(phase=phase, data={"schema": 1}, **changes)


async def begun(operations: OperationStore, one: Operation | None = None) -> Operation:
    return await operations.begin(one or operation(), (event("accepted", "an alert"),), ())


async def now(operations: OperationStore, identity: str = "op_1") -> Operation:
    row = await operations.load(identity)
    assert row is not None
    return row


async def everything(database: Database) -> dict[str, list[Any]]:
    """All rows of all tables: what a transition may change, and what it may not."""
    async with database.read() as connection:
        return {name: [tuple(row) for row in await connection.execute(sa.select(table))] for name, table in t.metadata.tables.items()}


# --- beginning ---------------------------------------------------------------------------------------------------------


async def test_an_operation_comes_back_as_it_was_put(operations: OperationStore) -> None:
    full = operation(
        incident_id="inc_1", suspect_key="k42", goal_key="k41", first_effect_at=LATER, act_before=LATER, outcome=Outcome.FAILED, says="so it was", done_at=LATER
    )
    await begun(operations, full)
    assert await now(operations) == full


async def test_promise_3_one_operation_is_alive_per_target_and_the_second_is_told_its_id(operations: OperationStore) -> None:
    await begun(operations)
    with pytest.raises(ConflictError, match=r"^op_1$"):
        await begun(operations, operation("op_2", automatic=False))
    assert await operations.load("op_2") is None
    assert await operations.events("op_2") == ()


async def test_an_ended_operation_makes_room_for_the_next(operations: OperationStore) -> None:
    first = await begun(operations)
    assert await operations.commit(first, step("ended", done=Outcome.REFUSED), START)
    await begun(operations, operation("op_2", created_at=LATER))
    assert [one.id for one in await operations.alive()] == ["op_2"]
    assert [one.id for one in await operations.find(target=str(TARGET))] == ["op_2", "op_1"]
    assert [one.id for one in await operations.find(alive=False)] == ["op_1"]
    assert [one.id for one in await operations.find(alive=True)] == ["op_2"]


async def test_operations_of_two_targets_live_side_by_side(operations: OperationStore) -> None:
    await begun(operations)
    await begun(operations, operation("op_2", target=OTHER))
    assert len(await operations.alive()) == 2


async def test_a_beginning_whose_first_row_cannot_be_written_is_none(operations: OperationStore) -> None:
    broken = replace(span(), attributes={"x": {"no": "scalar"}})  # type: ignore[dict-item]  # what no span can carry
    with pytest.raises(TypeError):
        await operations.begin(operation(), (event(),), (broken,))
    assert await operations.load("op_1") is None


async def test_promise_2_the_alerts_that_an_operation_takes_up_are_marked_in_the_commit_that_begins_it(operations: OperationStore, database: Database) -> None:
    alerts = AlertStore(database)
    (one,) = await alerts.undecided(await alerts.accept(delivery(notice())))
    await operations.begin(operation(), (), (), [one])
    with pytest.raises(ConflictError):
        await operations.begin(operation("op_2", target=OTHER), (), (), [one])
    assert await operations.load("op_2") is None
    async with database.read() as connection:
        assert (await connection.execute(sa.select(t.episode.c.covered_by))).scalar_one() == "op_1"


async def test_promise_2_an_operation_that_has_ended_takes_up_no_further_alert(operations: OperationStore, database: Database) -> None:
    alerts = AlertStore(database)
    (one,) = await alerts.undecided(await alerts.accept(delivery(notice())))
    row = await begun(operations)
    await operations.commit(row, step("ended", done=Outcome.REFUSED), START)
    before = await everything(database)
    with pytest.raises(ConflictError):
        await operations.append("op_1", (event("joined"),), (), (), LATER, [one])
    assert await everything(database) == before


# --- compare and swap ---------------------------------------------------------------------------------------------------


async def test_a_commit_moves_the_row_and_counts_its_revision(operations: OperationStore) -> None:
    row = await begun(operations)
    assert await operations.commit(row, step(says="going back", suspect_key="k42", goal_key="k41", act_before=LATER), LATER)
    after = await now(operations)
    assert (after.phase, after.rev, after.seq, after.updated_at) == ("act", 1, 0, LATER)
    assert (after.says, after.suspect_key, after.goal_key, after.act_before) == ("going back", "k42", "k41", LATER)
    await operations.commit(after, step("act_send"), LATER)
    kept = await now(operations)
    assert (kept.says, kept.suspect_key, kept.goal_key, kept.act_before) == ("going back", "k42", "k41", LATER)


async def test_promise_3_of_two_that_commit_from_the_same_row_the_second_changes_nothing(operations: OperationStore, database: Database) -> None:
    row = await begun(operations)
    assert await operations.commit(row, step(events=(event("first"),)), START)
    before = await everything(database)
    lost = step("take_back", events=(event("second"),), spans=(span(),), messages=(Message(channel="notify:x", key="k", body={}),), hold=hold())
    assert not await operations.commit(row, lost, START)
    assert await everything(database) == before


@pytest.mark.parametrize("stale", [{"seq": 1}, {"rev": 1}])
async def test_a_commit_from_another_seq_or_revision_is_refused(operations: OperationStore, stale: dict[str, int]) -> None:
    row = await begun(operations)
    assert not await operations.commit(replace(row, **stale), step(), START)  # type: ignore[arg-type]  # seq or rev
    assert (await now(operations)).phase == "begin"


async def test_an_ended_operation_does_not_move_any_more(operations: OperationStore) -> None:
    row = await begun(operations)
    await operations.commit(row, step("ended", done=Outcome.EXPIRED), START)
    assert not await operations.commit(replace(row, rev=1), step(), START)
    assert await operations.bump([replace(row, rev=1)]) == []
    assert (await now(operations)).outcome is Outcome.EXPIRED


async def test_a_bump_gives_a_new_seq_unless_the_row_moved(operations: OperationStore) -> None:
    row = await begun(operations)
    assert await operations.bump([row]) == [row]
    assert await operations.bump([row]) == []
    after = await now(operations)
    assert (after.seq, after.rev) == (1, 1)


# --- at most once --------------------------------------------------------------------------------------------------------


async def test_promise_3_an_automatic_effect_on_a_suspect_happens_once_for_ever(operations: OperationStore, database: Database) -> None:
    first = await begun(operations)
    await operations.commit(first, step(suspect_key="k42", first_effect=True), START)
    await operations.commit(await now(operations), step("ended", done=Outcome.FAILED), START)
    second = await begun(operations, operation("op_2"))
    await operations.commit(second, step(suspect_key="k42"), START)
    before = await everything(database)
    with pytest.raises(ConflictError, match="already acted on this release"):
        await operations.commit(await now(operations, "op_2"), step("act_send", first_effect=True, events=(event("intent"),), hold=hold()), START)
    assert await everything(database) == before


async def test_a_try_without_an_effect_does_not_bar_the_next(operations: OperationStore) -> None:
    first = await begun(operations)
    await operations.commit(first, step("ended", suspect_key="k42", done=Outcome.EXPIRED), START)
    second = await begun(operations, operation("op_2"))
    assert await operations.commit(second, step("act_send", suspect_key="k42", first_effect=True), LATER)
    assert (await now(operations, "op_2")).first_effect_at == LATER


async def test_a_person_may_try_again_where_automation_may_not(operations: OperationStore) -> None:
    first = await begun(operations)
    await operations.commit(first, step("ended", suspect_key="k42", first_effect=True, done=Outcome.FAILED), START)
    second = await begun(operations, operation("op_2", automatic=False))
    assert await operations.commit(second, step(suspect_key="k42", first_effect=True), START)


async def test_the_first_effect_keeps_its_time(operations: OperationStore) -> None:
    row = await begun(operations)
    await operations.commit(row, step(first_effect=True), START)
    await operations.commit(await now(operations), step(first_effect=True), LATER)
    assert (await now(operations)).first_effect_at == START


# --- one transaction -----------------------------------------------------------------------------------------------------


async def incident(database: Database) -> str:
    alerts = AlertStore(database)
    (one,) = await alerts.undecided(await alerts.accept(delivery(notice())))
    (opened,) = await alerts.place((Placement(episode=one, disposition="placed", says="", target=TARGET, rung="label"),), START)
    await alerts.accept(delivery(replace(notice(), firing=False, ends_at=START + timedelta(minutes=1))))  # over: it keeps nothing open
    return opened.id


async def test_promise_9_rows_spans_messages_hold_and_the_incidents_end_come_in_one_transaction(operations: OperationStore, database: Database) -> None:
    identity = await incident(database)
    row = await begun(operations, operation(incident_id=identity))
    told = step(
        "ended",
        events=(event("a"), event("b")),
        spans=(span("verdict"), span("decide")),
        messages=(Message(channel="notify:on-call", key="op_1/end", body={"title": "é"}),),
        hold=hold(),
        done=Outcome.RECOVERED,
        incident_outcome="recovered",
    )
    assert await operations.commit(row, told, LATER)
    kept = await everything(database)
    assert [one.kind for one in await operations.events("op_1")] == ["accepted", "a", "b"]
    assert len(await operations.span_bodies("op_1")) == 2
    assert [row[1] for row in kept["outbox"]] == ["trace", "trace", "notify:on-call"]
    assert kept["outbox"][2][3] == '{"title": "é"}'.encode()
    assert len(kept["hold"]) == 1
    closed = await AlertStore(database).incident(identity)
    assert closed is not None
    assert (closed.outcome, closed.closed_at) == ("recovered", LATER)


@pytest.mark.parametrize("at", ["event", "span", "outbox", "hold", "held_release", "incident", "hand over"])
async def test_promise_9_trouble_at_any_part_of_a_transition_takes_all_of_it_back(
    operations: OperationStore, database: Database, engine: FakeEngine, at: str
) -> None:
    identity = await incident(database)
    row = await begun(operations, operation(incident_id=identity))
    if at == "hand over":
        engine.broken = UnavailableError("the engine is not running")
    else:
        await breaks(database, at, "UPDATE" if at == "incident" else "INSERT")
    before = await everything(database)
    waits = {"wait": timedelta(minutes=1)} if at == "hand over" else {"done": Outcome.RECOVERED, "incident_outcome": "recovered"}
    told = step(events=(event(),), spans=(span(),), messages=(Message(channel="notify:x", key="k", body={}),), hold=hold(), **waits)
    with pytest.raises((ConflictError, UnavailableError)):
        await operations.commit(row, told, LATER)
    assert await everything(database) == before


async def test_an_incident_stays_open_when_the_operation_ends_without_recovery(operations: OperationStore, database: Database) -> None:
    identity = await incident(database)
    row = await begun(operations, operation(incident_id=identity))
    await operations.commit(row, step("ended", done=Outcome.NOT_RECOVERED), LATER)
    assert [one.id for one in await AlertStore(database).open_incidents()] == [identity]
    latest = await operations.latest(identity)
    assert latest is not None
    assert latest.id == "op_1"
    assert await operations.latest("inc_0") is None


# --- waiting ---------------------------------------------------------------------------------------------------------------


async def test_a_short_wait_is_the_segments_own(operations: OperationStore, engine: FakeEngine) -> None:
    await operations.commit(await begun(operations), step(wait=timedelta(seconds=5)), START)
    assert engine.delayed == []
    assert (await now(operations)).seq == 0


async def test_a_long_wait_is_a_delayed_segment_under_the_next_seq(operations: OperationStore, engine: FakeEngine) -> None:
    await operations.commit(await begun(operations), step("stuck", wait=timedelta(seconds=15)), START)
    assert engine.delayed == [(Work(kind="operation", id="op_1", seq=1), timedelta(seconds=15))]
    assert (await now(operations)).seq == 1


async def test_waiting_for_a_person_is_delayed_until_the_deadline(operations: OperationStore, engine: FakeEngine) -> None:
    await operations.commit(await begun(operations), step("awaiting_approval", until_person=START + timedelta(minutes=30)), START)
    assert engine.delayed == [(Work(kind="operation", id="op_1", seq=1), timedelta(minutes=30))]


async def test_what_waits_is_due_only_when_its_time_is_over(operations: OperationStore) -> None:
    await operations.commit(await begun(operations), step("stuck", wait=timedelta(seconds=15)), START)
    await begun(operations, operation("op_2", target=OTHER))
    assert [one.id for one in await operations.due(START)] == ["op_2"]
    assert [one.id for one in await operations.due(START + timedelta(seconds=16))] == ["op_1", "op_2"]


async def test_what_ended_is_never_due(operations: OperationStore) -> None:
    await operations.commit(await begun(operations), step("ended", done=Outcome.REFUSED), START)
    assert await operations.due(START + timedelta(days=1)) == ()


# --- people ------------------------------------------------------------------------------------------------------------------


async def waiting(operations: OperationStore) -> Operation:
    await operations.commit(await begun(operations), step("awaiting_approval", until_person=START + timedelta(minutes=30)), START)
    return await now(operations)


async def decided(operations: OperationStore, seq: int, *, approve: bool = True, **body: Any) -> bool:
    return await operations.decide("op_1", seq=seq, actor=JANE, approve=approve, at=LATER, body=body)


async def test_the_first_decision_counts_and_the_second_is_told_so(operations: OperationStore) -> None:
    row = await waiting(operations)
    assert await decided(operations, row.seq, digest="sha256:1", names=["a"], reason="looks right")
    assert not await decided(operations, row.seq, approve=False)
    after = await now(operations)
    assert (after.phase, after.seq) == ("decided", row.seq + 1)
    approval = await operations.approval("op_1")
    assert approval is not None
    assert (approval["actor_kind"], approval["actor_name"], approval["approve"]) == ("user", "jane", True)
    assert approval["body"] == {"digest": "sha256:1", "names": ["a"], "reason": "looks right"}
    last = (await operations.events("op_1"))[-1]
    assert (last.kind, last.says) == ("approved", "approved by user:jane: looks right")


async def test_a_decision_wakes_the_operation(operations: OperationStore) -> None:
    row = await waiting(operations)
    assert await operations.due(LATER) == ()
    await decided(operations, row.seq, approve=False)
    assert [one.id for one in await operations.due(LATER)] == ["op_1"]


async def test_a_decision_for_another_seq_or_phase_is_not_taken(operations: OperationStore) -> None:
    row = await waiting(operations)
    assert not await decided(operations, row.seq - 1)
    await decided(operations, row.seq)
    assert not await decided(operations, row.seq + 1)
    assert await operations.approval("op_0") is None


async def test_the_deadline_loses_against_a_decision(operations: OperationStore) -> None:
    row = await waiting(operations)
    await decided(operations, row.seq)
    assert not await operations.commit(row, step("ended", done=Outcome.EXPIRED), LATER)


async def cancel(operations: OperationStore) -> bool:
    return await operations.request_cancel("op_1", actor=JANE, reason="wrong one", at=LATER)


async def test_a_cancel_wakes_what_waits_under_a_new_seq(operations: OperationStore) -> None:
    row = await waiting(operations)
    assert await cancel(operations)
    after = await now(operations)
    assert (after.cancel_requested, after.seq) == ("cancelled by user:jane: wrong one", row.seq + 1)
    assert [one.id for one in await operations.due(LATER + timedelta(seconds=1))] == ["op_1"]


async def test_promise_3_a_cancel_does_not_put_a_second_segment_beside_the_one_that_is_acting(operations: OperationStore) -> None:
    """The running transition commits as if nothing had happened; the next one sees the wish."""
    row = await begun(operations)
    assert await cancel(operations)
    assert (await now(operations)).seq == row.seq
    assert await operations.commit(row, step("act_watch"), LATER)
    assert (await now(operations)).cancel_requested == "cancelled by user:jane: wrong one"


async def test_a_cancel_while_a_wait_is_worked_out_is_not_waited_out(operations: OperationStore, engine: FakeEngine) -> None:
    row = await begun(operations)
    await cancel(operations)
    assert await operations.commit(row, step("awaiting_approval", until_person=START + timedelta(minutes=30)), LATER)
    assert engine.delayed == [(Work(kind="operation", id="op_1", seq=1), timedelta(0))]
    assert [one.id for one in await operations.due(LATER + timedelta(seconds=1))] == ["op_1"]


async def test_a_cancel_counts_once_and_not_after_the_end(operations: OperationStore) -> None:
    row = await begun(operations)
    assert await cancel(operations)
    assert not await cancel(operations)
    await operations.commit(row, step("ended", done=Outcome.CANCELLED), LATER)
    assert not await cancel(operations)
    assert [one.kind for one in await operations.events("op_1")] == ["accepted", "cancel_requested"]
    assert not await operations.request_cancel("op_0", actor=JANE, reason="", at=LATER)


# --- the record ------------------------------------------------------------------------------------------------------------------


async def test_promise_9_the_audit_rows_are_one_chain_in_the_order_of_commits(operations: OperationStore) -> None:
    row = await begun(operations)
    await operations.commit(row, step(events=(event("one", number=1.5, nested={"b": [None, True], "a": "ü"}), event("two"))), START)
    await operations.append("op_1", (event("three"),), (), (), LATER)
    chain = await operations.chain("op_1")
    assert [one.kind for one, _ in chain] == ["accepted", "one", "two", "three"]
    assert verify(chain) is None
    assert verify([*chain[:1], *chain[2:]]) is not None


async def test_chains_of_two_operations_do_not_touch(operations: OperationStore) -> None:
    await begun(operations)
    await begun(operations, operation("op_2", target=OTHER))
    assert [one.kind for one in await operations.events("op_2")] == ["accepted"]
    assert verify(await operations.chain("op_2")) is None


async def test_promise_9_a_span_is_encoded_once_and_goes_out_once(operations: OperationStore, database: Database) -> None:
    row = await begun(operations)
    await operations.commit(row, step(spans=(span("verdict", "pass"),)), START)
    first = await operations.span_bodies("op_1")
    await operations.commit(await now(operations), step(spans=(span("verdict", "told otherwise"), span("decide"))), START)
    assert (await operations.span_bodies("op_1"))[:1] == first
    kept = await everything(database)
    assert [row[3] for row in kept["outbox"]] == list(await operations.span_bodies("op_1"))


async def test_a_message_is_put_once_whatever_is_told_again(operations: OperationStore, database: Database) -> None:
    await begun(operations)
    for title in ("first", "again"):
        await operations.append("op_1", (), (), (Message(channel="notify:x", key="op_1/stuck", body={"title": title}),), START)
    await operations.append("op_1", (), (), (Message(channel="notify:y", key="op_1/stuck", body=b"raw"),), START)
    assert [row[3] for row in (await everything(database))["outbox"]] == [b'{"title": "first"}', b"raw"]


async def test_nothing_can_be_added_to_an_operation_that_is_not_there(operations: OperationStore) -> None:
    with pytest.raises(NotFoundError, match="no operation op_0"):
        await operations.append("op_0", (event(),), (), (), START)


async def test_an_operation_is_found_by_the_beginning_of_its_id_trace_or_incident(operations: OperationStore) -> None:
    row = await begun(operations, operation("op_abcdef", incident_id="inc_123456"))
    for prefix in ("op_abc", row.trace_id[:8], "inc_123"):
        assert [one.id for one in await operations.by_trace(prefix)] == ["op_abcdef"]
    assert await operations.by_trace("opxabc") == ()  # the underscore is no wildcard
    assert await operations.by_trace("op_zzz") == ()


# --- holds ---------------------------------------------------------------------------------------------------------------------------


async def test_promise_7_a_second_held_release_joins_the_hold_and_leaves_what_is_remembered(operations: OperationStore, database: Database) -> None:
    row = await begun(operations)
    first = {"auto_sync": {"automated": {"prune": True}}, "stopped": True, "revisions": ["r42"]}
    await operations.commit(row, step(hold=hold("hld_1", "key-42", remembered=first)), START)
    second = hold("hld_2", "key-43", "key-42", remembered={"auto_sync": {"automated": {"enabled": False}}, "revisions": ["r43", "r42"]})
    await operations.commit(await now(operations), step(hold=second), LATER)
    kept = await HoldStore(database).open_for(TARGET)
    assert kept is not None
    assert (kept.id, kept.held, kept.opened_at) == ("hld_1", ("key-42", "key-43"), START)
    assert kept.remembered == {**first, "revisions": ["r42", "r43"]}


@pytest.mark.parametrize("pinned", [(False, False), (False, True), (True, False)])
async def test_promise_7_what_each_operation_under_a_hold_wrote_is_remembered_with_the_newest_setting(
    operations: OperationStore, database: Database, pinned: tuple[bool, bool]
) -> None:
    row = await begun(operations)
    first, second = ({"auto_sync": {"was": n}, "stopped": True, "pinned": pin, "revisions": [f"r{n}"]} for n, pin in enumerate(pinned))
    await operations.commit(row, step(hold=hold("hld_1", "key-42", remembered=first)), START)
    await operations.commit(await now(operations), step("ended", done=Outcome.RECOVERED), LATER)
    await begun(operations, operation("op_2"))
    await operations.commit(await now(operations, "op_2"), step(hold=hold("hld_2", "key-42", remembered=second)), LATER)
    kept = await HoldStore(database).open_for(TARGET)
    assert kept is not None
    assert (kept.id, kept.operation_id, kept.remembered["operations"]) == ("hld_1", "op_1", ["op_1", "op_2"])
    assert (kept.remembered["auto_sync"], kept.remembered["pinned"], kept.remembered["revisions"]) == ({"was": 1}, any(pinned), ["r0", "r1"])


async def test_promise_7_one_held_release_leaves_and_the_hold_stays_for_the_others(operations: OperationStore, database: Database) -> None:
    row = await begun(operations)
    await operations.commit(row, step(hold=hold("hld_1", "key-42", "key-43")), START)
    await operations.commit(await now(operations), step(hold=HoldChange(end="hld_1", only="key-43", ended_by="backout")), LATER)
    kept = await HoldStore(database).open_for(TARGET)
    assert kept is not None
    assert (kept.held, kept.closed_at) == (("key-42",), None)


async def test_a_hold_ends_with_its_transition_and_only_once(operations: OperationStore, database: Database) -> None:
    row = await begun(operations)
    await operations.commit(row, step(hold=hold()), START)
    ended = HoldChange(end="hld_1", ended_by="backout", because="taken back")
    await operations.commit(await now(operations), step(hold=ended), LATER)
    await operations.commit(await now(operations), step(hold=replace(ended, because="again")), LATER)
    kept = await HoldStore(database).load("hld_1")
    assert kept is not None
    assert (kept.ended_by, kept.ended_because, kept.closed_at) == ("backout", "taken back", LATER)


def test_new_ids_differ_and_say_what_they_are() -> None:
    first, second = new_id("op"), new_id("op")
    assert first.startswith("op_")
    assert first != second
