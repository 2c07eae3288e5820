"""Watches the targets of each instance: the list cheaply, a target closely when its stamp changed or a hint names it; records releases while they live.

Image digests and health can only be had while a release lives, so they are written down now, for the day they are needed. Hints (`Delivery.changes`) make
it look sooner; what is believed is only ever what was then read, and the list goes on as the safety net under a stream that loses what it likes.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain import difference, keys
from service.domain.difference import Content, Digests
from service.domain.errors import BackoutError, TemporaryError
from service.domain.facts import Absent
from service.domain.model import Image, Release, ReleaseRecord, Source, TargetId
from service.domain.ports import Clock, Delivery, ListedTarget, Targets
from service.workflow.gather import Gatherer

HEALTHY = "Healthy"
MISSING = "Missing"
"""Some object is wanted and not there."""
AT_ONCE = 8
SHORT = 19
"""So much of a digest tells two apart."""
GAP = timedelta(minutes=2)
"""Longer than this between two looks counts as not watched."""
LOOKS = 5
"""So often a look is begun anew in which another process on the same store was faster."""
SELDOM = 3
"""So many times `every` lie between two lists while hints come."""
CALM = timedelta(seconds=1)
"""A target is not looked at again sooner than this for a hint; a list is read once hints for one have been silent this long."""
FOLLOW_UPS = 5
"""So often a target is looked at again by itself after a hint, within half a minute, when the look left something open; an unsettled one on and on."""
MOST_DOUBLINGS = 20
"""Of the pause between such looks: a target may not settle for days, and these are twelve days already."""
PATIENCE = timedelta(seconds=5)
"""A list that hints ask for is not put off longer than this."""
FIRST_PAUSE, LONGEST_PAUSE, LIVED = timedelta(seconds=1), timedelta(seconds=60), timedelta(seconds=60)
"""Before hints are asked for again: the first pause doubles up to the longest; a connection that lived long begins anew with the first."""


class Stream(StrEnum):
    """Whether an instance tells by itself what changes: `off` = no, it is only polled; `up` = it does; `down` = it should and does not."""

    OFF = "off"
    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class Freshness:
    """When an instance was last listed in full, and why not since then ("" = all is well); whether it streams hints, since when, and why not."""

    listed_at: datetime | None = None
    complete: bool = False
    trouble: str = ""
    beaten_at: datetime | None = None
    stream: Stream = Stream.OFF
    stream_since: datetime | None = None
    stream_trouble: str = ""

    def stream_is(self, stream: Stream, now: datetime, trouble: str = "") -> None:
        """Note that hints come from now on, or not."""
        if stream is not self.stream:
            self.stream, self.stream_since = stream, now
        self.stream_trouble = trouble


@dataclass(slots=True)
class _Hints:
    """What hints ask for: a list, with the time of the first and the newest wish; targets, with the time from which each may be looked at."""

    list_first: datetime | None = None
    list_newest: datetime | None = None
    targets: dict[TargetId, datetime] = field(default_factory=dict)
    looked: dict[TargetId, datetime] = field(default_factory=dict)
    unsure: dict[TargetId, int] = field(default_factory=dict)

    def want_list(self, now: datetime) -> None:
        self.list_first, self.list_newest = self.list_first or now, now

    def want(self, target: TargetId, now: datetime) -> None:
        self.unsure.pop(target, None)
        self.targets.setdefault(target, max(now, self.looked.get(target, now - CALM) + CALM))

    def want_again(self, target: TargetId, now: datetime, every: timedelta, *, for_ever: bool) -> None:
        """The look was no final one, and no hint need come when a later one would be: look again, later and later."""
        count = self.unsure.get(target, 0)
        if for_ever or count < FOLLOW_UPS:
            self.unsure[target] = count + 1
            self.targets.setdefault(target, now + min(CALM * 2 ** min(count, MOST_DOUBLINGS), every))

    def list_is_due(self, now: datetime) -> bool:
        first, newest = self.list_first, self.list_newest
        return first is not None and newest is not None and (_passed(newest, CALM, now) or _passed(first, PATIENCE, now))

    def take(self, now: datetime, longest: timedelta) -> list[TargetId]:
        """The targets that are due, put off by `longest` at most; none of them is due again before `CALM` has passed."""
        due = [target for target, at in self.targets.items() if _passed(at - longest, longest, now)]
        for target in due:
            del self.targets[target]
        self.looked = {target: at for target, at in self.looked.items() if not _passed(at, CALM, now)} | dict.fromkeys(due, now)
        return due


def _passed(since: datetime, time: timedelta, now: datetime) -> bool:
    """Whether that much time has passed since then; a clock that was set back before it counts as yes, or nothing would be looked at for as long."""
    return not since <= now < since + time


class Watcher:
    """Keeps `Targets` true to the delivery instances. One `round` a poll; trouble with one instance or target never stops the others.

    `hear` and `heed` belong together, one pair an instance: the first only takes hints down, so that it can be cancelled at any time; the second acts on
    them.
    """

    def __init__(
        self,
        *,
        deliveries: Mapping[str, Delivery],
        targets: Targets,
        gatherer: Gatherer,
        clock: Clock,
        every: timedelta = timedelta(seconds=10),
        beat: timedelta = timedelta(seconds=15),
        freshness: dict[str, Freshness] | None = None,
        jitter: Callable[[], float] = random.random,
        changed: Callable[[TargetId], None] = lambda _: None,
    ) -> None:
        self._deliveries = deliveries
        self._every = every
        self._jitter = jitter
        self._changed = changed
        self._hints = {name: _Hints() for name in deliveries}
        self._places = {name: asyncio.Semaphore(AT_ONCE) for name in deliveries}
        self._listing = {name: asyncio.Lock() for name in deliveries}
        self._looking: dict[TargetId, asyncio.Lock] = {}
        self._gatherer = gatherer
        self._targets = targets
        self._clock = clock
        self._beat = beat
        self.freshness = freshness if freshness is not None else {}
        for name in deliveries:
            self.freshness.setdefault(name, Freshness())

    async def round(self) -> None:
        """List every instance once and look closely at what changed; more seldom those whose hints come."""
        await asyncio.gather(*(self._instance(name) for name in self._deliveries if self._is_due(name)))

    def _is_due(self, name: str) -> bool:
        fresh = self.freshness[name]
        if fresh.stream is not Stream.UP or fresh.listed_at is None or fresh.trouble:
            return True
        return _passed(fresh.listed_at, (SELDOM - 0.5) * self._every, self._clock.now())

    async def hear(self, name: str) -> None:
        """Take the instance's hints down, over one connection after another; returns only if it tells nothing. Never more than one connection is open."""
        fresh, pause = self.freshness[name], FIRST_PAUSE
        while (changes := self._deliveries[name].changes()) is not None:
            began, why = self._clock.now(), "it ended"
            if fresh.stream is Stream.OFF:
                fresh.stream_is(Stream.DOWN, began, "not connected yet")
            try:
                async with aclosing(changes) as hints:  # type: ignore[type-var]  # an iterator that the port promises to be closable
                    async for hint in hints:
                        self._hear_one(name, hint)
            except BackoutError as error:
                why = str(error)
            now = self._clock.now()
            fresh.stream_is(Stream.DOWN, now, why)
            pause = FIRST_PAUSE if now - began >= LIVED else pause
            await self._clock.sleep(pause.total_seconds() * (0.5 + self._jitter()))
            pause = min(2 * pause, LONGEST_PAUSE)
        fresh.stream_is(Stream.OFF, self._clock.now())

    def list_again(self, name: str) -> None:
        """Something may have happened there: list the instance soon, once for however many say so."""
        self._hints[name].want_list(self._clock.now())

    def _hear_one(self, name: str, hint: TargetId | None) -> None:
        now = self._clock.now()
        self.freshness[name].stream_is(Stream.UP, now)
        if hint is None:
            self._hints[name].want_list(now)
        else:
            self._hints[name].want(hint, now)

    async def heed(self, name: str) -> None:
        """Look at what hints asked for and is due."""
        hints, fresh = self._hints[name], self.freshness[name]
        if hints.list_is_due(self._clock.now()):
            hints.list_first = hints.list_newest = None
            await self._instance(name)

        async def one(target: TargetId) -> None:
            async with self._places[name]:
                try:
                    if await self._targets.listed(target) is None:
                        hints.want_list(self._clock.now())
                    else:
                        state = await self.look(target)
                        if state.settled and await self._is_told_in_full(state):
                            hints.unsure.pop(target, None)
                        else:
                            hints.want_again(target, self._clock.now(), self._every, for_ever=not state.settled)
                except BackoutError as error:
                    fresh.trouble = f"{target}: {error}"

        await asyncio.gather(*(one(target) for target in hints.take(self._clock.now(), max(self._every, CALM))))

    async def _is_told_in_full(self, state: keys.TargetState) -> bool:
        """Whether nothing is missing that the next seconds may bring: the images of what is live and healthy (old pods may still be ending)."""
        if state.health != HEALTHY:
            return True
        return all(record.images for record in (await self._targets.records(state.target)).values() if record.live_until is None)

    async def _instance(self, name: str) -> None:
        async with self._listing[name]:  # a list that hints ask for and the poll's own must not overtake each other
            await self._list(name, self._deliveries[name])

    async def _list(self, name: str, delivery: Delivery) -> None:
        fresh = self.freshness[name]
        now = self._clock.now()
        try:
            listing = await delivery.targets()
        except BackoutError as error:
            fresh.trouble = str(error)
            return
        fresh.complete, fresh.trouble = listing.complete, "" if listing.complete else listing.says
        changed = await self._targets.remember(listing, name, now)
        fresh.listed_at = now

        async def one(listed: ListedTarget) -> None:
            async with self._places[name]:
                try:
                    await self._look(delivery, listed)
                except BackoutError as error:
                    fresh.trouble = f"{listed.target}: {error}"

        await asyncio.gather(*(one(listed) for listed in changed))
        if fresh.beaten_at is None or now - fresh.beaten_at >= self._beat:
            fresh.beaten_at = now
            looked = {listed.target for listed in changed}
            await self._still([listed for listed in listing.targets if listed.target not in looked], now)

    async def look(self, target: TargetId) -> keys.TargetState:
        """Look at one target now and record what is seen; one look after another, or a slow one would write over what a later one saw."""
        async with self._looking.setdefault(target, asyncio.Lock()):
            return await self._look_now(target)

    async def _look_now(self, target: TargetId) -> keys.TargetState:
        delivery = self._deliveries[target.instance]
        for _ in range(LOOKS):
            before = await self._targets.records(target)  # first: what another process writes from here on is later than what we see
            state = await delivery.look(target)
            pods = await delivery.read(keys.pods(target))
            content = await self._content(delivery, state, before)
            objects = None if content is None or content.rendered is None else difference.digests(content.rendered)
            now = self._clock.now()
            records = _records(state, None if isinstance(pods, Absent) else pods.value, objects, before, now)
            if await self._targets.remember_state(state, [await self._named(record) for record in records], now, seen=before):
                if content is not None and content.images is not None and state.current is not None:
                    await self._targets.keep_content(state.target, state.current.key, content, replaces=_alike(state.current, before), at=now)
                self._changed(target)
                return state
        raise TemporaryError(f"{target} is looked at by another process all the time; looking again in a moment")

    @staticmethod
    async def _content(delivery: Delivery, state: keys.TargetState, before: Mapping[str, ReleaseRecord]) -> Content | None:
        """What the live release renders to, read once for each time it was deployed; None when that is known, or cannot be read."""
        live = state.current
        known = before.get(live.key) if live else None
        if live is None or not _sure(state) or (known is not None and known.objects is not None and known.handle == live.handle):
            return None
        rendered = await delivery.read(keys.manifests(state.target, live.key, live.handle))
        if isinstance(rendered, Absent):
            return None
        images = await delivery.read(keys.images(state.target, live.key, live.handle))
        return Content(images=None if isinstance(images, Absent) else images.value, rendered=rendered.value)

    async def _named(self, record: ReleaseRecord) -> ReleaseRecord:
        """With the version that its image says it is, for people to read."""
        exact = next((image.exact for image in record.images or () if image.exact and not image.of_machines), None)
        if record.version or exact is None:
            return record
        facts = await self._gatherer.facts(record.target, [keys.image_config(exact)])
        config = facts.read(keys.image_config(exact))
        return record if isinstance(config, Absent) else replace(record, version=config.value.version)

    async def _look(self, delivery: Delivery, listed: ListedTarget) -> None:
        del delivery
        state = await self.look(listed.target)
        if state.settled:  # else looked at again in the next round, for nothing in the list may change when it settles
            await self._targets.looked(listed.target, listed.stamp)

    async def _still(self, listed: Sequence[ListedTarget], now: datetime) -> None:
        """Nothing changed about these since the last look: their live releases lived on in the same health."""
        health = {one.target: one.health for one in listed}
        live: dict[TargetId, list[ReleaseRecord]] = {}
        for record in await self._targets.lives(tuple(health)):
            live.setdefault(record.target, []).append(record)
        sure = [records[0] for records in live.values() if len(records) == 1 and records[0].vouched]
        await self._targets.lived_on([(record, _lived_on(record, health[record.target], now)) for record in sure])


def _alike(live: Release, before: Mapping[str, ReleaseRecord]) -> tuple[str, ...]:
    """The releases that differ from the live one in nothing but revisions: the delivery system renders them whenever it renders that one."""

    def shape(sources: Sequence[Source]) -> list[tuple[str, str, str]]:
        return [(source.repository, source.path, source.parameters) for source in sources]

    return tuple(record.key for record in before.values() if record.key != live.key and shape(record.sources) == shape(live.sources))


def _sure(state: keys.TargetState) -> bool:
    """Whether what runs is the live release and nothing else."""
    return state.settled and not state.failed_newer and state.attempted is None and state.running is None


def _of_the_wanted(state: keys.TargetState) -> bool:
    """Whether its health tells of a release that is wanted and not live: one that brings a new object, which is missing until somebody deploys it."""
    return state.health == MISSING and state.current is not None and state.desired not in {(), state.current.sources}


def _records(
    state: keys.TargetState, pods: Sequence[keys.Pod] | None, objects: Digests | None, before: Mapping[str, ReleaseRecord], now: datetime
) -> list[ReleaseRecord]:
    """The records that one look changes: the live release lived on, every other one is over."""
    live = state.current
    changed = [replace(r, live_until=now) for r in before.values() if r.live_until is None and (live is None or r.key != live.key)]
    if live is None:
        return changed
    sure = _sure(state) and not _of_the_wanted(state)
    known = before.get(live.key)
    if known is None or known.live_until is not None:
        fresh = ReleaseRecord(
            target=state.target,
            key=live.key,
            handle=live.handle,
            version=live.version,
            images=known.images if known else None,
            watched_from=known.watched_from if known else now,
            watched_until=now,
            healthy_for=known.healthy_for if known else timedelta(0),
            last_health="" if _of_the_wanted(state) else state.health,
            vouched=sure,
            objects=known.objects if known else None,
            moved=known.moved if known else "",
        )
    elif not sure:  # half of another release may run, or one that is only wanted is missed: its health is not this release's
        fresh = replace(known, handle=live.handle, watched_until=now, vouched=False)
    else:
        fresh = replace(_lived_on(known, state.health, now), handle=live.handle, version=live.version or known.version)
    images = _agreed(pods) if sure and state.health == HEALTHY and pods else None
    kept = replace(
        fresh,
        images=_together(fresh.images, images),
        objects=fresh.objects if objects is None else objects,
        moved=fresh.moved or _moved(fresh, images, objects),
        sources=live.sources,
    )
    changed.append(replace(kept, fingerprint=difference.fingerprint(kept.images, kept.objects)))
    return changed


def _moved(record: ReleaseRecord, images: Sequence[Image] | None, objects: Digests | None) -> str:
    """What is another one under the same release than it was: the release names it, and the name was moved. "" when nothing was seen to be."""
    before = {image.repository: image.digest for image in record.images or () if image.digest}
    for image in images or ():
        old = before.get(image.repository)
        if old and image.digest and image.digest != old:
            return f"{image.repository} ran as {old[:SHORT]} and later as {image.digest[:SHORT]}"
    other = difference.changed(record.objects, objects) if record.objects is not None and objects is not None else ()
    return f"{other[0]} was rendered in two ways" if other else ""


def _together(before: tuple[Image, ...] | None, now: tuple[Image, ...] | None) -> tuple[Image, ...] | None:
    """What was recorded stays; an image that ran with another digest under the same release is known by none from then on (a moved tag, a wrong look)."""
    if before is None or now is None:
        return now if before is None else before
    kept = {image.repository: image for image in before}
    for image in now:
        old = kept.get(image.repository)
        kept[image.repository] = image if old is None else old if old.digest == image.digest else replace(old, digest=None, proof="")
    return tuple(sorted(kept.values(), key=lambda i: i.reference))


def _lived_on(record: ReleaseRecord, health: str, now: datetime) -> ReleaseRecord:
    gap = now - record.watched_until
    both = record.vouched and health == HEALTHY and record.last_health == HEALTHY and timedelta(0) <= gap <= GAP
    return replace(record, healthy_for=record.healthy_for + (gap if both else timedelta(0)), watched_until=now, last_health=health, vouched=True)


def _agreed(pods: Sequence[keys.Pod]) -> tuple[Image, ...] | None:
    """The images that all ready pods agree on, or None while a roll-out is under way or a digest is unknown."""
    by_repository: dict[str, set[Image]] = {}
    for pod in pods:
        if pod.retiring:
            continue
        if not pod.ready:
            return None
        for image in pod.images:
            by_repository.setdefault(image.repository, set()).add(image)
    if not by_repository or any(len({i.digest for i in images}) != 1 or None in {i.digest for i in images} for images in by_repository.values()):
        return None
    return tuple(sorted((next(iter(images)) for images in by_repository.values()), key=lambda i: i.reference))
