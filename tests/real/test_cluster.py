"""What is read from a real Kubernetes API server itself, and what it is good for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from integrations.evidence.kubernetes import Kubernetes, Settings, build
from service.domain import keys
from service.domain.facts import Absent, Known
from service.domain.model import ObjectRef
from service.wiring.parts import SystemClock
from tests.real.backout import INSTANCE, OpenShop, finding
from tests.real.lab.client import IN_CLUSTER, Lab, LabClient, until
from tests.real.shop import Shop
from tests.real.test_outages import REDIS, Serving, asked, gone, serving, two_releases, went_back_once

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

__all__ = ["serving"]  # the fixture

Sources = Callable[[], Kubernetes]


@pytest.fixture
def cluster(lab: Lab, tmp_path: Path) -> dict[str, object]:
    """The lab's cluster as an operator would name it: with its own authority, verified."""
    token = tmp_path / "kube.token"
    token.write_text(lab.kube_token)
    authority = lab.work / "kube-apiserver" / "apiserver.crt"
    return {"name": "home", "destinations": [IN_CLUSTER], "url": lab.kube_url, "token_file": str(token), "ca_file": str(authority)}


@pytest.fixture
async def source(cluster: dict[str, object]) -> AsyncIterator[Kubernetes]:
    made = build(Settings.model_validate({"clusters": [cluster]}), SystemClock())
    yield made
    await made.close()


def deployment(shop: Shop) -> ObjectRef:
    return ObjectRef(group="apps", kind="Deployment", namespace=shop.name, name=shop.name)


async def revisions(source: Kubernetes, shop: Shop) -> Sequence[keys.WorkloadRevision]:
    fact = await source.read(keys.workloads_in(INSTANCE, IN_CLUSTER, (deployment(shop),)))
    assert isinstance(fact, Known), fact
    (workload,) = fact.value
    return workload.revisions  # type: ignore[no-any-return]  # a fact's value is Any


async def test_pods_of_a_release_that_never_gets_ready_are_told_from_those_that_serve(client: LabClient, open_shop: OpenShop, source: Kubernetes) -> None:
    shop = await open_shop(auto_sync=False)
    (first,) = await revisions(source, shop)
    assert [(pod.ready, pod.restarts, pod.images[0].exact) for pod in first.pods] == [(True, 0, image) for image in (await shop.running()) for _ in range(2)]

    digest = await client.push_image(f"team/{shop.name}", version="1.1", ready="never")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": client.image(f"team/{shop.name}", digest)}]}}}}
    path = f"/apis/apps/v1/namespaces/{shop.name}/deployments/{shop.name}"
    await client.kube.must("PATCH", path, patch, content_type="application/strategic-merge-patch+json")

    async def crashing() -> bool:
        return any(pod.waits == "CrashLoopBackOff" for pod in (await revisions(source, shop))[0].pods)

    await until(crashing, what="the new pods to crash")
    new, old = await revisions(source, shop)
    assert (old.name, new.created_at >= old.created_at, new.images) == (first.name, True, (client.image(f"team/{shop.name}", digest),))
    assert {pod.ready for pod in new.pods} == {False}
    assert {pod.ready for pod in old.pods} == {True}


async def test_a_workload_that_is_not_there_is_no_error_and_a_wrong_token_is(client: LabClient, source: Kubernetes, tmp_path: Path) -> None:
    none = ObjectRef(group="apps", kind="Deployment", namespace="default", name="none")
    fact = await source.read(keys.workloads_in(INSTANCE, IN_CLUSTER, (none,)))
    assert isinstance(fact, Known)
    assert fact.value == ()
    assert (await client.kube_get("/readyz/ping")) is not None
    (tmp_path / "kube.token").write_text("wrong")
    fact = await source.read(keys.workloads_in(INSTANCE, IN_CLUSTER, (none,)))
    assert isinstance(fact, Absent)
    assert "answered 401" in fact.why


async def test_a_dead_kubernetes_api_is_unknown_and_comes_back(client: LabClient, open_shop: OpenShop, source: Kubernetes) -> None:
    shop = await open_shop(auto_sync=False)
    async with gone(client, "kube-apiserver", 0):
        fact = await source.read(keys.workloads_in(INSTANCE, IN_CLUSTER, (deployment(shop),)))
        assert isinstance(fact, Absent)

    async def back() -> bool:
        return isinstance(await source.read(keys.workloads_in(INSTANCE, IN_CLUSTER, (deployment(shop),))), Known)

    await until(back, what="the cluster to be readable again")


async def test_doctor_asks_the_api_server_what_the_token_may_do(source: Kubernetes) -> None:
    lines = await source.check()
    assert [line.well for line in lines] == ["ok", "ok", "warn"]  # the lab's token is the administrator's
    assert "may read Secrets or delete pods" in lines[2].says


async def test_a_deploy_whose_pods_crash_beside_the_old_ones_is_to_blame_without_a_query_of_the_operators(
    client: LabClient,
    open_shop: OpenShop,
    serving: Serving,
    cluster: dict[str, object],
) -> None:
    shop = await open_shop()
    target = {"mode": "suggest", "version_split": None}
    backout = await serving(shop, target=target, evidence={"kubernetes": {"clusters": [cluster]}})
    digest = await client.push_image(f"team/{shop.name}", version="1.1", ready="never")
    await shop.config.commit(dict(shop.manifests(client.image(f"team/{shop.name}", digest))), "1.1")
    await client.application(shop.name, refresh=True)

    async def crash() -> bool:
        told = [one["state"] for pod in await client.pods(shop.name) for one in pod["status"].get("containerStatuses", [])]
        return any(state.get("waiting", {}).get("reason") == "CrashLoopBackOff" for state in told)

    await until(crash, what="the new pods to crash")

    labels = {"severity": "critical", "argocd_app": shop.name, "app": shop.name, "namespace": shop.name}
    await client.set_rules(shop.name, [{"name": shop.name, "rules": [{"alert": "PodsFail", "expr": "vector(1) > 0", "labels": labels}]}])
    try:
        operation = await backout.until_ended(shop)
    finally:
        await client.set_rules(shop.name, [])

    assert operation["plan"] is not None, operation["says"]
    told = finding(operation["plan"], "deploy_caused_the_alert")
    assert told["answer"] == "pass", told["says"]
    assert "after its first pod (" in told["says"]
    assert "and only its pods fail: " in told["says"]


async def test_recovery_is_measured_while_argo_cd_cannot_tell_what_runs(
    client: LabClient,
    open_shop: OpenShop,
    serving: Serving,
    cluster: dict[str, object],
) -> None:
    """Redis holds Argo CD's resource tree: from the moment that the rollback is live it is dead, to the end of the operation."""
    shop, backout, good, revision = await two_releases(open_shop, serving, evidence={"kubernetes": {"clusters": [cluster]}})
    await asked(backout, shop)

    async def rolled_back() -> bool:
        return len((await shop.application())["status"]["history"]) > 2

    await until(rolled_back, what="the rollback", every=0.05)
    async with gone(client, REDIS, 0):
        await asyncio.sleep(1)
        await went_back_once(shop, backout, good, revision)
