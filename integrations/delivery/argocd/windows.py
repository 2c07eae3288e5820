"""Sync windows: whether an operation of ours may run now, and when that changes. Pure.

The server says which windows apply to an application and whether a manual sync may run (`/syncwindows`), but neither their time zones nor when they open
or close; zones stand in the project. The arithmetic is Argo CD's own (v3.2, `SyncWindow.active`): a window is active when its schedule, read in the
zone's offset of now, fired within its duration before now; daylight saving changes nothing in between.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from integrations.delivery.argocd.reading import Body, entries, text
from service.domain.errors import PermanentError
from service.domain.keys import Window

HORIZON = timedelta(days=60)
"""A change further away is told as none: nobody waits for it."""
MOST_FIRINGS = 3000
"""So many firings of one schedule are looked at: a window that fires each minute would keep us for long, and never ends."""

JUST_AFTER = timedelta(microseconds=1)
"""A window begins and ends just after the moment that is told."""

Spell = tuple[datetime, datetime]
"""From (excluded) and until (excluded), UTC."""

_NAMES = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "sun", "mon", "tue", "wed", "thu", "fri", "sat"}
_FIELD = re.compile(r"(\*|\?|(?P<low>\w+)(-(?P<high>\w+))?)(/\d+)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s|ms)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncWindow:
    """One window that applies to an application. `manual` lets what a person (or Backout) starts through."""

    allows: bool
    schedule: str
    duration: timedelta
    manual: bool
    zone: str = ""

    def __str__(self) -> str:
        kind = "allow" if self.allows else "deny"
        return f"{kind} at '{self.schedule}' for {_shown(self.duration)}{f' ({self.zone})' if self.zone else ''}"

    def spells(self, now: datetime, offset: timedelta) -> tuple[list[Spell], datetime]:
        """When it is active, from now to the horizon, overlapping spells joined; and until when that is known. The zone is `offset` ahead of UTC."""
        firing = croniter(self.schedule, (now - self.duration + offset).replace(tzinfo=None), max_years_between_matches=8)
        found: list[Spell] = []
        begin = now
        for _ in range(MOST_FIRINGS):
            try:
                begin = firing.get_next(datetime).replace(tzinfo=UTC) - offset
            except CroniterBadDateError:  # a date that never comes, such as the 30th of February
                return found, now + HORIZON
            if begin > now + HORIZON:
                return found, now + HORIZON
            if found and begin <= found[-1][1]:
                found[-1] = (found[-1][0], begin + self.duration)
            else:
                found.append((begin, begin + self.duration))
        return found, begin


def sync_windows(assigned: Sequence[Body], project: Sequence[Body]) -> tuple[SyncWindow, ...]:
    """The windows of an application, with the time zones that the project's list adds.

    Where several windows of the project fit one that is assigned, each of their zones counts. PermanentError for one that is not understood, or that
    the project does not have (any more).
    """
    return tuple(window for one in assigned for window in _with_zones(one, project))


def _with_zones(one: Body, project: Sequence[Body]) -> list[SyncWindow]:
    zones = sorted({text(other.get("timeZone")) for other in project if _identity(other) == _identity(one)})
    if not zones:
        raise PermanentError(f"the project has no window {text(one.get('kind'))} at '{text(one.get('schedule'))}'")
    return [_window(one, zone) for zone in zones]


def _identity(window: Body) -> tuple[str, str, str, bool]:
    return text(window.get("kind")), text(window.get("schedule")), text(window.get("duration")), bool(window.get("manualSync"))


def _window(one: Body, zone: str) -> SyncWindow:
    kind = text(one.get("kind"))
    if kind not in {"allow", "deny"}:
        raise PermanentError(f"a sync window is of kind {kind!r}, which is not known")
    return SyncWindow(
        allows=kind == "allow",
        schedule=_schedule(text(one.get("schedule"))),
        duration=_duration(text(one.get("duration"))),
        manual=bool(one.get("manualSync")),
        zone=zone,
    )


def _schedule(cron: str) -> str:
    """Five fields as Argo CD's parser reads them, checked before they reach a library that knows more."""
    fields = cron.lower().split()
    parts = [part for field in fields for part in field.split(",")]
    if len(fields) != 5 or not all(_is_field(part) for part in parts):  # noqa: PLR2004  minute, hour, day, month, day of the week
        raise PermanentError(f"a sync window has the schedule {cron!r}, which is not understood")
    plain = " ".join(fields).replace("?", "*")
    if not croniter.is_valid(plain):
        raise PermanentError(f"a sync window has the schedule {cron!r}, which is not understood")
    return plain


def _is_field(part: str) -> bool:
    found = _FIELD.fullmatch(part)
    return found is not None and all(end is None or end.isdecimal() or end in _NAMES for end in (found["low"], found["high"]))


def _duration(told: str) -> timedelta:
    """A Go duration such as `1h30m`."""
    if not re.fullmatch(f"({_DURATION.pattern})+", told):
        raise PermanentError(f"a sync window has the duration {told!r}, which is not understood")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(told)))


def _shown(duration: timedelta) -> str:
    minutes = int(duration.total_seconds() // 60)
    hours, rest = divmod(minutes, 60)
    return "".join((f"{hours}h" if hours else "", f"{rest}m" if rest or not hours else ""))


def changes_at(windows: Sequence[SyncWindow], now: datetime, *, free: bool, manual: bool = True) -> datetime | None:
    """When an operation may no longer run, or may run at last; None when that is not within the horizon. `manual`: a person, or Backout, started it.

    `free` is the server's own answer for now. PermanentError for an unknown time zone, and where the windows as read here say something else.
    """
    plan = [(window, *window.spells(now, _offset(window.zone, now))) for window in windows]
    known_until = min((until for _, _, until in plan), default=now)
    turns = sorted({turn for _, spells, _ in plan for spell in spells for turn in spell if now < turn <= known_until})
    active = [(window, spells) for window, spells, _ in plan]
    before = may_run(active, now, manual=manual)
    if before is not free:
        raise PermanentError(f"Argo CD says that an operation may {'' if free else 'not '}run now, and its windows do not say so")
    return next((turn for turn in turns if may_run(active, turn + JUST_AFTER, manual=manual) is not before), None)


def may_run(windows: Sequence[tuple[SyncWindow, Sequence[Spell]]], at: datetime, *, manual: bool) -> bool:
    """Argo CD's rule (contract 4.5): active denies first, then active allows, then the allows that are shut."""
    active = [window for window, spells in windows if any(begin < at < end for begin, end in spells)]
    denies = [window for window in active if not window.allows]
    if denies:
        return manual and all(window.manual for window in denies)
    if any(window.allows for window in active):
        return True
    allows = [window for window, _ in windows if window.allows]
    return not allows or (manual and all(window.manual for window in allows))


def _offset(zone: str, now: datetime) -> timedelta:
    """How far the zone is ahead of UTC now. Empty is UTC; one that is not known here may be known to Argo CD."""
    try:
        found = now.astimezone(ZoneInfo(zone or "UTC")).utcoffset()
    except (KeyError, ValueError, OSError) as error:
        raise PermanentError(f"a sync window is in the time zone {zone!r}, which is not known here") from error
    return found or timedelta(0)


def window_of(body: Body) -> Window | None:
    """Whether an operation of ours would run now, by the server's own answer; None when it does not say. `until` is not known yet."""
    if not isinstance(body.get("canSync"), bool):
        return None
    active = "; ".join(_says(window) for window in entries(body.get("activeWindows")))
    assigned = "; ".join(_says(window) for window in entries(body.get("assignedWindows")))
    automated = _lets_automated(body)
    if body["canSync"]:
        says = f"sync windows let a manual operation through ({assigned})" if assigned else "no sync window applies"
        return Window(open=True, says=says, automated=automated)
    return Window(open=False, says=f"a sync window is in the way: {active or f'outside of {assigned}'}", automated=automated)


def _lets_automated(body: Body) -> bool:
    """Whether an automated sync may run now: no deny is active, and an allow is, if there are any."""
    active = {text(window.get("kind")) for window in entries(body.get("activeWindows"))}
    return "deny" not in active and ("allow" in active or not any(text(w.get("kind")) == "allow" for w in entries(body.get("assignedWindows"))))


def _says(window: Body) -> str:
    return f"{text(window.get('kind'))} at '{text(window.get('schedule'))}' for {text(window.get('duration'))}"
