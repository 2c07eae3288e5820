import asyncio

import pytest

from service.engine.tasks import Tasks


class Rounds:
    """Counts its rounds; the first of them may fail, and each may be held up."""

    def __init__(self, *, failing: int = 0) -> None:
        self.begun = self.ended = 0
        self.failing = failing
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.third = asyncio.Event()

    async def one(self) -> None:
        self.begun += 1
        if self.begun <= self.failing:
            raise OSError("the network")
        await self.go_on.wait()
        self.ended += 1
        if self.ended == 3:
            self.third.set()


async def test_a_loop_goes_on_round_after_round() -> None:
    tasks, rounds = Tasks(), Rounds()
    tasks.every(0, "watch", rounds.one)
    await asyncio.wait_for(rounds.third.wait(), 60)
    assert tasks.alive() == {"watch": True}
    await tasks.stop()
    assert tasks.alive() == {}


async def test_promise_13_a_round_that_fails_is_counted_and_the_loop_goes_on() -> None:
    tasks, rounds = Tasks(), Rounds(failing=2)
    tasks.every(0, "watch", rounds.one)
    await asyncio.wait_for(rounds.third.wait(), 60)
    assert (tasks.failed, tasks.alive()) == ({"watch": 2}, {"watch": True})
    await tasks.stop()


async def test_stopping_waits_for_the_round_in_progress() -> None:
    tasks, rounds = Tasks(), Rounds()
    rounds.go_on.clear()
    tasks.every(60, "outbox", rounds.one)
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(tasks.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    rounds.go_on.set()
    await stopping
    assert (rounds.begun, rounds.ended) == (1, 1)


async def test_stopping_does_not_wait_for_a_round_that_never_ends() -> None:
    tasks, rounds = Tasks(), Rounds()
    rounds.go_on.clear()
    tasks.every(60, "outbox", rounds.one)
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.stop(patience=0.01), 60)
    assert rounds.ended == 0


async def test_stopping_does_not_wait_out_the_pause_between_rounds() -> None:
    tasks, rounds = Tasks(), Rounds()
    tasks.every(3600, "collect", rounds.one)
    await asyncio.sleep(0.01)
    await asyncio.wait_for(tasks.stop(), 60)
    assert rounds.ended == 1


async def test_what_is_kept_going_is_run_again_after_a_failure_and_not_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, runs = Tasks(), 0
    monkeypatch.setattr("service.engine.tasks.AGAIN_AFTER", 0)

    async def one() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("once")

    tasks.keep("hear", one)
    await asyncio.sleep(0.05)
    assert (runs, tasks.failed["hear"]) == (2, 1)
    assert tasks.alive() == {}
    await tasks.stop()


async def test_stopping_cancels_at_once_what_is_kept_going() -> None:
    tasks, cancelled = Tasks(), asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    tasks.keep("hear", for_ever)
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.stop(patience=60), 60)
    assert cancelled.is_set()


async def test_stopping_nothing_is_no_trouble() -> None:
    await Tasks().stop()


async def test_what_is_begun_runs_once_beside_the_loops() -> None:
    tasks, rounds = Tasks(), Rounds()
    for _ in range(3):
        tasks.begin("captures", rounds.one)
    await asyncio.wait_for(rounds.third.wait(), 60)
    assert (rounds.begun, tasks.failed, tasks.alive()) == (3, {"captures": 0}, {})
    await tasks.stop()


async def test_promise_13_what_is_begun_and_fails_is_counted_and_not_tried_again() -> None:
    tasks, rounds = Tasks(), Rounds(failing=1)
    for _ in range(4):
        tasks.begin("captures", rounds.one)
    await asyncio.wait_for(rounds.third.wait(), 60)
    assert (rounds.begun, tasks.failed) == (4, {"captures": 1})
    await tasks.stop()


async def test_stopping_cancels_what_is_begun_at_once() -> None:
    tasks, ends = Tasks(), []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    tasks.begin("captures", hangs)
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.stop(), 60)
    assert ends == ["cancelled"]
