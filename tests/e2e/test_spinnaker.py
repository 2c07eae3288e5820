"""What only Spinnaker has, with the real service as a process of its own, real HTTP and a sandbox Gate. What both have is in test_stories.py."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from integrations.sandbox.world import SPINNAKER
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SHOPS = {"pushed": "v3.1.0"}
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("spinnaker")), SystemClock(), sides=(SPINNAKER,))
    try:
        await playground.start(SHOPS)
        yield playground
    finally:
        await playground.stop()


async def ended(ground: Playground, app: str) -> Mapping[str, Any]:
    async def look() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["done_at"] else None

    found: Mapping[str, Any] = await ground.until(look, PATIENCE, f"the operation of {app} to end")
    return found


async def test_the_run_of_a_trigger_that_would_deploy_the_bad_release_again_is_cancelled_first(ground: Playground) -> None:
    ground.world.spinnaker.pushed.add("pushed")
    good = await ground.world.live("pushed")
    shipped = await ground.world.release("pushed", "v3.2.0", errors=0.4)
    await ground.world.until_live("pushed", shipped)
    operation = await ended(ground, "pushed")
    assert operation["outcome"] == "recovered", operation["says"]
    (undo,) = ground.world.spinnaker.undos("pushed")
    assert (undo["revision"], "numRevisionsBack" in undo, await ground.world.live("pushed")) == (1, False, good)
    (run,) = [one.execution for one in ground.world.gate.executions if one.execution["application"] == "pushed" and one.kind == "PIPELINE"]
    assert (run["status"], run["cancellationReason"]) == ("CANCELED", f"Backout {operation['id']}")
    deploys = [one for one in ground.world.gate.clouddriver.posted if one["name"] == "deployManifest" and one["body"]["moniker"]["app"] == "pushed"]
    assert len(deploys) == 1
    events = (await ground.get(f"/v1/operations/{operation['id']}/events"))["events"]
    undone = next(one["body"] for one in events if one["kind"] == "step_done" and one["body"]["step"] == "undo")
    assert undone["before"]["images"] == [shipped.image]
    assert undone["after"]["images"] != undone["before"]["images"]
    assert await ground.world.side_of("pushed").kept_away("pushed") == {"no run that would deploy it again is under way": True}
