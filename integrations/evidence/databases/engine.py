"""What a database system must be able to do here: each call is one short read-only session with a limit on every statement."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from integrations.evidence.databases.settings import Database
from service.domain.catalog import Catalog
from service.domain.errors import PermanentError
from service.domain.own_statements import Counted
from service.domain.relaxed import Kind, Relaxed

MOST_COLUMNS = 50_000
"""Columns of one catalogue; a larger one is not read."""

Row = tuple[Any, ...]
Question = tuple[str, Row]
"""A statement and its parameters."""


def bounded(rows: Sequence[Row], database: Database) -> None:
    """PermanentError where a catalogue is larger than what is read."""
    if len(rows) > MOST_COLUMNS:
        raise PermanentError(f"the catalogue of database {database.name} has more than {MOST_COLUMNS} columns")


def question(limit: Relaxed, quote: Callable[[str], str], *, longer: str, label: str) -> Question:
    """Whether any row is beyond that limit. `longer` and `label` are the system's words for two of the conditions, with `{}` for the column."""
    schema, _, table = limit.table.partition(".")
    condition, values = _condition(limit, quote(limit.column), longer, label)
    return f"SELECT EXISTS (SELECT 1 FROM {quote(schema)}.{quote(table)} WHERE {condition})", values  # noqa: S608  identifiers of the catalogue, quoted


def _condition(limit: Relaxed, column: str, longer: str, label: str) -> Question:
    match limit.kind:
        case Kind.NULL:
            return f"{column} IS NULL", ()
        case Kind.LONGER:
            return longer.format(column), (int(limit.limit[0]),)
        case Kind.BEYOND:
            return f"{column} NOT BETWEEN %s AND %s", tuple(map(int, limit.limit))
        case Kind.LABEL:
            return label.format(column), (list(limit.limit),)


class Engine(Protocol):
    """One database system. Raises TemporaryError or PermanentError; no text of theirs holds an address, a role or a driver's own words."""

    async def catalog(self, database: Database) -> Catalog:
        """The schema now. A replica is refused: what it shows may be of yesterday."""
        ...

    async def beyond(self, database: Database, limit: Relaxed) -> bool:
        """Whether any row is beyond that limit: one EXISTS, which the time limit of statements bounds. Needs SELECT on that one column."""
        ...

    async def statements(self, database: Database) -> Sequence[Counted]:
        """What the roles of `statements_of` ran there, as the database counts it. No value leaves this call: a text that may hold one is left out."""
        ...

    async def prepared(self, database: Database, texts: Sequence[str]) -> Sequence[str]:
        """What preparing each of these statements says: "" or the SQLSTATE. None is executed. It needs no right on a table."""
        ...

    async def powers(self, database: Database) -> Sequence[str]:
        """What the role may do beyond looking, as the end of a sentence that begins "the role"; () when nothing."""
        ...

    async def close(self) -> None:
        """Let go of what is kept open."""
        ...
