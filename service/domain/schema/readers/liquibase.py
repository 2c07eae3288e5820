"""Reads Liquibase changelogs in XML, YAML and JSON: the change types of each changeset, with what decides whether it runs at all.

A changelog is added to: one that changed is read if every changeset it had is still there unchanged, and then only what is new in it counts. A changeset under
a context, label or precondition may or may not run, so it proves nothing new and its breaks count. Placeholders and custom changes are unknown.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.domain.documents import DocumentError, Element, read_json, read_xml, read_yaml
from service.domain.schema.operations import Column, ColumnType, Kind, Operation, unknown
from service.domain.schema.readers.reader import Root, Sql, Step, not_literal, not_understood
from service.domain.schema.reading import Dialect, SchemaVerdict

_CONDITIONS = ("context", "contextFilter", "labels")
_DATABASES = {
    Dialect.POSTGRES: frozenset({"postgresql", "postgres"}),
    Dialect.MYSQL: frozenset({"mysql", "mariadb"}),
    Dialect.SQLITE: frozenset({"sqlite"}),
}
_NEEDS_PROOF = frozenset({Kind.CREATE_TABLE, Kind.ADD_COLUMN, Kind.ADD_UNIQUE, Kind.ADD_CHECK, Kind.ADD_FOREIGN_KEY, Kind.CREATE_OBJECT})
_NOTHING = frozenset(
    {"setTableRemarks", "setColumnRemarks", "tagDatabase", "empty", "output", "comment", "rollback", "validCheckSum", "modifySql", "preConditions"}
)
_TYPES = {
    "clob": "text",
    "datetime": "timestamp",
    "number": "decimal",
    "numeric": "decimal",
    "integer": "int",
    "blob": "varbinary",
    "nvarchar": "varchar",
    "currency": "decimal",
}
_CLEARS = "a person reads it and confirms that OLD still runs"


class _UnreadError(Exception):
    """A part is computed or not known; the text says which."""


@dataclass(slots=True)
class _Change:
    """One change, or a part of one: its type, what stands in it, its columns, and its text."""

    kind: str
    attributes: dict[str, str]
    inside: list["_Change"] = field(default_factory=list)
    text: str = ""
    line: int = 0

    def parts(self, kind: str) -> list["_Change"]:
        return [one for one in self.inside if one.kind == kind]

    def written(self) -> str:
        """Everything in it, to compare it with another."""
        inner = "".join(one.written() for one in self.inside)
        return f"<{self.kind} {sorted(self.attributes.items())}>{' '.join(self.text.split())}{inner}</>"


class LiquibaseReader:
    """See `reader.Reader`."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """By name: which file includes which decides, and is seldom told otherwise by the names."""
        return list(paths)

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """Every changeset that is new in the file."""
        try:
            new = _changelog(path, self._root.files[path])
            old = _changelog(path, self._root.before[path]) if path in self._root.before else []
        except DocumentError as error:
            yield not_understood(0, "", str(error))
            return
        had = {_identity(one): one.written() for one in old}
        has = {_identity(one): one.written() for one in new}
        changed = [identity for identity, text in had.items() if has.get(identity) != text]
        if changed:
            says = f"changes or removes what stood in this changelog before ({changed[0][:60]})"
            clears = "the version table shows whether it was applied, and with which text"
            yield Step(0, "", unknown("migration_rewritten", says, clears))
        for one in new:
            if _identity(one) not in had:
                yield from self._entry(one, path, sql)
        if not changed and set(has) <= set(had):
            yield Step(0, "", _note("holds no new changeset"))

    def _entry(self, entry: _Change, path: str, sql: Sql) -> Iterator[Step]:
        if entry.kind == "changeSet":
            yield from self._change_set(entry, sql)
        elif entry.kind == "include":
            file = entry.attributes.get("file", "")
            tail = file.rpartition("/")[2]
            if tail and "${" not in file and any(one != path and one.rpartition("/")[2] == tail for one in self._root.files):
                yield Step(entry.line, file, _note("includes a file that is read itself"))
            else:
                yield not_literal(entry.line, file, "it includes a file that is not among the migrations of this change")
        elif entry.kind in {"property", "changeLogId"}:
            return
        else:
            yield not_literal(entry.line, "", f"what {entry.kind} brings or decides is not in this file")

    def _change_set(self, entry: _Change, sql: Sql) -> Iterator[Step]:
        shown = f"changeSet {entry.attributes.get('author', '')}:{entry.attributes.get('id', '')}"
        if entry.attributes.get("ignore", "").lower() == "true" or not self._runs_here(entry.attributes.get("dbms", "")):
            yield Step(entry.line, shown, _note("does not run on this database"))
            return
        conditional = (
            any(entry.attributes.get(name) for name in _CONDITIONS)
            or bool(entry.parts("preConditions"))
            or entry.attributes.get("failOnError", "true").lower() == "false"
        )
        for change in entry.inside:
            if change.kind in _NOTHING:
                continue
            line = change.line or entry.line
            for step in self._change(change, line, f"{shown} {change.kind}", sql):
                yield replace(step, operation=_perhaps(step.operation)) if conditional else step
        if not any(change.kind not in _NOTHING for change in entry.inside):
            yield Step(entry.line, shown, _note("changes nothing"))

    def _runs_here(self, dbms: str) -> bool:
        names = [name.strip().lower() for name in dbms.split(",") if name.strip()]
        here = _DATABASES.get(self._root.dialect, frozenset())
        if not names or "all" in names:
            return True
        if all(name.startswith("!") for name in names):
            return not any(name[1:] in here for name in names)
        return any(name in here for name in names)

    def _change(self, change: _Change, line: int, shown: str, sql: Sql) -> Iterator[Step]:
        if change.kind in {"sql", "createProcedure"} and not self._runs_here(change.attributes.get("dbms", "")):
            yield Step(line, shown, _note("does not run on this database"))
            return
        if change.kind == "sql":
            text = change.text or change.attributes.get("sql", "")
            if change.attributes.get("endDelimiter", ";") != ";" or not text.strip():
                yield not_understood(line, shown, "it cuts its statements in its own way, or holds none")
            else:
                yield from (replace(step, line=step.line or line) for step in sql(text, line))
            return
        reader = _CHANGES.get(change.kind)
        if reader is None:
            yield not_literal(line, shown, f"what {change.kind} does is not in this file")
            return
        try:
            found = list(reader(_Given(self._root, change)))
        except _UnreadError as error:
            yield not_literal(line, shown, str(error))
            return
        for one in found:
            yield Step(line, shown, one)


def _perhaps(operation: Operation) -> Operation:
    """What an operation means that may not have run: it proves nothing new, and what it would mend may be broken still."""
    if operation.kind in _NEEDS_PROOF:
        return replace(operation, guarded=True)
    if operation.kind in {Kind.SET_DEFAULT, Kind.DROP_NOT_NULL, Kind.RENAME_TABLE, Kind.RENAME_COLUMN}:
        says = "changes a default or a name only under a condition"
        return unknown("not_literal", says, "a person finds out whether it ran")
    return operation


def _note(says: str) -> Operation:
    return Operation(kind=Kind.NOTE, rule="no_schema_change", verdict=SchemaVerdict.SAFE, says=says)


def _identity(entry: _Change) -> str:
    if entry.kind == "changeSet":
        return f"changeSet {entry.attributes.get('author', '')}:{entry.attributes.get('id', '')}"
    return f"{entry.kind} {entry.attributes.get('file') or entry.attributes.get('path') or entry.attributes.get('name') or entry.written()}"


# --- the three spellings ----------------------------------------------------------------------------------------------------


def _changelog(path: str, text: str) -> list[_Change]:
    if not path.lower().endswith((".xml", ".yaml", ".yml", ".json")):
        raise DocumentError("is a changelog in a language that is not read")
    if path.lower().endswith(".xml"):
        top = read_xml(text.removeprefix("\ufeff"))
        if top.name != "databaseChangeLog":
            raise DocumentError("is no Liquibase changelog")
        return [_of_element(one) for one in top.inside]
    documents = [read_json(text)] if path.lower().endswith(".json") else read_yaml(text)
    if len(documents) != 1 or not isinstance(documents[0], Mapping) or not isinstance(entries := documents[0].get("databaseChangeLog"), list):
        raise DocumentError("is no Liquibase changelog")
    lines = text.split("\n")
    return [_of_mapping(kind, inner, lines) for entry in entries for kind, inner in _single(entry)]


def _of_element(element: Element) -> _Change:
    return _Change(element.name, dict(element.attributes), [_of_element(one) for one in element.inside], element.text, element.line)


def _single(entry: Any) -> list[tuple[str, Any]]:
    if not isinstance(entry, Mapping):
        raise DocumentError("has an entry that is not understood")
    return [(str(kind), inner) for kind, inner in entry.items()]


def _of_mapping(kind: str, given: Any, lines: Sequence[str]) -> _Change:
    found = _Change(kind, {})
    if not isinstance(given, Mapping):
        found.text = _plain(given)
        return found
    for name, value in given.items():
        if isinstance(value, list):
            found.inside += [
                _of_mapping(inner, content, lines) for one in value for inner, content in (_single(one) if isinstance(one, Mapping) else [(str(name), one)])
            ]
            found.attributes.setdefault(f"({name})", "")
        elif isinstance(value, Mapping):
            found.inside.append(_of_mapping(str(name), value, lines))
        else:
            found.attributes[str(name)] = _plain(value)
    if kind == "changeSet":
        identity = found.attributes.get("id", "")
        pattern = re.compile(rf"[\"']?id[\"']?\s*:\s*[\"']?{re.escape(identity)}[\"']?\s*,?\s*$")
        found.line = next((number for number, line in enumerate(lines, start=1) if pattern.search(line)), 0)
    return found


def _plain(value: Any) -> str:
    return {True: "true", False: "false", None: ""}.get(value, "") if value is None or isinstance(value, bool) else str(value)


# --- change types -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    """What one change says."""

    root: Root
    change: _Change

    def text(self, name: str) -> str:
        found = self.maybe(name)
        if not found:
            raise _UnreadError(f"it has no {name}")
        return found

    def maybe(self, name: str) -> str:
        found = self.change.attributes.get(name, "")
        if "${" in found:
            raise _UnreadError(f"its {name} holds a placeholder")
        return found

    def name(self, name: str) -> str:
        return self.column(self.text(name))

    def column(self, text: str) -> str:
        """A name that Liquibase leaves unquoted, so that PostgreSQL folds it."""
        return text.lower() if self.root.dialect is Dialect.POSTGRES and re.fullmatch(r"\w+", text) else self.root.name(text)

    def table(self, name: str = "tableName", schema: str = "schemaName") -> str:
        found, where = self.text(name), self.maybe(schema)
        shown = found.lower() if self.root.dialect is Dialect.POSTGRES and re.fullmatch(r"\w+", found) else self.root.name(found, of_table=True)
        return shown if not where or where.lower() in {"public", "main"} else f"{where.lower()}.{shown}"

    def columns(self, name: str) -> tuple[str, ...]:
        return tuple(self.column(one.strip()) for one in self.maybe(name).split(",") if one.strip())


def _type(text: str) -> ColumnType:
    if "${" in text:
        raise _UnreadError("its type holds a placeholder")
    base = re.sub(r"^java\.sql\.Types\.", "", text.partition("(")[0].strip(), flags=re.IGNORECASE).lower()
    shown = _TYPES.get(base, base)
    return ColumnType(name=shown, bounded="(" in text and shown in {"varchar", "char", "decimal", "varbinary", "bit", "nchar"})


def _column(part: _Change) -> Column:
    values = dict(part.attributes)
    for constraint in part.parts("constraints"):
        values |= constraint.attributes
    if any("${" in value for value in values.values()):
        raise _UnreadError("its column holds a placeholder")
    default = next((value for name, value in values.items() if name.startswith("defaultValue") and name != "defaultValueConstraintName"), "")
    primary = values.get("primaryKey", "").lower() == "true"
    return Column(
        type=_type(values.get("type", "")),
        not_null=primary or values.get("nullable", "").lower() == "false" or values.get("notNull", "").lower() == "true",
        default=bool(default) and default.strip().upper() != "NULL",
        generated=values.get("autoIncrement", "").lower() == "true" or bool(values.get("generatedAlways")),
        unique=primary or values.get("unique", "").lower() == "true",
        references=bool(values.get("references") or values.get("foreignKeyName")),
        lets_parents_go=values.get("deleteCascade", "").lower() == "true",
    )


def _create_table(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.CREATE_TABLE, table=given.table(), guarded=given.maybe("ifNotExists").lower() == "true")


def _drop_table(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.DROP_TABLE, table=given.table())


def _rename_table(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.RENAME_TABLE, table=given.table("oldTableName"), to=given.table("newTableName"))


def _add_column(given: _Given) -> Iterator[Operation]:
    parts = given.change.parts("column")
    if not parts:
        raise _UnreadError("it has no column")
    for part in parts:
        name = part.attributes.get("name", "")
        if not name or "${" in name:
            raise _UnreadError("its column's name is computed")
        yield Operation(kind=Kind.ADD_COLUMN, table=given.table(), name=given.column(name), column=_column(part))


def _drop_column(given: _Given) -> Iterator[Operation]:
    names = [part.attributes.get("name", "") for part in given.change.parts("column")] or [given.text("columnName")]
    if any(not name or "${" in name for name in names):
        raise _UnreadError("its column's name is computed")
    for name in names:
        yield Operation(kind=Kind.DROP_COLUMN, table=given.table(), name=given.column(name))


def _rename_column(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.RENAME_COLUMN, table=given.table(), name=given.name("oldColumnName"), to=given.name("newColumnName"))


def _modify_type(given: _Given) -> Iterator[Operation]:
    kind = _type(given.text("newDataType"))
    if given.root.dialect is Dialect.MYSQL:  # it writes MODIFY with the type alone: NOT NULL and the default are lost
        yield Operation(kind=Kind.MODIFY_COLUMN, table=given.table(), name=given.name("columnName"), column=Column(type=kind))
    else:
        yield Operation(kind=Kind.CHANGE_TYPE, table=given.table(), name=given.name("columnName"), type=kind)


def _on_column(kind: Kind) -> Callable[[_Given], Iterator[Operation]]:
    def read(given: _Given) -> Iterator[Operation]:
        yield Operation(kind=kind, table=given.table(), name=given.name("columnName"), whole=kind is Kind.SET_IDENTITY)

    return read


def _index_name(given: _Given, name: str, table: str) -> str:
    shown = given.column(given.maybe(name)) if given.maybe(name) else ""
    return f"{table}.{shown}" if given.root.dialect is Dialect.MYSQL and shown else shown


def _create_index(given: _Given) -> Iterator[Operation]:
    table = given.table()
    name = _index_name(given, "indexName", table)
    if given.maybe("unique").lower() == "true":
        columns = tuple(given.column(part.attributes.get("name", "")) for part in given.change.parts("column"))
        plain = all(re.fullmatch(r"\w+", one) for one in columns)
        yield Operation(kind=Kind.ADD_UNIQUE, what="unique index", name=name, table=table, columns=columns if plain else ())
    else:
        yield Operation(kind=Kind.CREATE_OBJECT, what="index", name=name, table=table)


def _drop_index(given: _Given) -> Iterator[Operation]:
    table = given.table() if given.maybe("tableName") else ""
    kept = table if given.root.dialect is Dialect.MYSQL else ""
    yield Operation(kind=Kind.DROP_OBJECT, what="index", name=_index_name(given, "indexName", table), table=kept)


def _add_unique(given: _Given) -> Iterator[Operation]:
    name = given.column(given.maybe("constraintName"))
    yield Operation(kind=Kind.ADD_UNIQUE, what="unique", name=name, table=given.table(), columns=given.columns("columnNames"))


def _add_primary(given: _Given) -> Iterator[Operation]:
    name = given.column(given.maybe("constraintName")) or "primary key"
    yield Operation(kind=Kind.ADD_UNIQUE, what="primary key", name=name, table=given.table(), columns=given.columns("columnNames"))


def _add_foreign(given: _Given) -> Iterator[Operation]:
    name = given.column(given.maybe("constraintName"))
    table = given.table("baseTableName", "baseTableSchemaName")
    yield Operation(kind=Kind.ADD_FOREIGN_KEY, name=name, table=table, columns=given.columns("baseColumnNames"))


def _add_check(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.ADD_CHECK, name=given.column(given.maybe("constraintName")), table=given.table())


def _drop_constraint(what: str, table: str = "tableName") -> Callable[[_Given], Iterator[Operation]]:
    def read(given: _Given) -> Iterator[Operation]:
        name = given.column(given.maybe("constraintName")) or what
        schema = "baseTableSchemaName" if table == "baseTableName" else "schemaName"
        yield Operation(kind=Kind.DROP_CONSTRAINT, what=what, name=name, table=given.table(table, schema))

    return read


def _object(kind: Kind, what: str, name: str) -> Callable[[_Given], Iterator[Operation]]:
    def read(given: _Given) -> Iterator[Operation]:
        replaces = given.maybe("replaceIfExists").lower() == "true"
        yield Operation(kind=kind, what=what, name=given.name(name), replace=replaces)

    return read


def _rename_object(what: str) -> Callable[[_Given], Iterator[Operation]]:
    def read(given: _Given) -> Iterator[Operation]:
        label = what.capitalize()
        yield Operation(kind=Kind.RENAME_OBJECT, what=what, name=given.name(f"old{label}Name"), to=given.name(f"new{label}Name"))

    return read


def _insert(given: _Given) -> Iterator[Operation]:
    upsert = given.change.kind == "loadUpdateData"
    yield Operation(kind=Kind.WRITE, what="insert", table=given.table(), upsert=upsert)


def _update(given: _Given) -> Iterator[Operation]:
    columns = tuple(given.column(part.attributes.get("name", "")) for part in given.change.parts("column"))
    yield Operation(kind=Kind.WRITE, what="update", table=given.table(), columns=columns)


def _delete(given: _Given) -> Iterator[Operation]:
    whole = not given.maybe("where") and not any(part.text.strip() for part in given.change.parts("where"))
    yield Operation(kind=Kind.WRITE, what="delete", table=given.table(), whole=whole)


def _procedure(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.CREATE_OBJECT, what="procedure", name=given.maybe("procedureName").lower(), replace=True)


def _sequence_changed(given: _Given) -> Iterator[Operation]:
    yield Operation(kind=Kind.NOTE, rule="sequence_changed", verdict=SchemaVerdict.SAFE, says=f"changes how sequence {given.text('sequenceName')} counts")


_CHANGES: Mapping[str, Callable[[_Given], Iterator[Operation]]] = {
    "createTable": _create_table,
    "dropTable": _drop_table,
    "renameTable": _rename_table,
    "addColumn": _add_column,
    "dropColumn": _drop_column,
    "renameColumn": _rename_column,
    "modifyDataType": _modify_type,
    "addNotNullConstraint": _on_column(Kind.SET_NOT_NULL),
    "dropNotNullConstraint": _on_column(Kind.DROP_NOT_NULL),
    "addDefaultValue": _on_column(Kind.SET_DEFAULT),
    "dropDefaultValue": _on_column(Kind.DROP_DEFAULT),
    "addAutoIncrement": _on_column(Kind.SET_IDENTITY),
    "createIndex": _create_index,
    "dropIndex": _drop_index,
    "addUniqueConstraint": _add_unique,
    "dropUniqueConstraint": _drop_constraint("unique"),
    "addPrimaryKey": _add_primary,
    "dropPrimaryKey": _drop_constraint("primary key"),
    "addForeignKeyConstraint": _add_foreign,
    "dropForeignKeyConstraint": _drop_constraint("foreign key", "baseTableName"),
    "addCheckConstraint": _add_check,
    "dropCheckConstraint": _drop_constraint("check"),
    "createView": _object(Kind.CREATE_OBJECT, "view", "viewName"),
    "dropView": _object(Kind.DROP_OBJECT, "view", "viewName"),
    "renameView": _rename_object("view"),
    "createSequence": _object(Kind.CREATE_OBJECT, "sequence", "sequenceName"),
    "dropSequence": _object(Kind.DROP_OBJECT, "sequence", "sequenceName"),
    "renameSequence": _rename_object("sequence"),
    "alterSequence": _sequence_changed,
    "createProcedure": _procedure,
    "dropProcedure": _object(Kind.DROP_OBJECT, "procedure", "procedureName"),
    "insert": _insert,
    "loadData": _insert,
    "loadUpdateData": _insert,
    "update": _update,
    "delete": _delete,
}
