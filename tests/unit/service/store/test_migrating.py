import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from service.domain.errors import SettingsError
from service.store import migrating
from service.store.database import Database
from service.store.migrating import HEAD, migrate
from service.store.tables import metadata
from tests.fakes.store import closed


def objects(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'").fetchall()
    connection.close()
    return dict(rows)


def test_migrations_give_the_schema_that_the_code_uses(template: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert objects(template) == objects(tmp_path / "made.db")


def test_the_comparison_of_alembic_finds_no_difference_either(template: Path) -> None:
    engine = create_engine(f"sqlite:///{template}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_partial_indexes_of_single_flight_are_in_the_store(template: Path) -> None:
    sql = objects(template)
    assert "WHERE done_at IS NULL" in sql["operation_alive_target"]
    assert "first_effect_at IS NOT NULL" in sql["operation_automatic_effect"]
    assert "WHERE closed_at IS NULL" in sql["incident_open_target"]
    assert "WHERE closed_at IS NULL" in sql["hold_open_target"]


def test_head_is_the_newest_of_the_files() -> None:
    versions = Path(migrating.__file__).parent / "migrations" / "versions"
    assert max(file.name[1:5] for file in versions.glob("v*.py")) == HEAD


async def test_a_store_that_is_up_to_date_is_left_alone(database: Database) -> None:
    before = database.path.read_bytes()
    await migrate(database)
    assert database.path.read_bytes() == before


async def test_a_store_that_a_newer_version_wrote_is_refused(database: Database) -> None:
    with sqlite3.connect(database.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SettingsError, match="written by a newer Backout"):
        await migrate(database)


async def test_a_start_that_died_while_making_the_tables_is_finished_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "half.db"
    engine = create_engine(f"sqlite:///{path}")
    metadata.tables["blob"].create(engine)
    engine.dispose()
    half = Database(f"sqlite:///{path}")
    await migrate(half)
    await closed(half)
    assert {"blob", "operation", "outbox"} <= objects(path).keys()
