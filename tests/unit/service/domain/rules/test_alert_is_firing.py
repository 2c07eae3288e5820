import pytest

from service.domain import keys
from service.domain.rules.alert_is_firing import RULE
from service.domain.verdict import Answer
from tests.unit.service.domain import made
from tests.unit.service.domain.made import world


def test_a_firing_alert_passes_and_says_since_when() -> None:
    finding = RULE.ask(world().case())
    assert finding.answer is Answer.PASS
    assert finding.says == "HighErrorRate fires by our own query, since 14:02:13."
    assert finding.evidence[0].what == str(made.ALERT_NOW)


def test_a_firing_alert_without_a_start_still_passes() -> None:
    finding = RULE.ask(world().tell(made.ALERT_NOW, keys.AlertNow(state="firing")).case())
    assert (finding.answer, finding.says) == (Answer.PASS, "HighErrorRate fires by our own query.")


@pytest.mark.parametrize("state", ["pending", "inactive"])
def test_an_alert_that_no_longer_fires_is_a_no(state: str) -> None:
    finding = RULE.ask(world().tell(made.ALERT_NOW, keys.AlertNow(state=state)).case())
    assert (finding.answer, finding.says) == (Answer.BLOCK, f"HighErrorRate no longer fires: it is {state} by our own query.")


@pytest.mark.parametrize("state", ["", "Firing", "suppressed"])
def test_a_state_that_is_not_understood_is_unknown(state: str) -> None:
    assert RULE.ask(world().tell(made.ALERT_NOW, keys.AlertNow(state=state)).case()).answer is Answer.UNKNOWN


def test_a_metrics_system_that_does_not_answer_is_unknown_with_its_reason_and_way_out() -> None:
    finding = RULE.ask(world().hide(made.ALERT_NOW).case())
    assert (finding.answer, finding.says, finding.clears) == (
        Answer.UNKNOWN,
        "Whether HighErrorRate still fires is unknown: the connection was refused.",
        "Try again.",
    )


def test_the_webhook_of_an_alert_is_never_enough() -> None:
    assert RULE.ask(world().forget(made.ALERT_NOW).case()).answer is Answer.UNKNOWN


def test_without_an_alert_nothing_is_seen_firing() -> None:
    assert RULE.ask(world(trigger=None).case()).answer is Answer.UNKNOWN


def test_it_guards_automation_about_incidents_only() -> None:
    assert (RULE.for_automatic, RULE.needs_incident, RULE.gate) == (True, True, True)


EXAMPLES: made.Examples = {
    "it fires": world(),
    "it went quiet meanwhile": world().tell(made.ALERT_NOW, keys.AlertNow(state="inactive")),
    "the metrics system is away": world().hide(made.ALERT_NOW),
}
