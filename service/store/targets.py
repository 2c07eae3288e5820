"""What Backout knows of targets from watching them: the list, the index of objects, spec digests over time, and releases as they lived."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.difference import Content
from service.domain.keys import TargetState
from service.domain.model import Image, ObjectRef, ReleaseRecord, Source, TargetId
from service.domain.ports import ListedTarget, Listing, Mark
from service.domain.suspicion import Trouble
from service.store import contents
from service.store import tables as t
from service.store.database import Database
from service.store.events import TOGETHER

_LISTED = TypeAdapter(ListedTarget)
_IMAGES = TypeAdapter(tuple[Image, ...])
_SOURCES = TypeAdapter(tuple[Source, ...])
_OBJECTS = TypeAdapter(tuple[tuple[ObjectRef, str], ...])
TROUBLES = 100
AT_ONCE = 500
"""Targets of one query or transaction where all of them are gone through."""


CLOCKS_DIFFER = timedelta(minutes=1)
"""A list that was stored with a time so far ahead of ours is a later one; one that is further ahead is the word of a clock that was set back since."""


class TargetStore:
    """Implements `service.domain.ports.Targets`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self) -> Sequence[TargetId]:
        """Every target ever listed and not gone, by id."""
        async with self._database.read() as connection:
            return tuple(TargetId.parse(name) for (name,) in (await connection.execute(_KNOWN)).all())

    async def among(self, ids: Collection[str]) -> Sequence[TargetId]:
        """Those of these ids that are known targets, by id."""
        found, asked = list[str](), sorted(ids)
        for start in range(0, len(asked), TOGETHER):
            async with self._database.read() as connection:
                found += (await connection.execute(sa.select(t.target.c.id).where(t.target.c.id.in_(asked[start : start + TOGETHER])))).scalars()
        return tuple(TargetId.parse(one) for one in sorted(found))

    async def count(self) -> int:
        """How many targets there are."""
        async with self._database.read(few=True) as connection:
            return int((await connection.execute(_COUNT)).scalar_one())

    async def listed(self, target: TargetId) -> ListedTarget | None:
        """The target as it was last listed."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(_LISTED_AS, {"about": str(target)})).first()
            return None if row is None else _LISTED.validate_python(row.listed)

    async def listing(self, *, behind: str = "", limit: int | None = None) -> Sequence[tuple[ListedTarget, datetime]]:
        """Targets with the time of the list they stood in, by id, behind that id."""
        query = sa.select(t.target.c.listed, t.target.c.seen_at).where(t.target.c.id > behind).order_by(t.target.c.id).limit(limit)
        async with self._database.read() as connection:
            return tuple((_LISTED.validate_python(row.listed), row.seen_at) for row in await connection.execute(query))

    async def seen(self, target: TargetId) -> tuple[ListedTarget, datetime] | None:
        """The target as it was last listed, with the time of that list."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(sa.select(t.target.c.listed, t.target.c.seen_at).where(t.target.c.id == str(target)))).first()
            return None if row is None else (_LISTED.validate_python(row.listed), row.seen_at)

    async def index(self, objects: Sequence[ObjectRef]) -> Mapping[ObjectRef, tuple[TargetId, ...]]:
        """Which targets hold each of these objects; objects of none are left out."""
        found: dict[ObjectRef, tuple[TargetId, ...]] = {}
        async with self._database.read() as connection:
            for one in objects:
                rows = await connection.execute(
                    sa.select(t.target_object.c.target)
                    .where(t.target_object.c.kind == _kind(one), t.target_object.c.namespace == one.namespace, t.target_object.c.name == one.name)
                    .order_by(t.target_object.c.target)
                )
                holders = tuple(TargetId.parse(row.target) for row in rows)
                if holders:
                    found[one] = holders
        return found

    async def remember(self, listing: Listing, instance: str, at: datetime) -> Sequence[ListedTarget]:
        """Store the list; answers those whose stamp changed since they were last looked at. A complete list forgets what it no longer holds."""
        changed: list[ListedTarget] = []
        async with self._database.write() as connection:
            columns = (t.target.c.id, t.target.c.stamp, t.target.c.looked_stamp, t.target.c.seen_at)
            rows = (await connection.execute(sa.select(*columns).where(t.target.c.instance == instance))).all()
            before = {row[0]: row for row in rows}
            later = {row.id for row in before.values() if at < row.seen_at <= at + CLOCKS_DIFFER}
            fresh, other, same = list[ListedTarget](), list[ListedTarget](), list[str]()
            for one in {one.target: one for one in listing.targets}.values():
                name, known = str(one.target), before.pop(str(one.target), None)
                if name in later:  # another process wrote a list that it began to read after this one
                    continue
                if known is None:
                    fresh.append(one)
                elif known.stamp != one.stamp:
                    other.append(one)
                else:
                    same.append(name)
                if known is None or known.looked_stamp != one.stamp:
                    changed.append(one)
            # Each kind in one statement: ten thousand of them, one by one, would keep every other writer waiting for seconds.
            if fresh:
                await connection.execute(
                    t.target.insert(), [{"id": str(one.target), "instance": instance, "looked_stamp": "", **_row(one, at)} for one in fresh]
                )
            if other:
                await connection.execute(_LISTED_ANEW, [{"which": str(one.target), **_row(one, at)} for one in other])
            others = [*before, *later, *(str(one.target) for one in (*fresh, *other))]
            if same and len(others) <= TOGETHER:  # nearly always: nothing changed
                here = sa.and_(t.target.c.instance == instance, t.target.c.id.not_in(others))
                await connection.execute(t.target.update().where(here).values(seen_at=at))
            elif same:
                await connection.execute(_SEEN_AGAIN, [{"which": name, "seen_at": at} for name in same])
            await _index(connection, {str(one.target): one.objects for one in (*fresh, *other)}, known={str(one.target) for one in other})
            if listing.complete and (gone := [{"which": name} for name in before.keys() - later]):
                of_it = (t.target.c.id, t.target_object.c.target, t.target_mark.c.target, t.release_content.c.target)
                for column in of_it:
                    await connection.execute(sa.delete(column.table).where(column == sa.bindparam("which")), gone)
        return changed

    async def looked(self, target: TargetId, stamp: str) -> None:
        """Note that the target was read closely at that stamp."""
        async with self._database.write(few=True) as connection:
            await connection.execute(t.target.update().where(t.target.c.id == str(target)).values(looked_stamp=stamp))

    async def remember_state(
        self, state: TargetState, records: Sequence[ReleaseRecord], at: datetime, *, seen: Mapping[str, ReleaseRecord] | None = None
    ) -> bool:
        """Store what one close look showed: the spec digest and the records of releases as they now stand.

        False, and nothing is stored, if the records are no longer those `seen` before the look: another process looked meanwhile, and saw later.

        A look that was not final, or found another release live, makes the stamp of the look before it void: when things go back to what that stamp means
        (a deploy is undone), the list shows it again, and what this look stored would stand for ever.
        """
        name = str(state.target)
        async with self._database.write(few=True) as connection:
            if seen is not None and await _records(connection, state.target) != seen:
                return False
            last = (
                await connection.execute(
                    sa.select(t.spec_seen).where(t.spec_seen.c.target == name).order_by(t.spec_seen.c.until.desc(), t.spec_seen.c.since.desc()).limit(1)
                )
            ).first()
            if last is not None and last.digest == state.spec_digest:
                await connection.execute(t.spec_seen.update().where(t.spec_seen.c.target == name, t.spec_seen.c.since == last.since).values(until=at))
            else:
                await connection.execute(t.spec_seen.insert().values(target=name, since=at, until=at, digest=state.spec_digest))
            await _mark(connection, state, at)
            for record in records:
                await _keep_record(connection, record)
            if not state.settled or (seen is not None and _other_lives(records, seen)):
                await connection.execute(_LOOKED_AT_NOTHING, {"which": name})
        return True

    async def marked(self) -> Sequence[Mark]:
        """The hold markers that were last seen on targets, by target."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(t.target_mark).order_by(t.target_mark.c.target))
            return tuple(Mark(target=TargetId.parse(row.target), marker=row.marker, unmark=row.unmark, since=row.since) for row in rows)

    async def remember_state_record(self, record: ReleaseRecord, *, seen: ReleaseRecord | None = None) -> bool:
        """Store one record that lived on; False if it is no longer the one that was `seen`."""
        async with self._database.write(few=True) as connection:
            if seen is not None and (await _records(connection, record.target)).get(record.key) != seen:
                return False
            await _keep_record(connection, record)
        return True

    async def records(self, target: TargetId) -> Mapping[str, ReleaseRecord]:
        """Release key -> what Backout saw of it."""
        async with self._database.read(few=True) as connection:
            return await _records(connection, target)

    async def live(self, targets: Sequence[TargetId]) -> Mapping[TargetId, ReleaseRecord]:
        """What was last seen live of each of these targets; those of which nothing was seen yet are left out."""
        return {record.target: record for record in await self.live_records(targets)}

    async def live_records(self, targets: Sequence[TargetId]) -> Sequence[ReleaseRecord]:
        """Every record of these targets that is not over, with a query for some hundred of them."""
        found: list[ReleaseRecord] = []
        names = [str(one) for one in targets]
        for start in range(0, len(names), TOGETHER):
            query = sa.select(t.release).where(t.release.c.target.in_(names[start : start + TOGETHER]), t.release.c.live_until.is_(None))
            async with self._database.read() as connection:
                found += [_record(row) for row in (await connection.execute(query.order_by(t.release.c.watched_from))).mappings()]
        return found

    async def lives(self, targets: Sequence[TargetId]) -> Sequence[ReleaseRecord]:
        """As `live_records`, without what the releases are made of: what is asked of every target, time and again, and lives on in most."""
        found: list[ReleaseRecord] = []
        names = [str(one) for one in targets]
        for start in range(0, len(names), AT_ONCE):
            async with self._database.read() as connection:
                rows = (await connection.execute(_LIVES, {"names": names[start : start + AT_ONCE]})).all()
            found += [_life(row) for row in rows]
        return found

    async def lived_on(self, records: Sequence[tuple[ReleaseRecord, ReleaseRecord]]) -> None:
        """Compare and swap on when it was last watched; some hundred in a transaction, so that nobody waits for thousands."""
        for start in range(0, len(records), AT_ONCE):
            rows = [
                {
                    "of": str(now.target),
                    "which": now.key,
                    "before": seen.watched_until,
                    "until": now.watched_until,
                    "healthy": now.healthy_for.total_seconds(),
                    "health": now.last_health,
                    "sure": now.vouched,
                }
                for seen, now in records[start : start + AT_ONCE]
            ]
            async with self._database.write() as connection:
                await connection.execute(_LIVED_ON, rows)

    async def keep_content(self, target: TargetId, key: str, content: Content, *, replaces: Collection[str], at: datetime) -> None:
        """Keep what the live release is made of; what it `replaces` is kept no longer."""
        async with self._database.write() as connection:
            await contents.keep(connection, target, key, content, replaces=replaces, at=at)

    async def content(self, target: TargetId, key: str) -> Content | None:
        """What is kept of a release, if anything is."""
        async with self._database.read() as connection:
            return await contents.find(connection, target, key)

    async def spec_before(self, target: TargetId, at: datetime) -> tuple[str, datetime] | None:
        """The spec digest that was last seen before `at`, and when it was last seen so."""
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(_SPEC_BEFORE, {"about": str(target), "at": at})).first()
            return None if row is None else (row.digest, min(row.until, at))

    async def troubles(self, target: TargetId) -> Sequence[Trouble]:
        """When alerts fired on the target, by their senders' word, newest first; the newest hundred tell enough of releases that are still remembered."""
        async with self._database.read(few=True) as connection:
            rows = await connection.execute(_TROUBLES, {"about": str(target)})
            return tuple(Trouble(since=row.starts_at, until=row.ends_at) for row in rows)

    async def handles_made_by_backout(self, target: TargetId) -> Sequence[str]:
        """Handles of releases that Backout itself put live."""
        async with self._database.read(few=True) as connection:
            return tuple((await connection.execute(_MADE, {"about": str(target)})).scalars())

    async def note_made(self, target: TargetId, operation_id: str, handle: str, at: datetime) -> None:
        """Note that the operation put the release `handle` live."""
        async with self._database.write(few=True) as connection:
            known = await connection.execute(
                sa.select(t.effect.c.handle).where(t.effect.c.operation_id == operation_id, t.effect.c.target == str(target), t.effect.c.handle == handle)
            )
            if known.first() is None:
                await connection.execute(t.effect.insert().values(operation_id=operation_id, target=str(target), handle=handle, at=at))

    async def shared(self, target: TargetId) -> tuple[Mapping[ObjectRef, tuple[TargetId, ...]], int]:
        """Objects of the target that others hold too, and how many targets the index compares."""
        async with self._database.read(few=True) as connection:
            rows = await connection.execute(_SHARED, {"about": str(target)})
            found: dict[ObjectRef, tuple[TargetId, ...]] = {}
            for row in rows:
                group, _, kind = row.kind.rpartition("/")
                ref = ObjectRef(group=group, kind=kind, namespace=row.namespace, name=row.name)
                found[ref] = (*found.get(ref, ()), TargetId.parse(row.target))
            count = (await connection.execute(_COUNT)).scalar_one()
        return found, count


async def _mark(connection: AsyncConnection, state: TargetState, at: datetime) -> None:
    """The marker that is on the target now, and since when it is seen there."""
    here = t.target_mark.c.target == str(state.target)
    known = (await connection.execute(sa.select(t.target_mark.c.marker).where(here))).scalar_one_or_none()
    if known is not None and known != state.marker:
        await connection.execute(t.target_mark.delete().where(here))
    if state.marker and known != state.marker:
        await connection.execute(t.target_mark.insert().values(target=str(state.target), marker=state.marker, unmark=state.unmark, since=at))


async def _index(connection: AsyncConnection, objects: Mapping[str, Sequence[ObjectRef]], *, known: Collection[str]) -> None:
    """Target -> its objects, in place of what the index holds of those targets that were `known`."""
    if known:
        await connection.execute(t.target_object.delete().where(t.target_object.c.target == sa.bindparam("which")), [{"which": one} for one in sorted(known)])
    rows = [
        {"target": target, "kind": kind, "namespace": namespace, "name": name}
        for target, held in objects.items()
        for kind, namespace, name in sorted({(_kind(one), one.namespace, one.name) for one in held})
    ]
    if rows:
        await connection.execute(t.target_object.insert(), rows)


def _row(one: ListedTarget, at: datetime) -> dict[str, Any]:
    return {"listed": _LISTED.dump_python(one, mode="json"), "stamp": one.stamp, "seen_at": at}


_LISTED_AS = sa.select(t.target.c.listed).where(t.target.c.id == sa.bindparam("about"))
_RELEASES = sa.select(t.release).where(t.release.c.target == sa.bindparam("about"))


async def _records(connection: AsyncConnection, target: TargetId) -> dict[str, ReleaseRecord]:
    rows = await connection.execute(_RELEASES, {"about": str(target)})
    return {row["key"]: _record(row) for row in rows.mappings()}


async def _keep_record(connection: AsyncConnection, record: ReleaseRecord) -> None:
    name, values = str(record.target), _record_values(record)
    updated = await connection.execute(t.release.update().where(t.release.c.target == name, t.release.c.key == record.key).values(**values))
    if not updated.rowcount:
        await connection.execute(t.release.insert().values(target=name, key=record.key, **values))


def _other_lives(records: Sequence[ReleaseRecord], seen: Mapping[str, ReleaseRecord]) -> bool:
    """Whether a release went live, or ended, that was not known to."""
    return any(record.key not in seen or (record.live_until is None) != (seen[record.key].live_until is None) for record in records)


def _life(row: Sequence[Any]) -> ReleaseRecord:
    """From a row of `_LIVES`. It is taken apart at once: to ask each of ten thousand for its columns by name costs as much as to read them."""
    target, key, handle, version, watched_from, watched_until, healthy_seconds, last_health, made_by_backout, vouched = row
    return ReleaseRecord(
        target=TargetId.parse(target),
        key=key,
        handle=handle,
        version=version,
        images=None,
        watched_from=watched_from,
        watched_until=watched_until,
        healthy_for=timedelta(seconds=healthy_seconds),
        last_health=last_health,
        made_by_backout=made_by_backout,
        vouched=vouched,
    )


_LIVES = (
    sa.select(
        *(t.release.c[name] for name in ("target", "key", "handle", "version", "watched_from", "watched_until", "healthy_seconds")),
        *(t.release.c[name] for name in ("last_health", "made_by_backout", "vouched")),
    )
    .where(t.release.c.target.in_(sa.bindparam("names", expanding=True)), t.release.c.live_until.is_(None))
    .order_by(t.release.c.watched_from)
)
"""In the order in which `_life` takes it apart."""

_KNOWN = sa.select(t.target.c.id).order_by(t.target.c.id)
_COUNT = sa.select(sa.func.count()).select_from(t.target)
_SPEC_BEFORE = (
    sa.select(t.spec_seen)
    .where(t.spec_seen.c.target == sa.bindparam("about"), t.spec_seen.c.since <= sa.bindparam("at"))
    .order_by(t.spec_seen.c.since.desc())
    .limit(1)
)
_TROUBLES = (
    sa.select(t.episode.c.starts_at, t.episode.c.ends_at)
    .where(t.episode.c.target == sa.bindparam("about"))
    .order_by(t.episode.c.starts_at.desc())
    .limit(TROUBLES)
)
_MADE = sa.select(t.effect.c.handle).where(t.effect.c.target == sa.bindparam("about")).order_by(t.effect.c.at, t.effect.c.handle)
_MINE, _OTHER = t.target_object.alias("mine"), t.target_object.alias("other")
_SHARED = (
    sa.select(_MINE.c.kind, _MINE.c.namespace, _MINE.c.name, _OTHER.c.target)
    .join(_OTHER, sa.and_(_MINE.c.kind == _OTHER.c.kind, _MINE.c.namespace == _OTHER.c.namespace, _MINE.c.name == _OTHER.c.name))
    .where(_MINE.c.target == sa.bindparam("about"), _OTHER.c.target != sa.bindparam("about"))
    .order_by(_OTHER.c.target)
)
"""Built once, all of them: to build a statement takes several times as long as to run it."""

_THIS_TARGET = t.target.update().where(t.target.c.id == sa.bindparam("which"))
_LOOKED_AT_NOTHING = _THIS_TARGET.where(t.target.c.looked_stamp != "").values(looked_stamp="")
_LISTED_ANEW = _THIS_TARGET.values(listed=sa.bindparam("listed"), stamp=sa.bindparam("stamp"), seen_at=sa.bindparam("seen_at"))
_SEEN_AGAIN = _THIS_TARGET.values(seen_at=sa.bindparam("seen_at"))

_LIVED_ON = (
    t.release.update()
    .where(
        t.release.c.target == sa.bindparam("of"),
        t.release.c.key == sa.bindparam("which"),
        t.release.c.live_until.is_(None),
        t.release.c.watched_until == sa.bindparam("before"),
    )
    .values(watched_until=sa.bindparam("until"), healthy_seconds=sa.bindparam("healthy"), last_health=sa.bindparam("health"), vouched=sa.bindparam("sure"))
)


def _kind(ref: ObjectRef) -> str:
    return f"{ref.group}/{ref.kind}"


def _record_values(record: ReleaseRecord) -> dict[str, Any]:
    return {
        "handle": record.handle,
        "version": record.version,
        "images": None if record.images is None else _IMAGES.dump_python(record.images, mode="json"),
        "watched_from": record.watched_from,
        "watched_until": record.watched_until,
        "healthy_seconds": record.healthy_for.total_seconds(),
        "last_health": record.last_health,
        "live_until": record.live_until,
        "made_by_backout": record.made_by_backout,
        "vouched": record.vouched,
        "sources": _SOURCES.dump_python(record.sources, mode="json"),
        "objects": None if record.objects is None else _OBJECTS.dump_python(record.objects, mode="json"),
        "moved": record.moved,
        "fingerprint": record.fingerprint,
    }


def _record(row: Mapping[Any, Any]) -> ReleaseRecord:
    return ReleaseRecord(
        target=TargetId.parse(row["target"]),
        key=row["key"],
        handle=row["handle"],
        version=row["version"],
        images=None if row["images"] is None else _IMAGES.validate_python(row["images"]),
        watched_from=row["watched_from"],
        watched_until=row["watched_until"],
        healthy_for=timedelta(seconds=row["healthy_seconds"]),
        last_health=row["last_health"],
        live_until=row["live_until"],
        made_by_backout=row["made_by_backout"],
        vouched=row["vouched"],
        sources=_SOURCES.validate_python(row["sources"]),
        objects=None if row["objects"] is None else _OBJECTS.validate_python(row["objects"]),
        moved=row["moved"],
        fingerprint=row["fingerprint"],
    )
