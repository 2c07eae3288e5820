"""What the reader understands is compared with the SQL that the real Django writes for PostgreSQL, on a server where the earlier migration was applied."""

import importlib.util
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import django
import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.state import ProjectState

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range, read_sql
from tests.postgres import Postgres, name_of

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "named by the fixture"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()

SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
HEAD = """
from django.db import migrations, models
import django.db.models.deletion
import django.contrib.postgres.fields
import django.contrib.postgres.operations


class Migration(migrations.Migration):
    dependencies = [{needs}]
    operations = [
{operations}
    ]
"""
START = """
migrations.CreateModel(
    name="Customer",
    fields=[("id", models.BigAutoField(primary_key=True, serialize=False)), ("email", models.EmailField(max_length=254))],
),
migrations.CreateModel(
    name="Order",
    fields=[
        ("id", models.BigAutoField(primary_key=True, serialize=False)),
        ("status", models.CharField(max_length=20, choices=[("new", "New"), ("paid", "Paid")])),
        ("note", models.TextField(null=True)),
        ("total", models.DecimalField(max_digits=8, decimal_places=2)),
        ("count", models.IntegerField(default=0)),
        ("code", models.CharField(max_length=8, unique=True)),
        ("customer", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="shop.customer")),
        ("renamed", models.IntegerField(db_column="legacy")),
        ("watchers", models.ManyToManyField(related_name="watched", to="shop.customer")),
    ],
    options={"unique_together": {("status", "count")}},
),
migrations.CreateModel(
    name="Kept",
    fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
    options={"db_table": "legacy_kept"},
),
migrations.CreateModel(
    name="Outside",
    fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
    options={"db_table": "outside", "managed": False},
),
"""

SAME = {
    "add a nullable field": 'migrations.AddField("order", "a", models.CharField(max_length=5, null=True))',
    "add a field with a default": 'migrations.AddField("order", "a", models.IntegerField(default=3))',
    "add a field with a one-off default": 'migrations.AddField("order", "a", models.IntegerField(default=3), preserve_default=False)',
    "add an empty text": 'migrations.AddField("order", "a", models.CharField(max_length=5, blank=True))',
    "add a time of now": 'migrations.AddField("order", "a", models.DateTimeField(auto_now=True))',
    "add a default of the database": 'migrations.AddField("order", "a", models.IntegerField(db_default=3))',
    "add a nullable field with a default": 'migrations.AddField("order", "a", models.IntegerField(null=True, default=3))',
    "add an array": 'migrations.AddField("order", "a", django.contrib.postgres.fields.ArrayField(models.TextField(), default=list))',
    "add a nullable relation": 'migrations.AddField("order", "a", models.ForeignKey("shop.kept", models.CASCADE, null=True))',
    "add a many-to-many relation": 'migrations.AddField("order", "a", models.ManyToManyField(related_name="x", to="shop.customer"))',
    "remove a field": 'migrations.RemoveField("order", "note")',
    "remove a field with a column of its own name": 'migrations.RemoveField("order", "renamed")',
    "remove a relation": 'migrations.RemoveField("order", "customer")',
    "remove a many-to-many relation": 'migrations.RemoveField("order", "watchers")',
    "rename a field": 'migrations.RenameField("order", "note", "remark")',
    "rename a relation": 'migrations.RenameField("order", "customer", "buyer")',
    "rename a field that keeps its column": 'migrations.RenameField("order", "renamed", "other")',
    "rename a many-to-many relation": 'migrations.RenameField("order", "watchers", "fans")',
    "rename a model and what hangs on it": 'migrations.RenameModel("Order", "Purchase")',
    "rename a model that keeps its table": 'migrations.RenameModel("Kept", "Held")',
    "move a table": 'migrations.AlterModelTable("order", "purchases")',
    "delete a model": 'migrations.DeleteModel("Order")',
    "delete a model without a table": 'migrations.DeleteModel("Outside")',
    "create a model": 'migrations.CreateModel("New", fields=[("id", models.BigAutoField(primary_key=True)), ("a", models.TextField())])',
    "drop not null": 'migrations.AlterField("order", "count", models.IntegerField(null=True))',
    "to a bigger number": 'migrations.AlterField("order", "count", models.BigIntegerField(default=0))',
    "to text": 'migrations.AlterField("order", "status", models.TextField())',
    "to another family": 'migrations.AlterField("order", "status", models.IntegerField())',
    "a label alone": 'migrations.AlterField("order", "note", models.TextField(null=True, verbose_name="x", help_text="y"))',
    "a default alone": 'migrations.AlterField("order", "count", models.IntegerField(default=7))',
    "another column name": 'migrations.AlterField("order", "note", models.TextField(null=True, db_column="remark"))',
    "unique": 'migrations.AlterField("order", "count", models.IntegerField(default=0, unique=True))',
    "set a default of the database": 'migrations.AlterField("order", "count", models.IntegerField(db_default=1))',
    "an index on a field": 'migrations.AlterField("order", "count", models.IntegerField(default=0, db_index=True))',
    "unique together": 'migrations.AlterUniqueTogether("order", {("status", "count"), ("status", "code")})',
    "unique together as it was": 'migrations.AlterUniqueTogether("order", [["status", "count"]])',
    "an index": 'migrations.AddIndex("order", models.Index(fields=["status"], name="ix_status"))',
    "a unique constraint": 'migrations.AddConstraint("order", models.UniqueConstraint(fields=["status", "total"], name="uq_x"))',
    "a conditional unique constraint": 'migrations.AddConstraint("order", models.UniqueConstraint(fields=["status"], condition=models.Q(count=1), name="u"))',
    "a check": 'migrations.AddConstraint("order", models.CheckConstraint(condition=models.Q(count__gte=0), name="ck_x"))',
    "options": 'migrations.AlterModelOptions("order", {"ordering": ["id"], "verbose_name": "x"})',
    "SQL": 'migrations.RunSQL("ALTER TABLE shop_order DROP COLUMN status;", migrations.RunSQL.noop)',
    "SQL in parts": 'migrations.RunSQL(["DROP VIEW a;", "UPDATE shop_order SET count = 1;"])',
    "SQL that is nothing": "migrations.RunSQL(migrations.RunSQL.noop)",
    "state alone": 'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "note")])',
    "database alone": """migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL("DROP INDEX ix;")], state_operations=[migrations.AddIndex("order", models.Index(fields=["note"], name="i"))]
    )""",
    "an extension": "django.contrib.postgres.operations.TrigramExtension()",
    "a field that is added and removed again": """migrations.AddField("order", "a", models.IntegerField(default=1)),
        migrations.RemoveField("order", "a")""",
    "a field of a new model": """migrations.CreateModel("New", fields=[("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("new", "a", models.IntegerField(default=1))""",
    "a constraint that is added and removed again": """migrations.AddConstraint("order", models.CheckConstraint(condition=models.Q(count__gte=0), name="ck_x")),
        migrations.RemoveConstraint("order", "ck_x")""",
}
OURS = {
    # body, verdict, rule: where the text of the SQL says less than the migration does, or Django reads the database to write it
    "a longer text": ('migrations.AlterField("order", "code", models.CharField(max_length=9, unique=True))', WARN, "type_widened"),
    "a shorter text": ('migrations.AlterField("order", "code", models.CharField(max_length=7, unique=True))', BREAKS, "type_narrowed"),
    "more digits": ('migrations.AlterField("order", "total", models.DecimalField(max_digits=9, decimal_places=2))', WARN, "type_widened"),
    "fewer digits": ('migrations.AlterField("order", "total", models.DecimalField(max_digits=8, decimal_places=3))', BREAKS, "type_narrowed"),
    "set not null": ('migrations.AlterField("order", "note", models.TextField(default=""))', WARN, "not_null_set"),
    "not unique any more": ('migrations.AlterField("order", "code", models.CharField(max_length=8))', WARN, "constraint_dropped"),
    "not unique together any more": ('migrations.AlterUniqueTogether("order", set())', WARN, "constraint_dropped"),
    "further choices": (
        'migrations.AlterField("order", "status", models.CharField(max_length=20, choices=[("new", "N"), ("paid", "P"), ("sent", "S")]))',
        WARN,
        "choices_changed",
    ),
    "fewer choices": ('migrations.AlterField("order", "status", models.CharField(max_length=20, choices=[("new", "N")]))', SAFE, "no_schema_change"),
    "another target": (
        'migrations.AlterField("order", "customer", models.ForeignKey(on_delete=models.CASCADE, to="shop.kept"))',
        BREAKS,
        "type_changed",
    ),
    "order with respect to": ('migrations.AlterOrderWithRespectTo("order", "customer")', BREAKS, "default_dropped_on_new_not_null_column"),
    "Python": ("migrations.RunPython(lambda apps, editor: None)", UNKNOWN, "python_code"),
    "Python that does nothing": ("migrations.RunPython(migrations.RunPython.noop)", SAFE, "no_schema_change"),
    "SQL with parameters": ('migrations.RunSQL([("UPDATE a SET b = %s", [1])])', UNKNOWN, "not_literal"),
    "an index that is removed": ('migrations.RemoveIndex("order", "ix")', SAFE, "index_dropped"),
}


def source(operations: str, needs: str = '("shop", "0001_initial")') -> str:
    return HEAD.format(needs=needs, operations=textwrap.indent(textwrap.dedent(operations).strip().rstrip(",") + ",", "        "))


BESIDE = {"shop/migrations/0001_initial.py": source(START, "")}


def understood(operations: str, dialect: Dialect = Dialect.POSTGRES) -> SchemaReading:
    file = MigrationFile(path="shop/migrations/0002_x.py", change=Change.ADDED, text=source(operations))
    return read_range([file], dialect, beside=BESIDE)


def load(text: str, folder: Path, name: str) -> Any:
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"made_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Migration(name, "shop")


@pytest.fixture(scope="module")
def applied(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectState]:
    """The models of the earlier migration, which was applied to the server."""
    url = postgres.create()
    parts = urlsplit(url)
    connection.settings_dict.update(NAME=name_of(url), HOST=parts.hostname, PORT=parts.port, USER=parts.username, OPTIONS=dict(parse_qsl(parts.query)))
    with connection.schema_editor(atomic=True) as editor:
        state = load(source(START, ""), tmp_path_factory.mktemp("first"), "0001_initial").apply(ProjectState(), editor)
    yield state
    connection.close()
    postgres.drop(url)


def written(operations: str, state: ProjectState, folder: Path) -> SchemaReading:
    """The reading of the SQL that Django writes, without running it."""
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        load(source(operations), folder, "0002_x").apply(state.clone(), editor, collect_sql=True)
        lines = [str(line) for line in editor.collected_sql]
    return read_sql("\n".join(lines), Dialect.POSTGRES)


def told(reading: SchemaReading) -> list[tuple[str, SchemaVerdict]]:
    return sorted({(one.rule, one.verdict) for one in reading.statements if one.verdict is not SAFE})


@pytest.mark.parametrize("name", SAME)
def test_the_reader_understands_what_django_writes(name: str, applied: ProjectState, tmp_path: Path) -> None:
    ours, real = understood(SAME[name]), written(SAME[name], applied, tmp_path)
    assert ours.verdict is real.verdict, (ours.statements, real.statements)
    assert {rule for rule, _ in told(real)} >= {rule for rule, _ in told(ours)}, (ours.statements, real.statements)


@pytest.mark.parametrize("name", OURS)
def test_the_reader_knows_more_than_the_sql_says(name: str) -> None:
    body, verdict, rule = OURS[name]
    reading = understood(body)
    assert (reading.verdict, reading.worst_first()[0].rule) == (verdict, rule), reading.statements


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("dialect", [Dialect.MYSQL, Dialect.SQLITE])
def test_other_databases_are_read_alike(name: str, dialect: Dialect) -> None:
    assert understood(SAME[name], dialect).verdict is understood(SAME[name]).verdict


# --- what is not literal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operations",
    [
        "*[migrations.DeleteModel(n) for n in NAMES]",
        "helper()",
        "shop.operations.Custom()",
        'migrations.DeleteModel(name_of("order"))',
        'migrations.RunSQL(f"DROP TABLE {x}")',
        'migrations.RunSQL(open("x.sql").read())',
        'migrations.AddField("order", "a", field())',
        'migrations.AddField("order", "a", models.IntegerField(**options))',
        'migrations.AddField("order", "a", models.IntegerField(null=decide()))',
        'migrations.AddField("order", "a", shop.fields.MoneyField())',
        'migrations.AlterField("order", "nowhere", models.IntegerField())',
        'migrations.AlterField("order", "status", shop.fields.MoneyField())',
        'migrations.AlterField("order", "id", models.UUIDField())',
        "migrations.SeparateDatabaseAndState(database_operations=operations())",
        'migrations.Mystery("order")',
        'migrations.AddConstraint("order", shop.Constraint(name="x"))',
        'migrations.CreateModel("New", fields=FIELDS)',
    ],
)
def test_what_is_computed_or_not_known_is_unknown_never_safe(operations: str) -> None:
    assert understood(operations).verdict is UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "from django.db import migrations\n",
        "from django.db import migrations\nclass Migration(migrations.Migration):\n    operations = make()\n",
        "from django.db import migrations\nclass Migration(migrations.Migration):\n    operations = []\n    operations += [1]\n",
        "from django.db import migrations\nclass Migration(migrations.Migration):\n    operations = []\n    def apply(self): pass\n",
        "from django.db import migrations\nclass Migration(migrations.Migration):\n    operations = []\nMigration.operations.append(1)\n",
        "from django.db import migrations\nfrom shop.base import Checked\nclass Migration(Checked):\n    operations = []\n",
        "from django.db import migrations\nclass Migration(migrations.Migration):\n    if True:\n        operations = []\n",
        "from django.db import migrations\nclass Migration(migrations.Migration:\n",
    ],
)
def test_a_file_that_is_no_plain_migration_is_unknown(text: str) -> None:
    reading = read_range([MigrationFile(path="shop/migrations/0002_x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES)
    assert reading.verdict is UNKNOWN


def test_without_the_earlier_migrations_a_difference_is_unknown() -> None:
    alter = 'migrations.AlterField("order", "note", models.TextField(null=True, help_text="y"))'
    file = MigrationFile(path="shop/migrations/0003_x.py", change=Change.ADDED, text=source(alter, '("shop", "0002_lost")'))
    assert read_range([file], Dialect.POSTGRES, beside=BESIDE).verdict is UNKNOWN
    assert read_range([file], Dialect.POSTGRES).verdict is UNKNOWN


def test_an_operation_that_is_not_known_may_have_changed_the_models() -> None:
    beside = {**BESIDE, "shop/migrations/0002_custom.py": source("shop.operations.Custom()")}
    alter = 'migrations.AlterField("order", "note", models.TextField(null=True, help_text="y"))'
    file = MigrationFile(path="shop/migrations/0003_x.py", change=Change.ADDED, text=source(alter, '("shop", "0002_custom")'))
    assert read_range([file], Dialect.POSTGRES, beside=beside).verdict is UNKNOWN
    assert read_range([file], Dialect.POSTGRES, beside={**BESIDE, "shop/migrations/0002_custom.py": source("migrations.RunPython(f)")}).verdict is SAFE


def test_one_field_that_was_not_read_leaves_the_others_known() -> None:
    beside = {**BESIDE, "shop/migrations/0002_custom.py": source('migrations.AlterField("order", "count", field())')}
    for name, verdict in (("note", SAFE), ("count", UNKNOWN)):
        alter = f'migrations.AlterField("order", "{name}", models.TextField(null=True, help_text="y"))'
        file = MigrationFile(path="shop/migrations/0003_x.py", change=Change.ADDED, text=source(alter, '("shop", "0002_custom")'))
        assert read_range([file], Dialect.POSTGRES, beside=beside).verdict is verdict


def test_a_helper_inside_the_class_is_no_operation() -> None:
    text = source('migrations.RemoveField("order", "note")').replace("    operations", "    def forwards(apps, editor):\n        pass\n\n    operations")
    reading = read_range([MigrationFile(path="shop/migrations/0002_x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES, beside=BESIDE)
    assert [one.rule for one in reading.statements] == ["column_dropped"]


def test_a_squash_whose_parts_are_gone_is_where_the_chain_begins() -> None:
    squashed = source(START, "").replace("    operations", '    replaces = [("shop", "0001_initial"), ("shop", "0002_a")]\n    operations')
    alter = 'migrations.AlterField("order", "note", models.TextField(null=True, help_text="y"))'
    file = MigrationFile(path="shop/migrations/0003_x.py", change=Change.ADDED, text=source(alter, '("shop", "0002_a")'))
    assert read_range([file], Dialect.POSTGRES, beside={"shop/migrations/0001_squashed_0002_a.py": squashed}).verdict is SAFE


def test_migrations_are_read_in_the_order_of_their_dependencies() -> None:
    first = MigrationFile(path="shop/migrations/0003_a.py", change=Change.ADDED, text=source('migrations.CreateModel("New", fields=[])'))
    second = MigrationFile(path="shop/migrations/0002_b.py", change=Change.ADDED, text=source('migrations.DeleteModel("New")', '("shop", "0003_a")'))
    assert read_range([second, first], Dialect.POSTGRES, beside=BESIDE).verdict is SAFE
    assert read_range([second], Dialect.POSTGRES, beside=BESIDE).verdict is BREAKS


def test_another_application_with_the_same_names_orders_nothing() -> None:
    text = source('migrations.DeleteModel("Order")', '("other", "0001_initial"), ("shop", "0001_initial")')
    reading = read_range([MigrationFile(path="shop/migrations/0002_x.py", change=Change.ADDED, text=text)], Dialect.POSTGRES, beside=BESIDE)
    assert "drops table shop_order" in [one.says for one in reading.statements]


def test_a_squashed_migration_is_only_noted_down_where_all_it_replaces_is_here() -> None:
    squashed = source('migrations.CreateModel("Order", fields=[])', "").replace(
        "    operations", '    replaces = [("shop", "0001_initial"), ("shop", "0002_x")]\n    operations'
    )
    drop = MigrationFile(path="shop/migrations/0002_x.py", change=Change.ADDED, text=source('migrations.RemoveField("order", "note")'))
    squash = MigrationFile(path="shop/migrations/0001_squashed_0002_x.py", change=Change.ADDED, text=squashed)
    reading = read_range([drop, squash], Dialect.POSTGRES, beside=BESIDE)
    assert sorted(one.rule for one in reading.statements) == ["column_dropped", "no_schema_change"]
    assert read_range([squash], Dialect.POSTGRES, beside=BESIDE).verdict is UNKNOWN


def test_one_reading_says_what_django_does_not_show() -> None:
    reading = understood('migrations.AddField(\n    model_name="order",\n    name="channel",\n    field=models.CharField(default="web", max_length=8),\n)')
    one = reading.worst_first()[0]
    assert (one.rule, one.line) == ("default_dropped_on_new_not_null_column", 11)
    assert one.says == "leaves new column shop_order.channel NOT NULL without a default"
