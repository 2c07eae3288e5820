"""PostgreSQL, read from `pg_catalog`.

That shows every relation to everybody who may connect, whatever he may read (`information_schema` hides what he may not), so the role needs nothing but
CONNECT. Source: the PostgreSQL documentation on system catalogues, and the tests of this file on a real server.
"""

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from integrations import pacing
from integrations.evidence.databases.engine import MOST_COLUMNS, Question, Row, bounded, question
from integrations.evidence.databases.settings import Database
from integrations.evidence.databases.versions import applied
from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.domain.errors import BackoutError, PermanentError, TemporaryError
from service.domain.own_statements import MOST_COUNTED, PREPARED, Counted
from service.domain.plain_statement import LONGEST, plain
from service.domain.relaxed import Relaxed

LOCKED = "55P03"
LOCK_MILLISECONDS = 100
"""How long preparing waits for a lock: who holds one that is in its way changes the schema."""
TOGETHER = 20
"""Texts that are looked at before others get a turn."""
NOT_LOADED = "55000"


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
            applied=await applied(tables, may_read=partial(self._may_read, database), ask=partial(self._ask, database), quote=_quoted),
            enums={str(name): tuple(labels) for name, labels in enums},
            functions=frozenset(str(name) for (name,) in functions),
        )

    async def _may_read(self, database: Database, tables: Sequence[str]) -> Collection[str]:
        (rights,) = await self._ask(database, [(_MAY_READ, (list(tables),))])
        return {str(table) for (table,) in rights}

    async def beyond(self, database: Database, limit: Relaxed) -> bool:
        """See `Engine`."""
        (rows,) = await self._ask(database, [question(limit, _quoted, longer="length({}::text) > %s", label="{}::text = ANY(%s)")])
        return bool(rows[0][0])

    async def powers(self, database: Database) -> Sequence[str]:
        """See `Engine`."""
        (much,) = await self._ask(database, [(_POWERS, (list(database.looked_at),))])
        return [str(power) for (power,) in much]

    async def close(self) -> None:
        """Nothing is kept open."""

    async def statements(self, database: Database) -> Sequence[Counted]:
        """See `Engine`. The view of `pg_stat_statements` shows texts of others to members of `pg_read_all_stats` alone."""
        names = list(database.statements_of)
        behind, roles, places = await self._ask(database, [(_REPLICA, ()), (_ROLES, (names,)), (_COUNTING, ())])
        if behind[0][0]:
            raise PermanentError(f"database {database.name} is a replica: it counts what is asked of itself")
        missing = sorted({*names} - {str(role) for (role,) in roles})
        if missing:
            raise PermanentError(f"there is no role {', '.join(missing)} in database {database.name}")
        if not places:
            raise PermanentError(f"the extension pg_stat_statements is not installed in database {database.name}")
        statement = _COUNTED.format(view=f"{_quoted(str(places[0][0]))}.pg_stat_statements")
        try:
            (rows,) = await self._ask(database, [(statement, (LONGEST, names))])
        except BackoutError as error:
            if getattr(error.__cause__, "sqlstate", None) == NOT_LOADED:
                raise PermanentError(f"the server of database {database.name} does not load pg_stat_statements (shared_preload_libraries)") from error
            raise
        if any(hidden for _, _, hidden, _ in rows):
            raise PermanentError(f"Backout's role may not see what {', '.join(names)} runs in database {database.name}")
        if len(rows) > MOST_COUNTED:
            raise PermanentError(f"database {database.name} counts more than {MOST_COUNTED} statements")
        found: list[Counted] = []
        for number, (name, calls, _, text) in enumerate(rows):
            kept = plain(text)
            if kept is not None:
                found.append(Counted(id=str(name), calls=int(calls), text=kept))
            if number % TOGETHER == 0:
                await asyncio.sleep(0)  # cutting texts into words takes about a millisecond each
        return found

    async def prepared(self, database: Database, texts: Sequence[str]) -> Sequence[str]:
        """See `Engine`. The protocol's Parse alone, of the unnamed statement: one statement, analysed and neither planned nor run.

        Parse locks the tables that a statement names, as running it would, until the transaction ends: so each has a transaction of its own, which is always
        rolled back, and none waits for a lock. After the first that would have to wait the others are not tried.
        """
        where = f"database {database.name}"
        await pacing.turn(where, 2)
        found: list[str] = []
        async with self._session(database) as connection:
            async with asyncio.timeout(self._timeout * 2):
                (behind,) = await (await connection.execute(_REPLICA)).fetchall()
                closed = await (await connection.execute(_CLOSED, (list(database.looked_at),))).fetchall()
                await connection.execute(_LOOK_IN, (", ".join(map(_named, database.looked_at)), f"{LOCK_MILLISECONDS}ms"))
            if behind[0]:
                raise PermanentError(f"{where} is a replica: what it shows may be of yesterday")
            if closed:
                raise PermanentError(f"Backout's role has no USAGE on schema {', '.join(str(name) for (name,) in closed)} of {where}")
            for text in texts:
                await pacing.turn(where)
                async with asyncio.timeout(self._timeout):
                    found.append(await _parsed(connection, text))
                if found[-1] == LOCKED:
                    break
        return (*found, *[LOCKED] * (len(texts) - len(found)))

    async def _ask(self, database: Database, questions: Sequence[Question]) -> list[list[Row]]:
        """The rows of each statement, all of one moment."""
        await pacing.turn(f"database {database.name}", len(questions))
        async with self._session(database) as connection, asyncio.timeout(self._timeout * len(questions)), connection.transaction():
            return [await (await connection.execute(statement, parameters)).fetchall() for statement, parameters in questions]

    @contextlib.asynccontextmanager
    async def _session(self, database: Database) -> AsyncIterator[Any]:
        """A connection outside of any transaction; its transactions are read-only, and each sees one moment. Errors never name the address."""
        import psycopg  # noqa: PLC0415  only where a database is configured

        timeout = self._timeout
        limits = f"-c default_transaction_read_only=on -c statement_timeout={int(timeout * 1000)} -c lock_timeout=1000 -c search_path=pg_catalog"
        where = f"database {database.name}"
        try:
            async with asyncio.timeout(timeout):
                connection = await psycopg.AsyncConnection.connect(
                    database.url, connect_timeout=max(2, int(timeout)), options=limits, application_name="backout", autocommit=True
                )
            async with connection:
                await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                await connection.set_read_only(True)
                yield connection
        except TimeoutError as error:
            raise TemporaryError(f"{where} did not answer in time") from error
        except psycopg.OperationalError as error:
            raise TemporaryError(f"{where} cannot be read ({_reason(error)})") from error
        except psycopg.Error as error:
            raise PermanentError(f"{where} refused to be read ({_reason(error)})") from error


async def _parsed(connection: Any, text: str) -> str:
    """What Parse says of one statement, in a transaction that is rolled back."""
    from psycopg import generators, pq  # noqa: PLC0415  only where a database is configured

    async with connection.transaction(force_rollback=True):
        connection.pgconn.send_prepare(b"", text.encode())
        (result,) = await connection.wait(generators.execute(connection.pgconn))
        if result.status == pq.ExecStatus.COMMAND_OK:
            return PREPARED
        return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode("ascii", "replace")


def _named(identifier: str) -> str:
    """As the server takes a name in `search_path`."""
    doubled = identifier.replace('"', '""')
    return f'"{doubled}"'


def _quoted(identifier: str) -> str:
    """Doubled where it means something: to the server, and to the driver, which looks for placeholders."""
    return _named(identifier).replace("%", "%%")


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

_ROLES = "SELECT rolname::text FROM pg_roles WHERE rolname = ANY(%s)"

_COUNTING = "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"

# A text of others shows without the right to it as words of the view's own; their count shows all the same, and their name does not.
_COUNTED = f"""SELECT s.queryid::text, sum(s.calls)::bigint, bool_or(s.queryid IS NULL), min(CASE WHEN length(s.query) <= %s THEN s.query END)
FROM {{view}} s WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND s.userid IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%s)) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_COUNTED + 1}"""  # noqa: S608  constants of this file alone

_CLOSED = "SELECT nspname::text FROM pg_namespace WHERE nspname = ANY(%s) AND NOT has_schema_privilege(oid, 'USAGE') ORDER BY 1"

_LOOK_IN = "SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false)"

_POWERS = """SELECT 'is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL SELECT 'may write ' || n.nspname || '.' || c.relname FROM (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') LIMIT 1) c JOIN pg_namespace n ON n.oid = c.relnamespace LIMIT 1"""
