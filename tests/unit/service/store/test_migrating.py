import asyncio
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from service.domain.errors import SettingsError
from service.store import migrating
from service.store.database import Database, engine_to_migrate
from service.store.holds import HoldStore
from service.store.migrating import HEAD, migrate, schema_of
from service.store.migrations.versions import v0001_initial
from service.store.tables import Utc, Words, metadata
from tests.fakes.store import Recycled, closed
from tests.postgres import Postgres


def objects(path: Path) -> dict[str, str]:
    """Tables and indexes as SQLite tells them, but for line breaks: a column that a migration added stands on the line before."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'").fetchall()
    connection.close()
    return {name: re.sub(r"\s+", " ", sql) for name, sql in rows}


def shape(path: Path) -> dict[str, object]:
    """Indexes by their text, tables by their columns in any order: one that came later stands last."""
    with sqlite3.connect(path) as connection:
        found: dict[str, object] = {
            name: sql
            if sql.startswith("CREATE INDEX") or "UNIQUE INDEX" in sql
            else sorted(row[1:] for row in connection.execute(f"PRAGMA table_info({name})"))
            for name, sql in objects(path).items()
        }
        found |= {f"unique {table}": sorted(unique(connection, table)) for table in metadata.tables}
    connection.close()
    return found


def unique(connection: sqlite3.Connection, table: str) -> Iterator[list[str]]:
    for _, name, is_unique, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
        if is_unique:
            yield [column for _, _, column in connection.execute(f"PRAGMA index_info({name})")]


def test_migrations_give_the_schema_that_the_code_uses(sqlite_template: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert shape(sqlite_template) == shape(tmp_path / "made.db")


def other_type(_context: Any, _column: Any, _made: Any, there: Any, wanted: Any) -> bool | None:
    """Text is text, of any length; for the rest let Alembic compare."""
    return not isinstance(there, sa.String) if isinstance(wanted, Words | Utc) else None


def test_the_comparison_of_alembic_finds_no_difference_either(store_url: str) -> None:
    engine = engine_to_migrate(store_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": other_type}), metadata) == []
    engine.dispose()


def test_on_postgresql_our_tables_are_in_a_schema_of_their_own(postgres_stores: Recycled) -> None:
    url = postgres_stores.take()
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('operation', 'alembic_version')").fetchall()
    assert rows == [("backout",)]
    postgres_stores.give_back(url)


def test_on_postgresql_no_text_has_a_limit(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'backout' AND data_type = 'character varying'"
        assert connection.execute(query).fetchall() == [("alembic_version", "version_num")]


def test_the_partial_indexes_of_single_flight_are_in_the_store(sqlite_template: Path) -> None:
    sql = objects(sqlite_template)
    assert "WHERE done_at IS NULL" in sql["operation_alive_target"]
    assert "first_effect_at IS NOT NULL" in sql["operation_automatic_effect"]
    assert "WHERE closed_at IS NULL" in sql["incident_open_target"]
    assert "WHERE closed_at IS NULL" in sql["hold_open_target"]


def test_the_migrations_are_one_line_and_their_files_are_named_by_their_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrating.MIGRATIONS))
    line = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    assert [one.revision for one in line] == [f"{number:04}" for number in range(1, len(line) + 1)]
    assert [Path(one.path).name[1:5] for one in line] == [one.revision for one in line]
    assert line[-1].revision == HEAD


async def test_a_store_that_is_up_to_date_is_left_alone(real: Database) -> None:
    before = real.path.read_bytes()
    await migrate(real)
    assert real.path.read_bytes() == before


async def test_a_store_that_a_newer_version_wrote_is_refused(database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
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


# --- from the schema of 0.1.0 -----------------------------------------------------------------------------------------------------------


def first_schema(url: str) -> None:
    """As 0.1.0 left it: on PostgreSQL in the schema `public`, with an open hold."""
    engine = create_engine(sa.make_url(url).set(drivername="sqlite" if url.startswith("sqlite") else "postgresql+psycopg"))
    with engine.begin() as connection:
        v0001_initial.metadata.create_all(connection)
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0001')")
        hold = v0001_initial.metadata.tables["hold"]
        at = "2026-05-04T14:03:00.000000Z"
        values = {"target": "prod:checkout", "operation_id": "op_1", "opened_at": at, "reason": "bad", "review_at": at, "owner": "", "remembered": {}}
        connection.execute(hold.insert().values(id="hld_1", ended_by="", ended_because="", **values))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.db'}"
        first_schema(url)
        yield url
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create()
    first_schema(url)
    yield url
    server.drop(url)


async def test_promise_2_a_store_of_0_1_0_is_brought_up_to_date_with_all_that_it_holds(old_url: str) -> None:
    database = Database(old_url)
    assert await schema_of(database) in {"0001", ""}
    await migrate(database)
    assert await schema_of(database) == HEAD
    hold = await HoldStore(database).load("hld_1")
    assert hold is not None
    assert (str(hold.target), hold.closed_at) == ("prod:checkout", None)
    await closed(database)


async def test_several_processes_that_start_at_once_bring_it_up_to_date_once(old_url: str) -> None:
    program = "import asyncio, sys\nfrom service.store.database import Database\nfrom service.store.migrating import migrate\n"
    program += "asyncio.run(migrate(Database(sys.argv[1])))"
    root = Path(__file__).parents[4]
    started = [await asyncio.create_subprocess_exec(sys.executable, "-c", program, old_url, cwd=root) for _ in range(1 if "sqlite" in old_url else 3)]
    assert [await one.wait() for one in started] == [0] * len(started)
    database = Database(old_url)
    assert await schema_of(database) == HEAD
    await closed(database)
