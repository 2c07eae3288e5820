"""Rows that a newer release may have written and an older one cannot read: for each limit that is looser than it was, what to look for in the rows. Pure.

A value that means something else, or a document of another shape, breaks no limit: nobody sees it here. A rule that is gone (a check, a foreign key, a unique
key) is not asked after: it would take its own text as a query, and nothing that was read is ever executed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from service.domain.catalog import MYSQL_INTEGERS, Catalog, CatalogColumn

MOST = 20
"""Limits that are asked after in one database; where more were loosened a person looks."""

_SIZED = re.compile(r"(?:character varying|varchar|character|char)\((\d+)\)")
_LABELS = re.compile(r"enum\((.*)\)")
_BYTES = {"smallint": 2, "integer": 4, "bigint": 8, "tinyint": 1, "mediumint": 3, "int": 4}


class Kind(StrEnum):
    """What a row would have that the old limit did not let in."""

    NULL = "null"
    LONGER = "longer"
    BEYOND = "beyond"
    LABEL = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """One limit that is looser than it was. `table` is `schema.name`.

    `limit` is the longest length (LONGER), the smallest and the largest number (BEYOND), or the labels that are new (LABEL). `about` is what a catalogue's
    comparison calls the thing: the column, or a type of its own.
    """

    table: str
    column: str
    kind: Kind
    limit: tuple[str, ...] = ()
    about: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.column} {self.says}"

    @property
    def says(self) -> str:
        """What the column would hold, as the end of a sentence; labels stand in the schema and are no user's values."""
        match self.kind:
            case Kind.NULL:
                return "holds NULL"
            case Kind.LONGER:
                return f"holds a text longer than {self.limit[0]}"
            case Kind.BEYOND:
                return f"holds a number beyond {self.limit[0]} to {self.limit[1]}"
            case Kind.LABEL:
                return f"holds {' or '.join(self.limit)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Whether a row beyond one limit was found; None with the reason where nobody could look."""

    relaxed: Relaxed
    found: bool | None
    why: str = ""


def relaxed(before: Catalog, now: Catalog) -> tuple[Relaxed, ...]:
    """Every limit on a column of `before` that rows may break today, by name."""
    found: list[Relaxed] = []
    for table, old in sorted(before.tables.items()):
        new = now.tables.get(table)
        if new is None or old.view:
            continue
        for name, column in sorted(old.columns.items()):
            today = new.columns.get(name)
            if today is not None:
                found += _of(before, now, table, name, column, today)
    return tuple(found)


def _of(before: Catalog, now: Catalog, table: str, name: str, old: CatalogColumn, new: CatalogColumn) -> Iterator[Relaxed]:
    about = f"{table}.{name}"
    if old.required and not new.required:
        yield Relaxed(table=table, column=name, kind=Kind.NULL, about=f"{about} NULL")
    labels = before.enums.get(old.type)
    if old.type == new.type:
        fresh = [one for one in now.enums.get(old.type, ()) if labels is not None and one not in labels]
        if fresh:
            yield Relaxed(table=table, column=name, kind=Kind.LABEL, limit=tuple(fresh), about=old.type)
        return
    sized, between, told = _SIZED.match(old.type), _range(old.type), _LABELS.match(old.type)
    listed = _LABELS.match(new.type)
    if sized:
        yield Relaxed(table=table, column=name, kind=Kind.LONGER, limit=(sized[1],), about=about)
    elif between and _range(new.type):
        yield Relaxed(table=table, column=name, kind=Kind.BEYOND, limit=between, about=about)
    elif told and listed:
        had = _each(told[1])
        fresh = [one for one in _each(listed[1]) if one not in had]
        if fresh:
            yield Relaxed(table=table, column=name, kind=Kind.LABEL, limit=tuple(fresh), about=about)


def _range(type_: str) -> tuple[str, str] | None:
    """The smallest and the largest number of an integer type; None for any other."""
    size, _, sign = type_.partition(" ")
    if size not in {*MYSQL_INTEGERS, *_BYTES}:
        return None
    bits = 8 * _BYTES[size]
    low, high = (0, 2**bits - 1) if "unsigned" in sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return str(low), str(high)


def _each(labels: str) -> list[str]:
    return [one.replace("''", "'") for one in re.findall(r"'((?:[^']|'')*)'", labels)]
