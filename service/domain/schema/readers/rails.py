"""Reads Rails' migrations: the calls of `change` or `up` with literal arguments, blocks of `create_table` and `change_table`, and `execute` with its SQL.

A condition, a loop, a model's code, and a helper that is not named here are unknown. What an operation emits follows Active Record's schema statements.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation
from service.domain.schema.readers.reader import Root, Sql, Step, not_literal, not_understood
from service.domain.schema.readers.ruby import COMPUTED, Statement, UnreadableError, arguments, statements_of
from service.domain.schema.reading import Dialect, SchemaVerdict

_TYPES = {
    "string": "varchar",
    "text": "text",
    "integer": "int",
    "bigint": "bigint",
    "float": "double",
    "decimal": "decimal",
    "numeric": "decimal",
    "datetime": "timestamp",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "time": "time",
    "date": "date",
    "binary": "varbinary",
    "boolean": "boolean",
    "json": "json",
    "jsonb": "jsonb",
    "uuid": "uuid",
    "inet": "inet",
    "citext": "citext",
    "hstore": "hstore",
    "enum": "enum",
    "tsvector": "tsvector",
    "primary_key": "bigint",
    "virtual": "varchar",
}
_INSIDE = frozenset(
    {"safety_assured", "up_only", "transaction", "ActiveRecord::Base.transaction", "say_with_time", "suppress_messages", "disable_ddl_transaction"}
)
_SAYS = frozenset({"say", "puts", "Rails.logger.info", "Rails.logger.debug", "Rails.logger.warn", "logger.info"})
_NOTHING = _SAYS | {"change_column_comment", "change_table_comment", "reset_column_information", "enable_lock_retries!", "set_lock_timeout"}

_UNDONE_BY_BLOCK = frozenset({"drop_table", "drop_join_table"})
"""Their block says how to make the table again when the migration is undone."""
_NO_COLUMNS = frozenset({"index", "foreign_key", "check_constraint", "unique_constraint", "exclusion_constraint", "comment"})


class _UnreadError(Exception):
    """A part is computed or not known; the text says which."""


class RailsReader:
    """See `reader.Reader`."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """By version, which the names begin with."""
        return sorted(paths)

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """What `up` does, or `change`."""
        text = self._root.files[path]
        try:
            statements = statements_of(text)
        except UnreadableError as error:
            yield not_understood(0, "", str(error))
            return
        bodies = [one for one in statements if one.opens == "class" and any(token.text.endswith("Migration") for token in one.tokens)]
        methods = {_method(one): one for body in bodies for one in body.block or () if one.opens == "def"}
        found = methods.get("up") or methods.get("change")
        if len(bodies) != 1 or found is None:
            yield not_understood(0, "", "it has no class of ActiveRecord::Migration with change or up")
            return
        yield from _Body(self._root, sql, text.split("\n"), before_5=_is_before_5(bodies[0])).steps(found.block or ())


def operations_of_dump(text: str, dialect: Dialect) -> list[Operation] | None:
    """What a schema.rb says the schema is, as the operations that would make it; None when the text is none."""
    try:
        statements = statements_of(text)
    except UnreadableError:
        return None
    defines = [one for one in statements if one.block is not None and one.tokens[:1] and "ActiveRecord::Schema" in one.tokens[0].text]
    if len(defines) != 1:
        return None
    root = Root(folder="", dialect=dialect, files={})
    return [step.operation for step in _Body(root, lambda _text, _line: (), text.split("\n")).steps(defines[0].block or ())]


def _method(statement: Statement) -> str:
    names = [token.text for token in statement.tokens[1:] if token.kind == "word"]
    return names[-1] if names[:1] == ["self"] else names[0] if names else ""


def _is_before_5(body: Statement) -> bool:
    """Whether a migration behaves as in Rails 4: it names no version (`Migration[7.1]`), or an older one."""
    for at, token in enumerate(body.tokens):
        if token.text.endswith("ActiveRecord::Migration"):
            version = body.tokens[at + 2].text if [one.text for one in body.tokens[at + 1 : at + 2]] == ["["] and at + 2 < len(body.tokens) else "4"
            return version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < 5  # noqa: PLR2004
    return False


class _Body:
    def __init__(self, root: Root, sql: Sql, lines: Sequence[str], *, before_5: bool = False) -> None:
        self._root, self._sql, self._lines, self._before_5 = root, sql, lines, before_5

    def steps(self, statements: Iterable[Statement]) -> Iterator[Step]:
        for statement in statements:
            yield from self._statement(statement)

    def _statement(self, statement: Statement) -> Iterator[Step]:  # one case a kind of statement
        line, tokens = statement.line, statement.tokens
        shown = self._lines[line - 1].strip() if line <= len(self._lines) else ""
        if statement.opens:
            yield not_literal(line, shown, "it runs under a condition, or in a loop" if statement.opens != "def" else "it defines something else")
            return
        if any(token.kind == "word" and token.text in {"if", "unless", "while", "until", "rescue", "and", "or"} for token in tokens) or any(
            token.text in {"?", "&&", "||", "="} and token.kind == "mark" for token in tokens
        ):
            yield not_literal(line, shown, "it runs under a condition, or computes something")
            return
        name, at = _called(tokens)
        given = arguments([*tokens[at:]])
        if not name or given is None:
            yield not_literal(line, shown, "it is computed when it runs")
        elif name in {"execute", "ActiveRecord::Base.connection.execute", "connection.execute"} and statement.block is None:
            yield from self._execute(given[0], line, shown, tokens[-1].line if tokens else line)
        elif name in _INSIDE and statement.block is not None:
            yield from self.steps(statement.block)
        elif name == "reversible" and statement.block is not None:
            yield from self._reversible(statement.block, statement.parameter)
        elif name in _NOTHING and statement.block is None:
            return
        elif name == "change_table" and statement.block is not None:
            yield from self._change_table(given, statement, line, shown)
        elif name in {"create_table", "create_join_table"}:
            yield from self._create_table(name, given, statement, line, shown)
        elif name in _OPERATIONS and (statement.block is None or name in _UNDONE_BY_BLOCK):
            yield from self._operations(_OPERATIONS[name], given, line, shown)
        else:
            yield not_literal(line, shown, f"what {name} does is not in this file")

    def _operations(self, reader: "_Reader", given: tuple[list[Any], dict[str, Any]], line: int, shown: str, table: str | None = None) -> Iterator[Step]:
        try:
            call = _Call(self._root, [table, *given[0]] if table is not None else given[0], given[1], self._before_5)
            found = list(reader(call))
        except _UnreadError as error:
            yield not_literal(line, shown, str(error))
            return
        for one in found:
            yield Step(line, shown, one)

    def _execute(self, positional: list[Any], line: int, shown: str, text_line: int) -> Iterator[Step]:
        if len(positional) != 1 or not isinstance(positional[0], str):
            yield not_literal(line, shown, "its SQL is put together when it runs")
            return
        yield from self._sql(positional[0], text_line)

    def _reversible(self, block: Sequence[Statement], parameter: str) -> Iterator[Step]:
        for statement in block:
            name, _ = _called(statement.tokens)
            if name == f"{parameter}.up" and statement.block is not None and not statement.opens:
                yield from self.steps(statement.block)
            elif name != f"{parameter}.down":
                yield from self._statement(statement)

    def _create_table(self, name: str, given: tuple[list[Any], dict[str, Any]], statement: Statement, line: int, shown: str) -> Iterator[Step]:
        positional, named = given
        names = [one for one in positional if isinstance(one, str)]
        if (
            len(names) != len(positional)
            or not names
            or named.get("table_name") is COMPUTED
            or named.get("force") is COMPUTED
            or named.get("if_not_exists") is COMPUTED
        ):
            yield not_literal(line, shown, "its name is computed")
            return
        table = names[0] if name == "create_table" else str(named.get("table_name") or "_".join(sorted(names)))
        shown_name = self._root.name(table, of_table=True)
        if named.get("force"):
            yield Step(line, shown, Operation(kind=Kind.DROP_TABLE, table=shown_name, guarded=True))
        columns = self._columns_of(name, given, statement)
        yield Step(line, shown, Operation(kind=Kind.CREATE_TABLE, table=shown_name, guarded=bool(named.get("if_not_exists")), definition=columns))
        for inner in statement.block or ():
            called, _ = _called(inner.tokens)
            if inner.opens or not called.startswith(f"{statement.parameter}."):
                yield from self._statement(inner)

    def _columns_of(self, name: str, given: tuple[list[Any], dict[str, Any]], statement: Statement) -> tuple[tuple[str, Column], ...] | None:
        """The columns of a new table, None where one of them is not literal."""
        positional, named = given
        key, own = named.get("primary_key"), named.get("id", True)
        columns: dict[str, Column] = {}
        if COMPUTED in {own if not isinstance(own, list | dict) else None, key if not isinstance(key, list | dict) else None}:
            return None
        if name == "create_join_table":
            for one in positional:
                columns[self._root.name(f"{str(one).rpartition('.')[2].removesuffix('s')}_id")] = Column(type=ColumnType(name="bigint"), not_null=True)
        elif own is not False and not isinstance(key, list):
            kind = own.get("type", "bigint") if isinstance(own, dict) else own if isinstance(own, str) else "bigint"
            type_ = ColumnType(name=_TYPES.get(str(kind), {"serial": "int", "bigserial": "bigint"}.get(str(kind), str(kind))))
            generated = str(kind) in {"bigint", "integer", "int", "serial", "bigserial", "primary_key"}
            filled = generated or named.get("default", 0) is not None
            columns[self._root.name(key if isinstance(key, str) else "id")] = Column(type=type_, not_null=True, generated=generated, default=filled)
        for inner in statement.block or ():
            called, at = _called(inner.tokens)
            inside, own_name = arguments(inner.tokens[at:]), called.removeprefix(f"{statement.parameter}.")
            reader = _IN_TABLE.get(own_name) or (partial(_typed, kind=own_name) if own_name in _TYPES else None)
            if own_name in _NO_COLUMNS and own_name != called:
                continue
            if inner.opens or own_name == called or inside is None or inner.block is not None or reader is None:
                return None
            try:
                made = list(reader(_Call(self._root, [positional[0], *inside[0]], inside[1], self._before_5)))
            except _UnreadError:
                return None
            columns.update((one.name, one.column) for one in made if one.kind is Kind.ADD_COLUMN and one.column is not None)
        for one in key if isinstance(key, list) else ():
            if (part := columns.get(self._root.name(str(one)))) is not None:
                columns[self._root.name(str(one))] = replace(part, not_null=True)
        return tuple(columns.items())

    def _change_table(self, given: tuple[list[Any], dict[str, Any]], statement: Statement, line: int, shown: str) -> Iterator[Step]:
        table = given[0][0] if given[0] else None
        if not isinstance(table, str):
            yield not_literal(line, shown, "its table is computed")
            return
        for inner in statement.block or ():
            name, at = _called(inner.tokens)
            inside, text = arguments(inner.tokens[at:]), self._lines[inner.line - 1].strip() if inner.line <= len(self._lines) else ""
            own = name.removeprefix(f"{statement.parameter}.")
            condition = any(token.text in {"if", "unless"} and token.kind == "word" for token in inner.tokens)
            if inner.opens or own == name or inside is None or inner.block is not None or condition:
                yield from self._statement(inner)
            elif (reader := _IN_TABLE.get(own)) is not None:
                yield from self._operations(reader, inside, inner.line, text, table)
            elif own in _TYPES:
                yield from self._operations(partial(_typed, kind=own), inside, inner.line, text, table)
            else:
                yield not_literal(inner.line, text, f"what {name} does is not in this file")


def _called(tokens: Sequence[Any]) -> tuple[str, int]:
    """The dotted name that a statement calls, and where its arguments begin."""
    parts, at = list[str](), 0
    while at < len(tokens) and tokens[at].kind == "word":
        parts.append(tokens[at].text)
        at += 1
        if at + 1 < len(tokens) and tokens[at].text == "." and tokens[at + 1].kind == "word":
            at += 1
            continue
        break
    return ".".join(parts), at


@dataclass(frozen=True, slots=True)
class _Call:
    """The literal arguments of one operation."""

    root: Root
    positional: list[Any]
    named: Mapping[str, Any]
    before_5: bool = False

    def text(self, position: int, what: str) -> str:
        found = self.positional[position] if position < len(self.positional) else None
        if not isinstance(found, str):
            raise _UnreadError(f"its {what} is computed")
        return found

    def table(self, position: int = 0) -> str:
        return self.root.name(self.text(position, "table"), of_table=True)

    def column(self, position: int = 1) -> str:
        return self.root.name(self.text(position, "column"))

    def option(self, name: str, default: Any = None) -> Any:
        found = self.named.get(name, default)
        if found is COMPUTED:
            raise _UnreadError(f"its {name} is computed")
        return found

    def columns(self, position: int) -> tuple[str, ...]:
        found = self.positional[position] if position < len(self.positional) else self.option("column")
        names = found if isinstance(found, list) else [found]
        if not all(isinstance(one, str) for one in names):
            raise _UnreadError("its columns are computed")
        plain = all(one.replace("_", "").isalnum() for one in names)
        return tuple(self.root.name(one) for one in names) if plain else ()


_Reader = Callable[[_Call], Iterator[Operation]]


def _note(says: str, rule: str = "no_schema_change") -> Iterator[Operation]:
    yield Operation(kind=Kind.NOTE, rule=rule, verdict=SchemaVerdict.SAFE, says=says)


def _type(call: _Call, name: Any) -> ColumnType:
    if not isinstance(name, str):
        raise _UnreadError("its type is computed")
    base = name.partition("(")[0].strip().lower()
    shown, limit = _TYPES.get(base, base), call.named.get("limit")
    length = int(limit) if isinstance(limit, str) and limit.isdecimal() and len(limit) < 12 else None  # noqa: PLR2004  no length has more digits
    sized = "(" in name or any(call.named.get(one) is not None for one in ("limit", "precision"))
    mysql = call.root.dialect is Dialect.MYSQL
    if shown == "varchar" and not sized and mysql:
        sized, length = True, 255  # Active Record makes it varchar(255) there
    if shown == "int" and length is not None:
        shown = "smallint" if length < 3 else "int" if length < 5 else "bigint"  # noqa: PLR2004  the limit counts bytes
    if mysql and shown in {"text", "varbinary"} and (sized or call.named.get("size")):
        shown = _size_in_mysql(call, shown, length)
    if call.named.get("array") is True:
        shown += "[]"
    bounded = sized and shown in {"varchar", "char", "decimal", "varbinary", "bit"}
    return ColumnType(name=shown, bounded=bounded, length=length if bounded else None, user_defined=base == "enum")


def _size_in_mysql(call: _Call, shown: str, length: int | None) -> str:
    """The type that Active Record makes of `limit` or `size` there."""
    name = "text" if shown == "text" else "blob"
    if isinstance(size := call.named.get("size"), str):
        return f"{size}{name}"
    return shown if length is None else f"{'tiny' if length < 256 else '' if length < 65_536 else 'medium' if length < 16_777_216 else 'long'}{name}"  # noqa: PLR2004


def _definition(call: _Call, kind: Any) -> Column:
    """A column as `add_column` makes it. A default computed by the database (`-> { "now()" }`) is one that stays."""
    default = call.named.get("default") is not None
    null = call.option("null", default=True)
    generated = kind in {"virtual", "primary_key"}
    return Column(type=_type(call, kind), not_null=null is False, default=default, generated=generated)


def _add_column(call: _Call) -> Iterator[Operation]:
    kind = call.positional[2] if len(call.positional) > 2 else call.option("type")  # noqa: PLR2004  table, column, type
    guarded = bool(call.option("if_not_exists", default=False))
    yield Operation(kind=Kind.ADD_COLUMN, table=call.table(), name=call.column(), guarded=guarded, column=_definition(call, kind))
    yield from _index_option(call, call.column())


def _add_columns(call: _Call) -> Iterator[Operation]:
    for position in range(1, len(call.positional)):
        yield Operation(kind=Kind.ADD_COLUMN, table=call.table(), name=call.column(position), column=_definition(call, call.option("type")))


def _typed(call: _Call, kind: str) -> Iterator[Operation]:
    for position in range(1, len(call.positional)):
        yield Operation(kind=Kind.ADD_COLUMN, table=call.table(), name=call.column(position), column=_definition(call, kind))
        yield from _index_option(call, call.column(position))


def _index_option(call: _Call, column: str) -> Iterator[Operation]:
    index = call.option("index", default=False)
    if isinstance(index, dict) and index.get("unique") not in {None, False}:
        yield Operation(kind=Kind.ADD_UNIQUE, what="unique index", table=call.table(), columns=(column,))
    elif index:
        yield Operation(kind=Kind.CREATE_OBJECT, what="index", table=call.table())


def _remove_columns(call: _Call) -> Iterator[Operation]:
    for position in range(1, len(call.positional)):
        yield Operation(kind=Kind.DROP_COLUMN, table=call.table(), name=call.column(position), guarded=bool(call.option("if_exists", default=False)))


def _remove_column(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_COLUMN, table=call.table(), name=call.column(), guarded=bool(call.option("if_exists", default=False)))


def _rename_column(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.RENAME_COLUMN, table=call.table(), name=call.column(), to=call.column(2))


def _change_column(call: _Call) -> Iterator[Operation]:
    table, column = call.table(), call.column()
    kind = call.positional[2] if len(call.positional) > 2 else None  # noqa: PLR2004  table, column, type
    if call.root.dialect is Dialect.MYSQL:
        # Active Record reads the column first, and writes NULL and default as they were unless they are given.
        yield Operation(kind=Kind.MODIFY_COLUMN, what="type", table=table, name=column, column=_definition(call, kind))
        if call.option("auto_increment", default=False):
            yield Operation(kind=Kind.SET_IDENTITY, table=table, name=column)
    else:
        yield Operation(kind=Kind.CHANGE_TYPE, table=table, name=column, type=replace(_type(call, kind), conversion=_conversion(call, column)))
    if (null := call.option("null")) is not None:
        yield Operation(kind=Kind.DROP_NOT_NULL if null else Kind.SET_NOT_NULL, table=table, name=column)
    if "default" in call.named:
        yield Operation(kind=Kind.DROP_DEFAULT if call.named["default"] is None else Kind.SET_DEFAULT, table=table, name=column)


def _conversion(call: _Call, column: str) -> Conversion:
    if (using := call.option("using")) is None:
        return Conversion.NONE
    plain = str(using).replace('"', "").replace(" ", "").lower()
    return Conversion.CAST if plain.startswith((f"{column}::", f"cast({column}as")) else Conversion.EXPRESSION


def _change_default(call: _Call) -> Iterator[Operation]:
    given = call.named["to"] if "to" in call.named else call.positional[2] if len(call.positional) > 2 else COMPUTED  # noqa: PLR2004  table, column, default
    if isinstance(given, dict) and "to" in given:
        given = given["to"]
    if given is COMPUTED and "to" not in call.named:
        raise _UnreadError("its default is computed")
    yield Operation(kind=Kind.DROP_DEFAULT if given is None else Kind.SET_DEFAULT, table=call.table(), name=call.column())


def _change_null(call: _Call) -> Iterator[Operation]:
    null = call.positional[2] if len(call.positional) > 2 else COMPUTED  # noqa: PLR2004  table, column, null
    if not isinstance(null, bool):
        raise _UnreadError("whether it may be NULL is computed")
    yield Operation(kind=Kind.DROP_NOT_NULL if null else Kind.SET_NOT_NULL, table=call.table(), name=call.column())


def _index(call: _Call, table: str, columns: tuple[str, ...]) -> str:
    """The index's name: its own, or the one that Active Record makes of its columns."""
    name = call.option("name") or (f"index_{table}_on_{'_and_'.join(columns)}" if columns else "")
    shown = call.root.name(str(name))
    return f"{table}.{shown}" if call.root.dialect is Dialect.MYSQL and shown else shown


def _add_index(call: _Call) -> Iterator[Operation]:
    table, columns = call.table(), call.columns(1)
    guarded, name = bool(call.option("if_not_exists", default=False)), _index(call, table, columns)
    if call.option("unique", default=False):
        strict = call.option("nulls_not_distinct", default=False) is True
        yield Operation(kind=Kind.ADD_UNIQUE, what="unique index", name=name, table=table, columns=columns, guarded=guarded, upsert=strict)
    else:
        yield Operation(kind=Kind.CREATE_OBJECT, what="index", name=name, table=table, guarded=guarded)


def _remove_index(call: _Call) -> Iterator[Operation]:
    table = call.table()
    columns = call.columns(1) if len(call.positional) > 1 or "column" in call.named else ()
    kept = table if call.root.dialect is Dialect.MYSQL else ""
    yield Operation(kind=Kind.DROP_OBJECT, what="index", name=_index(call, table, columns), table=kept)


def _remove_index_by_name(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_OBJECT, what="index", name=call.column())


def _add_reference(call: _Call) -> Iterator[Operation]:
    for position in range(1, len(call.positional)):
        name, table = call.column(position), call.table()
        foreign = call.option("foreign_key", default=False)
        lets_go = isinstance(foreign, dict) and foreign.get("on_delete") in {"cascade", "nullify"}
        null = call.option("null", default=True) is not False
        kind = str(call.option("type", default="bigint"))
        column = Column(
            type=ColumnType(name=_TYPES.get(kind, kind)),
            not_null=not null,
            default=call.named.get("default") is not None,
            references=bool(foreign),
            lets_parents_go=lets_go,
        )
        yield Operation(kind=Kind.ADD_COLUMN, table=table, name=call.root.name(f"{name}_id"), column=column)
        if call.option("polymorphic", default=False):
            yield Operation(
                kind=Kind.ADD_COLUMN, table=table, name=call.root.name(f"{name}_type"), column=Column(type=ColumnType(name="varchar"), not_null=not null)
            )
        if isinstance(index := call.option("index", default=True), dict) and index.get("unique") is True:
            yield Operation(kind=Kind.ADD_UNIQUE, what="unique index", table=table, columns=(call.root.name(f"{name}_id"),))


def _remove_reference(call: _Call) -> Iterator[Operation]:
    for position in range(1, len(call.positional)):
        name = call.column(position)
        yield Operation(kind=Kind.DROP_COLUMN, table=call.table(), name=call.root.name(f"{name}_id"))
        if call.option("polymorphic", default=False):
            yield Operation(kind=Kind.DROP_COLUMN, table=call.table(), name=call.root.name(f"{name}_type"))


def _add_timestamps(call: _Call) -> Iterator[Operation]:
    null = call.option("null", default=call.before_5)  # timestamps are NOT NULL since Rails 5
    default = call.named.get("default") is not None
    for name in ("created_at", "updated_at"):
        column = Column(type=ColumnType(name="timestamp"), not_null=not null, default=default)
        yield Operation(kind=Kind.ADD_COLUMN, table=call.table(), name=call.root.name(name), column=column)


def _remove_timestamps(call: _Call) -> Iterator[Operation]:
    for name in ("created_at", "updated_at"):
        yield Operation(kind=Kind.DROP_COLUMN, table=call.table(), name=call.root.name(name))


def _drop_table(call: _Call) -> Iterator[Operation]:
    for position in range(len(call.positional)):
        yield Operation(kind=Kind.DROP_TABLE, table=call.table(position), guarded=bool(call.option("if_exists", default=False)))


def _drop_join_table(call: _Call) -> Iterator[Operation]:
    name = call.option("table_name") or "_".join(sorted((call.text(0, "table"), call.text(1, "table"))))
    yield Operation(kind=Kind.DROP_TABLE, table=call.root.name(str(name), of_table=True))


def _rename_table(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.RENAME_TABLE, table=call.table(), to=call.table(1))


def _constraint(call: _Call) -> str:
    return call.root.name(str(call.option("name") or ""))


def _add_foreign_key(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.ADD_FOREIGN_KEY, table=call.table(), name=_constraint(call))


def _add_check(call: _Call) -> Iterator[Operation]:
    from service.domain.schema.alterations import read_action  # noqa: PLC0415  see statements: sqlglot is slow to import

    found = read_action(f"ADD CONSTRAINT unnamed CHECK ({call.text(1, 'expression')})", call.root.dialect)
    yield from (replace(one, name=_constraint(call), table=call.table()) for one in found or [Operation(kind=Kind.ADD_CHECK)])


def _add_unique(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.ADD_UNIQUE, what="unique", table=call.table(), name=_constraint(call), columns=call.columns(1))


def _add_exclusion(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.ADD_UNIQUE, what="exclusion", table=call.table(), name=_constraint(call))


def _drop_constraint(call: _Call, what: str) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_CONSTRAINT, what=what, name=_constraint(call) or what, table=call.table())


def _enable_extension(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.CREATE_OBJECT, what="extension", name=call.text(0, "name"), guarded=True)


def _disable_extension(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_OBJECT, what="extension", name=call.text(0, "name"))


def _create_enum(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.CREATE_OBJECT, what="type", name=call.root.name(call.text(0, "name")))


def _drop_enum(call: _Call) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_OBJECT, what="type", name=call.root.name(call.text(0, "name")))


def _add_enum_value(call: _Call) -> Iterator[Operation]:
    name = call.root.name(call.text(0, "name"))
    clears = "no row uses the new value yet, or OLD accepts values that it does not know"
    says = f"adds a value to enum {name}"
    yield Operation(kind=Kind.CHANGE_OBJECT, what="type", name=name, rule="enum_value_added", verdict=SchemaVerdict.WARN, says=says, clears=clears)


def _rename_enum(call: _Call) -> Iterator[Operation]:
    name = call.root.name(call.text(0, "name"))
    yield Operation(
        kind=Kind.NOTE,
        rule="enum_value_renamed",
        verdict=SchemaVerdict.BREAKS,
        says=f"renames enum {name} or a value of it",
        clears="OLD is shown never to name it",
    )


_OPERATIONS: Mapping[str, _Reader] = {
    "add_column": _add_column,
    "add_columns": _add_columns,
    "remove_column": _remove_column,
    "remove_columns": _remove_columns,
    "rename_column": _rename_column,
    "change_column": _change_column,
    "change_column_default": _change_default,
    "change_column_null": _change_null,
    "add_index": _add_index,
    "add_concurrent_index": _add_index,
    "remove_index": _remove_index,
    "remove_concurrent_index": _remove_index,
    "remove_concurrent_index_by_name": _remove_index_by_name,
    "rename_index": lambda _call: _note("renames an index", "index_renamed"),
    "add_reference": _add_reference,
    "add_belongs_to": _add_reference,
    "remove_reference": _remove_reference,
    "remove_belongs_to": _remove_reference,
    "add_timestamps": _add_timestamps,
    "remove_timestamps": _remove_timestamps,
    "drop_table": _drop_table,
    "drop_join_table": _drop_join_table,
    "rename_table": _rename_table,
    "add_foreign_key": _add_foreign_key,
    "add_concurrent_foreign_key": _add_foreign_key,
    "remove_foreign_key": lambda call: _drop_constraint(call, "foreign key"),
    "add_check_constraint": _add_check,
    "remove_check_constraint": lambda call: _drop_constraint(call, "check"),
    "add_unique_constraint": _add_unique,
    "remove_unique_constraint": lambda call: _drop_constraint(call, "unique"),
    "add_exclusion_constraint": _add_exclusion,
    "remove_exclusion_constraint": lambda call: _drop_constraint(call, "exclusion"),
    "validate_foreign_key": lambda _call: _note("validates a constraint that new rows already had to meet", "constraint_validated"),
    "validate_constraint": lambda _call: _note("validates a constraint that new rows already had to meet", "constraint_validated"),
    "validate_check_constraint": lambda _call: _note("validates a constraint that new rows already had to meet", "constraint_validated"),
    "enable_extension": _enable_extension,
    "disable_extension": _disable_extension,
    "create_enum": _create_enum,
    "drop_enum": _drop_enum,
    "rename_enum": _rename_enum,
    "add_enum_value": _add_enum_value,
    "rename_enum_value": _rename_enum,
}
_IN_TABLE: Mapping[str, _Reader] = {
    "column": _add_column,
    "remove": _remove_columns,
    "rename": _rename_column,
    "change": _change_column,
    "change_default": _change_default,
    "change_null": _change_null,
    "index": _add_index,
    "remove_index": _remove_index,
    "references": _add_reference,
    "belongs_to": _add_reference,
    "remove_references": _remove_reference,
    "remove_belongs_to": _remove_reference,
    "timestamps": _add_timestamps,
    "remove_timestamps": _remove_timestamps,
    "foreign_key": _add_foreign_key,
    "remove_foreign_key": lambda call: _drop_constraint(call, "foreign key"),
    "check_constraint": _add_check,
    "unique_constraint": _add_unique,
}
