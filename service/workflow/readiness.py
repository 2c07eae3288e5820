"""Keeps the standing verdict of every target: looked at again soon after something changed, and long before it is too old to be believed.

It reads at a pace of its own (so many requests a second to each outside system), and acts on nothing: what an alert asks for is never behind it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.errors import BackoutError
from service.domain.model import Actor, Mode, TargetId
from service.domain.ports import Clock, Message, Readinesses, StandBack, Targets, at_once
from service.domain.readiness import Age, Standing, closing, renewed
from service.domain.verdict import Answer, Finding, Verdict
from service.workflow import messages
from service.workflow.examine import Examination, Examiner
from service.workflow.snapshots import Snapshots

BACKOUT = Actor(kind="service", name="backout")

SETTLE = timedelta(seconds=5)
"""A target that changed is looked at this long after; a deploy changes it many times on end."""
AGAIN = timedelta(minutes=1)
"""A look that failed is tried again after this."""
LEARN = timedelta(seconds=30)
"""So often it is looked which targets there are, and what other processes wrote."""
RENEW = 0.75
"""The part of its time after which a verdict is renewed: a quarter is left for a system that is slow or away for a while."""
AT_ONCE = 8
"""Targets that are looked at side by side."""
ROUND = 32
"""Targets of one round, so that a target that changed waits behind no more than these."""


TELLING = timedelta(hours=1)
"""The time within which no more than so many messages of targets that can no longer go back are sent."""


async def nobody(_: TargetId) -> object | None:
    """No operation is alive."""
    return None


class Doors:
    """Tells a person of targets that could go back and no longer can: `most` an hour, 0 = none. The last one says that it is."""

    def __init__(self, told: messages.Told, *, momentary: Collection[str], most: int) -> None:
        self._told = told
        self._momentary = frozenset(momentary)
        self._most = most
        self._sent: deque[datetime] = deque()

    def closing(self, before: Standing | None, now: Standing) -> tuple[Standing, tuple[Finding, ...]]:
        """As `readiness.closing`."""
        return closing(before, now, self._momentary)

    def messages(self, standing: Standing, because: Sequence[Finding]) -> tuple[Message, ...]:
        """What is sent of it, which counts as sent; () where nothing closed, or enough was said lately."""
        while self._sent and not timedelta(0) <= standing.as_of - self._sent[0] < TELLING:
            self._sent.popleft()
        if not because or len(self._sent) >= self._most:
            return ()
        self._sent.append(standing.as_of)
        return messages.no_way_back(self._told, standing, because, more=len(self._sent) == self._most)


@dataclass(slots=True)
class _Place:
    """When a target is due, and when it was last read (None: never)."""

    due: datetime
    as_of: datetime | None


class Readiness:
    """One `round` a second in the process that leads, `learn` in every other; `changed` is told what the watcher saw.

    `ages` are the standing verdicts as they were last written down, without their findings. While an operation of ours is `alive` on a target, it is left
    alone: what is seen then is our own doing, half done. It is looked at soon after the end. `doors` tells of targets that can no longer go back.
    `entering` is called in the task of a round, `looking` in that of each look, before anything is asked; each look first does `stand_back`.
    """

    def __init__(
        self,
        *,
        examiner: Examiner,
        targets: Targets,
        kept: Readinesses,
        clock: Clock,
        max_age: timedelta,
        snapshots: Snapshots | None = None,
        entering: Callable[[], None] = lambda: None,
        looking: Callable[[], None] = lambda: None,
        stand_back: StandBack = at_once,
        alive: Callable[[TargetId], Awaitable[object | None]] = nobody,
        doors: Doors | None = None,
    ) -> None:
        self._examiner = examiner
        self._targets = targets
        self._kept = kept
        self._clock = clock
        self._max_age = max_age
        self._snapshots = snapshots
        self._entering = entering
        self._looking = looking
        self._stand_back = stand_back
        self._alive = alive
        self._doors = doors
        self._places: dict[TargetId, _Place] = {}
        self._learnt: datetime | None = None
        self.ages: dict[TargetId, Age] = {}

    def changed(self, target: TargetId) -> None:
        """Something about the target is new: look at it soon. Quick, and never fails."""
        soon = self._clock.now() + SETTLE
        place = self._places.get(target)
        if place is None:
            self._places[target] = _Place(due=soon, as_of=None)
        elif place.due > soon:
            place.due = soon

    async def round(self) -> bool:
        """Look at the targets that are due, those that wait longest first; whether more are due than one round takes."""
        self._entering()
        await self.learn()
        now = self._clock.now()
        due = sorted((place.due, target) for target, place in self._places.items() if place.due <= now or place.due - now > self._max_age)
        places = asyncio.Semaphore(AT_ONCE)

        async def one(target: TargetId) -> None:
            async with places:
                await self._stand_back()
                self._looking()
                await self._look(target)

        await asyncio.gather(*(one(target) for _, target in due[:ROUND]))
        return len(due) > ROUND

    async def learn(self) -> None:
        """Which targets there are, and what is known of them; what the policy or another process changed is seen here."""
        now = self._clock.now()
        if self._learnt is not None and timedelta(0) <= now - self._learnt < LEARN:
            return
        known = await self._targets.known()
        ages = self.ages = {age.target: age for age in await self._kept.ages()}
        for target in known:
            age, place = ages.get(target), self._places.get(target)
            if place is None:
                fits = age is not None and age.policy == self._examiner.policy(target).version
                as_of = age.as_of if age is not None else None
                self._places[target] = _Place(due=self._next(as_of) if as_of is not None and fits else now, as_of=as_of)
            elif age is not None and (place.as_of is None or age.as_of > place.as_of):
                place.as_of = age.as_of
        for gone in self._places.keys() - set(known):
            del self._places[gone]
        self._learnt = now

    def _next(self, as_of: datetime) -> datetime:
        return as_of + self._max_age * RENEW

    async def _look(self, target: TargetId) -> None:
        place = self._places[target]
        began = self._clock.now()
        place.due = began + AGAIN  # until it went well; what changes meanwhile may only make it sooner
        try:
            standing = await self.look(target)
            if standing is None:
                place.due = began + SETTLE
                return
        except BackoutError:  # the store or the list is away: it says so itself, and the verdict that stands grows old and then unknown
            return
        place.as_of = standing.as_of
        if place.due == began + AGAIN:
            place.due = self._next(standing.as_of)

    async def look(self, target: TargetId) -> Standing | None:
        """Read everything anew, write the verdict down and answer it; None, and nothing written, while an operation of ours is alive on the target."""
        if await self._alive(target) is not None:
            return None
        policy = self._examiner.policy(target)
        found = await self._examiner.examine(
            target, trigger=None, automatic=False, mode=Mode.OBSERVE, requested_by=BACKOUT, plan_id="", deadline=policy.approve_within
        )
        if self._snapshots is not None and found.state is not None:
            await self._snapshots.take(found.state, policy.declares.databases)
        if await self._alive(target) is not None:  # it began while we looked
            return None
        before = (await self._kept.of([target])).get(target)
        standing, turn = renewed(before, standing_of(found, self._max_age))
        closed: tuple[Finding, ...] = ()
        if self._doors is not None:
            standing, closed = self._doors.closing(before, standing)
        told = self._doors.messages(standing, closed) if self._doors is not None else ()
        if await self._kept.keep(standing, turn, told):
            self.ages[target] = standing
        return standing


def standing_of(found: Examination, good_for: timedelta) -> Standing:
    """What one look says about the target until the next."""
    case, verdict = found.case, found.verdict
    return Standing(
        target=case.target,
        answer=verdict.worst,
        way=case.way,
        recommended=verdict.recommended,
        because=verdict.because,
        says=_says(verdict, found.says),
        suspect=case.suspect,
        goal=case.goal,
        findings=verdict.findings,
        as_of=verdict.as_of,
        since=verdict.as_of,
        good_for=good_for,
        policy=case.policy.version,
    )


def _says(verdict: Verdict, otherwise: str) -> str:
    """The sentence of what is worst; where nothing is in the way, why these releases."""
    if verdict.worst is Answer.PASS:
        return otherwise
    return next((one.says for one in verdict.of(verdict.worst)), otherwise)
