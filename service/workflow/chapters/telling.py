"""The spans that a verdict, a decision of a person and a check leave in the trace; `docs/trace.md` has them all."""

from datetime import datetime

from service.domain import spans
from service.domain.facts import Absent, Known
from service.domain.policy import Decision
from service.domain.ports import (
    SpanDraft,
)
from service.domain.recovery import Bound, Check, Look
from service.domain.verdict import Answer
from service.workflow.examine import Examination
from service.workflow.record import Attempt


def approval_span(data: Attempt, now: datetime, answer: str, who: str, reason: str) -> SpanDraft:
    """A person was asked, and how that ended."""
    says = f"{answer} by {who}" + (f": {reason}" if reason else "") if who else reason
    overridden = {spans.OVERRIDE: ",".join(data.plan.overrides)} if data.plan and data.plan.overrides else {}
    return SpanDraft(
        path=(spans.nth(spans.APPROVAL, data.verdicts),),
        name=spans.APPROVAL,
        started_at=data.waiting_since or now,
        ended_at=now,
        says=says,
        attributes={spans.APPROVAL_ANSWER: answer, spans.APPROVAL_BY: who} | overridden,
    )


def check_span(check: Check, now: datetime, bound: Bound | None) -> SpanDraft:
    """One check of the last look."""
    attributes: dict[str, str | int | float | bool] = {spans.CHECK: check.name, spans.LOOK: check.look.value}
    if check.value is not None:
        attributes[spans.CHECK_VALUE] = check.value
        if bound is not None:
            attributes[spans.CHECK_THRESHOLD] = bound.threshold
    name = f"{spans.CHECKED}{check.name}"
    return SpanDraft(
        path=(spans.VERIFY, name), name=name, started_at=now, ended_at=now, says=check.says, failed=check.look is not Look.GOOD, attributes=attributes
    )


def verdict_spans(found: Examination, data: Attempt, started: datetime, now: datetime, decision: Decision | None) -> tuple[SpanDraft, ...]:
    """The verdict with one child per finding, and the decision if there is one."""
    verdict = found.verdict
    place = spans.nth(spans.VERDICT, data.verdicts)
    worst = verdict.worst
    head = SpanDraft(
        path=(place,),
        name=spans.VERDICT,
        started_at=started,
        ended_at=now,
        says=f"{worst.word}, {len(verdict.findings)} findings: {verdict.because}",
        attributes={
            spans.ANSWER: worst.word,
            spans.FINDINGS: len(verdict.findings),
            spans.WAY: verdict.way.value,
            spans.RECOMMENDED: verdict.recommended.value,
            spans.FACTS_READ: sum(1 for f in found.case.facts.known.values() if isinstance(f, Known)),
            spans.FACTS_ABSENT: sum(1 for f in found.case.facts.known.values() if isinstance(f, Absent)),
        },
    )
    children = tuple(
        SpanDraft(
            path=(place, f.rule),
            name=f.rule,
            started_at=now,
            ended_at=now,
            says=f.says,
            failed=f.answer is Answer.BLOCK,
            attributes={
                spans.RULE: f.rule,
                spans.ANSWER: f.answer.word,
                spans.GATE: f.gate,
                spans.WAIVED: f.waived,
                spans.LINES: "; ".join(f"{one.source}, {one.answer.word}: {one.says.rstrip('.')}" for one in f.lines)[:2000],
                spans.CLEARS: f.clears,
                spans.POSITION: number,
                spans.EVIDENCE_SOURCES: "; ".join(f"{e.source}: {e.what}" for e in f.evidence)[:2000],
                spans.EVIDENCE_DIGESTS: " ".join(e.digest for e in f.evidence if e.digest)[:2000],
            },
        )
        for number, f in enumerate(verdict.findings, start=1)
    )
    if decision is None:
        return (head, *children)
    attributes: dict[str, str | int | float | bool] = {spans.DECISION: decision.do.value, spans.MUST_NAME: ",".join(decision.must_name)}
    if found.plan is not None:
        attributes |= {
            spans.PLAN_DIGEST: found.plan.digest,
            spans.POLICY_VERSION: found.plan.policy_version,
            spans.ACT_BEFORE: found.plan.act_before.isoformat(),
        }
    decided = SpanDraft(
        path=(spans.nth(spans.DECIDE, data.verdicts),), name=spans.DECIDE, started_at=now, ended_at=now, says=decision.says, attributes=attributes
    )
    return (head, *children, decided)
