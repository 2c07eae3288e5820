"""A report for a person at a terminal or in a job's log."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from service.cli.reports.report import Entry, Report
from service.cli.terminal import clean, one_line

_STYLES = {"pass": "green", "waived": "yellow", "warn": "yellow", "unknown": "yellow", "block": "red"}
_INDENT = 9


def as_text(report: Report) -> RenderableType:
    """The answer first, then each finding with its place and the words there, why it matters and what to do, then what was not decided."""
    parts: list[RenderableType] = [Text(str(clean(report.says)), style=f"bold {_STYLES.get(report.answer, '')}".strip())]
    for one in report.entries:
        parts += ["", *_entry(one)]
    if report.harmless:
        parts += ["", Text(f"{report.harmless} statement{' leaves' if report.harmless == 1 else 's leave'} the schema usable for the earlier code.")]
    if report.remarks:
        parts += ["", *(Text(f"note: {clean(remark)}") for remark in report.remarks)]
    if report.not_decided:
        parts += ["", Text(f"{len(report.not_decided)} further rules ask a running system and are not decided from files; `--json` names them.", style="dim")]
    return Group(*parts)


def _entry(one: Entry) -> Iterator[RenderableType]:
    word = "waived" if one.waived else one.answer
    place = one.path + (f":{one.line}" if one.line else "")
    head = Text(word.ljust(_INDENT), style=_STYLES.get(word, ""), no_wrap=True, overflow="ignore")
    head.append(one_line(place), style="bold")
    yield head
    yield _indented(Text(one_line(one.says)))
    for name, text in (("in", one.statement), ("why", one.why), ("do", one.do), ("waived", one.waived)):
        if text:
            yield _indented(Text.assemble((f"{name}: ", "dim"), one_line(text)))
    yield _indented(Text(f"rule: {one_line(one.rule)}", style="dim"))


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, _INDENT))
