"""What every chapter of the story shares: the ports, the phases, and how an operation ends; how a step that is tried is told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from service.domain import spans
from service.domain.errors import PermanentError, StaleLookError, StoppedError, TooLateError
from service.domain.model import Operation, OperationKind, Outcome
from service.domain.planning.plan import Plan, Step
from service.domain.ports import (
    AuditEvent,
    Delivery,
    Guard,
    HoldChange,
    Intention,
    Message,
    Seen,
    SpanDraft,
    Transition,
)
from service.domain.verdict import Answer
from service.workflow import messages
from service.workflow.chapters.tale import Ports, Tale
from service.workflow.examine import Examination
from service.workflow.fencing import fenced
from service.workflow.record import Attempt, Tried, dump

POLL = timedelta(seconds=0.5)
STUCK_POLL = timedelta(seconds=15)
STUCK_AFTER = timedelta(minutes=15)
MAX_VERDICTS = 3

BEGIN, WAITING, DECIDED = "begin", "awaiting_approval", "decided"
ACT, SEND, WATCH, STUCK = "act", "act_send", "act_watch", "stuck"
VERIFY, BACK, BACK_SEND, BACK_WATCH = "verify", "take_back", "take_back_send", "take_back_watch"


CLOCKS_DIFFER = timedelta(minutes=1)
"""The clocks of two processes that share an operation may be so far apart."""


LOOK_HOLDS = timedelta(seconds=3)
"""The last look before a request takes milliseconds. Longer than this, and the process was frozen in it, waited for its lease, or the store is slow."""


def is_late(op: Operation, now: datetime) -> bool:
    """Whether `act_before` has passed. So it counts when the clock stands before the operation's last row: it was set back, and nobody knows how late it is."""
    return op.act_before is not None and (now >= op.act_before or now < op.updated_at - CLOCKS_DIFFER)


class Chapter:
    """A part of the story: answers one `Transition` for a row in one of its phases, and remembers nothing itself."""

    def __init__(self, ports: Ports, tale: Tale) -> None:
        self._p = ports
        self._tale = tale

    def intention(self, op: Operation, data: Attempt, now: datetime, *, undo: bool = False) -> Intention:
        """What an effect is for, as the adapter has to know it."""
        return self._tale.intention(op, data, plan_of(op, data), now, undo=undo)

    def delivery(self, op: Operation) -> Delivery:
        """The target's delivery instance; PermanentError when the settings do not name it any more."""
        found = self._p.deliveries.get(op.target.instance)
        if found is None:
            raise PermanentError(f"the delivery instance {op.target.instance} is not configured any more; configure it again")
        return found

    def guard(self, op: Operation, *, exempt: bool = False) -> Guard:
        """Compensation is exempt from `act_before` and from the stop switch, never from the fence."""

        async def look() -> None:
            if exempt:
                return
            reason = await self._p.stop.reason()
            if reason:
                raise StoppedError(f"everything is stopped: {reason}")
            if op.act_before is not None and is_late(op, self._p.clock.now()):
                raise TooLateError(f"act_before was {op.act_before:%H:%M:%S} UTC")

        async def looked() -> None:
            began = self._p.clock.now()
            await fenced(self._p.fence, look)
            took = self._p.clock.now() - began
            if not timedelta(0) <= took <= LOOK_HOLDS:  # as old is by now what the adapter saw of the target
                raise StaleLookError(f"the last look before the request took {took.total_seconds():.0f} s, and the target may be another one by now")

        return looked

    def act_span(self, step: Step, tried: Tried, now: datetime, seen: Seen, says: str, *, failed: bool = False) -> SpanDraft:
        """The span of one attempt at a step, when its end was seen."""
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

    def give_up(
        self, op: Operation, data: Attempt, why: str, ending: Outcome, drafts: tuple[SpanDraft, ...] = (), *, rows: tuple[AuditEvent, ...] = ()
    ) -> Transition:
        """End at once if nothing was written; else take back what can be taken back first."""
        now = self._p.clock.now()
        if op.first_effect_at is None:
            return self.end(op, data, ending, f"{why}; nothing was changed", drafts=drafts, rows=rows)
        row = AuditEvent(kind="taking_back", says=why, at=now)
        data = replace(data, why_compensate=why, ending=ending.value)
        return Transition(phase=BACK, data=dump(data), says=why, events=(*rows, row), spans=drafts)

    def refused(self, op: Operation, data: Attempt, found: Examination, says: str, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]) -> Transition:
        """The end of an operation that may not go: why, what would change it, and what to do instead."""
        instead = found.verdict.recommended
        text = (
            f"No: {says}",
            *messages.worst_lines(found.verdict),
            f"Instead: {instead.value.replace('_', ' ')}" if instead is not found.case.way else "",
            "Nothing was touched.",
        )
        return self.end(op, data, Outcome.REFUSED, says, rows=rows, drafts=drafts, text=text, tell=self._tale.tells(data, says))

    def end(
        self,
        op: Operation,
        data: Attempt,
        outcome: Outcome,
        says: str,
        *,
        rows: Sequence[AuditEvent] = (),
        drafts: Sequence[SpanDraft] = (),
        text: Sequence[str] = (),
        hold: HoldChange | None = None,
        tell: bool = True,
    ) -> Transition:
        """The end: outcome, closing spans, the message to a person."""
        now, plan = self._p.clock.now(), data.plan
        good = outcome in {Outcome.RECOVERED, Outcome.OBSERVED, Outcome.SUGGESTED}
        attributes: dict[str, str | int | float | bool] = {spans.OUTCOME: outcome.value}
        if plan is not None:
            attributes |= {
                spans.SUSPECT_RELEASE: plan.suspect.name,
                spans.SUSPECT_REVISION: plan.suspect.revision,
                spans.SUSPECT_VERSION: plan.suspect.version,
                spans.GOAL_RELEASE: plan.goal.name,
                spans.GOAL_REVISION: plan.goal.revision,
                spans.GOAL_VERSION: plan.goal.version,
                spans.PLAN_ID: plan.id,
                spans.PLAN_DIGEST: plan.digest,
            }
            if data.second:
                attributes |= {spans.OVERRIDE: ",".join(plan.overrides), spans.OVERRIDE_BY: f"{op.requested_by} {data.second}"}
        if data.trigger is not None:
            attributes[spans.ALERT_NAME] = data.trigger.alert
        if data.fingerprints:
            attributes |= {spans.ALERT_FINGERPRINT: data.fingerprints[0], spans.ALERT_FINGERPRINTS: " ".join(data.fingerprints)}
        links = self._tale.links(data)
        name = spans.root_name(op.kind.value, str(op.target), plan.suspect.name if plan else "", plan.goal.name if plan else "")
        closing = (
            SpanDraft(path=(spans.COMPLETED,), name=spans.COMPLETED, started_at=now, ended_at=now, says=says, failed=not good, attributes=attributes),
            SpanDraft(path=spans.ROOT, name=name, started_at=op.created_at, ended_at=now, says=says, failed=not good, attributes=attributes, links=links),
        )
        said = says if says.startswith(outcome.value.replace("_", " ")) else f"{outcome.value.replace('_', ' ')}: {says}"
        row = AuditEvent(kind="ended", says=said, at=now, body={"outcome": outcome.value})
        sent: tuple[Message, ...] = ()
        if tell:
            title = f"{op.target} {self._tale.words[outcome]}"
            early = outcome in {Outcome.REFUSED, Outcome.FAILED, Outcome.CANCELLED}
            lines = tuple(text) or (f"{says}.", *(self._tale.what_now(op, data) if early else ()))
            if plan is not None and data.second:
                reason = data.confirmed.reason if data.confirmed else ""
                lines = (*lines, f"Overridden: {', '.join(plan.overrides)}, by {op.requested_by} ({reason}) and {data.second} ({data.second_reason}).")
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
            incident_outcome=outcome.value if outcome is Outcome.RECOVERED and op.kind is OperationKind.ROLLBACK else "",
        )


def plan_of(op: Operation, data: Attempt) -> Plan:
    """The plan of an operation that must have one."""
    if data.plan is None:
        raise PermanentError(f"operation {op.id} is in phase {op.phase} without a plan")
    return data.plan


def decisive(plan: Plan) -> int:
    """The place of the step that the way is named after: the last effect that must happen. What comes before prepares it, what comes after may be left out."""
    return max((place for place, step in enumerate(plan.steps) if step.effect and not step.optional and not step.once_verified), default=len(plan.steps))


def may_be_left_out(op: Operation, data: Attempt, plan: Plan) -> bool:
    """Whether the plan goes on without its next step. Not by itself, where a rule passes because of it: a person who asked or approved decides otherwise."""
    step = plan.steps[data.cursor]
    by_itself = op.automatic and not data.approved_by
    if not step.optional or not step.needed_for or not by_itself or data.cursor > decisive(plan):
        return step.optional
    return any(finding.rule == step.needed_for and finding.answer is not Answer.PASS for finding in plan.verdict.findings)  # accepted by the policy as it is


def decided_by_deeds(plan: Plan, data: Attempt) -> bool:
    """Whether the deciding step is done: from then on what is live is measured, whatever happens."""
    return data.cursor > decisive(plan) or data.cursor >= len(plan.steps)


def with_end(data: Attempt, ended: str, says: str) -> Attempt:
    """The record with the fate of the newest attempt."""
    return replace(data, tried=(*data.tried[:-1], replace(data.tried[-1], ended=str(ended), says=says)))


def may_have_happened(tried: Tried) -> bool:
    """Everything that was intended, unless we know that it never reached the target."""
    return tried.ended not in {"not_sent", "not_seen", "refused"}
