"""Nobody else is working on the target: no person's act since the trouble began, no foreign operation, no newer deploy (promise 5).

Only an automated operation that deploys the release under suspicion is in our hands to end; everybody else's work means hands off.

Problem: Two hands on one target at night: somebody is already repairing, and the automation takes the repair away.

Read: The operation that runs, the history, events and edits of the spec since the trouble began, and objects that somebody changed past the delivery system.

Decides: Nobody acts: pass; an automated operation that deploys the suspect is ended by the plan: warn where its canary analysis leaves what nobody cleans
up. An automated operation that came after the trouble: warn. A
person's operation, edit or newer release: no. What cannot be read: unknown.

Fix: Agree with them who acts. Backout keeps its hands off until they are done.

Declare: Nothing: no setting turns this off.

Elsewhere: Decided for each delivery system that tells who did what.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import Derived, doubt, listed, moment, onset, onset_keys, together
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.keys import Act, Running, TargetState
from service.domain.model import Release
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

OWN_TIME = timedelta(seconds=2)
"""The event that began the suspect's own deploy and the time in its history entry are stamped by two writers, in whole seconds."""

HANDS_OFF = "Agree with them who acts; Backout keeps its hands off."


def needs(case: Case) -> Iterable[Key[Any]]:
    """The target now; with an incident also who did what since it began."""
    yield keys.state(case.target)
    if case.trigger:
        yield from onset_keys(case)
        yield keys.acts(case.target)
        began = onset(case)
        if isinstance(began, Derived):
            yield keys.baseline(case.target, began.value)


def ask(case: Case) -> Finding:
    """The running operation, the history, the acts since the onset, and the spec against the one before."""
    base = case.suspect if case.deploys else case.goal
    if base is None:
        return unknown("No release is under suspicion, so nobody can say what came after it.", clears="Known once a release is under suspicion.")
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether somebody is acting is unknown", state, clears="Make the delivery system reachable.")
    parts = [_running(case, base, state), _history(case, base, state), _drift(case, base, state), *(_since(case, base, state) if case.trigger else ())]
    worst = together(parts)
    if worst.answer:
        return worst
    acting = state.value.running
    measured = " and measures it in a canary analysis" if acting is not None and acting.measures else ""
    busy = f"Only the suspect's automated deploy runs{measured}; the plan ends it." if acting else "No operation is running."
    since = " Nobody acted since the trouble began." if case.trigger else " Nothing newer was deployed."
    return Finding(answer=worst.answer, says=busy + since, evidence=worst.evidence, adds=worst.adds)


def _running(case: Case, suspect: Release, state: Known[TargetState]) -> Finding:
    running = state.value.running
    if running is None:
        return passes("No operation is running.", state.evidence)
    if running.ours:
        return blocks(f"An operation of Backout is still running: {_ended(running.says)}", state.evidence, clears="Wait until it has ended.")
    if not running.automated:
        return blocks(f"{_who(running.by.name)} is running an operation: {_ended(running.says)}", state.evidence, clears=HANDS_OFF)
    if case.direction is Direction.FORWARD:
        return blocks(f"An automated operation is running: {_ended(running.says)}", state.evidence, clears="Wait until it has ended.")
    return _automated(running, suspect, state.evidence)


def _automated(running: Running, suspect: Release, evidence: Evidence) -> Finding:
    if not running.revision:
        return unknown("An automated operation is running, and what it deploys is unknown.", evidence, clears="Look at the operation.")
    if running.revision not in {source.revision for source in suspect.sources}:
        return blocks(
            f"An automated operation is deploying {running.revision[:12]}, which is not release {suspect.name}.",
            evidence,
            clears="Wait until it has ended; it may be the fix.",
        )
    adds = (f"End the automated operation that deploys release {suspect.name}, then wait until it is gone.",)
    if running.canary:
        left = listed(one.says for one in running.canary)
        found = warns(
            f"The running operation is automated and deploys release {suspect.name}; its end skips the clean-up of its canary analysis: {left} stays.",
            evidence,
            clears="A person takes that out of traffic; the target counts as recovered after that.",
        )
        return replace(found, adds=adds)
    says = f"The running operation is automated and deploys release {suspect.name}."
    return Finding(answer=passes("").answer, says=says, evidence=(evidence,), adds=adds)


def _history(case: Case, suspect: Release, state: Known[TargetState]) -> Finding:
    newer = [entry for entry in state.value.history if entry.started_at > suspect.started_at]
    if newer:
        first = newer[-1]
        return blocks(
            f"Release {first.title} was deployed at {moment(first.started_at, case.facts.now)}, after release {suspect.name}.",
            state.evidence,
            clears="Ask again about the release that runs now.",
        )
    if any(entry.key == suspect.key for entry in state.value.history):
        return passes("Nothing newer is in the history.", state.evidence)
    tried, running = state.value.attempted, state.value.running
    if tried and tried.key == suspect.key and not running:
        return passes(f"The deploy of release {suspect.title} is in no history, for it did not end well; nothing newer is there.", state.evidence)
    if running and running.revision and running.revision in {source.revision for source in suspect.sources}:
        return passes(f"Release {suspect.name} is still being deployed.", state.evidence)
    return unknown(
        f"Release {suspect.name} is neither in the history nor being deployed, so what runs is unclear.", state.evidence, clears="Ask again about what runs."
    )


def _drift(case: Case, suspect: Release, state: Known[TargetState]) -> Finding:
    """Objects that somebody changed past the delivery system: nobody can say since when, and deploying would overwrite that."""
    drifted = state.value.drifted
    if not drifted:
        return passes("Every object is as its release made it.", state.evidence)
    verb, them = ("are", "them") if len(drifted) > 1 else ("is", "it")
    says = f"{listed(drifted)} {verb} not as release {(state.value.current or suspect).name} made {them}"
    doing = "Going forward" if case.direction is Direction.FORWARD else "Going back"
    return warns(
        f"{says}: somebody changed that by hand, nobody can say when. {doing} overwrites it.",
        state.evidence,
        clears="Ask who changed it; put it into Git, or let the release be deployed again.",
    )


def _since(case: Case, suspect: Release, state: Known[TargetState]) -> Iterator[Finding]:
    began = onset(case)
    if isinstance(began, Absent):
        yield doubt("Since when acts count is unknown", began, clears="Make the metrics system reachable.")
        return
    yield _acts(case, suspect, began.value, began.evidence)
    before = case.facts.read(keys.baseline(case.target, began.value))
    if isinstance(before, Absent):
        yield doubt("Whether the spec was edited since the trouble began is unknown", before, clears="Backout reads it from now on; a person may look.")
    elif not state.value.spec_digest:
        yield unknown("The target's spec could not be read, so an edit would not show.", state.evidence, clears="Make the spec readable.")
    elif before.value != state.value.spec_digest:
        yield blocks("The target's spec was edited since it was last read before the trouble began.", before.evidence, state.evidence, clears=HANDS_OFF)
    else:
        yield passes("The spec is as it was before the trouble began.", before.evidence, state.evidence)


def _acts(case: Case, suspect: Release, began: datetime, evidence: tuple[Evidence, ...]) -> Finding:
    acts = case.facts.read(keys.acts(case.target))
    if isinstance(acts, Absent):
        return doubt("Whether somebody acted since the trouble began is unknown", acts, *evidence, clears="Give Backout the right to read events.")
    # Events carry whole seconds: an act within the onset's second counts as after it.
    later = [act for act in acts.value if not act.ours and act.at >= began.replace(microsecond=0) and not _is_own(act, suspect)]
    proof = (*evidence, acts.evidence)
    hands = [act for act in later if act.what != "operation" or act.by.kind != "automation"]
    if hands:
        act = hands[0]
        return blocks(f"{_who(act.by.name)} acted at {moment(act.at, case.facts.now)}, after the trouble began: {_ended(act.says)}", *proof, clears=HANDS_OFF)
    if later:
        act = later[-1]
        return warns(
            f"An automated operation began at {moment(act.at, case.facts.now)}, after the trouble did: {_ended(act.says)}", *proof, clears="See what it did."
        )
    return passes("Nobody acted since the trouble began.", *proof)


def _is_own(act: Act, suspect: Release) -> bool:
    """Whether the act is the suspect's own deploy, which may be recorded only when it ends."""
    if act.what not in {"operation", "history"}:
        return False
    return abs(act.at - suspect.started_at) <= OWN_TIME or (suspect.deployed_at is not None and act.what == "history" and act.at == suspect.deployed_at)


def _ended(says: str) -> str:
    return (says.rstrip(".") or "it does not say what it does") + "."


def _who(name: str) -> str:
    return name or "Somebody"


RULE = Rule(name="nobody_else_is_acting", question="Is everybody else's hand off the target?", ask=ask, needs=needs, momentary=True)
