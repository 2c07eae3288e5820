import asyncio
from collections.abc import AsyncIterator

import pytest

from service.domain.errors import UnavailableError
from service.engine.arrivals import AT_ONCE, WORKERS, Arrivals


class Desk:
    """Places deliveries; `holds` are kept waiting until they are let go, what holds one of `refuses` fails."""

    def __init__(self) -> None:
        self.placed: list[str] = []
        self.calls: list[tuple[str, ...]] = []
        self.holds: dict[str, asyncio.Event] = {}
        self.refuses: set[str] = set()
        self.changed = asyncio.Event()
        self.arrivals = Arrivals(self.place)

    async def place(self, *delivery_ids: str) -> None:
        self.calls.append(delivery_ids)
        if self.refuses & set(delivery_ids):
            raise UnavailableError("the store is away")
        for one in delivery_ids:
            if one in self.holds:
                await self.holds[one].wait()
            self.placed.append(one)
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.placed) < count:
                self.changed.clear()
                await self.changed.wait()
        await asyncio.sleep(0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    made.arrivals.start()
    yield made
    await made.arrivals.stop()


async def test_deliveries_are_placed_in_the_order_in_which_they_came(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.arrivals.add(name)
    await desk.until(3)
    assert desk.placed == ["a", "b", "c"]


async def test_one_that_waits_for_something_does_not_hold_up_the_others(desk: Desk) -> None:
    desk.holds = {str(number): asyncio.Event() for number in range(WORKERS - 1)}
    for name in (*desk.holds, "quick"):
        desk.arrivals.add(name)
        await asyncio.sleep(0)
    await desk.until(1)
    assert desk.placed == ["quick"]
    assert all(desk.arrivals.has(name) for name in desk.holds)
    for held in desk.holds.values():
        held.set()
    await desk.until(WORKERS)


async def test_a_delivery_that_is_here_already_is_placed_once(desk: Desk) -> None:
    desk.holds["a"] = asyncio.Event()
    desk.arrivals.add("a")
    desk.arrivals.add("a")
    desk.holds["a"].set()
    desk.arrivals.add("b")
    await desk.until(2)
    assert sorted(desk.placed) == ["a", "b"]


async def test_a_storm_is_placed_together(desk: Desk) -> None:
    for number in range(2 * AT_ONCE):
        desk.arrivals.add(str(number))
    await desk.until(2 * AT_ONCE)
    assert [len(one) for one in desk.calls] == [AT_ONCE, AT_ONCE]


async def test_one_that_failed_is_left_to_the_reconciler_and_keeps_no_other_one_back(desk: Desk) -> None:
    desk.refuses = {"a"}
    for name in ("b", "a", "c"):
        desk.arrivals.add(name)
    await desk.until(2)
    assert (desk.placed, desk.calls) == (["b", "c"], [("b", "a", "c"), ("b",), ("a",), ("c",)])
    assert not desk.arrivals.has("a")
    desk.refuses = set()
    desk.arrivals.add("a")
    await desk.until(3)


async def test_after_the_stop_nothing_is_placed_any_more() -> None:
    desk = Desk()
    desk.arrivals.start()
    await desk.arrivals.stop()
    desk.arrivals.add("a")
    await asyncio.sleep(0)
    assert desk.placed == []
