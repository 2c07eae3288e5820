"""What a check of files found, in the forms that people and pipelines read: text, JSON, SARIF, JUnit, GitHub annotations. One file a form; pure.

A report knows nothing of Git or SQL. Texts in it come from files of strangers: each form makes them harmless in its own way.
"""

from collections.abc import Callable, Mapping
from typing import Final

from service.cli.reports.github import annotations, summary
from service.cli.reports.junit import as_junit
from service.cli.reports.report import Entry, Report, as_document
from service.cli.reports.sarif import as_sarif
from service.cli.reports.text import as_text
from service.cli.terminal import as_json_text

FORMS: Final[Mapping[str, Callable[[Report], str]]] = {
    "json": lambda report: as_json_text(as_document(report)),
    "sarif": lambda report: as_json_text(as_sarif(report)),
    "junit": as_junit,
    "github": annotations,
}
"""The forms that are one text; `text` is rendered for the terminal by `as_text`."""

__all__ = ["FORMS", "Entry", "Report", "annotations", "as_document", "as_junit", "as_sarif", "as_text", "summary"]
