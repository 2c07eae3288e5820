"""The hold is as Backout left it: a known release is live, auto-sync is still stopped, the mark is ours, and what would be deployed is what is desired.

Problem: Between the rollback and the fix hours pass, and people do things: they turn auto-sync on, deploy by hand, push again.

Read: What is live, what is desired, auto-sync, the owner and our own mark, against what the hold wrote down.

Decides: Everything is as it was left: pass. Another release is live or desired, or auto-sync is on: no. What runs is unclear, or the new release would roll
out in steps without a known end: unknown.

Fix: Agree with them who deploys, then ask again about the newest revision.

Declare: Nothing: it is seen.

Elsewhere: Decided for each delivery system in which Backout can hold.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed, together
from service.domain.facts import Absent, Key, Known
from service.domain.keys import TargetState
from service.domain.model import Release
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns


def needs(case: Case) -> Iterable[Key[Any]]:
    """The target now, and what is held away from it."""
    yield keys.state(case.target)
    yield keys.held(case.target)


def ask(case: Case) -> Finding:
    """Whatever somebody changed since means that they are in charge."""
    state, held = case.facts.read(keys.state(case.target)), case.facts.read(keys.held(case.target))
    if isinstance(state, Absent):
        return doubt("Whether the hold is as Backout left it is unknown", state, clears="Make the delivery system reachable.")
    if isinstance(held, Absent):
        return doubt("What is held away is unknown", held, state.evidence, clears="Make Backout's store reachable.")
    if not held.value:
        return blocks(f"Nothing is held away from {case.target} any more.", state.evidence, held.evidence, clears="Nothing to do: the hold has ended.")
    if case.goal is None:
        return unknown("Which release to go to is not known.", state.evidence, clears="Push a fix.")
    parts = [*_live(case, state), *_desired(case, case.goal, state), *_setting(case, state)]
    return together([*parts, passes("A known release is live, and nobody changed the hold.", state.evidence, held.evidence)])


def _live(case: Case, state: Known[TargetState]) -> Iterator[Finding]:
    live = state.value.current
    if live is None:
        yield unknown("Which release is live is unknown.", state.evidence, clears="Look at the target.")
    elif state.value.failed_newer:
        yield unknown(
            f"What runs is unclear: {state.value.failed_newer.rstrip('.')}.",
            state.evidence,
            clears="A person finds out what runs and deploys it in full.",
        )
    elif case.suspect is not None and case.deploys and live.key != case.suspect.key:
        yield blocks(f"Release {live.title} is live now.", state.evidence, clears="Ask again; what runs has changed.")


def _desired(case: Case, goal: Release, state: Known[TargetState]) -> Iterator[Finding]:
    if case.deploys and state.value.desired_key != goal.key:
        yield blocks(
            f"What is desired is no longer release {goal.title}, but {state.value.desired_revision[:12] or 'not known'}.",
            state.evidence,
            clears="Ask again about the newest revision.",
        )


def _setting(case: Case, state: Known[TargetState]) -> Iterator[Finding]:
    if state.value.auto_sync and case.deploys:
        yield blocks("Somebody turned auto-sync on again: the delivery system deploys by itself.", state.evidence, clears="Agree with them who deploys.")
    if state.value.owner.reverts and case.deploys:
        yield blocks(f"{state.value.owner.says or state.value.owner.name} would undo it.", state.evidence, clears="Change it in Git.")
    if case.deploys and (stepwise := keys.step_wise(state.value.objects)):
        yield unknown(
            f"{listed(stepwise)} would roll the new release out in steps; when they end, and whether a pause waits for somebody, is not known.",
            state.evidence,
            clears="A person stands by to promote it, or deploys it by hand.",
        )
    said = [text.rstrip(".") for text in state.value.warnings if "leftover" not in text and ": " not in text]
    if said:
        yield warns(f"The delivery system may not do as told: {listed(said)}.", state.evidence, clears="See to it first.")


RULE = Rule(
    name="hold_is_as_we_left_it",
    question="Is the hold as Backout left it?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.FORWARD}),
)
