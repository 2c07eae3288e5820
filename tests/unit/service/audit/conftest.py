"""A made-up operation and its whole story as drafts, in the shape that docs/trace.md gives."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from service.domain import spans
from service.domain.model import Actor, Mode, Operation, OperationKind, Outcome, TargetId
from service.domain.ports import SpanDraft

BEGAN = datetime(2026, 5, 4, 14, 2, 45, tzinfo=UTC)
SENDERS_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

KEYS: dict[str, str] = {
    spans.ALERT_NAME: "HighErrorRate",
    spans.ALERT_FINGERPRINT: "b6a1f0c2d3e4f5a6",
    spans.SUSPECT_RELEASE: "42",
    spans.SUSPECT_REVISION: "9c1e2ab4d5f60718293a4b5c6d7e8f9012345678",
    spans.GOAL_RELEASE: "41",
    spans.GOAL_REVISION: "77d0f1c2b3a495867768594a3b2c1d0e9f8a7b6c",
}


def _at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def _finding(rule: str, position: int, answer: str, says: str, **more: str) -> SpanDraft:
    return SpanDraft(
        path=("verdict#1", rule),
        name=rule,
        started_at=_at(0.041),
        ended_at=_at(0.041),
        says=says,
        attributes={spans.RULE: rule, spans.ANSWER: answer, spans.GATE: True, spans.POSITION: position, **{f"backout.{k}": v for k, v in more.items()}},
    )


def _check(name: str, position: int, says: str) -> SpanDraft:
    attributes: dict[str, str | int] = {spans.CHECK: name, spans.LOOK: "good", spans.POSITION: position}
    return SpanDraft(
        path=(spans.VERIFY, spans.CHECKED + name), name=spans.CHECKED + name, started_at=_at(14), ended_at=_at(14), says=says, attributes=attributes
    )


@pytest.fixture
def operation() -> Operation:
    return Operation(
        id="op1",
        kind=OperationKind.ROLLBACK,
        target=TargetId("prod", "checkout"),
        incident_id="inc1",
        requested_by=Actor(kind="alert", name="main"),
        automatic=True,
        mode=Mode.AUTO,
        phase="act",
        seq=3,
        rev=9,
        data={},
        trace_id=spans.trace_id("op1"),
        created_at=BEGAN,
        updated_at=BEGAN,
        suspect_key="5f2d1c0b9a8e7d6c5b4a3928",
        goal_key="0a1b2c3d4e5f60718293a4b5",
        outcome=None,
    )


@pytest.fixture
def story() -> Sequence[SpanDraft]:
    """Each draft in the order in which its transaction comes; the root last."""
    undone = ("act.roll_back#2.1",)
    return (
        SpanDraft(path=(spans.ACCEPTED,), name=spans.ACCEPTED, started_at=_at(0), ended_at=_at(0), says="asked for by alert:main", attributes=KEYS),
        SpanDraft(
            path=("alert.accept#ep1",),
            name=spans.ALERT,
            started_at=_at(-0.2),
            ended_at=_at(-0.196),
            says="HighErrorRate, 1 of 1 firing",
            attributes={spans.ALERT_FINGERPRINT: "b6a1f0c2d3e4f5a6", spans.ALERT_NAME: "HighErrorRate", spans.ALERT_TIMES_SEEN: 1},
            links=(SENDERS_TRACE,),
        ),
        SpanDraft(path=(spans.CORRELATE,), name=spans.CORRELATE, started_at=_at(0.01), ended_at=_at(0.021), says="release 42 (pods and onset agree)"),
        SpanDraft(path=("verdict#1",), name=spans.VERDICT, started_at=_at(0.03), ended_at=_at(0.071), says="pass, 3 findings"),
        _finding("schema_is_compatible", 1, "pass", "no migration between 77d0f1c and 9c1e2ab"),
        _finding("cache_is_coherent", 2, "warn", "release 42 writes a field that release 41 ignores", waived="waived until 2026-06-01: harmless"),
        _finding("images_exist", 3, "pass", "the images of release 41 are still in the registry"),
        SpanDraft(path=("decide#1",), name=spans.DECIDE, started_at=_at(0.08), ended_at=_at(0.08), says="mode auto, policy default@3"),
        SpanDraft(
            path=("act.stop_auto_sync#1.1",),
            name="act.stop_auto_sync",
            started_at=_at(0.1),
            ended_at=_at(0.22),
            client=True,
            says="auto-sync was automated, prune, self-heal; it is off",
            attributes={spans.STEP: "stop_auto_sync", spans.ATTEMPT: 1, spans.SEEN: "done"},
        ),
        SpanDraft(
            path=undone,
            name="act.roll_back",
            started_at=_at(0.3),
            ended_at=_at(1.3),
            client=True,
            failed=True,
            says="another operation is already in progress",
            attributes={spans.STEP: "roll_back", spans.ATTEMPT: 1, spans.ERROR_TYPE: "TemporaryError"},
        ),
        SpanDraft(
            path=("act.roll_back#2.2",),
            name="act.roll_back",
            started_at=_at(1.4),
            ended_at=_at(3.9),
            client=True,
            says="Argo CD operation Succeeded, 4 resources",
            attributes={spans.STEP: "roll_back", spans.ATTEMPT: 2, spans.SEEN: "done"},
            links=(spans.traceparent("op1", undone),),
        ),
        SpanDraft(
            path=(spans.VERIFY,), name=spans.VERIFY, started_at=_at(4), ended_at=_at(14), says="recovered: live v2.4.6, errors 0.2 %, the alert no longer fires"
        ),
        _check("live", 1, "4 of 4 pods run the goal release's images and are ready"),
        _check("sli", 2, "the SLI is 0.002, inside its bound (bad is > 0.01, rule)"),
        _check("alert", 3, "the alert no longer fires"),
        SpanDraft(
            path=("hold",),
            name=spans.HOLD,
            started_at=_at(14),
            ended_at=_at(14),
            says="v2.5.0 stays away until a release without its changes is live and verified; a person looks at it again on 2026-05-11",
        ),
        SpanDraft(
            path=(spans.COMPLETED,),
            name=spans.COMPLETED,
            started_at=_at(14),
            ended_at=_at(14),
            says="recovered",
            attributes={**KEYS, spans.OUTCOME: "recovered"},
        ),
        SpanDraft(
            path=(),
            name="rollback prod:checkout 42→41",
            started_at=_at(-0.2),
            ended_at=_at(14),
            says="recovered",
            attributes={**KEYS, spans.OUTCOME: Outcome.RECOVERED},
        ),
    )
