from dataclasses import replace
from typing import Any

import pytest

from service.domain import keys
from service.domain.model import Way
from tests.unit.integrations.delivery.argocd.stage import Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import carry_out, desired, forward_intention, forward_offer, held


async def test_an_explicit_sync_is_offered_with_its_way_back_and_the_end_of_the_hold(auto: Stage) -> None:
    offer = forward_offer(auto, await held(auto))
    assert (offer.way, offer.impossible) == (Way.FORWARD, "")
    assert [(step.name, step.once_verified) for step in offer.steps] == [
        ("prove_controller", False),
        ("sync_release", False),
        ("prove_controller", True),
        ("restore_auto_sync", True),
    ]
    sync = offer.steps[1]
    assert (sync.undo.name if sync.undo else "") == "return_to_release"
    assert sync.command.startswith("argocd app sync web --revision ")


async def test_where_the_release_is_live_only_the_end_of_the_hold_is_left(auto: Stage) -> None:
    state = await held(auto)
    assert [step.name for step in forward_offer(auto, state, live_already=True).steps] == ["prove_controller", "restore_auto_sync"]
    assert [step.name for step in forward_offer(auto, replace(state, auto_sync=True), live_already=True).steps] == ["unmark_hold"]
    assert [step.name for step in forward_offer(auto, state, live_already=True, remembered=None).steps] == ["unmark_hold"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"desired": ()}, "what is desired is no longer release"),
        ({"auto_sync": True}, "auto-sync is on"),
        ({"owner": keys.Owner(kind="applicationset", name="shops", reverts=True, says="the ApplicationSet shops")}, "change it in Git instead"),
    ],
)
async def test_what_could_not_be_done_is_not_offered(auto: Stage, changes: dict[str, Any], why: str) -> None:
    state = await held(auto)
    offer = forward_offer(auto, replace(state, **changes), goal=desired(state, auto.clock.now()))
    assert (offer.steps, why in offer.impossible) == ((), True)


async def test_the_mark_of_a_hold_without_auto_sync_is_taken_off(plain: Stage) -> None:
    offer, state = await plain.offer("web")
    steps = {step.name: step for step in offer.steps}
    marker = "operation=op-1 suspect= goal="
    await carry_out(plain, steps["mark_hold"], plain.intention(state, marker=marker))
    unmark = forward_offer(plain, state, live_already=True, remembered=None).steps[0]
    await carry_out(plain, unmark, replace(forward_intention(plain, state), own_marker=marker, not_before=None))
    assert "backout.dev/hold" not in ((await plain.raw("web"))["metadata"].get("annotations") or {})
