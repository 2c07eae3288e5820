"""What a database says of its own schema, and what an older release would miss in it.

A catalogue that was taken while a release lived is what that release was made for. Compared with today's it shows what is gone, whoever took it away and
however it was written in a migration. Meaning is not in a catalogue: that a value means something else now, nobody sees here.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum

CHANGES, TRIGGERS, FUNCTIONS = "changes of the schema that are under way", "triggers", "routines"
"""What a role may be unable to see, as a sentence names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogColumn:
    """A column: its type as the database writes it, whether a value is required, and whether the database gives one by itself.

    `generated`: the database computes it, and refuses a value of ours.
    """

    type: str
    required: bool = False
    given: bool = False
    generated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTable:
    """A table or view, with definitions as the database writes them, without their names.

    `unique` are keys and unique indexes, `rules` checks, foreign keys and exclusions; `guarded` is row-level security.
    """

    columns: Mapping[str, CatalogColumn]
    view: bool = False
    unique: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    triggers: frozenset[str] = frozenset()
    guarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionTable:
    """The table in which a migration tool writes down what it applied, or its lock.

    `names` are the migrations that it holds for applied (for Alembic and golang-migrate the last ones alone), `wrong` ends of sentences about those that
    failed, `locked` that the tool works right now. `unread` is why no row is known, "" when they are.
    """

    tool: str
    table: str
    names: frozenset[str] = frozenset()
    wrong: tuple[str, ...] = ()
    locked: bool = False
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The schemas that were asked for. Names are `schema.name`.

    `busy` tells what is being changed right now, as a sentence without its full stop ("public.orders is locked"), "" when nothing is; then nothing else is
    told. `unseen` is what the role may not see (`CHANGES`, `TRIGGERS`, `FUNCTIONS`): nothing can be said about that.
    `applied` are the version tables of migration tools that stand among the tables.
    """

    tables: Mapping[str, CatalogTable]
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    busy: str = ""
    unseen: tuple[str, ...] = ()
    applied: tuple[VersionTable, ...] = ()

    @property
    def digest(self) -> str:
        """The same for the same catalogue, in every process."""
        return "sha256:" + hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=sorted).encode()).hexdigest()


class Harm(IntEnum):
    """How a difference hurts the older release: it may, or it does."""

    MAY = 1
    DOES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """One thing that the older release had and does not have any more, or that stands in its way: a sentence's end, and what would mend it.

    `about` is the column or type whose values may be more than they were, where rows can tell whether any is; else "". `named`: a statement that uses the
    thing names it, and can no longer be prepared.
    """

    harm: Harm
    what: str
    mend: str
    about: str = ""
    named: bool = False


def missed(before: Catalog, now: Catalog) -> tuple[Missed, ...]:
    """What a release that was made for `before` misses in `now`, worst first, then by name. Tables, columns and labels that are new are no harm to it."""
    found: list[Missed] = []
    for name, old in sorted(before.tables.items()):
        table = now.tables.get(name)
        if table is None:
            kind = "view" if old.view else "table"
            found.append(Missed(harm=Harm.DOES, what=f"{kind} {name} is gone", mend=f"bring {kind} {name} back, or a view of that name", named=True))
            continue
        found += _columns(name, old, table)
        found += _around(name, old, table if TRIGGERS not in {*before.unseen, *now.unseen} else replace(table, triggers=old.triggers))
    for name, labels in sorted(before.enums.items()):
        found += _labels(name, labels, now)
    if FUNCTIONS in {*before.unseen, *now.unseen}:
        return tuple(sorted(found, key=lambda one: -one.harm))
    found += [
        Missed(harm=Harm.DOES, what=f"function {name} is gone or takes other arguments", mend=f"bring function {name} back")
        for name in sorted(before.functions - now.functions)
    ]
    return tuple(sorted(found, key=lambda one: -one.harm))


def _columns(table: str, old: CatalogTable, new: CatalogTable) -> Iterator[Missed]:
    for name, column in sorted(old.columns.items()):
        where, today = f"{table}.{name}", new.columns.get(name)
        if today is None:
            yield Missed(harm=Harm.DOES, what=f"column {where} is gone", mend=f"bring column {where} back", named=True)
            continue
        if today.type != column.type:
            wider = _wider(column.type, today.type)
            says = f"column {where} was {column.type} and is {today.type}"
            mend = f"a person who knows the old code says that it can live with {today.type}"
            yield Missed(harm=Harm.MAY if wider else Harm.DOES, what=says, mend=mend, about=where if wider else "")
        if today.generated and not column.generated:
            yield Missed(harm=Harm.DOES, what=f"column {where} is computed by the database now, which refuses values for it", mend=f"make {where} plain again")
        elif today.required and not today.given and (not column.required or column.given):
            lost = "has no default any more" if column.required or column.given else "must have a value now"
            yield Missed(harm=Harm.DOES, what=f"column {where} {lost}", mend=f"give {where} a default")
        elif today.required and not column.required:
            yield Missed(harm=Harm.MAY, what=f"column {where} refuses NULL now", mend=f"let {where} be NULL again")
        elif column.given and not today.given and not today.generated:
            yield Missed(harm=Harm.MAY, what=f"column {where} has no default any more", mend=f"give {where} its default back")
    for name, column in sorted(new.columns.items()):
        if name not in old.columns and column.required and not column.given and not column.generated and not old.view:
            what = f"column {table}.{name} is new and must have a value, which the old code does not give"
            yield Missed(harm=Harm.DOES, what=what, mend=f"give {table}.{name} a default")


def _around(table: str, old: CatalogTable, new: CatalogTable) -> Iterator[Missed]:
    for definition in sorted(old.unique - new.unique):
        yield Missed(harm=Harm.MAY, what=f"table {table} is no longer {definition}, on which an upsert may rest", mend=f"make it {definition} again")
    for definition in sorted(new.unique - old.unique):
        yield Missed(harm=Harm.MAY, what=f"table {table} is {definition} now, which may refuse a row", mend="a person says that the old code keeps to it")
    for definition in sorted(new.rules - old.rules):
        yield Missed(harm=Harm.MAY, what=f"table {table} has a new rule: {definition}", mend="a person says that the old code keeps to it")
    for definition in sorted(old.rules - new.rules):
        what = f"table {table} no longer has the rule {definition}, which rows may break"
        yield Missed(harm=Harm.MAY, what=what, mend=f"make the rule again, or a person says that rows of {table} keep to it")
    for definition in sorted(old.triggers ^ new.triggers):
        word = "has a new trigger" if definition in new.triggers else "lost a trigger"
        yield Missed(harm=Harm.MAY, what=f"table {table} {word}: {definition}", mend="a person says what the old code relied on")
    if new.guarded and not old.guarded:
        yield Missed(harm=Harm.DOES, what=f"table {table} has row-level security now", mend=f"a policy on {table} for the old code's role")


def _labels(name: str, labels: Iterable[str], now: Catalog) -> Iterator[Missed]:
    today = now.enums.get(name)
    if today is None:
        yield Missed(harm=Harm.DOES, what=f"type {name} is gone", mend=f"bring type {name} back")
        return
    gone = [label for label in labels if label not in today]
    if gone:
        yield Missed(harm=Harm.DOES, what=f"type {name} has no label {', '.join(gone)} any more", mend="bring the label back")
    new = [label for label in today if label not in set(labels)]
    if new:
        what = f"type {name} has the new label {', '.join(new)}, which the old code may not know when it reads one"
        yield Missed(harm=Harm.MAY, what=what, mend="a person says that the old code can read rows with that label", about=name)


_SIZED = re.compile(r"(character varying|varchar|varbinary)\((\d+)\)(.*)")
_LABELS = re.compile(r"(enum|set)\((.*)\)(.*)")
_WIDER = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("real", "double precision"),
    ("float", "double"),
}
MYSQL_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
"""From the smallest; a sign is part of the type."""


def _wider(old: str, new: str) -> bool:
    """Whether every old value fits the new type and reads alike; a new value may still be too large for the old code."""
    if (old, new) in _WIDER:
        return True
    (size, _, sign), (wide, _, also) = old.partition(" "), new.partition(" ")
    if size in MYSQL_INTEGERS and wide in MYSQL_INTEGERS:
        return MYSQL_INTEGERS.index(wide) > MYSQL_INTEGERS.index(size) and sign == also
    sized, wider = _SIZED.fullmatch(old), _SIZED.fullmatch(new)
    if sized and wider:
        return int(wider[2]) >= int(sized[2]) and sized.group(1, 3) == wider.group(1, 3)
    before, after = _LABELS.fullmatch(old), _LABELS.fullmatch(new)
    if before and after:  # labels behind the old ones leave those as they are; a row with a new one is what the old code may not know
        return after[2].startswith(f"{before[2]},") and before.group(1, 3) == after.group(1, 3)
    bounded = sized is not None and old.startswith("character varying")
    return (bounded or old == "character varying") and new in {"text", "character varying"}
