"""One cause over two delivery systems, with the real service as a process of its own, a sandbox Argo CD and a sandbox Gate in one world."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from integrations.sandbox.world import SIDES, SPINNAKER
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

APPS = ("web", "ledger")
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("world")), SystemClock(), sides=SIDES)
    try:
        await playground.start(dict.fromkeys(APPS, "v1.0.0"), modes=dict.fromkeys(APPS, "approve"), on={"ledger": SPINNAKER})
        yield playground
    finally:
        await playground.stop()


async def ended(ground: Playground, app: str) -> Mapping[str, Any]:
    async def look() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["done_at"] else None

    found: Mapping[str, Any] = await ground.until(look, PATIENCE, f"the operation of {app} to end")
    return found


async def test_one_cause_over_an_argo_cd_application_and_a_spinnaker_deployment_is_one_group_of_two_incidents(ground: Playground) -> None:
    """One commit, from which an image of each was built, burns in both delivery systems: people see one trouble, and give two plans one word each."""
    good = {app: await ground.world.live(app) for app in APPS}
    first = await ground.world.release("web", "v2.0.0", errors=0.3)
    second = await ground.world.release("ledger", "v2.0.0", errors=0.4, built_with=first)
    for shipped in (first, second):
        await ground.world.until_live(shipped.app, shipped)

    async def both_wait() -> list[Mapping[str, Any]] | None:
        found = [await ground.operation_of(app) for app in APPS]
        return [one for one in found if one] if all(one and one["phase"] == "awaiting_approval" for one in found) else None

    offers: list[Mapping[str, Any]] = await ground.until(both_wait, PATIENCE, "both offers")
    incidents = [(await ground.get(f"/v1/incidents?target={ground.world.target(app)}"))["incidents"] for app in APPS]
    assert [len(one) for one in incidents] == [1, 1]
    (web,), (ledger,) = incidents
    assert web["id"] != ledger["id"]
    assert web["group"] == ledger["group"]
    assert [[one["id"] for one in incident["same_cause"]] for incident in (web, ledger)] == [[ledger["id"]], [web["id"]]]
    targets = {offer["target"] for offer in offers}

    async def one_names_the_other() -> bool:
        """The message of whichever found its suspect later."""
        told = [one.body for one in ground.world.sink.received if isinstance(one.body, dict)]
        return any(other in str(one["text"]) for one in told if one.get("target") in targets for other in targets - {one["target"]})

    await ground.until(one_names_the_other, PATIENCE, "a message that names the other target")
    for offer in offers:
        status, _ = await ground.post(f"/v1/operations/{offer['id']}/approve", {"plan_digest": offer["plan_digest"], "accept": offer["must_name"]})
        assert status == 202
    for app in APPS:
        operation = await ended(ground, app)
        assert (operation["outcome"], await ground.world.side_of(app).times_taken_back(app), await ground.world.live(app)) == ("recovered", 1, good[app])
