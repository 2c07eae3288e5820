"""Which database the migrations are for, by what the tools' own configuration says literally. Computed, contradictory or silent: unknown.

Addresses in such files can hold passwords: only the scheme is looked at, and nothing of them is kept.
"""

import re
from collections.abc import Iterator, Mapping

from service.domain.schema.reading import Dialect

_NAMES = {
    "postgresql": Dialect.POSTGRES,
    "postgres": Dialect.POSTGRES,
    "postgis": Dialect.POSTGRES,
    "pg": Dialect.POSTGRES,
    "cockroachdb": Dialect.UNKNOWN,
    "mysql": Dialect.MYSQL,
    "mysql2": Dialect.MYSQL,
    "trilogy": Dialect.MYSQL,
    "mariadb": Dialect.MYSQL,
    "sqlite": Dialect.SQLITE,
    "sqlite3": Dialect.SQLITE,
    "better-sqlite3": Dialect.SQLITE,
}
_WHERE = {
    # file name: what stands before the database's name, at the beginning of a line that is no comment
    "alembic.ini": re.compile(r"^\s*sqlalchemy\.url\s*=\s*([\w-]+)(?:\+\w+)?://", re.MULTILINE),
    "flyway.conf": re.compile(r"^\s*flyway\.url\s*=\s*jdbc:([\w-]+):", re.MULTILINE),
    "flyway.toml": re.compile(r"^\s*url\s*=\s*[\"']jdbc:([\w-]+):", re.MULTILINE),
    "liquibase.properties": re.compile(r"^\s*(?:liquibase\.command\.)?url\s*[=:]\s*jdbc:([\w-]+):", re.MULTILINE),
    "sqitch.conf": re.compile(r"^\s*engine\s*=\s*([\w-]+)\s*$", re.MULTILINE),
    "atlas.hcl": re.compile(r"^\s*(?:url|dev)\s*=\s*\"([\w-]+)://", re.MULTILINE),
    "ormconfig.json": re.compile(r"\"type\"\s*:\s*\"([\w-]+)\""),
    "knexfile.js": re.compile(r"^\s*client\s*:\s*[\"']([\w-]+)[\"']", re.MULTILINE),
    "knexfile.ts": re.compile(r"^\s*client\s*:\s*[\"']([\w-]+)[\"']", re.MULTILINE),
    "schema.prisma": re.compile(r"^\s*provider\s*=\s*\"(postgresql|postgres|mysql|sqlite)\"", re.MULTILINE),
    "database.yml": re.compile(r"^\s*adapter:\s*[\"']?([\w-]+)[\"']?\s*$", re.MULTILINE),
}
_DJANGO = re.compile(r"^[^#\n]*[\"']ENGINE[\"']\s*:\s*[\"'][\w.]+\.([a-z0-9_]+)[\"']", re.MULTILINE)
_COMPUTED = re.compile(r"dj_database_url|DATABASE_URL|\bENGINE\b[^\n]*(?:environ|getenv|env\()|\benv\.db\b")
_ADDITIONS = {"psycopg2": "postgresql", "asyncpg": "postgresql"}


def configured_dialect(texts: Mapping[str, str]) -> Dialect:
    """The dialect that all configuration files among these texts agree on, else unknown."""
    found = {_NAMES.get(_ADDITIONS.get(name, name), Dialect.UNKNOWN) for name in _named(texts)}
    return next(iter(found)) if len(found) == 1 else Dialect.UNKNOWN


def _named(texts: Mapping[str, str]) -> Iterator[str]:
    for path, text in texts.items():
        name = path.rpartition("/")[2]
        pattern = _WHERE.get(name)
        if pattern is None and (name == "settings.py" or "/settings/" in f"/{path}"):
            pattern = _DJANGO
        if pattern is None:
            continue
        named = [found.lower() for found in pattern.findall(text)]
        if pattern is _DJANGO and _COMPUTED.search(text):
            named.append("")  # the environment may name another one
        yield from (one for one in named if one != "driver")  # what `alembic init` writes
