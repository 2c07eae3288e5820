"""Brings the store to this version's schema at start; refuses a store that a newer version wrote."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.domain.errors import SettingsError
from service.store.database import Database

HEAD = "0001"
"""The newest migration; a test compares it with the files."""


async def migrate(database: Database) -> None:
    """Run what is missing. Costs one read when the store is up to date, so that a start stays fast."""
    async with database.read() as connection:
        current = await connection.run_sync(_current)
    if current == HEAD:
        return
    await asyncio.to_thread(_upgrade, database.url, current)


def _current(connection: Connection) -> str:
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else ""


def _upgrade(url: str, current: str) -> None:
    from alembic import command  # noqa: PLC0415  0.2 s, and only when there is something to do
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current and current not in known:
        raise SettingsError(f"the store has schema {current}, which this version does not know: it was written by a newer Backout; run that one")
    command.upgrade(config, "head")
