"""The statements that a release really runs, as its database counts them while it lives alone, and what they say of today's schema. Pure.

A set that grows: a statement belongs to it if the database's count of it rose between two readings through which the release lived alone. Only texts without
any value are kept: who keeps statements must not keep what people wrote into them. What is not in the set is not judged: the set is no bound of what the
release needs, as a catalogue is.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

MOST = 300
"""Statements of one release and database; what comes later is counted as left out."""
MOST_COUNTED = 10_000
"""Statements of which a database may tell the count; where there are more, nobody reads them."""
LONG_ENOUGH = timedelta(hours=24)
"""A release that was watched for less has not done all that it does in a day."""

PREPARED = ""
"""The code of a statement that could be prepared; others are the server's SQLSTATE."""
GONE: Mapping[str, str] = {
    "42P01": "a table is gone",
    "42703": "a column is gone",
    "42704": "a type is gone",
    "42883": "a function or operator is gone",
    "42804": "a type is another",
    "22P02": "a value is none of its type",
}
"""SQLSTATEs by which a statement that could be prepared once is broken now, in words. Any other code says nothing about the schema."""
PASSING = frozenset({"55P03", "57014", "40001", "40P01", "53300"})
"""SQLSTATEs of a moment: locked, out of time, in another's way."""

_STAR = re.compile(r"(?:\bSELECT|\bDISTINCT|\bALL|\bRETURNING|,|\.)\s*\*", re.IGNORECASE)
_SHOWN_TEXT = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A statement as the database counts it: its own name for it, how often it ran, and its text, "" where that may not be kept."""

    id: str
    calls: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Texts:
    """Statements to prepare, in order."""

    texts: tuple[str, ...]

    def __str__(self) -> str:
        return counted(len(self.texts), "statement")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStatement:
    """One statement of a release, when it was first and last seen to run, how often in all, and what preparing it said when it was first seen."""

    text: str
    first: datetime
    last: datetime
    calls: int
    then: str = PREPARED


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStatements:
    """What is kept of one release in one database.

    `since` is the first reading and `at` the last one; `watched` is how long in all the release lived alone between two readings. `left_out` are the database's
    names of what it ran besides and whose text may not be kept. `handle` is the deploy that was live, and `counts` what the database counted, at the last
    reading: after another deploy the counts are others' too.
    """

    since: datetime
    at: datetime
    handle: str
    watched: timedelta = timedelta(0)
    statements: tuple[OwnStatement, ...] = ()
    left_out: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def texts(self) -> Texts:
        """All of them, in order."""
        return Texts(tuple(one.text for one in self.statements))

    @property
    def digest(self) -> str:
        """The same for the same statements with the same outcome, however often they ran since."""
        return digest((one.text, one.then) for one in self.statements)


def fresh(kept: OwnStatements | None, read: Sequence[Counted], handle: str) -> Texts:
    """The statements that the release ran since the last reading and that are not kept yet: to be prepared before `observed`."""
    known = {one.text for one in kept.statements} if kept is not None else set[str]()
    new = dict.fromkeys(one.text for one, _ in _ran(kept, read, handle) if one.text and one.text not in known)
    return Texts(tuple(new)[: max(0, MOST - len(known))])


def observed(kept: OwnStatements | None, read: Sequence[Counted], handle: str, at: datetime, codes: Mapping[str, str]) -> OwnStatements:
    """What is known after one more reading; `codes` is what preparing the `fresh` ones said. What could not be said at the moment is left for the next one."""
    counts = {one.id: one.calls for one in read}
    if kept is None:
        return OwnStatements(since=at, at=at, handle=handle, counts=counts)
    statements, left_out = {one.text: one for one in kept.statements}, set(kept.left_out)
    for one, grown in _ran(kept, read, handle):
        mine = statements.get(one.text)
        if mine is not None:
            statements[one.text] = replace(mine, last=at, calls=mine.calls + grown)
        elif not one.text or one.text not in codes:
            left_out.add(one.id)
        elif codes[one.text] in PASSING:
            counts[one.id] = kept.counts.get(one.id, 0)
        else:
            statements[one.text] = OwnStatement(text=one.text, first=at, last=at, calls=grown, then=codes[one.text])
    watched = kept.watched + (max(at - kept.at, timedelta(0)) if kept.handle == handle else timedelta(0))
    return OwnStatements(
        since=kept.since,
        at=at,
        handle=handle,
        watched=watched,
        statements=tuple(statements.values()),
        left_out=frozenset(sorted(left_out)[:MOST_COUNTED]),
        counts=counts,
    )


def _ran(kept: OwnStatements | None, read: Sequence[Counted], handle: str) -> Iterable[tuple[Counted, int]]:
    """What ran since the last reading, and how often. Without a reading of the same deploy nobody can say; a count that fell began anew in between."""
    if kept is None or kept.handle != handle:
        return
    for one in read:
        was = kept.counts.get(one.id, 0)
        grown = one.calls - was if one.calls >= was else one.calls
        if grown:
            yield one, grown


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What preparing a release's statements today shows. Texts are shortened, with the reason behind them.

    `held` could be prepared then and now; `broken` could be prepared then and refer to what is gone now; `doubtful` could be prepared then, and nobody can say
    now; `never` could not be prepared even then. `stars` take whatever columns there are, so that one which is gone shows nowhere.
    """

    held: int
    broken: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    never: int = 0
    stars: int = 0


def judged(kept: OwnStatements, codes: Sequence[str]) -> Judged:
    """Each statement now against what it was when it was kept; `codes` in the order of `kept.texts`."""
    broken: list[str] = []
    doubtful: list[str] = []
    held = never = 0
    for one, code in zip(kept.statements, codes, strict=True):
        if one.then != PREPARED:
            never += 1
        elif code == PREPARED:
            held += 1
        elif code in GONE:
            broken.append(f"{shown(one.text)} ({GONE[code]})")
        else:
            doubtful.append(f"{shown(one.text)} ({code})")
    stars = sum(_STAR.search(one.text) is not None for one in kept.statements)
    return Judged(held=held, broken=tuple(broken), doubtful=tuple(doubtful), never=never, stars=stars)


def proves_unused(kept: OwnStatements, found: Judged) -> bool:
    """Whether the set is good enough to doubt that a release uses what is gone: all of a whole day, each could be prepared, and none takes whatever there is.

    It is no proof: what runs once a month was perhaps not seen. So it makes a no a question for a person, and never a yes.
    """
    blind = found.broken or found.doubtful or found.never or found.stars or kept.left_out
    return found.held > 0 and kept.watched >= LONG_ENOUGH and not blind


def digest(told: Iterable[object]) -> str:
    """The same for the same things in the same order, in every process."""
    return "sha256:" + hashlib.sha256("\0".join(repr(one) for one in told).encode()).hexdigest()


def shown(text: str) -> str:
    """A statement as a sentence shows it."""
    return text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT].rstrip()}…"


def counted(number: int, what: str) -> str:
    """`1 statement`, `312 statements`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
