"""A report as JUnit XML, which GitLab, Jenkins and CircleCI show as tests: one case for each finding, and one for the answer when nothing was found."""

import re
from xml.sax.saxutils import escape, quoteattr

from service.cli.exit_codes import ExitCode
from service.cli.reports.report import Entry, Report
from service.cli.terminal import clean

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> str:
    """`block` is a failure, `unknown` an error, a waived finding is skipped, a warning passes unless the exit code says that it counts (`--strict`)."""
    strict = report.code == ExitCode.BLOCKED and report.answer == "warn"
    cases = [_case(one, strict=strict) for one in report.entries]
    if not any(not one.waived for one in report.entries):
        cases.insert(0, f"    <testcase classname={_attribute(report.title)} name={_attribute(report.says)}/>")
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    skipped = sum("<skipped" in case for case in cases)
    head = f"name={_attribute(report.title)} tests={_attribute(str(len(cases)))} failures={_attribute(str(failures))} errors={_attribute(str(errors))}"
    suite = f"  <testsuite {head} skipped={_attribute(str(skipped))}>"
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {head}>", suite, *cases, "  </testsuite>", "</testsuites>"])


def _case(one: Entry, *, strict: bool) -> str:
    place = one.path + (f":{one.line}" if one.line else "")
    opening = f"    <testcase classname={_attribute(one.rule)} name={_attribute(f'{place} {one.says}'.strip())} file={_attribute(one.path)}>"
    body = _text("\n".join(part for part in (one.says, one.why, one.do, one.statement) if part))
    if one.waived:
        inner = f"<skipped message={_attribute(f'waived: {one.waived}')}/>"
    elif one.answer == "block" or (one.answer == "warn" and strict):
        inner = f"<failure type={_attribute(one.rule)} message={_attribute(one.says)}>{body}</failure>"
    elif one.answer in {"warn", "pass"}:
        inner = f"<system-out>{body}</system-out>"
    else:
        inner = f"<error type={_attribute(one.rule)} message={_attribute(one.says)}>{body}</error>"
    return f"{opening}{inner}</testcase>"


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", str(clean(text))))


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", str(clean(text))))
