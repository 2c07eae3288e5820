"""Deliveries, episodes and incidents: what was accepted is kept, and every alert has a disposition."""

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.grouping import Burning
from service.domain.model import AlertNotice, Episode, Incident, RawDelivery, Related, TargetId
from service.domain.ports import Placement
from service.store import incidents
from service.store import tables as t
from service.store.database import Database
from service.store.paging import Position, newest_first
from service.store.together import Together

INTAKE_PATIENCE = 2.5
"""Seconds the intake waits for the store before it answers 503: the sender then tries again, and nothing is half kept."""

CHUNK = 500

TOGETHER = 64
"""Deliveries that share a commit at most."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""So far may a sender's clock be ahead of ours. A start later than that says nothing about which firing is the newer one."""

NOWHERE = frozenset({"out_of_scope", "no_target", "ambiguous", "ignored"})
"""Dispositions by which nothing follows from an episode, as told by its sender: another sender is heard for itself."""


@dataclass(slots=True)
class _Kept:
    """An episode as far as one delivery has to know it; moves with what the delivery tells."""

    id: str
    starts_at: datetime
    ends_at: datetime | None
    received_at: datetime
    sender: str
    disposition: str
    taken: bool

    @property
    def ahead(self) -> bool:
        """Whether it began, by its own word, after it was received."""
        return self.starts_at > self.received_at + CLOCKS_DIFFER


FEW = 8
"""Alerts of deliveries that are kept together whose rows are few."""


class AlertStore:
    """Implements `service.domain.ports.Alerts`."""

    def __init__(self, database: Database, *, patience: float = INTAKE_PATIENCE) -> None:
        self._patience = patience
        self._database = database
        self._together = Together(self._accept, most=TOGETHER)

    async def accept(self, delivery: RawDelivery) -> str:
        """Commit the raw body and all episodes; answers the delivery's id. Raises UnavailableError when nothing was kept."""
        try:
            return await self._together.one(delivery)
        except sa.exc.IntegrityError:  # two replicas took the same alert at once: the second look finds what the other one wrote
            return await self._together.one(delivery)

    async def _accept(self, deliveries: Sequence[RawDelivery]) -> Sequence[str]:
        """All of them in one transaction, as if one after the other, with one statement of a kind for all."""
        identities = [f"dlv_{uuid.uuid4().hex}" for _ in deliveries]
        async with self._database.write(patience=self._patience, few=sum(len(one.notices) for one in deliveries) <= FEW) as connection:
            await _keep_raw(connection, identities, deliveries)
            known = await _known(connection, {(one.source, notice.fingerprint) for one in deliveries for notice in one.notices})
            changes = _Changes()
            for identity, one in zip(identities, deliveries, strict=True):
                _hear(changes, known, one, identity)
            await changes.write(connection)
        return identities

    async def undecided(self, delivery_id: str) -> Sequence[Episode]:
        """The delivery's episodes without a disposition."""
        async with self._database.read(few=True) as connection:
            rows = await connection.execute(_UNDECIDED_OF, {"which": delivery_id})
            return tuple(_episode(row) for row in rows.mappings())

    async def deliveries_undecided(self, before: datetime) -> Sequence[str]:
        """Deliveries received before then that still hold an undecided episode, oldest first."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                sa.select(t.episode.c.delivery_id, sa.func.min(t.episode.c.received_at).label("first"))
                .where(t.episode.c.disposition == "", t.episode.c.received_at < before)
                .group_by(t.episode.c.delivery_id)
            )
            return tuple(row.delivery_id for row in sorted(rows, key=lambda r: (str(r.first), r.delivery_id)))

    async def place(self, placements: Sequence[Placement], at: datetime) -> Sequence[Incident]:
        """Record where these episodes belong; those with a target open or join its open incident. One that has a disposition already keeps it."""
        try:
            return await self._place(placements, at)
        except sa.exc.IntegrityError:  # two replicas opened the target's incident at once: the second look joins what the other one opened
            return await self._place(placements, at)

    async def _place(self, placements: Sequence[Placement], at: datetime) -> Sequence[Incident]:
        async with self._database.write(few=True) as connection:
            undecided = await _undecided(connection, [one.episode.id for one in placements])
            by_target: dict[TargetId, list[Placement]] = {}
            written: list[Mapping[str, Any]] = []
            for one in placements:
                if one.episode.id not in undecided:
                    continue
                if one.target is not None:
                    by_target.setdefault(one.target, []).append(one)
                else:
                    written.append(_placed(one, None))
            touched = []
            for target, joined in by_target.items():
                incident_id = await _incident_of(connection, target, joined, at)
                written += [_placed(one, incident_id) for one in joined]
                touched.append(incident_id)
            if written:
                await connection.execute(_PLACE, written)
            found = [await _incident(connection, one) for one in touched]
            return tuple(one for one in found if one is not None)

    async def incident(self, incident_id: str) -> Incident | None:
        """The incident with its episodes, oldest first."""
        async with self._database.read(few=True) as connection:
            found = await _incident(connection, incident_id)
            return None if found is None else (await _with_others(connection, (found,)))[0]

    async def firings(self, alerts: Collection[tuple[str, str]], since: datetime) -> Mapping[tuple[str, str], int]:
        """How many firings of these alerts, by (source, fingerprint), began since then."""
        found: dict[tuple[str, str], int] = {}
        async with self._database.read() as connection:
            for source in sorted({source for source, _ in alerts}):
                prints = sorted(fingerprint for one, fingerprint in alerts if one == source)
                for start in range(0, len(prints), CHUNK):
                    query = (
                        sa.select(t.episode.c.fingerprint, sa.func.count().label("firings"))
                        .where(t.episode.c.source == source, t.episode.c.fingerprint.in_(prints[start : start + CHUNK]), t.episode.c.starts_at >= since)
                        .group_by(t.episode.c.fingerprint)
                    )
                    found |= {(source, row.fingerprint): row.firings for row in await connection.execute(query)}
        return found

    async def burning(self) -> Sequence[Burning]:
        """The open incidents whose suspect is known, oldest first."""
        async with self._database.read() as connection:
            return await incidents.burning(connection)

    async def open_incidents(self) -> Sequence[Incident]:
        """All open incidents, oldest first."""
        async with self._database.read() as connection:
            query = sa.select(t.incident.c.id).where(t.incident.c.closed_at.is_(None)).order_by(t.incident.c.opened_at, t.incident.c.id)
            ids = (await connection.execute(query)).scalars().all()
            found = [await _incident(connection, one) for one in ids]
            return tuple(i for i in found if i is not None)

    async def open_ids(self) -> Mapping[TargetId, str]:
        """The open incident of each target that has one."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(t.incident.c.target, t.incident.c.id).where(t.incident.c.closed_at.is_(None)))
            return {TargetId.parse(row.target): row.id for row in rows}

    async def episodes(
        self, *, target: str = "", firing: bool | None = None, disposition: str = "", behind: Position | None = None, limit: int = 50
    ) -> Sequence[Episode]:
        """Episodes by their start, newest first, behind a position if one is given."""
        query = newest_first(sa.select(t.episode), t.episode.c.starts_at, t.episode.c.id, behind, limit)
        if target:
            query = query.where(t.episode.c.target == target)
        if firing is not None:
            query = query.where(t.episode.c.ends_at.is_(None) if firing else t.episode.c.ends_at.is_not(None))
        if disposition:
            query = query.where(t.episode.c.disposition == disposition)
        async with self._database.read() as connection:
            return tuple(_episode(row) for row in (await connection.execute(query)).mappings())

    async def incidents(self, *, target: str = "", is_open: bool | None = None, behind: Position | None = None, limit: int = 50) -> Sequence[Incident]:
        """The newest incidents that fit, behind a position if one is given."""
        async with self._database.read() as connection:
            query = newest_first(sa.select(t.incident.c.id), t.incident.c.opened_at, t.incident.c.id, behind, limit)
            if is_open is not None:
                query = query.where(t.incident.c.closed_at.is_(None) if is_open else t.incident.c.closed_at.is_not(None))
            ids = (await connection.execute(query.where(t.incident.c.target == target) if target else query)).scalars().all()
            found = [await _incident(connection, one) for one in ids]
            return await _with_others(connection, [i for i in found if i is not None])

    async def close_incident(self, incident_id: str, *, outcome: str, at: datetime, quiet_only: bool = False) -> None:
        """Close it, with `quiet_only` unless one of its alerts fires by now; closing a closed one changes nothing."""
        async with self._database.write() as connection:
            await incidents.close(connection, incident_id, outcome=outcome, at=at, unless=incidents.FIRING if quiet_only else None)

    async def last_delivery(self) -> tuple[datetime, int] | None:
        """When the newest delivery came, and how many alerts it held."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(sa.select(t.delivery.c.received_at, t.delivery.c.alerts).order_by(t.delivery.c.received_at.desc()).limit(1))
            ).first()
            return None if row is None else (row.received_at, row.alerts)


_EPISODES = sa.select(t.episode).order_by(t.episode.c.starts_at, t.episode.c.id)
_UNDECIDED_OF = _EPISODES.where(t.episode.c.delivery_id == sa.bindparam("which"), t.episode.c.disposition == "")
_OF_INCIDENT = _EPISODES.where(t.episode.c.incident_id == sa.bindparam("which"))
_INCIDENT = sa.select(t.incident).where(t.incident.c.id == sa.bindparam("which"))
_OPEN_FOR = sa.select(t.incident).where(t.incident.c.target == sa.bindparam("about"), t.incident.c.closed_at.is_(None))
_THERE = sa.select(t.blob.c.digest).where(t.blob.c.digest.in_(sa.bindparam("some", expanding=True)))
_KNOWN = (
    sa.select(
        *(t.episode.c[name] for name in ("id", "source", "fingerprint", "starts_at", "ends_at", "received_at", "sender", "disposition", "covered_by")),
        (t.operation.c.done_at.is_(None) & t.operation.c.id.is_not(None)).label("taken"),
    )
    .outerjoin(t.operation, t.operation.c.id == t.episode.c.covered_by)
    .where(t.episode.c.source == sa.bindparam("from"), t.episode.c.fingerprint.in_(sa.bindparam("some", expanding=True)))
)
_IN_GROUPS = (
    sa.select(*(t.incident.c[name] for name in ("id", "target", "group_id", "closed_at")))
    .where(t.incident.c.group_id.in_(sa.bindparam("some", expanding=True)))
    .order_by(t.incident.c.opened_at, t.incident.c.id)
)
_UNDECIDED = (
    sa.select(t.episode.c.id)
    .where(t.episode.c.id.in_(sa.bindparam("some", expanding=True)), t.episode.c.disposition == "")
    .order_by(t.episode.c.id)
    .with_for_update()
)
"""Built once, as what is asked for each alert."""


async def _keep_raw(connection: AsyncConnection, identities: Sequence[str], deliveries: Sequence[RawDelivery]) -> None:
    """The raw bodies, each once, and the rows of the deliveries."""
    digests = ["sha256:" + hashlib.sha256(one.body).hexdigest() for one in deliveries]
    there = set((await connection.execute(_THERE, {"some": sorted(set(digests))})).scalars())
    bodies = {digest: one.body for digest, one in zip(digests, deliveries, strict=True) if digest not in there}
    if bodies:
        await connection.execute(t.blob.insert(), [{"digest": digest, "body": body} for digest, body in bodies.items()])
    rows = [
        {
            "id": identity,
            "source": one.source,
            "sender": one.sender,
            "received_at": one.received_at,
            "body_digest": digest,
            "group_key": one.group_key,
            "alerts": len(one.notices),
            "truncated": one.truncated,
        }
        for identity, digest, one in zip(identities, digests, deliveries, strict=True)
    ]
    await connection.execute(t.delivery.insert(), rows)


async def _known(connection: AsyncConnection, alerts: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[_Kept]]:
    """The episodes of these alerts, by (source, fingerprint)."""
    known: dict[tuple[str, str], list[_Kept]] = {}
    for source in sorted({source for source, _ in alerts}):
        prints = sorted(fingerprint for one, fingerprint in alerts if one == source)
        for start in range(0, len(prints), CHUNK):
            for row in await connection.execute(_KNOWN, {"from": source, "some": prints[start : start + CHUNK]}):
                kept = _Kept(row.id, row.starts_at, row.ends_at, row.received_at, row.sender, row.disposition, taken=bool(row.taken))
                known.setdefault((source, row.fingerprint), []).append(kept)
    return known


def _hear(changes: "_Changes", known: dict[tuple[str, str], list[_Kept]], delivery: RawDelivery, delivery_id: str) -> None:
    """What one delivery says about its alerts, on top of what is known."""
    firing = {(n.fingerprint, n.starts_at) for n in delivery.notices if n.firing}  # told both ways in one body, it is not known to be over
    told = [n for n in delivery.notices if n.firing or (n.fingerprint, n.starts_at) not in firing]
    for notice in {(n.fingerprint, n.starts_at, n.firing): n for n in told}.values():
        mine = known.setdefault((delivery.source, notice.fingerprint), [])
        seen = next((one for one in mine if one.starts_at == notice.starts_at), None)
        if notice.firing:
            ahead = notice.starts_at > delivery.received_at + CLOCKS_DIFFER
            for older in mine:
                if older.ends_at is None and older.starts_at < notice.starts_at and not ahead:  # a newer firing ends the older episode of that fingerprint
                    changes.end(older, notice.starts_at)
            newer = min((one.starts_at for one in mine if one.starts_at > notice.starts_at and not one.ahead), default=None)
            if seen is None:  # told late, after a newer firing of the same alert: over since then, and nothing to act on
                mine.append(_new(changes, delivery, delivery_id, notice, ended=newer, says="a newer firing of it was known already"))
            else:
                _again(changes, delivery, delivery_id, notice, seen, superseded=newer is not None)
            continue
        ended = notice.ends_at or delivery.received_at
        open_ones = [one for one in mine if one.ends_at is None]
        matched = [seen] if seen is not None else [one for one in open_ones if one.starts_at <= notice.starts_at]
        matched += [one for one in open_ones if one.ahead and one not in matched]  # a start that never came to pass has no end of its own
        for one in matched:
            changes.end(one, ended)
        if not matched:  # its firing was never announced: kept, and never acted on
            mine.append(_new(changes, delivery, delivery_id, notice, ended=ended, says="it was over before Backout heard of it"))


class _Changes:
    """What deliveries change in episodes, written at the end: new ones with one statement, each changed one with one of its own."""

    def __init__(self) -> None:
        self._new: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, int] = {}

    def add(self, identity: str, values: Mapping[str, Any]) -> None:
        """A new episode."""
        self._new[identity] = dict(values)

    def seen_again(self, identity: str, at: datetime, values: Mapping[str, Any]) -> None:
        """Told once more at that time; `values` are what else becomes of it."""
        self._of(identity).update({"last_seen_at": at, **values})
        if identity in self._new:
            self._new[identity]["times_seen"] += 1
        else:
            self._seen[identity] = self._seen.get(identity, 0) + 1

    def end(self, one: _Kept, at: datetime) -> None:
        """It is over since then, if it was not before."""
        if one.ends_at is None:
            one.ends_at = at
            self._of(one.id).update({"ends_at": at, "last_seen_at": at})

    def _of(self, identity: str) -> dict[str, Any]:
        return self._new[identity] if identity in self._new else self._changed.setdefault(identity, {})

    async def write(self, connection: AsyncConnection) -> None:
        """All of it, in the caller's transaction."""
        new = list(self._new.values())
        for start in range(0, len(new), CHUNK):
            await connection.execute(t.episode.insert(), new[start : start + CHUNK])
        for identity, values in self._changed.items():
            more = {"times_seen": t.episode.c.times_seen + self._seen[identity]} if identity in self._seen else {}
            await connection.execute(t.episode.update().where(t.episode.c.id == identity).values(**values, **more))


def _again(changes: _Changes, delivery: RawDelivery, delivery_id: str, notice: AlertNotice, seen: _Kept, *, superseded: bool) -> None:
    """It fires still: a repeat; or it fires again after its end, or another sender tells what led nowhere as the first one told it.

    In the latter two it is decided again under who tells it now, with this sender's words: nobody lends its rights to another's labels (promise 11).
    While an operation that took it up is alive, it only goes on.
    """
    values: dict[str, Any] = {}
    refired = seen.ends_at is not None and delivery.received_at > seen.ends_at and not superseded
    heard_anew = seen.disposition in NOWHERE and seen.sender != delivery.sender and (seen.ends_at is None or refired)
    if refired:
        values["ends_at"] = seen.ends_at = None
    if (refired or heard_anew) and not seen.taken:
        seen.sender, seen.disposition, seen.received_at = delivery.sender, "", delivery.received_at
        values |= {
            "sender": delivery.sender,
            "labels": dict(notice.labels),
            "annotations": dict(notice.annotations),
            "generator_url": notice.generator_url,
            "received_at": delivery.received_at,
            "link": delivery.link,
            "delivery_id": delivery_id,
            "disposition": "",
            "disposition_says": "",
            "covered_by": None,
        }
    changes.seen_again(seen.id, delivery.received_at, values)


def _new(changes: _Changes, delivery: RawDelivery, delivery_id: str, notice: AlertNotice, *, ended: datetime | None, says: str) -> _Kept:
    """A new episode; with `ended` it is over already and has its disposition, for the reason in `says`."""
    disposition = "resolved" if ended else ""
    kept = _Kept(f"epi_{uuid.uuid4().hex}", notice.starts_at, ended, delivery.received_at, delivery.sender, disposition, taken=False)
    values = {
        "id": kept.id,
        "source": delivery.source,
        "sender": delivery.sender,
        "fingerprint": notice.fingerprint,
        "starts_at": notice.starts_at,
        "ends_at": ended,
        "labels": dict(notice.labels),
        "annotations": dict(notice.annotations),
        "generator_url": notice.generator_url,
        "received_at": delivery.received_at,
        "last_seen_at": delivery.received_at,
        "times_seen": 1,
        "link": delivery.link,
        "delivery_id": delivery_id,
        "disposition": disposition,
        "disposition_says": says if ended else "",
        "rung": "",
    }
    changes.add(kept.id, values)
    return kept


_PLACE = (
    t.episode.update()
    .where(t.episode.c.id == sa.bindparam("which"))
    .values({name: sa.bindparam(f"new_{name}") for name in ("disposition", "disposition_says", "target", "rung", "incident_id")})
)


async def _undecided(connection: AsyncConnection, identities: Sequence[str]) -> frozenset[str]:
    """Those that have no disposition yet, locked until the end of the transaction: another replica may be placing them too."""
    found: set[str] = set()
    for start in range(0, len(identities), CHUNK):
        found |= set((await connection.execute(_UNDECIDED, {"some": list(identities[start : start + CHUNK])})).scalars())
    return frozenset(found)


def _placed(one: Placement, incident_id: str | None) -> Mapping[str, Any]:
    return {
        "which": one.episode.id,
        "new_disposition": one.disposition,
        "new_disposition_says": one.says,
        "new_target": None if one.target is None else str(one.target),
        "new_rung": one.rung,
        "new_incident_id": incident_id,
    }


async def _incident_of(connection: AsyncConnection, target: TargetId, joined: Sequence[Placement], at: datetime) -> str:
    """The target's open incident, opened if there is none, with these episodes told in its story."""
    began = min(one.episode.starts_at for one in joined)
    open_one = (await connection.execute(_OPEN_FOR, {"about": str(target)})).mappings().first()
    if open_one is None:
        incident_id = f"inc_{uuid.uuid4().hex}"
        row = {"id": incident_id, "target": str(target), "opened_at": at, "began_at": began, "outcome": "", "group_id": incident_id}
        await connection.execute(t.incident.insert().values(row))
    else:
        incident_id = str(open_one["id"])
        if began < open_one["began_at"]:
            await connection.execute(t.incident.update().where(t.incident.c.id == incident_id).values(began_at=began))
    await incidents.episodes_joined(connection, incident_id, joined, opens_for=target if open_one is None else None, at=at)
    return incident_id


async def _incident(connection: AsyncConnection, incident_id: str) -> Incident | None:
    row = (await connection.execute(_INCIDENT, {"which": incident_id})).mappings().first()
    if row is None:
        return None
    rows = await connection.execute(_OF_INCIDENT, {"which": incident_id})
    return Incident(
        id=row["id"],
        target=TargetId.parse(row["target"]),
        opened_at=row["opened_at"],
        began_at=row["began_at"],
        closed_at=row["closed_at"],
        outcome=row["outcome"],
        group_id=row["group_id"],
        episodes=tuple(_episode(one) for one in rows.mappings()),
        suspect=None if row["suspect"] is None else incidents.RELEASE.validate_python(row["suspect"]),
    )


async def _with_others(connection: AsyncConnection, found: Sequence[Incident]) -> tuple[Incident, ...]:
    """The same, each with the other incidents of its group."""
    groups: dict[str, list[Related]] = {}
    for row in await connection.execute(_IN_GROUPS, {"some": sorted({one.group_id for one in found})}) if found else ():
        groups.setdefault(row.group_id, []).append(Related(id=row.id, target=TargetId.parse(row.target), is_open=row.closed_at is None))
    return tuple(replace(one, same_cause=tuple(other for other in groups.get(one.group_id, ()) if other.id != one.id)) for one in found)


def _episode(row: Mapping[Any, Any]) -> Episode:
    return Episode(
        id=row["id"],
        source=row["source"],
        sender=row["sender"],
        fingerprint=row["fingerprint"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        labels=row["labels"],
        annotations=row["annotations"],
        generator_url=row["generator_url"],
        received_at=row["received_at"],
        last_seen_at=row["last_seen_at"],
        times_seen=row["times_seen"],
        link=row["link"],
        disposition=row["disposition"],
        disposition_says=row["disposition_says"],
        target=None if row["target"] is None else TargetId.parse(row["target"]),
        rung=row["rung"],
        incident_id=row["incident_id"],
        covered_by=row["covered_by"],
    )
