"""Migrations and the dump that the tool keeps are two witnesses: together they decide, against each other nothing is known."""

import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range

P, M = Dialect.POSTGRES, Dialect.MYSQL
S, W, B, U = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
SQL = "CREATE TABLE public.o (id bigint NOT NULL, a integer, s character varying(20) DEFAULT 'x'{});"
RUBY = """ActiveRecord::Schema[7.1].define(version: 2026_01_01_000000) do
  create_table "o", force: :cascade do |t|
    t.integer "a"
    t.string "s", limit: 20, default: "x"{}
    t.index ["a"], name: "by_a"
  end
  add_foreign_key "o", "p"
end
"""


def ruby(body: str) -> str:
    return f"class X < ActiveRecord::Migration[7.1]\n  def change\n    {body}\n  end\nend\n"


def read(body: str, before: str | None, after: str, *, dump: str = "db/structure.sql", dialect: Dialect = P) -> SchemaReading:
    """One Rails migration, with the dump before and after it; `before` None: it is the same."""
    files = [MigrationFile(path="db/migrate/20260101000000_x.rb", change=Change.ADDED, text=ruby(body))]
    if before is None:
        return read_range(files, dialect, beside={dump: after})
    files.append(MigrationFile(path=dump, change=Change.MODIFIED, text=after))
    return read_range(files, dialect, before={dump: before})


@pytest.mark.parametrize("dump", ["db/structure.sql", "db/schema.rb"])
@pytest.mark.parametrize(
    ("body", "sql", "in_ruby", "verdict"),
    [
        ("add_column :o, :y, :integer", ", y integer", '\n    t.integer "y"', S),
        ("add_column :o, :y, :integer, null: false", ", y integer NOT NULL", '\n    t.integer "y", null: false', B),
        ("add_column :o, :y, :integer", "", "", U),  # the dump was not written anew
        ("add_index :o, :a", ", y integer", '\n    t.integer "y"', U),  # a migration is missing
        ("Helper.adds_y", ", y integer NOT NULL", '\n    t.integer "y", null: false', B),  # not read, and the dump shows what it did
        ("Helper.adds_y", ", y integer", '\n    t.integer "y"', U),  # what it did to rows is in no dump
    ],
)
def test_the_dump_is_held_against_the_migrations(dump: str, body: str, sql: str, in_ruby: str, verdict: SchemaVerdict) -> None:
    template, more = (SQL, sql) if dump.endswith(".sql") else (RUBY, in_ruby)
    found = read(body, template.replace("{}", ""), template.replace("{}", more), dump=dump)
    assert found.verdict is verdict, [(one.rule, one.says) for one in found.statements]


def test_a_dump_that_nobody_wrote_anew_is_seen_though_it_did_not_change() -> None:
    same = SQL.replace("{}", "")
    found = read("add_column :o, :y, :integer", None, same)
    (against,) = [one for one in found.statements if one.rule == "dump_disagrees"]
    assert (found.verdict, against.path, against.objects) == (U, "db/structure.sql", ("o", "o.y"))
    assert against.says == "has no column o.y, which a migration of this range adds"
    assert read("add_index :o, :a", None, same).verdict is S


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (", y integer", "", "has no column o.y, which no migration of this range drops"),
        ("", ", y integer", "has column o.y, which no migration of this range adds"),
        (", y integer", ", y integer NOT NULL", "and the migrations say different things of whether column o.y may be NULL"),
        (", y integer", ", y text", "and the migrations say different things of the type of column o.y"),
        (", y integer", ", y integer DEFAULT 1", "and the migrations say different things of the default of column o.y"),
    ],
)
def test_each_contradiction_is_told(before: str, after: str, says: str) -> None:
    found = read("add_index :o, :a", SQL.replace("{}", before), SQL.replace("{}", after))
    assert [one.says for one in found.statements if one.rule == "dump_disagrees"] == [says]


def test_a_dump_that_agrees_decides_what_the_migration_leaves_open() -> None:
    wider = SQL.replace("{}", "").replace("(20)", "(40)")
    assert read("change_column :o, :s, :string, limit: 10", SQL.replace("{}", ""), SQL.replace("{}", "").replace("(20)", "(10)")).verdict is B
    assert read("change_column :o, :s, :string, limit: 40", SQL.replace("{}", ""), wider).verdict is W
    assert read("change_column_null :o, :id, false", None, SQL.replace("{}", "")).verdict is S
    assert read("change_column_null :o, :id, false", None, "no dump at all").verdict is W


def test_a_drop_that_only_the_dump_shows_is_a_break_with_its_source() -> None:
    found = read("%w[a].each { |name| remove_column :o, name }", SQL.replace("{}", ""), SQL.replace("{}", "").replace(" a integer,", ""))
    (gone,) = [one for one in found.statements if one.verdict is B]
    assert (gone.path, gone.rule, gone.objects) == ("db/structure.sql", "column_dropped", ("o", "o.a"))
    assert gone.says.endswith("so says the dump, and the migrations were not read to the end")


def test_dbmate_and_further_databases_of_rails_have_dumps_of_their_own() -> None:
    up = "-- migrate:up\nALTER TABLE o ADD y int;\n-- migrate:down\nALTER TABLE o DROP y;\n"
    files = [MigrationFile(path="db/migrations/20260101000000_x.sql", change=Change.ADDED, text=up)]
    assert read_range(files, P, beside={"db/schema.sql": SQL.replace("{}", "")}).verdict is U
    assert read_range(files, P, beside={"db/schema.sql": SQL.replace("{}", ", y int")}).verdict is S
    animals = [MigrationFile(path="db/animals_migrate/20260101000000_x.rb", change=Change.ADDED, text=ruby("add_column :o, :y, :integer"))]
    assert read_range(animals, P, beside={"db/structure.sql": SQL.replace("{}", "")}).verdict is S
    assert read_range(animals, P, beside={"db/animals_structure.sql": SQL.replace("{}", "")}).verdict is U


def test_what_an_unread_migration_did_to_a_new_column_is_seen_too() -> None:
    found = read("add_column :o, :y, :integer\n    Helper.tightens(:y)", SQL.replace("{}", ""), SQL.replace("{}", ", y integer NOT NULL"))
    assert [one.rule for one in found.statements if one.verdict is B] == ["not_null_without_default"]
    gone = read("add_column :o, :y, :integer\n    Helper.drops(:y)", SQL.replace("{}", ""), SQL.replace("{}", ""))
    assert {one.verdict for one in gone.statements} == {S, U}


def test_a_dump_that_contradicts_the_migrations_decides_nothing() -> None:
    body = "change_column_null :o, :id, false"
    agreed, against = (read(body, SQL.replace("{}", ""), SQL.replace("{}", more)) for more in ("", ", y integer"))
    assert [one.rule for one in agreed.statements if one.statement] == ["nothing_changes"]
    assert [one.rule for one in against.statements if one.statement] == ["not_null_set"]


def test_a_migration_that_cannot_be_read_at_all_leaves_it_to_the_dump() -> None:
    files = [
        MigrationFile(path="db/migrate/20260101000000_x.rb", change=Change.ADDED, why_no_text="it is not UTF-8"),
        MigrationFile(path="db/structure.sql", change=Change.MODIFIED, text=SQL.replace("{}", "").replace(" a integer,", "")),
    ]
    found = read_range(files, P, before={"db/structure.sql": SQL.replace("{}", "")})
    assert [one.rule for one in found.statements if one.path == "db/structure.sql" and one.verdict is not S] == ["column_dropped"]
