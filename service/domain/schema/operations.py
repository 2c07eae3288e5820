"""What a migration does, in words that no longer depend on how it was written.

The seam between readers and judgement: `statements` produces operations from SQL today; readers of Alembic, Django or Rails files produce the same ones.
Names are normalised by the reader. Nothing here decides what an operation means for OLD.
"""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.schema.reading import SchemaVerdict


class Kind(StrEnum):
    """The operations that judgement knows."""

    CREATE_TABLE = "create_table"
    DROP_TABLE = "drop_table"
    RENAME_TABLE = "rename_table"
    ADD_COLUMN = "add_column"
    DROP_COLUMN = "drop_column"
    RENAME_COLUMN = "rename_column"
    MODIFY_COLUMN = "modify_column"
    CHANGE_TYPE = "change_type"
    SET_NOT_NULL = "set_not_null"
    DROP_NOT_NULL = "drop_not_null"
    SET_DEFAULT = "set_default"
    DROP_DEFAULT = "drop_default"
    SET_IDENTITY = "set_identity"
    ADD_UNIQUE = "add_unique"
    ADD_CHECK = "add_check"
    ADD_FOREIGN_KEY = "add_foreign_key"
    DROP_CONSTRAINT = "drop_constraint"
    CHANGE_TABLE = "change_table"
    CREATE_OBJECT = "create_object"
    DROP_OBJECT = "drop_object"
    RENAME_OBJECT = "rename_object"
    CHANGE_OBJECT = "change_object"
    WRITE = "write"
    NOTE = "note"


class Conversion(StrEnum):
    """How a type change says existing values are converted."""

    NONE = "none"
    CAST = "cast"
    """A plain cast of the column to its new type, as frameworks always write it."""
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """A column's type: `name` in lower case as a person would write it, whether it carries a length or precision, and how values are converted to it.

    `length` is the first number in its parentheses, `scale` the second, `values` the labels of a MySQL ENUM or SET; None and () where they are not known.
    """

    name: str
    bounded: bool = False
    length: int | None = None
    scale: int | None = None
    values: tuple[str, ...] = ()
    unsigned: bool = False
    user_defined: bool = False
    conversion: Conversion = Conversion.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column definition as written. `default` is a default that outlives the statement and is not NULL; `generated` covers identity, serial and computed.

    `collated` says that a character set or collation is written down.
    """

    type: ColumnType
    not_null: bool = False
    says_null: bool = False
    default: bool = False
    generated: bool = False
    unique: bool = False
    references: bool = False
    lets_parents_go: bool = False
    checks_others: bool = False
    collated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. Which fields count depends on `kind`; those that do not keep their defaults.

    `table` and `name` (column, constraint or object) are normalised; `to` is the new name of a rename, and the table
    whose whole shape a new one takes (LIKE). `what` is the kind of object, the verb of a write, or "type" for a new definition
    that leaves NULL and default as they were.
    `guarded` means IF EXISTS or IF NOT EXISTS: then creating proves nothing new (care A8). `columns` are the columns of a constraint or those a write sets.
    `sources` are the columns that INSERT ... SELECT takes them from ("" for an expression).
    `reads` are tables that a write or CREATE TABLE AS takes rows from; `shortens` are columns whose length a write handles;
    `never_null` are columns that a CHECK forbids to be NULL, `never_all_null` sets of columns of which it wants one to be filled.
    `definition` are the columns of a new table, None where they are not in the text; `keys` its named keys that can be dropped, and whether each is unique.
    `whole` is a write without condition, a strict domain, or an identity OLD may not write itself;
    `upsert` a write that also overwrites rows, or a key for which two NULLs collide. `signature` are the types of a routine's parameters, if given.
    `perhaps` means that nobody knows whether it ran: it may break OLD, and proves nothing new.
    `rule`, `verdict`, `says`, `clears` are the reader's own finding for NOTE, CHANGE_TABLE and CHANGE_OBJECT, where the text alone decides.
    """

    kind: Kind
    table: str = ""
    name: str = ""
    to: str = ""
    what: str = ""
    guarded: bool = False
    replace: bool = False
    whole: bool = False
    upsert: bool = False
    perhaps: bool = False
    signature: tuple[str, ...] | None = None
    column: Column | None = None
    type: ColumnType | None = None
    columns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reads: frozenset[str] = frozenset()
    shortens: frozenset[str] = frozenset()
    never_null: frozenset[str] = frozenset()
    never_all_null: frozenset[frozenset[str]] = frozenset()
    definition: tuple[tuple[str, Column], ...] | None = None
    keys: tuple[tuple[str, bool], ...] = ()
    rule: str = ""
    verdict: SchemaVerdict = SchemaVerdict.UNKNOWN
    says: str = ""
    clears: str = ""


def unknown(rule: str, says: str, clears: str) -> Operation:
    """Return the finding for something that was not understood."""
    return Operation(kind=Kind.NOTE, rule=rule, verdict=SchemaVerdict.UNKNOWN, says=says, clears=clears)
