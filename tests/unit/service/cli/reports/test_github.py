from service.cli.reports import annotations, summary
from tests.unit.service.cli.reports.made import BLOCK, EVIL, UNKNOWN, WAIVED, WARN, report


def test_findings_are_annotations_at_their_place_and_waived_ones_are_not() -> None:
    lines = annotations(report(BLOCK, UNKNOWN, WARN, WAIVED)).split("\n")
    assert lines[0] == "No: going back breaks."
    assert lines[1] == "::error file=db/a b%2Cc%3Ad.sql,line=3,title=column_dropped::Drops column orders.status. Gone. Later."
    assert lines[2].startswith("::error file=uv.lock,line=1,title=dependencies_changed::")
    assert lines[3].startswith("::warning file=db/x.sql,line=1,")
    assert len(lines) == 4


def test_a_text_cannot_give_commands_of_its_own() -> None:
    text = annotations(report(EVIL, says="::error::gotcha"))
    assert [line.startswith("::") for line in text.split("\n")] == [False, True]
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\x00" not in text


def test_at_most_ten_of_a_level_are_shown_and_the_rest_is_counted() -> None:
    lines = annotations(report(*[BLOCK] * 12, *[WARN] * 10)).split("\n")
    errors, warnings = ([line for line in lines if line.startswith(f"::{level}")] for level in ("error", "warning"))
    assert len(errors) == len(warnings) == 10
    assert errors[-1] == "::error title=backout::3 more are in the summary of this step"
    assert "more" not in warnings[-1]


def test_the_summary_has_every_finding_and_no_markup_of_theirs() -> None:
    text = summary(report(*[BLOCK] * 30, EVIL, WAIVED))
    assert text.count("Drops column orders.status") == 30
    assert "<script>" not in text
    assert "@everyone" not in text
    assert "](http" not in text.replace("\\]\\(http", "")
    assert "waived: unused \\| since 2.3" in text
    assert all(line.count("|") - line.count("\\|") == 5 for line in text.split("\n") if line.startswith("|"))


def test_a_summary_stays_below_what_github_takes() -> None:
    text = summary(report(*[BLOCK] * 20_000))
    assert len(text.encode()) < 1_000_000
    assert "more | |" in text
