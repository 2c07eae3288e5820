"""The bad release in all its forms, on real servers: in no history, one of several, with leftovers, with other parameters, moved, or beyond a short history."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.real.backout import Backout, OpenShop, Serve
from tests.real.lab.client import until
from tests.real.shop import Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

QUICK = {"read_back_seconds": [0, 1]}
AUTOMATED = {"prune": True, "selfHeal": True}


def frozen(value: str) -> Mapping[str, str]:
    """A ConfigMap that nobody may change, deployed after all else: a release that tries fails when its Deployment is live already."""
    about = {"name": "frozen", "annotations": {"argocd.argoproj.io/sync-wave": "1"}}
    return {"deploy/frozen.json": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "immutable": True, "data": {"v": value}})}


async def text_of(backout: Backout, shop: Shop, event: str) -> str:
    """What the person on call was told, once it arrived."""

    async def arrived() -> str:
        return next((str(body["text"]) for body in backout.told.about(shop) if body["event"] == event), "")

    return str(await until(arrived, 15, what=f"the message {event}"))


async def test_a_release_that_failed_half_way_and_is_in_no_history_is_taken_back_while_its_retries_hold_the_slot(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(config_files=frozen("1"))
    backout = await serve(shop, "auto", delivery=QUICK)
    good, before = await shop.running(), await shop.history()
    bad = await shop.ship("1.1", errors=0.31, config_files=frozen("2"))
    await shop.until_running(bad)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    plan = operation["plan"]
    assert (plan["suspect"]["release"], plan["suspect"]["revision"], plan["suspect"]["version"]) == ("", bad.config, "1.1")
    assert plan["goal"]["release"] == str(before[-1][0])
    assert await shop.running() == good
    assert [(revision, who) for _, revision, who in await shop.history()] == [(before[0][1], ""), (before[0][1], "backout")]
    (hold,) = await backout.holds(shop)
    assert hold["held"] == [plan["suspect"]["key"]]
    told = await text_of(backout, shop, "recovered")
    assert f"1.1 · {bad.config[:7]} is held away" in told
    app = await shop.application()
    assert (app["spec"]["syncPolicy"]["automated"], app.get("operation")) == ({**AUTOMATED, "enabled": False}, None)


async def test_of_two_bad_releases_in_a_row_neither_is_a_goal_and_both_are_held(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good = await shop.running()
    first = await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    await backout.until_ended(shop)  # the alert that 1.1 set off was answered with a suggestion
    second = await shop.release("1.2", errors=0.31)
    await backout.until_watched(shop, "1.2")

    plan = await backout.plan(shop)
    await backout.ask(shop, plan, reason="1.2 did not help")
    operation = await until(lambda: ended(backout, shop, "user"), 60, what="the rollback that the person asked for")

    assert operation["outcome"] == "recovered", operation["says"]
    assert (plan["suspect"]["revision"], plan["goal"]["version"]) == (second.config, "1.0")
    assert [one["revision"] for one in plan["passed_over"]] == [first.config]
    assert await shop.running() == good
    (hold,) = await backout.holds(shop)
    assert set(hold["held"]) == {plan["suspect"]["key"], plan["passed_over"][0]["key"]}
    suspected = next(one for one in await backout.events(operation) if one["kind"] == "suspect")
    assert "is passed over: an alert began while it was live" in suspected["says"]


async def ended(backout: Backout, shop: Shop, by: str) -> Any:
    """The newest operation in full, when somebody of that kind asked for it and it ended."""
    operation = await backout.operation(shop)
    return operation if operation["requested_by"]["kind"] == by and operation["done_at"] else None
