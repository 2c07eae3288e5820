import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.domain.errors import SettingsError, UnavailableError
from service.store import tables as t
from service.store.database import Database
from tests.fakes.store import closed

HANG = 60
"""Seconds after which a test that should have ended is given up; nothing is measured by it."""


@pytest.fixture
def database(real: Database) -> Database:
    return real


def locked(database: Database) -> sqlite3.Connection:
    """Another writer that does not let go."""
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


EITHER = pytest.mark.parametrize("few", [False, True])
"""Both kinds of transactions: what is done in a thread, and what is done where it is asked for."""


async def put(database: Database, digest: str, patience: float | None = None, *, few: bool = False) -> None:
    async with database.write(patience=patience, few=few) as connection:
        await connection.execute(t.blob.insert().values(digest=digest, body=b""))


async def count(database: Database, *, few: bool = False) -> int:
    async with database.read(few=few) as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(t.blob))).scalar_one())


@EITHER
async def test_promise_2_a_locked_store_is_unavailable_within_the_patience_and_not_after_the_lock_is_gone(database: Database, *, few: bool) -> None:
    other = locked(database)
    async with asyncio.timeout(HANG):
        for _ in range(7):  # more often than there are connections: none may stay behind
            with pytest.raises(UnavailableError, match="did not answer in time"):
                await put(database, "a", patience=0.15, few=few)
    other.execute("ROLLBACK")
    other.close()
    await put(database, "a", few=few)
    assert await count(database) == 1


@EITHER
async def test_reading_does_not_wait_for_writers_however_many_wait(database: Database, *, few: bool) -> None:
    other = locked(database)
    writers = [asyncio.ensure_future(put(database, str(number), few=few)) for number in range(12)]
    async with asyncio.timeout(HANG):
        await asyncio.sleep(0.05)
        assert await count(database, few=few) == 0
        other.execute("ROLLBACK")
        await asyncio.gather(*writers)
    other.close()
    assert await count(database) == 12


@EITHER
async def test_a_hundred_writers_at_once_are_all_kept(database: Database, *, few: bool) -> None:
    await asyncio.gather(*(put(database, str(number), few=few or number % 2 == 0) for number in range(100)))
    assert await count(database) == 100


@EITHER
async def test_an_error_inside_takes_everything_of_the_transaction_back(database: Database, *, few: bool) -> None:
    async def broken() -> None:
        async with database.write(few=few) as connection:
            await connection.execute(t.blob.insert().values(digest="a", body=b""))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert await count(database) == 0


@EITHER
async def test_a_writer_that_is_cancelled_leaves_nothing_and_lets_the_next_one_in(database: Database, *, few: bool) -> None:
    inside = asyncio.Event()

    async def slow() -> None:
        async with database.write(few=few) as connection:
            await connection.execute(t.blob.insert().values(digest="slow", body=b""))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(slow())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(HANG):
        await put(database, "next", few=few)
    assert await count(database) == 1


@EITHER
async def test_a_body_that_takes_too_long_is_unavailable_and_kept_in_no_part(database: Database, *, few: bool) -> None:
    async def slow() -> None:
        async with database.write(patience=0.05, few=few) as connection:
            await connection.execute(t.blob.insert().values(digest="late", body=b""))
            await asyncio.Event().wait()

    with pytest.raises(UnavailableError):
        await slow()
    assert await count(database) == 0


@EITHER
async def test_what_the_schema_refuses_is_no_outage(database: Database, *, few: bool) -> None:
    await put(database, "a", few=few)
    with pytest.raises(sa.exc.IntegrityError):
        await put(database, "a", few=few)


@EITHER
async def test_a_damaged_file_is_unavailable(tmp_path: Path, *, few: bool) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database, whatever its name says" * 100)
    broken = Database(f"sqlite:///{tmp_path / 'broken.db'}")
    for act in (broken.read, broken.write):
        with pytest.raises(UnavailableError, match="cannot be used"):
            async with act(few=few):
                pass
    await closed(broken)


@EITHER
async def test_a_store_in_a_folder_that_is_not_there_is_unavailable(tmp_path: Path, *, few: bool) -> None:
    lost = Database(f"sqlite:///{tmp_path / 'gone' / 'store.db'}")
    with pytest.raises(UnavailableError, match="unable to open"):
        async with lost.write(few=few):
            pass
    await closed(lost)


@EITHER
async def test_the_file_survives_a_power_cut_and_lets_readers_beside_the_writer(database: Database, *, few: bool) -> None:
    async with database.read(few=few) as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar() == "wal"
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar() == 2
        assert (await connection.exec_driver_sql("PRAGMA foreign_keys")).scalar() == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_a_store_that_keeps_nothing_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="expected sqlite"):
        Database(url)


async def test_a_second_process_is_refused_and_may_come_after_the_first(database: Database) -> None:
    database.lock()
    program = (
        "import sys\nfrom service.store.database import Database\nfrom service.domain.errors import SettingsError\n"
        "try:\n    Database(sys.argv[1]).lock()\nexcept SettingsError as error:\n    print(error); sys.exit(7)\n"
    )
    root = Path(__file__).parents[4]

    def second() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program, database.url], cwd=root, capture_output=True, text=True, check=False)

    refused = await asyncio.to_thread(second)
    assert (refused.returncode, "in use by another Backout process" in refused.stdout) == (7, True)
    await database.close()
    assert (await asyncio.to_thread(second)).returncode == 0


async def test_the_lock_makes_the_folder_of_a_new_store(tmp_path: Path) -> None:
    fresh = Database(f"sqlite:///{tmp_path / 'new' / 'store.db'}")
    fresh.lock()
    assert (tmp_path / "new").is_dir()
    await closed(fresh)


@EITHER
async def test_who_wants_to_know_is_told_after_each_commit_and_only_then(database: Database, *, few: bool) -> None:
    told: list[bool] = []

    async def rolls_back() -> None:
        async with database.write(few=few):
            raise RuntimeError

    database.tell(lambda: told.append(True))
    async with database.read() as connection:
        await connection.execute(sa.select(1))
    with pytest.raises(RuntimeError):
        await rolls_back()
    assert told == []
    async with database.write(few=few):
        assert told == []
    assert told == [True]


@pytest.mark.parametrize("url", ["nonsense", "mysql://db/backout", "sqlite://"])
def test_an_address_that_is_no_store_is_a_sentence_and_no_traceback(url: str) -> None:
    with pytest.raises(SettingsError, match="expected sqlite"):
        Database(url)
