"""The connection to the store: SQLite embedded (WAL, one process, power-loss safe) or PostgreSQL; transactions; its errors mapped once."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.domain.errors import SettingsError, UnavailableError

BUSY_MILLISECONDS = 100
"""How long one try for SQLite's write lock may block its thread: it cannot be called back, so patience is kept by trying again."""

BUSY_PAUSE = 0.02


class Database:
    """An open store. `url` is `sqlite:////absolute/path.db` or `postgresql://…`; errors of the driver become UnavailableError.

    On SQLite the file is locked for this process' life: a second process would take over running work.
    """

    def __init__(self, url: str, *, patience: float = 20.0) -> None:
        self.url = url
        self._patience = patience
        self._lock: int | None = None
        self._writing = asyncio.Lock()
        try:
            parsed = make_url(url)
        except sa.exc.ArgumentError as error:
            raise SettingsError("store: expected sqlite:////absolute/path.db or postgresql://…") from error
        self.sqlite = parsed.get_backend_name() == "sqlite"
        if self.sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise SettingsError("store: expected sqlite:////absolute/path.db (a file, so that nothing is lost) or postgresql://…")
            self.path = Path(parsed.database)
            self.engine = _sqlite_engine(url)
        elif parsed.get_backend_name() == "postgresql":
            self.path = Path()
            self.engine = create_async_engine(parsed.set(drivername="postgresql+psycopg"), pool_size=8, max_overflow=0, pool_pre_ping=True)
        else:
            raise SettingsError("store: expected sqlite:////absolute/path.db or postgresql://…")

    def lock(self) -> None:
        """Hold the file for this process; SettingsError if another process holds it."""
        if not self.sqlite:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise SettingsError(f"the store {self.path.name} is in use by another Backout process; stop it first, or use PostgreSQL for replicas") from error
        self._lock = handle

    async def close(self) -> None:
        """Close all connections and give the file back."""
        await self.engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.asynccontextmanager
    async def write(self, *, patience: float | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction that takes the write lock at once; commits at the end of the block, rolls back on any error.

        `patience`: seconds after which UnavailableError is raised instead of waiting on.
        """
        with _mapped():
            async with asyncio.timeout(patience or self._patience), contextlib.AsyncExitStack() as stack:
                if self.sqlite:  # one writer at a time anyway: those who wait hold no connection that a reader could use
                    await stack.enter_async_context(self._writing)
                yield await self._begun(stack)

    async def _begun(self, stack: contextlib.AsyncExitStack) -> AsyncConnection:
        while True:
            try:
                return await stack.enter_async_context(self.engine.begin())
            except sa.exc.OperationalError as error:
                if not self.sqlite or "locked" not in str(error.orig):
                    raise
                await asyncio.sleep(BUSY_PAUSE)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent read; never waits for a writer on SQLite (WAL)."""
        with _mapped():
            async with asyncio.timeout(self._patience), self.engine.connect() as connection:
                yield await connection.execution_options(backout_read=True)


@contextlib.contextmanager
def _mapped() -> Any:
    try:
        yield
    except TimeoutError as error:
        raise UnavailableError("the store did not answer in time") from error
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        raise UnavailableError(f"the store cannot be used ({type(error.__cause__ or error).__name__}: {_reason(error)})") from error
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise UnavailableError("the connection to the store broke") from error
        if type(error) is sa.exc.DatabaseError:  # the base class itself: SQLite says so of a damaged file
            raise UnavailableError(f"the store cannot be used ({_reason(error)})") from error
        raise


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", error)).splitlines()[0][:120]


def _sqlite_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(make_url(url).set(drivername="sqlite+aiosqlite"), pool_size=5, max_overflow=0)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions behind our back
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MILLISECONDS}", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("backout_read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")  # immediate: two writers wait instead of failing at their first write

    return engine
