import textwrap

import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_dump, read_range, read_sql

SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
PATH = "db/migrate/20260101000000_change_orders.rb"


def understood(body: str, dialect: Dialect = Dialect.POSTGRES, method: str = "change") -> SchemaReading:
    text = "class ChangeOrders < ActiveRecord::Migration[8.0]\n  disable_ddl_transaction!\n\n"
    text += f"  def {method}\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n  end\nend\n"
    return read_range([MigrationFile(path=PATH, change=Change.ADDED, text=text)], dialect)


def told(reading: SchemaReading) -> list[tuple[str, SchemaVerdict]]:
    return sorted((one.rule, one.verdict) for one in reading.statements if one.verdict is not SAFE)


SAME = {
    # what is written: the SQL that Active Record makes of it on PostgreSQL
    "add_column :orders, :note, :string": "ALTER TABLE orders ADD note character varying",
    "add_column :orders, :note, :string, null: false": "ALTER TABLE orders ADD note character varying NOT NULL",
    'add_column "orders", "note", :string, null: false, default: ""': "ALTER TABLE orders ADD note character varying DEFAULT '' NOT NULL",
    'add_column :orders, :at, :datetime, null: false, default: -> { "now()" }': "ALTER TABLE orders ADD at timestamp DEFAULT now() NOT NULL",
    "add_column(:orders, :a, :integer, if_not_exists: true)": "ALTER TABLE orders ADD COLUMN IF NOT EXISTS a integer",
    "remove_column :orders, :note, :string": "ALTER TABLE orders DROP COLUMN note",
    "remove_columns :orders, :a, :b": "ALTER TABLE orders DROP COLUMN a, DROP COLUMN b",
    "rename_column :orders, :a, :b": "ALTER TABLE orders RENAME COLUMN a TO b",
    "rename_table :orders, :purchases": "ALTER TABLE orders RENAME TO purchases",
    "drop_table :orders": "DROP TABLE orders",
    "drop_table :orders, charset: 'utf8' do |t|\n  t.string :name, default: computed\nend": "DROP TABLE orders",
    "remove_columns :orders, *%i[a b], type: :boolean": "ALTER TABLE orders DROP COLUMN a, DROP COLUMN b",
    "Rails.logger.info 'done'": "SELECT 1",
    "change_column :orders, :a, :text": "ALTER TABLE orders ALTER COLUMN a TYPE text",
    "change_column :orders, :a, :integer, using: 'length(a)'": "ALTER TABLE orders ALTER COLUMN a TYPE integer USING length(a)",
    "change_column_null :orders, :a, false": "ALTER TABLE orders ALTER COLUMN a SET NOT NULL",
    "change_column_null :orders, :a, true": "ALTER TABLE orders ALTER COLUMN a DROP NOT NULL",
    "change_column_default :orders, :a, from: nil, to: 1": "ALTER TABLE orders ALTER COLUMN a SET DEFAULT 1",
    "change_column_default :orders, :a, nil": "ALTER TABLE orders ALTER COLUMN a DROP DEFAULT",
    "change_column_default :orders, :a, from: 1, to: nil": "ALTER TABLE orders ALTER COLUMN a DROP DEFAULT",
    "add_index :orders, :a": "CREATE INDEX index_orders_on_a ON orders (a)",
    "add_index :orders, [:a, :b], unique: true, algorithm: :concurrently": "CREATE UNIQUE INDEX CONCURRENTLY index_orders_on_a_and_b ON orders (a, b)",
    "remove_index :orders, :a": "DROP INDEX index_orders_on_a",
    "add_reference :orders, :user, null: false": "ALTER TABLE orders ADD user_id bigint NOT NULL",
    "add_reference :orders, :user, foreign_key: true": "ALTER TABLE orders ADD user_id bigint REFERENCES users (id)",
    "remove_reference :orders, :user": "ALTER TABLE orders DROP COLUMN user_id",
    "add_timestamps :orders": "ALTER TABLE orders ADD created_at timestamp NOT NULL, ADD updated_at timestamp NOT NULL",
    "add_timestamps :orders, null: true": "ALTER TABLE orders ADD created_at timestamp, ADD updated_at timestamp",
    "add_foreign_key :orders, :users": "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id)",
    "remove_foreign_key :orders, :users": "ALTER TABLE orders DROP CONSTRAINT fk",
    'add_check_constraint :orders, "a > 0", name: "ck"': "ALTER TABLE orders ADD CONSTRAINT ck CHECK (a > 0)",
    'enable_extension "pg_trgm"': 'CREATE EXTENSION IF NOT EXISTS "pg_trgm"',
    'add_enum_value :status, "sent"': "ALTER TYPE status ADD VALUE 'sent'",
    'execute "DROP VIEW a"': "DROP VIEW a",
    "execute <<~SQL\n  UPDATE orders\n  SET a = 1\nSQL": "UPDATE orders SET a = 1",
    "create_table :items do |t|\n  t.string :name, null: false\n  t.timestamps\nend\nadd_index :items, :name, unique: true\ndrop_table :items": "SELECT 1",
    "add_column :orders, :a, :integer, null: false\nremove_column :orders, :a": "SELECT 1",
    "change_table :orders, bulk: true do |t|\n  t.string :a, null: false\n  t.remove :b\n  t.rename :c, :d\n  t.references :user\nend": (
        "ALTER TABLE orders ADD a varchar NOT NULL; ALTER TABLE orders DROP b; ALTER TABLE orders RENAME c TO d; ALTER TABLE orders ADD user_id bigint"
    ),
    "safety_assured { remove_column :orders, :a }": "ALTER TABLE orders DROP COLUMN a",
    "safety_assured do\n  remove_column :orders, :a\nend": "ALTER TABLE orders DROP COLUMN a",
    "reversible do |dir|\n  dir.up { execute 'DROP VIEW a' }\n  dir.down { execute 'DROP TABLE b' }\nend": "DROP VIEW a",
}


@pytest.mark.parametrize("body", SAME)
def test_the_reader_understands_what_active_record_writes(body: str) -> None:
    ours, real = understood(body), read_sql(SAME[body], Dialect.POSTGRES)
    assert ours.verdict is real.verdict, (ours.statements, real.statements)
    assert told(ours) == told(real), (ours.statements, real.statements)


@pytest.mark.parametrize(
    "body",
    [
        "drop_table :orders if Rails.env.production?",
        "if table_exists?(:orders)\n  drop_table :orders\nend",
        "%w[a b].each { |t| drop_table t }",
        "[:a].each do |t|\n  drop_table t\nend",
        "User.update_all(a: 1)",
        'execute "DROP TABLE #{name}"',
        "execute sql",
        "drop_table name",
        "drop_table(*names)",
        "add_column :orders, :a, :integer, null: decide",
        "add_column :orders, :a, kind",
        "helper_of_ours :orders",
        "x = 1",
        "change_table :orders do |t|\n  t.mystery :a\nend",
        "change_table :orders do |t|\n  t.remove :a if x\nend",
        "create_table :a do |t|\n  execute sql\nend",
        "rename_columns :orders",
        "change_column_null :orders, :a, decide",
        "drop_table :orders unless x",
        "x && drop_table(:orders)",
        "begin\n  drop_table :orders\nrescue\nend",
    ],
)
def test_what_is_computed_or_not_known_is_unknown_never_safe(body: str) -> None:
    reading = understood(body)
    assert reading.verdict is UNKNOWN, reading.statements


def test_up_is_read_and_down_is_not() -> None:
    text = "class A < ActiveRecord::Migration[7.0]\n  def up\n    add_column :a, :b, :string\n  end\n\n  def down\n    drop_table :a\n  end\nend\n"
    assert read_range([MigrationFile(path=PATH, change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is SAFE


@pytest.mark.parametrize(
    "text",
    [
        "class A\n  def change\n  end\nend\n",
        "class A < ActiveRecord::Migration[7.0]\nend\n",
        "def change\nend\n",
        "class A < ActiveRecord::Migration[7.0]\n  def change\n",
    ],
)
def test_a_file_that_is_no_plain_migration_is_unknown(text: str) -> None:
    assert read_range([MigrationFile(path=PATH, change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is UNKNOWN


def test_a_table_that_is_forced_may_be_one_that_the_old_release_knows() -> None:
    assert understood("create_table :orders, force: true do |t|\n  t.string :a\nend").verdict is WARN
    assert understood("remove_column :orders, :a\ncreate_table :orders, force: true do |t|\n  t.string :a\nend").verdict is BREAKS


def test_mysql_writes_the_whole_column_anew() -> None:
    assert told(understood("change_column :orders, :a, :text", Dialect.MYSQL)) == told(read_sql("ALTER TABLE orders MODIFY a text", Dialect.MYSQL))


def test_findings_name_their_line() -> None:
    one = understood("add_column :orders, :a, :string\nremove_column :orders, :b").worst_first()[0]
    assert (one.rule, one.line, one.statement) == ("column_dropped", 6, "remove_column :orders, :b")


@pytest.mark.parametrize(("version", "verdict"), [("", SAFE), ("[4.2]", SAFE), ("[5.0]", BREAKS), ("[8.0]", BREAKS)])
def test_timestamps_may_be_null_before_rails_5(version: str, verdict: SchemaVerdict) -> None:
    text = f"class A < ActiveRecord::Migration{version}\n  def change\n    add_timestamps :orders\n  end\nend\n"
    assert read_range([MigrationFile(path=PATH, change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is verdict


def test_on_mysql_a_changed_column_keeps_null_and_default_unless_they_are_given() -> None:
    added = "add_column :orders, :a, :integer, null: false, default: 1\n"
    assert understood(f"{added}change_column :orders, :a, :bigint", Dialect.MYSQL).verdict is SAFE
    assert understood(f"{added}change_column :orders, :a, :bigint, default: nil", Dialect.MYSQL).verdict is BREAKS
    (told_of,) = understood("change_column :orders, :a, :string, limit: 9", Dialect.MYSQL).statements
    assert (told_of.rule, told_of.verdict) == ("type_size_changed", WARN)


@pytest.mark.parametrize(
    ("block", "columns"),
    [
        ('create_table "o" do |t|\n  t.string "a", null: false\n  t.index ["a"]\nend', {"id", "a"}),
        ('create_table "o", id: false do |t|\n  t.string "a"\nend', {"a"}),
        ('create_table "o", id: :uuid, default: -> { "gen()" } do |t|\n  t.timestamps\nend', {"id", "created_at", "updated_at"}),
        ('create_table "o", primary_key: "key", id: { type: :string, limit: 9 } do |t|\nend', {"key"}),
        ('create_table "o", primary_key: ["a", "b"] do |t|\n  t.integer "a"\n  t.integer "b"\nend', {"a", "b"}),
        ('create_table "o" do |t|\n  t.references :user, polymorphic: true\nend', {"id", "user_id", "user_type"}),
        ('create_table "o" do |t|\n  t.string name_of_it\nend', None),
        ('create_table "o" do |t|\n  t.virtual_thing "a"\nend', None),
        ('create_table "o", id: kind do |t|\nend', None),
    ],
)
def test_the_columns_of_a_dump_are_those_that_active_record_makes(block: str, columns: set[str] | None) -> None:
    shape = read_dump("db/schema.rb", f"ActiveRecord::Schema[8.0].define(version: 1) do\n{textwrap.indent(block, '  ')}\nend\n", Dialect.POSTGRES)
    assert shape is not None
    assert (set(shape.tables["o"]) if columns is not None else shape.unread) == (columns if columns is not None else {"o"})


def test_lengths_and_sizes_of_a_dump_are_those_of_the_database() -> None:
    columns = ['integer "a", limit: 8', 'integer "b", limit: 2', 'text "c", size: :medium', 'text "d", limit: 4294967295', 'string "e"']
    block = "\n".join(['create_table "o" do |t|', *(f"  t.{one}" for one in columns), "end"])
    shape = read_dump("db/schema.rb", f"ActiveRecord::Schema.define(version: 1) do\n{block}\nend\n", Dialect.MYSQL)
    assert shape is not None
    types = {name: column.type for name, column in shape.tables["o"].items()}
    assert [types[name].name for name in "abcd"] == ["bigint", "smallint", "mediumtext", "longtext"]
    assert types["e"].length == 255


@pytest.mark.parametrize("text", ["", "class A\nend", "ActiveRecord::Schema.define do", "x = 1", "\0"])
def test_what_is_no_dump_has_no_shape(text: str) -> None:
    assert read_dump("db/schema.rb", text, Dialect.POSTGRES) is None
