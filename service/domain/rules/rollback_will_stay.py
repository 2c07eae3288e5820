"""A rollback would stay: nobody who owns the spec would undo it, auto-sync is stopped by the plan, and no foreign hold is on the target (safety R31)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed, together
from service.domain.facts import Absent, Key, Known
from service.domain.keys import TargetState
from service.domain.model import Json, Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Answer, Finding, blocks, passes, unknown, warns

CHANGES_GIT = frozenset({Way.GIT_REVERT, Way.HOTFIX})
"""Ways that change what everybody deploys from: owners and auto-sync carry them out instead of undoing them."""

CONDITION = re.compile(r"\w+(Error|Warning): ")
"""A condition of the resources, as opposed to a sentence about the target as a whole: being deleted, skipped by its controller, too old a server."""


def needs(case: Case) -> Iterable[Key[Any]]:
    """The target's owner, sync setting and marker, and our own holds, to tell a foreign marker."""
    yield keys.state(case.target)
    yield keys.limits(case.target)


def ask(case: Case) -> Finding:
    """Owner, marker, auto-sync, the system's own warnings: whatever would bring the release under suspicion back."""
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether a rollback would stay is unknown", state, clears="Make the delivery system reachable.")
    return together((_marker(case, state), _owner(case, state), _auto_sync(case, state), _warnings(state)))


def _marker(case: Case, state: Known[TargetState]) -> Finding:
    limits = case.facts.read(keys.limits(case.target))
    if isinstance(limits, Absent):
        return doubt("Whether a hold is on the target is unknown", limits, state.evidence, clears="Make Backout's store reachable.")
    marker = state.value.marker
    if marker and not limits.value.held:
        return blocks(
            f"A hold that this Backout does not know is on the target: {marker}.",
            state.evidence,
            limits.evidence,
            clears="Find who holds it; remove the marker when nobody does.",
        )
    return passes("", state.evidence, limits.evidence)


def _owner(case: Case, state: Known[TargetState]) -> Finding:
    owner = state.value.owner
    if not owner.kind:
        return unknown("Who else writes the target's spec is unknown.", state.evidence, clears="Find out who owns the application.")
    if owner.reverts and case.way not in CHANGES_GIT:
        name = " ".join(part for part in (_KINDS.get(owner.kind, owner.kind), owner.name) if part)
        more = f" {owner.says[:1].upper()}{owner.says[1:].rstrip('.')}." if owner.says else ""
        return blocks(
            f"{name} owns the spec of {case.target} and would undo a rollback.{more}",
            state.evidence,
            clears=f"Revert the change in Git, or let {name} ignore differences of this application.",
            instead=Way.GIT_REVERT,
        )
    return passes(
        "Nobody else writes the spec." if owner.kind == "nobody" else f"{owner.says or owner.name or owner.kind}: it does not undo us.", state.evidence
    )


_KINDS = {"applicationset": "The ApplicationSet", "parent": "The parent application"}


def _auto_sync(case: Case, state: Known[TargetState]) -> Finding:
    if not state.value.auto_sync:
        return passes("Auto-sync is off.", state.evidence)
    if case.way in CHANGES_GIT:
        return passes("Auto-sync is on and will deploy what Git says.", state.evidence)
    extras = [name for name, flag in (("prune", "prune"), ("self-heal", "selfHeal")) if _set(state.value.remembered, flag)]
    setting = f" with {' and '.join(extras)}" if extras else ""
    return Finding(
        answer=Answer.PASS,
        says=f"Auto-sync is on{setting}; the plan stops it first and remembers the setting.",
        evidence=(state.evidence,),
        adds=(f"Stop auto-sync of {case.target}; it was automated{setting}.",),
    )


def _warnings(state: Known[TargetState]) -> Finding:
    said = [text.rstrip(".") for text in state.value.warnings if not CONDITION.match(text)]
    if said:
        return warns(f"The delivery system may not do as told: {listed(said)}.", state.evidence, clears="See to it before anything is rolled back.")
    return passes("", state.evidence)


def _set(setting: Mapping[str, Json], flag: str) -> bool:
    """Whether the flag is true anywhere in the remembered setting, whatever the system wraps it in."""
    return any((name == flag and value is True) or (isinstance(value, Mapping) and _set(value, flag)) for name, value in setting.items())


RULE = Rule(
    name="rollback_will_stay",
    question="Would a rollback stay?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
)
