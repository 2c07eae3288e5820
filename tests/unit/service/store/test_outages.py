"""The store is away, frozen, held by another process, or full: what was asked fails as "not now", is kept in no part, and the next try succeeds."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import sqlalchemy as sa

from service.domain.errors import UnavailableError
from service.store import tables as t
from service.store.alerts import AlertStore
from service.store.database import Database
from tests.fakes import store
from tests.fakes.store import delivery, locked, notice
from tests.postgres import Postgres

HANG = 60
"""Seconds after which a test that should have ended is given up; nothing is measured by it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be killed: nobody else is on it."""
    with Postgres() as one:
        yield one


@pytest.fixture(scope="module")
def template(server: Postgres) -> str:
    return store.migrated_in(server)


@pytest.fixture
async def database(server: Postgres, template: str) -> AsyncIterator[Database]:
    opened = Database(server.create(template), patience=2)
    yield opened
    await opened.close()


@pytest.fixture
async def either(store_url: str) -> AsyncIterator[Database]:
    opened = store.opened(store_url, patience=2)
    yield opened
    await store.closed(opened)


async def kept(database: Database) -> tuple[int, ...]:
    async with database.read() as connection:
        tables = (t.delivery, t.blob, t.episode)
        return tuple([int((await connection.execute(sa.select(sa.func.count()).select_from(one))).scalar_one()) for one in tables])


async def test_promise_2_an_alert_while_another_process_writes_for_long_is_unavailable_and_kept_the_next_time(either: Database) -> None:
    alerts = AlertStore(either)
    async with asyncio.timeout(HANG):
        async with locked(either):
            with pytest.raises(UnavailableError):
                await alerts.accept(delivery(notice()))
            assert await kept(either) == (0, 0, 0)
        await alerts.accept(delivery(notice()))
    assert await kept(either) == (1, 1, 1)


async def test_promise_2_an_alert_while_the_server_is_down_is_unavailable_and_kept_the_next_time(database: Database, server: Postgres) -> None:
    alerts = AlertStore(database)
    await alerts.accept(delivery(notice("first")))
    server.kill()
    async with asyncio.timeout(HANG):
        for _ in range(12):  # more often than there are connections
            with pytest.raises(UnavailableError):
                await alerts.accept(delivery(notice("second")))
        server.start()
        await alerts.accept(delivery(notice("second")))
    assert await kept(database) == (2, 1, 2)


async def test_promise_2_an_alert_while_the_server_is_frozen_is_unavailable_and_kept_the_next_time(database: Database, server: Postgres) -> None:
    """The driver tries for some seconds to cancel what it asked, see docs/operations.md."""
    alerts = AlertStore(database)
    await alerts.accept(delivery(notice("first")))
    server.freeze()
    try:
        async with asyncio.timeout(HANG):
            with pytest.raises(UnavailableError):
                await alerts.accept(delivery(notice("second")))
    finally:
        server.thaw()
    async with asyncio.timeout(HANG):
        await alerts.accept(delivery(notice("second")))
    assert await kept(database) == (2, 1, 2)


async def test_a_writer_that_the_server_sent_away_in_the_middle_is_unavailable_and_leaves_nothing(database: Database) -> None:
    async def sent_away() -> None:
        async with database.write() as connection:
            await connection.execute(t.blob.insert().values(digest="a", body=b""))
            await connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(UnavailableError):
        await sent_away()
    assert await kept(database) == (0, 0, 0)


async def test_a_writer_that_froze_in_the_middle_is_ended_by_the_server_and_the_next_one_gets_in(database: Database) -> None:
    """The process stands still with the lock in its hands; see `FROZEN_SECONDS`."""
    frozen = Database(database.url)
    inside, thawed = asyncio.Event(), asyncio.Event()

    async def freeze() -> None:
        async with frozen.write() as connection:
            await connection.execute(t.blob.insert().values(digest="frozen", body=b""))
            inside.set()
            await thawed.wait()
            await connection.execute(t.blob.insert().values(digest="late", body=b""))

    task = asyncio.ensure_future(freeze())
    await inside.wait()
    async with asyncio.timeout(HANG):
        while True:
            try:
                async with database.write() as connection:
                    await connection.execute(t.blob.insert().values(digest="next", body=b""))
                break
            except UnavailableError:
                continue
    thawed.set()
    with pytest.raises(UnavailableError):
        await task
    assert (await kept(database))[1] == 1
    await frozen.close()


async def test_a_read_sees_one_moment_although_others_write_meanwhile(either: Database) -> None:
    async with either.read() as connection:
        count = sa.select(sa.func.count()).select_from(t.blob)
        before = (await connection.execute(count)).scalar_one()
        other = Database(either.url)
        async with other.write() as writing:
            await writing.execute(t.blob.insert().values(digest="a", body=b""))
        await other.close()
        assert (await connection.execute(count)).scalar_one() == before == 0
    assert (await kept(either))[1] == 1


async def test_what_one_writer_looked_at_no_other_changes_before_its_commit(database: Database) -> None:
    """Processes that each look and then write, as intake does: one after the other, as SQLite has it by itself."""
    databases = [Database(database.url) for _ in range(3)]

    async def count_up(one: Database) -> None:
        for _ in range(5):
            async with one.write() as connection:
                number = (await connection.execute(sa.select(sa.func.count()).select_from(t.blob))).scalar_one()
                await asyncio.sleep(0.005)
                await connection.execute(t.blob.insert().values(digest=str(number), body=b""))

    async with asyncio.timeout(HANG):
        await asyncio.gather(*(count_up(one) for one in databases))
    assert (await kept(database))[1] == 15
    for one in databases:
        await one.close()
