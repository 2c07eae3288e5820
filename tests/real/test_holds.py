"""The hold on real servers: what keeps the bad release away, what ends it, and what does not."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.real.backout import Backout, OpenShop, Serve
from tests.real.forward import forward
from tests.real.lab.client import LabClient, until
from tests.real.shop import Shipped, Shop
from tests.real.test_stories import AUTOMATED, QUICK, automated, marker, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


async def rolled_back(backout: Backout, shop: Shop, version: str = "1.1") -> tuple[Shipped, Mapping[str, Any]]:
    """A bad release went live and was rolled back by its alert; with the hold that stands since."""
    bad = await shop.release(version, errors=0.31)
    operation = await backout.until_ended(shop)
    assert operation["outcome"] == "recovered", operation["says"]
    (hold,) = await backout.holds(shop)
    return bad, hold


async def test_a_fix_is_deployed_under_the_hold_and_ends_it_with_auto_sync_as_it_was(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    _, hold = await rolled_back(backout, shop)

    await shop.config.commit({"README.md": "How we deploy.\n"}, "describe")
    await shop.application(refresh="normal")
    await asyncio.sleep(4)
    assert await shop.running() == good
    assert [one["kind"] for one in await backout.operations(shop)] == ["rollback"]
    assert (await told(backout, shop, "hold_still_bad"))["hold"] == hold["id"]

    fix = await shop.ship("1.2")
    operation = await forward(backout, shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == {fix.image}
    app = await shop.application()
    assert (automated(app), marker(app)) == (AUTOMATED, "")
    assert (await shop.history())[-1][1:] == (fix.config, "backout")
    assert await backout.holds(shop) == []
    (ended,) = await backout.holds(shop, "ended")
    assert (ended["id"], ended["ended_by"]) == (hold["id"], "forward")


async def test_a_fix_waits_for_a_person_in_mode_approve_and_then_ends_the_hold(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "approve", delivery=QUICK)
    await shop.release("1.1", errors=0.31)
    await backout.approve(await backout.until_waiting(shop), reason="go back")
    back = await backout.until_ended(shop)
    assert back["outcome"] == "recovered", back["says"]
    good, before = await shop.running(), await shop.history()

    fix = await shop.ship("1.2")
    offer = await forward(backout, shop, ended=False)
    assert (await shop.running(), await shop.history()) == (good, before)
    assert fix.config in json.dumps(offer["plan"])
    answer = await backout.approve(offer, reason="go")
    operation = await forward(backout, shop)

    assert answer.status == 202
    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == {fix.image}
    assert automated(await shop.application()) == AUTOMATED
    assert [hold["state"] for hold in await backout.holds(shop, "all")] == ["ended"]


async def test_a_newer_commit_that_still_has_the_image_of_a_second_held_release_is_still_bad(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    _, hold = await rolled_back(backout, shop)

    worse = await shop.ship("1.2", errors=0.4)
    operation = await forward(backout, shop)
    assert operation["outcome"] == "not_recovered", operation["says"]
    assert await shop.running() == good
    assert automated(await shop.application()) == {**AUTOMATED, "enabled": False}
    (still,) = await backout.holds(shop)
    assert (still["id"], len(still["held"])) == (hold["id"], 2)
    assert "NOT well: back again" in (await told(backout, shop, "not_recovered"))["title"]

    await shop.config.commit({"deploy/notes.txt": "1.2 again\n", "README.md": "on top of 1.2\n"}, "on top of the second bad release")
    await shop.application(refresh="normal")
    await asyncio.sleep(4)
    assert await shop.running() == good
    assert worse.image not in await shop.running()
    forwards = [one for one in await backout.operations(shop) if one["kind"] == "forward"]  # the alert about 1.2 may have had an operation of its own by now
    assert [one["id"] for one in forwards] == [operation["id"]]
    assert "1.2" in (await told(backout, shop, "hold_still_bad"))["text"]


async def test_a_persons_own_fix_is_measured_and_ends_the_hold(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    await rolled_back(backout, shop)
    await backout.stop()  # or it would deploy the fix itself, sooner or later than the person
    fix = await shop.ship("1.2")
    synced = await shop.client.sync(shop.name)
    assert synced.good, synced
    await shop.until_running(fix)
    await shop.until_recorded(fix)
    await backout.start()

    operation = await forward(backout, shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert [step["name"] for step in operation["plan"]["steps"]] == ["prove_controller", "restore_auto_sync"]
    assert automated(await shop.application()) == AUTOMATED
    assert await backout.holds(shop) == []
    assert "backout" not in (await shop.history())[-1][2]


EVERY_FIELD = {"prune": True, "selfHeal": True, "allowEmpty": True, "enabled": True}


async def test_in_mode_suggest_a_fix_is_a_plan_and_a_person_who_turns_auto_sync_on_ends_the_hold(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(app_spec={"syncPolicy": {"automated": EVERY_FIELD}})
    backout = await serve(shop, delivery=QUICK, declared_sli=True)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    operation = await backout.until_done((await backout.ask(shop, "errors since 1.1"))[1])
    assert operation["outcome"] == "recovered", operation["says"]
    stopped, before = automated(await shop.application()), await shop.history()

    fix = await shop.ship("1.2")
    offer = await forward(backout, shop)
    untouched = (await shop.running(), await shop.history(), automated(await shop.application()))
    await shop.edit({"op": "replace", "path": "/spec/syncPolicy/automated", "value": EVERY_FIELD})

    async def ended() -> bool:
        return await backout.holds(shop) == []

    await until(ended, what="the hold to end", every=0.2)
    assert stopped == EVERY_FIELD | {"enabled": False}
    assert (offer["outcome"], offer["first_effect_at"], fix.config in json.dumps(offer["plan"])) == ("suggested", None, True)
    assert untouched == (good, before, stopped)
    assert (await shop.running(), automated(await shop.application()), marker(await shop.application())) == ({fix.image}, EVERY_FIELD, "")


async def test_a_candidate_that_is_named_by_tag_alone_is_unknown_until_a_person_deploys_it(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(app_spec={"syncPolicy": {"automated": EVERY_FIELD}})
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await rolled_back(backout, shop)
    repository = f"team/{shop.name}"
    digest = await client.push_image(repository, version="1.2", tag="v1.2")
    await shop.config.commit(shop.manifests(f"{client.lab.registry_host}/{repository}:v1.2"), "1.2, by its tag")
    await shop.application(refresh="normal")

    said = await told(backout, shop, "hold_unknown")
    assert (await shop.running(), [one["kind"] for one in await backout.operations(shop)]) == (good, ["rollback"])
    synced = await client.sync(shop.name)
    assert synced.good, synced
    operation = await forward(backout, shop)

    assert "whether it is a fix is unknown" in said["title"]
    assert operation["outcome"] == "recovered", operation["says"]
    assert {image.partition("@")[2] for image in await shop.running()} == {digest}
    assert automated(await shop.application()) == EVERY_FIELD
    assert await backout.holds(shop) == []


async def test_a_mark_that_no_hold_explains_is_told_and_listed(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop)
    note = "operation=op_of_another_backout suspect=1 goal=2"
    await shop.edit({"op": "add", "path": "/metadata/annotations", "value": {"backout.dev/hold": note}})

    async def listed() -> Any:
        found = (await backout.api.must("GET", "/v1/holds"))["orphans"]
        return found[0] if found else None

    orphan = await until(listed, what="the orphaned hold to be listed")
    assert (orphan["target"].endswith(shop.name), orphan["marker"]) == (True, note)
    message = await told(backout, shop, "orphaned_hold")
    assert orphan["clears"] in message["text"]


async def test_a_hold_past_its_review_is_renewed_and_told_more_loudly(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK, hold_review="3s")
    good = await shop.running()
    _, hold = await rolled_back(backout, shop)

    async def three() -> Any:
        found = [body for body in backout.told.about(shop) if body["event"] == "hold_review"]
        return found if len(found) >= 3 else None

    reviews = await until(three, what="three reviews")
    assert reviews is not None
    assert [one["severity"] for one in reviews[:3]] == ["notice", "warning", "critical"]
    (still,) = await backout.holds(shop)
    assert (still["id"], still["state"], await shop.running()) == (hold["id"], "open", good)
