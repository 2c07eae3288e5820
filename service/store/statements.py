"""What releases were seen to run in their databases: one row for each release and database, written anew at each reading."""

from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.domain.model import TargetId
from service.domain.own_statements import OwnStatements
from service.store import tables as t
from service.store.database import Database
from service.store.gone import gone

_STATEMENTS = TypeAdapter(OwnStatements)

RELEASES = 10
"""Releases of a target of which it is kept, those that lived last: nobody goes further back."""


class StatementStore:
    """Implements `StatementsKept` of `service.domain.ports`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, target: TargetId, release: str, database: str, statements: OwnStatements) -> None:
        """Put it in the place of what was kept of that release, and let go of what is too old."""
        c = t.release_statements.c
        row = {"at": statements.at, "body": _STATEMENTS.dump_json(statements)}
        whose = (c.target == str(target), c.database == database)
        async with self._database.write() as connection:
            done = await connection.execute(t.release_statements.update().where(*whose, c.release_key == release).values(**row))
            if done.rowcount:
                return
            place = {"target": str(target), "release_key": release, "database": database}
            await connection.execute(t.release_statements.insert().values(**place, **row))
            last = (await connection.execute(sa.select(c.release_key).where(*whose).order_by(c.at.desc()).limit(RELEASES))).scalars().all()
            await connection.execute(t.release_statements.delete().where(*whose, c.release_key.not_in(last)))

    async def of(self, target: TargetId, release: str, database: str) -> OwnStatements | None:
        """What was kept of that release."""
        c = t.release_statements.c
        query = sa.select(c.body).where(c.target == str(target), c.release_key == release, c.database == database)
        async with self._database.read(few=True) as connection:
            body = (await connection.execute(query)).scalar()
        return None if body is None else _STATEMENTS.validate_json(bytes(body))

    async def forget(self, before: datetime) -> None:
        """Drop what belongs to targets that are gone since before then."""
        c = t.release_statements.c
        async with self._database.write() as connection:
            await connection.execute(t.release_statements.delete().where(gone(c.target, before), c.at < before))
