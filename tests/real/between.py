"""Stands between Backout and the real Argo CD, so that a test can act in the one moment that matters: right before a request, or in an open watch.

Passes every byte on as it came; nothing of Argo CD is played here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

Do = Callable[[], Awaitable[None]]

_OF_ONE_CONNECTION = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})


class Between:
    """`url` is what Backout is given in place of Argo CD's own; use `between`."""

    def __init__(self, server: str, session: aiohttp.ClientSession) -> None:
        self._server, self._session = server, session
        self._before: list[tuple[str, str, Do]] = []
        self._streams: set[asyncio.Transport] = set()
        self.url = ""

    def before(self, method: str, ends: str, do: Do) -> None:
        """Do that once, when the next such request has arrived and before Argo CD sees it. `ends`: how its path ends."""
        self._before.append((method, ends, do))

    def cut(self) -> int:
        """End every open watch as a proxy does that has had enough: without a word. Answers how many there were."""
        for transport in self._streams:
            transport.abort()
        return len(self._streams)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, or one watch."""
        body = await request.read()
        for wanted in [one for one in self._before if one[0] == request.method and request.path.endswith(one[1])]:
            self._before.remove(wanted)
            await wanted[2]()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        address = URL(f"{self._server}{request.raw_path}", encoded=True)
        skip = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
        try:
            async with self._session.request(request.method, address, data=body or None, headers=headers, skip_auto_headers=skip) as answer:
                return await self._pass_on(request, answer)
        except aiohttp.ClientError:  # Argo CD is away, or went in the middle: so it looks to Backout too
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _pass_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        response = web.StreamResponse(status=answer.status, headers=kept)
        transport = request.transport if "/stream/" in request.path else None
        if transport is not None:
            self._streams.add(transport)
        try:
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        finally:
            if transport is not None:
                self._streams.discard(transport)
        return response


@asynccontextmanager
async def between(server: str) -> AsyncIterator[Between]:
    """On a free loopback port, as long as the block runs. `server`: Argo CD's own address."""
    async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)) as session:
        stands = Between(server, session)
        application = web.Application(client_max_size=16 * 1024**2)
        application.router.add_route("*", "/{path:.*}", stands.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        stands.url = f"http://{host}:{port}"
        try:
            yield stands
        finally:
            with contextlib.suppress(TimeoutError):
                await runner.cleanup()
