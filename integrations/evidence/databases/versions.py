"""The tables in which migration tools write down what they applied: which there are among a schema's tables, what to ask of each, and what its rows say.

Recognised by name and columns, for some tools share a name (`schema_migrations`). The columns are those that the tools' documentation and sources name; a table
whose columns are others is told as such and not read. Names of migrations are what the tool writes, numbers without leading zeros.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from integrations.evidence.databases.engine import Question, Row
from service.domain.catalog import CatalogTable, VersionTable

MOST_ROWS = 20_000
"""Rows of one version table; a longer one is not read."""
LONGEST = 200
"""Characters of a migration's name that are kept."""

Told = tuple[set[str], list[str]]
"""The names of the migrations that are applied, and what went wrong as ends of sentences."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A version table that was found: `columns` as the database spells them, in the order in which the tool's rows are read; () where they do not fit."""

    table: str
    tool: "Tool"
    columns: tuple[str, ...]

    def statement(self, quote: Callable[[str], str]) -> str:
        """What to ask; `quote` writes an identifier."""
        schema, _, name = self.table.partition(".")
        wanted = ", ".join(quote(column) for column in self.columns)
        order = f" ORDER BY {quote(self.tool.order)}" if self.tool.order else ""
        return f"SELECT {wanted} FROM {quote(schema)}.{quote(name)}{order} LIMIT {MOST_ROWS + 1}"  # noqa: S608  identifiers of the catalogue, quoted

    def unread(self, why: str) -> VersionTable:
        """The table of which no row is known."""
        return VersionTable(tool=self.tool.name, table=self.table, unread=why)

    def told(self, rows: Sequence[Row]) -> VersionTable:
        """What its rows say."""
        if len(rows) > MOST_ROWS:
            return self.unread(f"it has more than {MOST_ROWS} rows")
        if self.tool.is_lock:
            return VersionTable(tool=self.tool.name, table=self.table, locked=any(_on(row[0]) for row in rows))
        names, wrong = self.tool.read(rows)
        return VersionTable(tool=self.tool.name, table=self.table, names=frozenset(map(_plain, names)), wrong=tuple(map(_plain, wrong)))


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool's table: its name in lower case, the columns that are read, those that it must not have, and the column that orders its rows.

    `shared`: others call a table of theirs so too, so one with other columns is none of this tool's.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[Row]], Told]
    without: tuple[str, ...] = ()
    order: str = ""
    shared: bool = False
    is_lock: bool = False


async def applied(
    tables: Mapping[str, CatalogTable],
    *,
    may_read: Callable[[Sequence[str]], Awaitable[Collection[str]]],
    ask: Callable[[Sequence[Question]], Awaitable[Sequence[Sequence[Row]]]],
    quote: Callable[[str], str],
) -> tuple[VersionTable, ...]:
    """The version tables among these and what each says. `may_read` tells which the role may read, and `ask` answers statements in order."""
    found = recognised(tables)
    if not found:
        return ()
    may = await may_read([one.table for one in found])
    readable = [one for one in found if one.columns and one.table in may]
    answers = await ask([(one.statement(quote), ()) for one in readable]) if readable else []
    rows = {one.table: answer for one, answer in zip(readable, answers, strict=True)}
    return tuple(told(one, rows.get(one.table)) for one in found)


def recognised(tables: Mapping[str, CatalogTable]) -> list[Recognised]:
    """The version tables among these, by name and columns."""
    found: list[Recognised] = []
    for table, shape in sorted(tables.items()):
        bare = table.partition(".")[2].lower()
        columns = {column.lower(): column for column in shape.columns}
        named = [tool for tool in TOOLS if tool.table == bare]
        fits = [tool for tool in named if columns.keys() >= {*tool.columns, *([tool.order] if tool.order else [])} and not columns.keys() & {*tool.without}]
        if fits:
            found.append(Recognised(table, fits[0], tuple(columns[column] for column in fits[0].columns)))
        else:
            found += [Recognised(table, tool, ()) for tool in named[:1] if not tool.shared]
    return found


def told(one: Recognised, rows: Sequence[Row] | None) -> VersionTable:
    """What is known of it; None: the role may not read its rows."""
    if not one.columns:
        return one.unread(f"its columns are not those of {one.tool.name}")
    return one.unread("Backout's role may not read it") if rows is None else one.told(rows)


def _plain(text: str) -> str:
    """What a database says goes into sentences: bounded, and nothing in it that a terminal obeys."""
    return "".join(letter for letter in text[:LONGEST] if letter.isprintable())


def _number(value: object) -> str:
    text = str(value)
    return str(int(text)) if text.isascii() and text.isdigit() else text


def _on(value: object) -> bool:
    """A truth as databases and drivers tell it: MySQL's `bit(1)` comes as bytes, of which a zero is none."""
    return any(value) if isinstance(value, bytes) else bool(value)


def _alone(rows: Sequence[Row]) -> Told:
    return {str(row[0]) for row in rows}, []


def _numbers(rows: Sequence[Row]) -> Told:
    return {_number(row[0]) for row in rows}, []


def _two(between: str) -> Callable[[Sequence[Row]], Told]:
    return lambda rows: ({f"{row[0]}{between}{row[1]}" for row in rows}, [])


def _flyway(rows: Sequence[Row]) -> Told:
    names: dict[str, str] = {}
    wrong: list[str] = []
    for script, success, version, kind in rows:
        base = str(script).rpartition("/")[2]
        if not _on(success):
            wrong.append(f"{base} failed")
        elif str(kind).startswith("UNDO"):
            names = {one: of for one, of in names.items() if of != str(version)}
        elif kind not in {"BASELINE", "SCHEMA", "DELETE"}:
            names[base] = "" if version is None else str(version)
    return set(names), wrong


def _liquibase(rows: Sequence[Row]) -> Told:
    names = {f"{file}::{identity}::{author}" for identity, author, file, ran in rows if ran != "FAILED"}
    return names, [f"change {identity} of {file} failed" for identity, _, file, ran in rows if ran == "FAILED"]


def _golang(rows: Sequence[Row]) -> Told:
    return {_number(version) for version, _ in rows}, [f"version {_number(version)} is dirty" for version, dirty in rows if _on(dirty)]


def _goose(rows: Sequence[Row]) -> Told:
    last = {_number(version): _on(applied) for version, applied in rows}
    return {version for version, applied in last.items() if applied and version != "0"}, []


def _prisma(rows: Sequence[Row]) -> Told:
    names = {str(name) for name, finished, back in rows if finished is not None and back is None}
    return names, [f"{name} did not finish" for name, finished, back in rows if finished is None and back is None]


def _atlas(rows: Sequence[Row]) -> Told:
    mine = [row for row in rows if not str(row[0]).startswith(".")]
    names = {_number(version) for version, applied, total in mine if applied >= total}
    return names, [f"version {version} ran {applied} of {total} statements" for version, applied, total in mine if applied < total]


def _sqlx(rows: Sequence[Row]) -> Told:
    return {_number(version) for version, well in rows if _on(well)}, [f"version {_number(version)} failed" for version, well in rows if not _on(well)]


TOOLS: tuple[Tool, ...] = (
    Tool("Alembic", "alembic_version", ("version_num",), _alone),
    Tool("Django", "django_migrations", ("app", "name"), _two(".")),
    Tool("Flyway", "flyway_schema_history", ("script", "success", "version", "type"), _flyway, order="installed_rank"),
    Tool("Liquibase", "databasechangelog", ("id", "author", "filename", "exectype"), _liquibase),
    Tool("Liquibase", "databasechangeloglock", ("locked",), _alone, is_lock=True),
    Tool("golang-migrate", "schema_migrations", ("version", "dirty"), _golang, shared=True),
    Tool("Rails or dbmate", "schema_migrations", ("version",), _numbers, without=("dirty",), shared=True),
    Tool("goose", "goose_db_version", ("version_id", "is_applied"), _goose, order="id"),
    Tool("Prisma", "_prisma_migrations", ("migration_name", "finished_at", "rolled_back_at"), _prisma),
    Tool("Atlas", "atlas_schema_revisions", ("version", "applied", "total"), _atlas),
    Tool("sqitch", "changes", ("change", "change_id", "project"), _alone, shared=True),
    Tool("Entity Framework", "__efmigrationshistory", ("migrationid",), _alone),
    Tool("knex", "knex_migrations", ("name", "batch"), _alone),
    Tool("knex", "knex_migrations_lock", ("is_locked",), _alone, is_lock=True),
    Tool("TypeORM", "migrations", ("timestamp", "name"), _numbers, shared=True),
    Tool("Sequelize", "sequelizemeta", ("name",), _alone),
    Tool("diesel", "__diesel_schema_migrations", ("version",), _numbers),
    Tool("sqlx", "_sqlx_migrations", ("version", "success"), _sqlx),
    Tool("refinery", "refinery_schema_history", ("version", "name"), _numbers),
)
