"""Which ways back Spinnaker offers for a case, best first, and their steps; pure over the facts. Each step is an order that a person could follow as well.

The steps stand in `steps/`; they are carried out by `hands.py`, which reads the world again before each.
"""

from integrations.delivery.spinnaker import commands, group_ways, stay_back
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.names import address_of
from integrations.delivery.spinnaker.steps import run_own_pipeline, undo, watch
from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.model import Release, Way
from service.domain.planning.plan import Offer
from service.domain.rule import Case, Direction

BECAUSE = "the cluster still has the revision: its controller brings the pod template back within seconds, and no pipeline runs"
FORWARD_BECAUSE = "Spinnaker keeps no desired state: a person deploys the fix with their own pipeline, and Backout measures it"


def offers(case: Case, url: str) -> tuple[Offer, ...]:
    """The undo; under a hold the way forward, if the case leads there. `url` is Gate's address, for commands."""
    if case.direction is Direction.FORWARD:
        return (_forward(case, url),)
    if case.suspect is None or case.goal is None:
        return (_impossible(case.why_none or "no release to go back to is known"),)
    fact = case.facts.read(keys.state(case.target))
    if isinstance(fact, Absent):
        return (_impossible(f"the state of the manifest is unknown: {fact.why}"),)
    state = fact.value
    if why := _why_not(state, case.suspect, case.goal):
        return (_impossible(group_ways.why_gone(case, case.suspect, case.goal) or why),)
    own = case.facts.read(keys.own_pipeline(case.target, case.goal.key, case.goal.handle))
    if isinstance(own, Absent):
        return (_impossible(f"whether the team has a rollback pipeline of its own is unknown: {own.why}"),)
    if own.value is not None:
        return (_own(state, case.suspect, case.goal, own.value, url),)
    address = address_of(case.target)
    if not isinstance(address, ManifestAddress):
        return group_ways.offers(case, url, address, state, case.suspect, case.goal)
    job = {
        "type": "undoRolloutManifest",
        "cloudProvider": "kubernetes",
        "account": address.account,
        "location": address.location,
        "manifestName": address.spoken,
        "revision": int(case.goal.handle),
    }
    body = {"application": state.project, "description": f"Undo {address.spoken} to revision {case.goal.handle}", "job": [job]}
    steps = stay_back.around(state, case.suspect, undo.plan(state, case.goal, commands.post(url, "/tasks", body)), url)
    return (Offer(way=Way.UNDO, steps=steps, because=BECAUSE, permissions=("get", "sync")),)


def _own(state: TargetState, suspect: Release, goal: Release, own: keys.OwnPipeline, url: str) -> Offer:
    """The team said that this is how it goes back here, so nothing else is offered beside it."""
    because = f"pipeline {own.name} is how the team goes back here (rollback_pipelines)"
    if stops := (*own.blocked, *own.missing):
        return _impossible(f"pipeline {own.name} cannot be started: {'; '.join(stops)}", Way.OWN_PIPELINE, because)
    command = commands.post(url, commands.start_path(state.project, own.id), {"type": "manual", "parameters": dict(own.values)})
    steps = stay_back.around(state, suspect, run_own_pipeline.plan(state, goal, own, command), url)
    return Offer(way=Way.OWN_PIPELINE, steps=steps, because=because, permissions=("get", "sync"))


def _impossible(why: str, way: Way = Way.UNDO, because: str = BECAUSE) -> Offer:
    return Offer(way=way, steps=(), because=because, impossible=why)


def _why_not(state: TargetState, suspect: Release, goal: Release) -> str:
    if state.current is None or (state.current.handle, state.current.key) != (suspect.handle, suspect.key):
        return f"release {suspect.title} is not what is rolled out now ({state.current.title if state.current else 'nothing'})"
    if not any((one.handle, one.key) == (goal.handle, goal.key) for one in state.history):
        kept = "" if state.history_limit is None else f" (it keeps {state.history_limit})"
        return f"the cluster does not have release {goal.title} any more{kept}"
    if any("is paused" in words for words in state.warnings):
        return "its roll-out is paused: an undo would be refused, and whoever resumes it pushes the newest version on"
    return ""


def _forward(case: Case, url: str) -> Offer:
    """Nothing is deployed by us; what a person deployed is looked at, and once it was seen to be well the hold ends."""
    fact = case.facts.read(keys.state(case.target))
    if case.suspect is None or case.goal is None:
        return _impossible(case.why_none or "no release to go to is known", Way.FORWARD, FORWARD_BECAUSE)
    if isinstance(fact, Absent):
        return _impossible(f"the state of the manifest is unknown: {fact.why}", Way.FORWARD, FORWARD_BECAUSE)
    if case.deploys:
        return _impossible(f"release {case.goal.title} is deployed by whoever starts its pipeline", Way.FORWARD, FORWARD_BECAUSE)
    look = watch.plan(fact.value, case.goal, commands.get(url, commands.live_path(fact.value.project, address_of(case.target))))
    because = f"release {case.goal.title} is live already: once it was seen to be well, the hold ends"
    steps = (look, *stay_back.ends_hold(fact.value, case.goal, case.context.get("remembered"), url))
    return Offer(way=Way.FORWARD, steps=steps, because=because, permissions=("get",))
