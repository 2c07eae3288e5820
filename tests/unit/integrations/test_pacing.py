import asyncio
from datetime import timedelta

import pytest

from integrations import pacing
from integrations.pacing import PACE, Pace
from tests.fakes.clock import START, FakeClock


class Sleeper(FakeClock):
    """Notes how long each one sleeps; time stands still, so that all ask at the same moment."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        await asyncio.sleep(0)


async def test_a_task_without_a_pace_never_waits() -> None:
    await asyncio.wait_for(pacing.turn("https://argocd.example"), 60)
    assert PACE.get() is None


async def test_turns_of_one_system_lie_apart_however_many_ask_at_once() -> None:
    clock = Sleeper()
    pace = Pace(4, clock)
    await asyncio.gather(*(pace.turn("a") for _ in range(5)))
    assert clock.slept == [0.25, 0.5, 0.75, 1.0]


async def test_each_system_has_turns_of_its_own() -> None:
    clock = Sleeper()
    pace = Pace(1, clock)
    await asyncio.gather(pace.turn("a"), pace.turn("b"))
    assert clock.slept == []


async def test_a_quiet_time_saves_up_no_burst() -> None:
    clock = Sleeper()
    pace = Pace(1, clock)
    await pace.turn("a")
    clock.pass_(seconds=3600)
    await pace.turn("a")
    await pace.turn("a")
    assert clock.slept == [1.0]


async def test_a_clock_that_was_set_back_makes_nobody_wait_for_hours() -> None:
    clock = Sleeper()
    pace = Pace(1, clock)
    await pace.turn("a")
    clock.at = START - timedelta(hours=5)
    await pace.turn("a")
    assert clock.slept == []


async def test_the_pace_of_a_task_is_its_own_and_that_of_its_helpers() -> None:
    clock = Sleeper()

    async def unhurried() -> None:
        PACE.set(Pace(1, clock))
        await asyncio.gather(pacing.turn("a"), pacing.turn("a"))

    await asyncio.gather(unhurried())  # a task of its own
    await pacing.turn("a")
    assert clock.slept == [1.0]
    assert PACE.get() is None


def test_a_pace_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="more than none"):
        Pace(0, FakeClock())
