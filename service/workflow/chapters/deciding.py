"""Judges, and decides with mode and policy what happens: record, notify, refuse, wait for a person, or go; checks an approval again before it counts."""

import math
from dataclasses import replace
from datetime import datetime, timedelta

from service.domain import keys
from service.domain.derived import built_from, goal_images_key
from service.domain.errors import PermanentError
from service.domain.facts import Fact, Known
from service.domain.model import Actor, Image, Mode, Operation, Outcome
from service.domain.planning.plan import Plan
from service.domain.policy import Decision, Do, RecoveredWhen, TargetPolicy, another_person, decide
from service.domain.ports import (
    AuditEvent,
    SpanDraft,
    Transition,
)
from service.domain.recovery import Bound
from service.domain.rule import Direction, Trigger
from service.workflow import messages
from service.workflow.chapters.chapter import (
    ACT,
    WAITING,
    Chapter,
)
from service.workflow.chapters.tale import Ports
from service.workflow.chapters.telling import approval_span, verdict_spans
from service.workflow.examine import Examination
from service.workflow.record import Attempt, dump


class Deciding(Chapter):
    """From the beginning to the word go, or to an early end."""

    async def begin(self, op: Operation, data: Attempt) -> Transition:
        """Look at the target, ask every rule, and let mode and policy say what happens; the incident is told whom it is about, however that ends."""
        started = self._p.clock.now()
        policy = self._p.examiner.policy(op.target)
        deadline = policy.act_within if op.mode is Mode.AUTO else policy.approve_within
        found = await self._tale.examine(op, data, deadline)
        about = found.case.suspect if found.case.direction is Direction.BACK else None  # forward it is the good release that is left
        if about is not None:
            about = replace(about, built_from=built_from(found.case))
        return replace(await self._judged(op, data, found, policy, started), suspect=about)

    async def _judged(self, op: Operation, data: Attempt, found: Examination, policy: TargetPolicy, started: datetime) -> Transition:
        now = self._p.clock.now()
        decision = self._tale.settles(op, found, decide(op.mode, found.verdict, policy, override=_asked(op, data)))
        data = replace(data, plan=found.plan, onset=found.onset, verdicts=data.verdicts + 1)
        rows = (
            AuditEvent(kind="suspect", says=found.case.why_none, at=now, body={"onset": data.onset.isoformat() if data.onset else None}),
            AuditEvent(
                kind="verdict",
                says=f"{found.verdict.worst.word}: {found.verdict.because}",
                at=now,
                body={
                    "findings": [
                        {
                            "rule": f.rule,
                            "answer": f.answer.word,
                            "says": f.says,
                            "lines": [{"source": one.source, "answer": one.answer.word, "says": one.says} for one in f.lines],
                            "clears": f.clears,
                            "waived": f.waived,
                        }
                        for f in found.verdict.findings
                    ]
                },
            ),
            AuditEvent(
                kind="decision",
                says=decision.says,
                at=now,
                body={"do": decision.do, "must_name": list(decision.must_name), "must_override": list(decision.must_override)},
            ),
        )
        drafts = verdict_spans(found, data, started, now, decision)
        if (found.plan is None or not found.plan.steps) and decision.do in {Do.ACT, Do.WAIT, Do.NOTIFY}:
            decision = Decision(do=Do.REFUSE, says=found.plan.because if found.plan else found.case.why_none or "there is no way back to offer")
        stopped = await self._p.stop.reason()
        if found.plan is not None and found.plan.by_person and decision.do in {Do.ACT, Do.WAIT, Do.NOTIFY}:
            return self._for_a_person(op, data, found, found.plan, rows, drafts)
        if stopped and decision.do in {Do.ACT, Do.WAIT}:
            return self.refused(op, data, found, f"everything is stopped: {stopped}", rows, drafts)
        if decision.do is Do.RECORD:
            return self.end(op, data, Outcome.OBSERVED, self._would(found, policy), rows=rows, drafts=drafts, tell=False)
        if decision.do is Do.REFUSE:
            return self.refused(op, data, found, decision.says, rows, drafts)
        if decision.do is Do.NOTIFY:
            text = (f"Why: {found.says}", messages.score(found.verdict), *messages.worst_lines(found.verdict), self._tale.by_hand(op, data))
            return self.end(op, data, Outcome.SUGGESTED, found.says, rows=rows, drafts=drafts, text=text)
        data = await self._prepare(data, found, policy)
        if decision.do is Do.WAIT:
            return self._wait_or_go(op, data, found, policy, decision, rows, drafts)
        return self._go(op, data, found, now + policy.act_within, rows, drafts)

    def _for_a_person(
        self, op: Operation, data: Attempt, found: Examination, plan: Plan, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]
    ) -> Transition:
        """A way that no mode lets Backout go: the whole plan is told, with what to type."""
        says = f"a person goes back by {plan.way.value.replace('_', ' ')}: {plan.because}"
        steps = [line for number, step in enumerate(plan.steps, start=1) for line in (f"{number}. {step.says}", step.command)]
        text = (f"Why: {found.says}", messages.score(found.verdict), *messages.worst_lines(found.verdict), says, *steps, "Nothing was touched.")
        row = AuditEvent(kind="for_a_person", says=says, at=self._p.clock.now())
        return self.end(op, data, Outcome.SUGGESTED, says, rows=(*rows, row), drafts=drafts, text=text)

    @staticmethod
    def _would(found: Examination, policy: TargetPolicy) -> str:
        would = decide(Mode.AUTO, found.verdict, policy)
        return f"in mode auto Backout would {would.do}: {would.says}" if found.plan else f"nothing to go back to: {found.says}"

    def _wait_or_go(
        self,
        op: Operation,
        data: Attempt,
        found: Examination,
        policy: TargetPolicy,
        decision: Decision,
        rows: tuple[AuditEvent, ...],
        drafts: tuple[SpanDraft, ...],
    ) -> Transition:
        plan, now = data.plan, self._p.clock.now()
        if plan is None:  # pragma: no cover  _begin refused this
            raise PermanentError("a decision without a plan")
        if data.confirmed is not None:
            missing = [name for name in decision.must_name if name not in data.confirmed.names]
            if data.confirmed.digest != plan.digest:
                return self.refused(op, data, found, "the plan changed since it was shown: look at the new one and confirm that", rows, drafts)
            if missing:
                return self.refused(op, data, found, f"the confirmation does not name {', '.join(missing)}", rows, drafts)
            if decision.must_override:
                plan = replace(plan, overrides=decision.must_override)
                return self._wait(op, replace(data, plan=plan), plan, decision, now + policy.approve_within, rows, drafts)
            return self._go(op, data, found, now + policy.approve_within, rows, drafts)
        return self._wait(op, data, plan, decision, now + policy.approve_within, rows, drafts)

    def _wait(
        self, op: Operation, data: Attempt, plan: Plan, decision: Decision, until: datetime, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]
    ) -> Transition:
        """Wait for a person, or where blocks are to be overridden for a second one."""
        now = self._p.clock.now()
        data = replace(data, waiting_since=now)
        accept = f" --accept {','.join(decision.must_name)}" if decision.must_name else ""
        asked: tuple[str, ...] = (f"Approve: backout approve {op.id}{accept}",)
        title, event = f"{op.target}: a person decides", "approval_wanted"
        if plan.overrides:
            title, event = f"{op.target}: a second person decides on an override", "override_wanted"
            reason = data.confirmed.reason if data.confirmed else ""
            rules = ", ".join(plan.overrides)
            asked = (
                f"{op.requested_by} asks to override {rules}: {reason}",
                f"Confirm, as somebody else: backout override {op.id} --reason …",
            )
            row = AuditEvent(
                kind="override_asked",
                says=f"{op.requested_by} asks to override {rules}: {reason}",
                at=now,
                body={"actor": str(op.requested_by), "override": list(plan.overrides), "reason": reason, "digest": plan.digest},
            )
            rows = (*rows, row)
        text = (
            f"Plan: {plan.suspect.title} → {plan.goal.title} ({plan.way.value}). {messages.score(plan.verdict)}.",
            *messages.worst_lines(plan.verdict),
            *asked,
            f"The offer ends at {until:%H:%M:%S} UTC; silence is not consent.",
        )
        key = f"{op.id}/approval/{data.verdicts}"
        sent = messages.message(self._p.told, key=key, title=title, text=text, at=now, event=event, operation=op, plan=plan)
        return Transition(
            phase=WAITING,
            data=dump(data),
            says=decision.says,
            events=rows,
            spans=drafts,
            messages=sent,
            until_person=until,
            suspect_key=plan.suspect.key,
            goal_key=plan.goal.key,
            act_before=until,
        )

    async def waited(self, op: Operation, data: Attempt) -> Transition:
        """The deadline came (a decision would have moved the row on)."""
        now = self._p.clock.now()
        if op.act_before is not None and now < op.act_before:
            return Transition(phase=WAITING, data=op.data, until_person=op.act_before)
        span = approval_span(data, now, "expired", "", "nobody decided in time")
        text = ("Nothing was done: silence is not consent.", self._tale.by_hand(op, data))
        return self.end(op, data, Outcome.EXPIRED, "nobody decided in time; nothing was done", drafts=(span,), text=text)

    async def decided(self, op: Operation, data: Attempt) -> Transition:
        """A person decided: check that what was approved is still what would be done."""
        started = self._p.clock.now()
        decision = await self._p.journal.approval(op.id)
        plan = data.plan
        if decision is None or plan is None:
            raise PermanentError(f"operation {op.id} was decided without a decision or a plan")
        who = f"{decision['actor_kind']}:{decision['actor_name']}"
        answer = "approved" if decision["approve"] else "rejected"
        reason = str(decision["body"].get("reason", ""))
        span = approval_span(data, started, answer, who, reason)
        if not decision["approve"]:
            return self.end(op, data, Outcome.REJECTED, f"rejected by {who}; nothing was done", drafts=(span,))
        policy = self._p.examiner.policy(op.target)
        left = (op.act_before or started) - started
        found = await self._tale.examine(op, data, left)
        now = self._p.clock.now()
        data = replace(data, verdicts=data.verdicts + 1)
        drafts = (span, *verdict_spans(found, data, started, now, None))
        again = None if found.plan is None else replace(found.plan, overrides=plan.overrides)
        if again is None or again.digest != plan.digest:
            says = f"the approval no longer holds: {_difference(plan, found)}; nothing was done"
            rows = (AuditEvent(kind="approval_void", says=says, at=now),)
            return self.refused(op, replace(data, plan=found.plan), found, says, rows, drafts)
        still = decide(op.mode, found.verdict, policy, override=plan.overrides)
        if still.do not in {Do.WAIT, Do.ACT}:
            return self.refused(op, data, found, still.says, (), drafts)
        if still.must_override:
            second = Actor(kind=decision["actor_kind"], name=decision["actor_name"])
            unnamed = [rule for rule in still.must_override if rule not in decision["body"].get("override", ())]
            if op.automatic or unnamed or not another_person(op.requested_by, second):
                return self.refused(
                    op, data, found, f"the override was not confirmed by a second person who names {', '.join(still.must_override)}", (), drafts
                )
            data = replace(data, second=who, second_reason=reason)
        missing = [name for name in still.must_name if name not in decision["body"].get("names", ())]
        if missing:
            return self.refused(op, data, found, f"the approval does not name {', '.join(missing)}", (), drafts)
        stopped = await self._p.stop.reason()
        if stopped:
            return self.refused(op, data, found, f"everything is stopped: {stopped}", (), drafts)
        data = await self._prepare(replace(data, plan=plan, approved_by=who), found, policy)
        return self._go(op, data, found, op.act_before or now, (), drafts)  # the offer's end, however long the second look took

    async def _prepare(self, data: Attempt, found: Examination, policy: TargetPolicy) -> Attempt:
        """Remember what the verification will compare with: goal images, the SLI's bound, traffic before."""
        wanted = await _goal_images(self._p, found)
        trigger = self._tale.trigger(data)
        rule: Fact[keys.AlertRule] | None = None
        if trigger is not None:
            asked = keys.alert_rule(trigger.alert, trigger.series_labels)
            rule = (await self._p.gatherer.facts(found.case.target, [asked], found.case.facts)).read(asked)
        bound = _bound(trigger, rule, policy.recovered_when)
        traffic = None
        if policy.recovered_when.traffic:
            facts = await self._p.gatherer.facts(found.case.target, [keys.series(policy.recovered_when.traffic)])
            before = facts.read(keys.series(policy.recovered_when.traffic))
            flows = [flow for flow in before.value.values.values() if math.isfinite(flow)] if isinstance(before, Known) else []
            traffic = sum(flows) if flows else None  # NaN would compare as "enough" with anything
        keep_firing = rule.value.keep_firing if isinstance(rule, Known) else timedelta(0)
        return replace(data, wanted=wanted, bound=bound, traffic_before=traffic, keep_firing=keep_firing)

    def _go(
        self, op: Operation, data: Attempt, found: Examination, before: datetime, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]
    ) -> Transition:
        plan, now = data.plan, self._p.clock.now()
        if plan is None or not plan.steps:
            return self.refused(op, data, found, plan.because if plan else "there is no plan", rows, drafts)
        return Transition(
            phase=ACT,
            data=dump(replace(data, acting_since=now)),
            says=f"{self._tale.verb}: {plan.suspect.title} → {plan.goal.title}",
            events=rows,
            spans=drafts,
            suspect_key=plan.suspect.key,
            goal_key=plan.goal.key,
            act_before=before,
            goes_on=True,
        )


def _asked(op: Operation, data: Attempt) -> tuple[str, ...]:
    """The rules whose block a person asked to override; nothing that began by itself ever does (promise 11)."""
    return data.confirmed.override if data.confirmed is not None and not op.automatic else ()


def _difference(plan: Plan, found: Examination) -> str:
    new = found.plan
    if new is None:
        return found.case.why_none
    if any((one.key, one.handle) != (other.key, other.handle) for one, other in ((new.suspect, plan.suspect), (new.goal, plan.goal))):
        return f"it is now {new.suspect.title} → {new.goal.title}"
    before = {f.rule: (f.answer, f.told if f.rule in plan.overrides else "") for f in plan.verdict.findings}
    changed = [f for f in new.verdict.findings if before.get(f.rule) != (f.answer, f.told if f.rule in plan.overrides else "")]
    if changed:
        return f"{changed[0].rule} is now {changed[0].answer.word}: {changed[0].says}"
    return "the target, the steps or the policy changed"


def _bound(trigger: Trigger | None, rule: Fact[keys.AlertRule] | None, when: RecoveredWhen) -> Bound:
    """The SLI ladder: declared, then the firing rule's own plain comparison, then none."""
    if when.promql and when.below is not None:
        return Bound(rung="declared", promql=when.promql, comparison=">=", threshold=when.below)
    if when.promql and when.above is not None:
        return Bound(rung="declared", promql=when.promql, comparison="<=", threshold=when.above)
    if trigger is None or not isinstance(rule, Known) or not rule.value.comparison:
        return Bound(rung="")
    return Bound(rung="rule", promql=rule.value.expression, labels=trigger.series_labels, comparison=rule.value.comparison, threshold=rule.value.threshold)


async def _goal_images(ports: Ports, found: Examination) -> tuple[Image, ...]:
    goal = found.case.goal
    if goal is None:
        return ()
    target = found.case.target
    facts = await ports.gatherer.facts(target, [keys.record(target, goal.key)], found.case.facts)
    record = facts.read(keys.record(target, goal.key))
    if isinstance(record, Known) and record.value.images:
        return record.value.images
    rendered = goal_images_key(found.case, goal)
    facts = await ports.gatherer.facts(target, [rendered], facts)
    answer = facts.read(rendered)
    return answer.value if isinstance(answer, Known) else ()
