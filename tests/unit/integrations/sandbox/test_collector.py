import gzip
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from integrations.sandbox.collector import Kind, TraceCollector, Violation

TRACE, OTHER_TRACE = "ec3e11e70a673dd27d8e86e1617dab24", "aa" * 16
ROOT, CHILD = "8e0da2f322e12efc", "702e59c5827a2ebf"
START, END = 1_780_000_001_000_000_000, 1_780_000_060_000_000_000
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    collector = TraceCollector(search_keys=("backout.operation.id", "backout.outcome"))
    await collector.start()
    yield collector
    await collector.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def span(span_id: str, parent: str | None = None, *, trace: str = TRACE, name: str = "step", end: int = END, **attributes: str) -> Span:
    return Span(
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex(span_id),
        parent_span_id=b"" if parent is None else bytes.fromhex(parent),
        name=name,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=START,
        end_time_unix_nano=end,
        attributes=[KeyValue(key=key.replace("__", "."), value=AnyValue(string_value=value)) for key, value in attributes.items()],
        status=Status(code=Status.STATUS_CODE_ERROR, message="timeout"),
        flags=257,
    )


def request(*spans: Span, service: str = "backout") -> ExportTraceServiceRequest:
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))])
    scope_spans = ScopeSpans(scope=InstrumentationScope(name="backout.audit", version="0.1.0"), spans=list(spans), schema_url="https://example.invalid/schema")
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope_spans])])


async def export(http: aiohttp.ClientSession, collector: TraceCollector, *spans: Span, service: str = "backout") -> ExportTraceServiceResponse:
    async with http.post(f"{collector.url}/v1/traces", data=request(*spans, service=service).SerializeToString(), headers=PROTOBUF) as response:
        assert response.status == 200
        assert response.content_type == "application/x-protobuf"
        return ExportTraceServiceResponse.FromString(await response.read())


def kinds(violations: Any) -> list[Kind]:
    return [violation.kind for violation in violations]


async def test_a_span_is_kept_as_it_came(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    sent = span(CHILD, ROOT, name="step argocd.rollback", backout__operation__id="op1")
    sent.attributes.append(KeyValue(key="rollback.attempt", value=AnyValue(int_value=2)))
    sent.attributes.append(KeyValue(key="flags", value=AnyValue(array_value=ArrayValue(values=[AnyValue(bool_value=True), AnyValue(double_value=0.5)]))))
    sent.links.append(Span.Link(trace_id=bytes.fromhex(OTHER_TRACE), span_id=bytes.fromhex(ROOT)))
    answer = await export(http, collector, sent)
    assert not answer.HasField("partial_success")
    assert collector.traces() == (TRACE,)
    (kept,) = collector.spans(TRACE.upper())
    assert (kept.trace_id, kept.span_id, kept.parent_span_id, kept.name, kept.kind) == (TRACE, CHILD, ROOT, "step argocd.rollback", 3)
    assert (kept.start_ns, kept.end_ns, kept.status_code, kept.status_message) == (START, END, 2, "timeout")
    assert kept.attributes == {"backout.operation.id": "op1", "rollback.attempt": 2, "flags": (True, 0.5)}
    assert kept.resource == {"service.name": "backout"}
    assert kept.links == ((OTHER_TRACE, ROOT),)
    assert kept.raw == sent.SerializeToString()


async def test_the_bytes_kept_are_those_that_arrived_even_where_a_decoder_would_write_them_otherwise(
    collector: TraceCollector, http: aiohttp.ClientSession
) -> None:
    # The fields of the span in reverse order: the same span to every decoder, but not the bytes a re-encoding would give.
    name, ids = b"\x2a\x04step", b"\x12\x08" + bytes.fromhex(ROOT) + b"\x0a\x10" + bytes.fromhex(TRACE)
    odd = name + ids
    assert Span.FromString(odd).SerializeToString() != odd
    scope_spans = b"\x12" + bytes([len(odd)]) + odd
    body = b"\x12" + bytes([len(scope_spans)]) + scope_spans
    async with http.post(f"{collector.url}/v1/traces", data=b"\x0a" + bytes([len(body)]) + body, headers=PROTOBUF) as response:
        assert response.status == 200
    assert [kept.raw for kept in collector.spans(TRACE)] == [odd]


async def test_a_compressed_body_is_understood(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    body = gzip.compress(request(span(ROOT)).SerializeToString())
    async with http.post(f"{collector.url}/v1/traces", data=body, headers={**PROTOBUF, "Content-Encoding": "gzip"}) as response:
        assert response.status == 200
    assert [kept.span_id for kept in collector.spans(TRACE)] == [ROOT]


async def test_otlp_json_is_understood_with_hex_ids_numbers_as_text_and_unknown_fields(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "backout"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "backout.audit"},
                        "spans": [
                            {
                                "traceId": TRACE,
                                "spanId": CHILD,
                                "parentSpanId": ROOT,
                                "name": "step",
                                "kind": 3,
                                "startTimeUnixNano": str(START),
                                "endTimeUnixNano": str(END),
                                "attributes": [{"key": "rollback.attempt", "value": {"intValue": "2"}}],
                                "status": {"code": 2, "message": "timeout"},
                                "somethingNew": 1,
                            }
                        ],
                    }
                ],
            }
        ]
    }
    async with http.post(f"{collector.url}/v1/traces", json=document) as response:
        assert (response.status, await response.json()) == (200, {})
    (kept,) = collector.spans(TRACE)
    assert (kept.span_id, kept.parent_span_id, kept.kind, kept.start_ns, kept.status_code) == (CHILD, ROOT, 3, START, 2)
    assert kept.attributes == {"rollback.attempt": 2}


@pytest.mark.parametrize(
    ("content_type", "body", "encoding", "status"),
    [
        ("application/x-protobuf", b"\xff\xff\xff", None, 400),
        ("application/x-protobuf", request(span(ROOT)).SerializeToString()[:-3], None, 400),
        ("application/x-protobuf", b"not gzip", "gzip", 400),
        ("application/json", b"{", None, 400),
        ("application/json", b'{"resourceSpans": 7}', None, 400),
        ("application/json", b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}', None, 400),
        ("text/plain", b"", None, 415),
    ],
)
async def test_what_is_not_otlp_is_refused_and_nothing_is_kept(
    collector: TraceCollector, http: aiohttp.ClientSession, content_type: str, body: bytes, encoding: str | None, status: int
) -> None:
    headers = {"Content-Type": content_type, **({"Content-Encoding": encoding} if encoding else {})}
    async with http.post(f"{collector.url}/v1/traces", data=body, headers=headers) as response:
        assert response.status == status
    assert collector.traces() == ()


async def test_the_same_bytes_again_are_no_violation_and_are_counted(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    for _ in range(3):
        await export(http, collector, span(ROOT))
    assert collector.repeats(TRACE, ROOT) == 2
    assert len(collector.spans(TRACE)) == 1
    assert collector.violations() == ()


async def test_the_same_span_id_with_other_content_is_a_violation(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT, name="rollback"))
    await export(http, collector, span(ROOT, name="rollback", end=END + 1))
    (violation,) = collector.violations()
    assert violation == Violation(
        kind=Kind.DUPLICATE, trace_id=TRACE, span_id=ROOT, says="span 'rollback' came again with other content; Jaeger keeps both and warns"
    )
    assert len(collector.spans(TRACE)) == 2


async def test_the_same_span_from_another_resource_is_other_content(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT))
    await export(http, collector, span(ROOT), service="backout-on-another-pod")
    assert kinds(collector.violations()) == [Kind.DUPLICATE]


async def test_the_same_span_id_in_another_trace_is_another_span(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT), span(ROOT, trace=OTHER_TRACE))
    assert collector.violations() == ()
    assert collector.traces() == (TRACE, OTHER_TRACE)


async def test_a_second_root_is_a_violation(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT), span(CHILD))
    assert kinds(collector.violations()) == [Kind.SECOND_ROOT]


async def test_a_span_that_ends_before_it_starts_is_a_violation(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT, end=START - 1))
    assert kinds(collector.violations()) == [Kind.BACKWARDS]


@pytest.mark.parametrize(("trace", "span_id"), [("00" * 16, ROOT), (TRACE, "00" * 8), (TRACE[:-2], ROOT), (TRACE, ROOT + "00")])
async def test_an_id_that_is_zero_or_of_the_wrong_length_is_a_violation_and_no_span(
    collector: TraceCollector, http: aiohttp.ClientSession, trace: str, span_id: str
) -> None:
    await export(http, collector, span(span_id, trace=trace))
    assert kinds(collector.violations()) == [Kind.ID]
    assert collector.traces() == ()


async def test_a_parent_may_come_later_but_not_never(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(CHILD, ROOT, backout__operation__id="op1", backout__outcome="recovered"))
    assert collector.violations() == ()
    assert kinds(collector.violations_at_end()) == [Kind.NO_ROOT, Kind.PARENT_MISSING]
    assert f"parent span ID={ROOT} of span 'step' is not in the trace" in [violation.says for violation in collector.violations_at_end()]
    await export(http, collector, span(ROOT))
    assert collector.violations_at_end() == ()


async def test_search_keys_must_be_together_on_one_span(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT, backout__operation__id="op1"), span(CHILD, ROOT, backout__outcome="recovered"))
    assert kinds(collector.violations_at_end()) == [Kind.SEARCH_KEYS]
    await export(http, collector, span("11" * 8, ROOT, backout__operation__id="op1", backout__outcome="recovered"))
    assert collector.violations_at_end() == ()


async def test_a_rejected_span_is_not_kept_although_the_status_is_200(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    collector.reject_spans(1, "too old")
    answer = await export(http, collector, span(ROOT), span(CHILD, ROOT))
    assert (answer.partial_success.rejected_spans, answer.partial_success.error_message) == (1, "too old")
    assert [kept.span_id for kept in collector.spans(TRACE)] == [CHILD]
    answer = await export(http, collector, span(ROOT))
    assert not answer.HasField("partial_success")


async def test_no_more_spans_are_rejected_than_came(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    collector.reject_spans(40, times=2)
    for _ in range(2):
        answer = await export(http, collector, span(ROOT))
        assert answer.partial_success.rejected_spans == 1
    assert collector.traces() == ()


async def test_what_a_failing_collector_refuses_it_does_not_keep(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    for status in (503, 400):
        collector.fail_with(status, times=1, headers={"Retry-After": "1"})
        async with http.post(f"{collector.url}/v1/traces", data=request(span(ROOT)).SerializeToString(), headers=PROTOBUF) as response:
            assert response.status == status
    assert collector.traces() == ()


async def test_an_outage_loses_nothing_that_was_taken_before(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT))
    await collector.go_down()
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.post(f"{collector.url}/v1/traces", data=b"", headers=PROTOBUF)
    await collector.come_back()
    await export(http, collector, span(CHILD, ROOT))
    assert [kept.span_id for kept in collector.spans(TRACE)] == [ROOT, CHILD]


async def test_a_trace_is_read_back_as_jaeger_gives_it(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    root, child = span(ROOT, name="rollback", backout__operation__id="op1"), span(CHILD, ROOT)
    child.links.append(Span.Link(trace_id=bytes.fromhex(OTHER_TRACE), span_id=bytes.fromhex(ROOT)))
    await export(http, collector, root)
    await export(http, collector, child)
    await export(http, collector, child)
    async with http.get(f"{collector.url}/api/v3/traces/{TRACE}") as response:
        document: Mapping[str, Any] = await response.json()
    (resource_spans,) = document["result"]["resourceSpans"]
    assert resource_spans["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "backout"}}]
    (scope_spans,) = resource_spans["scopeSpans"]
    assert scope_spans["scope"] == {"name": "backout.audit", "version": "0.1.0"}
    assert [(s["traceId"], s["spanId"], s.get("parentSpanId"), s["kind"]) for s in scope_spans["spans"]] == [(TRACE, ROOT, None, 3), (TRACE, CHILD, ROOT, 3)]
    assert scope_spans["spans"][0]["startTimeUnixNano"] == str(START)
    assert scope_spans["spans"][1]["links"] == [{"traceId": OTHER_TRACE, "spanId": ROOT}]
    async with http.post(f"{collector.url}/v1/traces", json=document["result"]) as response:
        assert response.status == 200, "what is read is OTLP JSON and can be sent again"
    assert collector.violations() == ()


async def test_reading_says_not_found_malformed_and_which_services_there_are(collector: TraceCollector, http: aiohttp.ClientSession) -> None:
    await export(http, collector, span(ROOT, trace="00" * 8 + "ab" * 8))
    async with http.get(f"{collector.url}/api/v3/traces/{OTHER_TRACE}") as response:
        assert (response.status, json.loads(await response.read())["error"]["message"]) == (404, "No traces found")
    for malformed in ("xyz", "a" * 33):
        async with http.get(f"{collector.url}/api/v3/traces/{malformed}") as response:
            assert response.status == 400
    async with http.get(f"{collector.url}/api/v3/traces/{'ab' * 8}") as response:
        assert response.status == 200, "a short id means the leading zeros"
    async with http.get(f"{collector.url}/api/v3/services") as response:
        assert await response.json() == {"services": ["backout"]}
