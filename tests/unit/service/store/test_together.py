import asyncio
from collections.abc import Sequence

import pytest

from service.domain.errors import UnavailableError
from service.store.together import Together


class Store:
    """Keeps numbers; each commit waits until it is let go. An odd one spoils the commit that it is in, a closed store takes none."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, ...]] = []
        self.go = asyncio.Event()
        self.closed = False

    async def do(self, items: Sequence[int]) -> Sequence[str]:
        self.commits.append(tuple(items))
        await self.go.wait()
        if self.closed:
            raise UnavailableError("closed")
        if any(item % 2 for item in items):
            raise ValueError(f"odd in {list(items)}")
        return [f"kept {item}" for item in items]


async def asked(store: Store, together: Together[int, str], *items: int) -> list[asyncio.Task[str]]:
    """Ask for each; the first one's commit is under way when the others come."""
    tasks = []
    for item in items:
        tasks.append(asyncio.ensure_future(together.one(item)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert store.commits == [(items[0],)]
    return tasks


async def test_who_comes_during_a_commit_shares_the_next_one_and_gets_his_own_result() -> None:
    store = Store()
    tasks = await asked(store, Together(store.do, most=10), 0, 2, 4, 6)
    store.go.set()
    assert await asyncio.gather(*tasks) == ["kept 0", "kept 2", "kept 4", "kept 6"]
    assert store.commits == [(0,), (2, 4, 6)]


async def test_no_commit_holds_more_than_it_may() -> None:
    store = Store()
    tasks = await asked(store, Together(store.do, most=2), 0, 2, 4, 6, 8)
    store.go.set()
    await asyncio.gather(*tasks)
    assert store.commits == [(0,), (2, 4), (6, 8)]


async def test_what_one_spoils_is_done_for_each_of_the_others_alone() -> None:
    store = Store()
    tasks = await asked(store, Together(store.do, most=10), 0, 2, 3, 4)
    store.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(one) for one in found] == ["kept 0", "kept 2", "odd in [3]", "kept 4"]


async def test_promise_2_nobody_is_told_that_his_was_kept_while_the_store_is_away() -> None:
    store = Store()
    tasks = await asked(store, Together(store.do, most=10), 0, 2, 4)
    store.closed = True
    store.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, UnavailableError) for one in found)
    assert store.commits == [(0,)]  # those who came meanwhile do not wait as long again


async def test_who_goes_away_takes_nothing_from_the_others() -> None:
    store = Store()
    together = Together(store.do, most=10)
    tasks = await asked(store, together, 0, 2, 4)
    tasks[0].cancel()
    tasks[1].cancel()
    store.go.set()
    assert await tasks[2] == "kept 4"
    assert await together.one(6) == "kept 6"
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
