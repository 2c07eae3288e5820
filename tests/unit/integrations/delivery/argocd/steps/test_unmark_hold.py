from dataclasses import replace

from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import HOLD, carry_out


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
