"""What the tests of the steps share: an auto-synced application, and carrying a step out to its end."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys
from service.domain.facts import Evidence, Facts, Known
from service.domain.keys import TargetState
from service.domain.model import Json, Release, Way
from service.domain.planning.plan import Offer, Step
from service.domain.policy import TargetPolicy
from service.domain.ports import Intention, Observation, Seen
from service.domain.rule import Case
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage

AUTO = {"prune": True, "selfHeal": True}
HOLD = "backout.dev/hold"
CLOSED = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}


async def carry_out(stage: Stage, step: Step, intention: Intention) -> tuple[dict[str, Json], Observation]:
    intent = await stage.argo.intend(step, intention)
    await stage.argo.act(step, intent, CountingGuard())
    return dict(intent), await stage.argo.observe(step, intent)


async def stopped(stage: Stage) -> tuple[dict[str, Step], Intention, dict[str, Json]]:
    """Auto-sync of `web` stopped by us: all steps, the intention that knows the first effect, and its intent."""
    offer, state = await stage.offer("web")
    assert not offer.impossible, offer.impossible
    steps = {step.name: step for step in offer.steps}
    intention = stage.intention(state)
    intent, seen = await carry_out(stage, steps["stop_auto_sync"], intention)
    assert seen.seen is Seen.DONE
    return steps, replace(intention, ours=(intent,), at=stage.clock.now()), intent


def automated(app: Any) -> Any:
    return app["spec"]["syncPolicy"].get("automated")


MARKER = "operation=op-1 suspect=bad goal=good"


async def held(stage: Stage) -> TargetState:
    """`web` rolled back to 1.0 by us, auto-sync stopped and marked, as it stands under a hold; then a fix is pushed and seen by Argo CD."""
    offer, state = await stage.offer("web")
    assert not offer.impossible, offer.impossible
    intention = stage.intention(state, marker=MARKER)
    for step in offer.steps:
        intent, seen = await carry_out(stage, step, replace(intention, at=stage.clock.now()))
        if step.name == "roll_back":
            await stage.deployed("web", 3)
            stage.tick()
            seen = await stage.argo.observe(step, intent)
        assert seen.seen is Seen.DONE, seen
        intention = replace(intention, ours=(*intention.ours, intent))
    stage.tick()
    stage.commit("web", "registry.example/web:3.0")
    await stage.person("GET", "/applications/web?refresh=normal")
    stage.tick()
    return await stage.argo.look(stage.target("web"))


def forward_offer(stage: Stage, state: TargetState, *, live_already: bool = False, remembered: Any = AUTO, goal: Release | None = None) -> Offer:
    """What Argo CD offers for going forward to what is desired."""
    now = stage.clock.now()
    known = {keys.state(state.target): Known(value=state, evidence=Evidence(source="test", what="state", read_at=now), good_for=timedelta(hours=1))}
    goal = goal or desired(state, now)
    context = {"live_already": live_already, "remembered": {"automated": remembered} if remembered else None}
    case = Case(
        target=state.target,
        policy=TargetPolicy(),
        suspect=state.current,
        goal=state.current if live_already else goal,
        way=Way.FORWARD,
        facts=Facts(known=known, now=now),
        context=context,
    )
    (offer,) = stage.argo.offers(case)
    return offer


def desired(state: TargetState, now: datetime) -> Release:
    return Release(target=state.target, key=state.desired_key, handle="", sources=state.desired, started_at=now)


def forward_intention(stage: Stage, state: TargetState, **changes: Any) -> Intention:
    """As an operation that goes forward under the hold has it."""
    assert state.current is not None
    made = stage.intention(state, operation_id="op-2", suspect=state.current, goal=desired(state, stage.clock.now()), marker="operation=op-2 suspect= goal=")
    return replace(made, own_marker=MARKER, **changes)


async def synced(stage: Stage) -> tuple[TargetState, dict[str, Step], Intention, Release]:
    """The fix deployed by our explicit sync: the state before, all steps, the intention that knows the sync, and the fix as it is live."""
    state = await held(stage)
    steps = {step.name: step for step in forward_offer(stage, state).steps}
    intention = forward_intention(stage, state)
    intent, _ = await carry_out(stage, steps["sync_release"], intention)
    await stage.deployed("web", 4)
    stage.tick(40)
    seen = await stage.argo.observe(steps["sync_release"], intent)
    assert seen.seen is Seen.DONE, seen
    live = replace(intention.goal, handle=str(seen.details["handle"]))
    return state, steps, replace(intention, ours=(intent,), at=stage.clock.now()), live
