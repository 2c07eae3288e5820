"""The registry of the trace's names: each span and attribute with its type, where it stands, what it means and an example. docs/trace.md shows it.

The names that the workflow writes stand in `service.domain.spans`; those that only the encoder writes stand here. A name is part of a public contract:
it may be added, never renamed and never given another meaning.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry.semconv.attributes.deployment_attributes import DEPLOYMENT_ENVIRONMENT_NAME
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME as OTEL_SERVICE_NAME
from opentelemetry.semconv.attributes.service_attributes import SERVICE_VERSION as OTEL_SERVICE_VERSION

from service.domain import spans

PREFIX: Final = "backout."
SCOPE: Final = "backout.audit"
SERVICE: Final = "backout"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The semantic conventions whose names are used; a literal, for it is part of the stored bytes and must not move with a library."""

SERVICE_NAME: Final = OTEL_SERVICE_NAME
SERVICE_VERSION: Final = OTEL_SERVICE_VERSION
DEPLOYMENT_ENVIRONMENT: Final = DEPLOYMENT_ENVIRONMENT_NAME

SECRETS_REMOVED: Final = "backout.secrets_removed"
LINKS_MALFORMED: Final = "backout.links.malformed"
CLOCK_STEPPED: Final = "backout.clock.stepped"

SEARCH_KEYS: Final = (
    spans.OPERATION_ID,
    spans.TARGET,
    spans.INCIDENT_ID,
    spans.MODE,
    spans.ACTOR,
    spans.OUTCOME,
    spans.ALERT_FINGERPRINT,
    spans.SUSPECT_REVISION,
    spans.GOAL_REVISION,
)
"""What a finished operation that an alert began carries all together on its root: Jaeger matches all tags of a search on one span."""


@dataclass(frozen=True, slots=True)
class SpanName:
    """One span name. `pattern` holds `<…>` where something of the operation stands; `place` is its path within the trace."""

    pattern: str
    place: str
    when: str
    example: str

    def covers(self, name: str) -> bool:
        """Whether a span of that name is this one."""
        parts = re.split(r"(<[^>]*>)", self.pattern)
        return re.fullmatch("".join(_PARTS.get(part, re.escape(part)) for part in parts), name) is not None


_WORD = r"[a-z][a-z0-9_]*"
_PARTS = {"<kind>": _WORD, "<step>": _WORD, "<rule>": _WORD, "<check>": _WORD, "<target>": r"\S+:\S+", "< releases>": r"(?: \S.*)?"}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its `kind` is text, int, float or bool; `on` says which spans carry it."""

    name: str
    kind: str
    on: str
    means: str
    example: str


SPANS: Final = (
    SpanName("<kind> <target>< releases>", "the root", "the operation ended; covers it from its beginning to its end", "rollback prod:checkout 42→41"),
    SpanName(spans.ACCEPTED, "operation.accepted", "the operation began; short, exported at once, so that a running operation is found", spans.ACCEPTED),
    SpanName(spans.ALERT, "alert.accept#<episode>", "an alert's episode was kept; linked to the sender's trace", spans.ALERT),
    SpanName(spans.CORRELATE, "correlate", "the target and the release to blame were found, or not", spans.CORRELATE),
    SpanName(spans.GATHER, "gather#<n>", "facts were read from their sources", spans.GATHER),
    SpanName(spans.VERDICT, "verdict#<n>", "every rule was asked", spans.VERDICT),
    SpanName("<rule>", "verdict#<n> / <rule>", "one rule's finding; named as the rule", "schema_is_compatible"),
    SpanName(spans.DECIDE, "decide#<n>", "mode and policy said what happens with the verdict", spans.DECIDE),
    SpanName(spans.APPROVAL, "approval.wait#<n>", "a person was asked and answered, or time ran out", spans.APPROVAL),
    SpanName(f"{spans.ACT}<step>", "act.<step>#<position>.<attempt>", "one attempt at one step was seen to its end", "act.roll_back"),
    SpanName(f"{spans.UNDO}<step>", "act.undo.<step>#<position>.<attempt>", "one attempt at taking a step back", "act.undo.stop_auto_sync"),
    SpanName(spans.VERIFY, "verify", "the verification ended", spans.VERIFY),
    SpanName(f"{spans.CHECKED}<check>", "verify / check.<check>", "the last look's answer to one check", "check.sli"),
    SpanName(spans.HOLD, "hold", "a hold was opened", spans.HOLD),
    SpanName(spans.COMPLETED, "operation.completed", "the operation ended; short, with the same keys as the root", spans.COMPLETED),
    SpanName(
        spans.HOLD_END,
        "the root of a trace of its own",
        "a hold ended; linked to the root of the operation that opened it, and of the one that went forward",
        spans.HOLD_END,
    ),
)

_SEARCH = "root, operation.accepted, operation.completed"
_RELEASES = "root, operation.completed, if they are known"

ATTRIBUTES: Final = (
    Attribute(spans.OPERATION_ID, "text", "all", "the operation", "op_01k3v9"),
    Attribute(spans.TARGET, "text", "all", "the target's id", "prod:checkout"),
    Attribute(spans.INCIDENT_ID, "text", "all, if there is an incident", "the incident that it answers", "inc_01k3v8"),
    Attribute(spans.SAYS, "text", "all", "the sentence that log, API and message have as well", "release 42 (pods and onset agree)"),
    Attribute(spans.OPERATION_KIND, "text", _SEARCH, "what was attempted", "rollback"),
    Attribute(spans.MODE, "text", _SEARCH, "observe, suggest, approve or auto", "auto"),
    Attribute(spans.ACTOR, "text", _SEARCH, "who asked for it, `<kind>:<name>`", "alert:main"),
    Attribute(spans.ACTOR_KIND, "text", _SEARCH, "alert, user, service or automation", "alert"),
    Attribute(
        spans.OUTCOME,
        "text",
        "root, operation.completed",
        "recovered, not_recovered, inconclusive, refused, observed, suggested, expired, cancelled, rejected or failed",
        "recovered",
    ),
    Attribute(spans.ALERT_NAME, "text", f"{_SEARCH}, alert.accept", "the alert's name (of the first episode)", "HighErrorRate"),
    Attribute(spans.ALERT_FINGERPRINT, "text", f"{_SEARCH}, alert.accept", "the sender's identity of the label set (of the first episode)", "b6a1f0c2d3e4f5a6"),
    Attribute(
        spans.ALERT_FINGERPRINTS, "text", _SEARCH, "all episodes' fingerprints, separated by spaces, if there are several", "b6a1f0c2d3e4f5a6 0c2d3e4f5a6b6a1f"
    ),
    Attribute(spans.SUSPECT_KEY, "text", _RELEASES, "identity of the release to leave", "5f2d1c0b9a8e7d6c5b4a3928"),
    Attribute(spans.SUSPECT_RELEASE, "text", _RELEASES, "the delivery system's own name for it at that time", "42"),
    Attribute(spans.SUSPECT_REVISION, "text", _RELEASES, "its configuration revision", "9c1e2ab4d5f60718293a4b5c6d7e8f9012345678"),
    Attribute(spans.SUSPECT_VERSION, "text", _RELEASES, "its version as people say it", "v2.5.0"),
    Attribute(spans.GOAL_KEY, "text", _RELEASES, "identity of the release to go back to", "0a1b2c3d4e5f60718293a4b5"),
    Attribute(spans.GOAL_RELEASE, "text", _RELEASES, "the delivery system's own name for it at that time", "41"),
    Attribute(spans.GOAL_REVISION, "text", _RELEASES, "its configuration revision", "77d0f1c2b3a495867768594a3b2c1d0e9f8a7b6c"),
    Attribute(spans.GOAL_VERSION, "text", _RELEASES, "its version as people say it", "v2.4.6"),
    Attribute(spans.ALERT_SOURCE, "text", "alert.accept", "what kind of sender told it", "alertmanager"),
    Attribute(spans.ALERT_SENDER, "text", "alert.accept", "the credential it came with", "main"),
    Attribute(spans.ALERT_STARTS_AT, "text", "alert.accept", "when the episode began, as the sender told it (RFC 3339, UTC)", "2026-05-04T14:02:13+00:00"),
    Attribute(spans.ALERT_TIMES_SEEN, "int", "alert.accept", "how often the episode had been told by then", "3"),
    Attribute(spans.CORRELATION_RUNG, "text", "correlate", "which way from the labels to the target was taken", "labels"),
    Attribute(spans.FACTS_READ, "int", "verdict", "facts that were read", "23"),
    Attribute(spans.FACTS_ABSENT, "int", "verdict", "facts that nobody could find out", "1"),
    Attribute(spans.ANSWER, "text", "verdict, findings", "pass, warn, unknown or block; on verdict the worst that no waiver lets pass", "pass"),
    Attribute(spans.FINDINGS, "int", "verdict", "how many rules answered", "17"),
    Attribute(spans.WAY, "text", "verdict", "the way the verdict is for", "rollback"),
    Attribute(spans.RECOMMENDED, "text", "verdict", "the recommended way", "rollback"),
    Attribute(spans.RULE, "text", "findings", "the rule's name", "schema_is_compatible"),
    Attribute(spans.GATE, "bool", "findings", "whether its unknown stops automation", "true"),
    Attribute(spans.WAIVED, "text", "findings, if waived", "the waiver's reason and expiry", "waived until 2026-06-01: known to be harmless"),
    Attribute(
        spans.LINES,
        "text",
        "findings that rest on several lines of evidence",
        "what each line says by itself, separated by semicolons, first 2,000 signs",
        "text, block: db/migrations/0042.sql:2 dropped column orders.legacy_status; database, unknown: no database is declared, so none was asked",
    ),
    Attribute(spans.CLEARS, "text", "findings that do not pass", "what would change the answer", "Add the column back, or ship a hotfix on 57."),
    Attribute(
        spans.EVIDENCE_SOURCES,
        "text",
        "findings",
        "`<source>: <what>` of each piece of evidence, separated by `; `",
        "git:shop/orders: db/migrations/0042_drop_legacy.sql:3",
    ),
    Attribute(spans.EVIDENCE_DIGESTS, "text", "findings", "digests of the evidence, separated by spaces", "sha256:9f86d081884c7d65"),
    Attribute(spans.POSITION, "int", "findings", "place in the reading order, from 1", "4"),
    Attribute(spans.DECISION, "text", "decide", "record, notify, wait, act or refuse", "act"),
    Attribute(spans.MUST_NAME, "text", "decide", "rules that an approval has to name, separated by commas", "caches_stay_coherent"),
    Attribute(spans.POLICY_VERSION, "text", "decide", "digest of the policy's text", "default@3"),
    Attribute(spans.PLAN_ID, "text", "decide", "the plan", "plan_01k3v9"),
    Attribute(spans.PLAN_DIGEST, "text", "decide, root, operation.completed", "what an approval is bound to", "sha256:2c26b46b68ffc68f"),
    Attribute(spans.ACT_BEFORE, "text", "decide", "no effect begins after this time (RFC 3339, UTC)", "2026-05-04T14:03:45+00:00"),
    Attribute(spans.APPROVAL_ANSWER, "text", "approval.wait", "approved, rejected, expired or cancelled", "approved"),
    Attribute(spans.APPROVAL_BY, "text", "approval.wait", "who answered, `<kind>:<name>`", "user:alice"),
    Attribute(
        spans.OVERRIDE,
        "text",
        "approval.wait, root, operation.completed, if a block is overridden",
        "rules whose block two persons override, separated by commas",
        "schema_is_compatible",
    ),
    Attribute(
        spans.OVERRIDE_BY,
        "text",
        "root, operation.completed, if a block was overridden",
        "who asked for it and who confirmed it, `<kind>:<name>` each",
        "user:alice user:bob",
    ),
    Attribute(spans.APPROVAL_NAMES, "text", "approval.wait", "warnings and unknowns that the approval names, separated by commas", "caches_stay_coherent"),
    Attribute(spans.STEP, "text", "act.*", "the step's name", "roll_back"),
    Attribute(spans.ATTEMPT, "int", "act.*", "from 1", "1"),
    Attribute(spans.SEEN, "text", "act.*", "what became of it as seen from the target: not_seen, running, done, failed, foreign or stuck", "done"),
    Attribute(spans.ERROR_TYPE, "text", "failed spans", "the kind of error (OpenTelemetry)", "TemporaryError"),
    Attribute(spans.VERIFY_ENDED, "text", "verify", "recovered, not_recovered or inconclusive", "recovered"),
    Attribute(spans.VERIFY_PASSES, "int", "verify", "good looks in a row with fresh samples", "3"),
    Attribute(spans.VERIFY_RUNG, "text", "verify", "where the bound comes from: declared, rule, or nothing", "rule"),
    Attribute(spans.CHECK, "text", "checks", "live, sli or alert", "sli"),
    Attribute(spans.LOOK, "text", "checks", "good, bad or unknown", "good"),
    Attribute(spans.CHECK_VALUE, "float", "checks with a number", "what was measured", "0.002"),
    Attribute(spans.CHECK_THRESHOLD, "float", "checks with a number", "the bound", "0.01"),
    Attribute(spans.HOLD_ID, "text", "hold, hold.end", "the hold", "hold_5f21"),
    Attribute(spans.HOLD_HELD, "text", "hold", "keys of the releases held away, separated by spaces", "5f2d1c0b9a8e7d6c5b4a3928"),
    Attribute(spans.HOLD_OWNER, "text", "hold", "who looks after it", "automation:backout"),
    Attribute(spans.HOLD_REVIEW_AT, "text", "hold", "when a person should look at it (RFC 3339, UTC)", "2026-05-11T14:02:59+00:00"),
    Attribute(spans.HOLD_ENDED_BY, "text", "hold.end", "who ended it: `<kind>:<name>`, or `forward` where a verified release did", "user:alice"),
    Attribute(spans.HOLD_BECAUSE, "text", "hold.end", "why", "v2.5.1 is verified"),
    Attribute(SECRETS_REMOVED, "int", "spans from which something was taken out", "how many values looked like secrets and became `[removed]`", "1"),
    Attribute(LINKS_MALFORMED, "text", "spans given a link that is none", "the traceparents that could not be read, separated by spaces", "00-xyz-01"),
    Attribute(CLOCK_STEPPED, "float", "spans during which the clock went back", "by how many seconds; the span then ends where it begins", "-0.25"),
)

RESERVED: Final = frozenset({spans.APPROVAL_NAMES, spans.ERROR_TYPE, spans.GATHER})
"""Names that nothing writes yet; a test compares this with the code, and the page says so."""

RESOURCE: Final = (
    Attribute(SERVICE_NAME, "text", "resource", "always `backout`", SERVICE),
    Attribute(SERVICE_VERSION, "text", "resource", "the version that wrote the span", "0.1.0"),
    Attribute(DEPLOYMENT_ENVIRONMENT, "text", "resource, if set", "the environment that the settings name", "production"),
)


def undocumented(span_name: str, attributes: Iterable[str]) -> tuple[str, ...]:
    """The names among these that are not part of the contract; empty when all are."""
    known = {attribute.name for attribute in ATTRIBUTES}
    return (*(() if any(span.covers(span_name) for span in SPANS) else (span_name,)), *(name for name in attributes if name not in known))


def tables() -> str:
    """The three tables of docs/trace.md, as Markdown."""
    return "\n\n".join(
        (
            "### Spans\n\n"
            + _table(("name", "place", "when", "example"), [(f"`{s.pattern}`", s.place, _unless_reserved(s.pattern, s.when), f"`{s.example}`") for s in SPANS]),
            "### Attributes\n\n" + _attribute_table(ATTRIBUTES),
            "### Resource\n\n" + _attribute_table(RESOURCE),
        )
    )


def _attribute_table(attributes: Iterable[Attribute]) -> str:
    return _table(
        ("name", "type", "on", "meaning", "example"), [(f"`{a.name}`", a.kind, _unless_reserved(a.name, a.on), a.means, f"`{a.example}`") for a in attributes]
    )


def _unless_reserved(name: str, text: str) -> str:
    return f"{text} (reserved: not written yet)" if name in RESERVED else text


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("--",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
