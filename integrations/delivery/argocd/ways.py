"""Which way back Argo CD offers for a case, and its steps; pure over the facts. Each step is an order that a person could follow as well.

Carried out in `hands.py`, which reads the world again before each step.
"""

import json
import shlex

from integrations.delivery.argocd import reading
from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.model import Release, Way
from service.domain.planning.plan import Offer, Step
from service.domain.rule import Case

STOP, PROVE, CLEAR, BACK, MARK, UNMARK, RESTORE = (
    "stop_auto_sync",
    "prove_controller",
    "clear_slot",
    "roll_back",
    "mark_hold",
    "unmark_hold",
    "restore_auto_sync",
)
POINTER = "/metadata/annotations/backout.dev~1hold"
AUTOMATED = "/spec/syncPolicy/automated"


def offers(case: Case) -> tuple[Offer, ...]:
    """The rollback, with its steps, or with why it is impossible."""
    if case.suspect is None or case.goal is None:
        return (_impossible(case.why_none or "no release to go back to is known"),)
    fact = case.facts.read(keys.state(case.target))
    if isinstance(fact, Absent):
        return (_impossible(f"the state of the application is unknown: {fact.why}"),)
    state = fact.value
    if why := _why_not(state, case.suspect, case.goal):
        return (_impossible(why),)
    permissions = ("get", "sync", "update") if state.auto_sync else ("get", "sync")
    return (Offer(way=Way.ROLLBACK, steps=_steps(state, case.suspect, case.goal), because=_because(state, case.goal), permissions=permissions),)


def _impossible(why: str) -> Offer:
    return Offer(way=Way.ROLLBACK, steps=(), because="Argo CD can deploy a release from its history again", impossible=why)


def _why_not(state: TargetState, suspect: Release, goal: Release) -> str:
    live = state.current
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


def _steps(state: TargetState, suspect: Release, goal: Release) -> tuple[Step, ...]:
    back, prove = _roll_back(state, goal), _prove(state)
    if state.auto_sync:
        return (_stop(state), prove, _clear(state, suspect), back)
    marks = () if state.owner.kind == "applicationset" else (_mark(state, suspect),)  # it would be taken back at once
    return (prove, back, *marks)


def _stop(state: TargetState) -> Step:
    app, name = reading.app_ref(state.target), state.title
    old = state.remembered["automated"]
    patch = [{"op": "test", "path": AUTOMATED, "value": old}, {"op": "add", "path": f"{AUTOMATED}/enabled", "value": False}]
    back = [{"op": "test", "path": AUTOMATED, "value": {**old, "enabled": False}}, {"op": "replace", "path": AUTOMATED, "value": old}]
    parameters = {"remembered": dict(state.remembered), "spec_digest": state.spec_digest, "mark": state.owner.kind != "applicationset"}
    return Step(
        name=STOP,
        says=f"Stop auto-sync of {name}, keeping its settings (they are remembered)",
        parameters=parameters,
        done_when="spec.syncPolicy.automated.enabled is false and still is after 5 s",
        fallback="where nothing renders and the patch is refused: PUT the spec with validate=false, only `enabled` changed",
        command=shlex.join(["argocd", "app", "patch", _cli(app.namespace, app.name), "--type", "json", "--patch", json.dumps(patch)]),
        undo=Step(
            name=RESTORE,
            says=f"Give {name} its auto-sync back as it was: {json.dumps(old, sort_keys=True)}",
            parameters={"remembered": dict(state.remembered), "after_rollback": False},
            done_when="spec.syncPolicy.automated is as remembered",
            fallback="only while it is still as we wrote it and no rollback was accepted; else leave it to a person",
            command=shlex.join(["argocd", "app", "patch", _cli(app.namespace, app.name), "--type", "json", "--patch", json.dumps(back)]),
        ),
    )


def _prove(state: TargetState) -> Step:
    app = reading.app_ref(state.target)
    return Step(
        name=PROVE,
        says=f"See that the application controller answers a refresh of {state.title}: an operation that nobody picks up would fire later",
        effect=False,
        parameters={"spec_digest": state.spec_digest},
        done_when="the refresh is answered within seconds",
        fallback="no answer: give auto-sync back and look at argocd-application-controller",
        command=shlex.join(["argocd", "app", "get", _cli(app.namespace, app.name), "--refresh"]),
    )


def _clear(state: TargetState, suspect: Release) -> Step:
    app = reading.app_ref(state.target)
    return Step(
        name=CLEAR,
        says=f"End the operation that holds {state.title}, if it is automated or stuck and deploys release {suspect.title}; wait until it is gone",
        parameters={"spec_digest": state.spec_digest},
        done_when="the application has no `operation`",
        fallback="a person's operation, or one that deploys something else, is left alone: hands off",
        command=shlex.join(["argocd", "app", "terminate-op", _cli(app.namespace, app.name)]),
    )


def _roll_back(state: TargetState, goal: Release) -> Step:
    app = reading.app_ref(state.target)
    return Step(
        name=BACK,
        says=f"Roll {state.title} back to history id {goal.handle} ({goal.revision[:7]}), without pruning",
        parameters={"history_id": int(goal.handle), "goal": goal.key, "spec_digest": state.spec_digest},
        done_when="the operation Succeeded, a new history entry shows it, and Argo CD reconciled after it ended",
        fallback="the rendered release cannot be had (Git and caches down): the operation ends in Error and nothing changed",
        command=shlex.join(["argocd", "app", "rollback", _cli(app.namespace, app.name), goal.handle]),
    )


def _mark(state: TargetState, suspect: Release) -> Step:
    app = reading.app_ref(state.target)
    words = f"stay rolled back from release {suspect.title}"
    patch = {"metadata": {"annotations": {reading.HOLD: words}}}
    unpatch = {"metadata": {"annotations": {reading.HOLD: None}}}

    def patched(body: object) -> str:
        return shlex.join(["argocd", "app", "patch", _cli(app.namespace, app.name), "--type", "merge", "--patch", json.dumps(body)])

    return Step(
        name=MARK,
        says=f"Mark {state.title} as held: {words}",
        optional=True,
        parameters={},
        done_when=f"the application carries the annotation {reading.HOLD}",
        fallback="refused (no right to update, or nothing renders): the hold stands in Backout alone",
        command=patched(patch),
        undo=Step(name=UNMARK, says=f"Take the hold mark off {state.title}", optional=True, done_when="the annotation is gone", command=patched(unpatch)),
    )


def _cli(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
