"""Going back deletes nothing that holds data, and what stays behind does not go on working by itself.

Problem: Going back can delete a volume that only the new release has, and what is not deleted (a CronJob, a consumer) works on beside the old code.

Read: The objects that run now and that the goal release does not have, and whether this way prunes.

Decides: Nothing is left over, or what is holds no data and does nothing: pass. Something that works on stays behind, or a running Job would be deleted: warn.
Data would be deleted, or the delivery system would wait for a confirmation: no. A kind that nobody knows would be deleted: unknown.

Fix: Keep these objects (`Prune=false`), suspend what should not work beside the old release, or go back without pruning.

Declare: On the object itself: `argocd.argoproj.io/sync-options: Prune=false`.

Elsewhere: Kubernetes objects are decided; Spinnaker's undo deletes nothing; what a way elsewhere would delete is unknown.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from service.domain import keys
from service.domain.derived import Derived, doubt, left_over, leftover_keys, listed, told_anywhere
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.keys import TargetState
from service.domain.left_behind import HARMLESS, Nature, holds_data, kind_of, nature
from service.domain.model import ObjectRef, Release, Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

FROM_HISTORY = frozenset({Way.ROLLBACK, Way.ABORT})
"""Ways that deploy the goal release by an operation of ours."""
DEPLOYED_BY_ITSELF = frozenset({Way.PIN, Way.GIT_REVERT, Way.HOTFIX})


def needs(case: Case) -> Iterable[Key[Any]]:
    """What only the live release has, and whether a rollback prunes it."""
    yield keys.state(case.target)
    if case.direction is Direction.FORWARD:
        if not _gives_nothing_back_that_prunes(case):
            yield keys.desired_manifests(case.target)
    elif case.goal:
        yield from leftover_keys(case, case.goal)
        left = left_over(case.facts, case.target, case.goal)
        if isinstance(left, Derived) and left.value and case.way in FROM_HISTORY:
            yield keys.confirmations(case.target, left.value)


def ask(case: Case) -> Finding:
    """Nothing left over passes; data that would be deleted is a no; what stays behind and works on is a warning."""
    goal = case.goal
    if goal is None:
        return unknown("No release to go to is known, so nobody can say what it does not have.", clears="Known once there is a release to go to.")
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether going back deletes objects is unknown", state, clears="Make the delivery system reachable.")
    if case.direction is Direction.FORWARD:
        return _forward(case, goal.name, state)
    leftovers = left_over(case.facts, case.target, goal)
    if isinstance(leftovers, Absent):
        return doubt(
            f"Which objects release {goal.name} does not have is unknown", leftovers, state.evidence, clears="Make the manifests of both releases readable."
        )
    objects, proof = leftovers.value, (state.evidence, *leftovers.evidence)
    if not objects:
        return passes(f"Release {goal.name} has every object that runs now: nothing is deleted, nothing stays behind.", *proof)
    waits = _waits(case, goal, objects, proof)
    if waits.answer:
        return waits
    proof = tuple(dict.fromkeys((*proof, *waits.evidence)))
    return _pruned(goal.name, objects, proof) if _prunes(case.way, state.value) else _stays(goal.name, objects, proof)


def _waits(case: Case, goal: Release, objects: tuple[ObjectRef, ...], proof: tuple[Evidence, ...]) -> Finding:
    """Some objects make the delivery system wait for a person before it applies anything: the way back would stand still with the bad release live."""
    if case.way not in FROM_HISTORY:
        return passes("", *proof)
    asking = case.facts.read(keys.confirmations(case.target, objects))
    if isinstance(asking, Absent):
        return doubt(f"Whether going back to release {goal.name} would wait for a person is unknown", asking, *proof, clears="Make the live objects readable.")
    if asking.value:
        return blocks(
            f"Going back to release {goal.name} would stand still: {listed(asking.value)} asks for a person's confirmation first (Prune=confirm).",
            *proof,
            asking.evidence,
            clears="Take Prune=confirm off these objects, or be there to confirm (argocd.argoproj.io/deletion-approved on the Application).",
        )
    return passes("", *proof, asking.evidence)


def _prunes(way: Way, state: TargetState) -> bool:
    """A rollback prunes only if it is told to; what auto-sync deploys by itself (a pin, a revert in Git) is pruned where its setting says so."""
    return state.prune or (way in DEPLOYED_BY_ITSELF and state.auto_sync and told_anywhere(state.remembered, "prune"))


def _forward(case: Case, goal: str, state: Known[TargetState]) -> Finding:
    """Our own sync deletes nothing; auto-sync, once it is given back, may delete what is not desired."""
    if _gives_nothing_back_that_prunes(case):
        return passes(f"Release {goal} is live already, and nothing is given back that deletes objects.", state.evidence)
    desired = case.facts.read(keys.desired_manifests(case.target))
    if isinstance(desired, Absent):
        return doubt(f"Which objects release {goal} does not have is unknown", desired, state.evidence, clears="Make the manifests readable.")
    there = {(one.object.group, one.object.kind, one.object.namespace, one.object.name) for one in desired.value}
    gone = tuple(one for one in state.value.objects if (one.group, one.kind, one.namespace, one.name) not in there)
    proof = (state.evidence, desired.evidence)
    if not gone:
        return passes(f"Release {goal} has every object that runs now: nothing stays behind that auto-sync could delete.", *proof)
    data = [one for one in gone if kind_of(one) not in HARMLESS]
    if data:
        return unknown(
            f"Release {goal} does not have {listed(data)}; auto-sync may delete that once it is given back, and whether it holds data is unknown.",
            *proof,
            clears="Keep these objects (Prune=false), or look at them first.",
        )
    return passes(f"Release {goal} does not have {listed(gone)}; none of it holds data.", *proof)


def _gives_nothing_back_that_prunes(case: Case) -> bool:
    """Whether the end of the hold deploys nothing and turns nothing on that prunes: no auto-sync was stopped, or one without `prune`, or triggers."""
    remembered = case.context.get("remembered")
    return not case.deploys and not (isinstance(remembered, Mapping) and told_anywhere(remembered, "prune"))


def _pruned(goal: str, objects: tuple[ObjectRef, ...], proof: tuple[Evidence, ...]) -> Finding:
    data = [one for one in objects if holds_data(one)]
    if data:
        return blocks(
            f"Going back to release {goal} would delete {listed(data)}, which may hold data.",
            *proof,
            clears="Keep these objects (Prune=false), or go back without pruning.",
        )
    strange = [one for one in objects if kind_of(one) not in HARMLESS]
    if strange:
        return unknown(
            f"Going back to release {goal} would delete {listed(strange)}; whether that holds data is unknown.", *proof, clears="Look at these objects first."
        )
    running = [one for one in objects if kind_of(one) == ("batch", "Job")]
    if running:
        return warns(f"Going back to release {goal} would delete {listed(running)}, which may be at work.", *proof, clears="See that these jobs have ended.")
    return passes(f"Going back to release {goal} deletes {listed(objects)}; none of it holds data.", *proof)


def _stays(goal: str, objects: tuple[ObjectRef, ...], proof: tuple[Evidence, ...]) -> Finding:
    working = [one for one in objects if nature(one) is Nature.WORKS]
    if working:
        one = len(working) == 1
        return warns(
            f"Nothing is deleted, but {listed(working)} {'stays behind and works' if one else 'stay behind and work'} on beside release {goal}.",
            *proof,
            clears="Suspend or scale down what should not work beside the old release.",
            adds=tuple(f"Decide whether {left} may go on working beside release {goal}." for left in working),
        )
    strange = [one for one in objects if nature(one) is Nature.STRANGE]
    if strange:
        verb = "stays behind" if len(strange) == 1 else "stay behind"
        return warns(
            f"Nothing is deleted, but {listed(strange)} {verb}; whether that goes on working beside release {goal} is unknown.",
            *proof,
            clears="Look at these objects first.",
        )
    return passes(f"Nothing is deleted; {listed(objects)} stay{'s' if len(objects) == 1 else ''} behind, idle.", *proof)


RULE = Rule(name="prune_deletes_no_data", question="Would going back leave all data alone?", ask=ask, needs=needs)
