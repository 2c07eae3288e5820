"""Reads a dump of a schema into its shape: what a database, or the release that wrote the dump, has for tables and columns.

Dumps are SQL (pg_dump, mysqldump, sqlite3's .schema; Rails' structure.sql, dbmate's schema.sql) and Rails' schema.rb. Nothing is executed. A release's dump is
the best witness of what that release needs; where dump and migrations contradict each other, one of them is not what the database has.
"""

import re
from collections.abc import Iterator, Sequence

from service.domain.schema.cursor import Session
from service.domain.schema.layouts import Tool
from service.domain.schema.operations import Kind, Operation
from service.domain.schema.readers.rails import operations_of_dump
from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import split
from service.domain.schema.shapes import Shape, nothing_but
from service.domain.schema.statements import read

MAX_DUMP_CHARACTERS = 4_000_000
MAX_DUMP_STATEMENTS = 20_000
_OF_THE_CLIENT = re.compile(r"^\\(?:un)?restrict[ \t]+\w+[ \t]*$|^/\*M?!999999\\- enable the sandbox mode \*/", re.MULTILINE)
"""Lines by which pg_dump and mariadb-dump keep the client that plays a dump from doing more than that."""
_OF_RAILS = re.compile(r"^(?:(?P<name>\w+)_)?migrate$")


def is_dump(path: str) -> bool:
    """Whether a path is of a kind that `read_dump` reads."""
    return path.lower().endswith((".sql", ".rb"))


def dumps_of(tool: Tool, root: str) -> tuple[str, ...]:
    """The paths at which a tool keeps the dump that belongs to a migration root, likeliest first."""
    above, _, own = root.rpartition("/")
    place = f"{above}/" if above else ""
    if tool is Tool.RAILS and (found := _OF_RAILS.match(own)):
        name = f"{found['name']}_" if found["name"] else ""
        return f"{place}{name}schema.rb", f"{place}{name}structure.sql"
    if tool is Tool.DBMATE and own == "migrations":
        return (f"{place}schema.sql",)
    return ()


def read_dump(path: str, text: str, dialect: Dialect) -> Shape | None:
    """The shape that a dump describes, None when it is none that can be read."""
    if len(text) > MAX_DUMP_CHARACTERS or "\0" in text or not is_dump(path):
        return None
    operations = operations_of_dump(text, dialect) if path.lower().endswith(".rb") else _of_sql(text, dialect)
    if operations is None:
        return None
    shape = Shape()
    for operation in operations:
        if nothing_but(operation):
            shape.whole = False
        shape.apply(operation)
    return shape if shape.tables or shape.unread else None


def _of_sql(text: str, dialect: Dialect) -> Sequence[Operation] | None:
    if dialect is Dialect.UNKNOWN:
        return None
    statements = split(_OF_THE_CLIENT.sub("", text.removeprefix("\ufeff").replace("\r\n", "\n")), dialect)
    if len(statements) > MAX_DUMP_STATEMENTS:
        return None
    session = Session.of(dialect)
    session.definitions = True

    def all_of() -> Iterator[Operation]:
        for statement in statements:
            for operation in read(statement, session):
                # Rows and routines of a dump change no table.
                if operation.kind is not Kind.WRITE:
                    yield operation

    return list(all_of())
