import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.sqlite import BEGIN_WRITING, Connection, connect


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


@pytest.mark.parametrize("few", [True, False])
async def test_a_read_sees_one_moment_from_its_first_statement_until_its_end(connection: Connection, tmp_path: Path, *, few: bool) -> None:
    writer = other(tmp_path)

    async def count() -> int:
        (row,) = await (await connection.cursor().execute("SELECT count(*) FROM t")).fetchall()
        return int(row[0])

    connection.begins_with_the_next(few=few)
    writer.execute("INSERT INTO t (word) VALUES ('before the first statement')")
    assert await count() == 1
    writer.execute("INSERT INTO t (word) VALUES ('after it')")
    assert await count() == 1
    await connection.rollback()
    assert await count() == 2
    writer.close()


@pytest.mark.parametrize("few", [True, False])
async def test_a_read_that_asked_for_nothing_leaves_nothing_behind(connection: Connection, tmp_path: Path, *, few: bool) -> None:
    connection.begins_with_the_next(few=few)
    await connection.rollback()
    writer = other(tmp_path)
    await connection.cursor().execute("SELECT count(*) FROM t")
    assert not connection.in_transaction
    writer.execute("INSERT INTO t (word) VALUES ('free')")
    writer.close()


@pytest.mark.parametrize("few", [True, False])
async def test_a_write_takes_its_lock_where_it_begins_and_is_undone_by_a_rollback(connection: Connection, tmp_path: Path, *, few: bool) -> None:
    await connection.cursor().execute(BEGIN_WRITING)
    connection.has_begun(few=few)
    writer = sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        writer.execute("BEGIN IMMEDIATE")
    await connection.cursor().execute("INSERT INTO t (word) VALUES ('a')")
    await connection.rollback()
    assert writer.execute("SELECT count(*) FROM t").fetchone() == (0,)
    writer.close()


class Threads:
    """In which threads SQL ran, by a function that SQL calls."""

    def __init__(self, connection: Connection) -> None:
        self.seen: list[int] = []
        self._function = connection.create_function("here", 0, self._here)

    async def ready(self) -> None:
        await self._function

    def _here(self) -> int:
        self.seen.append(threading.get_ident())
        return 1

    @property
    def own(self) -> list[bool]:
        """Whether each ran in the thread that asks."""
        return [one == threading.get_ident() for one in self.seen]


async def test_few_rows_are_read_and_written_where_they_are_asked_for_and_all_else_in_the_thread(connection: Connection) -> None:
    threads = Threads(connection)
    await threads.ready()
    for few in (True, False):
        connection.begins_with_the_next(few=few)
        await connection.cursor().execute("SELECT here()")
        await connection.rollback()
        await connection.cursor().execute(BEGIN_WRITING)
        connection.has_begun(few=few)
        await connection.cursor().execute("INSERT INTO t (id) SELECT max(here(), coalesce((SELECT max(id) + 1 FROM t), 1))")
        await connection.cursor().executemany("INSERT INTO t (word) VALUES (here() || ?)", [("a",) if few else ("b",)])
        await connection.commit()
    await connection.cursor().execute("SELECT here()")
    assert threads.own == [True, True, False, False, False, False, False]


async def test_what_a_transaction_said_of_itself_holds_for_no_later_one(connection: Connection) -> None:
    threads = Threads(connection)
    await threads.ready()
    for end in (connection.commit, connection.rollback):
        await connection.cursor().execute(BEGIN_WRITING)
        connection.has_begun(few=True)
        await end()
        await connection.cursor().execute("SELECT here()")
    assert threads.own == [False, False]


async def test_nothing_is_done_here_while_the_thread_is_at_work_for_somebody_who_gave_up(connection: Connection) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> int:
        begun.set()
        go_on.wait(120)
        return 1

    threads = Threads(connection)
    await threads.ready()
    await connection.create_function("wait", 0, wait)
    slow = asyncio.ensure_future(connection.cursor().execute("SELECT wait()"))
    await asyncio.to_thread(begun.wait, 120)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    connection.has_begun(few=True)
    later = asyncio.ensure_future(connection.cursor().execute("SELECT here()"))
    await asyncio.sleep(0)
    assert threads.seen == []  # the thread is held back, and this one waits behind it
    go_on.set()
    await later
    assert threads.own == [False]
