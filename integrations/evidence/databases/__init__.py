"""Asks databases for their own schema: read-only, in one short session, from the system catalogue.

Of a user's rows no value is ever read: where it is granted, one is asked whether any row is beyond a limit that is looser than it was.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from integrations.evidence.databases.engine import Engine
from integrations.evidence.databases.mysql import MySQL
from integrations.evidence.databases.postgresql import PostgreSQL
from integrations.evidence.databases.settings import Database, Settings
from service.domain.errors import BackoutError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.own_statements import PASSING, Texts, counted, digest
from service.domain.ports import Checked, Clock
from service.domain.relaxed import Looked

GRANTS = "CREATE EXTENSION pg_stat_statements in that database, and GRANT pg_read_all_stats to Backout's role; see docs/databases.md."
PREPARED_FOR = timedelta(hours=1)
"""How long what preparing said is believed, of the same schema."""

__all__ = ["Database", "Databases", "Settings", "build"]


def build(settings: Settings, clock: Clock) -> "Databases":
    """The source; nothing is connected yet."""
    return Databases(settings, clock, postgresql=PostgreSQL(settings.timeout_s), mysql=MySQL(settings.timeout_s))


class Databases:
    """A `FactSource` for "database catalog", "database rows", "database statements" and "database prepared"."""

    kinds = frozenset({"database catalog", "database rows", "database statements", "database prepared"})

    def __init__(self, settings: Settings, clock: Clock, *, postgresql: Engine, mysql: Engine) -> None:
        self._settings = settings
        self._clock = clock
        self._by_name = {one.name: one for one in settings.databases}
        self._postgresql = postgresql
        self._mysql = mysql

    def _engine(self, database: Database) -> Engine:
        return self._mysql if database.is_mysql else self._postgresql

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The catalogue now, or why nobody could find out."""
        name = key.subject[0] if isinstance(key.subject, tuple) else key.subject
        database = self._by_name.get(str(name))
        if key.kind not in self.kinds or database is None:
            return Absent(f"no database {name} is configured", clears="Name it in evidence.databases, with a role that may connect.")
        at = self._clock.now()
        if key.kind == "database rows":
            return await self._rows(database, key, at)
        if key.kind == "database statements":
            return await self._statements(database, at)
        if key.kind == "database prepared":
            return await self._prepared(database, key, at)
        try:
            found = await self._engine(database).catalog(database)
        except BackoutError as error:
            return Absent(str(error), clears="Let Backout's role connect to that database's primary.")
        looked_at = ", ".join(database.looked_at)
        missing = [schema for schema in database.looked_at if not any(name.startswith(f"{schema}.") for name in found.tables)]
        if missing and not found.busy:  # an empty schema is more likely a wrong name or the wrong database than a program without tables
            return Absent(f"database {database.name} has no table in schema {', '.join(missing)}", clears="Correct url or schemas of that database.")
        evidence = Evidence(source=f"database {database.name}", what=f"catalogue of {looked_at}", read_at=at, digest=found.digest)
        return Known(value=found, evidence=evidence, good_for=timedelta(seconds=self._settings.good_for_s))

    async def _rows(self, database: Database, key: Key[Any], at: datetime) -> Fact[Any]:
        """Each limit by itself, so that one table that is too large, or closed to the role, hides no other."""
        subject: Any = key.subject
        looked: list[Looked] = []
        for limit in subject[1]:
            try:
                looked.append(Looked(relaxed=limit, found=await self._engine(database).beyond(database, limit)))
            except BackoutError as error:
                looked.append(Looked(relaxed=limit, found=None, why=str(error)))
        what = f"whether {'; '.join(str(one) for one in subject[1])}"
        digest = "sha256:" + hashlib.sha256(repr([one.found for one in looked]).encode()).hexdigest()
        evidence = Evidence(source=f"database {database.name}", what=what, read_at=at, digest=digest)
        return Known(value=tuple(looked), evidence=evidence, good_for=timedelta(seconds=self._settings.good_for_s))

    async def _statements(self, database: Database, at: datetime) -> Fact[Any]:
        if not database.statements_of:
            return Absent(f"nobody said as which role the program runs in database {database.name}", clears="Name it in evidence.databases (statements_of).")
        try:
            found = tuple(await self._engine(database).statements(database))
        except BackoutError as error:
            return Absent(str(error), clears=GRANTS)
        evidence = Evidence(source=f"database {database.name}", what=f"{counted(len(found), 'statement')} of {', '.join(database.statements_of)}", read_at=at)
        return Known(value=found, evidence=evidence, good_for=timedelta(seconds=self._settings.good_for_s))

    async def _prepared(self, database: Database, key: Key[Any], at: datetime) -> Fact[Any]:
        """Held as long as the schema is the one that was asked about; what could only not be said at the moment is asked again soon."""
        subject: Any = key.subject
        texts: Texts = subject[2]
        try:
            codes = tuple(await self._engine(database).prepared(database, texts.texts))
        except BackoutError as error:
            return Absent(str(error), clears="Let Backout's role connect to that database's primary, with USAGE on its schemas.")
        told = digest(zip(texts.texts, codes, strict=True))
        evidence = Evidence(source=f"database {database.name}", what=f"preparing {texts}", read_at=at, digest=told)
        lasting = PREPARED_FOR if PASSING.isdisjoint(codes) else timedelta(seconds=self._settings.good_for_s)
        return Known(value=codes, evidence=evidence, good_for=lasting)

    async def check(self) -> Sequence[Checked]:
        """Whether each can be read, and whether the role may do more, or sees less, than it needs."""
        return [await self._check(one) for one in self._settings.databases]

    async def _check(self, database: Database) -> Checked:
        what = f"database {database.name}"
        try:
            found = await self._engine(database).catalog(database)
            powers = await self._engine(database).powers(database)
        except BackoutError as error:
            return Checked(what=what, well="no", says=str(error), fix="Let the role connect to the primary; see evidence.databases in docs/settings.md.")
        if found.busy:
            return Checked(what=what, well="warn", says=f"its schema is being changed right now: {found.busy}", fix="Look again when that has ended.")
        tables = sum(not one.view for one in found.tables.values())
        if not tables:
            return Checked(what=what, well="no", says=f"no table in {', '.join(database.looked_at)}", fix="Correct url or schemas of that database.")
        if powers:
            fix = "Give Backout a role of its own that may only look."
            return Checked(what=what, well="warn", says=f"{tables} tables can be read, but the role {powers[0]}", fix=fix)
        if found.unseen:
            says = f"{tables} tables can be read, but not {', '.join(found.unseen)}, so an answer is a warning at best"
            return Checked(what=what, well="warn", says=says, fix="Grant what docs/databases.md names, or let a person look each time.")
        closed = [one.table for one in found.applied if one.unread]
        if closed:
            says = f"{tables} tables can be read, but of the version table {closed[0]} no row, so a migration is never a pass"
            return Checked(what=what, well="warn", says=says, fix=f"GRANT SELECT ON {closed[0]}, and USAGE on its schema; see docs/databases.md.")
        return await self._check_statements(database, tables)

    async def _check_statements(self, database: Database, tables: int) -> Checked:
        what, says = f"database {database.name}", f"the schema of {tables} tables can be read"
        if not database.statements_of:
            return Checked(what=what, well="ok", says=says)
        roles = ", ".join(database.statements_of)
        try:
            found = await self._engine(database).statements(database)
        except BackoutError as error:
            return Checked(what=what, well="warn", says=f"{says}, but not what {roles} runs: {error}", fix=GRANTS)
        if not found:
            return Checked(what=what, well="warn", says=f"{says}, but no statement of {roles} was counted", fix="Name the roles as which the program runs.")
        mute = sum(not one.text for one in found)
        kept = f"{counted(len(found), 'statement')} of {roles}" + (f" ({mute} of them not kept: a value may stand in the text)" if mute else "")
        return Checked(what=what, well="ok", says=f"{says}, and {kept}")

    async def close(self) -> None:
        """Let go of what is kept open."""
        await self._postgresql.close()
        await self._mysql.close()
