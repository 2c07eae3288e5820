"""SQLite's own module behind aiosqlite's interface, without its thread: each call is done when it returns. For tests that make thousands of calls.

The store's behaviour under locks, cancellation and concurrency is tested on the real driver; here only one task at a time writes.
"""

import sqlite3
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


class InlineCursor:
    """As much of `aiosqlite.Cursor` as SQLAlchemy uses."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    async def __aenter__(self) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    async def execute(self, sql: str, parameters: Any = ()) -> "InlineCursor":
        """Run one statement."""
        self._cursor.execute(sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Any) -> "InlineCursor":
        """Run it for each."""
        self._cursor.executemany(sql, parameters)
        return self

    async def fetchall(self) -> Iterable[Any]:
        """All rows."""
        return self._cursor.fetchall()

    async def close(self) -> None:
        """Close it."""
        self._cursor.close()


class Now:
    """The queue of aiosqlite's thread, without the thread."""

    @staticmethod
    def put_nowait(work: tuple[Any, Callable[[], Any]]) -> None:
        """Do it and tell."""
        future, function = work
        future.set_result(function())


class InlineConnection:
    """As much of `aiosqlite.Connection` as SQLAlchemy uses."""

    def __init__(self, connection: sqlite3.Connection, give_back: Callable[[sqlite3.Connection], None]) -> None:
        self._connection = self._conn = connection
        self._give_back = give_back
        self._tx = Now()

    @property
    def isolation_level(self) -> str | None:
        """As the driver's."""
        return self._conn.isolation_level

    def cursor(self) -> InlineCursor:
        """A cursor."""
        return InlineCursor(self._conn.cursor())

    async def create_function(self, *args: Any, **kw: Any) -> None:
        """A function for SQL."""
        self._conn.create_function(*args, **kw)

    async def rollback(self) -> None:
        """Roll back."""
        self._conn.rollback()

    async def commit(self) -> None:
        """Commit."""
        self._conn.commit()

    async def close(self) -> None:
        """Close."""
        self._give_back(self._conn)

    def stop(self) -> None:
        """Close at once."""
        self._conn.close()


class File:
    """The file that is open now, and its idle connections: opening one means reading the schema, closing the last one a checkpoint."""

    def __init__(self) -> None:
        self._path = Path()
        self._idle: list[sqlite3.Connection] = []

    def use(self, path: Path) -> None:
        """From now on this file."""
        while self._idle:
            self._idle.pop().close()
        self._path = path

    def give(self, connection: sqlite3.Connection, path: Path) -> None:
        """A connection is idle again. One that was lost and found later may belong to a file of yesterday."""
        if path != self._path:
            connection.close()
            return
        self._idle.append(connection)

    @property
    def path(self) -> Path:
        """The file that is open now."""
        return self._path

    def take(self) -> sqlite3.Connection:
        """An idle connection or a new one."""
        if self._idle:
            return self._idle.pop()
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        for pragma in ("synchronous=OFF", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection


@cache
def _engine() -> tuple[AsyncEngine, File]:
    """One engine for the whole session: it knows its statements by heart, and a new one would have to compile them all for each test."""
    file = File()

    async def connect() -> Any:
        path = file.path
        return InlineConnection(file.take(), lambda connection: file.give(connection, path))

    made = create_async_engine("sqlite+aiosqlite://", async_creator=connect, poolclass=sa.pool.NullPool)

    @sa.event.listens_for(made.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("backout_read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return made, file


def engine(path: Path) -> AsyncEngine:
    """An engine that begins transactions as the store's own does. It opens this file until another one is asked for: one store at a time."""
    made, file = _engine()
    file.use(path)
    return made
