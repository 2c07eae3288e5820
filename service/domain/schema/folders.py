"""Where the tools' own configuration says that migrations are, read as data: literal or nothing.

A place outside of the repository (an absolute path, `..`, a URL) is no place here: nobody looks there, and the reader of the answer is told. What is computed
(a variable, a function) names no folder; then the usual layouts count, as they do without any configuration.
"""

import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_CONFIGURATION_CHARACTERS = 200_000
_SQL, _CHANGELOG = ("*.sql",), ("*.sql", "*.xml", "*.yaml", "*.yml", "*.json")
_COMPUTED = re.compile(r"\$\{|\$\(|%\((?!here\))|<%|\{\{|^\$\w|^%\w")
_HCL_MIGRATION = re.compile(r"^\s*migration\s*\{(?P<body>[^{}]*)\}", re.MULTILINE)
_HCL_DIR = re.compile(r"^\s*dir\s*=\s*\"(?P<dir>[^\"\n]*)\"", re.MULTILINE)
_KNEX_DIRECTORY = re.compile(r"^\s*directory\s*:\s*[\"'](?P<dir>[^\"'\n]+)[\"']", re.MULTILINE)
_ENVIRONMENT = re.compile(r"^(?:export\s+)?(?P<name>DBMATE_MIGRATIONS_DIR|GOOSE_MIGRATION_DIR)\s*=\s*[\"']?(?P<dir>[^\"'\s#]+)", re.MULTILINE)
_OF_JAVA = re.compile(r"^(?:flyway\.)?locations\s*[=:]\s*(?P<places>.+)$", re.MULTILINE)
_OF_LIQUIBASE = re.compile(r"^(?:liquibase\.command\.)?(?:changeLogFile|changelog-file|changelogFile)\s*[=:]\s*(?P<file>\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that a configuration file names, from the top of the repository, and the names of files in it that are migrations."""

    source: str
    folder: str
    names: tuple[str, ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        """Shell patterns of the migrations' paths; `*` also matches `/`."""
        return tuple(f"{self.folder}/{name}" if self.folder else name for name in self.names)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A place that a configuration file names and that is not looked at: which, and why not (a clause after "which")."""

    source: str
    place: str
    why: str
    names: tuple[str, ...] = ()


def places(texts: Mapping[str, str]) -> tuple[tuple[Place, ...], tuple[Elsewhere, ...]]:
    """The folders that all configuration files among these texts name (texts by path), and what they name outside of the repository."""
    found: dict[Place, None] = {}
    outside: dict[Elsewhere, None] = {}
    for path, text in texts.items():
        reader = _READERS.get(path.rpartition("/")[2])
        if reader is None or len(text) > MAX_CONFIGURATION_CHARACTERS:
            continue
        for named, names in reader(text):
            if not named or _COMPUTED.search(named):
                continue
            where = _inside(path.rpartition("/")[0], named)
            if isinstance(where, str):
                # The top of the repository would make every file a migration.
                names = names if where else tuple(name for name in names if "*" not in name)  # noqa: PLW2901
                if names:
                    found[Place(path, where, names)] = None
            else:
                outside[Elsewhere(path, named[:200], where[0], names)] = None
    return tuple(found), tuple(outside)


def _inside(here: str, named: str) -> str | tuple[str]:
    """The path from the top of the repository, or why it is none."""
    if re.match(r"^[a-z][a-z0-9+.-]+://", named, re.IGNORECASE) and not named.startswith("file://"):
        return ("is another machine's",)
    named = named.removeprefix("file://").replace("\\", "/")
    if named.startswith(("/", "~")) or re.match(r"^[A-Za-z]:", named):
        return ("is an absolute path",)
    parts = [part for part in here.split("/") if part]
    for part in named.split("/"):
        if part == "..":
            if not parts:
                return ("leads out of the repository",)
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    if any(sign in part for part in parts for sign in "*?[]"):
        return ("is a pattern",)
    return "/".join(parts)


_Named = Iterator[tuple[str, tuple[str, ...]]]


def _ini(text: str) -> configparser.RawConfigParser | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    return parser


def _alembic(text: str) -> _Named:
    if (parser := _ini(text)) is None:
        return
    for section in parser.sections():
        if location := parser.get(section, "script_location", fallback=""):
            yield from _of_alembic(location, parser.get(section, "version_locations", fallback=""))


def _of_alembic(location: str, versions: str) -> _Named:
    location = location.strip().removeprefix("%(here)s/")
    if ":" in location and "/" not in location:  # a package's name, `shop:migrations`
        location = location.replace(":", "/").replace(".", "/")
    if not versions.strip():
        yield f"{location}/versions", ("*.py",)
    for one in re.split(r"[\s:;,]+", versions.strip()):
        yield one.removeprefix("%(here)s/"), ("*.py",) if one else ()


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _under(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _pyproject(text: str) -> _Named:
    settings = _under(_toml(text), "tool", "alembic")
    location, versions = _under(settings, "script_location"), _under(settings, "version_locations")
    if isinstance(location, str):
        given = [one for one in versions if isinstance(one, str)] if isinstance(versions, list) else []
        yield from _of_alembic(location, " ".join(given))


def _flyway_toml(text: str) -> _Named:
    settings = _toml(text)
    environments = _under(settings, "environments")
    for one in (settings, *(environments.values() if isinstance(environments, dict) else ())):
        value = _under(one, "flyway", "locations")
        if isinstance(value, list):
            yield from _of_flyway(",".join(place for place in value if isinstance(place, str)))


def _flyway(text: str) -> _Named:
    for found in _OF_JAVA.finditer(text):
        yield from _of_flyway(found["places"])


def _of_flyway(text: str) -> _Named:
    for one in text.split(","):
        kind, _, place = one.strip().partition(":")
        # Any other place is on the class path, among resources whose folder the build decides: the usual layouts know it.
        if kind.lower() == "filesystem":
            yield place, _SQL


def _diesel(text: str) -> _Named:
    folder = _under(_toml(text), "migrations_directory", "dir")
    if isinstance(folder, str):
        yield folder, _SQL


def _atlas(text: str) -> _Named:
    for block in _HCL_MIGRATION.finditer(text):
        for found in _HCL_DIR.finditer(block["body"]):
            yield found["dir"].partition("?")[0], _SQL


def _knex(text: str) -> _Named:
    for found in _KNEX_DIRECTORY.finditer(text):
        if "seed" not in found["dir"]:
            yield found["dir"], ("*.js", "*.ts", "*.cjs", "*.mjs")


def _environment(text: str) -> _Named:
    for found in _ENVIRONMENT.finditer(text):
        yield found["dir"], _SQL


def _liquibase(text: str) -> _Named:
    for found in _OF_LIQUIBASE.finditer(text):
        folder, _, name = found["file"].removeprefix("classpath:").replace("\\", "/").rpartition("/")
        yield folder or ".", (name,) if folder in {"", "."} else _CHANGELOG


def _sqitch(text: str) -> _Named:
    if (parser := _ini("\n".join(line.strip() for line in text.split("\n")))) is None:
        return
    top = parser.get("core", "top_dir", fallback="").strip()
    deploy = parser.get("core", "deploy_dir", fallback="").strip()
    if top or deploy:
        yield deploy or f"{top}/deploy", _SQL


_READERS = {
    "alembic.ini": _alembic,
    "pyproject.toml": _pyproject,
    "flyway.conf": _flyway,
    "flyway.toml": _flyway_toml,
    "diesel.toml": _diesel,
    "atlas.hcl": _atlas,
    "knexfile.js": _knex,
    "knexfile.ts": _knex,
    ".env": _environment,
    "liquibase.properties": _liquibase,
    "sqitch.conf": _sqitch,
}
NAMES = frozenset(_READERS)
"""Names of the configuration files that are read for folders."""
