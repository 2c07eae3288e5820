"""The store behind its troubles: the real tables and queries, with transactions that cannot begin, cannot commit, or commit unheard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.errors import UnavailableError
from service.store.database import Database
from tests.chaos.engine import Durable
from tests.chaos.fate import Fate, Trouble
from tests.chaos.process import Process


class Outage:
    """Whether the database server answers. `turn` lets one transaction at it at a time: a server's own timing would make every run another one."""

    def __init__(self) -> None:
        self.away = False
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

    def lock(self) -> None:
        """The file's lock is tested elsewhere: here a killed process must not hold it."""

    @contextlib.asynccontextmanager
    async def write(self, *, patience: float | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction."""
        await self._process.point("a transaction begins", share=0.5)
        await self._answering(patience or 20.0)
        if self._fate.strikes(Trouble.NO_BEGIN):
            raise UnavailableError("the store cannot be used (OperationalError: database is locked)")
        kept: list[tuple[object, float]] = []
        async with self._outage.turn, super().write(patience=patience) as connection:
            staged = id(connection)
            try:
                yield connection
                self._process.may_die("a transaction is about to commit", share=2.0)
                if self._fate.strikes(Trouble.NO_COMMIT):
                    raise sa.exc.OperationalError("COMMIT", {}, Exception("disk I/O error"))
            finally:
                kept = list(self._durable.staged.pop(staged, []))
        for work, due in kept:
            self._durable.keep(work, due)  # type: ignore[arg-type]  # what `later` staged
        if kept:
            self.nudge()
        self._process.may_die("a transaction has committed", share=2.0)
        if self._fate.strikes(Trouble.COMMIT_ANSWER_LOST):
            raise UnavailableError("the connection to the store broke")

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent read."""
        await self._process.point("the store is read", share=0.1)
        await self._answering(20.0)
        if self._fate.strikes(Trouble.NO_BEGIN, 0.3):
            raise UnavailableError("the store cannot be used (OperationalError: database is locked)")
        async with self._outage.turn, super().read() as connection:
            yield connection

    async def _answering(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while self._outage.away:
            if loop.time() >= until:
                raise UnavailableError("the store did not answer in time")
            await asyncio.sleep(0.5)
        await self._process.alive()
