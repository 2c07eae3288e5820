"""Brings the store to this version's schema at start; refuses a store that a newer version wrote."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.domain.errors import SettingsError
from service.store.database import SCHEMA, WRITING, Database, mapped

MIGRATIONS = Path(__file__).parent / "migrations"

HEAD = max(file.name[1:5] for file in (MIGRATIONS / "versions").glob("v*.py"))
"""The newest migration, by the names of the files: `v0002_what.py` has the revision `0002`."""

FIRST_TABLES = frozenset(
    {
        "alembic_version",
        "approval",
        "blob",
        "delivery",
        "effect",
        "episode",
        "event",
        "held_release",
        "hold",
        "idempotency",
        "incident",
        "operation",
        "outbox",
        "plan",
        "release",
        "span",
        "spec_seen",
        "stop",
        "target",
        "target_object",
    }
)
"""The tables of 0.1.0."""


async def migrate(database: Database) -> None:
    """Run what is missing. Costs one read when the store is up to date, so that a start stays fast."""
    current = await schema_of(database)
    if current == HEAD:
        return
    with mapped():
        await asyncio.to_thread(_upgrade, database.url, current)


async def schema_of(database: Database) -> str:
    """The schema that the store has now, "" for none."""
    async with database.read() as connection:
        return await connection.run_sync(_current)


def _current(connection: Connection) -> str:
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else ""


def prepare(connection: Connection) -> None:
    """On PostgreSQL: wait for those who write or migrate, and make the schema. Tables of 0.1.0, which knew no schema, move into it."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(WRITING, sa.BigInteger))))
    inspector = sa.inspect(connection)
    if SCHEMA in inspector.get_schema_names():  # asked first, for making it needs a right that the service may not have
        return
    connection.execute(sa.schema.CreateSchema(SCHEMA))
    old = set(inspector.get_table_names("public"))
    if old >= FIRST_TABLES and connection.exec_driver_sql("SELECT version_num FROM public.alembic_version").scalars().all() == ["0001"]:
        for name in sorted(FIRST_TABLES):
            connection.exec_driver_sql(f'ALTER TABLE public."{name}" SET SCHEMA "{SCHEMA}"')


def without_limits(connection: Connection) -> None:
    """On PostgreSQL, after the migrations: text has no limit, see `service.store.tables.Words`. Changes the catalogue alone, no row."""
    if connection.dialect.name != "postgresql":
        return
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s AND data_type = 'character varying' AND table_name <> %s"
    for table, column in connection.exec_driver_sql(query, (SCHEMA, "alembic_version")).all():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE text')


def _upgrade(url: str, current: str) -> None:
    from alembic import command  # noqa: PLC0415  0.2 s, and only when there is something to do
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current and current not in known:
        raise SettingsError(f"the store has schema {current}, which this version does not know: it was written by a newer Backout; run that one")
    command.upgrade(config, "head")
