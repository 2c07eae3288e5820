"""No other region of the same cluster is being taken back right now: one region shows first whether going back helps.

Problem: One bad image is live in three regions. Taken back all at once, a goal release that does not help, or whose machines do not start, is down everywhere.

Read: Backout's own operations on the same cluster (application, account and name) in other regions.

Decides: None is under way there: pass. One acts, until its recovery is measured, or began before this one and may act: warn, which keeps mode `auto` from
acting. The store cannot be read: unknown.

Fix: Wait until the first region has ended, and look whether it recovered; then approve the next.

Declare: Nothing; `lets_pass` names this rule where all regions may go back at once.

Elsewhere: Clusters of machines on Spinnaker. Whether two workloads of Kubernetes are regions of one thing, nothing tells.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed
from service.domain.facts import Absent, Key, Known
from service.domain.model import Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, passes, warns


def needs(case: Case) -> Iterable[Key[Any]]:
    """The state, and the other regions of what is a cluster of machines."""
    yield keys.state(case.target)
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Known) and keys.machines(state.value.objects):
        yield keys.regions_beside(case.target)


def ask(case: Case) -> Finding:
    """Nobody comes first elsewhere."""
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether this is one region of several is unknown", state, clears="Let the delivery system be read.")
    if not keys.machines(state.value.objects):
        return passes("Nothing here is a region of a cluster of machines.", state.evidence)
    beside = case.facts.read(keys.regions_beside(case.target))
    if isinstance(beside, Absent):
        return doubt("Whether another region is being taken back is unknown", beside, state.evidence, clears="Make Backout's store reachable.")
    if not beside.value:
        return passes("No other region of this cluster is being taken back.", state.evidence, beside.evidence)
    first = [one for one in beside.value if one.acts] or beside.value
    where, which = listed(one.target for one in first), listed(one.operation for one in first)
    says = f"{where} goes back first, and whether that helps is not measured yet."
    return warns(says, state.evidence, beside.evidence, clears=f"Wait until {which} has ended and look whether it recovered, or tick it.")


RULE = Rule(
    name="regions_go_one_by_one",
    question="Is no other region of the same cluster being taken back right now?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
    ways=frozenset({Way.ENABLE_PREVIOUS, Way.OWN_PIPELINE}),  # no other way takes machines back, and who has none need not read of regions
    momentary=True,
)
