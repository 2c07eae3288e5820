"""PostgreSQL, read from `pg_catalog`.

That shows every relation to everybody who may connect, whatever he may read (`information_schema` hides what he may not), so the role needs nothing but
CONNECT. Source: the PostgreSQL documentation on system catalogues, and the tests of this file on a real server.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from integrations import pacing
from integrations.evidence.databases import versions
from integrations.evidence.databases.engine import MOST_COLUMNS, Question, Row, bounded
from integrations.evidence.databases.settings import Database
from service.domain.catalog import Catalog, CatalogColumn, CatalogTable, VersionTable
from service.domain.errors import PermanentError, TemporaryError
from service.domain.relaxed import Kind, Relaxed


class PostgreSQL:
    """An `Engine`. Nothing stays connected between two readings."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def catalog(self, database: Database) -> Catalog:
        """See `Engine`."""
        schemas = (list(database.looked_at),)
        behind, busy = await self._ask(database, [(_REPLICA, ()), (_BUSY, schemas)])
        if behind[0][0]:
            raise PermanentError(f"database {database.name} is a replica: what it shows may be of yesterday")
        if busy:  # definitions would wait for its locks, and what is half changed says nothing
            return Catalog(tables={}, busy=f"{', '.join(str(name) for (name,) in busy)} {'is' if len(busy) == 1 else 'are'} locked")
        answers = await self._ask(database, [(statement, schemas) for statement in (_COLUMNS, _CONSTRAINTS, _INDEXES, _TRIGGERS, _ENUMS, _FUNCTIONS)])
        columns, constraints, indexes, triggers, enums, functions = answers
        bounded(columns, database)
        tables = _tables(columns, constraints, indexes, triggers)
        return Catalog(
            tables=tables,
            applied=await self._applied(database, tables),
            enums={str(name): tuple(labels) for name, labels in enums},
            functions=frozenset(str(name) for (name,) in functions),
        )

    async def _applied(self, database: Database, tables: Mapping[str, CatalogTable]) -> tuple[VersionTable, ...]:
        found = versions.recognised(tables)
        if not found:
            return ()
        (rights,) = await self._ask(database, [(_MAY_READ, ([one.table for one in found],))])
        may = {str(table) for (table,) in rights}
        readable = [one for one in found if one.columns and one.table in may]
        answers = await self._ask(database, [(one.statement(_quoted), ()) for one in readable]) if readable else []
        rows = {one.table: answer for one, answer in zip(readable, answers, strict=True)}
        return tuple(versions.told(one, rows.get(one.table)) for one in found)

    async def beyond(self, database: Database, limit: Relaxed) -> bool:
        """See `Engine`."""
        schema, _, table = limit.table.partition(".")
        condition, values = _beyond(limit)
        statement = f"SELECT EXISTS (SELECT FROM {_quoted(schema)}.{_quoted(table)} WHERE {condition})"  # noqa: S608  identifiers of the catalogue, quoted
        (rows,) = await self._ask(database, [(statement, values)])
        return bool(rows[0][0])

    async def powers(self, database: Database) -> Sequence[str]:
        """See `Engine`."""
        (much,) = await self._ask(database, [(_POWERS, (list(database.looked_at),))])
        return [str(power) for (power,) in much]

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _ask(self, database: Database, questions: Sequence[Question]) -> list[list[Row]]:
        """The rows of each statement, all of one moment; errors never name the address."""
        import psycopg  # noqa: PLC0415  only where a database is configured

        await pacing.turn(f"database {database.name}", len(questions))
        timeout = self._timeout
        limits = f"-c default_transaction_read_only=on -c statement_timeout={int(timeout * 1000)} -c lock_timeout=1000 -c search_path=pg_catalog"
        where = f"database {database.name}"
        try:
            async with asyncio.timeout(timeout * (len(questions) + 1)):
                connection = await psycopg.AsyncConnection.connect(
                    database.url, connect_timeout=max(2, int(timeout)), options=limits, application_name="backout"
                )
                async with connection:
                    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                    await connection.set_read_only(True)
                    return [await (await connection.execute(statement, parameters)).fetchall() for statement, parameters in questions]
        except TimeoutError as error:
            raise TemporaryError(f"{where} did not answer in time") from error
        except psycopg.OperationalError as error:
            raise TemporaryError(f"{where} cannot be read ({_reason(error)})") from error
        except psycopg.Error as error:
            raise PermanentError(f"{where} refused to be read ({_reason(error)})") from error


def _quoted(identifier: str) -> str:
    """Doubled where it means something: to the server, and to the driver, which looks for placeholders."""
    doubled = identifier.replace('"', '""').replace("%", "%%")
    return f'"{doubled}"'


def _beyond(limit: Relaxed) -> Question:
    column = _quoted(limit.column)
    match limit.kind:
        case Kind.NULL:
            return f"{column} IS NULL", ()
        case Kind.LONGER:
            return f"length({column}::text) > %s", (int(limit.limit[0]),)
        case Kind.BEYOND:
            return f"{column} NOT BETWEEN %s AND %s", tuple(map(int, limit.limit))
        case Kind.LABEL:
            return f"{column}::text = ANY(%s)", (list(limit.limit),)


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
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {_MINE} ORDER BY 1, a.attnum
LIMIT {MOST_COLUMNS + 1}"""  # noqa: S608  constants of this file alone

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

_MAY_READ = """SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY(%s) AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"""

_REPLICA = "SELECT pg_is_in_recovery()"

_POWERS = """SELECT 'is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL SELECT 'may write ' || n.nspname || '.' || c.relname FROM (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') LIMIT 1) c JOIN pg_namespace n ON n.oid = c.relnamespace LIMIT 1"""
