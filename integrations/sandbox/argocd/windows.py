"""Sync windows: which are assigned to an application, which are active now, and whether a sync may run (contract 4.5).

A project's windows are plain mappings as the project stores them. Time comes in as an argument.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

from integrations.sandbox.argocd.status import Json

_NAMES: Final = [
    {},
    {},
    {},
    {name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)},
    {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])},
]
_RANGES: Final = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration(text: str) -> timedelta:
    """A Go duration such as `1h30m`. ValueError when it is none."""
    if not re.fullmatch(r"(\d+(\.\d+)?(h|ms|m|s))+", text):
        raise ValueError(f'time: invalid duration "{text}"')
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)(h|ms|m|s)", text)))


def ticks_after(schedule: str, after: datetime) -> Iterator[datetime]:
    """Minutes at which a five-field cron schedule fires, strictly after `after`. ValueError when the schedule is none."""
    if schedule.startswith("@"):
        raise ValueError(f"parser does not accept descriptors: {schedule}")
    fields = schedule.split()
    if len(fields) != len(_RANGES):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{schedule}]")
    minutes, hours, days, months, weekdays = (_field(text, place) for place, text in enumerate(fields))
    either = fields[2] != "*" and fields[4] != "*"  # cron's own oddity: both days given means either
    at = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = at + timedelta(days=366 * 5)
    while at < end:
        in_month, in_week = at.day in days, at.isoweekday() % 7 in weekdays
        if at.month not in months or not ((in_month or in_week) if either else (in_month and in_week)):
            at = at.replace(hour=0, minute=0) + timedelta(days=1)
        elif at.hour not in hours:
            at = at.replace(minute=0) + timedelta(hours=1)
        else:
            if at.minute in minutes:
                yield at
            at += timedelta(minutes=1)


def _field(text: str, place: int) -> set[int]:
    low, high = _RANGES[place]
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span in {"*", "?"}:
            first, last = low, high
        else:
            start, _, stop = span.partition("-")
            first = _number(start, place)
            last = _number(stop, place) if stop else (high if step else first)
        if not low <= first <= last <= high:
            raise ValueError(f"end of range ({last}) above maximum ({high}): {part}")
        found |= set(range(first, last + 1, int(step or 1)))
    return found


def _number(text: str, place: int) -> int:
    names: dict[str, int] = _NAMES[place]
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdecimal():
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def is_active(window: Json, now: datetime) -> bool:
    """Whether the window stands open at `now`."""
    here = now.astimezone(ZoneInfo(window["timeZone"]) if window.get("timeZone") else UTC)
    first = next(ticks_after(window["schedule"], here - duration(window["duration"])), None)
    return first is not None and first <= here


def assigned(windows: list[Json], app: Json) -> list[Json]:
    """Windows of the project that name this application, its namespace or its cluster."""
    return [window for window in windows if _matches(window, app)]


def _matches(window: Json, app: Json) -> bool:
    destination = app["spec"].get("destination", {})
    told = [
        (window.get("applications"), [app["metadata"]["name"]]),
        (window.get("namespaces"), [destination.get("namespace", "")]),
        (window.get("clusters"), [destination.get("server", ""), destination.get("name", "")]),
    ]
    hits = [any(fnmatchcase(name, pattern) for pattern in patterns for name in names if name) for patterns, names in told if patterns]
    return bool(hits) and (all(hits) if window.get("andOperator") else any(hits))


def may_sync(windows: list[Json], *, manual: bool, now: datetime) -> bool:
    """Argo CD's rule over the assigned windows: active deny first, then active allow, then the allow windows that are shut."""
    active = [window for window in windows if is_active(window, now)]
    denies = [window for window in active if window["kind"] == "deny"]
    if denies:
        return manual and all(window.get("manualSync", False) for window in denies)
    if any(window["kind"] == "allow" for window in active):
        return True
    shut = [window for window in windows if window["kind"] == "allow"]
    return not shut or (manual and all(window.get("manualSync", False) for window in shut))


def shown(window: Json) -> Json:
    """The four fields that an application's window list gives."""
    return {"kind": window["kind"], "schedule": window["schedule"], "duration": window["duration"], "manualSync": bool(window.get("manualSync", False))}
