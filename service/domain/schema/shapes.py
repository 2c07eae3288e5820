"""What tables and columns a schema has: built from the operations of a dump, changed by those of migrations, compared with another.

A shape says what it knows and no more: a table of which one column was not understood is there, with columns that nobody knows (`unread`); and only a shape
whose source was understood from end to end (`whole`) can say that something is *not* there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from service.domain.schema.operations import Column, ColumnType, Kind, Operation
from service.domain.schema.reading import SchemaVerdict

OF_TOOLS = frozenset({"schema_migrations", "ar_internal_metadata", "_prisma_migrations", "goose_db_version", "atlas_schema_revisions", "flyway_schema_history"})
"""Tables that migration tools keep for themselves, which no migration makes."""
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
_DIGITS = {"tinyint": 3, "smallint": 5, "mediumint": 8, "int": 10, "bigint": 20}
"""Digits of the greatest value, with or without a sign."""
_TEXTS_OF_MYSQL = ("tinytext", "text", "mediumtext", "longtext")
_BLOBS_OF_MYSQL = ("tinyblob", "blob", "mediumblob", "longblob")
_PADDED = frozenset({"char", "binary"})
_KINDS = {
    **dict.fromkeys((*_INTEGERS, "uint", "ubigint", "usmallint", "utinyint", "umediumint", "serial", "bigserial", "smallserial", "boolean", "bit"), "number"),
    **dict.fromkeys(("varchar", "char", "bpchar", "nvarchar", "nchar", "citext", *_TEXTS_OF_MYSQL, "enum", "set"), "text"),
    **dict.fromkeys(("varbinary", "binary", "bytea", *_BLOBS_OF_MYSQL), "bytes"),
    **dict.fromkeys(("decimal", "numeric", "float", "double", "real"), "fraction"),
    **dict.fromkeys(("timestamp", "timestamptz", "datetime", "date", "time", "timetz"), "moment"),
    **dict.fromkeys(("json", "jsonb"), "json"),
}


class Fit(StrEnum):
    """What a new type is to the old one."""

    SAME = "same"
    WIDER = "wider"
    NARROWER = "narrower"
    OTHER = "other"
    UNSURE = "unsure"


@dataclass(slots=True)
class Shape:
    """Tables by name, columns by name, as the judge names them. `indexes` says of an index whether it is unique.

    `supposed` is one that was learned from migrations instead of read from a dump: nobody knows that the database followed them.
    """

    tables: dict[str, dict[str, Column]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    indexes: dict[str, bool] = field(default_factory=dict)
    whole: bool = True
    supposed: bool = False

    def copy(self) -> "Shape":
        """Another one that changes by itself."""
        return Shape({name: dict(columns) for name, columns in self.tables.items()}, set(self.unread), dict(self.indexes), self.whole, self.supposed)

    def knows(self, table: str) -> bool | None:
        """Whether there is such a table, None where nobody can say."""
        return True if table in self.tables or table in self.unread else False if self.whole else None

    def column(self, table: str, name: str) -> Column | None:
        """A column, None where there is none or nobody knows (`has` tells which)."""
        return self.tables.get(table, {}).get(name)

    def has(self, table: str, name: str) -> bool | None:
        """Whether a table has a column, None where nobody can say."""
        return name in self.tables[table] if table in self.tables else None

    def apply(self, operation: Operation) -> None:
        """Change as the operation does."""
        if operation.perhaps:
            self._blur(operation)
            return
        match operation.kind:
            case Kind.CREATE_TABLE:
                self._create(operation)
            case Kind.DROP_TABLE:
                self.tables.pop(operation.table, None)
                self.unread.discard(operation.table)
            case Kind.RENAME_TABLE:
                self._rename(operation.table, operation.to)
            case Kind.ADD_UNIQUE:
                self.indexes[operation.name] = True
                if operation.what == "primary key":
                    for name in operation.columns:
                        self._change(operation.table, name, not_null=True)
            case Kind.CREATE_OBJECT if operation.what == "index":
                self.indexes[operation.name] = False
            case Kind.DROP_OBJECT if operation.what == "index":
                self.indexes.pop(operation.name, None)
            case Kind.RENAME_OBJECT if operation.what == "index" and operation.name in self.indexes:
                self.indexes[operation.to] = self.indexes.pop(operation.name)
            case _:
                self._alter(operation)

    def _create(self, operation: Operation) -> None:
        name = operation.table
        if operation.guarded and self.knows(name):
            return
        self.indexes.update(operation.keys)
        if operation.definition is not None:
            self.unread.discard(name)
            self.tables[name] = dict(operation.definition)
        elif operation.to in self.tables:
            self.tables[name] = dict(self.tables[operation.to])
        else:
            self.unread.add(name)

    def _rename(self, before: str, after: str) -> None:
        if before in self.tables:
            self.tables[after] = self.tables.pop(before)
        if before in self.unread:
            self.unread.discard(before)
            self.unread.add(after)

    def _alter(self, operation: Operation) -> None:
        columns = self.tables.get(operation.table)
        if columns is None:
            return
        match operation.kind:
            case Kind.ADD_COLUMN if operation.column is not None:
                if not (operation.guarded and operation.name in columns):
                    columns[operation.name] = operation.column
            case Kind.MODIFY_COLUMN if operation.column is not None:
                if operation.what == "type":
                    self._change(operation.table, operation.name, type=operation.column.type)
                else:
                    columns[operation.name] = operation.column
            case Kind.DROP_COLUMN:
                columns.pop(operation.name, None)
            case Kind.RENAME_COLUMN if operation.name in columns:
                columns[operation.to] = columns.pop(operation.name)
            case Kind.CHANGE_TYPE if operation.type is not None:
                self._change(operation.table, operation.name, type=operation.type)
            case Kind.SET_NOT_NULL | Kind.DROP_NOT_NULL:
                self._change(operation.table, operation.name, not_null=operation.kind is Kind.SET_NOT_NULL)
            case Kind.SET_DEFAULT | Kind.DROP_DEFAULT:
                self._change(operation.table, operation.name, default=operation.kind is Kind.SET_DEFAULT)
            case Kind.SET_IDENTITY:
                self._change(operation.table, operation.name, generated=True)
            case _:
                pass

    def _change(self, table: str, name: str, *, type: ColumnType | None = None, **facts: bool) -> None:  # noqa: A002  a column's type
        if (column := self.column(table, name)) is not None:
            self.tables[table][name] = replace(column, type=type or column.type, **facts)

    def _blur(self, operation: Operation) -> None:
        """What may have run leaves a table of which nobody knows the columns."""
        for name in (operation.table, operation.to):
            if name and self.tables.pop(name, None) is not None:
                self.unread.add(name)
        if operation.kind is Kind.CREATE_TABLE:
            self.unread.add(operation.table)


def differences(before: Shape, after: Shape) -> Iterator[Operation]:
    """What would make one shape the other, as far as both know: tables, columns, the kinds of their types, NOT NULL, and whether there is a default."""
    for table in sorted(before.tables.keys() | before.unread | after.tables.keys() | after.unread):
        if table in OF_TOOLS:
            continue
        if after.knows(table) is False and before.knows(table):
            yield Operation(kind=Kind.DROP_TABLE, table=table)
        elif before.knows(table) is False and after.knows(table):
            yield Operation(kind=Kind.CREATE_TABLE, table=table)
        elif table in before.tables and table in after.tables:
            yield from _of_columns(table, before.tables[table], after.tables[table])


def _of_columns(table: str, before: dict[str, Column], after: dict[str, Column]) -> Iterator[Operation]:
    for name in before:
        if name not in after:
            yield Operation(kind=Kind.DROP_COLUMN, table=table, name=name)
    for name, new in after.items():
        old = before.get(name)
        if old is None:
            yield Operation(kind=Kind.ADD_COLUMN, table=table, name=name, column=new)
            continue
        kinds = {_KINDS.get(one.type.name) for one in (old, new)}
        if len(kinds) > 1 and None not in kinds:
            yield Operation(kind=Kind.CHANGE_TYPE, table=table, name=name, type=new.type)
        if old.not_null != new.not_null:
            yield Operation(kind=Kind.SET_NOT_NULL if new.not_null else Kind.DROP_NOT_NULL, table=table, name=name)
        if (old.default or old.generated) != (new.default or new.generated):
            yield Operation(kind=Kind.SET_DEFAULT if new.default or new.generated else Kind.DROP_DEFAULT, table=table, name=name)


def fit(old: ColumnType, new: ColumnType, *, mysql: bool) -> Fit:
    """Whether every value of the old type fits the new one and reads alike."""
    if (old.name, old.bounded, old.length, old.scale, old.values, old.unsigned) == (new.name, new.bounded, new.length, new.scale, new.values, new.unsigned):
        return Fit.SAME
    kinds = _KINDS.get(old.name), _KINDS.get(new.name)
    if None in kinds or old.user_defined or new.user_defined:
        return Fit.UNSURE
    if kinds == ("number", "fraction") and old.name in _DIGITS and new.name in {"decimal", "numeric"}:
        room = (new.length or 0) - (new.scale or 0)
        return Fit.WIDER if not new.bounded and not mysql else Fit.UNSURE if not new.bounded else Fit.WIDER if room >= _DIGITS[old.name] else Fit.NARROWER
    if kinds[0] != kinds[1]:
        return Fit.OTHER
    if old.values or new.values:
        return _labels(old, new)
    if old.name in _INTEGERS and new.name in _INTEGERS:
        return _by_size(_INTEGERS.index(old.name), _INTEGERS.index(new.name), alike=old.unsigned == new.unsigned)
    sizes = _length(old, mysql=mysql), _length(new, mysql=mysql)
    if sizes[0] is not None and sizes[1] is not None:
        return _by_size(sizes[0], sizes[1], alike=(old.name in _PADDED) == (new.name in _PADDED))
    return Fit.UNSURE


def _by_size(old: int, new: int, *, alike: bool) -> Fit:
    if not alike:
        return Fit.NARROWER if new < old else Fit.UNSURE
    return Fit.SAME if new == old else Fit.WIDER if new > old else Fit.NARROWER


def _labels(old: ColumnType, new: ColumnType) -> Fit:
    """MySQL's ENUM and SET: labels behind the old ones leave those as they are."""
    if old.name != new.name or not old.values or not new.values:
        return Fit.UNSURE
    if not set(old.values) <= set(new.values):
        return Fit.NARROWER
    return Fit.WIDER if new.values[: len(old.values)] == old.values else Fit.UNSURE


def _length(type: ColumnType, *, mysql: bool) -> int | None:  # noqa: A002  a column's type
    """How many characters or bytes fit, None where that cannot be told."""
    for names in (_TEXTS_OF_MYSQL, _BLOBS_OF_MYSQL):
        if mysql and type.name in names:
            return (255, 65_535, 16_777_215, 4_294_967_295)[names.index(type.name)]
    if type.name in {"varchar", "text", "varbinary", "char", "binary"}:
        return type.length if type.bounded else None if mysql or type.name in {"char", "binary"} else 1 << 40
    return None


def nothing_but(operation: Operation) -> bool:
    """Whether an operation is a finding of the reader that the shape cannot follow."""
    return operation.kind is Kind.NOTE and operation.verdict is SchemaVerdict.UNKNOWN
