"""Nothing that other targets use is touched: no object in two trees, and the operator declared what is shared.

Objects are compared over all targets that Backout knows; services, databases and queues behind them are only as known as they are declared.

Problem: A ConfigMap, database or queue that another team uses too goes back with yours, and theirs breaks.

Read: Which objects stand in more than one target's tree, the delivery system's own warnings, and your declaration.

Decides: Nothing is shared, seen and declared: pass. Something is: warn, with the consumers to tell. Nobody declared it: unknown.

Fix: See with the owners of the other consumers that going back suits them; give each object to one application only.

Declare: `declares.shared_services`: names, or `[]` for none.

Elsewhere: Objects are compared wherever Backout lists targets; services behind them are declared.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed, together
from service.domain.facts import Absent, Evidence, Key
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, passes, unknown, warns

WARNINGS = ("SharedResource", "is part of applications")
"""How the delivery system's own warning of an object in two applications reads."""


def needs(case: Case) -> Iterable[Key[Any]]:
    """The index of objects over all targets, and the target's own warnings."""
    yield keys.sharing(case.target)
    yield keys.state(case.target)


def ask(case: Case) -> Finding:
    """Seen, warned of, declared: the worst of the three."""
    return together((_seen(case), _warned(case), _declared(case)))


def _seen(case: Case) -> Finding:
    sharing = case.facts.read(keys.sharing(case.target))
    if isinstance(sharing, Absent):
        return doubt("Whether other targets have objects of this one is unknown", sharing, clears="Let Backout list all applications.")
    if sharing.value.compared < 1:
        return unknown("No target was compared, so shared objects would not show.", sharing.evidence, clears="Let Backout list all applications.")
    shared = {one: others for one, others in sharing.value.shared.items() if others}
    if shared:
        named = listed(f"{one} (also {listed(others, limit=3)})" for one, others in sorted(shared.items(), key=lambda item: str(item[0])))
        return warns(f"Other targets have objects of {case.target}: {named}.", sharing.evidence, clears="See with their owners that going back suits them too.")
    return passes(f"No object is shared ({sharing.value.compared} targets compared).", sharing.evidence)


def _warned(case: Case) -> Finding:
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether the delivery system warns of shared objects is unknown", state, clears="Make the delivery system reachable.")
    warned = [text for text in state.value.warnings if any(sign in text for sign in WARNINGS)]
    if warned:
        return warns(f"The delivery system warns: {listed(warned, limit=2)}.", state.evidence, clears="Give the object to one application only.")
    return passes("", state.evidence)


def _declared(case: Case) -> Finding:
    declares = case.policy.declares
    shared = declares.shared_services
    if shared is None:
        return unknown(
            "Nobody declared whether services, databases or queues are shared with other targets.",
            clears="Declare shared_services for this target; an empty list says that nothing is shared.",
        )
    evidence = Evidence(source=declares.says, what=f"shared_services: {listed(shared) or 'none'}", read_at=case.facts.now)
    if shared:
        return warns(
            f"Declared as shared: {listed(shared)}; their other consumers were not asked.",
            evidence,
            clears="See with the owners of the other consumers that going back suits them.",
            adds=tuple(f"Tell the other consumers of {name} before going back." for name in shared),
        )
    return passes("Declared: nothing is shared.", evidence)


RULE = Rule(name="shared_services_are_untouched", question="Is everything that others use left alone?", ask=ask, needs=needs)
