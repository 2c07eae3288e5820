"""Which way back Argo CD offers for a case, and its steps; pure over the facts. Each step is an order that a person could follow as well.

The steps stand in `steps/`; they are carried out by `hands.py`, which reads the world again before each.
"""

from integrations.delivery.argocd import forward, reading
from integrations.delivery.argocd.steps import abort, clear_slot, mark_hold, promote, prove_controller, roll_back, stop_auto_sync
from service.domain import keys
from service.domain.derived import Derived, listed
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.model import Release, Way
from service.domain.planning.plan import Offer, Step
from service.domain.rollouts import courses, promotes
from service.domain.rule import Case, Direction


def offers(case: Case) -> tuple[Offer, ...]:
    """The rollback, with its steps, or with why it is impossible; before it the abort, where the release under suspicion is still being rolled out.

    Under a hold the way forward, where the case leads there.
    """
    if case.direction is Direction.FORWARD:
        return forward.offers(case)
    if case.suspect is None or case.goal is None:
        return (_impossible(case.why_none or "no release to go back to is known"),)
    fact = case.facts.read(keys.state(case.target))
    if isinstance(fact, Absent):
        return (_impossible(f"the state of the application is unknown: {fact.why}"),)
    state = fact.value
    if why := _why_not(state, case.suspect, case.goal):
        return (_impossible(why),)
    found = courses(case)
    rolled_out = found.value if isinstance(found, Derived) else ()  # where they cannot be read, `no_rollout_step_is_in_the_way` says so
    aborts = tuple(abort.plan(state, course.now, case.suspect) for course in rolled_out if course.aborts)
    promotions = tuple(promote.plan(state, course.now, case.goal) for course in rolled_out if promotes(case, course))
    steps = _steps(state, case.suspect, case.goal, promotions)
    rights = ("get", "sync", *(("update",) if state.auto_sync else ()), *(("promote",) if promotions else ()))
    plain = Offer(way=Way.ROLLBACK, steps=steps, because=_because(state, case.goal), permissions=rights)
    if not aborts:
        return (plain,)
    names = listed(course.now.object.name for course in rolled_out if course.aborts)
    because = f"release {case.suspect.title} is still being rolled out by {names}: an abort leaves its stable release alone at once; then {plain.because}"
    return (Offer(way=Way.ABORT, steps=(*aborts, *steps), because=because, permissions=(*rights, "abort")), plain)


def _impossible(why: str) -> Offer:
    return Offer(way=Way.ROLLBACK, steps=(), because="Argo CD can deploy a release from its history again", impossible=why)


def _why_not(state: TargetState, suspect: Release, goal: Release) -> str:
    live = state.attempted or state.current
    if live is None or (live.handle, live.key) != (suspect.handle, suspect.key):
        return f"release {suspect.title} is not what Argo CD deployed last ({live.title if live else 'nothing'})"
    if not any((r.handle, r.key) == (goal.handle, goal.key) for r in state.history):
        return f"Argo CD's history does not hold release {goal.title} any more"
    if not all(source.repository for source in goal.sources):
        return f"release {goal.title} was recorded without its sources, so Argo CD cannot roll back to it"
    if state.owner.reverts:
        return f"{state.owner.says}; go back in Git instead"
    return reading.TOO_OLD if reading.TOO_OLD in state.warnings else ""


def _because(state: TargetState, goal: Release) -> str:
    if state.auto_sync:
        return f"auto-synced and owned by {state.owner.kind}: auto-sync is stopped first, or it would bring the bad release back; then release {goal.title}"
    return f"not auto-synced: Argo CD deploys release {goal.title} from its history, with its parameters; no hooks run"


def _steps(state: TargetState, suspect: Release, goal: Release, promotions: tuple[Step, ...]) -> tuple[Step, ...]:
    back, prove = roll_back.plan(state, goal), prove_controller.plan(state)
    if state.auto_sync:
        return (stop_auto_sync.plan(state), prove, clear_slot.plan(state, suspect), back, *promotions)
    marks = () if state.owner.kind == "applicationset" else (mark_hold.plan(state, suspect),)  # it would be taken back at once
    return (prove, back, *promotions, *marks)
