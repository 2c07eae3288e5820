"""A service that answers from documents, over real HTTP on loopback, in a thread of its own. What it hears and says is judged by openapi.yaml (`contract`)."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.unit.service.cli import contract, documents

Doc = dict[str, Any]
Handler = Callable[["Heard"], "Said"]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One request. `path` is as it was sent, percent-encoded."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer; `drop` closes the connection without a word. `stream` is told as server-sent events, then the connection is closed, cleanly unless `drop`."""

    document: Any = None
    status: int = 200
    text: str | None = None
    stream: list[tuple[str, Doc]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    outside_contract: bool = False


class FakeService:
    """Keeps one operation that goes through `stages`: each long poll goes on to the next. `on(method, path, handler)` replaces one answer."""

    def __init__(self, token: str = "") -> None:
        self.heard: list[Heard] = []
        self.faults: list[str] = []
        self.token = token
        self.stages: list[Doc] = [documents.operation(), documents.ended()]
        self.events: list[Doc] = list(documents.EVENTS)
        self.plan: Doc = documents.plan()
        self.check: Doc = documents.check()
        self.targets: Doc = documents.targets()
        self.operations: list[Doc] = [documents.ended(), documents.waiting(id="op_" + "a" * 32)]
        self.holds: list[Doc] = [documents.hold()]
        self.orphans: list[Doc] = []
        self.trace: Doc = documents.trace()
        self.captures: Doc = documents.captures()
        self.reason = ""
        self._special: dict[tuple[str, str], Handler] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self.url = ""

    def on(self, method: str, path: str, handler: Handler) -> None:
        self._special[method, path] = handler

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self.faults, self.faults

    def asked(self, method: str, path: str) -> list[Heard]:
        return [one for one in self.heard if (one.method, one.path) == (method, path)]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{anything:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        heard = Heard(
            method=request.method,
            path=request.raw_path.partition("?")[0],
            query=dict(request.query),
            body=json.loads(raw) if raw else None,
            headers=dict(request.headers),
        )
        self.heard.append(heard)
        try:
            contract.check_request(heard.method.lower(), heard.path, heard.query, heard.body)
            said = self._said(heard)
            if not (said.outside_contract or said.drop or said.text is not None or said.stream is not None):
                contract.check_answer(heard.method.lower(), heard.path, said.status, said.document)
        except AssertionError as error:
            self.faults.append(str(error))
            said = Said(status=500, document=documents.problem(500, "internal_error", f"the fake broke the contract: {error}"))
        if said.stream is not None:
            return await self._tell(request, said.stream, drop=said.drop)
        if said.drop:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if said.text is not None:
            return web.Response(text=said.text, status=said.status, headers=said.headers)
        kind = "application/json" if said.status < 400 else "application/problem+json"
        return web.Response(text=json.dumps(said.document), status=said.status, content_type=kind, headers=said.headers)

    @staticmethod
    async def _tell(request: web.Request, events: list[tuple[str, Doc]], *, drop: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n: still here\n\n")
        for kind, data in events:
            contract.check_component(data, "Event" if kind == "message" else "Operation")
            head = f"id: {data['number']}\n" if kind == "message" else f"event: {kind}\n"
            await response.write(f"{head}data: {json.dumps(data)}\n\n".encode())
        if drop:
            assert request.transport is not None
            request.transport.close()
        return response

    def _said(self, heard: Heard) -> Said:
        special = self._special.get((heard.method, heard.path))
        if special:
            return special(heard)
        if self.token and heard.headers.get("Authorization") != f"Bearer {self.token}":
            return refusal(401, "invalid_token", "there is no valid token")
        document = self._document(heard)
        if document is None:
            return refusal(404, "not_found", f"there is no {heard.path.rpartition('/')[2]}")
        if isinstance(document, str):
            return Said(text=document, headers={"Content-Type": "text/markdown"})
        taken = heard.method == "POST" and heard.path.startswith("/v1/operations")
        return Said(document=document, status=201 if heard.path == "/v1/plans" else 202 if taken else 200)

    def _document(self, heard: Heard) -> Any:
        match heard.method, heard.path.removeprefix("/v1/").split("/"):
            case "GET", ["targets"]:
                return self.targets
            case "GET", ["targets", "prod%3Ateam-a%2Forders", "rollback-check"]:
                return self.check
            case "POST", ["plans"]:
                return self.plan
            case "GET", ["plans", _]:
                return "# rollback-2026-05-04\n- [ ] Stop auto-sync\n" if heard.headers.get("Accept") == "text/markdown" else self.plan
            case "GET", ["operations"]:
                prefix = heard.query.get("prefix", "")
                found = [one for one in self.operations if one["id"].startswith(prefix) or one["trace_id"].startswith(prefix)]
                return {"operations": found, "next_cursor": None}
            case "POST", ["operations"]:
                return self.stages[0]
            case "POST", ["operations", documents.OPERATION, "approve" | "override" | "reject" | "cancel" as verb]:
                if verb in {"approve", "override"} and self.stages[0]["phase"] == "awaiting_approval":
                    self.stages[0] = documents.operation(phase="decided")
                return self.stages[0]
            case "GET", ["operations", documents.OPERATION]:
                if "wait" in heard.query and len(self.stages) > 1:
                    self.stages.pop(0)
                return self.stages[0]
            case "GET", ["operations", documents.OPERATION, "events"]:
                newer = [one for one in self.events if one["number"] > int(heard.query.get("after", "0"))]
                return {"operation": documents.OPERATION, "state": self.stages[0]["state"], "rev": self.stages[0]["rev"], "events": newer}
            case "GET", ["operations", documents.OPERATION, "trace"]:
                return self.trace
            case "GET", ["operations", documents.OPERATION, "captures"]:
                return self.captures
            case "GET", ["incidents"]:
                return {"incidents": [documents.incident()], "next_cursor": None}
            case "GET", ["incidents", documents.INCIDENT]:
                return documents.incident(operations=[documents.ended()])
            case "GET", ["incidents", documents.INCIDENT, "events"]:
                return documents.incident_events()
            case "GET", ["alerts"]:
                return {"alerts": [documents.episode()], "next_cursor": None}
            case "GET", ["holds"]:
                return {"holds": self.holds, "orphans": self.orphans, "next_cursor": None}
            case "GET", ["holds", documents.HOLD]:
                return documents.full_hold()
            case "POST", ["holds", documents.HOLD, "end"]:
                return documents.ended_hold()
            case "GET", ["stop"]:
                return documents.switch(f"stopped by user:alice: {self.reason}" if self.reason else "")
            case "GET", ["stop", "events"]:
                return documents.stop_events()
            case "PUT", ["stop"]:
                self.reason = heard.body["reason"]
                return documents.switch(f"stopped by user:alice: {self.reason}")
            case "DELETE", ["stop"]:
                self.reason = ""
                return documents.switch()
            case _:
                return None


def refusal(status: int, code: str, detail: str, **more: Any) -> Said:
    return Said(status=status, document=documents.problem(status, code, detail, **more))
