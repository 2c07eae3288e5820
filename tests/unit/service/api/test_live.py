import asyncio
from collections.abc import Mapping, Sequence

import pytest

from service.api.live import Live
from service.domain.errors import UnavailableError
from service.domain.model import Outcome
from service.domain.ports import AuditEvent
from service.store.database import Database
from service.store.events import EventStore, append
from tests.unit.service.api.world import CHECKOUT, NOW, ORDERS, World


class Counting(EventStore):
    """Counts its queries; `away` is a store that cannot be read."""

    def __init__(self, world: World) -> None:
        super().__init__(world.database)
        self.asked = 0
        self.away = False

    async def newer(self, known: Mapping[str, int]) -> Mapping[str, Sequence[AuditEvent]]:
        self.asked += 1
        if self.away:
            raise UnavailableError("the store did not answer in time")
        return await super().newer(known)


@pytest.fixture
def events(world: World) -> Counting:
    return Counting(world)


@pytest.fixture
def live(world: World, events: Counting) -> Live:
    made = Live(events=events, operations=world.operations, alerts=world.alerts, keep_alive=5.0)
    world.database.tell(made.nudge)
    return made


async def test_nobody_watches_and_nothing_is_asked(live: Live, events: Counting) -> None:
    live.nudge()
    await live.look()
    assert events.asked == 0


async def test_one_look_serves_all_streams(live: Live, world: World, events: Counting) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    one, other = await world.begun(), await world.begun(ORDERS)
    async with live.feed(one) as (first, _), live.feed(one) as (same, _), live.feed(other) as (second, _):
        assert first is same
        before = events.asked
        await world.move(one)
        await live.look()
        assert events.asked == before + 1
        assert ([row.kind for row in first.rows], [row.kind for row in second.rows]) == (["accepted", "moved"], ["accepted"])


async def test_a_commit_of_this_process_wakes_the_loop(live: Live, world: World) -> None:
    operation = await world.begun()
    async with live.feed(operation) as (feed, change):
        await asyncio.gather(live.beat(), world.move(operation, phase="act"))
        assert await change()
        assert (len(feed.rows), getattr(feed.now, "phase", "")) == (2, "act")


async def test_what_another_process_wrote_is_seen_without_a_nudge(live: Live, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.live.LOOK_EVERY", 0.01)
    operation, other = await world.begun(), Database(world.database.url)
    async with live.feed(operation) as (feed, change):
        async with other.write() as connection:
            await append(connection, operation.id, [AuditEvent(kind="joined", says="another alert", at=NOW)])
        await live.beat()
        assert await change()
        assert [row.kind for row in feed.rows] == ["accepted", "joined"]
    await other.close()


async def test_a_store_that_fails_in_the_middle_costs_no_news(live: Live, world: World, events: Counting) -> None:
    operation = await world.begun()
    async with live.feed(operation) as (feed, change):
        await world.move(operation, phase="ended", done=Outcome.RECOVERED)
        events.away = True
        with pytest.raises(UnavailableError):
            await live.look()
        assert (len(feed.rows), feed.over) == (1, False)
        events.away = False
        await live.look()
        assert await change()
        assert (len(feed.rows), feed.over) == (2, True)


async def test_a_feed_that_cannot_be_filled_is_not_kept(live: Live, world: World, events: Counting) -> None:
    operation = await world.begun()
    events.away = True
    with pytest.raises(UnavailableError):
        async with live.feed(operation):
            raise AssertionError("it was never filled")
    events.away = False
    before = events.asked
    await live.look()
    assert events.asked == before


async def test_the_last_one_who_leaves_takes_the_feed_away(live: Live, world: World, events: Counting) -> None:
    operation = await world.begun()
    async with live.feed(operation), live.feed(operation):
        pass
    before = events.asked
    await live.look()
    assert events.asked == before


async def test_silence_ends_after_the_keep_alive_time(live: Live, world: World) -> None:
    live.keep_alive = 0.01
    async with live.feed(await world.begun()) as (_, change):
        assert not await change()
