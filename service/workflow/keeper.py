"""Keeps the open holds: follows what is desired and what is live, recognises a candidate, begins the operation that goes forward, renews, escalates.

A round looks at every open hold; it may run in several replicas, for what it writes is fenced by the hold's own row and told under keys that are sent
once. It acts on nothing itself. A hold never ends by its age.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from service.domain import keys, spans
from service.domain.course import Course, course_of
from service.domain.derived import content_keys, content_of, desired_content, desired_content_keys
from service.domain.difference import own
from service.domain.errors import BackoutError, ConflictError
from service.domain.facts import Absent
from service.domain.holding import HeldRelease, Judged, Standing, judge, loudness, next_review
from service.domain.model import AUTO_SYNC, Actor, Hold, Mode, Operation, OperationKind, Outcome, Watch, Way
from service.domain.planning.plan import Plan
from service.domain.policy import Policies
from service.domain.ports import AuditEvent, Clock, Holds, Journal, Mark, Message, NewId, Outbox, Starter, Starting, Targets, Work
from service.domain.rule import Trigger
from service.workflow import messages, record
from service.workflow.correlate import accepted_span
from service.workflow.forward import mark_of
from service.workflow.gather import Gatherer
from service.workflow.messages import Told

log = structlog.get_logger()

AGAIN_AFTER = timedelta(minutes=10)
"""So long after an operation that could not go forward the next one may begin for the same release; twice as long after each."""
AGAIN_AT_MOST = timedelta(hours=6)
DECIDED = frozenset({Outcome.OBSERVED, Outcome.SUGGESTED, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.REJECTED, Outcome.NOT_RECOVERED, Outcome.INCONCLUSIVE})
"""Ends after which nothing begins by itself for the same release: a person was told or decided, or it was tried."""
MEASURED = frozenset({Outcome.RECOVERED, Outcome.NOT_RECOVERED, Outcome.INCONCLUSIVE})
"""Ends of an operation whose release went live."""
COMPARED_FOR = timedelta(minutes=5)
"""So long the answer about one release is kept in memory, or each round would have it rendered anew; what is mutable about it shows after that."""
ORPHAN_AFTER = timedelta(minutes=1)
"""A mark and the row of its hold are written one after the other, and taken away so: what is younger is no orphan yet."""
ME = Actor(kind="automation", name="hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A hold marker on a target that no open hold of ours explains, in a sentence, with how a person takes it off."""

    mark: Mark
    says: str


class Keeper:
    """One `round` every few seconds. Trouble with one hold never stops the others."""

    def __init__(
        self,
        *,
        holds: Holds,
        gatherer: Gatherer,
        journal: Journal,
        starting: Starting,
        starter: Starter,
        targets: Targets,
        outbox: Outbox,
        policies: Policies,
        told: Told,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._holds = holds
        self._gatherer = gatherer
        self._journal = journal
        self._starting = starting
        self._starter = starter
        self._targets = targets
        self._outbox = outbox
        self._policies = policies
        self._told = told
        self._clock = clock
        self._new_id = new_id
        self._compared: dict[str, tuple[object, datetime, Judged]] = {}
        self.open = 0
        self.past_review = 0
        self.orphaned = 0

    async def round(self) -> None:
        """Look at every open hold, and for marks that belong to none."""
        found = await self._holds.open()
        for hold in found:
            try:
                await self._keep(hold)
            except BackoutError as error:
                log.warning("hold could not be looked at", hold=hold.id, target=str(hold.target), error=str(error))
        self.open, self.past_review = len(found), sum(1 for hold in found if hold.reviews)
        self.orphaned = len(await self.report_orphans())

    async def _keep(self, hold: Hold) -> None:
        await self._review(hold)
        await self._tell_bad(hold)
        hold = await self._holds.load(hold.id) or hold
        if hold.closed_at is None and not any(one.target == hold.target for one in await self._journal.alive()):
            await self._look(hold)

    # --- renewal ---

    async def _review(self, hold: Hold) -> None:
        """Past its review the hold is renewed, and a person is told: more loudly each time, and sooner."""
        now = self._clock.now()
        if now < hold.review_at:
            return
        count = hold.reviews + 1
        following = next_review(count, now, self._policies.of(hold.target).hold_review)
        age = (now - hold.opened_at).days
        says = f"review {count} of hold {hold.id} came and went: it is {age} days old and belongs to {hold.owner}; it stays, next review {following:%Y-%m-%d}"
        text = (
            f"{hold.reason}. The hold is {age} days old and belongs to {hold.owner}.",
            f"It waits: {hold.watch.says}." if hold.watch and hold.watch.says else "",
            f"Nothing changes by itself{f'; {hold.what} stays off' if hold.stopped_auto_sync else ''}. Next review by {following:%Y-%m-%d %H:%M} UTC.",
            f"Release a fix, or: backout holds end {hold.id} --reason …",
        )
        title = f"{hold.target}: hold past its review" + (f", for the {_nth(count)} time" if count > 1 else "")
        extra = {"hold": hold.id, "count": count, "age_days": age, "owner": hold.owner, "severity": loudness(count)}
        sent = self._message(hold, f"review/{count}", title, text, "hold_review", now, extra)
        row = AuditEvent(kind="hold_renewed", says=says, at=now, body={"count": count, "review_at": following.isoformat()})
        await self._holds.renew(hold, following, (row,), sent, now)

    # --- what was bad ---

    async def _tell_bad(self, hold: Hold) -> None:
        """Write down what only each held release has, as soon as both can be read; what they render to may not be had for ever."""
        for one in await self._holds.releases(hold.id):
            if one.bad is not None or one.release is None or one.against is None:
                continue
            wanted = [*content_keys(hold.target, one.release), *content_keys(hold.target, one.against)]
            facts = await self._gatherer.facts(hold.target, wanted)
            bad = own(content_of(facts, hold.target, one.release), content_of(facts, hold.target, one.against))
            if not bad.doubts:
                await self._holds.tell_bad(hold.id, one.key, bad)

    # --- what is desired ---

    async def _look(self, hold: Hold) -> None:
        now, target, before = self._clock.now(), hold.target, hold.watch or Watch(at=hold.opened_at)
        facts = await self._gatherer.facts(target, [keys.state(target), keys.limits(target)])
        state, limits = facts.read(keys.state(target)), facts.read(keys.limits(target))
        if isinstance(state, Absent) or isinstance(limits, Absent):
            why = state.why if isinstance(state, Absent) else limits.why if isinstance(limits, Absent) else ""
            await self._write(hold, replace(before, at=now, standing=Standing.UNKNOWN, says=f"what is desired is unknown: {why}"), [], [], now)
            return
        releases = await self._holds.releases(hold.id)
        pin = await self._pin(hold, releases)
        if pin is not None:
            seen = _under_a_pin(hold, replace(before, at=now), state.value, releases, pin)
            await self._write(hold, seen, *self._news(hold, before, seen, now), now)
            return
        before = await self._after_the_last(before)
        course = course_of(state.value, releases, made_by_backout=limits.value.made_by_backout, verified=before.verified, now=now)
        course = await self._never_left(course, before, releases)
        judged = await self._judged(hold, course, releases)
        troubles = _troubles(hold, state.value, releases, course)
        watch = replace(
            before,
            at=now,
            standing=judged.standing,
            says=judged.says,
            desired=state.value.desired_revision,
            live=state.value.current.key if state.value.current else "",
            auto_sync=state.value.auto_sync,
            marker=state.value.marker,
            troubles=troubles,
        )
        rows, sent = self._news(hold, before, watch, now)
        goal = course.goal
        ready = judged.standing in {Standing.CANDIDATE, Standing.LIVE} and goal is not None and state.value.settled and state.value.running is None
        if not ready or goal is None:
            await self._write(hold, watch, rows, sent, now)
            return
        if watch.candidate != goal.key or (course.live_already and await self._was_only_offered(watch.operation_id)):
            watch = replace(watch, candidate=goal.key, title=goal.title, operation_id="", tries=0, again_at=None)
        if watch.operation_id and (watch.again_at is None or now < watch.again_at):
            await self._write(hold, watch, rows, sent, now)
            return
        previous = watch.operation_id
        watch = replace(watch, operation_id=self._new_id("op"), tries=watch.tries + 1, again_at=None)
        if await self._write(hold, watch, rows, sent, now, always=True):
            await self._begin(hold, watch, course, previous, now)

    async def _pin(self, hold: Hold, releases: Sequence[HeldRelease]) -> Plan | None:
        """The newest pin under the hold, if there is one: the system wants the release that was good then, and auto-sync is on. Neither tells of a fix."""
        for name in dict.fromkeys((*(one.operation_id for one in reversed(releases)), hold.operation_id)):
            operation = await self._journal.load(name) if name else None
            plan = record.load(operation).plan if operation is not None else None
            if plan is not None and plan.way is Way.PIN:
                return plan
        return None

    async def _never_left(self, course: Course, before: Watch, releases: Sequence[HeldRelease]) -> Course:
        """A held release that no look saw away, and whose rollback never got as far as to be measured, is live still, not again."""
        live = course.suspect.key if course.suspect is not None and course.waits else ""
        held = next((one for one in releases if one.key == live), None)
        if held is None or before.live not in {"", live}:
            return course
        if said := before.troubles.get("held_is_live"):
            return replace(course, says=said)
        last = await self._journal.load(held.operation_id) if held.operation_id else None
        if last is None or last.outcome in MEASURED:
            return course
        return replace(course, says=f"release {held.title}, which is held, is still live: the rollback did not take it away")

    async def _after_the_last(self, watch: Watch) -> Watch:
        """What the end of the operation that was begun last means for the next; one that was noted and never begun is begun again."""
        if not watch.operation_id or watch.again_at is not None:
            return watch
        last = await self._journal.load(watch.operation_id)
        if last is None:
            return replace(watch, operation_id="", tries=max(0, watch.tries - 1))
        if last.done_at is None:
            return watch
        if last.outcome is Outcome.RECOVERED:
            return replace(watch, verified=watch.candidate, again_at=last.done_at + AGAIN_AFTER)
        if last.outcome in DECIDED or last.first_effect_at is not None:
            return watch
        pause = min(AGAIN_AFTER * 2 ** min(watch.tries - 1, 10), AGAIN_AT_MOST)
        return replace(watch, again_at=last.done_at + pause)

    async def _was_only_offered(self, name: str) -> bool:
        """Whether the last operation would have deployed the release and did nothing: once a person deployed it, it is measured all the same."""
        last = await self._journal.load(name) if name else None
        if last is None or last.first_effect_at is not None or last.outcome not in DECIDED:
            return False
        plan = record.load(last).plan
        return plan is not None and any(step.undo is not None for step in plan.steps)

    async def _judged(self, hold: Hold, course: Course, releases: Sequence[HeldRelease]) -> Judged:
        goal = course.goal
        if goal is None:
            standing = Standing.HELD if course.waits else Standing.UNKNOWN
            return Judged(standing=standing, says=course.says)
        about = (goal.key, goal.handle, tuple((one.key, one.bad is not None) for one in releases))
        kept = self._compared.get(hold.id)
        if kept is not None and kept[0] == about and self._clock.now() - kept[1] < COMPARED_FOR:
            return kept[2]
        wanted = content_keys(hold.target, goal) if goal.handle else desired_content_keys(hold.target)
        facts = await self._gatherer.facts(hold.target, wanted)
        content = content_of(facts, hold.target, goal) if goal.handle else desired_content(facts, hold.target)
        judged = judge(content, releases)
        standing = Standing.LIVE if judged.standing is Standing.CANDIDATE and course.live_already else judged.standing
        found = Judged(standing=standing, says=f"{course.says}: {judged.says}")
        if standing is not Standing.UNKNOWN:
            self._compared[hold.id] = (about, self._clock.now(), found)
        return found

    def _news(self, hold: Hold, before: Watch, watch: Watch, now: datetime) -> tuple[list[AuditEvent], list[Message]]:
        """What changed since the last look, said once: a row for every change, a message where a person has to know."""
        rows: list[AuditEvent] = []
        sent: list[Message] = []
        changed = (watch.standing, _reason(watch.says)) != (before.standing, _reason(before.says))
        if changed:
            rows.append(AuditEvent(kind="hold_sees", says=watch.says, at=now, body={"standing": watch.standing, "desired": watch.desired}))
        if changed and watch.standing in {Standing.STILL_BAD, Standing.UNKNOWN} and watch.desired and watch.live:
            title = (
                f"{hold.target}: the newer commit is still bad" if watch.standing == Standing.STILL_BAD else f"{hold.target}: whether it is a fix is unknown"
            )
            text = (f"{watch.says}.", "It is not deployed by itself.", f"Look: backout holds show {hold.id}")
            key = f"{watch.standing}/{hashlib.sha256(_reason(watch.says).encode()).hexdigest()[:16]}"
            sent += self._message(hold, key, title, text, f"hold_{watch.standing}", now, {"hold": hold.id})
        for name, says in watch.troubles.items():
            if before.troubles.get(name) == says:
                continue
            rows.append(AuditEvent(kind=f"hold_{name}", says=says, at=now))
            text = (f"{says}.", "Backout does not fight. The hold stays until it is ended.", f"Look: backout holds show {hold.id}")
            title = f"{hold.target}: {'what is held is live' if name == 'held_is_live' else 'the hold is not as it was left'}"
            sent += self._message(hold, f"{name}/{now.isoformat()}", title, text, f"hold_{name}", now, {"hold": hold.id})
        rows += [
            AuditEvent(kind=f"hold_{name}_over", says=f"no longer so: {says}", at=now) for name, says in before.troubles.items() if name not in watch.troubles
        ]
        return rows, sent

    async def _write(self, hold: Hold, watch: Watch, rows: Sequence[AuditEvent], sent: Sequence[Message], now: datetime, *, always: bool = False) -> bool:
        """Nothing new is not written, or every round would write."""
        same = hold.watch is not None and replace(watch, at=hold.watch.at) == hold.watch
        if same and not rows and not sent and not always:
            return True
        return await self._holds.see(hold, watch, rows, sent, now)

    async def _begin(self, hold: Hold, watch: Watch, course: Course, previous: str, now: datetime) -> None:
        policy = self._policies.of(hold.target)
        mode, why = policy.mode, f"mode {policy.mode.word}"
        if not hold.stopped_auto_sync and not course.live_already and mode > Mode.SUGGEST:
            mode, why = Mode.SUGGEST, "mode suggest: this target was never deployed by itself, a person syncs it"
        if not self._told.anybody and mode > Mode.OBSERVE:
            mode, why = Mode.OBSERVE, "mode observe: nobody is configured to be told (notify:), so nothing leaves observe"
        opened = await self._journal.load(hold.operation_id)
        data = record.Forward(why_mode=why, hold_id=hold.id, opened_by=hold.operation_id, watched=_watched(opened), told=await self._refused_before(previous))
        operation = Operation(
            id=watch.operation_id,
            kind=OperationKind.FORWARD,
            target=hold.target,
            incident_id=opened.incident_id if opened else None,
            requested_by=ME,
            automatic=True,
            mode=mode,
            phase="begin",
            seq=0,
            rev=0,
            data=record.dump(data),
            trace_id=spans.trace_id(watch.operation_id),
            created_at=now,
            updated_at=now,
        )
        row = AuditEvent(kind="accepted", says=f"{course.says} — {why}", at=now, body={"hold": hold.id, "release": watch.candidate})
        accepted = replace(accepted_span(operation, now, None), links=(spans.traceparent(hold.operation_id),))
        try:
            await self._starting.begin(operation, (row,), (accepted,))
        except ConflictError:  # another operation is alive on the target now: the next round looks again
            return
        await self._starter.start(Work(kind="operation", id=operation.id, seq=operation.seq))

    async def _refused_before(self, previous: str) -> str:
        last = await self._journal.load(previous) if previous else None
        return last.says if last is not None and last.outcome is Outcome.REFUSED else ""

    # --- orphans ---

    async def orphans(self) -> Sequence[Orphan]:
        """Marks on targets that no open hold of ours explains."""
        now, found = self._clock.now(), []
        for mark in await self._targets.marked():
            if now - mark.since < ORPHAN_AFTER:
                continue
            hold = await self._holds.open_for(mark.target)
            if hold is not None and mark_of(mark.marker, hold, await self._holds.releases(hold.id)):
                continue
            found.append(Orphan(mark=mark, says=await self._explained(mark, hold)))
        return found

    async def _explained(self, mark: Mark, hold: Hold | None) -> str:
        name = next((word.removeprefix("operation=") for word in mark.marker.split() if word.startswith("operation=")), "")
        known = await self._journal.load(name) if name else None
        if known is not None and hold is None:
            return f"the mark of {name} is still on {mark.target}, but its hold has ended"
        if hold is not None:
            return f"{mark.target} is held by {hold.id}, but carries the mark of {name or 'somebody else'}"
        return f"{mark.target} carries a hold mark ({mark.marker[:120]}) that this Backout does not know: another Backout's, or the store was lost"

    async def report_orphans(self) -> Sequence[Orphan]:
        """Tell each orphan once."""
        now = self._clock.now()
        found = await self.orphans()
        for orphan in found:
            digest = hashlib.sha256(f"{orphan.mark.target} {orphan.mark.marker}".encode()).hexdigest()[:16]
            text = (f"{orphan.says}.", "While it is there, nobody may trust it and Backout rolls nothing back here.", f"Take it off: {orphan.mark.unmark}")
            for one in messages.message(
                self._told,
                key=f"orphan/{digest}",
                title=f"{orphan.mark.target}: an orphaned hold",
                text=text,
                at=now,
                event="orphaned_hold",
                extra={"target": str(orphan.mark.target), "marker": orphan.mark.marker},
            ):
                await self._outbox.send(one, now)
        return found

    # --- small things ---

    def _message(self, hold: Hold, key: str, title: str, text: Sequence[str], event: str, now: datetime, extra: Mapping[str, object]) -> list[Message]:
        told = {"target": str(hold.target), **extra}
        return list(messages.message(self._told, key=f"{hold.id}/{key}", title=title, text=text, at=now, event=event, extra=told))


def _troubles(hold: Hold, state: keys.TargetState, releases: Sequence[HeldRelease], course: Course) -> Mapping[str, str]:
    """What is not as the hold left it, by name."""
    found: dict[str, str] = {}
    if state.auto_sync and hold.stopped_auto_sync:
        found["auto_sync_on"] = "somebody turned auto-sync on again"
    if hold.watch is not None and hold.watch.marker and not state.marker and "mark_gone" not in found:
        found["mark_gone"] = "the hold mark was taken off the target" + ("" if hold.what == AUTO_SYNC else f": {hold.what} may be on again")
    elif hold.watch is not None and "mark_gone" in hold.watch.troubles and not state.marker:
        found["mark_gone"] = hold.watch.troubles["mark_gone"]
    if state.marker and not mark_of(state.marker, hold, releases):
        found["mark_foreign"] = f"the target carries another hold mark: {state.marker[:120]}"
    if state.current is not None and any(one.key == state.current.key for one in releases):
        found["held_is_live"] = course.says
    return found


def _under_a_pin(hold: Hold, seen: Watch, state: keys.TargetState, releases: Sequence[HeldRelease], pin: Plan) -> Watch:
    """A person ends such a hold; that somebody took the pin back, and that a held release is live again, is told all the same (promise 13)."""
    says = "the target is pinned to the release that was good: a person ends the hold once a fix is there"
    troubles = dict(_troubles(hold, state, releases, Course(says="a release that is held is live again")))
    troubles.pop("auto_sync_on", None)  # under a pin it is to be on
    if state.desired_revision not in {"", ",".join(source.revision for source in pin.goal.sources)}:
        says = troubles["pin_gone"] = f"the pin to release {pin.goal.title} was taken back"
    return replace(seen, standing=Standing.HELD, says=says, desired=state.desired_revision, marker=state.marker, troubles=troubles)


def _watched(opened: Operation | None) -> Trigger | None:
    """The alert that the hold began with."""
    if opened is None:
        return None
    data = record.load(opened)
    return data.trigger or (data.watched if isinstance(data, record.Forward) else None)


def _reason(says: str) -> str:
    """The sentence without the release's own name: a series of README commits is said once."""
    return says.partition(": ")[2] or says


def _nth(count: int) -> str:
    return f"{count}{'th' if 10 <= count % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"  # noqa: PLR2004  the teens
