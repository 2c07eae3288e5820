from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest

from service.domain import keys
from service.domain.rule import Case, Rule, Trigger, nothing
from service.domain.verdict import passes
from tests.unit.service.domain import made
from tests.unit.service.domain.made import world


def trigger(**labels: str) -> Trigger:
    return Trigger(incident_id="inc_1", alert="HighErrorRate", labels=labels, began_at=made.NOW - timedelta(minutes=2), received_at=made.NOW)


def test_the_labels_that_pick_a_series_come_in_one_order_however_the_sender_put_them() -> None:
    one, other = trigger(namespace="shop", app="checkout"), trigger(app="checkout", namespace="shop")
    assert one.series_labels == other.series_labels == (("app", "checkout"), ("namespace", "shop"))


def test_the_alerts_own_name_picks_no_series() -> None:
    assert trigger(alertname="HighErrorRate", app="checkout").series_labels == (("app", "checkout"),)
    assert trigger(alertname="HighErrorRate").series_labels == ()


def test_the_labels_can_be_part_of_a_key() -> None:
    one = keys.alert_now("HighErrorRate", trigger(b="2", a="1").series_labels)
    other = keys.alert_now("HighErrorRate", trigger(a="1", b="2").series_labels)
    assert (one, hash(one)) == (other, hash(other))


def test_a_rule_that_says_no_more_is_a_gate_that_needs_no_facts_and_is_always_asked() -> None:
    rule = Rule(name="sky_is_up", question="Is the sky up?", ask=lambda _: passes("It is up."))
    assert (rule.gate, rule.needs_incident, rule.for_automatic) == (True, False, False)
    assert tuple(rule.needs(world().case())) == tuple(nothing(world().case())) == ()


def test_a_case_that_nobody_explained_has_no_trigger_and_no_reason() -> None:
    case = world().case()
    bare = Case(target=case.target, policy=case.policy, suspect=None, goal=None, way=case.way, facts=case.facts)
    assert (bare.trigger, bare.why_none, dict(bare.context)) == (None, "", {})
    assert bare.context is not Case(target=case.target, policy=case.policy, suspect=None, goal=None, way=case.way, facts=case.facts).context


def test_nobody_changes_a_case_or_a_rule_while_it_is_judged() -> None:
    case, rule = world().case(), Rule(name="sky_is_up", question="Is the sky up?", ask=lambda _: passes("It is up."))
    with pytest.raises(FrozenInstanceError):
        case.goal = None  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        rule.gate = False  # type: ignore[misc]
    assert replace(case, goal=None).suspect == case.suspect
