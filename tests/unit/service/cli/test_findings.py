import pytest

from service.cli.findings import document, lines, reasons, report, said
from service.cli.reports import FORMS, as_sarif, summary
from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, read_range

MIXED = "ALTER TABLE a ADD b int;\nALTER TABLE a ALTER c SET NOT NULL;\nDO $$ x $$;\nDROP TABLE a"


def reading(sql: str, path: str = "migrations/1_a.up.sql") -> SchemaReading:
    return read_range([MigrationFile(path=path, change=Change.ADDED, text=sql)], Dialect.POSTGRES)


def test_a_person_reads_the_worst_first_with_what_would_clear_it() -> None:
    told = lines(reading(MIXED))
    assert told[:3] == [
        "BREAKS   migrations/1_a.up.sql:4  drops table a",
        "         DROP TABLE a",
        "         clear when: the old release is shown never to use it",
    ]
    assert [line.split()[0] for line in told if line[:1].isupper()] == ["BREAKS", "UNKNOWN", "WARN", "BREAKS:"]
    assert lines(reading("SELECT 1")) == ["SAFE: all 1 migration statements in 1 files leave the schema usable for the release that would come back"]


def test_the_document_holds_every_statement() -> None:
    found = document(reading(MIXED), 1)
    assert (found["verdict"], found["dialect"], found["files"]) == ("breaks", "postgres", 1)
    assert [(one["line"], one["verdict"]) for one in found["statements"]] == [(1, "safe"), (2, "warn"), (3, "unknown"), (4, "breaks")]
    assert found["statements"][3]["objects"] == ["a"]


def test_reasons_leave_out_what_is_safe_unless_all_of_it_is() -> None:
    assert [one["rule"] for one in reasons(reading(MIXED))] == ["table_dropped", "dynamic_sql", "not_null_set"]
    assert [one["rule"] for one in reasons(reading("ALTER TABLE a ADD b int"))] == ["column_added"]


def test_the_readers_word_for_the_old_release_is_not_shown() -> None:
    assert said("OLD's rows; OLDER; THRESHOLD, OLD") == "the old release's rows; OLDER; THRESHOLD, the old release"
    assert "OLD" not in "".join([*lines(reading(MIXED)), summary(report(reading(MIXED), 1, 3))])


def test_the_report_has_an_entry_for_each_finding_worst_first_with_why_and_what_to_do() -> None:
    found = report(reading(MIXED), 1, 3)
    assert [(one.answer, one.rule, one.line) for one in found.entries] == [
        ("block", "table_dropped", 4),
        ("unknown", "dynamic_sql", 3),
        ("warn", "not_null_set", 2),
    ]
    first = found.entries[0]
    assert (first.says, first.statement) == ("Drops table a.", "DROP TABLE a")
    assert first.why
    assert first.do.endswith("It is fine when the code of the old release is shown never to use it.")
    assert (found.answer, found.code, found.harmless, found.about) == ("block", 3, 1, {"dialect": "postgres", "files": "1"})
    assert found.says.startswith("breaks: ")


def test_a_safe_reading_is_a_report_that_passes() -> None:
    found = report(reading("SELECT 1"), 1, 0)
    assert (found.answer, found.entries, found.harmless) == ("pass", (), 1)
    assert found.says.startswith("safe: ")
    assert "1 statement leaves the schema usable for the earlier code." in summary(found)


def test_every_form_of_a_report_can_tell_a_reading() -> None:
    found = report(reading(MIXED, "a b/1_x,y.sql"), 1, 3)
    (run,) = as_sarif(found)["runs"]
    assert [(one["level"], one["ruleId"]) for one in run["results"]] == [("error", "table_dropped"), ("error", "dynamic_sql"), ("warning", "not_null_set")]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]) == ("a%20b/1_x%2Cy.sql", {"startLine": 4, "snippet": {"text": "DROP TABLE a"}})
    assert FORMS["github"](found).count("::error file=a b/1_x%2Cy.sql,line=") == 2
    assert FORMS["junit"](found).count("<failure") == 1


@pytest.mark.parametrize("path", ["1_a\n::error::x.sql", "1_a::warning file=b.sql", "a,line=9,title=b.sql", "\x1b[31m1_a.sql", "%0A1.sql"])
def test_a_path_commands_neither_runner_nor_terminal(path: str) -> None:
    found = reading("DROP TABLE a", path)
    sentence, annotation = FORMS["github"](report(found, 1, 3)).split("\n")
    head = annotation.split("title=")[0]
    assert head.count("::") == 1
    assert head.count(",") <= 2
    assert not [line for line in (annotation, sentence, *lines(found)) if "\n" in line or "\x1b" in line]
    assert not sentence.startswith("::")


def test_a_statement_cannot_close_the_cell_of_the_summary() -> None:
    told = summary(report(reading('DROP TABLE "a | b` <img src=x>"'), 1, 3))
    row = next(line for line in told.splitlines() if line.startswith("| block"))
    assert "a \\| b" in row
    assert "<img" not in row
