import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from service.audit import encoding, names
from service.audit.encoding import LIMIT, OtlpEncoder
from service.domain import spans
from service.domain.model import Actor, Operation, Outcome
from service.domain.ports import SpanDraft, SpanEncoder

AT = datetime(2026, 5, 4, 14, 2, 45, 123456, tzinfo=UTC)
ENCODER = OtlpEncoder(version="0.1.0", environment="production")


def draft(**changes: Any) -> SpanDraft:
    return replace(SpanDraft(path=("decide#1",), name=spans.DECIDE, started_at=AT, ended_at=AT + timedelta(milliseconds=41)), **changes)


def around(body: bytes) -> ResourceSpans:
    (resource_spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    return resource_spans


def decoded(body: bytes) -> Span:
    (scope_spans,) = around(body).scope_spans
    (span,) = scope_spans.spans
    return span


def values(body: bytes) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in decoded(body).attributes}


def test_the_encoder_is_the_port(operation: Operation) -> None:
    port: SpanEncoder = ENCODER
    assert port.encode(operation, draft())[0] == spans.span_id("op1", ("decide#1",))


def test_promise_9_the_same_draft_gives_the_same_bytes(operation: Operation, story: Sequence[SpanDraft]) -> None:
    for one in story:
        again = replace(one, attributes={key: one.attributes[key] for key in reversed(list(one.attributes))})
        assert OtlpEncoder(version="0.1.0").encode(operation, one) == OtlpEncoder(version="0.1.0").encode(operation, again)


def test_the_bytes_of_one_span_are_written_down(operation: Operation) -> None:
    """Whoever changes this digest changes what is exported for spans that have no stored bytes yet; the stored ones stay as they are."""
    _, body = ENCODER.encode(operation, draft(says="mode auto", attributes={spans.MODE: "auto"}, links=("00-" + "a" * 32 + "-" + "b" * 16 + "-01",)))
    assert hashlib.sha256(body).hexdigest()[:16] == "ed9ea5fbcb6d1a9c"


def test_a_span_is_decoded_as_it_was_drafted(operation: Operation) -> None:
    own, body = ENCODER.encode(operation, draft(says="mode auto", attributes={spans.FINDINGS: 17, spans.GATE: True, spans.CHECK_VALUE: 0.5}))
    span = decoded(body)
    assert span.trace_id.hex() == spans.trace_id("op1")
    assert span.span_id.hex() == own == spans.span_id("op1", ("decide#1",))
    assert span.parent_span_id.hex() == spans.span_id("op1", ())
    assert (span.name, span.kind) == ("decide", Span.SPAN_KIND_INTERNAL)
    assert span.start_time_unix_nano == 1777903365123456000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 41_000_000
    assert values(body) == {
        "backout.check.value": 0.5,
        "backout.findings": 17,
        "backout.gate": True,
        "backout.incident.id": "inc1",
        "backout.operation.id": "op1",
        "backout.says": "mode auto",
        "backout.target": "prod:checkout",
    }


def test_attributes_are_sorted(operation: Operation, story: Sequence[SpanDraft]) -> None:
    for one in story:
        keys = [pair.key for pair in decoded(ENCODER.encode(operation, one)[1]).attributes]
        assert keys == sorted(keys)


def test_the_root_has_no_parent_however_its_path_is_written(operation: Operation) -> None:
    one, same = ENCODER.encode(operation, draft(path=())), ENCODER.encode(operation, draft(path=("",)))
    assert one == same
    assert decoded(one[1]).parent_span_id == b""
    assert ENCODER.encode(operation, draft(path=("", "hold"))) == ENCODER.encode(operation, draft(path=("hold",)))


def test_a_child_names_the_span_one_part_up_as_its_parent(operation: Operation) -> None:
    span = decoded(ENCODER.encode(operation, draft(path=("verdict#1", "sli")))[1])
    assert span.parent_span_id.hex() == spans.span_id("op1", ("verdict#1",))


def test_the_resource_tells_nothing_of_the_process(operation: Operation) -> None:
    resource = around(ENCODER.encode(operation, draft())[1]).resource
    assert {pair.key: pair.value.string_value for pair in resource.attributes} == {
        "deployment.environment.name": "production",
        "service.name": "backout",
        "service.version": "0.1.0",
    }
    without = around(OtlpEncoder(version="0.1.0").encode(operation, draft())[1]).resource
    assert [pair.key for pair in without.attributes] == ["service.name", "service.version"]


def test_the_scope_carries_the_schema(operation: Operation) -> None:
    (scope_spans,) = around(ENCODER.encode(operation, draft())[1]).scope_spans
    assert (scope_spans.scope.name, scope_spans.scope.version, scope_spans.schema_url) == ("backout.audit", "0.1.0", names.SCHEMA_URL)


def test_a_times_zone_changes_nothing(operation: Operation) -> None:
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    moved = draft(started_at=AT.astimezone(elsewhere), ended_at=(AT + timedelta(milliseconds=41)).astimezone(elsewhere))
    assert ENCODER.encode(operation, moved) == ENCODER.encode(operation, draft())


def test_a_time_without_a_zone_is_a_mistake(operation: Operation) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ENCODER.encode(operation, draft(started_at=AT.replace(tzinfo=None)))


def test_a_clock_that_went_back_gives_a_span_of_no_length_that_says_so(operation: Operation) -> None:
    _, body = ENCODER.encode(operation, draft(ended_at=AT - timedelta(milliseconds=250)))
    assert decoded(body).end_time_unix_nano == decoded(body).start_time_unix_nano
    assert values(body)[names.CLOCK_STEPPED] == -0.25


# --- search keys ---------------------------------------------------------------------------------------------------------


def test_the_root_and_the_completed_span_carry_every_search_key(operation: Operation, story: Sequence[SpanDraft]) -> None:
    for one in story:
        carried = values(ENCODER.encode(operation, one)[1])
        if one.path == () or one.name == spans.COMPLETED:
            assert set(names.SEARCH_KEYS) <= set(carried), one.name
        if one.name == spans.ACCEPTED:
            assert set(names.SEARCH_KEYS) - set(carried) == {spans.OUTCOME}


def test_every_span_names_operation_target_and_incident(operation: Operation, story: Sequence[SpanDraft]) -> None:
    for one in story:
        carried = values(ENCODER.encode(operation, one)[1])
        assert (carried[spans.OPERATION_ID], carried[spans.TARGET], carried[spans.INCIDENT_ID]) == ("op1", "prod:checkout", "inc1")


def test_what_the_draft_says_wins_over_the_row_but_nothing_said_does_not(operation: Operation) -> None:
    row = replace(operation, outcome=Outcome.FAILED, requested_by=Actor(kind="user", name="alice"))
    carried = values(ENCODER.encode(row, draft(path=(), attributes={spans.OUTCOME: "recovered", spans.ACTOR: "", spans.SUSPECT_KEY: ""}))[1])
    assert (carried[spans.OUTCOME], carried[spans.ACTOR], carried[spans.SUSPECT_KEY]) == ("recovered", "user:alice", operation.suspect_key)


def test_what_is_not_known_is_left_out(operation: Operation) -> None:
    row = replace(operation, incident_id=None, suspect_key=None, goal_key=None)
    carried = values(ENCODER.encode(row, draft(path=()))[1])
    assert not {spans.INCIDENT_ID, spans.SUSPECT_KEY, spans.GOAL_KEY, spans.OUTCOME, spans.SAYS} & set(carried)


def test_the_end_of_a_hold_is_a_trace_of_its_own_linked_to_the_operation(operation: Operation) -> None:
    one = draft(path=(spans.HOLD_END,), name=spans.HOLD_END, attributes={spans.HOLD_ID: "hold1"})
    own, body = ENCODER.encode(operation, one)
    span = decoded(body)
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id) == (spans.trace_id("hold\0hold1"), own, b"")
    assert span.trace_id.hex() != spans.trace_id("op1")
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [(spans.trace_id("op1"), spans.span_id("op1", ()))]
    assert {spans.HOLD_ID: "hold1", spans.OPERATION_ID: "op1", spans.INCIDENT_ID: "inc1"}.items() <= values(body).items()


def test_the_trace_of_a_subject_carries_only_what_the_draft_says() -> None:
    own, body = ENCODER.encode_for("hold1", draft(attributes={spans.HOLD_ID: "hold1"}))
    assert own == spans.span_id("hold1", ("decide#1",))
    assert values(body) == {spans.HOLD_ID: "hold1"}


# --- status, kind, links -------------------------------------------------------------------------------------------------


def test_only_a_failed_span_has_a_status(operation: Operation) -> None:
    good = decoded(ENCODER.encode(operation, draft(says="done"))[1]).status
    bad = decoded(ENCODER.encode(operation, draft(says="permission denied", failed=True, client=True))[1])
    assert (good.code, good.message) == (Status.STATUS_CODE_UNSET, "")
    assert (bad.status.code, bad.status.message, bad.kind) == (Status.STATUS_CODE_ERROR, "permission denied", Span.SPAN_KIND_CLIENT)


def test_a_traceparent_becomes_a_link_once(operation: Operation) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    span = decoded(ENCODER.encode(operation, draft(links=(parent, parent)))[1])
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
        "00-٤bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_a_malformed_traceparent_becomes_an_attribute_and_no_error(operation: Operation, text: str) -> None:
    _, body = ENCODER.encode(operation, draft(links=(text,)))
    assert not decoded(body).links
    assert values(body).get(names.LINKS_MALFORMED, "") == text


def test_a_traceparent_of_a_later_version_is_still_a_link(operation: Operation) -> None:
    span = decoded(ENCODER.encode(operation, draft(links=("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",)))[1])
    assert len(span.links) == 1


# --- values --------------------------------------------------------------------------------------------------------------


def test_a_long_value_is_cut_to_4_kib_with_its_digest(operation: Operation) -> None:
    long = "é€😀x" * 1000
    kept = values(ENCODER.encode(operation, draft(says=long))[1])[spans.SAYS]
    assert LIMIT - 4 < len(kept.encode()) <= LIMIT
    start, _, note = kept.partition("… [cut: ")
    assert long.startswith(start)
    assert note == f"{len(long.encode())} bytes, sha256:{hashlib.sha256(long.encode()).hexdigest()}]"


def test_a_value_of_exactly_4_kib_is_kept(operation: Operation) -> None:
    assert values(ENCODER.encode(operation, draft(says="x" * LIMIT))[1])[spans.SAYS] == "x" * LIMIT


@pytest.mark.parametrize(("number", "kept"), [(2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**63, str(2**63)), (-(2**63) - 1, str(-(2**63) - 1))])
def test_an_int_beyond_64_bits_is_kept_as_text(operation: Operation, caplog: pytest.LogCaptureFixture, number: int, kept: int | str) -> None:
    with caplog.at_level(logging.ERROR):
        assert values(ENCODER.encode(operation, draft(attributes={spans.FINDINGS: number}))[1])[spans.FINDINGS] == kept
    assert not caplog.records, "the SDK logs what it drops"


def test_enums_are_their_values(operation: Operation) -> None:
    assert values(ENCODER.encode(operation, draft(attributes={spans.OUTCOME: Outcome.RECOVERED}))[1])[spans.OUTCOME] == "recovered"


def test_half_a_surrogate_pair_is_spelled_out(operation: Operation) -> None:
    _, body = ENCODER.encode(operation, draft(name="x\udfff", says="alert \ud800 fires", failed=True))
    assert values(body)[spans.SAYS] == decoded(body).status.message == "alert \\ud800 fires"
    assert decoded(body).name == "x\\udfff"


def test_a_value_that_is_no_scalar_is_a_mistake(operation: Operation) -> None:
    wrong: Any = {spans.FINDINGS: ["a"]}
    with pytest.raises(TypeError, match=r"backout\.findings is a list"):
        ENCODER.encode(operation, draft(attributes=wrong))


@given(says=st.text(), number=st.integers(), real=st.floats(), links=st.lists(st.text(), max_size=3))
def test_whatever_the_world_says_can_be_encoded(says: str, number: int, real: float, links: list[str]) -> None:
    one = draft(says=says, failed=True, links=tuple(links), attributes={spans.FINDINGS: number, spans.CHECK_VALUE: real})
    own, body = ENCODER.encode_for("op1", one)
    assert decoded(body).span_id.hex() == own
    assert spans.FINDINGS in values(body)


# --- secrets -------------------------------------------------------------------------------------------------------------

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET https://bob:hunter22@argocd.example/api said 403", "GET [removed] said 403"),
        ("HTTPS://bob@argocd.example/api", "[removed]"),
        ("postgresql+psycopg://app:s3cr3t@db:5432/shop", "[removed]"),
        ("header Bearer s3cr3t-token was refused", "header [removed] was refused"),
        ("Authorization: Basic Ym9iOmh1bnRlcjI= sent", "[removed] sent"),
        ('{"Authorization": "token abcdef"}', '{"[removed]'),
        (f"cookie argocd.token {JWT} expired", "cookie argocd.token [removed] expired"),
        ("ghp_0123456789abcdefghijklmnopqrstuvwxyz in use", "[removed] in use"),
        ("/hook?password=hunter22&x=1", "/hook?[removed]&x=1"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nend", "[removed]\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMHc", "[removed]"),
    ],
)
def test_promise_12_what_looks_like_a_secret_is_removed_and_counted(operation: Operation, text: str, kept: str) -> None:
    _, body = ENCODER.encode(operation, draft(name=text, says=text, failed=True, attributes={spans.CLEARS: text}))
    carried = values(body)
    assert carried[spans.SAYS] == carried[spans.CLEARS] == decoded(body).name == decoded(body).status.message == kept
    assert carried[names.SECRETS_REMOVED] == 3, "the name, the sentence and the attribute; the status repeats the sentence"
    assert all(secret not in body for secret in (b"hunter22", b"s3cr3t", b"Ym9i", b"MHc", JWT.encode()))


def test_a_malformed_traceparent_is_cleared_like_any_value(operation: Operation) -> None:
    _, body = ENCODER.encode(operation, draft(links=("Bearer s3cr3t-token",)))
    assert values(body)[names.LINKS_MALFORMED] == "[removed]"
    assert b"s3cr3t" not in body


def test_a_secret_is_gone_before_a_long_value_is_cut(operation: Operation) -> None:
    kept = values(ENCODER.encode(operation, draft(says="x" * (LIMIT - 90) + " https://bob:hunter22@argocd.example " + "y" * 500))[1])[spans.SAYS]
    assert "hunter" not in kept
    assert "bob" not in kept


def test_the_version_in_the_schema_url_is_one_that_exists() -> None:
    assert re.fullmatch(r"https://opentelemetry\.io/schemas/1\.\d+\.0", names.SCHEMA_URL)


def test_ids_are_offered_here_too() -> None:
    assert (encoding.trace_id, encoding.span_id) == (spans.trace_id, spans.span_id)
