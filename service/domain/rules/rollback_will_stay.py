"""A rollback would stay: nobody who owns the spec would undo it, auto-sync is stopped by the plan, and no foreign hold is on the target.

Problem: GitOps deploys what Git says. A rollback under auto-sync, an ApplicationSet, a parent application or an image updater is taken back within a second,
and the bad release is live again.

Read: Auto-sync, every owner that writes the spec, the delivery system's own warnings, and marks of holds that are not ours.

Decides: Nobody would undo it, or the plan stops auto-sync first: pass. An owner that may undo it later: warn. An owner that would undo it, or a foreign hold:
no, with Git revert as the way. An owner nobody can name: unknown.

Fix: Let the owner ignore differences of this application, pause it for as long as the bad release is held away, or go back in Git.

Declare: Nothing: owners are read from what they leave on the target.

Elsewhere: Decided for Argo CD. Spinnaker takes nothing back by itself; its triggers that would deploy again are a warning.
"""

import re
from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed, together, told_anywhere
from service.domain.facts import Absent, Key, Known
from service.domain.keys import Owner, TargetState
from service.domain.model import Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Answer, Finding, blocks, passes, unknown, warns

CHANGES_GIT = frozenset({Way.GIT_REVERT, Way.HOTFIX})
"""Ways that change what everybody deploys from: owners and auto-sync carry them out instead of undoing them."""

WITHOUT_AUTO_SYNC = frozenset({Way.UNDO, Way.OWN_PIPELINE, Way.ENABLE_PREVIOUS})
"""Ways of a system that has none."""

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
    if undoing := owner.undoing(case.way):
        what = "a pin" if case.way is Way.PIN else "a rollback"
        return blocks(
            f"{_named(undoing)} owns the spec of {case.target} and would undo {what}.{_sentence(undoing)}",
            state.evidence,
            clears=undoing.fix or f"Revert the change in Git, or let {_named(undoing)} ignore differences of this application.",
            instead=Way.GIT_REVERT,
        )
    if (hidden := next((one for one in owner.all if not one.kind), None)) is not None:
        return unknown(f"Who else writes the target's spec is unknown.{_sentence(hidden)}", state.evidence, clears="Find out who owns the application.")
    if case.way not in CHANGES_GIT and (later := next((one for one in owner.all if one.later), None)):
        return warns(
            f"{_named(later)} writes the spec of {case.target} and may undo a change later.{_sentence(later)}",
            state.evidence,
            clears=later.fix or f"Pause {_named(later)} for as long as the bad release is held away.",
        )
    if owner.kind == "nobody":
        return passes("Nobody else writes the spec.", state.evidence)
    told = "; ".join(one.says or one.name or one.kind for one in owner.all)
    return passes(f"{told}: {'it does' if len(owner.all) == 1 else 'they do'} not undo us.", state.evidence)


_KINDS = {"applicationset": "The ApplicationSet", "parent": "The parent application"}


def _named(owner: Owner) -> str:
    return " ".join(part for part in (_KINDS.get(owner.kind, owner.kind), owner.name) if part)


def _sentence(owner: Owner) -> str:
    return f" {owner.says[:1].upper()}{owner.says[1:].rstrip('.')}." if owner.says else ""


def _auto_sync(case: Case, state: Known[TargetState]) -> Finding:
    if not state.value.auto_sync:
        if case.way is Way.PIN:
            return blocks("Auto-sync is off, so nothing would deploy a pinned release.", state.evidence, clears="Roll back instead.", instead=Way.ROLLBACK)
        return passes("" if case.way in WITHOUT_AUTO_SYNC else "Auto-sync is off.", state.evidence)
    if case.way in CHANGES_GIT:
        return passes("Auto-sync is on and will deploy what Git says.", state.evidence)
    if case.way is Way.PIN:
        return passes("Auto-sync stays on and deploys the pinned release.", state.evidence)
    extras = [name for name, flag in (("prune", "prune"), ("self-heal", "selfHeal")) if told_anywhere(state.value.remembered, flag)]
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


RULE = Rule(
    name="rollback_will_stay",
    question="Would a rollback stay?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
)
