import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range, read_sql

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
PATH = "src/Shop/Migrations/20260101120000_Orders.cs"
FRAME = """using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Shop.Migrations
{
    /// <inheritdoc />
    public partial class Orders : Migration
    {
        protected override void Up(MigrationBuilder migrationBuilder)
        {
%s
        }

        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(name: "Orders");
        }
    }
}
"""


def understood(body: str, dialect: Dialect = P) -> SchemaReading:
    body = "\n".join(f"migrationBuilder.{one};" for one in body.split("\n"))
    return read_range([MigrationFile(path=PATH, change=Change.ADDED, text=FRAME % body)], dialect)


def told(reading: SchemaReading) -> list[tuple[str, SchemaVerdict, str]]:
    return [(one.rule, one.verdict, one.says) for one in reading.statements]


@pytest.mark.parametrize("dialect", [P, M])
@pytest.mark.parametrize(
    ("call", "sql"),
    [
        ('AddColumn<string>(name: "Note", table: "Orders", type: "text", nullable: true)', 'ALTER TABLE "Orders" ADD "Note" text'),
        ('AddColumn<int>(name: "N", table: "Orders", type: "int", nullable: false)', 'ALTER TABLE "Orders" ADD "N" int NOT NULL'),
        ('AddColumn<int>("N", "Orders", "int")', 'ALTER TABLE "Orders" ADD "N" int NOT NULL'),
        ('AddColumn<int>(name: "N", table: "Orders", type: "int", nullable: false, defaultValue: 0)', 'ALTER TABLE "Orders" ADD "N" int NOT NULL DEFAULT 0'),
        (
            'AddColumn<DateTime>(name: "N", table: "Orders", type: "date", nullable: false, defaultValue: new DateTime(1, 1, 1))',
            'ALTER TABLE "Orders" ADD "N" date NOT NULL DEFAULT 0',
        ),
        ('AddColumn<int>(name: "N", table: "Orders", nullable: false, defaultValueSql: "1 + 1")', 'ALTER TABLE "Orders" ADD "N" int NOT NULL DEFAULT 0'),
        (
            'AddColumn<int>(name: "N", table: "Orders", type: "int", nullable: true, computedColumnSql: "a + b", stored: true)',
            'ALTER TABLE "Orders" ADD "N" int',
        ),
        ('DropColumn(name: "Note", table: "Orders")', 'ALTER TABLE "Orders" DROP COLUMN "Note"'),
        ('DropColumn("Note", "Orders")', 'ALTER TABLE "Orders" DROP COLUMN "Note"'),
        ('RenameColumn(name: "A", table: "Orders", newName: "B")', 'ALTER TABLE "Orders" RENAME COLUMN "A" TO "B"'),
        ('DropTable(name: "Orders")', 'DROP TABLE "Orders"'),
        ('RenameTable(name: "Orders", newName: "Purchases")', 'ALTER TABLE "Orders" RENAME TO "Purchases"'),
        ('CreateIndex(name: "IX", table: "Orders", column: "A")', 'CREATE INDEX "IX" ON "Orders" ("A")'),
        ('CreateIndex(name: "IX", table: "Orders", columns: new[] { "A", "B" }, unique: true)', 'CREATE UNIQUE INDEX "IX" ON "Orders" ("A", "B")'),
        ('AddUniqueConstraint(name: "AK", table: "Orders", column: "A")', 'ALTER TABLE "Orders" ADD CONSTRAINT "AK" UNIQUE ("A")'),
        ('AddCheckConstraint(name: "CK", table: "Orders", sql: "a > 0")', 'ALTER TABLE "Orders" ADD CONSTRAINT "CK" CHECK (a > 0)'),
        (
            'AddForeignKey(name: "FK", table: "Orders", column: "A", principalTable: "Users", principalColumn: "Id", onDelete: ReferentialAction.Cascade)',
            'ALTER TABLE "Orders" ADD CONSTRAINT "FK" FOREIGN KEY ("A") REFERENCES "Users" ("Id")',
        ),
        ('Sql("DROP TABLE a; CREATE TABLE b (c int)")', "DROP TABLE a; CREATE TABLE b (c int)"),
        ('Sql(@"UPDATE a SET b = \'""x""\'", suppressTransaction: true)', "UPDATE a SET b = 'x'"),
        ('Sql("ALTER TABLE a " + "DROP COLUMN b")', "ALTER TABLE a DROP COLUMN b"),
    ],
)
def test_a_call_means_what_its_sql_means(call: str, sql: str, dialect: Dialect) -> None:
    quoted = sql.replace('"', "`") if dialect is M else sql
    assert told(understood(call, dialect)) == told(read_sql(quoted, dialect))


@pytest.mark.parametrize(
    ("call", "dialect", "told_of"),
    [
        ('DropForeignKey(name: "FK", table: "Orders")', P, [("constraint_dropped", WARN)]),
        ('DropPrimaryKey(name: "PK", table: "Orders")', P, [("constraint_dropped", WARN)]),
        ('DropIndex(name: "IX", table: "Orders")', M, [("index_dropped", SAFE)]),
        ('DropIndex(name: "IX", table: "Orders")', P, [("index_dropped", SAFE)]),
        ('RenameIndex(name: "IX", table: "Orders", newName: "IY")', P, [("index_renamed", SAFE)]),
        ('EnsureSchema(name: "shop")', P, [("object_created", SAFE)]),
        ('InsertData(table: "Orders", column: "Id", value: 1)', P, [("rows_added", WARN)]),
        ('UpdateData(table: "Orders", keyColumn: "Id", keyValue: 1, column: "A", value: 2)', P, [("rows_changed", UNKNOWN)]),
        ('DeleteData(table: "Orders", keyColumn: "Id", keyValue: 1)', P, [("rows_changed", UNKNOWN)]),
        ('AlterDatabase().Annotation("Npgsql:PostgresExtension:citext", ",,")', P, [("no_schema_change", SAFE)]),
        (
            'AddColumn<int>(name: "A", table: "O", type: "integer", nullable: false).Annotation("Npgsql:ValueGenerationStrategy", X.Identity)',
            P,
            [("column_added", SAFE)],
        ),
        # What differs from the state before is written down, so nothing has to be guessed
        (
            'AlterColumn<string>(name: "A", table: "O", type: "text", nullable: true, oldClrType: typeof(string), oldType: "text")',
            P,
            [("not_null_dropped", WARN)],
        ),
        (
            'AlterColumn<string>(name: "A", table: "O", type: "text", nullable: false, defaultValue: "", oldType: "text", oldNullable: true)',
            P,
            [("not_null_set", WARN), ("default_changed", SAFE)],
        ),
        (
            'AlterColumn<int>(name: "A", table: "O", type: "integer", nullable: false, oldClrType: typeof(int), oldType: "integer", oldDefaultValue: 3)',
            P,
            [("default_dropped", WARN)],
        ),
        (
            'AlterColumn<DateTime>(name: "A", table: "O", type: "timestamptz", nullable: false, oldClrType: typeof(DateTime), oldType: "timestamp")',
            P,
            [("type_changed", BREAKS)],
        ),
        ('AlterColumn<string>(name: "A", table: "O", nullable: true, oldClrType: typeof(string), oldNullable: true)', P, [("no_schema_change", SAFE)]),
        ('AlterColumn<long>(name: "A", table: "O", nullable: false, oldClrType: typeof(int))', P, [("type_widened", WARN)]),
        (
            'AlterColumn<string>(name: "A", table: "O", type: "varchar(9)", maxLength: 9, nullable: false, oldClrType: typeof(string), oldType: "longtext")',
            M,
            [("type_size_changed", WARN)],
        ),
        ('AlterColumn<long>(name: "A", table: "O", type: "TEXT", nullable: false, oldClrType: typeof(int), oldType: "INTEGER")', L, [("type_changed", WARN)]),
    ],
)
def test_what_each_call_is_told_as(call: str, dialect: Dialect, told_of: list[tuple[str, SchemaVerdict]]) -> None:
    assert [(one.rule, one.verdict) for one in understood(call, dialect).statements] == told_of


def test_what_a_migration_makes_is_new_in_the_whole_range() -> None:
    table = 'CreateTable(name: "Orders", schema: "shop", columns: table => new { Id = table.Column<int>(type: "integer") }, constraints: table => { })'
    body = f'{table}\nAddColumn<int>(name: "N", table: "Orders", schema: "shop", type: "integer")\nDropTable(name: "Orders", schema: "shop")'
    assert understood(body).verdict is SAFE
    assert understood('CreateTable(name: "Orders", columns: table => new { })\nDropTable(name: "Orders", schema: "other")').verdict is BREAKS


def test_a_finding_names_its_line_and_shows_the_call() -> None:
    (one,) = understood('DropColumn(name: "Note", table: "Orders")').statements
    assert (one.line, one.statement) == (12, 'migrationBuilder.DropColumn(name: "Note", table: "Orders")')


@pytest.mark.parametrize(
    "call",
    [
        "Sql(script)",
        'Sql($"DROP TABLE {name}")',
        'Sql(File.ReadAllText("x.sql"))',
        'SqlResource("x.sql")',
        'DropColumn(name: Names.Note, table: "Orders")',
        'DropColumn(name: nameof(Order.Note), table: "Orders")',
        'AddColumn<State>(name: "N", table: "Orders", nullable: true)',
        'AddColumn<int>(name: "N", table: "Orders", type: "int; DROP TABLE x", nullable: true)',
        'AddColumn<int>(name: "N", table: "Orders", type: "int", nullable: maybe)',
        'AddColumn<int>(name: "N", table: "Orders", type: "int", nullable: true).Annotation("Npgsql:Unheard", 1)',
        'AlterDatabase().Annotation("Npgsql:Enum:state", "open,done").OldAnnotation("Npgsql:Enum:state", "open,closed")',
        'CreateIndex(name: "IX", table: "Orders", columns: names)',
        'Operations.Add(new DropTableOperation { Name = "Orders" })',
        'CreateOutbox("Outbox")',
    ],
)
def test_what_is_computed_or_not_known_is_unknown(call: str) -> None:
    reading = understood(f'AddColumn<int>(name: "A", table: "Orders", type: "int", nullable: true)\n{call}')
    assert reading.verdict is UNKNOWN
    assert [one.rule for one in reading.statements] == ["column_added", "not_literal"]


@pytest.mark.parametrize(
    "body",
    [
        'if (ActiveProvider == "x") { migrationBuilder.DropTable("a"); }',
        'foreach (var one in all) migrationBuilder.Sql("SELECT 1");',
        'var name = "x";',
        "Helper.Run(migrationBuilder);",
        '#if DEBUG\nmigrationBuilder.Sql("SELECT 1");\n#endif',
    ],
)
def test_what_is_no_call_of_the_builder_is_unknown(body: str) -> None:
    assert read_range([MigrationFile(path=PATH, change=Change.ADDED, text=FRAME % body)], P).verdict is UNKNOWN


@pytest.mark.parametrize("text", ["class X : Migration { }", FRAME.replace("void Up", "void Forward") % "", (FRAME % "") + (FRAME % "")])
def test_a_file_without_one_up_is_unknown(text: str) -> None:
    assert read_range([MigrationFile(path=PATH, change=Change.ADDED, text=text)], P).verdict is UNKNOWN


def test_a_comment_or_a_text_is_no_code() -> None:
    assert told(understood('Sql("SELECT 1 -- ); migrationBuilder.DropTable(x)") /* ; migrationBuilder.DropTable("a"); */')) == told(read_sql("SELECT 1", P))
