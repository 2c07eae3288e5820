"""How far the migrations of a range of Git have come in a database: by the version table of the tool, now and as it was while the older release lived. Pure.

A tool's table names migrations as the tool does, so each file of the range is given the name that its tool would write down. A file whose name cannot be told
is told so; it is never taken for one that ran or did not.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.domain.catalog import Catalog, VersionTable
from service.domain.keys import FileChange
from service.domain.schema import Role, Tool, recognise

NUMBERED = frozenset({Tool.GOLANG_MIGRATE, Tool.GOOSE, Tool.DBMATE, Tool.SQLX, Tool.ATLAS, Tool.GENERIC})
"""Tools whose plain SQL files are told apart by their folders alone, which is a guess: any of their tables may be the one."""

TAKES: Mapping[str, frozenset[Tool]] = {
    "Alembic": frozenset({Tool.ALEMBIC}),
    "Django": frozenset({Tool.DJANGO}),
    "Flyway": frozenset({Tool.FLYWAY}),
    "Liquibase": frozenset({Tool.LIQUIBASE}),
    "golang-migrate": NUMBERED,
    "Rails or dbmate": NUMBERED | {Tool.RAILS},
    "goose": NUMBERED,
    "Prisma": frozenset({Tool.PRISMA}),
    "Atlas": NUMBERED,
    "sqitch": frozenset({Tool.SQITCH}),
    "Entity Framework": frozenset({Tool.ENTITY_FRAMEWORK}),
    "knex": frozenset({Tool.KNEX}),
    "TypeORM": frozenset({Tool.TYPEORM}),
    "Sequelize": frozenset({Tool.SEQUELIZE}),
    "diesel": frozenset({Tool.DIESEL}),
    "sqlx": NUMBERED,
    "refinery": frozenset({Tool.FLYWAY, Tool.GENERIC}),
}
"""Whose files a version table speaks of, by the name that it is told under."""

LAST_ALONE = frozenset({"Alembic", "golang-migrate"})
"""Tools whose table holds only where they have come to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What one version table says of the files that it speaks of.

    `ran` and `waiting` are paths of the range; `unnamed` are paths of which nobody can say what the tool calls them. `strange` are names that came after the
    older release and are no file of the range, `gone` names that were there while it lived and are no more.
    """

    ran: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What all version tables say together of the migrations of the range.

    `missing` names the tools of files for which there is no version table at all; where a folder alone says which tool it is, none is missed.
    """

    ran: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()


def forward(files: Iterable[FileChange]) -> tuple[FileChange, ...]:
    """The migrations that a release brought: files that are new and are applied going forward; Liquibase's grow by changes at their end."""
    found = [(file, recognise(file.path)) for file in files]
    fresh = [(file, known) for file, known in found if known is not None and (file.change == "added" or known.tool is Tool.LIQUIBASE)]
    return tuple(file for file, known in fresh if known.role is Role.FORWARD and file.change != "deleted")


def progress(then: VersionTable, now: VersionTable, files: Sequence[FileChange]) -> Progress:
    """How far `files` (see `forward`) have come by a table whose rows are known on both sides."""
    if now.tool == "Liquibase":
        return _by_file(then.names, now.names, [file.path for file in files if _speaks_of(now.tool, file)])
    names = {file.path: name_of(now.tool, file) for file in files if _speaks_of(now.tool, file)}
    ours = {name: path for path, name in names.items() if name is not None}
    before, after = then.names, now.names
    if now.tool in LAST_ALONE:
        before, after = (_reached if now.tool == "Alembic" else _counted)(before, after, ours, files)
    ran = [path for name, path in ours.items() if name in after]
    return Progress(
        ran=tuple(sorted(ran)),
        waiting=tuple(sorted(path for name, path in ours.items() if name not in after)),
        unnamed=tuple(sorted(path for path, name in names.items() if name is None)),
        strange=tuple(sorted(after - before - ours.keys())),
        gone=tuple(sorted(before - after)),
    )


def together(told: Iterable[Progress], tables: Iterable[VersionTable], files: Sequence[FileChange]) -> Applied:
    """A migration ran where any database says so, and waits where one knows it and none says that it ran."""
    every = tuple(told)
    ran = frozenset(path for one in every for path in one.ran)
    known = {table.tool for table in tables}
    without = {recognised.tool for file in files if (recognised := recognise(file.path)) and not any(_speaks_of(tool, file) for tool in known)}
    return Applied(
        ran=ran,
        waiting=frozenset(path for one in every for path in one.waiting) - ran,
        unnamed=frozenset(path for one in every for path in one.unnamed) - ran,
        missing=tuple(sorted(without - NUMBERED)),
    )


def before(catalog: Catalog, table: VersionTable) -> VersionTable | None:
    """The same table in an earlier catalogue, None where it was not there or not read."""
    return next((one for one in catalog.applied if (one.table, one.tool) == (table.table, table.tool) and not one.unread), None)


def _speaks_of(tool: str, file: FileChange) -> bool:
    known = recognise(file.path)
    return known is not None and known.tool in TAKES.get(tool, frozenset())


def name_of(tool: str, file: FileChange) -> str | None:
    """What the tool writes down when it has applied that file, None where that cannot be told from path and text."""
    parts = file.path.split("/")
    stem = parts[-1].partition(".")[0]
    match tool:
        case "Alembic":
            return _assigned("revision", file.text or "")
        case "Django":
            return f"{parts[-3]}.{stem}" if parts[-2:-1] == ["migrations"] and len(parts) > 2 else None  # noqa: PLR2004  app, migrations, file
        case "Flyway" | "knex" | "Sequelize":
            return parts[-1]
        case "Entity Framework":
            return stem
        case "sqitch":
            return "/".join(parts[parts.index("deploy") + 1 :]).removesuffix(".sql") if "deploy" in parts else None
        case "Prisma":
            return parts[-2] if len(parts) > 1 else None
        case "diesel":
            digits = re.match(r"[\d-]+", parts[-2]) if len(parts) > 1 else None
            return str(int(digits[0].replace("-", ""))) if digits and digits[0].strip("-") else None
        case _:
            number = re.match(r"V?(\d+)(?:[_.-]|$)", parts[-1])
            return str(int(number[1])) if number else None


def _by_file(before: frozenset[str], after: frozenset[str], paths: Sequence[str]) -> Progress:
    """Liquibase writes `file::id::author`, the file as it was given to it, which may be a part of the path in Git or hold more than it."""
    of = {name: next((path for path in paths if _ends_alike(path, name.partition("::")[0])), None) for name in after - before}
    ran = {path for path in of.values() if path is not None}
    return Progress(
        ran=tuple(sorted(ran)),
        waiting=tuple(sorted(set(paths) - ran)),
        strange=tuple(sorted(name for name, path in of.items() if path is None)),
        gone=tuple(sorted(before - after)),
    )


def _ends_alike(path: str, other: str) -> bool:
    one, two = path.split("/"), other.removeprefix("classpath:").strip("/").split("/")
    shorter = min(len(one), len(two))
    return one[-shorter:] == two[-shorter:]


def _assigned(variable: str, text: str) -> str | None:
    """The text that a module gives to a variable at its top level; nothing is run."""
    found = re.search(rf"^{variable}\s*(?::[^=\n]*)?=\s*([\"'])([^\"'\n]*)\1", text, re.MULTILINE)
    return found[2] if found else None


def _parents(text: str) -> frozenset[str]:
    """The revisions on which one of Alembic's builds: what stands in quotes between `down_revision =` and the end of that statement."""
    found = re.search(r"^down_revision\s*(?::[^=\n]*)?=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)", text, re.MULTILINE)
    return frozenset(one for _, one in re.findall(r"([\"'])([^\"'\n]*)\1", found[1])) if found else frozenset()


def _reached(before: frozenset[str], after: frozenset[str], ours: Mapping[str, str], files: Sequence[FileChange]) -> tuple[frozenset[str], frozenset[str]]:
    """Heads, as all that they rest on within the range; a head that the range builds on is not gone because another stands for it now."""
    texts = {file.path: file.text or "" for file in files}
    parents = {name: _parents(texts[path]) for name, path in ours.items()}
    reached, open_ = set(after), list(after)
    while open_:
        for parent in parents.get(open_.pop(), frozenset()) - reached:
            reached.add(parent)
            open_.append(parent)
    return before, frozenset(reached & (after | before | ours.keys()))


def _counted(before: frozenset[str], after: frozenset[str], ours: Mapping[str, str], _: Sequence[FileChange]) -> tuple[frozenset[str], frozenset[str]]:
    """The last number, as all up to it; a lower one than before is one that went back."""
    last = max((int(one) for one in after if one.isdigit()), default=-1)
    return before, frozenset(after | {one for one in (*ours, *before) if one.isdigit() and int(one) <= last})
