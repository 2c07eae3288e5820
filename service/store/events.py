"""The audit rows of every subject (an operation, an incident, the stop switch): chained, and written in the transaction that makes them true."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.chain import link
from service.domain.ports import AuditEvent
from service.domain.secrets import clear, without_secrets
from service.store import tables as t
from service.store.database import Database

STOP = "stop"
"""The subject of the stop switch, of which there is one."""

TOGETHER = 100
"""Subjects that one query asks for."""


_LAST = sa.select(t.event.c.number, t.event.c.digest).where(t.event.c.subject == sa.bindparam("of")).order_by(t.event.c.number.desc()).limit(1)


async def append(connection: AsyncConnection, subject: str, events: Sequence[AuditEvent]) -> None:
    """Add rows behind the subject's last one, inside the caller's transaction: no other one writes at the same time, so the number is free.

    Whatever a row quotes (an annotation, a server's error) is cleared of secrets first: rows are for ever, and for many eyes.
    """
    if not events:
        return
    last = (await connection.execute(_LAST, {"of": subject})).first()
    number, digest = (last.number, last.digest) if last else (0, "")
    rows: list[dict[str, Any]] = []
    for told in events:
        one = replace(told, says=clear(told.says)[0], body=without_secrets(told.body))
        number, digest = number + 1, link(digest, one)
        rows.append({"subject": subject, "number": number, "kind": one.kind, "says": one.says, "at": one.at, "body": dict(one.body), "digest": digest})
    await connection.execute(t.event.insert(), rows)


class EventStore:
    """Reads audit rows. The rows of a subject are numbered from 1 without a gap."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, subject: str) -> Sequence[AuditEvent]:
        """All rows of the subject, in the order of their commits."""
        return tuple(event for event, _ in await self.chain(subject))

    async def chain(self, subject: str) -> Sequence[tuple[AuditEvent, str]]:
        """The rows with their digests, to be checked."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(t.event).where(t.event.c.subject == subject).order_by(t.event.c.number))
            return tuple((_event(row), row.digest) for row in rows)

    async def newer(self, known: Mapping[str, int]) -> Mapping[str, Sequence[AuditEvent]]:
        """What came behind the known number of each subject; those without anything new are left out. One query for a hundred subjects."""
        subjects, found = sorted(known), dict[str, list[AuditEvent]]()
        for start in range(0, len(subjects), TOGETHER):
            wanted = [sa.and_(t.event.c.subject == one, t.event.c.number > known[one]) for one in subjects[start : start + TOGETHER]]
            async with self._database.read() as connection:
                for row in await connection.execute(sa.select(t.event).where(sa.or_(*wanted)).order_by(t.event.c.subject, t.event.c.number)):
                    found.setdefault(row.subject, []).append(_event(row))
        return found


def _event(row: Any) -> AuditEvent:
    return AuditEvent(kind=row.kind, says=row.says, at=row.at, body=row.body)
