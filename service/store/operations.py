"""Operations and what belongs to them: one transaction writes a transition with its audit rows, spans, messages and hold, or nothing of it."""

import functools
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.errors import ConflictError, NotFoundError
from service.domain.model import Actor, Episode, Json, Mode, Operation, OperationKind, Outcome, TargetId
from service.domain.ports import AuditEvent, HandOver, Message, SpanDraft, SpanEncoder, Transition, Work
from service.domain.secrets import clear
from service.store import holds, incidents
from service.store import tables as t
from service.store.database import Database
from service.store.events import TOGETHER, EventStore, append
from service.store.outbox import put
from service.store.paging import Position, newest_first

SHORT_WAIT = timedelta(seconds=5)
"""Up to this a segment sleeps itself; a longer wait is a delayed segment of its own and holds nothing meanwhile."""

WAITING = "awaiting_approval"
"""The one phase in which a person's decision is taken."""


_ONE = sa.select(t.operation).where(t.operation.c.id == sa.bindparam("which"))
_ALIVE = sa.select(t.operation).where(t.operation.c.target == sa.bindparam("about"), t.operation.c.done_at.is_(None))
_BEGIN = t.operation.insert()
_SPANS = sa.select(t.span.c.span_id).where(t.span.c.operation_id == sa.bindparam("of"))
"""Built once: to build one and find its compiled form again costs more than to run it."""


@functools.lru_cache(maxsize=256)
def _swap(columns: tuple[str, ...]) -> sa.Update:
    """A change of these columns in the row that is still at that `seq` and `rev`, and has not ended."""
    c = t.operation.c
    here = (c.id == sa.bindparam("which"), c.seq == sa.bindparam("its_seq"), c.rev == sa.bindparam("its_rev"), c.done_at.is_(None))
    return t.operation.update().where(*here).values({name: sa.bindparam(f"new_{name}", type_=c[name].type) for name in columns})


class OperationStore:
    """Implements `Journal` and `Starting` of `service.domain.ports`."""

    def __init__(self, database: Database, *, spans: SpanEncoder, hand_over: HandOver) -> None:
        self._database = database
        self._spans = spans
        self._events = EventStore(database)
        self._hand_over = hand_over

    async def begin(self, operation: Operation, events: Sequence[AuditEvent], spans: Sequence[SpanDraft], covers: Sequence[Episode] = ()) -> Operation:
        """Insert the row with its first audit rows and the episodes it covers; ConflictError with the id of the one that is alive for the target."""
        try:
            async with self._database.write(few=True) as connection:
                await connection.execute(_BEGIN, _values(operation))
                await _cover(connection, operation.id, covers)
                await self._append(connection, operation, events, spans, (), operation.created_at)
                await incidents.operation_begun(connection, operation, events[0].says if events else "")
        except sa.exc.IntegrityError as error:
            alive = await self.alive_for(operation.target)
            raise ConflictError(alive.id if alive else "another operation") from error
        return operation

    async def load(self, operation_id: str) -> Operation | None:
        """The row now."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(_ONE, {"which": operation_id})).mappings().first()
            return None if row is None else _operation(row)

    async def alive(self) -> Sequence[Operation]:
        """All operations that have not ended, oldest first."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(t.operation).where(t.operation.c.done_at.is_(None)).order_by(t.operation.c.created_at, t.operation.c.id))
            return tuple(_operation(row) for row in rows.mappings())

    async def due(self, at: datetime) -> Sequence[Operation]:
        """Alive operations that ought to be moving: not waiting for a person or for a later time."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                sa.select(t.operation)
                .where(t.operation.c.done_at.is_(None), sa.or_(t.operation.c.wake_at.is_(None), t.operation.c.wake_at < at))
                .order_by(t.operation.c.created_at, t.operation.c.id)
            )
            return tuple(_operation(row) for row in rows.mappings())

    async def latest(self, incident_id: str) -> Operation | None:
        """The newest operation of the incident."""
        found = await self.find(incident_id=incident_id, limit=1)
        return found[0] if found else None

    async def latest_of(self, target: TargetId) -> Operation | None:
        """The newest operation of the target, of any incident or none."""
        found = await self.find(target=str(target), limit=1)
        return found[0] if found else None

    async def alive_for(self, target: TargetId) -> Operation | None:
        """The one operation of the target that has not ended."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(_ALIVE, {"about": str(target)})).mappings().first()
            return None if row is None else _operation(row)

    async def find(
        self, *, target: str = "", incident_id: str = "", alive: bool | None = None, behind: Position | None = None, limit: int = 50
    ) -> Sequence[Operation]:
        """The newest operations that fit, behind a position if one is given."""
        query = newest_first(sa.select(t.operation), t.operation.c.created_at, t.operation.c.id, behind, limit)
        if target:
            query = query.where(t.operation.c.target == target)
        if incident_id:
            query = query.where(t.operation.c.incident_id == incident_id)
        if alive is not None:
            query = query.where(t.operation.c.done_at.is_(None) if alive else t.operation.c.done_at.is_not(None))
        async with self._database.read() as connection:
            return tuple(_operation(row) for row in (await connection.execute(query)).mappings())

    async def commit(self, operation: Operation, transition: Transition, at: datetime) -> bool:
        """Compare and swap on (seq, rev). False: somebody else was faster, nothing was written.

        Raises ConflictError when an automatic operation with an effect exists for this suspect already: then this one must not act.
        """
        waits = transition.until_person is not None or transition.wait > SHORT_WAIT
        wake = transition.until_person or (at + transition.wait if transition.wait > SHORT_WAIT else None)
        seq = operation.seq + 1 if waits else operation.seq
        values: dict[str, Any] = {
            "phase": transition.phase,
            "data": dict(transition.data),
            "rev": operation.rev + 1,
            "seq": seq,
            "updated_at": at,
            "wake_at": wake,
        }
        if transition.says:
            values["says"] = clear(transition.says)[0]
        if transition.suspect_key is not None:
            values["suspect_key"] = transition.suspect_key
        if transition.goal_key is not None:
            values["goal_key"] = transition.goal_key
        if transition.act_before is not None:
            values["act_before"] = transition.act_before
        if transition.first_effect and operation.first_effect_at is None:
            values["first_effect_at"] = at
        if transition.done is not None:
            values |= {"done_at": at, "outcome": transition.done.value, "wake_at": None}
        try:
            async with self._database.write(few=True) as connection:
                swapped = await connection.execute(
                    _swap(tuple(values)),
                    {"which": operation.id, "its_seq": operation.seq, "its_rev": operation.rev, **{f"new_{name}": value for name, value in values.items()}},
                )
                if not swapped.rowcount:
                    return False
                after = await _reload(connection, operation.id)
                if waits and after.cancel_requested and not operation.cancel_requested:  # asked for while this was worked out: it must not be waited out
                    wake = at
                    await connection.execute(t.operation.update().where(t.operation.c.id == operation.id).values(wake_at=wake))
                await self._append(connection, after, transition.events, transition.spans, transition.messages, at)
                if transition.hold is not None:
                    await holds.change(connection, operation, transition.hold, at)
                if transition.suspect is not None and after.incident_id is not None:
                    await incidents.suspected(connection, after.incident_id, transition.suspect, at)
                if transition.done is not None:
                    await incidents.operation_ended(connection, after, closes_with=transition.incident_outcome, at=at)
                if waits and wake is not None:
                    await self._hand_over.later(connection, Work(kind="operation", id=operation.id, seq=seq), wake - at)
        except sa.exc.IntegrityError as error:
            raise ConflictError("another automatic operation already acted on this release of the target") from error
        return True

    async def marks(self, ids: Sequence[str]) -> Mapping[str, tuple[int, datetime]]:
        """What changes with every change of these rows, at the price of two columns."""
        found: dict[str, tuple[int, datetime]] = {}
        columns = sa.select(t.operation.c.id, t.operation.c.rev, t.operation.c.updated_at)
        for start in range(0, len(ids), TOGETHER):
            async with self._database.read() as connection:
                for row in await connection.execute(columns.where(t.operation.c.id.in_(ids[start : start + TOGETHER]))):
                    found[row.id] = (row.rev, row.updated_at)
        return found

    async def bump(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """Give these a new `seq` and hand their next segment over in the same transaction; those that moved meanwhile are left out of the answer."""
        bumped = []
        async with self._database.write() as connection:
            for one in operations:
                done = await connection.execute(
                    t.operation.update()
                    .where(t.operation.c.id == one.id, t.operation.c.seq == one.seq, t.operation.c.rev == one.rev, t.operation.c.done_at.is_(None))
                    .values(seq=one.seq + 1, rev=one.rev + 1, wake_at=None)
                )
                if done.rowcount:
                    await self._hand_over.later(connection, Work(kind="operation", id=one.id, seq=one.seq + 1), timedelta(0))
                    bumped.append(one)
        return bumped

    async def decide(self, operation_id: str, *, seq: int, actor: Actor, approve: bool, at: datetime, body: Mapping[str, Json]) -> bool:
        """Record the first decision on a waiting operation and wake it under a new seq; False if it no longer waits at `seq`."""
        async with self._database.write(few=True) as connection:
            woken = await connection.execute(
                t.operation.update()
                .where(t.operation.c.id == operation_id, t.operation.c.phase == WAITING, t.operation.c.seq == seq, t.operation.c.done_at.is_(None))
                .values(phase="decided", seq=seq + 1, rev=t.operation.c.rev + 1, updated_at=at, wake_at=None)
            )
            if not woken.rowcount:
                return False
            await connection.execute(
                t.approval.insert().values(
                    operation_id=operation_id, seq=seq, actor_kind=actor.kind, actor_name=actor.name, approve=approve, at=at, body=dict(body)
                )
            )
            word = "approved" if approve else "rejected"
            says = f"{word} by {actor}" + (f": {body['reason']}" if body.get("reason") else "")
            if approve and body.get("override"):
                word, says = "override_given", f"override of {', '.join(body['override'])} confirmed by {actor}: {body['reason']}"
            row = AuditEvent(kind=word, says=says, at=at, body={"actor": str(actor), **body})
            await self._append(connection, await _reload(connection, operation_id), (row,), (), (), at)
            return True

    async def request_cancel(self, operation_id: str, *, actor: Actor, reason: str, at: datetime) -> bool:
        """Ask an alive operation to stop at its next transition; one that waits is woken. False if it has ended or was asked before.

        One that is moving keeps its `seq`: a second segment beside the first could send the effect that the first is just sending.
        """
        says = f"cancelled by {actor}: {reason}"
        async with self._database.write(few=True) as connection:
            now = (await connection.execute(sa.select(t.operation.c.wake_at).where(t.operation.c.id == operation_id).with_for_update())).first()
            waits = now is not None and now.wake_at is not None and now.wake_at > at
            woken: dict[str, Any] = {"seq": t.operation.c.seq + 1, "rev": t.operation.c.rev + 1, "wake_at": None} if waits else {}
            asked = await connection.execute(
                t.operation.update()
                .where(t.operation.c.id == operation_id, t.operation.c.done_at.is_(None), t.operation.c.cancel_requested == "")
                .values(cancel_requested=says, updated_at=at, **woken)
            )
            if not asked.rowcount:
                return False
            row = AuditEvent(kind="cancel_requested", says=says, at=at, body={"actor": str(actor), "reason": reason})
            await self._append(connection, await _reload(connection, operation_id), (row,), (), (), at)
            return True

    async def approval(self, operation_id: str) -> Mapping[str, Json] | None:
        """The newest decision: actor_kind, actor_name, approve, at (RFC 3339), body."""
        async with self._database.read(few=True) as connection:
            row = (
                (await connection.execute(sa.select(t.approval).where(t.approval.c.operation_id == operation_id).order_by(t.approval.c.seq.desc()).limit(1)))
                .mappings()
                .first()
            )
            return None if row is None else {**row, "at": row["at"].isoformat()}

    async def events(self, operation_id: str) -> Sequence[AuditEvent]:
        """All audit rows of the operation, in the order of their commits."""
        return await self._events.of(operation_id)

    async def chain(self, operation_id: str) -> Sequence[tuple[AuditEvent, str]]:
        """The audit rows with their digests, to be checked."""
        return await self._events.chain(operation_id)

    async def span_bodies(self, operation_id: str) -> Sequence[bytes]:
        """The encoded spans of the operation's trace, as exported."""
        async with self._database.read() as connection:
            return tuple(
                (await connection.execute(sa.select(t.span.c.body).where(t.span.c.operation_id == operation_id).order_by(t.span.c.position))).scalars()
            )

    async def by_trace(self, prefix: str) -> Sequence[Operation]:
        """Operations whose id, trace id or incident id begins with `prefix` (at least 6 characters)."""
        async with self._database.read() as connection:
            like = prefix.replace("%", "").replace("_", r"\_") + "%"
            query = sa.select(t.operation).where(
                sa.or_(
                    t.operation.c.id.like(like, escape="\\"),
                    t.operation.c.trace_id.like(like, escape="\\"),
                    t.operation.c.incident_id.like(like, escape="\\"),
                )
            )
            return tuple(_operation(row) for row in (await connection.execute(query.order_by(t.operation.c.created_at, t.operation.c.id))).mappings())

    async def append(
        self,
        operation_id: str,
        events: Sequence[AuditEvent],
        spans: Sequence[SpanDraft],
        messages: Sequence[Message],
        at: datetime,
        covers: Sequence[Episode] = (),
    ) -> None:
        """Add rows to an operation outside of a transition (joined alerts, the end of its hold)."""
        async with self._database.write(few=True) as connection:
            operation = await _reload(connection, operation_id)
            if covers and operation.done_at is not None:
                raise ConflictError(f"operation {operation_id} has ended and answers no further alert")
            await _cover(connection, operation_id, covers)
            await self._append(connection, operation, events, spans, messages, at)

    async def _append(
        self,
        connection: AsyncConnection,
        operation: Operation,
        events: Sequence[AuditEvent],
        spans: Sequence[SpanDraft],
        messages: Sequence[Message],
        at: datetime,
    ) -> None:
        await append(connection, operation.id, events)
        encoded: list[Message] = []
        if spans:
            known = set((await connection.execute(_SPANS, {"of": operation.id})).scalars())
            ended: list[dict[str, Any]] = []
            for draft in spans:
                span_id, body = self._spans.encode(operation, draft)
                if span_id in known:  # encoded once for ever: a second ending of the same span is not a span
                    continue
                known.add(span_id)
                ended.append({"operation_id": operation.id, "span_id": span_id, "position": len(known), "body": body})
                encoded.append(Message(channel="trace", key=f"{operation.trace_id}/{span_id}", body=body))
            if ended:
                await connection.execute(t.span.insert(), ended)
        await put(connection, (*encoded, *messages), at)


_COVER = (
    t.episode.update()
    .where(t.episode.c.id == sa.bindparam("which"), t.episode.c.covered_by.is_not_distinct_from(sa.bindparam("was", type_=t.episode.c.covered_by.type)))
    .values(covered_by=sa.bindparam("now"))
)


async def _cover(connection: AsyncConnection, operation_id: str, episodes: Sequence[Episode]) -> None:
    """Compare and swap: an episode is covered by this operation only if nothing else covered it since the caller looked."""
    for one in episodes:
        done = await connection.execute(_COVER, {"which": one.id, "was": one.covered_by, "now": operation_id})
        if not done.rowcount:
            raise ConflictError(f"episode {one.id} was taken up by another operation")


async def _reload(connection: AsyncConnection, operation_id: str) -> Operation:
    row = (await connection.execute(_ONE, {"which": operation_id})).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no operation {operation_id}")
    return _operation(row)


def new_id(kind: str) -> str:
    """A fresh identity such as `op_…`."""
    return f"{kind}_{uuid.uuid4().hex}"


def _values(operation: Operation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "kind": operation.kind.value,
        "target": str(operation.target),
        "incident_id": operation.incident_id,
        "requested_by_kind": operation.requested_by.kind,
        "requested_by_name": operation.requested_by.name,
        "automatic": operation.automatic,
        "mode": operation.mode.word,
        "phase": operation.phase,
        "seq": operation.seq,
        "rev": operation.rev,
        "data": dict(operation.data),
        "trace_id": operation.trace_id,
        "created_at": operation.created_at,
        "updated_at": operation.updated_at,
        "suspect_key": operation.suspect_key,
        "goal_key": operation.goal_key,
        "cancel_requested": operation.cancel_requested,
        "first_effect_at": operation.first_effect_at,
        "act_before": operation.act_before,
        "done_at": operation.done_at,
        "outcome": operation.outcome.value if operation.outcome else None,
        "says": operation.says,
        "wake_at": None,
    }


def _operation(row: Mapping[Any, Any]) -> Operation:
    return Operation(
        id=row["id"],
        kind=OperationKind(row["kind"]),
        target=TargetId.parse(row["target"]),
        incident_id=row["incident_id"],
        requested_by=Actor(kind=row["requested_by_kind"], name=row["requested_by_name"]),
        automatic=row["automatic"],
        mode=Mode.of(row["mode"]),
        phase=row["phase"],
        seq=row["seq"],
        rev=row["rev"],
        data=row["data"],
        trace_id=row["trace_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        suspect_key=row["suspect_key"],
        goal_key=row["goal_key"],
        cancel_requested=row["cancel_requested"],
        first_effect_at=row["first_effect_at"],
        act_before=row["act_before"],
        done_at=row["done_at"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        says=row["says"],
    )
