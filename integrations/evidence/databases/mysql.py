"""MySQL and MariaDB, read from `information_schema`.

That shows a table only to whoever holds a privilege on it. A right on the whole schema is therefore asked for first: REFERENCES is the one that shows every
table and lets nobody read a row. What the role may not see is named, never taken for gone.

Source: the manuals of both on information_schema and privileges, and the tests of this file on a real MariaDB. No MySQL was at hand: what stands here of MySQL
alone (CHECK_CONSTRAINTS without a table, functional indexes, max_execution_time) rests on its manual.
"""

import asyncio
import re
import ssl
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from integrations import pacing
from integrations.evidence.databases.engine import MOST_COLUMNS, Question, Row, bounded, question
from integrations.evidence.databases.settings import Database
from integrations.evidence.databases.versions import applied
from service.domain.catalog import CHANGES, FUNCTIONS, TRIGGERS, Catalog, CatalogColumn, CatalogTable
from service.domain.errors import BackoutError, PermanentError, TemporaryError
from service.domain.own_statements import Counted
from service.domain.relaxed import Relaxed

PORT = 3306
AT_ONCE = 4
"""Sessions side by side, over all databases; a server that hangs holds one of them until its time is out."""

REFUSED = frozenset({1044, 1045, 1142, 1143, 1227, 1698})
"""Access denied, in its kinds: a person is needed."""


class MySQL:
    """An `Engine`. PyMySQL blocks, so it works in threads of its own; each session ends by its own limits, also when nobody waits for it any more."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._pool: ThreadPoolExecutor | None = None

    async def catalog(self, database: Database) -> Catalog:
        """See `Engine`."""
        schemas = (database.looked_at,)
        (version,), ((read_only,),), rights = await self._ask(database, [(_VERSION, ()), (_READ_ONLY, ()), (_RIGHTS, ())])
        if read_only:  # a replica, or a primary that is being switched
            raise PermanentError(f"database {database.name} takes no writes: it is a replica, and what that shows may be of yesterday")
        seen = _seen(rights, database.looked_at)
        hidden = [schema for schema in database.looked_at if not _WHOLE & seen[schema]]
        if hidden:
            raise PermanentError(
                f"the role has no right on the whole of schema {', '.join(hidden)} of database {database.name}, so tables may be hidden from it"
            )
        unseen = [what for what, right in _BESIDE if not all(right in seen[schema] for schema in database.looked_at)]
        if CHANGES not in unseen:
            (busy,) = await self._ask(database, [(_BUSY, schemas)])
            if busy:
                return Catalog(tables={}, busy=f"somebody changes {', '.join(str(name) for (name,) in busy)}")
        statements = (_COLUMNS, _VIEWS, _KEYS, _FOREIGN, _CHECKS_MARIADB if _is_mariadb(version) else _CHECKS_MYSQL, _TRIGGERS, _ROUTINES, _PARAMETERS)
        columns, views, keys, foreign, checks, triggers, routines, parameters = await self._ask(database, [(one, schemas) for one in statements])
        bounded(columns, database)
        tables = _tables(columns, {str(name) for (name,) in views}, keys, foreign, checks, triggers)
        ghosts = sorted(name for name in tables if _GHOST.search(name))
        if ghosts:
            return Catalog(tables={}, busy=f"{', '.join(ghosts)} waits to take a table's place")
        whole = frozenset(schema for schema in database.looked_at if "SELECT" in seen[schema])
        ran = await applied(tables, may_read=partial(self._may_read, database, whole), ask=partial(self._ask, database), quote=_quoted)
        return Catalog(tables=tables, functions=_functions(routines, parameters), unseen=tuple(unseen), applied=ran)

    async def _may_read(self, database: Database, whole: frozenset[str], tables: Sequence[str]) -> Collection[str]:
        """`whole` are the schemas of which it may read every table."""
        (rights,) = await self._ask(database, [(_MAY_READ, ())])
        return {str(table) for (table,) in rights} | {table for table in tables if table.partition(".")[0] in whole}

    async def beyond(self, database: Database, limit: Relaxed) -> bool:
        """See `Engine`."""
        (rows,) = await self._ask(database, [question(limit, _quoted, longer="char_length({}) > %s", label="{} IN %s")])
        return bool(rows[0][0])

    async def statements(self, database: Database) -> Sequence[Counted]:
        """Never: see `Database.statements_of`, which such a database does not take."""
        raise PermanentError(f"of database {database.name} no statements are kept: what MySQL counts cannot be prepared")

    async def prepared(self, database: Database, texts: Sequence[str]) -> Sequence[str]:
        """As `statements`."""
        del texts
        raise PermanentError(f"in database {database.name} no statement is prepared: it would need the rights to run it")

    async def powers(self, database: Database) -> Sequence[str]:
        """See `Engine`."""
        (rights,) = await self._ask(database, [(_RIGHTS, ())])
        held = set().union(*_seen(rights, database.looked_at).values())
        return [f"may {right}" for right in sorted(held & _WRITING)]

    async def close(self) -> None:
        """End the threads that wait for nothing; one that hangs ends by its own limit."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def _ask(self, database: Database, questions: Sequence[Question]) -> list[list[Row]]:
        """The rows of each statement, all over one session; errors never name the address."""
        await pacing.turn(f"database {database.name}", len(questions))
        self._pool = self._pool or ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="mysql")
        try:
            async with asyncio.timeout(self._timeout * (len(questions) + 2)):
                return await asyncio.get_running_loop().run_in_executor(self._pool, _session, database, self._timeout, questions)
        except TimeoutError as error:
            raise TemporaryError(f"database {database.name} did not answer in time") from error


def _session(database: Database, timeout: float, questions: Sequence[Question]) -> list[list[Row]]:
    """One session in a thread: connect, forbid writing, ask, leave."""
    import pymysql  # noqa: PLC0415  only where such a database is configured

    where = f"database {database.name}"
    try:
        connection = pymysql.connect(**_address(database), connect_timeout=timeout, read_timeout=timeout, write_timeout=timeout, program_name="backout")
        try:
            with connection.cursor() as cursor:
                cursor.execute(_VERSION)
                for limit in _limits(timeout, mariadb=_is_mariadb(cursor.fetchone())):
                    cursor.execute(limit)
                found: list[list[Row]] = []
                for statement, parameters in questions:
                    cursor.execute(statement, parameters)
                    found.append(list(cursor.fetchall()))
                return found
        finally:
            connection.close()
    except BackoutError:
        raise
    except pymysql.err.MySQLError as error:
        reason = _reason(error)
        if reason in REFUSED:
            raise PermanentError(f"{where} refused to be read ({reason})") from error
        raise TemporaryError(f"{where} cannot be read ({reason})") from error
    except Exception as error:  # a server that lies makes the driver raise anything (struct.error, IndexError); its words are not repeated
        raise TemporaryError(f"{where} cannot be read ({type(error).__name__})") from error


def _limits(timeout: float, *, mariadb: bool) -> tuple[str, ...]:
    """The statements that bind a session before it asks. MySQL counts in milliseconds and under another name."""
    within = f"SET SESSION max_statement_time = {timeout:g}" if mariadb else f"SET SESSION max_execution_time = {int(timeout * 1000)}"
    return (within, "SET SESSION lock_wait_timeout = 1", "SET SESSION TRANSACTION READ ONLY", "START TRANSACTION READ ONLY")


def _quoted(identifier: str) -> str:
    doubled = identifier.replace("`", "``").replace("%", "%%")
    return f"`{doubled}`"


def _is_mariadb(version: Row | None) -> bool:
    return version is not None and "mariadb" in str(version[0]).lower()


def _reason(error: Any) -> int | str:
    """The number of the error, or its kind: a driver's own words can hold address and role."""
    number = error.args[0] if error.args else None
    return number if isinstance(number, int) else type(error).__name__


def _address(database: Database) -> Mapping[str, Any]:
    """What the driver is told; PermanentError where the password file or the CA cannot be used."""
    parts = urlsplit(database.url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host, port = parts.hostname or "", parts.port or PORT
    role, schema = unquote(parts.username or ""), unquote(parts.path.strip("/"))
    file = asked.get("passfile")
    password = _password(Path(file), (host, str(port), schema, role)) if file else ""
    mode = asked.get("sslmode", "verify-full")
    secured: dict[str, Any] = {"ssl_disabled": True}
    if mode != "disable":
        try:
            context = ssl.create_default_context(cafile=asked.get("sslrootcert"))
        except (OSError, ssl.SSLError) as error:
            raise PermanentError(f"the CA file of database {database.name} cannot be used ({type(error).__name__})") from error
        context.check_hostname = mode == "verify-full"
        secured = {"ssl": context}
    return {"host": host, "port": port, "user": role, "password": password, "database": schema, "charset": "utf8mb4", "local_infile": False, **secured}


def _password(file: Path, wanted: tuple[str, str, str, str]) -> str:
    r"""The password that a file in libpq's format (`host:port:database:user:password`, `*` for any, `\` before `:` and `\`) has for that connection."""
    try:
        if file.stat().st_mode & 0o077:
            raise PermanentError(f"the password file {file.name} may be read by others; take that away (chmod 600)")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"the password file {file.name} cannot be read ({type(error).__name__})") from error
    for line in lines:
        fields = [_ESCAPED.sub(r"\1", field) for field in _FIELD.findall(line)] if line and not line.startswith("#") else []
        if len(fields) == len(wanted) + 1 and all(field in {"*", one} for field, one in zip(fields, wanted, strict=False)):
            return fields[-1]
    raise PermanentError(f"the password file {file.name} has no line for that database")


_FIELD = re.compile(r"(?:^|(?<=:))((?:[^:\\]|\\.)*)(?::|$)")
_ESCAPED = re.compile(r"\\(.)")


def _seen(rights: Sequence[Row], schemas: Sequence[str]) -> Mapping[str, frozenset[str]]:
    r"""The role's rights on each whole schema; those on everything count for each. A pattern of a grant (`shop\_%`) is LIKE's."""
    return {schema: frozenset(str(right) for right, pattern in rights if pattern is None or _like(str(pattern), schema)) for schema in schemas}


def _like(pattern: str, name: str) -> bool:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.fullmatch("".join(".*" if one == "%" else "." if one == "_" else re.escape(one[-1]) for one in parts), name, re.DOTALL) is not None


_BESIDE = ((CHANGES, "PROCESS"), (TRIGGERS, "TRIGGER"), (FUNCTIONS, "EXECUTE"))
"""What needs a right of its own to be seen, and that right."""
_WHOLE = frozenset({"SELECT", "INSERT", "UPDATE", "REFERENCES"})
"""Rights that show every column of a table: with any of them on the schema nothing is hidden."""
_WRITING = frozenset(
    {"INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "SUPER", "FILE", "CREATE ROUTINE", "ALTER ROUTINE", "CREATE VIEW", "GRANT OPTION"}
)

_GHOST = re.compile(r"\._(?:.+_(?:gho|ghc|new)|vt_.+)$")
"""Tables by which gh-ost, pt-online-schema-change and Vitess change another table aside, and which then take its place."""

_WIDTH = re.compile(r"\b((?:tiny|small|medium|big)?int)\(\d+\)")
"""A display width says nothing about values, and newer servers leave it out."""


def _tables(
    columns: Sequence[Row], views: set[str], keys: Sequence[Row], foreign: Sequence[Row], checks: Sequence[Row], triggers: Sequence[Row]
) -> Mapping[str, CatalogTable]:
    found: dict[str, dict[str, CatalogColumn]] = defaultdict(dict)
    unique, rules, fired = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for table, name, type_, nullable, default, extra, collation in columns:
        told = str(extra or "").upper()
        generated = "GENERATED" in told.replace("DEFAULT_GENERATED", "")
        given = "AUTO_INCREMENT" in told or generated or default not in {None, "NULL"}
        full = _WIDTH.sub(r"\1", str(type_)) + (f" collate {collation}" if collation else "")
        found[str(table)][str(name)] = CatalogColumn(type=full, required=nullable == "NO", given=given, generated=generated)
    for table, index, parts in _grouped(keys):
        over = ", ".join(f"{column or '(an expression)'}{f'({length})' if length else ''}" for column, length in parts)
        unique[table].add(f"{'PRIMARY KEY' if index == 'PRIMARY' else 'UNIQUE'} ({over})")
    for table, _, parts in _grouped(foreign):
        other, on_update, on_delete = parts[0][2:]
        here, there = ", ".join(str(part[0]) for part in parts), ", ".join(str(part[1]) for part in parts)
        rules[table].add(f"FOREIGN KEY ({here}) REFERENCES {other} ({there}) ON UPDATE {on_update} ON DELETE {on_delete}")
    for table, clause in checks:
        rules[str(table)].add(f"CHECK ({clause})")
    for table, timing, event, order, action in triggers:
        fired[str(table)].add(f"{timing} {event} ({order}) {action}")
    return {
        table: CatalogTable(columns=of, view=table in views, unique=frozenset(unique[table]), rules=frozenset(rules[table]), triggers=frozenset(fired[table]))
        for table, of in found.items()
    }


def _grouped(rows: Sequence[Row]) -> Sequence[tuple[str, str, list[Row]]]:
    """Rows of (table, name, part …) in order, as one entry for each name."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for table, name, *part in rows:
        groups[str(table), str(name)].append(tuple(part))
    return [(table, name, parts) for (table, name), parts in groups.items()]


def _functions(routines: Sequence[Row], parameters: Sequence[Row]) -> frozenset[str]:
    takes = defaultdict[str, list[str]](list)
    for routine, mode, type_ in parameters:
        takes[str(routine)].append(_WIDTH.sub(r"\1", f"{f'{mode} ' if mode not in {None, 'IN'} else ''}{type_}"))
    return frozenset(f"{routine}({', '.join(takes[str(routine)])})" for (routine,) in routines)


_VERSION = "SELECT version()"

_READ_ONLY = "SELECT @@global.read_only"

_RIGHTS = """SELECT privilege_type, NULL FROM information_schema.user_privileges
UNION ALL SELECT privilege_type, table_schema FROM information_schema.schema_privileges"""

_MAY_READ = "SELECT concat(table_schema, '.', table_name) FROM information_schema.table_privileges WHERE privilege_type = 'SELECT'"

_COLUMNS = f"""SELECT concat(c.table_schema, '.', c.table_name), c.column_name, c.column_type, c.is_nullable, c.column_default, c.extra, c.collation_name
FROM information_schema.columns c WHERE c.table_schema IN %s ORDER BY 1, c.ordinal_position LIMIT {MOST_COLUMNS + 1}"""  # noqa: S608  a constant of ours

_VIEWS = "SELECT concat(table_schema, '.', table_name) FROM information_schema.tables WHERE table_schema IN %s AND table_type LIKE '%%VIEW'"

_KEYS = """SELECT concat(table_schema, '.', table_name), index_name, column_name, sub_part FROM information_schema.statistics
WHERE table_schema IN %s AND non_unique = 0 ORDER BY 1, 2, seq_in_index"""

_FOREIGN = """SELECT concat(k.table_schema, '.', k.table_name), k.constraint_name, k.column_name, k.referenced_column_name,
  concat(k.referenced_table_schema, '.', k.referenced_table_name), r.update_rule, r.delete_rule
FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r
  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
WHERE k.table_schema IN %s AND k.referenced_table_name IS NOT NULL ORDER BY 1, 2, k.ordinal_position"""

_CHECKS_MARIADB = "SELECT concat(constraint_schema, '.', table_name), check_clause FROM information_schema.check_constraints WHERE constraint_schema IN %s"

_CHECKS_MYSQL = """SELECT concat(t.table_schema, '.', t.table_name), c.check_clause FROM information_schema.check_constraints c
JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name
  AND t.constraint_type = 'CHECK'
WHERE c.constraint_schema IN %s"""

_TRIGGERS = """SELECT concat(event_object_schema, '.', event_object_table), action_timing, event_manipulation, action_order, action_statement
FROM information_schema.triggers WHERE event_object_schema IN %s"""

_ROUTINES = "SELECT concat(routine_schema, '.', routine_name) FROM information_schema.routines WHERE routine_schema IN %s"

_PARAMETERS = """SELECT concat(specific_schema, '.', specific_name), parameter_mode, dtd_identifier FROM information_schema.parameters
WHERE specific_schema IN %s AND ordinal_position > 0 ORDER BY 1, ordinal_position"""

# Another session's statement that changes a schema, running or waiting for a table. Its words may hold values, so only the schema comes back.
_BUSY = """SELECT DISTINCT db FROM information_schema.processlist WHERE db IN %s AND command <> 'Sleep' AND id <> connection_id()
AND info REGEXP '^([[:space:]]|/[*].*[*]/)*(ALTER|CREATE|DROP|RENAME|TRUNCATE|OPTIMIZE)[[:space:]]'
AND info NOT REGEXP '^([[:space:]])*CREATE[[:space:]]+TEMPORARY' ORDER BY 1"""
