"""The workloads go back at once, or it is said how long the steps of their Rollouts let the release under suspicion serve on (architecture, section 5).

A Rollout that was promoted in full runs its canary steps again when it goes back; only its stable release, its rollback window, or a full promotion that
the operator allows spare it that.

Problem: A Rollout that was promoted in full runs its canary steps again when it goes back. Meanwhile most pods are still the bad ones.

Read: Each Rollout of the target: how far it is, its steps, its rollback window, its analyses.

Decides: Nothing rolls out in steps, or the steps are skipped (stable release, rollback window, full promotion allowed): pass. Steps of known length: warn,
with how long. A pause or analysis without a known end: unknown.

Fix: Give the Rollout a `rollbackWindow`, allow `promote_full`, or stand by to promote it by hand.

Declare: `promote_full: true` for the target.

Elsewhere: Argo Rollouts only; Deployments roll at once, whoever deploys them.
"""

from collections.abc import Iterable
from typing import Any

from service.domain.derived import doubt, listed, span, together
from service.domain.facts import Absent, Evidence, Key
from service.domain.keys import Rollout
from service.domain.model import Release, Way
from service.domain.rollouts import Course, course_keys, courses, promotes
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, passes, unknown, warns

SPARES = "Set promote_full for this target, give the Rollout a rollbackWindow, or stand by to promote it by hand."


def needs(case: Case) -> Iterable[Key[Any]]:
    """The target's objects, and of its Rollouts where they stand and what they would do."""
    return course_keys(case)


def ask(case: Case) -> Finding:
    """Each Rollout by itself; the worst of them decides."""
    found = courses(case)
    if isinstance(found, Absent):
        return doubt("Whether roll-out steps hold the way back up is unknown", found, clears="Let the delivery system be read.")
    if not found.value:
        return passes("Nothing here rolls out in steps of its own.", *found.evidence)
    if case.suspect is None or case.goal is None:
        return unknown("No release to leave and to go back to is known.", *found.evidence, clears="Known once both releases are.")
    return together([_one(case, course, case.suspect, case.goal, found.evidence) for course in found.value])


def _one(case: Case, course: Course, suspect: Release, goal: Release, proof: tuple[Evidence, ...]) -> Finding:
    name = course.now.object.name
    stands = f"Rollout {name} {where(course.now)}"
    match course.back.skips:
        case "stable" if course.aborts and case.way is Way.ABORT:
            return passes(f"{stands}; release {goal.handle} is still its stable one: the plan aborts it first, which leaves only that.", *proof)
        case "stable":
            return passes(f"{stands}; release {goal.handle} is its stable one: it goes back without steps.", *proof)
        case "window":
            return passes(f"{stands}; release {goal.handle} lies within its rollback window: it goes back without steps.", *proof)
        case "absent":
            return warns(
                f"Release {goal.handle} does not have Rollout {name}: it stays as it is.", *proof, clears="Look whether it may go on beside that release."
            )
        case "none":
            return passes(f"{stands} and has no steps: it goes back as fast as its pods get ready.", *proof)
        case _:
            return _with_steps(case, course, suspect, proof)


def _with_steps(case: Case, course: Course, suspect: Release, proof: tuple[Evidence, ...]) -> Finding:
    name = course.now.object.name
    stands = f"Rollout {name} {where(course.now)}"
    meanwhile = f"until then pods of release {suspect.handle} serve"
    steps = f"{course.back.steps} step{'s' if course.back.steps != 1 else ''}"
    if promotes(case, course):
        skipped = f"its {steps}, with {listed(course.back.open_ended)}" if course.open_ended else f"its {steps}"
        return passes(f"{stands}; after the rollback the plan promotes it in full, which skips {skipped}.", *proof)
    if course.open_ended:
        says = f"When Rollout {name} would be back is unknown: {listed(course.back.open_ended)}; {meanwhile}."
        return unknown(says, *proof, clears=SPARES)
    takes = f", which takes at least {span(course.waits)}" if course.waits else ""
    return warns(f"Rollout {name} would run its {steps} again{takes}; {meanwhile}.", *proof, clears=SPARES)


def where(rollout: Rollout) -> str:
    """Where it stands, in words: `is promoted in full`, `stands at step 1 of 2`, `was aborted`."""
    if rollout.promoted:
        return "is promoted in full"
    if rollout.aborted:
        return "was aborted already"
    of = f" at step {rollout.step} of {rollout.steps}" if rollout.steps else ""
    analysis = f" under {listed(rollout.analyses)}" if rollout.analyses else ""
    return f"{'waits' if rollout.waiting else 'is on its way'}{of}{analysis}"


RULE = Rule(
    name="no_rollout_step_is_in_the_way",
    question="Would the workloads go back at once, without roll-out steps?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
    momentary=True,
)
