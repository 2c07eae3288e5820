"""Takes back what was done, newest first, while it is still as we wrote it.

Once the deciding step may have been accepted, nothing that prepared it is taken back: it alone is, and only where the plan has a way back from it. A
rollback has none; a release that was deployed under a hold goes back to the one before it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError
from service.domain.model import Operation, Outcome
from service.domain.planning.plan import Step
from service.domain.ports import (
    AuditEvent,
    Observation,
    Seen,
    Transition,
)
from service.workflow import messages
from service.workflow.chapters.chapter import (
    BACK,
    BACK_SEND,
    BACK_WATCH,
    POLL,
    STUCK_AFTER,
    STUCK_POLL,
    Chapter,
    decisive,
    may_have_happened,
    plan_of,
    with_end,
)
from service.workflow.record import Attempt, Tried, dump

TELL_AFTER = timedelta(minutes=5)
"""So long the delivery system may be away before a person is told that something of ours still stands."""


class TakingBack(Chapter):
    """From giving up to the end."""

    async def take_back(self, op: Operation, data: Attempt) -> Transition:
        """Find the next step to take back, newest first; each is tried once."""
        plan, now = plan_of(op, data), self._p.clock.now()
        undone = {one.step for one in data.tried if one.undo}
        happened = [one for one in data.tried if not one.undo and may_have_happened(one)]
        accepted = [one for one in happened if one.step == decisive(plan)]
        reached = [one for one in accepted or happened if plan.steps[one.step].undo is not None]
        for one in reversed(reached):
            undo = plan.steps[one.step].undo
            if undo is None or one.step in undone:
                continue
            try:
                intent = await self.delivery(op).intend(undo, self.intention(op, data, now, undo=True))
            except TemporaryError as error:
                return self._cannot_yet(op, data, undo, str(error), now)
            except (RefusedError, PermanentError) as error:
                tried = Tried(step=one.step, undo=True, at=now, ended="refused", says=str(error))
                row = AuditEvent(kind="not_taken_back", says=f"{undo.says}: {error}", at=now)
                return Transition(phase=BACK, data=dump(replace(data, tried=(*data.tried, tried))), says=str(error), events=(row,))
            tried = Tried(step=one.step, undo=True, intent=intent, at=now)
            row = AuditEvent(kind="intent", says=f"about to: {undo.says}", at=now, body={"step": undo.name, "marker": dict(intent)})
            return Transition(phase=BACK_SEND, data=dump(replace(data, tried=(*data.tried, tried))), says=undo.says, events=(row,))
        return self._taken_back(op, data, accepted=bool(accepted) and not reached)

    def _cannot_yet(self, op: Operation, data: Attempt, undo: Step, why: str, now: datetime) -> Transition:
        """The delivery system is away: try on, and tell a person once it has lasted, for auto-sync may be off meanwhile."""
        since = data.back_since or now
        data = replace(data, back_since=since)
        if now - since < TELL_AFTER:
            return Transition(phase=BACK, data=dump(data), says=f"{undo.name}: {why}; trying again", wait=timedelta(seconds=5))
        text = (
            f"{undo.says}: {why}",
            f"Why it is taken back: {data.why_compensate}",
            "Backout goes on trying; the target may stand without auto-sync until then.",
        )
        title = f"{op.target}: what was changed cannot be taken back yet"
        sent = messages.message(self._p.told, key=f"{op.id}/stuck/{undo.name}", title=title, text=text, at=now, event="stuck", operation=op, plan=data.plan)
        return Transition(phase=BACK, data=dump(data), says=f"{undo.name}: {why}; trying on since {since:%H:%M:%S} UTC", messages=sent, wait=STUCK_POLL)

    def _taken_back(self, op: Operation, data: Attempt, *, accepted: bool) -> Transition:
        failed = [one for one in data.tried if one.undo and one.ended != Seen.DONE]
        outcome = Outcome(data.ending or Outcome.FAILED.value)
        some = any(one.undo for one in data.tried)
        tail, change = self._tale.taken_back(data, plan_of(op, data), accepted=accepted, failed=failed[-1].says if failed else "", some=some)
        return self.end(op, data, outcome, f"{data.why_compensate}; {tail}", hold=change)

    async def back_send(self, op: Operation, data: Attempt) -> Transition:
        """Send the step that takes back; exempt from the deadline and the stop switch."""
        step, tried = undo_of(op, data)
        try:
            await self.delivery(op).act(step, tried.intent, self.guard(op, exempt=True))
        except TemporaryError:
            return Transition(phase=BACK_WATCH, data=op.data, says=f"{step.name}: the answer was lost; looking")
        except (RefusedError, PermanentError) as error:
            return self._undo_ended(data, step, tried, "refused", str(error))
        return Transition(phase=BACK_WATCH, data=op.data, says=step.says)

    async def back_watch(self, op: Operation, data: Attempt) -> Transition:
        """See what became of it."""
        step, tried = undo_of(op, data)
        now = self._p.clock.now()
        try:
            seen = await self.delivery(op).observe(step, tried.intent)
        except BackoutError as error:
            seen = Observation(seen=Seen.RUNNING, says=str(error))
        data = await self._tale.seen(op, data, step, seen)
        if seen.seen is Seen.DONE:
            return self._undo_ended(data, step, tried, Seen.DONE, seen.says)
        gone = seen.seen is Seen.NOT_SEEN and seen.not_seen_until is not None and now >= seen.not_seen_until
        if gone or seen.seen in {Seen.FAILED, Seen.FOREIGN} or now - tried.at > STUCK_AFTER:
            return self._undo_ended(data, step, tried, str(seen.seen), seen.says)
        return Transition(phase=BACK_WATCH, data=op.data, says=seen.says, wait=POLL)

    def _undo_ended(self, data: Attempt, step: Step, tried: Tried, ended: str, says: str) -> Transition:
        now = self._p.clock.now()
        ok = ended == Seen.DONE
        row = AuditEvent(kind="taken_back" if ok else "not_taken_back", says=f"{step.says} — {says}", at=now)
        span = self.act_span(step, tried, now, Seen.DONE if ok else Seen.FAILED, says, failed=not ok)
        return Transition(phase=BACK, data=dump(with_end(data, ended, says)), says=says, events=(row,), spans=(span,))


def undo_of(op: Operation, data: Attempt) -> tuple[Step, Tried]:
    """The step that is being taken back with, and its attempt."""
    tried = data.tried[-1]
    undo = plan_of(op, data).steps[tried.step].undo
    if undo is None:
        raise PermanentError(f"operation {op.id} takes back a step that has no way back")
    return undo, tried
