from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.delivery.argocd.steps import judging
from service.domain.errors import RefusedError

NOW = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)


def app(**operation: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "u-1", "name": "web"}, "spec": {}, "status": {}, **({"operation": operation} if operation else {})}


def running(revision: str, *, automated: bool) -> dict[str, Any]:
    made = app(sync={"revision": revision}, initiatedBy={"automated": True} if automated else {"username": "alice"})
    made["status"]["operationState"] = {"phase": "Running", "operation": made["operation"], "startedAt": "2026-05-04T14:00:00Z"}
    return made


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"prune": True}, {"prune": True, "enabled": True}, True),
        ({"prune": True, "selfHeal": False}, {"prune": True}, True),
        ({"prune": True}, {"prune": True, "enabled": False}, False),
        ({"prune": True}, {}, False),
        (None, {}, False),
        (None, None, True),
    ],
)
def test_settings_of_auto_sync_are_the_same_but_for_what_the_server_leaves_out(one: Any, other: Any, same: bool) -> None:
    assert judging.same_automated(one, other) is same


def test_an_empty_slot_may_be_cleared() -> None:
    assert judging.clearable(app(), ["b" * 40], "backout", NOW)


def test_an_automated_operation_on_the_bad_release_may_be_ended() -> None:
    assert judging.clearable(running("b" * 40, automated=True), ["b" * 40], "backout", NOW)


def test_promise_5_an_operation_of_a_person_or_to_something_else_is_left_alone() -> None:
    assert not judging.clearable(running("b" * 40, automated=False), ["b" * 40], "backout", NOW)
    assert not judging.clearable(running("c" * 40, automated=True), ["b" * 40], "backout", NOW)


def test_an_application_of_the_same_name_is_another_one() -> None:
    with pytest.raises(judging.OtherApplicationError, match="another application of the same name"):
        judging.same_application(app(), "u-2", "prod:web")


def test_an_application_that_is_being_deleted_is_not_touched() -> None:
    going = app()
    going["metadata"]["deletionTimestamp"] = "2026-05-04T14:00:00Z"
    with pytest.raises(judging.OtherApplicationError, match="is being deleted"):
        judging.same_application(going, "u-1", "prod:web")


def test_a_foreign_mark_is_nobody_of_ours() -> None:
    marked = app()
    marked["metadata"]["annotations"] = {"backout.dev/hold": "somebody's"}
    with pytest.raises(RefusedError, match=r"held by another \(somebody's\)"):
        judging.held_by_nobody_else(marked, "operation=op_1 suspect=a goal=b")
    judging.held_by_nobody_else(app(), "operation=op_1 suspect=a goal=b")
