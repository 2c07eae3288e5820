import pytest

from integrations.sandbox.gate.timeline import Timeline
from tests.fakes.clock import START, FakeClock


def test_what_is_due_happens_in_order_with_its_own_moment_as_the_present() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, (timeline.now - START).total_seconds()))

    timeline.after(5, lambda: note("late"))
    timeline.after(2, lambda: note("early"))
    timeline.after(2, lambda: note("early too"))
    clock.pass_(seconds=60)
    timeline.catch_up()

    assert seen == [("early", 2.0), ("early too", 2.0), ("late", 5.0)]
    assert timeline.millis == round(clock.now().timestamp() * 1000)


def test_an_act_may_plan_another_that_is_due_already() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    seen: list[float] = []

    def again() -> None:
        seen.append((timeline.now - START).total_seconds())
        if len(seen) < 3:
            timeline.after(10, again)

    timeline.after(10, again)
    clock.pass_(seconds=25)
    timeline.catch_up()

    assert seen == [10.0, 20.0]


def test_an_act_that_fails_does_not_stop_time() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)

    def fail() -> None:
        raise ValueError("broken")

    timeline.after(1, fail)
    clock.pass_(seconds=2)
    with pytest.raises(ValueError, match="broken"):
        timeline.catch_up()

    assert timeline.now == clock.now()


def test_a_pace_makes_everything_faster() -> None:
    clock = FakeClock()
    timeline = Timeline(clock, pace=0.1)
    seen: list[int] = []
    timeline.after(10, lambda: seen.append(1))
    clock.pass_(seconds=1)
    timeline.catch_up()

    assert seen == [1]
