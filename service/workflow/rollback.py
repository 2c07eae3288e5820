"""The story of a rollback, phase by phase: begin → (wait for a person) → act, step by step → verify → end; or take back what was done, and end.

Each function takes the row and answers one `Transition`; nothing is remembered between them but the row. Before every effect its intent is committed;
`deliveries` act and observe; a crash anywhere is continued from the row, and an effect is looked for before it is tried.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.domain import keys, spans
from service.domain.errors import BackoutError, PermanentError, RefusedError, StoppedError, TemporaryError, TooLateError
from service.domain.facts import Absent, Fact, Facts, Key, Known
from service.domain.model import Hold, Image, Json, Mode, Operation, Outcome
from service.domain.planning.plan import Plan, Step
from service.domain.policy import Decision, Do, RecoveredWhen, TargetPolicy, decide
from service.domain.ports import (
    AuditEvent,
    Clock,
    Delivery,
    Guard,
    HoldChange,
    Intention,
    Journal,
    Message,
    NewId,
    Observation,
    Seen,
    SpanDraft,
    StopSwitch,
    Targets,
    Transition,
)
from service.domain.recovery import Bound, Check, Look, Progress, advance, check_alert, check_live, check_sli, give_up_at, longest_range
from service.domain.verdict import Answer
from service.workflow import messages
from service.workflow.examine import Examination, Examiner
from service.workflow.gather import Gatherer
from service.workflow.messages import Told
from service.workflow.record import Rollback, Tried, dump, load

POLL = timedelta(seconds=0.5)
STUCK_POLL = timedelta(seconds=15)
STUCK_AFTER = timedelta(minutes=15)
MAX_VERDICTS = 3


BEGIN, WAITING, DECIDED = "begin", "awaiting_approval", "decided"
ACT, SEND, WATCH, STUCK = "act", "act_send", "act_watch", "stuck"
VERIFY, BACK, BACK_SEND, BACK_WATCH = "verify", "take_back", "take_back_send", "take_back_watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything the story needs from outside."""

    examiner: Examiner
    gatherer: Gatherer
    deliveries: Mapping[str, Delivery]
    targets: Targets
    journal: Journal
    stop: StopSwitch
    clock: Clock
    told: Told
    new_id: NewId


class RollbackStory:
    """One transition at a time for operations of kind rollback."""

    def __init__(self, ports: Ports) -> None:
        self._p = ports
        self._phases: Mapping[str, Callable[[Operation, Rollback], Awaitable[Transition]]] = {
            BEGIN: self._begin,
            WAITING: self._waited,
            DECIDED: self._decided,
            ACT: self._act,
            SEND: self._send,
            WATCH: self._watch,
            STUCK: self._watch,
            VERIFY: self._verify,
            BACK: self._take_back,
            BACK_SEND: self._back_send,
            BACK_WATCH: self._back_watch,
        }

    @property
    def phases(self) -> frozenset[str]:
        """The phases this version knows; others are left to a newer one."""
        return frozenset(self._phases)

    async def advance(self, operation: Operation) -> Transition:
        """The next transition of the operation. TemporaryError and UnavailableError may pass through: the engine tries again."""
        data = load(operation)
        if operation.cancel_requested and operation.phase == VERIFY:
            says = f"{operation.cancel_requested}; the rollback stays in place, whether it helped was not measured to the end, and the hold stays"
            return self._end(operation, data, Outcome.CANCELLED, says)
        if operation.cancel_requested and operation.phase not in {BACK, BACK_SEND, BACK_WATCH}:
            return await self._cancel(operation, data)
        return await self._phases[operation.phase](operation, data)

    async def barred(self, operation: Operation, why: str) -> Transition:
        """The row may not get its first effect (another automatic operation acted on this suspect): end without touching anything."""
        return self._end(operation, load(operation), Outcome.REFUSED, f"{why}; nothing was changed")

    # --- deciding ----------------------------------------------------------------------------------------------------------

    async def _begin(self, op: Operation, data: Rollback) -> Transition:
        started = self._p.clock.now()
        policy = self._p.examiner.policy(op.target)
        deadline = policy.act_within if op.mode is Mode.AUTO else policy.approve_within
        found = await self._examine(op, data, deadline)
        now = self._p.clock.now()
        decision = decide(op.mode, found.verdict, policy)
        data = replace(data, plan=found.plan, onset=found.onset, verdicts=data.verdicts + 1)
        rows = (
            AuditEvent(kind="suspect", says=found.case.why_none, at=now, body={"onset": data.onset.isoformat() if data.onset else None}),
            AuditEvent(
                kind="verdict",
                says=f"{found.verdict.worst.word}: {found.verdict.because}",
                at=now,
                body={
                    "findings": [
                        {"rule": f.rule, "answer": f.answer.word, "says": f.says, "clears": f.clears, "waived": f.waived} for f in found.verdict.findings
                    ]
                },
            ),
            AuditEvent(kind="decision", says=decision.says, at=now, body={"do": decision.do, "must_name": list(decision.must_name)}),
        )
        drafts = _verdict_spans(found, data, started, now, decision)
        if (found.plan is None or not found.plan.steps) and decision.do in {Do.ACT, Do.WAIT, Do.NOTIFY}:
            decision = Decision(do=Do.REFUSE, says=found.plan.because if found.plan else found.case.why_none or "there is no way back to offer")
        stopped = await self._p.stop.reason()
        if stopped and decision.do in {Do.ACT, Do.WAIT}:
            return self._refused(op, data, found, f"everything is stopped: {stopped}", rows, drafts)
        if decision.do is Do.RECORD:
            return self._end(op, data, Outcome.OBSERVED, self._would(found, policy), rows=rows, drafts=drafts, tell=False)
        if decision.do is Do.REFUSE:
            return self._refused(op, data, found, decision.says, rows, drafts)
        if decision.do is Do.NOTIFY:
            text = (f"Why: {found.says}", messages.score(found.verdict), *messages.worst_lines(found.verdict), f"backout plan {op.target} shows the plan.")
            return self._end(op, data, Outcome.SUGGESTED, found.says, rows=rows, drafts=drafts, text=text)
        data = await self._prepare(data, found, policy)
        if decision.do is Do.WAIT:
            return self._wait_or_go(op, data, found, policy, decision, rows, drafts)
        return self._go(op, data, found, policy.act_within, rows, drafts)

    async def _examine(self, op: Operation, data: Rollback, deadline: timedelta) -> Examination:
        return await self._p.examiner.examine(
            op.target,
            trigger=data.trigger,
            automatic=op.automatic,
            mode=op.mode,
            requested_by=op.requested_by,
            plan_id=self._p.new_id("pln"),
            deadline=deadline,
            ignore_operation=op.id,
        )

    @staticmethod
    def _would(found: Examination, policy: TargetPolicy) -> str:
        would = decide(Mode.AUTO, found.verdict, policy)
        return f"in mode auto Backout would {would.do}: {would.says}" if found.plan else f"nothing to go back to: {found.says}"

    def _wait_or_go(
        self,
        op: Operation,
        data: Rollback,
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
                return self._refused(op, data, found, "the plan changed since it was shown: look at the new one and confirm that", rows, drafts)
            if missing:
                return self._refused(op, data, found, f"the confirmation does not name {', '.join(missing)}", rows, drafts)
            return self._go(op, data, found, policy.approve_within, rows, drafts)
        until = now + policy.approve_within
        data = replace(data, waiting_since=now)
        text = (
            f"Plan: {plan.suspect.title} → {plan.goal.title} ({plan.way.value}). {messages.score(found.verdict)}.",
            *messages.worst_lines(found.verdict),
            f"Approve: backout approve {op.id}" + (f" --accept {','.join(decision.must_name)}" if decision.must_name else ""),
            f"The offer ends at {until:%H:%M:%S} UTC; silence is not consent.",
        )
        sent = messages.message(
            self._p.told, key=f"{op.id}/approval", title=f"{op.target}: a person decides", text=text, at=now, event="approval_wanted", operation=op, plan=plan
        )
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

    async def _waited(self, op: Operation, data: Rollback) -> Transition:
        """The deadline came (a decision would have moved the row on)."""
        now = self._p.clock.now()
        if op.act_before is not None and now < op.act_before:
            return Transition(phase=WAITING, data=op.data, until_person=op.act_before)
        span = self._approval_span(data, now, "expired", "", "nobody decided in time")
        text = ("Nothing was done: silence is not consent.", f"To do it now: backout rollback {op.target}")
        return self._end(op, data, Outcome.EXPIRED, "nobody decided in time; nothing was done", drafts=(span,), text=text)

    async def _decided(self, op: Operation, data: Rollback) -> Transition:
        """A person decided: check that what was approved is still what would be done."""
        started = self._p.clock.now()
        decision = await self._p.journal.approval(op.id)
        plan = data.plan
        if decision is None or plan is None:
            raise PermanentError(f"operation {op.id} was decided without a decision or a plan")
        who = f"{decision['actor_kind']}:{decision['actor_name']}"
        answer = "approved" if decision["approve"] else "rejected"
        span = self._approval_span(data, started, answer, who, str(decision["body"].get("reason", "")))
        if not decision["approve"]:
            return self._end(op, data, Outcome.REJECTED, f"rejected by {who}; nothing was done", drafts=(span,))
        policy = self._p.examiner.policy(op.target)
        left = (op.act_before or started) - started
        found = await self._examine(op, data, left)
        now = self._p.clock.now()
        data = replace(data, verdicts=data.verdicts + 1)
        drafts = (span, *_verdict_spans(found, data, started, now, None))
        if found.plan is None or found.plan.digest != plan.digest:
            says = f"the approval no longer holds: {_difference(plan, found)}; nothing was done"
            rows = (AuditEvent(kind="approval_void", says=says, at=now),)
            return self._refused(op, replace(data, plan=found.plan), found, says, rows, drafts)
        needed = decide(op.mode, found.verdict, policy).must_name
        missing = [name for name in needed if name not in decision["body"].get("names", ())]
        if missing:
            return self._refused(op, data, found, f"the approval does not name {', '.join(missing)}", (), drafts)
        stopped = await self._p.stop.reason()
        if stopped:
            return self._refused(op, data, found, f"everything is stopped: {stopped}", (), drafts)
        data = await self._prepare(replace(data, plan=plan), found, policy)
        return self._go(op, data, found, left, (), drafts)

    async def _prepare(self, data: Rollback, found: Examination, policy: TargetPolicy) -> Rollback:
        """Remember what the verification will compare with: goal images, the SLI's bound, traffic before."""
        wanted = await _goal_images(self._p, found)
        bound = _bound(found, policy.recovered_when)
        traffic = None
        if policy.recovered_when.traffic:
            facts = await self._p.gatherer.facts(found.case.target, [keys.series(policy.recovered_when.traffic)])
            before = facts.read(keys.series(policy.recovered_when.traffic))
            flows = [flow for flow in before.value.values.values() if math.isfinite(flow)] if isinstance(before, Known) else []
            traffic = sum(flows) if flows else None  # NaN would compare as "enough" with anything
        trigger = found.case.trigger
        rule = found.case.facts.read(keys.alert_rule(trigger.alert, trigger.series_labels)) if trigger else None
        keep_firing = rule.value.keep_firing if isinstance(rule, Known) else timedelta(0)
        return replace(data, wanted=wanted, bound=bound, traffic_before=traffic, keep_firing=keep_firing)

    def _go(
        self, op: Operation, data: Rollback, found: Examination, within: timedelta, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]
    ) -> Transition:
        plan, now = data.plan, self._p.clock.now()
        if plan is None or not plan.steps:
            return self._refused(op, data, found, plan.because if plan else "there is no plan", rows, drafts)
        return Transition(
            phase=ACT,
            data=dump(replace(data, acting_since=now)),
            says=f"going back: {plan.suspect.title} → {plan.goal.title}",
            events=rows,
            spans=drafts,
            suspect_key=plan.suspect.key,
            goal_key=plan.goal.key,
            act_before=now + within,
        )

    # --- acting ------------------------------------------------------------------------------------------------------------

    async def _act(self, op: Operation, data: Rollback) -> Transition:
        """Look again and write down the next step's intent; or, after the last step, go on to verify."""
        now, plan = self._p.clock.now(), _plan(op, data)
        if data.cursor >= len(plan.steps):
            return self._start_verifying(op, data, now)
        step = plan.steps[data.cursor]
        stopped = await self._p.stop.reason()
        late = op.act_before is not None and now >= op.act_before
        if step.optional and (stopped or late):  # what may fail may be left out: the rollback before it is not taken back for its sake
            return self._skip(data, step, f"everything is stopped: {stopped}" if stopped else "act_before passed", now)
        if stopped:
            return self._give_up(op, data, f"everything is stopped: {stopped}", Outcome.FAILED)
        if late:
            if op.first_effect_at is None and data.verdicts < MAX_VERDICTS:
                says = "act_before passed before anything was written: judged anew"
                spent = max((one.attempt for one in data.tried), default=data.attempts)
                again = replace(data, plan=None, cursor=0, tried=(), confirmed=None, attempts=spent)
                return Transition(phase=BEGIN, data=dump(again), says=says, events=(AuditEvent(kind="late", says=says, at=now),))
            return self._give_up(op, data, "act_before passed; nothing more was written", Outcome.FAILED)
        delivery = self._p.deliveries[op.target.instance]
        try:
            intent = await delivery.intend(step, self._intention(op, data, now))
        except TemporaryError as error:
            return Transition(phase=ACT, data=op.data, says=f"{step.name}: {error}; trying again", wait=POLL)
        except (RefusedError, PermanentError) as error:
            if step.optional:
                return self._skip(data, step, str(error), now)
            return self._give_up(op, data, f"{step.name}: {error}", Outcome.FAILED)
        attempt = data.attempts + 1 + sum(1 for one in data.tried if one.step == data.cursor and not one.undo)
        data = replace(data, tried=(*data.tried, Tried(step=data.cursor, attempt=attempt, intent=intent, at=now)))
        hold = None
        if step.effect and not data.hold_id:
            data = replace(data, hold_id=self._p.new_id("hld"))
            hold = HoldChange(open=self._hold(op, data, plan, intent, now))
        row = AuditEvent(kind="intent", says=f"about to: {step.says}", at=now, body={"step": step.name, "marker": dict(intent)})
        return Transition(phase=SEND, data=dump(data), says=step.says, events=(row,), first_effect=step.effect, hold=hold)

    def _hold(self, op: Operation, data: Rollback, plan: Plan, intent: Mapping[str, Json], now: datetime) -> Hold:
        policy = self._p.examiner.policy(op.target)
        reason = f"{plan.suspect.title} was rolled back to {plan.goal.title}"
        remembered = intent.get("remembered") or {}
        return Hold(
            id=data.hold_id,
            target=op.target,
            operation_id=op.id,
            opened_at=now,
            reason=reason,
            review_at=now + policy.hold_review,
            owner=str(op.requested_by),
            held=(plan.suspect.key,),
            remembered={"auto_sync": remembered, "revision": plan.suspect.revision, "uid": plan.uid, "stopped": bool(remembered)},
        )

    def _intention(self, op: Operation, data: Rollback, now: datetime) -> Intention:
        plan = _plan(op, data)
        began = data.onset or op.created_at
        return Intention(
            target=op.target,
            uid=plan.uid,
            operation_id=op.id,
            suspect=plan.suspect,
            goal=plan.goal,
            not_before=began,
            marker=f"operation={op.id} suspect={plan.suspect.revision[:12]} goal={plan.goal.revision[:12]}",
            at=now,
            ours=tuple(one.intent for one in data.tried),
        )

    def _guard(self, op: Operation, *, exempt: bool = False) -> Guard:
        """Compensation is exempt from `act_before` and from the stop switch (decision 11)."""

        async def look() -> None:
            if exempt:
                return
            reason = await self._p.stop.reason()
            if reason:
                raise StoppedError(f"everything is stopped: {reason}")
            now = self._p.clock.now()
            if op.act_before is not None and now >= op.act_before:
                raise TooLateError(f"act_before was {op.act_before:%H:%M:%S} UTC")

        return look

    async def _send(self, op: Operation, data: Rollback) -> Transition:
        """Do the intended step: the adapter looks for it first, so that a crash between act and record does not act twice."""
        plan, now = _plan(op, data), self._p.clock.now()
        step, tried = plan.steps[data.cursor], data.tried[-1]
        delivery = self._p.deliveries[op.target.instance]
        try:
            await delivery.act(step, tried.intent, self._guard(op))
        except (TooLateError, StoppedError) as error:
            if step.optional:
                return self._skip(_ended(data, "not_sent", str(error)), step, str(error), now)
            return self._give_up(op, _ended(data, "not_sent", str(error)), f"{step.name}: {error}; it was not sent", Outcome.FAILED)
        except TemporaryError as error:
            says = f"{step.name}: the answer was lost ({error}); looking what became of it"
            return Transition(phase=WATCH, data=op.data, says=says, events=(AuditEvent(kind="answer_lost", says=says, at=now),))
        except RefusedError as error:
            return await self._not_done(op, _ended(data, "refused", str(error)), step, tried, str(error))
        except PermanentError as error:  # an answer that nobody understands is no proof that nothing happened
            return await self._not_done(op, _ended(data, Seen.FAILED, str(error)), step, tried, str(error))
        row = AuditEvent(kind="sent", says=f"sent: {step.says}", at=self._p.clock.now(), body={"step": step.name})
        return Transition(phase=WATCH, data=op.data, says=step.says, events=(row,))

    async def _watch(self, op: Operation, data: Rollback) -> Transition:
        """See what became of the step that was sent."""
        plan, now = _plan(op, data), self._p.clock.now()
        step, tried = plan.steps[data.cursor], data.tried[-1]
        try:
            seen = await self._p.deliveries[op.target.instance].observe(step, tried.intent)
        except BackoutError as error:
            return self._keep_watching(op, data, step, tried, now, f"{step.name}: {error}; looking again")
        match seen.seen:
            case Seen.DONE:
                return await self._done(op, data, step, tried, seen)
            case Seen.RUNNING:
                return self._keep_watching(op, data, step, tried, now, seen.says)
            case Seen.STUCK:
                return self._stuck(op, data, step, seen.says, now)
            case Seen.NOT_SEEN:
                if seen.not_seen_until is not None and now >= seen.not_seen_until:
                    data = _ended(data, "not_seen", seen.says)
                    says = f"{step.name} never reached the target: {seen.says}"
                    span = self._act_span(step, tried, now, Seen.NOT_SEEN, says, failed=True)
                    return Transition(phase=ACT, data=dump(data), says=says, events=(AuditEvent(kind="not_seen", says=says, at=now),), spans=(span,))
                return self._keep_watching(op, data, step, tried, now, seen.says)
            case Seen.FOREIGN | Seen.FAILED:
                return await self._not_done(op, _ended(data, seen.seen, seen.says), step, tried, seen.says)

    def _keep_watching(self, op: Operation, data: Rollback, step: Step, tried: Tried, now: datetime, says: str) -> Transition:
        if now - tried.at > STUCK_AFTER:
            return self._stuck(op, data, step, says, now)
        return Transition(phase=WATCH, data=op.data, says=f"{step.name}: {says}" if says else step.says, wait=POLL)

    def _stuck(self, op: Operation, data: Rollback, step: Step, says: str, now: datetime) -> Transition:
        """Accepted and cannot be ended: keep single flight, tell a person, look again now and then."""
        text = (f"{step.says}: {says}", "Backout keeps its hands on this target until the operation ends.", "Look at it in the delivery system.")
        sent = messages.message(
            self._p.told, key=f"{op.id}/stuck", title=f"{op.target}: rollback is stuck", text=text, at=now, event="stuck", operation=op, plan=data.plan
        )
        rows = (AuditEvent(kind="stuck", says=says, at=now),) if op.phase != STUCK else ()
        return Transition(phase=STUCK, data=op.data, says=f"stuck: {says}", events=rows, messages=sent, wait=STUCK_POLL)

    async def _done(self, op: Operation, data: Rollback, step: Step, tried: Tried, seen: Observation) -> Transition:
        now = self._p.clock.now()
        handle = str(seen.details.get("handle", ""))
        if handle:
            await self._p.targets.note_made(op.target, op.id, handle, now)
        data = replace(_ended(data, Seen.DONE, seen.says), cursor=data.cursor + 1)
        row = AuditEvent(kind="step_done", says=f"done: {step.says} — {seen.says}", at=now, body={"step": step.name, **dict(seen.details)})
        return Transition(phase=ACT, data=dump(data), says=seen.says, events=(row,), spans=(self._act_span(step, tried, now, Seen.DONE, seen.says),))

    def _skip(self, data: Rollback, step: Step, says: str, now: datetime) -> Transition:
        row = AuditEvent(kind="step_skipped", says=f"left out: {step.says} — {says}", at=now, body={"step": step.name})
        return Transition(phase=ACT, data=dump(replace(data, cursor=data.cursor + 1)), says=f"left out {step.name}: {says}", events=(row,))

    async def _not_done(self, op: Operation, data: Rollback, step: Step, tried: Tried, says: str) -> Transition:
        now = self._p.clock.now()
        if step.optional:
            return self._skip(data, step, says, now)
        span = self._act_span(step, tried, now, Seen.FAILED, says, failed=True)
        return self._give_up(op, data, f"{step.name}: {says}", Outcome.FAILED, (span,))

    def _act_span(self, step: Step, tried: Tried, now: datetime, seen: Seen, says: str, *, failed: bool = False) -> SpanDraft:
        name = (spans.UNDO if tried.undo else spans.ACT) + step.name
        return SpanDraft(
            path=(spans.nth(name, f"{tried.step}.{tried.attempt}"),),
            name=name,
            started_at=tried.at,
            ended_at=max(now, tried.at),
            says=says,
            failed=failed,
            client=True,
            attributes={spans.STEP: step.name, spans.ATTEMPT: tried.attempt, spans.SEEN: str(seen)},
        )

    # --- taking back -------------------------------------------------------------------------------------------------------

    async def _cancel(self, op: Operation, data: Rollback) -> Transition:
        if op.phase in {SEND, WATCH, STUCK}:  # an effect may be on its way: learn its fate first (only look: nothing more is sent), then take back
            transition = await self._watch(op, data)
            if transition.phase in {WATCH, STUCK, BACK} or transition.done:
                return transition
            if transition.phase == ACT and _decided_by_deeds(_plan(op, data), load(replace(op, data=transition.data))):
                return transition  # the rollback is done: too late to cancel, verify what is live
            now = self._p.clock.now()
            row = AuditEvent(kind="cancelling", says=op.cancel_requested, at=now)
            after = replace(load(replace(op, data=transition.data)), why_compensate=op.cancel_requested, ending=Outcome.CANCELLED.value)
            return replace(transition, phase=BACK, data=dump(after), events=(*transition.events, row), wait=timedelta(0))
        if op.phase == ACT and _decided_by_deeds(_plan(op, data), data):
            return self._start_verifying(op, data, self._p.clock.now())
        return self._give_up(op, data, op.cancel_requested, Outcome.CANCELLED)

    def _give_up(self, op: Operation, data: Rollback, why: str, ending: Outcome, drafts: tuple[SpanDraft, ...] = ()) -> Transition:
        """End at once if nothing was written; else take back what can be taken back first."""
        now = self._p.clock.now()
        if op.first_effect_at is None:
            return self._end(op, data, ending, f"{why}; nothing was changed", drafts=drafts)
        row = AuditEvent(kind="taking_back", says=why, at=now)
        data = replace(data, why_compensate=why, ending=ending.value)
        return Transition(phase=BACK, data=dump(data), says=why, events=(row,), spans=drafts)

    async def _take_back(self, op: Operation, data: Rollback) -> Transition:
        """Find the next step to take back, newest first; each is tried once. Nothing is taken back once the rollback itself was accepted."""
        plan, now = _plan(op, data), self._p.clock.now()
        undone = {one.step for one in data.tried if one.undo}
        accepted = [one for one in data.tried if not one.undo and one.step == _decisive(plan) and _may_have_happened(one)]
        reached = [] if accepted else [one for one in data.tried if not one.undo and plan.steps[one.step].undo is not None and _may_have_happened(one)]
        for one in reversed(reached):
            undo = plan.steps[one.step].undo
            if undo is None or one.step in undone:
                continue
            try:
                intent = await self._p.deliveries[op.target.instance].intend(undo, self._intention(op, data, now))
            except TemporaryError as error:
                return Transition(phase=BACK, data=op.data, says=f"{undo.name}: {error}; trying again", wait=timedelta(seconds=5))
            except (RefusedError, PermanentError) as error:
                tried = Tried(step=one.step, undo=True, at=now, ended="refused", says=str(error))
                row = AuditEvent(kind="not_taken_back", says=f"{undo.says}: {error}", at=now)
                return Transition(phase=BACK, data=dump(replace(data, tried=(*data.tried, tried))), says=str(error), events=(row,))
            tried = Tried(step=one.step, undo=True, intent=intent, at=now)
            row = AuditEvent(kind="intent", says=f"about to: {undo.says}", at=now, body={"step": undo.name, "marker": dict(intent)})
            return Transition(phase=BACK_SEND, data=dump(replace(data, tried=(*data.tried, tried))), says=undo.says, events=(row,))
        return self._taken_back(op, data, accepted=bool(accepted))

    def _taken_back(self, op: Operation, data: Rollback, *, accepted: bool) -> Transition:
        failed = [one for one in data.tried if one.undo and one.ended != Seen.DONE]
        outcome = Outcome(data.ending or Outcome.FAILED.value)
        if accepted:
            tail = "a rollback may be under way or live: the hold stays, auto-sync stays off"
        elif failed:
            tail = f"what was changed could not be taken back: {failed[-1].says}; the hold stays"
        else:
            tail = "what was changed was taken back" if any(one.undo for one in data.tried) else "nothing was changed"
        keep = accepted or bool(failed)
        change = None if keep or not data.hold_id else HoldChange(end=data.hold_id, ended_by="backout", because=data.why_compensate)
        return self._end(op, data, outcome, f"{data.why_compensate}; {tail}", hold=change)

    async def _back_send(self, op: Operation, data: Rollback) -> Transition:
        step, tried = _undo(op, data)
        try:
            await self._p.deliveries[op.target.instance].act(step, tried.intent, self._guard(op, exempt=True))
        except TemporaryError:
            return Transition(phase=BACK_WATCH, data=op.data, says=f"{step.name}: the answer was lost; looking")
        except (RefusedError, PermanentError) as error:
            return self._undo_ended(data, step, tried, "refused", str(error))
        return Transition(phase=BACK_WATCH, data=op.data, says=step.says)

    async def _back_watch(self, op: Operation, data: Rollback) -> Transition:
        step, tried = _undo(op, data)
        now = self._p.clock.now()
        try:
            seen = await self._p.deliveries[op.target.instance].observe(step, tried.intent)
        except BackoutError as error:
            seen = Observation(seen=Seen.RUNNING, says=str(error))
        if seen.seen is Seen.DONE:
            return self._undo_ended(data, step, tried, Seen.DONE, seen.says)
        gone = seen.seen is Seen.NOT_SEEN and seen.not_seen_until is not None and now >= seen.not_seen_until
        if gone or seen.seen in {Seen.FAILED, Seen.FOREIGN} or now - tried.at > STUCK_AFTER:
            return self._undo_ended(data, step, tried, str(seen.seen), seen.says)
        return Transition(phase=BACK_WATCH, data=op.data, says=seen.says, wait=POLL)

    def _undo_ended(self, data: Rollback, step: Step, tried: Tried, ended: str, says: str) -> Transition:
        now = self._p.clock.now()
        ok = ended == Seen.DONE
        row = AuditEvent(kind="taken_back" if ok else "not_taken_back", says=f"{step.says} — {says}", at=now)
        span = self._act_span(step, tried, now, Seen.DONE if ok else Seen.FAILED, says, failed=not ok)
        return Transition(phase=BACK, data=dump(_ended(data, ended, says)), says=says, events=(row,), spans=(span,))

    # --- verifying ---------------------------------------------------------------------------------------------------------

    def _start_verifying(self, op: Operation, data: Rollback, now: datetime) -> Transition:
        when = self._p.examiner.policy(op.target).recovered_when
        end = give_up_at(
            now,
            at_least=when.give_up_after,
            range_of_sli=longest_range(data.bound.promql if data.bound else ""),
            keep_firing=data.keep_firing,
            interval=when.scrape_interval,
            bake=max(when.bake, 2 * when.scrape_interval),
        )
        data = replace(data, progress=Progress(started_at=now, give_up_at=end))
        row = AuditEvent(kind="verifying", says=f"measuring whether it recovered, until {end:%H:%M:%S} UTC at most", at=now)
        return Transition(phase=VERIFY, data=dump(data), says="measuring whether it recovered", events=(row,))

    async def _verify(self, op: Operation, data: Rollback) -> Transition:
        """One look: what runs, the SLI, the alert by our own query, and whether anybody took our change back."""
        plan, progress = _plan(op, data), data.progress
        if progress is None:
            return self._start_verifying(op, data, self._p.clock.now())
        when = self._p.examiner.policy(op.target).recovered_when
        bound = data.bound or Bound(rung="")
        wanted: list[Key[object]] = [keys.pods(op.target), keys.state(op.target)]  # type: ignore[list-item]  # keys of different values in one list
        sli = keys.series(bound.promql, bound.labels)
        traffic = keys.series(when.traffic)
        alert = keys.alert_now(data.trigger.alert, data.trigger.series_labels) if data.trigger else None
        wanted += [key for key, use in ((sli, bool(bound.rung)), (traffic, bool(when.traffic)), (alert, alert is not None)) if use and key is not None]  # type: ignore[misc]
        facts = await self._p.gatherer.facts(op.target, wanted)
        reverted = self._reverted(op, data, plan, facts)
        now = self._p.clock.now()
        if reverted:
            return self._verified(op, replace(data, progress=replace(progress, ended="not_recovered", says=reverted)), plan)
        values: Fact[keys.Series] = facts.read(sli) if bound.rung else Absent("no SLI")
        checks = (
            check_live(facts.read(keys.pods(op.target)), data.wanted),
            check_sli(bound, values, traffic=facts.read(traffic) if when.traffic else None, traffic_before=data.traffic_before),
            check_alert(facts.read(alert) if alert is not None else None),
        )
        sampled = values.value.at if isinstance(values, Known) else None
        progress = advance(progress, checks, now=now, sampled_at=sampled, policy=when)
        data = replace(data, progress=progress)
        if progress.ended:
            return self._verified(op, data, plan)
        pause = max(1.0, min(5.0, when.scrape_interval.total_seconds() / 2))
        return Transition(phase=VERIFY, data=dump(data), says=progress.says, wait=timedelta(seconds=pause))

    @staticmethod
    def _reverted(op: Operation, data: Rollback, plan: Plan, facts: Facts) -> str:
        """Whether somebody took our change back: one observed revert means stop, not retry (promise 7)."""
        state = facts.read(keys.state(op.target))
        if isinstance(state, Absent):
            return ""
        stopped = any(plan.steps[one.step].undo is not None for one in data.tried if not one.undo and one.ended == Seen.DONE)
        if stopped and state.value.auto_sync:
            return "somebody turned auto-sync on again; Backout does not fight: look who writes the spec"
        if state.value.history and state.value.history[0].key != plan.goal.key:
            return f"release {state.value.history[0].title} was deployed over the rollback; Backout does not fight"
        return ""

    def _verified(self, op: Operation, data: Rollback, plan: Plan) -> Transition:
        progress, now = data.progress, self._p.clock.now()
        if progress is None:  # pragma: no cover  the caller has it
            raise PermanentError("verified without progress")
        outcome = {"recovered": Outcome.RECOVERED, "not_recovered": Outcome.NOT_RECOVERED}.get(progress.ended, Outcome.INCONCLUSIVE)
        good = outcome is Outcome.RECOVERED
        base: dict[str, str | int | float | bool] = {spans.VERIFY_ENDED: progress.ended, spans.VERIFY_PASSES: progress.passes}
        if data.bound:
            base[spans.VERIFY_RUNG] = data.bound.rung
        drafts = [
            SpanDraft(
                path=(spans.VERIFY,), name=spans.VERIFY, started_at=progress.started_at, ended_at=now, says=progress.says, failed=not good, attributes=base
            )
        ]
        drafts += [_check_span(check, now, data.bound) for check in progress.checks]
        row = AuditEvent(
            kind="verified", says=progress.says, at=now, body={"checks": [{"check": c.name, "look": c.look, "says": c.says} for c in progress.checks]}
        )
        policy = self._p.examiner.policy(op.target)
        review = now + policy.hold_review
        if data.hold_id:
            held = f"{plan.suspect.title} stays away until a person ends the hold; review by {review:%Y-%m-%d}"
            attributes: dict[str, str | int | float | bool] = {
                spans.HOLD_ID: data.hold_id,
                spans.HOLD_HELD: plan.suspect.key,
                spans.HOLD_OWNER: str(op.requested_by),
                spans.HOLD_REVIEW_AT: review.isoformat(),
            }
            drafts.append(SpanDraft(path=(spans.HOLD,), name=spans.HOLD, started_at=now, ended_at=now, says=held, attributes=attributes))
        text = (
            f"Why: {data.trigger.alert if data.trigger else str(op.requested_by)}; {plan.suspect.title} was to blame.",
            f"Safe: {messages.score(plan.verdict)}.",
            progress.says[:1].upper() + progress.says[1:] + ".",
            f"{plan.suspect.title} is held away. Next: fix and release; then backout holds end {data.hold_id}" if data.hold_id else "",
            "" if good else "The rollback stays in place. A person is needed now.",
        )
        return self._end(op, data, outcome, progress.says, rows=(row,), drafts=tuple(drafts), text=text)

    # --- ending ------------------------------------------------------------------------------------------------------------

    def _refused(self, op: Operation, data: Rollback, found: Examination, says: str, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]) -> Transition:
        instead = found.verdict.recommended
        text = (
            f"No: {says}",
            *messages.worst_lines(found.verdict),
            f"Instead: {instead.value.replace('_', ' ')}" if instead is not found.case.way else "",
            "Nothing was touched.",
        )
        return self._end(op, data, Outcome.REFUSED, says, rows=rows, drafts=drafts, text=text)

    def _end(
        self,
        op: Operation,
        data: Rollback,
        outcome: Outcome,
        says: str,
        *,
        rows: Sequence[AuditEvent] = (),
        drafts: Sequence[SpanDraft] = (),
        text: Sequence[str] = (),
        hold: HoldChange | None = None,
        tell: bool = True,
    ) -> Transition:
        now, plan = self._p.clock.now(), data.plan
        good = outcome in {Outcome.RECOVERED, Outcome.OBSERVED, Outcome.SUGGESTED}
        attributes: dict[str, str | int | float | bool] = {spans.OUTCOME: outcome.value}
        if plan is not None:
            attributes |= {
                spans.SUSPECT_RELEASE: plan.suspect.handle,
                spans.SUSPECT_REVISION: plan.suspect.revision,
                spans.SUSPECT_VERSION: plan.suspect.version,
                spans.GOAL_RELEASE: plan.goal.handle,
                spans.GOAL_REVISION: plan.goal.revision,
                spans.GOAL_VERSION: plan.goal.version,
                spans.PLAN_ID: plan.id,
                spans.PLAN_DIGEST: plan.digest,
            }
        if data.trigger is not None:
            attributes[spans.ALERT_NAME] = data.trigger.alert
        if data.fingerprints:
            attributes |= {spans.ALERT_FINGERPRINT: data.fingerprints[0], spans.ALERT_FINGERPRINTS: " ".join(data.fingerprints)}
        name = spans.root_name(op.kind.value, str(op.target), plan.suspect.handle if plan else "", plan.goal.handle if plan else "")
        closing = (
            SpanDraft(path=(spans.COMPLETED,), name=spans.COMPLETED, started_at=now, ended_at=now, says=says, failed=not good, attributes=attributes),
            SpanDraft(path=spans.ROOT, name=name, started_at=op.created_at, ended_at=now, says=says, failed=not good, attributes=attributes),
        )
        said = says if says.startswith(outcome.value.replace("_", " ")) else f"{outcome.value.replace('_', ' ')}: {says}"
        row = AuditEvent(kind="ended", says=said, at=now, body={"outcome": outcome.value})
        sent: tuple[Message, ...] = ()
        if tell:
            title = f"{op.target} {messages.OUTCOME_WORDS[outcome]}"
            lines = tuple(text) or (says,)
            sent = messages.message(
                self._p.told,
                key=f"{op.id}/end",
                title=title,
                text=lines,
                at=now,
                event=outcome.value,
                operation=op,
                plan=plan,
                extra={"outcome": outcome.value},
            )
        return Transition(
            phase="ended",
            data=dump(data),
            says=says,
            events=(*rows, row),
            spans=(*drafts, *closing),
            messages=sent,
            hold=hold,
            done=outcome,
            incident_outcome=outcome.value if outcome is Outcome.RECOVERED else "",
        )

    @staticmethod
    def _approval_span(data: Rollback, now: datetime, answer: str, who: str, reason: str) -> SpanDraft:
        says = f"{answer} by {who}" + (f": {reason}" if reason else "") if who else reason
        return SpanDraft(
            path=(spans.nth(spans.APPROVAL, data.verdicts),),
            name=spans.APPROVAL,
            started_at=data.waiting_since or now,
            ended_at=now,
            says=says,
            attributes={spans.APPROVAL_ANSWER: answer, spans.APPROVAL_BY: who},
        )


def _plan(op: Operation, data: Rollback) -> Plan:
    if data.plan is None:
        raise PermanentError(f"operation {op.id} is in phase {op.phase} without a plan")
    return data.plan


def _decisive(plan: Plan) -> int:
    """The place of the step that goes back: the last effect that must happen. What comes before prepares it, what comes after may be left out."""
    return max((place for place, step in enumerate(plan.steps) if step.effect and not step.optional), default=len(plan.steps))


def _decided_by_deeds(plan: Plan, data: Rollback) -> bool:
    return data.cursor > _decisive(plan) or data.cursor >= len(plan.steps)


def _undo(op: Operation, data: Rollback) -> tuple[Step, Tried]:
    tried = data.tried[-1]
    undo = _plan(op, data).steps[tried.step].undo
    if undo is None:
        raise PermanentError(f"operation {op.id} takes back a step that has no way back")
    return undo, tried


def _ended(data: Rollback, ended: str, says: str) -> Rollback:
    return replace(data, tried=(*data.tried[:-1], replace(data.tried[-1], ended=str(ended), says=says)))


def _may_have_happened(tried: Tried) -> bool:
    """Everything that was intended, unless we know that it never reached the target."""
    return tried.ended not in {"not_sent", "not_seen", "refused"}


def _difference(plan: Plan, found: Examination) -> str:
    new = found.plan
    if new is None:
        return found.case.why_none
    if any((one.key, one.handle) != (other.key, other.handle) for one, other in ((new.suspect, plan.suspect), (new.goal, plan.goal))):
        return f"it is now {new.suspect.title} → {new.goal.title}"
    before = {f.rule: f.answer for f in plan.verdict.findings}
    changed = [f for f in new.verdict.findings if before.get(f.rule) is not f.answer]
    if changed:
        return f"{changed[0].rule} is now {changed[0].answer.word}: {changed[0].says}"
    return "the target, the steps or the policy changed"


def _check_span(check: Check, now: datetime, bound: Bound | None) -> SpanDraft:
    attributes: dict[str, str | int | float | bool] = {spans.CHECK: check.name, spans.LOOK: check.look.value}
    if check.value is not None:
        attributes[spans.CHECK_VALUE] = check.value
        if bound is not None:
            attributes[spans.CHECK_THRESHOLD] = bound.threshold
    name = f"{spans.CHECKED}{check.name}"
    return SpanDraft(
        path=(spans.VERIFY, name), name=name, started_at=now, ended_at=now, says=check.says, failed=check.look is not Look.GOOD, attributes=attributes
    )


def _verdict_spans(found: Examination, data: Rollback, started: datetime, now: datetime, decision: Decision | None) -> tuple[SpanDraft, ...]:
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


def _bound(found: Examination, when: RecoveredWhen) -> Bound:
    """The SLI ladder: declared, then the firing rule's own plain comparison, then none."""
    if when.promql and when.below is not None:
        return Bound(rung="declared", promql=when.promql, comparison=">=", threshold=when.below)
    if when.promql and when.above is not None:
        return Bound(rung="declared", promql=when.promql, comparison="<=", threshold=when.above)
    trigger = found.case.trigger
    if trigger is None:
        return Bound(rung="")
    rule = found.case.facts.read(keys.alert_rule(trigger.alert, trigger.series_labels))
    if isinstance(rule, Absent) or not rule.value.comparison:
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
    rendered = keys.images(target, goal.key, goal.handle)
    facts = await ports.gatherer.facts(target, [rendered], facts)
    answer = facts.read(rendered)
    return answer.value if isinstance(answer, Known) else ()
