"""The story on Spinnaker, with the real service as a process of its own, real HTTP and a sandbox Gate; the assertions are those of Argo CD's stories."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from integrations.sandbox.spinnaker_world import SpinnakerWorld
from service.wiring.checking import doctor
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SHOPS = {"checkout": "v2.4.6", "pushed": "v3.1.0", "quiet": "v1.0.0"}
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


class Ground(Playground):
    """With a Spinnaker in it."""

    world: SpinnakerWorld


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    playground = Ground(Path(tmp_path_factory.mktemp("spinnaker")), SystemClock(), world=SpinnakerWorld)
    try:
        await playground.start(SHOPS)
        yield playground
    finally:
        await playground.stop()


async def ended(ground: Ground, app: str) -> Mapping[str, Any]:
    async def look() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["done_at"] else None

    found: Mapping[str, Any] = await ground.until(look, PATIENCE, f"the operation of {app} to end")
    return found


def undos(ground: Ground, app: str) -> list[Mapping[str, Any]]:
    """What Clouddriver was asked to undo for the shop."""
    return [one["body"] for one in ground.world.gate.clouddriver.posted if one["name"] == "undoRolloutManifest" and one["body"]["location"] == app]


async def test_doctor_finds_everything_well(ground: Ground) -> None:
    lines = await doctor(ground.config)
    assert [line for line in lines if line.well == "no"] == []
    assert any(line.what == "spinnaker sandbox ways" for line in lines)


async def test_an_alert_leads_to_the_deploy_that_caused_it_and_one_undo_takes_it_back(ground: Ground) -> None:
    good = await ground.world.live("checkout")
    shipped = await ground.world.release("checkout", "v2.5.0", errors=0.31)
    await ground.world.until_live("checkout", shipped)
    operation = await ended(ground, "checkout")
    assert (operation["outcome"], operation["automatic"]) == ("recovered", True), operation["says"]
    (undo,) = undos(ground, "checkout")
    assert (undo["revision"], "numRevisionsBack" in undo) == (1, False)
    assert await ground.world.live("checkout") == good
    events = (await ground.get(f"/v1/operations/{operation['id']}/events"))["events"]
    done = next(one for one in events if one["kind"] == "step_done")
    assert done["body"]["before"]["images"] != done["body"]["after"]["images"]
    held = (await ground.get(f"/v1/holds?target={ground.world.target('checkout')}"))["holds"]
    assert len(held) == 1


async def test_the_run_of_a_trigger_that_would_deploy_the_bad_release_again_is_cancelled_first(ground: Ground) -> None:
    ground.world.pushed.add("pushed")
    good = await ground.world.live("pushed")
    shipped = await ground.world.release("pushed", "v3.2.0", errors=0.4)
    await ground.world.until_live("pushed", shipped)
    operation = await ended(ground, "pushed")
    assert operation["outcome"] == "recovered", operation["says"]
    assert (len(undos(ground, "pushed")), await ground.world.live("pushed")) == (1, good)
    (run,) = [one.execution for one in ground.world.gate.executions if one.execution["application"] == "pushed" and one.kind == "PIPELINE"]
    assert (run["status"], run["cancellationReason"]) == ("CANCELED", f"Backout {operation['id']}")
    deploys = [one for one in ground.world.gate.clouddriver.posted if one["name"] == "deployManifest" and one["body"]["moniker"]["app"] == "pushed"]
    assert len(deploys) == 1


async def test_a_shop_that_nobody_complained_about_was_left_alone(ground: Ground) -> None:
    assert await ground.operation_of("quiet") is None
    assert undos(ground, "quiet") == []
