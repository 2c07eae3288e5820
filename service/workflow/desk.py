"""What people and portals ask for: a check, a plan, a rollback, a decision, a cancel, the end of a hold. The API and nothing else calls it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from service.domain import keys, spans
from service.domain.derived import desired_content, desired_content_keys
from service.domain.errors import BackoutError, BusyError, ConflictError, NotFoundError, RefusedError
from service.domain.facts import Absent, Fact, Facts
from service.domain.holding import HeldRelease, Standing, judge
from service.domain.model import Actor, Hold, Json, Mode, Operation, OperationKind, TargetId, Way
from service.domain.planning.plan import Plan, Step
from service.domain.policy import another_person
from service.domain.ports import (
    AuditEvent,
    Clock,
    Delivery,
    Fence,
    Intention,
    Journal,
    NewId,
    Seen,
    SpanDraft,
    Starter,
    Starting,
    StopSwitch,
    Targets,
    Work,
    no_fence,
)
from service.domain.rule import Case
from service.workflow import record
from service.workflow.correlate import accepted_span
from service.workflow.examine import Examination, Examiner
from service.workflow.fencing import fenced
from service.workflow.forward import mark_of
from service.workflow.sources import LiveSources

NOBODY = Actor(kind="user", name="nobody")


class HoldDesk(Protocol):
    """The holds as the desk needs them."""

    async def load(self, hold_id: str) -> Hold | None: ...  # noqa: D102
    async def releases(self, hold_id: str) -> Sequence[HeldRelease]: ...  # noqa: D102
    async def end(self, hold_id: str, *, by: str, because: str, at: datetime) -> bool: ...  # noqa: D102


class Desk:
    """Use cases for people. Refusals are RefusedError, missing things NotFoundError, races ConflictError; each with a sentence."""

    def __init__(
        self,
        *,
        examiner: Examiner,
        deliveries: Mapping[str, Delivery],
        targets: Targets,
        journal: Journal,
        starting: Starting,
        starter: Starter,
        holds: HoldDesk,
        stop: StopSwitch,
        clock: Clock,
        new_id: NewId,
        fence: Fence = no_fence,
    ) -> None:
        self._fence = fence
        self._examiner = examiner
        self._deliveries = deliveries
        self._targets = targets
        self._journal = journal
        self._starting = starting
        self._starter = starter
        self._holds = holds
        self._stop = stop
        self._clock = clock
        self._new_id = new_id

    async def check(self, target: TargetId, actor: Actor = NOBODY) -> Examination:
        """Whether the target could go back now, with facts read now. Also the plan, which belongs to the moment; nothing is stored."""
        await self._known(target)
        policy = self._examiner.policy(target)
        return await self._examiner.examine(
            target,
            trigger=None,
            automatic=False,
            mode=Mode.APPROVE,
            requested_by=actor,
            plan_id=self._new_id("pln"),
            deadline=policy.approve_within,
        )

    async def sources(self, target: TargetId) -> LiveSources:
        """From which source each image of the live release was built, read now; nothing is stored."""
        await self._known(target)
        return await self._examiner.sources(target)

    async def rollback(self, target: TargetId, actor: Actor, *, digest: str, names: Sequence[str], reason: str, override: Sequence[str] = ()) -> Operation:
        """Begin a rollback that a person asks for. With `digest` it is confirmed beforehand for exactly that plan; without, it waits for an approval.

        `override` names each rule whose block is to be overridden: it then waits for a second person (`confirm_override`).
        Raises ConflictError with the id of the operation that is alive for the target.
        """
        if override and not (digest and reason.strip()):
            raise RefusedError("an override names the digest of the plan that was looked at, and a reason")
        if override and actor.kind != "user":
            raise RefusedError(f"an override is asked for and given by persons; {actor} is none")
        await self._known(target)
        now = self._clock.now()
        operation_id = self._new_id("op")
        confirmed = record.Confirmed(digest=digest, names=tuple(names), reason=reason, override=tuple(override)) if digest else None
        operation = Operation(
            id=operation_id,
            kind=OperationKind.ROLLBACK,
            target=target,
            incident_id=None,
            requested_by=actor,
            automatic=False,
            mode=Mode.APPROVE,
            phase="begin",
            seq=0,
            rev=0,
            data=record.dump(record.Rollback(confirmed=confirmed, why_mode=f"asked for by {actor}")),
            trace_id=spans.trace_id(operation_id),
            created_at=now,
            updated_at=now,
        )
        says = f"asked for by {actor}" + (f": {reason}" if reason else "")
        body = {"actor": str(actor), "digest": digest, "names": list(names), "override": list(override)}
        row = AuditEvent(kind="accepted", says=says, at=now, body=body)
        await self._starting.begin(operation, (row,), (accepted_span(operation, now, None),))
        await self._starter.start(Work(kind="operation", id=operation.id, seq=0))
        return operation

    async def decide(self, operation_id: str, actor: Actor, *, approve: bool, digest: str, names: Sequence[str], reason: str) -> Operation:
        """Approve or reject a waiting operation. An approval names the plan's digest and each warning and unknown; it is checked again before acting."""
        operation = await self._waiting(operation_id)
        plan = record.load(operation).plan
        if approve:
            if plan is not None and plan.overrides:
                raise RefusedError(f"this plan overrides {', '.join(plan.overrides)}: a second person confirms that with backout override {operation_id}")
            self._still(operation, plan, digest, names)
        return await self._decided(operation, actor, approve=approve, body={"digest": digest, "names": list(names), "reason": reason})

    async def confirm_override(self, operation_id: str, actor: Actor, *, digest: str, names: Sequence[str], override: Sequence[str], reason: str) -> Operation:
        """The second person's word for a plan that is carried out against blocks: names the digest, each block, each warning and unknown, and a reason."""
        operation = await self._waiting(operation_id)
        plan = record.load(operation).plan
        if plan is None or not plan.overrides or operation.automatic:
            raise ConflictError(f"operation {operation_id} asks for no override")
        if actor.kind != "user":
            raise RefusedError(f"an override is asked for and given by persons; {actor} is none")
        if not another_person(operation.requested_by, actor):
            raise RefusedError(f"{operation.requested_by} asked for the override; somebody else has to confirm it")
        if not reason.strip():
            raise RefusedError("an override needs a reason")
        unnamed = [rule for rule in plan.overrides if rule not in override]
        if unnamed:
            raise RefusedError(f"an override names each block; missing: {', '.join(unnamed)}")
        foreign = [rule for rule in override if rule not in plan.overrides]
        if foreign:
            raise RefusedError(f"{', '.join(foreign)} is not overridden by this plan; look at it again")
        self._still(operation, plan, digest, (*names, *override))
        body = {"digest": digest, "names": list(names), "override": list(override), "reason": reason}
        return await self._decided(operation, actor, approve=True, body=body)

    async def _waiting(self, operation_id: str) -> Operation:
        operation = await self._operation(operation_id)
        if operation.phase != "awaiting_approval" or operation.done_at is not None:
            raise ConflictError(f"operation {operation_id} does not wait for a decision ({operation.outcome or operation.phase})")
        return operation

    def _still(self, operation: Operation, plan: Plan | None, digest: str, names: Sequence[str]) -> None:
        """Raises what is wrong with an approval: another plan than this one, a rule that it does not name, an offer that is over."""
        if plan is None or not digest or plan.digest != digest:
            raise ConflictError("an approval names the digest of the plan it approves; look at the plan again")
        wanted = [f.rule for f in plan.verdict.findings if f.answer and not f.waived]
        missing = [name for name in wanted if name not in names]
        if missing:
            raise RefusedError(f"an approval names each warning and unknown; missing: {', '.join(missing)}")
        if operation.act_before is not None and self._clock.now() >= operation.act_before:
            raise ConflictError("the offer has ended")

    async def _decided(self, operation: Operation, actor: Actor, *, approve: bool, body: Mapping[str, Json]) -> Operation:
        taken = await self._journal.decide(operation.id, seq=operation.seq, actor=actor, approve=approve, at=self._clock.now(), body=body)
        if not taken:
            raise ConflictError(f"operation {operation.id} was decided by somebody else, or its offer ended")
        return await self._woken(operation.id)

    async def cancel(self, operation_id: str, actor: Actor, reason: str) -> Operation:
        """Ask an operation to stop; what it wrote is taken back where that is possible."""
        operation = await self._operation(operation_id)
        if operation.done_at is not None:
            raise ConflictError(f"operation {operation_id} has ended ({operation.outcome})")
        if not await self._journal.request_cancel(operation_id, actor=actor, reason=reason or "no reason given", at=self._clock.now()):
            raise ConflictError(f"operation {operation_id} has ended or is being cancelled already")
        return await self._woken(operation_id)

    async def end_hold(self, hold_id: str, actor: Actor, *, reason: str, leave_auto_sync_off: bool, accept_bad: bool) -> Hold:
        """End a hold by hand: refused while the desired revision is still the held one, unless the person says what should be so.

        Gives auto-sync back exactly as it was, unless asked to leave it off or somebody changed it meanwhile.
        """
        hold = await self._holds.load(hold_id)
        if hold is None:
            raise NotFoundError(f"there is no hold {hold_id}")
        if hold.closed_at is not None:
            raise ConflictError(f"hold {hold_id} was ended by {hold.ended_by}")
        delivery = self._deliveries.get(hold.target.instance)
        if delivery is None:
            raise RefusedError(f"the delivery instance {hold.target.instance} is not configured any more; configure it, then end the hold")
        await self._nobody_works_on(hold.target)
        stopped = await self._stop.reason()
        if stopped and not leave_auto_sync_off:
            raise RefusedError(f"everything is stopped: {stopped}; resume first, or use --leave-auto-sync-off to end the hold alone")
        fact = await delivery.read(keys.state(hold.target))
        if isinstance(fact, Absent) and not leave_auto_sync_off:
            raise RefusedError(f"what would come back is unknown: {fact.why}; use --leave-auto-sync-off to end the hold alone")
        if not isinstance(fact, Absent) and not (leave_auto_sync_off or accept_bad):
            why = await self._comes_back(delivery, hold, fact.value)
            if why:
                raise RefusedError(f"{why}: release a fix first, or use --leave-auto-sync-off, or --accept-bad to let it come back")
        told = f"{hold.what} left as it is" if hold.remembered.get("stopped") else "there was no auto-sync to give back"
        if hold.remembered.get("stopped") and not leave_auto_sync_off:
            told = await self._give_back(delivery, hold, fact, accept_bad=accept_bad)
        left = f"everything is stopped: {stopped}" if stopped else await self._take_mark_off(delivery, hold)
        told += f"; the mark on the target may still be there: {left}" if left else ""
        await self._nobody_works_on(hold.target)  # one that began meanwhile joined the hold, or goes by it
        now = self._clock.now()
        if not await self._holds.end(hold_id, by=str(actor), because=reason, at=now):
            raise ConflictError(f"hold {hold_id} was ended meanwhile")
        row = AuditEvent(
            kind="hold_ended", says=f"hold ended by {actor}: {reason} ({told})", at=now, body={"hold": hold_id, "actor": str(actor), "reason": reason}
        )
        span = SpanDraft(
            path=(spans.HOLD_END,),
            name=spans.HOLD_END,
            started_at=now,
            ended_at=now,
            says=row.says,
            attributes={spans.HOLD_ID: hold_id, spans.HOLD_ENDED_BY: str(actor), spans.HOLD_BECAUSE: reason},
        )
        await self._starting.append(hold.operation_id, (row,), (span,), (), now)
        ended = await self._holds.load(hold_id)
        return ended or hold

    async def _comes_back(self, delivery: Delivery, hold: Hold, state: keys.TargetState) -> str:
        """Why the held release would come back with auto-sync, or might; "" when it would not.

        Bad is what differs, not a commit id (promise 7): a newer commit is still bad as long as it has anything that only a held release has, any of them.
        """
        if not state.desired_revision:
            keeps_none = keys.desired_images(hold.target).kind not in delivery.kinds  # then nothing is deployed by itself, so ending the hold deploys nothing
            if keeps_none and hold.stopped_auto_sync:
                return "what would be deployed is not known until it is"
            return "" if keeps_none and not state.auto_sync else "which revision is desired is not known"
        comparable = hold.stopped_auto_sync and keys.desired_images(hold.target).kind in delivery.kinds
        releases = await self._holds.releases(hold.id)
        told = ",".join(source.revision for source in state.desired) == state.desired_revision
        other = told and all(one.release is not None and one.release.sources != state.desired for one in releases)  # the same commit, other parameters
        if state.desired_revision in hold.remembered.get("revisions", ()) and not (comparable and other):
            return "the desired revision is still one that was rolled back"
        if not comparable:
            return ""
        known = {key: await delivery.read(key) for key in desired_content_keys(hold.target)}
        judged = judge(desired_content(Facts(known, self._clock.now()), hold.target), releases)
        match judged.standing:
            case Standing.CANDIDATE:
                return ""
            case Standing.STILL_BAD:
                return f"what is desired is another release, but {judged.says}"
            case _:
                return f"whether what is desired now still is what was rolled back is unknown: {judged.says}"

    async def _take_mark_off(self, delivery: Delivery, hold: Hold) -> str:
        """Take off what is still there of our mark, for under a mark of nobody's hold no later rollback begins; answers why it may be there still.

        It is a sign only, so trouble with it does not keep the hold.
        """
        fact = await delivery.read(keys.state(hold.target))
        if isinstance(fact, Absent):
            return fact.why
        marker, live, now = mark_of(fact.value.marker, hold, await self._holds.releases(hold.id)), fact.value.current, self._clock.now()
        if not marker:
            return ""
        if live is None:
            return "what is live is not known"
        facts = Facts({keys.state(hold.target): fact}, now)
        policy = self._examiner.policy(hold.target)
        case = Case(target=hold.target, policy=policy, suspect=live, goal=live, way=Way.FORWARD, facts=facts, context={"live_already": True})
        steps = [step for offer in delivery.offers(case) if offer.way is Way.FORWARD for step in offer.steps if step.effect]
        intention = Intention(
            target=hold.target,
            uid=fact.value.uid,
            operation_id=hold.operation_id,
            suspect=live,
            goal=live,
            not_before=None,
            marker="",
            at=now,
            own_marker=marker,
        )
        try:
            for step in steps:
                await self._carry_out(delivery, step, intention)
        except BackoutError as error:
            return str(error)
        return "" if steps else "the delivery system offers no step for it"

    async def _give_back(self, delivery: Delivery, hold: Hold, fact: Fact[keys.TargetState], *, accept_bad: bool) -> str:
        """Run the compensating steps of the operations under the hold, by the same port and with the same care: the newest first."""
        done: list[str] = []
        marker = "" if isinstance(fact, Absent) else mark_of(fact.value.marker, hold, await self._holds.releases(hold.id))
        for operation, plan, undo, tried in await self._undos(hold):
            step = replace(undo, parameters={**undo.parameters, "after_rollback": True, "accept_bad": accept_bad})
            intention = Intention(
                target=hold.target,
                uid=plan.uid,
                operation_id=operation.id,
                suspect=plan.suspect,
                goal=plan.goal,
                not_before=None,
                marker="",
                at=self._clock.now(),
                ours=tuple(one.intent for one in tried),
                own_marker=marker,
            )
            try:
                await self._carry_out(delivery, step, intention)
            except BackoutError as error:
                if done and isinstance(error, RefusedError) and not isinstance(fact, Absent) and fact.value.auto_sync:
                    done.append(f"auto-sync is on and stays as somebody set it: {error}")  # it was turned on before the newest change, which is taken back
                    continue
                before = f" ({'; '.join(done)})" if done else ""
                kind = BusyError if isinstance(error, BusyError) else RefusedError
                raise kind(f"{hold.what} could not be given back, the hold stays: {error}{before}") from error
            done.append(f"done: {undo.says}")
        return "; ".join(done) or "nothing to give back"

    async def _undos(self, hold: Hold) -> Sequence[tuple[Operation, Plan, Step, Sequence[record.Tried]]]:
        """What takes back what was written under the hold. Of each kind of change the newest alone: it remembers what the earlier ones had become."""
        found: dict[str, tuple[Operation, Plan, Step, Sequence[record.Tried]]] = {}
        for name in dict.fromkeys((*reversed(hold.remembered.get("operations", ())), hold.operation_id)):
            operation = await self._operation(name)
            data = record.load(operation)
            step = next((one for one in data.plan.steps if one.undo is not None), None) if data.plan else None
            if data.plan is not None and step is not None and step.undo is not None:
                found.setdefault(step.name, (operation, data.plan, step.undo, data.tried))
        return tuple(found.values())

    async def _carry_out(self, delivery: Delivery, step: Step, intention: Intention) -> None:
        """To its end, or an error. A person asked for it: neither a deadline nor the stop switch of an operation bars it."""
        intent = await delivery.intend(step, intention)

        async def alone() -> None:
            await self._nobody_works_on(intention.target)

        await delivery.act(step, intent, partial(fenced, self._fence, alone))
        for _ in range(20):
            seen = await delivery.observe(step, intent)
            if seen.seen is Seen.DONE:
                return
            if seen.seen in {Seen.FAILED, Seen.FOREIGN}:
                raise RefusedError(seen.says)
            await self._clock.sleep(0.5)
        raise RefusedError(f"whether it happened could not be seen: {step.says}")

    async def _nobody_works_on(self, target: TargetId) -> None:
        """BusyError while an operation is alive on the target: an alert may begin one at any time, and so may a fix that is only told of."""
        busy = next((one for one in await self._journal.alive() if one.target == target), None)
        if busy is not None:
            raise BusyError(f"operation {busy.id} works on {target} now; wait until it has ended, or cancel it")

    async def _known(self, target: TargetId) -> None:
        if await self._targets.listed(target) is None:
            raise NotFoundError(f"there is no target {target}; backout targets lists them")

    async def _operation(self, operation_id: str) -> Operation:
        operation = await self._journal.load(operation_id)
        if operation is None:
            raise NotFoundError(f"there is no operation {operation_id}")
        return operation

    async def _woken(self, operation_id: str) -> Operation:
        operation = await self._operation(operation_id)
        await self._starter.start(Work(kind="operation", id=operation.id, seq=operation.seq))
        return operation
