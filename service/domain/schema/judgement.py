"""Decides what the operations of a whole range mean for OLD: the statement table of the safety notes, with memory of what the range itself made.

One `Judge` per migration root (one database, as far as paths tell). It knows which tables, columns and objects are new in the range (what happens to them is
nothing to OLD), which of OLD's were dropped or renamed away (so that a new one under the old name is not mistaken for it), and the defaults of new columns.
It reads no SQL and knows nothing of OLD's code or of the live database: what only those can clear stands in `clears`.
"""

import re
from dataclasses import dataclass, field, replace

from service.domain.schema.known import KnownShape
from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation
from service.domain.schema.reading import Dialect, SchemaVerdict
from service.domain.schema.shapes import Shape

_SAFE, _WARN, _BREAKS, _UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
_NOT_USED = "OLD is shown never to use it"
_NO_DUPLICATES = "OLD is shown to write no duplicates (its own code or model declares the same uniqueness)"
_NAMED_UNIQUE = re.compile(r"uni?q|(?:^|_|\.)u[kqix]x?(?:_|$)|(?:^|_|\.)uidx|_u?key$|_pkey$|(?:^|\.)primary$", re.IGNORECASE)
"""Index names by which people and frameworks mark unique ones; a name proves nothing the other way round."""
_ROWS = "a person confirms that OLD can work with the rows as they are now"
_WIDE_TYPES = frozenset({"text", "bigint", "double", "decimal", "mediumtext", "longtext", "mediumblob", "longblob", "varbinary", "json", "jsonb"})
_SIZED_TYPES = frozenset(
    {"varchar", "char", "nvarchar", "nchar", "bpchar", "varbinary", "binary", "decimal", "bit", "varbit", "int", "mediumint", "uint", "ubigint", "enum", "set"}
)
# Without USING, PostgreSQL converts a column only by an assignment cast (pg_cast of version 15): to these types there is none, so the type was the same before;
_NOTHING_BECOMES_IMPLICITLY = frozenset({"uuid", "boolean", "varbinary", "macaddr", "tsvector", "xml"})
# and to these only from their kin: json and jsonb, cidr and inet, numbers among each other.
_ONLY_KIN_BECOME_IMPLICITLY = frozenset({"json", "jsonb", "inet", "double", "float", "decimal"})

_ROUTINES = frozenset({"function", "procedure", "aggregate"})
_MOST_REMEMBERED = 200_000
"""So many tables and objects are copied in all for statements that may not have run: the work stays linear in the text."""
_TAKES_AWAY = frozenset({Kind.DROP_TABLE, Kind.DROP_COLUMN, Kind.DROP_OBJECT, Kind.DROP_CONSTRAINT})


@dataclass(slots=True, eq=False)
class Finding:
    """One operation's outcome while the range is still being read; later operations may change it (a column added and dropped again)."""

    rule: str
    verdict: SchemaVerdict
    says: str
    clears: str = ""
    objects: tuple[str, ...] = ()

    def become(self, rule: str, verdict: SchemaVerdict, says: str, clears: str = "") -> None:
        """Take another outcome."""
        self.rule, self.verdict, self.says, self.clears = rule, verdict, says, clears


@dataclass(slots=True, eq=False)
class _Column:
    """A column by its name of now. `origin` is OLD's name for it, None if the range made it; `certain` is False after ADD COLUMN IF NOT EXISTS."""

    origin: str | None
    certain: bool = True
    not_null: bool = False
    filled: bool = True
    made_by: Finding | None = None
    broken_by: Finding | None = None
    unbroken: tuple[str, SchemaVerdict, str, str] = ("", SchemaVerdict.UNKNOWN, "", "")
    default_dropped_by: Finding | None = None
    renames: list[Finding] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        return self.origin is None and self.certain


@dataclass(slots=True, eq=False)
class _Table:
    """A table by its name of now. `origin` is OLD's name for it, None if the range made it."""

    origin: str | None
    columns: dict[str, _Column] = field(default_factory=dict)
    gone: dict[str, Finding] = field(default_factory=dict)
    copied_from: set[str] = field(default_factory=set)
    definition: tuple[tuple[str, Column], ...] | None = None
    copies: list[Operation] = field(default_factory=list)
    replaces: list[Finding] = field(default_factory=list)
    renames: list[Finding] = field(default_factory=list)
    shaped_like: str = ""
    altered: bool = False
    rebuilt: tuple[str, SchemaVerdict, str, str] | None = None

    @property
    def is_new(self) -> bool:
        return self.origin is None

    def column(self, name: str) -> _Column:
        return self.columns.setdefault(name, _Column(origin=name))


@dataclass(slots=True, eq=False)
class _Object:
    """A view, type, function, index or other object that the range made under a name OLD did not have."""

    made_by: Finding
    table: str = ""
    signature: tuple[str, ...] | None = None


class Judge:
    """Takes a range's operations in order and answers each with a finding; findings may still change until the range ends."""

    def __init__(self, dialect: Dialect, shape: Shape | None = None) -> None:
        """`shape` is the schema from which the range begins, where that is known."""
        self._dialect = dialect
        self._known = KnownShape(shape, dialect) if shape is not None else None
        self._tables: dict[str, _Table] = {}
        self._gone_tables: dict[str, Finding] = {}
        self._objects: dict[tuple[str, str], _Object] = {}
        self._gone_objects: dict[tuple[str, str], tuple[Finding, Operation]] = {}
        self._strict_domains: set[str] = set()
        self._shortened: set[tuple[str, str]] = set()
        self._dropped_triggers: list[str] = []
        self._perhaps_trigger_functions: list[tuple[Finding, Operation]] = []
        self._made_way: dict[str, Finding] = {}
        self._there: set[str] = set()
        self._columns_of_old: dict[str, tuple[str, ...]] = {}
        self._read: set[str] = set()
        self._unique_indexes: set[str] = set()
        self._aside: Judge | None = None
        self._remembered = 0

    def begin_file(self) -> None:
        """Forget what only the statements of one file say together."""
        self._made_way = {}

    def judge(self, operation: Operation) -> Finding:
        """Return the finding for one operation."""
        if self._known is None:
            return self._judge(operation)
        sharpened = operation if self._known.supposed else self._known.sharpened(operation)
        answer = None if operation.perhaps or self._is_of_new(operation) else self._known.answer(sharpened)
        if operation.kind is Kind.DROP_TABLE and self._known.is_there(operation.table):
            self._there.add(operation.table)
        if operation.kind in {Kind.DROP_TABLE, Kind.RENAME_TABLE} and not operation.perhaps and not self._is_of_new(operation):
            self._columns_of_old.setdefault(operation.table, self._known.columns(operation.table))
        self._known.follow(sharpened)
        if answer is None:
            return self._judge(sharpened)
        if self._known.supposed:
            finding = self._judge(operation)
            if answer.verdict.severity > finding.verdict.severity and answer.verdict is not _UNKNOWN:
                finding.become(*answer)
            return finding
        if answer.verdict is _SAFE:
            return Finding(*answer, _objects(operation))
        finding = self._judge(sharpened)
        if answer.verdict is not _UNKNOWN or finding.verdict.severity < answer.verdict.severity:
            finding.become(*answer)
        return finding

    def _is_of_new(self, operation: Operation) -> bool:
        table = self._tables.get(operation.table)
        return table is not None and (table.is_new or self._is_new_column(table, operation.name) or bool(table.gone))

    def _judge(self, operation: Operation) -> Finding:
        if operation.perhaps:
            if self._aside is None:
                self._remembered += len(self._tables) + len(self._objects)
                if self._remembered > _MOST_REMEMBERED:
                    return Finding("too_large", _UNKNOWN, "may have run, after more than is remembered", "a person reads it", _objects(operation))
                self._aside = self._knowing_what_is_new()
            return self._aside.judge(replace(operation, perhaps=False, guarded=operation.guarded or operation.kind not in _TAKES_AWAY))
        self._aside = None
        made_way = self._made_way.pop(operation.table, None)
        self._made_way.pop(operation.to, None)
        self._read |= operation.reads
        finding = Finding("", _UNKNOWN, "", objects=_objects(operation))
        match operation.kind:
            case Kind.NOTE:
                finding.become(operation.rule, operation.verdict, operation.says, operation.clears)
            case Kind.CREATE_TABLE:
                self._create_table(operation, finding, made_way)
            case Kind.DROP_TABLE:
                self._drop_table(operation, finding)
            case Kind.RENAME_TABLE:
                self._rename_table(operation, finding)
            case Kind.WRITE:
                self._write(operation, finding)
            case Kind.CREATE_OBJECT:
                self._create_object(operation, finding)
            case Kind.DROP_OBJECT:
                self._drop_object(operation, finding)
            case Kind.RENAME_OBJECT:
                self._rename_object(operation, finding)
            case Kind.CHANGE_OBJECT:
                if (operation.what, operation.name) in self._objects:
                    self._on_new(operation.name, finding)
                else:
                    finding.become(operation.rule, operation.verdict, operation.says, operation.clears)
            case _:
                table = self._table(operation.table)
                if table.is_new:
                    table.altered = True
                    self._remember(operation, finding)
                    self._on_new(operation.table, finding)
                else:
                    self._change(operation, table, finding)
        return finding

    def _knowing_what_is_new(self) -> "Judge":
        """Return a judge that knows what the range made so far, and whose own findings change nothing here: for statements that may not have run."""
        aside = Judge(self._dialect)
        for name, table in self._tables.items():
            copied = _Table(origin=table.origin)
            copied.columns = {
                column: _Column(origin=None, certain=one.certain, not_null=one.not_null, filled=one.filled)
                for column, one in table.columns.items()
                if one.origin is None
            }
            if table.is_new or copied.columns:
                aside._tables[name] = copied
        aside._objects = {key: _Object(Finding("", _SAFE, ""), one.table, one.signature) for key, one in self._objects.items()}
        aside._gone_objects = dict(self._gone_objects)
        return aside

    def _table(self, name: str) -> _Table:
        return self._tables.setdefault(name, _Table(origin=name))

    def _on_new(self, name: str, finding: Finding) -> None:
        finding.become("made_in_this_range", _SAFE, f"concerns {name}, which OLD never had")

    def _remember(self, operation: Operation, finding: Finding) -> None:
        """Keep the names of keys and constraints that the range makes, so that dropping them again cancels."""
        if operation.name and not operation.guarded and operation.kind in {Kind.ADD_UNIQUE, Kind.ADD_CHECK, Kind.ADD_FOREIGN_KEY}:
            self._objects[self._key(operation)] = _Object(finding, operation.table)

    def _key(self, operation: Operation) -> tuple[str, str]:
        if operation.what in {"index", "unique index"} or (operation.what == "unique" and self._dialect is Dialect.MYSQL):
            return ("index", operation.name)
        return ("constraint", f"{operation.table}.{operation.name}")

    # --- tables

    def _create_table(self, operation: Operation, finding: Finding, made_way: Finding | None) -> None:
        name = operation.table
        if made_way is not None:
            # DROP TABLE IF EXISTS, and CREATE TABLE later in the file, is how many tools and people write that a table is new; OLD's may have stood there.
            clears = "OLD is shown to have no table of that name"
            made_way.become("table_replaced_if_there", _WARN, f"drops table {name} if there is one, to make it anew", clears)
            finding.become("table_replaced_if_there", _WARN, f"creates table {name} anew, without the rows that one of that name may have had", clears)
            self._tables[name] = _Table(origin=name, copied_from=set(operation.reads), definition=operation.definition)
            self._gone_tables.pop(name, None)
        elif (gone := self._gone_tables.get(name)) is not None and name not in self._tables:
            # OLD's table went away and another takes its name: OLD's statements run and find other rows.
            gone.become("table_replaced", _BREAKS, f"{gone.says} and puts another table in its place", "its rows and shape are shown to be those OLD knows")
            finding.become(
                "table_replaced", _BREAKS, f"creates table {name} anew in place of the one OLD knows", "its rows and shape are shown to be those OLD knows"
            )
            self._tables[name] = _Table(origin=name, replaces=[gone, finding], copied_from=set(operation.reads), definition=operation.definition)
        elif operation.guarded:
            finding.become("table_created", _SAFE, f"creates table {name} unless it exists")
            self._table(name)
        elif name in self._tables and not self._tables[name].is_new:
            # The range already spoke of it as an existing table: two databases, or an order that is not clear.
            finding.become("order_not_clear", _UNKNOWN, f"creates table {name} after the range already changed it", "the order of the migrations is made clear")
        else:
            finding.become("table_created", _SAFE, f"creates table {name}")
            like = operation.to if not self._table_is_changed(operation.to) else ""
            self._tables[name] = _Table(origin=None, copied_from=set(operation.reads), definition=operation.definition, shaped_like=like)

    def _table_is_changed(self, name: str) -> bool:
        table = self._tables.get(name)
        return table is not None and (table.is_new or bool(table.columns or table.gone))

    def _drop_table(self, operation: Operation, finding: Finding) -> None:
        name = operation.table
        table = self._tables.pop(name, None) or _Table(origin=name)
        if table.is_new:
            finding.become("made_in_this_range", _SAFE, f"drops table {name}, which this range created")
            return
        was = f" (OLD's {table.origin})" if table.origin != name else ""
        if table.rebuilt is not None:
            _, verdict, _, clears = table.rebuilt
            finding.become("table_rebuilt", verdict, f"drops table {name}{was} after its rows were copied", clears)
        else:
            finding.become("table_dropped", _BREAKS, f"drops table {name}{was}", _NOT_USED)
            untouched = table.origin == name and not table.columns and not table.gone and name not in self._read
            if operation.guarded and untouched and name not in self._there:
                self._made_way[name] = finding
        self._gone_tables[name] = finding

    def _rename_table(self, operation: Operation, finding: Finding) -> None:
        before, after = operation.table, operation.to
        finding.objects = (before, after)
        table = self._tables.pop(before, None) or _Table(origin=before)
        gone = self._gone_tables.get(after)
        if table.is_new and gone is None:
            finding.become("made_in_this_range", _SAFE, f"renames table {before}, which this range created, to {after}")
        elif table.is_new:
            if after in table.copied_from and (self._dialect is Dialect.SQLITE or table.shaped_like == after):
                rebuilt = _rebuilt(table, after, self._columns_of_old.get(after, ()))
                for one in (gone, finding):
                    if one is not None:
                        one.become(*rebuilt)
                for moved in self._tables.values():
                    if moved.origin == after:
                        moved.rebuilt = rebuilt
            elif gone is not None:
                gone.become("table_replaced", _BREAKS, f"{gone.says} and puts another table in its place", "its rows and shape are shown to be those OLD knows")
                finding.become(
                    "table_replaced", _BREAKS, f"puts table {before} in place of OLD's {after}", "its rows and shape are shown to be those OLD knows"
                )
            table.origin = after
        elif table.origin == after:
            for one in (*table.renames, finding):
                one.become("renamed_back", _SAFE, f"renames table {after} away and back within this range")
            table.renames = []
            self._gone_tables.pop(after, None)
        else:
            table.renames.append(finding)
            finding.become("table_renamed", _BREAKS, f"renames table {before} to {after}", "a view under the old name serves all that OLD reads and writes")
            self._gone_tables[before] = finding
        self._tables[after] = table

    # --- rows

    def _write(self, operation: Operation, finding: Finding) -> None:
        verb, name = operation.what, operation.table
        if not name:
            finding.become("rows_changed", _UNKNOWN, f"{verb}s rows of a table that is not told apart", _ROWS)
            return
        table = self._table(name)
        if ("view", name) in self._objects:
            table = _Table(origin=name)
        self._shortened |= {(name, column) for column in operation.shortens}
        if verb == "insert":
            table.copies.append(operation)
        if table.is_new:
            table.copied_from |= operation.reads
            finding.become("made_in_this_range", _SAFE, f"{_VERBS[verb]} table {name}, which OLD never had")
        elif verb in {"truncate", "delete"} and operation.whole:
            finding.become("rows_deleted", _BREAKS, f"deletes all rows of table {name}", "OLD is shown not to need them, or they were put back")
        elif verb == "insert" and not operation.upsert:
            finding.become("rows_added", _WARN, f"adds rows to table {name}", _ROWS)
            if self._dialect is Dialect.SQLITE and table.replaces:
                self._rebuilt_from(table, operation.reads)
        elif verb == "update" and operation.columns and all(self._is_new_column(table, column) for column in operation.columns):
            finding.become("rows_changed", _WARN, f"fills columns of table {name} that OLD never had", _ROWS)
        else:
            finding.become("rows_changed", _UNKNOWN, f"{_VERBS[verb]} table {name}", _ROWS)

    def _rebuilt_from(self, table: _Table, reads: frozenset[str]) -> None:
        """SQLite changes a table by building it anew: rename away, create, copy, drop. Its rows are there; its final shape is not compared here."""
        sources = [
            self._tables[name] for name in reads if name in self._tables and self._tables[name].origin == table.origin and self._tables[name] is not table
        ]
        if sources:
            rebuilt = _rebuilt(table, table.origin or "", self._columns_of_old.get(table.origin or "", ()))
            for one in table.replaces:
                one.become(*rebuilt)
            for source in sources:
                source.rebuilt = rebuilt

    @staticmethod
    def _is_new_column(table: _Table, name: str) -> bool:
        column = table.columns.get(name)
        return column is not None and column.is_new

    # --- objects

    def _create_object(self, operation: Operation, finding: Finding) -> None:
        what, name, key = operation.what, operation.name, (operation.what, operation.name)
        if operation.whole:
            self._strict_domains.add(name)
        if what == "index":
            finding.become("index_created", _SAFE, f"creates index {name}" if name else f"creates an index on table {operation.table}")
            if name and not operation.guarded:
                self._objects[key] = _Object(finding, operation.table)
            return
        if key in self._gone_objects:
            self._replace_object(operation, finding)
        elif what == "view" and not operation.guarded and (renamed := self._renamed_to(operation)) is not None:
            says = f"{renamed.says}, and a view of all its columns stands under the old name"
            renamed.become("table_renamed_behind_view", _WARN, says, "OLD's writes pass the view, and nothing that it does needs a table")
            finding.become("object_created", _SAFE, f"creates view {name} in place of the table")
            self._made(replace(operation, replace=False), finding)
        elif what in {"function", "procedure", "aggregate"}:
            verb = "creates or replaces" if operation.replace else "creates"
            finding.become("routine_changed", _WARN, f"{verb} {what} {name}, whose body is not read", "OLD gets the same results from it, or never calls it")
            self._made(operation, finding)
        elif what == "trigger":
            if self._table(operation.table).is_new:
                self._on_new(operation.table, finding)
            else:
                finding.become("trigger_created", _WARN, f"creates trigger {name} on table {operation.table}", "OLD's writes are shown to pass it unchanged")
            self._made(operation, finding)
        elif what == "policy":
            if self._table(operation.table).is_new:
                self._on_new(operation.table, finding)
            else:
                finding.become("policy_created", _WARN, f"creates policy {name}", "OLD's role may still read and write all it did")
            self._made(operation, finding)
        elif operation.replace and key not in self._objects:
            if self._dialect is Dialect.POSTGRES:
                finding.become("view_replaced", _WARN, f"replaces {what} {name}, keeping its columns", "the rows it shows still mean what OLD reads in them")
            else:
                finding.become(
                    "view_replaced", _UNKNOWN, f"replaces {what} {name}, perhaps with other columns", "its columns are compared with those OLD reads"
                )
        else:
            finding.become("object_created", _SAFE, f"creates {what} {name}".rstrip())
            self._made(operation, finding)

    def _renamed_to(self, operation: Operation) -> Finding | None:
        """The rename of OLD's table that a view makes up for: it has the table's old name, and shows all of the table under its new one."""
        gone = self._gone_tables.get(operation.name)
        moved = [name for name, table in self._tables.items() if table.origin == operation.name and operation.reads == frozenset({name})]
        return gone if gone is not None and gone.rule == "table_renamed" and moved else None

    def _made(self, operation: Operation, finding: Finding) -> None:
        if operation.name and not operation.guarded and not operation.replace:
            self._objects[operation.what, operation.name] = _Object(finding, operation.table, operation.signature)

    def _replace_object(self, operation: Operation, finding: Finding) -> None:
        """An object of OLD was dropped or renamed away, and the range makes another under its name."""
        what, name = operation.what, operation.name
        gone, dropped = self._gone_objects[what, name]
        if what in {"view", "materialized view"} and dropped.kind is Kind.DROP_OBJECT:
            rule, verdict, clears = "view_replaced", _WARN, "its columns are compared with those OLD reads"
        elif what in _ROUTINES and dropped.kind is Kind.DROP_OBJECT and self._same_routine(dropped, operation):
            if dropped.guarded:
                self._made(operation, finding)
            rule, verdict, clears = "routine_changed", _WARN, "OLD gets the same results from it, or never calls it"
        elif what == "sequence" and dropped.guarded:
            # As with tables: many write a new one so. It counts from its beginning again if OLD had one.
            rule, verdict, clears = "sequence_replaced_if_there", _WARN, "OLD is shown to have no sequence of that name"
        elif what in {"trigger", "policy"}:
            rule, verdict, clears = f"{what}_replaced", _WARN, "OLD's reads and writes are shown to pass it unchanged"
        else:
            rule, verdict, clears = f"{what.replace(' ', '_')}_replaced", _BREAKS, "it is shown to be what OLD knows under that name"
        gone.become(rule, verdict, f"drops {what} {name} to make it anew", clears)
        finding.become(rule, verdict, f"makes {what} {name} anew in place of the one OLD knows", clears)

    def _same_routine(self, dropped: Operation, created: Operation) -> bool:
        """Only PostgreSQL tells routines of one name apart by their parameters; DROP without any works only where there is one of that name."""
        return self._dialect is not Dialect.POSTGRES or dropped.signature is None or _same_signature(dropped.signature, created.signature)

    def _drop_object(self, operation: Operation, finding: Finding) -> None:
        what, name, key = operation.what, operation.name, (operation.what, operation.name)
        made = self._objects.get(key)
        # Another overload of a routine that the range made is OLD's.
        if made is not None and (made.signature is None or operation.signature is None or _same_signature(operation.signature, made.signature)):
            del self._objects[key]
            if what == "view" and (gone := self._gone_tables.get(name)) is not None and gone.rule == "table_renamed_behind_view":
                gone.become("table_renamed", _BREAKS, gone.says.partition(",")[0], "a view under the old name serves all that OLD reads and writes")
            if (before := self._gone_objects.get(key)) is not None and before[1].guarded and what in {"procedure", "function"}:
                # DROP IF EXISTS, CREATE, call, DROP: a routine of the migration's own, and the first DROP only makes way for it.
                says = f"drops {what} {name} if there is one, to make and drop its own"
                before[0].become(f"{what}_replaced", _WARN, says, f"OLD is shown never to call a {what} of that name")
            if not (made.table and self._table(made.table).is_new):
                made.made_by.become("made_in_this_range", _SAFE, f"creates {what} {name}, which this range drops again")
            finding.become("made_in_this_range", _SAFE, f"drops {what} {name}, which this range created")
            return
        if operation.table and self._table(operation.table).is_new:
            self._on_new(operation.table, finding)
            return
        if what == "index":
            if name in self._unique_indexes or _NAMED_UNIQUE.search(name):
                clears = "it is not unique, or OLD has no ON CONFLICT / ON DUPLICATE KEY on it"
                finding.become("unique_index_dropped", _WARN, f"drops index {name}, which seems to be unique", clears)
            else:
                finding.become("index_dropped", _SAFE, f"drops index {name}")
        elif what == "function" and self._is_of_a_dropped_trigger(operation):
            finding.become(*_trigger_function(name))
        elif what in {"trigger", "event", "statistics"}:
            if what == "trigger":
                self._dropped_triggers.append(name.rsplit(".", 1)[-1])
                for dropped, function in self._perhaps_trigger_functions:
                    if dropped.rule == "function_dropped" and self._is_of_a_dropped_trigger(function):
                        dropped.become(*_trigger_function(function.name))
            finding.become(f"{what}_dropped", _WARN, f"drops {what} {name}", "OLD does not depend on what it computed")
        elif what == "policy":
            finding.become("policy_dropped", _BREAKS, f"drops policy {name}", "OLD's role may still read and write all it did")
        elif what in {"role", "user"}:
            finding.become("role_changed", _BREAKS, f"drops database role {name}", "OLD does not connect as it")
        else:
            finding.become(f"{what.replace(' ', '_')}_dropped", _BREAKS, f"drops {what} {name}", _NOT_USED)
            if what == "function":
                self._perhaps_trigger_functions.append((finding, operation))
        self._gone_objects[key] = (finding, operation)

    def _is_of_a_dropped_trigger(self, operation: Operation) -> bool:
        """A function without parameters may be a trigger's, which nobody else can call; where none are written down, the trigger has to have its name."""
        if self._dialect is not Dialect.POSTGRES or operation.signature:
            return False
        if operation.signature is None:
            return any(trigger.startswith(operation.name.rsplit(".", 1)[-1]) for trigger in self._dropped_triggers)
        return bool(self._dropped_triggers)

    def _rename_object(self, operation: Operation, finding: Finding) -> None:
        what, before, after = operation.what, operation.name, operation.to
        finding.objects = (before, after)
        if (made := self._objects.pop((what, before), None)) is not None:
            self._objects[what, after] = made
            if (what, after) in self._gone_objects:
                self._replace_object(Operation(kind=Kind.CREATE_OBJECT, what=what, name=after), finding)
            else:
                finding.become("made_in_this_range", _SAFE, f"renames {what} {before}, which this range created, to {after}")
        elif (away := self._gone_objects.get((what, after))) is not None and away[1].kind is Kind.RENAME_OBJECT and away[1].to == before:
            for one in (away[0], finding):
                one.become("renamed_back", _SAFE, f"renames {what} {after} away and back within this range")
            del self._gone_objects[what, after]
        elif what in {"index", "constraint", "trigger", "policy"}:
            finding.become(f"{what}_renamed", _SAFE, f"renames {what} {before} to {after}")
        else:
            finding.become(f"{what.replace(' ', '_')}_renamed", _BREAKS, f"renames {what} {before} to {after}", "OLD is shown never to name it")
            self._gone_objects[what, before] = (finding, operation)

    # --- changes of a table that OLD knows

    def _change(self, operation: Operation, table: _Table, finding: Finding) -> None:
        shown = f"{operation.table}.{operation.name}"
        match operation.kind:
            case Kind.ADD_COLUMN if operation.column is not None:
                self._add_column(operation, operation.column, table, finding)
            case Kind.DROP_COLUMN:
                self._drop_column(operation, table, finding)
            case Kind.RENAME_COLUMN:
                self._rename_column(operation, table, finding)
            case Kind.MODIFY_COLUMN if operation.column is not None:
                self._modify_column(operation, operation.column, table, finding)
            case Kind.CHANGE_TYPE if operation.type is not None:
                if table.column(operation.name).is_new:
                    finding.become("made_in_this_range", _SAFE, f"changes the type of {shown}, which OLD never had")
                else:
                    finding.become(*self._type_change(operation.table, operation.name, operation.type))
            case Kind.SET_NOT_NULL | Kind.DROP_NOT_NULL | Kind.SET_DEFAULT | Kind.DROP_DEFAULT | Kind.SET_IDENTITY:
                self._constrain_column(operation, table, finding)
            case Kind.ADD_UNIQUE | Kind.ADD_CHECK | Kind.ADD_FOREIGN_KEY:
                self._remember(operation, finding)
                self._add_constraint(operation, table, finding)
            case Kind.DROP_CONSTRAINT:
                self._drop_constraint(operation, finding)
            case Kind.CHANGE_TABLE:
                finding.become(operation.rule, operation.verdict, operation.says, operation.clears)
            case _:
                finding.become("not_understood", _UNKNOWN, f"changes table {operation.table} in a way that is not understood", "a person reads the statement")

    def _add_column(self, operation: Operation, definition: Column, table: _Table, finding: Finding) -> None:
        shown = f"{operation.table}.{operation.name}"
        if (gone := table.gone.get(operation.name)) is not None:
            self._column_replaced(shown, gone, finding)
            table.columns[operation.name] = _Column(origin=operation.name)
            return
        known = table.columns.get(operation.name)
        if known is not None and not known.is_new:
            if operation.guarded:
                finding.become("column_added", _SAFE, f"adds column {shown} unless it exists")
            else:
                finding.become(
                    "order_not_clear", _UNKNOWN, f"adds column {shown} after the range already changed it", "the order of the migrations is made clear"
                )
            return
        strict = definition.type.user_defined and definition.type.name in self._strict_domains
        column = _Column(
            origin=None,
            certain=not operation.guarded,
            not_null=definition.not_null or strict,
            filled=definition.default or definition.generated,
            made_by=finding,
        )
        table.columns[operation.name] = column
        finding.become("column_added", _SAFE, f"adds column {shown}")
        if definition.unique and definition.default:
            finding.become("unique_added", _WARN, f"adds unique column {shown} with a default that OLD's rows would all take", _NO_DUPLICATES)
        elif definition.checks_others:
            finding.become("check_added", _WARN, f"adds column {shown} with a check on other columns", "OLD writes only what the check accepts")
        elif definition.references and not definition.lets_parents_go:
            finding.become("foreign_key_added", _WARN, f"adds column {shown} with a foreign key", "OLD never deletes a row that the new column may point to")
        self._look_at(column, shown, finding)

    def _look_at(self, column: _Column, shown: str, finding: Finding) -> None:
        """Settle whether a new column makes OLD's inserts fail, and which operation is the one that does."""
        breaking = column.not_null and not column.filled
        if breaking and column.broken_by is None:
            column.broken_by = finding
            column.unbroken = (finding.rule, finding.verdict, finding.says, finding.clears)
            dropped = finding.rule == "default_dropped"
            rule = "default_dropped_on_new_not_null_column" if dropped else "not_null_without_default"
            says = (
                f"leaves new column {shown} NOT NULL without a default" if finding is not column.made_by else f"adds column {shown} NOT NULL without a default"
            )
            finding.become(rule, _BREAKS, says, f"{shown} gets a default, so that OLD's inserts, which do not name it, succeed")
        elif not breaking and column.broken_by is not None:
            column.broken_by.become(*column.unbroken)
            column.broken_by = None

    def _drop_column(self, operation: Operation, table: _Table, finding: Finding) -> None:
        shown = f"{operation.table}.{operation.name}"
        column = table.columns.pop(operation.name, None) or _Column(origin=operation.name)
        if column.is_new:
            for one in (column.made_by, column.broken_by, finding):
                if one is not None:
                    one.become("made_in_this_range", _SAFE, f"concerns column {shown}, which this range adds and drops")
            return
        was = f" (OLD's {column.origin})" if column.origin not in {None, operation.name} else ""
        finding.become("column_dropped", _BREAKS, f"drops column {shown}{was}", f"OLD is shown never to name {shown}")
        table.gone[operation.name] = finding

    def _column_replaced(self, shown: str, gone: Finding, finding: Finding) -> None:
        clears = "its values and type are shown to be those OLD knows"
        gone.become("column_replaced", _BREAKS, f"{gone.says} and puts another column in its place", clears)
        finding.become("column_replaced", _BREAKS, f"puts another column in place of the {shown} that OLD knows", clears)

    def _rename_column(self, operation: Operation, table: _Table, finding: Finding) -> None:
        before, after = operation.name, operation.to
        shown = f"{operation.table}.{before}"
        finding.objects = (operation.table, shown, f"{operation.table}.{after}")
        column = table.columns.pop(before, None) or _Column(origin=before)
        gone = table.gone.get(after)
        if column.origin == after:
            for one in (*column.renames, finding):
                one.become("renamed_back", _SAFE, f"renames column {operation.table}.{after} away and back within this range")
            column.renames = []
            table.gone.pop(after, None)
        elif gone is not None:
            self._column_replaced(f"{operation.table}.{after}", gone, finding)
            if column.origin is not None:
                table.gone[before] = finding
            column = _Column(origin=after)
        elif column.is_new:
            finding.become("made_in_this_range", _SAFE, f"renames column {shown}, which this range added, to {after}")
        else:
            column.renames.append(finding)
            finding.become(
                "column_renamed", _BREAKS, f"renames column {shown} to {after}", f"OLD is shown never to name {shown}, or a view or column serves the old name"
            )
            table.gone[before] = finding
        table.columns[after] = column

    def _modify_column(self, operation: Operation, definition: Column, table: _Table, finding: Finding) -> None:
        """MySQL's MODIFY and CHANGE write the whole definition anew: what it leaves out (NOT NULL, DEFAULT) is dropped."""
        shown = f"{operation.table}.{operation.name}"
        column = table.column(operation.name)
        says_all = operation.what != "type"
        if column.is_new:
            finding.become("made_in_this_range", _SAFE, f"redefines column {shown}, which OLD never had")
            if says_all:
                column.not_null, column.filled = definition.not_null, definition.default or definition.generated
            self._look_at(column, shown, finding)
            return
        rule, verdict, says, clears = self._type_change(operation.table, operation.name, definition.type)
        if rule == "type_changed":
            # The statement repeats a type that did not change far more often than it changes one.
            rule, verdict, clears = "column_redefined", _WARN, "its definition is compared with the one OLD knows"
        if not says_all:
            finding.become(rule, verdict, says, clears)
            return
        null = "NOT NULL" if definition.not_null else "NULL"
        default = "with a default" if definition.default or definition.generated else "without a default"
        finding.become(rule, verdict, f"redefines column {shown}, {null} {default}: {says}", clears)

    def _type_change(self, table: str, column: str, to: ColumnType) -> tuple[str, SchemaVerdict, str, str]:
        shown = f"{table}.{column}"
        target = f"{to.name}(...)" if to.bounded else to.name
        says = f"changes the type of {shown} to {target}"
        if (table, column) in self._shortened and (to.bounded or to.name in _SIZED_TYPES):
            return "type_narrowed", _BREAKS, f"{says} after fitting its values", "OLD is shown to write no longer values"
        if to.conversion is Conversion.EXPRESSION:
            return "type_changed", _BREAKS, f"{says} and computes its values anew", "OLD reads and writes the new type unchanged"
        implicit = self._dialect is Dialect.POSTGRES and to.conversion is Conversion.NONE
        if implicit and to.name in _NOTHING_BECOMES_IMPLICITLY:
            return "type_kept", _SAFE, f"says again that {shown} is {to.name}, to which PostgreSQL converts nothing without USING", ""
        if implicit and to.name in _ONLY_KIN_BECOME_IMPLICITLY:
            return "type_widened", _WARN, says, "it was a type of the same family and OLD copes with the values of the new one"
        if to.name.rpartition(".")[2] == "citext":
            return "charset_changed", _WARN, f"{says}, which compares without case", "OLD writes and compares the same without case"
        wide = to.name.removesuffix("[]") in _WIDE_TYPES or (self._dialect is Dialect.POSTGRES and to.name == "varchar")
        if wide and not to.bounded and not (to.conversion is Conversion.CAST and to.name.startswith("json")):
            return "type_widened", _WARN, says, "it was a narrower type of the same family and OLD copes with the longer values"
        if to.bounded or to.name in _SIZED_TYPES:
            return (
                "type_size_changed",
                _WARN,
                f"{says}; whether that is narrower than before is not in the range",
                "it is shown to be at least as wide as before",
            )
        return "type_changed", _BREAKS, says, "OLD reads and writes the new type unchanged"

    def _constrain_column(self, operation: Operation, table: _Table, finding: Finding) -> None:
        shown, kind = f"{operation.table}.{operation.name}", operation.kind
        column = table.column(operation.name)
        if column.origin is None:
            # A column that the range made, or perhaps made (IF NOT EXISTS): then OLD's own may stand there, and is judged as such below.
            match kind:
                case Kind.SET_NOT_NULL | Kind.DROP_NOT_NULL:
                    column.not_null = kind is Kind.SET_NOT_NULL
                    finding.become("made_in_this_range", _SAFE, f"changes whether {shown}, which OLD never had, may be NULL")
                case Kind.DROP_DEFAULT:
                    column.filled = False
                    finding.become("default_dropped", _SAFE, f"drops the default of {shown}, which OLD never had")
                case _:
                    column.filled = True
                    finding.become("made_in_this_range", _SAFE, f"sets the default of {shown}, which OLD never had")
            self._look_at(column, shown, finding)
            if column.is_new or column.broken_by is finding:
                return
        match kind:
            case Kind.SET_NOT_NULL:
                finding.become("not_null_set", _WARN, f"makes {shown} NOT NULL", "OLD's model never writes NULL there, and no row ever held one")
            case Kind.DROP_NOT_NULL:
                finding.become("not_null_dropped", _WARN, f"lets {shown} be NULL", "no row holds NULL there, or OLD copes with it")
            case Kind.SET_DEFAULT:
                finding.become("default_changed", _SAFE, f"sets the default of {shown}")
                if column.default_dropped_by is not None:
                    column.default_dropped_by.become("default_changed", _SAFE, f"drops the default of {shown}, which gets another later in this range")
                    column.default_dropped_by = None
            case Kind.DROP_DEFAULT:
                finding.become("default_dropped", _WARN, f"drops the default of {shown}", "OLD always writes it, or it may be NULL")
                column.default_dropped_by = finding
            case _:
                finding.become("identity_changed", _WARN, f"changes how {shown} is generated", "OLD never writes it itself")

    def _add_constraint(self, operation: Operation, table: _Table, finding: Finding) -> None:
        columns = ", ".join(operation.columns)
        where = f"table {operation.table}" + (f" ({columns})" if columns else "")
        key = {"unique": "a unique constraint", "exclusion": "an exclusion constraint"}.get(operation.what, f"a {operation.what}")
        match operation.kind:
            case Kind.ADD_UNIQUE:
                self._unique_indexes.add(operation.name)
                finding.become("unique_added", _WARN, f"adds {key} on {where}", _NO_DUPLICATES)
                if operation.what == "primary key":
                    for name in operation.columns:
                        if self._is_new_column(table, name):
                            column = table.columns[name]
                            column.not_null = True
                            self._look_at(column, f"{operation.table}.{name}", finding)
                elif not operation.upsert and any(self._is_new_column(table, name) and not table.columns[name].filled for name in operation.columns):
                    # OLD leaves the new column NULL, and NULLs never collide.
                    finding.become("unique_added", _SAFE, f"adds {key} on {where}, where OLD always leaves a new column NULL")
            case Kind.ADD_CHECK:
                finding.become("check_added", _WARN, f"adds a check on {where}", "OLD writes only what the check accepts")
                for wanted in operation.never_all_null:
                    if all(self._is_new_column(table, name) and not table.columns[name].filled for name in wanted):
                        named = ", ".join(sorted(wanted))
                        finding.become(
                            "check_fails_for_old",
                            _BREAKS,
                            f"adds a check on {where} that wants one of {named}, all of which OLD leaves NULL",
                            f"one of {named} gets a default",
                        )
                for name in operation.never_null:
                    if self._is_new_column(table, name):
                        column = table.columns[name]
                        column.not_null = True
                        self._look_at(column, f"{operation.table}.{name}", finding)
            case _:
                finding.become("foreign_key_added", _WARN, f"adds a foreign key on {where}", "OLD writes and deletes in an order that the key accepts")

    def _drop_constraint(self, operation: Operation, finding: Finding) -> None:
        made = self._objects.pop(("constraint", f"{operation.table}.{operation.name}"), None)
        if made is not None and made.made_by.verdict is not _BREAKS:
            made.made_by.become("made_in_this_range", _SAFE, f"adds constraint {operation.name}, which this range drops again")
            finding.become("made_in_this_range", _SAFE, f"drops constraint {operation.name}, which this range added")
            return
        name = f" {operation.name}" if operation.name != operation.what else ""
        clears = "no row breaks the dropped rule, and OLD has no ON CONFLICT / ON DUPLICATE KEY on it"
        finding.become("constraint_dropped", _WARN, f"drops {operation.what}{name} of table {operation.table}", clears)


def _rebuilt(table: _Table, name: str, were: tuple[str, ...]) -> tuple[str, SchemaVerdict, str, str]:
    """Judge a table that was built anew under its own name by its final shape, as far as the text shows that. `were` are OLD's columns, () if not known."""
    says, compared = f"rebuilds table {name} under its own name", "the rebuilt table's shape is compared with the one OLD knows"
    if table.definition is not None and not table.altered:
        kept_names = {column for column, _ in table.definition}
        for column in were:
            if column not in kept_names:
                return "column_dropped", _BREAKS, f"{says}, without column {name}.{column}", f"OLD is shown never to name {name}.{column}"
    if len(table.copies) != 1 or table.altered or (table.definition is None and not table.shaped_like):
        return "table_rebuilt", _UNKNOWN, says, compared
    (copy,) = table.copies
    if copy.whole:
        return "table_rebuilt", _WARN, f"{says} with all its columns", "OLD's rows pass the new table's types and constraints"
    definition = table.definition or ()
    pairs = list(zip(copy.columns or tuple(column for column, _ in definition), copy.sources, strict=False))
    for column, source in pairs:
        # A source that also keeps its own place fills a new column; one that does not has lost its name.
        if source not in {"", "*", column} and (source, source) not in pairs:
            return "column_renamed", _BREAKS, f"{says}, with column {source} as {column}", f"OLD is shown never to name {name}.{source}"
    kept = {column for column, source in pairs if source in {"*", column}} if pairs else set(copy.columns)
    for column, new in definition:
        if (pairs or copy.columns) and column not in kept and new.not_null and not (new.default or new.generated):
            clears = f"{name}.{column} gets a default, so that OLD's inserts, which do not name it, succeed"
            return "not_null_without_default", _BREAKS, f"{says}, with a new column {column} NOT NULL without a default", clears
    return "table_rebuilt", _UNKNOWN, says, compared


def _trigger_function(name: str) -> tuple[str, SchemaVerdict, str, str]:
    says = f"drops function {name}, which a dropped trigger seems to have called"
    return "trigger_function_dropped", _WARN, says, "OLD is shown never to call it itself"


_VERBS = {"insert": "adds or overwrites rows of", "update": "changes rows of", "delete": "deletes rows of", "truncate": "empties", "merge": "merges rows into"}


def _objects(operation: Operation) -> tuple[str, ...]:
    if operation.kind in {Kind.CREATE_OBJECT, Kind.DROP_OBJECT, Kind.CHANGE_OBJECT} or not operation.table:
        named = [operation.table, operation.name]
    elif operation.what in {"index", "unique index"}:
        named = [operation.table, operation.name, *(f"{operation.table}.{name}" for name in operation.columns)]
    else:
        named = [operation.table, *(f"{operation.table}.{name}" for name in (operation.name, *operation.columns) if name)]
    return tuple(dict.fromkeys(one for one in named if one))


def _same_signature(dropped: tuple[str, ...] | None, created: tuple[str, ...] | None) -> bool:
    """Say whether DROP and CREATE mean the same routine; CREATE may name the parameters that DROP gives by type only."""
    if dropped is None or created is None or len(dropped) != len(created):
        return False
    return all(new == old or new.endswith(f" {old}") or old.endswith(f" {new}") for old, new in zip(dropped, created, strict=True))
