"""What an operation does to a schema of which the shape before is known: the questions that a migration's text leaves open, answered.

Without a shape the judge says "whether that is narrower is not in the range"; with one it is. Nothing is claimed of what the shape does not know.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation
from service.domain.schema.reading import Dialect, SchemaVerdict
from service.domain.schema.shapes import Fit, Shape, fit

_SAFE, _WARN, _BREAKS, _UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
_OF_COLUMNS = frozenset(
    {
        Kind.DROP_COLUMN,
        Kind.RENAME_COLUMN,
        Kind.MODIFY_COLUMN,
        Kind.CHANGE_TYPE,
        Kind.SET_NOT_NULL,
        Kind.DROP_NOT_NULL,
        Kind.SET_DEFAULT,
        Kind.DROP_DEFAULT,
        Kind.SET_IDENTITY,
    }
)


class Answer(NamedTuple):
    """An operation's outcome, as `judgement.Finding.become` takes it."""

    rule: str
    verdict: SchemaVerdict
    says: str
    clears: str = ""


class KnownShape:
    """The schema as it is before the next operation. `follow` each one after it was answered."""

    def __init__(self, shape: Shape, dialect: Dialect) -> None:
        self._now, self._dialect = shape.copy(), dialect
        self.supposed = shape.supposed
        """Whether it may only make answers stricter (see `Shape`)."""

    def is_there(self, table: str) -> bool:
        """Whether the table is known to be there."""
        return self._now.knows(table) is True

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of the table's columns, () where they are not known."""
        return tuple(self._now.tables.get(table, ()))

    def follow(self, operation: Operation) -> None:
        """Take the operation as done."""
        self._now.apply(operation)

    def sharpened(self, operation: Operation) -> Operation:
        """The operation without an IF NOT EXISTS that is known to let it run."""
        if operation.guarded and not operation.perhaps:
            runs = (operation.kind is Kind.CREATE_TABLE and self._now.knows(operation.table) is False) or (
                operation.kind is Kind.ADD_COLUMN and self._now.has(operation.table, operation.name) is False
            )
            return replace(operation, guarded=False) if runs else operation
        return operation

    def answer(self, operation: Operation) -> Answer | None:
        """What the operation does to what is there; None where the shape says nothing that the text does not."""
        table, shown = operation.table, f"{operation.table}.{operation.name}"
        if operation.kind is Kind.CREATE_TABLE and operation.guarded and self._now.knows(table):
            return Answer("nothing_changes", _SAFE, f"creates table {table} unless it exists, and it does")
        if operation.kind is Kind.ADD_COLUMN and operation.guarded and self._now.has(table, operation.name):
            return Answer("nothing_changes", _SAFE, f"adds column {shown} unless it exists, and it does")
        if operation.kind in {Kind.DROP_TABLE, Kind.RENAME_TABLE} and self._now.knows(table) is False:
            return _not_there(operation, f"table {table}")
        if operation.kind in _OF_COLUMNS:
            if self._now.has(table, operation.name) is False:
                return _not_there(operation, f"column {shown}")
            was = self._now.column(table, operation.name)
            return self._of_column(operation, was, shown) if was is not None else None
        if operation.kind is Kind.DROP_OBJECT and operation.what == "index" and (unique := self._now.indexes.get(operation.name)) is not None:
            clears = "OLD has no ON CONFLICT / ON DUPLICATE KEY on it"
            if unique:
                return Answer("unique_index_dropped", _WARN, f"drops index {operation.name}, which is unique", clears)
            return Answer("index_dropped", _SAFE, f"drops index {operation.name}, which is not unique")
        return None

    def _of_column(self, operation: Operation, was: Column, shown: str) -> Answer | None:
        match operation.kind:
            case Kind.SET_NOT_NULL if was.not_null:
                return Answer("nothing_changes", _SAFE, f"makes {shown} NOT NULL, which it is")
            case Kind.DROP_NOT_NULL if not was.not_null:
                return Answer("nothing_changes", _SAFE, f"lets {shown} be NULL, as it may")
            case Kind.DROP_DEFAULT if not was.default:
                return Answer("nothing_changes", _SAFE, f"drops the default of {shown}, which has none")
            case Kind.CHANGE_TYPE if operation.type is not None and operation.type.conversion is not Conversion.EXPRESSION:
                return self._of_type(was.type, operation.type, shown)
            case Kind.MODIFY_COLUMN if operation.column is not None:
                return self._of_type(was.type, operation.column.type, shown) if operation.what == "type" else self._modified(was, operation.column, shown)
        return None

    def _of_type(self, was: ColumnType, to: ColumnType, shown: str) -> Answer | None:
        says = f"changes the type of {shown} from {_written(was)} to {_written(to)}"
        match fit(was, replace(to, conversion=was.conversion), mysql=self._dialect is Dialect.MYSQL):
            case Fit.SAME:
                return Answer("type_kept", _SAFE, f"says again that {shown} is {_written(to)}")
            case Fit.WIDER:
                return Answer("type_widened", _WARN, says, "OLD copes with the longer values")
            case Fit.NARROWER:
                return Answer("type_narrowed", _BREAKS, says, "OLD is shown to write no longer values")
            case Fit.OTHER:
                return Answer("type_changed", _BREAKS, says, "OLD reads and writes the new type unchanged")
            case Fit.UNSURE:
                return None

    def _modified(self, was: Column, to: Column, shown: str) -> Answer | None:
        """MySQL's MODIFY and CHANGE, which write the whole definition anew."""
        of_type = self._of_type(was.type, to.type, shown)
        if of_type is None:
            return None
        found = [of_type, *_of_the_rest(was, to, shown)]
        worst = max(found, key=lambda one: one.verdict.severity)
        says = "; ".join(dict.fromkeys(one.says for one in found if one.verdict is not _SAFE)) or f"writes the definition of {shown} as it was"
        return Answer(worst.rule if worst.verdict is not _SAFE else "nothing_changes", worst.verdict, says, worst.clears)


def _of_the_rest(was: Column, to: Column, shown: str) -> Iterator[Answer]:
    if to.not_null and not was.not_null:
        yield Answer("not_null_set", _WARN, f"makes {shown} NOT NULL", "OLD's model never writes NULL there, and no row ever held one")
    elif was.not_null and not to.not_null:
        yield Answer("not_null_dropped", _WARN, f"lets {shown} be NULL", "no row holds NULL there, or OLD copes with it")
    if (was.default or was.generated) and not (to.default or to.generated):
        yield Answer("default_dropped", _WARN, f"drops the default of {shown}", "OLD always writes it, or it may be NULL")
    if was.collated or to.collated:
        yield Answer("charset_changed", _WARN, f"says the character set or collation of {shown} anew", "OLD writes and compares the same")


def _not_there(operation: Operation, what: str) -> Answer:
    if operation.guarded:
        return Answer("nothing_changes", _SAFE, f"drops {what} if there is one, and there is none")
    clears = "the dump is shown to be of the schema that these migrations begin from"
    return Answer("schema_disagrees", _UNKNOWN, f"changes {what}, which the schema before does not have", clears)


def _written(type: ColumnType) -> str:  # noqa: A002  a column's type
    inside = ", ".join([str(one) for one in (type.length, type.scale) if one is not None] or [f"'{one}'" for one in type.values])
    return f"{type.name}{' unsigned' if type.unsigned else ''}{f'({inside})' if inside else ''}"
