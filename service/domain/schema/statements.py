"""Turns one SQL statement into operations: token patterns for what is regular, sqlglot for the actions of `ALTER TABLE`.

Strict: what a pattern cannot account for, and a verb left over where none belongs, makes the statement "not understood". It decides nothing about OLD
beyond what the text alone decides (a NOTE with its own verdict); the rest is `judgement`. The statement table of the safety notes is the measure.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from service.domain.schema.bodies import Read, of_block, of_routine, of_strings
from service.domain.schema.cursor import Cursor, Session, identifier, parts_of
from service.domain.schema.definitions import read_action, read_keys, read_table
from service.domain.schema.operations import Kind, Operation, unknown
from service.domain.schema.reading import Dialect, SchemaVerdict
from service.domain.schema.scanning import Statement, Token

_SAFE, _WARN, _BREAKS, _UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
_READ_BY_A_PERSON = "a person reads the statement and confirms that OLD still runs, or it is rewritten as plain DDL"
# sqlglot tries alternatives at brackets and at some words, and its time doubles or triples with each level: `char(char(...` eleven deep takes half a second.
_MAX_PARENTHESES, _MAX_BRACKETS, _MAX_CASES, _MAX_IFS = 6, 4, 12, 3
_MAX_NESTED_WRITES = 20
_MAX_ACTIONS = 200
# The second half are words, not calls, that a parenthesis may follow.
_HARMLESS_CALLS = frozenset(
    {
        "SETVAL",
        "NEXTVAL",
        "SET_CONFIG",
        "CURRENT_SETTING",
        "PG_GET_SERIAL_SEQUENCE",
        "MAX",
        "MIN",
        "COUNT",
        "COALESCE",
        "GREATEST",
        "NOW",
        "VERSION",
        "LAST_INSERT_ID",
    }
    | {"SUM", "AVG", "STRING_AGG", "ARRAY_AGG", "ARRAY_LENGTH", "FORMAT", "LOWER", "UPPER", "CONCAT", "NULLIF", "CURRENT_SCHEMA", "TO_REGCLASS"}
    | {"EXISTS", "IN", "VALUES", "FROM", "AS", "AND", "OR", "NOT", "WHERE", "SELECT", "ON", "JOIN", "UNION", "ALL", "BY", "CASE", "WHEN", "THEN", "ELSE"}
)
_CHANGES_QUOTING = re.compile(r"ANSI|BACKSLASH|ORACLE|POSTGRESQL|MSSQL|DB2|MAXDB|@|CONCAT", re.IGNORECASE)
_KEEPS_MODE = re.compile(r"@(\w+)\s*:?=\s*@@(?:SESSION\.)?SQL_MODE\b", re.IGNORECASE)
_TAKES_MODE = re.compile(r"\bSQL_MODE\s*=\s*@(\w+)", re.IGNORECASE)
_LENGTH_CALLS = frozenset({"LENGTH", "CHAR_LENGTH", "CHARACTER_LENGTH", "OCTET_LENGTH", "LEFT", "SUBSTR", "SUBSTRING"})
_HARMLESS_PRAGMAS = frozenset(
    {"FOREIGN_KEYS", "DEFER_FOREIGN_KEYS", "FOREIGN_KEY_CHECK", "LEGACY_ALTER_TABLE", "USER_VERSION", "INTEGRITY_CHECK", "QUICK_CHECK", "OPTIMIZE"}
    | {"JOURNAL_MODE", "SYNCHRONOUS", "CACHE_SIZE", "TEMP_STORE", "BUSY_TIMEOUT"}
)
_NEW_OBJECTS = frozenset(
    {"SCHEMA", "SEQUENCE", "EXTENSION", "TYPE", "DOMAIN", "COLLATION", "STATISTICS", "DATABASE", "ROLE", "USER", "CAST", "OPERATOR", "PUBLICATION"}
)
_ALTERABLE_TO_NEW_NAME = frozenset(
    {"VIEW", "MATERIALIZED VIEW", "SEQUENCE", "TYPE", "DOMAIN", "SCHEMA", "FUNCTION", "PROCEDURE", "AGGREGATE", "ROUTINE", "INDEX", "TRIGGER", "POLICY"}
)
_WRITING_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "DROP", "ALTER", "EXECUTE", "CALL", "REPLACE"})
# Verbs that no harmless statement contains: where one stands, a semicolon was lost and another statement would be overlooked.
_LOST_WORDS = frozenset({"INSERT", "DELETE", "TRUNCATE", "CREATE", "DROP", "ALTER"})
_STRAY_WORDS = _WRITING_WORDS | {"CREATE"}
_TRANSACTION_WORDS = frozenset(
    {
        "TRANSACTION",
        "WORK",
        "ISOLATION",
        "LEVEL",
        "READ",
        "WRITE",
        "ONLY",
        "SERIALIZABLE",
        "REPEATABLE",
        "COMMITTED",
        "UNCOMMITTED",
        "DEFERRED",
        "IMMEDIATE",
        "EXCLUSIVE",
        "AND",
        "NO",
        "CHAIN",
        "RELEASE",
    }
)
_TYPE_ALIASES = {
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "INT2": "SMALLINT",
    "BOOL": "BOOLEAN",
    "DECIMAL": "NUMERIC",
    "VARCHAR": "CHARACTER VARYING",
}


def read(statement: Statement, session: Session) -> list[Operation]:
    """Return the operations of one statement, never none: what is not understood is a NOTE with the verdict unknown. May change the session."""
    if session.dialect is Dialect.MYSQL and not statement.trouble and (name := _procedure_made(statement, session)):
        session.procedures[name] = statement
    return _read(statement, session)


def _procedure_made(statement: Statement, session: Session) -> str:
    """The name of the procedure that a statement makes, empty for all others."""
    words = [token.word for token in statement.tokens[:16]]
    if words[0] != "CREATE" or "PROCEDURE" not in words:
        return ""
    cursor = Cursor(statement.tokens, session, words.index("PROCEDURE") + 1)
    cursor.guard()
    return (cursor.qualified() or "").lower()


def _read(statement: Statement, session: Session) -> list[Operation]:
    if statement.trouble:
        return [unknown("not_understood", f"cannot be read: {statement.trouble}", _READ_BY_A_PERSON)]
    cursor = Cursor(statement.tokens, session)
    reader = _READERS.get(cursor.word())
    operations = reader(cursor, statement) if reader else None
    if operations:
        takes_rows = cursor.tokens[0].word in _ROW_READERS or cursor.tokens[0].word == "WITH" or operations[0].kind is Kind.CREATE_TABLE
        return [*operations, *_nested_writes(statement, session)] if takes_rows else operations
    first = " ".join(token.text for token in statement.tokens[:3])[:60]
    return [unknown("not_understood", f"is not understood ({first} ...)", _READ_BY_A_PERSON)]


def _note(rule: str, verdict: SchemaVerdict, says: str, clears: str = "", name: str = "") -> list[Operation]:
    return [Operation(kind=Kind.NOTE, rule=rule, verdict=verdict, says=says, clears=clears, name=name)]


def _harmless(says: str = "changes no schema and no data") -> list[Operation]:
    return _note("no_schema_change", _SAFE, says)


def _never_read(rule: str, says: str) -> Callable[[Cursor, Statement], list[Operation]]:
    def answer(_cursor: Cursor, _statement: Statement) -> list[Operation]:
        return [unknown(rule, says, _READ_BY_A_PERSON)]

    return answer


def _always_harmless(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    return _harmless() if _LOST_WORDS.isdisjoint(cursor.rest()[1:]) else None


def _transaction(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    if cursor.word() in {"COMMIT", "END"}:
        cursor.session.end_transaction()
    return _harmless() if all(word in _TRANSACTION_WORDS for word in cursor.rest()[1:]) else None


def _reset(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.session.point("default")
    return _harmless("resets something of its own session")


def _savepoint(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    return _harmless() if len(cursor.tokens) <= 3 else None  # noqa: PLR2004  RELEASE SAVEPOINT name


def _set(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    if not _LOST_WORDS.isdisjoint(cursor.rest()):
        return None
    if cursor.word() in {"GLOBAL", "PERSIST", "PERSIST_ONLY", "PASSWORD", "DEFAULT", "RESOURCE"} or any(
        token.text == "@" and following.word in {"GLOBAL", "PERSIST", "PERSIST_ONLY"} for token, following in pairwise(cursor.tokens)
    ):
        return None
    words = set(cursor.rest())
    if ("STANDARD_CONFORMING_STRINGS" in words and "ON" not in words) or ("SQL_MODE" in words and _CHANGES_QUOTING.search(_new_modes(cursor, statement))):
        return None  # what follows would have to be cut in another way
    if (
        cursor.session.dialect is Dialect.MYSQL
        and cursor.mark() == "@"
        and (kept := of_strings(statement, cursor.session.dialect, _inside(cursor.session, cursor.session.depth)))
    ):
        return [unknown("dynamic_sql", "keeps a statement for later, which it may put together", _READ_BY_A_PERSON), *kept]
    local = cursor.take_one("SESSION", "LOCAL") == "LOCAL"
    if cursor.take("SEARCH_PATH") or (cursor.session.dialect is Dialect.POSTGRES and cursor.take("SCHEMA")):
        if cursor.done or not (cursor.take_mark("=") or cursor.take("TO") or cursor.tokens[cursor.at].kind == "string") or cursor.done:
            return None
        token = cursor.tokens[cursor.at]
        first = token.text.strip("'") if token.kind == "string" else identifier(token, cursor.session.dialect)
        cursor.session.point(first.split(",")[0].strip(' "'), local=local)
        return _harmless("sets which schema unqualified names mean")
    return _harmless("sets something for its own session")


def _new_modes(cursor: Cursor, statement: Statement) -> str:
    """What a SET says of sql_mode beside keeping the mode in a variable (as mysqldump begins) and taking it back from there (as it ends)."""
    saved = cursor.session.saved_modes
    saved |= {name.lower() for name in _KEEPS_MODE.findall(statement.text)}
    return _TAKES_MODE.sub(lambda found: "" if found[1].lower() in saved else found[0], _KEEPS_MODE.sub("", statement.text))


def _use(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    if len(cursor.tokens) != 2:  # noqa: PLR2004  USE name
        return None
    cursor.session.point(identifier(cursor.tokens[1], cursor.session.dialect, of_table=True))
    return _harmless("sets which database unqualified names mean")


def _pragma(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    return _harmless() if cursor.word(1) in _HARMLESS_PRAGMAS else None


def _comment_on(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    end = len(cursor.tokens) - 1
    while end and cursor.tokens[end].kind == cursor.tokens[end - 1].kind == "string":  # one text, written in several lines
        end -= 1
    ends = cursor.tokens[end].kind == "string" or cursor.tokens[end].word == "NULL"
    return _harmless("changes a comment") if cursor.word(1) == "ON" and ends and cursor.tokens[end - 1].word == "IS" else None


def _grant(_cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    return _note("right_granted", _SAFE, "grants rights")


def _revoke(_cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    return _note("right_revoked", _BREAKS, "revokes rights", "OLD's role is shown to keep every right that it used")


def _select(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    words = cursor.rest()
    assigns = cursor.session.depth > 0 and cursor.session.dialect is Dialect.POSTGRES  # in PL/pgSQL, SELECT INTO sets a variable
    if ("INTO" in words and not assigns) or "PROCEDURE" in words or "OUTFILE" in words:
        return None
    text = statement.text.lower()
    if "set_config" in text and "search_path" in text:
        if re.fullmatch(r"select\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'search_path'\s*,\s*''\s*,\s*(?:false|true)\s*\)", text) is None:
            return None
        cursor.session.point("")
        return _harmless("makes every name be qualified")
    calls = {token.word or token.text for token, following in pairwise(cursor.tokens) if token.kind in {"word", "quoted"} and following.text == "("}
    foreign = sorted(calls - _HARMLESS_CALLS)
    if foreign:
        return [unknown("calls_a_function", f"calls {', '.join(foreign)[:80]}, whose effect is not in the text", _READ_BY_A_PERSON)]
    return _harmless("positions a sequence" if {"SETVAL", "NEXTVAL"} & calls else "only reads")


# --- rows ----------------------------------------------------------------------------------------------------------------------------------------


def _insert(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    verb = cursor.word().lower()
    cursor.at += 1
    replaces = verb == "replace"
    while modifier := cursor.take_one("IGNORE", "LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "OR", "ROLLBACK", "ABORT", "FAIL", "REPLACE"):
        replaces |= modifier == "REPLACE"
    cursor.take("INTO")
    if (table := cursor.qualified()) is None:
        return None
    words = cursor.rest()
    upsert = replaces or any(pair in pairwise(words) for pair in (("DO", "UPDATE"), ("KEY", "UPDATE")))
    reads = _tables_read(cursor)
    columns, sources, whole = _copied(cursor) if reads else ((), (), False)
    return [Operation(kind=Kind.WRITE, what="insert", table=table, upsert=upsert, reads=reads, columns=columns, sources=sources, whole=whole)]


def _copied(cursor: Cursor) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return the columns that INSERT ... SELECT fills, those it takes them from ("" for an expression), and whether it takes all rows as they are (*)."""
    columns: list[str] = []
    start = cursor.at
    if cursor.skip_parentheses():
        columns = [Cursor(part, cursor.session).identifier() or "" for part in parts_of(cursor.tokens[start + 1 : cursor.at - 1])]
    if not cursor.take("SELECT"):
        return tuple(columns), (), False
    start, depth = cursor.at, 0
    while not cursor.done and (depth or cursor.word() != "FROM"):
        depth += (cursor.mark() == "(") - (cursor.mark() == ")")
        cursor.at += 1
    parts = parts_of(cursor.tokens[start : cursor.at])
    sources = [_source(part, into, cursor.session) for part, into in zip(parts, [*columns, *[""] * len(parts)], strict=False)]
    cursor.at += 1
    all_rows = cursor.qualified() is not None and (cursor.done or cursor.take("ORDER", "BY"))
    return tuple(columns), tuple(sources), sources == ["*"] and not columns and all_rows


_VALUES = frozenset({"NULL", "TRUE", "FALSE", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "DEFAULT"})
"""Words that are values and no columns."""


def _source(part: Sequence[Token], into: str, session: Session) -> str:
    """Return the column that one item of a SELECT takes; of an expression the column that it fills, if it mentions that, else ""."""
    inner = Cursor(part, session)
    if part[0].word in _VALUES:
        return ""
    name = inner.identifier() or ""
    while inner.take_mark("."):
        name = inner.identifier() or ("*" if inner.take_mark("*") else "")
    if not name and inner.take_mark("*"):
        name = "*"
    if inner.done or (inner.take("AS") and inner.identifier() is not None and inner.done):
        return name
    return into if into and any(token.kind in {"word", "quoted"} and identifier(token, session.dialect) == into for token in part) else ""


def _update(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    while cursor.take_one("ONLY", "LOW_PRIORITY", "IGNORE", "OR", "ROLLBACK", "ABORT", "FAIL", "REPLACE"):
        pass
    if (table := cursor.qualified()) is None:
        return None
    # More than one table before SET (MySQL): which one is written is not told apart, so no column is claimed.
    start, depth, several = cursor.at, 0, False
    while not cursor.done and not (cursor.word() == "SET" and not depth):
        depth += (cursor.mark() == "(") - (cursor.mark() == ")")
        several |= cursor.mark() == "," or cursor.word() == "JOIN"
        cursor.at += 1
    if not cursor.take("SET"):
        return None
    columns = () if several else _columns_set(cursor)
    cursor.at = start
    write = Operation(
        kind=Kind.WRITE, what="update", table=table, columns=columns, whole=several, shortens=_columns_measured(cursor), reads=_tables_read(cursor)
    )
    return [write]


def _delete(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    while cursor.take_one("LOW_PRIORITY", "QUICK", "IGNORE"):
        pass
    targets: list[str] = []
    while not cursor.done and cursor.word() != "FROM":
        if (name := cursor.qualified()) is None:
            return None
        targets.append(name)
        cursor.take_mark(",")
    if not cursor.take("FROM"):
        return None
    cursor.take("ONLY")
    if (table := cursor.qualified()) is None:
        return None
    words = cursor.rest()
    # An alias as target (MySQL) means a table of the FROM list; which one is not told apart.
    several = bool(targets) and targets != [table]
    whole = "WHERE" not in words and "USING" not in words and "JOIN" not in words and "LIMIT" not in words
    write = Operation(kind=Kind.WRITE, what="delete", table="" if several else table, whole=whole, shortens=_columns_measured(cursor))
    return [write]


def _truncate(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    cursor.take("TABLE")
    operations = []
    while True:
        cursor.take("ONLY")
        if (table := cursor.qualified()) is None:
            return None
        cursor.take_mark("*")
        operations.append(Operation(kind=Kind.WRITE, what="truncate", table=table, whole=True))
        if not cursor.take_mark(","):
            break
    return operations if set(cursor.rest()) <= {"CASCADE", "RESTRICT", "RESTART", "CONTINUE", "IDENTITY"} else None


def _merge(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    cursor.take("INTO")
    cursor.take("ONLY")
    table = cursor.qualified()
    return None if table is None else [Operation(kind=Kind.WRITE, what="merge", table=table, upsert=True)]


def _with(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    """Read the statement behind its common table expressions."""
    depth = 0
    for index in range(1, len(cursor.tokens)):
        cursor.at = index
        depth += (cursor.mark() == "(") - (cursor.mark() == ")")
        if not depth and cursor.word() in _ROW_READERS:
            return _ROW_READERS[cursor.word()](Cursor(cursor.tokens, cursor.session, index), statement)
    return None


def _nested_writes(statement: Statement, session: Session) -> list[Operation]:
    """Return the writes that stand in parentheses: data-modifying common table expressions."""
    tokens = statement.tokens
    starts = [at for at in range(1, len(tokens)) if tokens[at - 1].text == "(" and tokens[at].word in {"INSERT", "UPDATE", "DELETE", "MERGE"}]
    if len(starts) > _MAX_NESTED_WRITES:
        return [unknown("not_understood", "changes rows in more places than are read", _READ_BY_A_PERSON)]
    found: list[Operation] = []
    for start in starts:
        end, depth = start, 1
        while end < len(tokens) and depth:
            depth += (tokens[end].text == "(") - (tokens[end].text == ")")
            end += 1
        part = _ROW_READERS[tokens[start].word](Cursor(tokens[start : end - 1], session), statement)
        found += part or [unknown("not_understood", "changes rows inside a common table expression that is not understood", _READ_BY_A_PERSON)]
    return found


def _columns_set(cursor: Cursor) -> tuple[str, ...]:
    """Return the columns that SET assigns, empty where one is not told apart."""
    columns: list[str] = []
    while True:
        if cursor.take_mark("("):
            while (name := cursor.identifier()) is not None:
                columns.append(name)
                cursor.take_mark(",")
            if not cursor.take_mark(")"):
                return ()
        else:
            if (name := cursor.identifier()) is None:
                return ()
            while cursor.take_mark("."):
                if (name := cursor.identifier()) is None:
                    return ()
            columns.append(name)
        if not (cursor.take_mark("=") or (cursor.take_mark(":=")) or cursor.mark() == "["):
            return ()
        depth = 0
        while not cursor.done and not (not depth and (cursor.mark() == "," or cursor.word() in {"FROM", "WHERE", "RETURNING", "ORDER", "LIMIT"})):
            depth += (cursor.mark() == "(") + (cursor.mark() == "[") - (cursor.mark() == ")") - (cursor.mark() == "]")
            cursor.at += 1
        if not cursor.take_mark(","):
            return tuple(columns)


def _columns_measured(cursor: Cursor) -> frozenset[str]:
    """Return the names inside calls that measure or cut a text: the mark of rows being fitted to a shorter column."""
    found: set[str] = set()
    for index in range(cursor.at, len(cursor.tokens) - 2):
        if cursor.tokens[index].word in _LENGTH_CALLS and cursor.tokens[index + 1].text == "(" and cursor.tokens[index + 2].kind in {"word", "quoted"}:
            last = index + 2
            while last + 2 < len(cursor.tokens) and cursor.tokens[last + 1].text == ".":
                last += 2
            found.add(identifier(cursor.tokens[last], cursor.session.dialect))
    return frozenset(found)


def _tables_read(cursor: Cursor) -> frozenset[str]:
    found: set[str] = set()
    for index in range(cursor.at, len(cursor.tokens)):
        if cursor.tokens[index].word in {"FROM", "JOIN"}:
            name = Cursor(cursor.tokens, cursor.session, index + 1).qualified()
            found.update([name] if name else [])
    return frozenset(found)


# --- create ----------------------------------------------------------------------------------------------------------------------------------------


def _create(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    replaces = cursor.take("OR", "REPLACE") or cursor.take("OR", "ALTER")
    # MySQL: DEFINER = `a`@`b`, ALGORITHM = x, SQL SECURITY x stand before the kind of object.
    while word := cursor.take_one(
        "DEFINER",
        "ALGORITHM",
        "SQL",
        "GLOBAL",
        "LOCAL",
        "TEMP",
        "TEMPORARY",
        "UNLOGGED",
        "FOREIGN",
        "VIRTUAL",
        "RECURSIVE",
        "CONSTRAINT",
        "TRUSTED",
        "PROCEDURAL",
    ):
        if word == "SQL":
            cursor.take("SECURITY")
            cursor.take_one("DEFINER", "INVOKER")
        elif word in {"DEFINER", "ALGORITHM"}:
            cursor.take_mark("=")
            cursor.at += 1
            if cursor.take_mark("("):
                cursor.take_mark(")")
            if cursor.take_mark("@"):
                cursor.at += 1
    unique = bool(cursor.take_one("UNIQUE"))
    cursor.take_one("FULLTEXT", "SPATIAL")
    if cursor.take("INDEX"):
        return _create_index(cursor, unique=unique)
    if unique:
        return None
    if cursor.take("TABLE"):
        return _create_table(cursor)
    materialized = bool(cursor.take("MATERIALIZED"))
    if cursor.take("VIEW"):
        return _create_view(cursor, materialized=materialized, replaces=replaces)
    if kind := cursor.take_one("FUNCTION", "PROCEDURE", "AGGREGATE", "TRIGGER"):
        guarded = cursor.guard()
        if (name := cursor.qualified()) is None:
            return None
        what = kind.lower()
        signature = _signature(cursor) if what != "trigger" else None
        table = ""
        if what == "trigger":
            table = next(
                (
                    Cursor(cursor.tokens, cursor.session, at + 1).qualified() or ""
                    for at in range(cursor.at, len(cursor.tokens))
                    if cursor.tokens[at].word == "ON"
                ),
                "",
            )
            if not table:
                return None
            name = _trigger_name(name, table, cursor.session.dialect)
        return [Operation(kind=Kind.CREATE_OBJECT, what=what, name=name, table=table, guarded=guarded, replace=replaces, signature=signature)]
    if cursor.take("POLICY"):
        name = cursor.identifier()
        if name is None or not cursor.take("ON") or (table_of := cursor.qualified()) is None:
            return None
        return [Operation(kind=Kind.CREATE_OBJECT, what="policy", name=f"{table_of}.{name}", table=table_of)]
    if kind := cursor.take_one(*_NEW_OBJECTS):
        if kind == "OPERATOR" or replaces:
            return None
        guarded = cursor.guard()
        name = cursor.account() if kind in {"ROLE", "USER"} else cursor.qualified()
        if name is None and kind not in {"SCHEMA", "CAST", "STATISTICS"}:
            return None
        if kind in {"SCHEMA", "PUBLICATION"} and not _WRITING_WORDS.isdisjoint(cursor.rest()):
            return None
        # A domain may bring NOT NULL to every column that is later given its type.
        strict = kind == "DOMAIN" and ("NOT", "NULL") in pairwise(cursor.rest()) and "DEFAULT" not in cursor.rest()
        return [Operation(kind=Kind.CREATE_OBJECT, what=kind.lower(), name=name or "", guarded=guarded, whole=strict)]
    return None


def _create_index(cursor: Cursor, *, unique: bool) -> list[Operation] | None:
    cursor.take("CONCURRENTLY")
    guarded = cursor.guard()
    name = None if cursor.word() == "ON" else cursor.qualified()
    if cursor.take("USING"):  # MySQL: CREATE INDEX name USING BTREE ON table
        cursor.at += 1
    if not cursor.take("ON"):
        return None
    cursor.take("ONLY")
    if (table := cursor.qualified()) is None:
        return None
    if cursor.take("USING"):
        cursor.at += 1
    group = cursor.at
    if not cursor.skip_parentheses():
        return None
    index = _index_name(name or "", table, cursor.session.dialect)
    if not unique:
        return [Operation(kind=Kind.CREATE_OBJECT, what="index", name=index, table=table, guarded=guarded)]
    columns: list[str] = []
    for part in parts_of(cursor.tokens[group + 1 : cursor.at - 1]):
        inner = Cursor(part, cursor.session)
        column = inner.identifier()
        plain = column is not None and set(inner.rest()) <= {"ASC", "DESC", "NULLS", "FIRST", "LAST"}
        columns = [*columns, column] if plain and column is not None and columns is not None else columns
        if not plain:
            columns = []
            break
    words = cursor.rest()
    strict = ("NULLS", "NOT") in pairwise(words)
    return [Operation(kind=Kind.ADD_UNIQUE, what="unique index", name=index, table=table, columns=tuple(columns), upsert=strict, guarded=guarded)]


def _index_name(name: str, table: str, dialect: Dialect) -> str:
    """Return the name by which an index is found again: per table in MySQL, in the table's schema elsewhere."""
    if not name:
        return ""
    if dialect is Dialect.MYSQL:
        return f"{table}.{name.rsplit('.', 1)[-1].lower()}"
    schema = table.rpartition(".")[0]
    return f"{schema}.{name}" if schema and "." not in name else name


def _trigger_name(name: str, table: str, dialect: Dialect) -> str:
    """Return the name by which a trigger is found again: per table in PostgreSQL, in the schema elsewhere."""
    return f"{table}.{name.rsplit('.', 1)[-1]}" if table and dialect is Dialect.POSTGRES else name


def _create_table(cursor: Cursor) -> list[Operation] | None:
    guarded = cursor.guard()
    if not cursor.done and {"TEMP", "TEMPORARY"} & {token.word for token in cursor.tokens[1 : cursor.at]} and cursor.mark(1) != ".":
        cursor.session.temporary.add(identifier(cursor.tokens[cursor.at], cursor.session.dialect, of_table=True))
    if (table := cursor.qualified()) is None:
        return None
    opened = cursor.at + 1
    had_columns = cursor.skip_parentheses()
    tail = cursor.at
    if not had_columns and cursor.word() not in {"AS", "SELECT", "LIKE", "PARTITION", "USING", "OF", "INHERITS", "WITH", "ON", "TABLESPACE"}:
        return None
    # The rest is options or a query. A statement that lost its semicolon would show its verb here.
    depth = 0
    for at in range(tail, len(cursor.tokens)):
        token, following = cursor.tokens[at], cursor.tokens[at + 1].text if at + 1 < len(cursor.tokens) else ""
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word in _STRAY_WORDS and following != "(" and cursor.tokens[at - 1].word not in {"ON", "COMMIT"}:
            return None
    reads = _tables_read(Cursor(cursor.tokens, cursor.session, tail))
    wanted = had_columns and (cursor.session.definitions or cursor.session.dialect is Dialect.SQLITE)  # SQLite changes tables by building them anew
    definition = read_table(cursor.tokens[opened : tail - 1], cursor) if wanted else None
    of_mysql = read_keys(cursor.tokens[opened : tail - 1], cursor) if wanted and cursor.session.dialect is Dialect.MYSQL else ()
    keys = tuple((_index_name(name, table, cursor.session.dialect), unique) for name, unique in of_mysql)
    shape_of = _shape_of(cursor, opened, tail)
    return [Operation(kind=Kind.CREATE_TABLE, table=table, to=shape_of, guarded=guarded, reads=reads, definition=definition, keys=keys)]


def _shape_of(cursor: Cursor, opened: int, tail: int) -> str:
    """Return the table whose whole shape a new one takes: MySQL's LIKE, PostgreSQL's (LIKE ... INCLUDING ALL)."""
    for inner in (Cursor(cursor.tokens[opened : tail - 1], cursor.session), Cursor(cursor.tokens[opened - 1 :], cursor.session)):
        if inner.take("LIKE") and (name := inner.qualified()) is not None:
            mysql = cursor.session.dialect is Dialect.MYSQL
            return name if (inner.done and mysql) or (inner.take("INCLUDING", "ALL") and inner.done) else ""
    return ""


def _create_view(cursor: Cursor, *, materialized: bool, replaces: bool) -> list[Operation] | None:
    guarded = cursor.guard()
    if (name := cursor.qualified()) is None:
        return None
    listed = cursor.skip_parentheses()
    if "AS" not in cursor.rest():
        return None
    # SELECT * FROM one table, and nothing more: it shows all that the table has.
    simple = not listed and cursor.take("AS", "SELECT") and cursor.take_mark("*") and cursor.take("FROM")
    source = cursor.qualified() if simple else None
    shows_all = source is not None and cursor.done
    what = "materialized view" if materialized else "view"
    reads = frozenset({source} if source is not None and shows_all else ())
    return [Operation(kind=Kind.CREATE_OBJECT, what=what, name=name, guarded=guarded, replace=replaces, reads=reads)]


def _signature(cursor: Cursor) -> tuple[str, ...] | None:
    """Return the types of a routine's parameters, None without a list. A parameter keeps its name: `judgement` compares ends."""
    start = cursor.at
    if not cursor.skip_parentheses():
        return None
    types = []
    for part in parts_of(cursor.tokens[start + 1 : cursor.at - 1]):
        words = [_TYPE_ALIASES.get(token.word, token.word or token.text.upper()) for token in part]
        for stop in ("DEFAULT", "="):
            words = words[: words.index(stop)] if stop in words else words
        types.append(" ".join(word for word in words if word not in {"IN", "INOUT", "VARIADIC"}))
    return tuple(one for one in types if one and not one.startswith("OUT "))


# --- drop and rename -----------------------------------------------------------------------------------------------------------------------------


def _drop(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    cursor.take("TEMPORARY")
    cursor.take("FOREIGN")
    materialized = cursor.take("MATERIALIZED")
    kind = cursor.take_one(
        "TABLE",
        "VIEW",
        "INDEX",
        "TYPE",
        "DOMAIN",
        "FUNCTION",
        "PROCEDURE",
        "AGGREGATE",
        "ROUTINE",
        "TRIGGER",
        "SEQUENCE",
        "SCHEMA",
        "DATABASE",
        "EXTENSION",
        "POLICY",
        "ROLE",
        "USER",
        "STATISTICS",
        "EVENT",
    )
    if not kind:
        return None
    cursor.take("CONCURRENTLY")
    guarded = cursor.guard()
    what = f"materialized {kind}".lower() if materialized else kind.lower()
    operations: list[Operation] = []
    while True:
        if (name := cursor.account() if kind in {"ROLE", "USER"} else cursor.qualified()) is None:
            return None
        table, signature = "", None
        if kind in {"FUNCTION", "PROCEDURE", "AGGREGATE", "ROUTINE"}:
            signature, what = _signature(cursor), "function" if kind == "ROUTINE" else what
        if kind in {"INDEX", "TRIGGER", "POLICY"} and cursor.take("ON"):
            if (owner := cursor.qualified()) is None:
                return None
            table = owner
        if kind == "INDEX":
            name = _index_name(name, table, cursor.session.dialect) if table else name
        if kind == "TRIGGER":
            name = _trigger_name(name, table, cursor.session.dialect)
        if kind == "POLICY":
            name = f"{table}.{name.rsplit('.', 1)[-1]}"
        operations.append(
            Operation(kind=Kind.DROP_TABLE, table=name, guarded=guarded)
            if kind == "TABLE"
            else Operation(kind=Kind.DROP_OBJECT, what=what, name=name, table=table, guarded=guarded, signature=signature)
        )
        if not cursor.take_mark(","):
            break
    # MySQL's DROP INDEX may choose an algorithm, which changes nothing left behind.
    return operations if set(cursor.rest()) <= {"CASCADE", "RESTRICT", "ALGORITHM", "LOCK", "INPLACE", "COPY", "NONE", "SHARED", "DEFAULT", ""} else None


def _rename(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    if not cursor.take_one("TABLE", "TABLES"):
        return None
    cursor.guard()
    operations = []
    while True:
        before = cursor.qualified()
        if before is None or not cursor.take("TO") or (after := cursor.qualified()) is None:
            return None
        operations.append(Operation(kind=Kind.RENAME_TABLE, table=before, to=after))
        if not cursor.take_mark(","):
            return operations if cursor.done else None


# --- alter ---------------------------------------------------------------------------------------------------------------------------------------


def _alter(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    cursor.take_one("ONLINE", "OFFLINE", "IGNORE", "FOREIGN")
    if cursor.take("TABLE"):
        return _alter_table(cursor, statement)
    if cursor.take("DEFAULT", "PRIVILEGES"):
        verdict, rule = (_WARN, "right_revoked") if "REVOKE" in cursor.rest() else (_SAFE, "right_granted")
        return _note(rule, verdict, "changes rights on objects made later", "OLD makes no objects of its own" if verdict is _WARN else "")
    if cursor.take_one("ROLE", "USER"):
        return _note("role_changed", _BREAKS, "changes a database role", "it is not the role OLD connects as, or OLD's role keeps what it used")
    if cursor.take_one("DATABASE", "SCHEMA") and cursor.session.dialect is Dialect.MYSQL:
        return _note("charset_changed", _WARN, "changes the database's character set or collation", "OLD writes and compares the same under the new one")
    cursor.at = 1
    if cursor.take("MATERIALIZED", "VIEW"):
        kind = "MATERIALIZED VIEW"
    elif not (kind := cursor.take_one(*_ALTERABLE_TO_NEW_NAME, "EXTENSION")):
        return None
    cursor.guard()
    if (name := cursor.qualified()) is None:
        return None
    what = kind.lower()
    if kind in {"FUNCTION", "PROCEDURE", "AGGREGATE", "ROUTINE"}:
        cursor.skip_parentheses()
    table = ""
    if kind in {"TRIGGER", "POLICY"} and cursor.take("ON"):
        table = cursor.qualified() or ""
        name = f"{table}.{name}"
    if cursor.take("RENAME", "TO"):
        to = cursor.qualified()
        to = f"{table}.{to}" if to and table else to
        return [Operation(kind=Kind.RENAME_OBJECT, what=what, name=name, to=to, table=table)] if to and cursor.done else None
    if cursor.take("SET", "SCHEMA"):
        schema = cursor.identifier()
        moved = f"{schema}.{name.rsplit('.', 1)[-1]}"
        return [Operation(kind=Kind.RENAME_OBJECT, what=what, name=name, to=moved, table=table)] if schema and cursor.done else None
    if cursor.take("OWNER", "TO"):
        return _harmless("changes an owner")
    return _alter_object(cursor, what, name)


def _alter_object(cursor: Cursor, what: str, name: str) -> list[Operation] | None:
    def found(rule: str, verdict: SchemaVerdict, says: str, clears: str = "") -> list[Operation]:
        return [Operation(kind=Kind.CHANGE_OBJECT, what=what, name=name, rule=rule, verdict=verdict, says=says, clears=clears)]

    if what == "type":
        if cursor.take("ADD", "VALUE"):
            return found(
                "enum_value_added", _WARN, f"adds a value to enum {name}", "no row uses the new value yet, or OLD accepts values that it does not know"
            )
        if cursor.take("RENAME", "VALUE"):
            return found("enum_value_renamed", _BREAKS, f"renames a value of enum {name}", "OLD is shown never to read or write the old value")
    if what == "domain":
        return _alter_domain(cursor, name, found)
    if what == "sequence" and cursor.word() in {"AS", "OWNED", "RESTART", "START", "INCREMENT", "MINVALUE", "MAXVALUE", "NO", "CACHE", "CYCLE", "SET"}:
        return found("sequence_changed", _SAFE, f"changes how sequence {name} counts")
    if what == "index" and cursor.word() in {"SET", "RESET", "ATTACH"}:
        return found("storage_changed", _SAFE, f"changes the storage of index {name}")
    if what in {"view", "materialized view"} and (cursor.take("RENAME", "COLUMN") or cursor.take("RENAME")):
        column, parted, to = cursor.identifier(), cursor.take("TO"), cursor.identifier()
        return (
            found("column_renamed", _BREAKS, f"renames column {name}.{column} to {to}", "OLD does not read the column")
            if column and parted and to and cursor.done
            else None
        )
    return None


def _alter_domain(cursor: Cursor, name: str, found: Callable[..., list[Operation]]) -> list[Operation] | None:
    """A domain's constraints and default hold for every column of that type."""
    if cursor.take("SET", "NOT", "NULL") and cursor.done:
        return found("not_null_set", _WARN, f"forbids NULL in domain {name}", "OLD's model never writes NULL there, and no row ever held one")
    if cursor.take("DROP", "NOT", "NULL") and cursor.done:
        return found("not_null_dropped", _WARN, f"allows NULL in domain {name}", "no row holds NULL there, or OLD copes with it")
    if cursor.take("DROP", "DEFAULT") and cursor.done:
        return found("default_dropped", _WARN, f"drops the default of domain {name}", "OLD always writes such columns, or they may be NULL")
    if cursor.take("SET", "DEFAULT"):
        return found("default_changed", _SAFE, f"sets the default of domain {name}")
    if cursor.take("VALIDATE", "CONSTRAINT"):
        return found("constraint_validated", _SAFE, f"validates a constraint of domain {name} that new rows already had to meet")
    if cursor.take("DROP", "CONSTRAINT"):
        return found("constraint_dropped", _WARN, f"drops a constraint of domain {name}", "no row breaks the dropped rule")
    if cursor.take("RENAME", "CONSTRAINT"):
        return found("storage_changed", _SAFE, f"renames a constraint of domain {name}")
    if cursor.take("ADD") and (cursor.word() == "CHECK" or (cursor.take("CONSTRAINT") and cursor.identifier() and cursor.word() == "CHECK")):
        return found("check_added", _WARN, f"adds a check to domain {name}", "OLD writes only what the check accepts")
    return None


def _alter_table(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    cursor.guard()
    cursor.take("ONLY")
    if (table := cursor.qualified()) is None:
        return None
    cursor.take_mark("*")
    operations: list[Operation] = []
    parts = [part for part in parts_of(cursor.tokens[cursor.at :]) if part]
    if len(parts) > _MAX_ACTIONS:
        return [unknown("too_large", f"changes table {table} in {len(parts)} ways, more than are read", _READ_BY_A_PERSON)]
    for part in parts:
        text = statement.text[part[0].start - statement.tokens[0].start : part[-1].end - statement.tokens[0].start]
        found = _action(Cursor(part, cursor.session), text, table)
        if found is None:
            shown = " ".join(text.split())[:60]
            operations.append(unknown("not_understood", f"changes table {table} in a way that is not understood ({shown})", _READ_BY_A_PERSON))
        else:
            operations += [_placed(one, table, cursor.session.dialect) for one in found]
    return operations


def _placed(operation: Operation, table: str, dialect: Dialect) -> Operation:
    """Return an action's operation with its table, and with an index named as CREATE INDEX would name it."""
    is_index = operation.what in {"index", "unique index"} or (operation.kind is Kind.ADD_UNIQUE and operation.what == "unique" and dialect is Dialect.MYSQL)
    name = _index_name(operation.name, table, dialect) if is_index else operation.name
    return replace(operation, table=operation.table or table, name=name)


def _action(cursor: Cursor, text: str, table: str) -> list[Operation] | None:
    """Read one action: by token patterns where sqlglot sees nothing or something else, by sqlglot otherwise."""
    by_pattern = _plain_action(cursor, table)
    if by_pattern is not None:
        verbs = [token.word for before, token in pairwise(cursor.tokens) if before.word != "ON"]
        return by_pattern if cursor.tokens[0].word in {"ALTER", "DROP"} or _LOST_WORDS.isdisjoint(verbs) else None
    quick = read_action(Cursor(cursor.tokens, cursor.session))
    if quick is not None and _LOST_WORDS.isdisjoint(token.word for before, token in pairwise(cursor.tokens) if before.word != "ON"):
        return quick
    cursor.at = 0
    if cursor.take("ADD") and (cursor.take("COLUMN"), cursor.mark() == "(")[1]:  # MySQL: ADD COLUMN (a int, b int)
        group = cursor.tokens[cursor.at + 1 : -1]
        if cursor.tokens[-1].text != ")" or not group:
            return None
        operations: list[Operation] = []
        base = cursor.tokens[0].start
        for part in parts_of(group):
            inner = f"ADD COLUMN {text[part[0].start - base : part[-1].end - base]}" if part else ""
            found = _by_grammar(inner, part, cursor.session) if part else None
            if found is None:
                return None
            operations += found
        return operations
    cursor.at = 0
    if cursor.take("ADD", "CHECK") and cursor.mark() == "(":  # sqlglot reads a check only with a name
        found = _by_grammar(f"ADD CONSTRAINT unnamed {text[cursor.tokens[1].start - cursor.tokens[0].start :]}", cursor.tokens, cursor.session)
        return None if found is None else [replace(one, name="") for one in found]
    return _by_grammar(_without_identity_options(cursor.tokens, text), cursor.tokens, cursor.session)


def _by_grammar(text: str, tokens: Sequence[Token], session: Session) -> list[Operation] | None:
    session.grammar_characters[0] -= len(text)
    if session.grammar_characters[0] < 0:
        return None
    depth = brackets = cases = ifs = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        brackets += token.text == "["
        cases += token.word == "CASE"
        ifs += token.word == "IF"
        if depth > _MAX_PARENTHESES or brackets > _MAX_BRACKETS or cases > _MAX_CASES or ifs > _MAX_IFS:
            return None
    from service.domain.schema.alterations import read_action  # noqa: PLC0415  sqlglot takes hundreds of milliseconds to import; `backout serve` must start fast

    return read_action(text, session.dialect)


def _without_identity_options(tokens: Sequence[Token], text: str) -> str:
    """Leave off the sequence options of AS IDENTITY (START 1 ...), which sqlglot does not read and which change nothing for OLD."""
    for index, token in enumerate(tokens[:-1]):
        if token.word == "IDENTITY" and index and tokens[index - 1].word == "AS" and tokens[index + 1].text == "(":
            close = next((at for at in range(index + 2, len(tokens)) if tokens[at].text == ")"), None)
            if close is not None:
                base = tokens[0].start
                return text[: tokens[index + 1].start - base] + text[tokens[close].end - base :]
    return text


def _plain_action(cursor: Cursor, table: str) -> list[Operation] | None:
    def found(rule: str, verdict: SchemaVerdict, says: str, clears: str = "") -> list[Operation]:
        return [Operation(kind=Kind.CHANGE_TABLE, rule=rule, verdict=verdict, says=says, clears=clears)]

    start = cursor.at
    if cursor.take("RENAME"):
        return _rename_action(cursor, table)
    if cursor.take("OWNER", "TO") or cursor.take("CLUSTER", "ON") or cursor.take("REPLICA", "IDENTITY"):
        return found("storage_changed", _SAFE, f"changes the owner or storage of table {table}")
    if cursor.take("SET", "SCHEMA"):
        schema = cursor.identifier()
        return [Operation(kind=Kind.RENAME_TABLE, table=table, to=f"{schema}.{table.rsplit('.', 1)[-1]}")] if schema and cursor.done else None
    if cursor.take_one("SET", "RESET") and (cursor.mark() == "(" or cursor.word() in {"LOGGED", "UNLOGGED", "TABLESPACE", "WITHOUT", "STATISTICS"}):
        return found("storage_changed", _SAFE, f"changes the storage of table {table}")
    cursor.at = start
    if cursor.take("VALIDATE", "CONSTRAINT"):
        return found("constraint_validated", _SAFE, f"validates a constraint of table {table} that new rows already had to meet")
    if cursor.rest()[-3:] == ["ROW", "LEVEL", "SECURITY"]:
        if cursor.take("DISABLE") or cursor.take("NO", "FORCE"):
            return found("row_security_relaxed", _WARN, f"relaxes row level security of table {table}", "OLD may see the rows that were hidden from it")
        return found(
            "row_security_enabled",
            _BREAKS,
            f"enables row level security on table {table}",
            "OLD's role bypasses it, or a policy lets it read and write all it did",
        )
    if cursor.take_one("ENABLE", "DISABLE"):
        if cursor.take("KEYS"):
            return found("storage_changed", _SAFE, f"changes when indexes of table {table} are built")
        cursor.take_one("REPLICA", "ALWAYS")
        if cursor.take_one("TRIGGER", "RULE"):
            return found("trigger_switched", _WARN, f"switches a trigger or rule of table {table}", "OLD does not depend on what it computes")
        return None
    # In MySQL these are reserved words; elsewhere a column may be called partition, key or index.
    mysql = cursor.session.dialect is Dialect.MYSQL
    if cursor.take("ATTACH", "PARTITION") or (mysql and cursor.take("ADD", "PARTITION")):
        return found("partition_attached", _SAFE, f"adds a partition to table {table}")
    if cursor.take("DETACH", "PARTITION"):
        return found("partition_detached", _BREAKS, f"detaches a partition of table {table}, which hides its rows", "OLD does not read those rows")
    if mysql and (cursor.take("DROP", "PARTITION") or cursor.take("TRUNCATE", "PARTITION")):
        return found("rows_deleted", _BREAKS, f"deletes a partition of table {table} with its rows", "OLD does not read those rows")
    if cursor.take("ALTER", "CONSTRAINT"):
        return found(
            "constraint_changed", _WARN, f"changes when a constraint of table {table} is checked", "OLD writes in an order that the constraint accepts"
        )
    if mysql and cursor.take("ALTER", "INDEX") and cursor.identifier() and cursor.take_one("VISIBLE", "INVISIBLE"):
        return found("storage_changed", _SAFE, f"changes whether an index of table {table} is used")
    cursor.at = start
    if not mysql and cursor.take("DROP") and cursor.word() != "CONSTRAINT":
        cursor.take("COLUMN")
        guarded = cursor.guard()
        column = cursor.identifier()
        cursor.take_one("CASCADE", "RESTRICT")
        return [Operation(kind=Kind.DROP_COLUMN, name=column, guarded=guarded)] if column and cursor.done else None
    cursor.at = start
    return _identity_action(cursor) or _using_index(cursor, start) or (_mysql_option(cursor, start, table) if cursor.session.dialect is Dialect.MYSQL else None)


def _rename_action(cursor: Cursor, table: str) -> list[Operation] | None:
    if cursor.take("CONSTRAINT") or (cursor.session.dialect is Dialect.MYSQL and cursor.take_one("INDEX", "KEY")):
        index = cursor.tokens[cursor.at - 1].word != "CONSTRAINT"
        before, parted, to = cursor.identifier(), cursor.take("TO"), cursor.identifier()
        if not before or not parted or not to or not cursor.done:
            return None
        dialect = cursor.session.dialect
        return [
            Operation(
                kind=Kind.RENAME_OBJECT,
                what="index" if index else "constraint",
                name=_index_name(before, table, dialect) if index else before,
                to=_index_name(to, table, dialect) if index else to,
            )
        ]
    if cursor.take("TO") or cursor.take("AS") or len(cursor.tokens) - cursor.at == 1 or cursor.mark(1) == ".":
        target = cursor.qualified()
        if target is None or not cursor.done:
            return None
        schema = table.rpartition(".")[0]
        # PostgreSQL and SQLite rename within the table's own schema.
        to_table = f"{schema}.{target.rsplit('.', 1)[-1]}" if schema and cursor.session.dialect is not Dialect.MYSQL else target
        return [Operation(kind=Kind.RENAME_TABLE, table=table, to=to_table)]
    cursor.take("COLUMN")
    cursor.guard()
    before, parted, to = cursor.identifier(), cursor.take("TO"), cursor.identifier()
    return [Operation(kind=Kind.RENAME_COLUMN, name=before, to=to)] if before and parted and to and cursor.done else None


def _identity_action(cursor: Cursor) -> list[Operation] | None:
    start = cursor.at
    if cursor.take("ALTER"):
        cursor.take("COLUMN")
        column = cursor.identifier()
        if column is None:
            cursor.at = start
            return None
        if cursor.take("ADD", "GENERATED") and cursor.rest()[:2] in (["ALWAYS", "AS"], ["BY", "DEFAULT"]):
            return [Operation(kind=Kind.SET_IDENTITY, name=column, whole=cursor.word() == "ALWAYS")]
        if cursor.take("SET", "GENERATED") or cursor.take("DROP", "EXPRESSION") or (cursor.take("RESTART")):
            return [Operation(kind=Kind.SET_IDENTITY, name=column, whole=True)]
        if cursor.take("DROP", "IDENTITY"):
            return [Operation(kind=Kind.DROP_DEFAULT, name=column)]
        if cursor.take_one("SET", "RESET") and (cursor.mark() == "(" or cursor.word() in {"STATISTICS", "STORAGE", "COMPRESSION", "VISIBLE", "INVISIBLE"}):
            return [Operation(kind=Kind.CHANGE_TABLE, rule="storage_changed", verdict=_SAFE, says=f"changes the storage of column {column}")]
    cursor.at = start
    return None


def _using_index(cursor: Cursor, start: int) -> list[Operation] | None:
    if cursor.take("ADD"):
        name = cursor.identifier() if cursor.take("CONSTRAINT") else ""
        what = "unique" if cursor.take("UNIQUE") else "primary key" if cursor.take("PRIMARY", "KEY") else ""
        if what and cursor.take("USING", "INDEX"):
            return [Operation(kind=Kind.ADD_UNIQUE, what=what, name=name or "")]
    cursor.at = start
    return None


def _mysql_option(cursor: Cursor, start: int, table: str) -> list[Operation] | None:
    def found(rule: str, verdict: SchemaVerdict, says: str, clears: str = "") -> list[Operation]:
        return [Operation(kind=Kind.CHANGE_TABLE, rule=rule, verdict=verdict, says=says, clears=clears)]

    if cursor.take("CONVERT", "TO") or (cursor.take("DEFAULT"), cursor.take("CHARACTER", "SET") or cursor.take_one("CHARSET", "COLLATE"))[1]:
        return found("charset_changed", _WARN, f"changes the character set or collation of table {table}", "OLD writes and compares the same under the new one")
    cursor.at = start
    options = {
        "ENGINE",
        "AUTO_INCREMENT",
        "COMMENT",
        "ROW_FORMAT",
        "KEY_BLOCK_SIZE",
        "STATS_PERSISTENT",
        "STATS_AUTO_RECALC",
        "ALGORITHM",
        "LOCK",
        "AVG_ROW_LENGTH",
        "MAX_ROWS",
        "MIN_ROWS",
    }
    if option := cursor.take_one(*options):
        cursor.take_mark("=")
        cursor.at += 1
        if not cursor.done:
            return None
        if option == "ENGINE":
            return found(
                "engine_changed", _WARN, f"changes the storage engine of table {table}", "OLD needs no transaction, key or lock that the new engine lacks"
            )
        return found("storage_changed", _SAFE, f"changes the storage of table {table}")
    if cursor.take("FORCE") and cursor.done:
        return found("storage_changed", _SAFE, f"rebuilds table {table}")
    if cursor.take("ORDER", "BY"):
        return found("storage_changed", _SAFE, f"changes the order of rows in table {table}")
    cursor.at = start
    return None


# --- what runs under conditions of its own ----------------------------------------------------------------------------------------------------------

_MAX_DEPTH = 3


def _inside(session: Session, depth: int = 0) -> Read:
    """Return what reads the statements of a body: as any other, in a session of its own that the body cannot move."""
    inner = replace(session, temporary=set(session.temporary))

    def read_inside(statement: Statement) -> list[Operation]:
        if depth >= _MAX_DEPTH:
            return [unknown("not_understood", "is nested deeper than is read", _READ_BY_A_PERSON)]
        return _read(statement, replace(inner, depth=depth + 1))

    return read_inside


def _do(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    if cursor.session.dialect is not Dialect.POSTGRES:
        return [unknown("dynamic_sql", "evaluates an expression whose effect is not in the text", _READ_BY_A_PERSON)]
    operations, understood = of_block(statement, _inside(cursor.session, cursor.session.depth))
    if understood:
        note = Operation(
            kind=Kind.NOTE,
            rule="conditional_sql",
            verdict=_WARN,
            says="runs its statements under conditions of its own",
            clears="a person confirms which of them ran",
        )
        return [note, *operations]
    return [unknown("dynamic_sql", "runs a DO block that is not read in all its parts", _READ_BY_A_PERSON), *operations]


def _execute(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    # MariaDB: EXECUTE IMMEDIATE 'a statement'.
    found = of_strings(statement, cursor.session.dialect, _inside(cursor.session, cursor.session.depth))
    return [unknown("dynamic_sql", "executes a statement that is not in the text", _READ_BY_A_PERSON), *found]


def _prepare(cursor: Cursor, statement: Statement) -> list[Operation] | None:
    found = of_strings(statement, cursor.session.dialect, _inside(cursor.session, cursor.session.depth))
    return [unknown("dynamic_sql", "prepares a statement that is not in the text", _READ_BY_A_PERSON), *found]


def _call(cursor: Cursor, _statement: Statement) -> list[Operation] | None:
    cursor.at += 1
    name = cursor.qualified() or ""
    note = unknown("dynamic_sql", "calls a procedure whose effect is not in the text", _READ_BY_A_PERSON)
    body = cursor.session.procedures.get(name.lower())
    return [note] if body is None else [note, *of_routine(body, _inside(cursor.session, cursor.session.depth))]


_Reader = Callable[[Cursor, Statement], list[Operation] | None]
_ROW_READERS: dict[str, _Reader] = {"INSERT": _insert, "REPLACE": _insert, "UPDATE": _update, "DELETE": _delete, "MERGE": _merge, "SELECT": _select}
_READERS: dict[str, _Reader] = {
    **_ROW_READERS,
    "WITH": _with,
    "TRUNCATE": _truncate,
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "RENAME": _rename,
    "SET": _set,
    "USE": _use,
    "PRAGMA": _pragma,
    "COMMENT": _comment_on,
    "GRANT": _grant,
    "REVOKE": _revoke,
    "BEGIN": _transaction,
    "START": _transaction,
    "COMMIT": _transaction,
    "END": _transaction,
    "SAVEPOINT": _savepoint,
    "RELEASE": _savepoint,
    "RESET": _reset,
    **dict.fromkeys(("ANALYZE", "ANALYSE", "VACUUM", "REINDEX", "REFRESH", "CLUSTER", "CHECKPOINT", "SHOW", "OPTIMIZE", "LOCK", "UNLOCK"), _always_harmless),
    "DO": _do,
    "EXECUTE": _execute,
    "PREPARE": _prepare,
    "DEALLOCATE": _always_harmless,
    "CALL": _call,
    "COPY": _never_read("dynamic_sql", "copies rows that are not read"),
    "LOAD": _never_read("dynamic_sql", "loads rows that are not read"),
    "ROLLBACK": _never_read("transaction_undone", "undoes earlier statements, so what remains is not clear"),
}
