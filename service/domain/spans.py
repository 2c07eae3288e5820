"""The names of spans and attributes in an operation's trace, and how a place in it is named: a public contract, documented in docs/trace.md.

Constants and pure functions, so that the workflow can make drafts and link them. The registry with types, the encoding and the tree are left to
`service.audit`.
"""

import hashlib
from typing import Final

# --- spans ---------------------------------------------------------------------------------------------------------------

ACCEPTED: Final = "operation.accepted"
ALERT: Final = "alert.accept"
CORRELATE: Final = "correlate"
GATHER: Final = "gather"
VERDICT: Final = "verdict"
DECIDE: Final = "decide"
APPROVAL: Final = "approval.wait"
ACT: Final = "act."
"""Followed by the step's name, e.g. `act.roll_back`; one span an attempt."""
UNDO: Final = "act.undo."
"""Followed by the name of the step that is taken back."""
VERIFY: Final = "verify"
CHECKED: Final = "check."
"""Followed by the check's name, e.g. `check.sli`."""
HOLD: Final = "hold"
HOLD_END: Final = "hold.end"
COMPLETED: Final = "operation.completed"

# --- attributes: on every span -------------------------------------------------------------------------------------------

OPERATION_ID: Final = "backout.operation.id"
TARGET: Final = "backout.target"
INCIDENT_ID: Final = "backout.incident.id"
SAYS: Final = "backout.says"

# --- attributes: what a trace is searched by, all of them together on the root, the accepted and the completed span -------

OPERATION_KIND: Final = "backout.operation.kind"
MODE: Final = "backout.mode"
ACTOR: Final = "backout.actor"
ACTOR_KIND: Final = "backout.actor.kind"
OUTCOME: Final = "backout.outcome"
ALERT_NAME: Final = "backout.alert.name"
ALERT_FINGERPRINT: Final = "backout.alert.fingerprint"
ALERT_FINGERPRINTS: Final = "backout.alert.fingerprints"
SUSPECT_KEY: Final = "backout.suspect.key"
SUSPECT_RELEASE: Final = "backout.suspect.release"
SUSPECT_REVISION: Final = "backout.suspect.revision"
SUSPECT_VERSION: Final = "backout.suspect.version"
GOAL_KEY: Final = "backout.goal.key"
GOAL_RELEASE: Final = "backout.goal.release"
GOAL_REVISION: Final = "backout.goal.revision"
GOAL_VERSION: Final = "backout.goal.version"

# --- attributes: each moment's own ---------------------------------------------------------------------------------------

ALERT_SOURCE: Final = "backout.alert.source"
ALERT_SENDER: Final = "backout.alert.sender"
ALERT_STARTS_AT: Final = "backout.alert.starts_at"
ALERT_TIMES_SEEN: Final = "backout.alert.times_seen"
CORRELATION_RUNG: Final = "backout.correlation.rung"
FACTS_READ: Final = "backout.facts.read"
FACTS_ABSENT: Final = "backout.facts.absent"
ANSWER: Final = "backout.answer"
FINDINGS: Final = "backout.findings"
WAY: Final = "backout.way"
RECOMMENDED: Final = "backout.recommended"
RULE: Final = "backout.rule"
GATE: Final = "backout.gate"
WAIVED: Final = "backout.waived"
LINES: Final = "backout.lines"
CLEARS: Final = "backout.clears"
EVIDENCE_SOURCES: Final = "backout.evidence.sources"
EVIDENCE_DIGESTS: Final = "backout.evidence.digests"
POSITION: Final = "backout.position"
DECISION: Final = "backout.decision"
MUST_NAME: Final = "backout.decision.must_name"
POLICY_VERSION: Final = "backout.policy.version"
PLAN_ID: Final = "backout.plan.id"
PLAN_DIGEST: Final = "backout.plan.digest"
ACT_BEFORE: Final = "backout.act_before"
APPROVAL_ANSWER: Final = "backout.approval.answer"
APPROVAL_BY: Final = "backout.approval.by"
APPROVAL_NAMES: Final = "backout.approval.names"
OVERRIDE: Final = "backout.override.rules"
OVERRIDE_BY: Final = "backout.override.by"
STEP: Final = "backout.step"
ATTEMPT: Final = "backout.attempt"
SEEN: Final = "backout.step.seen"
ERROR_TYPE: Final = "error.type"
VERIFY_ENDED: Final = "backout.verify.ended"
VERIFY_PASSES: Final = "backout.verify.passes"
VERIFY_RUNG: Final = "backout.verify.rung"
CHECK: Final = "backout.check"
LOOK: Final = "backout.look"
CHECK_VALUE: Final = "backout.check.value"
CHECK_THRESHOLD: Final = "backout.check.threshold"
HOLD_ID: Final = "backout.hold.id"
HOLD_HELD: Final = "backout.hold.held"
HOLD_OWNER: Final = "backout.hold.owner"
HOLD_REVIEW_AT: Final = "backout.hold.review_at"
HOLD_ENDED_BY: Final = "backout.hold.ended_by"
HOLD_BECAUSE: Final = "backout.hold.because"

# --- places in a trace ---------------------------------------------------------------------------------------------------

ROOT: Final[tuple[str, ...]] = ()
"""The root's path. A span's parent is its path without the last part, so every part but the last must be a span of its own."""


def nth(name: str, number: int | str) -> str:
    """One part of a path for something that can happen more than once: `act.roll_back#3.2`, `verdict#1`, `alert.accept#<episode id>`."""
    return f"{name}#{number}"


def root_name(kind: str, target: str, suspect: str = "", goal: str = "") -> str:
    """The root's name, e.g. `rollback prod:checkout 42→41`; without the releases as long as nobody knows them."""
    return f"{kind} {target} {suspect or '?'}→{goal or '?'}" if suspect or goal else f"{kind} {target}"


def trace_id(operation_id: str) -> str:
    """The operation's trace id, 32 hex digits, never all zero; the same for ever."""
    return _hex(f"trace\0{operation_id}", 16)


def place(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with the root's own empty part left out: `("",)` is the root, `("", "verdict")` is `("verdict",)`."""
    return path[1:] if path[:1] == ("",) else path


def span_id(operation_id: str, path: tuple[str, ...]) -> str:
    """The id of the span at a path, 16 hex digits, never all zero; the same for ever. A `/` inside a part makes no other place."""
    parts = [part.replace("%", "%25").replace("/", "%2F") for part in place(path)]
    return _hex(f"span\0{operation_id}\0{'/'.join(parts)}", 8)


def traceparent(operation_id: str, path: tuple[str, ...] = ROOT) -> str:
    """The W3C traceparent of the span at a path: for links from a later attempt, a retry, or the end of a hold."""
    return f"00-{trace_id(operation_id)}-{span_id(operation_id, path)}-01"


def _hex(text: str, size: int) -> str:
    return _nonzero(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:size]).hex()


def _nonzero(digest: bytes) -> bytes:
    return digest if any(digest) else digest[:-1] + b"\1"
