"""Standing verdicts, one row a target, and the turns they took."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.model import TargetId
from service.domain.ports import Message
from service.domain.readiness import Age, Standing, Turn
from service.domain.secrets import clear
from service.domain.verdict import Answer
from service.store import outbox
from service.store import tables as t
from service.store.database import Database

_STANDING = TypeAdapter(Standing)

TURNS = 200
"""So many turns of a target are kept."""

AT_ONCE = 500
"""Targets that one query names."""


_AGES = sa.select(*(t.readiness.c[name] for name in ("target", "answer", "as_of", "good_for_s", "policy"))).order_by(t.readiness.c.target)
_HERE = t.readiness.c.target == sa.bindparam("about")
_AS_OF, _FORGET, _KEEP = sa.select(t.readiness.c.as_of).where(_HERE), t.readiness.delete().where(_HERE), t.readiness.insert()
_IS_KNOWN = sa.select(t.target.c.id).where(t.target.c.id == sa.bindparam("about"))
_BODIES = sa.select(t.readiness.c.body).where(t.readiness.c.target.in_(sa.bindparam("names", expanding=True)))


class ReadinessStore:
    """Implements `service.domain.ports.Readinesses`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, targets: Sequence[TargetId]) -> Mapping[TargetId, Standing]:
        """The standing verdicts of these targets; those that have none are left out."""
        found: dict[TargetId, Standing] = {}
        async with self._database.read(few=True) as connection:
            for start in range(0, len(targets), AT_ONCE):
                names = [str(one) for one in targets[start : start + AT_ONCE]]
                rows = await connection.execute(_BODIES, {"names": names})
                found |= {one.target: one for one in (_STANDING.validate_python(row.body) for row in rows)}
        return found

    async def ages(self) -> Sequence[Age]:
        """Every standing verdict without its findings, by target."""
        async with self._database.read() as connection:
            rows = (await connection.execute(_AGES)).all()
        return tuple(
            Age(target=TargetId.parse(target), answer=Answer(answer), as_of=as_of, good_for=timedelta(seconds=good_for_s), policy=policy)
            for target, answer, as_of, good_for_s, policy in rows
        )

    async def keep(self, standing: Standing, turn: Turn | None, messages: Sequence[Message] = ()) -> bool:
        """Write it down with its turn and its messages; False, and nothing written, where one with later facts is there already or the target is gone."""
        async with self._database.write(few=True) as connection:
            about = {"about": str(standing.target)}
            there = (await connection.execute(_AS_OF, about)).scalar()
            known = (await connection.execute(_IS_KNOWN, about)).scalar()
            if known is None or (there is not None and there > standing.as_of):
                return False
            await connection.execute(_FORGET, about)
            await connection.execute(_KEEP, _row(standing))
            if turn is not None:
                await _turned(connection, turn)
            await outbox.put(connection, messages, standing.as_of)
        return True

    async def turns(self, target: TargetId, *, limit: int) -> Sequence[Turn]:
        """How the target's standing verdict turned, newest first."""
        c = t.readiness_turn.c
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(t.readiness_turn).where(c.target == str(target)).order_by(c.id.desc()).limit(limit))
            return tuple(
                Turn(
                    target=target,
                    at=row.at,
                    was=None if row.was is None else Answer(row.was),
                    answer=Answer(row.answer),
                    says=row.says,
                    release=row.release,
                    rules=tuple(row.rules),
                )
                for row in rows
            )

    async def forget(self, before: datetime) -> None:
        """Drop what belongs to targets that are gone and is older than `before`."""
        there, turn = sa.select(t.target.c.id), t.readiness_turn.c
        async with self._database.write() as connection:
            await connection.execute(t.readiness.delete().where(t.readiness.c.target.not_in(there), t.readiness.c.as_of < before))
            await connection.execute(t.readiness_turn.delete().where(turn.target.not_in(there), turn.at < before))


def _row(standing: Standing) -> dict[str, Any]:
    body = _STANDING.dump_python(standing, mode="json")
    return {
        "target": str(standing.target),
        "answer": int(standing.answer),
        "as_of": standing.as_of,
        "good_for_s": int(standing.good_for.total_seconds()),
        "policy": standing.policy,
        "body": body,
    }


async def _turned(connection: AsyncConnection, turn: Turn) -> None:
    """Add the turn; drop the oldest of the target beyond what is kept."""
    values = {
        "target": str(turn.target),
        "at": turn.at,
        "was": None if turn.was is None else int(turn.was),
        "answer": int(turn.answer),
        "says": clear(turn.says)[0],
        "release": turn.release,
        "rules": list(turn.rules),
    }
    await connection.execute(t.readiness_turn.insert().values(**values))
    c = t.readiness_turn.c
    last = (await connection.execute(sa.select(c.id).where(c.target == str(turn.target)).order_by(c.id.desc()).offset(TURNS).limit(1))).scalar()
    if last is not None:
        await connection.execute(t.readiness_turn.delete().where(c.target == str(turn.target), c.id <= last))
