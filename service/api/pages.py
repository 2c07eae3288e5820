"""Lists by pages: a cursor is the position of the last row that was looked at, so that nothing is missed or told twice when rows are added meanwhile.

It is opaque to callers and no secret: what a caller may see is asked for every row again.
"""

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from service.api import views
from service.api.edge import Answer, Call
from service.api.problems import ProblemError
from service.api.reads import Position

VERSION = 1

MORE = 200
"""Rows read at once for a caller who does not see every target."""

MOST = 5000
"""Rows looked at for one page: then it is short, or empty, and the next one goes on."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows and where the next ones begin; "" when these were the last."""

    rows: Sequence[Row]
    cursor: str = ""


async def page(
    call: Call, read: Callable[[Position | None, int], Awaitable[Sequence[Row]]], *, position: Callable[[Row], Position], sees: Callable[[Row], bool]
) -> Page[Row]:
    """The page that the request asks for. `read` gives rows behind a position, newest first; those that the caller may not see are passed over."""
    at = _position(call)
    limit, looked = call.limit(), 0
    found: list[Row] = []
    size = limit + 1 if call.caller.sees_all else max(limit + 1, MORE)
    while True:
        rows = await read(at, size)
        for row in rows:
            if len(found) == limit:
                return Page(rows=found, cursor=_cursor(call, at))
            at, looked = position(row), looked + 1
            if sees(row):
                found.append(row)
        if len(rows) < size:
            return Page(rows=found)
        if looked >= MOST:
            return Page(rows=found, cursor=_cursor(call, at))


def answer(call: Call, name: str, rows: Sequence[views.View], cursor: str, **more: views.View | bool | str | Sequence[views.View]) -> Answer:
    """The list with its cursor, in the body and as a Link (RFC 8288)."""
    headers = {"Link": f'<{call.request.rel_url.update_query(cursor=cursor)}>; rel="next"'} if cursor else {}
    return Answer(body={name: list(rows), "next_cursor": cursor or None, **more}, headers=headers)


def position_of(call: Call) -> tuple[str, ...]:
    """What the request's cursor holds, () without one; 400 for one that is none of ours, or of another list."""
    given = call.query.get("cursor")
    if given is None:
        return ()
    try:
        version, asked, *place = json.loads(base64.urlsafe_b64decode(given.encode("ascii") + b"=" * (-len(given) % 4)))
    except (ValueError, TypeError) as error:
        raise _bad("this is no cursor of this service") from error
    if version != VERSION or not place or not all(isinstance(one, str) for one in place):
        raise _bad("this is no cursor of this version")
    if asked != _asked(call):
        raise _bad("this cursor belongs to another list, or to other filters")
    return tuple(place)


def cursor(call: Call, *place: str) -> str:
    """The cursor for a place in the list that the request asks for."""
    return base64.urlsafe_b64encode(json.dumps([VERSION, _asked(call), *place], separators=(",", ":")).encode()).decode().rstrip("=")


def _cursor(call: Call, at: Position | None) -> str:
    return "" if at is None else cursor(call, at[0].isoformat(), at[1])


def _position(call: Call) -> Position | None:
    place = position_of(call)
    if not place:
        return None
    try:
        time, identity = place
        at = datetime.fromisoformat(time)
    except ValueError as error:
        raise _bad("this is no cursor of this list") from error
    if at.tzinfo is None:
        raise _bad("this is no cursor of this list")
    return at, identity


def _asked(call: Call) -> str:
    """Which list: the address and its filters; the size of a page may change in between."""
    filters = sorted((name, value) for name, value in call.query.items() if name not in {"cursor", "limit"})
    return hashlib.sha256(json.dumps([call.request.path, filters]).encode()).hexdigest()[:12]


def _bad(why: str) -> ProblemError:
    return ProblemError("invalid_cursor", f"{why}; begin again without cursor")
