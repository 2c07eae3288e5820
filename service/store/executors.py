"""The processes that share one store: a row each from start to end, counted up while it lives, marked retired when it is over for ever."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.ports import Executor
from service.store import tables as t
from service.store.database import SWEEPING, Database, mapped


class ExecutorStore:
    """Implements `service.engine.lease.Executors`. Works on connections of its own: a busy store must not make a living process look dead."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine_beside()

    @contextlib.asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        with mapped():
            async with self._engine.begin() as connection:
                yield connection

    async def enter(self, name: str, at: datetime) -> None:
        """A process begins. Names are never used twice."""
        async with self._begun() as connection:
            await connection.execute(t.executor.insert().values(name=name, started_at=at, beats=0, retired=False))

    async def beat(self, name: str) -> Sequence[Executor] | None:
        """Count its beat; answers everybody who is not retired, oldest first. None: it was declared dead and must not do anything any more."""
        async with self._begun() as connection:
            mine = t.executor.update().where(t.executor.c.name == name, t.executor.c.retired == sa.false()).values(beats=t.executor.c.beats + 1)
            if not (await connection.execute(mine)).rowcount:
                return None
            rows = await connection.execute(sa.select(t.executor).where(t.executor.c.retired == sa.false()).order_by(t.executor.c.number))
            return tuple(Executor(name=row.name, beats=row.beats) for row in rows)

    async def retire(self, name: str, *, beats: int | None = None) -> bool:
        """Mark it, committed when this returns: it can never beat again. With `beats` only if it has not beaten since; False if it has."""
        query = t.executor.update().where(t.executor.c.name == name)
        async with self._begun() as connection:
            done = await connection.execute((query if beats is None else query.where(t.executor.c.beats == beats)).values(retired=True))
            return bool(done.rowcount)

    async def living(self) -> frozenset[str]:
        """The names that are not retired."""
        async with self._begun() as connection:
            return frozenset((await connection.execute(sa.select(t.executor.c.name).where(t.executor.c.retired == sa.false()))).scalars())

    @contextlib.asynccontextmanager
    async def sweeping(self) -> AsyncIterator[bool]:
        """Whether nobody else sweeps, until the end of the block. A process that is frozen in it stands in nobody's way for longer than a few seconds."""
        async with self._begun() as connection:
            key = sa.literal(SWEEPING, sa.BigInteger)
            yield bool((await connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(key)))).scalar_one())

    async def forget(self, before: datetime) -> int:
        """Delete the retired ones that began before then. One that still sleeps somewhere finds no row when it wakes, which ends it as well."""
        async with self._begun() as connection:
            done = await connection.execute(t.executor.delete().where(t.executor.c.retired == sa.true(), t.executor.c.started_at < before))
            return done.rowcount

    async def close(self) -> None:
        """Close its connections."""
        await self._engine.dispose()
