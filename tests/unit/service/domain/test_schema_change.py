import pytest

from service.domain.keys import FileChange, SourceChange
from service.domain.schema import SchemaVerdict
from service.domain.schema_change import schema_change, told

DROP = "alter table orders drop column status;"


def change(*files: FileChange, **more: object) -> SourceChange:
    return SourceChange(**{"repository": "r", "old": "a", "new": "b", "files": files, "has_code": True, "dialect": "postgres", **more})  # type: ignore[arg-type]


def test_a_difference_is_sorted_into_migrations_and_what_may_bring_some() -> None:
    found = schema_change(
        change(
            FileChange(path="db/migrations/V2__a.sql", change="added", text=DROP),
            FileChange(path="poetry.lock", change="modified"),
            FileChange(path="src/app.py", change="modified"),
        )
    )
    assert [one.path for one in found.migrations] == ["db/migrations/V2__a.sql"]
    assert [one.path for one in found.carriers] == ["poetry.lock"]
    assert [one.rule for one in told(found.reading)] == ["column_dropped"]


def test_a_submodule_that_moved_may_bring_migrations() -> None:
    found = schema_change(change(FileChange(path="vendor/billing", change="modified", what="submodule", why_no_text="a submodule")))
    assert [one.path for one in found.carriers] == ["vendor/billing"]


@pytest.mark.parametrize(("path", "carries"), [("svc/migrations", True), ("docs/latest", False)])
def test_a_symbolic_link_counts_where_tools_look_for_migrations(path: str, carries: bool) -> None:
    found = schema_change(change(FileChange(path=path, change="added", what="link", why_no_text="a symbolic link")))
    assert bool(found.carriers) is carries


def test_a_migration_that_is_a_link_is_unknown() -> None:
    found = schema_change(change(FileChange(path="db/migrations/V3__x.sql", change="added", what="link", why_no_text="a symbolic link")))
    assert found.reading.verdict is SchemaVerdict.UNKNOWN


def test_declared_patterns_are_migrations_whatever_their_folder() -> None:
    file = FileChange(path="deployment/steps/7.sql", change="added", text=DROP)
    assert schema_change(change(file)).migrations == ()
    assert schema_change(change(file, patterns=("deployment/*.sql",))).reading.verdict is SchemaVerdict.BREAKS


def test_a_kind_of_change_that_is_not_known_is_unclear() -> None:
    found = schema_change(change(FileChange(path="db/migrations/V2__a.sql", change="copied", text=DROP)))
    assert [one.path for one in found.unclear] == ["db/migrations/V2__a.sql"]


def test_a_place_for_migrations_that_nobody_looked_at_is_unknown() -> None:
    found = schema_change(change(FileChange(path="src/app.py", change="modified"), elsewhere=(("alembic.ini", "names /srv/x for migrations, which ..."),)))
    (one,) = told(found.reading)
    assert (found.reading.verdict, one.path, one.rule) == (SchemaVerdict.UNKNOWN, "alembic.ini", "migrations_elsewhere")
    assert one.clears


@pytest.mark.parametrize(
    ("path", "text", "verdict"),
    [
        ("store/changes/versions/one.py", "from alembic import op\nrevision = 'a'\n\ndef upgrade():\n    op.drop_table('o')\n", SchemaVerdict.BREAKS),
        ("store/changes/one.rb", "class A < ActiveRecord::Migration[8.0]\n  def change\n    drop_table :o\n  end\nend\n", SchemaVerdict.BREAKS),
        ("store/changes/root.yaml", "databaseChangeLog:\n- changeSet: {id: 1, author: a, changes: [{dropTable: {tableName: o}}]}\n", SchemaVerdict.BREAKS),
        ("store/changes/a.js", "exports.up = function (knex) {\n  return knex.schema.dropTable('o');\n};\n", SchemaVerdict.BREAKS),
        ("store/changes/a.sql", "DROP TABLE o", SchemaVerdict.BREAKS),
        ("store/changes/a.sh", "psql -c 'DROP TABLE o'", SchemaVerdict.UNKNOWN),
    ],
)
def test_a_declared_folder_is_read_by_what_its_files_say(path: str, text: str, verdict: SchemaVerdict) -> None:
    found = schema_change(change(FileChange(path=path, change="added", text=text), patterns=("store/changes/*",)))
    assert found.reading.verdict is verdict, [one.says for one in found.reading.statements]
