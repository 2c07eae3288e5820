import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range

SAFE, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
TYPEORM = """
import { MigrationInterface, QueryRunner } from "typeorm";

export class Orders1700000000000 implements MigrationInterface {
    name = 'Orders1700000000000'

    public async up(queryRunner: QueryRunner): Promise<void> {
%s
    }

    public async down(queryRunner: QueryRunner): Promise<void> {
        await queryRunner.query(`DROP TABLE "orders"`);
    }
}
"""
KNEX = "exports.up = async (knex) => {\n%s\n};\nexports.down = async (knex) => { await knex.raw('DROP TABLE orders'); };\n"
SEQUELIZE = "module.exports = {\n  async up(queryInterface, Sequelize) {\n%s\n  },\n  async down(q) {\n    await q.dropTable('a');\n  },\n};\n"
FILES = {
    "typeorm": ("migrations/1700000000000-Orders.ts", TYPEORM, "queryRunner.query"),
    "knex": ("migrations/20260101120000_orders.js", KNEX, "knex.raw"),
    "sequelize": ("migrations/20260101120000-orders.js", SEQUELIZE, "queryInterface.sequelize.query"),
}


def understood(tool: str, body: str) -> SchemaReading:
    path, frame, runs = FILES[tool]
    return read_range([MigrationFile(path=path, change=Change.ADDED, text=frame % body.replace("RUN", runs))], Dialect.POSTGRES)


@pytest.mark.parametrize("tool", FILES)
def test_sql_that_stands_in_up_is_read_and_down_is_not(tool: str) -> None:
    assert understood(tool, 'await RUN(`CREATE TABLE "items" ("id" int)`); // new').verdict is SAFE
    reading = understood(
        tool, "await RUN('CREATE TABLE items (id int)');\nawait RUN(\"ALTER TABLE orders\\n DROP COLUMN status\")\nawait RUN(`\n  DROP VIEW v\n`,);"
    )
    assert [one.rule for one in reading.statements] == ["table_created", "column_dropped", "view_dropped"]
    lines = (FILES[tool][1] % "X").split("\n")
    assert reading.statements[2].line == next(number for number, line in enumerate(lines, start=1) if "X" in line) + 3


@pytest.mark.parametrize("tool", FILES)
@pytest.mark.parametrize(
    "body",
    [
        "await RUN(`DROP TABLE ${name}`);",
        "await RUN(sql);",
        "await RUN('DROP TABLE ' + name);",
        "await RUN('UPDATE a SET b = ?', [1]);",
        "for (const t of tables) { await RUN('SELECT 1'); }",
        "if (x) await RUN('SELECT 1');",
        "await helper();",
        "const rows = await RUN('SELECT 1');",
        "await RUN('SELECT 1').then(x => drop(x));",
        "return helper(() => { RUN('SELECT 1') })",
        "x ? RUN('a') : RUN('b');",
    ],
)
def test_anything_else_is_unknown_never_safe(tool: str, body: str) -> None:
    assert understood(tool, body).verdict is UNKNOWN


@pytest.mark.parametrize("text", ["", "exports.up = {", "exports.up = knex => knex.raw('SELECT 1')", "function up() {} function up() {}", "// up() {}"])
def test_a_file_without_one_function_up_is_unknown(text: str) -> None:
    assert read_range([MigrationFile(path=FILES["knex"][0], change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is UNKNOWN


def test_what_code_writes_into_rows_is_not_shown() -> None:
    reading = understood("knex", "await knex('users').insert({ password: 'hunter2', name: \"x\", key: `hunter2` });")
    assert reading.verdict is UNKNOWN
    assert "hunter2" not in repr(reading)
