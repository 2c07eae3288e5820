"""Stories of tools beside Argo CD that write an Application: Image Updater, Kargo, Helm, an operator that nobody has heard of.

What each writes is played through the Kubernetes API under its own field manager (tests/real/lab/owners.py says why); what Kubernetes records of it, what
Argo CD makes of it and what Backout does about it is real. In each story: known before the first write, the way chosen accordingly, nobody fought.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from tests.real.backout import OpenShop, Serve, finding
from tests.real.kustomize_shop import KustomizeShop, updated
from tests.real.lab.client import ARGOCD_NAMESPACE, LabClient, until
from tests.real.lab.owners import APPLICATIONS, patch_application
from tests.real.shop import Shop
from tests.real.test_owners import PATIENT, spec_of
from tests.real.test_stories import AUTOMATED, QUICK, automated, footprint, marker, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

OpenKustomize = Callable[[str], Awaitable[KustomizeShop]]


@pytest.fixture
async def open_kustomize(client: LabClient) -> AsyncIterator[OpenKustomize]:
    """Opens a shop that Image Updater looks after by that write-back method, and closes it after the test."""
    shops: list[Shop] = []

    async def open_one(method: str) -> KustomizeShop:
        shop = await KustomizeShop.open(client, declare=updated(method))
        shops.append(shop)
        return shop

    yield open_one
    for shop in shops:
        await shop.close()


def stays(plan: Mapping[str, Any]) -> tuple[str, str]:
    """Answer and words about who else writes the spec."""
    found = finding(plan, "rollback_will_stay")
    return found["answer"], found["says"]


async def test_what_an_image_updater_writes_to_the_spec_is_taken_back_and_its_next_image_goes_live_under_the_hold_and_ends_it(
    open_kustomize: OpenKustomize, serve: Serve
) -> None:
    shop = await open_kustomize("argocd")
    backout = await serve(shop, "auto", delivery=QUICK)
    good, commit = await shop.running(), (await shop.history())[0][1]
    bad = await shop.push("1.1", errors=0.31)
    await shop.write_override(bad)
    await shop.until_runs(bad)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    plan = operation["plan"]
    assert (plan["way"], plan["suspect"]["revision"], plan["goal"]["revision"]) == ("rollback", commit, commit)
    answer, says = stays(plan)
    assert (answer, "an image updater writes this application's images; while auto-sync is stopped nothing that it writes is deployed" in says) == (
        "pass",
        True,
    )
    app = await shop.application()
    assert (app["spec"]["source"]["kustomize"]["images"], automated(app)) == ([bad], {**AUTOMATED, "enabled": False})
    assert await shop.running() == good

    fix = await shop.push("1.2", errors=0.001)
    await shop.write_override(fix)

    async def ended() -> bool:
        return not await backout.holds(shop)

    await until(ended, what="the hold to end with the image that the updater brought")
    assert (await shop.running(), automated(await shop.application())) == ({fix}, AUTOMATED)
    assert [who for _, _, who in await shop.history()][:4] == ["", "", "backout", "backout"]


async def test_what_an_image_updater_commits_to_git_is_taken_back_and_its_next_commit_of_the_same_image_is_not_deployed(
    open_kustomize: OpenKustomize, serve: Serve
) -> None:
    shop = await open_kustomize("git")
    backout = await serve(shop, "auto", delivery=QUICK)
    good, before = await shop.running(), await shop.history()
    bad = await shop.push("1.1", errors=0.31)
    revision = await shop.commit_override(bad)
    await shop.until_runs(bad)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert (operation["plan"]["way"], operation["plan"]["suspect"]["revision"]) == ("rollback", revision)
    assert "an image updater commits this application's images to Git" in stays(operation["plan"])[1]
    assert await shop.running() == good
    await shop.config.commit({"README.md": "How we deploy.\n"}, "describe")
    await shop.application(refresh="normal")
    assert "still" in (await told(backout, shop, "hold_still_bad"))["title"]
    assert [(one, who) for _, one, who in await shop.history()] == [(before[0][1], ""), (revision, ""), (before[0][1], "backout")]
    assert await shop.running() == good


async def promote(shop: Shop, revision: str) -> None:
    """What a Kargo promotion patches: the revision, a hard refresh, and an operation of its own."""
    info = [{"name": "Reason", "value": "Promotion triggered a sync of this Application resource."}, {"name": "kargo.akuity.io/promotion", "value": "p-1"}]
    change = {
        "metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}},
        "spec": {"source": {"targetRevision": revision}},
        "operation": {
            "initiatedBy": {"username": "kargo-controller", "automated": True},
            "info": info,
            "sync": {"revisions": [revision]},
        },
        "status": {"operationState": None},
    }
    await patch_application(shop.client, shop.name, change, by="kargo")


async def test_a_kargo_promotion_is_taken_back_with_a_warning_and_one_that_brings_it_again_is_told_and_not_fought(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    stage = f"shop:{shop.name}"
    await shop.edit({"op": "add", "path": "/metadata/annotations", "value": {"kargo.akuity.io/authorized-stage": stage}})
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    bad = await shop.ship("1.1", errors=0.31)
    await promote(shop, bad.config)
    await shop.until_running(bad)

    waiting = await backout.until_waiting(shop)

    answer, says = stays(waiting["plan"])
    assert (answer, waiting["must_name"]) == ("warn", ["rollback_will_stay"]), says
    assert f"Kargo may promote stage {stage} into this application, and a promotion deploys although auto-sync is off" in says
    assert f"auto-promotion of stage {stage}" in finding(waiting["plan"], "rollback_will_stay")["clears"]
    assert (await backout.approve(waiting, "nobody promotes today")).good
    operation = await backout.until_ended(shop)
    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == good
    acts = await shop.told_by("backout")

    await promote(shop, bad.config)

    assert "live again" in (await told(backout, shop, "hold_held_is_live"))["text"]
    await shop.until_running(bad)

    async def by_kargo() -> bool:
        return (await shop.history())[-1][1:] == (bad.config, "kargo-controller")

    await until(by_kargo, what="the promotion in the history")
    assert await shop.told_by("backout") == acts
    assert [hold["operation"] for hold in await backout.holds(shop)] == [operation["id"]]


def by_helm(shop: Shop) -> Mapping[str, Any]:
    """An Application as a chart of Applications makes it."""
    labels = {"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "apps-1.0.0"}
    notes = {"meta.helm.sh/release-name": "apps", "meta.helm.sh/release-namespace": "platform"}
    about = {"name": shop.name, "namespace": ARGOCD_NAMESPACE, "labels": labels, "annotations": notes}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": about, "spec": spec_of(shop, AUTOMATED)}


async def declare_by_helm(shop: Shop) -> Callable[[], Awaitable[None]]:
    """`helm install`."""
    await shop.client.kube.must("POST", f"{APPLICATIONS}?fieldManager=helm", by_helm(shop))

    async def undo() -> None:
        """Nobody upgrades it again."""

    return undo


async def test_an_application_of_a_helm_release_goes_back_and_an_upgrade_that_starts_auto_sync_is_told_and_not_fought(
    open_shop: OpenShop, serve: Serve
) -> None:
    shop = await open_shop(declare=declare_by_helm)
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    bad = await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    answer, says = stays(operation["plan"])
    assert (answer, "Helm release apps made this application and writes it only when somebody upgrades it" in says) == ("pass", True), says
    assert await shop.running() == good
    plain = {"metadata": {"labels": {"helm.sh/chart": "apps-1.0.1"}}}
    await patch_application(shop.client, shop.name, plain, by="helm")  # an upgrade writes what differs between two charts, and no more
    assert automated(await shop.application(refresh="normal")) == {**AUTOMATED, "enabled": False}
    acts = await shop.told_by("backout")

    await patch_application(shop.client, shop.name, {"spec": {"syncPolicy": {"automated": {"enabled": True}}}}, by="helm")

    assert "turned auto-sync on again" in (await told(backout, shop, "hold_auto_sync_on"))["text"]
    assert "live again" in (await told(backout, shop, "hold_held_is_live"))["text"]
    await shop.until_running(bad)
    assert await shop.told_by("backout") == acts
    assert len(await backout.holds(shop)) == 1


async def test_an_unknown_operator_is_a_warning_and_its_one_revert_ends_the_operation(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    await patch_application(client, shop.name, {"spec": {"source": {"targetRevision": "refs/heads/main"}}}, by="shop-operator")
    backout = await serve(shop, "auto", delivery=PATIENT)
    bad = await shop.release("1.1", errors=0.31)
    before = await footprint(shop)

    waiting = await backout.until_waiting(shop)

    answer, says = stays(waiting["plan"])
    assert (answer, waiting["must_name"], "hop-operator has written the spec, last at" in says) == ("warn", ["rollback_will_stay"], True), says
    assert await footprint(shop) == before
    assert before["by Backout"] == []

    async def reconcile() -> None:
        while True:
            if (automated(await shop.application()) or {}).get("enabled") is False:
                await patch_application(client, shop.name, {"spec": {"syncPolicy": {"automated": {"enabled": True}}}}, by="shop-operator")
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        reconciling = tasks.create_task(reconcile())
        assert (await backout.approve(waiting, "it leaves auto-sync alone")).good
        operation = await backout.until_ended(shop)
        reconciling.cancel()

    assert (operation["outcome"], "it is managed elsewhere" in operation["says"]) == ("failed", True), operation["says"]
    app = await shop.application()
    assert (automated(app), marker(app), await shop.running()) == ({**AUTOMATED, "enabled": True}, "", {bad.image})
    assert await shop.told_by("backout") == ["backout updated application spec"] * 2  # the stop, and its own mark taken off again
    assert [who for _, _, who in await shop.history()] == ["", ""]
    assert [one["id"] for one in await backout.operations(shop)] == [operation["id"]]
