from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.rules.automation_has_room import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def test_a_fresh_alert_after_a_recent_deploy_with_no_rollback_before_passes() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.says == (
        "No automatic rollback within 6 h and no wide outage. Backout heard of HighErrorRate 17 s after it began. The deploy is 6 s older than the trouble."
    )


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"automatic_rollbacks": 1}, "Backout already rolled prod:checkout back once within 6 h; the policy allows 1: disarmed."),
        ({"automatic_rollbacks": 2}, "Backout already rolled prod:checkout back 2 times within 6 h; the policy allows 1: disarmed."),
        ({"wide_outage": "9 of 40 targets have incidents within 10 min."}, "Hands off: 9 of 40 targets have incidents within 10 min."),
        ({"disarmed": "it did not recover"}, "Backout is disarmed for prod:checkout: it did not recover."),
    ],
    ids=["once", "twice", "wide outage", "disarmed"],
)
def test_a_limit_on_itself_is_a_no(limits: dict[str, Any], says: str) -> None:
    finding = ask(world().tell(made.LIMITS, made.limits(**limits)))
    assert (finding.answer, finding.says) == (Answer.BLOCK, says)


def test_being_disarmed_is_said_once() -> None:
    finding = ask(world().tell(made.LIMITS, made.limits(automatic_rollbacks=1, disarmed="1 automatic rollback within 6 h")))
    assert finding.says == "Backout is disarmed for prod:checkout: 1 automatic rollback within 6 h."


def test_a_policy_without_automatic_rollbacks_allows_none() -> None:
    finding = ask(world(policy=replace(made.POLICY, rollbacks=0)))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "The policy allows no automatic rollback of prod:checkout.")


def test_a_policy_with_room_for_two_lets_a_second_one_pass() -> None:
    assert ask(world(policy=replace(made.POLICY, rollbacks=2)).tell(made.LIMITS, made.limits(automatic_rollbacks=1))).answer is Answer.PASS


def test_rollbacks_counted_over_too_short_a_time_are_unknown() -> None:
    assert ask(world().tell(made.LIMITS, made.limits(within=timedelta(hours=1)))).answer is Answer.UNKNOWN


@pytest.mark.parametrize(("late", "answer"), [(600, Answer.PASS), (601, Answer.BLOCK)])
def test_an_alert_first_heard_of_long_after_it_began_is_for_a_person(late: int, answer: Answer) -> None:
    trigger = replace(made.TRIGGER, received_at=made.BEGAN + timedelta(seconds=late))
    finding = ask(world(trigger=trigger))
    assert finding.answer is answer
    assert answer is Answer.PASS or "10 min 1 s before Backout first heard of it: too late" in finding.says


@pytest.mark.parametrize(("ahead", "answer"), [(60, Answer.PASS), (61, Answer.UNKNOWN)])
def test_an_alert_from_the_future_means_that_clocks_differ(ahead: int, answer: Answer) -> None:
    assert ask(world(trigger=replace(made.TRIGGER, received_at=made.BEGAN - timedelta(seconds=ahead)))).answer is answer


@pytest.mark.parametrize(("after", "answer"), [(7200, Answer.PASS), (7201, Answer.BLOCK), (-1, Answer.BLOCK), (0, Answer.PASS)])
def test_a_deploy_outside_the_window_is_for_a_person(after: int, answer: Answer) -> None:
    suspect = replace(made.SUSPECT, started_at=made.ONSET - timedelta(seconds=after))
    assert ask(world(suspect=suspect)).answer is answer


def test_every_limit_that_does_not_hold_is_named() -> None:
    trigger = replace(made.TRIGGER, received_at=made.BEGAN + timedelta(hours=1))
    finding = ask(world(trigger=trigger).tell(made.LIMITS, made.limits(automatic_rollbacks=1)))
    assert "disarmed" in finding.says
    assert "too late" in finding.says


@pytest.mark.parametrize(
    "broken",
    [
        world().hide(made.LIMITS),
        world().hide(made.ALERT_NOW),
        world().tell(made.ALERT_NOW, keys.AlertNow(state="firing")).hide(made.ALERT_RULE),
        world(suspect=None),
        world(trigger=None),
    ],
    ids=["limits", "onset", "rule", "no suspect", "no alert"],
)
def test_every_doubt_is_unknown(broken: World) -> None:
    finding = ask(broken)
    assert finding.answer is Answer.UNKNOWN
    assert finding.clears


def test_it_is_not_asked_of_a_person_but_asked_of_automation_even_without_an_incident() -> None:
    assert (RULE.for_automatic, RULE.needs_incident) == (True, False)


EXAMPLES: made.Examples = {
    "a fresh alert soon after a deploy": world(),
    "the second alert within the window": world().tell(made.LIMITS, made.limits(automatic_rollbacks=1)),
    "many targets burn at once": world().tell(made.LIMITS, made.limits(wide_outage="9 of 40 targets have incidents within 10 min")),
    "an alert that nobody heard of for half an hour": world(trigger=replace(made.TRIGGER, received_at=made.BEGAN + timedelta(minutes=30))),
    "when the trouble began cannot be read": world().hide(made.ALERT_NOW),
}
