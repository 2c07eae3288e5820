"""Stories in which a team ships on while an operation is under way: what they ship is theirs, and auto-sync waits until what is desired was verified."""

import pytest

from tests.real.backout import OpenShop, Serve
from tests.real.between import Between
from tests.real.forward import forward
from tests.real.lab.client import until
from tests.real.test_stories import AUTOMATED, QUICK, automated, footprint, told
from tests.real.test_stuck import hook, waits_for_the_hook

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

STOPPED = {**AUTOMATED, "enabled": False}


async def test_a_fix_that_git_has_left_again_when_it_is_verified_does_not_give_auto_sync_back(in_between: Between, open_shop: OpenShop, serve: Serve) -> None:
    """Somebody merges the bad release again while the fix bakes: auto-sync would deploy it at once."""
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery={**QUICK, "url": in_between.url})
    bad = await shop.release("1.1", errors=0.31)
    back = await backout.until_ended(shop)
    assert back["outcome"] == "recovered", back["says"]
    (hold,) = await backout.holds(shop)

    async def merged_again() -> None:
        await shop.config.commit(shop.manifests(bad.image), "1.1 again")

    in_between.before("POST", "/sync", merged_again)
    fix = await shop.ship("1.2")
    operation = await forward(backout, shop)
    app = await shop.application(refresh="hard")

    assert "the hold stays, for auto-sync was not given back: what is desired now is" in operation["says"]
    assert await shop.running() == {fix.image}
    assert (automated(app), app["status"]["sync"]["status"]) == (STOPPED, "OutOfSync")
    assert [one["id"] for one in await backout.holds(shop)] == [hold["id"]]
    assert (await told(backout, shop, "hold_still_bad"))["hold"] == hold["id"]

    good = await shop.config.commit(shop.manifests(fix.image), "1.2 it is")
    await shop.application(refresh="normal")

    async def ended() -> bool:
        return await backout.holds(shop) == []

    await until(ended, what="the hold to end")
    app = await shop.application()
    assert (automated(app), app["status"]["sync"]["revision"], await shop.running()) == (AUTOMATED, good, {fix.image})


async def test_promise_5_an_automated_sync_of_a_newer_release_is_never_ended(open_shop: OpenShop, serve: Serve) -> None:
    """The team answers the bad release with the next one, which is on its way when a person approves: that is no operation on the bad release."""
    shop = await open_shop()
    backout = await serve(shop, "approve", delivery=QUICK)
    bad = await shop.release("1.1", errors=0.31)
    waiting = await backout.until_waiting(shop)
    newer = await shop.ship("1.2", config_files=hook("PreSync"))
    running = (await waits_for_the_hook(shop))["operation"]
    before = await footprint(shop)

    await backout.approve(waiting, reason="go back")
    operation = await backout.until_done(waiting)

    app = await shop.application()
    assert running["sync"]["revision"] == newer.config
    assert (operation["outcome"], operation["first_effect_at"]) == ("refused", None), operation["says"]
    assert (await footprint(shop), app["operation"], app["status"]["operationState"]["phase"]) == (before, running, "Running")
    assert (before["by Backout"], await shop.running()) == ([], {bad.image})
    assert (await shop.client.argocd().call("DELETE", f"/api/v1/applications/{shop.name}/operation")).good  # the person ends it; else the shop cannot go
