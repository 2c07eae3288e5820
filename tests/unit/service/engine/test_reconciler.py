from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from service.domain.model import Outcome
from service.domain.ports import Alerts, Work
from service.engine.reconciler import PATIENCE, TOGETHER, Reconciler
from service.engine.segments import Engine
from tests.fakes.clock import START, FakeClock
from tests.fakes.hand_over import FakeEngine
from tests.fakes.journal import FakeJournal
from tests.fakes.store import operation

OLD = START - timedelta(minutes=1)


class FakeAlerts:
    """Only what the reconciler asks."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.before: list[datetime] = []

    async def deliveries_undecided(self, before: datetime) -> Sequence[str]:
        self.before.append(before)
        return self.waiting


class Bench:
    def __init__(self, *rows: Any) -> None:
        self.clock = FakeClock()
        self.journal = FakeJournal(*rows)
        self.alerts = FakeAlerts()
        self.engine = FakeEngine()
        self.repaired: list[str] = []
        self.reconciler = self.fresh()

    def fresh(self) -> Reconciler:
        """As after a restart: it remembers nothing."""
        return Reconciler(
            engine=cast("Engine", self.engine),
            journal=self.journal,
            alerts=cast("Alerts", self.alerts),
            clock=self.clock,
            repaired=self.repaired.append,
        )


async def test_an_operation_without_a_segment_gets_one_under_the_next_seq() -> None:
    bench = Bench(operation(updated_at=OLD))
    assert await bench.reconciler.round() == 1
    assert bench.journal.handed == [Work(kind="operation", id="op_1", seq=1)]
    assert (bench.journal.rows["op_1"].seq, bench.repaired) == (1, ["operation"])


async def test_an_operation_that_just_moved_or_whose_segment_runs_is_left_alone() -> None:
    bench = Bench(operation(updated_at=START), operation("op_2", updated_at=OLD))
    bench.engine.running = {Work(kind="operation", id="op_2", seq=0)}
    assert await bench.reconciler.round() == 0
    assert (bench.journal.handed, bench.repaired) == ([], [])
    bench.clock.at += PATIENCE
    assert await bench.reconciler.round() == 1


async def test_after_a_start_alone_nothing_is_waited_for_once() -> None:
    bench = Bench(operation(updated_at=START), operation("op_2", updated_at=START))
    bench.reconciler.hurry()
    assert await bench.reconciler.round() == 2
    assert await bench.reconciler.round() == 0


async def test_what_waits_or_ended_needs_no_segment() -> None:
    bench = Bench(operation(updated_at=OLD), operation("op_2", updated_at=OLD, done_at=OLD, outcome=Outcome.FAILED))
    bench.journal.wakes["op_1"] = START + timedelta(minutes=30)
    assert await bench.reconciler.round() == 0


async def test_a_wait_whose_time_is_over_and_that_nobody_took_up_is_repaired() -> None:
    bench = Bench(operation(updated_at=OLD, phase="awaiting_approval"))
    bench.journal.wakes["op_1"] = START - timedelta(seconds=11)
    assert await bench.reconciler.round() == 1


async def test_an_operation_that_moved_meanwhile_is_not_started_twice() -> None:
    class Moves(FakeJournal):
        async def due(self, at: datetime) -> Sequence[Any]:
            rows = await super().due(at)
            self.rows["op_1"] = replace(self.rows["op_1"], rev=5)
            return rows

    bench = Bench()
    bench.journal = Moves(operation(updated_at=OLD))
    assert await bench.reconciler.round() == 0
    assert bench.journal.handed == []


async def test_promise_2_a_delivery_that_nobody_placed_is_placed() -> None:
    bench = Bench()
    bench.alerts.waiting = ["dlv_1", "dlv_2"]
    bench.engine.running = {Work(kind="delivery", id="dlv_2", seq=0)}
    assert await bench.reconciler.round() == 1
    assert [one.id for one in bench.engine.started] == ["dlv_1"]
    assert bench.repaired == ["delivery"]


async def test_promise_2_a_delivery_that_fails_is_tried_again_also_after_a_restart() -> None:
    bench = Bench()
    bench.alerts.waiting = ["dlv_1"]
    await bench.reconciler.round()
    await bench.reconciler.round()
    await bench.fresh().round()
    assert [one.id for one in bench.engine.started] == ["dlv_1"] * 3


async def test_a_delivery_whose_repair_runs_is_left_alone() -> None:
    bench = Bench()
    bench.alerts.waiting = ["dlv_1"]
    await bench.reconciler.round()
    bench.engine.running = set(bench.engine.started)
    assert await bench.reconciler.round() == 0


async def test_a_delivery_that_has_just_come_is_left_to_whoever_took_it() -> None:
    bench = Bench()
    await bench.reconciler.round()
    bench.reconciler.hurry()
    await bench.reconciler.round()
    assert bench.alerts.before == [bench.clock.now() - PATIENCE, bench.clock.now()]


async def test_many_that_stand_still_get_their_segments_together() -> None:
    bench = Bench(*(operation(f"op_{number}", updated_at=OLD) for number in range(TOGETHER + 5)))
    assert await bench.reconciler.round() == TOGETHER + 5
    assert len({one.id for one in bench.journal.handed}) == TOGETHER + 5
