"""The rows of all processes, for one that can be killed, frozen or cut off; and a note of who was declared dead when."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import psycopg

from service.domain.errors import UnavailableError
from service.domain.ports import Executor
from service.store.database import SWEEPING
from service.store.executors import ExecutorStore
from tests.chaos.database import Outage
from tests.chaos.process import Process

PATIENCE = 8.0
"""Seconds until the driver gives a connection up whose server does not answer (`tcp_user_timeout`)."""


class ChaosExecutors:
    """Implements `service.engine.lease.Executors` over the real store, one exchange at a time. `retired` is filled with the world's second of each death."""

    def __init__(self, real: ExecutorStore, process: Process, outage: Outage, retired: dict[str, float]) -> None:
        self._real = real
        self._process = process
        self._outage = outage
        self._retired = retired
        self.sweeps = False

    async def enter(self, name: str, at: datetime) -> None:
        """See `ExecutorStore`."""
        async with self._exchange("the process enters its row"):
            await self._real.enter(name, at)

    async def beat(self, name: str) -> Sequence[Executor] | None:
        """See `ExecutorStore`."""
        async with self._exchange("the process beats"):
            return await self._real.beat(name)

    async def retire(self, name: str, *, beats: int | None = None) -> bool:
        """See `ExecutorStore`."""
        async with self._exchange(f"{name} is being retired"):
            done = await self._real.retire(name, beats=beats)
            if done:
                self._retired.setdefault(name, asyncio.get_running_loop().time())
            return done

    async def living(self) -> frozenset[str]:
        """See `ExecutorStore`."""
        async with self._exchange("it is asked who lives"):
            return await self._real.living()

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[bool]:
        """See `ExecutorStore`."""
        await self._answering()
        async with AsyncExitStack() as stack:
            async with self._outage.turn:
                self.sweeps = mine = await stack.enter_async_context(self._real.sweeping())
            try:
                yield mine
            finally:
                self.sweeps = False

    async def forget(self, before: datetime) -> int:
        """See `ExecutorStore`."""
        async with self._exchange("the retired are forgotten"):
            return await self._real.forget(before)

    async def close(self) -> None:
        """See `ExecutorStore`."""
        await self._real.close()

    @asynccontextmanager
    async def _exchange(self, what: str) -> AsyncIterator[None]:
        await self._process.point(what, share=0.2)
        await self._answering()
        async with self._outage.turn:
            yield
        self._process.may_die(f"{what}: that is done", share=0.2)

    async def _answering(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while self._outage.away or self._process.cut:
            if loop.time() >= until:
                raise UnavailableError("the store did not answer in time")
            await asyncio.sleep(0.5)
        await self._process.alive()


def end_the_sweep(url: str) -> None:
    """What PostgreSQL does with the session of a process that is frozen in the middle of a sweep."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s",
            (SWEEPING >> 32, SWEEPING & 0xFFFFFFFF),
        )
