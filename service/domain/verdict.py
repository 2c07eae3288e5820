"""One rule's answer, and all of them together: the sentence here is the log line, the API text, the audit attribute and the test's expectation."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from service.domain.facts import Evidence
from service.domain.model import Mode, Way


class Answer(IntEnum):
    """Ordered from best to worst; the worst of all findings decides."""

    PASS = 0
    WARN = 1
    UNKNOWN = 2
    BLOCK = 3

    @property
    def word(self) -> str:
        """The word used in API, logs and docs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one line of evidence says by itself, for itself: `source` is text (of the migrations), database or declared; one sentence."""

    source: str
    answer: Answer
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule's answer with one sentence a person on call can use, its evidence, what would change it, and the plan steps it adds (sentences).

    `lines` are what the sentence rests on, where several lines of evidence were held against each other; the sentence is then their headline.

    `rule`, `gate` and `waived` are filled in by the evaluation; `waived` names the reason and expiry of the waiver that lets a warn or unknown pass.
    `instead` is set by a block that knows the better way; `overridable` by one that two persons may override together, for they can know better.
    """

    answer: Answer
    says: str
    clears: str = ""
    evidence: tuple[Evidence, ...] = ()
    adds: tuple[str, ...] = ()
    instead: Way | None = None
    overridable: bool = False
    rule: str = ""
    gate: bool = False
    waived: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def told(self) -> str:
        """All of it in one text: what a person who overrides it has read."""
        return " ".join((self.says, *(f"{one.source}: {one.says}" for one in self.lines)))


def passes(says: str, *evidence: Evidence) -> Finding:
    """What the rule asks holds, and the evidence shows it."""
    return Finding(answer=Answer.PASS, says=says, evidence=evidence)


def warns(says: str, *evidence: Evidence, clears: str, adds: tuple[str, ...] = ()) -> Finding:
    """It may go wrong; a person ticks it, or the policy lets this rule's warning pass."""
    return Finding(answer=Answer.WARN, says=says, evidence=evidence, clears=clears, adds=adds)


def unknown(says: str, *evidence: Evidence, clears: str) -> Finding:
    """A source failed, was not asked, or was not understood."""
    return Finding(answer=Answer.UNKNOWN, says=says, evidence=evidence, clears=clears)


def blocks(says: str, *evidence: Evidence, clears: str, instead: Way | None = None, overridable: bool = False) -> Finding:
    """Going this way would do harm. `overridable` where people can know better than the evidence; never where it would not work, or is another's."""
    return Finding(answer=Answer.BLOCK, says=says, evidence=evidence, clears=clears, instead=instead, overridable=overridable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All findings for one way, in reading order, and the recommended way with its reason.

    `at_most` is the highest mode that the policy's conditions leave to what begins by itself now, None where they leave all; `at_most_says` is why.
    """

    way: Way
    findings: tuple[Finding, ...]
    recommended: Way
    because: str
    as_of: datetime
    at_most: Mode | None = None
    at_most_says: str = ""

    @property
    def worst(self) -> Answer:
        """The worst answer that no waiver lets pass. No findings at all is not a pass: nobody was asked.

        An unknown outside a gate rule counts as a warning.
        """
        return max((_weight(f) for f in self.findings), default=Answer.UNKNOWN)

    def of(self, answer: Answer) -> tuple[Finding, ...]:
        """The findings with that answer, waived ones left out."""
        return tuple(f for f in self.findings if f.answer is answer and not f.waived)


def _weight(finding: Finding) -> Answer:
    if finding.waived and finding.answer < Answer.BLOCK:
        return Answer.PASS
    if finding.answer is Answer.UNKNOWN and not finding.gate:
        return Answer.WARN
    return finding.answer
