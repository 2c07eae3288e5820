"""Recorded cases: read strictly, and put through the very code that decides in earnest."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.conditions import Condition, Sort
from service.domain.documents import DocumentError
from service.domain.model import Mode
from service.domain.policy import Policies, TargetPolicy, Tightening, Waiver
from service.domain.rehearsal import RecordedCase, Rehearsed, read_cases, rehearse
from service.domain.rules import RULES
from service.domain.verdict import Answer
from tests.unit.service.domain import made

CASE: Mapping[str, Any] = {"target": "prod:checkout", "now": "2026-05-06T10:00:00Z", "expect": {"does": "act"}}
LATE = Tightening(when=Condition("now.getHours() >= 18", about_rule=False), reason="nobody watches", at_most=Mode.APPROVE)
YOUNG = Waiver(
    rule="schema_is_compatible", reason="reviewed", expires=made.NOW + timedelta(days=9), when=Condition('goal.age < duration("48h")', Sort.LETS_PASS)
)
AUTO = TargetPolicy(match="prod:*", mode=Mode.AUTO, conditions=(LATE,), waivers=(YOUNG,))


def read(*cases: object, files: Mapping[str, str] | None = None) -> list[RecordedCase]:
    return read_cases(json.dumps(cases), RULES, lambda name: (files or {})[name])


def came(policy: TargetPolicy = AUTO, **changes: Any) -> Rehearsed:
    (case,) = read({**CASE, **changes})
    return rehearse(case, Policies((policy,)))


def test_where_every_rule_passes_the_policy_alone_decides() -> None:
    done = came()
    assert (done.got, done.differs, done.match) == ({"verdict": "pass", "does": "act", "mode": "auto", "names": [], "waived": []}, {}, "prod:*")


def test_what_came_otherwise_than_expected_is_named() -> None:
    assert came(expect={"does": "wait", "mode": "auto", "verdict": "warn"}).differs == {"does": "wait", "verdict": "warn"}


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"now": "2026-05-06T19:00:00Z"}, {"mode": "approve", "does": "wait"}),
        ({"now": "2026-05-06T19:00:00Z", "automatic": False}, {"mode": "approve", "does": "wait"}),
        ({"answers": {"caches_stay_coherent": "unknown"}}, {"verdict": "unknown", "does": "wait", "names": ["caches_stay_coherent"]}),
        ({"answers": {"caches_stay_coherent": "block"}}, {"verdict": "block", "does": "refuse"}),
        (
            {"answers": {"schema_is_compatible": "unknown"}, "fields": {"goal.age": "26h"}},
            {"verdict": "pass", "does": "act", "waived": ["schema_is_compatible"]},
        ),
        ({"answers": {"schema_is_compatible": "unknown"}, "fields": {"goal.age": "3d"}}, {"verdict": "unknown", "waived": []}),
        ({"answers": {"schema_is_compatible": "block"}, "fields": {"goal.age": "26h"}}, {"verdict": "block", "waived": []}),
        ({"target": "stage:checkout"}, {"mode": "suggest", "does": "notify"}),
    ],
)
def test_a_case_comes_out_as_it_would_in_earnest(changes: Mapping[str, Any], got: Mapping[str, object]) -> None:
    done = came(**changes)
    assert {name: done.got[name] for name in got} == got


def test_promise_1_a_case_without_what_a_condition_asks_for_is_unknown_and_says_what_is_missing() -> None:
    done = came(answers={"schema_is_compatible": "warn"})
    assert (done.got["verdict"], done.got["does"]) == ("unknown", "wait")
    assert done.faults == ("waivers[0].when needs goal.age, which is not known here",)
    assert done.got["names"] == ["policy_can_be_applied", "schema_is_compatible"]


def test_only_what_is_asked_of_a_person_is_answered_in_his_case() -> None:
    assert {"alert_is_firing", "automation_has_room"} & read({**CASE, "automatic": False})[0].answers.keys() == set()
    assert read(CASE)[0].answers.keys() >= {"alert_is_firing", "automation_has_room"}
    forward = read({**CASE, "fields": {"direction": "forward", "way": "forward"}})[0].answers
    assert "hold_is_as_we_left_it" in forward
    assert "hold_is_as_we_left_it" not in read(CASE)[0].answers


RECORDED = {
    "target": "prod:checkout",
    "as_of": "2026-05-06T10:00:00Z",
    "way": "rollback",
    "from": {"version": "v2.5.0", "started_at": "2026-05-06T09:50:00Z"},
    "to": {"version": "v2.4.6", "started_at": "2026-05-05T09:00:00Z"},
    "findings": [
        {"rule": "schema_is_compatible", "answer": "warn", "says": "Release 2 added a column."},
        {"rule": "caches_stay_coherent", "answer": "pass", "says": "Declared."},
        {"rule": "policy_can_be_applied", "answer": "pass", "says": "None holds."},
    ],
}


def test_what_a_check_said_is_a_case() -> None:
    (case,) = read({"recorded": "check.json", "expect": {"verdict": "pass"}}, files={"check.json": json.dumps(RECORDED)})
    assert (str(case.target), case.now.isoformat(), case.automatic) == ("prod:checkout", "2026-05-06T10:00:00+00:00", False)
    assert case.answers == {"schema_is_compatible": Answer.WARN, "caches_stay_coherent": Answer.PASS}
    assert (case.fields["suspect.age"], case.fields["goal.age"]) == (timedelta(minutes=10), timedelta(hours=25))
    assert (case.fields["suspect.version"], case.fields["goal.known"]) == ("v2.5.0", True)
    assert rehearse(case, Policies((AUTO,))).got["waived"] == ["schema_is_compatible"]


def test_what_a_case_says_itself_counts_before_what_was_recorded() -> None:
    changed = {"recorded": "c", "now": "2026-05-09T10:00:00Z", "answers": {"caches_stay_coherent": "block"}, "automatic": True, "expect": {"does": "refuse"}}
    (case,) = read(changed, files={"c": json.dumps(RECORDED)})
    assert (case.automatic, case.answers["caches_stay_coherent"], case.fields["goal.age"]) == (True, Answer.BLOCK, timedelta(days=4, hours=1))


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("x", "has a case that is no mapping"),
        ({**CASE, "answer": {}}, "says answer, which a case does not know"),
        ({"expect": {"does": "act"}}, "has no `target` and no `now`, or no `recorded` that has them"),
        ({**CASE, "target": "checkout"}, "has a target or way that is none"),
        ({**CASE, "now": "yesterday"}, "has a time yesterday that is none such as 2026-05-08T17:30:00Z"),
        ({**CASE, "automatic": "yes"}, "has an `automatic` that is neither true nor false"),
        ({**CASE, "answers": {"schema": "warn"}}, "has an answer of schema, and there is no such rule"),
        ({**CASE, "answers": {"policy_can_be_applied": "pass"}}, "has an answer of policy_can_be_applied, and there is no such rule"),
        ({**CASE, "answers": {"schema_is_compatible": "ok"}}, "has an answer ok of schema_is_compatible, which is none of pass, warn, unknown, block"),
        ({**CASE, "answers": ["x"]}, "has `answers` that are no mapping of rules to answers"),
        ({**CASE, "fields": ["x"]}, "has `fields` that are no mapping"),
        ({**CASE, "fields": {"goal.size": "1"}}, "has a field goal.size, which there is not"),
        ({**CASE, "fields": {"now": "2026"}}, "has a field now, which the case itself gives"),
        ({**CASE, "fields": {"goal.age": "old"}}, "has a field goal.age that is no duration such as 26h"),
        ({**CASE, "fields": {"state.objects": "many"}}, "has a field state.objects that is no number"),
        ({**CASE, "fields": {"alert.labels": {"a": ["b"]}}}, "has a field alert.labels that is no texts by name"),
        ({**CASE, "fields": {"way": "sideways"}}, "has a target or way that is none"),
        ({**CASE, "expect": {}}, "expects nothing"),
        ({**CASE, "expect": {"verdikt": "pass"}}, "expects verdikt, which is none of verdict, does, mode, names, waived"),
        ({**CASE, "expect": {"names": "all"}}, "expects names to be something else than a list of rules"),
        ({**CASE, "expect": {"verdict": ["pass"]}}, "expects verdict to be one word"),
        ({"recorded": ["c"], "expect": {"does": "act"}}, "has a `recorded` that names no file"),
        ({"recorded": "list", "expect": {"does": "act"}}, "names list, which is no document of `backout check TARGET --json`"),
    ],
)
def test_a_case_that_is_not_as_it_should_be_is_refused_with_its_number(case: object, says: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(CASE, case, files={"list": "[]"})
    assert says in str(caught.value)
    assert ", in case 2" in str(caught.value)


@pytest.mark.parametrize(("text", "says"), [("{}", "is no list of cases"), ("[]", "has no case"), ("[", "is no YAML"), ("a: &b c\nd: *b", "aliases")])
def test_what_is_no_list_of_cases_is_refused(text: str, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        read_cases(text, RULES, lambda name: name)


def test_the_rehearsed_decision_is_the_one_of_the_real_table() -> None:
    done = came(replace(AUTO, lets_pass=("caches_stay_coherent",)), answers={"caches_stay_coherent": "warn"})
    assert (done.got["does"], done.says) == ("act", "mode auto: the policy lets the warning of caches_stay_coherent pass")
