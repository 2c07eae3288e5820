from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.model import Mode, OperationKind, Way
from service.domain.planning.plan import Plan, Step
from service.domain.verdict import Answer, Finding, Verdict, blocks, passes
from tests.unit.service.domain import made

STOP = Step(name="stop_auto_sync", says="Stop auto-sync", parameters={"automated": {"prune": True}}, undo=Step(name="give_back_auto_sync", says="Give it back"))
ROLL = Step(name="roll_back", says="Roll back", parameters={"id": 41})
FINDINGS = (replace(passes("Yes."), rule="a"), replace(passes("Yes."), rule="b"))


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "id": "plan-1",
        "kind": OperationKind.ROLLBACK,
        "target": made.TARGET,
        "uid": "uid-1",
        "title": "rollback",
        "method": "code",
        "scope": "full",
        "way": Way.ROLLBACK,
        "because": "Because.",
        "suspect": made.SUSPECT,
        "goal": made.GOAL,
        "steps": (STOP, ROLL),
        "verdict": Verdict(way=Way.ROLLBACK, findings=FINDINGS, recommended=Way.ROLLBACK, because="", as_of=made.NOW),
        "mode": Mode.APPROVE,
        "policy_version": "3",
        "made_at": made.NOW,
        "act_before": made.NOW + timedelta(minutes=1),
    }
    return Plan(**(values | changes))


def verdict(*findings: Finding) -> Verdict:
    return replace(plan().verdict, findings=findings)


def test_the_digest_is_the_same_for_the_same_plan() -> None:
    assert plan().digest == plan().digest
    assert plan().digest.startswith("sha256:")
    assert len(plan().digest) == len("sha256:") + 64


def test_the_digest_covers_what_is_overridden_with_the_sentence_that_was_shown() -> None:
    said = replace(blocks("It drops a column.", clears="", overridable=True), rule="schema")
    plain, over = plan(verdict=verdict(said)), plan(verdict=verdict(said), overrides=("schema",))
    other = plan(verdict=verdict(replace(said, says="It drops a table.")), overrides=("schema",))
    assert len({plain.digest, over.digest, other.digest}) == 3
    assert plan(verdict=verdict(replace(said, says="It drops a table."))).digest == plain.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": "uid-2"},
        {"suspect": replace(made.SUSPECT, key="other")},
        {"suspect": replace(made.SUSPECT, handle="58")},
        {"goal": replace(made.GOAL, key="other")},
        {"goal": replace(made.GOAL, handle="3")},
        {"way": Way.PIN},
        {"policy_version": "4"},
        {"steps": (ROLL,)},
        {"steps": (ROLL, STOP)},
        {"steps": (STOP, replace(ROLL, parameters={"id": 40}))},
        {"steps": (STOP, replace(ROLL, owner="person"))},
        {"steps": (STOP, replace(ROLL, optional=True))},
        {"steps": (STOP, replace(ROLL, effect=False))},
        {"steps": (replace(STOP, undo=None), ROLL)},
        {"steps": (replace(STOP, undo=replace(ROLL, name="something_else")), ROLL)},
        {"verdict": verdict(FINDINGS[0])},
        {"verdict": verdict(FINDINGS[0], replace(FINDINGS[1], answer=Answer.WARN))},
        {"verdict": verdict(FINDINGS[0], replace(FINDINGS[1], waived="until tomorrow"))},
    ],
    ids="-".join,
)
def test_an_approval_does_not_cover_a_plan_that_would_do_something_else(changes: dict[str, Any]) -> None:
    assert plan(**changes).digest != plan().digest


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "plan-2"},
        {"made_at": made.NOW + timedelta(hours=1)},
        {"act_before": made.NOW + timedelta(hours=1)},
        {"verdict": replace(plan().verdict, as_of=made.NOW + timedelta(hours=1))},
        {"verdict": verdict(*reversed(FINDINGS))},
        {"verdict": verdict(FINDINGS[0], replace(FINDINGS[1], says="Yes, 4 s ago."))},
    ],
    ids=["id", "made at", "act before", "as of", "order of findings", "sentence"],
)
def test_an_approval_covers_the_same_plan_made_at_another_time(changes: dict[str, Any]) -> None:
    assert plan(**changes).digest == plan().digest


def test_the_digest_does_not_depend_on_the_order_of_a_steps_parameters() -> None:
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert plan(steps=(replace(ROLL, parameters=one),)).digest == plan(steps=(replace(ROLL, parameters=other),)).digest
