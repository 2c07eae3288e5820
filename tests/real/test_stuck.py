"""Operations that do not come to their end: whose may be ended, whose never, and what is left of one that nobody picks up."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.real.backout import OpenShop, Serve, finding
from tests.real.between import Between
from tests.real.lab.client import LabClient, until
from tests.real.shop import Shop
from tests.real.test_outages import CONTROLLER, asked
from tests.real.test_stories import AUTOMATED, QUICK, automated, footprint, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def hook(phase: str) -> Mapping[str, str]:
    """A hook that never ends: the lab lets a ConfigMap play any health."""
    about = {"name": "endless", "annotations": {"argocd.argoproj.io/hook": phase}}
    return {"deploy/endless.json": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"health": "Progressing"}})}


async def waits_for_the_hook(shop: Shop) -> Any:
    """The application, once an operation of it waits for the hook."""

    async def waiting() -> Any:
        app = await shop.application()
        message = app["status"].get("operationState", {}).get("message", "")
        return app if app.get("operation") and message.startswith("waiting for completion of hook") else None

    return await until(waiting, what="the operation to wait for its hook")


async def test_an_automated_sync_of_the_bad_release_whose_hook_never_ends_is_ended_and_rolled_back(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    good, first = await shop.running(), (await shop.history())[0]
    bad = await shop.ship("1.1", errors=0.31, config_files=hook("PostSync"))
    await shop.until_running(bad)
    await waits_for_the_hook(shop)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    done = [event["body"]["step"] for event in await backout.events(operation) if event["kind"] == "step_done"]
    assert done == ["stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]
    assert (operation["plan"]["suspect"]["release"], operation["plan"]["suspect"]["revision"]) == ("", bad.config)  # in no history, for it never ended
    assert await shop.running() == good
    assert [(revision, who) for _, revision, who in await shop.history()] == [(first[1], ""), (first[1], "backout")]
    app = await shop.application()
    assert (app.get("operation"), automated(app)) == (None, {**AUTOMATED, "enabled": False})


async def test_promise_5_a_persons_running_sync_is_never_ended_though_its_hook_does_not_end(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    bad = await shop.ship("1.1", config_files=hook("PostSync"))
    assert (await client.sync(shop.name)).good
    await shop.until_running(bad)
    before = (await waits_for_the_hook(shop))["operation"]
    footprint_before = await footprint(shop)

    plan, asked_for = await backout.ask(shop, "1.1 is broken", fits=lambda plan: bool(plan["suspect"]["revision"] == bad.config))
    operation = await backout.until_done(asked_for)
    after = await shop.application()

    acting = finding(plan, "nobody_else_is_acting")
    assert (acting["answer"], "human is running an operation: waiting for completion of hook" in acting["says"]) == ("block", True)
    assert (operation["outcome"], operation["first_effect_at"]) == ("refused", None)
    assert (await footprint(shop), after["operation"], after["status"]["operationState"]["phase"]) == (footprint_before, before, "Running")
    assert (await client.argocd().call("DELETE", f"/api/v1/applications/{shop.name}/operation")).good  # the person ends it; else the shop cannot be taken away


async def test_a_rollback_that_nobody_picks_up_is_told_and_is_as_if_it_had_never_been_once_somebody_takes_it_away(
    client: LabClient, in_between: Between, open_shop: OpenShop, serve: Serve
) -> None:
    """The controller dies between our proof that it lives and our request: nobody can end that through Argo CD, and it would fire hours later."""
    shop = await open_shop()
    patience = {"denied_for_seconds": 5, "timeout_seconds": 10}  # so long a request may be on its way before it is certain that none is
    backout = await serve(shop, declared_sli=True, delivery={**QUICK, **patience, "url": in_between.url})
    await shop.release("1.1")
    await backout.until_watched(shop, "1.1")
    bad, before = await shop.running(), await shop.history()

    path = f"/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/{shop.name}"

    async def controller_dies() -> None:
        client.kill(CONTROLLER)

    in_between.before("POST", "/rollback", controller_dies)
    try:
        await asked(backout, shop)
        stuck = await told(backout, shop, "stuck")
        waiting = await shop.application()
        await client.kube.must("PATCH", path, TAKEN_AWAY, content_type="application/json-patch+json")
        operation = await backout.until_ended(shop)
    finally:
        await client.start_again(CONTROLLER)
    await shop.application(refresh="normal")  # answered: the controller has looked at it

    command = f"kubectl --namespace argocd patch applications.argoproj.io/{shop.name} --type json --patch '{json.dumps(TAKEN_AWAY)}' takes it away"
    assert command in stuck["text"]
    assert ("operation" in waiting, "operationState" in waiting["status"]) == (True, False)
    assert (operation["outcome"], "roll_back was accepted, and somebody took it away before it ran" in operation["says"]) == ("failed", True)
    app = await shop.application()
    assert (app.get("operation"), automated(app)) == (None, AUTOMATED)
    assert (await shop.running(), await shop.history()) == (bad, before)
    assert [event for event in await shop.told_by("backout") if "rollback" in event] == ["backout initiated rollback to 0"]
    assert await backout.holds(shop) == []


TAKEN_AWAY = [{"op": "remove", "path": "/operation"}]
