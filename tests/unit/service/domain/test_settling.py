"""What a policy makes of the rules' answers. The property that matters: conditions only ever make things stricter."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from service.domain.conditions import FIELDS, Condition, Sort
from service.domain.model import Mode, Way
from service.domain.policy import Do, Settled, TargetPolicy, Tightening, Waiver, decide
from service.domain.settling import answers, given, settle
from service.domain.verdict import Answer, Finding, Verdict, blocks, passes, unknown, warns
from tests.unit.service.domain import made
from tests.unit.service.domain.made import world

MADE = {
    Answer.PASS: passes("Yes."),
    Answer.WARN: warns("Perhaps.", clears="Look."),
    Answer.UNKNOWN: unknown("Who knows.", clears="Ask."),
    Answer.BLOCK: blocks("No.", clears="Wait."),
}
SEEN = {name: one.sample for name, one in FIELDS.items()}


def finding(answer: Answer, rule: str = "a") -> Finding:
    return replace(MADE[answer], rule=rule, gate=True)


def settled(policy: TargetPolicy, *findings: Finding, automatic: bool = True, seen: Mapping[str, Any] = SEEN) -> Settled:
    return settle(policy, findings, {**seen, **answers(findings)}, made.NOW, automatic=automatic)


def waiver(when: str | None, rule: str = "a") -> Waiver:
    condition = None if when is None else Condition(when, Sort.LETS_PASS)
    return Waiver(rule=rule, reason="known", expires=made.NOW + timedelta(days=1), when=condition)


def stricter(when: str, answer: Answer, rule: str = "a", reason: str = "we were bitten") -> Tightening:
    return Tightening(when=Condition(when), reason=reason, rule=rule, answer=answer)


def lower(when: str, mode: Mode) -> Tightening:
    return Tightening(when=Condition(when, about_rule=False), reason="nobody watches", at_most=mode)


def verdict(of: Settled) -> Verdict:
    return Verdict(
        way=Way.ROLLBACK, findings=of.findings, recommended=Way.ROLLBACK, because="", as_of=made.NOW, at_most=of.at_most, at_most_says=of.at_most_says
    )


def test_a_case_gives_every_field_that_there_is() -> None:
    case = world().case()
    assert given(case, (), automatic=True).keys() | {"finding.answer"} == FIELDS.keys()


def test_the_fields_of_a_case_are_what_they_say() -> None:
    seen = given(world().case(), (finding(Answer.WARN, "schema_is_compatible"),), automatic=False)
    wanted = {
        "target.id": "prod:checkout",
        "target.instance": "prod",
        "target.name": "checkout",
        "way": "rollback",
        "direction": "back",
        "automatic": False,
        "now": made.NOW,
        "suspect.known": True,
        "suspect.age": made.NOW - made.STARTED,
        "suspect.version": "v2.5.0",
        "suspect.by": made.SUSPECT.by.name,
        "goal.known": True,
        "goal.age": made.NOW - made.GOAL.started_at,
        "goal.version": "v2.4.6",
        "state.known": True,
        "state.project": "shop",
        "state.health": "Degraded",
        "state.auto_sync": True,
        "state.owner": "nobody",
        "state.objects": 0,
        "alert.known": True,
        "alert.name": "HighErrorRate",
        "alert.age": made.NOW - made.BEGAN,
        "alert.labels": dict(made.TRIGGER.labels),
        "worst": "warn",
        "answers.schema_is_compatible": "warn",
    }
    assert seen == wanted


def test_what_nobody_knows_is_not_given_so_that_a_condition_on_it_fails_and_is_not_simply_false() -> None:
    case = world(suspect=None, goal=None, trigger=None).hide(made.STATE).case()
    seen = given(case, (), automatic=True)
    assert {name: seen[name] for name in seen if name.endswith(".known")} == dict.fromkeys(("suspect.known", "goal.known", "alert.known", "state.known"), False)
    assert not {name for name in seen if name.startswith(("suspect.", "goal.", "alert.", "state."))} - {n for n in seen if n.endswith(".known")}
    found = settle(TargetPolicy(conditions=(lower("goal.age > duration('1h')", Mode.SUGGEST),)), (), seen, made.NOW, automatic=True)
    assert (found.at_most, found.faults) == (None, ("conditions[0].when needs goal.age, which is not known here",))


@pytest.mark.parametrize("answer", [Answer.WARN, Answer.UNKNOWN])
@pytest.mark.parametrize(("when", "counts"), [(None, True), ("state.auto_sync", True), ("!state.auto_sync", False)])
def test_a_waiver_counts_only_while_its_condition_holds(answer: Answer, when: str | None, counts: bool) -> None:
    found = settled(TargetPolicy(waivers=(waiver(when),)), finding(answer))
    assert bool(found.findings[0].waived) is counts
    assert found.findings[0].answer is answer


def test_promise_1_a_waiver_whose_condition_fails_does_not_count_and_the_fault_is_told() -> None:
    found = settled(TargetPolicy(waivers=(waiver("1 / 0 == 1"),)), finding(Answer.UNKNOWN))
    assert (found.findings[0].waived, found.faults) == ("", ("waivers[0].when failed: divide by zero",))


def test_a_condition_on_a_waiver_that_would_not_count_anyway_is_not_asked() -> None:
    past = replace(waiver("1 / 0 == 1"), expires=made.NOW)
    assert settled(TargetPolicy(waivers=(waiver("1 / 0 == 1"),)), finding(Answer.PASS)).asked == 0
    assert settled(TargetPolicy(waivers=(past,)), finding(Answer.WARN)).asked == 0
    assert settled(TargetPolicy(waivers=(waiver("1 / 0 == 1", rule="b"),)), finding(Answer.WARN)).asked == 0


def test_of_two_waivers_the_one_whose_condition_holds_counts() -> None:
    found = settled(TargetPolicy(waivers=(waiver("!automatic"), replace(waiver("automatic"), reason="by itself"))), finding(Answer.WARN))
    assert found.findings[0].waived.endswith("by itself")


@pytest.mark.parametrize("to", [Answer.WARN, Answer.UNKNOWN, Answer.BLOCK])
@pytest.mark.parametrize("was", list(Answer))
def test_a_condition_makes_an_answer_worse_and_never_better(was: Answer, to: Answer) -> None:
    after = settled(TargetPolicy(conditions=(stricter("true", to),)), finding(was)).findings[0]
    assert after.answer is max(was, to)
    if to > was:
        assert after.says == f"{MADE[was].says} The policy counts this as {to.word}: we were bitten."
        assert after.clears.endswith("The condition no longer holds: true")
        assert after.overridable is (to is Answer.BLOCK)
    else:
        assert after == finding(was)


def test_what_a_condition_made_worse_no_waiver_covers() -> None:
    policy = TargetPolicy(waivers=(waiver(None),), conditions=(stricter("finding.answer == 'warn'", Answer.UNKNOWN),))
    after = settled(policy, finding(Answer.WARN)).findings[0]
    assert (after.answer, after.waived) == (Answer.UNKNOWN, "")


def test_the_worst_of_several_conditions_counts_whatever_their_order() -> None:
    both = (stricter("true", Answer.WARN), stricter("true", Answer.BLOCK, reason="the worse one"))
    for conditions in (both, both[::-1]):
        after = settled(TargetPolicy(conditions=conditions), finding(Answer.PASS)).findings[0]
        assert (after.answer, "the worse one" in after.says) == (Answer.BLOCK, True)


def test_a_condition_about_one_rule_says_nothing_about_another() -> None:
    found = settled(TargetPolicy(conditions=(stricter("true", Answer.BLOCK, rule="b"),)), finding(Answer.PASS))
    assert (found.findings, found.asked) == ((finding(Answer.PASS),), 0)


def test_the_lowest_mode_counts_and_only_for_what_begins_by_itself() -> None:
    policy = TargetPolicy(conditions=(lower("true", Mode.APPROVE), lower("true", Mode.SUGGEST), lower("true", Mode.APPROVE)))
    assert settled(policy, finding(Answer.PASS)).at_most is Mode.SUGGEST
    assert settled(policy, finding(Answer.PASS), automatic=False).at_most is None


def test_a_lowered_mode_decides_and_the_reason_is_said() -> None:
    found = verdict(settled(TargetPolicy(conditions=(lower("true", Mode.APPROVE),)), finding(Answer.PASS)))
    decision = decide(Mode.AUTO, found, TargetPolicy())
    assert (decision.do, decision.says) == (
        Do.WAIT,
        "at most mode approve now: nobody watches; mode approve: every question has a yes; a person decides",
    )
    assert decide(Mode.SUGGEST, found, TargetPolicy()).do is Do.NOTIFY


def test_a_condition_may_ask_what_other_rules_said_also_one_that_was_not_asked() -> None:
    policy = TargetPolicy(conditions=(stricter('answers.b == "unknown" && answers.c == "not_asked"', Answer.BLOCK),))
    found = settled(policy, finding(Answer.WARN), finding(Answer.UNKNOWN, "b"))
    assert found.findings[0].answer is Answer.BLOCK


TEXTS = [
    "true",
    "false",
    "automatic",
    "1 / 0 == 1",
    "no such",
    'worst == "pass"',
    "goal.age > duration('1h')",
    'alert.labels["x"] == "y"',
    "state.objects",
    "(",
]


@drawn(
    was=st.lists(st.sampled_from(list(Answer)), min_size=1, max_size=3),
    whens=st.lists(st.sampled_from(TEXTS), max_size=3),
    waived=st.lists(st.sampled_from(TEXTS), max_size=2),
    to=st.sampled_from([Answer.WARN, Answer.UNKNOWN, Answer.BLOCK]),
    at_most=st.sampled_from([Mode.OBSERVE, Mode.SUGGEST, Mode.APPROVE]),
)
def test_promise_1_no_condition_lets_more_happen_than_the_same_policy_without_it(
    was: list[Answer], whens: list[str], waived: list[str], to: Answer, at_most: Mode
) -> None:
    findings = [finding(answer, f"r{n}") for n, answer in enumerate(was)]
    plain = TargetPolicy(waivers=tuple(waiver(None, "r0") for _ in waived))
    conditional = TargetPolicy(
        waivers=tuple(waiver(one, "r0") for one in waived),
        conditions=(*(stricter(one, to, "r0") for one in whens), *(lower(one, at_most) for one in whens)),
    )
    without, under = (settled(policy, *findings) for policy in (plain, conditional))
    assert verdict(under).worst >= verdict(without).worst
    for mode in Mode:
        before, after = (decide(mode, verdict(one), TargetPolicy()).do for one in (without, under))
        assert after is not Do.ACT or before is Do.ACT
        assert after is not Do.WAIT or before in {Do.ACT, Do.WAIT}
