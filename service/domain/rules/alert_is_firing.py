"""The alert fires now, by our own query: a webhook alone never lets Backout act without a person (promise 11).

Problem: Anybody who can reach the webhook can say that an alert fires, and a webhook that is late tells of trouble that is over.

Read: The alert with its labels, asked of the metrics system that evaluates it.

Decides: Firing: pass. Pending or inactive: no. No answer, or a state that is not known: unknown.

Fix: Make the metrics system reachable that evaluates the alert; where the alert is quiet there is nothing to do.

Declare: Nothing: it is never taken on trust.

Elsewhere: Decided: it asks the metrics system, not the cluster.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, moment
from service.domain.facts import Absent, Key
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown


def needs(case: Case) -> Iterable[Key[Any]]:
    """The alert's state in the metrics system."""
    if case.trigger:
        yield keys.alert_now(case.trigger.alert, case.trigger.series_labels)


def ask(case: Case) -> Finding:
    """Firing passes; quiet or pending is a no; anything else is not known."""
    if case.trigger is None:
        return unknown("No alert started this, so none can be seen firing.", clears="A person decides.")
    alert = case.trigger.alert
    now = case.facts.read(keys.alert_now(alert, case.trigger.series_labels))
    if isinstance(now, Absent):
        return doubt(f"Whether {alert} still fires is unknown", now, clears="Make the metrics system that evaluates the alert reachable.")
    match now.value.state:
        case "firing":
            since = f", since {moment(now.value.active_at, case.facts.now)}" if now.value.active_at else ""
            return passes(f"{alert} fires by our own query{since}.", now.evidence)
        case "pending" | "inactive" as quiet:
            return blocks(f"{alert} no longer fires: it is {quiet} by our own query.", now.evidence, clears="Nothing to do while it is quiet.")
        case other:
            return unknown(f"{alert} is in a state that Backout does not know: {other!r}.", now.evidence, clears="Look at the alert in the metrics system.")


RULE = Rule(
    name="alert_is_firing",
    question="Is the alert firing by our own query?",
    ask=ask,
    needs=needs,
    needs_incident=True,
    for_automatic=True,
    directions=frozenset({Direction.BACK}),
)
