"""What each deploy strategy leaves behind."""

import pytest

from integrations.delivery.spinnaker.strategies import PLAIN_MANIFEST, STRATEGIES, left_by
from service.domain.model import Way


@pytest.mark.parametrize(
    ("strategy", "way"),
    [("redblack", Way.ENABLE_PREVIOUS), ("RedBlack", Way.ENABLE_PREVIOUS), ("highlander", Way.ROLLBACK), ("monitored", Way.NONE), ("", Way.ENABLE_PREVIOUS)],
)
def test_a_strategy_has_its_way_back(strategy: str, way: Way) -> None:
    assert left_by(strategy).way is way


def test_a_strategy_that_is_not_known_leaves_nothing_to_rely_on() -> None:
    found = left_by("canarySomething")
    assert found.way is Way.NONE
    assert "canarySomething" in found.says
    assert not found.fast


def test_each_strategy_says_why_and_only_what_may_still_run_is_fast() -> None:
    assert all(left.says for left in STRATEGIES.values())
    assert {name for name, left in STRATEGIES.items() if left.fast} == {"redblack", "bluegreen"}
    assert PLAIN_MANIFEST.way is Way.UNDO
