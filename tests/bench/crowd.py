"""A proxy before the sandbox Argo CD that shows many more applications in its lists than there are; every other call goes through as it is.

Asked about one of its own it answers as the sandbox does about the shop that it is `like`, under its own name; without one it is not there. It writes down
how long each call took (the server's time, which is not ours), how often the list was asked for, and when anything else was.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp import web

LIST = "/api/v1/applications"
OWN = re.compile(r"crowd-\d{5}")
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"})


class Crowd:
    """`count` synthetic applications named `crowd-00000` and so on, each with objects of its own, beside the real ones."""

    def __init__(self, upstream: str, count: int) -> None:
        self._upstream = upstream
        self.count = 0
        self.busy: list[tuple[float, float]] = []
        self.busy_on_the_way: list[tuple[float, float]] = []
        """That part of it in which it worked on what carries an operation's trace."""
        self.lists = 0
        self.traced = 0
        """Requests that carry an operation's trace: its own way, without what the watch and the captures ask beside it."""
        self.rollbacks: list[tuple[float, str]] = []
        """When a rollback was asked for, and of which application."""
        self.like = ""
        self.asked: list[float] = []
        """When anything was asked for but the list, the watch, and what carries an operation's trace: what keeping readiness asks in a quiet world."""
        self._shown: Sequence[bytes] = ()
        self.grow(count)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    def grow(self, count: int) -> None:
        """So many there are from now on."""
        self.count = count
        self._shown = [json.dumps(item).encode() for item in self.items()]

    async def start(self) -> None:
        """Listen on loopback."""
        self._session = aiohttp.ClientSession(auto_decompress=True)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        traced = "traceparent" in request.headers
        self.traced += traced
        if not traced and request.path != LIST and not request.path.startswith("/api/v1/stream/"):
            self.asked.append(began)
        if request.method == "POST" and request.path.endswith("/rollback"):
            self.rollbacks.append((began, request.path.split("/")[-2]))
        try:
            return await self._answer(request)
        finally:
            took = (began, time.perf_counter())
            self.busy.append(took)
            if traced:
                self.busy_on_the_way.append(took)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            raise RuntimeError("start the proxy first")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = await request.read()
        timeout = aiohttp.ClientTimeout(total=None)
        own = OWN.search(request.raw_path) if self.like else None
        path = request.raw_path.replace(own[0], self.like) if own else request.raw_path
        async with self._session.request(
            request.method, f"{self._upstream}{path}", data=body or None, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            if request.path.startswith("/api/v1/stream/"):
                return await self._stream(request, answer, kept)
            raw = await answer.read()
            if own:
                raw = named(raw, self.like, own[0])
            if request.path == LIST and request.method == "GET" and answer.status == 200:
                self.lists += 1
                raw = self._with_crowd(raw)
            return web.Response(status=answer.status, body=raw, headers=kept)

    @staticmethod
    async def _stream(request: web.Request, answer: aiohttp.ClientResponse, headers: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        return response

    def _with_crowd(self, raw: bytes) -> bytes:
        document: dict[str, Any] = json.loads(raw)
        head, tail = json.dumps({**document, "items": []}).encode().split(b'"items": []', 1)
        items = [*(json.dumps(item).encode() for item in document.get("items") or []), *self._shown]
        return head + b'"items": [' + b", ".join(items) + b"]" + tail

    def items(self) -> Sequence[Mapping[str, Any]]:
        """The synthetic items, as the projected list shows them; always the same, so that nothing about them ever changes."""
        return [_item(f"crowd-{number:05}") for number in range(self.count)]


def named(raw: bytes, one: str, other: str) -> bytes:
    """The body with the other name wherever the one stands as a whole text, also within JSON that is a text, and in its image; what Git calls it stays."""
    raw = raw.replace(f"/shop/{one}@sha256:".encode(), f"/shop/{other}@sha256:".encode())
    for quote in (b'"', b'\\"'):
        known = re.escape(quote + one.encode() + quote)
        raw = re.sub(rb'(?<!"path":)(?<!"path": )' + known, lambda _: quote + other.encode() + quote, raw)  # noqa: B023  used in the same round
    return raw


def _item(name: str) -> Mapping[str, Any]:
    resources = [
        {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": name, "status": "Synced"},
        {"version": "v1", "kind": "Service", "namespace": name, "name": name, "status": "Synced"},
    ]
    return {
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": name}},
        "status": {
            "sync": {"status": "Synced", "revision": "c" * 40},
            "health": {"status": "Healthy"},
            "resources": resources,
            "summary": {"images": [f"registry.example/{name}@sha256:{'d' * 64}"]},
        },
    }
