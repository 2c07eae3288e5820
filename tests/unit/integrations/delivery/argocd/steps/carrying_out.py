"""What the tests of the steps share: an auto-synced application, and carrying a step out to its end."""

from dataclasses import replace
from typing import Any

from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Observation, Seen
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
