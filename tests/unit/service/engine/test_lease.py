import asyncio

import pytest

from service.domain.errors import UnavailableError
from service.engine.lease import Alone, Lease
from tests.fakes.clock import FakeClock
from tests.fakes.executors import FakeExecutors, FakeSegments

GRACE = 12.0
EVERY = 2.0


class World:
    """Processes on one store, in one time: the monotonic clock of all of them. Who is `frozen` does not beat."""

    def __init__(self) -> None:
        self.time = 100.0
        self.clock = FakeClock()
        self.executors = FakeExecutors()
        self.segments = FakeSegments(self.executors)
        self.leases: dict[str, Lease] = {}
        self.frozen: set[str] = set()
        self.died: list[str] = []

    async def begin(self, name: str) -> Lease:
        lease = Lease(name=name, executors=self.executors, clock=self.clock, grace=GRACE, monotonic=lambda: self.time, die=lambda: self._died(name))
        await lease.begin()
        self.leases[name] = lease
        return lease

    def _died(self, name: str) -> None:
        self.died.append(name)
        del self.leases[name]

    async def pass_(self, seconds: float) -> None:
        """Time passes, in which who is not frozen beats and sweeps."""
        for _ in range(round(seconds / EVERY)):
            self.time += EVERY
            for name in [one for one in self.leases if one not in self.frozen]:
                try:
                    await self.leases[name].beat()
                    if name in self.leases:
                        await self.leases[name].sweep(self.segments)
                except UnavailableError:
                    continue

    def retired(self) -> list[str]:
        return [name for name, row in self.executors.rows.items() if row.retired]


@pytest.fixture
def world() -> World:
    return World()


async def test_promise_3_a_process_that_lives_is_never_declared_dead(world: World) -> None:
    await world.begin("a")
    await world.begin("b")
    world.segments.running = {"a": 3, "b": 2}
    await world.pass_(20 * GRACE)
    assert (world.retired(), world.segments.taken, world.died) == ([], [], [])


async def test_a_process_that_is_gone_is_retired_after_the_grace_and_its_work_goes_on(world: World) -> None:
    await world.begin("a")
    await world.begin("b")
    world.segments.running = {"a": 3}
    await world.pass_(GRACE)
    world.frozen.add("a")
    await world.pass_(GRACE - 2 * EVERY)
    assert (world.retired(), world.segments.taken) == ([], [])
    await world.pass_(3 * EVERY)
    assert (world.retired(), world.segments.taken) == (["a"], [("a", True)])


async def test_promise_3_the_mark_is_committed_before_the_work_is_taken_over(world: World) -> None:
    """Or a process that wakes in between could beat again, and both would act."""
    await test_a_process_that_is_gone_is_retired_after_the_grace_and_its_work_goes_on(world)
    assert all(retired for _, retired in world.segments.taken)


async def test_promise_3_who_cannot_beat_is_fenced_before_anybody_may_take_over(world: World) -> None:
    frozen = await world.begin("a")
    await world.begin("b")
    await world.pass_(2 * GRACE)
    world.frozen.add("a")
    seen = []
    while "a" not in world.retired():
        await world.pass_(EVERY)
        seen.append(frozen.ok)
    assert seen.count(False) >= 3  # several beats before it is retired
    assert not frozen.ok


async def test_promise_3_an_act_waits_while_no_beat_is_confirmed_and_goes_on_after_the_next_one(world: World) -> None:
    lease = await world.begin("a")
    assert not await lease.fence()
    world.time += 0.7 * GRACE
    waiting = asyncio.ensure_future(lease.fence())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    await lease.beat()
    assert await asyncio.wait_for(waiting, 60)


async def test_promise_3_a_process_that_was_declared_dead_ends_when_it_wakes_and_acts_no_more(world: World) -> None:
    zombie = await world.begin("a")
    await world.begin("b")
    await world.pass_(GRACE)
    world.frozen.add("a")
    await world.pass_(2 * GRACE)
    world.frozen.clear()
    assert not zombie.ok
    await world.pass_(EVERY)
    assert world.died == ["a"]


async def test_a_beat_that_comes_just_before_the_mark_keeps_the_process_alive(world: World) -> None:
    slow, judge = await world.begin("a"), await world.begin("b")
    await world.pass_(GRACE)
    world.frozen.add("a")
    await world.pass_(GRACE - EVERY)
    world.time += EVERY
    await judge.beat()
    world.time += EVERY
    await slow.beat()  # after the judge's last look
    await judge.sweep(world.segments)
    assert world.retired() == []


async def test_nobody_is_judged_by_a_process_that_has_not_watched_for_a_whole_grace(world: World) -> None:
    await world.begin("gone")
    world.frozen.add("gone")
    world.time += 10 * GRACE
    await world.begin("b")
    await world.pass_(GRACE - EVERY)
    assert world.retired() == []
    await world.pass_(2 * EVERY)
    assert world.retired() == ["gone"]


async def test_promise_3_after_an_outage_of_the_store_nobody_declares_the_others_dead(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.begin(name)
    world.segments.running = {"a": 1, "b": 1, "c": 1}
    await world.pass_(2 * GRACE)
    world.executors.away = True
    await world.pass_(5 * GRACE)
    assert not any(lease.ok for lease in world.leases.values())
    world.executors.away = False
    await world.leases["a"].beat()
    await world.leases["a"].sweep(world.segments)  # the first one that is back sees the others as they were long ago
    await world.pass_(3 * GRACE)
    assert (world.retired(), world.segments.taken, world.died) == ([], [], [])


async def test_one_process_at_a_time_sweeps(world: World) -> None:
    await world.begin("a")
    await world.begin("b")
    await world.pass_(GRACE)
    world.frozen.add("a")
    world.executors.swept = True
    await world.pass_(3 * GRACE)
    assert world.retired() == []


async def test_a_process_that_ends_gives_its_work_away_at_once_and_does_nothing_more(world: World) -> None:
    ending = await world.begin("a")
    await world.begin("b")
    await world.pass_(EVERY)
    world.segments.running = {"a": 2}
    del world.leases["a"]
    await ending.end()
    assert not ending.ok
    await world.pass_(EVERY)
    assert world.segments.taken == [("a", True)]
    await ending.beat()  # one that was still under way
    assert world.died == []


async def test_the_end_of_a_process_does_not_wait_for_a_store_that_is_away(world: World) -> None:
    ending = await world.begin("a")
    world.executors.away = True
    await ending.end()
    assert not ending.ok


async def test_work_of_a_process_without_a_row_is_taken_over(world: World) -> None:
    """A version that knew no rows, or one whose row is long forgotten."""
    await world.begin("b")
    world.segments.running = {"local": 1}
    await world.pass_(EVERY)
    assert world.segments.taken == [("local", True)]


async def test_promise_3_exactly_one_process_leads_and_the_next_one_only_after_it_is_retired(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.begin(name)
    await world.pass_(2 * GRACE)
    assert [name for name, one in world.leases.items() if one.leads] == ["a"]
    world.frozen.add("a")
    while "a" not in world.retired():
        assert not any(world.leases[name].leads for name in ("b", "c"))
        await world.pass_(EVERY)
    assert not world.leases["a"].leads
    await world.pass_(EVERY)
    assert [name for name, one in world.leases.items() if one.leads] == ["b"]


async def test_a_beat_that_the_store_does_not_answer_is_given_up(world: World) -> None:
    lease = await world.begin("a")

    async def hangs(name: str) -> None:
        del name
        await asyncio.Event().wait()

    world.executors.beat = hangs  # type: ignore[method-assign]  # a store that is frozen
    lease.every = 0.01
    with pytest.raises(TimeoutError):
        await lease.beat()


async def test_a_process_that_is_alone_always_leads_and_may_always_act() -> None:
    alone = Alone()
    await alone.begin()
    assert not await alone.fence()
    assert (alone.leads, alone.name) == (True, "local")
    await alone.end()
