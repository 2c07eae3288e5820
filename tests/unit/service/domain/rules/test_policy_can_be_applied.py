from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.conditions import Condition, Sort
from service.domain.evaluation import evaluate
from service.domain.model import Mode
from service.domain.policy import Do, Settled, TargetPolicy, Tightening, Waiver, decide
from service.domain.rules import RULES
from service.domain.rules.policy_can_be_applied import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

FAULTY = Tightening(when=Condition('alert.labels["tier"] == "gold"', about_rule=False), reason="gold is for people", at_most=Mode.APPROVE)


def of(*conditions: Tightening, **changes: object) -> World:
    return world(policy=replace(made.POLICY, conditions=conditions, **changes))  # type: ignore[arg-type]  # fields by name


def found(where: World, *, automatic: bool = True) -> Finding:
    return next(one for one in evaluate(where.case(), RULES, automatic=automatic).findings if one.rule == RULE.name)


def test_it_is_asked_only_where_the_policy_has_conditions() -> None:
    waiver = Waiver(rule="caches_stay_coherent", reason="known", expires=made.NOW + timedelta(days=1))
    asked = {
        name: RULE.name in {one.rule for one in evaluate(where.case(), RULES, automatic=True).findings}
        for name, where in {
            "nothing": of(),
            "a plain waiver": of(waivers=(waiver,)),
            "a condition": of(made.LATE),
            "a waiver with one": of(waivers=(replace(waiver, when=Condition("automatic", Sort.LETS_PASS)),)),
        }.items()
    }
    assert asked == {"nothing": False, "a plain waiver": False, "a condition": True, "a waiver with one": True}


def test_it_says_which_conditions_hold() -> None:
    always = replace(made.LATE, when=Condition("automatic", about_rule=False))
    finding = found(of(made.LATE, always))
    assert (finding.answer, finding.says) == (Answer.PASS, "Of 2 conditions of the policy 1 holds now: at most mode approve (nobody watches at night).")
    assert found(of(made.LATE)).says == "No condition of the policy holds now (1 asked)."


def test_promise_1_a_condition_that_cannot_be_evaluated_stops_automation_and_says_so() -> None:
    verdict = evaluate(of(FAULTY).case(), RULES, automatic=True)
    finding = verdict.of(Answer.UNKNOWN)[0]
    assert (finding.rule, finding.says) == (RULE.name, 'The policy cannot be applied: conditions[0].when asks for "tier", which is not there.')
    assert decide(Mode.AUTO, verdict, made.POLICY).do is Do.WAIT
    assert decide(Mode.AUTO, verdict, made.POLICY).must_name == (RULE.name,)


@pytest.mark.parametrize("text", ["not read", "goal.age", "1 / 0 == 1", "[1, 2].map(x, x) == [1]", "target.name.matches('x')"])
def test_promise_1_whatever_is_wrong_with_a_condition_no_policy_lets_it_pass(text: str) -> None:
    policy = replace(
        made.POLICY,
        conditions=(replace(FAULTY, when=Condition(text, about_rule=False)),),
        lets_pass=(RULE.name,),
        waivers=(Waiver(rule=RULE.name, reason="never mind", expires=made.NOW + timedelta(days=1)),),
    )
    verdict = evaluate(world(policy=policy).case(), RULES, automatic=True)
    assert (verdict.worst, decide(Mode.AUTO, verdict, policy).do) == (Answer.UNKNOWN, Do.WAIT)


def test_a_person_who_checks_is_told_of_it_too_where_it_concerns_him() -> None:
    strict = Tightening(when=FAULTY.when, reason="gold is for people", rule="caches_stay_coherent", answer=Answer.BLOCK)
    assert found(of(strict), automatic=False).answer is Answer.UNKNOWN
    assert found(of(FAULTY), automatic=False).answer is Answer.PASS


def test_conditions_that_nobody_evaluated_are_no_yes() -> None:
    assert RULE.ask(replace(world(policy=TargetPolicy()).case(), settled=None)).answer is Answer.UNKNOWN


def test_several_faults_are_counted() -> None:
    assert RULE.ask(of(FAULTY, FAULTY).case()).answer is Answer.PASS
    settled = Settled(faults=("conditions[0].when failed: a", "conditions[1].when failed: b"), asked=2)
    assert RULE.ask(world(settled=settled).case()).says == "The policy cannot be applied: conditions[0].when failed: a (and 1 more)."


EXAMPLES: made.Examples = {
    "it is day, and the policy has a condition for the night": world(policy=made.CONDITIONAL),
    "it is Friday evening": world(settled=Settled(asked=2, held=("at most mode approve (nobody watches on Friday evenings)",))),
    "the alert lacks a label that a condition asks for": world(settled=Settled(asked=2, faults=('conditions[0].when asks for "tier", which is not there',))),
}
