import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.at_once import BEGIN_WRITING
from service.store.sqlite import Connection, connect


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    made = await connect(str(tmp_path / "x.db"))
    await made.cursor().execute("PRAGMA journal_mode=WAL")
    await made.cursor().execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT UNIQUE)")
    yield made
    await made.close()


def other(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path / "x.db", isolation_level=None)


async def test_a_statement_answers_all_its_rows_and_what_it_did(connection: Connection) -> None:
    cursor = await connection.cursor().execute("INSERT INTO t (word) VALUES (?)", ("a",))
    assert (cursor.rowcount, cursor.lastrowid, cursor.description, await cursor.fetchall()) == (1, 1, None, ())
    many = connection.cursor()
    await many.executemany("INSERT INTO t (word) VALUES (?)", [("b",), ("c",)])
    assert many.rowcount == 2
    found = await connection.cursor().execute("SELECT word FROM t ORDER BY id")
    assert await found.fetchall() == [("a",), ("b",), ("c",)]
    assert [column[0] for column in found.description] == ["word"]
    await found.close()


async def test_an_error_of_a_statement_is_the_drivers_own_and_leaves_the_connection_usable(connection: Connection) -> None:
    await connection.cursor().execute("INSERT INTO t (word) VALUES (?)", ("a",))
    with pytest.raises(sqlite3.IntegrityError):
        await connection.cursor().execute("INSERT INTO t (word) VALUES (?)", ("a",))
    assert await (await connection.cursor().execute("SELECT count(*) FROM t")).fetchall() == [(1,)]


async def test_a_read_sees_one_moment_from_its_first_statement_until_its_end(connection: Connection, tmp_path: Path) -> None:
    writer = other(tmp_path)

    async def count() -> int:
        (row,) = await (await connection.cursor().execute("SELECT count(*) FROM t")).fetchall()
        return int(row[0])

    connection.begins_with_the_next()
    writer.execute("INSERT INTO t (word) VALUES ('before the first statement')")
    assert await count() == 1
    writer.execute("INSERT INTO t (word) VALUES ('after it')")
    assert await count() == 1
    await connection.rollback()
    assert await count() == 2
    writer.close()


async def test_a_read_that_asked_for_nothing_leaves_nothing_behind(connection: Connection, tmp_path: Path) -> None:
    connection.begins_with_the_next()
    await connection.rollback()
    writer = other(tmp_path)
    await connection.cursor().execute("SELECT count(*) FROM t")
    assert not connection.in_transaction
    writer.execute("INSERT INTO t (word) VALUES ('free')")
    writer.close()


async def test_a_write_takes_its_lock_where_it_begins_and_is_undone_by_a_rollback(connection: Connection, tmp_path: Path) -> None:
    await connection.cursor().execute(BEGIN_WRITING)
    writer = sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        writer.execute("BEGIN IMMEDIATE")
    await connection.cursor().execute("INSERT INTO t (word) VALUES ('a')")
    await connection.rollback()
    assert writer.execute("SELECT count(*) FROM t").fetchone() == (0,)
    writer.close()
