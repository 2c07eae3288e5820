from collections.abc import Sequence
from typing import Any

import pytest

from integrations.evidence.databases import versions
from integrations.evidence.databases.versions import MOST_ROWS, TOOLS, Recognised, recognised
from service.domain.catalog import CatalogColumn, CatalogTable, VersionTable

TEXT = CatalogColumn(type="text")


def quoted(identifier: str) -> str:
    return f'"{identifier}"'


def table(*columns: str) -> CatalogTable:
    return CatalogTable(columns=dict.fromkeys(columns, TEXT))


def only(name: str, *columns: str) -> Recognised:
    (found,) = recognised({f"public.{name}": table(*columns), "public.orders": table("id")})
    return found


def told(name: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> VersionTable:
    found = only(name, *columns)
    return found.told(rows)


FLYWAY = ("installed_rank", "script", "success", "version", "type")


@pytest.mark.parametrize(
    ("name", "columns", "rows", "tool", "names", "wrong"),
    [
        ("alembic_version", ("version_num",), [("ae1027a6acf",), ("b2",)], "Alembic", {"ae1027a6acf", "b2"}, ()),
        ("django_migrations", ("id", "app", "name", "applied"), [("shop", "0001_initial")], "Django", {"shop.0001_initial"}, ()),
        (
            "flyway_schema_history",
            FLYWAY,
            [("V1__a.sql", True, "1", "SQL"), ("sub/V2__b.sql", 0, "2", "SQL"), ("<< Flyway Baseline >>", True, "0", "BASELINE"), ("R__v.sql", 1, None, "SQL")],
            "Flyway",
            {"V1__a.sql", "R__v.sql"},
            ("V2__b.sql failed",),
        ),
        ("flyway_schema_history", FLYWAY, [("V1__a.sql", True, "1", "SQL"), ("U1__a.sql", True, "1", "UNDO_SQL")], "Flyway", set(), ()),
        (
            "DATABASECHANGELOG",
            ("ID", "AUTHOR", "FILENAME", "EXECTYPE", "DATEEXECUTED"),
            [("1", "ann", "db/a.xml", "EXECUTED"), ("2", "bob", "db/a.xml", "FAILED"), ("3", "bob", "db/a.xml", "MARK_RAN")],
            "Liquibase",
            {"db/a.xml::1::ann", "db/a.xml::3::bob"},
            ("change 2 of db/a.xml failed",),
        ),
        ("schema_migrations", ("version", "dirty"), [(42, True)], "golang-migrate", {"42"}, ("version 42 is dirty",)),
        ("schema_migrations", ("version",), [("20260101000000",), ("0042",)], "Rails or dbmate", {"20260101000000", "42"}, ()),
        ("goose_db_version", ("id", "version_id", "is_applied"), [(0, True), (1, True), (2, True), (2, False)], "goose", {"1"}, ()),
        (
            "_prisma_migrations",
            ("migration_name", "finished_at", "rolled_back_at"),
            [("1_a", "t", None), ("2_b", None, None), ("3_c", None, "t"), ("4_d", "t", "t")],
            "Prisma",
            {"1_a"},
            ("2_b did not finish",),
        ),
        (
            "atlas_schema_revisions",
            ("version", "applied", "total"),
            [("20260101000000", 2, 2), ("20260201000000", 1, 3), (".atlas_cloud_identifier", 0, 0)],
            "Atlas",
            {"20260101000000"},
            ("version 20260201000000 ran 1 of 3 statements",),
        ),
        ("changes", ("change_id", "change", "project"), [("appschema",)], "sqitch", {"appschema"}, ()),
        ("__EFMigrationsHistory", ("MigrationId", "ProductVersion"), [("20260101_A",)], "Entity Framework", {"20260101_A"}, ()),
        ("knex_migrations", ("id", "name", "batch"), [("20260101000000_a.js",)], "knex", {"20260101000000_a.js"}, ()),
        ("migrations", ("id", "timestamp", "name"), [(1700000000000, "A1700000000000")], "TypeORM", {"1700000000000"}, ()),
        ("SequelizeMeta", ("name",), [("20260101000000-a.js",)], "Sequelize", {"20260101000000-a.js"}, ()),
        ("__diesel_schema_migrations", ("version", "run_on"), [("00000000000042",)], "diesel", {"42"}, ()),
        ("_sqlx_migrations", ("version", "success"), [(1, True), (2, False)], "sqlx", {"1"}, ("version 2 failed",)),
        ("refinery_schema_history", ("version", "name"), [(3, "a")], "refinery", {"3"}, ()),
    ],
)
def test_each_tool_tells_what_it_applied_and_what_failed(
    name: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]], tool: str, names: set[str], wrong: tuple[str, ...]
) -> None:
    assert told(name, columns, rows) == VersionTable(tool=tool, table=f"public.{name}", names=frozenset(names), wrong=wrong)


@pytest.mark.parametrize(("name", "column"), [("databasechangeloglock", "LOCKED"), ("knex_migrations_lock", "is_locked")])
def test_a_lock_is_held_or_not(name: str, column: str) -> None:
    assert told(name, (column,), [(1,)]).locked
    assert not told(name, (column,), [(0,)]).locked
    assert told(name, (column,), [(b"\x01",)]).locked
    assert not told(name, (column,), [(b"\x00",)]).locked


def test_tables_of_one_name_are_told_apart_by_their_columns() -> None:
    assert only("schema_migrations", "version", "dirty").tool.name == "golang-migrate"
    assert only("schema_migrations", "version").tool.name == "Rails or dbmate"


def test_promise_1_a_version_table_whose_columns_are_others_is_not_taken_for_an_empty_one() -> None:
    found = only("django_migrations", "migration", "batch")
    assert versions.told(found, None).unread == "its columns are not those of Django"


@pytest.mark.parametrize("name", ["migrations", "changes", "schema_migrations"])
def test_a_name_that_others_use_too_is_nobodys_version_table(name: str) -> None:
    assert recognised({f"public.{name}": table("batch")}) == []


def test_promise_1_rows_that_the_role_may_not_read_are_not_told_as_none() -> None:
    assert versions.told(only("alembic_version", "version_num"), None).unread == "Backout's role may not read it"
    assert versions.told(only("alembic_version", "version_num"), []).unread == ""


def test_promise_1_a_table_that_was_cut_off_is_not_read() -> None:
    assert told("alembic_version", ("version_num",), [("a",)] * (MOST_ROWS + 1)).unread == "it has more than 20000 rows"


def test_what_a_database_says_is_bounded_and_holds_nothing_that_a_terminal_obeys() -> None:
    (name,) = told("alembic_version", ("version_num",), [("\x1b[31m" + "x" * 500,)]).names
    assert name == "[31m" + "x" * 195


def test_identifiers_are_quoted_as_the_database_spells_them_and_rows_are_bounded_and_in_order() -> None:
    found = only("goose_db_version", "id", "version_id", "is_applied")
    assert found.statement(quoted) == 'SELECT "version_id", "is_applied" FROM "public"."goose_db_version" ORDER BY "id" LIMIT 20001'
    assert only("__EFMigrationsHistory", "MigrationId").statement(quoted) == 'SELECT "MigrationId" FROM "public"."__EFMigrationsHistory" LIMIT 20001'


def test_every_tool_says_which_files_its_table_speaks_of() -> None:
    from service.domain.applied import TAKES  # noqa: PLC0415  the two lists stand on two sides of a border

    assert {tool.name for tool in TOOLS} == set(TAKES)
