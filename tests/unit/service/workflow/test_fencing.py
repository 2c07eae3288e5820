from collections.abc import Sequence

import pytest

from service.domain.errors import StoppedError
from service.workflow.fencing import fenced


class Course:
    """What is asked, in order. `waits` says of each asking of the fence whether it has to wait; `stops` of each look whether it forbids the act."""

    def __init__(self, waits: Sequence[bool], stops: Sequence[bool] = ()) -> None:
        self.asked: list[str] = []
        self._waits, self._stops = list(waits), list(stops)

    async def fence(self) -> bool:
        self.asked.append("fence")
        return self._waits.pop(0)

    async def look(self) -> None:
        self.asked.append("look")
        if self._stops and self._stops.pop(0):
            raise StoppedError("everything is stopped")


@pytest.mark.parametrize("waited_first", [False, True])
async def test_promise_3_the_fence_is_asked_after_the_look_which_may_have_taken_long(waited_first: bool) -> None:
    course = Course([waited_first, False])
    await fenced(course.fence, course.look)
    assert course.asked == ["fence", "look", "fence"]


async def test_promise_4_what_was_looked_at_before_the_fence_had_to_wait_is_looked_at_again() -> None:
    course = Course([False, True, True, False])
    await fenced(course.fence, course.look)
    assert course.asked == ["fence", "look", "fence", "look", "fence", "look", "fence"]


async def test_what_the_look_after_a_wait_forbids_is_forbidden() -> None:
    course = Course([False, True], stops=[False, True])
    with pytest.raises(StoppedError):
        await fenced(course.fence, course.look)
