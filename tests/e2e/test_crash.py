"""The real service killed with SIGKILL in the middle of its story, again and again: nothing accepted is lost, nothing is done twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from service.domain.errors import TemporaryError
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = pytest.mark.timeout(900)  # four starts of the service

APP = "checkout"


@pytest.fixture
async def ground(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Playground]:
    """On both databases, by changing one setting."""
    monkeypatch.setenv("BACKOUT_STORE", store_url)
    monkeypatch.setenv("BACKOUT_TAKEOVER_AFTER", "3s")  # on PostgreSQL the next process waits so long for the one that was killed
    playground = Playground(tmp_path, SystemClock())
    try:
        await playground.start({APP: "v2.4.6"})
        yield playground
    finally:
        await playground.stop()


async def application(ground: Playground) -> Any:
    return await ground.world.call("GET", f"/api/v1/applications/{APP}")


async def ours(ground: Playground) -> int:
    """Rollbacks as the target saw them."""
    history = (await application(ground))["status"]["history"]
    return sum(1 for entry in history if entry.get("initiatedBy", {}).get("username") == "backout")


async def test_promise_3_a_service_that_is_killed_at_every_turn_makes_one_rollback_and_ends_the_story(ground: Playground) -> None:
    async def begun() -> object:
        return await ground.operation_of(APP)

    async def auto_sync_stopped() -> object:
        return (await application(ground))["spec"]["syncPolicy"]["automated"].get("enabled") is False

    async def rolled_back() -> object:
        return await ours(ground)

    async def measuring() -> object:
        found = await ground.operation_of(APP)
        return found and (found["phase"] == "verify" or found["done_at"])  # it may be over before a slow machine looks again

    async def ended() -> object:
        found = await ground.operation_of(APP)
        return found if found and found["done_at"] else None

    good = await ground.world.live(APP)
    shipped = await ground.world.release(APP, "v2.5.0", errors=0.31)
    await ground.world.until_live(APP, shipped)
    turns: tuple[tuple[str, Callable[[], Awaitable[object]]], ...] = (
        ("an operation to begin", begun),
        ("auto-sync to be stopped", auto_sync_stopped),
        ("the rollback", rolled_back),
        ("the measuring", measuring),
    )
    for what, turn in turns:
        await ground.until(turn, 120, what)
        await ground.kill()
        await ground.serve()
    operation: Any = await ground.until(ended, 120, "the end")
    assert operation["outcome"] == "recovered"
    assert await ours(ground) == 1
    assert await ground.world.live(APP) == good
    assert len((await ground.get("/v1/operations"))["operations"]) == 1


class Gate:
    """Stands between the service and Argo CD, and passes everything on. `at` is called with each request that writes, and how to pass it on."""

    def __init__(self) -> None:
        self.url = self._to = ""
        self.passed: list[str] = []
        self.at: Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, to: str) -> None:
        self._to, self._session = to, aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None and self._session is not None:
            await self._runner.cleanup()
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        what = f"{request.method} {request.path}"
        answered: list[aiohttp.ClientResponse] = []
        body = await request.read()

        async def pass_on() -> None:
            assert self._session is not None
            headers = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "content-length", "transfer-encoding"}}
            answered.append(await self._session.request(request.method, f"{self._to}{request.path_qs}", data=body, headers=headers))
            if request.method != "GET":
                self.passed.append(what)

        if request.method != "GET" and self.at is not None:
            await self.at(what, pass_on)
        else:
            await pass_on()
        (answer,) = answered
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in {"content-length", "transfer-encoding", "connection"}}
        told = web.StreamResponse(status=answer.status, headers=kept)
        await told.prepare(request)
        async for chunk in answer.content.iter_any():
            await told.write(chunk)
        answer.release()
        return told


class Gated(Playground):
    """A playground whose service reaches Argo CD through a gate."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SystemClock())
        self.gate = Gate()

    async def serve(self) -> None:
        if not self.gate.url:
            await self.gate.start(self.world.argocd.url)
            text = self.config.read_text(encoding="utf-8")
            assert self.world.argocd.url in text
            self.config.write_text(text.replace(self.world.argocd.url, self.gate.url), encoding="utf-8")
        await super().serve()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process


@pytest.fixture
async def gated(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gated]:
    monkeypatch.setenv("BACKOUT_STORE", store_url)
    monkeypatch.setenv("BACKOUT_TAKEOVER_AFTER", "3s")
    playground = Gated(tmp_path)
    try:
        await playground.start({APP: "v2.4.6"})
        yield playground
    finally:
        await playground.stop()
        await playground.gate.stop()


async def story_ends(ground: Gated) -> Any:
    """Start the service again whenever it has ended, until the operation has."""
    async with asyncio.timeout(300):
        while True:
            with contextlib.suppress(TemporaryError, aiohttp.ClientError, OSError):
                if ground.process.returncode is not None:
                    await ground.serve()  # it may be killed again before it is ready, or has looked at its targets
                found = await ground.operation_of(APP)
                if found and found["done_at"]:
                    return found
            await asyncio.sleep(0.1)


@pytest.mark.timeout(900)
async def test_promise_3_a_service_that_is_killed_right_before_and_right_after_each_write_does_each_once(gated: Gated) -> None:
    """The first try of each write dies before it reaches Argo CD, the second one after Argo CD did it and before the answer is read."""
    tries: Counter[str] = Counter()

    async def deadly(what: str, pass_on: Callable[[], Awaitable[None]]) -> None:
        tries[what] += 1
        if tries[what] == 1:
            await gated.kill()
        await pass_on() if tries[what] > 1 else None
        if tries[what] == 2:
            await gated.kill()
        if tries[what] <= 2:
            raise web.HTTPServiceUnavailable

    good = await gated.world.live(APP)
    gated.gate.at = deadly
    shipped = await gated.world.release(APP, "v2.5.0", errors=0.31)
    await gated.world.until_live(APP, shipped)
    operation = await story_ends(gated)
    assert operation["outcome"] == "recovered"
    rollback = f"POST /api/v1/applications/{APP}/rollback"
    assert tries[rollback] == 2
    assert len(tries) >= 2
    assert all(count >= 2 for count in tries.values())
    assert gated.gate.passed.count(rollback) == 1
    assert await ours(gated) == 1
    assert await gated.world.live(APP) == good


@pytest.mark.timeout(900)
async def test_promise_3_a_service_that_is_sent_away_in_the_middle_of_a_step_ends_the_step_and_goes_on_after_the_next_start(gated: Gated) -> None:
    rollback = f"POST /api/v1/applications/{APP}/rollback"

    async def slowly(what: str, pass_on: Callable[[], Awaitable[None]]) -> None:
        await pass_on()
        if what == rollback and gated.process.returncode is None and gated.gate.passed.count(rollback) == 1:
            gated.process.terminate()
            await asyncio.sleep(0.8)  # the answer comes while the service goes down

    gated.gate.at = slowly
    shipped = await gated.world.release(APP, "v2.5.0", errors=0.31)
    await gated.world.until_live(APP, shipped)
    async with asyncio.timeout(120):
        assert await gated.process.wait() == 0
    assert gated.gate.passed.count(rollback) == 1
    operation = await story_ends(gated)
    assert operation["outcome"] == "recovered"
    assert gated.gate.passed.count(rollback) == 1
    assert await ours(gated) == 1
