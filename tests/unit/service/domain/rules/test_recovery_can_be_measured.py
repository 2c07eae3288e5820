from dataclasses import replace
from datetime import timedelta

from service.domain import keys
from service.domain.policy import RecoveredWhen
from service.domain.rules.recovery_can_be_measured import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, forward_world


def ask(world: World) -> Finding:
    return RULE.ask(world.gathered_case(RULE))


def test_the_rule_of_the_alert_that_began_the_hold_is_enough() -> None:
    assert ask(forward_world()).says == "It is measured by the rule of HighErrorRate, the alert that the hold began with."


UP = keys.series("up")
DECLARED = replace(made.POLICY, recovered_when=RecoveredWhen(promql="up", above=1.0))


def test_a_declared_query_needs_no_alert() -> None:
    one = keys.Series(values={(): 1.0}, at=made.NOW)
    finding = ask(forward_world(policy=DECLARED, context={}).hide(made.ALERT_RULE).tell(UP, one))
    assert (finding.answer, finding.evidence[0].what) == (Answer.PASS, "recovered_when: up")


def test_promise_8_a_declared_query_that_cannot_be_measured_now_is_no_measure() -> None:
    assert ask(forward_world(policy=DECLARED).hide(UP)).answer is Answer.UNKNOWN
    none = keys.Series(values={}, at=made.NOW)
    assert ask(forward_world(policy=DECLARED).tell(UP, none)).says == "The declared query has no value now."


def test_promise_8_without_either_it_could_never_be_proven() -> None:
    assert ask(forward_world(context={})).says == "No query is declared, and no alert began the hold: there is nothing to measure by."
    assert ask(forward_world(context={"alert": "HighErrorRate"})).answer is Answer.UNKNOWN


def test_a_rule_that_is_no_plain_comparison_is_no_measure() -> None:
    rule = keys.AlertRule(name="HighErrorRate", query="absent(up)", hold=made.FOR, keep_firing=timedelta(0))
    assert ask(forward_world().tell(made.ALERT_RULE, rule)).answer is Answer.UNKNOWN


EXAMPLES: made.Examples = {
    "by the alert that the hold began with": forward_world(),
    "nothing declared, and no alert began it": forward_world(context={}),
    "the declared query has no value": forward_world(policy=DECLARED).tell(UP, keys.Series(values={}, at=made.NOW)),
}
