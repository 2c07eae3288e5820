"""A sink for webhooks: takes every POST on any path, keeps it, and shows the list at `/`.

Credentials are kept only as "there was one" and its SHA-256, so that a test can tell two apart without anything printing one.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from integrations.sandbox.http import LoopbackServer, rfc3339
from service.domain.ports import Clock

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One POST: when, where, its headers (names in lower case, without credentials), its JSON body, and the status it was answered with."""

    received_at: datetime
    path: str
    headers: Mapping[str, str]
    authorized: bool
    credential_sha256: str | None
    body: Json
    raw: bytes
    answered: int


class NotificationSink(LoopbackServer):
    """Keeps webhooks. POST with a JSON body -> 202; a body that is not JSON -> 400 and nothing is kept. `fail_with(status)` still keeps the POST."""

    def __init__(self, *, clock: Clock, port: int = 0) -> None:
        super().__init__(port=port)
        self._clock = clock
        self._received: list[Notification] = []
        self._arrived = asyncio.Condition()

    @property
    def received(self) -> Sequence[Notification]:
        """Every POST, oldest first, the refused ones too."""
        return tuple(self._received)

    @property
    def delivered(self) -> Sequence[Notification]:
        """The POSTs that were answered 2xx, oldest first."""
        return tuple(notification for notification in self._received if 200 <= notification.answered < 300)

    async def wait_for(self, count: int, *, within_s: float = 5.0) -> Sequence[Notification]:
        """The first `count` delivered POSTs, waiting for them if need be; TimeoutError when they do not come."""

        async def enough() -> None:
            async with self._arrived:
                await self._arrived.wait_for(lambda: len(self.delivered) >= count)

        await asyncio.wait_for(enough(), timeout=within_s)
        return self.delivered[:count]

    def clear(self) -> None:
        """Forget what was received."""
        self._received.clear()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """`GET /` lists, `POST` anywhere stores."""
        return (web.get("/", self._list), web.post("/{path:.*}", self._store))

    async def refused(self, request: web.Request, status: int) -> None:
        """A refused POST is kept too, with the status it got: a retry must be visible as a retry."""
        if request.method == "POST":
            raw = await request.read()
            try:
                body = json.loads(raw)
            except ValueError:
                return
            await self._keep(request, raw, body, status)

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "received_at": rfc3339(notification.received_at),
                    "path": notification.path,
                    "headers": dict(notification.headers),
                    "authorized": notification.authorized,
                    "answered": notification.answered,
                    "body": notification.body,
                }
                for notification in self._received
            ]
        )

    async def _store(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError as bad:
            return web.json_response({"error": f"the body is not JSON: {bad}"}, status=400)
        await self._keep(request, raw, body, 202)
        return web.json_response({"stored": len(self._received)}, status=202)

    async def _keep(self, request: web.Request, raw: bytes, body: Json, status: int) -> None:
        credential = request.headers.get("Authorization")
        notification = Notification(
            received_at=self._clock.now(),
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items() if name.lower() not in _SECRET_HEADERS},
            authorized=credential is not None,
            credential_sha256=None if credential is None else hashlib.sha256(credential.encode()).hexdigest(),
            body=body,
            raw=raw,
            answered=status,
        )
        async with self._arrived:
            self._received.append(notification)
            self._arrived.notify_all()
