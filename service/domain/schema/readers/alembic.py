"""Reads Alembic's revision files as a tree: the literal `op.…` calls of `upgrade()`, in the order of the revision graph.

A loop, a condition, the connection (`op.get_bind`), an f-string, or a helper of the project is unknown: what it does is decided when it runs. What an operation
emits follows Alembic 1.x and its own documentation; tests compare with the SQL that the real one writes offline.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation
from service.domain.schema.readers.python import UNKNOWN, Module, UnreadableError, arguments, calls, constants
from service.domain.schema.readers.reader import Root, Sql, Step, not_literal, not_understood
from service.domain.schema.reading import Dialect, SchemaVerdict

_PLAIN_TYPES = {
    "String": "varchar",
    "Unicode": "varchar",
    "VARCHAR": "varchar",
    "AutoString": "varchar",
    "CHAR": "char",
    "Text": "text",
    "UnicodeText": "text",
    "Integer": "int",
    "BigInteger": "bigint",
    "SmallInteger": "smallint",
    "Numeric": "decimal",
    "Float": "float",
    "Double": "double",
    "DOUBLE_PRECISION": "double",
    "Boolean": "boolean",
    "DateTime": "timestamp",
    "LargeBinary": "varbinary",
    "BYTEA": "varbinary",
    "Uuid": "uuid",
    "JSON": "json",
    "JSONB": "jsonb",
    "Enum": "enum",
    "ENUM": "enum",
    "PickleType": "varbinary",
}
_TYPE_MODULES = ("sqlalchemy", "sqlmodel", "sqlalchemy_utils", "geoalchemy2", "pgvector", "citext")
_KNOWN_MODULES = ("alembic", "textwrap", "inspect", "typing", "collections", "datetime", "uuid", "enum", "decimal", "logging", "os", "json", "re")
_READ = "a person reads it and confirms that OLD still runs"


class _UnreadError(Exception):
    """A part of a call is not literal or not known; the text says which."""


@dataclass(frozen=True, slots=True)
class _Revision:
    identity: str
    before: tuple[str, ...]


class AlembicReader:
    """See `reader.Reader`."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._modules: dict[str, Module | UnreadableError] = {}

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """By the graph: a revision after those it names; where the graph says nothing, by path."""
        revisions = {path: self._revision(path) for path in paths}
        by_identity = {found.identity: path for path, found in revisions.items() if found is not None}
        placed: dict[str, None] = {}

        for start in sorted(paths):
            waiting = [(start, False)]
            entered: set[str] = set()
            while waiting:
                path, ready = waiting.pop()
                if path in placed:
                    continue
                if ready:
                    placed[path] = None
                    continue
                if path in entered:  # a circle: Alembic refuses it, here any order will do
                    continue
                entered.add(path)
                waiting.append((path, True))
                found = revisions[path]
                waiting += [(by_identity[one], False) for one in (found.before if found else ()) if one in by_identity]
        return tuple(placed)

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """Every call of `upgrade()`."""
        module = self._module(path)
        if isinstance(module, UnreadableError):
            yield not_understood(0, "", str(module))
            return
        if module.constant("revision") is UNKNOWN or (upgrade := module.functions.get("upgrade")) is None:
            yield not_understood(0, "", "no revision with a function upgrade()")
            return
        if upgrade.args.args or upgrade.args.kwonlyargs or upgrade.args.vararg or upgrade.decorator_list:
            yield not_literal(upgrade.lineno, module.shown(upgrade), "upgrade() takes arguments or is decorated: what it changes is decided when it runs")
            return
        yield from _Upgrade(self._root, module, sql, upgrade).steps(upgrade.body)

    def _module(self, path: str) -> Module | UnreadableError:
        if path not in self._modules:
            try:
                self._modules[path] = Module(self._root.files[path])
            except UnreadableError as error:
                self._modules[path] = error
        return self._modules[path]

    def _revision(self, path: str) -> _Revision | None:
        module = self._module(path)
        if isinstance(module, UnreadableError) or not isinstance(identity := module.constant("revision"), str):
            return None
        before = [*_as_list(module.constant("down_revision", None)), *_as_list(module.constant("depends_on", None))]
        return _Revision(identity, tuple(one for one in before if isinstance(one, str)))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _Upgrade:
    """One `upgrade()`: its statements in order."""

    def __init__(self, root: Root, module: Module, sql: Sql, function: ast.FunctionDef) -> None:
        self._root, self._module, self._sql = root, module, sql
        self._local = constants(function.body, function)
        self._entered = {function.name}
        self._batches: dict[str, tuple[str, str]] = {}
        self._connections: set[str] = set()
        self._types = {name: made for name, made in {**module.calls, **calls(function.body, function)}.items() if _is_type(module, made)}

    def steps(self, body: Sequence[ast.stmt]) -> Iterator[Step]:
        for statement in body:
            yield from self._statement(statement)

    def _statement(self, statement: ast.stmt) -> Iterator[Step]:
        line, shown = statement.lineno, self._module.shown(statement)
        match statement:
            case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()) | ast.Return(value=None):
                return
            case ast.Assign(targets=[ast.Name(id=name)]) if name in self._local:
                return
            case ast.Assign(targets=[ast.Name(id=name)]) if name in self._types:
                return  # a type, which says nothing until a column has it
            case ast.Assign(targets=[ast.Name()], value=ast.Call() as call) if self._module.dotted(call.func) in {"sqlalchemy.table", "sqlalchemy.sql.table"}:
                return  # names a table for a statement that says itself what it does
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if self._is_connection(value):
                self._connections.add(name)
            case ast.Expr(value=ast.Call() as call):
                yield from self._call(call, line, shown)
            case ast.With(items=[ast.withitem(context_expr=ast.Call() as call, optional_vars=variable)], body=body):
                yield from self._with(call, variable, body, line, shown)
            case ast.For() | ast.While() | ast.AsyncFor():
                yield not_literal(line, shown, "it runs in a loop")
            case ast.If() | ast.Match() | ast.Try():
                yield not_literal(line, shown, "it runs under a condition")
            case _:
                yield not_literal(line, shown, "it is computed when it runs")

    def _with(self, call: ast.Call, variable: ast.expr | None, body: Sequence[ast.stmt], line: int, shown: str) -> Iterator[Step]:
        name = self._module.dotted(call.func)
        if name == "alembic.op.get_context.autocommit_block" or _is_autocommit(self._module, call):
            yield from self.steps(body)
            return
        given = arguments(call)
        if name == "alembic.op.batch_alter_table" and isinstance(variable, ast.Name) and given is not None:
            table = self._module.value(given[0][0] if given[0] else given[1].get("table_name"), self._local)
            schema = self._module.value(given[1]["schema"], self._local) if "schema" in given[1] else None
            if isinstance(table, str) and (schema is None or isinstance(schema, str)):
                self._batches[variable.id] = (table, schema or "")
                yield from self.steps(body)
                return
        yield not_literal(line, shown, "it depends on what stands around it")

    def _call(self, call: ast.Call, line: int, shown: str) -> Iterator[Step]:
        name = self._module.dotted(call.func)
        if isinstance(call.func, ast.Name) and not call.args and not call.keywords and (called := self._module.functions.get(call.func.id)) is not None:
            if called.name in self._entered or called.decorator_list:
                yield not_literal(line, shown, "it calls itself, or what decorates it decides")
                return
            self._entered.add(called.name)
            yield from _Upgrade._inside(self, called).steps(called.body)
            return
        if isinstance(call.func, ast.Attribute) and call.func.attr == "execute" and self._is_connection(call.func.value):
            given = arguments(call)
            yield from self._execute(*(given or ([], {})), line, shown)
            return
        if (made := self._enum(call)) is not None:
            if self._root.dialect is Dialect.POSTGRES:  # the others have no types of their own
                yield Step(line, shown, made)
            return
        batch = ""
        operation = name.removeprefix("alembic.op.") if name.startswith("alembic.op.") else ""
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id in self._batches:
            batch, operation = call.func.value.id, call.func.attr
        if not operation:
            yield not_literal(line, shown, f"what {name or 'it'} does is not in this file")
            return
        given = arguments(call)
        if given is None:
            yield not_literal(line, shown, "its arguments are computed")
            return
        if operation == "execute":
            yield from self._execute(given[0], given[1], line, shown)
            return
        reader = _OPERATIONS.get(operation)
        if reader is None:
            because = "it asks the database when it runs" if operation in {"get_bind", "get_context"} else f"op.{operation} is not known"
            yield not_literal(line, shown, because)
            return
        try:
            found = list(reader(_Call(self._root, self._module, self._local, given[0], given[1], self._batches.get(batch), self._types)))
        except _UnreadError as error:
            yield not_literal(line, shown, str(error))
            return
        for one in found:
            yield Step(line, shown, one)

    def _is_connection(self, expression: ast.expr) -> bool:
        """Whether an expression is the connection on which the migration runs."""
        if isinstance(expression, ast.Name):
            return expression.id in self._connections
        return isinstance(expression, ast.Call) and not expression.args and self._module.dotted(expression.func) == "alembic.op.get_bind"

    def _enum(self, call: ast.Call) -> Operation | None:
        """The type that `Enum(..., name=...).create(op.get_bind())` makes, or that `.drop` takes away."""
        made: ast.expr | None = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr in {"create", "drop"} else None
        if isinstance(made, ast.Name):
            made = self._types.get(made.id)
        if not isinstance(made, ast.Call) or self._module.dotted(made.func).rpartition(".")[2] not in {"Enum", "ENUM"}:
            return None
        on = call.args[0] if call.args else next((one.value for one in call.keywords if one.arg == "bind"), None)
        named = {one.arg: self._module.value(one.value, self._local) for one in [*made.keywords, *call.keywords] if one.arg not in {None, "bind"}}
        if on is None or not self._is_connection(on) or not isinstance(named.get("name"), str) or not self._module.dotted(made.func).startswith("sqlalchemy"):
            return None
        kind = Kind.CREATE_OBJECT if isinstance(call.func, ast.Attribute) and call.func.attr == "create" else Kind.DROP_OBJECT
        return Operation(kind=kind, what="type", name=self._root.name(str(named["name"])), guarded=named.get("checkfirst", False) is not False)

    def _inside(self, called: ast.FunctionDef) -> "_Upgrade":
        inner = _Upgrade(self._root, self._module, self._sql, called)
        inner._entered, inner._connections = self._entered, self._connections
        return inner

    def _execute(self, positional: list[ast.expr], named: Mapping[str, ast.expr], line: int, shown: str) -> Iterator[Step]:
        expression = positional[0] if positional else named.get("sqltext")
        if isinstance(expression, ast.Call) and self._module.dotted(expression.func) in {"sqlalchemy.text", "sqlalchemy.sql.text", "sqlalchemy.DDL"}:
            expression = expression.args[0] if len(expression.args) == 1 and not expression.keywords else None
        text = self._module.value(expression, self._local)
        if not isinstance(text, str) or set(named) - {"sqltext", "execution_options"}:
            yield not_literal(line, shown, "its SQL is put together when it runs")
            return
        yield from self._sql(text, getattr(expression, "lineno", line))


def _is_type(module: Module, call: ast.Call) -> bool:
    """Whether a call makes an enumeration: the one type that migrations give a name, to make it before a column has it."""
    name = module.dotted(call.func)
    return name.startswith("sqlalchemy") and name.rpartition(".")[2] in {"Enum", "ENUM"}


def _is_autocommit(module: Module, call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "autocommit_block"
        and isinstance(call.func.value, ast.Call)
        and module.dotted(call.func.value.func) == "alembic.op.get_context"
    )


class _Call:
    """The arguments of one operation. With `batch` (table, schema) the table is not among them."""

    def __init__(
        self,
        root: Root,
        module: Module,
        local: Mapping[str, Any],
        positional: list[ast.expr],
        named: Mapping[str, ast.expr],
        batch: tuple[str, str] | None,
        types: Mapping[str, ast.Call],
    ) -> None:
        self.root, self.module, self.local = root, module, local
        self._positional, self.named, self.batch, self.types = positional, named, batch, types

    def expression(self, position: int, name: str) -> ast.expr | None:
        return self._positional[position] if position < len(self._positional) else self.named.get(name)

    def rest(self, position: int) -> list[ast.expr]:
        return self._positional[position:]

    def value(self, position: int, name: str, default: Any = None) -> Any:
        return self.of(self.expression(position, name), name, default)

    def option(self, name: str, default: Any = None) -> Any:
        return self.of(self.named.get(name), name, default)

    def of(self, expression: ast.expr | None, name: str, default: Any = None) -> Any:
        """The literal value of an argument; _UnreadError when it is there and not literal."""
        if expression is None:
            return default
        if isinstance(expression, ast.Call) and self.module.dotted(expression.func) == "alembic.op.f" and len(expression.args) == 1:
            expression = expression.args[0]
        found = self.module.value(expression, self.local)
        if found is UNKNOWN:
            raise _UnreadError(f"its {name} is computed")
        return found

    def text(self, position: int, name: str) -> str:
        found = self.value(position, name)
        if not isinstance(found, str):
            raise _UnreadError(f"its {name} is no text")
        return found

    def table(self, position: int = 0, name: str = "table_name") -> str:
        if self.batch is not None:
            return self.qualified(self.batch[0], self.batch[1])
        return self.qualified(self.text(position, name), self.option("schema"))

    def qualified(self, table: str, schema: Any) -> str:
        default = {Dialect.POSTGRES: "public", Dialect.SQLITE: "main"}.get(self.root.dialect, "")
        shown = self.root.name(table, of_table=True)
        return shown if not schema or schema == default else f"{self.root.name(str(schema), of_table=True)}.{shown}"

    def shift(self) -> int:
        """How many positions earlier arguments stand because the table is not among them."""
        return 1 if self.batch is not None else 0

    def names(self, expression: ast.expr | None) -> tuple[str, ...]:
        """Column names; empty where one is an expression."""
        if expression is None:
            return ()
        found = self.module.value(expression, self.local)
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return tuple(self.root.name(one) for one in found)
        if isinstance(expression, ast.List | ast.Tuple) and any(isinstance(part, ast.Call) for part in expression.elts):
            return ()  # sa.text("lower(name)")
        raise _UnreadError("its columns are computed")


def _add_column(call: _Call) -> Iterator[Operation]:
    expression = call.expression(1 - call.shift(), "column")
    yield from _column_operations(call, expression, call.table(), guarded=bool(call.option("if_not_exists", default=False)))


def _column_operations(call: _Call, expression: ast.expr | None, table: str, *, guarded: bool) -> Iterator[Operation]:
    if not isinstance(expression, ast.Call) or call.module.dotted(expression.func) not in {"sqlalchemy.Column", "sqlalchemy.schema.Column"}:
        raise _UnreadError("its column is computed")
    given = arguments(expression)
    if given is None:
        raise _UnreadError("its column is computed")
    positional, named = given
    inner = _Call(call.root, call.module, call.local, positional, named, None, call.types)
    name = inner.value(0, "name")
    if not isinstance(name, str):
        raise _UnreadError("its column's name is computed")
    shown = call.root.name(name)
    column = Column(type=ColumnType(name=""))
    kind: ColumnType | None = None
    for part in [*positional[1:], *([named["type_"]] if "type_" in named else [])]:
        called = call.module.dotted(part.func) if isinstance(part, ast.Call) else call.module.dotted(part)
        match called.rpartition(".")[2] if called.startswith("sqlalchemy") else "":
            case "ForeignKey" if isinstance(part, ast.Call):
                on_delete = next((call.of(one.value, "ondelete") for one in part.keywords if one.arg == "ondelete"), None)
                lets_go = isinstance(on_delete, str) and on_delete.upper() in {"CASCADE", "SET NULL", "SET DEFAULT"}
                column = replace(column, references=True, lets_parents_go=lets_go)
            case "Identity" | "Computed" | "Sequence":
                column = replace(column, generated=True)
            case "CheckConstraint":
                column = replace(column, checks_others=True)
            case "FetchedValue":
                raise _UnreadError("its default is the database's own affair")
            case _:
                kind = _type(call, part)
    if kind is None and not column.references:
        raise _UnreadError("its column has no type that is read")
    primary = bool(inner.option("primary_key", default=False))
    nullable = inner.option("nullable", default=not primary)
    if not isinstance(nullable, bool):
        raise _UnreadError("whether its column may be NULL is computed")
    default = _has_default(inner, named.get("server_default"))
    serial = primary and kind is not None and kind.name in {"int", "bigint", "smallint"}
    unique = bool(inner.option("unique", default=False))
    column = replace(
        column,
        type=kind or ColumnType(name=""),
        not_null=not nullable,
        default=default,
        generated=column.generated or serial,
        unique=unique or primary,
    )
    yield Operation(kind=Kind.ADD_COLUMN, table=table, name=shown, guarded=guarded, column=column)
    if bool(inner.option("index", default=False)) and not unique:
        yield Operation(kind=Kind.CREATE_OBJECT, what="index", table=table)


def _has_default(call: _Call, expression: ast.expr | None) -> bool:
    """Whether a `server_default` is one that outlives the statement and is not NULL."""
    if expression is None:
        return False
    if isinstance(expression, ast.Call):
        called = call.module.dotted(expression.func)
        if called in {"sqlalchemy.text", "sqlalchemy.sql.text"} and len(expression.args) == 1:
            text = call.of(expression.args[0], "server_default")
            return str(text).strip().upper() != "NULL"
        if called.startswith(("sqlalchemy.func.", "sqlalchemy.sql.func.")) or called in {
            "sqlalchemy.Identity",
            "sqlalchemy.Computed",
            "sqlalchemy.true",
            "sqlalchemy.false",
            "sqlalchemy.sql.true",
            "sqlalchemy.sql.false",
            "sqlalchemy.sql.expression.true",
            "sqlalchemy.sql.expression.false",
            "sqlalchemy.literal",
        }:
            return True
        if called in {"sqlalchemy.null", "sqlalchemy.sql.null"}:
            return False
        raise _UnreadError("its server_default is computed")
    value = call.of(expression, "server_default")
    return value is not None and value is not False


def _type(call: _Call, expression: ast.expr) -> ColumnType:
    """A column type as SQL would name it; _UnreadError for a type of the project, whose SQL nobody here knows."""
    if isinstance(expression, ast.Name):
        expression = call.types.get(expression.id, expression)
    called = call.module.dotted(expression.func) if isinstance(expression, ast.Call) else call.module.dotted(expression)
    if not called.startswith(_TYPE_MODULES):
        raise _UnreadError(f"the type {called.rpartition('.')[2] or 'of its column'} is the project's own")
    name = called.rpartition(".")[2]
    given = arguments(expression) if isinstance(expression, ast.Call) else ([], {})
    if given is None and name in {"Enum", "ENUM"} and isinstance(expression, ast.Call):
        given = [], {one.arg: one.value for one in expression.keywords if one.arg is not None}  # its labels may be computed, its name may not
    if given is None:
        raise _UnreadError("its type is computed")
    positional, named = given
    if name == "ARRAY" and positional:
        return ColumnType(name=f"{_type(call, positional[0]).name}[]")
    if name in {"Enum", "ENUM"} and call.root.dialect is not Dialect.MYSQL:
        label = call.of(named.get("name"), "name")
        return ColumnType(name=str(label or "enum").lower(), user_defined=True)
    shown = _PLAIN_TYPES.get(name, name.lower())
    if name == "DateTime" and call.of(named.get("timezone"), "timezone"):
        shown = "timestamptz"
    if name == "LargeBinary" and call.root.dialect is not Dialect.POSTGRES:
        shown = "blob"
    sized = shown in {"varchar", "char", "decimal", "varbinary", "binary", "bit", "nvarchar"} and bool(
        positional or {"length", "precision"} & {key for key, value in named.items() if call.of(value, key) is not None}
    )
    return ColumnType(name=shown, bounded=sized or (call.root.dialect is Dialect.MYSQL and name in {"Enum", "ENUM"}))


def _drop_column(call: _Call) -> Iterator[Operation]:
    name = call.root.name(call.text(1 - call.shift(), "column_name"))
    yield Operation(kind=Kind.DROP_COLUMN, table=call.table(), name=name, guarded=bool(call.option("if_exists", default=False)))


def _alter_column(call: _Call) -> Iterator[Operation]:
    """In the order in which Alembic writes it: nullability, default, type, and the new name last."""
    table, name = call.table(), call.root.name(call.text(1 - call.shift(), "column_name"))
    known = {"nullable", "server_default", "new_column_name", "type_", "postgresql_using", "comment", "schema", "autoincrement", "table_name", "column_name"}
    strange = [one for one in call.named if one not in known and not one.startswith("existing_") and one not in {"insert_before", "insert_after"}]
    if strange:
        raise _UnreadError(f"{strange[0]} is not known")
    found = False
    nullable = call.option("nullable")
    if nullable is not None:
        found = True
        yield Operation(kind=Kind.DROP_NOT_NULL if nullable else Kind.SET_NOT_NULL, table=table, name=name)
    if "server_default" in call.named:
        found = True
        default = call.named["server_default"]
        called = call.module.dotted(default.func) if isinstance(default, ast.Call) else ""
        if called in {"sqlalchemy.Identity", "sqlalchemy.Computed"}:
            yield Operation(kind=Kind.SET_IDENTITY, table=table, name=name, whole=True)
        elif not (isinstance(default, ast.Constant) and default.value is False):
            yield Operation(kind=Kind.SET_DEFAULT if _has_default(call, default) else Kind.DROP_DEFAULT, table=table, name=name)
    if "type_" in call.named:
        found = True
        conversion = Conversion.NONE
        if (using := call.option("postgresql_using")) is not None:
            plain = str(using).strip().replace('"', "").lower().startswith(f"{name.lower()}::")
            conversion = Conversion.CAST if plain else Conversion.EXPRESSION
        yield Operation(kind=Kind.CHANGE_TYPE, table=table, name=name, type=replace(_type(call, call.named["type_"]), conversion=conversion))
    if (to := call.option("new_column_name")) is not None:
        found = True
        yield Operation(kind=Kind.RENAME_COLUMN, table=table, name=name, to=call.root.name(str(to)))
    if not found:
        yield from _harmless("changes a comment or nothing")


def _harmless(says: str) -> Iterator[Operation]:
    yield Operation(kind=Kind.NOTE, rule="no_schema_change", verdict=SchemaVerdict.SAFE, says=says)


def _create_table(call: _Call) -> Iterator[Operation]:
    table = call.table()
    for part in call.rest(1):
        if isinstance(part, ast.Starred):
            raise _UnreadError("its columns are computed")
    yield Operation(kind=Kind.CREATE_TABLE, table=table, guarded=bool(call.option("if_not_exists", default=False)))


def _drop_table(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_TABLE, table=call.table(), guarded=bool(call.option("if_exists", default=False)))


def _rename_table(call: _Call) -> Iterator[Operation]:
    before = call.qualified(call.text(0, "old_table_name"), call.option("schema"))
    yield Operation(kind=Kind.RENAME_TABLE, table=before, to=call.qualified(call.text(1, "new_table_name"), call.option("schema")))


def _index(call: _Call, name: Any, table: str) -> str:
    if not isinstance(name, str):
        return ""
    shown = call.root.name(name)
    if call.root.dialect is Dialect.MYSQL:
        return f"{table}.{shown}"
    schema = table.rpartition(".")[0]
    return f"{schema}.{shown}" if schema else shown


def _create_index(call: _Call) -> Iterator[Operation]:
    table = call.table(1)
    index = _index(call, call.value(0, "index_name"), table)
    guarded = bool(call.option("if_not_exists", default=False))
    if call.value(3 - call.shift(), "unique", default=False):
        columns = call.names(call.expression(2 - call.shift(), "columns"))
        strict = bool(call.option("postgresql_nulls_not_distinct", default=False))
        yield Operation(kind=Kind.ADD_UNIQUE, what="unique index", name=index, table=table, columns=columns, guarded=guarded, upsert=strict)
    else:
        yield Operation(kind=Kind.CREATE_OBJECT, what="index", name=index, table=table, guarded=guarded)


def _drop_index(call: _Call) -> Iterator[Operation]:
    named = call.batch is not None or call.expression(1, "table_name") is not None
    table = call.table(1) if named else ""
    name = call.value(0, "index_name")
    found = _index(call, name, table) if table else call.root.name(str(name))
    kept = table if call.root.dialect is Dialect.MYSQL else ""
    yield Operation(kind=Kind.DROP_OBJECT, what="index", name=found, table=kept, guarded=bool(call.option("if_exists", default=False)))


def _constraint_name(call: _Call, what: str) -> str:
    name = call.value(0, "constraint_name")
    return call.root.name(name) if isinstance(name, str) else what if what == "primary key" else ""


def _create_unique(call: _Call) -> Iterator[Operation]:
    table, columns = call.table(1), call.names(call.expression(2 - call.shift(), "columns"))
    name = _constraint_name(call, "unique")
    if call.root.dialect is Dialect.MYSQL:
        name = _index(call, name, table)
    strict = bool(call.option("postgresql_nulls_not_distinct", default=False))
    yield Operation(kind=Kind.ADD_UNIQUE, what="unique", name=name, table=table, columns=columns, upsert=strict)


def _create_primary(call: _Call) -> Iterator[Operation]:
    columns = call.names(call.expression(2 - call.shift(), "columns"))
    yield Operation(kind=Kind.ADD_UNIQUE, what="primary key", name=_constraint_name(call, "primary key"), table=call.table(1), columns=columns)


def _create_exclude(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.ADD_UNIQUE, what="exclusion", name=_constraint_name(call, ""), table=call.table(1))


def _create_check(call: _Call) -> Iterator[Operation]:
    condition = call.expression(2 - call.shift(), "condition")
    if isinstance(condition, ast.Call) and call.module.dotted(condition.func) in {"sqlalchemy.text", "sqlalchemy.sql.text"} and condition.args:
        condition = condition.args[0]
    text = call.module.value(condition)
    found: list[Operation] | None = None
    if isinstance(text, str):
        from service.domain.schema.alterations import read_action  # noqa: PLC0415  see statements: sqlglot is slow to import

        found = read_action(f"ADD CONSTRAINT unnamed CHECK ({text})", call.root.dialect)
    name, table = _constraint_name(call, ""), call.table(1)
    yield from (replace(one, name=name, table=table) for one in found or [Operation(kind=Kind.ADD_CHECK)])


def _create_foreign(call: _Call) -> Iterator[Operation]:
    if call.batch is not None:
        table, position = call.table(), 2
    else:
        table, position = call.qualified(call.text(1, "source_table"), call.option("source_schema")), 3
    columns = call.names(call.expression(position, "local_cols"))
    yield Operation(kind=Kind.ADD_FOREIGN_KEY, name=_constraint_name(call, ""), table=table, columns=columns)


def _drop_constraint(call: _Call) -> Iterator[Operation]:
    table = call.table(1)
    kind = call.value(2 - call.shift(), "type_")
    what = {"foreignkey": "foreign key", "primary": "primary key", "unique": "unique", "check": "check"}.get(str(kind), "constraint")
    name = _constraint_name(call, what)
    if call.root.dialect is Dialect.MYSQL and what == "unique":
        yield Operation(kind=Kind.DROP_OBJECT, what="index", name=_index(call, name, table), table=table)
        return
    yield Operation(kind=Kind.DROP_CONSTRAINT, what="constraint" if what in {"unique", "check"} else what, name=name, table=table)


def _bulk_insert(call: _Call) -> Iterator[Operation]:
    expression = call.expression(0, "table")
    name: Any = None
    if isinstance(expression, ast.Call) and call.module.dotted(expression.func) in {"sqlalchemy.table", "sqlalchemy.sql.table"} and expression.args:
        name = call.module.value(expression.args[0])
    yield Operation(kind=Kind.WRITE, what="insert", table=call.root.name(name, of_table=True) if isinstance(name, str) else "")


def _comment(_call: _Call, says: str) -> Iterator[Operation]:
    yield from _harmless(says)


_OPERATIONS: Mapping[str, Callable[[_Call], Iterator[Operation]]] = {
    "add_column": _add_column,
    "drop_column": _drop_column,
    "alter_column": _alter_column,
    "create_table": _create_table,
    "drop_table": _drop_table,
    "rename_table": _rename_table,
    "create_index": _create_index,
    "drop_index": _drop_index,
    "create_unique_constraint": _create_unique,
    "create_primary_key": _create_primary,
    "create_exclude_constraint": _create_exclude,
    "create_check_constraint": _create_check,
    "create_foreign_key": _create_foreign,
    "drop_constraint": _drop_constraint,
    "bulk_insert": _bulk_insert,
    "create_table_comment": partial(_comment, says="changes a comment"),
    "drop_table_comment": partial(_comment, says="changes a comment"),
}
