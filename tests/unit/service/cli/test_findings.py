import pytest

from service.cli.findings import GITHUB_ANNOTATIONS, document, github, github_summary, lines, reasons, said, sarif
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
    assert "OLD" not in "".join([*lines(reading(MIXED)), *github(reading(MIXED)), github_summary(reading(MIXED))])


def test_sarif_has_one_result_for_each_finding_and_its_rule() -> None:
    log = sarif(reading(MIXED, "a b/1_x,y.sql"), "1.0")
    (run,) = log["runs"]
    assert [(one["level"], one["ruleId"]) for one in run["results"]] == [("error", "table_dropped"), ("error", "dynamic_sql"), ("warning", "not_null_set")]
    for one in run["results"]:
        assert run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/1_x%2Cy.sql"
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
    assert log["version"] == "2.1.0"


def test_annotations_stand_at_the_line() -> None:
    first, *_, last = github(reading(MIXED))
    assert first == (
        "::error file=migrations/1_a.up.sql,line=4,title=table_dropped::"
        "Breaks the old release: drops table a. Clear when the old release is shown never to use it."
    )
    assert last.startswith("breaks: ")


def test_what_github_would_not_show_is_counted_and_in_the_summary() -> None:
    many = reading("".join(f"DROP TABLE t{number};" for number in range(GITHUB_ANNOTATIONS + 3)))
    told = github(many)
    assert len(told) == GITHUB_ANNOTATIONS + 1
    assert "3 findings more than GitHub shows" in told[-1]
    assert github_summary(many).count("| breaks |") == GITHUB_ANNOTATIONS + 3


def test_a_safe_reading_has_a_summary_too() -> None:
    assert "Every statement is safe." in github_summary(reading("SELECT 1"))
    assert len(github(reading("SELECT 1"))) == 1


@pytest.mark.parametrize("path", ["1_a\n::error::x.sql", "1_a::warning file=b.sql", "a,line=9,title=b.sql", "\x1b[31m1_a.sql", "%0A1.sql"])
def test_a_path_commands_neither_runner_nor_terminal(path: str) -> None:
    found = reading("DROP TABLE a", path)
    (annotation, sentence) = github(found)
    head = annotation.split("title=")[0]
    assert head.count("::") == 1
    assert head.count(",") <= 2
    assert not [line for line in (annotation, sentence, *lines(found)) if "\n" in line or "\x1b" in line]
    assert not sentence.startswith("::")


def test_a_statement_cannot_close_the_cell_of_the_summary() -> None:
    told = github_summary(reading('DROP TABLE "a | b` <img src=x>"'))
    row = next(line for line in told.splitlines() if line.startswith("| breaks"))
    assert "\\|" in row
    assert "\\<img" in row
