"""Which release is under suspicion, and which one was good: the last *good* one, not the one before. Pure.

Good is what our own record says: healthy for long enough while it lived, and no trouble that went on until the next release replaced it.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.domain.model import Release, ReleaseRecord

SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One alert's firing on the target as it was told: from when to when; `until` is None while it fires."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """The release under suspicion and the last *good* one before it, or None with the reason. `suspects` holds every deploy in the window, newest first.

    `passed_over` are the releases between both that were never good: they are as little a place to go to, and held away with the suspect.
    """

    suspect: Release | None
    goal: Release | None
    says: str
    suspects: tuple[Release, ...] = ()
    passed_over: tuple[Release, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a target ran, newest first. `attempted` is a release that is in no history while part of it is live, with the sentence of how that came.

    `live` is what runs by the delivery system's word where its history holds nothing at all.
    """

    history: Sequence[Release]
    attempted: Release | None = None
    attempted_says: str = ""
    live: Release | None = None

    @property
    def newest_first(self) -> tuple[Release, ...]:
        """All of them."""
        first = (self.attempted,) if self.attempted else ()
        return (*first, *self.history) or ((self.live,) if self.live else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What Backout knows of the releases. `least` is for how long a good release was healthy; `held` are keys, `made_by_backout` handles."""

    records: Mapping[str, ReleaseRecord]
    troubles: Sequence[Trouble] = ()
    least: timedelta = timedelta(0)
    held: Iterable[str] = ()
    made_by_backout: Iterable[str] = ()


def seen_since(live: Release, records: Mapping[str, ReleaseRecord]) -> Release:
    """What is live where no history is kept, from the time on that Backout saw it live, if that is before the time of the last operation.

    That operation may be the healing of a release that came long before it, or the same release once more: neither is a deploy of something new.
    """
    mine = records.get(live.key)
    if mine is None:
        return live
    others_gone = (one.live_until for one in records.values() if one.key != live.key and one.live_until is not None)
    return replace(live, started_at=min(live.started_at, max([mine.watched_from, *others_gone])))


def find_suspect(deployed: Deployed, memory: Memory, *, began: datetime | None, window: timedelta) -> Suspicion:
    """Blame the live release if its deploy lies in the window before the onset; go back to the last good one before it.

    `began` is None when a person asks without an incident: then the live release is the one to leave. A release that Backout made is never suspect; a
    held release is never a goal. A goal that nobody can vouch for is taken only where none was seen good. A person may ask again for a rollback of ours that
    ended half done: what it was to replace is the one to leave.
    """
    every = deployed.newest_first
    if not every:
        return Suspicion(suspect=None, goal=None, says="the delivery system remembers no release of this target")
    live, made_by_backout = every[0], set(memory.made_by_backout)
    half_done = live is deployed.attempted and live.by.kind == "service"
    if half_done and began is None and deployed.history and deployed.history[0].handle not in made_by_backout:
        blamed = f"was to be left for release {live.title}, which is live in part: {deployed.attempted_says}"
        return _with_goal(replace(deployed, attempted=None), memory, deployed.history[0], (), blamed=blamed)
    if half_done or (live.handle and live.handle in made_by_backout):
        return Suspicion(suspect=None, goal=None, says=f"release {live.title} was put there by Backout; going back from a rollback is for a person")
    in_window: tuple[Release, ...] = ()
    if began is not None:
        in_window = tuple(r for r in every if began - window <= r.started_at <= began)
        why_not = _not_blamed(deployed, live, in_window, began, window)
        if why_not:
            late = in_window if live.started_at > began else ()
            return Suspicion(suspect=None, goal=None, suspects=late, says=why_not)
    return _with_goal(deployed, memory, live, in_window, blamed="is under suspicion" if began is not None else "is what runs")


def _not_blamed(deployed: Deployed, live: Release, in_window: Sequence[Release], began: datetime, window: timedelta) -> str:
    tried = live is deployed.attempted
    if live.started_at > began:
        if tried:
            return f"{deployed.attempted_says}; it began after the trouble did, and part of it may be live: a person has to say what runs"
        return f"release {live.title} went live after the trouble began: it is not the cause"
    if live not in in_window:
        hours = window.total_seconds() / 3600
        told = f" ({deployed.attempted_says}; part of it may be live)" if tried else ""
        return f"no deploy within {hours:g} h before the trouble began: a deploy is hardly the cause{told}"
    return ""


def _with_goal(deployed: Deployed, memory: Memory, live: Release, in_window: Sequence[Release], *, blamed: str) -> Suspicion:
    every, barred = deployed.newest_first, set(memory.held)
    earlier = [(release, newer) for newer, release in itertools.pairwise(every) if release.key != live.key and release.key not in barred]
    bad = {id(release): why for release, newer in earlier if (why := _never_good(release, newer, memory, in_window))}
    candidates = [release for release, _ in earlier if id(release) not in bad]
    goal = (
        next((one for one in candidates if _healthy_for(one, memory) >= max(memory.least, timedelta.resolution)), None)
        or next((one for one in candidates if _healthy_for(one, memory)), None)
        or next(iter(candidates), None)
        or _remembered(every, memory, live)
    )
    blamed = f"release {live.title} {blamed}"
    if live is deployed.attempted:
        blamed += f", though it is in no history: {deployed.attempted_says}, and part of it is live"
    if goal is None:
        return Suspicion(suspect=live, goal=None, suspects=tuple(in_window), says=f"{blamed}, but no earlier release is known to go back to")
    newer_than_goal = _newer_than(goal, [release for release, _ in earlier])
    passed = [release for release in newer_than_goal if id(release) in bad and release.key != goal.key]
    unsure = [release for release in newer_than_goal if id(release) not in bad and release.key != goal.key]
    says = f"{blamed}; back to release {goal.title}"
    if not goal.handle:
        says += ", which is no longer in the history"
    for release in passed[:SHOWN]:
        says += f"; release {release.title} is passed over: {bad[id(release)]}"
    if unsure:
        says += f"; release {unsure[0].title} is passed over: Backout never saw it healthy"
    once = {release.key: release for release in passed}
    return Suspicion(suspect=live, goal=goal, suspects=tuple(in_window), says=says, passed_over=tuple(once.values()))


def _newer_than(goal: Release, earlier: Sequence[Release]) -> list[Release]:
    found: list[Release] = []
    for release in earlier:
        if release is goal:
            return found
        found.append(release)
    return found


def _never_good(release: Release, newer: Release, memory: Memory, in_window: Sequence[Release]) -> str:
    """Why the release, which `newer` replaced, was never good; "" when it was, or when nobody can say."""
    for trouble in memory.troubles:
        if release.started_at <= trouble.since < newer.started_at and (trouble.until is None or trouble.until > newer.started_at):
            return f"an alert began while it was live, at {trouble.since:%H:%M:%S}, and still fired when it was replaced"
    record = memory.records.get(release.key)
    if record is None:
        return ""
    if record.last_health in {"Degraded", "Missing"}:
        return f"it was {record.last_health} when Backout last saw it live"
    if release in in_window and record.healthy_for < memory.least:
        return f"it was healthy for {int(record.healthy_for.total_seconds())} s only before the next one came"
    return ""


def _healthy_for(release: Release, memory: Memory) -> timedelta:
    record = memory.records.get(release.key)
    return record.healthy_for if record else timedelta(0)


def _remembered(every: Sequence[Release], memory: Memory, live: Release) -> Release | None:
    """The last good release by our own record that the delivery system remembers no more: it names it by no handle, and cannot go there by itself."""
    there, barred = {release.key for release in every}, {*memory.held, live.key}
    good = [
        record
        for record in memory.records.values()
        if record.key not in there | barred
        and record.sources
        and record.healthy_for >= max(memory.least, timedelta.resolution)
        and record.last_health not in {"Degraded", "Missing"}
    ]
    if not good:
        return None
    last = max(good, key=lambda record: record.watched_until)
    return Release(
        target=last.target,
        key=last.key,
        handle="",
        sources=last.sources,
        version=last.version,
        started_at=last.watched_from,
        deployed_at=last.watched_from,
        by=live.by,
    )
