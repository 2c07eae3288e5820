import asyncio
from datetime import timedelta

from integrations import moment
from integrations.moment import LASTS, MOMENT, Moment
from tests.fakes.clock import FakeClock


def test_what_was_just_read_serves_until_it_is_a_second_old_by_when_the_read_began() -> None:
    clock = FakeClock()
    now = Moment(clock)
    begun = now.begin()
    clock.pass_(seconds=0.4)
    now.keep("web", "seen", begun)
    assert (now.recall("web"), now.recall("other")) == ("seen", None)
    clock.at = begun.at + LASTS
    assert now.recall("web") == "seen"
    clock.at += timedelta(microseconds=1)
    assert now.recall("web") is None


def test_what_was_read_in_the_future_serves_nobody() -> None:
    clock = FakeClock()
    now = Moment(clock)
    now.keep("web", "seen", now.begin())
    clock.at -= timedelta(microseconds=1)
    assert now.recall("web") is None


def test_promise_4_nothing_that_was_read_before_something_was_sent_serves_after_it() -> None:
    now = Moment(FakeClock())
    now.keep("web", "before", now.begin())
    under_way = now.begin()
    now.sending()
    assert now.recall("web") is None
    now.keep("web", "begun before it was sent", under_way)
    assert now.recall("web") is None
    now.keep("web", "after", now.begin())
    assert now.recall("web") == "after"


async def test_a_moment_is_the_tasks_own_and_that_of_its_helpers() -> None:
    async def helper() -> None:
        moment.sending()

    async def one() -> tuple[object, object]:
        MOMENT.set(now := Moment(FakeClock()))
        now.keep("web", "seen", now.begin())
        before = now.recall("web")
        await asyncio.gather(helper())
        return before, now.recall("web")

    assert list(await asyncio.gather(one())) == [("seen", None)]
    assert MOMENT.get() is None
    moment.sending()  # nobody's moment: nothing happens


async def test_within_a_moment_a_read_serves_again_if_it_serves_and_outside_each_is_its_own() -> None:
    asked = list[int]()

    async def read() -> int:
        asked.append(len(asked))
        return asked[-1]

    assert [await moment.read_once("web", read) for _ in range(2)] == [0, 1]  # no moment
    MOMENT.set(Moment(FakeClock()))
    assert [await moment.read_once("web", read) for _ in range(2)] == [2, 2]
    assert await moment.read_once("api", read) == 3
    assert await moment.read_once("web", read, anew=True) == 4  # whoever acts
    assert await moment.read_once("web", read) == 4
    assert await moment.read_once("web", read, serves=lambda seen: seen > 4) == 5
    MOMENT.set(None)
