"""What the schema builders of knex, Sequelize and TypeORM mean is compared with the SQL that they write."""

import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range, read_sql

P, M = Dialect.POSTGRES, Dialect.MYSQL
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
FRAMES = {
    "k": (
        "migrations/20260101120000_x.js",
        "exports.up = async function (knex) {\n%s\n};\nexports.down = async (knex) => { await knex.schema.dropTable('o'); };\n",
    ),
    "s": ("migrations/20260101120000-x.js", "module.exports = {\n  up: async (queryInterface, Sequelize) => {\n%s\n  },\n  down: async () => {},\n};\n"),
    "t": ("migrations/1700000000000-x.ts", "export class X implements Y {\n  public async up(queryRunner: QueryRunner): Promise<void> {\n%s\n  }\n}\n"),
}
QI, QR = "await queryInterface", "await queryRunner"


def understood(tool: str, body: str, dialect: Dialect = P) -> SchemaReading:
    path, frame = FRAMES[tool]
    return read_range([MigrationFile(path=path, change=Change.ADDED, text=frame % body)], dialect)


def told(reading: SchemaReading) -> list[tuple[str, SchemaVerdict, str]]:
    return [(one.rule, one.verdict, one.says) for one in reading.statements]


@pytest.mark.parametrize("dialect", [P, M])
@pytest.mark.parametrize(
    ("tool", "body", "sql"),
    [
        ("s", f'{QI}.createTable("o", {{ id: {{ type: Sequelize.UUID }} }});', "CREATE TABLE o (a int)"),
        ("s", f'{QI}.dropTable("o");', "DROP TABLE o"),
        ("s", f'{QI}.renameTable("o", "p");', "ALTER TABLE o RENAME TO p"),
        ("s", f'{QI}.addColumn("o", "c", Sequelize.TEXT);', "ALTER TABLE o ADD c int"),
        ("s", f'{QI}.addColumn("o", "c", {{ type: Sequelize.STRING(20), allowNull: false }}, {{ transaction }});', "ALTER TABLE o ADD c int NOT NULL"),
        ("s", f'{QI}.addColumn("o", "c", {{ type: Sequelize.INTEGER, allowNull: false, defaultValue: 0 }});', "ALTER TABLE o ADD c int NOT NULL DEFAULT 0"),
        ("s", f'{QI}.addColumn("o", "c", {{ allowNull: false, defaultValue: Sequelize.fn("now") }});', "ALTER TABLE o ADD c int NOT NULL DEFAULT 0"),
        ("s", f'{QI}.addColumn("o", "c", {{ allowNull: false, defaultValue: Sequelize.UUIDV4 }});', "ALTER TABLE o ADD c int NOT NULL"),
        ("s", f'{QI}.addColumn("o", "c", {{ type: Sequelize.UUID, references: {{ model: "b", key: "id" }} }});', "ALTER TABLE o ADD c int REFERENCES b (id)"),
        ("s", f'{QI}.removeColumn("o", "c");', "ALTER TABLE o DROP COLUMN c"),
        ("s", f'{QI}.renameColumn("o", "a", "c");', "ALTER TABLE o RENAME COLUMN a TO c"),
        ("s", f'{QI}.addIndex("o", ["a", "b"], {{ unique: true, name: "u" }});', "CREATE UNIQUE INDEX u ON o (a, b)"),
        ("s", f'{QI}.addIndex("o", {{ fields: ["a"], name: "i" }});', "CREATE INDEX i ON o (a)"),
        ("s", f'{QI}.addConstraint("o", {{ fields: ["a"], type: "unique", name: "u" }});', "ALTER TABLE o ADD CONSTRAINT u UNIQUE (a)"),
        ("s", f'{QI}.removeConstraint("o", "u");', "ALTER TABLE o DROP CONSTRAINT u"),
        ("s", f'{QI}.bulkInsert("o", [{{ a: 1 }}]);', "INSERT INTO o (a) VALUES (1)"),
        ("s", f'{QI}.bulkUpdate("o", {{ a: 1 }}, {{ b: 2 }});', "UPDATE o SET a = 1 WHERE b = 2"),
        ("s", f'{QI}.sequelize.query("DROP TABLE o", {{ transaction }});', "DROP TABLE o"),
        (
            "s",
            f'{QI}.sequelize.transaction(async (t) => {{ {QI}.removeColumn("o", "a", {{ transaction: t }}); {QI}.dropTable("p", t); }});',
            "ALTER TABLE o DROP COLUMN a; DROP TABLE p",
        ),
        ("t", f'{QR}.createTable(new Table({{ name: "o", columns: [{{ name: "id", type: "int" }}] }}));', "CREATE TABLE o (a int)"),
        ("t", f'{QR}.dropTable("o");', "DROP TABLE o"),
        ("t", f'{QR}.addColumn("o", new TableColumn({{ name: "c", type: "int" }}));', "ALTER TABLE o ADD c int NOT NULL"),
        ("t", f'{QR}.addColumn("o", new TableColumn({{ name: "c", type: "int", isNullable: true }}));', "ALTER TABLE o ADD c int"),
        ("t", f'{QR}.addColumns("o", [new TableColumn({{ name: "c", type: "int", default: "0" }})]);', "ALTER TABLE o ADD c int NOT NULL DEFAULT 0"),
        ("t", f'{QR}.dropColumns("o", ["a", "b"]);', "ALTER TABLE o DROP a; ALTER TABLE o DROP b"),
        ("t", f'{QR}.renameColumn("o", "a", "b");', "ALTER TABLE o RENAME COLUMN a TO b"),
        ("t", f'{QR}.createIndex("o", new TableIndex({{ name: "u", columnNames: ["a"], isUnique: true }}));', "CREATE UNIQUE INDEX u ON o (a)"),
        (
            "t",
            f'{QR}.createForeignKey("o", new TableForeignKey({{ name: "f", columnNames: ["a"], referencedTableName: "b", referencedColumnNames: ["c"] }}));',
            "ALTER TABLE o ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES b (c)",
        ),
        ("k", "return knex.schema.createTable('o', (t) => { t.increments(); }).dropTable('p');", "CREATE TABLE o (a int); DROP TABLE p"),
        ("k", "await knex.schema.renameTable('o', 'p')", "ALTER TABLE o RENAME TO p"),
        ("k", "await knex.schema.alterTable('o', (t) => { t.string('c', 20); });", "ALTER TABLE o ADD c int"),
        ("k", "await knex.schema.alterTable('o', (t) => { t.string('c').notNullable(); });", "ALTER TABLE o ADD c int NOT NULL"),
        ("k", "await knex.schema.table('o', function (t) { t.string('c').notNullable().defaultTo('x'); });", "ALTER TABLE o ADD c int NOT NULL DEFAULT 0"),
        (
            "k",
            "await knex.schema.alterTable('o', t => { t.timestamp('c').notNullable().defaultTo(knex.fn.now()) });",
            "ALTER TABLE o ADD c int NOT NULL DEFAULT 0",
        ),
        ("k", "await knex.schema.alterTable('o', t => { t.integer('c').references('id').inTable('b') });", "ALTER TABLE o ADD c int REFERENCES b (id)"),
        ("k", "await knex.schema.alterTable('o', t => { t.dropColumns('a', 'b'); });", "ALTER TABLE o DROP a; ALTER TABLE o DROP b"),
        ("k", "await knex.schema.alterTable('o', t => { t.renameColumn('a', 'b'); });", "ALTER TABLE o RENAME COLUMN a TO b"),
        (
            "k",
            "await knex.schema.alterTable('o', t => { t.unique(['a', 'b'], 'u'); t.index('c', 'i'); });",
            "CREATE UNIQUE INDEX u ON o (a, b); CREATE INDEX i ON o (c)",
        ),
    ],
)
def test_a_call_of_a_builder_means_what_its_sql_means(tool: str, body: str, sql: str, dialect: Dialect) -> None:
    assert told(understood(tool, body, dialect)) == told(read_sql(sql, dialect))


@pytest.mark.parametrize(
    ("tool", "body", "dialect", "rules"),
    [
        (
            "s",
            f'{QI}.changeColumn("o", "a", {{ type: Sequelize.STRING(50), allowNull: false }});',
            P,
            [("not_null_set", WARN), ("default_dropped", WARN), ("type_size_changed", WARN)],
        ),
        (
            "s",
            f'{QI}.changeColumn("o", "a", {{ type: DataTypes.TEXT, defaultValue: "" }});',
            P,
            [("not_null_dropped", WARN), ("default_changed", SAFE), ("type_widened", WARN)],
        ),
        ("s", f'{QI}.changeColumn("o", "a", {{ type: Sequelize.TEXT }});', M, [("type_widened", WARN)]),
        ("s", f'{QI}.removeIndex("o", ["a", "b"]);', P, [("index_dropped", SAFE)]),
        ("s", f'{QI}.bulkDelete("o", {{}});', P, [("rows_deleted", BREAKS)]),
        ("s", f'{QI}.bulkDelete("o", {{ a: 1 }});', P, [("rows_changed", UNKNOWN)]),
        ("s", f'{QI}.addColumn("o", "c", {{ type: Sequelize.INTEGER, autoIncrement: true }});', P, [("column_added", SAFE)]),
        ("t", f'{QR}.dropForeignKey("o", "f");', P, [("constraint_dropped", WARN)]),
        ("t", f'{QR}.dropIndex("o", "uq_a");', M, [("unique_index_dropped", WARN)]),
        (
            "k",
            "await knex.schema.alterTable('o', t => { t.dropUnique(['a'], 'u'); t.dropNullable('a'); t.setNullable('b'); });",
            P,
            [("constraint_dropped", WARN), ("not_null_set", WARN), ("not_null_dropped", WARN)],
        ),
        ("k", "await knex.schema.alterTable('o', t => { t.timestamps(true, true); });", P, [("column_added", SAFE)] * 2),
        ("k", "await knex.schema.alterTable('o', t => { t.string('c').unique(); });", P, [("column_added", SAFE), ("unique_added", SAFE)]),
        ("k", "await knex.schema.dropTableIfExists('o').createTable('o', t => {});", P, [("table_replaced_if_there", WARN)] * 2),
    ],
)
def test_what_each_call_is_told_as(tool: str, body: str, dialect: Dialect, rules: list[tuple[str, SchemaVerdict]]) -> None:
    assert [(one.rule, one.verdict) for one in understood(tool, body, dialect).statements] == rules


@pytest.mark.parametrize(
    ("tool", "body"),
    [
        ("s", f'{QI}.addColumn(table, "c", Sequelize.TEXT);'),
        ("s", f'{QI}.addColumn("o", "c", definition);'),
        ("s", f'{QI}.addColumn("o", "c", {{ ...shared, allowNull: false }});'),
        ("s", f'{QI}.addColumn("o", "c", {{ allowNull: maybe }});'),
        ("s", f'{QI}.addColumn("o", "c", {{ allowNull: false, defaultValue: value }});'),
        ("s", f'{QI}.addColumn("o");'),
        ("s", f'{QI}.changeColumn("o", "a", {{ type: Sequelize.ENUM("x") }});'),
        ("s", f'{QI}.addConstraint("o", {{ fields: ["a"], type: "check", where: {{}} }});'),
        ("s", f'{QI}.addIndex("o", ["a"], makeOptions());'),
        ("s", f"{QI}.dropAllTables();"),
        ("s", f'{QI}.sequelize.query("UPDATE o SET a = ?", {{ replacements: [1] }});'),  # noqa: S608  never executed
        ("s", "await Promise.all([queryInterface.dropTable('o')]);"),
        ("s", f"{QI}.sequelize.transaction(work);"),
        ("s", f'{QI}.sequelize.transaction(async (t) => {{ if (x) {{ {QI}.dropTable("o"); }} }});'),
        ("s", 'await other.dropTable("o");'),
        ("t", f"{QR}.dropTable(table);"),
        ("t", f'{QR}.dropColumn("o", column);'),
        ("t", f'{QR}.addColumn("o", column);'),
        ("t", f'{QR}.changeColumn("o", "a", new TableColumn({{ name: "a", type: "int" }}));'),
        ("t", f"{QR}.manager.save(order);"),
        ("k", "await knex.schema.alterTable('o', t => { t.string('c').notNullable().alter(); });"),
        ("k", "await knex.schema.alterTable('o', t => { if (x) { t.dropColumn('a'); } });"),
        ("k", "await knex.schema.alterTable('o', change);"),
        ("k", "await knex.schema.alterTable('o', t => { t.string('c').defaultTo(value); });"),
        ("k", "await knex.schema.alterTable('o', t => { t.invented('c'); });"),
        ("k", "await knex.schema.hasTable('o').then(drop);"),
        ("k", "await knex('o').update({ a: 1 });"),
        ("k", "knex.schema;"),
    ],
)
def test_what_is_computed_or_not_known_is_unknown(tool: str, body: str) -> None:
    reading = understood(tool, body)
    assert {one.rule for one in reading.statements if one.verdict is UNKNOWN} == {"not_literal"}, reading.statements
    assert reading.verdict is UNKNOWN


def test_deep_nesting_is_not_followed() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    assert understood("s", f'{QI}.addColumn("o", "c", {{ type: {deep}, allowNull: {deep} }});').verdict is UNKNOWN
