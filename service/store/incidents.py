"""What happens to an incident, as audit rows of its own, written in the transaction of whoever makes it happen."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain import grouping
from service.domain.grouping import Burning
from service.domain.model import Operation, Release, TargetId
from service.domain.ports import AuditEvent, Placement
from service.store import tables as t
from service.store.events import append

RELEASE = TypeAdapter(Release)
"""A release as the column `suspect` holds it."""

_BURNING = (
    sa.select(*(t.incident.c[name] for name in ("id", "group_id", "target", "opened_at", "began_at", "suspect")))
    .where(t.incident.c.closed_at.is_(None), t.incident.c.suspect.is_not(None))
    .order_by(t.incident.c.opened_at, t.incident.c.id)
)
_SUSPECTED = t.incident.update().where(t.incident.c.id == sa.bindparam("which")).values(suspect=sa.bindparam("now", type_=t.incident.c.suspect.type))


async def episodes_joined(connection: AsyncConnection, incident_id: str, joined: Sequence[Placement], *, opens_for: TargetId | None, at: datetime) -> None:
    """Episodes belong to it; with `opens_for` the first of them opened the incident of that target."""
    rows = []
    if opens_for is not None:
        rows.append(AuditEvent(kind="opened", says=f"opened for {opens_for} by {joined[0].episode.name}", at=at, body={"target": str(opens_for)}))
    for one in joined:
        episode = one.episode
        body = {"episode": episode.id, "alert": episode.name, "source": episode.source, "sender": episode.sender, "rung": one.rung}
        rows.append(AuditEvent(kind="episode_joined", says=f"{episode.name} belongs to it: {one.says}", at=at, body=body))
    await append(connection, incident_id, rows)


async def operation_begun(connection: AsyncConnection, operation: Operation, says: str) -> None:
    """An operation answers it; `says` is what the operation began with."""
    if operation.incident_id is not None:
        row = AuditEvent(kind="operation_begun", says=f"{operation.kind.value} began: {says}", at=operation.created_at, body={"operation": operation.id})
        await append(connection, operation.incident_id, (row,))


async def operation_ended(connection: AsyncConnection, operation: Operation, *, closes_with: str, at: datetime) -> None:
    """The operation ended as its row says; the incident is closed with `closes_with` unless that is ""."""
    if operation.incident_id is None or operation.outcome is None:
        return
    outcome = operation.outcome.value
    word = outcome.replace("_", " ")
    says = f"{operation.kind.value} ended: " + (operation.says if operation.says.startswith(word) else f"{word}: {operation.says}")
    row = AuditEvent(kind="operation_ended", says=says, at=at, body={"operation": operation.id, "outcome": outcome})
    await append(connection, operation.incident_id, (row,))
    if closes_with:
        await close(connection, operation.incident_id, outcome=closes_with, at=at, unless=UNANSWERED)


async def burning(connection: AsyncConnection) -> Sequence[Burning]:
    """The open incidents whose suspect is known, oldest first."""
    return tuple(
        Burning(
            incident_id=row.id,
            group_id=row.group_id,
            target=TargetId.parse(row.target),
            opened_at=row.opened_at,
            began_at=row.began_at,
            suspect=RELEASE.validate_python(row.suspect),
        )
        for row in await connection.execute(_BURNING)
    )


async def suspected(connection: AsyncConnection, incident_id: str, suspect: Release, at: datetime) -> None:
    """It is about this release; with the open incidents of the same cause it is one group from now on, under the name of the oldest.

    Written by the one transaction that writes at a time: of two that find their suspects at once, the later one sees the earlier.
    """
    row = RELEASE.dump_python(suspect, mode="json")
    await connection.execute(_SUSPECTED, {"which": incident_id, "now": row})
    found = await burning(connection)
    mine = next((one for one in found if one.incident_id == incident_id), None)
    if mine is None:  # closed meanwhile: it joins nobody
        return
    joined = [(other, why) for other, why in grouping.same_cause(mine, found) if other.group_id != mine.group_id]
    if not joined:
        return
    groups = {mine.group_id, *(other.group_id for other, _ in joined)}
    together = min((one for one in found if one.group_id in groups), key=lambda one: (one.opened_at, one.incident_id)).group_id
    await connection.execute(t.incident.update().where(t.incident.c.group_id.in_(groups)).values(group_id=together))
    for other, why in joined:
        for one, its in ((mine, other), (other, mine)):
            says = f"the same cause as incident {its.incident_id} of {its.target}: {why}"
            rows = (AuditEvent(kind="grouped", says=says, at=at, body={"group": together, "incident": its.incident_id, "target": str(its.target)}),)
            await append(connection, one.incident_id, rows)


async def close(connection: AsyncConnection, incident_id: str, *, outcome: str, at: datetime, unless: sa.ColumnElement[bool] | None = None) -> None:
    """Close it; closing a closed one changes nothing. `unless` an episode of it is so, looked at in the same transaction.

    Whoever closes decided so on an earlier look; an alert that came since belongs to an open incident, or nothing would ever answer it (promise 2).
    """
    update = t.incident.update().where(t.incident.c.id == incident_id, t.incident.c.closed_at.is_(None))
    if unless is not None:
        update = update.where(~sa.exists().where(t.episode.c.incident_id == incident_id, unless))
    closed = await connection.execute(update.values(closed_at=at, outcome=outcome))
    if closed.rowcount:
        await append(connection, incident_id, (AuditEvent(kind="closed", says=f"closed: {outcome.replace('_', ' ')}", at=at, body={"outcome": outcome}),))


FIRING = t.episode.c.ends_at.is_(None)
UNANSWERED = sa.and_(FIRING, t.episode.c.covered_by.is_(None))
