"""Reads migrations of Entity Framework Core: the calls of MigrationBuilder in `Up` with literal arguments, and the SQL that stands in `Sql("...")`.

Each call is turned into the SQL that EF's providers write for it, and that is read as any other. What the call says of the state before (`oldType`,
`oldNullable`, `oldDefaultValue`) is used: EF writes down what changes. Anything else in `Up` (a condition, a loop, a variable) is unknown.
Source of what is emitted: the MigrationsSqlGenerator of EF Core, of Npgsql and of Pomelo.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.domain.schema.operations import Kind, Operation
from service.domain.schema.readers.csharp import Call, Code, Computed, body_of, calls_of, cut, tokens_of
from service.domain.schema.readers.reader import MAX_CODE_CHARACTERS, Root, Sql, Step, not_literal, not_understood
from service.domain.schema.reading import Dialect, SchemaVerdict

_PLAIN_TYPE = re.compile(r"[A-Za-z_][\w ]*(?:\(\s*\d+(?:\s*,\s*\d+)?\s*\))?[\w ]*(?:\[\])?|enum\('[^'\\]*'(?:,\s*'[^'\\]*')*\)")
_PARAMETERS = {
    # The parameters that are read, in the order in which MigrationBuilder has them; further ones are named by everybody.
    "AddColumn": ("name", "table", "type"),
    "AlterColumn": ("name", "table", "type"),
    "AddForeignKey": ("name", "table", "column"),
    "AddPrimaryKey": ("name", "table", "column"),
    "AddUniqueConstraint": ("name", "table", "column"),
    "AddCheckConstraint": ("name", "table", "sql"),
    "CreateIndex": ("name", "table", "column"),
    "CreateSequence": ("name",),
    "CreateTable": ("name", "columns"),
    "DropCheckConstraint": ("name", "table"),
    "DropColumn": ("name", "table"),
    "DropForeignKey": ("name", "table"),
    "DropIndex": ("name", "table"),
    "DropPrimaryKey": ("name", "table"),
    "DropSchema": ("name",),
    "DropSequence": ("name",),
    "DropTable": ("name",),
    "DropUniqueConstraint": ("name", "table"),
    "EnsureSchema": ("name",),
    "RenameColumn": ("name", "table", "newName"),
    "RenameIndex": ("name", "newName", "table"),
    "RenameTable": ("name", "schema", "newName", "newSchema"),
    "Sql": ("sql", "suppressTransaction"),
    "DeleteData": ("table",),
    "InsertData": ("table",),
    "UpdateData": ("table",),
}
_CLR_TYPES = {
    "string": {Dialect.POSTGRES: "text", Dialect.MYSQL: "longtext", Dialect.SQLITE: "TEXT"},
    "int": dict.fromkeys(Dialect, "int"),
    "long": dict.fromkeys(Dialect, "bigint"),
    "short": dict.fromkeys(Dialect, "smallint"),
    "bool": dict.fromkeys(Dialect, "boolean"),
    "decimal": dict.fromkeys(Dialect, "numeric"),
    "double": dict.fromkeys(Dialect, "double precision"),
    "float": dict.fromkeys(Dialect, "real"),
    "Guid": {Dialect.POSTGRES: "uuid", Dialect.MYSQL: "char(36)", Dialect.SQLITE: "TEXT"},
    "DateTime": {Dialect.POSTGRES: "timestamp", Dialect.MYSQL: "datetime(6)", Dialect.SQLITE: "TEXT"},
    "DateTimeOffset": {Dialect.POSTGRES: "timestamptz", Dialect.MYSQL: "datetime(6)", Dialect.SQLITE: "TEXT"},
    "byte[]": {Dialect.POSTGRES: "bytea", Dialect.MYSQL: "longblob", Dialect.SQLITE: "BLOB"},
}
_GENERATES = {"Npgsql:ValueGenerationStrategy", "MySql:ValueGenerationStrategy", "Sqlite:Autoincrement", "SqlServer:Identity"}
_HARMLESS_ANNOTATIONS = re.compile(
    r"MySql:(?:CharSet|Collation)$|Relational:Collation$|Npgsql:(?:PostgresExtension:.*|Comment|IndexMethod|IndexInclude|NullsDistinct|CreatedConcurrently)$"
)


class _UnreadError(Exception):
    """A part is computed or not known; the text says which."""


class EntityFrameworkReader:
    """See `reader.Reader`."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """By the time that the names begin with."""
        return sorted(paths)

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """Every statement of `Up`."""
        text = self._root.files[path]
        if len(text) > MAX_CODE_CHARACTERS:
            yield not_understood(0, "", f"it is too large to be read ({len(text)} characters)")
            return
        found = body_of(tokens_of(text), "Up", "MigrationBuilder")
        if found is None:
            yield not_understood(0, "", "it has no method Up(MigrationBuilder) that is told apart")
            return
        builder, body = found
        for statement in cut(body, ";"):
            yield from self._statement(statement, builder, text, sql)

    def _statement(self, statement: Sequence[Code], builder: str, text: str, sql: Sql) -> Iterator[Step]:
        line = text.count("\n", 0, statement[0].start) + 1
        shown = text[statement[0].start : statement[-1].start + len(statement[-1].text)]
        calls = calls_of(statement, builder)
        if calls is None:
            yield not_literal(line, shown, f"it is no call of {builder}, or runs under a condition")
            return
        call, *annotations = calls
        try:
            given = _Given(call, annotations, self._root)
            if call.name == "Sql":
                yield from sql(given.text("sql"), line)
                return
            for made in _CALLS.get(call.name, _not_known)(given):
                steps = [Step(line, shown, made)] if isinstance(made, Operation) else sql(made, line)
                yield from (Step(line, shown, step.operation) for step in steps)
        except _UnreadError as error:
            yield not_literal(line, shown, str(error))


class _Given:
    """The arguments of one call, and how this database writes names."""

    def __init__(self, call: Call, annotations: Sequence[Call], root: Root) -> None:
        order = _PARAMETERS.get(call.name, ())
        if len(call.positional) > len(order):
            raise _UnreadError(f"its arguments have no names ({call.name})")
        self._values = {**dict(zip(order, call.positional, strict=False)), **call.named}
        self.call, self.dialect, self._root = call, root.dialect, root
        self.annotations: dict[str, Any] = {}
        self.generated = False
        for one in annotations:
            name = one.positional[0] if one.positional else one.named.get("name")
            if one.name not in {"Annotation", "OldAnnotation"} or not isinstance(name, str):
                raise _UnreadError(f"what {one.name} does is not known here")
            if name in _GENERATES:
                self.generated |= one.name == "Annotation"
            elif not _HARMLESS_ANNOTATIONS.match(name):
                raise _UnreadError(f"what the annotation {name[:60]} does is not known here")

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def value(self, name: str) -> Any:
        return self._values.get(name)

    def compared(self, name: str = "name") -> str:
        """A column's or constraint's name as the database compares it."""
        return self._root.name(self.text(name))

    def table(self) -> str:
        """The table's name as the database compares it."""
        schema = self.literal("schema") if self.dialect is Dialect.POSTGRES else None
        table = self.text("table")
        return self._root.name(table if schema in {None, "public"} else f"{schema}.{table}", of_table=True)

    def literal(self, name: str) -> Any:
        found = self._values.get(name)
        if isinstance(found, Computed) or (isinstance(found, tuple) and any(isinstance(one, Computed) for one in found)):
            raise _UnreadError(f"its {name} is computed when it runs ({found.what if isinstance(found, Computed) else 'in an array'})")
        return found

    def text(self, name: str) -> str:
        found = self.literal(name)
        if not isinstance(found, str):
            raise _UnreadError(f"its {name} is no text")
        return found

    def flag(self, name: str) -> bool:
        return self.literal(name) is True

    def quoted(self, name: str) -> str:
        mark = "`" if self.dialect is Dialect.MYSQL else '"'
        return f"{mark}{name.replace(mark, mark * 2)}{mark}"

    def named(self, name: str = "name") -> str:
        return self.quoted(self.text(name))

    def placed(self, name: str = "table") -> str:
        """The table, in its schema where the database has schemas (Pomelo and SQLite leave it away)."""
        table = self.named(name)
        if self.literal("schema") is None or self.dialect is not Dialect.POSTGRES:
            return table
        return f"{self.named('schema')}.{table}"

    def columns(self) -> tuple[str, ...]:
        found = self.literal("columns") if self.has("columns") else self.literal("column")
        names = found if isinstance(found, tuple) else (found,)
        if not all(isinstance(one, str) for one in names):
            raise _UnreadError("its columns are no texts")
        return tuple(names)

    def column_list(self) -> str:
        return ", ".join(self.quoted(one) for one in self.columns())

    def type(self, name: str = "type", clr: str = "") -> str:
        written = self.literal(name)
        if written is None:
            by_dialect = _CLR_TYPES.get((clr or self.call.type_argument).rstrip("?"))
            length = self.literal("maxLength") if name == "type" else self.literal("oldMaxLength")
            if by_dialect is None:
                raise _UnreadError("its type is left to the provider")
            return f"varchar({length})" if by_dialect is _CLR_TYPES["string"] and length and self.dialect is not Dialect.SQLITE else by_dialect[self.dialect]
        if not isinstance(written, str) or not _PLAIN_TYPE.fullmatch(written):
            raise _UnreadError("its type is not told apart")
        return written

    def defaults(self, prefix: str = "") -> bool:
        """Whether the database gives a value: what the value is does not matter, so it may be computed."""
        names = ("defaultValue", "defaultValueSql", "computedColumnSql")
        return any(self.has(f"{prefix}{name[0].upper()}{name[1:]}" if prefix else name) for name in names) or (not prefix and self.generated)


_Made = Iterable[str | Operation]


def _not_known(given: _Given) -> _Made:
    raise _UnreadError(f"what {given.call.name} does is not known here")


def _definition(given: _Given) -> str:
    null = "NULL" if given.flag("nullable") else "NOT NULL"
    if given.has("computedColumnSql"):
        return f"{given.type()} GENERATED ALWAYS AS (1) STORED"
    if given.generated:
        kinds = {Dialect.POSTGRES: "GENERATED BY DEFAULT AS IDENTITY NOT NULL", Dialect.MYSQL: "NOT NULL AUTO_INCREMENT", Dialect.SQLITE: "NULL"}
        return f"{given.type()} {kinds[given.dialect]}"
    return f"{given.type()} {null}{' DEFAULT 0' if given.defaults() else ''}"


def _add_column(given: _Given) -> _Made:
    yield f"ALTER TABLE {given.placed()} ADD COLUMN {given.named()} {_definition(given)}"


def _alter_column(given: _Given) -> _Made:
    """Only what differs from the state before, which EF writes into `old...`; MySQL writes the whole definition anew, with the same result."""
    table, column = given.placed(), given.named()
    at = Operation(kind=Kind.NOTE, table=given.table(), name=given.compared())
    old_clr = given.value("oldClrType")
    typeof = re.fullmatch(r"typeof \( ([\w\[\]]+) \)?", old_clr.what) if isinstance(old_clr, Computed) else None
    new = given.type()
    old = given.type("oldType", typeof[1] if typeof else given.call.type_argument)
    if new.lower() != old.lower():
        if given.dialect is Dialect.POSTGRES:
            yield f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {new}"
        else:
            yield f"ALTER TABLE {table} MODIFY COLUMN {column} {_definition(given)}" if given.dialect is Dialect.MYSQL else _retyped(given, at, new)
    before, after = given.flag("oldNullable"), given.flag("nullable")
    if before != after:
        yield replace(at, kind=Kind.DROP_NOT_NULL if after else Kind.SET_NOT_NULL)
    if given.defaults("old") and not given.defaults():
        yield replace(at, kind=Kind.DROP_DEFAULT)
    elif given.defaults():
        yield replace(at, kind=Kind.SET_DEFAULT)
    elif new.lower() == old.lower() and before == after:
        says = f"changes nothing of {at.table}.{at.name} that the database keeps"
        yield replace(at, rule="no_schema_change", verdict=SchemaVerdict.SAFE, says=says)


def _retyped(given: _Given, at: Operation, new: str) -> Operation:
    says = f"changes the type of {at.table}.{at.name} to {new}; {given.dialect.value} stores either"
    return replace(at, rule="type_changed", verdict=SchemaVerdict.WARN, says=says, clears="OLD reads and writes the new type unchanged")


def _create_table(given: _Given) -> _Made:
    if given.literal("schema") is not None and given.dialect is Dialect.POSTGRES:
        yield f"CREATE TABLE {given.named('schema')}.{given.named()} (a int)"
    else:
        yield f"CREATE TABLE {given.named()} (a int)"


def _create_index(given: _Given) -> _Made:
    unique = "UNIQUE " if given.flag("unique") else ""
    yield f"CREATE {unique}INDEX {given.named()} ON {given.placed()} ({given.column_list()})"


def _key(words: str) -> Callable[[_Given], _Made]:
    def read(given: _Given) -> _Made:
        yield f"ALTER TABLE {given.placed()} ADD CONSTRAINT {given.named()} {words} ({given.column_list()})"

    return read


def _foreign_key(given: _Given) -> _Made:
    yield f"ALTER TABLE {given.placed()} ADD CONSTRAINT {given.named()} FOREIGN KEY ({given.column_list()}) REFERENCES {given.named('principalTable')} (id)"


def _check(given: _Given) -> _Made:
    yield f"ALTER TABLE {given.placed()} ADD CONSTRAINT {given.named()} CHECK ({given.text('sql')})"


def _drop_constraint(what: str) -> Callable[[_Given], _Made]:
    def read(given: _Given) -> _Made:
        yield Operation(kind=Kind.DROP_CONSTRAINT, what=what, table=given.table(), name=given.compared())

    return read


def _drop_index(given: _Given) -> _Made:
    on = f" ON {given.placed()}" if given.dialect is Dialect.MYSQL else ""
    schema = f"{given.named('schema')}." if given.literal("schema") is not None and given.dialect is Dialect.POSTGRES else ""
    yield f"DROP INDEX {schema}{given.named()}{on}"


def _rename_table(given: _Given) -> _Made:
    schema = given.literal("schema") if given.dialect is Dialect.POSTGRES else None
    table = f"{given.quoted(str(schema))}.{given.named()}" if schema is not None else given.named()
    new = given.literal("newName") or given.text("name")
    if new != given.text("name"):
        yield f"ALTER TABLE {table} RENAME TO {given.quoted(str(new))}"
    if given.dialect is Dialect.POSTGRES and (moved := given.literal("newSchema")) is not None and moved != schema:
        renamed = f"{given.quoted(str(schema))}.{given.quoted(str(new))}" if schema is not None else given.quoted(str(new))
        yield f"ALTER TABLE {renamed} SET SCHEMA {given.quoted(str(moved))}"


def _rename_index(given: _Given) -> _Made:
    says = f"renames index {given.text('name')}"
    yield Operation(kind=Kind.NOTE, rule="index_renamed", verdict=SchemaVerdict.SAFE, says=says)


def _rows(what: str) -> Callable[[_Given], _Made]:
    def read(given: _Given) -> _Made:
        yield Operation(kind=Kind.WRITE, what=what, table=given.table(), columns=given.columns() if what == "update" else ())

    return read


def _as(template: str) -> Callable[[_Given], _Made]:
    def read(given: _Given) -> _Made:
        table = given.placed() if given.has("table") else given.placed("name")
        new = given.named("newName") if given.has("newName") else ""
        yield template.format(table=table, name=given.named(), new=new)

    return read


def _database(_: _Given) -> _Made:
    """Character sets for tables to come, and extensions: annotations that are more were refused before."""
    yield Operation(kind=Kind.NOTE, rule="no_schema_change", verdict=SchemaVerdict.SAFE, says="adds extensions, or sets how later tables are made")


_CALLS: Mapping[str, Callable[[_Given], _Made]] = {
    "AddColumn": _add_column,
    "AddForeignKey": _foreign_key,
    "AddPrimaryKey": _key("PRIMARY KEY"),
    "AddUniqueConstraint": _key("UNIQUE"),
    "AddCheckConstraint": _check,
    "AlterColumn": _alter_column,
    "AlterDatabase": _database,
    "CreateIndex": _create_index,
    "CreateSequence": _as("CREATE SEQUENCE {table}"),
    "CreateTable": _create_table,
    "DeleteData": _rows("delete"),
    "DropCheckConstraint": _drop_constraint("check"),
    "DropColumn": _as("ALTER TABLE {table} DROP COLUMN {name}"),
    "DropForeignKey": _drop_constraint("foreign key"),
    "DropIndex": _drop_index,
    "DropPrimaryKey": _drop_constraint("primary key"),
    "DropSchema": _as("DROP SCHEMA {name}"),
    "DropSequence": _as("DROP SEQUENCE {table}"),
    "DropTable": _as("DROP TABLE {table}"),
    "DropUniqueConstraint": _drop_constraint("unique"),
    "EnsureSchema": _as("CREATE SCHEMA IF NOT EXISTS {name}"),
    "InsertData": _rows("insert"),
    "RenameColumn": _as("ALTER TABLE {table} RENAME COLUMN {name} TO {new}"),
    "RenameIndex": _rename_index,
    "RenameTable": _rename_table,
    "UpdateData": _rows("update"),
}
