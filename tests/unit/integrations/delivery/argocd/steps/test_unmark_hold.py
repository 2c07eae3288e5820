from dataclasses import replace

from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, HOLD, automated, carry_out, forward_offer, held


async def test_a_hold_is_marked_and_unmarked(plain: Stage) -> None:
    step, intention = await plain.ready("web", "mark_hold")
    assert step.optional
    intent, seen = await carry_out(plain, step, intention)
    assert seen.seen is Seen.DONE
    assert (await plain.raw("web"))["metadata"]["annotations"] == {HOLD: intention.marker}
    second = CountingGuard()
    await plain.argo.act(step, intent, second)
    assert second.asked == 0
    assert step.undo is not None
    _, gone = await carry_out(plain, step.undo, replace(intention, ours=(intent,), marker=""))
    assert gone.seen is Seen.DONE
    assert not (await plain.raw("web"))["metadata"].get("annotations")


async def test_the_end_of_a_hold_by_hand_takes_the_mark_off_and_leaves_auto_sync_as_it_is(auto: Stage) -> None:
    state = await held(auto)
    assert state.current is not None
    (step,) = forward_offer(auto, state, live_already=True, remembered=None).steps
    by_hand = replace(auto.intention(state, marker=""), suspect=state.current, goal=state.current, not_before=None, own_marker=state.marker)
    _, seen = await carry_out(auto, step, by_hand)
    app = await auto.raw("web")
    assert (seen.seen, HOLD in (app["metadata"].get("annotations") or {})) == (Seen.DONE, False)
    assert automated(app) == {**AUTO, "enabled": False}
