from io import StringIO

from service.cli.reports import Report, as_text
from service.cli.terminal import Terminal
from tests.unit.service.cli.reports.made import BLOCK, EVIL, UNKNOWN, WAIVED, WARN, report


def shown(one: Report) -> str:
    stdout = StringIO()
    Terminal(stdout=stdout, environment={}).show(as_text(one))
    return stdout.getvalue()


def test_the_answer_stands_first_and_each_finding_says_where_why_and_what_to_do() -> None:
    lines = shown(report(BLOCK, UNKNOWN, WARN, WAIVED)).split("\n")
    assert lines[0] == "No: going back breaks."
    assert lines[2:8] == [
        "block    db/a b,c:d.sql:3",
        "         Drops column orders.status.",
        "         in: ALTER TABLE orders DROP COLUMN status",
        "         why: Gone.",
        "         do: Later.",
        "         rule: column_dropped",
    ]
    assert "waived   db/y.sql:1" in lines
    assert "note: a remark" in lines


def test_nothing_in_it_steers_the_terminal() -> None:
    text = shown(report(EVIL))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert not any(line.startswith("::") for line in text.split("\n"))
