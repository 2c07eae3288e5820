"""The way forward under a hold on Argo CD, and its steps; pure over the facts. The bad release's way back is in `ways.py`."""

from collections.abc import Mapping

from integrations.delivery.argocd.steps import prove_controller, restore_auto_sync, sync_release, unmark_hold
from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.model import Json, Release, Way
from service.domain.planning.plan import Offer, Step
from service.domain.rule import Case

BECAUSE = "an explicit sync deploys what is desired while auto-sync stays off; what it was comes back once the release was seen to be well"


def offers(case: Case) -> tuple[Offer, ...]:
    """An explicit sync, or (where the release is live already) only what ends the hold."""
    fact = case.facts.read(keys.state(case.target))
    if case.suspect is None or case.goal is None:
        return (_impossible(case.why_none or "no release to go to is known"),)
    if isinstance(fact, Absent):
        return (_impossible(f"the state of the application is unknown: {fact.why}"),)
    state = fact.value
    if case.deploys and (why := _why_not(state, case.suspect, case.goal)):
        return (_impossible(why),)
    remembered = case.context.get("remembered")
    ends = _ends_hold(state, case.goal, remembered if isinstance(remembered, Mapping) else None)
    if not case.deploys:
        return (Offer(way=Way.FORWARD, steps=ends, because=f"release {case.goal.title} is live already: once it was seen to be well, the hold ends"),)
    steps = (prove_controller.plan(state), sync_release.plan(state, case.goal, case.suspect), *ends)
    return (Offer(way=Way.FORWARD, steps=steps, because=BECAUSE, permissions=("get", "sync", "update")),)


def _impossible(why: str) -> Offer:
    return Offer(way=Way.FORWARD, steps=(), because=BECAUSE, impossible=why)


def _why_not(state: TargetState, live: Release, goal: Release) -> str:
    if state.current is None or (state.current.handle, state.current.key) != (live.handle, live.key):
        return f"release {live.title} is not what Argo CD deployed last ({state.current.title if state.current else 'nothing'})"
    if state.desired_key != goal.key:
        return f"what is desired is no longer release {goal.title}"
    if state.auto_sync:
        return "auto-sync is on: Argo CD deploys by itself"
    return f"{state.owner.says}; change it in Git instead" if state.owner.reverts else ""


def _ends_hold(state: TargetState, goal: Release, remembered: Mapping[str, Json] | None) -> tuple[Step, ...]:
    """Auto-sync comes back as it was, and our mark goes; where a person turned it on, or there was none, only the mark goes."""
    if remembered is not None and not state.auto_sync and isinstance(remembered.get("automated"), Mapping):
        return (prove_controller.plan(state, once_verified=True), restore_auto_sync.plan(state, remembered, goal=goal))
    return (unmark_hold.plan(state, ends_hold=True),)
