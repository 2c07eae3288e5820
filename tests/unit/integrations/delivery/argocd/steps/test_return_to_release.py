from dataclasses import replace

import pytest

from service.domain.errors import RefusedError
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, automated, carry_out, forward_intention, forward_offer, held, synced


def undo_of(steps: dict[str, Step]) -> Step:
    undo = steps["sync_release"].undo
    assert undo is not None
    return undo


async def failed(stage: Stage) -> tuple[dict[str, Step], Intention, str]:
    """The fix is live and not well: what takes it back, with the handle of the release that was live before."""
    state, steps, intention, live = await synced(stage)
    assert state.current is not None
    return steps, replace(intention, suspect=live, goal=state.current, not_before=None), state.current.revision


async def test_the_release_before_is_live_again_and_auto_sync_stays_off(auto: Stage) -> None:
    steps, intention, good = await failed(auto)
    intent, _ = await carry_out(auto, undo_of(steps), intention)
    await auto.deployed("web", 5)
    auto.tick(40)
    seen = await auto.argo.observe(undo_of(steps), intent)
    app = await auto.raw("web")
    assert (seen.seen, seen.details["handle"]) == (Seen.DONE, "4")
    assert app["status"]["history"][-1]["revision"] == good
    assert automated(app) == {**AUTO, "enabled": False}


async def test_our_own_sync_that_hangs_is_ended_first(auto: Stage) -> None:
    state = await held(auto)
    steps = {step.name: step for step in forward_offer(auto, state).steps}
    intention = forward_intention(auto, state)
    auto.sandbox.faults.controller_down = True
    sent, _ = await carry_out(auto, steps["sync_release"], intention)
    auto.sandbox.faults.controller_down = False
    assert state.current is not None
    back = replace(intention, suspect=intention.goal, goal=state.current, not_before=None, ours=(sent,), at=auto.clock.now())
    intent, _ = await carry_out(auto, undo_of(steps), back)
    await auto.until("web", lambda app: "operation" not in app, "an end")
    auto.tick(40)
    assert (await auto.argo.observe(undo_of(steps), intent)).seen is Seen.DONE
    assert (await auto.raw("web"))["status"]["history"][-1]["revision"] == state.current.revision


async def test_promise_5_what_somebody_deployed_over_it_is_theirs(auto: Stage) -> None:
    steps, intention, _ = await failed(auto)
    await auto.deploy("web", "registry.example/web:4.0")
    with pytest.raises(RefusedError, match="admin deployed release 4 since: hands off"):
        await auto.argo.intend(undo_of(steps), replace(intention, at=auto.clock.now()))


async def test_without_a_sync_of_ours_nothing_is_taken_back(auto: Stage) -> None:
    steps, intention, _ = await failed(auto)
    with pytest.raises(RefusedError, match="no sync of this operation is known"):
        await auto.argo.intend(undo_of(steps), replace(intention, ours=()))


async def test_auto_sync_that_somebody_turned_on_is_not_fought(auto: Stage) -> None:
    steps, intention, _ = await failed(auto)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"]["automated"].pop("enabled"))
    with pytest.raises(RefusedError, match="auto-sync is on again"):
        await auto.argo.intend(undo_of(steps), intention)
