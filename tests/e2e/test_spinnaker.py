"""What only Spinnaker has, with the real service as a process of its own, real HTTP and a sandbox Gate. What both have is in test_stories.py."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from integrations.sandbox.gate.settings import Outage
from integrations.sandbox.world import SPINNAKER
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SHOPS = {"pushed": "v3.1.0", "triggered": "v1.2.0", "frozen": "v2.0.0"}
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("spinnaker")), SystemClock(), sides=(SPINNAKER,))
    playground.world.spinnaker.shut_triggers = True
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


async def test_promise_3_a_run_that_would_deploy_it_again_is_cancelled_and_one_undo_made_though_answers_are_empty_or_lost(ground: Playground) -> None:
    gate = ground.world.gate
    ground.world.spinnaker.pushed.add("pushed")
    good = await ground.world.live("pushed")
    shipped = await ground.world.release("pushed", "v3.2.0", errors=0.4)
    await ground.world.until_live("pushed", shipped)
    gate.faults.answer_with_nothing = 2  # reads of the run: "gone" is never concluded from 200 with nothing
    gate.faults.lose_answers = 2  # of the cancel, and of the undo
    operation = await ended(ground, "pushed")
    assert operation["outcome"] == "recovered", operation["says"]
    (undo,) = ground.world.spinnaker.undos("pushed")
    assert (undo["revision"], "numRevisionsBack" in undo, await ground.world.live("pushed")) == (1, False, good)
    assert (gate.faults.answer_with_nothing, gate.faults.lose_answers, ground.world.spinnaker.asks("pushed")) == (0, 0, 1)
    (run,) = ground.world.spinnaker.runs("pushed")
    assert (run["status"], run["cancellationReason"]) == ("CANCELED", f"Backout {operation['id']}")
    deploys = [one for one in ground.world.gate.clouddriver.posted if one["name"] == "deployManifest" and one["body"]["moniker"]["app"] == "pushed"]
    assert len(deploys) == 1
    events = (await ground.get(f"/v1/operations/{operation['id']}/events"))["events"]
    undone = next(one["body"] for one in events if one["kind"] == "step_done" and one["body"]["step"] == "undo")
    assert undone["before"]["images"] == [shipped.image]
    assert undone["after"]["images"] != undone["before"]["images"]
    assert await ground.world.side_of("pushed").kept_away("pushed") == {"no run that would deploy it again is under way": True}


async def test_promise_7_a_trigger_is_shut_under_the_hold_a_flip_back_is_told_and_not_fought_and_the_fix_gives_the_trigger_back(ground: Playground) -> None:
    """The whole life of a hold: the release is taken back, a person's relative undo flips it forward again, and a fix that is well ends it."""
    world, side = ground.world, ground.world.spinnaker
    side.triggered.add("triggered")
    push = {"id": "other", "type": "docker", "enabled": True, "account": "registry", "repository": "shop/triggered", "runAsUser": "alice"}
    count = {"type": "wait", "waitTime": 1, "refId": "1", "requisiteStageRefIds": []}
    world.gate.save_pipeline({"application": "triggered", "name": "count pushes", "stages": [count], "triggers": [push]})
    target = world.target("triggered")
    good = await world.live("triggered")
    bad = await world.release("triggered", "v1.3.0", errors=0.4)
    await world.until_live("triggered", bad)
    operation = await ended(ground, "triggered")
    assert operation["outcome"] == "recovered", operation["says"]
    assert {one["id"]: one["enabled"] for one in side.triggers("triggered")} == {"pushed": False, "other": True}
    world.gate.an_image_is_pushed("shop/triggered", "v1.3.0")

    async def heard() -> bool:
        return any(one["name"] == "count pushes" for one in side.runs("triggered"))

    await ground.until(heard, PATIENCE, "the push to start what deploys nothing")
    assert [one["name"] for one in side.runs("triggered")] == ["deploy triggered v1.3.0", "count pushes"]
    assert await world.live("triggered") == good

    back = {
        "type": "undoRolloutManifest",
        "cloudProvider": "kubernetes",
        "account": "prod-k8s",
        "location": "triggered",
        "manifestName": "deployment triggered",
    }
    await side.call("POST", "/tasks", {"application": "triggered", "description": "by hand", "job": [{**back, "numRevisionsBack": 1}]})
    await world.until_live("triggered", bad)

    async def told() -> bool:
        texts = [str(one.body["text"]) for one in world.sink.received if isinstance(one.body, dict) and one.body.get("target") == str(target)]
        return any("live again" in text for text in texts)

    await ground.until(told, PATIENCE, "a message that the held release is live again")
    assert len(side.undos("triggered")) == 1

    fix = await world.release("triggered", "v1.3.1")
    await world.until_live("triggered", fix)

    async def over() -> bool:
        return not (await ground.get(f"/v1/holds?target={target}"))["holds"]

    await ground.until(over, PATIENCE, "the hold to end")
    assert [one["enabled"] for one in side.triggers("triggered")] == [True, True, True]
    assert not any("backoutHold" in one for one in side.triggers("triggered"))
    assert (len(side.undos("triggered")), await world.live("triggered")) == (1, frozenset({fix.digest}))


async def test_promise_1_a_trigger_that_stays_on_ends_what_began_by_itself_and_a_person_goes_back_all_the_same(ground: Playground) -> None:
    world, side, gate = ground.world, ground.world.spinnaker, ground.world.gate
    side.triggered.add("frozen")
    good = await world.live("frozen")
    gate.faults.saves = Outage(status=403, message="pipelines are frozen until Monday")
    try:
        bad = await world.release("frozen", "v2.1.0", errors=0.4)
        await world.until_live("frozen", bad)
        operation = await ended(ground, "frozen")
        assert (operation["outcome"], side.undos("frozen"), await world.live("frozen")) == ("failed", [], frozenset({bad.digest}))
        assert "pipelines are frozen until Monday" in operation["says"]
        assert operation["says"].endswith("so Backout goes no further by itself; nothing was changed")
        status, plan = await ground.post("/v1/plans", {"target": str(world.target("frozen"))})
        assert status == 201, plan
        first = plan["steps"][0]
        assert (first["name"], first["optional"], first["needed_for"]) == ("shut_triggers", True, "rollback_will_stay")
        asked = {"target": plan["target"], "plan_digest": plan["digest"], "accept": plan["must_name"], "reason": "the freeze can wait"}
        status, started = await ground.post("/v1/operations", asked)
        assert status == 202, started

        async def over() -> Mapping[str, Any] | None:
            found: Mapping[str, Any] = await ground.get(f"/v1/operations/{started['id']}")
            return found if found["done_at"] else None

        own: Mapping[str, Any] = await ground.until(over, PATIENCE, "the person's operation to end")
    finally:
        gate.faults.saves = None
    assert own["outcome"] == "inconclusive", own["says"]  # no alert asked for it, and the shop declares nothing to measure by
    assert (await world.live("frozen"), [one["enabled"] for one in side.triggers("frozen")]) == (good, [True])

    async def told() -> bool:
        texts = [str(one.body["text"]) for one in world.sink.received if isinstance(one.body, dict) and one.body.get("operation") == own["id"]]
        return any("Left out: Switch off what would deploy release" in text for text in texts)

    await ground.until(told, PATIENCE, "the end to name what was left out")
