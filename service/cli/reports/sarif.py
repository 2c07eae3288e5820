"""A report as SARIF 2.1.0, which GitHub code scanning, GitLab, Azure DevOps and editors read.

Shapes and the meaning of `level`, `suppressions` and `uriBaseId` are those of the OASIS standard.
"""

import hashlib
from typing import Any
from urllib.parse import quote

from service.cli.reports.report import Entry, Report
from service.cli.terminal import clean

_LEVELS = {"block": "error", "unknown": "error", "warn": "warning", "pass": "note"}


def as_sarif(report: Report) -> dict[str, Any]:
    """One run with one result for each finding; a waived one is suppressed, with its reason."""
    rules = {one.rule: one for one in report.entries}
    names = sorted(rules)
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "backout",
                        "rules": [
                            {
                                "id": name,
                                "shortDescription": {"text": name.replace("_", " ")},
                                "fullDescription": {"text": _plain(rules[name].why) or name.replace("_", " ")},
                                "help": {"text": _plain(rules[name].do) or _plain(rules[name].why) or name},
                            }
                            for name in names
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The top of the repository."}}},
                "properties": {"verdict": report.answer, "says": _plain(report.says), "notDecided": list(report.not_decided)},
                "results": [_result(one, names) for one in report.entries],
            }
        ],
    }


def _result(one: Entry, names: list[str]) -> dict[str, Any]:
    mark = hashlib.sha256(f"{one.rule}\0{one.path}\0{one.statement}\0{one.says}".encode("utf-8", "backslashreplace")).hexdigest()
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": names.index(one.rule),
        "level": _LEVELS.get(one.answer, "error"),
        "message": {"text": " ".join(_plain(part) for part in (one.says, one.why, one.do) if part)},
        "partialFingerprints": {"backout/v1": mark},
    }
    if one.path:
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(one.path), "uriBaseId": "SRCROOT"}}
        place["region"] = {"startLine": max(one.line, 1), **({"snippet": {"text": _plain(one.statement)}} if one.statement and one.line else {})}
        result["locations"] = [{"physicalLocation": place}]
    if one.waived:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _plain(one.waived)}]
    return result


def _plain(text: str) -> str:
    return str(clean(text))
