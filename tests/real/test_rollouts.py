"""The stories of a release that goes live in steps: real Argo Rollouts under the real Argo CD, from a canary's middle and from full promotion."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from tests.real.backout import Serve, finding, policy
from tests.real.lab.client import LabClient, until
from tests.real.rollout_shop import BY_HAND, HALF_THEN_ON, HALF_THEN_STOP, UNDER_ANALYSIS, RolloutShop
from tests.real.shop import Shop
from tests.real.test_stories import AUTOMATED, QUICK, automated, footprint, marker, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

RULE = "no_rollout_step_is_in_the_way"
OpenRollout = Callable[..., Awaitable[RolloutShop]]


@pytest.fixture
async def open_rollout(client: LabClient) -> AsyncIterator[OpenRollout]:
    """Opens shops that roll out in steps, by a strategy and further fields of the Rollout, and closes them after the test."""
    shops: list[Shop] = []

    await client.argo_rollouts()

    async def open_one(strategy: Mapping[str, Any], *, auto_sync: bool = True, **spec: Any) -> RolloutShop:
        shop = await RolloutShop.open(client, auto_sync=auto_sync, strategy=strategy, spec=spec)
        shops.append(shop)
        return shop

    yield open_one
    for shop in shops:
        await shop.close()


def steps(operation: Mapping[str, Any]) -> list[str]:
    return [step["name"] for step in operation["plan"]["steps"]]


async def test_a_canary_that_burns_is_aborted_and_rolled_back_and_stays_back(client: LabClient, open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(HALF_THEN_STOP)
    backout = await serve(shop, "auto", delivery=QUICK)
    good, before = await shop.running(), await shop.status()
    bad = await shop.halfway("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert operation["plan"]["way"] == "abort"
    assert steps(operation) == ["abort", "stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]
    said = finding(operation["plan"], RULE)
    assert (said["answer"], "is still its stable one: the plan aborts it first" in said["says"]) == ("pass", True)
    assert await shop.running() == good
    await shop.until_status(phase="Healthy", stableRS=before["stableRS"], currentPodHash=before["stableRS"])
    assert await shop.told_by("backout") == [
        f"backout ran action abort on resource argoproj.io/Rollout/{shop.name}",
        "backout updated application spec",
        "backout initiated rollback to 0",
    ]
    app = await shop.application()
    assert automated(app) == {**AUTOMATED, "enabled": False}
    assert operation["id"] in marker(app)
    (hold,) = await backout.holds(shop)
    assert (hold["operation"], hold["held"]) == (operation["id"], [hold["held"][0]])
    assert (await shop.history())[-2][1] == bad.config
    await shop.application(refresh="hard")
    await asyncio.sleep(5)
    assert await shop.running() == good
    early = await backout.end_hold(hold, "all fine")
    assert early.status == 409  # Git still wants what burnt
    await backout.stop()  # in mode auto it would begin to deploy the fix itself, sooner or later than the person ends the hold
    await backout.configure([shop], [policy(shop)], delivery=QUICK).start()
    fix = await shop.ship("1.2")
    ended = await backout.end_hold(hold, "1.2 fixes it")
    assert (ended.status, ended.body.get("state")) == (200, "ended"), str(ended.body)
    assert automated(await shop.application()) == AUTOMATED  # remembered by the hold, though the abort was its first write
    await client.until_application(shop.name, health="Suspended", revision=fix.config)


async def test_a_blue_green_release_that_waits_is_aborted_and_rolled_back(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(BY_HAND, auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good, before = await shop.running(), await shop.status()
    await shop.halfway("1.1", errors=0.31)
    waiting = await shop.status()
    assert waiting["blueGreen"]["activeSelector"] == before["stableRS"] != waiting["currentPodHash"]

    _, asked = await backout.ask(shop, "errors on the preview")
    operation = await backout.until_done(asked)

    assert steps(operation) == ["abort", "prove_controller", "roll_back", "mark_hold"]
    assert operation["outcome"] == "recovered", operation["says"]
    status = await shop.until_status(phase="Healthy")
    assert status["blueGreen"]["activeSelector"] == status["currentPodHash"] == before["stableRS"]
    assert good <= await shop.running()


async def test_a_canary_under_analysis_is_aborted_and_its_analysis_ends(client: LabClient, open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(UNDER_ANALYSIS, auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good = await shop.running()
    bad = await shop.ship("1.1", errors=0.31)
    assert (await client.sync(shop.name)).good
    await client.until_application(shop.name, health="", revision=bad.config)

    async def analysed() -> Any:
        return (await shop.status()).get("canary", {}).get("currentStepAnalysisRunStatus", {}).get("status") == "Running"

    await until(analysed, what="the analysis to run")

    plan, asked = await backout.ask(shop, "errors since 1.1")
    operation = await backout.until_done(asked)

    said = finding(plan, RULE)
    assert (said["answer"], f"under analysis {shop.name}-" in said["says"]) == ("pass", True), said
    assert steps(operation) == ["abort", "prove_controller", "roll_back", "mark_hold"]
    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == good != {bad.image}

    async def over() -> bool:
        runs = (await client.kube_get(f"/apis/argoproj.io/v1alpha1/namespaces/{shop.name}/analysisruns"))["items"]
        return {run["status"]["phase"] for run in runs} == {"Successful"}  # how one ends that is told to stop before it failed

    await until(over, what="the end of the analysis")


async def test_a_promoted_release_whose_way_back_waits_for_an_analysis_is_for_a_person(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(UNDER_ANALYSIS, auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    await shop.at_once("1.1", errors=0.31)

    said = finding(await backout.check(shop), RULE)

    assert (said["answer"], "step 2 of 2 waits for an analysis" in said["says"]) == ("unknown", True), said


async def test_a_promoted_release_goes_back_in_full_where_the_policy_allows_it(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(HALF_THEN_STOP)
    backout = await serve(shop, "auto", delivery=QUICK, promote_full=True)
    good, before = await shop.running(), await shop.status()
    await shop.at_once("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert steps(operation) == ["stop_auto_sync", "prove_controller", "clear_slot", "roll_back", "promote"]
    said = finding(operation["plan"], RULE)
    assert (said["answer"], "promotes it in full, which skips its 2 steps" in said["says"]) == ("pass", True)
    assert await shop.running() == good
    await shop.until_status(phase="Healthy", stableRS=before["stableRS"], currentPodHash=before["stableRS"])
    assert (await shop.told_by("backout"))[-2:] == [
        "backout initiated rollback to 0",
        f"backout ran action promote-full on resource argoproj.io/Rollout/{shop.name}",
    ]


async def test_a_promoted_release_whose_way_back_waits_for_a_person_is_not_rolled_back_without_one(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(HALF_THEN_STOP)
    backout = await serve(shop, "auto", delivery=QUICK)
    await shop.at_once("1.1", errors=0.31)

    offer = await backout.until_waiting(shop)

    said = finding(offer["plan"], RULE)
    assert (said["answer"], offer["must_name"]) == ("unknown", [RULE])
    assert said["says"] == f"When Rollout {shop.name} would be back is unknown: step 2 of 2 pauses until a person goes on; until then pods of release 1 serve."
    assert "promote_full" in said["clears"]
    assert ((await footprint(shop))["by Backout"], automated(await shop.application())) == ([], AUTOMATED)
    assert said["says"] in (await told(backout, shop, "approval_wanted"))["text"]


async def test_a_promoted_release_goes_back_through_timed_steps_when_a_person_accepts_how_long_they_take(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(HALF_THEN_ON, auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good = await shop.running()
    await shop.at_once("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")

    plan, asked = await backout.ask(shop, "errors since 1.1")
    operation = await backout.until_done(asked)

    said = finding(plan, RULE)
    assert (said["answer"], "would run its 2 steps again, which takes at least 4 s" in said["says"]) == ("warn", True)
    assert RULE in plan["must_name"]
    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == good
    assert (await shop.until_status(phase="Healthy"))["currentStepIndex"] == 2


async def test_within_its_rollback_window_a_promoted_release_goes_back_by_itself(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(HALF_THEN_STOP, rollbackWindow={"revisions": 2})
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.at_once("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert "lies within its rollback window" in finding(operation["plan"], RULE)["says"]
    assert steps(operation)[-1] == "roll_back"
    assert await shop.running() == good


async def test_an_account_that_may_not_abort_is_told_the_line_before_anything_is_touched(open_rollout: OpenRollout, serve: Serve) -> None:
    shop = await open_rollout(HALF_THEN_STOP, auto_sync=False)
    backout = await serve(shop, declared_sli=True, account="reader")
    await shop.halfway("1.1", errors=0.31)
    before = await footprint(shop)

    missing = finding(await backout.check(shop), "permissions_suffice")

    assert missing["answer"] == "block"
    assert "p, reader, applications, action/argoproj.io/Rollout/abort, default/*, allow" in missing["clears"]
    assert (await footprint(shop), await shop.told_by("reader")) == (before, [])


async def test_an_abort_that_nobody_carries_out_ends_the_operation_before_anything_else_is_touched(
    client: LabClient, open_rollout: OpenRollout, serve: Serve
) -> None:
    shop = await open_rollout(HALF_THEN_STOP)
    backout = await serve(shop, declared_sli=True, delivery=QUICK)
    await shop.halfway("1.1", errors=0.31)
    controller = await client.argo_rollouts()
    os.kill(controller, signal.SIGSTOP)
    try:
        operation = await backout.until_done((await backout.ask(shop, "errors since 1.1"))[1])
    finally:
        os.kill(controller, signal.SIGCONT)

    assert operation["outcome"] == "failed", operation["says"]
    assert "is told to abort and its controller does not do it" in operation["says"]
    assert f"Rollout {shop.name} stays aborted" in operation["says"]
    assert automated(await shop.application()) == AUTOMATED
    assert await shop.told_by("backout") == [f"backout ran action abort on resource argoproj.io/Rollout/{shop.name}"]
    assert await backout.holds(shop) == []
    await shop.until_status(phase="Degraded", abort=True)  # it is carried out once somebody looks: towards safety, and never taken back by us
    assert len(await shop.history()) == 2
