"""How findings about statements are told: for a person, as JSON, and as a report for pipelines (`reports`). Pure text; what a migration says is data.

Beside a path there is never a raw control character: a migration must not steer a terminal nor give commands to a CI runner.
"""

import re
from typing import Any, Final

from service.cli.reports import Entry, Report
from service.cli.terminal import one_line
from service.domain.pull_request import told as found_in
from service.domain.schema import SchemaReading, SchemaVerdict, StatementReading, summary
from service.domain.verdict import Answer

TITLE: Final = "backout schema check"
_OLD: Final = re.compile(r"\bOLD\b")


def said(text: str) -> str:
    """A sentence of the schema reader for somebody who does not know its word OLD."""
    return _OLD.sub("the old release", text)


def reason(one: StatementReading) -> dict[str, str]:
    """One finding as rows tell it."""
    return {"statement": one.statement, "rule": one.rule, "says": said(one.says), "clears": said(one.clears)}


def reasons(reading: SchemaReading) -> list[dict[str, str]]:
    """Why the verdict is what it is, worst first: all that is not safe, or everything where all of it is."""
    told = [one for one in reading.worst_first() if one.verdict is not SchemaVerdict.SAFE]
    return [reason(one) for one in told or reading.statements]


def document(reading: SchemaReading, files: int) -> dict[str, Any]:
    """The whole reading as one JSON document."""
    return {
        "verdict": reading.verdict.value,
        "says": said(summary(reading)),
        "dialect": reading.dialect.value,
        "files": files,
        "statements": [
            {"path": one.path, "line": one.line, "verdict": one.verdict.value, **reason(one), "objects": list(one.objects)} for one in reading.statements
        ],
    }


def lines(reading: SchemaReading) -> list[str]:
    """For a terminal: what is not safe, worst first, then the sentence about all of it."""
    told = []
    for one in reading.worst_first():
        if one.verdict is SchemaVerdict.SAFE:
            continue
        told.append(f"{one.verdict.value.upper():<8} {place(one)}  {one_line(said(one.says))}")
        if one.statement:
            told.append(f"         {one_line(one.statement)}")
        if one.clears:
            told.append(f"         clear when: {one_line(said(one.clears))}")
    sentence = one_line(said(summary(reading, limit=1)))
    return [*told, *([""] if told else []), f"{reading.verdict.value.upper()}: {sentence}"]


def place(one: StatementReading) -> str:
    """Where a finding stands, as editors understand it."""
    return one_line(f"{one.path}:{one.line}" if one.line else one.path)


def report(reading: SchemaReading, files: int, code: int) -> Report:
    """The reading as every check of files is told: what is not safe, worst first, each with why it matters and what to do."""
    found = [found_in(one, "the old release") for one in reading.worst_first() if one.verdict is not SchemaVerdict.SAFE]
    entries = tuple(
        Entry(rule=one.rule, answer=one.answer.word, path=one.path, line=one.line, says=one.says, why=one.why, do=one.do, statement=one.statement)
        for one in found
    )
    answer = max((one.answer for one in found), default=Answer.PASS)
    says = said(summary(reading, limit=1))
    return Report(
        title=TITLE,
        about={"dialect": reading.dialect.value, "files": str(files)},
        answer=answer.word,
        says=f"{reading.verdict.value}: {says}",
        code=code,
        entries=entries,
        harmless=len(reading.statements) - len(found),
    )
