import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # generated, without types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from integrations.sandbox.collector import TraceCollector
from integrations.sandbox.http import LoopbackServer
from integrations.trace.otlp import READ_TRIES, OtlpSender, Settings, build, merged
from service.domain.errors import PermanentError, RefusedError, TemporaryError

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
PROTOBUF = "application/x-protobuf"


class HandClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def export(number: int, trace: int = 1) -> bytes:
    """One encoded export with one span; span 1 is the root."""
    parent = b"" if number == 1 else (1).to_bytes(8)
    span = Span(
        trace_id=trace.to_bytes(16), span_id=number.to_bytes(8), parent_span_id=parent, name=f"step {number}", start_time_unix_nano=1, end_time_unix_nano=2
    )
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="backout"))])
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])]).SerializeToString(
        deterministic=True
    )


class Lab:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.collector = TraceCollector()
        self._senders: list[OtlpSender] = []

    def sender(self, **settings: Any) -> OtlpSender:
        sender = build(Settings(**{"url": self.collector.url, "timeout_s": 2.0, **settings}), self.clock)
        self._senders.append(sender)
        return sender

    async def stop(self) -> None:
        for sender in self._senders:
            await sender.close()
        await self.collector.stop()


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    await lab.collector.start()
    yield lab
    await lab.stop()


async def test_many_exports_arrive_as_one_with_every_span_unchanged(lab: Lab) -> None:
    await lab.sender().send([export(1), export(2), export(1, trace=2)])
    assert len(lab.collector.seen) == 1
    assert [span.name for span in lab.collector.spans(f"{1:032x}")] == ["step 1", "step 2"]
    sent = ExportTraceServiceRequest.FromString(export(1)).resource_spans[0].scope_spans[0].spans[0]
    assert lab.collector.spans(f"{1:032x}")[0].raw == sent.SerializeToString()


async def test_sending_again_is_byte_for_byte_the_same(lab: Lab) -> None:
    for _ in range(2):
        await lab.sender().send([export(1), export(2)])
    assert lab.collector.repeats(f"{1:032x}", f"{1:016x}") == 1
    assert not lab.collector.violations()


def test_merging_keeps_the_bytes_and_the_meaning() -> None:
    bodies = [export(1), export(2)]
    assert merged(bodies) == bodies[0] + bodies[1]
    assert [one.scope_spans[0].spans[0].name for one in ExportTraceServiceRequest.FromString(merged(bodies)).resource_spans] == ["step 1", "step 2"]


async def test_nothing_to_send_sends_nothing(lab: Lab) -> None:
    await lab.sender().send([])
    assert not lab.collector.seen


async def test_what_is_no_export_is_not_sent(lab: Lab) -> None:
    with pytest.raises(PermanentError, match="export 2 of 2"):
        await lab.sender().send([export(1), b"\xff\xff"])
    assert not lab.collector.seen


async def test_spans_that_the_collector_rejects_are_a_refusal_although_it_says_200(lab: Lab) -> None:
    lab.collector.reject_spans(2, "too old")
    with pytest.raises(RefusedError, match="rejected 2 spans: too old"):
        await lab.sender().send([export(1), export(2)])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(error_message="a warning")).SerializeToString(), PROTOBUF),
        (b'{"partialSuccess": {"errorMessage": "a warning"}, "later": 1}', "application/json"),
        (b"", PROTOBUF),
    ],
)
async def test_a_warning_is_a_success(lab: Lab, body: bytes, kind: str) -> None:
    lab.collector.fail_with(200, body=body, content_type=kind)
    await lab.sender().send([export(1)])


async def test_a_rejection_in_json_is_a_refusal(lab: Lab) -> None:
    lab.collector.fail_with(200, body=b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "quota"}}', content_type="application/json")
    with pytest.raises(RefusedError, match="quota"):
        await lab.sender().send([export(1)])


@pytest.mark.parametrize(("body", "kind"), [(b"<html>login</html>", "text/html"), (b"{", "application/json"), (b"\xff\xff", PROTOBUF)])
async def test_a_200_from_something_else_is_no_success(lab: Lab, body: bytes, kind: str) -> None:
    lab.collector.fail_with(200, body=body, content_type=kind)
    with pytest.raises(PermanentError, match="answered 200"):
        await lab.sender().send([export(1)])


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 504])
async def test_trouble_that_passes_is_tried_later(lab: Lab, status: int) -> None:
    lab.collector.fail_with(status, times=1, body=b"queue is full")
    sender = lab.sender()
    with pytest.raises(TemporaryError, match=f"{status}: queue is full"):
        await sender.send([export(1)])
    await sender.send([export(1)])
    assert len(lab.collector.spans(f"{1:032x}")) == 1


@pytest.mark.parametrize("status", [202, 204, 301, 400, 413, 415, 501])
async def test_any_other_answer_is_a_refusal(lab: Lab, status: int) -> None:
    lab.collector.fail_with(status)
    with pytest.raises(RefusedError, match=f"answered {status}: no reason given"):
        await lab.sender().send([export(1)])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (Status(code=3, message="bad span\nmore").SerializeToString(), PROTOBUF),
        (b'{"code": 3, "message": "bad span"}', "application/json"),
        (b"bad span\nmore", "text/plain"),
    ],
)
async def test_the_collectors_own_words_are_kept(lab: Lab, body: bytes, kind: str) -> None:
    lab.collector.fail_with(400, body=body, content_type=kind)
    with pytest.raises(RefusedError, match=r"400: bad span$"):
        await lab.sender().send([export(1)])


async def test_a_reason_that_cannot_be_read_is_no_failure_of_its_own(lab: Lab) -> None:
    lab.collector.fail_with(400, body=b"[1]", content_type="application/json")
    with pytest.raises(RefusedError, match=r"400: \[1\]"):
        await lab.sender().send([export(1)])


async def test_nobody_there_is_tried_later(lab: Lab) -> None:
    sender = lab.sender()
    await lab.collector.go_down()
    with pytest.raises(TemporaryError, match="could not be reached"):
        await sender.send([export(1)])


async def test_the_address_may_name_the_path(lab: Lab) -> None:
    await lab.sender(url=f"{lab.collector.url}/v1/traces/").send([export(1)])
    assert lab.collector.seen[0].path == "/v1/traces"


async def test_the_token_is_sent_and_never_shown(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cr3t")
    lab.collector.fail_with(403)
    with pytest.raises(TemporaryError) as raised:
        await lab.sender(token_file=tmp_path / "token").send([export(1)])
    assert lab.collector.seen[0].authorized
    assert "s3cr3t" not in str(raised.value)


# --- doctor -----------------------------------------------------------------------------------------------------------------


async def test_doctor_sends_one_span_and_reads_it_back(lab: Lab) -> None:
    takes, reads = await lab.sender(query_url=lab.collector.url).check()
    assert (takes.well, reads.well) == ("ok", "ok")
    (trace,) = lab.collector.traces()
    (span,) = lab.collector.spans(trace)
    assert (span.name, span.resource["service.name"], span.parent_span_id) == ("doctor", "backout-doctor", None)
    assert span.start_ns == int(START.timestamp()) * 10**9
    assert not lab.collector.violations_at_end()


async def test_doctor_without_a_query_address_says_one_line(lab: Lab) -> None:
    (takes,) = await lab.sender().check()
    assert takes.well == "ok"


async def test_doctor_says_no_when_the_span_is_not_taken(lab: Lab) -> None:
    lab.collector.reject_spans(1, "quota")
    (takes,) = await lab.sender(query_url=lab.collector.url).check()
    assert takes.well == "no"
    assert "quota" in takes.says
    assert takes.fix


class OldJaeger(LoopbackServer):
    """Answers the older API only, and not before it was asked `late` times; `page` is what its UI answers for any other path."""

    def __init__(self, *, late: int = 0, refuses: bool = False) -> None:
        super().__init__()
        self.late, self.refuses = late, refuses
        self.collector: TraceCollector | None = None

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return (web.get("/api/traces/{trace_id}", self._trace), web.get("/{path:.*}", self._page))

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(status=403 if self.refuses else 200, text="<html>Jaeger UI</html>", content_type="text/html")

    async def _trace(self, request: web.Request) -> web.Response:
        self.late -= 1
        spans = self.collector.spans(request.match_info["trace_id"]) if self.collector and self.late < 0 else ()
        return web.Response(text=json.dumps({"data": [{"spans": [{"spanID": span.span_id} for span in spans]}]}))


async def test_doctor_reads_an_older_jaeger_and_waits_for_a_collector_that_batches(lab: Lab) -> None:
    jaeger = OldJaeger(late=3)
    jaeger.collector = lab.collector
    await jaeger.start()
    _, reads = await lab.sender(query_url=jaeger.url).check()
    await jaeger.stop()
    assert reads.well == "ok"
    assert lab.clock.time == START + timedelta(seconds=1.5)


async def test_doctor_says_no_when_the_span_cannot_be_read_back(lab: Lab) -> None:
    jaeger = OldJaeger(late=READ_TRIES + 1)
    await jaeger.start()
    _, reads = await lab.sender(query_url=jaeger.url).check()
    assert (reads.well, "10 s later" in reads.says) == ("no", True)
    jaeger.refuses = True
    _, reads = await lab.sender(query_url=jaeger.url).check()
    assert "403" in reads.says
    await jaeger.stop()
    _, reads = await lab.sender(query_url=jaeger.url).check()
    assert (reads.well, "could not be reached" in reads.says) == ("no", True)


async def test_the_channel_is_trace(lab: Lab) -> None:
    assert lab.sender().channel == "trace"


@pytest.mark.parametrize("wrong", [{}, {"url": "jaeger:4318"}, {"url": "http://u:hunter2@jaeger:4318"}, {"url": "http://jaeger:4318", "sampling": 0.1}])
def test_a_wrong_setting_is_refused_without_repeating_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Settings") as raised:
        Settings.model_validate(wrong)
    assert "hunter2" not in str(raised.value)
