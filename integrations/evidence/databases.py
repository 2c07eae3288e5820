"""Asks databases for their own schema: read-only, in one short transaction, from the system catalogue alone. No row of a user's table is ever read.

PostgreSQL's `pg_catalog` shows every relation to everybody who may connect, whatever he may read (`information_schema` hides what he may not), so the role
needs nothing but CONNECT. Source: the PostgreSQL documentation on system catalogues, and the tests beside this file on a real server.
"""

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from integrations import pacing
from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.domain.errors import BackoutError, PermanentError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.ports import Checked, Clock

MOST_COLUMNS = 50_000
"""Columns of one catalogue; a larger one is not read."""

Row = tuple[Any, ...]


class Database(BaseModel):
    """One database whose schema may be read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, description="What targets call it in declares.databases.")
    url: str = Field(
        description="postgresql://role@host/database?passfile=/absolute/file&sslmode=verify-full: the primary, without a pooler; CONNECT is enough."
    )
    schemas: tuple[str, ...] = Field(default=("public",), min_length=1, description="Schemas to look at. Default: public.")

    @field_validator("url")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError as error:
            raise ValueError("url cannot be read; expected postgresql://role@host/database") from error
        if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname or not parts.path.strip("/"):
            raise ValueError("url must be postgresql://role@host/database")
        if parts.password or "password=" in parts.query:
            raise ValueError("url must not hold a password; name a file in libpq's format with ?passfile=/absolute/file")
        return value


class Settings(BaseModel):
    """The databases that may be asked for their schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    databases: tuple[Database, ...] = Field(min_length=1, description="The databases.")
    timeout_s: float = Field(default=5.0, gt=0, le=60, description="Seconds for each statement, and for connecting. Default: 5.")
    good_for_s: float = Field(default=30.0, gt=0, le=300, description="How long what was read may be believed. Default: 30.")

    @field_validator("databases")
    @classmethod
    def _names_once(cls, value: tuple[Database, ...]) -> tuple[Database, ...]:
        names = [one.name for one in value]
        if len(set(names)) != len(names):
            raise ValueError("a database is named twice")
        return value


def build(settings: Settings, clock: Clock) -> "Databases":
    """The source; nothing is connected yet."""
    return Databases(settings, clock)


class Databases:
    """A `FactSource` for "database catalog"."""

    kinds = frozenset({"database catalog"})

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._by_name = {one.name: one for one in settings.databases}

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The catalogue now, or why nobody could find out."""
        database = self._by_name.get(str(key.subject))
        if key.kind not in self.kinds or database is None:
            return Absent(f"no database {key.subject} is configured", clears="Name it in evidence.databases, with a role that may connect.")
        at = self._clock.now()
        try:
            found = await self._catalog(database)
        except BackoutError as error:
            return Absent(str(error), clears="Let Backout's role connect to that database's primary.")
        missing = [schema for schema in database.schemas if not any(name.startswith(f"{schema}.") for name in found.tables)]
        if missing and not found.busy:  # an empty schema is more likely a wrong name or the wrong database than a program without tables
            return Absent(f"database {database.name} has no table in schema {', '.join(missing)}", clears="Correct url or schemas of that database.")
        digest = "sha256:" + hashlib.sha256(repr(found).encode()).hexdigest()
        evidence = Evidence(source=f"database {database.name}", what=f"catalogue of {', '.join(database.schemas)}", read_at=at, digest=digest)
        return Known(value=found, evidence=evidence, good_for=timedelta(seconds=self._settings.good_for_s))

    async def check(self) -> Sequence[Checked]:
        """Whether each can be read, and whether the role may do more than it needs."""
        return [await self._check(one) for one in self._settings.databases]

    async def _check(self, database: Database) -> Checked:
        what = f"database {database.name}"
        try:
            found = await self._catalog(database)
            much = await self._ask(database, [(_POWERS, (list(database.schemas),))])
        except BackoutError as error:
            return Checked(what=what, well="no", says=str(error), fix="Let the role connect to the primary; see evidence.databases in docs/settings.md.")
        tables = sum(not one.view for one in found.tables.values())
        if not tables:
            return Checked(what=what, well="no", says=f"no table in {', '.join(database.schemas)}", fix="Correct url or schemas of that database.")
        powers = [str(power) for (power,) in much[0]]
        if powers:
            return Checked(
                what=what,
                well="warn",
                says=f"{tables} tables can be read, but the role {powers[0]}",
                fix="Give Backout a role of its own that may only connect.",
            )
        return Checked(what=what, well="ok", says=f"the schema of {tables} tables can be read")

    async def _catalog(self, database: Database) -> Catalog:
        schemas = (list(database.schemas),)
        (busy,) = await self._ask(database, [(_BUSY, schemas)])
        if busy:  # definitions would wait for its locks, and what is half changed says nothing
            return Catalog(tables={}, busy=", ".join(str(name) for (name,) in busy))
        answers = await self._ask(database, [(statement, schemas) for statement in (_COLUMNS, _CONSTRAINTS, _INDEXES, _TRIGGERS, _ENUMS, _FUNCTIONS)])
        columns, constraints, indexes, triggers, enums, functions = answers
        if len(columns) > MOST_COLUMNS:
            raise PermanentError(f"the catalogue of database {database.name} has more than {MOST_COLUMNS} columns")
        return Catalog(
            tables=_tables(columns, constraints, indexes, triggers),
            enums={str(name): tuple(labels) for name, labels in enums},
            functions=frozenset(str(name) for (name,) in functions),
        )

    async def _ask(self, database: Database, statements: Sequence[tuple[str, Row]]) -> list[list[Row]]:
        """The rows of each statement, all of one moment; errors never name the address."""
        import psycopg  # noqa: PLC0415  only where a database is configured

        await pacing.turn(f"database {database.name}")
        timeout = self._settings.timeout_s
        limits = f"-c default_transaction_read_only=on -c statement_timeout={int(timeout * 1000)} -c lock_timeout=1000 -c search_path=pg_catalog"
        where = f"database {database.name}"
        try:
            async with asyncio.timeout(timeout * (len(statements) + 1)):
                connection = await psycopg.AsyncConnection.connect(
                    database.url, connect_timeout=max(2, int(timeout)), options=limits, application_name="backout"
                )
                async with connection:
                    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                    await connection.set_read_only(True)
                    return [await (await connection.execute(statement, parameters)).fetchall() for statement, parameters in statements]
        except TimeoutError as error:
            raise TemporaryError(f"{where} did not answer in time") from error
        except psycopg.OperationalError as error:
            raise TemporaryError(f"{where} cannot be read ({_reason(error)})") from error
        except psycopg.Error as error:
            raise PermanentError(f"{where} refused to be read ({_reason(error)})") from error

    async def close(self) -> None:
        """Nothing is kept open."""


def _reason(error: Any) -> str:
    """The SQLSTATE, or the kind of error: a driver's own words can hold address and role."""
    return str(error.sqlstate or type(error).__name__)


def _tables(columns: Sequence[Row], constraints: Sequence[Row], indexes: Sequence[Row], triggers: Sequence[Row]) -> Mapping[str, CatalogTable]:
    found: dict[str, dict[str, CatalogColumn]] = defaultdict(dict)
    views, guarded = set[str](), set[str]()
    unique, rules, fired = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for table, kind, secured, name, type_, required, given, generated in columns:
        found[table][name] = CatalogColumn(type=type_, required=required, given=given, generated=generated)
        if kind in {"v", "m"}:
            views.add(table)
        if secured:
            guarded.add(table)
    for table, kind, definition in constraints:
        (unique if kind in {"u", "p"} else rules)[table].add(definition)
    for table, definition in indexes:
        unique[table].add("UNIQUE" + definition.partition(" USING")[2])
    for table, definition in triggers:
        fired[table].add(_TRIGGER_NAME.sub("", definition))
    return {
        table: CatalogTable(
            columns=of,
            view=table in views,
            unique=frozenset(unique[table]),
            rules=frozenset(rules[table]),
            triggers=frozenset(fired[table]),
            guarded=table in guarded,
        )
        for table, of in found.items()
    }


_TRIGGER_NAME = re.compile(r"^CREATE (?:CONSTRAINT )?TRIGGER (?:\"(?:[^\"]|\"\")+\"|\S+) ")

# Partitions and what belongs to an extension are left out: both come and go without a program's doing.
_MINE = """n.nspname = ANY(%s) AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""

_COLUMNS = f"""SELECT n.nspname || '.' || c.relname, c.relkind::text, c.relrowsecurity, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  a.atthasdef OR a.attidentity <> '', a.attgenerated <> ''
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {_MINE} ORDER BY 1, a.attnum"""  # noqa: S608  constants of this file alone

_CONSTRAINTS = f"""SELECT n.nspname || '.' || c.relname, k.contype::text, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'f', 'u', 'p', 'x') AND {_MINE}"""  # noqa: S608  constants of this file alone

# An index that is not valid (a failed CREATE INDEX CONCURRENTLY) promises nothing.
_INDEXES = f"""SELECT n.nspname || '.' || c.relname, pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND i.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) AND {_MINE}"""  # noqa: S608  constants of this file alone

_TRIGGERS = f"""SELECT n.nspname || '.' || c.relname, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND {_MINE}"""  # noqa: S608  constants of this file alone

_ENUMS = """SELECT n.nspname || '.' || t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = ANY(%s) GROUP BY 1"""

_FUNCTIONS = """SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY(%s) AND p.prorettype <> 'trigger'::regtype
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"""

# Whoever holds or waits for a lock that only a change of the schema takes. A role sees all locks, if not the statements behind them.
_BUSY = """SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND n.nspname = ANY(%s) AND l.mode = 'AccessExclusiveLock'
  AND l.pid <> pg_backend_pid() ORDER BY 1"""

_POWERS = """SELECT 'is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL SELECT 'may write ' || n.nspname || '.' || c.relname FROM (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') LIMIT 1) c JOIN pg_namespace n ON n.oid = c.relnamespace LIMIT 1"""
