"""What happens to an incident, as audit rows of its own, written in the transaction of whoever makes it happen."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.model import Operation, TargetId
from service.domain.ports import AuditEvent, Placement
from service.store import tables as t
from service.store.events import append


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
        await close(connection, operation.incident_id, outcome=closes_with, at=at)


async def close(connection: AsyncConnection, incident_id: str, *, outcome: str, at: datetime) -> None:
    """Close it; closing a closed one changes nothing."""
    closed = await connection.execute(
        t.incident.update().where(t.incident.c.id == incident_id, t.incident.c.closed_at.is_(None)).values(closed_at=at, outcome=outcome)
    )
    if closed.rowcount:
        await append(connection, incident_id, (AuditEvent(kind="closed", says=f"closed: {outcome.replace('_', ' ')}", at=at, body={"outcome": outcome}),))
