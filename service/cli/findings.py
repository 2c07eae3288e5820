"""How findings about statements are told: for a person, as JSON, as SARIF 2.1.0, as annotations of GitHub Actions. Pure text; what a migration says is data.

Beside a path there is never a raw control character: a migration must not steer a terminal nor give commands to a CI runner.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from service.cli.terminal import clean, one_line
from service.domain.schema import SchemaReading, SchemaVerdict, StatementReading, summary

_OLD: Final = re.compile(r"\bOLD\b")
_SARIF_LEVEL: Final[Mapping[SchemaVerdict, str]] = {
    SchemaVerdict.BREAKS: "error",
    SchemaVerdict.UNKNOWN: "error",
    SchemaVerdict.WARN: "warning",
    SchemaVerdict.SAFE: "none",
}
_GITHUB: Final[Mapping[SchemaVerdict, str]] = {SchemaVerdict.BREAKS: "error", SchemaVerdict.UNKNOWN: "error", SchemaVerdict.WARN: "warning"}
GITHUB_ANNOTATIONS: Final = 10
"""So many of a kind does GitHub show for one step; what is beyond is in the summary alone."""


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


def github(reading: SchemaReading) -> list[str]:
    """Workflow commands that GitHub shows beside the changed lines, and one sentence for the log."""
    shown: dict[str, int] = {}
    told = []
    for one in reading.worst_first():
        kind = _GITHUB.get(one.verdict)
        if kind is None:
            continue
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > GITHUB_ANNOTATIONS:
            continue
        where = f"file={_property(one.path)}{f',line={one.line}' if one.line else ''},title={_property(one.rule)}"
        told.append(f"::{kind} {where}::{_message(_sentence(one))}")
    hidden = sum(max(0, count - GITHUB_ANNOTATIONS) for count in shown.values())
    rest = f" ({hidden} findings more than GitHub shows; all are in the summary)" if hidden else ""
    return [*told, one_line(f"{reading.verdict.value}: {said(summary(reading, limit=1))}{rest}")]


def github_summary(reading: SchemaReading) -> str:
    """The Markdown for a job's summary, which has room for every finding."""
    rows = [f"| {one.verdict.value} | {_cell(place(one))} | {_cell(said(one.says))} | {_cell(said(one.clears))} |" for one in _unsafe(reading)]
    head = ["| verdict | where | what | clear when |", "|--|--|--|--|"]
    return "\n".join(
        [f"### Can the old release run on this schema? {reading.verdict.value}", "", *([*head, *rows] if rows else ["Every statement is safe."]), ""]
    )


def sarif(reading: SchemaReading, version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log with one run: one result for each finding that is not safe."""
    told = list(_unsafe(reading))
    rules = sorted({one.rule for one in told})
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "backout", "version": version, "rules": [{"id": rule, "name": rule} for rule in rules]}},
                "columnKind": "unicodeCodePoints",
                "properties": {"verdict": reading.verdict.value, "dialect": reading.dialect.value},
                "results": [_result(one, rules) for one in told],
            }
        ],
    }


def _result(one: StatementReading, rules: Sequence[str]) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(one.path)}}
    if one.line:
        location["region"] = {"startLine": one.line, **({"snippet": {"text": clean(one.statement)}} if one.statement else {})}
    return {
        "ruleId": one.rule,
        "ruleIndex": rules.index(one.rule),
        "level": _SARIF_LEVEL[one.verdict],
        "message": {"text": _sentence(one)},
        "locations": [{"physicalLocation": location}],
        "properties": {"verdict": one.verdict.value, "objects": list(one.objects)},
    }


def _unsafe(reading: SchemaReading) -> Iterable[StatementReading]:
    return (one for one in reading.worst_first() if one.verdict is not SchemaVerdict.SAFE)


def _sentence(one: StatementReading) -> str:
    lead = {SchemaVerdict.BREAKS: "Breaks the old release", SchemaVerdict.UNKNOWN: "Unknown"}.get(one.verdict, "A person decides")
    return one_line(f"{lead}: {said(one.says)}." + (f" Clear when {said(one.clears)}." if one.clears else ""))


def _uri(path: str) -> str:
    return "".join(sign if (sign.isalnum() and sign.isascii()) or sign in "/._-~" else "".join(f"%{byte:02X}" for byte in sign.encode()) for sign in path)


def _message(text: str) -> str:
    return one_line(text).replace("%", "%25")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", one_line(text))
