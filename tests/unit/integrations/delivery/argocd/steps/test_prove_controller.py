from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.errors import RefusedError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, opened
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, stopped


async def test_a_living_controller_answers_the_refresh(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    auto.tick()
    intent = await auto.argo.intend(steps["prove_controller"], replace(intention, at=auto.clock.now()))
    guard = CountingGuard()
    await auto.argo.act(steps["prove_controller"], intent, guard)
    assert guard.asked == 1
    seen = await auto.argo.observe(steps["prove_controller"], intent)
    assert seen.seen is Seen.DONE


async def test_a_dead_controller_is_refused_and_seen_as_failed(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.two_releases("web", automated=AUTO)
        stage.argo = stage.adapter(refresh_timeout_seconds=1)
        steps, intention, _ = await stopped(stage)
        stage.tick()
        stage.sandbox.faults.controller_down = True
        intent = await stage.argo.intend(steps["prove_controller"], replace(intention, at=stage.clock.now()))
        with pytest.raises(RefusedError, match="did not answer a refresh within 1 s: a rollback now would fire later"):
            await stage.argo.act(steps["prove_controller"], intent, CountingGuard())
        stage.tick(5)
        assert (await stage.argo.observe(steps["prove_controller"], intent)).seen is Seen.FAILED


async def test_a_refresh_under_auto_sync_is_never_asked_for(auto: Stage) -> None:
    offer, state = await auto.offer("web")
    prove = next(step for step in offer.steps if step.name == "prove_controller")
    with pytest.raises(RefusedError, match="a refresh now could deploy a newer commit"):
        await auto.argo.intend(prove, auto.intention(state))
