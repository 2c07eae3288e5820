"""The story of going forward under a hold: a verdict on what is desired, an explicit sync, the measurement; then auto-sync comes back and the hold ends.

What is not seen to be well goes back to the release that it came from, once, and is held as well: never by itself in circles. What a person deployed
under the hold is only measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from service.domain import keys, spans
from service.domain.course import as_live
from service.domain.errors import PermanentError, RefusedError
from service.domain.facts import Absent, Facts, Known
from service.domain.holding import HeldRelease
from service.domain.model import AUTO_SYNC, Hold, Json, Mode, Operation, Outcome, Release
from service.domain.planning.plan import Plan, Step
from service.domain.policy import Decision, Do
from service.domain.ports import AuditEvent, HoldChange, Intention, Observation, Seen, SpanDraft
from service.domain.recovery import Look
from service.domain.rule import Trigger
from service.domain.verdict import Answer
from service.workflow import messages
from service.workflow.chapters.chapter import may_have_happened
from service.workflow.chapters.story import Story
from service.workflow.chapters.tale import Closing, Ports, Tale
from service.workflow.examine import Examination
from service.workflow.record import Attempt, Forward

ENDED_BY = "forward"
"""Who ends a hold that ends by itself."""


class ForwardTale(Tale):
    """Forward to a release that differs where the held ones did."""

    verb = "going forward"
    act = "forward deploy"
    words = messages.FORWARD_WORDS
    patient = False

    # --- judging ---

    async def examine(self, op: Operation, data: Attempt, deadline: timedelta) -> Examination:
        """What is desired now, or what is live already, against every held release."""
        hold = await self._p.holds.open_for(op.target)
        return await self._p.examiner.examine_forward(
            op.target,
            hold if hold is not None and hold.id == data.hold_id else None,
            watched=_forward(data).watched,
            automatic=op.automatic,
            mode=op.mode,
            requested_by=op.requested_by,
            plan_id=self._p.new_id("pln"),
            deadline=deadline,
            ignore_operation=op.id,
        )

    def settles(self, op: Operation, found: Examination, decision: Decision) -> Decision:
        """Where a person deployed the fix and turned auto-sync on, only looks are left: that needs nobody's leave but in mode observe.

        Only of what is known to differ from every held release: else its end would let a bad one in for good (promise 7).
        """
        state = found.state
        only_looks = found.plan is not None and bool(found.plan.steps) and all(step.optional for step in found.plan.steps)
        known = not found.verdict.of(Answer.UNKNOWN)
        if known and decision.do in {Do.NOTIFY, Do.WAIT} and op.mode > Mode.OBSERVE and only_looks and state is not None and state.auto_sync:
            return Decision(do=Do.ACT, says="it is live and auto-sync is on already: it is measured, and the hold ends if it is well")
        return decision

    def tells(self, data: Attempt, says: str) -> bool:
        """The same refusal once."""
        return _forward(data).told != says

    def trigger(self, data: Attempt) -> Trigger | None:
        """The alert that the hold began with has to be quiet."""
        return _forward(data).watched

    def by_hand(self, op: Operation, data: Attempt) -> str:
        """A person's own deploy ends the hold too, once it was seen to be well."""
        del op
        return f"Deploy it yourself and Backout measures it; or end the hold: backout holds end {data.hold_id}"

    # --- acting ---

    def intention(self, op: Operation, data: Attempt, plan: Plan, now: datetime, *, undo: bool) -> Intention:
        """Taking back leaves the new release for the one before; once verified the new one is what is live."""
        live = as_live(plan.goal, _forward(data).handle)
        suspect, goal = (live, plan.suspect) if undo else (live, live) if data.verified else (plan.suspect, plan.goal)
        return Intention(
            target=op.target,
            uid=plan.uid,
            operation_id=op.id,
            suspect=suspect,
            goal=goal,
            not_before=None if undo or data.verified else op.created_at,
            marker=f"operation={op.id} suspect={plan.suspect.revision[:12]} goal={plan.goal.revision[:12]}",
            at=now,
            ours=tuple(one.intent for one in data.tried),
            own_marker=data.own_marker,
        )

    async def before(self, op: Operation, data: Attempt, step: Step) -> Attempt:
        """The hold must still be open, and the mark on the target its own."""
        hold = await self._p.holds.open_for(op.target)
        if hold is None or hold.id != data.hold_id:
            raise RefusedError("the hold has ended: nothing is done under it any more")
        if not step.effect:
            return data
        state = (await self._p.gatherer.facts(op.target, [keys.state(op.target)])).read(keys.state(op.target))
        releases = await self._p.holds.releases(hold.id)
        return replace(data, own_marker=mark_of(state.value.marker, hold, releases) if isinstance(state, Known) else "")

    def first_write(self, op: Operation, data: Attempt, plan: Plan, intent: Mapping[str, Json], now: datetime) -> tuple[Attempt, HoldChange | None]:
        """The hold stands already."""
        del op, plan, intent, now
        return data, None

    async def seen(self, op: Operation, data: Attempt, step: Step, observation: Observation) -> Attempt:
        """The new release is an ordinary one: it may be suspect later. What is put back after it is Backout's own, as in any rollback (promise 10)."""
        handle = str(observation.details.get("handle", ""))
        if not handle:
            return data
        if step.undo is not None:
            return replace(_forward(data), handle=handle)
        await self._p.targets.note_made(op.target, op.id, handle, self._p.clock.now())
        return data

    # --- ends ---

    def reverted(self, data: Attempt, plan: Plan, facts: Facts) -> str:
        """Another release went live. Auto-sync may be turned on by a person: it would deploy this release, or its deploy shows."""
        del data
        state = facts.read(keys.state(plan.target))
        if isinstance(state, Absent) or not state.value.history or state.value.history[0].key == plan.goal.key:
            return ""
        return f"release {state.value.history[0].title} was deployed over it; Backout does not fight"

    def stays(self, data: Attempt, outcome: Outcome) -> bool:
        """Only what is proven stays, or what nothing could prove and nothing spoke against; a person's own deploy is theirs."""
        plan = data.plan
        if outcome is Outcome.RECOVERED or plan is None or not _deployed(data, plan):
            return True
        checks = data.progress.checks if data.progress else ()
        return outcome is Outcome.INCONCLUSIVE and any(one.final for one in checks) and all(one.final or one.look is Look.GOOD for one in checks)

    def verified(self, op: Operation, data: Attempt, plan: Plan, outcome: Outcome, says: str, now: datetime) -> Closing:
        """Well, and auto-sync is as it was: the hold ends. Else it stays and says what it waits for."""
        live = as_live(plan.goal, _forward(data).handle)
        if outcome is not Outcome.RECOVERED:
            text = (f"{_capital(says)}.", f"The hold {data.hold_id} stays. A person is needed now.")
            return Closing(text=text)
        missing = [step.says for place, step in enumerate(plan.steps) if step.once_verified and step.effect and step.undo is None and not _done(data, place)]
        restores = [step for step in plan.steps if step.once_verified and step.effect and "remembered" in step.parameters]
        if restores and missing:
            waits = f"the hold stays, for {_stopped(restores[0])} was not given back: {data.left_out or missing[0]}"
            row = AuditEvent(kind="hold_waits", says=waits, at=now, body={"hold": data.hold_id})
            return Closing(text=(f"{_capital(says)}.", _capital(waits) + "."), says=f"{says}; {waits}", rows=(row,))
        because = f"release {live.title} differs from what was held, is live, and was seen to be well ({op.id})"
        row = AuditEvent(kind="hold_ended", says=f"hold ended by {ENDED_BY}: {because}", at=now, body={"hold": data.hold_id})
        span = SpanDraft(
            path=(spans.HOLD_END,),
            name=spans.HOLD_END,
            started_at=now,
            ended_at=now,
            says=row.says,
            attributes={spans.HOLD_ID: data.hold_id, spans.HOLD_ENDED_BY: ENDED_BY, spans.HOLD_BECAUSE: because},
            links=self.links(data),
        )
        change = HoldChange(end=data.hold_id, ended_by=ENDED_BY, because=because)
        back = f"{_capital(_stopped(restores[0]))} is as it was before." if restores else "There was no auto-sync to give back."
        return Closing(text=(f"{_capital(says)}.", f"The hold is over. {back}"), drafts=(span,), hold=change, rows=(row,))

    def what_now(self, op: Operation, data: Attempt) -> Sequence[str]:
        """The hold goes on, and says what it waits for."""
        return (f"What the hold waits for: backout holds show {data.hold_id}", f"What is live, and what stands in the way now: backout check {op.target}")

    def cancelled(self, op: Operation) -> str:
        """It is taken back."""
        del op
        return ""

    def taken_back(self, data: Attempt, plan: Plan, *, accepted: bool, failed: str, some: bool) -> tuple[str, HoldChange | None]:
        """What was deployed and not seen to be well is held too: the same commit is not tried again."""
        live = as_live(plan.goal, _forward(data).handle)
        if failed:
            tail = f"it could not be taken back: {failed}; the hold stays, and a person is needed now"
        elif some:
            tail = f"release {plan.suspect.title} is live again; the hold stays"
        else:
            tail = "what was asked for may be under way; the hold stays" if accepted else "nothing was changed"
        if data.progress is None or not _deployed(data, plan):
            return tail, None
        change = HoldChange(open=self._held_too(data, plan, live), releases=(_release(data, plan, live),))
        return f"{tail}, and release {live.title} is held away as well", change

    def _held_too(self, data: Attempt, plan: Plan, live: Release) -> Hold:
        now = self._p.clock.now()
        return Hold(
            id=data.hold_id,
            target=plan.target,
            operation_id=str(data.tried[0].intent.get("operation_id", "")) if data.tried else "",
            opened_at=now,
            reason=f"{live.title} was deployed under the hold and was not seen to be well",
            review_at=now + self._p.examiner.policy(plan.target).hold_review,
            owner=ENDED_BY,
            held=(live.key,),
            remembered={"auto_sync": {}, "revisions": [",".join(source.revision for source in live.sources)], "uid": plan.uid, "stopped": False},
        )

    def links(self, data: Attempt) -> tuple[str, ...]:
        """The operation that opened the hold."""
        opened = _forward(data).opened_by
        return (spans.traceparent(opened),) if opened else ()


class ForwardStory(Story):
    """Operations of kind forward."""

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports, ForwardTale(ports))


def mark_of(marker: str, hold: Hold, releases: Sequence[HeldRelease]) -> str:
    """The marker, if an operation that opened or joined this hold wrote it; else ""."""
    ids = {hold.operation_id, *(one.operation_id for one in releases)}
    return marker if any(f"operation={one} " in f"{marker} " for one in ids if one) else ""


def _forward(data: Attempt) -> Forward:
    if not isinstance(data, Forward):
        raise PermanentError("the record is not one of an operation that goes forward")
    return data


def _release(data: Attempt, plan: Plan, live: Release) -> HeldRelease:
    tried = next((one for one in data.tried if not one.undo), None)
    operation = str(tried.intent.get("operation_id", "")) if tried else ""
    return HeldRelease(key=live.key, since=live.started_at, operation_id=operation, release=live, against=plan.suspect)


def _deployed(data: Attempt, plan: Plan) -> bool:
    """Whether this operation put the release live, or may have."""
    return any(plan.steps[one.step].undo is not None and may_have_happened(one) for one in data.tried if not one.undo)


def _done(data: Attempt, place: int) -> bool:
    return any(one.step == place and not one.undo and one.ended == Seen.DONE for one in data.tried)


def _stopped(restore: Step) -> str:
    """What the step gives back, in the words of its delivery system."""
    return str(restore.parameters.get("what") or AUTO_SYNC)


def _capital(says: str) -> str:
    return says[:1].upper() + says[1:]
