"""What waits to be sent: read in order, marked delivered, put off, or parked with the reason. Nothing is dropped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.ports import TRIED_OFTEN, Message
from service.store import tables as t
from service.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How much of a channel waits: rows, the oldest one's time, and how many are parked."""

    rows: int
    oldest: datetime | None
    parked: int


_THERE = sa.select(t.outbox.c.channel, t.outbox.c.key).where(t.outbox.c.key.in_(sa.bindparam("keys", expanding=True)))


async def put(connection: AsyncConnection, messages: Sequence[Message], at: datetime) -> None:
    """Put messages into the outbox inside the caller's transaction, in their order; the same (channel, key) is kept once."""
    if not messages:
        return
    rows = await connection.execute(_THERE, {"keys": list({one.key for one in messages})})
    known = {(row.channel, row.key) for row in rows}
    new: list[dict[str, Any]] = []
    for one in messages:
        if (one.channel, one.key) in known:
            continue
        known.add((one.channel, one.key))
        body = one.body if isinstance(one.body, bytes) else json.dumps(one.body, ensure_ascii=False, sort_keys=True).encode()
        new.append({"channel": one.channel, "key": one.key, "body": body, "created_at": at, "due_at": at, "tries": 0, "parked": ""})
    if new:
        await connection.execute(t.outbox.insert(), new)


_DUE = (
    sa.select(t.outbox.c.position, t.outbox.c.body, t.outbox.c.tries)
    .where(t.outbox.c.channel == sa.bindparam("via"), t.outbox.c.delivered_at.is_(None), t.outbox.c.parked == "", t.outbox.c.due_at <= sa.bindparam("at"))
    .order_by(t.outbox.c.tries >= TRIED_OFTEN, t.outbox.c.position)
    .limit(sa.bindparam("most"))
)


class OutboxStore:
    """The outbox as its sender needs it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, channel: str, at: datetime, limit: int) -> Sequence[tuple[int, bytes, int]]:
        """(position, body, tries) of messages that are due, oldest first; those that were tried often come last."""
        async with self._database.read(few=True) as connection:
            rows = await connection.execute(_DUE, {"via": channel, "at": at, "most": limit})
            return tuple((row.position, row.body, row.tries) for row in rows)

    async def delivered(self, positions: Sequence[int], at: datetime) -> None:
        """Mark as sent."""
        async with self._database.write(few=True) as connection:
            await connection.execute(t.outbox.update().where(t.outbox.c.position.in_(positions)).values(delivered_at=at))

    async def put_off(self, positions: Sequence[int], until: datetime) -> None:
        """Try again later."""
        async with self._database.write() as connection:
            await connection.execute(t.outbox.update().where(t.outbox.c.position.in_(positions)).values(due_at=until, tries=t.outbox.c.tries + 1))

    async def park(self, position: int, why: str) -> None:
        """Set aside for a person: the receiver will never take it as it is."""
        async with self._database.write() as connection:
            await connection.execute(t.outbox.update().where(t.outbox.c.position == position).values(parked=why[:500], tries=t.outbox.c.tries + 1))

    async def send(self, message: Message, at: datetime) -> None:
        """Put a message in on its own (outside of any operation)."""
        async with self._database.write() as connection:
            await put(connection, (message,), at)

    async def waiting(self, channel: str) -> Waiting:
        """How much waits."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    sa.select(sa.func.count(), sa.func.min(t.outbox.c.created_at)).where(
                        t.outbox.c.channel == channel, t.outbox.c.delivered_at.is_(None), t.outbox.c.parked == ""
                    )
                )
            ).one()
            parked = (await connection.execute(sa.select(sa.func.count()).where(t.outbox.c.channel == channel, t.outbox.c.parked != ""))).scalar_one()
            return Waiting(rows=row[0], oldest=row[1], parked=parked)

    async def parked(self, limit: int = 50) -> Sequence[tuple[str, str, str]]:
        """(channel, key, why) of what was set aside."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                sa.select(t.outbox.c.channel, t.outbox.c.key, t.outbox.c.parked).where(t.outbox.c.parked != "").order_by(t.outbox.c.position).limit(limit)
            )
            return tuple((row.channel, row.key, row.parked) for row in rows)
