"""Stories of applications whose spec somebody else writes too: ApplicationSet, parent, Flux, a hand that nobody knew of.

Known before the first write; the way that stays is taken; one observed revert ends it.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.real.backout import OpenShop, Serve, finding
from tests.real.lab.client import ARGOCD_NAMESPACE, IN_CLUSTER, LabClient, until
from tests.real.lab.owners import APPLICATIONS, apply_application, patch_application
from tests.real.shop import Declare, Shop
from tests.real.test_stories import AUTOMATED, QUICK, automated, footprint, marker, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def spec_of(shop: Shop, automated_: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "project": "default",
        "source": {"repoURL": shop.config.url, "path": "deploy", "targetRevision": "main", "directory": {"recurse": True}},
        "destination": {"server": IN_CLUSTER, "namespace": shop.name},
        "syncPolicy": {"automated": dict(automated_)},
    }


def by_application_set(**spec: Any) -> Declare:
    """An ApplicationSet of one application, which is labelled `env: prod`."""

    async def declare(shop: Shop) -> Callable[[], Awaitable[None]]:
        template = {"metadata": {"name": shop.name, "labels": {"env": "prod"}}, "spec": spec_of(shop, AUTOMATED)}
        body = {"generators": [{"list": {"elements": [{"shop": shop.name}]}}], "template": template, **spec}
        admin = shop.client.argocd("admin")
        await admin.must("POST", "/api/v1/applicationsets", {"metadata": {"name": f"{shop.name}-set"}, "spec": body})
        await until_there(shop)

        async def undo() -> None:
            await admin.must("DELETE", f"/api/v1/applicationsets/{shop.name}-set")
            await until(lambda: gone(shop), what="the end of the set's application")

        return undo

    return declare


def by_parent(declared: Mapping[str, Any]) -> Declare:
    """A parent application that heals itself and declares the shop's with this `automated`."""

    async def declare(shop: Shop) -> Callable[[], Awaitable[None]]:
        repository = await shop.client.create_repository(f"{shop.name}-root")
        child = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": shop.name, "namespace": ARGOCD_NAMESPACE},
            "spec": spec_of(shop, declared),
        }
        await repository.commit({"deploy/child.json": json.dumps(child)}, "declare")
        await shop.client.create_application(f"{shop.name}-root", repository, namespace=ARGOCD_NAMESPACE, auto_sync=True)
        await until_there(shop)

        async def undo() -> None:
            await shop.client.delete_application(f"{shop.name}-root", cascade=False)

        return undo

    return declare


def by_flux(declared: Mapping[str, Any]) -> Declare:
    """Applied on the server's side by Flux' kustomize-controller, as Kubernetes records it."""

    async def declare(shop: Shop) -> Callable[[], Awaitable[None]]:
        labels = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
        body = {"metadata": {"labels": labels}, "spec": spec_of(shop, declared)}
        await apply_application(shop.client, shop.name, body, by="kustomize-controller")

        async def undo() -> None:
            """Nobody applies it again."""

        return undo

    return declare


def by_flux_and_a_person() -> Declare:
    """Flux declares `enabled`, and a person switched auto-sync off and on by hand since: Kubernetes says no more that the field is Flux'."""

    async def declare(shop: Shop) -> Callable[[], Awaitable[None]]:
        undo = await by_flux({**AUTOMATED, "enabled": True})(shop)
        for on in (False, True):
            await shop.edit({"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": on})
        return undo

    return declare


async def gone(shop: Shop) -> bool:
    return await shop.client.kube_get(f"{APPLICATIONS}/{shop.name}") is None


async def until_there(shop: Shop) -> None:
    async def there() -> bool:
        return not await gone(shop)

    await until(there, what=f"the application {shop.name}")


PATIENT = {"read_back_seconds": [0, 1, 2, 4, 8, 16, 30]}
"""The first look that finds a stop taken back ends the operation; on a slow machine whoever takes it back may be seen later than in the first seconds."""
IGNORES_AUTO_SYNC = {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy/automated/enabled"]}]}
IGNORES_REVISION = {"ignoreApplicationDifferences": [{"jqPathExpressions": [".spec.source.targetRevision"]}]}
ROLLING = {"strategy": {"type": "RollingSync", "rollingSync": {"steps": [{"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}]}}}


async def shell(commands: str, folder: Path) -> None:
    """Type the commands as they were told."""
    names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org"))}
    process = await asyncio.create_subprocess_exec("bash", "-eu", "-c", commands, cwd=folder, env={**os.environ, **names})
    assert await process.wait() == 0


async def test_what_an_application_set_would_undo_is_a_plan_for_a_person_whose_commands_bring_the_good_release_back(
    open_shop: OpenShop, serve: Serve, tmp_path: Path
) -> None:
    shop = await open_shop(declare=by_application_set())
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)
    before = await footprint(shop)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "suggested", operation["says"]
    assert (operation["first_effect_at"], await backout.holds(shop)) == (None, [])
    assert await footprint(shop) == before
    assert before["by Backout"] == []
    plan = operation["plan"]
    assert (plan["way"], [step["owner"] for step in plan["steps"]]) == ("git_revert", ["person", "person"])
    assert "takes back a stopped auto-sync within a tenth of a second" in plan["because"]
    assert "would take the pinned revision back" in plan["because"]
    revert = plan["steps"][0]
    assert revert["command"] in (await told(backout, shop, "suggested"))["text"]
    _, lines = await backout.doctor()
    owners = [line for line in lines if line["what"] == "argocd lab owners" and shop.name in line["says"]]
    assert [line["fix"].endswith(f"to ApplicationSet {shop.name}-set.") for line in owners] == [True]

    await shell(revert["command"], tmp_path)
    await shop.config.git("merge", "--quiet", "--no-edit", f"backout/revert-{revert['parameters']['revert'][:7]}")
    await shop.application(refresh="normal")

    async def back() -> bool:
        return await shop.running() == good

    await until(back, what="the good release after the merge")


async def test_an_application_set_in_rolling_order_is_never_worked_against_and_deploys_the_revert_itself(
    open_shop: OpenShop, serve: Serve, tmp_path: Path
) -> None:
    """The set's controller runs with `--enable-progressive-syncs`: it takes auto-sync away and syncs whatever is out of sync, rollbacks included."""
    shop = await open_shop(declare=by_application_set(**ROLLING, **IGNORES_AUTO_SYNC))
    good, first = await shop.running(), (await shop.history())[0][1]
    backout = await serve(shop, "auto", delivery=QUICK)
    bad = await shop.release("1.1", errors=0.31)
    await until_rolled(shop, bad.config)
    before = await footprint(shop)

    operation = await backout.until_ended(shop)

    assert (operation["outcome"], operation["first_effect_at"]) == ("suggested", None), operation["says"]
    plan = operation["plan"]
    assert (plan["way"], plan["suspect"]["revision"], plan["goal"]["revision"]) == ("git_revert", bad.config, first)
    assert "deploys by itself in rolling order: it would sync the application again once it is out of sync" in plan["because"]
    assert (await footprint(shop), before["by Backout"], automated(await shop.application())) == (before, [], None)
    assert {who for _, _, who in await shop.history()} == {"applicationset-controller"}
    revert = plan["steps"][0]
    await shell(revert["command"], tmp_path)
    await shop.config.git("merge", "--quiet", "--no-edit", f"backout/revert-{revert['parameters']['revert'][:7]}")
    await shop.application(refresh="normal")

    async def back() -> bool:
        return await shop.running() == good

    await until(back, what="the set to deploy the revert")

    async def by_the_set() -> bool:
        return (await shop.history())[-1][2] == "applicationset-controller" and len(await shop.history()) > len(before["history"])

    await until(by_the_set, what="the revert in the history")


async def until_rolled(shop: Shop, revision: str) -> None:
    """Wait until the set holds that revision for deployed and well: before that it may ask for the same sync once more."""

    async def well() -> bool:
        found = await shop.client.argocd("admin").must("GET", f"/api/v1/applicationsets/{shop.name}-set")
        rows = found["status"].get("applicationStatus", [])
        return [(row["status"], row["targetRevisions"]) for row in rows] == [("Healthy", [revision])]

    await until(well, what=f"the set to see {revision} well")


async def test_under_an_application_set_that_ignores_auto_sync_a_rollback_stays_without_a_mark(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(declare=by_application_set(**IGNORES_AUTO_SYNC))
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    app = await shop.application(refresh="hard")
    assert (automated(app), marker(app)) == ({**AUTOMATED, "enabled": False}, "")
    assert [hold["operation"] for hold in await backout.holds(shop)] == [operation["id"]]
    await patch_application(client, shop.name, {"metadata": {"labels": {"poked": "1"}}}, by="kubectl-patch")

    async def taken_back() -> bool:
        return "poked" not in (await shop.application())["metadata"].get("labels", {})

    await until(taken_back, what="the set's next look")  # it has looked at everything, and left auto-sync off
    assert (automated(await shop.application()), await shop.running()) == ({**AUTOMATED, "enabled": False}, good)


async def test_under_an_application_set_that_ignores_the_revision_alone_it_is_pinned_and_auto_sync_stays_on(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(declare=by_application_set(**IGNORES_REVISION))
    backout = await serve(shop, "auto", delivery=QUICK)
    good, before = await shop.running(), await shop.history()
    await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert (operation["plan"]["way"], [step["name"] for step in operation["plan"]["steps"]]) == ("pin", ["pin_source", "deploy_pinned"])
    assert "takes back a stopped auto-sync" in operation["plan"]["because"]
    app = await shop.application(refresh="hard")
    assert (app["spec"]["source"]["targetRevision"], automated(app), marker(app)) == (before[0][1], AUTOMATED, "")
    assert (await shop.history())[-1][1:] == (before[0][1], "")
    assert (app["status"]["sync"]["status"], await shop.running()) == ("Synced", good)
    assert await shop.told_by("backout") == ["backout updated application spec"]
    await shop.config.commit({"README.md": "How we deploy.\n"}, "describe")
    await shop.application(refresh="normal")
    await asyncio.sleep(3)
    assert (await shop.running(), len(await shop.history())) == (good, 3)
    (hold,) = await backout.holds(shop)
    assert [body["event"] for body in backout.told.about(shop) if body["event"].startswith("hold_")] == []
    early = await backout.end_hold(hold, "all fine")
    assert early.status == 409
    assert "still has" in str(early.body), early.body
    fix = await shop.ship("1.2")
    ended = await backout.end_hold(hold, "1.2 fixes it")
    assert ended.status == 200, ended.body
    assert (await shop.application())["spec"]["source"]["targetRevision"] == "main"
    await shop.until_running(fix)


async def test_a_pin_ends_with_the_bad_release_back_where_a_person_accepts_that(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(declare=by_application_set(**IGNORES_REVISION))
    backout = await serve(shop, delivery=QUICK, declared_sli=True)
    bad = await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    operation = await backout.until_done((await backout.ask(shop, "errors since 1.1"))[1])
    assert operation["outcome"] == "recovered", operation["says"]
    (hold,) = await backout.holds(shop)

    early = await backout.end_hold(hold, "is it over?")
    accepted = await backout.end_hold(hold, "1.0 loses orders: rather the errors of 1.1", accept_bad=True)

    assert (early.status, "or use --accept-bad to let it come back" in str(early.body)) == (409, True), early.body
    assert accepted.status == 200, accepted.body
    await shop.until_running(bad)
    assert (await shop.application())["spec"]["source"]["targetRevision"] == "main"
    assert await backout.holds(shop) == []


async def test_under_a_parent_whose_git_leaves_enabled_out_a_rollback_stays_with_its_mark(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(declare=by_parent(AUTOMATED))
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)
    await client.argocd().must("GET", f"/api/v1/applications/{shop.name}-root?refresh=hard")
    await asyncio.sleep(3)

    assert operation["outcome"] == "recovered", operation["says"]
    app = await shop.application()
    assert (automated(app), operation["id"] in marker(app)) == ({**AUTOMATED, "enabled": False}, True)
    assert await shop.running() == good
    assert "a stopped auto-sync stays" in finding(operation["plan"], "rollback_will_stay")["says"]


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        pytest.param(by_parent({**AUTOMATED, "enabled": True}), "declares enabled: true in Git and heals itself: it puts it back at once", id="parent"),
        pytest.param(by_flux({**AUTOMATED, "enabled": True}), "takes a stopped auto-sync (it declares enabled) and a pinned revision back", id="flux"),
        pytest.param(by_flux_and_a_person(), "whether its Git declares enabled does not show", id="flux-and-a-person"),
    ],
)
async def test_an_owner_whose_git_says_enabled_true_is_known_before_the_first_write(open_shop: OpenShop, serve: Serve, declare: Declare, words: str) -> None:
    shop = await open_shop(declare=declare)
    backout = await serve(shop, "auto", delivery=QUICK)
    await shop.release("1.1", errors=0.31)
    before = await footprint(shop)

    operation = await backout.until_ended(shop)

    assert (operation["outcome"], operation["plan"]["way"]) == ("suggested", "git_revert"), operation["says"]
    assert words in operation["says"]
    assert await footprint(shop) == before
    assert before["by Backout"] == []


async def test_flux_that_does_not_declare_enabled_leaves_a_rollback_alone(open_shop: OpenShop, serve: Serve) -> None:
    declare = by_flux(AUTOMATED)
    shop = await open_shop(declare=declare)
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)
    await declare(shop)  # its next reconciliation

    assert operation["outcome"] == "recovered", operation["says"]
    assert (automated(await shop.application()), await shop.running()) == ({**AUTOMATED, "enabled": False}, good)


async def test_a_hand_that_nobody_knew_of_takes_the_stop_back_and_backout_stops_and_does_not_try_again(
    client: LabClient, open_shop: OpenShop, serve: Serve
) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=PATIENT)
    await shop.release("1.1", errors=0.31)
    bad = await shop.running()

    async def fight() -> None:
        """As an owner would that leaves no trace before it has to act."""
        while True:
            if (automated(await shop.application()) or {}).get("enabled") is False:
                back = [{"op": "remove", "path": "/spec/syncPolicy/automated/enabled"}]
                path = f"{APPLICATIONS}/{shop.name}?fieldManager=argocd-server"
                await client.kube.call("PATCH", path, json.dumps(back), content_type="application/json-patch+json")  # refused where it is back already
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        fighting = tasks.create_task(fight())
        operation = await backout.until_ended(shop)
        await asyncio.sleep(6)  # longer than Alertmanager waits before it tells what is new in a group
        fighting.cancel()

    assert (operation["outcome"], "it is managed elsewhere" in operation["says"]) == ("failed", True), operation["says"]
    assert await shop.told_by("backout") == ["backout updated application spec"] * 2  # the stop, and its own mark taken off again
    app = await shop.application()
    assert (automated(app), marker(app), await shop.running()) == (AUTOMATED, "", bad)
    assert [who for _, _, who in await shop.history()] == ["", ""]
    assert [one["id"] for one in await backout.operations(shop)] == [operation["id"]]
    assert "managed elsewhere" in (await told(backout, shop, "failed"))["text"]
