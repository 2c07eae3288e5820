"""What the reader understands is compared with the SQL that the real Alembic writes offline for the same revision."""

import importlib.util
import textwrap
from io import StringIO
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range, read_sql

SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
HEAD = """
import textwrap
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "b2"
down_revision = "a1"
TABLE = "orders"


def upgrade() -> None:
"""
DIALECTS = {Dialect.POSTGRES: "postgresql", Dialect.MYSQL: "mysql", Dialect.SQLITE: "sqlite"}

BODIES = {
    "add a nullable column": 'op.add_column("orders", sa.Column("note", sa.String(50), nullable=True))',
    "add a column, nullable by default": 'op.add_column("orders", sa.Column("note", sa.Text()))',
    "add not null": 'op.add_column("orders", sa.Column("note", sa.Integer(), nullable=False))',
    "a Python default is none": 'op.add_column("orders", sa.Column("note", sa.Integer(), nullable=False, default=3))',
    "a server default stays": 'op.add_column("orders", sa.Column("note", sa.Integer(), nullable=False, server_default="0"))',
    "a server default by text": 'op.add_column("orders", sa.Column("at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False))',
    "a server default by function": 'op.add_column("orders", sa.Column("at", sa.DateTime(), server_default=sa.func.now(), nullable=False))',
    "a new table is nothing to the earlier code": """
        op.create_table("items", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("n", sa.Text(), nullable=False))
        op.create_index("ix_items", "items", ["n"], unique=True)
        op.drop_table("items")
    """,
    "drop a table": 'op.drop_table("orders")',
    "drop a column": 'op.drop_column("orders", "status")',
    "drop an index": 'op.drop_index("ix_orders", table_name="orders")',
    "create an index": 'op.create_index(op.f("ix_orders_a"), "orders", ["a", "b"])',
    "create a unique index": 'op.create_index("ux_orders_a", "orders", ["a"], unique=True)',
    "rename a table": 'op.rename_table("orders", "purchases")',
    "constants are read": 'op.drop_column(TABLE, "status")',
    "execute plain SQL": 'op.execute("UPDATE orders SET a = 1")',
    "execute text": 'op.execute(sa.text("""\\n        ALTER TABLE orders\\n        DROP COLUMN status\\n    """))',
    "execute a dedented text": 'op.execute(textwrap.dedent("""\\n        DROP TABLE orders\\n    """))',
    "insert rows": 'op.bulk_insert(sa.table("orders", sa.column("id", sa.Integer())), [{"id": 1}])',
    "execute on the connection": """
        connection = op.get_bind()
        connection.execute(sa.text("UPDATE orders SET a = 1"))
        op.get_bind().execute(sa.text("DROP TABLE orders"))
    """,
    "an enumeration with a name of its own": """
        kinds = sa.Enum("a", "b", name="kinds")
        kinds.create(op.get_bind(), checkfirst=False)
        op.add_column("orders", sa.Column("kind", kinds))
    """,
    "an enumeration with computed labels": """
        kinds = sa.Enum(*[word for word in ("a", "b")], name="kinds")
        op.add_column("orders", sa.Column("kind", kinds, nullable=False))
    """,
    "an enumeration is dropped": 'sa.Enum("a", name="kinds").drop(op.get_bind(), checkfirst=False)',
    "add and drop again": """
        op.add_column("orders", sa.Column("a", sa.Integer(), nullable=False))
        op.drop_column("orders", "a")
    """,
}
NOT_ON_SQLITE = {
    "add a foreign key column": 'op.add_column("orders", sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), nullable=True))',
    "set not null": 'op.alter_column("orders", "a", existing_type=sa.Integer(), nullable=False)',
    "drop not null": 'op.alter_column("orders", "a", existing_type=sa.Integer(), nullable=True)',
    "set a default": 'op.alter_column("orders", "a", existing_type=sa.Integer(), server_default="1")',
    "drop a default": 'op.alter_column("orders", "a", existing_type=sa.Integer(), server_default=None)',
    "the default of a new column is dropped": """
        op.add_column("orders", sa.Column("a", sa.Integer(), nullable=False, server_default="1"))
        op.alter_column("orders", "a", existing_type=sa.Integer(), existing_nullable=False, server_default=None)
    """,
    "rename a column": 'op.alter_column("orders", "a", existing_type=sa.Integer(), new_column_name="b")',
    "add a unique column": 'op.add_column("orders", sa.Column("code", sa.String(8), unique=True))',
    "add a unique constraint": 'op.create_unique_constraint("uq_a", "orders", ["a"])',
    "add a primary key": 'op.create_primary_key("pk_a", "orders", ["a"])',
    "add a foreign key": 'op.create_foreign_key("fk_a", "orders", "users", ["a"], ["id"])',
    "add a check": 'op.create_check_constraint("ck_a", "orders", "a > 0")',
    "drop a foreign key": 'op.drop_constraint("fk_a", "orders", type_="foreignkey")',
    "in a batch": """
        with op.batch_alter_table("orders") as batch_op:
            batch_op.add_column(sa.Column("a", sa.Integer(), nullable=False))
            batch_op.drop_column("status")
            batch_op.create_index("ix_b", ["b"])
            batch_op.create_unique_constraint("uq_b", ["b"])
    """,
    "a constraint of the range is dropped again": """
        op.create_unique_constraint("uq_a", "orders", ["a"])
        op.drop_constraint("uq_a", "orders", type_="unique")
    """,
}
POSTGRES_ONLY = {
    "widen to bigint": 'op.alter_column("orders", "a", existing_type=sa.Integer(), type_=sa.BigInteger())',
    "to text": 'op.alter_column("orders", "a", existing_type=sa.String(10), type_=sa.Text())',
    "to a shorter text": 'op.alter_column("orders", "a", existing_type=sa.String(10), type_=sa.String(5))',
    "to json": 'op.alter_column("orders", "a", existing_type=sa.Text(), type_=postgresql.JSONB(), postgresql_using="a::jsonb")',
    "computed anew": 'op.alter_column("orders", "a", existing_type=sa.Text(), type_=sa.Integer(), postgresql_using="length(a)")',
    "another schema": 'op.drop_column("orders", "status", schema="shop")',
    "the default schema": 'op.drop_column("orders", "status", schema="public")',
    "an array": 'op.add_column("orders", sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}"))',
    "several texts in one": 'op.execute("DROP VIEW v; CREATE VIEW v AS SELECT 1")',
    "outside of a transaction": """
        with op.get_context().autocommit_block():
            op.create_index("ix_a", "orders", ["a"], postgresql_concurrently=True)
    """,
}


def source(body: str) -> str:
    return HEAD + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"


def understood(body: str, dialect: Dialect) -> SchemaReading:
    return read_range([MigrationFile(path="alembic/versions/b2_x.py", change=Change.ADDED, text=source(body))], dialect)


def written(body: str, dialect: Dialect, folder: Path) -> SchemaReading:
    """The reading of what the real Alembic writes."""
    file = folder / "revision.py"
    file.write_text(source(body), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("revision_of_this_test", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = StringIO()
    context = MigrationContext.configure(dialect_name=DIALECTS[dialect], opts={"as_sql": True, "output_buffer": page, "literal_binds": True})
    with Operations.context(context):
        module.upgrade()
    return read_sql(page.getvalue(), dialect)


def told(reading: SchemaReading) -> list[tuple[str, SchemaVerdict, tuple[str, ...]]]:
    return sorted((one.rule, one.verdict, one.objects) for one in reading.statements if one.verdict is not SAFE)


CASES = [
    *((name, body, dialect) for name, body in BODIES.items() for dialect in DIALECTS),
    *((name, body, dialect) for name, body in NOT_ON_SQLITE.items() for dialect in (Dialect.POSTGRES, Dialect.MYSQL)),
    *((name, body, Dialect.POSTGRES) for name, body in POSTGRES_ONLY.items()),
]


@pytest.mark.parametrize(("name", "body", "dialect"), CASES, ids=[f"{dialect.value}: {name}" for name, _, dialect in CASES])
def test_the_reader_understands_what_alembic_writes(name: str, body: str, dialect: Dialect, tmp_path: Path) -> None:
    ours, real = understood(body, dialect), written(body, dialect, tmp_path)
    assert ours.verdict is real.verdict, (name, ours.statements, real.statements)
    if dialect is not Dialect.MYSQL:  # there ALTER COLUMN becomes MODIFY with the whole definition, and a type is not told from its repetition
        assert told(ours) == told(real)


# --- what is not literal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        'for table in ("a", "b"):\n    op.drop_table(table)',
        'if True:\n    op.drop_table("a")',
        'op.execute(f"DROP TABLE {TABLE}")',
        'op.execute("DROP TABLE %s" % TABLE)',
        "bind = op.get_bind()\nbind.execute(sa.select(1))",
        "op.get_bind()",
        "helper(op)",
        'op.drop_table(name_of("a"))',
        "op.drop_table(*names)",
        'op.add_column("orders", sa.Column("a", Custom(), nullable=False))',
        'op.add_column("orders", column)',
        'op.invoke("x")',
        "from shop.models import helper\nhelper()",
        'try:\n    op.drop_table("a")\nexcept Exception:\n    pass',
        'with something():\n    op.drop_table("a")',
        'op.alter_column("orders", "a", nullable=decide())',
        "op.execute(sa.select(1))",
        'x = [op.drop_table(n) for n in "ab"]',
        'op.drop_table("a") if x else None',
        'TABLE = "other"\nop.drop_table(TABLE)\nTABLE = "third"',
    ],
)
def test_what_is_computed_when_it_runs_is_unknown_never_safe(body: str) -> None:
    reading = understood(body, Dialect.POSTGRES)
    assert reading.verdict is UNKNOWN, reading.statements
    assert reading.statements[0].rule == "not_literal"


def test_a_helper_of_the_same_file_is_followed_and_one_that_calls_itself_is_not() -> None:
    text = HEAD + '    drop()\n\n\ndef drop() -> None:\n    op.drop_table("a")\n    drop()\n'
    reading = read_range([MigrationFile(path="alembic/versions/x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES)
    assert sorted(one.rule for one in reading.statements) == ["not_literal", "table_dropped"]


@pytest.mark.parametrize(
    "text",
    [
        "from alembic import op\n",
        "from alembic import op\nrevision = 'a'\n",
        "from alembic import op\nrevision = 'a'\ndef upgrade(engine_name):\n    pass\n",
        "from alembic import op\nrevision = compute()\ndef upgrade():\n    pass\n",
        "from alembic import op\ndef upgrade(:\n",
        "from alembic import op\nrevision = 'a'\n@decide\ndef upgrade():\n    pass\n",
        "from alembic import op\nx = " + "(" * 5000,
        "from alembic import op\nx = '" + "a" * 400_000 + "'",
        "from alembic import op\n\0",
    ],
)
def test_a_file_that_is_no_plain_revision_is_unknown(text: str) -> None:
    reading = read_range([MigrationFile(path="alembic/versions/x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES)
    assert reading.verdict is UNKNOWN


def test_a_revision_that_does_nothing_is_safe_and_its_downgrade_is_not_read() -> None:
    text = HEAD + '    """Merge."""\n    pass\n\n\ndef downgrade() -> None:\n    op.drop_table("orders")\n'
    assert read_range([MigrationFile(path="alembic/versions/x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is SAFE


def test_revisions_are_read_in_the_order_of_the_graph_not_of_their_names() -> None:
    def revision(identity: str, before: str, body: str) -> MigrationFile:
        text = HEAD.replace('"b2"', f'"{identity}"').replace('"a1"', f'"{before}"') + f"    {body}\n"
        return MigrationFile(path=f"alembic/versions/{identity}_x.py", change=Change.ADDED, text=text)

    create = revision("zz", "a0", 'op.create_table("items", sa.Column("id", sa.Integer()))')
    drop = revision("aa", "zz", 'op.drop_table("items")')
    assert read_range([drop, create], Dialect.POSTGRES).verdict is SAFE
    assert read_range([drop], Dialect.POSTGRES).verdict is BREAKS


def test_a_circle_in_the_graph_ends() -> None:
    files = [
        MigrationFile(
            path=f"alembic/versions/{one}.py", change=Change.ADDED, text=HEAD.replace('"b2"', f'"{one}"').replace('"a1"', f'"{other}"') + "    pass\n"
        )
        for one, other in (("a", "b"), ("b", "a"))
    ]
    assert read_range(files, Dialect.POSTGRES).verdict is SAFE


def test_findings_name_their_line_and_their_text() -> None:
    reading = understood('op.create_table("new", sa.Column("id", sa.Integer()))\nop.execute("""\nSELECT 1;\nDROP TABLE orders\n""")', Dialect.POSTGRES)
    drop = reading.worst_first()[0]
    assert (drop.rule, drop.line, drop.statement) == ("table_dropped", 16, "DROP TABLE orders")
    assert reading.statements[0].statement.startswith('op.create_table("new"')


@pytest.mark.parametrize(
    "body",
    [
        'kinds = sa.Enum("a", name="kinds")\nkinds = other()\nop.add_column("orders", sa.Column("kind", kinds))',
        'kinds = sa.Enum("a", name="kinds")\nkinds = sa.Enum("b", name="others")\nop.add_column("orders", sa.Column("kind", kinds))',
        'kinds = helper("a", name="kinds")\nop.add_column("orders", sa.Column("kind", kinds))',
        'sa.Enum("a", name=computed()).create(op.get_bind())',
        'sa.Enum("a", name="kinds").create(engine)',
        'other = connect()\nother.execute(sa.text("SELECT 1"))',
        "op.get_bind().execute(text_of())",
    ],
)
def test_a_type_or_a_connection_that_is_not_known_for_sure_is_unknown(body: str) -> None:
    text = HEAD + textwrap.indent(body, "    ") + "\n"
    assert read_range([MigrationFile(path="alembic/versions/b2_x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is UNKNOWN
