import json
from io import BytesIO
from typing import Any

import pytest

from service.cli import rows
from service.cli.rows import answer, answers
from service.domain.schema import Dialect


def asked(*lines: bytes, dialect: Dialect = Dialect.UNKNOWN) -> list[dict[str, Any]]:
    return list(answers(BytesIO(b"\n".join(lines)), dialect))


def row(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_rows_are_answered_in_order_each_by_itself() -> None:
    found = asked(
        row(id="a", dialect="postgres", sql="CREATE TABLE t (x int)"),
        row(id=7, dialect="mysql", sql="ALTER TABLE t DROP COLUMN x"),
        b"",
        row(id=None, dialect="sqlite", sql="ALTER TABLE t ADD COLUMN y int"),
    )
    assert [(one["id"], one["verdict"]) for one in found] == [("a", "safe"), (7, "breaks"), (None, "safe")]
    assert found[1]["reasons"] == [
        {
            "statement": "ALTER TABLE t DROP COLUMN x",
            "rule": "column_dropped",
            "says": "drops column t.x",
            "clears": "the old release is shown never to name t.x",
        }
    ]
    assert [set(one) for one in found] == [{"id", "verdict", "reasons"}] * 3


@pytest.mark.parametrize(
    ("line", "identity"),
    [
        (b"nonsense", None),
        (b"[1]", None),
        (b'{"id": "a", "sql": 5, "dialect": "mysql"}', "a"),
        (b'{"id": "a", "dialect": "mysql"}', "a"),
        (b'{"id": ["a"], "sql": "SELECT 1", "dialect": "oracle"}', ["a"]),
        (b'{"id": "a", "sql": "SELECT 1", "dialect": 3}', "a"),
        (b'{"id": "a", "sql": "SELECT \xff", "dialect": "mysql"}', "a"),
        (b"[" * 100_000, None),
        (b'{"sql": "SELECT 1"', None),
    ],
)
def test_a_row_that_cannot_be_read_is_unknown_with_its_id(line: bytes, identity: object) -> None:
    (found,) = asked(line)
    assert (found["id"], found["verdict"]) == (identity, "unknown")
    assert found["reasons"][0]["says"]


def test_a_row_too_long_to_be_read_is_unknown_and_the_next_one_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_ROW_BYTES", 100)
    long = "-" * 500
    found = asked(
        row(id=1, sql=long),
        row(dialect="mysql", id='a"b', sql=long),
        row(sql=long, id=3),
        b'{"id": "\xff", "sql": "' + b"-" * 500 + b'"}',
        row(id=2, dialect="mysql", sql="SELECT 1"),
    )
    assert [(one["id"], one["verdict"]) for one in found] == [(1, "unknown"), ('a"b', "unknown"), (None, "unknown"), (None, "unknown"), (2, "safe")]


def test_a_row_without_a_dialect_takes_the_one_that_was_named() -> None:
    sql = "ALTER TABLE t DROP COLUMN IF EXISTS `a`"
    assert answer(row(sql=sql), Dialect.MYSQL)["verdict"] == "breaks"
    assert answer(row(sql=sql), Dialect.POSTGRES)["verdict"] == "unknown"
    assert answer(row(sql=sql, dialect=None), Dialect.MYSQL)["verdict"] == "breaks"


@pytest.mark.parametrize(("name", "verdict"), [("postgresql", "unknown"), ("MariaDB", "breaks"), ("sqlite3", "unknown"), ("MYSQL", "breaks")])
def test_usual_names_of_a_dialect_are_known(name: str, verdict: str) -> None:
    assert answer(row(sql="ALTER TABLE t DROP PARTITION p", dialect=name), Dialect.UNKNOWN)["verdict"] == verdict


def test_a_safe_row_says_why_too() -> None:
    assert answer(row(sql="CREATE TABLE t (x int)", dialect="mysql"), Dialect.UNKNOWN)["reasons"][0]["rule"] == "table_created"
