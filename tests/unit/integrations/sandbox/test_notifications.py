import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from integrations.sandbox.notifications import NotificationSink

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class StandingClock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody should sleep {seconds}")


@pytest.fixture
async def sink() -> AsyncIterator[NotificationSink]:
    sink = NotificationSink(clock=StandingClock())
    await sink.start()
    yield sink
    await sink.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_post_is_kept_with_time_path_headers_and_body(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{sink.url}/hooks/team-a", json={"text": "rolled back"}, headers={"Idempotency-Key": "op-1"}) as response:
        assert response.status == 202
    (kept,) = sink.received
    assert (kept.received_at, kept.path, kept.body, kept.raw) == (NOW, "/hooks/team-a", {"text": "rolled back"}, b'{"text": "rolled back"}')
    assert kept.headers["idempotency-key"] == "op-1"
    assert (kept.authorized, kept.credential_sha256, kept.answered) == (False, None, 202)


async def test_a_credential_is_kept_as_a_hash_only(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    async with http.post(sink.url, json={}, headers={"Authorization": "Bearer made-up", "Cookie": "session=made-up"}):
        pass
    (kept,) = sink.received
    assert kept.authorized
    assert kept.credential_sha256 == hashlib.sha256(b"Bearer made-up").hexdigest()
    assert "made-up" not in repr(kept)
    async with http.get(sink.url) as listed:
        assert "made-up" not in await listed.text()


async def test_the_list_shows_what_came_in_order(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    for number in range(3):
        async with http.post(f"{sink.url}/{number}", json={"number": number}):
            pass
    async with http.get(sink.url) as response:
        listed = await response.json()
    assert [(item["path"], item["body"], item["received_at"]) for item in listed] == [(f"/{n}", {"number": n}, "2026-05-04T12:00:00Z") for n in range(3)]


async def test_a_body_that_is_not_json_is_refused_and_not_kept(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    async with http.post(sink.url, data=b"text=hello") as response:
        assert response.status == 400
    assert sink.received == ()


async def test_a_refused_post_is_kept_with_its_status_but_is_not_delivered(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    sink.fail_with(503, times=1)
    for _ in range(2):
        async with http.post(sink.url, json={"n": 1}):
            pass
    assert [kept.answered for kept in sink.received] == [503, 202]
    assert [kept.answered for kept in sink.delivered] == [202]


async def test_waiting_ends_with_the_delivery_and_not_with_a_refused_one(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    sink.fail_with(500, times=1)
    async with http.post(sink.url, json={"try": 1}):
        pass
    with pytest.raises(TimeoutError):
        await sink.wait_for(1, within_s=0.02)
    async with http.post(sink.url, json={"try": 2}):
        pass
    assert [kept.body for kept in await sink.wait_for(1)] == [{"try": 2}]


async def test_a_sink_that_is_down_gets_nothing_and_remembers_what_came_before(sink: NotificationSink, http: aiohttp.ClientSession) -> None:
    async with http.post(sink.url, json={"n": 1}):
        pass
    await sink.go_down()
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.post(sink.url, json={"n": 2})
    await sink.come_back()
    assert [kept.body for kept in sink.received] == [{"n": 1}]
    sink.clear()
    assert sink.received == ()
