"""An application whose owner would start a stopped auto-sync again and leaves the revision alone, pinned: what the tests of a pin share."""

from dataclasses import replace
from typing import Any

from service.domain.model import Way
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import carry_out

APPLIES = {"spec": {"syncPolicy": {"automated": {"enabled": True}}}}
"""Whoever applies `enabled` takes a stopped auto-sync back, and no revision."""


async def steps_of(stage: Stage) -> tuple[dict[str, Step], Intention]:
    offer, state = await stage.offer("web", way=Way.PIN)
    assert not offer.impossible, offer.impossible
    steps = {step.name: step for step in offer.steps}
    undo = steps["pin_source"].undo
    assert undo is not None
    return {**steps, undo.name: undo}, stage.intention(state)


async def pinned(stage: Stage) -> tuple[dict[str, Step], Intention]:
    steps, intention = await steps_of(stage)
    intent, seen = await carry_out(stage, steps["pin_source"], intention)
    assert seen.seen is Seen.DONE
    return steps, replace(intention, ours=(intent,), at=stage.clock.now())


def revision(app: Any) -> Any:
    return app["spec"]["source"].get("targetRevision")
