"""The story of a rollback: a verdict on going back, the hold that stands before its first write, and that it stays, whatever is measured then."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys, spans
from service.domain.derived import left_over, listed
from service.domain.facts import Absent, Facts, Key, Known
from service.domain.holding import HeldRelease
from service.domain.model import AUTO_SYNC, Hold, Json, Operation, Outcome, Release, Way
from service.domain.planning.plan import Plan, Step
from service.domain.ports import AuditEvent, HoldChange, Observation, Seen, SpanDraft
from service.domain.rule import Trigger
from service.workflow import messages
from service.workflow.chapters.chapter import MAX_VERDICTS, STUCK_AFTER, WAITING, decisive, may_have_happened
from service.workflow.chapters.story import Story
from service.workflow.chapters.tale import Closing, Ports, Tale
from service.workflow.examine import Examination
from service.workflow.forward import mark_of
from service.workflow.record import Attempt

__all__ = ["MAX_VERDICTS", "STUCK_AFTER", "WAITING", "Ports", "RollbackStory"]


class RollbackTale(Tale):
    """Back to the release that was good."""

    verb = "going back"
    act = "rollback"
    words = messages.OUTCOME_WORDS

    async def examine(self, op: Operation, data: Attempt, deadline: timedelta) -> Examination:
        """The release to blame, the one to go back to, and whether that is safe."""
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

    def trigger(self, data: Attempt) -> Trigger | None:
        """The alert that it answers."""
        return data.trigger

    def by_hand(self, op: Operation, data: Attempt) -> str:
        """A plan to look at, or a rollback to ask for."""
        return f"To do it now: backout rollback {op.target}" if data.waiting_since else f"backout plan {op.target} shows the plan."

    async def before(self, op: Operation, data: Attempt, step: Step) -> Attempt:
        """Before the first effect: whether a hold is open already that this rollback joins."""
        if not step.effect or data.hold_id or data.plan is None:
            return data
        hold = await self._p.holds.open_for(op.target)
        if hold is None:
            return data
        state = (await self._p.gatherer.facts(op.target, [keys.state(op.target)])).read(keys.state(op.target))
        return replace(
            data,
            hold_id=hold.id,
            joins_hold=True,
            held_before=data.plan.suspect.key in hold.held,
            own_marker=mark_of(state.value.marker, hold, await self._p.holds.releases(hold.id)) if isinstance(state, Known) else "",
        )

    def first_write(self, op: Operation, data: Attempt, plan: Plan, intent: Mapping[str, Json], now: datetime) -> tuple[Attempt, HoldChange | None]:
        """The hold stands before the first write."""
        data = data if data.hold_id else replace(data, hold_id=self._p.new_id("hld"))
        remembered = intent.get("remembered") or {}
        hold = Hold(
            id=data.hold_id,
            target=op.target,
            operation_id=op.id,
            opened_at=now,
            reason=f"{plan.suspect.title} was rolled back to {plan.goal.title}",
            review_at=now + self._p.examiner.policy(op.target).hold_review,
            owner=str(op.requested_by),
            held=tuple(dict.fromkeys(one.key for one in _bad(plan))),
            remembered={
                "auto_sync": remembered,
                "revisions": [",".join(source.revision for source in one.sources) for one in _bad(plan)],
                "uid": plan.uid,
                "stopped": bool(remembered),
                **({"what": stops} if (stops := str(intent.get("stops") or "")) else {}),
                "pinned": plan.way is Way.PIN,
            },
        )
        held = {one.key: HeldRelease(key=one.key, since=now, operation_id=op.id, release=one, against=plan.goal) for one in _bad(plan)}
        return data, HoldChange(open=hold, releases=tuple(held.values()))

    async def seen(self, op: Operation, data: Attempt, step: Step, observation: Observation) -> Attempt:
        """Note the release that we put live, also when somebody has deployed over it since: it is never suspect (promise 10)."""
        del step
        handle = str(observation.details.get("handle", ""))
        if handle:
            await self._p.targets.note_made(op.target, op.id, handle, self._p.clock.now())
        return data

    def reverted(self, data: Attempt, plan: Plan, facts: Facts) -> str:
        """Auto-sync is on again, or another release went live."""
        state = facts.read(keys.state(plan.target))
        if isinstance(state, Absent):
            return ""
        if plan.way is Way.PIN:
            wanted = ",".join(source.revision for source in plan.goal.sources)
            if state.value.desired_revision not in {"", wanted}:
                return "somebody took the pin back; Backout does not fight: look who writes the spec"
        stopped = any(plan.steps[one.step].undo is not None for one in data.tried if not one.undo and one.ended == Seen.DONE)
        if stopped and state.value.auto_sync and plan.way is not Way.PIN:
            return "somebody turned auto-sync on again; Backout does not fight: look who writes the spec"
        if state.value.history and state.value.history[0].key != plan.goal.key:
            return f"release {state.value.history[0].title} was deployed over the rollback; Backout does not fight"
        return ""

    def stays(self, data: Attempt, outcome: Outcome) -> bool:
        """Always: what was bad does not come back because the rollback did not help (promise 8)."""
        del data, outcome
        return True

    async def look_round(self, op: Operation, data: Attempt, plan: Plan) -> Attempt:
        """Which objects of the bad release are still there: nothing of ours deletes them."""
        state = (await self._p.gatherer.facts(op.target, [keys.state(op.target)])).read(keys.state(op.target))
        live = state.value.current if isinstance(state, Known) else None
        goal = live if live is not None and live.key == plan.goal.key else plan.goal  # its old handle may have been trimmed by the rollback's own entry
        wanted: list[Key[Any]] = [keys.leftovers(op.target, goal.handle), keys.record(op.target, goal.key), keys.state(op.target)]
        found = left_over(await self._p.gatherer.facts(op.target, wanted), op.target, goal)
        if isinstance(found, Absent):
            return replace(data, left_behind=None, left_says=found.why)
        return replace(data, left_behind=tuple(str(one) for one in found.value))

    def verified(self, op: Operation, data: Attempt, plan: Plan, outcome: Outcome, says: str, now: datetime) -> Closing:
        """The hold stays; a person is told what now."""
        drafts = []
        if data.hold_id:
            review = now + self._p.examiner.policy(op.target).hold_review
            stays = f"{_titles(plan)} {'stay' if plan.passed_over else 'stays'} away"
            held = f"{stays} until a release without what was bad is live and verified; review by {review:%Y-%m-%d}"
            attributes: dict[str, str | int | float | bool] = {
                spans.HOLD_ID: data.hold_id,
                spans.HOLD_HELD: " ".join(one.key for one in _bad(plan)),
                spans.HOLD_OWNER: str(op.requested_by),
                spans.HOLD_REVIEW_AT: review.isoformat(),
            }
            drafts.append(SpanDraft(path=(spans.HOLD,), name=spans.HOLD, started_at=now, ended_at=now, says=held, attributes=attributes))
        good = outcome is Outcome.RECOVERED
        text = (
            f"Why: {data.trigger.alert if data.trigger else str(op.requested_by)}; {plan.suspect.title} was to blame.",
            f"Safe: {messages.score(plan.verdict)}.",
            says[:1].upper() + says[1:] + ".",
            f"{_titles(plan)} {'are' if plan.passed_over else 'is'} held away. Next: release a fix; to end it by hand: backout holds end {data.hold_id}"
            if data.hold_id
            else "",
            _left(data, plan),
            *(f"Left out: {one}." for one in data.omitted),
            "" if good else f"The rollback stays in place. A person is needed now. {_HELPED_NOT[outcome]}",
        )
        rows = (AuditEvent(kind="left_behind", says=_left(data, plan), at=now, body={"objects": list(data.left_behind or ())}),) if _left(data, plan) else ()
        return Closing(text=text, drafts=drafts, rows=rows)

    def what_now(self, op: Operation, data: Attempt) -> Sequence[str]:
        """Whether the bad release was left, and how to see what stands in the way now."""
        look = f"What is live, and what stands in the way now: backout check {op.target}"
        if data.plan is None:
            return (look,)
        if _may_be_live(data, data.plan):
            return ("A person is needed: whether the rollback helped was not measured.", look, f"What is held away: backout holds show {data.hold_id}")
        if any(one.undo and one.ended != Seen.DONE for one in data.tried):
            return ("A person is needed: what Backout changed still stands.", look, f"Its hold: backout holds show {data.hold_id}")
        return (f"Release {data.plan.suspect.title} was not taken back.", look, f"To go back: backout rollback {op.target}")

    def cancelled(self, op: Operation) -> str:
        """Too late to take it back."""
        return f"{op.cancel_requested}; the rollback stays in place, whether it helped was not measured to the end, and the hold stays"

    def taken_back(self, data: Attempt, plan: Plan, *, accepted: bool, failed: str, some: bool) -> tuple[str, HoldChange | None]:
        """The hold goes with what was taken back, unless another rollback's release is held as well."""
        if accepted and plan.way is Way.PIN:
            tail = "the pinned release may be under way or live: the hold and the pin stay, and auto-sync is on"
        elif accepted:
            tail = f"a rollback may be under way or live: the hold stays, {_stopped(data)} stays off"
        elif failed:
            tail = f"what was changed could not be taken back: {failed}; the hold stays"
        else:
            stands = "; ".join(dict.fromkeys(text for one in data.tried if not one.undo and may_have_happened(one) and (text := plan.steps[one.step].stands)))
            tail = "; ".join(part for part in ("what was changed was taken back" if some else "" if stands else "nothing was changed", stands) if part)
        if accepted or failed or data.held_before or not data.hold_id:
            return tail, None
        return tail, HoldChange(end=data.hold_id, only=plan.suspect.key if data.joins_hold else "", ended_by="backout", because=data.why_compensate)


def _may_be_live(data: Attempt, plan: Plan) -> bool:
    """Whether the step that goes back may have happened."""
    return any(one.step == decisive(plan) and not one.undo and may_have_happened(one) for one in data.tried)


_HELPED_NOT: Mapping[Outcome, str] = {
    Outcome.NOT_RECOVERED: "Look for another cause: going back did not help.",
    Outcome.INCONCLUSIVE: "Look whether it is well: Backout could not measure it.",
}
"""What a person does after a rollback of which nobody can say that it helped."""


def _bad(plan: Plan) -> tuple[Release, ...]:
    """The release that was rolled back, and those before it that were never good either: all are held away."""
    return (plan.suspect, *plan.passed_over)


def _left(data: Attempt, plan: Plan) -> str:
    """What of the bad release is still there, for a person to decide about; "" when nothing is."""
    if data.left_behind is None:
        return f"Whether objects of {plan.suspect.title} stay behind is unknown: {data.left_says}." if data.left_says else ""
    if not data.left_behind:
        return ""
    one = len(data.left_behind) == 1
    return f"Still there, though {plan.goal.title} does not have {'it' if one else 'them'}: {listed(data.left_behind)}. What to do stands in the plan."


def _stopped(data: Attempt) -> str:
    """What this operation stopped, in the words of its delivery system."""
    return next((stops for one in data.tried if (stops := str(one.intent.get("stops") or ""))), AUTO_SYNC)


def _titles(plan: Plan) -> str:
    return " and ".join(one.title for one in _bad(plan))


class RollbackStory(Story):
    """Operations of kind rollback."""

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports, RollbackTale(ports))
