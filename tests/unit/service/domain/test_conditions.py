"""Conditions of the policy: what they may say, what they may not, and that whatever is wrong with one is an error and never simply false."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain.conditions import FIELDS, MOST_LABELS, MOST_SIGNS, MOST_VALUE, Condition, ConditionError, Sort
from service.domain.rules import RULES

NAMES = tuple(rule.name for rule in RULES)
SEEN: Mapping[str, Any] = {name: one.sample for name, one in FIELDS.items()}
FRIDAY_EVENING = datetime(2026, 5, 8, 15, 30, tzinfo=UTC)


def fault(text: str, sort: Sort = Sort.TIGHTENS, *, about_rule: bool = True) -> str:
    with pytest.raises(ConditionError) as caught:
        Condition(text, sort, about_rule).check(NAMES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ('target.id == "prod:checkout" && target.instance == "prod"', True),
        ('target.name.startsWith("pay") || target.name in ["orders", "ledger"]', False),
        ('now.getDayOfWeek("Europe/Berlin") == 5 && now.getHours("Europe/Berlin") >= 17', True),
        ("now.getHours() == 15", True),
        ('now < timestamp("2026-12-24T00:00:00Z")', True),
        ('goal.age > duration("12h") && suspect.age < duration("1h")', True),
        ('"severity" in alert.labels && alert.labels["severity"] == "page"', True),
        ('alert.labels.severity == "page"', True),
        ('answers.schema_is_compatible == "warn"', True),
        ('answers.caches_stay_coherent == "not_asked"', True),
        ('finding.answer != "pass"', True),
        ('["a", "b"].exists(one, one == target.name)', False),
        ("state.objects > 10 ? automatic : !automatic", True),
    ],
)
def test_a_condition_is_true_or_false_of_what_it_is_given(text: str, holds: bool) -> None:
    condition = Condition(text)
    condition.check(NAMES)
    assert condition.holds({**SEEN, "now": FRIDAY_EVENING, "answers.schema_is_compatible": "warn"}) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read, at sign 1: Syntax error: mismatched input '<EOF>'"),
        ("automatic &&", "cannot be read, at sign 13: Syntax error: mismatched input '<EOF>'"),
        ('target.nam == "x"', "asks for target.nam, and there is no such field; did you mean target.name?"),
        ("os.environ == 1", "asks for os.environ, and there is no such field"),
        (
            'answers.schema_is_compatibel == "warn"',
            "asks for answers.schema_is_compatibel, and there is no such rule; did you mean schema_is_compatible?",
        ),
        ("goal.age", "must be true or false, and is duration"),
        ("'yes'", "must be true or false, and is string"),
        ("1 + 1 == 2", "uses + (or filter), which conditions do not have"),
        ("[1].map(x, x) == [1]", "uses map, which conditions do not have"),
        ("[1].filter(x, x > 1) == [1]", "uses + (or filter), which conditions do not have"),
        ("target.name.matches('(a+)+')", "uses matches, which conditions do not have"),
        ("has(alert.labels.x)", "uses has, which conditions do not have"),
        ("1 / 0 == 1", "failed: divide by zero"),
        ("now.getHours('Europe/Berln') > 1", "failed: Invalid timezone"),
        ("goal.age > duration('1 day')", "failed: String to Duration conversion failed"),
        ("state.objects == 'many'", "cannot be read, at sign 15: found no matching overload for '_==_' applied to '(int, string)'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_when_it_is_read_in_words_of_the_policy(text: str, says: str) -> None:
    assert fault(text) == says


@pytest.mark.parametrize("name", sorted(name for name, one in FIELDS.items() if one.foreign))
def test_promise_11_what_lets_something_pass_cannot_depend_on_what_others_write(name: str) -> None:
    text = {"yes or no": name, "duration": f"{name} > duration('1s')", "texts by name": f"{name}['x'] == 'y'"}.get(FIELDS[name].type, f"{name} == 'x'")
    assert fault(text, Sort.LETS_PASS) == f"asks for {name}, which others can write; what lets something pass must not depend on it"
    Condition(text).check(NAMES)


def test_promise_11_a_label_by_its_field_is_as_foreign_as_by_its_name() -> None:
    assert "which others can write" in fault("alert.labels.severity == 'x'", Sort.LETS_PASS)


def test_only_where_a_rule_is_named_there_is_a_finding_to_ask_for() -> None:
    assert fault("finding.answer == 'warn'", about_rule=False) == "asks for finding.answer, and it names no rule whose finding that could be"


# --- what it may cost -------------------------------------------------------------------------------------------------------


def test_a_condition_has_a_greatest_length() -> None:
    Condition("true" + " " * (MOST_SIGNS - 4)).check(NAMES)
    assert fault("true" + " " * (MOST_SIGNS - 3)) == f"is longer than {MOST_SIGNS} signs"


@pytest.mark.parametrize("text", ["(" * 100 + "true" + ")" * 100, "-(" * 60 + "1" + ")" * 60 + " == 1"])
def test_a_condition_has_a_greatest_depth(text: str) -> None:
    assert fault(text) == "is nested too deeply"


def test_loops_in_loops_end_by_their_steps_and_not_by_time() -> None:
    numbers = f"[{','.join('1' * 40)}]"
    assert fault(f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, true)))") == "costs too much: its loops take more than 10,000 steps"


def test_more_than_a_condition_may_see_is_an_error_and_not_a_shorter_text() -> None:
    condition = Condition("alert.known")
    many = {f"l{n}": "x" for n in range(MOST_LABELS + 1)}
    for seen in ({"alert.labels": many}, {"target.name": "x" * (MOST_VALUE + 1)}, {"alert.labels": {"x": "y" * (MOST_VALUE + 1)}}):
        with pytest.raises(ConditionError, match="would see more of"):
            condition.holds({**SEEN, **seen})


# --- what is not there ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FIELDS if not name.endswith(".known")])
def test_promise_1_what_nobody_knows_makes_the_condition_fail_and_not_false(name: str) -> None:
    of = FIELDS[name]
    text = {
        "yes or no": name,
        "duration": f"{name} > duration('1s')",
        "time": f"{name} > timestamp('2026-01-01T00:00:00Z')",
        "texts by name": f"'x' in {name}",
        "number": f"{name} > 1",
    }.get(of.type, f"{name} == 'x'")
    with pytest.raises(ConditionError, match=f"needs {name}, which is not known here"):
        Condition(text).holds({one: value for one, value in SEEN.items() if one != name})


def test_a_label_that_an_alert_lacks_is_an_error_of_the_condition() -> None:
    with pytest.raises(ConditionError, match='asks for "tier", which is not there'):
        Condition("alert.labels['tier'] == 'gold'").holds(SEEN)


@pytest.mark.parametrize("value", [1, None, True, ["x"], {"x": "y"}, timedelta(1)])
def test_a_value_of_another_type_than_the_field_has_is_an_error(value: object) -> None:
    with pytest.raises(ConditionError):
        Condition("target.name == 'x'").holds({**SEEN, "target.name": value})


def test_one_text_is_read_once_for_each_sort() -> None:
    assert Condition("automatic") == Condition("automatic")
    assert Condition("automatic") != Condition("automatic", Sort.LETS_PASS)


# --- the library has one place ----------------------------------------------------------------------------------------------


def test_one_file_knows_the_library() -> None:
    root = Path(__file__).parents[4]
    files = [*root.glob("service/**/*.py"), *root.glob("integrations/**/*.py")]
    assert [one.name for one in files if re.search(r"\bcel_expr_python\b", one.read_text(encoding="utf-8"))] == ["conditions.py"]
