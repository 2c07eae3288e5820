"""What was read from a real source, or why it could not be: a snapshot in which absence is a value, so that no rule can forget it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where a fact comes from; what an auditor needs to read it again."""

    source: str
    what: str
    read_at: datetime
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Generic[T]):
    """A value with its evidence, and how long it may be believed after `evidence.read_at`."""

    value: T
    evidence: Evidence
    good_for: timedelta


@dataclass(frozen=True, slots=True)
class Absent:
    """Nobody could find out. `why` completes the sentence "unknown, because …"; `clears` says what would change that."""

    why: str
    clears: str = ""


Fact = Known[T] | Absent


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """Names one fact and the type of its value; the constructors stand in `keys.py`."""

    kind: str
    subject: Hashable = ""

    def __str__(self) -> str:
        parts = self.subject if isinstance(self.subject, tuple) else (self.subject,)
        about = ", ".join(_say(part) for part in parts if part not in {"", None, ()})
        return f"{self.kind} of {about}" if about else self.kind


def _say(part: Hashable) -> str:
    """A subject's part for a person: label pairs read `{a=b, c=d}`."""
    if isinstance(part, tuple):
        return "{" + ", ".join("=".join(map(str, pair)) if isinstance(pair, tuple) else str(pair) for pair in part) + "}"
    return str(part)


@dataclass(frozen=True, slots=True)
class Facts:
    """An immutable snapshot. Asking for what was never gathered, or is too old, answers Absent: there is no third way."""

    known: Mapping[Key[Any], Fact[Any]]
    now: datetime

    def read(self, key: Key[T]) -> Fact[T]:
        """The fact, if it was gathered and still holds; else Absent with the reason."""
        fact: Fact[T] = self.known.get(key, Absent(f"nobody was asked for the {key}"))
        if isinstance(fact, Known):
            age = self.now - fact.evidence.read_at
            if -age > fact.good_for:
                return Absent(f"the {key} was read {int(-age.total_seconds())} s in the future: the clock was set back")
            if age > fact.good_for:
                return Absent(f"the {key} was read {int(age.total_seconds())} s ago and holds for {int(fact.good_for.total_seconds())} s")
        return fact
