"""The bad release in all its forms, on real servers: in no history, one of several, with leftovers or parameters, moved, by hand, beyond a history."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.real.backout import Backout, OpenShop, Serve, finding
from tests.real.forward import forward
from tests.real.lab.client import LabClient, deployment, until
from tests.real.shop import Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

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

    return str(await until(arrived, what=f"the message {event}"))


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

    plan, asked = await backout.ask(shop, "1.2 did not help")
    operation = await backout.until_done(asked)

    assert operation["outcome"] == "recovered", operation["says"]
    assert (plan["suspect"]["revision"], plan["goal"]["version"]) == (second.config, "1.0")
    assert [one["revision"] for one in plan["passed_over"]] == [first.config]
    assert await shop.running() == good
    (hold,) = await backout.holds(shop)
    assert set(hold["held"]) == {plan["suspect"]["key"], plan["passed_over"][0]["key"]}
    suspected = next(one for one in await backout.events(operation) if one["kind"] == "suspect")
    assert "is passed over: an alert began while it was live" in suspected["says"]


def manifest(kind: str, name: str, *, api: str = "v1", annotations: Mapping[str, str] | None = None, **body: Any) -> Mapping[str, str]:
    """A further file of a shop's configuration."""
    about = {"name": name, **({"annotations": dict(annotations)} if annotations else {})}
    return {f"deploy/{name}.json": json.dumps({"apiVersion": api, "kind": kind, "metadata": about, **body})}


SWEEP = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.example/sweep@sha256:" + "5" * 64}]}
CRON = manifest("CronJob", "sweep", api="batch/v1", spec={"schedule": "0 4 1 1 *", "jobTemplate": {"spec": {"template": {"spec": SWEEP}}}})
KEY = manifest("Secret", "key", stringData={"token": "hunter2"})
KEPT = manifest("ConfigMap", "kept", annotations={"argocd.argoproj.io/sync-options": "Prune=false"}, data={"v": "1"})


async def test_what_only_the_bad_release_has_is_flagged_planned_for_a_person_and_told_again_at_the_end(
    client: LabClient, open_shop: OpenShop, serve: Serve
) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    bad = await shop.ship("1.1", errors=0.31, config_files={**CRON, **KEY, **KEPT})
    assert (await client.sync(shop.name)).good
    await shop.until_running(bad)

    plan, asked = await backout.ask(shop, "errors since 1.1", fits=lambda plan: bool(plan["suspect"]["revision"] == bad.config))
    operation = await backout.until_done(asked)

    assert operation["outcome"] == "recovered", operation["says"]
    flagged = finding(plan, "prune_deletes_no_data")
    assert (flagged["answer"], f"batch/CronJob {shop.name}/sweep stays behind and works on" in flagged["says"]) == ("warn", True)
    steps = {one["parameters"]["object"]: one for one in plan["steps"] if one["name"] == "left_behind"}
    names = [f"batch/CronJob {shop.name}/sweep", f"Secret {shop.name}/key", f"ConfigMap {shop.name}/kept"]
    assert list(steps) == names
    assert {one["owner"] for one in steps.values()} == {"person"}
    assert "deleting it may lose that data for ever" in steps[names[1]]["says"]
    assert "delete" not in steps[names[1]]["command"]
    said = await text_of(backout, shop, "recovered")
    assert all(name in said for name in names)
    (left,) = [one for one in await backout.events(operation) if one["kind"] == "left_behind"]
    assert sorted(left["body"]["objects"]) == sorted(names)
    key = await client.kube.must("GET", f"/api/v1/namespaces/{shop.name}/secrets/key")
    cron = await client.kube.must("GET", f"/apis/batch/v1/namespaces/{shop.name}/cronjobs/sweep")
    assert key["metadata"]["name"] == "key"
    assert "hunter2" not in json.dumps(plan) + json.dumps(await backout.events(operation))
    assert cron["spec"].get("suspend") in {None, False}


async def test_the_same_commit_with_other_parameters_goes_back_to_the_parameters_of_its_time(open_shop: OpenShop, serve: Serve) -> None:
    """A person lets a further file in: the same commit, another release, and Argo CD renders the one before no more."""
    shop = await open_shop(auto_sync=False, config_files=manifest("ConfigMap", "feature", data={"on": "true"}))
    await shop.edit({"op": "add", "path": "/spec/source/directory", "value": {"exclude": "feature.json"}})
    await shop.deploy_wanted()
    backout = await serve(shop, declared_sli=True)
    await until(lambda: recorded(backout, shop, 1), what="Backout to have recorded the release without the feature")
    await shop.edit({"op": "remove", "path": "/spec/source/directory"})
    await shop.deploy_wanted()
    await until(lambda: recorded(backout, shop, 2), what="Backout to have recorded the release with the feature")

    plan, asked = await backout.ask(shop, "the feature is broken")
    operation = await backout.until_done(asked)

    assert operation["outcome"] == "recovered", operation["says"]
    assert plan["suspect"]["revision"] == plan["goal"]["revision"]
    assert plan["suspect"]["key"] != plan["goal"]["key"]
    assert finding(plan, "goal_images_exist")["answer"] == "pass"
    left = finding(plan, "prune_deletes_no_data")
    assert (left["answer"], left["says"]) == ("pass", f"Nothing is deleted; ConfigMap {shop.name}/feature stays behind, idle.")
    entries = (await shop.application())["status"]["history"]
    assert [entry["source"].get("directory", {}).get("exclude") for entry in entries] == [None, "feature.json", None, "feature.json"]


async def recorded(backout: Backout, shop: Shop, count: int) -> bool:
    """Whether Backout knows of so many releases what they are made of, images and manifests, and saw them healthy."""
    known = [one for one in (await backout.target(shop))["releases"] if one["fingerprint"] and one["healthy_for_s"] >= 1]
    return len(known) >= count


async def test_a_release_whose_tag_was_moved_is_never_called_exact(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    repository = f"team/{shop.name}"
    await client.push_image(repository, version="1.0", tag="stable")
    tagged = await shop.deploy(f"{client.lab.registry_host}/{repository}:stable", "by tag")
    backout = await serve(shop, declared_sli=True)
    moved = await client.push_image(repository, version="1.0", errors=0.001, tag="stable")
    await shop.restart()
    await until(lambda: runs(shop, moved), what="the pods to run what the tag means now")
    told = await until(lambda: told_moved(backout, shop), what="Backout to have noticed")
    await shop.release("1.2", errors=0.31)
    await backout.until_watched(shop, "1.2")

    plan = await backout.plan(shop)

    assert tagged == plan["goal"]["revision"]
    assert f"{client.lab.registry_host}/{repository} ran as sha256:" in told
    exact = finding(plan, "goal_release_is_exact_and_was_healthy")
    assert (exact["answer"], f"is no exact thing: while it was the same release, {told}" in exact["says"]) == ("unknown", True)
    assert finding(plan, "goal_images_exist")["answer"] == "unknown"


async def runs(shop: Shop, digest: str) -> bool:
    """Whether the ready pods run that digest and no other."""
    return {image.partition("@")[2] for image in await shop.running()} == {digest}


async def told_moved(backout: Backout, shop: Shop) -> str:
    """What moved under the release that is live."""
    return next((str(one["moved"]) for one in (await backout.target(shop))["releases"] if one["live_until"] is None), "")


async def test_a_good_release_that_was_trimmed_from_the_history_is_a_plan_for_a_person_and_nothing_is_touched(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good = (await shop.history())[0][1]
    await shop.edit({"op": "add", "path": "/spec/revisionHistoryLimit", "value": 1})
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    before = await shop.history()

    plan, asked = await backout.ask(shop, "errors since 1.1")
    operation = await backout.until_done(asked)

    assert good not in {revision for _, revision, _ in before}
    assert (plan["goal"]["release"], plan["goal"]["revision"], plan["goal"]["version"]) == ("", good, "1.0")
    assert (operation["outcome"], plan["way"], operation["first_effect_at"]) == ("suggested", "git_revert", None)
    assert "keeps 1 release of it (revisionHistoryLimit)" in operation["says"]
    assert {step["owner"] for step in plan["steps"]} == {"person"}
    assert any(f"git restore --source={good} " in step["command"] for step in plan["steps"])
    assert await shop.history() == before


async def test_without_any_history_going_back_is_a_plan_in_git_for_a_person_and_nothing_is_touched(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(app_spec={"revisionHistoryLimit": 0})
    backout = await serve(shop, "auto", delivery=QUICK)
    good = (await shop.application())["status"]["sync"]["revision"]
    bad = await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    app = await shop.application()
    assert app["status"].get("history") is None
    assert (operation["outcome"], operation["plan"]["way"], operation["first_effect_at"]) == ("suggested", "git_revert", None), operation["says"]
    assert (operation["plan"]["suspect"]["revision"], operation["plan"]["goal"]["revision"]) == (bad.config, good)
    assert "Argo CD keeps no releases of it (revisionHistoryLimit)" in json.dumps(operation)
    assert any(f"git restore --source={good} " in step["command"] for step in operation["plan"]["steps"])
    assert (app["spec"]["syncPolicy"]["automated"], await shop.running()) == (AUTOMATED, {bad.image})


async def test_a_change_by_hand_is_said_and_waits_for_a_person_for_there_is_nothing_in_git_to_go_back_to(
    client: LabClient, open_shop: OpenShop, serve: Serve
) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.release("1.1")
    await backout.until_watched(shop, "1.1")
    before = await shop.history()
    _, image = await shop.build("1.1-by-hand", errors=0.31)
    containers = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    path = f"/apis/apps/v1/namespaces/{shop.name}/deployments/{shop.name}"
    await client.kube.must("PATCH", path, containers, content_type="application/strategic-merge-patch+json")

    waiting = await backout.until_waiting(shop)

    says = finding(waiting["plan"], "nobody_else_is_acting")["says"]
    assert f"apps/Deployment {shop.name}/{shop.name} is not as release" in says
    assert "somebody changed that by hand, nobody can say when. Going back overwrites it." in says
    assert (waiting["plan"]["suspect"]["revision"], waiting["first_effect_at"]) == (good.config, None)
    assert await shop.history() == before

    async def by_hand() -> bool:
        return await shop.running() == {image}

    await until(by_hand, what="only the pods of the change by hand")


async def test_an_object_that_asks_before_it_is_pruned_blocks_the_rollback_that_would_stand_still(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    asking = manifest("ConfigMap", "flags", annotations={"argocd.argoproj.io/sync-options": "Prune=confirm"}, data={"on": "true"})
    bad = await shop.release("1.1", errors=0.31, config_files=asking)
    before = await shop.history()

    operation = await backout.until_ended(shop)

    assert (operation["outcome"], operation["first_effect_at"]) == ("refused", None), operation["says"]
    blocked = finding(operation["plan"], "prune_deletes_no_data")
    assert (blocked["answer"], f"would stand still: ConfigMap {shop.name}/flags asks for a person's confirmation first" in blocked["says"]) == ("block", True)
    app = await shop.application()
    assert (app["spec"]["syncPolicy"]["automated"], await shop.history(), await shop.running()) == (AUTOMATED, before, {bad.image})
    assert "Prune=confirm" in await text_of(backout, shop, "refused")


async def test_with_prune_on_a_rollback_deletes_nothing_and_the_fix_that_ends_the_hold_lets_auto_sync_clean_up(
    client: LabClient, open_shop: OpenShop, serve: Serve
) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    _, image = await shop.build("consumer")
    consumer = {"deploy/consumer.yaml": deployment("consumer", image)}
    await shop.ship("1.1", errors=0.31, config_files={**CRON, **consumer})

    waiting = await backout.until_waiting(shop)
    await backout.approve(waiting, reason="both may go on for a while")
    operation = await backout.until_done(waiting)
    left = await leftovers(client, shop)
    await shop.ship("1.2", config_files={"deploy/sweep.json": None, "deploy/consumer.yaml": None})
    ended = await forward(backout, shop)

    assert operation["outcome"] == "recovered", operation["says"]
    names = [f"batch/CronJob {shop.name}/sweep", f"apps/Deployment {shop.name}/consumer"]
    flagged = finding(waiting["plan"], "prune_deletes_no_data")
    assert (flagged["answer"], all(name in flagged["says"] for name in names)) == ("warn", True)
    assert {one["parameters"]["object"] for one in waiting["plan"]["steps"] if one["name"] == "left_behind"} == set(names)
    assert left == (True, True)
    assert ended["outcome"] == "recovered", ended["says"]

    async def cleaned() -> bool:
        return await leftovers(client, shop) == (False, False)

    await until(cleaned, what="auto-sync to prune what the fix does not have")


async def leftovers(client: LabClient, shop: Shop) -> tuple[bool, bool]:
    """Whether the schedule and the consumer of the bad release are there."""
    cron = await client.kube_get(f"/apis/batch/v1/namespaces/{shop.name}/cronjobs/sweep")
    consumer = await client.kube_get(f"/apis/apps/v1/namespaces/{shop.name}/deployments/consumer")
    return cron is not None, consumer is not None
