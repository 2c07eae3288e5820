"""Files, tools and whole ranges, metamorphic properties, and the figures on real labelled migrations where those are at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range, read_sql
from service.domain.schema.ranges import MAX_FILE_CHARACTERS, MAX_RANGE_CHARACTERS, MAX_STATEMENTS

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
TUNING_SET = Path(__file__).parents[5].parent / "shared" / "safety" / "schema-tuning.jsonl"


def added(path: str, text: str | None) -> MigrationFile:
    return MigrationFile(path=path, change=Change.ADDED, text=text)


def read(*files: MigrationFile, dialect: Dialect = P) -> SchemaReading:
    return read_range(files, dialect)


def rules(reading: SchemaReading) -> list[str]:
    return [one.rule for one in reading.statements]


def test_no_file_is_safe_because_the_caller_holds_the_proof() -> None:
    assert read() == SchemaReading(dialect=P, statements=(), verdict=SAFE)


def test_a_finding_says_where_it_stands() -> None:
    reading = read(added("db/migration/V2__x.sql", "\ufeff-- why\r\n\r\nALTER TABLE orders\r\n  DROP COLUMN legacy_status;\r\n"))
    (statement,) = reading.statements
    assert (statement.path, statement.line, statement.statement) == ("db/migration/V2__x.sql", 3, "ALTER TABLE orders DROP COLUMN legacy_status")
    assert statement.objects == ("orders", "orders.legacy_status")


@pytest.mark.parametrize("change", [Change.MODIFIED, Change.DELETED, Change.RENAMED])
def test_a_migration_that_was_rewritten_is_unknown(change: Change) -> None:
    reading = read(MigrationFile(path="migrations/0001_a.up.sql", change=change, text="CREATE TABLE a (b int)"))
    assert (reading.verdict, rules(reading)) == (UNKNOWN, ["migration_rewritten"])


@pytest.mark.parametrize("change", list(Change))
@pytest.mark.parametrize("path", ["migrations/0001_a.down.sql", "migrations/2026-01-01_a/down.sql", "revert/a.sql", "db/migration/U1__a.sql"])
def test_undo_files_are_named_and_never_read_forward(path: str, change: Change) -> None:
    reading = read(MigrationFile(path=path, change=change, text="DROP TABLE a"))
    assert (reading.verdict, rules(reading)) == (SAFE, ["undo_changed"])


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        ("db/migration/V2__X.java", "Flyway"),
    ],
)
def test_a_migration_that_is_not_plain_sql_is_unknown_and_names_its_tool(path: str, tool: str) -> None:
    reading = read(added(path, "anything"))
    assert (reading.verdict, rules(reading)) == (UNKNOWN, ["not_plain_sql"])
    assert tool in reading.statements[0].says


def test_settings_that_decide_what_runs_are_unknown() -> None:
    assert read(MigrationFile(path="alembic/env.py", change=Change.MODIFIED, text="x")).verdict is UNKNOWN


def test_a_snapshot_follows_its_migrations_and_is_unknown_alone() -> None:
    snapshot = MigrationFile(path="prisma/schema.prisma", change=Change.MODIFIED, text="model A {}")
    assert read(snapshot).verdict is UNKNOWN
    assert read(snapshot, added("prisma/migrations/20260101_a/migration.sql", "ALTER TABLE a ADD b int")).verdict is SAFE


@pytest.mark.parametrize(
    ("file", "rule"),
    [
        (MigrationFile(path="migrations/1_a.sql", change=Change.ADDED, text=None, why_no_text="it is not UTF-8"), "not_readable"),
        (added("migrations/1_a.sql", "x" * (MAX_FILE_CHARACTERS + 1)), "too_large"),
        (added("migrations/1_a.sql", "SELECT 1;\0"), "not_understood"),
        (added("migrations/1_a.sql", "-- atlas:delimiter \\n\\n\nSELECT 1"), "not_understood"),
        (added("db/changelog/1.sql", "--liquibase formatted sql\n--changeset a:1 endDelimiter:GO\nSELECT 1"), "not_understood"),
        (added("somewhere/else.txt", "SELECT 1"), "not_plain_sql"),
    ],
)
def test_a_file_that_cannot_be_read_is_unknown(file: MigrationFile, rule: str) -> None:
    reading = read(file)
    assert (reading.verdict, rules(reading)) == (UNKNOWN, [rule])


def test_the_reason_for_a_missing_text_reaches_the_reader() -> None:
    reading = read(MigrationFile(path="migrations/1_a.sql", change=Change.ADDED, why_no_text="it is larger than 8 MiB"))
    assert "it is larger than 8 MiB" in reading.statements[0].says


def test_the_work_of_a_range_is_bounded() -> None:
    many = read(added("migrations/1_a.sql", "ANALYZE a;" * (MAX_STATEMENTS + 5)))
    assert (many.verdict, rules(many)[-1], len(many.statements)) == (UNKNOWN, "too_large", MAX_STATEMENTS + 1)
    text = "-" * (MAX_FILE_CHARACTERS - 10)
    files = [added(f"migrations/{number}_a.sql", text) for number in range(MAX_RANGE_CHARACTERS // len(text) + 2)]
    assert read(*files).verdict is UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        "'" * 20_001,
        "/*" * 10_000,
        "$a$" * 3_001,
        "NOT " * 5_000,
        "ALTER TABLE t ADD a int DEFAULT " + "NOT " * 2_000 + "1",
        "ALTER TABLE t ADD a int DEFAULT " + "char(" * 300 + "1",
        "WITH a AS (" * 500,
        "(INSERT INTO t " * 500,
        "CREATE TRIGGER a BEGIN " * 500,
        "DROP TABLE " + "a." * 5_000,
        "\ud800 \uffff \u202e DROP",
        "\x00",
    ],
)
def test_hostile_text_is_unknown_and_never_raises(text: str) -> None:
    for dialect in Dialect:
        assert read_sql(text, dialect).verdict is UNKNOWN


@given(st.text(max_size=200), st.sampled_from(list(Dialect)))
@settings(max_examples=150)
def test_no_text_raises(text: str, dialect: Dialect) -> None:
    assert read_sql(text, dialect).verdict in SchemaVerdict


def test_goose_and_dbmate_down_parts_are_left_out_and_lines_stay() -> None:
    goose = "-- +goose Up\n-- +goose StatementBegin\nALTER TABLE a ADD b int;\n-- +goose StatementEnd\n-- +goose Down\nALTER TABLE a DROP b;\n"
    reading = read(added("migrations/00002_b.sql", goose))
    assert [(one.line, one.verdict) for one in reading.statements] == [(3, SAFE)]
    dbmate = "-- migrate:up\nALTER TABLE a ADD b int;\n\n-- migrate:down transaction:false\nALTER TABLE a DROP b;\n-- migrate:up\nDROP TABLE c;"
    again = read(added("db/migrations/20260101120000_b.sql", dbmate))
    assert [(one.line, one.verdict) for one in again.statements] == [(2, SAFE), (7, BREAKS)]
    assert read(added("migrations/1_b.sql", "-- +migrate Up\nSELECT 1;\n-- +migrate Down\nDROP TABLE a;")).verdict is SAFE


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("migrations/00002_b.sql", "-- +goose Down\nDROP TABLE a;"),
        ("migrations/00002_b.sql", "-- +goose Up\n-- +goose down\nDROP TABLE a;"),
        ("migrations/2_b.up.sql", "-- +goose Up\n-- +goose Down\nDROP TABLE a;"),
        ("db/migration/V2__b.sql", "-- migrate:up\n-- migrate:down\nDROP TABLE a;"),
        ("migrations/00002_b.sql", "-- +goose Up\n-- migrate:down\nDROP TABLE a;"),
    ],
)
def test_a_down_mark_hides_nothing_where_the_tool_would_run_it(path: str, text: str) -> None:
    assert read(added(path, text)).verdict is BREAKS


def test_files_are_read_in_the_order_of_their_versions() -> None:
    files = [
        added("db/migration/V10__drop.sql", "DROP TABLE a"),
        added("db/migration/V9__make.sql", "CREATE TABLE a (b int)"),
        added("db/migration/R__view.sql", "CREATE TABLE c (b int)"),
        added("db/migration/V11__x.sql", "CREATE TABLE d (b int)"),
    ]
    reading = read(*files)
    assert reading.verdict is SAFE
    assert [one.path.rsplit("/", 1)[-1] for one in reading.statements] == ["V9__make.sql", "V10__drop.sql", "V11__x.sql", "R__view.sql"]


def test_a_table_made_in_one_tree_is_no_proof_for_another_tree() -> None:
    reading = read(added("shop/migrations/1_a.up.sql", "CREATE TABLE users (a int)"), added("zoo/migrations/2_b.up.sql", "DROP TABLE users"))
    assert reading.verdict is BREAKS


def test_a_schema_left_set_by_one_file_lets_no_later_file_cancel_by_qualified_name() -> None:
    reading = read(
        added("migrations/1_a.up.sql", "SET search_path = s"),
        added("migrations/2_a.up.sql", "CREATE TABLE users (a int)"),
        added("migrations/3_a.up.sql", "DROP TABLE public.users"),
    )
    assert reading.verdict is BREAKS


def test_the_default_is_tracked_across_files() -> None:
    reading = read(
        added("migrations/1_a.up.sql", "ALTER TABLE orders ADD COLUMN a int NOT NULL DEFAULT 0"),
        added("migrations/2_a.up.sql", "ALTER TABLE orders ALTER COLUMN a DROP DEFAULT"),
    )
    assert [one.verdict for one in reading.statements] == [SAFE, BREAKS]


@pytest.mark.parametrize(
    ("text", "verdict", "dialect"),
    [
        ("ALTER TABLE `a` MODIFY COLUMN b longtext", WARN, M),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL", WARN, P),
        ("PRAGMA foreign_keys = off; ALTER TABLE a ADD b int", SAFE, L),
    ],
)
def test_an_undeclared_dialect_is_taken_from_unmistakable_words(text: str, verdict: SchemaVerdict, dialect: Dialect) -> None:
    reading = read_sql(text, Dialect.UNKNOWN)
    assert (reading.verdict, reading.dialect) == (verdict, dialect)


def test_without_a_dialect_the_worst_reading_stands() -> None:
    assert read_sql("ALTER TABLE a DROP b", Dialect.UNKNOWN).verdict is BREAKS
    assert read_sql("ALTER TABLE a ADD b int", Dialect.UNKNOWN).verdict is SAFE
    assert read_sql("CREATE TABLE A (b int); DROP TABLE a", Dialect.UNKNOWN).verdict is BREAKS
    assert read_sql("DROP INDEX a ON b", Dialect.UNKNOWN).verdict is SAFE


def test_without_a_dialect_a_text_that_is_cut_differently_is_unknown() -> None:
    reading = read_sql("INSERT INTO a VALUES ('\\'); DROP TABLE a; --')", Dialect.UNKNOWN)
    assert (reading.verdict, rules(reading)) == (UNKNOWN, ["dialect_not_known"])


@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */; SELECT 1; /*!40101 SET SQL_MODE=@OLD_SQL_MODE */;", SAFE),
        ("SET @old := @@session.sql_mode; SET SESSION sql_mode = ''; SET sql_mode = @old", SAFE),
        ("SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='ANSI_QUOTES'", UNKNOWN),
        ("SET SQL_MODE=@OLD_SQL_MODE", UNKNOWN),
        ("SET @OLD_SQL_MODE='ANSI'; SET SQL_MODE=@OLD_SQL_MODE", UNKNOWN),
    ],
)
def test_a_mode_that_is_kept_and_taken_back_cuts_nothing_in_another_way(sql: str, verdict: SchemaVerdict) -> None:
    assert read_sql(sql, Dialect.MYSQL).verdict is verdict


@pytest.mark.parametrize("sql", ["SET standard_conforming_strings = off; SELECT 1", "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT 1"])
def test_a_session_that_changes_how_text_is_cut_is_unknown(sql: str) -> None:
    assert {read_sql(sql, dialect).verdict for dialect in (P, M)} == {UNKNOWN}


def test_a_table_that_one_file_drops_and_another_makes_is_no_new_one() -> None:
    one = added("migrations/1_a.up.sql", "DROP TABLE IF EXISTS o")
    assert read(one, added("migrations/2_b.up.sql", "CREATE TABLE o (a int)")).verdict is BREAKS
    assert read(added("migrations/1_a.up.sql", "DROP TABLE IF EXISTS o; CREATE TABLE o (a int)")).verdict is WARN


# --- metamorphic: another way of writing never turns breaks into safe

BREAKING = [
    ("ALTER TABLE {o} DROP COLUMN {a}", ""),
    ("DROP TABLE {o}", ""),
    ("ALTER TABLE {o} RENAME COLUMN {a} TO {b}", ""),
    ("ALTER TABLE {o} RENAME TO {p}", ""),
    ("ALTER TABLE {o} ADD COLUMN {c} int NOT NULL", ""),
    ("ALTER TABLE {o} ADD COLUMN {c} int NOT NULL DEFAULT 0", "ALTER TABLE {o} ALTER COLUMN {c} DROP DEFAULT"),
    ("DROP TABLE {o}", "CREATE TABLE {o} (x int)"),
    ("ALTER TABLE {o} RENAME COLUMN {a} TO {b}", "ALTER TABLE {o} ADD COLUMN {a} text"),
    ("DROP VIEW {v}", ""),
    ("DELETE FROM {o}", ""),
]
HARMLESS = ["CREATE TABLE brand_new (x int)", "CREATE INDEX some_index ON brand_other (x)", "ANALYZE brand_other", "ALTER TABLE brand_other ADD COLUMN y int"]
QUOTES = {P: ('"', '"'), M: ("`", "`"), L: ("[", "]")}
SPACES = st.sampled_from([" ", "\n", "\r\n\t", "  ", " /* drop */ ", " -- ; '\n", "/**/"])


@st.composite
def rewritten(draw: st.DrawFn) -> tuple[Dialect, list[str]]:
    """Return a dialect and the statements of a breaking change in some other spelling."""
    dialect = draw(st.sampled_from([P, M, L]))
    first, second = draw(st.sampled_from([case for case in BREAKING if dialect is not L or "DROP DEFAULT" not in case[1]]))
    opening, closing = QUOTES[dialect]
    # One spelling per name: MySQL tells table names apart by case.
    names = {}
    for key, name in {"o": "orders", "p": "purchases", "a": "state", "b": "status", "c": "code", "v": "totals"}.items():
        quoted, qualified = draw(st.booleans()), draw(st.booleans())
        spelled = name if quoted else draw(st.sampled_from([name, name.upper(), name.title()]))
        spelled = f"{opening}{spelled}{closing}" if quoted else spelled
        names[key] = f"{'public' if dialect is P else 'main'}.{spelled}" if qualified and key in "ov" and dialect is not M else spelled
    statements = []
    for template in (first, second) if second else (first,):
        words = [draw(st.sampled_from([word, word.lower(), word.title()])) if word.isalpha() else word for word in template.split(" ")]
        spaced = "".join(word + draw(SPACES) for word in words).rstrip(" ")
        statements.append(spaced.format(**names))
    return dialect, statements


@given(rewritten(), st.data())
@settings(max_examples=250)
def test_spelling_splitting_and_harmless_neighbours_never_hide_a_break(case: tuple[Dialect, list[str]], data: st.DataObject) -> None:
    dialect, statements = case
    mixed = list(statements)
    for extra in data.draw(st.lists(st.sampled_from(HARMLESS), max_size=3, unique=True)):
        mixed.insert(data.draw(st.integers(0, len(mixed))), extra)
    cuts = [data.draw(st.booleans()) for _ in mixed]
    texts: list[str] = [""]
    for statement, cut in zip(mixed, cuts, strict=True):
        texts[-1] += f"{statement};\n"
        if cut:
            texts.append("")
    files = [added(f"migrations/{number}_x.up.sql", text) for number, text in enumerate(texts, start=8)]
    reading = read_range(data.draw(st.permutations(files)), dialect)
    assert reading.verdict is BREAKS, reading.statements


@given(rewritten(), st.sampled_from(["{}", "BEGIN; {}; COMMIT", "{0}; {0}", "DO $body$ BEGIN {}; END $body$", "-- x\n{}\n-- y", "CREATE TABLE z (y int); {}"]))
@settings(max_examples=150)
def test_wrapping_or_repeating_a_break_never_makes_it_safe(case: tuple[Dialect, list[str]], wrapper: str) -> None:
    dialect, statements = case
    assert read_sql(wrapper.format(";\n".join(statements)), dialect).verdict in {BREAKS, UNKNOWN}
    assert read_sql(wrapper.format(";\n".join(statements)), Dialect.UNKNOWN).verdict is not SAFE


@given(st.lists(st.sampled_from([*HARMLESS, "DROP TABLE orders", "UPDATE orders SET a = 1", "DO $$ x $$", "NONSENSE"]), max_size=5, unique=True))
@settings(max_examples=80)
def test_adding_a_statement_never_improves_a_verdict(statements: list[str]) -> None:
    severities = [read_sql(";".join(statements[:count]), P).verdict.severity for count in range(len(statements) + 1)]
    assert severities == sorted(severities)


# --- figures on other people's migrations, read from outside of the tree


@pytest.mark.skipif(not TUNING_SET.exists(), reason="the labelled migrations (shared/safety/schema-tuning.jsonl beside the repository) are not here")
@pytest.mark.parametrize(("project", "hard_breaks"), [("lemmy", 75), ("authelia", 5)])
def test_hard_breaks_of_real_migrations_are_found_with_few_false_alarms(project: str, hard_breaks: int) -> None:
    rows = [json.loads(line) for line in TUNING_SET.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["id"].startswith(f"{project}:")]
    verdicts = {row["id"]: read_sql(row["sql"], Dialect(row["dialect"])).verdict for row in rows}
    hard = [row["id"] for row in rows if row["oracle_severity"] == "hard"]
    assert len(hard) == hard_breaks
    assert [one for one in hard if verdicts[one] is not BREAKS] == []
    # Harm that an execution test cannot see, and what the oracle counts neither as hard nor as harmless, is no false alarm.
    unseen = ("rename_away", "drop_then", "type_changed")
    harmless = [row["id"] for row in rows if row["oracle_severity"] == "none" and not any(caveat.startswith(unseen) for caveat in row["caveats"])]
    called_breaks = [one for one, verdict in verdicts.items() if verdict is BREAKS]
    assert sum(verdicts[one] is BREAKS for one in harmless) <= 0.05 * len(called_breaks)
    dynamic = {"has_dml", "do_block", "dynamic_sql"}
    plain = [row["id"] for row in rows if dynamic.isdisjoint(row["caveats"])]
    assert sum(verdicts[one] is UNKNOWN for one in plain) <= 0.05 * len(plain)


def test_importing_the_package_does_not_import_sqlglot() -> None:
    code = "import sys, service.domain.schema; sys.exit('sqlglot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[5]).returncode == 0
