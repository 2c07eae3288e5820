import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta, timezone

import aiohttp
import pytest
from aiohttp import web

from integrations.sandbox.http import Background, LoopbackServer, rfc3339


class Greeter(LoopbackServer):
    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.refusals: list[tuple[str, int]] = []

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return (web.get("/", self._hello), web.post("/", self._hello))

    async def _hello(self, request: web.Request) -> web.Response:
        return web.Response(text=f"hello {len(await request.read())}")

    async def refused(self, request: web.Request, status: int) -> None:
        self.refusals.append((request.method, status))


@pytest.fixture
async def server() -> AsyncIterator[Greeter]:
    greeter = Greeter()
    await greeter.start()
    yield greeter
    await greeter.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_it_listens_on_loopback_only_and_says_where(server: Greeter, http: aiohttp.ClientSession) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    async with http.get(server.url) as response:
        assert await response.text() == "hello 0"


async def test_before_the_first_start_it_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        _ = Greeter().url


async def test_starting_twice_is_refused(server: Greeter) -> None:
    with pytest.raises(RuntimeError, match="already"):
        await server.start()


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(server: Greeter) -> None:
    second = Greeter(port=int(server.url.rsplit(":", 1)[1]))
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    assert not second.listening


async def test_down_refuses_connections_and_comes_back_at_the_same_address(server: Greeter, http: aiohttp.ClientSession) -> None:
    address = server.url
    async with http.get(address) as response:
        assert response.status == 200
    await server.go_down()
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.get(address)
    assert not server.listening
    await server.come_back()
    assert server.url == address
    async with http.get(address) as response:
        assert response.status == 200


async def test_failing_a_number_of_times_ends_by_itself(server: Greeter, http: aiohttp.ClientSession) -> None:
    server.fail_with(503, times=2, headers={"Retry-After": "7"}, body=b"busy")
    answers = []
    for _ in range(3):
        async with http.get(server.url) as response:
            answers.append((response.status, response.headers.get("Retry-After"), await response.text()))
    assert answers == [(503, "7", "busy"), (503, "7", "busy"), (200, None, "hello 0")]
    assert server.refusals == [("GET", 503), ("GET", 503)]


async def test_failing_without_a_number_lasts_until_healed(server: Greeter, http: aiohttp.ClientSession) -> None:
    server.fail_with(500)
    for _ in range(3):
        async with http.get(server.url) as response:
            assert response.status == 500
    server.heal()
    async with http.get(server.url) as response:
        assert response.status == 200


async def test_a_slow_server_outlasts_an_impatient_client(server: Greeter, http: aiohttp.ClientSession) -> None:
    server.slow_down(30)
    with pytest.raises(TimeoutError):
        await http.get(server.url, timeout=aiohttp.ClientTimeout(total=0.05))


async def test_healing_lets_those_who_wait_go(server: Greeter, http: aiohttp.ClientSession) -> None:
    server.slow_down(30)

    asyncio.get_running_loop().call_later(0.05, server.heal)
    async with http.get(server.url, timeout=aiohttp.ClientTimeout(total=10)) as response:
        assert response.status == 200


async def test_requests_are_seen_without_their_credentials(server: Greeter, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{server.url}/?a=1", data=b"x", headers={"Authorization": "Bearer made-up"}):
        pass
    seen = server.seen[-1]
    assert (seen.method, seen.path, seen.query, seen.authorized) == ("POST", "/", "a=1", True)
    assert "made-up" not in repr(server.seen)


async def test_a_body_beyond_aiohttps_default_limit_is_taken(server: Greeter, http: aiohttp.ClientSession) -> None:
    async with http.post(server.url, data=io.BytesIO(b"x" * (3 * 1024 * 1024))) as response:
        assert await response.text() == f"hello {3 * 1024 * 1024}"


async def test_stopping_twice_does_nothing(server: Greeter) -> None:
    await server.stop()
    await server.stop()
    assert not server.listening


async def test_background_work_is_cancelled_when_stopped() -> None:
    forever = asyncio.Event()

    async def work() -> None:
        await forever.wait()

    background = Background(work(), name="test")
    assert background.running
    await background.stop()
    assert not background.running


async def test_background_work_that_failed_says_so_when_stopped() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        ended.set()
        raise LookupError("no such thing")

    background = Background(work(), name="test")
    await ended.wait()
    with pytest.raises(LookupError, match="no such thing"):
        await background.stop()


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 23, 0, 31, 19, 10_000, tzinfo=UTC), "2026-11-23T00:31:19.01Z"),
        (datetime(2026, 11, 23, 0, 31, 19, tzinfo=UTC), "2026-11-23T00:31:19Z"),
        (datetime(2026, 11, 23, 1, 31, 19, 507_000, tzinfo=timezone(timedelta(hours=1))), "2026-11-23T00:31:19.507Z"),
    ],
)
def test_times_are_written_as_go_writes_them(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text
