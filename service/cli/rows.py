"""Answers rows of migrations, one JSON object a line, each by itself: `{"id", "dialect", "sql"}` -> `{"id", "verdict", "reasons"}`, in their order.

Every row is answered, also one that is no JSON, has no SQL, or names a dialect that is not read: then with the verdict unknown and the reason.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from service.cli.findings import reasons
from service.domain.schema import Dialect, SchemaVerdict, read_sql
from service.domain.schema.ranges import MAX_FILE_CHARACTERS

DIALECTS: Final = {
    **{dialect.value: dialect for dialect in (Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE)},
    "postgresql": Dialect.POSTGRES,
    "mariadb": Dialect.MYSQL,
    "sqlite3": Dialect.SQLITE,
}
"""The names under which a dialect is known."""

MAX_ROW_BYTES: Final = MAX_FILE_CHARACTERS * 6 + 100_000
"""No longer row holds SQL that would be read: a character takes at most six bytes of JSON, or twelve for two UTF-16 halves."""

_LONGEST_HEAD: Final = 4_096
_ID_FIRST: Final = re.compile(rb'\s*\{\s*(?:"dialect"\s*:\s*"[^"\\]*"\s*,\s*)?"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*,')


def answers(rows: BinaryIO, dialect: Dialect) -> Iterator[dict[str, Any]]:
    """One answer for each row that is not empty. `dialect` is that of rows that name none."""
    while row := rows.readline(MAX_ROW_BYTES + 1):
        if len(row) > MAX_ROW_BYTES:
            identity = _first_id(row)
            while row and not row.endswith(b"\n"):
                row = rows.readline(MAX_ROW_BYTES)
            yield _unknown(identity, "is longer than any row that is read", "the row is made shorter")
        elif row.strip():
            yield answer(row, dialect)


def answer(row: bytes, dialect: Dialect) -> dict[str, Any]:
    """The answer for one row."""
    text, broken = _decoded(row)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _unknown(None, "is no JSON", "the row is one JSON object")
    if not isinstance(document, dict):
        return _unknown(None, "is no JSON object", "the row is one JSON object")
    identity = document.get("id")
    named, sql = document.get("dialect", dialect.value), document.get("sql")
    if named is None or named == Dialect.UNKNOWN.value:
        chosen: Dialect | None = dialect
    else:
        chosen = DIALECTS.get(named.lower()) if isinstance(named, str) else None
    if chosen is None:
        return _unknown(identity, "names a dialect that is not read", f"dialect is one of {', '.join(DIALECTS)}")
    if not isinstance(sql, str):
        return _unknown(identity, "has no SQL", "sql is a text")
    if broken:
        return _unknown(identity, "is not UTF-8", "the row is written in UTF-8")
    reading = read_sql(sql, chosen)
    return {"id": identity, "verdict": reading.verdict.value, "reasons": reasons(reading)}


def _first_id(row: bytes) -> Any:
    """The id of a row too long to be read, where it stands first or right behind the dialect; None elsewhere."""
    found = _ID_FIRST.match(row[:_LONGEST_HEAD])
    try:
        return json.loads(found[1]) if found else None
    except ValueError:
        return None


def _decoded(row: bytes) -> tuple[str, bool]:
    """The row as text, and whether that took replacing bytes that are not UTF-8: then only its id is believed."""
    try:
        return row.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return row.decode("utf-8", errors="replace"), True


def _unknown(identity: Any, says: str, clears: str) -> dict[str, Any]:
    reason = {"statement": "", "rule": "not_readable", "says": says, "clears": clears}
    return {"id": identity, "verdict": SchemaVerdict.UNKNOWN.value, "reasons": [reason]}
