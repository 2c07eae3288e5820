"""The network between Backout and its delivery system, inside one process: requests are lost, late, slow or doubled, answers are lost, and all of it is seen.

Takes the place of `integrations.http.Http` under the real adapter; at the other end is a sandbox, which its contract suite keeps honest.
"""

import asyncio
import json as json_module
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from integrations.http import Answer, UnreachedError
from service.domain.errors import TemporaryError
from tests.chaos.fate import Fate, Trouble
from tests.chaos.process import ANSWERED, Process
from tests.chaos.stream import ChaosStream, Pipe

Told = Callable[[str, str, Mapping[str, Any]], tuple[str, str]]
"""Method, path and body of a writing request -> what kind of write it is, and which application it is about."""


@dataclass(slots=True, kw_only=True)
class Sent:
    """One writing request of Backout: when it was sent (seconds of the world, and by the sender's clock), what for, and what the server said if it came.

    `what` is the kind of write, in the words of `World.told`; `application` what it is about, "" where that says nothing of it.
    """

    number: int
    at: float
    clock: datetime
    operation: str
    method: str
    path: str
    body: Mapping[str, Any]
    process: str
    what: str
    application: str
    arrived: float | None = None
    status: int | None = None

    @property
    def taken(self) -> bool:
        """Whether the server did as told."""
        return self.status is not None and self.status < 300

    @property
    def pins(self) -> str:
        """The revision that it writes into the source, "" if none."""
        return next((str(one.get("value", "")) for one in self.patch if one["op"] != "test" and str(one["path"]).endswith("/targetRevision")), "")

    @property
    def patch(self) -> list[Mapping[str, Any]]:
        """The operations of a patch."""
        return list(json_module.loads(self.body["patch"])) if "patch" in self.body else []

    def __str__(self) -> str:
        fate = "lost" if self.arrived is None else f"{self.status}"
        return f"{self.method} {self.path} ({self.operation or 'no operation'}) -> {fate}"


class _Connection:
    """As much of a connection as a request asks of it that is never written to a socket."""

    ssl_context = None
    peername = ("127.0.0.1", 1)
    sockname = ("127.0.0.1", 2)
    transport = None


_NOBODY: Any = _Connection()
_NOTHING: Any = None


class Server:
    """A delivery system as a function from request to answer. `down` refuses every connection.

    `latest`: seconds after its sender gave up that a late request may still arrive; less than the adapter counts on.
    """

    def __init__(self, app: web.Application, *, address: str, latest: float) -> None:
        app.freeze()
        self._app = app
        self.address, self.latest = address, latest
        self._down = False
        self.streams: list[ChaosStream] = []

    @property
    def down(self) -> bool:
        """Whether it refuses connections."""
        return self._down

    @down.setter
    def down(self, value: bool) -> None:
        self._down = value
        for stream in [*self.streams] if value else ():
            stream.close("connection reset")

    async def serve(self, path: str, query: str, headers: Mapping[str, str], pipe: Pipe) -> web.StreamResponse:
        """Serve a request whose answer is written piece by piece; the response, when it ended."""
        response = await self._app._handle(self._request("GET", path, query, headers, b"", pipe))  # noqa: SLF001  what a server calls for each request
        if response.prepared:
            await pipe.write_eof()
        return response

    async def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Serve one request."""
        response = await self._app._handle(self._request(method, path, query, headers, body, _NOBODY))  # noqa: SLF001  what a server calls for each request
        assert isinstance(response, web.Response)
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status, headers=told, body=bytes(response.body or b""), url=f"{self.address}{path}")  # type: ignore[arg-type]  # always bytes here

    def _request(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, writer: Any) -> web.Request:
        sent = CIMultiDictProxy(CIMultiDict({"Host": self.address.removeprefix("http://"), **headers}))
        where = URL(f"{path}?{query}" if query else path, encoded=True)
        message = RawRequestMessage(method, str(where), HttpVersion11, sent, (), False, None, False, False, where)
        loop: Any = asyncio.get_running_loop()
        request = web.Request(message, _NOTHING, _NOBODY, writer, _NOBODY, loop)
        request._read_bytes = body  # noqa: SLF001  it is read already
        return request


class Wire:
    """As much of `Http` as the adapter uses, for one process. `operation` names the operation at work."""

    def __init__(
        self, server: Server, process: Process, fate: Fate, *, credential: Mapping[str, str], log: list[Sent], operation: Callable[[], str], told: Told
    ) -> None:
        self._server = server
        self._process = process
        self._fate = fate
        self._credential = credential
        self._log = log
        self._operation = operation
        self._told = told

    def mark_of_credential(self) -> str:
        """One account for the whole schedule."""
        return "backout"

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | list[tuple[str, str]] | None = None,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  as `Http` has it
    ) -> Answer:
        """One exchange, or TemporaryError."""
        path, _, whole = path.partition("?")
        query = whole or urlencode(list(params.items()) if isinstance(params, Mapping) else params or [])
        body = json_module.dumps(json).encode() if json is not None else data or b""
        sent = {**({"Content-Type": "application/json"} if json is not None else {}), **self._credential, **(headers or {})}
        seconds = timeout or 10.0
        writes = method != "GET"
        if not writes:
            await self._process.alive()
        self._process.check()
        entry = self._entry(method, path, body) if writes else None
        leaving = f"{method} {path.removeprefix('/api/v1/applications')} is about to leave"
        if writes:  # who is frozen between the fence's word and this is frozen right after it: no time passes between them
            self._process.may_die(leaving, share=3.0)
        else:
            await self._process.point(leaving, share=0.3)

        async def serve(delay: float) -> Answer:
            await asyncio.sleep(delay)
            if self._server.down:
                raise UnreachedError(f"{self._server.address}{path} refuses connections")
            if writes and self._fate.strikes(Trouble.NEVER_BEGINS):
                return self._accepted(path)
            if entry is not None:
                entry.arrived = entry.arrived or asyncio.get_running_loop().time()
            answer = await self._server.answer(method, path, query, sent, body)
            if entry is not None:
                entry.status = answer.status
            if self._fate.strikes(Trouble.EMPTY):
                return Answer(status=200, headers={}, body=b"", url=f"{self._server.address}{path}")
            return answer

        answer = await self._exchange(serve, method, path, seconds)
        if writes and self._fate.strikes(Trouble.CRASH_AFTER_WRITE):
            self._process.kill(f"after {method} {path.removeprefix('/api/v1/applications')} was answered")
            self._process.check()
        await self._process.point(f"{method} {path.removeprefix('/api/v1/applications')} {ANSWERED}", share=3.0 if writes else 0.3)
        return answer

    async def _exchange(self, serve: Callable[[float], Any], method: str, path: str, seconds: float) -> Answer:
        fate, where = self._fate, f"{self._server.address}{path}"
        writes = method != "GET"
        if fate.strikes(Trouble.REQUEST_LOST):
            await asyncio.sleep(fate.between(0.0, seconds))
            raise TemporaryError(f"{where} did not answer (connection reset)")
        if fate.strikes(Trouble.UNAVAILABLE):
            status = fate.chance.choice((429, 502, 503))
            return Answer(status=status, headers={"content-type": "text/html"}, body=b"<html>try again</html>", url=where)
        if fate.strikes(Trouble.DENIED):
            said = json_module.dumps({"error": "permission denied", "code": 7, "message": "permission denied"}).encode()
            return Answer(status=403, headers={"content-type": "application/json"}, body=said, url=where)
        if writes and fate.strikes(Trouble.REQUEST_LATE):
            _ = self._world(serve(seconds + fate.between(0.0, self._server.latest)))
            await asyncio.sleep(seconds)
            raise TemporaryError(f"{where} did not answer within {seconds:g} s")
        delay = fate.between(0.5, seconds * 1.1) if fate.strikes(Trouble.SLOW) else fate.between(0.001, 0.05)
        exchange = self._world(serve(delay))
        if writes and fate.strikes(Trouble.DOUBLED):
            _ = self._world(serve(delay + fate.between(0.0, 5.0)))
        try:
            async with asyncio.timeout(seconds):
                answer: Answer = await asyncio.shield(exchange)
        except TimeoutError as error:
            raise TemporaryError(f"{where} did not answer within {seconds:g} s") from error
        if writes and fate.strikes(Trouble.ANSWER_LOST):
            raise TemporaryError(f"{where} did not answer (connection reset)")
        return answer

    def _entry(self, method: str, path: str, body: bytes) -> Sent:
        loop = asyncio.get_running_loop()
        told = json_module.loads(body) if body else {}
        what, application = self._told(method, path, told)
        entry = Sent(
            number=len(self._log),
            at=loop.time(),
            clock=self._process.clock.now(),
            operation=self._operation(),
            method=method,
            path=path,
            body=told,
            process=self._process.name,
            what=what,
            application=application,
        )
        self._log.append(entry)
        return entry

    def _accepted(self, path: str) -> Answer:
        """A start that was taken and comes to nothing, as far as anybody can see."""
        ref = json_module.dumps({"ref": f"{path}/01K00000000000000000000000"}).encode() if path == "/tasks" else b""
        return Answer(status=200, headers={"content-type": "application/json"} if ref else {}, body=ref, url=f"{self._server.address}{path}")

    @staticmethod
    def _world(work: Any) -> "asyncio.Task[Answer]":
        """What the server does goes on when the client is killed."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
        return task

    def stream(self, path: str, *, params: Mapping[str, str] | list[tuple[str, str]] | None = None, headers: Mapping[str, str] | None = None) -> ChaosStream:
        """An answer without an end."""
        query = urlencode(list(params.items()) if isinstance(params, Mapping) else params or [])
        return ChaosStream(self._server, self._process, self._fate, path, query, {**self._credential, **(headers or {})})

    async def close(self) -> None:
        """Nothing is open."""
