from datetime import timedelta

import pytest

from service.domain.model import Outcome
from service.domain.ports import Capture, Captured, Transition, Wanted
from service.store.captures import AFTER_WITHIN, CaptureStore
from service.store.database import Database
from service.store.events import EventStore
from service.store.operations import OperationStore
from tests.fakes.clock import START
from tests.fakes.store import operation

MINUTE = timedelta(minutes=1)
ITEM = Captured(kind="log", name="pod web-1", text="boom")


@pytest.fixture
def captures(database: Database) -> CaptureStore:
    return CaptureStore(database)


async def acted(operations: OperationStore) -> None:
    """Its effect has begun."""
    row = await operations.load("op_1")
    assert row is not None
    assert await operations.commit(row, Transition(phase="act_send", data=row.data, first_effect=True), START)


async def ended(operations: OperationStore) -> None:
    row = await operations.load("op_1")
    assert row is not None
    assert await operations.commit(row, Transition(phase="ended", data=row.data, done=Outcome.RECOVERED), START + MINUTE)


async def test_an_operation_that_has_written_nothing_yet_wants_its_before(captures: CaptureStore, operations: OperationStore) -> None:
    row = await operations.begin(operation(), (), ())
    assert await captures.wanted(START) == (Wanted(operation_id="op_1", target=row.target, moment="before"),)


async def test_once_the_effect_has_begun_it_is_too_late_for_a_before(captures: CaptureStore, operations: OperationStore) -> None:
    await operations.begin(operation(), (), ())
    await acted(operations)
    (wanted,) = await captures.wanted(START)
    assert (wanted.moment, wanted.late) == ("before", True)


async def test_what_acted_and_ended_wants_its_after_for_a_while(captures: CaptureStore, operations: OperationStore) -> None:
    await operations.begin(operation(), (), ())
    await acted(operations)
    await ended(operations)
    assert [one.moment for one in await captures.wanted(START + 2 * MINUTE)] == ["after"]
    assert await captures.wanted(START + MINUTE + AFTER_WITHIN + MINUTE) == ()


async def test_what_ended_without_an_effect_wants_nothing(captures: CaptureStore, operations: OperationStore) -> None:
    await operations.begin(operation(), (), ())
    await ended(operations)
    assert await captures.wanted(START + 2 * MINUTE) == ()


async def test_a_moment_is_kept_once_and_told_in_the_operations_rows(captures: CaptureStore, operations: OperationStore, database: Database) -> None:
    await operations.begin(operation(), (), ())
    (wanted,) = await captures.wanted(START)
    await captures.keep(wanted, Capture(items=(ITEM,), missing=("events: gone",)), "captured before the act", START)
    await captures.keep(wanted, Capture(), "captured again", START)
    (kept,) = await captures.of("op_1")
    assert (kept.moment, kept.says, kept.missing) == ("before", "captured before the act", ("events: gone",))
    (item,) = kept.items
    assert (item.kind, item.name, item.size) == ("log", "pod web-1", 4)
    (row,) = await EventStore(database).of("op_1")
    assert (row.kind, row.says) == ("captured", "captured before the act")
    assert await captures.wanted(START) == ()


async def test_the_same_text_is_stored_once(captures: CaptureStore, operations: OperationStore) -> None:
    await operations.begin(operation(), (), ())
    (wanted,) = await captures.wanted(START)
    twice = (ITEM, Captured(kind="log", name="pod web-2", text="boom"))
    await captures.keep(wanted, Capture(items=twice), "", START)
    (kept,) = await captures.of("op_1")
    assert len({item.digest for item in kept.items}) == 1
    assert await captures.text("op_1", kept.items[0].digest) == "boom"


async def test_a_text_of_another_operation_is_not_given(captures: CaptureStore, operations: OperationStore) -> None:
    await operations.begin(operation(), (), ())
    (wanted,) = await captures.wanted(START)
    await captures.keep(wanted, Capture(items=(ITEM,)), "", START)
    digest = (await captures.of("op_1"))[0].items[0].digest
    assert await captures.text("op_2", digest) is None
