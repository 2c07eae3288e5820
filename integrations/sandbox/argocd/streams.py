"""The watch of applications: NDJSON or server-sent events (contract 2.4, 3.3).

Headers go out with the first message only. Identical messages in a row are sent once. RBAC is asked for each event, expiry never again.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import web

from integrations.sandbox.argocd import comparison
from integrations.sandbox.argocd.edge import Call, Edge, answer
from integrations.sandbox.argocd.objects import prune_paths, wire
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.read_calls import ReadCalls
from integrations.sandbox.argocd.status import Json, RefusedError

_BUFFER = 1000


class Streams:
    """Open watches; `stop` ends them, `none_open` is set while there is none."""

    def __init__(self, edge: Edge, tools: Machinery, reads: ReadCalls) -> None:
        self._edge = edge
        self._tools = tools
        self._reads = reads
        self._open: set[asyncio.Queue[tuple[str, Json] | None]] = set()
        self.none_open = asyncio.Event()
        self.none_open.set()

    def stop(self) -> None:
        """End every open watch."""
        for queue in self._open:
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def applications(self, request: web.Request) -> web.StreamResponse:
        """GET /stream/applications."""
        try:
            call = await self._edge.call(request)
            first = self._reads.visible(call) if call.one("name") or not call.one("resourceVersion") else []
        except RefusedError as refusal:
            return answer(request, refusal.http_status, refusal.streamed())
        queue: asyncio.Queue[tuple[str, Json] | None] = asyncio.Queue(_BUFFER)

        def heard(kind: str, _old: Json | None, app: Json) -> None:
            with contextlib.suppress(asyncio.QueueFull):  # a slow reader loses events silently, as in Argo CD
                queue.put_nowait((kind, app))

        self._tools.applications.listeners.append(heard)
        self._open.add(queue)
        self.none_open.clear()
        try:
            return await self._send(request, call, first, queue)
        finally:
            self._open.discard(queue)
            if not self._open:
                self.none_open.set()
            self._tools.applications.listeners.remove(heard)

    async def logs(self, request: web.Request) -> web.Response:
        """GET /applications/{n}/pods/{pod}/logs, without `follow`."""
        try:
            messages = self._reads.log_of(await self._edge.call(request))
        except RefusedError as refusal:
            return answer(request, refusal.http_status, refusal.streamed())
        raw = b"".join(json.dumps(message, separators=(",", ":")).encode() + b"\n" for message in messages)
        return web.Response(body=raw, content_type="application/json", headers={"Grpc-Metadata-Content-Type": "application/grpc", "Vary": "Accept-Encoding"})

    async def _send(self, request: web.Request, call: Call, first: list[Json], queue: asyncio.Queue[tuple[str, Json] | None]) -> web.StreamResponse:
        sse = "text/event-stream" in request.headers.get("Accept", "")
        kind = "text/event-stream" if sse else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind, "Grpc-Metadata-Content-Type": "application/grpc", "Vary": "Accept-Encoding"})
        fields, since = call.one("fields"), int(call.one("resourceVersion") or "0")
        sent: dict[str, bytes] = {}

        async def send(what: str, app: Json) -> None:
            health = comparison.resource_health(self._tools.cluster, app["status"].get("resources", []))
            message: Json = {"result": {"type": what, "application": wire(app, health)}}
            raw = json.dumps(prune_paths(message, fields) if fields else message, separators=(",", ":")).encode()
            if sent.get(app["metadata"]["name"]) == raw:
                return
            sent[app["metadata"]["name"]] = raw
            await self._edge.while_hanging()
            if not response.prepared:
                await response.prepare(request)
            await response.write(b"data: " + raw + b" \n\n\n" if sse else raw + b"\n")

        for app in first:
            await send("ADDED", app)
        async with self._keeping_alive(response, sse=sse):
            while (event := await queue.get()) is not None:
                what, app = event
                if int(app["metadata"]["resourceVersion"]) > since and self._reads.matches(call, app):
                    await send(what, app)
        if not response.prepared:
            await response.prepare(request)
        return response

    @contextlib.asynccontextmanager
    async def _keeping_alive(self, response: web.StreamResponse, *, sse: bool) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(self._tools.timings.keep_alive)
                if response.prepared:
                    await response.write(b":\n")

        async with asyncio.TaskGroup() as group:
            beats = group.create_task(beat()) if sse else None
            try:
                yield
            finally:
                if beats:
                    beats.cancel()
