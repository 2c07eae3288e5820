import inspect
from typing import Any, cast

import pytest

from integrations.delivery.joined import Joined, untraced
from service.domain import ports
from service.domain.model import TargetId

WEB = TargetId("prod", "web")
OF_THE_READER = ("kinds", "targets", "changes", "look", "read")
OF_THE_HANDS = ("offers", "intend", "act", "observe", "withdraw")


class Part:
    """Answers everything it is asked with its own name, what it was asked, and with what."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kinds = frozenset({name})

    def __getattr__(self, asked: str) -> Any:
        def answer(*what: Any) -> Any:
            found = (f"{self.name}.{asked}", *what)
            if asked in {"changes", "offers"}:
                return found

            async def later() -> Any:
                return found

            return later()

        return answer


@pytest.fixture
def joined() -> ports.Delivery:
    reader, hands, rest = cast("Any", Part("reader")), cast("Any", Part("hands")), cast("Any", Part("rest"))
    return Joined(instance="prod", reader=reader, hands=hands, captures=rest.capture, checks=rest.check, closes=rest.close)


@pytest.mark.parametrize(("name", "owner"), [*((one, "reader") for one in OF_THE_READER), *((one, "hands") for one in OF_THE_HANDS)])
async def test_each_question_reaches_the_part_that_answers_it_and_nothing_is_changed_on_the_way(joined: ports.Delivery, name: str, owner: str) -> None:
    if name == "kinds":
        assert joined.kinds == frozenset({owner})
        return
    method = getattr(joined, name)
    given = tuple(range(len(inspect.signature(method).parameters)))
    answer = method(*given)
    found = await answer if inspect.isawaitable(answer) else answer
    assert found in ((f"{owner}.{name}", *given), None)  # what changes something answers nothing


async def test_what_is_done_reaches_the_hands_with_all_that_was_given() -> None:
    done: list[Any] = []

    class Hands(Part):
        def __getattr__(self, asked: str) -> Any:
            async def act(*what: Any) -> None:
                done.append((asked, *what))

            return act

    part = cast("Any", Hands("hands"))
    joined = Joined(instance="prod", reader=part, hands=part, captures=part.capture, checks=part.check, closes=part.close)
    guard, into, step = cast("Any", "guard"), cast("Any", "basket"), cast("Any", "step")
    await joined.act(step, {}, guard)
    await joined.withdraw(step, {}, guard)
    await joined.capture(WEB, into)
    await joined.close()
    assert done == [("act", "step", {}, "guard"), ("withdraw", "step", {}, "guard"), ("capture", WEB, "basket"), ("close",)]


def test_it_joins_and_decides_nothing() -> None:
    for name, method in inspect.getmembers(Joined, inspect.isfunction):
        if not name.startswith("_"):
            assert "if " not in inspect.getsource(method), name


def test_without_a_trace_there_is_none_to_continue() -> None:
    assert untraced() == ""
