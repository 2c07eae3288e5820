"""Which ways back Argo CD offers for a case, best first, and their steps; pure over the facts. Each step is an order that a person could follow as well.

The steps stand in `steps/`; they are carried out by `hands.py`, which reads the world again before each. A way that is not the best says why the better
ones are not possible.
"""

from dataclasses import replace

from integrations.delivery.argocd import forward, git_revert, left_behind, reading
from integrations.delivery.argocd.steps import abort, clear_slot, deploy_pinned, mark_hold, pin_source, promote, prove_controller, roll_back, stop_auto_sync
from service.domain import keys
from service.domain.derived import Derived, left_over, listed
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.model import Release, Way
from service.domain.planning.plan import Offer, Step
from service.domain.rollouts import courses, promotes
from service.domain.rule import Case, Direction


def offers(case: Case) -> tuple[Offer, ...]:
    """The rollback; before it the abort, where the release under suspicion is still being rolled out. Under a hold the way forward, if the case leads there.

    Where its owner, or a server that is too old, does not let a rollback stand: a pin, and a revert in Git as a plan for a person.
    """
    if case.direction is Direction.FORWARD:
        return forward.offers(case)
    if case.suspect is None or case.goal is None:
        return (_impossible(case.why_none or "no release to go back to is known"),)
    fact = case.facts.read(keys.state(case.target))
    if isinstance(fact, Absent):
        return (_impossible(f"the state of the application is unknown: {fact.why}"),)
    state, suspect, goal = fact.value, case.suspect, case.goal
    live = state.attempted or state.current
    if not goal.handle and live is not None and live.key == suspect.key:
        return (_git_revert(state, suspect, goal, f"{_limit(state)}, and release {goal.title} is known from Backout's own record only"),)
    if why := _why_no_way(state, suspect, goal):
        return (_impossible(why),)
    found = courses(case)
    rolled_out = found.value if isinstance(found, Derived) else ()  # where they cannot be read, `no_rollout_step_is_in_the_way` says so
    aborts = tuple(abort.plan(state, course.now, suspect) for course in rolled_out if course.aborts)
    if why := _why_no_rollback(state):
        pin = _pin(state, suspect, goal, why)
        revert = _git_revert(state, suspect, goal, f"{why}; a pin is not possible: {pin.impossible}" if pin.impossible else why)
        by_hand = tuple(replace(step, owner="person") for step in aborts)  # works at once, and no owner of the spec undoes it
        return (_impossible(why), pin, replace(revert, steps=(*by_hand, *revert.steps)))
    promotions = tuple(promote.plan(state, course.now, goal) for course in rolled_out if promotes(case, course))
    steps = (*_steps(state, suspect, goal, promotions), *_left_behind(case, suspect, goal))
    rights = ("get", "sync", *(("update",) if state.auto_sync else ()), *(("promote",) if promotions else ()))
    plain = Offer(way=Way.ROLLBACK, steps=steps, because=_because(state, goal), permissions=rights)
    if not aborts:
        return (plain,)
    names = listed(course.now.object.name for course in rolled_out if course.aborts)
    because = f"release {suspect.title} is still being rolled out by {names}: an abort leaves its stable release alone at once; then {plain.because}"
    return (Offer(way=Way.ABORT, steps=(*aborts, *steps), because=because, permissions=(*rights, "abort")), plain)


def _impossible(why: str) -> Offer:
    return Offer(way=Way.ROLLBACK, steps=(), because="Argo CD can deploy a release from its history again", impossible=why)


def _why_no_way(state: TargetState, suspect: Release, goal: Release) -> str:
    live = state.attempted or state.current
    below = state.current if state.attempted is not None and state.attempted.by.kind == "service" else None  # our own rollback over it ended half done
    if not any(one is not None and (one.handle, one.key) == (suspect.handle, suspect.key) for one in (live, below)):
        return f"release {suspect.title} is not what Argo CD deployed last ({live.title if live else 'nothing'})"
    if not any((r.handle, r.key) == (goal.handle, goal.key) for r in state.history):
        return f"Argo CD's history does not hold release {goal.title} any more"
    if not all(source.repository for source in goal.sources):
        return f"release {goal.title} was recorded without its sources, so Argo CD cannot roll back to it"
    return ""


def _why_no_rollback(state: TargetState) -> str:
    if undoing := state.owner.undoing(Way.ROLLBACK):
        return undoing.says or f"{undoing.kind} {undoing.name} would undo it"
    return reading.TOO_OLD if reading.TOO_OLD in state.warnings else ""


def _pin(state: TargetState, suspect: Release, goal: Release, why: str) -> Offer:
    """Under auto-sync, where nobody takes another revision back: Argo CD deploys it by itself, as any release, hooks included."""
    because = f"no rollback ({why}); nobody takes a pinned revision back, so auto-sync stays on and deploys release {goal.title}; its hooks run"
    impossible = _why_no_pin(state, suspect, goal)
    steps = () if impossible else (pin_source.plan(state, goal), deploy_pinned.plan(state, goal))
    return Offer(way=Way.PIN, steps=steps, because=because, impossible=impossible, permissions=("get", "update"))


def _why_no_pin(state: TargetState, suspect: Release, goal: Release) -> str:
    if undoing := state.owner.undoing(Way.PIN):
        return f"{undoing.kind} {undoing.name} would take the pinned revision back"
    if not state.auto_sync:
        return "auto-sync is off, so nothing would deploy it"
    if state.running is not None:
        return f"an operation of {state.running.by.name} holds the application"

    def shape(release: Release) -> list[tuple[str, str, str]]:
        return [(source.repository, source.path, source.parameters) for source in release.sources]

    if shape(suspect) != shape(goal) or len(state.follows) != len(goal.sources):
        return f"release {goal.title} had other sources or parameters, and a pin writes revisions alone"
    if not all(source.revision for source in goal.sources):
        return f"release {goal.title} names no revision"
    return ""


def _git_revert(state: TargetState, suspect: Release, goal: Release, why: str) -> Offer:
    because = f"no rollback ({why}); what everybody deploys from is Git, so a person reverts there: Backout never writes to Git"
    return Offer(way=Way.GIT_REVERT, steps=git_revert.plan(state, suspect, goal), because=because, permissions=("get",))


def _limit(state: TargetState) -> str:
    """How many releases Argo CD remembers of the application."""
    kept = state.history_limit
    return (
        "Argo CD remembers too few releases of it"
        if kept is None
        else f"Argo CD keeps {kept or 'no'} release{'' if kept == 1 else 's'} of it (revisionHistoryLimit)"
    )


def _because(state: TargetState, goal: Release) -> str:
    if state.auto_sync:
        owner = state.owner.kind or "nobody knows whom"
        return f"auto-synced and owned by {owner}: auto-sync is stopped first, or it would bring the bad release back; then release {goal.title}"
    return f"not auto-synced: Argo CD deploys release {goal.title} from its history, with its parameters; no hooks run"


def _left_behind(case: Case, suspect: Release, goal: Release) -> tuple[Step, ...]:
    """What a person decides about what stays; nothing where it is not known, for then the verdict says so."""
    objects = left_over(case.facts, case.target, goal)
    return () if isinstance(objects, Absent) else left_behind.plan(objects.value, suspect)


def _steps(state: TargetState, suspect: Release, goal: Release, promotions: tuple[Step, ...]) -> tuple[Step, ...]:
    back, prove = roll_back.plan(state, goal), prove_controller.plan(state)
    if state.auto_sync:
        return (stop_auto_sync.plan(state), prove, clear_slot.plan(state, suspect), back, *promotions)
    marks = () if state.owner.kind == "applicationset" else (mark_hold.plan(state, suspect),)  # it would be taken back at once
    return (prove, back, *promotions, *marks)
