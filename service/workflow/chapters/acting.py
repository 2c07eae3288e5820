"""Acts, one step of the plan at a time: look again and write the intent down, send, watch what became of it. An effect is looked for before it is tried."""

from dataclasses import replace
from datetime import datetime, timedelta

from service.domain import keys
from service.domain.errors import BackoutError, PermanentError, RefusedError, StoppedError, TemporaryError, TooLateError
from service.domain.facts import Absent
from service.domain.model import Operation, Outcome
from service.domain.planning.plan import OURS, Step
from service.domain.ports import (
    AuditEvent,
    Observation,
    Seen,
    Transition,
)
from service.workflow import messages
from service.workflow.chapters.chapter import (
    ACT,
    BACK,
    BEGIN,
    MAX_VERDICTS,
    POLL,
    SEND,
    STUCK,
    STUCK_AFTER,
    STUCK_POLL,
    WATCH,
    Chapter,
    decided_by_deeds,
    decisive,
    is_late,
    may_be_left_out,
    plan_of,
    with_end,
)
from service.workflow.chapters.tale import Ports, Tale
from service.workflow.chapters.verifying import Verifying
from service.workflow.record import Attempt, Tried, dump, load

LOOKS_FOR = timedelta(minutes=1)
"""So long after its intent a look that fails before anything was sent is made again; after that it is only looked at what became of the step."""
WITHDRAW_AGAIN = timedelta(seconds=5)
"""Until the next try to withdraw what waits."""


class Acting(Chapter):
    """The steps of the plan, in order."""

    def __init__(self, ports: Ports, tale: Tale, verifying: Verifying) -> None:
        super().__init__(ports, tale)
        self._verifying = verifying

    async def act(self, op: Operation, data: Attempt) -> Transition:
        """Look again and write down the next step's intent; or, when all that comes before it is done, go on to verify; or end."""
        now, plan = self._p.clock.now(), plan_of(op, data)
        done = data.cursor >= len(plan.steps)
        if data.verified and done:
            return self._verifying.finish(op, data)
        if not data.verified and (done or plan.steps[data.cursor].once_verified):
            return self._verifying.start(op, data, now)
        step = plan.steps[data.cursor]
        if step.owner != OURS:
            return self._for_a_person(data, step, now)
        stopped = await self._p.stop.reason()
        must_look = not (step.effect or step.optional or op.first_effect_at is None)  # the deadline is for what is written, and such a look is not left out
        late = is_late(op, now) and not must_look
        if (stopped or late) and may_be_left_out(op, data, plan):  # what may fail may be left out: the rollback before it is not taken back for its sake
            return self._skip(data, step, f"everything is stopped: {stopped}" if stopped else "act_before passed", now)
        if stopped:
            return self.give_up(op, data, f"everything is stopped: {stopped}", Outcome.FAILED)
        if late:
            if op.first_effect_at is None and data.verdicts < MAX_VERDICTS:
                says = "act_before passed before anything was written: judged anew"
                spent = max((one.attempt for one in data.tried), default=data.attempts)
                again = replace(data, plan=None, cursor=0, tried=(), confirmed=None, second="", second_reason="", approved_by="", omitted=(), attempts=spent)
                return Transition(phase=BEGIN, data=dump(again), says=says, events=(AuditEvent(kind="late", says=says, at=now),))
            return self.give_up(op, data, _why_late(data, step), Outcome.FAILED)
        if step.effect and op.first_effect_at is None and op.automatic:
            limits = (await self._p.gatherer.facts(op.target, [keys.limits(op.target)])).read(keys.limits(op.target))
            if isinstance(limits, Absent) or limits.value.wide_outage:
                why = limits.why if isinstance(limits, Absent) else limits.value.wide_outage
                return self.give_up(op, data, f"hands off: {why}", Outcome.FAILED)
        try:
            data = await self._tale.before(op, data, step)
            intent = await self.delivery(op).intend(step, self.intention(op, data, now))
        except TemporaryError as error:
            return Transition(phase=ACT, data=op.data, says=f"{step.name}: {error}; trying again", wait=POLL)
        except (RefusedError, PermanentError) as error:
            if may_be_left_out(op, data, plan):
                return self._skip(data, step, str(error), now)
            return self.give_up(op, data, _why_not(step, str(error)), Outcome.FAILED)
        attempt = data.attempts + 1 + sum(1 for one in data.tried if one.step == data.cursor and not one.undo)
        data = replace(data, tried=(*data.tried, Tried(step=data.cursor, attempt=attempt, intent=intent, at=now)))
        change = None
        if step.effect and op.first_effect_at is None:
            data, change = self._tale.first_write(op, data, plan, intent, now)
        row = AuditEvent(kind="intent", says=f"about to: {step.says}", at=now, body={"step": step.name, "marker": dict(intent)})
        return Transition(phase=SEND, data=dump(data), says=step.says, events=(row,), first_effect=step.effect, hold=change)

    @staticmethod
    def _for_a_person(data: Attempt, step: Step, now: datetime) -> Transition:
        """A step that a person owns: told, and left to them."""
        row = AuditEvent(kind="for_a_person", says=f"for a person: {step.says}", at=now, body={"step": step.name, "command": step.command})
        return Transition(phase=ACT, data=dump(replace(data, cursor=data.cursor + 1)), says=row.says, events=(row,))

    async def send(self, op: Operation, data: Attempt) -> Transition:
        """Do the intended step: the adapter looks for it first, so that a crash between act and record does not act twice."""
        plan, now = plan_of(op, data), self._p.clock.now()
        step, tried = plan.steps[data.cursor], data.tried[-1]
        guard, asked = self.guard(op), False

        async def asks() -> None:
            nonlocal asked
            asked = True
            await guard()

        try:
            await self.delivery(op).act(step, tried.intent, asks)
        except (TooLateError, StoppedError) as error:
            if may_be_left_out(op, data, plan):
                return self._skip(with_end(data, "not_sent", str(error)), step, str(error), now)
            return self.give_up(op, with_end(data, "not_sent", str(error)), f"{step.name}: {error}; it was not sent", Outcome.FAILED)
        except TemporaryError as error:
            if not asked and timedelta(0) <= now - tried.at <= LOOKS_FOR:  # whoever sends asks right before
                return Transition(phase=SEND, data=op.data, says=f"{step.name}: {error}; nothing was sent yet, looking again", wait=POLL)
            says = f"{step.name}: the answer was lost ({error}); looking what became of it"
            return Transition(phase=WATCH, data=op.data, says=says, events=(AuditEvent(kind="answer_lost", says=says, at=now),))
        except RefusedError as error:
            return await self._refused(op, data, step, tried, str(error))
        except PermanentError as error:  # an answer that nobody understands is no proof that nothing happened
            return await self._not_done(op, with_end(data, Seen.FAILED, str(error)), step, tried, str(error))
        row = AuditEvent(kind="sent", says=f"sent: {step.says}", at=self._p.clock.now(), body={"step": step.name})
        return Transition(phase=WATCH, data=op.data, says=step.says, events=(row,), goes_on=True)

    async def _refused(self, op: Operation, data: Attempt, step: Step, tried: Tried, says: str) -> Transition:
        """The server, or the look before sending, said no. That is no proof that an earlier try did not arrive: what the target shows decides."""
        try:
            seen = await self.delivery(op).observe(step, tried.intent)
        except BackoutError as error:
            return await self._not_done(op, with_end(data, Seen.FAILED, f"{says}; {error}"), step, tried, says)
        if seen.seen in {Seen.DONE, Seen.RUNNING, Seen.STUCK}:
            row = AuditEvent(kind="refused_late", says=f"{step.name} was refused ({says}), but the target shows it: {seen.says}", at=self._p.clock.now())
            return Transition(phase=WATCH, data=op.data, says=seen.says, events=(row,))
        data = await self._tale.seen(op, data, step, seen)
        ended = "refused" if seen.seen is Seen.NOT_SEEN else str(seen.seen)
        return await self._not_done(op, with_end(data, ended, says), step, tried, says)

    async def watch(self, op: Operation, data: Attempt) -> Transition:
        """See what became of the step that was sent."""
        plan, now = plan_of(op, data), self._p.clock.now()
        step, tried = plan.steps[data.cursor], data.tried[-1]
        try:
            seen = await self.delivery(op).observe(step, tried.intent)
        except BackoutError as error:
            return self._keep_watching(op, data, step, tried, now, f"{step.name}: {error}; looking again")
        if seen.seen in {Seen.RUNNING, Seen.STUCK}:
            data = replace(data, tried=(*data.tried[:-1], replace(tried, accepted=True)))
        match seen.seen:
            case Seen.DONE:
                return await self._done(op, data, step, tried, seen)
            case Seen.RUNNING | Seen.STUCK if seen.nothing_yet and is_late(op, now):
                return await self._withdraw(op, data, step, tried, f"{seen.says}; act_before has passed", now)
            case Seen.RUNNING:
                return self._keep_watching(op, data, step, tried, now, seen.says)
            case Seen.STUCK if seen.withdrawable:
                return await self._withdraw(op, data, step, tried, seen.says, now)
            case Seen.STUCK:
                return self._stuck(op, data, step, seen.says, now)
            case Seen.NOT_SEEN if tried.accepted and data.cursor == decisive(plan):
                return self._taken_away(op, data, step, tried, seen, now)
            case Seen.NOT_SEEN:
                if seen.not_seen_until is not None and now >= seen.not_seen_until:
                    data = with_end(data, "not_seen", seen.says)
                    says = f"{step.name} never reached the target: {seen.says}"
                    span = self.act_span(step, tried, now, Seen.NOT_SEEN, says, failed=True)
                    return Transition(phase=ACT, data=dump(data), says=says, events=(AuditEvent(kind="not_seen", says=says, at=now),), spans=(span,))
                return self._keep_watching(op, data, step, tried, now, seen.says)
            case Seen.FOREIGN | Seen.FAILED:
                data = await self._tale.seen(op, data, step, seen)
                return await self._not_done(op, with_end(data, seen.seen, seen.says), step, tried, seen.says)

    def _taken_away(self, op: Operation, data: Attempt, step: Step, tried: Tried, seen: Observation, now: datetime) -> Transition:
        """It was there, and has gone without a trace: whoever did that meant it, so it is not sent again (promises 5 and 7)."""
        says = f"{step.name} was accepted, and somebody took it away before it ran: {seen.says}; it is not sent again"
        span = self.act_span(step, tried, now, Seen.NOT_SEEN, says, failed=True)
        row = AuditEvent(kind="taken_away", says=says, at=now)
        return self.give_up(op, with_end(data, "not_seen", says), says, Outcome.FAILED, (span,), rows=(row,))

    def _keep_watching(self, op: Operation, data: Attempt, step: Step, tried: Tried, now: datetime, says: str) -> Transition:
        if now - tried.at > STUCK_AFTER:
            return self._stuck(op, data, step, says, now)
        return Transition(phase=WATCH, data=dump(data), says=f"{step.name}: {says}" if says else step.says, wait=POLL)

    async def _withdraw(self, op: Operation, data: Attempt, step: Step, tried: Tried, says: str, now: datetime) -> Transition:
        """It waits, and would happen whenever that ends, hours past `act_before` it may be (promise 4). Told first, then done."""
        if op.phase != STUCK:
            return replace(self._stuck(op, data, step, f"{says}; it is withdrawn", now), wait=timedelta(0))
        try:
            await self.delivery(op).withdraw(step, tried.intent, self.guard(op, exempt=True))
        except BackoutError as error:
            return replace(self._stuck(op, data, step, f"{says}; it could not be withdrawn: {error}; trying again", now), wait=WITHDRAW_AGAIN)
        row = AuditEvent(kind="withdrawn", says=f"withdrawn: {step.says}", at=now, body={"step": step.name})
        return Transition(phase=STUCK, data=op.data, says=f"withdrawn: {step.says}; waiting for its end", events=(row,), wait=POLL)

    def _stuck(self, op: Operation, data: Attempt, step: Step, says: str, now: datetime) -> Transition:
        """Accepted and cannot be ended: keep single flight, tell a person, look again now and then."""
        text = (f"{step.says}: {says}", "Until that ends Backout starts nothing else on this target.", "Look at it in the delivery system.")
        sent = messages.message(
            self._p.told, key=f"{op.id}/stuck", title=f"{op.target}: {self._tale.act} is stuck", text=text, at=now, event="stuck", operation=op, plan=data.plan
        )
        rows = (AuditEvent(kind="stuck", says=says, at=now),) if op.phase != STUCK else ()
        return Transition(phase=STUCK, data=dump(data), says=f"stuck: {says}", events=rows, messages=sent, wait=STUCK_POLL)

    async def _done(self, op: Operation, data: Attempt, step: Step, tried: Tried, seen: Observation) -> Transition:
        now = self._p.clock.now()
        data = await self._tale.seen(op, data, step, seen)
        data = replace(with_end(data, Seen.DONE, seen.says), cursor=data.cursor + 1)
        row = AuditEvent(kind="step_done", says=f"done: {step.says} — {seen.says}", at=now, body={"step": step.name, **dict(seen.details)})
        span = self.act_span(step, tried, now, Seen.DONE, seen.says)
        return Transition(phase=ACT, data=dump(data), says=seen.says, events=(row,), spans=(span,), goes_on=True)

    def _skip(self, data: Attempt, step: Step, says: str, now: datetime) -> Transition:
        row = AuditEvent(kind="step_skipped", says=f"left out: {step.says} — {says}", at=now, body={"step": step.name})
        data = replace(data, cursor=data.cursor + 1, left_out=says, omitted=(*data.omitted, f"{step.says}: {says}"))
        return Transition(phase=ACT, data=dump(data), says=f"left out {step.name}: {says}", events=(row,))

    async def _not_done(self, op: Operation, data: Attempt, step: Step, tried: Tried, says: str) -> Transition:
        now = self._p.clock.now()
        if may_be_left_out(op, data, plan_of(op, data)):
            return self._skip(data, step, says, now)
        span = self.act_span(step, tried, now, Seen.FAILED, says, failed=True)
        return self.give_up(op, data, _why_not(step, says), Outcome.FAILED, (span,))

    async def cancel(self, op: Operation, data: Attempt) -> Transition:
        """Learn the fate of what may be on its way, then take back; once the deciding step is done it is too late, and what is live is measured."""
        if op.phase in {SEND, WATCH, STUCK}:  # an effect may be on its way: learn its fate first (only look: nothing more is sent), then take back
            transition = await self.watch(op, data)
            if transition.phase in {WATCH, STUCK, BACK} or transition.done:
                return transition
            if transition.phase == ACT and decided_by_deeds(plan_of(op, data), load(replace(op, data=transition.data))):
                return transition  # the deciding step is done: too late to cancel, verify what is live
            now = self._p.clock.now()
            row = AuditEvent(kind="cancelling", says=op.cancel_requested, at=now)
            after = replace(load(replace(op, data=transition.data)), why_compensate=op.cancel_requested, ending=Outcome.CANCELLED.value)
            return replace(transition, phase=BACK, data=dump(after), events=(*transition.events, row), wait=timedelta(0))
        if op.phase == ACT and data.verified:
            return self._verifying.finish(op, data)
        if op.phase == ACT and decided_by_deeds(plan_of(op, data), data):
            return self._verifying.start(op, data, self._p.clock.now())
        return self.give_up(op, data, op.cancel_requested, Outcome.CANCELLED)


def _why_not(step: Step, says: str) -> str:
    """Why the plan ends at this step."""
    rests = f"; {step.needed_for} passed only because of this step, so Backout goes no further by itself" if step.optional and step.needed_for else ""
    return f"{step.name}: {says}{rests}"


def _why_late(data: Attempt, step: Step) -> str:
    """A lost request is not sent again past the deadline: to be sure that it cannot arrive any more takes longer than a verdict may be old."""
    last = data.tried[-1] if data.tried else None
    if last is not None and (last.step, last.undo, last.ended) == (data.cursor, False, "not_seen"):
        return f"{step.name} never reached the target ({last.says}), and when that was certain act_before had passed; nothing more was written"
    return "act_before passed; nothing more was written"
