"""Projects an ended span of an operation to OTLP bytes, once and for ever: the same draft gives the same bytes, on any machine.

Nothing of the process is in them (no host, no instance, no random id), values are cut and cleared of secrets, and whatever cannot be said in OTLP becomes
an attribute rather than an error: the record must not be the reason why an operation stops. Storing, sending and reading are left to others.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from service.audit import names
from service.domain import spans
from service.domain.model import Operation
from service.domain.ports import SpanDraft
from service.domain.secrets import REMOVED, clear
from service.domain.spans import span_id, trace_id

__all__ = ["LIMIT", "REMOVED", "OtlpEncoder", "span_id", "trace_id"]

LIMIT: Final = 4096
"""Bytes of UTF-8 that one value may have: backends cut longer ones, each in its own way."""

Scalar = str | int | float | bool

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = 1 << 63
_TRACEPARENT = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?", re.ASCII)
_SEARCHABLE = frozenset({spans.ACCEPTED, spans.COMPLETED})


@dataclass(frozen=True, slots=True)
class OtlpEncoder:
    """Implements SpanEncoder. `version` and `environment` ("" = not told) go into the resource, which holds nothing else but the service's name.

    Raises ValueError for a time without a zone and TypeError for a value that is no scalar: both are mistakes of the caller, not of the world.
    """

    version: str
    environment: str = ""

    def encode(self, operation: Operation, draft: SpanDraft) -> tuple[str, bytes]:
        """Its span id (16 hex) and an ExportTraceServiceRequest with this one span. What the draft says about a search key wins over the operation's row.

        The end of a hold may come weeks after the operation: it is the root of a trace of its own (of its hold), linked to the operation's root.
        """
        keys: dict[str, Scalar] = {spans.TARGET: str(operation.target), spans.INCIDENT_ID: operation.incident_id or "", spans.OPERATION_ID: operation.id}
        if spans.place(draft.path) == spans.ROOT or draft.name in _SEARCHABLE:
            keys |= {
                spans.OPERATION_KIND: operation.kind.value,
                spans.MODE: operation.mode.word,
                spans.ACTOR: str(operation.requested_by),
                spans.ACTOR_KIND: operation.requested_by.kind,
                spans.SUSPECT_KEY: operation.suspect_key or "",
                spans.GOAL_KEY: operation.goal_key or "",
                spans.OUTCOME: operation.outcome.value if operation.outcome else "",
            }
        told = keys | {key: value for key, value in draft.attributes.items() if value != ""}
        if draft.name == spans.HOLD_END:
            hold = f"hold\0{told.get(spans.HOLD_ID, operation.id)}"
            return self.encode_for(hold, replace(draft, path=spans.ROOT, attributes=told, links=(spans.traceparent(operation.id), *draft.links)))
        return self.encode_for(operation.id, replace(draft, attributes=told))

    def encode_for(self, subject: str, draft: SpanDraft) -> tuple[str, bytes]:
        """The same for the trace of any subject: nothing is added to what the draft says."""
        path = spans.place(draft.path)
        own = span_id(subject, path)
        values, removed = _Values(), 0
        for key, value in draft.attributes.items():
            removed += values.put(key, value)
        removed += values.put(spans.SAYS, draft.says)
        name, in_name = _fit(draft.name)
        links, malformed = _links(draft.links)
        removed += in_name + values.put(names.LINKS_MALFORMED, " ".join(malformed))
        started, ended = _nanoseconds(draft.started_at), _nanoseconds(draft.ended_at)
        if ended < started:
            values.put(names.CLOCK_STEPPED, (ended - started) / 1e9)
        if removed:
            values.put(names.SECRETS_REMOVED, removed)
        request = encode_spans(
            [
                ReadableSpan(
                    name=name,
                    context=_context(subject, own),
                    parent=_context(subject, span_id(subject, path[:-1])) if path else None,
                    resource=self._resource(),
                    attributes=values.in_order(),
                    links=links,
                    kind=SpanKind.CLIENT if draft.client else SpanKind.INTERNAL,
                    status=Status(StatusCode.ERROR, _fit(draft.says)[0]) if draft.failed else Status(StatusCode.UNSET),
                    start_time=started,
                    end_time=max(started, ended),
                    instrumentation_scope=InstrumentationScope(name=names.SCOPE, version=self.version, schema_url=names.SCHEMA_URL),
                ),
            ]
        )
        return own, request.SerializeToString(deterministic=True)

    def _resource(self) -> Resource:
        told = {names.DEPLOYMENT_ENVIRONMENT: self.environment, names.SERVICE_NAME: names.SERVICE, names.SERVICE_VERSION: self.version}
        return Resource({key: value for key, value in told.items() if value})


class _Values:
    """Attributes on their way into a span: cleared, cut, in range, and none that says nothing."""

    def __init__(self) -> None:
        self._values: dict[str, Scalar] = {}

    def put(self, key: str, value: Scalar) -> int:
        """Add a value; answers how many secrets were taken out of it."""
        match value:
            case bool() | float():
                self._values[key] = value
            case int():  # the SDK drops what does not fit into 64 bits with a log line only
                self._values[key] = int(value) if -_INT64 <= value < _INT64 else str(int(value))
            case "":
                self._values.pop(key, None)
            case str():
                self._values[key], removed = _fit(value)
                return removed
            case _:
                raise TypeError(f"{key} is a {type(value).__name__}: a span's attribute is a text, a number or a bool")
        return 0

    def in_order(self) -> Mapping[str, Scalar]:
        return dict(sorted(self._values.items()))


def _fit(text: str) -> tuple[str, int]:
    """The text as it may be stored, and how many secrets were taken out. Half a surrogate pair, which JSON can carry and UTF-8 cannot, is spelled out."""
    cleared, removed = clear(str(text).encode("utf-8", "backslashreplace").decode())
    encoded = cleared.encode()
    if len(encoded) <= LIMIT:
        return cleared, removed
    note = f"… [cut: {len(encoded)} bytes, sha256:{hashlib.sha256(encoded).hexdigest()}]"
    return encoded[: LIMIT - len(note.encode())].decode("utf-8", "ignore") + note, removed


def _nanoseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone, so nobody knows when it was")
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _context(subject: str, own: str) -> SpanContext:
    return SpanContext(int(trace_id(subject), 16), int(own, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _links(traceparents: Iterable[str]) -> tuple[tuple[Link, ...], tuple[str, ...]]:
    """The links, each once, and the traceparents that are none. They come from outside and prove nothing."""
    links: list[Link] = []
    malformed: list[str] = []
    for text in dict.fromkeys(traceparents):
        found = _TRACEPARENT.fullmatch(text)
        if (
            found is None
            or found["version"] == "ff"
            or (found["version"] == "00" and found["more"])
            or not (found["trace"].strip("0") and found["span"].strip("0"))
        ):
            malformed.append(text)
            continue
        context = SpanContext(int(found["trace"], 16), int(found["span"], 16), is_remote=True, trace_flags=TraceFlags(int(found["flags"], 16)))
        links.append(Link(context))
    return tuple(links), tuple(malformed)
