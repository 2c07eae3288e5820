"""Which incidents have one cause: their suspect releases have something in common, and they began at about the same time.

It says what belongs together, for the people who look; it lets nothing act and stops nothing (that many targets burn at once is `wide_outage`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.model import Release, TargetId

BEGAN_TOGETHER = timedelta(minutes=5)
"""Alerts of one cause begin within so long of each other: rules look a minute apart, and each has a `for` of its own."""

LIVE_TOGETHER = timedelta(minutes=2)
"""Releases that began to go live within so long of each other, in one delivery system, went out together."""

SHORT = 7

DIGEST = "sha256:"
"""How the revision of an image, or of a chart that is kept like one, begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burning:
    """An open incident whose suspect is known. `began_at` is when its first alert began."""

    incident_id: str
    group_id: str
    target: TargetId
    opened_at: datetime
    began_at: datetime
    suspect: Release


def one_cause(one: Burning, other: Burning) -> str:
    """Why both have one cause, in words; "" when nothing speaks for it."""
    if one.incident_id == other.incident_id or abs(one.began_at - other.began_at) > BEGAN_TOGETHER:
        return ""
    theirs = {(source.repository, source.revision) for source in (*other.suspect.sources, *other.suspect.built_from)}
    for source in (*one.suspect.sources, *one.suspect.built_from):
        if not source.revision or (source.repository, source.revision) not in theirs:
            continue
        if source.revision.startswith(DIGEST):
            return f"their suspect releases have one image, {source.repository}@{source.revision[: len(DIGEST) + SHORT]}"
        return f"their suspect releases come from one revision, {source.revision[:SHORT]}"
    apart = abs(one.suspect.started_at - other.suspect.started_at)
    if one.target.instance == other.target.instance and apart <= LIVE_TOGETHER:
        return f"their suspect releases went live {apart.total_seconds():.0f} s apart in {one.target.instance}"
    return ""


def same_cause(mine: Burning, burning: Sequence[Burning]) -> tuple[tuple[Burning, str], ...]:
    """Those of the same cause, each with the reason; one that was joined before stays joined, whatever its suspect is by now."""
    found = []
    for other in burning:
        why = one_cause(mine, other)
        if not why and other.group_id == mine.group_id and other.incident_id != mine.incident_id:
            why = "they were joined before"
        if why:
            found.append((other, why))
    return tuple(found)


def says(others: Sequence[tuple[Burning, str]], *, at_most: int = 5) -> str:
    """`2 other targets burn for the same cause (…): prod:cart, prod:web.`; "" when there is none."""
    if not others:
        return ""
    names = [str(other.target) for other, _ in others]
    shown = ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")
    whys = "; ".join(dict.fromkeys(why for _, why in others[:at_most]))
    burn = "1 other target burns" if len(names) == 1 else f"{len(names)} other targets burn"
    return f"{burn} for the same cause ({whys}): {shown}."
