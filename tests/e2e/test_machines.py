"""A cluster of machines that Spinnaker deploys, with the real service as a process of its own, real HTTP and a sandbox Gate."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from integrations.sandbox.gate.server_groups import ServerGroup
from integrations.sandbox.spinnaker_side import BACKOUT, CLOUD, REGION
from integrations.sandbox.world import SPINNAKER
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

APP, SHOP = "fleet", "shop"
"""The fleet has clusters of its own, of images without a tag; the shop is one cluster, whose images say their commit, in mode `auto`."""
ACCOUNT = CLOUD
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("machines")), SystemClock(), sides=(SPINNAKER,))
    try:
        playground.world.spinnaker.machines = {SHOP}
        await playground.start({APP: "v1.0.0", SHOP: "v1.0.0"})
        yield playground
    finally:
        await playground.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster where a bad image took over from a good one, and Backout saw both."""

    ground: Playground
    target: str
    old: ServerGroup
    bad: ServerGroup

    async def plan(self) -> Mapping[str, Any]:
        """The plan to go back."""
        status, plan = await self.ground.post("/v1/plans", {"target": self.target})
        assert status == 201, plan
        return dict(plan)

    async def go_back(self, plan: Mapping[str, Any]) -> str:
        """A person starts it; the operation's id."""
        asked = {"target": self.target, "plan_digest": plan["digest"], "accept": plan["must_name"], "reason": "errors"}
        status, started = await self.ground.post("/v1/operations", asked)
        assert status == 202, started
        return str(started["id"])

    def posted(self) -> list[tuple[str, str, str]]:
        """What Clouddriver was asked for, by whom, and for which group."""
        names = {self.old.name, self.bad.name}
        posted = [one for one in self.ground.world.gate.clouddriver.posted if one["taken"] and one["body"].get("serverGroupName") in names]
        return [(one["name"], one["user"], one["body"]["serverGroupName"]) for one in posted]

    async def until_live(self, group: ServerGroup) -> None:
        """Wait until Backout sees that group take the traffic."""
        await until_live(self.ground, self.target, group)


async def seen_of(ground: Playground, target: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = await ground.get(f"/v1/targets/{quote(target, safe='')}")
    return found


async def until_live(ground: Playground, target: str, group: ServerGroup) -> None:
    async def live() -> bool:
        return str((await seen_of(ground, target))["live"]["release"]) == group.name

    await ground.until(live, PATIENCE, f"{group.name} to be seen live")


async def bad_image(ground: Playground, name: str) -> Cluster:
    """Red/black on a new cluster: the old server group still runs, without traffic."""
    gate, target = ground.world.gate, f"spin:{ACCOUNT}/{REGION}/{name}"
    old = gate.groups.runs(APP, cluster=name, account=ACCOUNT, image=f"ami-{name}-1", capacity=(2, 4, 3))

    async def seen_well() -> bool:
        return any(one["healthy_for_s"] >= 1 for one in (await seen_of(ground, target))["releases"])

    await ground.until(seen_well, PATIENCE, "the old server group to be watched")
    bad = gate.groups.runs(APP, cluster=name, account=ACCOUNT, image=f"ami-{name}-2", capacity=(2, 4, 3))
    old.disabled = True
    await until_live(ground, target, bad)
    return Cluster(ground=ground, target=target, old=old, bad=bad)


async def test_a_bad_image_on_machines_is_taken_back_by_enabling_the_old_server_group(ground: Playground) -> None:
    cluster = await bad_image(ground, "fleet-main")
    plan = await cluster.plan()
    assert [step["name"] for step in plan["steps"]] == ["switch_groups"]
    answers = {one["rule"]: one["answer"] for one in plan["verdict"]["findings"]}
    assert {name: answers[name] for name in ("server_group_can_take_over", "goal_images_exist", "permissions_suffice", "rollback_will_stay")} == {
        "server_group_can_take_over": "pass",
        "goal_images_exist": "pass",
        "permissions_suffice": "pass",
        "rollback_will_stay": "pass",
    }
    assert answers["schema_is_compatible"] == "unknown"  # its images say no commit, so a person has to name what is not known
    operation = await cluster.go_back(plan)

    async def switched() -> Any:
        events = (await ground.get(f"/v1/operations/{operation}/events"))["events"]
        return next((one["body"] for one in events if one["kind"] == "step_done" and one["body"]["step"] == "switch_groups"), None)

    done = await ground.until(switched, PATIENCE, "the switch to be done")
    assert (cluster.old.disabled, cluster.bad.disabled) == (False, True)
    assert (done["handle"], done["status"]) == (cluster.old.name, "SUCCEEDED")
    switch = [("enableServerGroup", BACKOUT.name, cluster.old.name), ("disableServerGroup", BACKOUT.name, cluster.bad.name)]
    assert cluster.posted() == switch
    await cluster.until_live(cluster.old)


async def test_a_traffic_guard_is_told_before_and_one_that_refuses_half_way_ends_it_in_its_own_words_and_the_bad_group_serves(ground: Playground) -> None:
    """The old machines come up late under their traffic; meanwhile what fails is tried again, so the bad group is scaled out, and the guard counts."""
    gate = ground.world.gate
    guard = {"account": ACCOUNT, "location": REGION, "stack": "guarded", "detail": "", "enabled": True}
    gate.add_application(APP, trafficGuards=[guard])
    gate.groups.has_a_traffic_guard(cluster="fleet-guarded", account=ACCOUNT, region=REGION, share=0.4)
    cluster = await bad_image(ground, "fleet-guarded")
    plan = await cluster.plan()
    finding = next(one for one in plan["verdict"]["findings"] if one["rule"] == "server_group_can_take_over")
    assert finding["answer"] == "pass"
    assert "a traffic guard is set, and it takes the traffic before the bad one loses it" in finding["says"]

    cluster.old.up_since += timedelta(days=2)
    operation = await cluster.go_back(plan)

    async def enabled() -> bool:
        return not cluster.old.disabled

    await ground.until(enabled, PATIENCE, "the old server group to get its traffic")
    cluster.bad.desired = 9
    cluster.old.up_since -= timedelta(days=2)

    async def over() -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = await ground.get(f"/v1/operations/{operation}")
        return found if found["done_at"] else None

    found: Mapping[str, Any] = await ground.until(over, PATIENCE, "the operation to end")
    words = (
        f"This cluster ('fleet-guarded' in {ACCOUNT}/{REGION}) has traffic guards enabled. Disabling [{cluster.bad.name}] would leave the cluster "
        "with 3 instances up (25.0% of 12 instances currently up). The configured minimum is 40.0%."
    )
    assert (found["outcome"], words in found["says"]) == ("failed", True), found["says"]
    assert "both serve" in found["says"]
    events = (await ground.get(f"/v1/operations/{operation}/events"))["events"]
    assert "step_done" not in {one["kind"] for one in events}
    assert any(words in one["says"] for one in events)
    assert (cluster.old.disabled, cluster.bad.disabled) == (False, False)
    assert cluster.posted() == [("enableServerGroup", BACKOUT.name, cluster.old.name)]

    async def told() -> bool:
        texts = [str(one.body["text"]) for one in ground.world.sink.received if isinstance(one.body, dict) and one.body.get("target") == cluster.target]
        return any(words in text for text in texts)

    await ground.until(told, PATIENCE, "people to be told why")


async def test_promise_8_machines_whose_images_say_their_commit_go_back_by_themselves(ground: Playground) -> None:
    """In mode `auto`, from the alert to the measured recovery: the verdict reads the migrations between the commits that both images were baked from."""
    world = ground.world
    good = await world.live(SHOP)
    shipped = await world.release(SHOP, "v1.1.0", files={"src/cart.py": "TOTAL = 1\n"})
    await world.until_live(SHOP, shipped)

    async def switched() -> bool:
        """Red/black is done, and Spinnaker's cache shows it: else a person is asked, for two groups serve."""
        status, plan = await ground.post("/v1/plans", {"target": str(world.target(SHOP))})
        return status == 201 and [one["answer"] for one in plan["verdict"]["findings"] if one["rule"] == "rollback_will_stay"] == ["pass"]

    await ground.until(switched, PATIENCE, "the switch to the new release to be seen as done")
    world.starts_to_fail(shipped, 0.4)

    async def ended() -> Mapping[str, Any] | None:
        found = await ground.operation_of(SHOP)
        return found if found and found["done_at"] else None

    operation: Mapping[str, Any] = await ground.until(ended, PATIENCE, "the operation to end")
    assert (operation["outcome"], operation["mode"]) == ("recovered", "auto"), operation["says"]
    assert await world.live(SHOP) == good
    assert await world.side_of(SHOP).times_taken_back(SHOP) == 1
    plan = (await ground.get(f"/v1/operations/{operation['id']}"))["plan"]
    found = next(one for one in plan["verdict"]["findings"] if one["rule"] == "schema_is_compatible")
    assert found["answer"] == "pass"
    assert f"and {shipped.source[:7]} (" in found["says"]


def group_spec(stack: str, detail: str, image: str) -> dict[str, Any]:
    where = {"account": ACCOUNT, "application": APP, "stack": stack, "freeFormDetails": detail, "provider": "aws", "cloudProvider": "aws"}
    return {**where, "availabilityZones": {REGION: ["a"]}, "imageId": image, "capacity": {"min": 1, "max": 2, "desired": 1}}


def measured_deploy(name: str) -> list[dict[str, Any]]:
    """Red/black to the cluster, then a canary analysis of an hour with machines of its own."""
    stack = name.removeprefix(f"{APP}-")
    main = {**group_spec(stack, "", f"ami-{name}-2"), "strategy": "redblack", "capacity": {"min": 2, "max": 4, "desired": 3}}
    deploy = {"type": "deploy", "name": "Deploy", "refId": "1", "requisiteStageRefIds": [], "clusters": [main]}
    pair = {"control": group_spec(stack, "baseline", f"ami-{name}-1"), "experiment": group_spec(stack, "canary", f"ami-{name}-2")}
    baseline = {"application": APP, "account": ACCOUNT, "cluster": name, "cloudProvider": "aws"}
    config = {"canaryConfigId": "c", "lifetimeDuration": "PT60M", "scopes": [{"scopeName": "default"}], "scoreThresholds": {"pass": "95", "marginal": "75"}}
    deployments = {"baseline": baseline, "serverGroupPairs": [pair]}
    canary = {"type": "kayentaCanary", "name": "Canary", "refId": "2", "requisiteStageRefIds": ["1"], "canaryConfig": config, "deployments": deployments}
    return [deploy, canary]


async def test_a_deploy_that_is_measured_by_a_canary_is_stopped_and_what_the_canary_left_is_waited_for_until_a_person_took_it_out(ground: Playground) -> None:
    gate, name = ground.world.gate, "fleet-measured"
    target = f"spin:{ACCOUNT}/{REGION}/{name}"
    old = gate.groups.runs(APP, cluster=name, account=ACCOUNT, image=f"ami-{name}-1", capacity=(2, 4, 3))

    async def seen_well() -> bool:
        return any(one["healthy_for_s"] >= 1 for one in (await seen_of(ground, target))["releases"])

    await ground.until(seen_well, PATIENCE, "the old server group to be watched")
    saved = gate.save_pipeline({"application": APP, "name": "measured", "stages": measured_deploy(name), "triggers": []})
    started = await ground.world.spinnaker.call("POST", f"/pipelines/{APP}/{saved['id']}", {"type": "docker", "user": "registry"})
    run = str(started["ref"]).rpartition("/")[2]

    def left() -> list[ServerGroup]:
        return [one for one in gate.groups.all if one.cluster in {f"{name}-baseline", f"{name}-canary"}]

    async def measuring() -> bool:
        return any(one["type"] == "runCanaryIntervals" and one["status"] == "RUNNING" for one in gate.run_of(run)["stages"])

    await ground.until(measuring, PATIENCE, "the canary analysis to begin")
    bad = next(one for one in gate.groups.all if one.cluster == name and one is not old)
    await until_live(ground, target, bad)
    cluster = Cluster(ground=ground, target=target, old=old, bad=bad)
    plan = await cluster.plan()
    assert [step["name"] for step in plan["steps"]] == ["stop_deploy", "switch_groups", "canary_left", "canary_left", "see_canary"]
    finding = next(one for one in plan["verdict"]["findings"] if one["rule"] == "nobody_else_is_acting")
    assert (finding["answer"], f"server group {name}-canary-v000 (canary, {REGION})" in finding["says"]) == ("warn", True), finding["says"]
    operation = await cluster.go_back(plan)

    async def waits() -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = await ground.get(f"/v1/operations/{operation}")
        return found if found["phase"] == "stuck" or found["done_at"] else None

    found = await ground.until(waits, PATIENCE, "the operation to wait for a person")
    assert (found["phase"], f"server group {name}-canary-v000" in found["says"]) == ("stuck", True), found["says"]
    assert (gate.run_of(run)["status"], old.disabled, bad.disabled) == ("CANCELED", False, True)
    assert [one.disabled for one in left()] == [False, False]
    for one in left():
        gate.groups.disable(one.name, ACCOUNT, REGION)

    async def out() -> bool:
        events = (await ground.get(f"/v1/operations/{operation}/events"))["events"]
        return any(one["kind"] == "step_done" and one["body"]["step"] == "see_canary" for one in events)

    await ground.until(out, PATIENCE, "what the canary left to be seen out of traffic")
