"""Watches the targets of each instance: the list cheaply and often, a target closely when its stamp changed; records releases while they live.

Image digests and health can only be had while a release lives, so they are written down now, for the day they are needed. Polls behind the port that a
watch stream will use later.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.domain import keys
from service.domain.errors import BackoutError
from service.domain.facts import Absent
from service.domain.model import Image, ReleaseRecord, TargetId
from service.domain.ports import Clock, Delivery, ListedTarget, Targets
from service.workflow.gather import Gatherer

HEALTHY = "Healthy"
AT_ONCE = 8
GAP = timedelta(minutes=2)
"""Longer than this between two looks counts as not watched."""


@dataclass(slots=True)
class Freshness:
    """When an instance was last listed in full, and why not since then ("" = all is well)."""

    listed_at: datetime | None = None
    complete: bool = False
    trouble: str = ""
    beaten_at: datetime | None = None


class Watcher:
    """Keeps `Targets` true to the delivery instances. One `round` a poll; trouble with one instance or target never stops the others."""

    def __init__(
        self,
        *,
        deliveries: Mapping[str, Delivery],
        targets: Targets,
        gatherer: Gatherer,
        clock: Clock,
        beat: timedelta = timedelta(seconds=15),
        freshness: dict[str, Freshness] | None = None,
    ) -> None:
        self._deliveries = deliveries
        self._gatherer = gatherer
        self._targets = targets
        self._clock = clock
        self._beat = beat
        self.freshness = freshness if freshness is not None else {}
        for name in deliveries:
            self.freshness.setdefault(name, Freshness())

    async def round(self) -> None:
        """List every instance once and look closely at what changed."""
        await asyncio.gather(*(self._instance(name, delivery) for name, delivery in self._deliveries.items()))

    async def _instance(self, name: str, delivery: Delivery) -> None:
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
        places = asyncio.Semaphore(AT_ONCE)

        async def one(listed: ListedTarget) -> None:
            async with places:
                try:
                    await self._look(delivery, listed)
                except BackoutError as error:
                    fresh.trouble = f"{listed.target}: {error}"

        await asyncio.gather(*(one(listed) for listed in changed))
        if fresh.beaten_at is None or now - fresh.beaten_at >= self._beat:
            fresh.beaten_at = now
            looked = {listed.target for listed in changed}
            for listed in listing.targets:
                if listed.target not in looked:
                    await self._still(listed, now)

    async def look(self, target: TargetId) -> keys.TargetState:
        """Look at one target now and record what is seen."""
        delivery = self._deliveries[target.instance]
        state = await delivery.look(target)
        pods = await delivery.read(keys.pods(target))
        now = self._clock.now()
        before = await self._targets.records(target)
        records = _records(state, None if isinstance(pods, Absent) else pods.value, before, now)
        await self._targets.remember_state(state, [await self._named(record) for record in records], now)
        return state

    async def _named(self, record: ReleaseRecord) -> ReleaseRecord:
        """With the version that its image says it is, for people to read."""
        exact = next((image.exact for image in record.images or () if image.exact), None)
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

    async def _still(self, listed: ListedTarget, now: datetime) -> None:
        """Nothing changed since the last look: the live release lived on in the same health."""
        records = await self._targets.records(listed.target)
        live = [r for r in records.values() if r.live_until is None]
        if len(live) != 1 or not live[0].vouched:
            return
        await self._targets.remember_state_record(_lived_on(live[0], listed.health, now))


def _records(state: keys.TargetState, pods: Sequence[keys.Pod] | None, before: Mapping[str, ReleaseRecord], now: datetime) -> list[ReleaseRecord]:
    """The records that one look changes: the live release lived on, every other one is over."""
    live = state.current
    changed = [replace(r, live_until=now) for r in before.values() if r.live_until is None and (live is None or r.key != live.key)]
    if live is None:
        return changed
    sure = state.settled and not state.failed_newer and state.running is None
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
            last_health=state.health,
            vouched=sure,
        )
    elif not sure:  # half of another release may run: its health is not this release's
        fresh = replace(known, handle=live.handle, watched_until=now, vouched=False)
    else:
        fresh = replace(_lived_on(known, state.health, now), handle=live.handle, version=live.version or known.version)
    images = _agreed(pods) if sure and state.health == HEALTHY and pods else None
    changed.append(replace(fresh, images=_together(fresh.images, images)))
    return changed


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
        if not pod.ready:
            return None
        for image in pod.images:
            by_repository.setdefault(image.repository, set()).add(image)
    if not by_repository or any(len({i.digest for i in images}) != 1 or None in {i.digest for i in images} for images in by_repository.values()):
        return None
    return tuple(sorted((next(iter(images)) for images in by_repository.values()), key=lambda i: i.reference))
