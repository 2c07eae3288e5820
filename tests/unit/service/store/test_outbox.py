from datetime import timedelta

import pytest

from service.domain.ports import TRIED_OFTEN, Message
from service.store.database import Database
from service.store.outbox import OutboxStore, Waiting
from tests.fakes.clock import START

SECOND = timedelta(seconds=1)


@pytest.fixture
def box(database: Database) -> OutboxStore:
    return OutboxStore(database)


async def put(box: OutboxStore, *keys: str, channel: str = "notify:x") -> None:
    for number, key in enumerate(keys):
        await box.send(Message(channel=channel, key=key, body=key.encode()), START + number * SECOND)


async def due(box: OutboxStore, seconds: int = 100, limit: int = 10) -> list[bytes]:
    return [body for _, body, _ in await box.due("notify:x", START + seconds * SECOND, limit)]


async def test_messages_come_out_in_the_order_they_were_put(box: OutboxStore) -> None:
    await put(box, "b", "a", "c")
    await put(box, "other", channel="trace")
    assert await due(box) == [b"b", b"a", b"c"]
    assert await due(box, limit=2) == [b"b", b"a"]
    assert await due(box, seconds=1) == [b"b", b"a"]


async def test_promise_9_the_same_message_is_kept_once_also_after_it_was_sent(box: OutboxStore) -> None:
    await put(box, "a", "a")
    ((position, _, _),) = await box.due("notify:x", START, 10)
    await box.delivered([position], START)
    await put(box, "a")
    assert await due(box) == []


async def test_a_message_that_was_put_off_waits_and_its_tries_are_counted(box: OutboxStore) -> None:
    await put(box, "a", "b")
    await box.put_off([1], START + 10 * SECOND)
    assert await due(box, seconds=9) == [b"b"]
    assert [tries for _, _, tries in await box.due("notify:x", START + 10 * SECOND, 10)] == [1, 0]


async def test_a_parked_message_keeps_its_reason_and_is_not_sent(box: OutboxStore) -> None:
    await put(box, "a", "b")
    await box.park(1, "x" * 600)
    assert await due(box) == [b"b"]
    assert await box.parked() == (("notify:x", "a", "x" * 500),)


async def test_what_waits_is_counted_with_its_age(box: OutboxStore) -> None:
    assert await box.waiting("notify:x") == Waiting(rows=0, oldest=None, parked=0)
    await put(box, "a", "b", "c")
    await box.delivered([1], START)
    await box.park(3, "refused")
    assert await box.waiting("notify:x") == Waiting(rows=1, oldest=START + SECOND, parked=1)


async def test_promise_13_a_message_that_was_tried_often_comes_after_the_younger_ones(box: OutboxStore) -> None:
    await put(box, "old", "young")
    ((position, _, _), _) = await box.due("notify:x", START + 100 * SECOND, 10)
    for tried in range(1, TRIED_OFTEN + 1):
        await box.put_off([position], START)
        assert (await due(box) == [b"old", b"young"]) == (tried < TRIED_OFTEN)
    assert await due(box) == [b"young", b"old"]
    assert await due(box, limit=1) == [b"young"]
