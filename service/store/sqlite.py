"""SQLite's connections as SQLAlchemy drives them, with one visit of the connection's thread for a statement and all its rows.

aiosqlite makes four visits of it (open a cursor, execute, fetch, close), and each costs two switches of threads. What is sent, and in which order, is the
same. A read begins with its first statement: until then it sees no moment, so nothing lies between.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

from service.store.at_once import BEGIN_READING


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
        """Run it for each."""
        await self._connection.visit(partial(self._run, sqlite3.Cursor.executemany, sql, parameters))
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

    def cursor(self) -> Cursor:  # type: ignore[override]  # SQLAlchemy asks for it and for nothing else that has a cursor
        """A cursor."""
        return Cursor(self)

    def begins_with_the_next(self) -> None:
        """The next statement begins a transaction that only reads."""
        self._begins = True

    async def visit(self, do: Callable[[sqlite3.Connection], None]) -> None:
        """Do it in the thread."""
        begins, self._begins = self._begins, False
        await self._execute(self._do, do, begins=begins)  # type: ignore[no-untyped-call]  # its own, which says nothing of its types

    def _do(self, do: Callable[[sqlite3.Connection], None], *, begins: bool) -> None:
        if begins:
            self._conn.execute(BEGIN_READING)
        do(self._conn)

    async def rollback(self) -> None:
        """End the transaction; where none was begun nothing is done."""
        begins, self._begins = self._begins, False
        if not begins:
            await super().rollback()


async def connect(path: str) -> Connection:
    """An open connection in autocommit: transactions begin where they are told to."""
    made = Connection(partial(sqlite3.connect, path, isolation_level=None, check_same_thread=False), iter_chunk_size=64)
    made._thread.daemon = True  # noqa: SLF001  as SQLAlchemy does with a connection that it opens itself: a lost one must not keep the process
    _ = await made
    return made
