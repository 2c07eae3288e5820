from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from service.api import allowed
from service.api.auth import SCOPES, Principal
from service.domain.model import Actor, Hold, Mode, Operation, OperationKind, Outcome
from service.domain.planning.plan import Plan
from tests.unit.service.api.world import CHECKOUT, NOW

EVERYTHING = Principal(subject="root", scopes=frozenset(SCOPES), targets=("*",))
NOTHING = Principal(subject="nobody", scopes=frozenset(), targets=("*",))
WAITING = Operation(
    id="op_1",
    kind=OperationKind.ROLLBACK,
    target=CHECKOUT,
    incident_id=None,
    requested_by=Actor(kind="user", name="alice"),
    automatic=False,
    mode=Mode.APPROVE,
    phase="awaiting_approval",
    seq=0,
    rev=0,
    data={},
    trace_id="0" * 32,
    created_at=NOW,
    updated_at=NOW,
)
HOLD = Hold(id="hld_1", target=CHECKOUT, operation_id="op_1", opened_at=NOW, reason="", review_at=NOW, owner="", held=(), remembered={})


@pytest.mark.parametrize(
    ("operation", "actions"),
    [
        (WAITING, ["approve", "reject", "cancel"]),
        (replace(WAITING, phase="act"), ["cancel"]),
        (replace(WAITING, cancel_requested="cancelled by user:bob"), []),
        (replace(WAITING, done_at=NOW, outcome=Outcome.EXPIRED), []),
    ],
)
def test_an_operation_offers_what_its_state_allows(operation: Operation, actions: list[str]) -> None:
    assert allowed.on_operation(EVERYTHING, operation) == actions
    assert allowed.on_operation(NOTHING, operation) == []


def test_each_action_is_offered_for_its_own_scope_only() -> None:
    for scope, actions in (("operations:approve", ["approve", "reject"]), ("operations:cancel", ["cancel"]), ("operations:read", [])):
        assert allowed.on_operation(Principal(subject="x", scopes=frozenset({scope}), targets=("*",)), WAITING) == actions


def test_an_open_hold_may_be_ended_and_an_ended_one_not() -> None:
    assert allowed.on_hold(EVERYTHING, HOLD) == ["end"]
    assert allowed.on_hold(EVERYTHING, replace(HOLD, closed_at=NOW + timedelta(hours=1))) == []
    assert allowed.on_hold(NOTHING, HOLD) == []


def test_resuming_is_offered_only_while_stopped_and_to_who_speaks_for_all() -> None:
    narrow = Principal(subject="x", scopes=frozenset({"stop:write"}), targets=("prod:*",))
    assert [allowed.on_stop(EVERYTHING, stopped=one) for one in (False, True)] == [["stop"], ["stop", "resume"]]
    assert allowed.on_stop(narrow, stopped=True) == ["stop"]
    assert allowed.on_stop(NOTHING, stopped=True) == []


def test_a_busy_target_offers_no_second_rollback() -> None:
    assert allowed.on_target(EVERYTHING, busy=True) == ["check", "plan"]
    assert allowed.on_target(EVERYTHING, busy=False) == ["check", "plan", "rollback"]


def test_without_a_plan_nothing_is_offered_after_a_check() -> None:
    assert allowed.on_check(EVERYTHING, None, busy=False) == []


def test_an_override_is_offered_to_another_person_with_the_scope_and_an_approval_is_not() -> None:
    plan = SimpleNamespace(overrides=("schema_is_compatible",))
    scopes = frozenset({"operations:override", "operations:approve"})
    offered = {subject: allowed.on_operation(Principal(subject=subject, scopes=scopes, targets=("*",)), WAITING, cast("Plan", plan)) for subject in SUBJECTS}
    assert offered == {"bob": ["override", "reject"], "alice": ["reject"], "Alice": ["reject"], "service:portal": ["reject"]}
    assert allowed.on_operation(Principal(subject="bob", scopes=frozenset({"operations:approve"}), targets=("*",)), WAITING, cast("Plan", plan)) == ["reject"]


SUBJECTS = ("bob", "alice", "Alice", "service:portal")
