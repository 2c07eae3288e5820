"""Recognises migration files by path and name: which tool they belong to and what part they play.

Paths only, no text and no I/O. Reading the text is `ranges`. A path that is not recognised is no proof that it changes no schema:
`may_carry_migrations` names the files (lock files, dependency manifests) that can bring another package's migrations along.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Tool(StrEnum):
    """The migration tool that a layout belongs to; `GENERIC` is a migrations folder that several tools share."""

    FLYWAY = "Flyway"
    GOLANG_MIGRATE = "golang-migrate"
    GOOSE = "goose"
    DBMATE = "dbmate"
    PRISMA = "Prisma"
    ATLAS = "Atlas"
    DIESEL = "diesel"
    SQLX = "sqlx"
    SQITCH = "sqitch"
    LIQUIBASE = "Liquibase"
    ALEMBIC = "Alembic"
    DJANGO = "Django"
    RAILS = "Rails"
    ENTITY_FRAMEWORK = "Entity Framework"
    TYPEORM = "TypeORM"
    KNEX = "knex"
    SEQUELIZE = "Sequelize"
    GENERIC = "a migrations folder"


class Role(StrEnum):
    """What a recognised file is for."""

    FORWARD = "forward"
    """Applied when NEW was deployed."""
    BACKWARD = "backward"
    """Undoes a migration or verifies one; never applied going forward."""
    SNAPSHOT = "snapshot"
    """Generated from the migrations or drives them (schema.rb, structure.sql, schema.prisma, atlas.sum): its change follows theirs."""
    SETTINGS = "settings"
    """Decides which migrations run and how (alembic.ini, env.py, flyway.conf)."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A path's tool, role and migration root: the folder whose migrations share one database, as far as the path can tell."""

    tool: Tool
    role: Role
    root: str


_TEST_FOLDERS = frozenset({"test", "tests", "testdata", "__tests__", "spec"})
_MIGRATION_FOLDER = re.compile(r"^(?:\w+[-_])?(?:migrations?|migrate|migrators|changelogs?|changesets)$", re.IGNORECASE)
_DATABASE_FOLDER = re.compile(
    r"^(?:db|dbs|database|databases|sql|schema|schemas|ddl|flyway|liquibase|atlas|drizzle|supabase|postgres(?:ql)?|mysql|mariadb|sqlite)$", re.IGNORECASE
)
_QUERY_FOLDERS = frozenset({"query", "queries"})
_CODE = frozenset(
    {
        "py",
        "rb",
        "js",
        "cjs",
        "mjs",
        "ts",
        "mts",
        "cts",
        "cs",
        "fs",
        "vb",
        "go",
        "php",
        "exs",
        "ex",
        "java",
        "kt",
        "groovy",
        "scala",
        "clj",
        "edn",
        "rs",
        "pl",
        "sh",
    }
)
_REVISION = re.compile(r"(?:^|[-_.])(?=[a-f]*\d)[0-9a-f]{10,13}(?:[-_.]|$)")
"""A revision's identity as Alembic writes it into file names: twelve hexadecimal digits, of which leading zeros may be missing."""
_MARKUP = frozenset({"xml", "yaml", "yml", "json"})
_FLYWAY_SQL = re.compile(r"^(V[0-9][0-9._]*|U[0-9][0-9._]*|B[0-9][0-9._]*|R)__.+\.(sql|java|kt)$", re.IGNORECASE)
_SNAPSHOT_NAMES = {
    "structure.sql": Tool.RAILS,
    "schema.rb": Tool.RAILS,
    "schema.prisma": Tool.PRISMA,
    "atlas.sum": Tool.ATLAS,
    "sqitch.plan": Tool.SQITCH,
    "migration_lock.toml": Tool.PRISMA,
    "_journal.json": Tool.GENERIC,
}
_SETTINGS_NAMES = {
    "alembic.ini": Tool.ALEMBIC,
    "flyway.conf": Tool.FLYWAY,
    "flyway.toml": Tool.FLYWAY,
    "flyway.properties": Tool.FLYWAY,
    "liquibase.properties": Tool.LIQUIBASE,
    "atlas.hcl": Tool.ATLAS,
    "diesel.toml": Tool.DIESEL,
    "sqitch.conf": Tool.SQITCH,
    "dbconfig.yml": Tool.GOOSE,
    "knexfile.js": Tool.KNEX,
    "knexfile.ts": Tool.KNEX,
    "ormconfig.json": Tool.TYPEORM,
    "ormconfig.js": Tool.TYPEORM,
    "ormconfig.ts": Tool.TYPEORM,
    ".sequelizerc": Tool.SEQUELIZE,
}
_CARRIERS = re.compile(
    r"^(?:requirements[\w.-]*\.(?:txt|in)|constraints[\w.-]*\.txt|pyproject\.toml|poetry\.lock|uv\.lock|pdm\.lock|pylock[\w.-]*\.toml|Pipfile(?:\.lock)?|setup\.(?:py|cfg)"
    r"|environment\.ya?ml|conda-lock\.yml|Gemfile(?:\.lock)?|gems\.(?:rb|locked)|[\w.-]+\.gemspec|package\.json|package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|deno\.lock"
    r"|composer\.(?:json|lock)|go\.(?:mod|sum|work|work\.sum)|Cargo\.(?:toml|lock)|pom\.xml|build\.gradle(?:\.kts)?|gradle\.lockfile|libs\.versions\.toml|build\.sbt|mix\.(?:exs|lock)|rebar\.lock"
    r"|packages\.lock\.json|Directory\.Packages\.props|packages\.config|[\w.-]+\.(?:csproj|fsproj|vbproj)|paket\.(?:dependencies|lock)|project\.clj|deps\.edn|pubspec\.(?:yaml|lock)"
    r"|Dockerfile[\w.-]*|[\w.-]+\.[Dd]ockerfile|Containerfile[\w.-]*|Chart\.(?:yaml|lock)|\.gitmodules)$"
)


def recognise(path: str) -> Recognised | None:
    """Return what a path is to a migration tool, None when it looks like no migration at all.

    Files under test folders are None: no release applies them.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]
    if not parts or not _TEST_FOLDERS.isdisjoint(parts[:-1]):
        return None
    *folders, name = parts
    lowered = name.lower()
    stem, _, ending = lowered.rpartition(".")
    migration_at = next((at for at in range(len(folders) - 1, -1, -1) if _MIGRATION_FOLDER.match(folders[at])), None)
    here = "/".join(folders)

    if lowered in _SETTINGS_NAMES:
        return Recognised(_SETTINGS_NAMES[lowered], Role.SETTINGS, here)
    if lowered in _SNAPSHOT_NAMES:
        return Recognised(_SNAPSHOT_NAMES[lowered], Role.SNAPSHOT, here)
    if folders[-1:] == ["db"] and lowered.endswith(("_schema.rb", "_structure.sql")):
        return Recognised(Tool.RAILS, Role.SNAPSHOT, here)
    if lowered == "schema.sql" and migration_at is None:
        return Recognised(Tool.DBMATE, Role.SNAPSHOT, here)
    if lowered == "schema.rs" and folders[-1:] == ["src"]:
        return Recognised(Tool.DIESEL, Role.SNAPSHOT, here)
    if lowered.endswith(("modelsnapshot.cs", ".designer.cs")) and migration_at is not None:
        return Recognised(Tool.ENTITY_FRAMEWORK, Role.SNAPSHOT, here)
    if lowered == "env.py" and ("alembic" in folders or migration_at is not None):
        return Recognised(Tool.ALEMBIC, Role.SETTINGS, here)
    if lowered.startswith(("__init__.", "readme", ".git")) or (ending not in {"sql", *_CODE, *_MARKUP}):
        return None

    if flyway := _FLYWAY_SQL.match(name):
        return Recognised(Tool.FLYWAY, Role.BACKWARD if flyway[1][0] in "Uu" else Role.FORWARD, here)
    if ending == "sql":
        return _recognise_sql(folders, stem, migration_at)
    if "changelog" in lowered or any("changelog" in folder.lower() for folder in folders):
        return Recognised(Tool.LIQUIBASE, Role.FORWARD, here) if ending in _MARKUP or ending == "groovy" else None
    if folders[-1:] == ["versions"] and ending == "py" and ("alembic" in folders or migration_at is not None or _REVISION.search(stem)):
        return Recognised(Tool.ALEMBIC, Role.FORWARD, here)
    if ending == "rb" and re.match(r"^\d+_", stem) and (migration_at is not None or folders[:1] == ["db"]):
        return Recognised(Tool.RAILS, Role.FORWARD, here)
    if migration_at is None:
        return Recognised(Tool.GENERIC, Role.SNAPSHOT, "/".join(folders[:-1])) if folders[-2:] == ["drizzle", "meta"] else None
    if ending in _MARKUP:  # pgroll and others write migrations as JSON or YAML
        return Recognised(Tool.GENERIC, Role.SNAPSHOT if folders[-1] == "meta" else Role.FORWARD, here)
    return Recognised(_tool_of_code(folders, stem, ending, migration_at), Role.FORWARD, here)


def _recognise_sql(folders: list[str], stem: str, migration_at: int | None) -> Recognised | None:
    here = "/".join(folders)
    above = "/".join(folders[:-1])
    inside = folders[-1].lower() if folders else ""
    if stem in {"up", "down"}:
        return Recognised(Tool.DIESEL, Role.FORWARD if stem == "up" else Role.BACKWARD, above)
    if stem == "migration":
        return Recognised(Tool.PRISMA, Role.FORWARD, above)
    if stem.endswith((".up", ".down")):
        return Recognised(Tool.GOLANG_MIGRATE, Role.FORWARD if stem.endswith(".up") else Role.BACKWARD, here)
    if stem.endswith((".do", ".undo", ".rollback", "_down", "_rollback")):
        return Recognised(Tool.GENERIC, Role.FORWARD if stem.endswith(".do") else Role.BACKWARD, here)
    if inside in {"deploy", "revert", "verify"} and migration_at is None:
        return Recognised(Tool.SQITCH, Role.FORWARD if inside == "deploy" else Role.BACKWARD, above)
    if inside in {"down", "rollback", "rollbacks"}:
        return Recognised(Tool.GENERIC, Role.BACKWARD, above)
    if any("changelog" in folder.lower() for folder in folders) or "changelog" in stem:
        return Recognised(Tool.LIQUIBASE, Role.FORWARD, here)
    if migration_at is not None:
        if "db" in folders[:migration_at] and re.match(r"^\d{14}_", stem):
            return Recognised(Tool.DBMATE, Role.FORWARD, here)
        if re.match(r"^\d{14}_", stem):
            return Recognised(Tool.SQLX, Role.FORWARD, here)
        return Recognised(Tool.GOOSE if re.match(r"^\d{1,6}_", stem) else Tool.ATLAS if re.match(r"^\d{14}$", stem) else Tool.GENERIC, Role.FORWARD, here)
    if any(_DATABASE_FOLDER.match(folder) for folder in folders) and _QUERY_FOLDERS.isdisjoint(folder.lower() for folder in folders):
        return Recognised(Tool.GENERIC, Role.FORWARD, here)
    return None


def _tool_of_code(folders: list[str], stem: str, ending: str, migration_at: int) -> Tool:
    if ending == "py":
        return Tool.ALEMBIC if "alembic" in folders else Tool.DJANGO
    if ending == "rb":
        return Tool.RAILS
    if ending in {"cs", "fs", "vb"}:
        return Tool.ENTITY_FRAMEWORK
    if ending == "go" and re.match(r"^\d+_", stem):
        return Tool.GOOSE
    if ending in {"ts", "js", "cjs", "mjs", "mts", "cts"} and migration_at >= len(folders) - 2:  # or one folder a database below it
        if re.match(r"^\d{13}-", stem):
            return Tool.TYPEORM
        if re.match(r"^\d{14}-", stem):
            return Tool.SEQUELIZE
        if re.match(r"^\d{14}_", stem):
            return Tool.KNEX
    return Tool.GENERIC


def is_migration(path: str) -> Tool | None:
    """Return the tool that a path belongs to, whatever its role, or None. Every path that answers belongs into `read_range`."""
    found = recognise(path)
    return found.tool if found else None


def may_carry_migrations(path: str) -> bool:
    """Say whether a change of this file can bring migrations of another package along (care A1): unknown until those were read."""
    return bool(_CARRIERS.match(path.replace("\\", "/").rsplit("/", 1)[-1]))


def leads_to_migrations(path: str) -> bool:
    """Say whether a name is one under which tools look for migrations: a symbolic link of that name brings whatever it points to."""
    return any(_MIGRATION_FOLDER.match(part) or _DATABASE_FOLDER.match(part) for part in path.split("/"))
