from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.errors import RefusedError
from service.domain.model import Json
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import stopped


def holding(stage: Stage, *, revision: str, by: dict[str, Any], **state: Any) -> None:
    """An operation that holds the slot and does not end by itself: the controller stands still."""
    operation = {"sync": {"revision": revision}, "initiatedBy": by, "retry": {}}

    def hold(app: Any) -> None:
        app["operation"] = operation
        app["status"]["operationState"] = {"operation": operation, "phase": "Running", "message": "", "startedAt": "2026-05-04T14:00:00Z", **state}

    stage.sandbox.faults.controller_down = True
    stage.sandbox.write_by_kubernetes("web", hold)


class Waking(CountingGuard):
    """Lets the controller work again once the request is about to be sent."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    async def __call__(self) -> None:
        await super().__call__()
        self._stage.sandbox.faults.controller_down = False


async def test_an_automated_operation_on_the_bad_release_is_ended(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    clear = steps["clear_slot"]
    holding(auto, revision=intention.suspect.revision, by={"automated": True}, retryCount=1)
    intent = await auto.argo.intend(clear, intention)
    assert (await auto.argo.observe(clear, intent)).seen is Seen.NOT_SEEN
    guard = Waking(auto)
    await auto.argo.act(clear, intent, guard)
    assert guard.asked == 1
    assert "operation" not in await auto.raw("web")
    assert (await auto.argo.observe(clear, intent)).seen is Seen.DONE


@pytest.mark.parametrize(
    ("by", "revision", "state"),
    [
        ({"username": "alice"}, "suspect", {}),
        ({"username": "alice"}, "other", {"retryCount": 2}),
        ({"automated": True}, "other", {}),
    ],
    ids=["a person's", "a person's stuck one on another release", "an automated one on another release"],
)
async def test_operations_that_are_not_ours_to_end_are_left_alone(auto: Stage, by: dict[str, Any], revision: str, state: dict[str, Any]) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["clear_slot"], intention)
    holding(auto, revision=intention.suspect.revision if revision == "suspect" else "d" * 40, by=by, **state)
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="hands off"):
        await auto.argo.act(steps["clear_slot"], intent, guard)
    assert guard.asked == 0
    assert (await auto.argo.observe(steps["clear_slot"], intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="hands off"):
        await auto.argo.intend(steps["clear_slot"], intention)


async def test_a_persons_stuck_operation_on_the_bad_release_is_ended(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    holding(auto, revision=intention.suspect.revision, by={"username": "alice"}, retryCount=2)
    intent = await auto.argo.intend(steps["clear_slot"], replace(intention, not_before=None))
    await auto.argo.act(steps["clear_slot"], intent, Waking(auto))
    assert "operation" not in await auto.raw("web")


async def test_an_operation_that_does_not_end_is_refused_in_time(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    holding(auto, revision=intention.suspect.revision, by={"automated": True})
    intent = await auto.argo.intend(steps["clear_slot"], intention)
    guard, begun = CountingGuard(), auto.clock.now()
    with pytest.raises(RefusedError, match="does not end"):
        await auto.argo.act(steps["clear_slot"], intent, guard)
    assert guard.asked == 1
    assert auto.clock.now() - begun < timedelta(seconds=25)


async def test_an_empty_slot_needs_nothing(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["clear_slot"], intention)
    guard = CountingGuard()
    await auto.argo.act(steps["clear_slot"], intent, guard)
    assert guard.asked == 0


async def test_the_whole_way_back_of_an_auto_synced_application_stays(auto: Stage) -> None:
    offer, state = await auto.offer("web")
    assert [step.name for step in offer.steps] == ["stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]
    intention = auto.intention(state)
    ours: list[Mapping[str, Json]] = []
    for step in offer.steps:
        auto.tick(1)
        intent = await auto.argo.intend(step, replace(intention, ours=tuple(ours), at=auto.clock.now()))
        await auto.argo.act(step, intent, CountingGuard())
        if step.name == "roll_back":
            await auto.deployed("web", 3)
        assert (await auto.argo.observe(step, intent)).seen is Seen.DONE, step.name
        ours.append(intent)
    await auto.settle(0.2)
    after = await auto.argo.look(state.target)
    assert after.current is not None
    assert (after.current.key, after.current.handle) == (intention.goal.key, "2")
    assert after.desired_revision == intention.suspect.revision
