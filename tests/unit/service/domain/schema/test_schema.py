"""The package's door: what the one rule that reads migrations may rely on. How each statement is judged is tested beside its file."""

import pytest

from service.domain import schema
from service.domain.schema import (
    Change,
    Dialect,
    MigrationFile,
    Role,
    SchemaVerdict,
    is_migration,
    may_carry_migrations,
    read_range,
    read_sql,
    recognise,
    summary,
)

DROPS = "-- v3.1 reads status from order_state\nALTER TABLE orders\n  DROP COLUMN legacy_status;\n"
ADDS = "ALTER TABLE orders ADD COLUMN note text;\n"


def added(path: str, text: str) -> MigrationFile:
    return MigrationFile(path=path, change=Change.ADDED, text=text)


def test_everything_that_the_door_promises_is_there_once() -> None:
    assert len(set(schema.__all__)) == len(schema.__all__)
    assert [name for name in schema.__all__ if not hasattr(schema, name)] == []


def test_the_example_of_the_documentation_runs_as_it_is_written() -> None:
    changed = (("db/migrations/0042_drop_legacy.sql", DROPS), ("README.md", "no migration"))
    files = [added(path, text) for path, text in changed if is_migration(path)]
    reading = read_range(files, Dialect.POSTGRES)
    assert reading.verdict is SchemaVerdict.BREAKS
    assert "legacy_status" in summary(reading)


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        ((), SchemaVerdict.SAFE),
        ((ADDS,), SchemaVerdict.SAFE),
        ((ADDS, DROPS), SchemaVerdict.BREAKS),
        ((ADDS, "SELECT frobnicate_everything();"), SchemaVerdict.UNKNOWN),
        ((ADDS, "this is no SQL ("), SchemaVerdict.UNKNOWN),
    ],
)
def test_a_range_is_as_bad_as_its_worst_statement_and_nothing_is_skipped(texts: tuple[str, ...], verdict: SchemaVerdict) -> None:
    files = [added(f"db/migrations/{number:04}_change.sql", text) for number, text in enumerate(texts)]
    assert read_range(files, Dialect.POSTGRES).verdict is verdict


def test_one_migration_is_read_as_a_range_of_one() -> None:
    assert read_sql(DROPS, Dialect.POSTGRES).verdict is SchemaVerdict.BREAKS
    assert read_sql(ADDS, Dialect.POSTGRES).verdict is SchemaVerdict.SAFE


def test_a_migration_in_a_language_that_is_not_read_is_unknown_by_the_name_of_its_tool() -> None:
    path = "db/migration/V7__Orders.java"
    recognised = recognise(path)
    assert recognised is not None
    assert recognised.role is Role.FORWARD
    reading = read_range([added(path, "class V7__Orders {}\n")], Dialect.POSTGRES)
    assert reading.verdict is SchemaVerdict.UNKNOWN
    assert "flyway" in summary(reading).lower()


@pytest.mark.parametrize("path", ["requirements.txt", "package-lock.json", "go.sum", "Dockerfile"])
def test_what_can_bring_migrations_from_elsewhere_is_named(path: str) -> None:
    assert may_carry_migrations(path)
    assert not is_migration(path)


def test_ordinary_code_brings_none() -> None:
    assert not may_carry_migrations("src/app.py")
    assert not is_migration("src/app.py")


@pytest.mark.parametrize("text", ["\x00", "/*", "'", "$$", "(" * 2000, "DROP", "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace")])
def test_no_text_is_an_error_and_none_of_these_is_safe(text: str) -> None:
    assert read_sql(text, Dialect.POSTGRES).verdict is SchemaVerdict.UNKNOWN
