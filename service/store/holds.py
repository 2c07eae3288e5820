"""Holds, and the counts of Backout's own acts that limit it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.difference import Own
from service.domain.holding import HeldRelease
from service.domain.model import Hold, Operation, OperationKind, Outcome, Release, TargetId, Watch
from service.domain.ports import Around, AuditEvent, HoldChange, Message
from service.store import tables as t
from service.store.database import Database
from service.store.events import append
from service.store.outbox import put
from service.store.paging import Position, newest_first

_RELEASE = TypeAdapter(Release)
_OWN = TypeAdapter(Own)
_WATCH = TypeAdapter(Watch)


class HoldStore:
    """Implements `service.domain.ports.Holds`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_for(self, target: TargetId) -> Hold | None:
        """The target's open hold."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(_OPEN, {"about": str(target)})).mappings().first()
            return None if row is None else await _hold(connection, row)

    async def open_ids(self) -> Mapping[TargetId, str]:
        """The open hold of each target that has one."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(t.hold.c.target, t.hold.c.id).where(t.hold.c.closed_at.is_(None)))
            return {TargetId.parse(row.target): row.id for row in rows}

    async def load(self, hold_id: str) -> Hold | None:
        """One hold, open or ended."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(sa.select(t.hold).where(t.hold.c.id == hold_id))).mappings().first()
            return None if row is None else await _hold(connection, row)

    async def find(self, *, is_open: bool | None = True, target: str = "", behind: Position | None = None, limit: int = 100) -> Sequence[Hold]:
        """Holds, newest first, behind a position if one is given; `is_open` None = both."""
        query = newest_first(sa.select(t.hold), t.hold.c.opened_at, t.hold.c.id, behind, limit)
        if is_open is not None:
            query = query.where(t.hold.c.closed_at.is_(None) if is_open else t.hold.c.closed_at.is_not(None))
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
            if done.rowcount:
                await append(connection, hold_id, [AuditEvent(kind="hold_ended", says=f"hold ended by {by}: {because}", at=at, body={"by": by})])
            return bool(done.rowcount)

    async def open(self) -> Sequence[Hold]:
        """All open holds, oldest first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(_ALL_OPEN)).mappings().all()
            return tuple([await _hold(connection, row) for row in rows])

    async def releases(self, hold_id: str) -> Sequence[HeldRelease]:
        """What the hold keeps away, oldest first; only by its key where a version wrote it that kept no more."""
        async with self._database.read(few=True) as connection:
            rows = await connection.execute(_RELEASES, {"which": hold_id})
            return tuple(
                HeldRelease(
                    key=row.key,
                    since=row.since,
                    operation_id=row.operation_id or "",
                    release=None if row.release is None else _RELEASE.validate_python(row.release),
                    against=None if row.against is None else _RELEASE.validate_python(row.against),
                    bad=None if row.bad is None else _OWN.validate_python(row.bad),
                )
                for row in rows
            )

    async def tell_bad(self, hold_id: str, key: str, bad: Own) -> None:
        """Write down what only the held release has, once."""
        here = sa.and_(t.held_content.c.hold_id == hold_id, t.held_content.c.key == key, _json_null(t.held_content.c.bad))
        async with self._database.write(few=True) as connection:
            await connection.execute(t.held_content.update().where(here).values(bad=_OWN.dump_python(bad, mode="json")))

    async def see(self, hold: Hold, watch: Watch, events: Sequence[AuditEvent], messages: Sequence[Message], at: datetime) -> bool:
        """Write down what was seen, with its audit rows and messages; False if another replica was faster, or the hold has ended."""
        async with self._database.write(few=True) as connection:
            if not await _still_open(connection, hold) or not await _write_watch(connection, hold, {"watch": _WATCH.dump_python(watch, mode="json")}):
                return False
            await append(connection, hold.id, events)
            await put(connection, messages, at)
            return True

    async def renew(self, hold: Hold, review_at: datetime, events: Sequence[AuditEvent], messages: Sequence[Message], at: datetime) -> bool:
        """The next review of an open hold; it never ends by it. False if another replica was faster."""
        async with self._database.write() as connection:
            here = sa.and_(t.hold.c.id == hold.id, t.hold.c.closed_at.is_(None), t.hold.c.review_at == hold.review_at)
            done = await connection.execute(t.hold.update().where(here).values(review_at=review_at))
            if not done.rowcount or not await _write_watch(connection, hold, {"reviews": hold.reviews + 1}):
                return False
            await append(connection, hold.id, events)
            await put(connection, messages, at)
            return True

    async def rollbacks_at(self, since: datetime) -> Mapping[TargetId, Sequence[datetime]]:
        """When automatic rollbacks began to act since then, by target."""
        op = t.operation.c
        query = sa.select(op.target, op.first_effect_at).where(op.kind == OperationKind.ROLLBACK.value, op.automatic == sa.true(), op.first_effect_at >= since)
        found: dict[TargetId, list[datetime]] = {}
        async with self._database.read() as connection:
            for row in await connection.execute(query.order_by(op.first_effect_at)):
                found.setdefault(TargetId.parse(row.target), []).append(row.first_effect_at)
        return found

    async def around(self, target: TargetId, *, since: datetime, burning_since: datetime) -> Around:
        """What Backout did and has open around the target, in one read."""
        async with self._database.read(few=True) as connection:
            counts = (await connection.execute(_AROUND, {"about": str(target), "since": since, "burning_since": burning_since})).one()
            held = (await connection.execute(_HELD, {"about": str(target)})).scalars().all()
            made = (await connection.execute(_MADE, {"about": str(target)})).scalars().all()
        return Around(
            rollbacks=counts.rollbacks,
            failed_forwards=counts.forwards,
            held=tuple(held),
            made=tuple(made),
            alive=counts.alive or "",
            burning=counts.burning,
            targets=counts.targets,
        )


def _automatic(kind: OperationKind, *more: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """How many automatic operations of the kind began to act on the target since then."""
    op = t.operation.c
    here = (op.target == sa.bindparam("about"), op.kind == sa.literal(kind.value, literal_execute=True), op.automatic == sa.true())
    return sa.select(sa.func.count()).select_from(t.operation).where(*here, op.first_effect_at >= sa.bindparam("since"), *more).scalar_subquery()


_ALIVE = sa.select(t.operation.c.id).where(t.operation.c.target == sa.bindparam("about"), t.operation.c.done_at.is_(None))
_BURNING = sa.select(sa.func.count(sa.distinct(t.incident.c.target))).where(t.incident.c.opened_at >= sa.bindparam("burning_since"))
_AROUND = sa.select(
    _automatic(OperationKind.ROLLBACK).label("rollbacks"),
    _automatic(OperationKind.FORWARD, sa.func.coalesce(t.operation.c.outcome, "") != Outcome.RECOVERED.value).label("forwards"),
    _ALIVE.scalar_subquery().label("alive"),
    _BURNING.scalar_subquery().label("burning"),
    sa.select(sa.func.count()).select_from(t.target).scalar_subquery().label("targets"),
)
_HELD = (
    sa.select(t.held_release.c.key)
    .join(t.hold, t.hold.c.id == t.held_release.c.hold_id)
    .where(t.hold.c.target == sa.bindparam("about"), t.hold.c.closed_at.is_(None))
    .order_by(t.held_release.c.since, t.held_release.c.key)
)
_MADE = sa.select(t.effect.c.handle).where(t.effect.c.target == sa.bindparam("about")).order_by(t.effect.c.at, t.effect.c.handle)


_CONTENT_OF = sa.and_(t.held_content.c.hold_id == t.held_release.c.hold_id, t.held_content.c.key == t.held_release.c.key)
_RELEASES = (
    sa.select(t.held_release.c.key, t.held_release.c.since, *(t.held_content.c[name] for name in ("operation_id", "release", "against", "bad")))
    .select_from(t.held_release.outerjoin(t.held_content, _CONTENT_OF))
    .where(t.held_release.c.hold_id == sa.bindparam("which"))
    .order_by(t.held_release.c.since, t.held_release.c.key)
)
_OPEN_HERE = sa.select(t.hold.c.id, t.hold.c.operation_id, t.hold.c.remembered).where(t.hold.c.target == sa.bindparam("about"), t.hold.c.closed_at.is_(None))
_HELD_KEYS = sa.select(t.held_release.c.key).where(t.held_release.c.hold_id == sa.bindparam("which"))
_TOLD_KEYS = sa.select(t.held_content.c.key).where(t.held_content.c.hold_id == sa.bindparam("which"))


def _json_null(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """No value was written, or the JSON value null."""
    return sa.or_(column.is_(None), sa.cast(column, sa.Text) == "null")


async def _still_open(connection: AsyncConnection, hold: Hold) -> bool:
    return (await connection.execute(sa.select(t.hold.c.id).where(t.hold.c.id == hold.id, t.hold.c.closed_at.is_(None)))).first() is not None


async def _write_watch(connection: AsyncConnection, hold: Hold, values: Mapping[str, Any]) -> bool:
    """Compare and swap on `watch_rev`; the first write makes the row."""
    here = sa.and_(t.hold_watch.c.hold_id == hold.id, t.hold_watch.c.rev == hold.watch_rev)
    if (await connection.execute(t.hold_watch.update().where(here).values(rev=hold.watch_rev + 1, **values))).rowcount:
        return True
    if hold.watch_rev or (await connection.execute(sa.select(t.hold_watch.c.rev).where(t.hold_watch.c.hold_id == hold.id))).first() is not None:
        return False
    await connection.execute(t.hold_watch.insert().values(**{"hold_id": hold.id, "rev": 1, "reviews": 0, "watch": None} | dict(values)))
    return True


async def change(connection: AsyncConnection, operation: Operation, change: HoldChange, at: datetime) -> None:
    """What a transition does to a hold, inside its transaction."""
    if change.open is not None:
        wanted = change.open
        row = (await connection.execute(_OPEN_HERE, {"about": str(wanted.target)})).first()
        hold_id = row.id if row else wanted.id
        if row is None:  # the remembered setting belongs to the first held release: a second one would remember our own change
            await connection.execute(
                t.hold.insert().values(
                    id=hold_id,
                    target=str(wanted.target),
                    operation_id=operation.id,
                    opened_at=at,
                    reason=wanted.reason,
                    review_at=wanted.review_at,
                    owner=wanted.owner,
                    remembered=dict(wanted.remembered),
                    ended_by="",
                    ended_because="",
                )
            )
        else:
            more = [one for one in wanted.remembered.get("revisions", ()) if one not in row.remembered.get("revisions", ())]
            both = {**row.remembered, "revisions": [*row.remembered.get("revisions", ()), *more]}
            values: dict[str, Any] = {"remembered": both}
            if wanted.remembered.get("stopped"):  # auto-sync came on meanwhile, and this operation stopped it, or pinned what it deploys
                both |= {
                    "auto_sync": wanted.remembered.get("auto_sync"),
                    "stopped": True,
                    "pinned": bool(row.remembered.get("pinned") or wanted.remembered.get("pinned")),
                    "operations": [*row.remembered.get("operations", [row.operation_id] if row.remembered.get("stopped") else []), operation.id],
                }
                if not row.remembered.get("stopped"):
                    values["operation_id"] = operation.id
            await connection.execute(t.hold.update().where(t.hold.c.id == hold_id).values(**values))
        known = set((await connection.execute(_HELD_KEYS, {"which": hold_id})).scalars())
        for key in wanted.held:
            if key not in known:
                await connection.execute(t.held_release.insert().values(hold_id=hold_id, key=key, since=at))
        told = set((await connection.execute(_TOLD_KEYS, {"which": hold_id})).scalars())
        for one in change.releases:
            if one.key not in told:
                await connection.execute(t.held_content.insert().values(hold_id=hold_id, **_content(one)))
        await append(connection, hold_id, [_opened(wanted, at, new=row is None)])
    if change.end and change.only:
        await connection.execute(t.held_release.delete().where(t.held_release.c.hold_id == change.end, t.held_release.c.key == change.only))
        await connection.execute(t.held_content.delete().where(t.held_content.c.hold_id == change.end, t.held_content.c.key == change.only))
        says = f"{change.only} is no longer held: {change.because}"
        await append(connection, change.end, [AuditEvent(kind="hold_less", says=says, at=at, body={"key": change.only, "operation": operation.id})])
    elif change.end:
        await connection.execute(
            t.hold.update()
            .where(t.hold.c.id == change.end, t.hold.c.closed_at.is_(None))
            .values(closed_at=at, ended_by=change.ended_by, ended_because=change.because)
        )
        says = f"hold ended by {change.ended_by}: {change.because}"
        row_ = AuditEvent(kind="hold_ended", says=says, at=at, body={"hold": change.end, "by": change.ended_by, "operation": operation.id})
        opener = (await connection.execute(sa.select(t.hold.c.operation_id).where(t.hold.c.id == change.end))).scalar_one_or_none()
        for subject in dict.fromkeys([change.end, *([opener] if opener and opener != operation.id else [])]):
            await append(connection, subject, [row_])


def _content(one: HeldRelease) -> Mapping[str, Any]:
    return {
        "key": one.key,
        "operation_id": one.operation_id,
        "release": _RELEASE.dump_python(one.release, mode="json") if one.release else None,
        "against": _RELEASE.dump_python(one.against, mode="json") if one.against else None,
        "bad": _OWN.dump_python(one.bad, mode="json") if one.bad else None,
    }


def _opened(hold: Hold, at: datetime, *, new: bool) -> AuditEvent:
    says = f"hold opened by {hold.owner}: {hold.reason}" if new else f"held as well: {hold.reason}"
    return AuditEvent(kind="hold_opened" if new else "hold_more", says=says, at=at, body={"held": list(hold.held), "operation": hold.operation_id})


_OPEN = sa.select(t.hold).where(t.hold.c.target == sa.bindparam("about"), t.hold.c.closed_at.is_(None))
_ALL_OPEN = sa.select(t.hold).where(t.hold.c.closed_at.is_(None)).order_by(t.hold.c.opened_at, t.hold.c.id)
_HELD_BY = sa.select(t.held_release.c.key).where(t.held_release.c.hold_id == sa.bindparam("of")).order_by(t.held_release.c.since, t.held_release.c.key)
_WATCHED = sa.select(t.hold_watch).where(t.hold_watch.c.hold_id == sa.bindparam("of"))


async def _hold(connection: AsyncConnection, row: Mapping[Any, Any]) -> Hold:
    held = await connection.execute(_HELD_BY, {"of": row["id"]})
    seen = (await connection.execute(_WATCHED, {"of": row["id"]})).mappings().first()
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
        reviews=seen["reviews"] if seen else 0,
        watch=_WATCH.validate_python(seen["watch"]) if seen and seen["watch"] else None,
        watch_rev=seen["rev"] if seen else 0,
    )
