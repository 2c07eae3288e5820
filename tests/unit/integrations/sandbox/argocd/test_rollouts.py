"""What only the sandbox's clock and faults can show; what its Rollouts do is held to the real ones in tests/contract/argocd/test_rollouts.py."""

import asyncio
from typing import Any

import pytest

from integrations.sandbox.argocd.rollouts import _seconds
from integrations.sandbox.argocd.server import SandboxArgoCD
from tests.contract.argocd.server import ArgoCDServer
from tests.contract.argocd.test_rollouts import BY_HAND, HALF_THEN_STOP, Canary
from tests.unit.integrations.sandbox.argocd.conftest import TurnableClock


async def opened(server: ArgoCDServer, strategy: Any = HALF_THEN_STOP, **spec: Any) -> Canary:
    canary = Canary(server, "web", server.create_repository("web"), strategy, spec)
    canary.commit("1.0")
    await server.create_app("web", canary.repository)
    await server.sync("web")
    await canary.until("Healthy")
    return canary


@pytest.mark.parametrize(("length", "seconds"), [(30, 30.0), ("30", 30.0), ("45s", 45.0), ("10m", 600.0), ("1h", 3600.0)])
def test_a_pause_s_length_is_read_in_each_spelling(length: Any, seconds: float) -> None:
    assert _seconds(length) == seconds


async def test_a_controller_that_is_down_leaves_what_it_is_told_lying(server: ArgoCDServer, sandbox: SandboxArgoCD) -> None:
    canary = await opened(server)
    await canary.release("2.0", "Paused")
    sandbox.faults.rollouts_down = True
    await canary.act("abort")
    await asyncio.sleep(0.2)
    status = (await canary.live())["status"]
    assert (status["abort"], status["phase"], "abortedAt" in status) == (True, "Paused", False)

    sandbox.faults.rollouts_down = False
    assert (await canary.until("Degraded"))["abortedAt"]


async def test_a_canary_that_times_out_aborts_itself_where_it_is_told_to(server: ArgoCDServer, clock: TurnableClock) -> None:
    canary = await opened(server, progressDeadlineAbort=True, progressDeadlineSeconds=2)
    canary.commit("bad")
    await server.app("web", "?refresh=normal")
    await server.sync("web")
    clock.forward(seconds=2)
    status = await canary.until("Degraded", lambda told: bool(told.get("abort")))
    assert status["message"].startswith("RolloutAborted")
    await canary.until_running("1.0", "1.0", "1.0", "1.0")


async def test_an_old_blue_green_set_is_scaled_down_after_its_delay(server: ArgoCDServer) -> None:
    canary = await opened(server, {"blueGreen": {**BY_HAND["blueGreen"], "scaleDownDelaySeconds": 2}})
    await canary.release("2.0", "Paused")
    await canary.act("promote-full")
    await canary.until_running(*["2.0"] * 4)


@pytest.mark.parametrize(("seconds", "phase"), [(0, "Paused"), (1, "Healthy")], ids=["of the same second", "a second older"])
async def test_a_retiring_blue_green_set_is_gone_back_to_at_once_only_where_it_is_older_by_whole_seconds(
    server: ArgoCDServer, clock: TurnableClock, seconds: int, phase: str
) -> None:
    """As `isRollback` of the real controller has it, which once left a lab's Rollout paused for ever."""
    canary = await opened(server, BY_HAND)
    first = (await canary.live())["status"]["currentPodHash"]
    clock.forward(seconds=seconds)
    await canary.release("2.0", "Paused")
    await canary.act("promote-full")
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"] != first))

    await canary.roll_back()

    await canary.until(phase, lambda status: bool(status["currentPodHash"] == first))


async def test_a_blue_green_release_may_be_promoted_after_a_while_by_itself(server: ArgoCDServer, clock: TurnableClock) -> None:
    canary = await opened(server, {"blueGreen": {**BY_HAND["blueGreen"], "autoPromotionSeconds": 20}})
    await canary.release("2.0", "Paused")
    clock.forward(seconds=2)
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"] == status["blueGreen"]["activeSelector"]))


async def test_a_person_s_pause_stands_in_the_spec_until_it_is_resumed(server: ArgoCDServer) -> None:
    canary = await opened(server)
    await canary.release("2.0", "Paused")
    await canary.act("pause", by="human")
    assert (await canary.until("Paused", lambda status: bool(status["message"] == "manually paused")))["currentStepIndex"] == 1
    await canary.act("resume", by="human")
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))


async def test_a_step_can_be_skipped(server: ArgoCDServer) -> None:
    canary = await opened(server)
    await canary.release("2.0", "Paused")
    await canary.act("skip-current-step", by="human")
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))
