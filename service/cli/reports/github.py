"""A report for GitHub Actions: workflow commands that become annotations, and a summary in Markdown.

GitHub shows at most ten errors and ten warnings of a step and drops the rest without a word, so what is over that is counted, and the summary has it all.
"""

import re

from service.cli.reports.report import Entry, Report
from service.cli.terminal import clean, one_line

MOST = 10
MOST_BYTES = 900_000
"""GitHub refuses a step's summary above 1 MiB."""


def annotations(report: Report) -> str:
    """Workflow commands, worst first, at most ten of a level."""
    lines = [_harmless(report.says)]
    for level, found in (
        ("error", [one for one in report.entries if not one.waived and one.answer in {"block", "unknown"}]),
        ("warning", [one for one in report.entries if not one.waived and one.answer not in {"block", "unknown"}]),
    ):
        room = MOST if len(found) <= MOST else MOST - 1
        lines += [_command(level, one) for one in found[:room]]
        if len(found) > room:
            lines.append(f"::{level} title=backout::{len(found) - room} more are in the summary of this step")
    return "\n".join(lines)


def _harmless(line: str) -> str:
    """A line of log that can be no workflow command."""
    return re.sub(r"^(::|##\[)", r" \1", one_line(line))


def _command(level: str, one: Entry) -> str:
    place = f"file={_property(one.path)},line={max(one.line, 1)}," if one.path else ""
    message = " ".join(part for part in (one.says, one.why, one.do) if part)
    return f"::{level} {place}title={_property(one.rule)}::{_data(message)}"


def _data(text: str) -> str:
    return str(clean(text)).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(report: Report) -> str:
    """The whole report in Markdown."""
    lines = [f"## {_markdown(report.title)}", "", f"**{_markdown(report.says)}**", ""]
    if report.entries:
        lines += ["| | where | what | what to do |", "|--|--|--|--|"]
    size = 0
    for number, one in enumerate(report.entries):
        place = _markdown(one.path + (f":{one.line}" if one.line else ""))
        word = "waived" if one.waived else one.answer
        does = f"waived: {one.waived}" if one.waived else one.do
        row = f"| {_markdown(word)} | {place} | {_markdown(' '.join(part for part in (one.says, one.why) if part))} | {_markdown(does)} |"
        size += len(row.encode())
        if size > MOST_BYTES:
            lines.append(f"| | | and {len(report.entries) - number} more | |")
            break
        lines.append(row)
    if report.harmless:
        lines += ["", f"{report.harmless} statement{' leaves' if report.harmless == 1 else 's leave'} the schema usable for the earlier code."]
    lines += [f"\n> {_markdown(remark)}" for remark in report.remarks]
    if report.not_decided:
        lines += ["", f"{len(report.not_decided)} further rules ask a running system and are not decided from files."]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    """Text that stays text in a cell: no markup, no link, no HTML, no mention."""
    plain = " ".join(str(clean(text)).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", plain)
