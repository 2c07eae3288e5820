"""Captures around operations: the texts by their digest beside the raw deliveries, one row for each moment of an operation."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.domain.model import TargetId
from service.domain.ports import AuditEvent, Capture, Wanted
from service.store import events
from service.store import tables as t
from service.store.database import Database

AFTER_WITHIN = timedelta(minutes=10)
"""What has ended longer ago than this has no *after* any more: it would show the world of another day."""

BEFORE, AFTER = "before", "after"


def _lacks(moment: str) -> sa.ColumnElement[bool]:
    return ~sa.exists().where(t.capture.c.operation_id == _OP.id, t.capture.c.moment == moment)


_OP = t.operation.c
_LACK_BEFORE = sa.select(_OP.id, _OP.target, _OP.first_effect_at).where(_OP.done_at.is_(None), _lacks(BEFORE)).order_by(_OP.created_at)
_LACK_AFTER = (
    sa.select(_OP.id, _OP.target).where(_OP.done_at >= sa.bindparam("since"), _OP.first_effect_at.is_not(None), _lacks(AFTER)).order_by(_OP.created_at)
)
"""Built once, for they are asked four times a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One captured text, by its digest; `size` in characters."""

    kind: str
    name: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One capture as it was kept."""

    moment: str
    at: datetime
    says: str
    items: tuple[Item, ...]
    missing: tuple[str, ...]


class CaptureStore:
    """Implements `Captures` of `service.domain.ports`; read by the edge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def wanted(self, at: datetime) -> Sequence[Wanted]:
        """What operations still want, oldest first."""
        async with self._database.read(few=True) as connection:
            found = [
                Wanted(operation_id=row.id, target=TargetId.parse(row.target), moment=BEFORE, late=row.first_effect_at is not None)
                for row in await connection.execute(_LACK_BEFORE)
            ]
            found += [
                Wanted(operation_id=row.id, target=TargetId.parse(row.target), moment=AFTER)
                for row in await connection.execute(_LACK_AFTER, {"since": at - AFTER_WITHIN})
            ]
        return tuple(found)

    async def keep(self, wanted: Wanted, capture: Capture, says: str, at: datetime) -> None:
        """Store the texts by digest, the row, and the operation's audit row; nothing of it when that moment is there already."""
        texts = {_digest(one.text): one.text for one in capture.items}
        items = [{"kind": one.kind, "name": one.name, "digest": _digest(one.text), "size": len(one.text)} for one in capture.items]
        async with self._database.write() as connection:
            mine = (t.capture.c.operation_id == wanted.operation_id, t.capture.c.moment == wanted.moment)
            if (await connection.execute(sa.select(t.capture.c.moment).where(*mine))).first() is not None:
                return
            there = set((await connection.execute(sa.select(t.blob.c.digest).where(t.blob.c.digest.in_(texts)))).scalars())
            new = [{"digest": digest, "body": text.encode()} for digest, text in texts.items() if digest not in there]
            if new:
                await connection.execute(t.blob.insert(), new)
            row = {"operation_id": wanted.operation_id, "moment": wanted.moment, "at": at, "says": says, "items": items, "missing": list(capture.missing)}
            await connection.execute(t.capture.insert().values(row))
            told = AuditEvent(kind="captured", says=says, at=at, body={"moment": wanted.moment, "items": items})
            await events.append(connection, wanted.operation_id, (told,))

    async def of(self, operation_id: str) -> Sequence[Kept]:
        """The operation's captures, before first."""
        async with self._database.read() as connection:
            query = sa.select(t.capture).where(t.capture.c.operation_id == operation_id).order_by(t.capture.c.moment.desc())
            return tuple(
                Kept(moment=row.moment, at=row.at, says=row.says, items=tuple(Item(**one) for one in row.items), missing=tuple(row.missing))
                for row in await connection.execute(query)
            )

    async def text(self, operation_id: str, digest: str) -> str | None:
        """One captured text of that operation; None for a digest that none of its captures has."""
        if not any(item.digest == digest for kept in await self.of(operation_id) for item in kept.items):
            return None
        async with self._database.read() as connection:
            body = (await connection.execute(sa.select(t.blob.c.body).where(t.blob.c.digest == digest))).scalar()
            return None if body is None else bytes(body).decode("utf-8", "replace")


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
