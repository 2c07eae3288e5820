"""The hash chain over the audit rows of a subject: each row's digest covers the one before it, so that a row changed, taken out or put in later shows.

It proves order and content against whoever can write single rows. Whoever can rewrite all of them can also compute a new chain: only a head kept
elsewhere (a notification, an export) tells, and `verify` takes it. Storing the digests is left to the store.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.domain.model import Json
from service.domain.ports import AuditEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Where a chain breaks: the first event, counted from 1, that does not follow from those before it, and a sentence."""

    number: int
    says: str


def link(previous: str, event: AuditEvent) -> str:
    """The digest to store with an event: sha256 over the previous digest (its 32 bytes; none for the first, "") and the event's canonical JSON, in hex."""
    return hashlib.sha256(bytes.fromhex(previous) + canonical(event)).hexdigest()


def canonical(event: AuditEvent) -> bytes:
    """The event as JSON that a round trip through a database leaves alone: keys sorted, ASCII, time as microseconds since the epoch.

    Raises ValueError for a time without a zone, TypeError for a body that is no JSON.
    """
    if event.at.tzinfo is None:
        raise ValueError(f"{event.at} has no time zone, so nobody knows when it was")
    at = (event.at - _EPOCH) // timedelta(microseconds=1)
    body = {"at": at, "body": _plain(event.body), "kind": event.kind, "says": event.says}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def verify(rows: Sequence[tuple[AuditEvent, str]], *, head: str = "") -> Broken | None:
    """None when every row (event, stored digest), in order, follows from the ones before it; else the first that does not.

    `head` is the last digest as kept elsewhere, if it was: without it nobody can see that rows are missing at the end.
    """
    previous = ""
    for number, (event, stored) in enumerate(rows, start=1):
        try:
            computed = link(previous, event)
        except (TypeError, ValueError) as bad:
            return Broken(number=number, says=f"event {number} cannot be read: {bad}")
        if computed != stored:
            return Broken(number=number, says=f"event {number} ({event.kind}) is not what was recorded, or one before it is gone")
        previous = computed
    if head and head != previous:
        number = len(rows) + 1
        return Broken(
            number=number, says=f"the last digest is not the one that was kept elsewhere: event {number} or later ones are gone, or all was rewritten"
        )
    return None


def _plain(value: Json) -> Json:
    """Keys as text and numbers that JSON has no word for as text, so that what is stored and what is hashed cannot differ."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value
