"""A cluster of machines that Spinnaker deploys, with the real service as a process of its own, real HTTP and a sandbox Gate."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from integrations.sandbox.spinnaker_side import BACKOUT
from integrations.sandbox.world import SPINNAKER
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

APP, ACCOUNT, REGION, CLUSTER = "fleet", "prod-aws", "us-east-1", "fleet-main"
TARGET = f"spin:{ACCOUNT}/{REGION}/{CLUSTER}"
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("machines")), SystemClock(), sides=(SPINNAKER,))
    try:
        await playground.start({APP: "v1.0.0"})
        yield playground
    finally:
        await playground.stop()


async def target_of(ground: Playground) -> Mapping[str, Any]:
    found: Mapping[str, Any] = await ground.get(f"/v1/targets/{quote(TARGET, safe='')}")
    return found


async def test_a_bad_image_on_machines_is_taken_back_by_enabling_the_old_server_group(ground: Playground) -> None:
    gate = ground.world.gate
    gate.add_user(replace(BACKOUT, accounts={*BACKOUT.accounts, ACCOUNT}))
    gate.add_account(ACCOUNT, "aws")
    old = gate.groups.runs(APP, cluster=CLUSTER, account=ACCOUNT, image="ami-1", capacity=(2, 4, 3))

    async def seen_well() -> bool:
        return any(one["healthy_for_s"] >= 1 for one in (await target_of(ground))["releases"])

    await ground.until(seen_well, PATIENCE, "the old server group to be watched")
    bad = gate.groups.runs(APP, cluster=CLUSTER, account=ACCOUNT, image="ami-2", capacity=(2, 4, 3))
    old.disabled = True

    async def deployed() -> bool:
        return str((await target_of(ground))["live"]["release"]) == bad.name

    await ground.until(deployed, PATIENCE, "the deploy to be seen")
    status, plan = await ground.post("/v1/plans", {"target": TARGET})
    assert status == 201, plan
    assert [step["name"] for step in plan["steps"]] == ["switch_groups"]
    answers = {one["rule"]: one["answer"] for one in plan["verdict"]["findings"]}
    assert {name: answers[name] for name in ("server_group_can_take_over", "goal_images_exist", "permissions_suffice", "rollback_will_stay")} == {
        "server_group_can_take_over": "pass",
        "goal_images_exist": "pass",
        "permissions_suffice": "pass",
        "rollback_will_stay": "pass",
    }
    assert "unknown" in answers.values()  # no labels of a machine image are read, so a person has to name what is not known
    asked = {"target": TARGET, "plan_digest": plan["digest"], "accept": plan["must_name"], "reason": "errors"}
    status, started = await ground.post("/v1/operations", asked)
    assert status == 202, started

    async def switched() -> Any:
        events = (await ground.get(f"/v1/operations/{started['id']}/events"))["events"]
        return next((one["body"] for one in events if one["kind"] == "step_done" and one["body"]["step"] == "switch_groups"), None)

    done = await ground.until(switched, PATIENCE, "the switch to be done")
    assert (old.disabled, bad.disabled) == (False, True)
    assert (done["handle"], done["status"]) == (old.name, "SUCCEEDED")
    posted = [(one["name"], one["user"]) for one in gate.clouddriver.posted if one["taken"] and one["name"].endswith("ServerGroup")]
    assert posted == [("enableServerGroup", BACKOUT.name), ("disableServerGroup", BACKOUT.name)]

    async def seen_back() -> bool:
        return str((await target_of(ground))["live"]["release"]) == old.name

    await ground.until(seen_back, PATIENCE, "the old release to be live again")
