"""What a hold keeps away, and how a newer release is told from it: bad is what differs, not a commit id (promise 7). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.difference import Content, Likeness, Own, recognise
from service.domain.model import Release

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRelease:
    """One release that a hold keeps away, since when and by which operation.

    `against` is the good release that it was left for. `bad` is what only the held one has; None until both could be compared, and then for ever, for
    what they render to may not be had later. Without a release (a record of an older version) nothing can be compared.
    """

    key: str
    since: datetime
    operation_id: str = ""
    release: Release | None = None
    against: Release | None = None
    bad: Own | None = None

    @property
    def title(self) -> str:
        """What a person reads."""
        return self.release.title if self.release else self.key


class Standing(StrEnum):
    """What a release is to a hold."""

    HELD = "held"
    STILL_BAD = "still_bad"
    UNKNOWN = "unknown"
    CANDIDATE = "candidate"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A release held against every release that a hold keeps away, in one sentence."""

    standing: Standing
    says: str


def judge(content: Content, held: Sequence[HeldRelease]) -> Judged:
    """Whether the release still has anything that only a held one has. Each held release counts: a newer fix may bring an older fault back.

    What cannot be compared with one of them is unknown, unless another one settles it.
    """
    if not held:
        return Judged(standing=Standing.UNKNOWN, says="nothing is held, so nothing can be compared")
    doubts: list[str] = []
    differs: list[str] = []
    for one in held:
        if one.bad is None:
            doubts.append(f"what only release {one.title} has is not known yet")
            continue
        found = recognise(content, one.bad)
        match found.likeness:
            case Likeness.SAME | Likeness.PARTLY:
                return Judged(standing=Standing.STILL_BAD, says=f"compared with release {one.title}, {found.says}")
            case Likeness.UNKNOWN:
                doubts.append(f"compared with release {one.title}, {found.says}")
            case Likeness.NONE:
                differs.append(f"compared with release {one.title}, {found.says}")
    if doubts:
        return Judged(standing=Standing.UNKNOWN, says="; ".join(doubts))
    return Judged(standing=Standing.CANDIDATE, says="; ".join(differs))


def next_review(reviewed: int, now: datetime, review: timedelta) -> datetime:
    """When a person should look again after `reviewed` reviews that came and went: each time half as long, a day at least (or `review`, if shorter)."""
    halved = timedelta(seconds=review.total_seconds() / 2 ** min(reviewed, 16))
    return now + max(min(review, DAY), halved)


def loudness(reviewed: int) -> str:
    """How loud the message about the review is: notice, warning, critical."""
    return ("notice", "warning", "critical")[min(reviewed, 3) - 1] if reviewed > 0 else "notice"
