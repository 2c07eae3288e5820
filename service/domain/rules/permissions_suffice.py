"""Our own credential holds every permission that the way needs, known before the first write.

Problem: A credential that may read but not write is found out in the middle of an incident, after the first half of the act.

Read: The delivery system's own answer to what our account may do on this target.

Decides: Everything that the way needs is allowed: pass. Something is refused: no, with the line to add. Something was not answered: unknown.

Fix: Add the line that it names to the role of Backout's account; `backout init` writes the whole role, `backout doctor` checks it on a quiet day.

Declare: Nothing.

Elsewhere: Decided where the delivery system can be asked. Of Spinnaker it is worked out from roles, accounts and the application's permissions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from service.domain import keys
from service.domain.derived import Derived, doubt, listed
from service.domain.facts import Absent, Key
from service.domain.model import Way
from service.domain.rollouts import course_keys, courses, promotes
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, blocks, passes, unknown

NEEDED = {
    Way.ROLLBACK: ("get", "sync"),
    Way.FORWARD: ("get", "sync", "update"),
    Way.ABORT: ("get", "sync", "abort"),
    Way.UNDO: ("get", "sync"),
    Way.OWN_PIPELINE: ("get", "sync"),
    Way.ENABLE_PREVIOUS: ("get", "sync"),
    Way.PIN: ("get", "update"),
    Way.GIT_REVERT: ("get",),
    Way.HOTFIX: ("get",),
    Way.NONE: ("get",),
}
"""Permission words per way: `get` is to read the target, `sync` to have the delivery system act on it, whatever it calls that. Stopping auto-sync asks for
`update` as well, promoting a Rollout in full for `promote`. Where the release is live already, only what a hold gives back, or its mark, asks for `update`."""

ENFORCED = "rollback"
"""A permission of its own only on servers that enforce it: needed where the delivery system was asked for it."""


def needs(case: Case) -> Iterable[Key[Any]]:
    """What we may do, whether auto-sync has to be stopped, and whether a Rollout is promoted in full."""
    yield keys.permissions(case.target)
    yield from course_keys(case)


def ask(case: Case) -> Finding:
    """Every permission allowed passes; each no comes with the line that an operator would add."""
    permissions, state = case.facts.read(keys.permissions(case.target)), case.facts.read(keys.state(case.target))
    if isinstance(permissions, Absent):
        return doubt("What our credential may do is unknown", permissions, clears="Let the credential ask for its own permissions.")
    if isinstance(state, Absent):
        return doubt("Which permissions are needed is unknown", state, permissions.evidence, clears="Make the delivery system reachable.")
    proof = (permissions.evidence, state.evidence)
    if case.way not in NEEDED:
        return unknown(f"Which permissions the way {case.way} needs is unknown.", *proof, clears="Choose another way.")
    needed = list(NEEDED[case.way]) if case.deploys else ["get", *(["update"] if case.context.get("remembered") or state.value.marker else [])]
    if case.way in {Way.ROLLBACK, Way.ABORT}:
        steps = courses(case)
        needed += ["update"] if state.value.auto_sync else []
        needed += ["promote"] if isinstance(steps, Derived) and any(promotes(case, course) for course in steps.value) else []
        needed += [ENFORCED] if ENFORCED in permissions.value.allowed else []
    allowed, spoken = permissions.value.allowed, permissions.value.spoken
    refused = [name for name in needed if allowed.get(name) is False]
    if refused:
        fixes = "; ".join(dict.fromkeys(permissions.value.fix[name] for name in refused if permissions.value.fix.get(name)))
        return blocks(
            f"Backout's account may not {_said(refused, spoken)} {case.target}.",
            *proof,
            clears=f"Add: {fixes}" if fixes else f"Grant {listed(refused)} to Backout's account.",
        )
    silent = [name for name in needed if name not in allowed]
    if silent:
        return unknown(f"Whether Backout's account may {_said(silent, spoken)} {case.target} is unknown.", *proof, clears="Run backout doctor.")
    return passes(f"Backout's account may {_said(needed, spoken)} {case.target}.", *proof)


def _said(names: Iterable[str], spoken: Mapping[str, str]) -> str:
    """`read, act on`: the words of the delivery system."""
    return listed(spoken.get(name, name) for name in names)


RULE = Rule(name="permissions_suffice", question="Do we hold every permission that the plan needs?", ask=ask, needs=needs)
