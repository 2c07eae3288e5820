"""The connection to the store: SQLite embedded (WAL, one process, power-loss safe) or PostgreSQL (replicas); transactions; its errors mapped once.

On both databases one transaction writes at a time and a read sees one moment, so what is safe on one is safe on the other.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.domain.errors import SettingsError, UnavailableError
from service.store import sqlite
from service.store.at_once import BEGIN_WRITING, AtOnce

BUSY_MILLISECONDS = 100
"""How long one try for SQLite's write lock may block its thread: it cannot be called back, so patience is kept by trying again."""

BUSY_PAUSE = 0.02

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
"""What every connection to SQLite is told first."""

SCHEMA = "backout"
"""Where our tables are on PostgreSQL; the engine's are in `dbos`."""

WRITING = 0x6261636B6F7574
"""The key of PostgreSQL's advisory lock that one writer holds until its commit, as SQLite's write lock is held."""

SWEEPING = WRITING + 1
"""The key under which one process at a time looks for others that are gone."""

FROZEN_SECONDS = 5
"""A process that was frozen in the middle of a transaction holds the others up for so long; then PostgreSQL ends its session."""

_EXPECTED = "store: expected sqlite:////absolute/path.db (a file, so that nothing is lost) or postgresql://…"


class Database:
    """An open store. `url` is `sqlite:////absolute/path.db` or `postgresql://…`; errors of the driver become UnavailableError.

    On SQLite the file is locked for this process' life: a second process would take over running work.
    """

    def __init__(self, url: str, *, patience: float = 20.0) -> None:
        self.url = url
        self._patience = patience
        self._lock: int | None = None
        self._told: list[Callable[[], None]] = []
        self._writing = asyncio.Lock()
        self._at_once: AtOnce | None = None
        try:
            parsed = make_url(url)
        except sa.exc.ArgumentError as error:
            raise SettingsError(_EXPECTED) from error
        self.sqlite = parsed.get_backend_name() == "sqlite"
        if self.sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise SettingsError(_EXPECTED)
            self.path = Path(parsed.database)
            self.engine = _sqlite_engine(url)
            self._at_once = AtOnce(parsed.database, beside=self.engine, pragmas=PRAGMAS, busy_milliseconds=BUSY_MILLISECONDS)
        elif parsed.get_backend_name() == "postgresql":
            self.path = Path()
            self.engine = _postgres_engine(parsed)
        else:
            raise SettingsError(_EXPECTED)

    @property
    def engine(self) -> AsyncEngine:
        """The connections."""
        return self._engine

    @engine.setter
    def engine(self, engine: AsyncEngine) -> None:
        """With its view that reads: said of each connection anew, that would cost more than the statement. It is the only one then, `few` or not."""
        self._engine, self._at_once = engine, None
        self._reads = engine.execution_options(**({_READS: True} if self.sqlite else _READS_POSTGRES))

    @property
    def engines(self) -> tuple[sa.Engine, ...]:
        """Everything that has connections of ours."""
        return (self._engine.sync_engine, *(self._at_once.engines if self._at_once is not None else ()))

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

    def engine_beside(self) -> AsyncEngine:
        """Two connections of their own, for what must not wait until others are done (PostgreSQL). To be disposed of by who asks."""
        return _postgres_engine(make_url(self.url), connections=2)

    async def close(self) -> None:
        """Close all connections and give the file back."""
        await self.engine.dispose()
        if self._at_once is not None:
            await self._at_once.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.asynccontextmanager
    async def write(self, *, patience: float | None = None, few: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction that takes the write lock at once, so that it sees all that others wrote; commits at the end of the block, rolls back on any error.

        `patience`: seconds after which UnavailableError is raised instead of waiting on. `few`: each statement is about a few rows, found by an index; on
        SQLite they are done without a switch of threads (see `at_once`).
        """
        with mapped():
            async with asyncio.timeout(patience or self._patience), contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(self._writing)  # those who wait hold no connection that a reader could use
                if few and self._at_once is not None:
                    connection = await stack.enter_async_context(self._at_once.write())
                else:
                    connection = await self._begun(stack, self.engine)
                if not self.sqlite:
                    await connection.execute(_WAIT_FOR_THE_LOCK)
                yield connection
        for told in self._told:
            told()

    def tell(self, one: Callable[[], None]) -> None:
        """Call this after each commit of this process; it must be quick and must not fail."""
        self._told.append(one)

    async def _begun(self, stack: contextlib.AsyncExitStack, engine: AsyncEngine) -> AsyncConnection:
        while True:
            try:
                return await stack.enter_async_context(engine.begin())
            except sa.exc.OperationalError as error:
                if not self.sqlite or "locked" not in str(error.orig):
                    raise
                await asyncio.sleep(BUSY_PAUSE)

    @contextlib.asynccontextmanager
    async def read(self, *, few: bool = False) -> AsyncIterator[AsyncConnection]:
        """A read of one moment; never waits for a writer. `few`: see `write`."""
        with mapped():
            async with asyncio.timeout(self._patience), self._at_once.read() if few and self._at_once is not None else self._reads.connect() as connection:
                yield connection


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Errors of the driver that mean "not now" become UnavailableError; what the schema refuses stays what it is."""
    try:
        yield
    except TimeoutError as error:
        raise UnavailableError("the store did not answer in time") from error
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError) as error:  # internal: PostgreSQL ended the session
        raise UnavailableError(f"the store cannot be used ({type(error.__cause__ or error).__name__}: {_reason(error)})") from error
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise UnavailableError("the connection to the store broke") from error
        if type(error) is sa.exc.DatabaseError:  # the base class itself: SQLite says so of a damaged file
            raise UnavailableError(f"the store cannot be used ({_reason(error)})") from error
        raise


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", error)).splitlines()[0][:120]


_WAIT_FOR_THE_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.literal(WRITING, sa.BigInteger)))
_READS = "backout_read"
_READS_POSTGRES = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def postgres_arguments(url: sa.URL) -> dict[str, Any]:
    """What every connection of ours to PostgreSQL is opened with, beside what the address itself says."""
    options = f"-c search_path={SCHEMA} -c idle_in_transaction_session_timeout={FROZEN_SECONDS}s"
    own = url.query.get("options", "")
    return {
        "application_name": "backout",
        "connect_timeout": 5,
        "options": f"{own if isinstance(own, str) else ' '.join(own)} {options}".strip(),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 8000,
    }


def _postgres_engine(url: sa.URL, *, connections: int = 8) -> AsyncEngine:
    arguments = postgres_arguments(url)
    return create_async_engine(url.set(drivername="postgresql+psycopg"), connect_args=arguments, pool_size=connections, max_overflow=0, pool_pre_ping=True)


def engine_to_migrate(url: str) -> sa.Engine:
    """An engine for one thread and one transaction, in which the schema changes as a whole or not at all. On SQLite too: the driver is told so."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), connect_args=postgres_arguments(parsed), poolclass=sa.pool.NullPool)
    engine = sa.create_engine(parsed.set(drivername="sqlite"), poolclass=sa.pool.NullPool)
    _begins_itself(engine)
    return engine


def _sqlite_engine(url: str) -> AsyncEngine:
    parsed = make_url(url)
    opened = partial(sqlite.connect, str(parsed.database))
    engine = create_async_engine(parsed.set(drivername="sqlite+aiosqlite"), async_creator=opened, pool_size=5, max_overflow=0)
    _begins_itself(engine.sync_engine)
    return engine


def _begins_itself(engine: sa.Engine) -> None:
    """Transactions of SQLite begin where SQLAlchemy begins them."""

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions behind our back
        cursor = connection.cursor()
        for pragma in (*PRAGMAS, f"busy_timeout={BUSY_MILLISECONDS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        driver = connection.connection.driver_connection
        if connection.get_execution_options().get(_READS, False) and isinstance(driver, sqlite.Connection):
            driver.begins_with_the_next()
            return
        connection.exec_driver_sql(BEGIN_WRITING)
