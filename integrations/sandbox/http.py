"""Runs a stand-in's aiohttp routes on loopback, with the faults every server can have: away, slow, answering an error.

What a server says, and the faults only it can have, are left to the stand-ins themselves.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from integrations.sandbox.ports import HOST, spare_port

MAX_BODY_BYTES = 32 * 1024 * 1024
SEEN_KEPT = 4096


def rfc3339(moment: datetime) -> str:
    """The moment in UTC as Go writes it: trailing zeros of the fraction dropped, no fraction when it is zero."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived; whether a credential came with it, never which."""

    method: str
    path: str
    query: str
    authorized: bool


@dataclass(slots=True, kw_only=True)
class _Failure:
    status: int
    left: int | None  # None: until healed
    headers: Mapping[str, str]
    body: bytes
    content_type: str


class LoopbackServer:
    """One aiohttp application on 127.0.0.1. The port is chosen at the first start and kept, so that coming back is coming back to the same address."""

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._runner: web.AppRunner | None = None
        self._failure: _Failure | None = None
        self._delay = 0.0
        self._healed = asyncio.Event()
        self.seen: deque[Seen] = deque(maxlen=SEEN_KEPT)
        self.busy: deque[tuple[float, float]] = deque(maxlen=SEEN_KEPT)
        """When a request came and when it was answered, in seconds of the monotonic clock: what of a client's time was the server's."""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, known once started."""
        if not self._port:
            raise RuntimeError("the server was not started, so it has no address yet")
        return f"http://{HOST}:{self._port}"

    @property
    def listening(self) -> bool:
        """Whether connections are accepted now."""
        return self._runner is not None

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """The routes served; a stand-in gives its own."""
        return ()

    async def start(self) -> str:
        """Listen and answer the url. Starting twice is a mistake of the caller: RuntimeError."""
        if self._runner is not None:
            raise RuntimeError("the server is already listening")
        self._healed = asyncio.Event()
        app = web.Application(middlewares=[self._faults], client_max_size=MAX_BODY_BYTES)
        app.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            self._port = self._port or spare_port()
            site = web.TCPSite(runner, HOST, self._port)
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return self.url

    async def stop(self) -> None:
        """Close the port and every connection; stopping a stopped server does nothing."""
        runner, self._runner = self._runner, None
        self._healed.set()
        if runner is not None:
            await runner.cleanup()

    async def go_down(self) -> None:
        """Fault: connections are refused until `come_back`. What the server knows is kept."""
        await LoopbackServer.stop(self)

    async def come_back(self) -> None:
        """End of `go_down`: the same address answers again."""
        if self._runner is None:
            await LoopbackServer.start(self)

    def fail_with(
        self, status: int, *, times: int | None = None, headers: Mapping[str, str] | None = None, body: bytes = b"", content_type: str = "text/plain"
    ) -> None:
        """Fault: the next `times` requests (None: all until `heal`) are answered with this and reach nothing behind it."""
        self._failure = _Failure(status=status, left=times, headers=dict(headers or {}), body=body, content_type=content_type)

    def slow_down(self, seconds: float) -> None:
        """Fault: each request waits this long before it is answered; `heal` and `stop` let those waiting go."""
        self._delay = seconds
        self._healed.clear()

    def heal(self) -> None:
        """End the faults `fail_with` and `slow_down`."""
        self._failure = None
        self._delay = 0.0
        self._healed.set()

    async def refused(self, request: web.Request, status: int) -> None:
        """Called with each request that `fail_with` answers, before the answer; for stand-ins that keep what they refuse."""

    @web.middleware
    async def _faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.seen.append(Seen(method=request.method, path=request.path, query=request.query_string, authorized="Authorization" in request.headers))
        began = time.perf_counter()
        try:
            return await self._after_faults(request, handler)
        finally:
            self.busy.append((began, time.perf_counter()))

    async def _after_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._delay:
            with contextlib.suppress(TimeoutError):  # a timeout is the delay being over
                await asyncio.wait_for(self._healed.wait(), timeout=self._delay)
        failure = self._failure
        if failure is None or failure.left == 0:
            return await handler(request)
        if failure.left is not None:
            failure.left -= 1
        await self.refused(request, failure.status)
        return web.Response(status=failure.status, headers=failure.headers, body=failure.body, content_type=failure.content_type)


class Background:
    """One task that runs beside a stand-in: the reference is kept, and what it failed with is raised when it is stopped."""

    def __init__(self, work: Coroutine[None, None, None], *, name: str) -> None:
        # A TaskGroup would tie the task to whoever called start(), which in a test is a fixture that has long returned.
        self._task = asyncio.get_running_loop().create_task(work, name=name)

    @property
    def running(self) -> bool:
        """Whether the work still goes on; False after it ended or failed."""
        return not self._task.done()

    async def stop(self) -> None:
        """Cancel the work and wait for its end; raises what it failed with, if it failed by itself."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (failure := self._task.exception()) is not None:
            raise failure
