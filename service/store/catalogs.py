"""Catalogues of databases as they were while a release lived alone: the text by its digest, one row for each release and database."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.domain.catalog import Catalog
from service.domain.model import TargetId
from service.domain.ports import KeptCatalog
from service.store import tables as t
from service.store.database import Database
from service.store.gone import gone

_CATALOG = TypeAdapter(Catalog)


class CatalogStore:
    """Implements `Catalogs` of `service.domain.ports`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def has(self, target: TargetId, release: str, databases: Sequence[str]) -> frozenset[str]:
        """Those of the databases whose catalogue is kept for that release."""
        c = t.release_catalog.c
        query = sa.select(c.database).where(c.target == str(target), c.release_key == release, c.database.in_(databases))
        async with self._database.read(few=True) as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def keep(self, target: TargetId, release: str, database: str, catalog: Catalog, at: datetime) -> None:
        """Keep it; what is kept already stays, for it is nearer to the release's beginning."""
        body = _CATALOG.dump_json(catalog)
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        c = t.release_catalog.c
        async with self._database.write() as connection:
            here = (c.target == str(target), c.release_key == release, c.database == database)
            if (await connection.execute(sa.select(c.at).where(*here))).first() is not None:
                return
            if (await connection.execute(sa.select(t.blob.c.digest).where(t.blob.c.digest == digest))).first() is None:
                await connection.execute(t.blob.insert().values(digest=digest, body=body))
            row = {"target": str(target), "release_key": release, "database": database, "at": at, "digest": digest}
            await connection.execute(t.release_catalog.insert().values(**row))

    async def of(self, target: TargetId, release: str, database: str) -> KeptCatalog | None:
        """The catalogue that was kept, with its time and digest."""
        c = t.release_catalog.c
        query = (
            sa.select(c.at, c.digest, t.blob.c.body)
            .join(t.blob, t.blob.c.digest == c.digest)
            .where(c.target == str(target), c.release_key == release, c.database == database)
        )
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else KeptCatalog(catalog=_CATALOG.validate_json(bytes(row.body)), at=row.at, digest=row.digest)

    async def forget(self, before: datetime) -> None:
        """Drop what belongs to targets that are gone since before then. The texts stay: a text may be another row's too."""
        c = t.release_catalog.c
        async with self._database.write() as connection:
            await connection.execute(t.release_catalog.delete().where(gone(c.target, before), c.at < before))
