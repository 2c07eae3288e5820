import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaVerdict, Tool, read_range
from service.domain.schema.readers import READERS

HOSTILE = ("", "\0", "(" * 20_000, "{" * 20_000, "<" * 20_000, "def f(:", "import os\nos.system('true')", "é" * 1000, "- &a [*a]", "'" * 999, "\\" * 999)
PATHS = {
    Tool.ALEMBIC: "alembic/versions/x.py",
    Tool.DJANGO: "shop/migrations/0001_x.py",
    Tool.LIQUIBASE: "db/changelog/changes.xml",
    Tool.RAILS: "db/migrate/20260101000000_x.rb",
    Tool.KNEX: "migrations/20260101120000_x.js",
    Tool.TYPEORM: "migrations/1700000000000-x.ts",
    Tool.SEQUELIZE: "migrations/20260101120000-x.js",
    Tool.ENTITY_FRAMEWORK: "Migrations/20260101_X.cs",
}


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_makes_a_reader_raise_or_say_safe(tool: Tool, text: str) -> None:
    for dialect in Dialect:
        reading = read_range([MigrationFile(path=PATHS[tool], change=Change.ADDED, text=text)], dialect)
        assert reading.verdict is SchemaVerdict.UNKNOWN, (tool, reading.statements)


@pytest.mark.parametrize(
    ("tool", "piece"),
    [
        (Tool.ENTITY_FRAMEWORK, "void Up(MigrationBuilder m) {"),
        (Tool.ENTITY_FRAMEWORK, "m.Sql("),
        (Tool.KNEX, "up(){"),
        (Tool.KNEX, "up = ("),
        (Tool.SEQUELIZE, "a({b:["),
        (Tool.RAILS, "def up\n"),
        (Tool.RAILS, "class A < Migration\n"),
        (Tool.ALEMBIC, "def upgrade():\n"),
        (Tool.DJANGO, "class Migration:\n"),
        (Tool.LIQUIBASE, "<a>"),
    ],
)
def test_what_begins_again_and_again_is_not_looked_at_to_its_end_each_time(tool: Tool, piece: str) -> None:
    """Where it were, this would take many minutes, and the time limit of all tests would end it."""
    text = piece * (290_000 // len(piece))
    assert read_range([MigrationFile(path=PATHS[tool], change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is SchemaVerdict.UNKNOWN


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.parametrize("change", [Change.MODIFIED, Change.DELETED, Change.RENAMED])
def test_a_migration_that_was_there_before_and_changed_is_unknown(tool: Tool, change: Change) -> None:
    reading = read_range([MigrationFile(path=PATHS[tool], change=change, text="")], Dialect.POSTGRES)
    assert [(one.rule, one.verdict) for one in reading.statements] == [("migration_rewritten", SchemaVerdict.UNKNOWN)]
