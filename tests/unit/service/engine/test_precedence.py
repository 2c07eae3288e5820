import asyncio

import pytest

from service.engine.precedence import Precedence
from service.engine.tasks import Tasks

LONG = 3600.0


async def test_where_nobody_goes_first_nobody_stands_back() -> None:
    await asyncio.wait_for(Precedence(LONG).free(), 60)


async def test_it_is_free_when_the_last_of_those_who_go_first_is_done() -> None:
    precedence = Precedence(LONG)
    with precedence.taken():
        with precedence.taken():
            waiting = asyncio.ensure_future(precedence.free())
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 60)


async def test_who_fails_is_done() -> None:
    precedence = Precedence(LONG)
    with pytest.raises(OSError, match="the network"), precedence.taken():
        raise OSError("the network")
    await asyncio.wait_for(precedence.free(), 60)


async def test_nobody_stands_back_longer_than_the_patience_lasts() -> None:
    precedence = Precedence(0)
    with precedence.taken():
        await asyncio.wait_for(precedence.free(), 60)


async def test_loops_begin_once_as_they_start_and_then_no_round_while_somebody_goes_first() -> None:
    precedence, rounds, begun = Precedence(LONG), 0, asyncio.Event()

    async def one() -> None:
        nonlocal rounds
        rounds += 1
        begun.set()

    tasks = Tasks(precedence.free)
    with precedence.taken():
        tasks.every(0, "watch", one)
        await asyncio.wait_for(begun.wait(), 60)
        begun.clear()
        for _ in range(20):
            await asyncio.sleep(0)
        held_back = rounds
    await asyncio.wait_for(begun.wait(), 60)
    await tasks.stop()
    assert held_back == 1
