"""Answers from Git alone: once this is deployed, can we go back? For a pull request, before there is a release, a target or an incident.

Judged are two revisions: what runs (or will run before), and what is to be deployed. Rules that need a running system are named as not decided. Policy and
waivers are those of the *older* revision, so that a request cannot waive itself. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from service.domain.errors import BackoutError
from service.domain.keys import FileChange, SourceChange
from service.domain.packages import changed_packages
from service.domain.schema import SchemaVerdict, StatementReading, advice_of, recognise
from service.domain.schema_change import SchemaChange, schema_change
from service.domain.verdict import Answer
from service.domain.waivers import FILE, Waiver

SCHEMA = "schema_is_compatible"
_ANSWERS = {
    SchemaVerdict.SAFE: Answer.PASS,
    SchemaVerdict.WARN: Answer.WARN,
    SchemaVerdict.UNKNOWN: Answer.UNKNOWN,
    SchemaVerdict.BREAKS: Answer.BLOCK,
}
MOST_NAMED = 10
"""Packages that one finding names."""


class MissingHistoryError(BackoutError):
    """A revision or an object is not in this clone; `clears` says what would bring it."""

    def __init__(self, says: str, clears: str) -> None:
        super().__init__(says)
        self.clears = clears


class NoRepositoryError(BackoutError):
    """The folder is no Git repository that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a target runs, as its Backout tells; `title` is the release for people.

    `revisions` are the source revisions of its images (repository, commit), `unclear` those images (image, why) of which nobody knows the source.
    """

    target: str
    title: str
    revisions: tuple[tuple[str, str], ...]
    unclear: tuple[tuple[str, str], ...]


class NotDeployedFromHereError(BackoutError):
    """None of the commits that a target's images were built from is in this clone, or several are; `clears` says what to do."""

    def __init__(self, says: str, clears: str) -> None:
        super().__init__(says)
        self.clears = clears


class NoFolderError(BackoutError):
    """The folder that was named holds no manifest at either revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that a person should know: its rule, the place, a sentence, why it matters, what to do. `waived` is the reason of the waiver that covers it."""

    rule: str
    answer: Answer
    path: str
    line: int
    says: str
    why: str = ""
    do: str = ""
    statement: str = ""
    objects: tuple[str, ...] = ()
    waived: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The answer for the way back over one range: what was found, worst first; how many statements were harmless; what Git cannot decide; remarks."""

    old: str
    new: str
    found: tuple[Found, ...]
    harmless: int
    files: int
    remarks: tuple[str, ...] = ()

    @property
    def answer(self) -> Answer:
        """The worst that no waiver covers."""
        return max((one.answer for one in self.found if not one.waived), default=Answer.PASS)

    @property
    def says(self) -> str:
        """The answer in one sentence."""
        counts = {answer: sum(1 for one in self.found if one.answer is answer and not one.waived) for answer in Answer}
        waived = sum(1 for one in self.found if one.waived)
        note = f" ({waived} waived)" if waived else ""
        match self.answer:
            case Answer.BLOCK:
                others = counts[Answer.BLOCK] - 1
                return f"No: once this is deployed, going back to {self.old} breaks{f' in {others + 1} places' if others else ''}.{note}"
            case Answer.UNKNOWN:
                return f"Unknown: whether {self.old} can run once this was deployed could not be decided.{note}"
            case Answer.WARN:
                return f"Only if a person confirms: {self.old} runs once this was deployed, but see below.{note}"
            case Answer.PASS if self.harmless:
                return f"Yes, by the text of the migrations: {self.old} can run once this was deployed.{note}"
            case Answer.PASS:
                return f"Yes: no migration lies between {self.old} and {self.new}.{note}"


def judge(
    change: SourceChange,
    *,
    old: str,
    new: str,
    waivers: Sequence[Waiver] = (),
    today: date,
    remarks: Sequence[str] = (),
    beside: Sequence[Found] = (),
    same_images: bool = False,
) -> Judged:
    """Judge a difference. `old` and `new` are how a person named the revisions; `beside` is what other lines of evidence found in it.

    `same_images`: it was proven that both run the same images, so that no program's source differs in what runs.
    """
    sorted_out = schema_change(change)
    found = [*_dependencies(sorted_out.carriers), *_unclear(sorted_out), *(told(one, old) for one in sorted_out.reading.statements), *beside]
    harmless = sum(1 for one in found if one.answer is Answer.PASS)
    notes = list(remarks)
    if not (change.has_code or same_images):
        says = "This repository holds only configuration, no program's source: it cannot show whether there are migrations."
        found.append(Found(rule="no_source", answer=Answer.UNKNOWN, path="", line=0, says=says, do="Check the repository that the images are built from."))
    if any(file.path == FILE for file in change.files):
        notes.append(f"This changes {FILE}; what counts is how it stands in {old}.")
    kept = []
    for one in (one for one in found if one.answer is not Answer.PASS):
        waiver = next((waiver for waiver in waivers if waiver.covers(one.rule, one.path, one.objects)), None)
        if waiver is not None and waiver.over(today):
            notes.append(f"The waiver of {waiver.rule} for {waiver.path} ran out on {waiver.until}.")
            waiver = None
        kept.append(one if waiver is None else replace(one, waived=waiver.reason))
    kept.sort(key=lambda one: (bool(one.waived), -one.answer))
    if kept and not kept[0].waived:
        entry = f'{{rule: {kept[0].rule}, path: "{kept[0].path}", reason: "..."}}'
        notes.append(f"Whoever knows better can accept a finding by a waiver in {FILE}. It counts once it is part of {old}, so merge it there first: {entry}")
    return Judged(old=old, new=new, found=tuple(kept), harmless=harmless, files=len(change.files), remarks=tuple(dict.fromkeys(notes)))


def told(one: StatementReading, old: str) -> Found:
    """One statement's reading in the words of somebody who calls the code that would run again `old`."""
    advice = advice_of(one.rule)
    found = recognise(one.path)
    what = _without_old(one.says.rstrip("."), old)
    clears = f" It is fine when {_without_old(one.clears, old)}." if one.clears else ""
    return Found(
        rule=one.rule,
        answer=_ANSWERS[one.verdict],
        path=one.path,
        line=one.line,
        says=f"{what[:1].upper()}{what[1:]}." if one.line else f"This file {what}.",
        why=advice.why,
        do=f"{advice.for_tool(found.tool if found else None)}{clears}".strip(),
        statement=one.statement,
        objects=one.objects,
    )


def _without_old(text: str, old: str) -> str:
    """The readers say OLD for the code that would run again; a person knows its name."""
    return re.sub(r"\bOLD\b(?!')", f"the code of {old}", re.sub(r"\bOLD's\b", f"{old}'s", text))


def _dependencies(carriers: Sequence[FileChange]) -> list[Found]:
    advice = advice_of("dependencies_changed")
    says = {"submodule": "The submodule moved to another commit; migrations may be among what it brings.", "link": "A symbolic link to migrations changed."}
    return [
        Found(
            rule="dependencies_changed",
            answer=Answer.UNKNOWN,
            path=one.path,
            line=0,
            says=says.get(one.what) or _moved(one),
            why=advice.why,
            do=advice.do,
        )
        for one in carriers
    ]


def _moved(one: FileChange) -> str:
    names = changed_packages(one.path, one.before, one.text)
    if not names:
        return "Dependencies changed; one of them may bring migrations of its own."
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"Dependencies changed: {', '.join(names[:MOST_NAMED])}{rest}; each may bring migrations of its own."


def _unclear(found: SchemaChange) -> list[Found]:
    says = "How this migration changed is not understood."
    return [Found(rule="not_understood", answer=Answer.UNKNOWN, path=one.path, line=0, says=says, do="Read it.") for one in found.unclear]
