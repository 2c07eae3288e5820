"""Stories in which Argo CD, or what it stands on, is taken away in the middle of an operation, and comes back.

What is asserted is what is promised: nothing happens twice, nothing is silent, and the operation goes on or ends in the right way.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.real.backout import INSTANCE, Backout, OpenShop, Settings, policy, sink
from tests.real.between import Between
from tests.real.lab.client import ARGOCD_NAMESPACE, Lab, LabClient, until
from tests.real.shop import Shop
from tests.real.test_stories import footprint

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

QUICK: Settings = {"read_back_seconds": [0, 1], "denied_for_seconds": 90}
"""A server that a test takes away may be long in coming back on a slow machine: that is waited for."""
AUTOMATED = {"prune": True, "selfHeal": True}
SERVER, REPO_SERVER, CONTROLLER = "argocd-server", "argocd-repo-server", "argocd-application-controller"
REDIS, KUBE = "redis", "kube-apiserver"

Serving = Callable[..., Awaitable[Backout]]


@pytest.fixture
async def serving(lab: Lab, open_shop: OpenShop, tmp_path: Path) -> AsyncIterator[Serving]:
    """Starts Backout for a shop with settings of the test's own laid over the usual ones (section -> settings).

    `healthy`: and waits until it has seen the shop healthy for a while, which it does not where the next list is far away and nothing happens before.
    """
    del open_shop  # only so that this one ends first
    started: list[Backout] = []

    async def serve(shop: Shop, *, delivery: Settings | None = None, target: Settings | None = None, healthy: bool = True, **sections: Settings) -> Backout:
        rules = {**policy(shop, "approve", declared_sli=True), **(target or {})}
        backout = Backout(lab, tmp_path, session, told).configure([shop], [rules], delivery={**QUICK, **(delivery or {})})
        settings = yaml.safe_load(backout.config.read_text())
        for section, more in sections.items():
            settings[section] |= more
        backout.config.write_text(yaml.safe_dump(settings))
        started.append(backout)
        await backout.start()
        if healthy:
            await backout.until_watched(shop, "1.0")
        return backout

    async with sink() as told, aiohttp.ClientSession() as session:
        yield serve
        for backout in started:
            await backout.stop()


async def asked(backout: Backout, shop: Shop) -> None:
    """A person's rollback of release 1.1, of exactly the plan that they saw."""
    await backout.ask(shop, "customers complain since 1.1")


async def written(shop: Shop) -> None:
    """Wait for Backout's first write: auto-sync is stopped."""

    async def stopped() -> bool:
        return bool((await shop.application())["spec"]["syncPolicy"]["automated"] != AUTOMATED)

    await until(stopped, what="auto-sync to be stopped", every=0.02)


async def answers(client: LabClient) -> None:
    """Wait until Argo CD's API answers a live read again."""

    async def again() -> bool:
        answer = await client.argocd().call("GET", "/api/v1/applications")
        return answer.good and bool(await client.kube_get("/api/v1/namespaces/argocd"))

    await until(again, what="Argo CD to answer again", every=0.1)


@asynccontextmanager
async def gone(client: LabClient, server: str, seconds: float) -> AsyncIterator[None]:
    """The server is killed; after the block and that many seconds it is started again."""
    client.kill(server)
    try:
        yield
        await asyncio.sleep(seconds)
    finally:
        await client.start_again(server)


async def two_releases(open_shop: OpenShop, serving: Serving, **wishes: Any) -> tuple[Shop, Backout, set[str], str]:
    """An auto-synced shop with good 1.0 and bad 1.1 live; what runs when it is good, and the revision of that release.

    1.1 is bad in a person's eyes alone: an alert would open an operation of its own.
    """
    shop = await open_shop()
    backout = await serving(shop, **wishes)
    good, revision = await shop.running(), (await shop.history())[0][1]
    await shop.release("1.1")
    await backout.until_watched(shop, "1.1")
    return shop, backout, good, revision


async def went_back_once(shop: Shop, backout: Backout, good: set[str], revision: str) -> None:
    """The operation recovered: the good release runs, one rollback by Backout is in the history, and it was told."""
    operation = await backout.until_ended(shop)
    events = "\n".join(event["says"] for event in await backout.events(operation))
    assert operation["outcome"] == "recovered", events
    assert await shop.running() == good
    assert [(rev, who) for _, rev, who in await shop.history() if who == "backout"] == [(revision, "backout")]
    assert [event for event in await shop.told_by("backout") if "rollback" in event] == ["backout initiated rollback to 0"]
    assert (await shop.application())["spec"]["syncPolicy"]["automated"] == {**AUTOMATED, "enabled": False}
    await told(backout, operation)


async def told(backout: Backout, operation: Mapping[str, Any]) -> None:
    """A person hears of the operation's end, once. What else of the target is told, of a hold that stays for one, has a message of its own."""

    async def arrived() -> bool:
        about = [body["event"] for body in backout.told.received if body.get("operation") == operation["id"]]
        return [event for event in about if event != "stuck"] == [operation["outcome"]]

    await until(arrived, what=f"the message {operation['outcome']}")


async def watches_again(backout: Backout) -> None:
    """The watch that was cut, or that Backout ended itself, is open again."""

    async def up() -> bool:
        (instance,) = (await backout.api.must("GET", "/v1/targets"))["instances"]
        return bool(instance["stream"] == "up" and instance["complete"])

    await until(up, what="the watch to be open again")


async def change_settings(client: LabClient) -> None:
    """A person gives argocd-server another `url`: it restarts itself inside the process (contract 2.4)."""
    path = f"/api/v1/namespaces/{ARGOCD_NAMESPACE}/configmaps/argocd-cm"
    patch = {"data": {"url": f"https://argocd-{time.time_ns()}.example"}}
    await client.kube.must("PATCH", path, patch, content_type="application/merge-patch+json")


async def test_a_deploy_is_noticed_by_the_watch_long_before_the_next_list_also_when_the_stream_was_cut(
    in_between: Between, open_shop: OpenShop, serving: Serving
) -> None:
    shop = await open_shop()
    backout = await serving(shop, delivery={"url": in_between.url}, healthy=False, watch={"every": "10m", "beat": "1s"})

    async def noticed(version: str) -> bool:
        answer = await backout.api.call("GET", f"/v1/targets/{INSTANCE}:{shop.name}")  # 404 before the first list
        return answer.good and [one["version"] for one in answer.body["releases"] if one["live_until"] is None] == [version]

    await until(lambda: noticed("1.0"), what="the first list", every=0.05)
    await watches_again(backout)
    await shop.release("1.1")
    await until(lambda: noticed("1.1"), what="the release to be noticed", every=0.05)

    async def cut() -> bool:
        return in_between.cut() == 1

    await until(cut, what="the watch to be cut")
    await shop.release("1.2")
    await until(lambda: noticed("1.2"), what="the next release to be noticed", every=0.05)
    await watches_again(backout)
    (instance,) = (await backout.api.must("GET", "/v1/targets"))["instances"]
    assert (instance["stream"], instance["complete"]) == ("up", True)


async def test_a_settings_change_of_argo_cd_in_the_middle_does_not_end_an_operation(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)
    await written(shop)

    await change_settings(client)

    await went_back_once(shop, backout, good, revision)
    await watches_again(backout)


async def test_argo_cds_api_killed_in_the_middle_does_not_end_an_operation(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)
    await written(shop)

    async with gone(client, SERVER, 4):
        pass
    await answers(client)

    await went_back_once(shop, backout, good, revision)
    await watches_again(backout)


async def test_a_dead_kubernetes_api_is_not_taken_for_a_missing_right(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    """Argo CD then answers every call by name with 403 "permission denied", and 200 to the list and to /healthz (recording 39)."""
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)
    await written(shop)

    async with gone(client, KUBE, 5):
        pass
    await answers(client)

    await went_back_once(shop, backout, good, revision)


@pytest.mark.parametrize("server", [KUBE, SERVER])
async def test_an_api_that_hangs_for_a_while_does_not_end_an_operation(client: LabClient, open_shop: OpenShop, serving: Serving, server: str) -> None:
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)
    await written(shop)

    client.pause(server)
    await asyncio.sleep(8)
    client.resume(server)

    await went_back_once(shop, backout, good, revision)


async def test_argo_cd_restarted_as_a_whole_in_the_middle_does_not_end_an_operation(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)
    await written(shop)

    everything = (SERVER, CONTROLLER, REPO_SERVER, REDIS)
    for server in everything:
        client.kill(server)
    for server in everything:
        await client.start_again(server)
    await answers(client)

    await went_back_once(shop, backout, good, revision)
    await watches_again(backout)


async def test_without_the_controller_nothing_is_rolled_back_and_auto_sync_is_given_back(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    shop, backout, _, _ = await two_releases(open_shop, serving, delivery={"refresh_timeout_seconds": 3})
    bad = await shop.running()

    async with gone(client, CONTROLLER, 0):
        await asked(backout, shop)
        await written(shop)
        operation = await backout.until_ended(shop)

    assert operation["outcome"] == "failed", operation["says"]
    assert "the application controller did not answer a refresh" in operation["says"]
    assert (await shop.application())["spec"]["syncPolicy"]["automated"] == AUTOMATED
    assert [who for _, _, who in await shop.history()] == ["", ""]
    assert await shop.running() == bad
    await told(backout, operation)


async def test_a_controller_restarted_while_it_rolls_back_finishes_or_its_failure_is_told(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)

    async def accepted() -> bool:
        app = await shop.application()
        return "operation" in app or len(app["status"]["history"]) > 2

    await until(accepted, what="the rollback to be accepted", every=0.005)
    async with gone(client, CONTROLLER, 3):
        pass

    operation = await backout.until_ended(shop)
    if "Application referencing project default which does not exist" in operation["says"]:  # a young controller that has not read the projects yet
        assert operation["outcome"] == "failed"
        assert "Argo CD ended the rollback as Error" in operation["says"]
        assert [event for event in await shop.told_by("backout") if "rollback" in event] == ["backout initiated rollback to 0"]
        assert len(await backout.holds(shop)) == 1
        await told(backout, operation)
        return
    await went_back_once(shop, backout, good, revision)


async def test_without_the_repo_server_a_rollback_ends_as_failed_and_is_told(
    client: LabClient, in_between: Between, open_shop: OpenShop, serving: Serving
) -> None:
    """The rollback is accepted and Argo CD ends it at once as Error (recording 39): nothing is tried again, and a person hears of it."""
    shop, backout, _, _ = await two_releases(open_shop, serving, delivery={"url": in_between.url})
    bad = await shop.running()

    async def repo_server_dies() -> None:
        client.kill(REPO_SERVER)

    in_between.before("POST", "/rollback", repo_server_dies)
    try:
        await asked(backout, shop)
        operation = await backout.until_ended(shop)
    finally:
        await client.start_again(REPO_SERVER)

    assert operation["outcome"] == "failed", operation["says"]
    assert await shop.running() == bad
    assert [event for event in await shop.told_by("backout") if "rollback" in event] == ["backout initiated rollback to 0"]
    await told(backout, operation)


async def test_with_git_and_every_cache_gone_nothing_is_written_and_when_git_is_back_it_is_rolled_back(
    client: LabClient, open_shop: OpenShop, serving: Serving
) -> None:
    """Nobody can render the good release then: a rollback would be accepted and end in Error (recording 23)."""
    shop, backout, good, revision = await two_releases(open_shop, serving)
    bad, plan = await shop.running(), await backout.plan(shop)
    gone_to = shop.config.path.with_name(f"{shop.config.path.name}-gone")
    shop.config.path.rename(gone_to)
    try:
        await client.forget()
        before = await footprint(shop)
        operation = await backout.until_done((await backout.ask(shop, plan=plan))[1])
        after = await footprint(shop)
    finally:
        gone_to.rename(shop.config.path)

    assert (operation["outcome"], operation["first_effect_at"]) == ("failed", None), operation["says"]
    assert "cannot be rendered now, so a rollback would end in Error" in operation["says"]
    assert (after, await shop.running()) == (before, bad)
    await told(backout, operation)
    again = await backout.until_done((await backout.ask(shop))[1])
    assert again["outcome"] == "recovered", again["says"]
    assert (await shop.running(), (await shop.history())[-1][1:]) == (good, (revision, "backout"))


async def test_without_redis_what_runs_is_unknown_until_it_is_back(client: LabClient, open_shop: OpenShop, serving: Serving) -> None:
    """The resource tree stands in Redis: without it nobody can see the pods through Argo CD, and unknown is not recovered."""
    shop, backout, good, revision = await two_releases(open_shop, serving)
    await asked(backout, shop)
    await written(shop)

    async with gone(client, REDIS, 6):
        pass

    await went_back_once(shop, backout, good, revision)
