"""The HTTP edge: content type, bodies, tokens, deadlines, error answers, gzip, and the faults that live on the wire (contract 2).

A handler gets a `Call` and returns the JSON body or raises `RefusedError`; it never sees aiohttp.
"""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from integrations.sandbox.argocd.access import Access, Caller
from integrations.sandbox.argocd.messages import ANY, Message, read
from integrations.sandbox.argocd.settings import Faults
from integrations.sandbox.argocd.status import DEADLINE, UNAUTHENTICATED, Json, RefusedError

_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GZIP_FROM: Final = 1400
_CACHED: Final = frozenset({"resource-tree", "managed-resources", "manifests"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: path parts, query, checked body, caller (None only where an endpoint needs none)."""

    parts: dict[str, str]
    query: dict[str, list[str]]
    body: Json
    known_caller: Caller | None

    @property
    def caller(self) -> Caller:
        """The authenticated caller."""
        if self.known_caller is None:
            raise RefusedError(UNAUTHENTICATED, "no session information")
        return self.known_caller

    def one(self, name: str, default: str = "") -> str:
        """First value of a query parameter."""
        return self.query.get(name, [default])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request that was served: `user` is whose token it carried ("" for none), `began` in seconds of the monotonic clock, `seconds` until the answer."""

    method: str
    path: str
    user: str
    began: float
    seconds: float


SERVED_KEPT: Final = 100_000

Handler = Callable[[Call], Awaitable[Json]]


class Edge:
    """Wraps handlers for aiohttp."""

    def __init__(self, access: Access, faults: Faults) -> None:
        self._access = access
        self._faults = faults
        self.busy: set[asyncio.Transport | None] = set()
        """Connections with a call under way."""
        self.served: deque[Served] = deque(maxlen=SERVED_KEPT)

    def unary(
        self, handle: Handler, *, message: Message = ANY, anonymous: bool = False, cookie: bool = False
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """An ordinary call. Body errors come before 401, as the gateway parses first. `cookie`: the answer's token is set as one too."""

        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                call = await self.call(request, message=message, anonymous=anonymous)
                async with asyncio.timeout(_deadline(request.headers.get("Grpc-Timeout", ""))):
                    await self._kubernetes(request)
                    body = await handle(call)
            except TimeoutError:
                return answer(request, 504, RefusedError(DEADLINE, "context deadline exceeded").unary())
            except RefusedError as refusal:
                return answer(request, refusal.http_status, refusal.unary())
            response = answer(request, 200, body)
            if cookie:
                response.headers.add("Set-Cookie", f"argocd.token={body['token']}; path=/; SameSite=lax; httpOnly")
            return response

        return serve

    async def _kubernetes(self, request: web.Request) -> None:
        """Wait for a Kubernetes API that hangs, where the answer is read from it live and not from a cache."""
        live = "/applications/" in request.path and request.path.rpartition("/")[2] not in _CACHED
        while live and self._faults.kube_hangs:  # noqa: ASYNC110  faults are plain fields that tests set at any time
            await asyncio.sleep(0.02)

    async def call(self, request: web.Request, *, message: Message = ANY, anonymous: bool = False) -> Call:
        """Read and authenticate a request."""
        body = read(await request.read(), message) if request.method in {"POST", "PUT", "PATCH"} else {}
        token = self._access.find_token(request.headers, request.cookies)
        caller: Caller | None
        try:
            caller = self._access.authenticate(token)
        except RefusedError:
            if not anonymous:
                raise
            caller = None
        query: dict[str, list[str]] = {}
        for name, value in request.query.items():
            query.setdefault(name, []).append(value)
        return Call(parts=dict(request.match_info), query=query, body=body, known_caller=caller)

    @web.middleware
    async def note(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Write down who asked for what and how long it took, whatever the answer was."""
        began, transport = time.perf_counter(), request.transport
        self.busy.add(transport)
        try:
            return await handler(request)
        finally:
            self.busy.discard(transport)
            seconds = time.perf_counter() - began
            self.served.append(Served(method=request.method, path=request.path, user=self._user(request), began=began, seconds=seconds))

    def _user(self, request: web.Request) -> str:
        try:
            return self._access.authenticate(self._access.find_token(request.headers, request.cookies)).subject
        except RefusedError:
            return ""

    @web.middleware
    async def guard(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Faults first, then the content type, then aiohttp's own 404 and 405 in Argo CD's words."""
        faults = self._faults
        await self.while_hanging()
        if faults.slow_by:
            await asyncio.sleep(faults.slow_by)
        if faults.drop_requests > 0:
            faults.drop_requests -= 1
            return _hang_up(request)
        if request.method not in {"GET", "HEAD", "OPTIONS"} and request.headers.get("Content-Type") != "application/json":
            return web.Response(status=415, text="Invalid content type\n", content_type="text/plain", charset="utf-8")
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            text = "Not Found\n" if request.path.startswith("/api/") else "404 page not found\n"
            return web.Response(status=404, text=text, headers={"Vary": "Accept-Encoding"})
        except web.HTTPMethodNotAllowed:
            return web.Response(status=405, text="Method Not Allowed\n", headers={"Vary": "Accept-Encoding"})
        await self.while_hanging()
        if request.method != "GET" and faults.lose_answers > 0:
            faults.lose_answers -= 1
            return _hang_up(request)
        return response

    async def while_hanging(self) -> None:
        """Wait for as long as the server is stopped where it stands: it neither reads nor writes."""
        while self._faults.api_hangs:  # noqa: ASYNC110  faults are plain fields that tests set at any time
            await asyncio.sleep(0.02)


def answer(request: web.Request, status: int, body: Json) -> web.Response:
    """A JSON answer with the gateway's headers."""
    headers = {"Vary": "Accept-Encoding"} | ({"Grpc-Metadata-Content-Type": "application/grpc"} if status == 200 else {})
    raw = json.dumps(body, separators=(",", ":")).encode()
    response = web.Response(status=status, body=raw, content_type="application/json", headers=headers)
    if len(raw) >= _GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _deadline(text: str) -> float | None:
    found = re.fullmatch(r"(\d{1,8})([HMSmun])", text)
    return int(found[1]) * _UNITS[found[2]] if found else None
