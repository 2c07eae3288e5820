from typing import Any

import pytest

from service.cli.demo.taken_back import check
from tests.unit.service.cli.demo.told import Told

KEPT = {"auto-sync is off, its settings kept": True, "the hold is marked on the Application": True}
HOLDS = [{"id": "hld_1"}]


def test_a_release_that_was_taken_back_is_seen_so() -> None:
    story = Told()
    check(story, {"outcome": "recovered"}, 1, KEPT, HOLDS, same_pods=True)
    assert story.ok


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("scene 1 ended recovered", {"operation": {"outcome": "inconclusive"}}),
        ("the pods run v2.4.6 again, by digest", {"same_pods": False}),
        ("auto-sync is off, its settings kept", {"kept": {**KEPT, "auto-sync is off, its settings kept": False}}),
        ("the hold is marked on the Application", {"kept": {**KEPT, "the hold is marked on the Application": False}}),
        ("it was taken back exactly once", {"times": 0}),
        ("it was taken back exactly once", {"times": 2}),
        ("the hold is open", {"holds": []}),
    ],
)
def test_whatever_is_not_so_is_seen(name: str, given: dict[str, Any]) -> None:
    story = Told()
    case: dict[str, Any] = {"operation": {"outcome": "recovered"}, "times": 1, "kept": KEPT, "holds": HOLDS, "same_pods": True, **given}
    check(story, case["operation"], case["times"], case["kept"], case["holds"], same_pods=case["same_pods"])
    assert [one for one, held in story.checks.items() if not held] == [name]
