"""What we lean on in DBOS, asked of the real one on real databases."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.domain.errors import UnavailableError
from service.domain.model import Operation, OperationKind, Outcome, TargetId
from service.domain.ports import Transition, Work
from service.engine.runner import Runner
from service.engine.segments import Engine
from service.store.database import Database
from service.store.operations import OperationStore
from service.store.tables import metadata
from tests.fakes import store
from tests.fakes.store import operation

HANG = 60
"""Seconds after which a test that should have ended is given up; nothing is measured by it."""


class RealClock:
    """Real time: what is asked here is how the engine keeps it."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  the engine's delays are real, so is this clock

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeStory:
    """begin → act → ended; each phase counted. `hold` keeps it in `act`, `trouble` is raised by the next advances."""

    phases = frozenset({"begin", "act", "waiting"})

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.trouble: list[Exception] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.next: dict[str, Transition] = {}

    async def advance(self, operation: Operation) -> Transition:
        self.seen.append(operation.phase)
        if self.trouble:
            raise self.trouble.pop(0)
        if operation.phase == "act":
            await self.hold.wait()
        if operation.phase in self.next:
            return self.next[operation.phase]
        if operation.phase == "begin":
            return Transition(phase="act", data=operation.data)
        return Transition(phase="ended", data=operation.data, done=Outcome.RECOVERED)

    async def barred(self, operation: Operation, why: str) -> Transition:
        return Transition(phase="ended", data=operation.data, says=why, done=Outcome.REFUSED)

    async def failed(self, operation: Operation, why: str) -> Transition:
        return Transition(phase="ended", data=operation.data, says=why, done=Outcome.FAILED)


class Process:
    """One life of the service: the engine, the store's operations, a story; all of it forgotten at the end."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = Engine(url=database.url, poll=0.02)
        self.operations: OperationStore = store.operations(database, self.engine)
        self.story = FakeStory()
        self.placed: list[str] = []
        self.engine.give(
            Runner(journal=self.operations, stories={OperationKind.ROLLBACK: self.story}, place=self._place, clock=RealClock()),
        )

    async def _place(self, delivery: str) -> None:
        self.placed.append(delivery)

    async def ended(self, identity: str = "op_1") -> Operation:
        found: list[Operation] = []

        async def over() -> bool:
            row = await self.operations.load(identity)
            found[:] = [row] if row else []
            return row is not None and row.done_at is not None

        await until(over)
        return found[0]

    async def idle(self) -> bool:
        return not await self.engine.active()


@asynccontextmanager
async def process(database: Database) -> AsyncIterator[Process]:
    one = Process(database)
    await one.engine.launch()
    try:
        yield one
    finally:
        await one.engine.stop()


async def until(holds: Callable[[], object]) -> None:
    """Wait until the (async) question is answered with yes."""
    async with asyncio.timeout(HANG):
        while True:
            answer = holds()
            if (await answer) if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.01)


def work(seq: int = 0, identity: str = "op_1") -> Work:
    return Work(kind="operation", id=identity, seq=seq)


async def test_a_segment_steps_until_the_operation_ends(database: Database) -> None:
    async with process(database) as one:
        await one.operations.begin(operation(), (), ())
        await one.engine.start(work())
        assert (await one.ended()).outcome is Outcome.RECOVERED
        assert one.story.seen == ["begin", "act"]


class HangingFor(FakeStory):
    """The delivery system of one operation's target does not answer."""

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.identity = identity
        self.hangs, self.answers = asyncio.Event(), asyncio.Event()

    async def advance(self, operation: Operation) -> Transition:
        if operation.id == self.identity:
            self.hangs.set()
            await self.answers.wait()
        return await super().advance(operation)


async def test_a_target_whose_delivery_system_hangs_delays_no_other_one(database: Database) -> None:
    async with process(database) as one:
        story = HangingFor("op_1")
        one.engine.give(Runner(journal=one.operations, stories={OperationKind.ROLLBACK: story}, place=one._place, clock=RealClock()))  # noqa: SLF001  its own
        for number in range(1, 6):
            await one.operations.begin(operation(f"op_{number}", target=TargetId("prod", f"shop{number}")), (), ())
            await one.engine.start(work(identity=f"op_{number}"))
        await asyncio.wait_for(story.hangs.wait(), HANG)
        for number in range(2, 6):
            assert (await one.ended(f"op_{number}")).outcome is Outcome.RECOVERED
        hanging = await one.operations.load("op_1")
        assert hanging is not None
        assert (hanging.phase, hanging.done_at) == ("begin", None)
        story.answers.set()
        await one.ended("op_1")


async def test_promise_2_intake_waits_for_no_placing_and_no_operation_does(database: Database) -> None:
    async with process(database) as one:
        placed, go_on = asyncio.Event(), asyncio.Event()

        async def place(*deliveries: str) -> None:
            del deliveries
            placed.set()
            await go_on.wait()

        one.engine.give(Runner(journal=one.operations, stories={OperationKind.ROLLBACK: one.story}, place=place, clock=RealClock()))
        for number in range(100):
            await asyncio.wait_for(one.engine.start(Work(kind="delivery", id=f"dlv_{number}")), HANG)
        await asyncio.wait_for(placed.wait(), HANG)
        await one.operations.begin(operation(), (), ())
        await one.engine.start(work())
        assert (await one.ended()).outcome is Outcome.RECOVERED
        assert await one.engine.is_active(Work(kind="delivery", id="dlv_99"))
        go_on.set()


async def test_promise_3_starting_the_same_work_twice_runs_it_once(database: Database) -> None:
    async with process(database) as one:
        one.story.hold.clear()
        await one.operations.begin(operation(), (), ())
        for _ in range(3):
            await one.engine.start(work())
        await until(lambda: "act" in one.story.seen)
        await one.engine.start(work())
        one.story.hold.set()
        await one.ended()
        await until(one.idle)
        await one.engine.start(work())  # nor does it run again once it has ended
        await asyncio.sleep(0.1)
        assert one.story.seen == ["begin", "act"]


async def test_promise_3_a_segment_goes_on_where_it_was_after_the_process_died(database: Database) -> None:
    """The second process repeats the step that was under way, and no step before it."""
    first = Process(database)
    await first.engine.launch()
    first.story.hold.clear()
    await first.operations.begin(operation(), (), ())
    await first.engine.start(work())
    await until(lambda: "act" in first.story.seen)
    await first.engine.stop()  # in the middle of `act`, whose story never hears of it
    async with process(database) as second:
        assert (await second.ended()).outcome is Outcome.RECOVERED
        assert second.story.seen == ["act"]
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def test_promise_3_a_segment_of_another_seq_stops_without_a_look_at_the_story(database: Database) -> None:
    async with process(database) as one:
        await one.operations.begin(operation(seq=2), (), ())
        await one.engine.start(work(seq=1))
        await until(one.idle)
        assert one.story.seen == []
        await one.engine.start(work(seq=2))
        await one.ended()


async def test_promise_3_a_story_that_finds_no_store_is_asked_again_and_does_the_effect_once(database: Database) -> None:
    async with process(database) as one:
        one.story.trouble = [UnavailableError("away")]
        await one.operations.begin(operation(), (), ())
        await one.engine.start(work())
        assert (await one.ended()).outcome is Outcome.RECOVERED
        assert one.story.seen == ["begin", "begin", "act"]


async def test_promise_3_a_commit_that_finds_no_store_is_repeated_without_the_effect(database: Database) -> None:
    async with process(database) as one:
        await one.operations.begin(operation(), (), ())
        one.story.hold.clear()
        await one.engine.start(work())
        await until(lambda: "act" in one.story.seen)
        patience = database._patience  # noqa: SLF001  see below
        async with store.locked(database):
            database._patience = 0.1  # noqa: SLF001  so that the outage shows within the test
            one.story.hold.set()
            await asyncio.sleep(0.3)
            database._patience = patience  # noqa: SLF001  a slow machine must not look like another outage
        assert (await one.ended()).outcome is Outcome.RECOVERED
        assert one.story.seen == ["begin", "act"]


async def test_promise_2_work_handed_over_in_a_transaction_is_kept_or_not_with_it(database: Database) -> None:
    class AbandonedError(Exception):
        pass

    async def hand_over(one: Process, identity: str, *, commit: bool) -> None:
        async with database.write() as connection:
            await one.engine.later(connection, work(identity=identity), timedelta(minutes=30))
            if not commit:
                raise AbandonedError

    async with process(database) as one:
        with pytest.raises(AbandonedError):
            await hand_over(one, "op_gone", commit=False)
        await hand_over(one, "op_kept", commit=True)
        assert await one.engine.active() == {"operation:op_kept:0"}
        assert not await one.engine.is_active(work(identity="op_gone"))


async def test_a_wait_and_its_delayed_segment_are_one_commit(database: Database) -> None:
    async with process(database) as one:
        row = await one.operations.begin(operation(), (), ())
        waits = Transition(phase="waiting", data=row.data, wait=timedelta(minutes=30))
        assert await one.operations.commit(row, waits, RealClock().now())
        assert await one.engine.active() == {"operation:op_1:1"}
        assert not await one.operations.commit(row, waits, RealClock().now())
        assert await one.engine.active() == {"operation:op_1:1"}


async def test_promise_2_a_delayed_segment_survives_a_restart_and_runs_when_its_time_has_come(database: Database) -> None:
    async with process(database) as first:
        row = await first.operations.begin(operation(phase="waiting"), (), ())
        assert row.phase == "waiting"
        async with database.write() as connection:
            await first.engine.later(connection, work(), timedelta(seconds=1))
    async with process(database) as second:
        assert (await second.ended()).outcome is Outcome.RECOVERED
        assert (first.story.seen, second.story.seen) == ([], ["waiting"])


async def test_a_delay_that_is_over_already_is_work_at_once(database: Database) -> None:
    async with process(database) as one:
        await one.operations.begin(operation(), (), ())
        async with database.write() as connection:
            await one.engine.later(connection, work(), timedelta(seconds=-5))
        await one.ended()


async def test_deliveries_are_placed_as_they_arrive(database: Database) -> None:
    async with process(database) as one:
        await one.engine.start(Work(kind="delivery", id="dlv_1"))
        assert await one.engine.is_active(Work(kind="delivery", id="dlv_1"))
        await until(lambda: bool(one.placed))
        assert one.placed == ["dlv_1"]
        assert await one.idle()


async def test_ended_segments_are_collected_and_running_ones_are_not(database: Database) -> None:
    async with process(database) as one:
        await one.operations.begin(store.operation("op_0"), (), ())
        await one.engine.start(work(identity="op_0"))
        await one.ended("op_0")
        one.story.hold.clear()
        await one.operations.begin(operation(), (), ())
        await one.engine.start(work())
        await until(lambda: one.story.seen.count("act") == 2)
        await until(lambda: _ended(one))
        later = RealClock().now() + timedelta(minutes=1)
        assert await one.engine.collect(older_than=timedelta(hours=1), now=later) == 0
        assert await one.engine.collect(older_than=timedelta(0), now=later) == 1
        assert await one.engine.active() == {"operation:op_1:0"}
        one.story.hold.set()
        await one.ended()


async def _ended(one: Process) -> bool:
    return await one.engine.active() == {"operation:op_1:0"}


async def test_promise_12_the_engine_keeps_plain_json_and_nothing_that_runs_when_it_is_read(database: Database) -> None:
    async with process(database) as one:
        await one.operations.begin(operation(), (), ())
        await one.engine.start(work())
        await one.ended()
        await until(one.idle)
    values = [value for rows in (await _tables(database)).values() for row in rows for value in row]
    texts = [value for value in values if isinstance(value, str)]
    assert any("op_1" in text and "operation" in text and text.startswith(("[", "{")) for text in texts)
    for value in values:
        raw = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""
        with suppress(binascii.Error):
            assert not base64.b64decode(raw, validate=True).startswith(b"\x80"), "a pickle"


async def _tables(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """The engine's own tables: all that are not ours."""
    schema = None if database.sqlite else "dbos"
    async with database.read() as connection:
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names(schema=schema))
        tables = [sa.table(name, schema=schema) for name in names if name not in metadata.tables]
        found: dict[str, list[tuple[object, ...]]] = {}
        for one in tables:
            rows: sa.CursorResult[Any] = await connection.execute(sa.select(sa.literal_column("*")).select_from(one))
            found[one.name] = [tuple(row) for row in rows.all()]
    return found
