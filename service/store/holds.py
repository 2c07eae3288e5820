"""Holds, and the counts of Backout's own acts that limit it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.model import Hold, TargetId
from service.store import tables as t
from service.store.database import Database


class HoldStore:
    """Implements `service.domain.ports.Holds`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_for(self, target: TargetId) -> Hold | None:
        """The target's open hold."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(t.hold).where(t.hold.c.target == str(target), t.hold.c.closed_at.is_(None)))).mappings().first()
            return None if row is None else await _hold(connection, row)

    async def load(self, hold_id: str) -> Hold | None:
        """One hold, open or ended."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(t.hold).where(t.hold.c.id == hold_id))).mappings().first()
            return None if row is None else await _hold(connection, row)

    async def find(self, *, open_only: bool = True, target: str = "", limit: int = 100) -> Sequence[Hold]:
        """Holds, newest first."""
        query = sa.select(t.hold).order_by(t.hold.c.opened_at.desc(), t.hold.c.id).limit(limit)
        if open_only:
            query = query.where(t.hold.c.closed_at.is_(None))
        if target:
            query = query.where(t.hold.c.target == target)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
            return tuple([await _hold(connection, row) for row in rows])

    async def end(self, hold_id: str, *, by: str, because: str, at: datetime) -> bool:
        """End it; False if it had ended."""
        async with self._database.write() as connection:
            done = await connection.execute(
                t.hold.update().where(t.hold.c.id == hold_id, t.hold.c.closed_at.is_(None)).values(closed_at=at, ended_by=by, ended_because=because)
            )
            return bool(done.rowcount)

    async def rollbacks_since(self, target: TargetId, since: datetime) -> int:
        """Automatic operations with an effect on the target since then."""
        async with self._database.read() as connection:
            query = sa.select(sa.func.count()).select_from(t.operation)
            return int(
                (
                    await connection.execute(
                        query.where(t.operation.c.target == str(target), t.operation.c.automatic == sa.true(), t.operation.c.first_effect_at >= since)
                    )
                ).scalar_one()
            )

    async def targets_with_incidents_since(self, since: datetime) -> int:
        """How many different targets had an incident opened since then."""
        async with self._database.read() as connection:
            query = sa.select(sa.func.count(sa.distinct(t.incident.c.target))).where(t.incident.c.opened_at >= since)
            return int((await connection.execute(query)).scalar_one())


async def _hold(connection: AsyncConnection, row: Mapping[Any, Any]) -> Hold:
    held = await connection.execute(
        sa.select(t.held_release.c.key).where(t.held_release.c.hold_id == row["id"]).order_by(t.held_release.c.since, t.held_release.c.key)
    )
    return Hold(
        id=row["id"],
        target=TargetId.parse(row["target"]),
        operation_id=row["operation_id"],
        opened_at=row["opened_at"],
        reason=row["reason"],
        review_at=row["review_at"],
        owner=row["owner"],
        held=tuple(held.scalars()),
        remembered=row["remembered"],
        closed_at=row["closed_at"],
        ended_by=row["ended_by"],
        ended_because=row["ended_because"],
    )
