"""SQLite's transactions about a few rows, done where they are asked for: on the event loop's thread, on connections of their own, without a greenlet.

A statement that finds three rows by an index takes some ten microseconds. Through an asynchronous driver it costs ten times that before a thread is even
asked. So such a transaction (`Database.read(few=True)`, `Database.write(few=True)`) is SQLAlchemy's plain one, behind the interface of the other.

What can wait for somebody else never waits here: BEGIN IMMEDIATE is tried without patience, and again after a pause while another writer has the lock;
COMMIT, which waits for the disk, and statements with many parameter sets have a thread.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BEGIN_READING, BEGIN_WRITING = "BEGIN", "BEGIN IMMEDIATE"
"""One that writes begins at once: two writers wait instead of failing at their first write."""

MANY = 64
"""Parameter sets of one statement that are too many to be written while everybody waits."""

PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02)
"""Seconds before each further try to begin while another connection has the write lock; the last one again and again."""

KEPT_STATEMENTS = 512
"""Statements that a connection keeps ready, more than we have."""


class Here(AsyncConnection):
    """A connection whose statements are done when they are asked for; those for many rows in the `thread`."""

    def __init__(self, beside: AsyncEngine, connection: sa.Connection, thread: ThreadPoolExecutor) -> None:
        super().__init__(beside, connection)
        self._thread = thread

    async def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Run it."""
        if isinstance(parameters, list) and len(parameters) > MANY:
            return await _to_its_end(asyncio.get_running_loop().run_in_executor(self._thread, self._now, statement, parameters, execution_options))
        return self._now(statement, parameters, execution_options)

    async def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:
        """The driver's own SQL."""
        return self._proxied.exec_driver_sql(statement, parameters, execution_options)

    async def run_sync(self, fn: Callable[..., Any], *arg: Any, **kw: Any) -> Any:
        """Call it with the connection."""
        return fn(self._proxied, *arg, **kw)

    def _now(self, statement: Any, parameters: Any, execution_options: Any) -> Any:
        return self._proxied.execute(statement, parameters, execution_options=execution_options)


class AtOnce:
    """The connections for it: some that read, and one that writes, for one transaction at a time writes. `beside` is the store's other engine."""

    def __init__(self, path: str, *, beside: AsyncEngine, pragmas: tuple[str, ...], busy_milliseconds: int) -> None:
        self._beside = beside
        self._reads = _engine(path, (*pragmas, f"busy_timeout={busy_milliseconds}"))
        self._writes = _engine(path, (*pragmas, "busy_timeout=0"))
        self._thread = _thread()

    @property
    def engines(self) -> tuple[sa.Engine, sa.Engine]:
        """Both."""
        return self._reads, self._writes

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that reads."""
        with self._reads.connect() as connection:
            try:
                _begin(connection, BEGIN_READING)
            except sqlite3.OperationalError as error:
                raise _as_of_sqlalchemy(error, BEGIN_READING) from error
            yield Here(self._beside, connection, self._thread)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; the lock is held from its beginning."""
        with self._writes.connect() as connection:
            await _begin_writing(connection)
            try:
                yield Here(self._beside, connection, self._thread)
                await _to_its_end(asyncio.get_running_loop().run_in_executor(self._thread, connection.commit))
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLAlchemy takes a transaction whose commit failed for one that has ended
                    _driver(connection).rollback()
                raise

    async def close(self) -> None:
        """Close all that is idle, in the thread: the last one to leave the file writes its log back. It may be used again."""
        thread, self._thread = self._thread, _thread()
        for one in self.engines:
            await asyncio.get_running_loop().run_in_executor(thread, one.dispose)
        thread.shutdown(wait=False)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="store")


async def _begin_writing(connection: sa.Connection) -> None:
    tries = 0
    while True:
        try:
            _begin(connection, BEGIN_WRITING)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise _as_of_sqlalchemy(error, BEGIN_WRITING) from error
        else:
            return
        await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
        tries += 1


def _begin(connection: sa.Connection, how: str) -> None:
    """Without SQLAlchemy, which makes as much of this statement as of any other."""
    _driver(connection).execute(how)
    connection.begin()


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    return connection.connection.driver_connection  # type: ignore[return-value]  # `opened` made it


def _as_of_sqlalchemy(error: sqlite3.Error, statement: str) -> sa.exc.DBAPIError:
    return sa.exc.OperationalError(statement, None, error)


async def _to_its_end(work: "asyncio.Future[Any]") -> Any:
    """What it answers. Whoever is cancelled meanwhile waits for its end all the same: nobody may use the connection while a thread does."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # looked at, so that nobody is told that nobody did: who waits is told of the cancellation
        raise


def _engine(path: str, pragmas: tuple[str, ...]) -> sa.Engine:
    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=KEPT_STATEMENTS)
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    # A pool that waited for a connection would wait with the loop: so there is always one more.
    return sa.create_engine("sqlite+pysqlite://", creator=opened, poolclass=sa.pool.QueuePool, pool_size=4, max_overflow=-1)
