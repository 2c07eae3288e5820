import copy
from typing import Any

import pytest

from service.cli.demo.taken_back import check
from tests.unit.service.cli.demo.told import Told

APP: dict[str, Any] = {
    "metadata": {"annotations": {"backout.dev/hold": "operation=op_1"}},
    "spec": {"syncPolicy": {"automated": {"prune": False, "selfHeal": True, "enabled": False}}},
    "status": {"history": [{"id": 0}, {"id": 1}, {"id": 2, "initiatedBy": {"username": "backout"}}]},
}
HOLDS = [{"id": "hld_1"}]


def test_a_release_that_was_taken_back_is_seen_so() -> None:
    story = Told()
    check(story, {"outcome": "recovered"}, APP, HOLDS, same_pods=True)
    assert story.ok


def changed(path: str, value: Any) -> dict[str, Any]:
    app: Any = copy.deepcopy(APP)
    *way, last = path.split(".")
    place = app
    for name in way:
        place = place[name]
    place[last] = value
    return dict(app)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("scene 1 ended recovered", {"operation": {"outcome": "inconclusive"}}),
        ("the pods run v2.4.6 again, by digest", {"same_pods": False}),
        ("auto-sync is off, its settings kept", {"app": changed("spec.syncPolicy.automated", {"selfHeal": True})}),
        ("auto-sync is off, its settings kept", {"app": changed("spec.syncPolicy.automated", {"enabled": False})}),
        ("the hold is marked on the Application", {"app": changed("metadata.annotations", {})}),
        ("exactly one rollback was made", {"app": changed("status.history", [{"id": 0}])}),
        ("the hold is open", {"holds": []}),
    ],
)
def test_whatever_is_not_so_is_seen(name: str, given: dict[str, Any]) -> None:
    story = Told()
    case: dict[str, Any] = {"operation": {"outcome": "recovered"}, "app": APP, "holds": HOLDS, "same_pods": True, **given}
    check(story, case["operation"], case["app"], case["holds"], same_pods=case["same_pods"])
    assert [one for one, held in story.checks.items() if not held] == [name]
