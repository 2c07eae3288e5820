"""There is something to measure the new release by: without, going forward could only end in `inconclusive` (promise 8).

Problem: A fix that goes live under a hold and that nobody can measure can only end in a shrug.

Read: The declared query's value now, or the rule of the alert that the hold began with.

Decides: A query with a value, or an alert whose rule is a plain comparison: pass. Anything else: unknown.

Fix: Declare when the target counts as recovered.

Declare: `recovered_when`: `promql` with `below` or `above`.

Elsewhere: Decided: it asks the metrics system.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt
from service.domain.facts import Absent, Evidence, Key
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, passes, unknown

DECLARE = "Declare recovered_when with a query and its bound for this target."


def needs(case: Case) -> Iterable[Key[Any]]:
    """The declared query's value now; the rule of the alert that the hold began with, where none is declared."""
    watched = _watched(case)
    if case.policy.recovered_when.promql:
        yield keys.series(case.policy.recovered_when.promql)
    elif watched is not None:
        yield watched


def ask(case: Case) -> Finding:
    """A declared query first, then the alert's own rule if it is a plain comparison."""
    when = case.policy.recovered_when
    if when.promql:
        measured = case.facts.read(keys.series(when.promql))
        if isinstance(measured, Absent):
            return doubt("Whether the declared query can be measured now is unknown", measured, clears="Bring the metrics system back.")
        declared = Evidence(source="settings", what=f"recovered_when: {when.promql}", read_at=case.facts.now)
        if not measured.value.values:
            return unknown("The declared query has no value now.", declared, measured.evidence, clears="Look at recovered_when: does the query fit the target?")
        return passes("A query is declared for it, and it has a value now.", declared, measured.evidence)
    watched = _watched(case)
    if watched is None:
        return unknown("No query is declared, and no alert began the hold: there is nothing to measure by.", clears=DECLARE)
    rule = case.facts.read(watched)
    if isinstance(rule, Absent):
        return doubt("Whether the alert's rule can be measured by is unknown", rule, clears=DECLARE)
    if not rule.value.comparison:
        return unknown(f"The rule of {rule.value.name} is no plain comparison, and no query is declared.", rule.evidence, clears=DECLARE)
    return passes(f"It is measured by the rule of {rule.value.name}, the alert that the hold began with.", rule.evidence)


def _watched(case: Case) -> Key[keys.AlertRule] | None:
    """The alert that the hold began with, as (name, labels) in the case's context."""
    name, labels = case.context.get("alert"), case.context.get("labels")
    if not name or not isinstance(labels, tuple | list):
        return None
    return keys.alert_rule(str(name), tuple((str(k), str(v)) for k, v in labels))


RULE = Rule(
    name="recovery_can_be_measured",
    question="Is there something to measure the release by?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.FORWARD}),
)
