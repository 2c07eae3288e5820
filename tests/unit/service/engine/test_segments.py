import asyncio
from datetime import timedelta
from typing import cast

import pytest

from service.domain.errors import UnavailableError
from service.domain.ports import Work
from service.engine.precedence import Precedence
from service.engine.runner import Directive, Runner
from service.engine.segments import Engine, _plain

WORK = Work(kind="operation", id="op_1", seq=3)


def test_a_segment_is_named_by_its_row_and_seq() -> None:
    assert WORK.name == "operation:op_1:3"
    assert WORK.name != Work(kind="delivery", id="op_1", seq=3).name


def test_the_engine_opens_the_stores_address_with_its_own_driver() -> None:
    assert _plain("sqlite+aiosqlite:////tmp/x.db") == "sqlite:////tmp/x.db"
    assert _plain("postgresql+psycopg://u:p%40ss@db/x") == "postgresql://u:p%40ss@db/x"


async def test_an_engine_that_does_not_run_hands_nothing_over_and_says_so() -> None:
    """The store's transaction fails with it: a wait that nobody would end is not committed."""
    engine = Engine(url="sqlite:////tmp/none.db")
    with pytest.raises(UnavailableError, match="not running"):
        await engine.later(None, WORK, timedelta(0))
    with pytest.raises(UnavailableError, match="nothing to run"):
        _ = engine.runner


async def test_starting_work_on_an_engine_that_does_not_run_is_left_to_the_reconciler() -> None:
    await Engine(url="sqlite:////tmp/none.db").start(WORK)


class SlowRunner:
    """A step that lasts until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def step(self, work: Work) -> Directive:
        del work
        self.begun += 1
        await self.go.wait()
        return Directive(stop=True)

    async def place(self, *delivery_ids: str) -> None:
        assert delivery_ids == ("dlv_1",)
        await self.go.wait()


async def test_a_step_that_runs_at_the_end_is_waited_for_and_no_further_one_begins() -> None:
    engine, runner = Engine(url="sqlite:////nowhere.db"), SlowRunner()
    engine.give(cast("Runner", runner))
    running = asyncio.ensure_future(engine.step(WORK))
    await asyncio.sleep(0)
    draining = asyncio.ensure_future(engine.drain(patience=30))
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="going down"):
        await engine.step(WORK)
    assert not draining.done()
    runner.go.set()
    assert await draining
    assert (await running).stop
    assert runner.begun == 1


async def test_an_operation_goes_first_while_it_takes_a_step_and_so_does_a_delivery_that_is_placed() -> None:
    precedence, runner = Precedence(patience=3600), SlowRunner()
    engine = Engine(url="sqlite:////nowhere.db", precedence=precedence)
    engine.give(cast("Runner", runner))
    for work in (engine.step(WORK), engine._place("dlv_1")):  # noqa: SLF001  what arrives is given to it
        runner.go.clear()
        running = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(precedence.free())
        await asyncio.sleep(0)
        assert not waiting.done()
        runner.go.set()
        await running
        await asyncio.wait_for(waiting, 60)


async def test_the_end_does_not_wait_for_ever_for_a_step() -> None:
    engine, runner = Engine(url="sqlite:////nowhere.db"), SlowRunner()
    engine.give(cast("Runner", runner))
    running = asyncio.ensure_future(engine.step(WORK))
    await asyncio.sleep(0)
    assert not await engine.drain(patience=0.01)
    runner.go.set()
    await running


async def test_an_engine_in_which_nothing_runs_ends_at_once() -> None:
    assert await Engine(url="sqlite:////nowhere.db").drain(patience=30)
