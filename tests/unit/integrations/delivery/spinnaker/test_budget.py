from collections import Counter
from datetime import timedelta

import pytest

from integrations import pacing
from integrations.delivery.spinnaker.budget import WINDOW, Budget
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.settings import Settings
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Profile
from tests.fakes.clock import FakeClock


def told(capacity: int, left: int, learning: str = "false") -> dict[str, str]:
    return {"x-ratelimit-capacity": str(capacity), "x-ratelimit-remaining": str(left), "x-ratelimit-learning": learning}


async def spent(budget: Budget, clock: FakeClock, requests: int, *, writes: bool = False) -> float:
    """Seconds that so many requests wait."""
    began = clock.now()
    for _ in range(requests):
        await budget.spend(writes=writes)
    return (clock.now() - began).total_seconds()


async def test_without_a_limiter_nothing_waits() -> None:
    clock = FakeClock()
    budget = Budget(clock)
    budget.told({"content-type": "application/json"}, ends=None)
    assert await spent(budget, clock, 1000) == 0
    assert budget.takes(1000) == timedelta(0)


@pytest.mark.parametrize("headers", [told(60, 0, "true"), told(-1, 0), told(0, 0), {"x-ratelimit-capacity": "many", "x-ratelimit-remaining": ""}])
async def test_a_limiter_that_only_learns_or_tells_nonsense_is_none(headers: dict[str, str]) -> None:
    clock = FakeClock()
    budget = Budget(clock)
    budget.told(headers, ends=None)
    assert budget.capacity is None
    assert await spent(budget, clock, 100) == 0


async def test_what_looks_waits_for_the_next_window_before_all_is_spent_and_a_write_finds_room() -> None:
    clock = FakeClock()
    budget = Budget(clock)
    ends = clock.now() + timedelta(seconds=4)
    budget.told(told(60, 10), ends=ends)
    assert await spent(budget, clock, 4) == 0
    assert await spent(budget, clock, 6, writes=True) == 0
    budget = Budget(clock)
    budget.told(told(60, 6), ends=ends)
    assert await spent(budget, clock, 1) == 4
    assert await spent(budget, clock, 53) == 0  # the rest of a whole window


async def test_who_has_time_leaves_half_to_who_has_not() -> None:
    clock = FakeClock()
    budget = Budget(clock)
    budget.told(told(60, 30), ends=clock.now() + timedelta(seconds=4))
    token = pacing.PACE.set(pacing.Pace(1, clock))
    try:
        assert await spent(budget, clock, 1) == 4
    finally:
        pacing.PACE.reset(token)


@pytest.mark.parametrize("off", [timedelta(seconds=-5), timedelta(days=1), None])
async def test_an_end_that_is_over_or_far_away_is_taken_for_one_window(off: timedelta | None) -> None:
    clock = FakeClock()
    budget = Budget(clock)
    budget.told(told(60, 0), ends=None if off is None else clock.now() + off)
    assert await spent(budget, clock, 1) == WINDOW.total_seconds()


async def test_answers_that_overtake_each_other_give_nothing_back() -> None:
    clock = FakeClock()
    budget = Budget(clock)
    ends = clock.now() + timedelta(seconds=5)
    budget.told(told(60, 7), ends=ends)
    budget.told(told(60, 40), ends=ends)
    assert await spent(budget, clock, 1) == 0
    assert await spent(budget, clock, 1) == 5
    budget.told(told(60, 59), ends=clock.now() + timedelta(seconds=10))
    assert await spent(budget, clock, 50) == 0


async def test_a_round_takes_as_many_windows_as_it_needs() -> None:
    budget = Budget(FakeClock())
    budget.told(told(60, 60), ends=None)
    assert budget.takes(500) == 9 * WINDOW


async def test_gate_never_has_to_turn_the_client_away() -> None:
    clock = FakeClock()
    gate = SandboxGate(clock=clock, profile=Profile(capacity=20))
    gate.add_application("shop")
    await gate.start()
    client = Client(Settings(name="spin", url=gate.url, auth="none", applications=("shop",)), clock, traceparent=str)
    try:
        began = clock.now()
        for _ in range(100):
            await client.version()
        assert Counter(one.status for one in gate.served) == {200: 100}
        assert clock.now() - began >= 4 * WINDOW
    finally:
        await client.close()
        await gate.stop()
