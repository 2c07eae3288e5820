from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.model import Way
from service.domain.readiness import Standing, renewed
from service.domain.verdict import Answer, Finding, passes, unknown, warns
from tests.unit.service.domain import made

HOUR = timedelta(hours=1)


def found(rule: str, finding: Finding, **more: Any) -> Finding:
    return replace(finding, rule=rule, gate=True, **more)


def standing(answer: Answer = Answer.PASS, *findings: Finding, **changes: Any) -> Standing:
    values: dict[str, Any] = {
        "target": made.TARGET,
        "answer": answer,
        "way": Way.ROLLBACK,
        "recommended": Way.ROLLBACK,
        "because": "",
        "says": "Every question has a yes.",
        "suspect": made.SUSPECT,
        "goal": made.GOAL,
        "findings": findings,
        "as_of": made.NOW,
        "since": made.NOW,
        "good_for": HOUR,
        "policy": "1",
    }
    return Standing(**(values | changes))


@pytest.mark.parametrize(
    ("age", "answer"),
    [
        (timedelta(0), Answer.PASS),
        (HOUR, Answer.PASS),
        (HOUR + timedelta(seconds=1), Answer.UNKNOWN),
        (-timedelta(seconds=5), Answer.PASS),
        (-timedelta(minutes=1), Answer.UNKNOWN),
    ],
    ids=["new", "at its limit", "past it", "another replica's clock", "a clock that was set back"],
)
def test_promise_1_a_standing_verdict_that_is_too_old_is_unknown_whatever_it_said(age: timedelta, answer: Answer) -> None:
    assert standing().at(made.NOW + age) is answer


def test_promise_1_a_block_that_is_too_old_is_unknown_too() -> None:
    assert standing(Answer.BLOCK).at(made.NOW + 2 * HOUR) is Answer.UNKNOWN


def test_what_speaks_against_it_is_worst_first_without_passes_and_waived_ones() -> None:
    some = (
        found("a", passes("a.")),
        found("b", warns("b.", clears="x")),
        found("c", unknown("c.", clears="x")),
        found("d", warns("d.", clears="x"), waived="waived until 2027"),
    )
    assert [finding.rule for finding in standing(Answer.UNKNOWN, *some).against] == ["c", "b"]


def test_the_first_verdict_is_a_turn_from_nothing() -> None:
    now, turn = renewed(None, standing())
    assert now.since == made.NOW
    assert turn is not None
    assert (turn.was, turn.answer, turn.release) == (None, Answer.PASS, "42 (v2.5.0 · c0ffee0)")


def test_the_same_answer_keeps_its_since_and_is_no_turn() -> None:
    later = standing(as_of=made.NOW + HOUR, since=made.NOW + HOUR)
    now, turn = renewed(standing(), later)
    assert (now.since, now.as_of, turn) == (made.NOW, made.NOW + HOUR, None)


def test_another_answer_is_a_turn_and_has_a_since_of_its_own() -> None:
    later = standing(Answer.BLOCK, found("b", warns("b.", clears="x")), as_of=made.NOW + HOUR, since=made.NOW + HOUR, says="No.")
    now, turn = renewed(standing(), later)
    assert now.since == made.NOW + HOUR
    assert turn is not None
    assert (turn.was, turn.answer, turn.says, turn.rules) == (Answer.PASS, Answer.BLOCK, "No.", ("b",))


@pytest.mark.parametrize(
    "later",
    [
        standing(suspect=made.GOAL),
        standing(suspect=None),
        standing(Answer.PASS, found("b", warns("b.", clears="x"))),
    ],
    ids=["another release is live", "nobody can say what is live", "something else speaks against it"],
)
def test_a_door_that_closes_behind_another_one_is_a_turn_though_the_answer_is_the_same(later: Standing) -> None:
    assert renewed(standing(), later)[1] is not None
    assert renewed(later, later)[1] is None
