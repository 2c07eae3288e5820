"""Stories of sync windows, and of a Git that is away: what would hang or end in Error is not begun, and a person is told until when."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.wiring.parts import SystemClock
from tests.real.backout import OpenShop, Serve, finding
from tests.real.between import Between
from tests.real.lab.client import LabClient, until
from tests.real.shop import Shop
from tests.real.test_stories import AUTOMATED, HOLD, QUICK, automated, footprint, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

SetWindows = Callable[..., Awaitable[None]]


@pytest.fixture
async def windows(client: LabClient) -> AsyncIterator[SetWindows]:
    """Sets the sync windows of the default project for a shop (arguments: windows), and takes them away after the test."""

    async def put(found: list[dict[str, Any]]) -> None:
        project = await client.argocd("admin").must("GET", "/api/v1/projects/default")
        project["spec"]["syncWindows"] = found
        await client.argocd("admin").must("PUT", "/api/v1/projects/default", {"project": project})

    async def for_shop(shop: Shop, *found: dict[str, Any]) -> None:
        await put([{"applications": [shop.name], **one} for one in found])

        async def known() -> bool:
            told_ = await client.argocd().must("GET", f"/api/v1/applications/{shop.name}/syncwindows")
            return len(told_.get("assignedWindows") or []) == len(found)

        await until(known, what="the windows to be known")

    yield for_shop
    await put([])


def at(moment: datetime) -> str:
    """A schedule that fires at that minute (UTC)."""
    return f"{moment.minute} {moment.hour} * * *"


def now() -> datetime:
    return SystemClock().now().astimezone(UTC)


async def test_behind_a_closed_window_nothing_is_written_a_person_is_told_until_when_and_after_it_the_rollback_goes(
    client: LabClient, open_shop: OpenShop, serve: Serve, windows: SetWindows
) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK, declared_sli=True)
    good = await shop.running()
    async with client.silenced(shop.name):
        await shop.release("1.1", errors=0.31)
        begun = (now() - timedelta(minutes=1)).replace(second=0, microsecond=0)
        await windows(shop, {"kind": "deny", "schedule": at(begun), "duration": "2h"})
        before = await footprint(shop)

    operation = await backout.until_ended(shop)

    until_when = f"{begun + timedelta(hours=2):%H:%M:%S}"
    assert operation["outcome"] == "refused", operation["says"]
    closed = finding(operation["plan"], "no_sync_window_is_in_the_way")
    assert (closed["answer"], f"closed until {until_when}" in closed["says"] or until_when in closed["says"]) == ("block", True)
    assert until_when in (await told(backout, shop, "refused"))["text"]
    assert (await footprint(shop), before["by Backout"]) == (before, [])

    await windows(shop)
    operation = await backout.until_done((await backout.ask(shop))[1])
    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == good


async def test_a_window_that_would_close_before_the_rollback_is_done_counts_as_closed(open_shop: OpenShop, serve: Serve, windows: SetWindows) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True, act_within="40m")  # so long an operation may take, and the window is open for half an hour
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    begun = (now() - timedelta(minutes=3)).replace(second=0, microsecond=0)
    await windows(shop, {"kind": "allow", "schedule": at(begun), "duration": "33m"})
    before = await footprint(shop)

    closing = finding(await backout.check(shop), "no_sync_window_is_in_the_way")
    operation = await backout.until_done((await backout.ask(shop))[1])

    assert (closing["answer"], f"closes at {begun + timedelta(minutes=33):%H:%M:%S}" in closing["says"]) == ("block", True)
    assert (operation["outcome"], operation["first_effect_at"]) == ("refused", None)
    assert await footprint(shop) == before
    await windows(shop, {"kind": "allow", "schedule": at(begun), "duration": "2h"})
    opened = finding(await backout.check(shop), "no_sync_window_is_in_the_way")
    assert (opened["answer"], f"until {begun + timedelta(hours=2):%H:%M:%S}" in opened["says"] or "until" in opened["says"]) == ("pass", True)


async def test_a_window_that_closes_between_our_last_look_and_the_rollback_leaves_nothing_behind_that_fires_later(
    in_between: Between, open_shop: OpenShop, serve: Serve, windows: SetWindows
) -> None:
    """Argo CD accepts a rollback behind a closed window and would run it hours later: it is withdrawn, and a person is told."""
    shop = await open_shop()
    backout = await serve(shop, declared_sli=True, delivery={**QUICK, "url": in_between.url})
    await shop.release("1.1")
    await backout.until_watched(shop, "1.1")
    bad, before = await shop.running(), await shop.history()
    begun = (now() - timedelta(minutes=1)).replace(second=0, microsecond=0)
    in_between.before("POST", "/rollback", lambda: windows(shop, {"kind": "deny", "schedule": at(begun), "duration": "2h"}))

    _, asked = await backout.ask(shop)
    stuck = await told(backout, shop, "stuck")
    await until(lambda: ending(shop), what="the rollback to be told to end")
    await windows(shop)
    await shop.application(refresh="normal")  # Argo CD looks at an operation again when its application changes
    operation = await backout.until_done(asked)
    await shop.application(refresh="hard")

    assert f"left alone it would fire when the window opens, at {begun + timedelta(hours=2):%Y-%m-%d %H:%M:%S} UTC; it is withdrawn" in stuck["text"]
    assert (operation["outcome"], "Operation terminated" in operation["says"]) == ("failed", True)
    kinds = [event["kind"] for event in await backout.events(operation)]
    assert [kind for kind in kinds if kind in {"sent", "stuck", "withdrawn"}][-3:] == ["sent", "stuck", "withdrawn"]
    app = await shop.application()
    assert (app.get("operation"), app["status"]["operationState"]["phase"]) == (None, "Failed")
    assert (await shop.running(), await shop.history()) == (bad, before)
    assert automated(app) == {**AUTOMATED, "enabled": False}  # a person decides what is next: the hold stands
    assert len(await backout.holds(shop)) == 1
    await told(backout, shop, "failed")


def in_waves(version: str) -> Mapping[str, str]:
    """Beside the Deployment a ConfigMap whose health a test can play, and another that is applied only once both are well."""

    def config_map(name: str, wave: str) -> str:
        about = {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}}
        return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"v": version}})

    return {"deploy/gate.json": config_map("gate", "0"), "deploy/last.json": config_map("last", "1")}


async def test_a_window_that_closes_while_the_rollback_runs_ends_it_half_done_and_the_next_one_brings_the_rest(
    client: LabClient, in_between: Between, open_shop: OpenShop, serve: Serve, windows: SetWindows
) -> None:
    """The window held it up after its first wave: the good pods run, the rest is of the bad release. It must not go on by itself hours later."""
    shop = await open_shop(config_files=in_waves("1.0"))
    backout = await serve(shop, declared_sli=True, delivery={**QUICK, "url": in_between.url})
    good = await shop.running()
    await shop.release("1.1", config_files=in_waves("1.1"))
    await backout.until_watched(shop, "1.1")
    before = await shop.history()

    async def gate(health: str) -> None:
        path = f"/api/v1/namespaces/{shop.name}/configmaps/gate"
        await client.kube.must("PATCH", path, {"data": {"health": health}}, content_type="application/merge-patch+json")

    async def applied(name: str) -> str:
        return str((await client.kube.must("GET", f"/api/v1/namespaces/{shop.name}/configmaps/{name}"))["data"]["v"])

    async def waits() -> bool:
        message = (await shop.application())["status"].get("operationState", {}).get("message", "")
        return bool(message.startswith("waiting for healthy state of /ConfigMap/gate") and await shop.running() == good)

    in_between.before("POST", "/rollback", lambda: gate("Progressing"))
    _, asked = await backout.ask(shop)
    await until(waits, what="the rollback to wait for its first wave")
    begun = (now() - timedelta(minutes=1)).replace(second=0, microsecond=0)
    await windows(shop, {"kind": "deny", "schedule": at(begun), "duration": "2h"})
    stuck = await told(backout, shop, "stuck")
    await until(lambda: ending(shop), what="the rollback to be told to end")
    await gate("Healthy")
    await windows(shop)
    await shop.application(refresh="normal")
    operation = await backout.until_done(asked)

    assert f"left alone it would fire when the window opens, at {begun + timedelta(hours=2):%Y-%m-%d %H:%M:%S} UTC; it is withdrawn" in stuck["text"]
    assert (operation["outcome"], "Operation terminated" in operation["says"]) == ("failed", True)
    assert (await shop.running(), await applied("gate"), await applied("last"), await shop.history()) == (good, "1.0", "1.1", before)
    app = await shop.application()
    assert (app.get("operation"), app["status"]["operationState"]["phase"], automated(app)) == (None, "Failed", {**AUTOMATED, "enabled": False})
    assert len(await backout.holds(shop)) == 1
    await told(backout, shop, "failed")

    plan, asked = await backout.ask(shop)
    again = await backout.until_done(asked)
    assert (plan["suspect"]["version"], plan["goal"]["version"]) == ("1.1", "1.0")  # not that which is live in part, for Backout brought it there
    assert again["outcome"] == "recovered", again["says"]
    assert (await shop.running(), await applied("gate"), await applied("last")) == (good, "1.0", "1.0")


async def ending(shop: Shop) -> bool:
    """Whether the operation that holds the application was told to end."""
    return bool((await shop.application())["status"].get("operationState", {}).get("phase") == "Terminating")


async def test_a_window_that_lets_people_sync_lets_a_rollback_through(open_shop: OpenShop, serve: Serve, windows: SetWindows) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    await windows(shop, {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "manualSync": True})

    operation = await backout.until_done((await backout.ask(shop))[1])

    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == good


async def test_with_git_gone_a_release_that_still_renders_from_a_cache_is_rolled_back_to(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    del client
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)
    moved = shop.config.path.with_name(f"{shop.config.path.name}-gone")
    shop.config.path.rename(moved)
    try:
        operation = await backout.until_ended(shop)
        app = await shop.application()
    finally:
        moved.rename(shop.config.path)

    assert operation["outcome"] == "recovered", operation["says"]
    assert (automated(app), await shop.running()) == ({**AUTOMATED, "enabled": False}, good)
    assert [info["value"] for info in app["spec"].get("info", []) if info["name"] == HOLD] or HOLD in app["metadata"].get("annotations", {})
