"""Reads the schema builders of knex, Sequelize and TypeORM: chains of calls with literal arguments, turned into the SQL that the tool writes for them.

What a value is does not matter where only its presence does (a default). Whatever is computed, or a method that is not listed, is refused by name.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.schema.operations import Kind, Operation
from service.domain.schema.reading import Dialect

Token = tuple[str, str, int]
Made = Iterable[str | Operation]
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")
_MAX_DEPTH = 20


class UnreadError(Exception):
    """A part is computed or not known; the text says which."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that is no literal: how it begins (`Sequelize.STRING`), and the arguments of the call that it ends in, if it is one."""

    name: str
    arguments: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One link of a chain: the name, and the tokens between its parentheses, None where it is no call."""

    name: str
    inside: Sequence[Token] | None

    def values(self) -> list[Any]:
        """The arguments: literals, lists, dictionaries, or `Expression`."""
        return [value_of(part) for part in cut(self.inside or (), ",")]


def step(token: Token) -> int:
    """How a token changes the depth of brackets."""
    return 0 if token[0] != "mark" else (token[1] in _OPENS) - (token[1] in _CLOSES)


def inside(tokens: Sequence[Token], at: int) -> Sequence[Token] | None:
    """What stands between the bracket at a place and the one that closes it."""
    depth = 0
    for end in range(at, len(tokens)):
        depth += step(tokens[end])
        if not depth:
            return tokens[at + 1 : end]
    return None


def cut(tokens: Sequence[Token], mark: str) -> list[Sequence[Token]]:
    """Cut at a mark outside of all brackets; what is left empty is left out."""
    parts, depth, start = [], 0, 0
    for at, token in enumerate(tokens):
        depth += step(token)
        if token[0] == "mark" and token[1] == mark and not depth:
            parts.append(tokens[start:at])
            start = at + 1
    return [part for part in (*parts, tokens[start:]) if part]


def chain_of(statement: Sequence[Token]) -> list[Call] | None:
    """`a.b(...).c(...)` as its links; None if a statement is anything else."""
    calls: list[Call] = []
    at = 0
    while at < len(statement):
        if calls and statement[at][1] != ".":
            return None
        at += bool(calls)
        if at >= len(statement) or statement[at][0] != "word":
            return None
        name, within = statement[at][1], None
        at += 1
        if at < len(statement) and statement[at][1] == "(":
            within = inside(statement, at)
            if within is None:
                return None
            at += len(within) + 2
        calls.append(Call(name, within))
    return calls or None


def text_of(written: str) -> str:
    """The content of a quoted text."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), written[1:-1], flags=re.DOTALL)


def value_of(tokens: Sequence[Token], depth: int = 0) -> Any:
    """A literal's value, lists and dictionaries of such, or an `Expression`."""
    kind, first, _ = tokens[0]
    computed = Expression(" ".join(text for _, text, _ in tokens[:4])[:60])
    if depth > _MAX_DEPTH:
        return computed
    if len(tokens) == 1:
        if kind == "text":
            return computed if first[0] == "`" and "${" in first else text_of(first)
        if kind == "number":
            return int(first) if first.isdecimal() and len(first) < 20 else first  # noqa: PLR2004  int() refuses thousands of digits
        if first in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[first]
    if first in {"[", "{"} and (within := inside(tokens, 0)) is not None and len(within) + 2 == len(tokens):
        parts = cut(within, ",")
        if first == "[":
            return [value_of(part, depth + 1) for part in parts]
        pairs = [(part[0][1], part[2:]) for part in parts if len(part) > 2 and part[1][1] == ":" and part[0][0] in {"word", "text"}]  # noqa: PLR2004  name: value
        if len(pairs) == len(parts):
            return {text_of(name) if name[0] in "'\"`" else name: value_of(value, depth + 1) for name, value in pairs}
        names = [part[0][1] for part in parts if len(part) == 1 and part[0][0] == "word"]
        return dict.fromkeys(names, Expression("")) if len(names) == len(parts) else computed  # { transaction }
    called = chain_of(tokens[1:] if first == "new" else tokens)
    if called is not None and all(one.inside is None for one in called[:-1]):
        given = called[-1].inside
        return Expression(".".join(one.name for one in called), None if given is None else tuple(value_of(part, depth + 1) for part in cut(given, ",")))
    return computed


# --- what is common to the three ---------------------------------------------------------------------------------------------------------------------


class Writer:
    """Writes SQL of one dialect from literal parts."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def name(self, value: Any) -> str:
        """A quoted name."""
        if isinstance(value, dict) and set(value) <= {"tableName", "schema"} and isinstance(value.get("tableName"), str):
            return f"{self.name(value['schema'])}.{self.name(value['tableName'])}" if isinstance(value.get("schema"), str) else self.name(value["tableName"])
        if not isinstance(value, str) or not value:
            raise UnreadError("a name in it is computed when it runs")
        mark = "`" if self.dialect is Dialect.MYSQL else '"'
        return ".".join(f"{mark}{part.replace(mark, mark * 2)}{mark}" for part in value.split("."))

    def names(self, value: Any) -> str:
        """A list of quoted columns; one alone may stand without brackets."""
        values = value if isinstance(value, list) else [value]
        return ", ".join(self.name(one.get("name") if isinstance(one, dict) else one) for one in values)

    def column(self, definition: "Definition") -> str:
        """A new column's definition; which type it has is nothing to the old release."""
        if definition.generated:
            return {Dialect.POSTGRES: "bigserial", Dialect.MYSQL: "int NOT NULL AUTO_INCREMENT", Dialect.SQLITE: "int"}[self.dialect]
        null = " NOT NULL" if definition.not_null else ""
        default = " DEFAULT 0" if definition.default else ""
        unique = " UNIQUE" if definition.unique else ""
        lets_go = f" ON DELETE {definition.on_delete}" if definition.on_delete in {"CASCADE", "SET NULL"} else ""
        references = f" REFERENCES referenced (id){lets_go}" if definition.references else ""
        return f"int{null}{default}{unique}{references}"

    def drop_index(self, table: Any, index: str) -> str:
        """Drop an index by its name."""
        return f"DROP INDEX {self.name(index)}{f' ON {self.name(table)}' if self.dialect is Dialect.MYSQL else ''}"


@dataclass(slots=True)
class Definition:
    """What of a column's definition matters to a release that does not know the column."""

    not_null: bool = False
    default: bool = False
    unique: bool = False
    generated: bool = False
    references: bool = False
    on_delete: str = ""


def _flag(value: Any, otherwise: bool = False) -> bool:
    if value is None:
        return otherwise
    if not isinstance(value, bool):
        raise UnreadError("a part of a column's definition is computed when it runs")
    return value


def _options(values: Sequence[Any], at: int) -> dict[str, Any]:
    found = values[at] if len(values) > at else {}
    if isinstance(found, Expression) and found.arguments is None and "." not in found.name and found.name.isidentifier():
        return {}  # a variable handed on as the last argument: options such as a transaction
    if not isinstance(found, dict):
        raise UnreadError("its options are computed when it runs")
    return found


def _need(values: Sequence[Any], count: int) -> None:
    if len(values) < count:
        raise UnreadError("it has fewer arguments than it needs")


# --- Sequelize: queryInterface ------------------------------------------------------------------------------------------------------------------------

_CLIENT_SIDE = re.compile(r"(?:^|\.)(?:NOW|UUIDV1|UUIDV4)$")
_SEQUELIZE_TYPES = {
    "STRING": "varchar({})",
    "CHAR": "char({})",
    "TEXT": "text",
    "CITEXT": "citext",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "SMALLINT": "smallint",
    "FLOAT": "float",
    "DOUBLE": "double precision",
    "BOOLEAN": "boolean",
    "DATEONLY": "date",
    "JSON": "json",
    "JSONB": "jsonb",
    "UUID": "uuid",
}


def _sequelize_column(value: Any) -> Definition:
    if isinstance(value, Expression) and value.name.startswith(("Sequelize.", "DataTypes.", "DataType.")):
        return Definition()  # a type alone
    if not isinstance(value, dict):
        raise UnreadError("a column's definition is computed when it runs")
    default = value.get("defaultValue")
    if isinstance(default, Expression):
        if not re.search(r"(?:^|\.)(?:literal|fn|NOW|UUIDV1|UUIDV4)$", default.name):
            raise UnreadError("a default is computed when it runs")
        given = not _CLIENT_SIDE.search(default.name)  # these are filled in by Sequelize, not by the database
    else:
        given = default is not None
    primary = _flag(value.get("primaryKey"))
    return Definition(
        not_null=not _flag(value.get("allowNull"), otherwise=True) or primary,
        default=given,
        unique=bool(value.get("unique")) or primary,
        generated=_flag(value.get("autoIncrement")),
        references="references" in value,
        on_delete=str(value.get("onDelete") or "").upper(),
    )


def _sequelize_type(value: Any, dialect: Dialect) -> str:
    kind = value.get("type") if isinstance(value, dict) else value
    if not isinstance(kind, Expression) or (found := _SEQUELIZE_TYPES.get(kind.name.rpartition(".")[2])) is None:
        raise UnreadError("the new type of a column is not told apart")
    size = kind.arguments[0] if kind.arguments else 255
    if not isinstance(size, int):
        raise UnreadError("the new length of a column is computed when it runs")
    return "char(36)" if found == "uuid" and dialect is Dialect.MYSQL else found.format(size)


def _sequelize_change(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 3)
    table, column, definition = write.name(values[0]), write.name(values[1]), _sequelize_column(values[2])
    kind = _sequelize_type(values[2], write.dialect)
    if write.dialect is not Dialect.POSTGRES:
        null = "NOT NULL" if definition.not_null else "NULL"
        yield f"ALTER TABLE {table} MODIFY COLUMN {column} {kind} {null}{' DEFAULT 0' if definition.default else ''}"
        return
    yield f"ALTER TABLE {table} ALTER COLUMN {column} {'SET' if definition.not_null else 'DROP'} NOT NULL"
    yield f"ALTER TABLE {table} ALTER COLUMN {column} {'SET DEFAULT 0' if definition.default else 'DROP DEFAULT'}"
    yield f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}"


def _sequelize_index(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    options = values[1] if isinstance(values[1], dict) else {"fields": values[1], **_options(values, 2)}
    kind = str(options.get("type") or options.get("indicesType") or "").upper()
    unique = _flag(options.get("unique")) or kind == "UNIQUE"
    name = options.get("name") or options.get("indexName") or "unnamed_index"
    yield f"CREATE {'UNIQUE ' if unique else ''}INDEX {write.name(name)} ON {write.name(values[0])} ({write.names(options.get('fields'))})"


def _sequelize_remove_index(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    table = values[0]["tableName"] if isinstance(values[0], dict) else values[0]
    yield write.drop_index(table, values[1] if isinstance(values[1], str) else f"{table}_{'_'.join(one for one in values[1] if isinstance(one, str))}")


def _sequelize_constraint(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    options = values[1]
    if not isinstance(options, dict):
        raise UnreadError("its options are computed when it runs")
    words = {"unique": "UNIQUE", "primary key": "PRIMARY KEY", "foreign key": "FOREIGN KEY"}.get(str(options.get("type") or "").lower())
    if words is None:
        raise UnreadError("what the constraint asks for is not told apart")
    name = write.name(options.get("name") or "unnamed")
    references = " REFERENCES referenced (id)" if words == "FOREIGN KEY" else ""
    yield f"ALTER TABLE {write.name(values[0])} ADD CONSTRAINT {name} {words} ({write.names(options.get('fields'))}){references}"


def _write(what: str) -> Callable[[Writer, Sequence[Any]], Made]:
    def read(write: Writer, values: Sequence[Any]) -> Made:
        _need(values, 2)
        write.name(values[0])
        whole = what == "delete" and values[1] in ({}, None)
        table = values[0] if isinstance(values[0], str) else values[0]["tableName"]
        yield Operation(kind=Kind.WRITE, what=what, table=table, whole=whole)

    return read


def _as(template: str, count: int) -> Callable[[Writer, Sequence[Any]], Made]:
    def read(write: Writer, values: Sequence[Any]) -> Made:
        _need(values, count)
        yield template.format(*(write.name(one) for one in values[:count]))

    return read


def _sequelize_add(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 3)
    yield f"ALTER TABLE {write.name(values[0])} ADD COLUMN {write.name(values[1])} {write.column(_sequelize_column(values[2]))}"


SEQUELIZE: Mapping[str, Callable[[Writer, Sequence[Any]], Made]] = {
    "addColumn": _sequelize_add,
    "addConstraint": _sequelize_constraint,
    "addIndex": _sequelize_index,
    "bulkDelete": _write("delete"),
    "bulkInsert": _write("insert"),
    "bulkUpdate": _write("update"),
    "changeColumn": _sequelize_change,
    "createTable": _as("CREATE TABLE {0} (a int)", 1),
    "dropTable": _as("DROP TABLE {0}", 1),
    "removeColumn": _as("ALTER TABLE {0} DROP COLUMN {1}", 2),
    "removeConstraint": _as("ALTER TABLE {0} DROP CONSTRAINT {1}", 2),
    "removeIndex": _sequelize_remove_index,
    "renameColumn": _as("ALTER TABLE {0} RENAME COLUMN {1} TO {2}", 3),
    "renameTable": _as("ALTER TABLE {0} RENAME TO {1}", 2),
}


# --- TypeORM: queryRunner -----------------------------------------------------------------------------------------------------------------------------


def _made_of(value: Any, kind: str) -> dict[str, Any]:
    found = value.arguments[0] if isinstance(value, Expression) and value.name == kind and value.arguments and len(value.arguments) == 1 else None
    if not isinstance(found, dict):
        raise UnreadError(f"its {kind} is computed when it runs")
    return found


def _typeorm_column(value: Any) -> tuple[Any, Definition]:
    given = _made_of(value, "TableColumn")
    default = given.get("default")
    if isinstance(default, Expression) and default.name != "undefined":
        raise UnreadError("a default is computed when it runs")
    filled = default is not None and not isinstance(default, Expression) and default != "NULL"
    primary = _flag(given.get("isPrimary"))
    not_null = not _flag(given.get("isNullable")) or primary
    generated = bool(given.get("generatedType")) or _flag(given.get("isGenerated"))
    return given.get("name"), Definition(not_null=not_null, default=filled, unique=_flag(given.get("isUnique")) or primary, generated=generated)


def _typeorm_add(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    for one in values[1] if isinstance(values[1], list) else [values[1]]:
        name, definition = _typeorm_column(one)
        yield f"ALTER TABLE {write.name(values[0])} ADD COLUMN {write.name(name)} {write.column(definition)}"


def _typeorm_drop(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    for one in values[1] if isinstance(values[1], list) else [values[1]]:
        yield f"ALTER TABLE {write.name(values[0])} DROP COLUMN {write.name(one)}"


def _typeorm_create(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 1)
    guarded = "IF NOT EXISTS " if len(values) > 1 and values[1] is not False else ""
    yield f"CREATE TABLE {guarded}{write.name(_made_of(values[0], 'Table').get('name'))} (a int)"


def _typeorm_index(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    given = _made_of(values[1], "TableIndex")
    unique = "UNIQUE " if _flag(given.get("isUnique")) else ""
    yield f"CREATE {unique}INDEX {write.name(given.get('name') or 'unnamed_index')} ON {write.name(values[0])} ({write.names(given.get('columnNames'))})"


def _typeorm_key(kind: str, words: str) -> Callable[[Writer, Sequence[Any]], Made]:
    def read(write: Writer, values: Sequence[Any]) -> Made:
        _need(values, 2)
        given = _made_of(values[1], kind)
        references = " REFERENCES referenced (id)" if words == "FOREIGN KEY" else ""
        name = write.name(given.get("name") or "unnamed")
        yield f"ALTER TABLE {write.name(values[0])} ADD CONSTRAINT {name} {words} ({write.names(given.get('columnNames'))}){references}"

    return read


def _typeorm_drop_index(write: Writer, values: Sequence[Any]) -> Made:
    _need(values, 2)
    write.name(values[0])
    if not isinstance(values[1], str):
        raise UnreadError("the name of the index is computed when it runs")
    yield write.drop_index(values[0], values[1])


TYPEORM: Mapping[str, Callable[[Writer, Sequence[Any]], Made]] = {
    "addColumn": _typeorm_add,
    "addColumns": _typeorm_add,
    "createForeignKey": _typeorm_key("TableForeignKey", "FOREIGN KEY"),
    "createIndex": _typeorm_index,
    "createTable": _typeorm_create,
    "createUniqueConstraint": _typeorm_key("TableUnique", "UNIQUE"),
    "dropColumn": _typeorm_drop,
    "dropColumns": _typeorm_drop,
    "dropForeignKey": _as("ALTER TABLE {0} DROP CONSTRAINT {1}", 2),
    "dropIndex": _typeorm_drop_index,
    "dropTable": _as("DROP TABLE {0}", 1),
    "dropUniqueConstraint": _as("ALTER TABLE {0} DROP CONSTRAINT {1}", 2),
    "renameColumn": _as("ALTER TABLE {0} RENAME COLUMN {1} TO {2}", 3),
    "renameTable": _as("ALTER TABLE {0} RENAME TO {1}", 2),
}


# --- knex: knex.schema --------------------------------------------------------------------------------------------------------------------------------

_KNEX_COLUMNS = frozenset(
    {"string", "text", "integer", "bigInteger", "bigint", "smallint", "tinyint", "mediumint", "boolean", "date", "datetime", "dateTime", "time", "timestamp"}
    | {"uuid", "json", "jsonb", "binary", "decimal", "float", "double", "enum", "enu", "specificType", "geometry", "point"}
)
_KNEX_HARMLESS = frozenset({"unsigned", "comment", "index", "after", "first", "collate", "nullable", "withKeyName", "inTable", "onUpdate", "deferrable"})


def _knex_table(write: Writer, table: Any, body: Sequence[Sequence[Token]], parameter: str) -> Iterator[str | Operation]:
    """What the function of `alterTable` does to its table."""
    for statement in body:
        chain = chain_of(statement)
        if chain is None or len(chain) < 2 or chain[0].name != parameter or any(one.inside is None for one in chain[1:]):  # noqa: PLR2004  t . method
            raise UnreadError("a part of the table's function is no plain call")
        first, *rest = chain[1:]
        given = first.values()
        reader = _KNEX_IN_TABLE.get(first.name)
        if reader is not None:
            if any(one.name not in _KNEX_HARMLESS | {"references", "onDelete"} for one in rest):
                raise UnreadError(f"what {rest[0].name} does behind {first.name} is not known here")
            yield from reader(write, table, given)
        elif first.name in _KNEX_COLUMNS:
            _need(given, 1)
            yield f"ALTER TABLE {write.name(table)} ADD COLUMN {write.name(given[0])} {write.column(_knex_column(rest))}"
            if any(one.name == "unique" for one in rest):
                yield f"CREATE UNIQUE INDEX unnamed_index ON {write.name(table)} ({write.name(given[0])})"
        else:
            raise UnreadError(f"what {first.name} does is not known here")


def _knex_column(rest: Sequence[Call]) -> Definition:
    found = Definition()
    for one in rest:
        match one.name:
            case "notNullable" | "primary":
                found.not_null = True
            case "defaultTo":
                value = one.values()[:1]
                if value and isinstance(value[0], Expression) and not re.search(r"\.(?:raw|now|uuid)$", value[0].name):
                    raise UnreadError("a default is computed when it runs")
                found.default = bool(value) and value[0] is not None
            case "unique":
                pass
            case "references":
                found.references = True
            case "onDelete":
                found.on_delete = str(next(iter(one.values()), "")).upper()
            case name if name in _KNEX_HARMLESS:
                if name == "nullable":
                    found.not_null = False
            case name:
                raise UnreadError(f"what {name} does to a column is not known here")
    return found


def _knex_drop(write: Writer, table: Any, given: Sequence[Any]) -> Made:
    _need(given, 1)
    for one in given[0] if isinstance(given[0], list) else given:
        yield f"ALTER TABLE {write.name(table)} DROP COLUMN {write.name(one)}"


def _knex_timestamps(write: Writer, table: Any, given: Sequence[Any]) -> Made:
    filled = len(given) > 1 and _flag(given[1])
    for one in ("created_at", "updated_at"):
        yield f"ALTER TABLE {write.name(table)} ADD COLUMN {write.name(one)} int{' NOT NULL DEFAULT 0' if filled else ''}"


def _knex_null(words: str) -> Callable[[Writer, Any, Sequence[Any]], Made]:
    def read(write: Writer, table: Any, given: Sequence[Any]) -> Made:
        _need(given, 1)
        kind = Kind.SET_NOT_NULL if words == "SET" else Kind.DROP_NOT_NULL
        write.name(table)
        write.name(given[0])
        yield Operation(kind=kind, table=table, name=given[0] if write.dialect is Dialect.POSTGRES else given[0].lower())

    return read


def _knex_index(words: str) -> Callable[[Writer, Any, Sequence[Any]], Made]:
    def read(write: Writer, table: Any, given: Sequence[Any]) -> Made:
        _need(given, 1)
        name = given[1] if len(given) > 1 and isinstance(given[1], str) else "unnamed_index"
        yield f"CREATE {words}INDEX {write.name(name)} ON {write.name(table)} ({write.names(given[0])})"

    return read


def _knex_foreign(write: Writer, table: Any, given: Sequence[Any]) -> Made:
    _need(given, 1)
    yield f"ALTER TABLE {write.name(table)} ADD CONSTRAINT unnamed FOREIGN KEY ({write.names(given[0])}) REFERENCES referenced (id)"


def _knex_without(what: str) -> Callable[[Writer, Any, Sequence[Any]], Made]:
    def read(write: Writer, table: Any, given: Sequence[Any]) -> Made:
        write.name(table)
        name = next((one for one in reversed(given) if isinstance(one, str)), "unnamed")
        if what == "index":
            yield write.drop_index(table, name)
        else:
            yield Operation(kind=Kind.DROP_CONSTRAINT, what=what, table=table, name=name)

    return read


def _knex_rename(write: Writer, table: Any, given: Sequence[Any]) -> Made:
    _need(given, 2)
    yield f"ALTER TABLE {write.name(table)} RENAME COLUMN {write.name(given[0])} TO {write.name(given[1])}"


def _knex_increments(write: Writer, table: Any, given: Sequence[Any]) -> Made:
    yield f"ALTER TABLE {write.name(table)} ADD COLUMN {write.name(given[0] if given else 'id')} {write.column(Definition(generated=True))}"


_KNEX_IN_TABLE: Mapping[str, Callable[[Writer, Any, Sequence[Any]], Made]] = {
    "bigIncrements": _knex_increments,
    "dropColumn": _knex_drop,
    "dropColumns": _knex_drop,
    "dropForeign": _knex_without("foreign key"),
    "dropIndex": _knex_without("index"),
    "dropNullable": _knex_null("SET"),
    "dropPrimary": _knex_without("primary key"),
    "dropUnique": _knex_without("unique"),
    "foreign": _knex_foreign,
    "increments": _knex_increments,
    "index": _knex_index(""),
    "renameColumn": _knex_rename,
    "setNullable": _knex_null("DROP"),
    "timestamps": _knex_timestamps,
    "unique": _knex_index("UNIQUE "),
}
_KNEX_SCHEMA: Mapping[str, Callable[[Writer, Sequence[Any]], Made]] = {
    "createTable": _as("CREATE TABLE {0} (a int)", 1),
    "createTableIfNotExists": _as("CREATE TABLE IF NOT EXISTS {0} (a int)", 1),
    "dropTable": _as("DROP TABLE {0}", 1),
    "dropTableIfExists": _as("DROP TABLE IF EXISTS {0}", 1),
    "renameTable": _as("ALTER TABLE {0} RENAME TO {1}", 2),
}


def knex_schema(write: Writer, links: Sequence[Call]) -> Iterator[str | Operation]:
    """What `knex.schema` followed by these calls does."""
    for link in links:
        if link.inside is None:
            raise UnreadError("it is no chain of calls")
        parts = cut(link.inside, ",")
        if link.name in {"table", "alterTable"}:
            function = function_of(parts[1]) if len(parts) == 2 else None  # noqa: PLR2004  a name and a function
            if function is None:
                raise UnreadError("the table's function is not told apart")
            yield from _knex_table(write, value_of(parts[0]), list(statements(function[1])), function[0])
        elif link.name in _KNEX_SCHEMA:
            yield from _KNEX_SCHEMA[link.name](write, [value_of(part) for part in parts[:2]])
        else:
            raise UnreadError(f"what {link.name} does is not known here")


def function_of(tokens: Sequence[Token]) -> tuple[str, Sequence[Token]] | None:
    """The parameter and the body of `(t) => { ... }`, `async t => { ... }` or `function (t) { ... }`; None for anything else."""
    at = next((there for there, one in enumerate(tokens) if one[1] == "{"), None)
    head = [one[1] for one in tokens[:at]] if at is not None else []
    words = [one for one in head if one not in {"async", "function", "(", ")", "=>"}]
    within = inside(tokens, at) if at is not None else None
    if within is None or at is None or len(within) + at + 2 != len(tokens) or len(words) != 1 or not ({"function", "=>"} & set(head)):
        return None
    return words[0], within


def statements(body: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Cut at semicolons, and where `await` or `return` begins another; brackets that stay open end up in one that is not understood."""
    depth = start = 0
    for index, token in enumerate(body):
        depth += step(token)
        begins = token[0] == "word" and token[1] in {"await", "return"} and index > start and not depth
        if (token[1] == ";" and token[0] == "mark" and not depth) or begins:
            if body[start:index]:
                yield body[start:index]
            start = index if begins else index + 1
    if body[start:]:
        yield body[start:]
