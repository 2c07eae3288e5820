"""SQLite's connections as SQLAlchemy drives them, with one visit of the connection's thread for a statement and all its rows, or none.

aiosqlite makes four visits of it (open a cursor, execute, fetch, close), and each costs two switches of threads. What is sent, and in which order, is the
same. A read begins with its first statement: until then it sees no moment, so nothing lies between.

A statement about a few rows takes less than a switch of threads does, so in a transaction that says so (`few`) it is done at once where it is asked for.
What may wait, for another writer or for the disk, and whatever reads much, is done in the thread all the same: BEGIN IMMEDIATE, COMMIT, every other
transaction. Nothing is done here while the thread is at work on the connection.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

BEGIN_READING, BEGIN_WRITING = "BEGIN", "BEGIN IMMEDIATE"
"""One that writes begins at once: two writers wait instead of failing at their first write."""


class Cursor:
    """As much of `aiosqlite.Cursor` as SQLAlchemy uses; holds no resource between two calls."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Self:
        """Run one statement and fetch all that it answers."""
        await self._connection.visit(partial(self._run, sqlite3.Cursor.execute, sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Self:
        """Run it for each; always in the thread, for nobody says how many they are."""
        await self._connection.visit(partial(self._run, sqlite3.Cursor.executemany, sql, parameters), many=True)
        return self

    async def fetchall(self) -> Sequence[Any]:
        """All rows of the last statement."""
        return self._rows

    async def close(self) -> None:
        """Nothing is open."""

    def _run(self, execute: Callable[..., sqlite3.Cursor], sql: str, parameters: Any, connection: sqlite3.Connection) -> None:
        """In the connection's thread."""
        cursor = connection.cursor()
        try:
            execute(cursor, sql, parameters)
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
            self._rows = cursor.fetchall() if cursor.description else ()
        finally:
            cursor.close()


class Connection(aiosqlite.Connection):
    """One connection with its thread, which does what it is given in that order."""

    _begins = False
    _few = False
    _given = _done = 0  # what the thread was given, counted by who gives it, and what it did of that, counted by itself

    def cursor(self) -> Cursor:  # type: ignore[override]  # SQLAlchemy asks for it and for nothing else that has a cursor
        """A cursor."""
        return Cursor(self)

    def begins_with_the_next(self, *, few: bool) -> None:
        """The next statement begins a transaction that only reads, a few rows or many."""
        self._begins, self._few = True, few

    def has_begun(self, *, few: bool) -> None:
        """A transaction that writes was begun; whether its statements are about a few rows each."""
        self._few = few

    async def visit(self, do: Callable[[sqlite3.Connection], None], *, many: bool = False) -> None:
        """Do it, here or in the thread."""
        begins, self._begins = self._begins, False
        if self._few and not many and self._is_still:
            self._do(do, begins=begins)
        else:
            await self._execute(self._do, do, begins=begins)

    def _do(self, do: Callable[[sqlite3.Connection], None], *, begins: bool) -> None:
        if begins:
            self._conn.execute(BEGIN_READING)
        do(self._conn)

    async def rollback(self) -> None:
        """End the transaction; where none was begun nothing is done."""
        begins, few = self._begins, self._few
        self._begins = self._few = False
        if begins:
            return
        if few and self._is_still:
            self._conn.rollback()
        else:
            await super().rollback()

    async def commit(self) -> None:
        """Commit it."""
        self._few = False
        await super().commit()

    @property
    def _is_still(self) -> bool:
        """Whether the thread has done all that it was given: whoever was cancelled while he waited for it left it at work."""
        return self._given == self._done

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As aiosqlite does it, counted."""
        self._given += 1
        return await super()._execute(self._counted, fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # its own, which says nothing of its types

    def _counted(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        finally:
            self._done += 1


async def connect(path: str) -> Connection:
    """An open connection in autocommit: transactions begin where they are told to."""
    made = Connection(partial(sqlite3.connect, path, isolation_level=None, check_same_thread=False), iter_chunk_size=64)
    made._thread.daemon = True  # noqa: SLF001  as SQLAlchemy does with a connection that it opens itself: a lost one must not keep the process
    _ = await made
    return made
