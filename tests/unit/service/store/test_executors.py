"""On PostgreSQL alone: an embedded store has one process."""

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from service.domain.errors import UnavailableError
from service.store.database import Database
from service.store.executors import ExecutorStore
from tests.fakes.clock import START
from tests.fakes.store import closed


@pytest.fixture
async def executors(postgres_url: str) -> AsyncIterator[ExecutorStore]:
    database = Database(postgres_url)
    made = ExecutorStore(database)
    yield made
    await made.close()
    await closed(database)


async def test_beats_are_counted_and_everybody_who_lives_is_seen_oldest_first(executors: ExecutorStore) -> None:
    for name in ("zoe", "adam"):
        await executors.enter(name, START)
    await executors.beat("adam")
    seen = await executors.beat("adam")
    assert [(one.name, one.beats) for one in seen or ()] == [("zoe", 0), ("adam", 2)]


async def test_promise_3_a_retired_process_never_beats_again(executors: ExecutorStore) -> None:
    await executors.enter("a", START)
    assert await executors.retire("a")
    assert await executors.beat("a") is None
    assert await executors.beat("nobody") is None
    assert await executors.living() == frozenset()


async def test_a_process_that_has_beaten_since_it_was_looked_at_is_not_retired(executors: ExecutorStore) -> None:
    await executors.enter("a", START)
    await executors.beat("a")
    assert not await executors.retire("a", beats=0)
    assert await executors.living() == {"a"}
    assert await executors.retire("a", beats=1)


async def test_one_process_at_a_time_sweeps(executors: ExecutorStore) -> None:
    async with executors.sweeping() as first, executors.sweeping() as second:
        assert (first, second) == (True, False)
    async with executors.sweeping() as third:
        assert third


async def test_a_process_beats_while_another_one_writes_and_while_one_sweeps(executors: ExecutorStore, postgres_url: str) -> None:
    """Or a long write would make everybody look dead."""
    await executors.enter("a", START)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (0x6261636B6F7574,))
        async with executors.sweeping():
            assert await executors.beat("a")


async def test_rows_of_those_who_are_long_gone_are_forgotten(executors: ExecutorStore) -> None:
    for name, at in (("old", START), ("gone", START), ("new", START + timedelta(days=1))):
        await executors.enter(name, at)
    await executors.retire("gone")
    await executors.retire("new")
    assert await executors.forget(START + timedelta(hours=1)) == 1
    assert await executors.beat("gone") is None
    assert await executors.living() == {"old"}


async def test_a_store_that_is_away_is_told_as_such() -> None:
    lost = ExecutorStore(Database("postgresql://nobody@127.0.0.1:1/lost"))
    with pytest.raises(UnavailableError):
        await lost.beat("a")
    await lost.close()
