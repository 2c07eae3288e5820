"""Readiness: the standing verdict of a target, kept before any alert: "could it go back now, to what, and why not?".

A standing verdict says how old it is and how long it may be believed. Past that it is unknown, whatever it said: unknown is never safe.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.domain.model import Release, TargetId, Way
from service.domain.verdict import Answer, Finding

CLOCKS = timedelta(seconds=5)
"""So far the clocks of two replicas may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old a target's standing verdict is and by which policy it was made, without its findings: what is looked at over all targets."""

    target: TargetId
    answer: Answer
    as_of: datetime
    good_for: timedelta
    policy: str = ""

    def stale(self, now: datetime) -> bool:
        """Whether it is too old to be believed; one that was read in the future (a clock was set back) is so too."""
        return not -CLOCKS <= now - self.as_of <= self.good_for

    def at(self, now: datetime) -> Answer:
        """The answer now: what it said, or unknown when it is too old."""
        return Answer.UNKNOWN if self.stale(now) else self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Age):
    """What the rules last said about going back from what is live (`suspect`) to the last good release (`goal`); None where nobody could say which.

    `told` is the release over which there was no way back any more when that was last noticed, "" while there is one; it outlives an unknown.
    `as_of` is when its facts were read; it may be believed for `good_for` after that. `since` is when the answer became what it is. `says` is one
    sentence: what stands in the way, or why these releases; `because` why that way is recommended. `policy` is the version of the policy it was judged by.
    """

    way: Way
    recommended: Way
    because: str
    says: str
    suspect: Release | None
    goal: Release | None
    findings: tuple[Finding, ...]
    since: datetime
    told: str = ""

    @property
    def against(self) -> tuple[Finding, ...]:
        """The findings that are no pass and not waived, worst first."""
        return tuple(sorted((f for f in self.findings if f.answer is not Answer.PASS and not f.waived), key=lambda f: -f.answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A change of a target's standing verdict: one-way doors are walked through at such a moment. `was` is None for the first verdict.

    `release` names what was live when it turned.
    """

    target: TargetId
    at: datetime
    was: Answer | None
    answer: Answer
    says: str
    release: str
    rules: tuple[str, ...] = ()


def renewed(before: Standing | None, now: Standing) -> tuple[Standing, Turn | None]:
    """The new standing verdict with its `since`, and the turn, if the answer, the release that is live, or what speaks against going back is another."""
    if before is not None and before.answer is now.answer:
        now = replace(now, since=before.since)
    if before is not None and (before.answer, _key(before.suspect), _rules(before)) == (now.answer, _key(now.suspect), _rules(now)):
        return now, None
    was = before.answer if before is not None else None
    release = now.suspect.title if now.suspect is not None else ""
    return now, Turn(target=now.target, at=now.as_of, was=was, answer=now.answer, says=now.says, release=release, rules=_rules(now))


def closing(before: Standing | None, now: Standing, momentary: Collection[str]) -> tuple[Standing, tuple[Finding, ...]]:
    """The new standing verdict with its `told`, and the findings by which a target that could go back no longer can: () unless it turned so right now.

    Only what is about the two releases closes a door: a block of the `momentary` rules, or one while a release is not known, comes and goes. An unknown
    neither opens nor closes it. The first verdict of a target tells nobody: whether there ever was a way back, nobody knows.
    """
    told = before.told if before is not None else ""
    blocks = tuple(one for one in now.findings if one.answer is Answer.BLOCK and one.rule not in momentary)
    if now.suspect is not None and now.goal is not None and blocks:
        return replace(now, told=told or now.suspect.key), blocks if before is not None and not told else ()
    opened = now.answer in {Answer.PASS, Answer.WARN}
    return replace(now, told="" if opened else told), ()


def _key(release: Release | None) -> str:
    return release.key if release is not None else ""


def _rules(standing: Standing) -> tuple[str, ...]:
    return tuple(sorted(finding.rule for finding in standing.against))
