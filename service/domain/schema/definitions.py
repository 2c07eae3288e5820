"""Reads column definitions and the usual actions of an `ALTER TABLE` from tokens: quick, strict, in time linear in their number.

Whatever is not accounted for to the last token is None: then `statements` asks sqlglot, and what that does not know either is not understood.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from service.domain.schema.cursor import Cursor, parts_of
from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation
from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import Token

_TYPES = {
    "INT": "int",
    "INTEGER": "int",
    "INT4": "int",
    "INT8": "bigint",
    "BIGINT": "bigint",
    "SMALLINT": "smallint",
    "INT2": "smallint",
    "TINYINT": "tinyint",
    "MEDIUMINT": "mediumint",
    "SERIAL": "serial",
    "SERIAL4": "serial",
    "BIGSERIAL": "bigserial",
    "SERIAL8": "bigserial",
    "SMALLSERIAL": "smallserial",
    "SERIAL2": "smallserial",
    "BOOL": "boolean",
    "BOOLEAN": "boolean",
    "REAL": "float",
    "FLOAT": "float",
    "FLOAT4": "float",
    "FLOAT8": "double",
    "DOUBLE": "double",
    "DECIMAL": "decimal",
    "NUMERIC": "decimal",
    "DEC": "decimal",
    "MONEY": "money",
    "CHAR": "char",
    "CHARACTER": "char",
    "NCHAR": "nchar",
    "BPCHAR": "bpchar",
    "VARCHAR": "varchar",
    "NVARCHAR": "nvarchar",
    "TEXT": "text",
    "TINYTEXT": "tinytext",
    "MEDIUMTEXT": "mediumtext",
    "LONGTEXT": "longtext",
    "BLOB": "blob",
    "TINYBLOB": "tinyblob",
    "MEDIUMBLOB": "mediumblob",
    "LONGBLOB": "longblob",
    "BYTEA": "varbinary",
    "BINARY": "binary",
    "VARBINARY": "varbinary",
    "DATE": "date",
    "TIME": "time",
    "TIMETZ": "timetz",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "DATETIME": "datetime",
    "YEAR": "year",
    "INTERVAL": "interval",
    "JSON": "json",
    "JSONB": "jsonb",
    "UUID": "uuid",
    "INET": "inet",
    "CIDR": "cidr",
    "MACADDR": "macaddr",
    "XML": "xml",
    "TSVECTOR": "tsvector",
    "BIT": "bit",
    "VARBIT": "varbit",
    "ENUM": "enum",
    "SET": "set",
}
_SERIAL = frozenset({"serial", "bigserial", "smallserial"})
_TYPE_ATTRIBUTES = frozenset({"UNSIGNED", "SIGNED", "ZEROFILL", "BINARY", "ASCII", "UNICODE"})
_AFTER_DEFAULT = frozenset(
    {"CONSTRAINT", "CHECK", "PRIMARY", "UNIQUE", "REFERENCES", "GENERATED", "COLLATE", "COMMENT", "ON", "AUTO_INCREMENT", "AFTER", "FIRST", "KEY", "VISIBLE"}
    | {"INVISIBLE", "CHARACTER", "CHARSET", "NULL", "NOT"}
)
# Words that begin a table constraint; a column of such a name has to be quoted, or is left to sqlglot.
_CONSTRAINTS = frozenset({"CONSTRAINT", "UNIQUE", "PRIMARY", "FOREIGN", "CHECK", "EXCLUDE", "LIKE"})
_KEYS_OF_MYSQL = frozenset({"INDEX", "KEY", "FULLTEXT", "SPATIAL"})
_NOT_A_COLUMN = _CONSTRAINTS | {"PARTITION", "PERIOD", "SYSTEM", "COLUMN", "IF"}
_OPERATORS = frozenset("+-*/%|")
_WORDS_IN_CHECKS = frozenset(
    {
        "AND",
        "OR",
        "NOT",
        "NULL",
        "IS",
        "IN",
        "LIKE",
        "ILIKE",
        "BETWEEN",
        "SIMILAR",
        "TO",
        "ANY",
        "ALL",
        "SOME",
        "ARRAY",
        "TRUE",
        "FALSE",
        "CASE",
        "WHEN",
        "THEN",
    }
    | {
        "ELSE",
        "END",
        "DISTINCT",
        "FROM",
        "REGEXP",
        "RLIKE",
        "GLOB",
        "CAST",
        "AS",
        "COLLATE",
        "INTERVAL",
        "ROW",
        "EXISTS",
        "VALUES",
        "UNKNOWN",
        "ESCAPE",
        "DATE",
    }
)
_MAX_WAYS = 16
MAX_DEPTH = 8
MAX_TOKENS = 5_000


def read_action(cursor: Cursor) -> list[Operation] | None:
    """Return what one action of an ALTER TABLE does, None if it is not among the usual ones."""
    if not _bounded(cursor.tokens):
        return None
    if cursor.take("ADD"):
        return _added(cursor)
    if cursor.take("ALTER"):
        return _altered(cursor)
    if cursor.take("DROP"):
        return _dropped(cursor)
    if cursor.session.dialect is Dialect.MYSQL and (verb := cursor.take_one("MODIFY", "CHANGE")):
        cursor.take("COLUMN")
        guarded = cursor.guard()
        before = cursor.identifier()
        name = cursor.identifier() if verb == "CHANGE" else before
        column = read_column(cursor, name) if before and name else None
        if column is None or before is None or name is None:
            return None
        renamed = [Operation(kind=Kind.RENAME_COLUMN, name=before, to=name, guarded=guarded)] if before != name else []
        return [*renamed, Operation(kind=Kind.MODIFY_COLUMN, name=name, column=column, guarded=guarded)]
    return None


def read_table(tokens: Sequence[Token], cursor: Cursor) -> tuple[tuple[str, Column], ...] | None:
    """Return the columns of a CREATE TABLE from the tokens inside of its parentheses, None if one is not understood. Its keys and checks are left out."""
    if not _bounded(tokens):
        return None
    columns: list[tuple[str, Column]] = []
    keys: set[str] = set()
    for part in parts_of(tokens):
        if not part or part[0].word == "LIKE":
            return None
        if part[0].word in _CONSTRAINTS and cursor.session.dialect is not Dialect.SQLITE:
            keys |= _primary(Cursor(part, cursor.session))
        if part[0].word in _CONSTRAINTS or (cursor.session.dialect is Dialect.MYSQL and part[0].word in _KEYS_OF_MYSQL):
            continue
        inner = Cursor(part, cursor.session)
        name = inner.identifier()
        column = read_column(inner, name) if name else None
        if name is None or column is None:
            return None
        columns.append((name, column))
    return tuple((name, replace(column, not_null=True) if name in keys else column) for name, column in columns)


def read_keys(tokens: Sequence[Token], cursor: Cursor) -> tuple[tuple[str, bool], ...]:
    """Return the named keys inside of MySQL's CREATE TABLE that DROP INDEX can take away, and whether each is unique; one that is not understood is left out.

    A unique key without a name, also one written at its column, has the name of its first column (MySQL 8.0 manual, CREATE TABLE).
    """
    found: dict[str, bool] = {}
    for part in parts_of(tokens) if _bounded(tokens) else ():
        if part and part[0].word in {*_CONSTRAINTS, *_KEYS_OF_MYSQL}:
            for key in _constraint(Cursor(part, cursor.session)) or ():
                unique = key.kind is Kind.ADD_UNIQUE and key.what == "unique"
                name = key.name or (key.columns[0] if key.columns else "")
                if name and (unique or key.what == "index"):
                    found[name] = unique or found.get(name, False)
        elif part:
            inner = Cursor(part, cursor.session)
            name = inner.identifier() or ""
            column = read_column(inner, name) if name else None
            if column is not None and column.unique:
                found[name] = True
    return tuple(found.items())


def _primary(cursor: Cursor) -> set[str]:
    """The columns of a PRIMARY KEY, which makes them NOT NULL (not so in SQLite)."""
    if cursor.take("CONSTRAINT"):
        cursor.identifier()
    return set(_columns(cursor) or ()) if cursor.take("PRIMARY", "KEY") else set()


def _bounded(tokens: Sequence[Token]) -> bool:
    """Whether reading costs little: each level of parentheses is gone over once more."""
    depth = deepest = 0
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text in "([") - (token.text in ")]")
            deepest = max(deepest, depth)
    return deepest <= MAX_DEPTH and len(tokens) <= MAX_TOKENS


def _added(cursor: Cursor) -> list[Operation] | None:
    as_column = cursor.take("COLUMN")
    word = cursor.word()
    mysql = cursor.session.dialect is Dialect.MYSQL
    if not as_column and (word in _CONSTRAINTS or (mysql and word in _KEYS_OF_MYSQL)):
        return _constraint(cursor)
    guarded = cursor.guard()
    if cursor.word() in _NOT_A_COLUMN or cursor.mark() == "(":
        return None
    name = cursor.identifier()
    column = read_column(cursor, name) if name else None
    return None if name is None or column is None else [Operation(kind=Kind.ADD_COLUMN, name=name, guarded=guarded, column=column)]


def _constraint(cursor: Cursor) -> list[Operation] | None:
    mysql = cursor.session.dialect is Dialect.MYSQL
    name = ""
    if cursor.take("CONSTRAINT") and (name := "" if cursor.word() in _CONSTRAINTS else cursor.identifier() or "?") == "?":
        return None
    if cursor.take("UNIQUE"):
        if mysql and cursor.take_one("KEY", "INDEX") is not None and cursor.mark() != "(" and cursor.word() != "USING":
            name = cursor.identifier() or name
        return _key(cursor, "unique", name)
    if cursor.take("PRIMARY", "KEY"):
        return _key(cursor, "primary key", name or "primary key")
    if cursor.take("CHECK"):
        start = cursor.at
        if not cursor.skip_parentheses():
            return None
        inside = cursor.tokens[start + 1 : cursor.at - 1]
        while cursor.take("NOT", "VALID") or cursor.take("NO", "INHERIT") or cursor.take("ENFORCED"):
            pass
        if not cursor.done:
            return None
        columns, ways = checked(inside, cursor)
        alone = frozenset(next(iter(way)) for way in ways if len(way) == 1)
        together = frozenset(way for way in ways if len(way) > 1)
        return [Operation(kind=Kind.ADD_CHECK, name=name, columns=tuple(sorted(columns)), never_null=alone, never_all_null=together)]
    if mysql and (kind := cursor.take_one(*_KEYS_OF_MYSQL)):
        if kind in {"FULLTEXT", "SPATIAL"}:
            cursor.take_one("INDEX", "KEY")
        name = "" if cursor.mark() == "(" or cursor.word() == "USING" else cursor.identifier() or ""
        found = _key(cursor, "index", name)
        return found and [Operation(kind=Kind.CREATE_OBJECT, what="index", name=name)]
    if cursor.take("FOREIGN", "KEY"):
        if cursor.mark() != "(":
            name = name or cursor.identifier() or ""
        columns_of_key = _columns(cursor)
        if columns_of_key is None or not cursor.take("REFERENCES") or _reference(cursor) is None:
            return None
        while cursor.take("NOT", "VALID"):
            pass
        return [Operation(kind=Kind.ADD_FOREIGN_KEY, name=name, columns=columns_of_key)] if cursor.done else None
    return None


def _key(cursor: Cursor, what: str, name: str) -> list[Operation] | None:
    strict = cursor.take("NULLS", "NOT", "DISTINCT")
    if cursor.take("USING"):
        cursor.at += 1
    columns = _columns(cursor)
    if cursor.session.dialect is Dialect.MYSQL and cursor.take("USING"):
        cursor.at += 1
    while _deferrable(cursor):
        pass
    if columns is None or not cursor.done:
        return None
    return [Operation(kind=Kind.ADD_UNIQUE, what=what, name=name, columns=columns, upsert=strict)]


def _columns(cursor: Cursor) -> tuple[str, ...] | None:
    """Return the columns of a key, () where one is an expression or a prefix, None where no list comes next."""
    start = cursor.at
    if not cursor.skip_parentheses():
        return None
    names: list[str] = []
    for part in parts_of(cursor.tokens[start + 1 : cursor.at - 1]):
        inner = Cursor(part, cursor.session)
        name = inner.identifier()
        if name is None or not set(inner.rest()) <= {"ASC", "DESC"}:
            return ()
        names.append(name)
    return tuple(names)


def _altered(cursor: Cursor) -> list[Operation] | None:
    cursor.take("COLUMN")
    if cursor.word() in {"INDEX", "CONSTRAINT", "CHECK"} or (name := cursor.identifier()) is None:
        return None
    if cursor.take("SET", "NOT", "NULL"):
        kind: Kind | None = Kind.SET_NOT_NULL
    elif cursor.take("DROP", "NOT", "NULL"):
        kind = Kind.DROP_NOT_NULL
    elif cursor.take("DROP", "DEFAULT"):
        kind = Kind.DROP_DEFAULT
    elif cursor.take("SET", "DEFAULT"):
        null = _expression(cursor)
        kind = None if null is None else Kind.DROP_DEFAULT if null else Kind.SET_DEFAULT
    elif cursor.take("TYPE") or cursor.take("SET", "DATA", "TYPE"):
        return _retyped(cursor, name)
    else:
        return None
    return [Operation(kind=kind, name=name)] if kind is not None and cursor.done else None


def _retyped(cursor: Cursor, name: str) -> list[Operation] | None:
    start = cursor.at
    if (target := read_type(cursor)) is None:
        return None
    written = [token.text.upper() for token in cursor.tokens[start : cursor.at]]
    if cursor.take("COLLATE") and cursor.qualified() is None:
        return None
    if cursor.take("USING"):
        rest = [token for token in cursor.tokens[cursor.at :] if token.text not in {"(", ")"}]
        inner = Cursor(rest, cursor.session)
        plain = inner.identifier() == name and inner.take_mark("::")
        same = [token.text.upper() for token in inner.tokens[inner.at :]] == [text for text in written if text not in {"(", ")"}]
        target = replace(target, conversion=Conversion.CAST if plain and same else Conversion.EXPRESSION)
        cursor.at = len(cursor.tokens)
    return [Operation(kind=Kind.CHANGE_TYPE, name=name, type=target)] if cursor.done else None


def _dropped(cursor: Cursor) -> list[Operation] | None:
    mysql = cursor.session.dialect is Dialect.MYSQL
    what = ""
    if cursor.take("COLUMN"):
        what = "column"
    elif cursor.take("CONSTRAINT"):
        what = "constraint"
    elif mysql and cursor.take("FOREIGN", "KEY"):
        what = "foreign key"
    elif mysql and cursor.take("PRIMARY", "KEY"):
        return [Operation(kind=Kind.DROP_CONSTRAINT, what="primary key", name="primary key")] if cursor.done else None
    elif mysql and cursor.take_one("INDEX", "KEY"):
        what = "index"
    elif mysql and cursor.word() in {"CHECK", "PARTITION", "TABLESPACE"}:
        return None
    else:
        what = "column"
    guarded = cursor.guard()
    name = cursor.identifier()
    cursor.take_one("CASCADE", "RESTRICT")
    if name is None or not cursor.done:
        return None
    if what == "column":
        return [Operation(kind=Kind.DROP_COLUMN, name=name, guarded=guarded)]
    if what == "index":
        return [Operation(kind=Kind.DROP_OBJECT, what="index", name=name, guarded=guarded)]
    return [Operation(kind=Kind.DROP_CONSTRAINT, what=what, name=name, guarded=guarded)]


def read_column(cursor: Cursor, name: str | None) -> Column | None:
    """Return the definition of column `name` whose type comes next, None if it is not understood to the last token."""
    dialect = cursor.session.dialect
    kind = read_type(cursor)
    if kind is None:
        if dialect is not Dialect.SQLITE or not (cursor.done or cursor.word() in _AFTER_DEFAULT | {"DEFAULT"}):
            return None
        kind = ColumnType(name="")
    serial = kind.name in _SERIAL
    column = Column(type=kind, not_null=serial, generated=serial)
    while not cursor.done:
        following = _attribute(cursor, column, name or "")
        if following is None:
            return None
        column = following
    return column


def _attribute(cursor: Cursor, column: Column, name: str) -> Column | None:
    """Return the column with its next attribute, None if that is not known here."""
    if cursor.take("CONSTRAINT") and cursor.identifier() is None:
        return None
    if cursor.take("NOT", "NULL"):
        return _conflict(cursor, replace(column, not_null=True))
    if cursor.take("NULL"):
        return replace(column, says_null=True)
    if cursor.take("DEFAULT"):
        null = _expression(cursor)
        return None if null is None else replace(column, default=not null)
    if cursor.take("PRIMARY", "KEY"):
        cursor.take_one("ASC", "DESC")
        # SQLite numbers an INTEGER PRIMARY KEY by itself.
        numbered = cursor.session.dialect is Dialect.SQLITE and column.type.name == "int"
        return _conflict(cursor, replace(column, unique=True, not_null=True, generated=column.generated or numbered))
    if cursor.take("UNIQUE"):
        cursor.take("KEY")
        return _conflict(cursor, replace(column, unique=True))
    if cursor.take_one("AUTO_INCREMENT", "AUTOINCREMENT"):
        return replace(column, generated=True, not_null=True)
    if cursor.take("REFERENCES"):
        lets_go = _reference(cursor)
        return None if lets_go is None else replace(column, references=True, lets_parents_go=lets_go)
    if cursor.take("CHECK"):
        start = cursor.at
        if not cursor.skip_parentheses():
            return None
        columns, ways = checked(cursor.tokens[start + 1 : cursor.at - 1], cursor)
        cursor.take("NO", "INHERIT")
        return replace(column, not_null=column.not_null or frozenset({name}) in ways, checks_others=column.checks_others or bool(columns - {name}))
    if cursor.take("GENERATED", "ALWAYS", "AS") or cursor.take("GENERATED", "BY", "DEFAULT", "AS") or cursor.take("AS"):
        if cursor.take("IDENTITY"):
            cursor.skip_parentheses()
            return replace(column, generated=True, not_null=True)
        return replace(column, generated=True) if cursor.skip_parentheses() and (cursor.take_one("STORED", "VIRTUAL", "PERSISTENT"), True)[1] else None
    collated = cursor.word() in {"COLLATE", "CHARACTER", "CHARSET"}
    return replace(column, collated=column.collated or collated) if _harmless_attribute(cursor) else None


def _conflict(cursor: Cursor, column: Column) -> Column | None:
    """Go past SQLite's ON CONFLICT; with REPLACE a NOT NULL takes the default, which is the column's own matter."""
    if cursor.session.dialect is Dialect.SQLITE and cursor.take("ON", "CONFLICT"):
        return column if cursor.take_one("ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE") else None
    return column


def _harmless_attribute(cursor: Cursor) -> bool:
    if cursor.take("COLLATE"):
        return cursor.qualified() is not None
    if cursor.take("CHARACTER", "SET") or cursor.take_one("CHARSET", "COLUMN_FORMAT", "STORAGE", "COMPRESSION"):
        return cursor.identifier() is not None
    if cursor.take("COMMENT"):
        cursor.at += 1
        return cursor.tokens[cursor.at - 1].kind == "string" if cursor.at <= len(cursor.tokens) else False
    if cursor.take("ON", "UPDATE"):
        if not cursor.take_one("CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"):
            return False
        cursor.skip_parentheses()
        return True
    if cursor.take("AFTER"):
        return cursor.identifier() is not None
    return _deferrable(cursor) or bool(cursor.take_one("FIRST", "VISIBLE", "INVISIBLE"))


def _reference(cursor: Cursor) -> bool | None:
    """Go past what follows REFERENCES; whether parents may still be deleted, None if it is not understood."""
    if cursor.qualified() is None:
        return None
    cursor.skip_parentheses()
    lets_go = False
    while True:
        if cursor.take("ON"):
            event = cursor.take_one("DELETE", "UPDATE")
            gives = cursor.take("CASCADE") or cursor.take("SET", "NULL") or cursor.take("SET", "DEFAULT")
            if not event or not (gives or cursor.take("RESTRICT") or cursor.take("NO", "ACTION")):
                return None
            lets_go |= gives and event == "DELETE"
        elif cursor.take("MATCH"):
            cursor.at += 1
        elif not _deferrable(cursor):
            return lets_go


def _deferrable(cursor: Cursor) -> bool:
    """Go past one word on when a constraint is checked."""
    if cursor.word(1) == "DEFERRABLE":
        cursor.take("NOT")
    return cursor.take("DEFERRABLE") or cursor.take("INITIALLY", "DEFERRED") or cursor.take("INITIALLY", "IMMEDIATE")


def read_type(cursor: Cursor) -> ColumnType | None:
    """Return the type that comes next; None, and nothing taken, if none does."""
    start = cursor.at
    if (found := _type(cursor)) is None:
        cursor.at = start
    return found


def _type(cursor: Cursor) -> ColumnType | None:
    name, user_defined = _type_name(cursor)
    if not name:
        return None
    numbers: list[int] = []
    values: list[str] = []
    bounded = False
    if cursor.mark() == "(":
        begin = cursor.at
        if not cursor.skip_parentheses():
            return None
        for part in parts_of(cursor.tokens[begin + 1 : cursor.at - 1]):
            if len(part) != 1 or part[0].kind not in {"number", "string", "word"}:
                return None
            if part[0].kind == "string":
                values.append(part[0].text)
            elif part[0].text.isdecimal() and len(part[0].text) < 10:  # noqa: PLR2004  no length has more digits
                numbers.append(int(part[0].text))
        bounded = True
    if name in {"timestamp", "time"} and cursor.take("WITH", "TIME", "ZONE"):
        name += "tz"
    elif name in {"timestamp", "time"}:
        cursor.take("WITHOUT", "TIME", "ZONE")
    unsigned = False
    if cursor.session.dialect is not Dialect.POSTGRES:
        while word := cursor.take_one(*_TYPE_ATTRIBUTES):
            unsigned |= word in {"UNSIGNED", "ZEROFILL"}
    if cursor.session.dialect is Dialect.POSTGRES:
        array = cursor.take("ARRAY")
        while cursor.mark() == "[":
            cursor.at += 1
            if not cursor.done and cursor.tokens[cursor.at].kind == "number":
                cursor.at += 1
            if not cursor.take_mark("]"):
                return None
            array = True
        name += "[]" if array and not name.endswith("[]") else ""
    length, scale = (*numbers, None, None)[:2]
    return ColumnType(name=name, bounded=bounded, length=length, scale=scale, values=tuple(values), unsigned=unsigned, user_defined=user_defined)


def _type_name(cursor: Cursor) -> tuple[str, bool]:
    word = cursor.word()
    if cursor.done or word in _AFTER_DEFAULT - {"CHARACTER"} or word in {"DEFAULT", "AS", "USING"}:
        return "", False
    known = _TYPES.get(word, "")
    if known and cursor.mark(1) != ".":
        cursor.at += 1
        if word == "DOUBLE":
            cursor.take("PRECISION")
        elif word in {"CHARACTER", "CHAR", "NCHAR", "BIT"} and cursor.take("VARYING"):
            known = "varbit" if word == "BIT" else "varchar"
        elif word == "FLOAT" and cursor.session.dialect is Dialect.POSTGRES:
            known = "double"
        return known, False
    if word in {"NATIONAL", "LONG", "UNSIGNED"} or cursor.tokens[cursor.at].kind not in {"word", "quoted"}:
        return "", False
    named = cursor.qualified() or ""
    return named.lower(), True


def _expression(cursor: Cursor) -> bool | None:
    """Go past a default; whether it is NULL, None if it is not understood. A term, its casts, and operators between terms: no more is written as one."""
    null = _term(cursor)
    if null is None:
        return None
    while not cursor.done and cursor.mark() in _OPERATORS and cursor.mark():
        while cursor.mark() in _OPERATORS and cursor.mark():
            cursor.at += 1
        if _term(cursor) is None:
            return None
        null = False
    return null


def _term(cursor: Cursor) -> bool | None:
    while cursor.mark() in {"-", "+"} and cursor.mark():
        cursor.at += 1
    if cursor.done:
        return None
    token, null = cursor.tokens[cursor.at], False
    if token.text == "(":
        inner_at = cursor.at + 1
        if not cursor.skip_parentheses():
            return None
        inner = Cursor(cursor.tokens[inner_at : cursor.at - 1], cursor.session)
        null = bool(_expression(inner)) and inner.done
    elif token.kind in {"string", "number"}:
        cursor.at += 1
        while token.kind == "string" and _string_comes(cursor):
            cursor.at += 1
    elif token.word == "NULL":
        cursor.at += 1
        null = True
    elif token.word in _AFTER_DEFAULT or token.word == "DEFAULT":
        return None
    elif token.kind in {"word", "quoted"}:
        cursor.at += 1
        while cursor.take_mark("."):
            cursor.at += 1
        if cursor.mark() == "[" and token.word == "ARRAY":
            depth = 0
            while not cursor.done:
                depth += (cursor.mark() == "[") - (cursor.mark() == "]")
                cursor.at += 1
                if not depth:
                    break
        elif not cursor.skip_parentheses() and _string_comes(cursor):
            cursor.at += 1  # DATE '2026-01-01'
    else:
        return None
    while cursor.take_mark("::"):
        if read_type(cursor) is None:
            return None
    if cursor.take("AT", "TIME", "ZONE") and _term(cursor) is None:
        return None
    return null


def _string_comes(cursor: Cursor) -> bool:
    return cursor.at < len(cursor.tokens) and cursor.tokens[cursor.at].kind == "string"


def checked(tokens: Sequence[Token], cursor: Cursor) -> tuple[set[str], list[frozenset[str]]]:
    """Return the columns that a CHECK names, and the sets of columns of which it wants one to be filled: it fails where all of a set are NULL."""
    columns: set[str] = set()
    for at, token in enumerate(tokens):
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        cast = at > 0 and tokens[at - 1].text == "::"
        if not cast and following not in {"(", "."} and (token.kind == "quoted" or (token.kind == "word" and token.word not in _WORDS_IN_CHECKS)):
            columns.add(Cursor(tokens, cursor.session, at).identifier() or "")
    return columns, _wants(tokens, cursor, 0)


def _wants(tokens: Sequence[Token], cursor: Cursor, depth: int) -> list[frozenset[str]]:
    inner = Cursor(tokens, cursor.session)
    if depth > _MAX_WAYS or not tokens:
        return []
    if inner.mark() == "(" and inner.skip_parentheses() and inner.done:
        return _wants(tokens[1:-1], cursor, depth + 1)
    either = _split(tokens, "OR")
    if len(either) > 1:
        ways = [_wants(one, cursor, depth + 1) for one in either]
        if not all(ways) or len(either) > _MAX_WAYS or any(len(one) > 2 for one in ways):  # noqa: PLR2004  their product stays small
            return []
        return [frozenset().union(*combined) for combined, _ in zip(product(*ways), range(_MAX_WAYS), strict=False)]
    both = _split(tokens, "AND")
    if len(both) > 1:
        return [way for one in both for way in _wants(one, cursor, depth + 1)]
    return _wants_one(tokens, cursor)


def _wants_one(tokens: Sequence[Token], cursor: Cursor) -> list[frozenset[str]]:
    here = Cursor(tokens, cursor.session)
    if here.take("NOT"):
        rest = tokens[1:]
        while len(rest) > 1 and rest[0].text == "(" and rest[-1].text == ")":
            rest = rest[1:-1]
        here, negated = Cursor(rest, cursor.session), True
    else:
        negated = False
    if here.word() == "NUM_NONNULLS" and not negated and here.mark(1) == "(":
        here.at += 1
        names = _columns(here)
        sign = "".join(token.text for token in here.tokens[here.at : -1])
        number = here.tokens[-1].text
        return [frozenset(names)] if names and ((sign in {"=", ">="} and number.isdecimal() and number != "0") or (sign == ">" and number.isdecimal())) else []
    name = here.identifier()
    while name is not None and here.take_mark("."):
        name = here.identifier()
    matches = here.take("IS", "NULL") if negated else here.take("IS", "NOT", "NULL")
    return [frozenset({name})] if name is not None and matches and here.done else []


def _split(tokens: Sequence[Token], word: str) -> list[Sequence[Token]]:
    """Cut at a word outside of parentheses and of CASE ... END."""
    parts: list[Sequence[Token]] = []
    depth = start = 0
    for at, token in enumerate(tokens):
        depth += (token.text in "([") - (token.text in ")]") if token.kind == "mark" else (token.word == "CASE") - (token.word == "END")
        if token.word == word and not depth:
            parts.append(tokens[start:at])
            start = at + 1
    return [*parts, tokens[start:]]
