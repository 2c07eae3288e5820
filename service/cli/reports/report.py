"""A report: the answer, one entry for each thing found, and what was not decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing found. `answer` is pass, warn, unknown or block; `line` counts from 1, 0 means the whole file; `path` is "" where there is no file.

    `why` it matters, what to `do`, and the `waived` reason are "" where there is none; `statement` is the piece of the file, shortened.
    """

    rule: str
    answer: str
    path: str
    line: int
    says: str
    why: str = ""
    do: str = ""
    statement: str = ""
    waived: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`title` names the check, `about` what was compared; `answer` is the worst that no waiver covers, `says` its sentence, `code` the exit code."""

    title: str
    about: Mapping[str, str]
    answer: str
    says: str
    code: int
    entries: tuple[Entry, ...]
    harmless: int = 0
    remarks: tuple[str, ...] = ()
    not_decided: tuple[str, ...] = ()


def as_document(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "check": report.title,
        **report.about,
        "verdict": report.answer,
        "says": report.says,
        "exit_code": report.code,
        "findings": [
            {
                "rule": one.rule,
                "answer": one.answer,
                "path": one.path,
                "line": one.line,
                "says": one.says,
                "why": one.why,
                "do": one.do,
                "statement": one.statement,
                "waived": one.waived or None,
            }
            for one in report.entries
        ],
        "harmless": report.harmless,
        "remarks": list(report.remarks),
        "not_decided": list(report.not_decided),
    }
