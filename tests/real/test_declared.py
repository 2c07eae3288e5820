"""Stories of applications that are declared elsewhere by somebody who writes late or never: what only creates, only syncs, or replaces."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.real.backout import OpenShop, Serve, finding
from tests.real.lab.client import ARGOCD_NAMESPACE, GitRepository, until
from tests.real.shop import Shop
from tests.real.test_owners import by_application_set, spec_of, until_there
from tests.real.test_stories import AUTOMATED, QUICK, automated, footprint, marker, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

ENABLED = {**AUTOMATED, "enabled": True}
STOPPED = {**AUTOMATED, "enabled": False}


class Parent:
    """A parent application that syncs by itself and heals nothing. Give `declare` to the shop; `change` is its next commit, once it was synced."""

    def __init__(self, declared: Mapping[str, Any], options: Sequence[str] = ()) -> None:
        self._automated, self._options = dict(declared), list(options)
        self._shop: Shop | None = None
        self._repository: GitRepository | None = None

    async def declare(self, shop: Shop) -> Callable[[], Awaitable[None]]:
        """See `Shop.open`."""
        self._shop, self._repository = shop, await shop.client.create_repository(f"{shop.name}-root")
        await self._commit("first")
        policy = {"syncPolicy": {"automated": {"prune": True}, "syncOptions": self._options}}
        await shop.client.create_application(f"{shop.name}-root", self._repository, namespace=ARGOCD_NAMESPACE, auto_sync=True, spec=policy)
        await until_there(shop)

        async def undo() -> None:
            await shop.client.delete_application(f"{shop.name}-root", cascade=False)

        return undo

    async def _commit(self, note: str) -> None:
        assert self._shop is not None
        assert self._repository is not None
        about = {"name": self._shop.name, "namespace": ARGOCD_NAMESPACE, "labels": {"note": note}}
        child = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": about, "spec": spec_of(self._shop, self._automated)}
        await self._repository.commit({"deploy/child.json": json.dumps(child)}, f"declare {note}")

    async def change(self, note: str) -> None:
        """The parent's team changes something about the child."""
        assert self._shop is not None
        shop = self._shop
        await self._commit(note)
        await shop.client.application(f"{shop.name}-root", refresh=True)

        async def synced() -> bool:
            return bool((await shop.application())["metadata"].get("labels", {}).get("note") == note)

        await until(synced, what=f"the parent to sync {note}")


async def test_under_an_application_set_that_only_creates_a_rollback_stays(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(declare=by_application_set(syncPolicy={"applicationsSync": "create-only"}))
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    stays = finding(operation["plan"], "rollback_will_stay")
    assert (stays["answer"], f"{shop.name}-set" in stays["says"]) == ("pass", True), stays["says"]
    app = await shop.application(refresh="hard")
    assert (automated(app), marker(app), await shop.running()) == (STOPPED, "", good)  # no mark: its controller may have another policy than it says
    assert [hold["operation"] for hold in await backout.holds(shop)] == [operation["id"]]


async def test_a_parent_that_starts_auto_sync_at_its_next_sync_is_a_warning_and_when_it_does_it_is_told_and_not_fought(
    open_shop: OpenShop, serve: Serve
) -> None:
    parent = Parent(ENABLED)
    shop = await open_shop(declare=parent.declare)
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    bad = await shop.release("1.1", errors=0.31)

    waiting = await backout.until_waiting(shop)
    stays = finding(waiting["plan"], "rollback_will_stay")
    assert (stays["answer"], waiting["must_name"]) == ("warn", ["rollback_will_stay"]), stays["says"]
    assert f"pplication {shop.name}-root declares enabled: true in Git: its next sync starts auto-sync again" in stays["says"]
    assert (await backout.approve(waiting, "nobody touches the parent today")).good
    operation = await backout.until_done(waiting)
    assert operation["outcome"] == "recovered", operation["says"]
    await shop.client.argocd().must("GET", f"/api/v1/applications/{shop.name}-root?refresh=hard")  # it looks, and heals nothing
    assert (automated(await shop.application()), await shop.running()) == (STOPPED, good)
    acts = await shop.told_by("backout")

    await parent.change("second")

    assert "turned auto-sync on again" in (await told(backout, shop, "hold_auto_sync_on"))["text"]
    assert "live again" in (await told(backout, shop, "hold_held_is_live"))["text"]
    await shop.until_running(bad)
    assert (await shop.told_by("backout"), len(await backout.holds(shop))) == (acts, 1)


async def test_a_parent_that_replaces_what_it_declares_is_never_worked_against(open_shop: OpenShop, serve: Serve) -> None:
    parent = Parent(AUTOMATED, ["Replace=true"])
    shop = await open_shop(declare=parent.declare)
    backout = await serve(shop, "auto", delivery=QUICK)
    await shop.release("1.1", errors=0.31)
    before = await footprint(shop)

    operation = await backout.until_ended(shop)

    assert (operation["outcome"], operation["plan"]["way"]) == ("suggested", "git_revert"), operation["says"]
    assert "replaces this one at its next sync, and a stopped auto-sync with it" in operation["says"]
    assert (await footprint(shop), before["by Backout"]) == (before, [])
    await shop.edit({"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": False})  # as a person would find out
    await parent.change("second")
    assert automated(await shop.application()) == AUTOMATED
