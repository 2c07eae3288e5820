import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from service.store.at_once import MANY, AtOnce

WORD = sa.table("t", sa.column("word"))
HANG = 120
"""Seconds after which a test that should have ended is given up; nothing is measured by it."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AtOnce]:
    with other(tmp_path) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT UNIQUE)")
    made.close()
    beside = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    opened = AtOnce(str(tmp_path / "x.db"), beside=beside, pragmas=("synchronous=FULL",), busy_milliseconds=100)
    yield opened
    await opened.close()
    await beside.dispose()


def other(folder: Path) -> sqlite3.Connection:
    """Somebody else's connection, which waits for nobody."""
    return sqlite3.connect(folder / "x.db", isolation_level=None, timeout=0)


async def put(store: AtOnce, *words: str) -> None:
    async with store.write() as connection:
        await connection.execute(WORD.insert(), [{"word": word} for word in words])


async def words(store: AtOnce) -> list[str]:
    async with store.read() as connection:
        return list((await connection.execute(sa.select(WORD.c.word).order_by(WORD.c.word))).scalars())


class Threads:
    """In which threads SQL ran, by a function that SQL calls, and whether that was the one that asks."""

    def __init__(self, store: AtOnce) -> None:
        self.own: list[bool] = []
        self._mine = threading.get_ident()
        for engine in store.engines:
            sa.event.listen(engine, "connect", lambda connection, _: connection.create_function("here", 0, self._here))

    def _here(self) -> int:
        self.own.append(threading.get_ident() == self._mine)
        return 1


async def test_few_rows_are_read_and_written_where_they_are_asked_for(store: AtOnce) -> None:
    threads = Threads(store)
    async with store.read() as connection:
        assert (await connection.execute(sa.text("SELECT here()"))).scalar() == 1
        assert (await connection.exec_driver_sql("SELECT here()")).scalar() == 1
        assert await connection.run_sync(lambda sync: sync.execute(sa.text("SELECT here()")).scalar()) == 1
    async with store.write() as connection:
        await connection.execute(sa.text("INSERT INTO t (word) VALUES (here() || :word)"), [{"word": str(number)} for number in range(MANY)])
    assert threads.own == [True] * (3 + MANY)
    assert len(await words(store)) == MANY


async def test_a_statement_for_many_rows_is_no_burden_of_the_loop(store: AtOnce) -> None:
    threads = Threads(store)
    async with store.write() as connection:
        await connection.execute(sa.text("INSERT INTO t (word) VALUES (here() || :word)"), [{"word": str(number)} for number in range(MANY + 1)])
    assert set(threads.own) == {False}
    assert len(await words(store)) == MANY + 1


def held_commit(store: AtOnce) -> tuple[threading.Event, threading.Event, list[int]]:
    """The next commit has begun; lets it go on; the threads of all of them."""
    begun, go_on, threads = threading.Event(), threading.Event(), list[int]()

    def commit(_connection: Any) -> None:
        threads.append(threading.get_ident())
        begun.set()
        go_on.wait(HANG)

    for engine in store.engines:
        sa.event.listen(engine, "commit", commit)
    return begun, go_on, threads


async def test_nobody_waits_for_the_disk_with_the_one_who_commits(store: AtOnce) -> None:
    begun, go_on, threads = held_commit(store)
    writing = asyncio.ensure_future(put(store, "a"))
    await asyncio.to_thread(begun.wait, HANG)
    assert await words(store) == []
    go_on.set()
    await writing
    assert await words(store) == ["a"]
    assert threading.get_ident() not in threads


async def test_whoever_is_cancelled_in_a_commit_leaves_when_it_has_ended(store: AtOnce) -> None:
    begun, go_on, _ = held_commit(store)
    writing = asyncio.ensure_future(put(store, "a"))
    await asyncio.to_thread(begun.wait, HANG)
    for _ in range(3):
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await words(store) == ["a"]
    await put(store, "b")
    assert await words(store) == ["a", "b"]


async def test_a_commit_that_fails_keeps_nothing_and_the_next_one_succeeds(store: AtOnce) -> None:
    def fails(_connection: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    writes = store.engines[1]
    sa.event.listen(writes, "commit", fails)
    with pytest.raises(sqlite3.OperationalError):
        await put(store, "a")
    sa.event.remove(writes, "commit", fails)
    await put(store, "b")
    assert await words(store) == ["b"]


async def test_a_read_sees_one_moment_from_its_first_statement_until_its_end(store: AtOnce, tmp_path: Path) -> None:
    writer = other(tmp_path)
    async with store.read() as connection:
        writer.execute("INSERT INTO t (word) VALUES ('before the first statement')")
        count = sa.select(sa.func.count()).select_from(WORD)
        assert (await connection.execute(count)).scalar() == 1
        writer.execute("INSERT INTO t (word) VALUES ('after it')")
        assert (await connection.execute(count)).scalar() == 1
    assert len(await words(store)) == 2
    writer.close()


async def test_a_write_takes_its_lock_where_it_begins_and_is_undone_by_an_error(store: AtOnce, tmp_path: Path) -> None:
    writer = other(tmp_path)

    async def broken() -> None:
        async with store.write() as connection:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                writer.execute("BEGIN IMMEDIATE")
            await connection.execute(WORD.insert().values(word="a"))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert await words(store) == []
    writer.execute("BEGIN IMMEDIATE")
    writer.close()


async def test_it_waits_for_another_writer_without_stopping_the_loop(store: AtOnce, tmp_path: Path) -> None:
    writer = other(tmp_path)
    writer.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(put(store, "a"))
    for _ in range(5):
        await asyncio.sleep(0.01)
        assert not writing.done()
        assert await words(store) == []
    writer.execute("COMMIT")
    await asyncio.wait_for(writing, HANG)
    assert await words(store) == ["a"]
    writer.close()


async def test_readers_that_stay_for_long_keep_no_other_one_out(store: AtOnce) -> None:
    entered, leave = [asyncio.Event() for _ in range(20)], asyncio.Event()

    async def stay(inside: asyncio.Event) -> None:
        async with store.read() as connection:
            await connection.execute(sa.select(WORD.c.word))
            inside.set()
            await leave.wait()

    readers = [asyncio.ensure_future(stay(one)) for one in entered]
    async with asyncio.timeout(HANG):
        for one in entered:
            await one.wait()
        leave.set()
        await asyncio.gather(*readers)


@pytest.mark.parametrize("act", [AtOnce.read, AtOnce.write])
async def test_what_cannot_be_begun_is_an_error_of_sqlalchemy_as_everywhere(store: AtOnce, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.startswith("BEGIN"):
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *parameters)

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **kw: real(path, factory=Broken, **kw))
    with pytest.raises(sa.exc.OperationalError, match="disk"):
        async with act(store):
            raise AssertionError("it has begun")


async def test_it_can_be_closed_when_the_loops_own_threads_are_gone(store: AtOnce) -> None:
    """So the engine leaves the loop when it ends, and the store is closed after it."""
    await put(store, "a")
    await asyncio.get_running_loop().shutdown_default_executor()
    await put(store, *(str(number) for number in range(MANY + 1)))
    await store.close()
    assert all(engine.pool.checkedin() == 0 for engine in store.engines)  # type: ignore[attr-defined]  # it is a QueuePool


async def test_a_store_that_was_closed_can_be_used_again(store: AtOnce) -> None:
    await put(store, "a")
    await store.close()
    await put(store, "b")
    assert await words(store) == ["a", "b"]
