"""Helm charts on real servers: releases that are parameters, values of a second source, and a chart version that was published twice."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.argocd.charts import serving
from tests.real.backout import OpenShop, Serve, finding
from tests.real.chart_shop import PackedShop, PairShop, ParameterShop, packed
from tests.real.forward import forward
from tests.real.test_stories import AUTOMATED, QUICK, automated, marker

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


async def test_parameters_go_back_to_those_of_their_time_and_new_ones_end_the_hold(open_shop: OpenShop, serve: Serve) -> None:
    """One commit for ever: Argo CD renders no release with parameters that are not today's, so what they were made of is Backout's own record."""
    shop = await open_shop(kind=ParameterShop)
    backout = await serve(shop, "auto", delivery=QUICK)
    good, source = await shop.running(), (await shop.application())["spec"]["source"]
    bad = await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)
    back = await shop.application()
    (hold,) = await backout.holds(shop)
    refused = await backout.end_hold(hold, "is it over?")
    fix = await shop.ship("1.2")
    ended = await forward(backout, shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert operation["plan"]["suspect"]["revision"] == operation["plan"]["goal"]["revision"] == bad.config
    assert good != {bad.image}
    assert back["status"]["history"][-1]["source"] == source
    assert (refused.status, "the desired revision is still one that was rolled back" in str(refused.body)) == (409, True), refused
    assert ended["outcome"] == "recovered", ended["says"]
    assert (await shop.running(), automated(await shop.application()), marker(await shop.application())) == ({fix.image}, AUTOMATED, "")
    assert [one["state"] for one in await backout.holds(shop, "all")] == ["ended"]


async def test_two_sources_go_back_as_a_whole_and_forward_again_under_the_hold(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(kind=PairShop)
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    bad = await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)
    back = await shop.running()
    fix = await shop.ship("1.2")
    ended = await forward(backout, shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert (operation["plan"]["suspect"]["version"], back) == ("1.1", good)
    assert ended["outcome"] == "recovered", ended["says"]
    assert (await shop.running(), automated(await shop.application()), marker(await shop.application())) == ({fix.image}, AUTOMATED, "")
    entries: list[Any] = (await shop.application())["status"]["history"]
    charts = {entry["revisions"][0] for entry in entries}
    assert (len(charts), [entry["revisions"][1] for entry in entries][1:]) == (1, [bad.config, entries[0]["revisions"][1], fix.config])
    assert [entry["initiatedBy"].get("username", "") for entry in entries] == ["", "", "backout", "backout"]


async def test_a_chart_version_that_was_published_twice_is_no_place_to_go_back_to_by_itself(open_shop: OpenShop, serve: Serve, tmp_path: Path) -> None:
    with serving(tmp_path / "charts") as charts:
        shop = await open_shop(kind=PackedShop, charts=charts)
        backout = await serve(shop, "auto", delivery=QUICK)
        image = next(iter(await shop.running()))
        charts.publish("shop", "1.0.0", packed(shop.name, image, {"later.json": LATER}))
        bad = await shop.release("1.1", errors=0.31)

        waiting = await backout.until_waiting(shop)

        exact = finding(waiting["plan"], "goal_release_is_exact_and_was_healthy")
        assert (exact["answer"], waiting["first_effect_at"]) == ("unknown", None)
        assert "Chart version 1.0.0 of release 0 was published again: " in exact["says"]
        assert f"ConfigMap {shop.name}/later" in exact["says"]
        assert (await shop.running(), automated(await shop.application())) == ({bad.image}, AUTOMATED)


LATER = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"on": "true"}}'
