"""The store behind its troubles: the real tables and queries, with transactions that cannot begin, cannot commit, or commit unheard."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.domain.errors import UnavailableError
from service.store.database import Database
from tests.chaos.engine import Durable
from tests.chaos.fate import Fate, Trouble
from tests.chaos.process import COMMITTED, READ, Process

NO_LIMIT = 0xFFFFFFFE
"""SQLite's own limit of pages."""


class Outage:
    """Whether the database server answers, and whether its disk is full.

    `turn` lets one transaction at it at a time: a server's own timing would make every run another one.
    """

    def __init__(self) -> None:
        self.away = False
        self.full = False
        self.ever_full = False
        self.turn = asyncio.Lock()


class ChaosDatabase(Database):
    """One process' connection to the store. Work that a transaction hands over is kept by the engine when it commits."""

    def __init__(self, url: str, process: Process, fate: Fate, durable: Durable, outage: Outage) -> None:
        super().__init__(url)
        self._process = process
        self._fate = fate
        self._durable = durable
        self._outage = outage
        self.nudge: Callable[[], None] = lambda: None

    def engine_beside(self) -> AsyncEngine:
        """The same engine: what is said on it is said in turn, so it is never busy."""
        return self.engine

    def lock(self) -> None:
        """The file's lock is tested elsewhere: here a killed process must not hold it."""

    @contextlib.asynccontextmanager
    async def write(self, *, patience: float | None = None, few: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction."""
        await self._process.point("a transaction begins", share=0.5)
        await self._answering(patience or 20.0)
        if self._fate.strikes(Trouble.NO_BEGIN):
            raise UnavailableError("the store cannot be used (OperationalError: database is locked)")
        kept: list[tuple[object, float]] = []
        async with self._outage.turn, super().write(patience=patience, few=few) as connection:
            staged = id(connection)
            await self._room(connection)
            try:
                yield connection
                await self._full(connection)
                self._process.may_die("a transaction is about to commit", share=2.0)
                if self._fate.strikes(Trouble.NO_COMMIT):
                    raise sa.exc.OperationalError("COMMIT", {}, Exception("disk I/O error"))
            finally:
                kept = list(self._durable.staged.pop(staged, []))
        for work, due in kept:
            self._durable.keep(work, due)  # type: ignore[arg-type]  # what `later` staged
        if kept:
            self.nudge()
        self._process.may_die(COMMITTED, share=2.0)
        if self._fate.strikes(Trouble.COMMIT_ANSWER_LOST):
            raise UnavailableError("the connection to the store broke")

    @contextlib.asynccontextmanager
    async def read(self, *, few: bool = False) -> AsyncIterator[AsyncConnection]:
        """A consistent read."""
        await self._process.point(READ, share=0.1)
        await self._answering(20.0)
        if self._fate.strikes(Trouble.NO_BEGIN, 0.3):
            raise UnavailableError("the store cannot be used (OperationalError: database is locked)")
        async with self._outage.turn, super().read(few=few) as connection:
            yield connection

    async def _room(self, connection: AsyncConnection) -> None:
        """On SQLite a full disk shows at the first statement that needs a page more, in the middle of whatever is being done."""
        self._outage.ever_full = self._outage.ever_full or self._outage.full
        if self.sqlite and self._outage.ever_full:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one() if self._outage.full else NO_LIMIT
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def _full(self, connection: AsyncConnection) -> None:
        """What still had room in the pages that there are has none in the log."""
        if not self._outage.full:
            return
        if self.sqlite:
            raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))
        await connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$")

    async def _answering(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while self._outage.away or self._process.cut:
            if loop.time() >= until:
                raise UnavailableError("the store did not answer in time")
            await asyncio.sleep(0.5)
        await self._process.alive()
