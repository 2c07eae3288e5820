"""Sends audit spans to an OTLP/HTTP collector. Spans come encoded and leave byte for byte the same; nothing is sampled, cut or built anew here.

The answer decides whether the outbox may forget them: only a full success is one. https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import gzip
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # generated, without types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from pydantic import BaseModel, ConfigDict, Field, field_validator

from integrations.http import Address, Answer, Http
from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError
from service.domain.ports import Checked, Clock

PATH = "/v1/traces"
PROTOBUF = "application/x-protobuf"
LATER = frozenset({401, 403, 404, 408, 429, 500, 502, 503, 504})
"""Answers that a person mends on the collector's side (a credential, an address) or that pass by themselves: the spans wait, none is set aside (promise 9)."""
READ_TRIES, READ_PAUSE_S = 20, 0.5  # a collector may batch for some seconds


class Settings(BaseModel):
    """Where the audit trace goes, and where it can be read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    url: Address = Field(description="Address of an OTLP/HTTP collector such as Jaeger, without /v1/traces: http://jaeger:4318. No default.")
    token_file: Path | None = Field(default=None, description="File with a bearer token, read again for each request. Default: none.")
    ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the server's certificates. Default: the system's.")
    timeout_s: float = Field(default=10.0, gt=0, le=120, description="Seconds until one request counts as not answered. Default: 10.")
    query_url: Address | None = Field(
        default=None, description="Address of Jaeger's HTTP API, http://jaeger:16686; doctor reads its test span back from there. Default: not read back."
    )

    @field_validator("url")
    @classmethod
    def _without_path(cls, value: str) -> str:
        return value.removesuffix(PATH)


class OtlpSender:
    """A `Sender` for the channel `trace`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._http = Http(base_url=settings.url, token_file=settings.token_file, ca_file=settings.ca_file, timeout=settings.timeout_s)
        self._query = Http(base_url=settings.query_url, ca_file=settings.ca_file, timeout=settings.timeout_s) if settings.query_url else None
        self._host = urlsplit(settings.url).netloc

    @property
    def channel(self) -> str:
        """Audit spans."""
        return "trace"

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Export encoded requests as one. TemporaryError: send the same again later; RefusedError, PermanentError: park them, a person is needed."""
        if not bodies:
            return
        sent = gzip.compress(merged(bodies), mtime=0)
        answer = await self._http.request("POST", PATH, data=sent, headers={"Content-Type": PROTOBUF, "Content-Encoding": "gzip"})
        self._judge(answer)

    async def check(self) -> Sequence[Checked]:
        """Send one span of the service `backout-doctor`; with `query_url`, a second line says whether it can be read back."""
        trace_id, span_id = secrets.token_bytes(16), secrets.token_bytes(8)
        takes, reads = f"trace collector {self._host}", f"trace of {self._host}"
        try:
            await self.send([self._test_span(trace_id, span_id)])
        except BackoutError as error:
            return (Checked(what=takes, well="no", says=str(error), fix="set `url` to an OTLP/HTTP collector, with token_file and ca_file if it needs them"),)
        taken = Checked(what=takes, well="ok", says="the collector took a test span of the service backout-doctor")
        if self._query is None:
            return (taken,)
        try:
            found = await self._read_back(self._query, trace_id.hex(), span_id.hex())
        except BackoutError as error:
            return taken, Checked(what=reads, well="no", says=str(error), fix="set `query_url` to Jaeger's HTTP API")
        if not found:
            says = f"the test span was taken, but {READ_TRIES * READ_PAUSE_S:g} s later it cannot be read back"
            return taken, Checked(what=reads, well="no", says=says, fix="does `query_url` read what the collector writes? does it sample?")
        return taken, Checked(what=reads, well="ok", says="the test span was read back")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
        if self._query is not None:
            await self._query.close()

    def _judge(self, answer: Answer) -> None:
        says = f"the collector at {self._host} answered {answer.status}"
        if answer.status in LATER:
            raise TemporaryError(f"{says}: {_reason(answer)}")
        if answer.status != 200:  # noqa: PLR2004  the one success of OTLP/HTTP
            raise RefusedError(f"{says}: {_reason(answer)}")
        partial = _response(answer, says).partial_success
        if partial.rejected_spans > 0:
            raise RefusedError(f"the collector at {self._host} rejected {partial.rejected_spans} spans: {partial.error_message or 'no reason given'}")

    def _test_span(self, trace_id: bytes, span_id: bytes) -> bytes:
        now = int(self._clock.now().timestamp() * 1_000_000) * 1000
        span = Span(
            trace_id=trace_id, span_id=span_id, name="doctor", kind=Span.SPAN_KIND_INTERNAL, start_time_unix_nano=now, end_time_unix_nano=now + 1_000_000
        )
        resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="backout-doctor"))])
        scope = ScopeSpans(scope=InstrumentationScope(name="backout.doctor"), spans=[span])
        return ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope])]).SerializeToString(deterministic=True)

    async def _read_back(self, query: Http, trace_id: str, span_id: str) -> bool:
        for number in range(READ_TRIES):
            if number:
                await self._clock.sleep(READ_PAUSE_S)
            for path in (f"/api/v3/traces/{trace_id}", f"/api/traces/{trace_id}"):
                answer = await query.request("GET", path)
                if answer.status in {401, 403}:
                    raise RefusedError(f"{answer.url} answered {answer.status}")
                if answer.status == 200 and _mentions(answer, span_id):  # noqa: PLR2004  any other says "not yet" or "not here"
                    return True
        return False


def merged(bodies: Sequence[bytes]) -> bytes:
    """One export request of many. PermanentError when one of them is no such request."""
    whole = ExportTraceServiceRequest()
    for number, body in enumerate(bodies, start=1):
        try:
            whole.MergeFromString(body)
        except DecodeError as error:
            raise PermanentError(f"stored export {number} of {len(bodies)} is no OTLP request") from error
    # Messages that are concatenated are merged when read: so the bytes of each span stay as they were encoded.
    return b"".join(bodies)


def _response(answer: Answer, says: str) -> ExportTraceServiceResponse:
    """What a 200 says of partial success; a 200 from something that is no collector is no success."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            return json_format.Parse(answer.body, ExportTraceServiceResponse(), ignore_unknown_fields=True)
        if kind == PROTOBUF or not answer.body:
            return ExportTraceServiceResponse.FromString(answer.body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError) as error:
        raise PermanentError(f"{says} with a body that cannot be read") from error
    raise PermanentError(f"{says} with {kind or 'no content type'} instead of OTLP: is `url` the collector's?")


def _reason(answer: Answer) -> str:
    """The collector's own words: a JSON or protobuf Status, or the first line of text."""
    try:
        if answer.headers.get("content-type", "").startswith(PROTOBUF):
            message: Any = Status.FromString(answer.body).message
        else:
            document = json.loads(answer.body)
            message = document.get("message") if isinstance(document, dict) else None
    except (ValueError, DecodeError):
        message = None
    return message.strip().splitlines()[0][:200] if isinstance(message, str) and message.strip() else answer.first_line() or "no reason given"


def _mentions(answer: Answer, span_id: str) -> bool:
    """Whether a trace, in Jaeger's new or old form, has the span."""
    try:
        return _has_span(answer.json(), span_id)
    except PermanentError:  # the web page that Jaeger's UI answers for unknown paths
        return False


def _has_span(document: Any, span_id: str) -> bool:
    match document:
        case dict():
            return any((key in {"spanId", "spanID"} and value == span_id) or _has_span(value, span_id) for key, value in document.items())
        case list():
            return any(_has_span(item, span_id) for item in document)
        case _:
            return False


def build(settings: Settings, clock: Clock) -> OtlpSender:
    """The sender."""
    return OtlpSender(settings, clock)
