"""A stream of server-sent events: the audit rows of one subject, what it is now, and its end.

https://html.spec.whatwg.org/multipage/server-sent-events.html: `id` is the row's number, so that `Last-Event-ID` resumes behind it. Events of the type
`message` are audit rows, `state` is the subject as lists show it, `end` is that too and the last one. docs/api.md tells it to callers.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from service.api import views
from service.api.auth import authenticate
from service.api.edge import Call, number
from service.api.live import Subject
from service.api.problems import ProblemError
from service.domain.model import Json

MEDIA_TYPE = "text/event-stream"

RETRY = 2000
"""Milliseconds after which a client that lost the stream asks again."""

PATIENCE = 20.0
"""Seconds for a reader to take what was written; one that does not is let go, for it holds a place."""


async def stream(call: Call, subject: Subject, show: Callable[[Subject], views.View]) -> web.StreamResponse:
    """Answer with the subject's events until it is over, the caller leaves, its token ends, or the service goes down."""
    sent = _last(call)
    with call.parts.live.place(call.caller.subject):
        async with call.parts.live.feed(subject) as (feed, change):
            response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Authorization, Accept"})
            response.content_type = MEDIA_TYPE
            with suppress(ConnectionError, TimeoutError):
                await response.prepare(call.request)
                await _write(response, f"retry: {RETRY}\n\n")
                stamp = 0
                while True:
                    stamp, news = feed.stamp, feed.stamp != stamp
                    rows, now, over = feed.rows[sent:], feed.now, feed.over
                    for row in rows:
                        sent += 1
                        await _write(response, event("", views.event(sent, row), identity=sent))
                    if news:
                        await _write(response, event("end" if over else "state", show(now)))
                    if over or call.parts.drain.begun:
                        break
                    if feed.stamp == stamp and not await change():
                        if not await _still_welcome(call):
                            break
                        await _write(response, ": still here\n\n")
                await response.write_eof()
            return response


def event(kind: str, data: Json, *, identity: int = 0) -> str:
    """One event; `kind` "" is the standard's `message`."""
    lines = [f"id: {identity}"] if identity else []
    lines += [f"event: {kind}"] if kind else []
    return "\n".join([*lines, f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}", "", ""])


def _last(call: Call) -> int:
    """The number of the last row that the caller has: what a browser sends by itself when it reconnects, else `?after=`."""
    header = call.request.headers.get("Last-Event-ID", "").strip()
    return number({"Last-Event-ID": header}, "Last-Event-ID", default=0, low=0, high=2**53) if header else call.after()


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        await response.write(text.encode("utf-8", "replace"))


async def _still_welcome(call: Call) -> bool:
    """A token that expired, or whose key was taken out of the file, ends its stream too."""
    try:
        await authenticate(call.request.headers.get("Authorization", ""), call.parts.verifier)
    except ProblemError:
        return False
    return True
