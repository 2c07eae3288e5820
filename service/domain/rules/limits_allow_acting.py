"""Backout's own limits for everybody, people too: no rollback of its own rollback, no way back to a held release, one operation at a time (promise 10).

Limits that guard acting without a person stand in `automation_has_room`.

Problem: Two operations on one target, a rollback of a rollback, or a way back to a release that is held away for good reason.

Read: Backout's own holds, acts and operations around the target.

Decides: None of these: pass. One of them: no, for people too. The store cannot be read: unknown.

Fix: Wait for the other operation or cancel it, or end the hold first (`backout holds end`).

Declare: Nothing.

Elsewhere: Decided everywhere: it reads Backout's own store.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed, together
from service.domain.facts import Absent, Key
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown


def needs(case: Case) -> Iterable[Key[Any]]:
    """Backout's own acts and holds around the target."""
    yield keys.limits(case.target)


def ask(case: Case) -> Finding:
    """Whatever of our own doing speaks against this rollback."""
    limits = case.facts.read(keys.limits(case.target))
    if isinstance(limits, Absent):
        return doubt("What Backout itself did to the target is unknown", limits, clears="Make Backout's store reachable.")
    if case.suspect is None or case.goal is None:
        return unknown(
            "Which release to leave and which to go back to is not known, so no limit could be looked at.",
            limits.evidence,
            clears="Known once both releases are.",
        )
    suspect, goal = case.suspect, case.goal
    parts: list[Finding] = []
    if case.direction is Direction.BACK and suspect.handle in limits.value.made_by_backout:
        parts.append(
            blocks(
                f"Release {suspect.title} was put there by Backout: going back from a rollback is for a person.",
                limits.evidence,
                clears="A person looks at what else is wrong.",
            )
        )
    if goal.key in limits.value.held:
        parts.append(blocks(f"Release {goal.title} is held away from {case.target}.", limits.evidence, clears="End the hold first: backout holds end."))
    if limits.value.alive:
        parts.append(
            blocks(
                f"Another operation is alive on {case.target}: {listed(limits.value.alive)}.", limits.evidence, clears="Wait until it has ended, or cancel it."
            )
        )
    return together(parts) if parts else passes("No held release, no rollback of a rollback, and no other operation speaks against it.", limits.evidence)


RULE = Rule(name="limits_allow_acting", question="Do Backout's own limits allow it?", ask=ask, needs=needs, momentary=True)
