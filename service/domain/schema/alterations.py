"""Reads one action of an `ALTER TABLE` with sqlglot's grammar into operations.

The only module that imports sqlglot (which costs hundreds of milliseconds), so `statements` imports it on first use. It accepts a syntax tree only if every
part of it is known here: sqlglot is lenient and keeps what it cannot place in opaque or surprising nodes, and those must come out as "not understood".
"""

from collections.abc import Iterable
from functools import cache

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser

from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation
from service.domain.schema.reading import Dialect

MAX_ACTION_CHARACTERS = 10_000
_HARMLESS_CONSTRAINTS = (
    exp.CharacterSetColumnConstraint,
    exp.CollateColumnConstraint,
    exp.CommentColumnConstraint,
    exp.CompressColumnConstraint,
    exp.InvisibleColumnConstraint,
    exp.OnUpdateColumnConstraint,
    exp.ZeroFillColumnConstraint,
)
_SERIAL_TYPES = {exp.DType.SERIAL, exp.DType.BIGSERIAL, exp.DType.SMALLSERIAL}
_LETS_PARENTS_GO = ("ON DELETE CASCADE", "ON DELETE SET NULL", "ON DELETE SET DEFAULT")


class _NotUnderstoodError(Exception):
    """A part of the tree is not known here."""


def read_action(action: str, dialect: Dialect) -> list[Operation] | None:
    """Return what one action does ("ADD COLUMN a int NOT NULL"), without the table's name, or None if it is not understood.

    The caller bounds nesting: sqlglot needs exponential time for some deeply nested brackets.
    """
    if len(action) > MAX_ACTION_CHARACTERS:
        return None
    grammar = Grammar.get_or_raise(dialect.value)
    text = f"ALTER TABLE t {action}"
    try:
        trees = _strict(grammar.parser_class)(dialect=grammar).parse(grammar.tokenize(text), text)
        tree = trees[0] if len(trees) == 1 else None
        if not isinstance(tree, exp.Alter) or not _only(tree, "this", "kind", "actions", "not_valid"):
            return None
        return [operation for node in tree.args["actions"] for operation in _read_node(node, dialect)]
    # RecursionError: nesting that sqlglot's recursive descent cannot hold. The others: it is not hardened against every token order.
    except (SqlglotError, RecursionError, _NotUnderstoodError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


@cache
def _strict(base: type[Parser]) -> type[Parser]:
    """Return a parser made to raise where it would fall back to an opaque Command and log the statement (which may hold a secret)."""

    def refuse(_self: Parser) -> None:
        raise _NotUnderstoodError

    strict: type[Parser] = type("StrictParser", (base,), {"_warn_unsupported": refuse})
    return strict


def _only(node: exp.Expr, *known: str) -> bool:
    """Say whether a node carries nothing beyond the named parts."""
    return all(name in known or value in (None, False, [], "") for name, value in node.args.items())


def _require(condition: bool) -> None:
    if not condition:
        raise _NotUnderstoodError


def _name(node: exp.Expr | str | None, dialect: Dialect) -> str:
    """Return a column's or constraint's name as the database compares it."""
    if isinstance(node, exp.Column):
        _require(_only(node, "this"))
        node = node.this
    if isinstance(node, exp.Table):
        _require(_only(node, "this"))
        node = node.this
    if not isinstance(node, exp.Identifier):
        raise _NotUnderstoodError
    text: str = node.this
    # Column names compare without case in MySQL and SQLite even when quoted.
    return text if node.args.get("quoted") and dialect is Dialect.POSTGRES else text.lower()


def _read_node(node: exp.Expr, dialect: Dialect) -> Iterable[Operation]:
    match node:
        case exp.ColumnDef():
            name = _name(node.this, dialect)
            _require(_only(node, "this", "kind", "constraints", "position", "exists"))
            yield Operation(kind=Kind.ADD_COLUMN, name=name, guarded=bool(node.args.get("exists")), column=_column(node, name, dialect))
        case exp.ModifyColumn():
            _require(_only(node, "this", "rename_from"))
            definition = node.this
            _require(isinstance(definition, exp.ColumnDef) and _only(definition, "this", "kind", "constraints", "position"))
            name = _name(definition.this, dialect)
            if (before := node.args.get("rename_from")) is not None and _name(before, dialect) != name:
                yield Operation(kind=Kind.RENAME_COLUMN, name=_name(before, dialect), to=name)
            yield Operation(kind=Kind.MODIFY_COLUMN, name=name, column=_column(definition, name, dialect))
        case exp.AlterColumn():
            yield _altered_column(node, dialect)
        case exp.Drop():
            yield from _dropped(node, dialect)
        case exp.DropPrimaryKey():
            yield Operation(kind=Kind.DROP_CONSTRAINT, what="primary key", name="primary key")
        case exp.RenameColumn():
            _require(_only(node, "this", "to", "exists"))
            yield Operation(kind=Kind.RENAME_COLUMN, name=_name(node.this, dialect), to=_name(node.args["to"], dialect))
        case exp.AddConstraint():
            _require(_only(node, "expressions"))
            for constraint in node.expressions:
                yield from _constraint(constraint, "", dialect)
        case _:
            raise _NotUnderstoodError


def _altered_column(node: exp.AlterColumn, dialect: Dialect) -> Operation:
    name = _name(node.this, dialect)
    if node.args.get("dtype") is not None:
        _require(_only(node, "this", "dtype", "collate", "using"))
        return Operation(kind=Kind.CHANGE_TYPE, name=name, type=_type(node.args["dtype"], node.args.get("using"), name, dialect))
    if node.args.get("default") is not None:
        _require(_only(node, "this", "default"))
        return Operation(kind=Kind.DROP_DEFAULT if _is_null(node.args["default"]) else Kind.SET_DEFAULT, name=name)
    allow_null = node.args.get("allow_null")
    _require(_only(node, "this", "drop", "allow_null"))
    if node.args.get("drop"):
        return Operation(kind=Kind.DROP_NOT_NULL if allow_null else Kind.DROP_DEFAULT, name=name)
    _require(allow_null is False)
    return Operation(kind=Kind.SET_NOT_NULL, name=name)


def _dropped(node: exp.Drop, dialect: Dialect) -> Iterable[Operation]:
    _require(_only(node, "exists", "tables", "kind", "cascade", "restrict"))
    kind, guarded = node.args.get("kind"), bool(node.args.get("exists"))
    for target in node.args["tables"]:
        name = _name(target, dialect)
        if kind == "COLUMN":
            yield Operation(kind=Kind.DROP_COLUMN, name=name, guarded=guarded)
        elif kind in {"CONSTRAINT", "FOREIGN KEY", "CHECK"}:
            yield Operation(kind=Kind.DROP_CONSTRAINT, what="foreign key" if kind == "FOREIGN KEY" else kind.lower(), name=name, guarded=guarded)
        elif kind == "INDEX" and dialect is Dialect.MYSQL:
            yield Operation(kind=Kind.DROP_OBJECT, what="index", name=name, guarded=guarded)
        else:
            raise _NotUnderstoodError


def _column(node: exp.ColumnDef, name: str, dialect: Dialect) -> Column:
    kind = node.args.get("kind")
    serial = isinstance(kind, exp.DataType) and kind.this in _SERIAL_TYPES
    facts = {
        "not_null": serial,
        "says_null": False,
        "default": False,
        "generated": serial,
        "unique": False,
        "references": False,
        "lets_parents_go": False,
        "checks_others": False,
    }
    for constraint in node.args.get("constraints") or ():
        _require(isinstance(constraint, exp.ColumnConstraint))
        match fact := constraint.args.get("kind"):
            case exp.NotNullColumnConstraint():
                facts["says_null" if fact.args.get("allow_null") else "not_null"] = True
            case exp.DefaultColumnConstraint():
                facts["default"] = not _is_null(fact.this)
            case exp.GeneratedAsIdentityColumnConstraint() | exp.AutoIncrementColumnConstraint():
                facts["generated"] = True
                facts["not_null"] = True
            case exp.ComputedColumnConstraint() | exp.GeneratedAsRowColumnConstraint():
                facts["generated"] = True
            case exp.PrimaryKeyColumnConstraint():
                facts["unique"] = facts["not_null"] = True
                # SQLite numbers an INTEGER PRIMARY KEY by itself.
                facts["generated"] |= dialect is Dialect.SQLITE and isinstance(kind, exp.DataType) and kind.this is exp.DType.INT
            case exp.UniqueColumnConstraint():
                facts["unique"] = True
            case exp.Reference():
                facts["references"] = True
                facts["lets_parents_go"] = any(option in _LETS_PARENTS_GO for option in fact.args.get("options") or ())
            case exp.CheckColumnConstraint():
                columns, not_null = _checked(fact.this, dialect)
                facts["not_null"] |= name in not_null
                facts["checks_others"] |= bool(columns - {name})
            case _ if isinstance(fact, _HARMLESS_CONSTRAINTS):
                pass
            case _:
                raise _NotUnderstoodError
    return Column(type=_type(kind, None, name, dialect), **facts)


def _constraint(node: exp.Expr, name: str, dialect: Dialect) -> Iterable[Operation]:
    match node:
        case exp.Constraint():
            for inner in node.expressions:
                yield from _constraint(inner, _name(node.this, dialect), dialect)
        case exp.UniqueColumnConstraint():
            schema = node.this
            _require(isinstance(schema, exp.Schema))
            # MySQL names the index inside: ADD UNIQUE KEY name (columns).
            own = name or (_name(schema.this, dialect) if schema.this is not None else "")
            # NULLS NOT DISTINCT: two rows without a value collide, so the columns are not told apart by being NULL.
            yield Operation(kind=Kind.ADD_UNIQUE, what="unique", name=own, columns=_columns(schema.expressions, dialect), upsert=bool(node.args.get("nulls")))
        case exp.PrimaryKey():
            columns = _columns(node.expressions, dialect)
            yield Operation(kind=Kind.ADD_UNIQUE, what="primary key", name=name or "primary key", columns=columns)
        case exp.ExcludeColumnConstraint():
            yield Operation(kind=Kind.ADD_UNIQUE, what="exclusion", name=name)
        case exp.CheckColumnConstraint():
            checked, not_null = _checked(node.this, dialect)
            yield Operation(kind=Kind.ADD_CHECK, name=name, columns=tuple(sorted(checked)), never_null=frozenset(not_null))
        case exp.ForeignKey():
            yield Operation(kind=Kind.ADD_FOREIGN_KEY, name=name, columns=_columns(node.expressions, dialect))
        case exp.IndexColumnConstraint() if dialect is Dialect.MYSQL:
            yield Operation(kind=Kind.CREATE_OBJECT, what="index", name=_name(node.this, dialect) if node.this is not None else "")
        case _:
            raise _NotUnderstoodError


def _columns(nodes: Iterable[exp.Expr], dialect: Dialect) -> tuple[str, ...]:
    """Return the columns of a key, empty where one is an expression or a prefix: then nothing is claimed about them."""
    names = []
    for node in nodes:
        inner = node.this if isinstance(node, exp.Ordered) else node
        if not isinstance(inner, exp.Identifier | exp.Column):
            return ()
        names.append(_name(inner, dialect))
    return tuple(names)


def _checked(node: exp.Expr, dialect: Dialect) -> tuple[set[str], set[str]]:
    """Return the columns that a CHECK mentions and those that it forbids to be NULL, whatever the others are."""
    columns = {_name(column.this, dialect) for column in node.find_all(exp.Column)}
    not_null: set[str] = set()
    open_ends: list[exp.Expr] = [node]
    while open_ends:
        test = open_ends.pop()
        match test:
            case exp.Paren():
                open_ends.append(test.this)
            case exp.And():
                open_ends += [test.this, test.expression]
            case exp.Not() if isinstance(test.this, exp.Paren) and isinstance(test.this.this, exp.Is):
                open_ends.append(exp.Not(this=test.this.this))
            case exp.Not() if isinstance(test.this, exp.Is) and not test.this.args.get("negate"):
                not_null |= _tested_for_null(test.this, dialect)
            case exp.Is() if test.args.get("negate"):
                not_null |= _tested_for_null(test, dialect)
            case _:
                pass
    return columns, not_null


def _tested_for_null(test: exp.Is, dialect: Dialect) -> set[str]:
    return {_name(test.this.this, dialect)} if isinstance(test.expression, exp.Null) and isinstance(test.this, exp.Column) else set()


def _is_null(node: exp.Expr | None) -> bool:
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return isinstance(node, exp.Null)


def _type(node: exp.Expr | None, using: exp.Expr | bool | None, column: str, dialect: Dialect) -> ColumnType:
    if node is None and dialect is Dialect.SQLITE:
        return ColumnType(name="")
    if not isinstance(node, exp.DataType):
        raise _NotUnderstoodError
    user_defined = node.this is exp.DType.USERDEFINED
    name = str(node.args.get("kind") or "").lower().replace('"', "") if user_defined else node.this.value.lower()
    if node.this is exp.DType.ARRAY and node.expressions:
        name = f"{_type(node.expressions[0], None, column, dialect).name}[]"
    bounded = any(isinstance(part, exp.DataTypeParam) for part in node.expressions)
    return ColumnType(name=name, bounded=bounded, user_defined=user_defined, conversion=_conversion(using, node, column, dialect))


def _conversion(using: exp.Expr | bool | None, target: exp.DataType, column: str, dialect: Dialect) -> Conversion:
    if using is None or isinstance(using, bool):
        return Conversion.NONE
    while isinstance(using, exp.Paren):
        using = using.this
    plain = isinstance(using, exp.Cast) and isinstance(using.this, exp.Column) and _name(using.this, dialect) == column and using.to == target
    return Conversion.CAST if plain else Conversion.EXPRESSION
