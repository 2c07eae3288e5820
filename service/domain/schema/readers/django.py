"""Reads Django's migrations as a tree: the literal `operations = [...]`, told against the models that the earlier migrations of the application made.

What Django writes to the database is not always what the operation says: `AddField` drops its default again, `AlterField` is only its difference to the field
before, relations bring tables and columns of their own. So the whole chain of the application is replayed, without running it. Custom operations, RunPython,
and whatever is computed when it runs are unknown. Tests compare with the SQL of the real Django.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.domain.schema.operations import Column, ColumnType, Conversion, Kind, Operation, unknown
from service.domain.schema.readers.python import UNKNOWN, Module, UnreadableError, arguments
from service.domain.schema.readers.reader import Root, Sql, Step, not_literal
from service.domain.schema.reading import Dialect, SchemaVerdict

_SAFE, _WARN, _BREAKS = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS
_RELATIONS = frozenset({"ForeignKey", "OneToOneField"})
_MANY = "ManyToManyField"
_AUTO = {"AutoField": "int", "BigAutoField": "bigint", "SmallAutoField": "smallint"}
_TEXTS = {
    # class: its length where none is given; None: as long as one likes
    "CharField": None,
    "SlugField": 50,
    "EmailField": 254,
    "URLField": 200,
    "FileField": 100,
    "ImageField": 100,
    "FilePathField": 100,
    "CommaSeparatedIntegerField": None,
}
_NUMBERS = {"SmallIntegerField": "smallint", "IntegerField": "int", "BigIntegerField": "bigint"}
_POSITIVE = {"PositiveSmallIntegerField": "smallint", "PositiveIntegerField": "int", "PositiveBigIntegerField": "bigint"}
_PLAIN = {
    "TextField": "text",
    "BooleanField": "boolean",
    "NullBooleanField": "boolean",
    "DateField": "date",
    "DateTimeField": "timestamptz",
    "TimeField": "time",
    "DurationField": "interval",
    "FloatField": "double",
    "BinaryField": "varbinary",
    "UUIDField": "uuid",
    "JSONField": "jsonb",
    "GenericIPAddressField": "inet",
    "HStoreField": "hstore",
    "SearchVectorField": "tsvector",
    "CIText": "citext",
    "CICharField": "citext",
    "CIEmailField": "citext",
    "CITextField": "citext",
}
_WIDER = {"smallint": 0, "int": 1, "bigint": 2}
_EMPTY_TEXTS = frozenset({*_TEXTS, "TextField", "BinaryField"})
_SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "CreateModel": ("name", "fields", "options", "bases", "managers"),
    "DeleteModel": ("name",),
    "RenameModel": ("old_name", "new_name"),
    "AlterModelTable": ("name", "table"),
    "AlterModelTableComment": ("name", "table_comment"),
    "AlterModelOptions": ("name", "options"),
    "AlterModelManagers": ("name", "managers"),
    "AlterUniqueTogether": ("name", "unique_together"),
    "AlterIndexTogether": ("name", "index_together"),
    "AlterOrderWithRespectTo": ("name", "order_with_respect_to"),
    "AddField": ("model_name", "name", "field", "preserve_default"),
    "RemoveField": ("model_name", "name"),
    "AlterField": ("model_name", "name", "field", "preserve_default"),
    "RenameField": ("model_name", "old_name", "new_name"),
    "AddIndex": ("model_name", "index"),
    "AddIndexConcurrently": ("model_name", "index"),
    "RemoveIndex": ("model_name", "name"),
    "RemoveIndexConcurrently": ("model_name", "name"),
    "RenameIndex": ("model_name", "new_name", "old_name", "old_fields"),
    "AddConstraint": ("model_name", "constraint"),
    "AddConstraintNotValid": ("model_name", "constraint"),
    "RemoveConstraint": ("model_name", "name"),
    "ValidateConstraint": ("model_name", "name"),
    "AlterConstraint": ("model_name", "name", "constraint"),
    "RunSQL": ("sql", "reverse_sql", "state_operations", "hints", "elidable"),
    "RunPython": ("code", "reverse_code", "atomic", "hints", "elidable"),
    "SeparateDatabaseAndState": ("database_operations", "state_operations"),
    "CreateExtension": ("name", "hints"),
    "CreateCollation": ("name", "locale"),
    "RemoveCollation": ("name", "locale"),
}
_EXTENSIONS = frozenset(
    {
        "BloomExtension",
        "BtreeGinExtension",
        "BtreeGistExtension",
        "CITextExtension",
        "CryptoExtension",
        "HStoreExtension",
        "TrigramExtension",
        "UnaccentExtension",
    }
)
_DJANGOS_OWN = frozenset({"apply", "unapply", "mutate_state", "suggest_name"})
"""Methods by which Django's Migration works: a class that has its own does something else."""
_NO_COLUMNS = frozenset({"taggit.managers.TaggableManager", "django.contrib.contenttypes.fields.GenericRelation"})
"""Fields that are kept in tables of other applications."""
_READ = "a person reads it and confirms that OLD still runs"


class _UnreadError(Exception):
    """A part is computed when it runs; the text says which."""


class _UnknownBeforeError(_UnreadError):
    """What was before is not known; what is now was read."""

    def __init__(self) -> None:
        super().__init__("what was unique before is not known here")


@dataclass(frozen=True, slots=True)
class _Text:
    """SQL that a migration holds."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _Item:
    """What one operation does: something to judge, or SQL to read."""

    line: int
    shown: str
    what: Operation | _Text


@dataclass(frozen=True, slots=True)
class _Field:
    """A field as written: the class's last name, whether it is Django's own, and its options."""

    kind: str
    known: bool
    named: Mapping[str, ast.expr]
    module: Module

    def option(self, name: str, default: Any = None) -> Any:
        """The literal value of an option; _UnreadError when it is computed."""
        if name not in self.named:
            return default
        found = self.module.value(self.named[name])
        if found is UNKNOWN:
            raise _UnreadError(f"the field's {name} is computed")
        return found

    def written(self, name: str) -> str:
        """The source of an option, to compare it with another; empty when it is not there."""
        return ast.unparse(self.named[name]) if name in self.named else ""

    @property
    def is_many(self) -> bool:
        return self.kind == _MANY

    @property
    def null(self) -> bool:
        return bool(self.option("null", default=self.kind == "NullBooleanField"))

    @property
    def primary(self) -> bool:
        return bool(self.option("primary_key", default=False))

    @property
    def unique(self) -> bool:
        return bool(self.option("unique", default=False)) or self.kind == "OneToOneField" or self.primary

    def column(self, name: str) -> str:
        """The column's name."""
        given = self.option("db_column")
        return str(given) if given else f"{name}_id" if self.kind in _RELATIONS else name

    def type(self) -> tuple[Any, ...] | None:
        """What the database's type depends on, None for a class that nobody here knows."""
        kind = self.kind
        if not self.known:
            return None
        if kind in _TEXTS:
            length = self.option("max_length", _TEXTS[kind])
            return ("varchar", length)
        if kind in _NUMBERS or kind in _AUTO:
            return ((_NUMBERS | _AUTO)[kind],)
        if kind in _POSITIVE:
            return (_POSITIVE[kind],)
        if kind in _PLAIN:
            return (_PLAIN[kind],)
        if kind == "DecimalField":
            return ("decimal", self.option("max_digits"), self.option("decimal_places"))
        return None

    @property
    def column_type(self) -> ColumnType:
        found = self.type()
        return ColumnType(name=found[0], bounded=len(found) > 1 and found[1] is not None) if found else ColumnType(name=self.kind.lower(), user_defined=True)


@dataclass(slots=True)
class _Model:
    name: str
    table: str
    own_table: bool
    fields: dict[str, _Field] = field(default_factory=dict)
    managed: bool = True
    together: list[tuple[str, ...]] | None = field(default_factory=list)
    constraints: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "_Model":
        return replace(self, fields=dict(self.fields), together=None if self.together is None else list(self.together), constraints=dict(self.constraints))


@dataclass(slots=True)
class _State:
    """The application's models at one point of the chain. `gap`: something may have changed them that was not read."""

    label: str
    models: dict[str, _Model] = field(default_factory=dict)
    gap: bool = False

    def copy(self) -> "_State":
        return _State(self.label, {key: model.copy() for key, model in self.models.items()}, self.gap)

    def model(self, name: str) -> _Model:
        """The model, or what its table would be called if nothing else was said."""
        return self.models.get(name.lower()) or _Model(name=name, table=f"{self.label}_{name.lower()}", own_table=False)


@dataclass(slots=True)
class _File:
    path: str
    module: Module | None
    problem: str = ""
    operations: list[ast.expr] = field(default_factory=list)
    needs: list[tuple[str, str]] = field(default_factory=list)
    replaces: list[tuple[str, str]] | None = None
    strange: list[_Item] = field(default_factory=list)

    @property
    def stem(self) -> str:
        return self.path.rpartition("/")[2].removesuffix(".py")


class DjangoReader:
    """See `reader.Reader`."""

    def __init__(self, root: Root) -> None:
        self._root = root
        here = {path: text for path, text in {**root.beside, **root.files}.items() if path.rpartition("/")[0] == root.folder and path.endswith(".py")}
        here |= root.files
        self._files = {path: _file(path, text) for path, text in here.items()}
        self._label = self._find_label()
        self._found: dict[str, list[_Item]] | None = None

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """By the dependencies inside the application; where they say nothing, by name."""
        wanted = set(paths)
        return [path for path in self._chain() if path in wanted]

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """Every operation of one migration."""
        if self._found is None:
            self._found = self._replay()
        for item in self._found.get(path, []):
            if isinstance(item.what, _Text):
                yield from sql(item.what.text, item.what.line)
            else:
                yield Step(item.line, item.shown, item.what)

    def _find_label(self) -> str:
        """The application's label: the one by which these migrations name each other, else the folder's name."""
        stems = {file.stem for file in self._files.values()}
        named: dict[str, int] = {}
        for file in self._files.values():
            for label, stem in [*file.needs, *(file.replaces or ())]:
                if stem in stems and stem != "0001_initial":
                    named[label] = named.get(label, 0) + 1
        for file in self._files.values():
            for label, stem in file.needs:
                if not named and stem in stems and label == self._folder_name():
                    named[label] = 1
        return max(named, key=lambda label: named[label]) if named else self._folder_name()

    def _folder_name(self) -> str:
        folders = self._root.folder.split("/")
        return folders[-2] if len(folders) > 1 else folders[-1]

    def _chain(self) -> list[str]:
        by_stem = {file.stem: path for path, file in self._files.items()}
        placed: dict[str, None] = {}
        for start in sorted(self._files):
            waiting, entered = [(start, False)], set[str]()
            while waiting:
                path, ready = waiting.pop()
                if ready:
                    placed[path] = None
                if path in placed or path in entered:
                    continue
                entered.add(path)
                waiting.append((path, True))
                before = [*self._files[path].needs, *(self._files[path].replaces or ())]
                waiting += [(by_stem[stem], False) for label, stem in before if label == self._label and stem in by_stem]
        return list(placed)

    def _replay(self) -> dict[str, list[_Item]]:
        state = _State(self._label)
        found: dict[str, list[_Item]] = {}
        stems = {file.stem for file in self._files.values()}
        replaced = {stem for file in self._files.values() for label, stem in file.replaces or () if label == self._label}
        for path in self._chain():
            file = self._files[path]
            state.gap |= any(label == self._label and stem not in stems and stem not in replaced for label, stem in file.needs)
            if file.problem or file.module is None:
                found[path] = [_Item(0, "", unknown("not_understood", file.problem or "is not understood", _READ))]
                state.gap = True
                continue
            if file.replaces is not None:
                here = [label == self._label and stem in stems for label, stem in file.replaces]
                if all(here):  # where all of them were applied it is only noted down; they are read themselves
                    found[path] = [
                        _Item(0, "", Operation(kind=Kind.NOTE, rule="no_schema_change", verdict=_SAFE, says="replaces migrations that are read themselves"))
                    ]
                    continue
                says = "replaces migrations that are not all here, so what it does depends on what was applied"
                found[path] = [_Item(0, "", unknown("not_understood", says, _READ))]
                list(_Replay(self._root, file.module, state).run(file.operations))
                state.gap |= any(here) or bool(file.strange)
                continue
            found[path] = [*file.strange, *_Replay(self._root, file.module, state).run(file.operations)]
            state.gap |= bool(file.strange)
        return found


def _file(path: str, text: str) -> _File:
    try:
        module = Module(text)
    except UnreadableError as error:
        return _File(path, None, str(error))
    classes = [node for node in module.tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"]
    if len(classes) != 1:
        return _File(path, module, "has no class Migration that could be read")
    found, migration = _File(path, module), classes[0]
    bases = [module.dotted(base) for base in migration.bases]
    if bases not in (["django.db.migrations.Migration"], ["django.db.migrations.migration.Migration"]) or migration.keywords or migration.decorator_list:
        found.problem = "is made from a class of the project's own, whose doing is not in this file"
    for node in module.tree.body:
        if node is not migration and any(isinstance(one, ast.Name) and one.id == "Migration" for one in ast.walk(node)):
            found.problem = "changes its migration again outside of the class"
    seen: set[str] = set()
    for statement in migration.body:
        match statement:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.FunctionDef(name=name) if name not in _DJANGOS_OWN and not name.startswith("__"):
                pass  # a helper for RunPython
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name not in seen:
                seen.add(name)
                _attribute(found, module, name, value)
            case _:
                shown = module.shown(statement)
                found.strange.append(_item(not_literal(statement.lineno, shown, "it is computed when it runs")))
    return found


def _attribute(found: _File, module: Module, name: str, value: ast.expr) -> None:
    match name, value:
        case "operations", ast.List(elts=operations) | ast.Tuple(elts=operations):
            found.operations = list(operations)
        case "operations", _:
            found.strange.append(_item(not_literal(value.lineno, module.shown(value), "its operations are computed")))
        case "dependencies", ast.List(elts=parts) | ast.Tuple(elts=parts):
            found.needs = [(str(pair[0]), str(pair[1])) for pair in (module.value(part) for part in parts) if isinstance(pair, list) and len(pair) == 2]  # noqa: PLR2004
        case "replaces", _:
            pairs = module.value(value)
            found.replaces = []
            if isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):  # noqa: PLR2004
                found.replaces = [(str(label), str(stem)) for label, stem in pairs]
            else:
                found.problem = "replaces migrations that are computed"
            if not found.replaces:
                found.replaces = None
        case _:
            pass


def _item(step: Step) -> _Item:
    return _Item(step.line, step.shown, step.operation)


def _note(says: str, rule: str = "no_schema_change", verdict: SchemaVerdict = _SAFE, clears: str = "") -> Operation:
    return Operation(kind=Kind.NOTE, rule=rule, verdict=verdict, says=says, clears=clears)


class _Replay:
    """Runs one migration's operations over the state, and yields what each does to the database."""

    def __init__(self, root: Root, module: Module, state: _State) -> None:
        self._root, self._module, self._state = root, module, state

    def run(self, operations: Iterable[ast.expr]) -> Iterator[_Item]:
        for node in operations:
            yield from self._one(node)

    def _one(self, node: ast.expr) -> Iterator[_Item]:
        line, shown = node.lineno, self._module.shown(node)
        if not isinstance(node, ast.Call):
            self._state.gap = True
            yield _item(not_literal(line, shown, "it is computed when it runs"))
            return
        full = self._module.dotted(node.func)
        name = full.rpartition(".")[2]
        given = self._arguments(node, name)
        if not full.startswith(("django.db.migrations.", "django.contrib.postgres.operations.")) or given is None:
            self._state.gap = True
            yield _item(
                not_literal(line, shown, f"{name or 'it'} is an operation of the project's own" if given is not None else f"{name or 'it'} is computed")
            )
            return
        if name == "RunSQL":
            yield from self._run_sql(given, line, shown)
        elif name == "SeparateDatabaseAndState":
            yield from self._separate(given, line, shown)
        else:
            try:
                found = list(self._apply(name, given))
            except _UnreadError as error:
                if not isinstance(error, _UnknownBeforeError):
                    self._forget(name, given)
                yield _item(not_literal(line, shown, str(error)))
                return
            for one in found:
                yield _Item(line, shown, one)

    def _forget(self, name: str, given: Mapping[str, ast.expr]) -> None:
        """What an operation that was not read may have changed is not known any more: one field, one model, or everything."""
        model, own = (self._module.value(given.get(part)) for part in ("model_name" if "model_name" in given else "name", "name"))
        if name not in _SIGNATURES or not isinstance(model, str):
            self._state.gap = True
        elif name in {"AddField", "AlterField", "RemoveField"} and isinstance(own, str):
            if isinstance(given.get("field"), ast.Call) and own in self._known(model).fields and name != "RemoveField":
                return  # the field as it is now was read; only what the change does was not
            self._known(model).fields.pop(own, None)
        elif name in {"CreateModel", "RenameModel", "RenameField", "AlterModelTable", "AlterModelOptions"}:
            self._state.models.pop(model.lower(), None)
        elif name == "AlterUniqueTogether":
            self._known(model).together = None

    def _arguments(self, node: ast.Call, name: str) -> dict[str, ast.expr] | None:
        found = arguments(node)
        signature = _SIGNATURES.get(name, ())
        if found is None or (len(found[0]) > len(signature) and name not in _EXTENSIONS and name in _SIGNATURES):
            return None
        return {**dict(zip(signature, found[0], strict=False)), **found[1]}

    def _run_sql(self, given: Mapping[str, ast.expr], line: int, shown: str) -> Iterator[_Item]:
        expression = given.get("sql")
        if expression is not None and self._module.dotted(expression) == "django.db.migrations.RunSQL.noop":
            yield _Item(line, shown, _note("does nothing"))
        else:
            texts = self._module.value(expression)
            parts = texts if isinstance(texts, list) else [texts]
            if not parts or not all(isinstance(part, str) for part in parts):  # (sql, parameters) is put together when it runs
                yield _item(not_literal(line, shown, "its SQL is put together when it runs"))
            for part in parts:
                if isinstance(part, str):
                    yield _Item(line, shown, _Text(part, getattr(expression, "lineno", line)))
        self._state_only(given)

    def _separate(self, given: Mapping[str, ast.expr], line: int, shown: str) -> Iterator[_Item]:
        database = given.get("database_operations")
        if isinstance(database, ast.List | ast.Tuple):
            found = list(_Replay(self._root, self._module, self._state.copy()).run(database.elts))
            yield from found
        elif database is None or (isinstance(database, ast.Constant) and database.value is None):
            found = []
        else:
            found = []
            yield _item(not_literal(line, shown, "its operations are computed"))
        if not found:
            yield _Item(line, shown, _note("changes nothing in the database"))
        self._state_only(given)

    def _state_only(self, given: Mapping[str, ast.expr]) -> None:
        operations = given.get("state_operations")
        if isinstance(operations, ast.List | ast.Tuple):
            list(_Replay(self._root, self._module, self._state).run(operations.elts))
        elif operations is not None and not (isinstance(operations, ast.Constant) and operations.value is None):
            self._state.gap = True

    # --- operations

    def _apply(self, name: str, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        match name:
            case "CreateModel":
                yield from self._create_model(given)
            case "DeleteModel":
                model = self._state.models.pop(self._text(given, "name").lower(), None) or self._state.model(self._text(given, "name"))
                if not model.managed:
                    yield _note("deletes a model without a table of its own")
                    return
                for own, one in model.fields.items():
                    if one.is_many and "through" not in one.named:
                        yield Operation(kind=Kind.DROP_TABLE, table=self._table(self._many_table(model, own, one)))
                yield Operation(kind=Kind.DROP_TABLE, table=self._table(model.table))
            case "RenameModel":
                yield from self._rename_model(given)
            case "AlterModelTable":
                table = self._value(given, "table")
                model = self._known(self._text(given, "name"))
                yield from self._move_table(model, str(table) if table else f"{self._state.label}_{model.name.lower()}", own=bool(table))
            case "AlterModelOptions":
                options = given.get("options")
                managed = self._option(options, "managed")
                if managed is not None:
                    self._known(self._text(given, "name")).managed = bool(managed)
                yield _note("changes options that are not in the database")
            case "AlterModelManagers" | "AlterModelTableComment" | "AlterConstraint":
                yield _note("changes nothing but a comment or Python")
            case "AlterUniqueTogether":
                yield from self._together(given)
            case "AlterIndexTogether":
                yield Operation(kind=Kind.CREATE_OBJECT, what="index", table=self._table(self._known(self._text(given, "name")).table))
            case "AlterOrderWithRespectTo":
                yield from self._ordered(given)
            case "AddField":
                yield from self._add_field(given)
            case "RemoveField":
                yield from self._remove_field(given)
            case "AlterField":
                yield from self._alter_field(given)
            case "RenameField":
                yield from self._rename_field(given)
            case "AddIndex" | "AddIndexConcurrently":
                model = self._known(self._text(given, "model_name"))
                yield Operation(
                    kind=Kind.CREATE_OBJECT, what="index", name=self._index(model, self._inner_name(given.get("index"))), table=self._table(model.table)
                )
            case "RemoveIndex" | "RemoveIndexConcurrently":
                model = self._known(self._text(given, "model_name"))
                table = self._table(model.table) if self._root.dialect is Dialect.MYSQL else ""
                yield Operation(kind=Kind.DROP_OBJECT, what="index", name=self._index(model, self._text(given, "name")), table=table)
            case "RenameIndex":
                yield _note("renames an index", "index_renamed")
            case "AddConstraint" | "AddConstraintNotValid":
                yield from self._add_constraint(given)
            case "RemoveConstraint":
                yield from self._remove_constraint(given)
            case "ValidateConstraint":
                yield _note("validates a constraint that new rows already had to meet", "constraint_validated")
            case "RunPython":
                code = given.get("code")
                if code is not None and self._module.dotted(code) == "django.db.migrations.RunPython.noop":
                    yield _note("does nothing")
                else:
                    yield unknown(
                        "python_code",
                        "runs Python code, which is not executed to read it",
                        "a person reads it and confirms that OLD can work with the rows it leaves",
                    )
            case "CreateExtension" | "CreateCollation":
                yield Operation(
                    kind=Kind.CREATE_OBJECT, what="extension" if name == "CreateExtension" else "collation", name=self._text(given, "name"), guarded=True
                )
            case _ if name in _EXTENSIONS:
                yield Operation(kind=Kind.CREATE_OBJECT, what="extension", name=name.removesuffix("Extension").lower(), guarded=True)
            case _:
                raise _UnreadError(f"the operation {name} is not known")

    def _create_model(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        name, options = self._text(given, "name"), given.get("options")
        table = self._option(options, "db_table")
        managed = self._option(options, "managed") is not False and not self._option(options, "proxy")
        model = _Model(name=name, table=str(table) if table else f"{self._state.label}_{name.lower()}", own_table=bool(table), managed=managed)
        model.together = _pairs(self._option(options, "unique_together"))
        fields = given.get("fields")
        if not isinstance(fields, ast.List | ast.Tuple):
            raise _UnreadError("its fields are computed")
        for part in fields.elts:
            if not isinstance(part, ast.Tuple) or len(part.elts) != 2 or not isinstance(own := self._module.value(part.elts[0]), str):  # noqa: PLR2004
                raise _UnreadError("one of its fields is computed")
            model.fields[own] = self._field(part.elts[1])
        self._state.models[name.lower()] = model
        if not managed:
            yield _note("makes a model without a table of its own")
            return
        yield Operation(kind=Kind.CREATE_TABLE, table=self._table(model.table))
        for own, one in model.fields.items():
            if one.is_many and "through" not in one.named:
                yield Operation(kind=Kind.CREATE_TABLE, table=self._table(self._many_table(model, own, one)))

    def _rename_model(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        before, after = self._text(given, "old_name"), self._text(given, "new_name")
        model = self._state.models.pop(before.lower(), None) or self._state.model(before)
        self._state.models[after.lower()] = model
        was, model.name = model.name, after
        if model.own_table:
            yield _note("renames a model that keeps its table")
            return
        yield from self._move_table(model, f"{self._state.label}_{after.lower()}", own=False, renamed=(was, after))

    def _move_table(self, model: _Model, table: str, *, own: bool, renamed: tuple[str, str] | None = None) -> Iterator[Operation]:
        """The table, and the tables between that belong to it, with their columns that are named after the model."""
        before, many = model.table, {name: self._many_table(model, name, one) for name, one in model.fields.items() if one.is_many}
        model.table, model.own_table = table, own
        if before == table or not model.managed:
            yield _note("keeps its table")
            return
        yield Operation(kind=Kind.RENAME_TABLE, table=self._table(before), to=self._table(table))
        for name, old_name in many.items():
            one = model.fields[name]
            if "through" in one.named:
                continue
            new_name = self._many_table(model, name, one)
            if old_name != new_name:
                yield Operation(kind=Kind.RENAME_TABLE, table=self._table(old_name), to=self._table(new_name))
            if renamed is not None and renamed[0].lower() != renamed[1].lower():
                old_column, new_column = (self._root.name(f"{part.lower()}_id") for part in renamed)
                yield Operation(kind=Kind.RENAME_COLUMN, table=self._table(new_name), name=old_column, to=new_column)

    def _together(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model = self._known(self._text(given, "name"))
        before, after = model.together, _pairs(self._value(given, "unique_together"))
        model.together = after
        if before is None or (self._state.gap and before != after):
            raise _UnknownBeforeError
        table = self._table(model.table)
        for one in after:
            if one not in before:
                yield Operation(kind=Kind.ADD_UNIQUE, what="unique", table=table, columns=self._columns(model, one))
        for one in before:
            if one not in after:
                yield Operation(kind=Kind.DROP_CONSTRAINT, what="unique", name="unique", table=table)
        if sorted(before) == sorted(after):
            yield _note("changes nothing")

    def _ordered(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        """`order_with_respect_to` is a column `_order`."""
        model, by = self._known(self._text(given, "name")), self._value(given, "order_with_respect_to")
        table, name = self._table(model.table), self._root.name("_order")
        if by:
            yield Operation(kind=Kind.ADD_COLUMN, table=table, name=name, column=Column(type=ColumnType(name="int"), not_null=True, default=True))
            yield Operation(kind=Kind.DROP_DEFAULT, table=table, name=name)
        else:
            yield Operation(kind=Kind.DROP_COLUMN, table=table, name=name)

    def _add_field(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model, name, one = self._known(self._text(given, "model_name")), self._text(given, "name"), self._field(given.get("field"))
        model.fields[name] = one
        if not model.managed:
            yield _note("adds a field to a model without a table of its own")
        elif one.is_many:
            if "through" in one.named:
                yield _note("adds a relation over a table that is made elsewhere")
            else:
                yield Operation(kind=Kind.CREATE_TABLE, table=self._table(self._many_table(model, name, one)))
        else:
            yield from self._add_column(model, name, one)

    def _add_column(self, model: _Model, name: str, one: _Field) -> Iterator[Operation]:
        if not one.known and not (one.kind.endswith("Field") and one.null):
            raise _UnreadError(f"the field class {one.kind} is not Django's own")
        table, shown = self._table(model.table), self._root.name(one.column(name))
        generated = one.kind in _AUTO or one.kind == "GeneratedField"
        stays = "db_default" in one.named
        empty = one.kind in _EMPTY_TEXTS and bool(one.option("blank", default=False))
        filled = "default" in one.named or empty or any(one.option(option, default=False) for option in ("auto_now", "auto_now_add"))
        column = Column(
            type=one.column_type,
            not_null=not one.null,
            default=stays or filled,
            generated=generated,
            unique=one.unique,
            references=one.kind in _RELATIONS and one.option("db_constraint", default=True) is not False,
        )
        yield Operation(kind=Kind.ADD_COLUMN, table=table, name=shown, column=column)
        if filled and not stays and not generated:
            # The default only fills the rows that are there: Django drops it again in the same migration.
            yield Operation(kind=Kind.DROP_DEFAULT, table=table, name=shown)

    def _remove_field(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model, name = self._known(self._text(given, "model_name")), self._text(given, "name")
        one = model.fields.pop(name, None)
        model.together = None if model.together is None else [pair for pair in model.together if name not in pair]
        if not model.managed:
            yield _note("removes a field of a model without a table of its own")
        elif one is not None and one.is_many:
            if "through" in one.named:
                yield _note("removes a relation over a table that stays")
            else:
                yield Operation(kind=Kind.DROP_TABLE, table=self._table(self._many_table(model, name, one)))
        elif one is not None and not one.known and not one.kind.endswith(("Field", "Key")):
            raise _UnreadError(f"the field class {one.kind} is not Django's own")
        else:
            yield Operation(kind=Kind.DROP_COLUMN, table=self._table(model.table), name=self._root.name(one.column(name) if one is not None else name))

    def _rename_field(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model, before, after = self._known(self._text(given, "model_name")), self._text(given, "old_name"), self._text(given, "new_name")
        one = model.fields.pop(before, None)
        if model.together is not None:
            model.together = [tuple(after if name == before else name for name in pair) for pair in model.together]
        if one is None:
            yield Operation(kind=Kind.RENAME_COLUMN, table=self._table(model.table), name=self._root.name(before), to=self._root.name(after))
            return
        model.fields[after] = one
        if not model.managed:
            yield _note("renames a field of a model without a table of its own")
        elif one.is_many:
            if "through" in one.named or one.option("db_table"):
                yield _note("renames a relation whose table keeps its name")
            else:
                old, new = (self._table(self._many_table(model, name, one)) for name in (before, after))
                yield Operation(kind=Kind.RENAME_TABLE, table=old, to=new)
        elif one.column(before) == one.column(after):
            yield _note("renames a field that keeps its column")
        else:
            yield Operation(
                kind=Kind.RENAME_COLUMN, table=self._table(model.table), name=self._root.name(one.column(before)), to=self._root.name(one.column(after))
            )

    def _alter_field(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model, name, one = self._known(self._text(given, "model_name")), self._text(given, "name"), self._field(given.get("field"))
        before = model.fields.get(name)
        model.fields[name] = one
        if not model.managed:
            yield _note("alters a field of a model without a table of its own")
            return
        if before is None or self._state.gap:
            yield unknown(
                "column_redefined",
                f"alters {self._table(model.table)}.{name}, and how it was before is not known here",
                "it is compared with the field OLD knows",
            )
            return
        found = list(self._differences(model, name, before, one))
        yield from found or [_note("changes nothing in the database")]

    def _differences(self, model: _Model, name: str, before: _Field, after: _Field) -> Iterator[Operation]:
        table = self._table(model.table)
        if before.is_many or after.is_many:
            if (
                not (before.is_many and after.is_many)
                or any(before.written(option) != after.written(option) for option in ("through", "db_table"))
                or not _same_target(before, after)
            ):
                raise _UnreadError("it changes what a relation goes over")
            return
        was, column = self._root.name(before.column(name)), self._root.name(after.column(name))
        if before.primary != after.primary:
            raise _UnreadError("it changes the primary key")
        if was != column:
            yield Operation(kind=Kind.RENAME_COLUMN, table=table, name=was, to=column)
        yield from self._retyped(table, column, before, after)
        if before.null != after.null:
            yield Operation(kind=Kind.DROP_NOT_NULL if after.null else Kind.SET_NOT_NULL, table=table, name=column)
        if before.written("db_default") != after.written("db_default"):
            yield Operation(kind=Kind.SET_DEFAULT if "db_default" in after.named else Kind.DROP_DEFAULT, table=table, name=column)
        if before.unique != after.unique:
            if after.unique:
                yield Operation(kind=Kind.ADD_UNIQUE, what="unique", table=table, columns=(column,))
            else:
                yield Operation(kind=Kind.DROP_CONSTRAINT, what="unique", name="unique", table=table)
        if before.written("db_collation") != after.written("db_collation"):
            says = f"changes the collation of {table}.{column}"
            yield Operation(
                kind=Kind.CHANGE_TABLE,
                table=table,
                rule="charset_changed",
                verdict=_WARN,
                says=says,
                clears="OLD compares and sorts the same under the new one",
            )
        if (before.kind in _POSITIVE) < (after.kind in _POSITIVE):
            yield Operation(kind=Kind.ADD_CHECK, table=table, columns=(column,))
        if before.kind in _RELATIONS and before.written("db_constraint") != after.written("db_constraint"):
            yield Operation(kind=Kind.ADD_FOREIGN_KEY, table=table, columns=(column,))
        if _adds_choices(before, after):
            clears = "no row holds a new value yet, or OLD copes with values that it does not know"
            yield _note(f"lets {table}.{column} have further values", "choices_changed", _WARN, clears)

    def _retyped(self, table: str, column: str, before: _Field, after: _Field) -> Iterator[Operation]:
        old, new = before.type(), after.type()
        if before.kind in _RELATIONS and after.kind in _RELATIONS:
            if not _same_target(before, after):
                says = f"lets {table}.{column} point to another table"
                yield Operation(
                    kind=Kind.CHANGE_TABLE, table=table, rule="type_changed", verdict=_BREAKS, says=says, clears="OLD reads and writes the same keys"
                )
            return
        if before.kind == after.kind and {one: before.written(one) for one in before.named if one in _TYPE_OPTIONS} == {
            one: after.written(one) for one in after.named if one in _TYPE_OPTIONS
        }:
            return
        if old is None or new is None:
            raise _UnreadError(f"it changes the type from {before.kind} to {after.kind}")
        if old == new:
            return
        says = f"changes the type of {table}.{column} from {_shown(old)} to {_shown(new)}"
        wider = _is_wider(old, new)
        if wider is None:
            yield Operation(kind=Kind.CHANGE_TYPE, table=table, name=column, type=replace(after.column_type, conversion=Conversion.CAST))
        elif wider:
            clears = "OLD copes with the longer or larger values"
            yield Operation(kind=Kind.CHANGE_TABLE, table=table, rule="type_widened", verdict=_WARN, says=says, clears=clears)
        else:
            clears = "OLD is shown to write no longer or larger values"
            yield Operation(kind=Kind.CHANGE_TABLE, table=table, rule="type_narrowed", verdict=_BREAKS, says=says, clears=clears)

    def _add_constraint(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model, expression = self._known(self._text(given, "model_name")), given.get("constraint")
        kind = self._module.dotted(expression.func).rpartition(".")[2] if isinstance(expression, ast.Call) else ""
        found = arguments(expression) if isinstance(expression, ast.Call) else None
        if found is None:
            raise _UnreadError("its constraint is computed")
        name, table, named = self._inner_name(expression), self._table(model.table), found[1]
        match kind:
            case "UniqueConstraint":
                index = bool(found[0]) or bool({"condition", "include", "opclasses"} & named.keys())
                columns = self._columns(model, self._module.value(named.get("fields"))) if "fields" in named and not index else ()
                what = "unique index" if index else "unique"
                own = self._index(model, name) if index or self._root.dialect is Dialect.MYSQL else self._root.name(name)
                strict = "nulls_distinct" in named and self._module.value(named["nulls_distinct"]) is False
                yield Operation(kind=Kind.ADD_UNIQUE, what=what, name=own, table=table, columns=columns, upsert=strict)
                model.constraints[name] = "index" if index else "unique"
            case "CheckConstraint":
                yield Operation(kind=Kind.ADD_CHECK, name=self._root.name(name), table=table, never_null=frozenset(self._never_null(model, expression)))
                model.constraints[name] = "check"
            case "ExclusionConstraint":
                yield Operation(kind=Kind.ADD_UNIQUE, what="exclusion", name=self._root.name(name), table=table)
                model.constraints[name] = "exclusion"
            case _:
                raise _UnreadError(f"the constraint {kind or 'it adds'} is not Django's own")

    def _never_null(self, model: _Model, expression: ast.expr | None) -> Iterator[str]:
        for node in ast.walk(expression) if expression is not None else ():
            if (
                isinstance(node, ast.keyword)
                and node.arg
                and node.arg.endswith("__isnull")
                and isinstance(node.value, ast.Constant)
                and node.value.value is False
            ):
                yield from self._columns(model, [node.arg.removesuffix("__isnull")])

    def _remove_constraint(self, given: Mapping[str, ast.expr]) -> Iterator[Operation]:
        model, name = self._known(self._text(given, "model_name")), self._text(given, "name")
        what = model.constraints.pop(name, "constraint")
        table = self._table(model.table)
        if what == "index" or (what == "unique" and self._root.dialect is Dialect.MYSQL):
            kept = table if self._root.dialect is Dialect.MYSQL else ""
            yield Operation(kind=Kind.DROP_OBJECT, what="index", name=self._index(model, name), table=kept)
        else:
            yield Operation(kind=Kind.DROP_CONSTRAINT, what="constraint", name=self._root.name(name), table=table)

    # --- names and values

    def _table(self, name: str) -> str:
        return self._root.name(name, of_table=True)

    def _many_table(self, model: _Model, name: str, one: _Field) -> str:
        return str(one.option("db_table") or f"{model.table}_{name}")

    def _index(self, model: _Model, name: str) -> str:
        shown = self._root.name(name)
        return f"{self._table(model.table)}.{shown}" if self._root.dialect is Dialect.MYSQL and name else shown

    def _columns(self, model: _Model, names: Any) -> tuple[str, ...]:
        """The columns of fields; empty where one is not known: then nothing is claimed about them."""
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name in model.fields for name in names):
            return ()
        return tuple(self._root.name(model.fields[name].column(name)) for name in names)

    def _known(self, name: str) -> _Model:
        return self._state.models.setdefault(name.lower(), self._state.model(name))

    def _field(self, expression: ast.expr | None) -> _Field:
        found = arguments(expression) if isinstance(expression, ast.Call) else None
        if not isinstance(expression, ast.Call) or found is None:
            raise _UnreadError("its field is computed")
        full = self._module.dotted(expression.func)
        if not full:
            raise _UnreadError("its field is computed")
        kind = full.rpartition(".")[2]
        named = dict(found[1])
        if found[0] and kind in {*_RELATIONS, _MANY}:
            named.setdefault("to", found[0][0])
        if full in _NO_COLUMNS:
            kind, named["through"] = _MANY, ast.Constant(value=full)
        return _Field(kind, full.startswith("django.") or full in _NO_COLUMNS, named, self._module)

    def _text(self, given: Mapping[str, ast.expr], name: str) -> str:
        found = self._value(given, name)
        if not isinstance(found, str):
            raise _UnreadError(f"its {name} is no text")
        return found

    def _value(self, given: Mapping[str, ast.expr], name: str) -> Any:
        if name not in given:
            return None
        expression = given[name]
        if isinstance(expression, ast.Call) and self._module.dotted(expression.func) == "set" and not expression.args:
            return []
        found = self._module.value(expression)
        if found is UNKNOWN:
            raise _UnreadError(f"its {name} is computed")
        return found

    def _option(self, options: ast.expr | None, name: str) -> Any:
        """One entry of a literal dictionary of options, of which others may be computed."""
        if options is None:
            return None
        if not isinstance(options, ast.Dict):
            raise _UnreadError("its options are computed")
        for key, value in zip(options.keys, options.values, strict=True):
            if key is None:
                raise _UnreadError("its options are computed")
            if self._module.value(key) == name:
                return self._value({name: value}, name)
        return None

    def _inner_name(self, expression: ast.expr | None) -> str:
        """The name that an index or a constraint gives itself, empty where there is none."""
        if not isinstance(expression, ast.Call):
            raise _UnreadError("it is computed")
        name = next((self._module.value(one.value) for one in expression.keywords if one.arg == "name"), "")
        return name if isinstance(name, str) else ""


_TYPE_OPTIONS = frozenset({"max_length", "max_digits", "decimal_places", "base_field", "size", "dim", "srid", "expression", "output_field"})


def _pairs(value: Any) -> list[tuple[str, ...]]:
    """`unique_together` in its one form: Django takes one list of names for a list with one entry."""
    if not value:
        return []
    if all(isinstance(one, str) for one in value):
        return [tuple(value)]
    return [tuple(one) for one in value if isinstance(one, list | tuple)]


def _same_target(before: _Field, after: _Field) -> bool:
    return before.written("to").lower().rpartition(".")[2].strip("'\"") == after.written("to").lower().rpartition(".")[2].strip("'\"")


def _adds_choices(before: _Field, after: _Field) -> bool:
    """Whether a row may now hold a value that it could not hold before; a list that is computed and reads differently may."""
    if before.written("choices") == after.written("choices") or "choices" not in after.named:
        return False
    old, new = (one.module.value(one.named.get("choices")) for one in (before, after))
    if not isinstance(new, list) or (not isinstance(old, list) and "choices" in before.named):
        return True
    return "choices" in before.named and not _keys(new) <= _keys(old)


def _keys(choices: list[Any]) -> set[Any]:
    found: set[Any] = set()
    for one in choices:
        if isinstance(one, list) and len(one) == 2:  # noqa: PLR2004  value and label, or the name of a group and its choices
            found |= _keys(one[1]) if isinstance(one[1], list) else {str(one[0])}
    return found


def _is_wider(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool | None:
    """Whether every value of the old type fits the new one; False when it is a narrower one of its family, None when it is of another."""
    if old[0] in _WIDER and new[0] in _WIDER:
        return _WIDER[old[0]] <= _WIDER[new[0]]
    match old, new:
        case ("varchar", int() as short), ("varchar", int() as long):
            return short <= long
        case ("varchar", _), ("varchar", None) | ("text",):
            return True
        case ("varchar", None) | ("text",), ("varchar", _):
            return False
        case ("decimal", int() as digits, int() as places), ("decimal", int() as more, int() as finer):
            return finer >= places and more - finer >= digits - places
        case _:
            return None


def _shown(kind: tuple[Any, ...]) -> str:
    sizes = ", ".join(str(part) for part in kind[1:] if part is not None)
    return f"{kind[0]}({sizes})" if sizes else str(kind[0])
