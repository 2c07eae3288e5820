"""A trace collector on loopback: takes OTLP over HTTP as Jaeger does, reads one trace back as Jaeger does, and notes what Jaeger would stumble over.

It keeps every span as the bytes that arrived, because a second export of a span must be the same bytes. Searching and drawing are left to a real Jaeger.
"""

import base64
import binascii
import enum
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from integrations.sandbox.http import LoopbackServer

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId"})
_LENGTH_DELIMITED = 2
_WIRE_WIDTH = {1: 8, 5: 4}

Value = None | bool | int | float | str | bytes | tuple["Value", ...] | Mapping[str, "Value"]


class Kind(enum.Enum):
    """What Jaeger would stumble over."""

    ID = "invalid id"
    DUPLICATE = "span id used twice with different content"
    SECOND_ROOT = "second root"
    NO_ROOT = "no root"
    PARENT_MISSING = "parent missing"
    BACKWARDS = "ends before it starts"
    SEARCH_KEYS = "search keys not together on one span"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing wrong with a trace; ids as hex, `span_id` None where the whole trace is meant."""

    kind: Kind
    trace_id: str
    span_id: str | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedSpan:
    """One span as it arrived. Ids are hex, times nanoseconds since the epoch, `parent_span_id` None for a root.

    `raw` is the span's own message, `context` its resource and scope with their schema urls: both must be the same in a second export.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    status_message: str
    attributes: Mapping[str, Value]
    resource: Mapping[str, Value]
    links: tuple[tuple[str, str], ...]
    raw: bytes
    context: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """A span on its way in, with the messages around it."""

    raw: bytes
    resource: Resource
    resource_schema: str
    scope: InstrumentationScope
    scope_schema: str
    context: bytes


class TraceCollector(LoopbackServer):
    """The collector. `search_keys` are the attributes of which each finished trace needs one span that carries all of them: Jaeger matches within one span."""

    def __init__(self, *, search_keys: Sequence[str] = (), port: int = 0) -> None:
        super().__init__(port=port)
        self._search_keys = tuple(search_keys)
        self._spans: dict[str, list[tuple[CollectedSpan, _Arrival]]] = {}
        self._repeats: Counter[tuple[str, str]] = Counter()
        self._noted: list[Violation] = []
        self._rejecting: tuple[int, str, int] | None = None

    # -- what it was told

    def traces(self) -> Sequence[str]:
        """The ids of the traces seen, in the order of their first span."""
        return tuple(self._spans)

    def spans(self, trace_id: str) -> Sequence[CollectedSpan]:
        """The spans of a trace in order of arrival, byte-identical repeats once; empty for an unknown trace."""
        return tuple(span for span, _ in self._spans.get(trace_id.lower(), ()))

    def repeats(self, trace_id: str, span_id: str) -> int:
        """How many times more than once this span arrived, byte for byte the same."""
        return self._repeats[trace_id, span_id]

    def violations(self) -> Sequence[Violation]:
        """What was wrong the moment it arrived; more spans cannot mend it."""
        return tuple(self._noted)

    def violations_at_end(self) -> Sequence[Violation]:
        """All violations, if nothing more will come: also missing parents, missing roots, and search keys that no single span carries."""
        return (*self._noted, *(violation for trace_id in self._spans for violation in self._unfinished(trace_id)))

    def reject_spans(self, count: int, message: str = "rejected by the sandbox", *, times: int = 1) -> None:
        """Fault: of each of the next `times` exports, the first `count` spans are not kept and `partial_success` says so; the status stays 200."""
        self._rejecting = (count, message, times)

    # -- HTTP

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """OTLP in, one trace and the services out."""
        return (web.post("/v1/traces", self._export), web.get("/api/v3/traces/{trace_id}", self._trace), web.get("/api/v3/services", self._services))

    async def _export(self, request: web.Request) -> web.Response:
        content_type = request.content_type
        if content_type not in {PROTOBUF, JSON}:
            return web.Response(status=415, text=f"unsupported media type, supported: [{JSON}, {PROTOBUF}]")
        try:
            body = await request.read()  # aiohttp has undone a Content-Encoding of gzip
            if content_type == JSON:
                body = _request_of_json(json.loads(body)).SerializeToString(deterministic=True)
            arrivals = list(_arrivals(body))
        except (ValueError, DecodeError, json_format.ParseError, web.RequestPayloadError, binascii.Error) as bad:
            return web.Response(status=400, body=json.dumps({"code": 3, "message": f"the request is not OTLP: {bad}"}).encode(), content_type=JSON)
        response = ExportTraceServiceResponse()
        if self._rejecting is not None:
            count, message, left = self._rejecting
            self._rejecting = (count, message, left - 1) if left > 1 else None
            response.partial_success.rejected_spans = min(count, len(arrivals))
            response.partial_success.error_message = message
            arrivals = arrivals[count:]
        for arrival in arrivals:
            self._take(arrival)
        if content_type == JSON:
            return web.json_response(json_format.MessageToDict(response))
        return web.Response(body=response.SerializeToString(), content_type=PROTOBUF)

    async def _trace(self, request: web.Request) -> web.Response:
        asked = request.match_info["trace_id"].lower()
        if len(asked) > 32 or not asked or any(digit not in "0123456789abcdef" for digit in asked):
            return _jaeger_error(400, "malformed parameter trace_id")
        found = self._spans.get(asked.zfill(32))
        if not found:
            return _jaeger_error(404, "No traces found")
        # One ResourceSpans per resource and scope, as a storage that groups them would answer.
        grouped: dict[bytes, ResourceSpans] = {}
        for _, arrival in found:
            group = grouped.get(arrival.context)
            if group is None:
                scope_spans = ScopeSpans(scope=arrival.scope, schema_url=arrival.scope_schema)
                group = grouped[arrival.context] = ResourceSpans(resource=arrival.resource, schema_url=arrival.resource_schema, scope_spans=[scope_spans])
            group.scope_spans[0].spans.append(Span.FromString(arrival.raw))
        return web.json_response({"result": {"resourceSpans": [_otlp_json(group) for group in grouped.values()]}})

    async def _services(self, _request: web.Request) -> web.Response:
        names = {str(span.resource.get("service.name", "")) for spans in self._spans.values() for span, _ in spans}
        return web.json_response({"services": sorted(names - {""})})

    # -- Jaeger's rules

    def _take(self, arrival: _Arrival) -> None:
        span = _collected(arrival)
        if not _is_id(span.trace_id, 32) or not _is_id(span.span_id, 16):
            self._note(Kind.ID, span, f"trace id {span.trace_id or 'missing'} or span id {span.span_id or 'missing'} has the wrong length or is zero")
            return
        known = self._spans.setdefault(span.trace_id, [])
        same = [old for old, _ in known if old.span_id == span.span_id]
        if any(old.raw == span.raw and old.context == span.context for old in same):
            self._repeats[span.trace_id, span.span_id] += 1
            return
        if same:
            self._note(Kind.DUPLICATE, span, f"span {span.name!r} came again with other content; Jaeger keeps both and warns")
        elif span.parent_span_id is None and any(old.parent_span_id is None for old, _ in known):
            self._note(Kind.SECOND_ROOT, span, f"span {span.name!r} is a second root of its trace")
        if span.end_ns < span.start_ns:
            self._note(Kind.BACKWARDS, span, f"span {span.name!r} ends before it starts")
        known.append((span, arrival))

    def _note(self, kind: Kind, span: CollectedSpan, says: str) -> None:
        self._noted.append(Violation(kind=kind, trace_id=span.trace_id, span_id=span.span_id, says=says))

    def _unfinished(self, trace_id: str) -> Iterator[Violation]:
        spans = self.spans(trace_id)
        ids = {span.span_id for span in spans}
        if all(span.parent_span_id is not None for span in spans):
            yield Violation(kind=Kind.NO_ROOT, trace_id=trace_id, span_id=None, says="the trace has no root span")
        for span in spans:
            if span.parent_span_id is not None and span.parent_span_id not in ids:
                says = f"parent span ID={span.parent_span_id} of span {span.name!r} is not in the trace"
                yield Violation(kind=Kind.PARENT_MISSING, trace_id=trace_id, span_id=span.span_id, says=says)
        if not any(all(key in span.attributes for key in self._search_keys) for span in spans):
            says = f"no single span carries all of {', '.join(self._search_keys)}"
            yield Violation(kind=Kind.SEARCH_KEYS, trace_id=trace_id, span_id=None, says=says)


def _is_id(text: str, digits: int) -> bool:
    return len(text) == digits and text.strip("0") != ""


def _jaeger_error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"httpCode": status, "message": message}}, status=status)


# --- protobuf: the bytes as they came ---------------------------------------------------------------------------------------


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise DecodeError("a number in the message is cut off")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message as (number, content); other fields are stepped over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            _, at = _varint(data, at)
        elif wire in _WIRE_WIDTH:
            at += _WIRE_WIDTH[wire]
        elif wire == _LENGTH_DELIMITED:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise DecodeError("a field of the message is cut off")
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise DecodeError(f"wire type {wire} does not belong into OTLP")
    if at > len(data):
        raise DecodeError("the message is cut off")


def _arrivals(body: bytes) -> Iterator[_Arrival]:
    """Each span of an ExportTraceServiceRequest with its own bytes; DecodeError when the body is not one."""
    ExportTraceServiceRequest.FromString(body)  # the real decoder judges first: the walk below only finds where the spans lie
    for number, resource_spans in _fields(memoryview(body)):
        if number != 1:
            continue
        around = ResourceSpans.FromString(bytes(resource_spans))
        for inner, scope_spans in _fields(resource_spans):
            if inner != 2:
                continue
            scope = ScopeSpans.FromString(bytes(scope_spans))
            context = b"\0".join(
                (
                    around.resource.SerializeToString(deterministic=True),
                    around.schema_url.encode(),
                    scope.scope.SerializeToString(deterministic=True),
                    scope.schema_url.encode(),
                )
            )
            for innermost, span in _fields(scope_spans):
                if innermost == 2:
                    yield _Arrival(
                        raw=bytes(span),
                        resource=around.resource,
                        resource_schema=around.schema_url,
                        scope=scope.scope,
                        scope_schema=scope.schema_url,
                        context=context,
                    )


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return tuple(_value(item) for item in value.array_value.values)
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return value.bytes_value
        case _:
            return value.string_value


def _attributes(pairs: Sequence[KeyValue]) -> Mapping[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _collected(arrival: _Arrival) -> CollectedSpan:
    span = Span.FromString(arrival.raw)
    return CollectedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() if any(span.parent_span_id) else None,
        name=span.name,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status_code=span.status.code,
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        resource=_attributes(arrival.resource.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        raw=arrival.raw,
        context=arrival.context,
    )


# --- OTLP JSON: as protobuf's JSON, but ids in hex and enums as numbers -------------------------------------------------------


def _with_ids(document: Any, change: Any) -> Any:
    """The document with each trace and span id put through `change`; a bytes attribute stays base64 in both forms."""
    match document:
        case dict():
            return {key: change(value) if key in _ID_FIELDS and isinstance(value, str) else _with_ids(value, change) for key, value in document.items()}
        case list():
            return [_with_ids(item, change) for item in document]
        case _:
            return document


def _otlp_json(message: Message) -> Any:
    plain = json_format.MessageToDict(message, use_integers_for_enums=True)
    return _with_ids(plain, lambda text: base64.b64decode(text).hex())


def _request_of_json(document: Any) -> ExportTraceServiceRequest:
    """ParseError or ValueError when the document is not an OTLP request. Unknown fields are passed over, as the standard wants."""
    encoded = _with_ids(document, lambda text: base64.b64encode(bytes.fromhex(text)).decode())
    request = ExportTraceServiceRequest()
    json_format.ParseDict(encoded, request, ignore_unknown_fields=True)
    return request
