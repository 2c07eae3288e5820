import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.sandbox.argocd import health
from integrations.sandbox.argocd.cluster import Cluster, RejectedError, UnknownKindError
from integrations.sandbox.argocd.objects import TRACKING, Key
from integrations.sandbox.argocd.settings import V3_2_11, Faults, Timings, ready_by_tag
from integrations.sandbox.argocd.state import Applications, Versions
from integrations.sandbox.argocd.workloads import Workloads
from tests.contract.argocd.server import config_map, deployment

CM = Key("", "ConfigMap", "shop", "web")
WEB = Key("apps", "Deployment", "shop", "web")
DIGEST = "sha256:" + "a" * 64


def clock() -> datetime:
    return datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def missing(image: str) -> str | None:
    if "nosuch" in image:
        raise LookupError(image)
    return DIGEST if "known" in image else None


class World:
    def __init__(self) -> None:
        versions = Versions()
        self.faults = Faults()
        self.applications = Applications(versions, clock, V3_2_11)
        self.cluster = Cluster(versions=versions, clock=clock, faults=self.faults, applications=self.applications, profile=V3_2_11)
        timings = Timings(pace=0.02, pod_start=0.5)
        self.workloads = Workloads(self.cluster, clock=clock, timings=timings, images=missing, readiness=ready_by_tag)
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, "")

    def apply(self, manifest: dict[str, Any], **how: bool) -> str:
        return self.cluster.apply(manifest, "shop", **how)

    def live(self, key: Key) -> dict[str, Any]:
        found = self.cluster.get(key)
        assert found is not None
        return found

    def pods(self) -> list[dict[str, Any]]:
        return [self.live(key) for key in self.cluster.everything() if key.kind == "Pod"]

    def images(self) -> list[str]:
        return sorted(pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in self.pods())

    async def until_healthy(self, key: Key = WEB, status: str = "Healthy") -> None:
        async with asyncio.timeout(5):
            while (health.of(self.live(key)) or {})["status"] != status:  # noqa: ASYNC110  the cluster has no word for "healthy now"
                await asyncio.sleep(0.005)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.workloads.stop()


async def test_kubectl_says_created_configured_unchanged(world: World) -> None:
    first = config_map("web", "1")

    assert world.apply(first) == "configmap/web created"
    assert world.apply(first) == "configmap/web unchanged"
    version = world.live(CM)["metadata"]["resourceVersion"]
    assert world.apply(first) == "configmap/web unchanged"
    assert world.live(CM)["metadata"]["resourceVersion"] == version
    assert world.apply(config_map("web", "2"), dry_run=True) == "configmap/web configured (dry run)"
    assert world.live(CM)["data"] == {"v": "1"}
    assert world.apply(config_map("web", "2")) == "configmap/web configured"
    assert world.apply(config_map("web", "3"), replace=True) == "configmap/web replaced"
    assert world.apply(config_map("web", "3"), server_side=True) == "configmap/web serverside-applied"


async def test_fields_of_others_stay_and_dropped_ones_go(world: World) -> None:
    world.apply(config_map("web", "1") | {"data": {"mine": "1", "gone": "1"}})
    edited = world.live(CM) | {"data": {"mine": "1", "gone": "1", "theirs": "1"}}
    world.cluster.put(CM, edited)

    assert not world.cluster.differs(config_map("web", "1") | {"data": {"mine": "1", "gone": "1"}}, "shop")
    wanted = config_map("web", "1") | {"data": {"mine": "2"}}
    assert world.cluster.differs(wanted, "shop")
    world.apply(wanted)
    assert world.live(CM)["data"] == {"mine": "2", "theirs": "1"}
    world.apply(wanted, replace=True)
    assert world.live(CM)["data"] == {"mine": "2"}


async def test_defaults_are_no_drift(world: World) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"}, "stringData": {"password": "x"}}

    for manifest in (deployment("web", "web:1"), service, secret):
        world.apply(manifest)
        assert not world.cluster.differs(manifest, "shop")
    assert world.live(Key("", "Secret", "shop", "web"))["data"] == {"password": "eA=="}
    assert world.live(Key("", "Service", "shop", "web"))["spec"]["type"] == "ClusterIP"


async def test_containers_are_merged_by_name(world: World) -> None:
    world.apply(deployment("web", "web:1"))
    sidecar = world.live(WEB)
    sidecar["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    world.cluster.put(WEB, sidecar)

    assert not world.cluster.differs(deployment("web", "web:1"), "shop")
    world.apply(deployment("web", "web:2"))
    assert [container["image"] for container in world.live(WEB)["spec"]["template"]["spec"]["containers"]] == ["web:2", "proxy:1"]


async def test_what_kubernetes_refuses_is_refused_in_its_words(world: World) -> None:
    world.apply(deployment("web", "web:1"))
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"template": {"metadata": {}, "spec": {"containers": []}}}}
    world.apply(claim)
    world.apply(job)

    with pytest.raises(RejectedError, match=r"error when patching .*: Deployment.apps \"web\" is invalid: .*`selector` does not match.*field is immutable\]"):
        world.apply(deployment("web", "web:1", selector="other"))
    with pytest.raises(RejectedError, match="spec is immutable after creation"):
        world.apply(claim | {"spec": {"accessModes": ["ReadWriteMany"]}})
    with pytest.raises(RejectedError, match="field is immutable"):
        world.apply(job | {"spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "m", "image": "x"}]}}}})
    with pytest.raises(RejectedError, match='namespaces "nowhere" not found'):
        world.cluster.apply(config_map("web", "1"), "nowhere")
    with pytest.raises(UnknownKindError, match=r'could not find x.io/Thing .* "Thing" CRD'):
        world.apply({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}})


async def test_a_test_may_let_kubernetes_refuse_anything(world: World) -> None:
    world.faults.reject = lambda manifest: "admission webhook denied the request" if manifest["kind"] == "ConfigMap" else None

    with pytest.raises(RejectedError, match=r"^admission webhook denied the request$"):
        world.apply(config_map("web", "1"))
    world.apply(deployment("web", "web:1"))


async def test_deleting_takes_the_owned_along(world: World) -> None:
    world.apply(deployment("web", "web:1", replicas=2))
    assert len(world.pods()) == 2

    world.cluster.delete(WEB)

    assert world.pods() == []
    assert world.cluster.get(WEB) is None
    world.cluster.delete(WEB)


async def test_watchers_hear_of_managed_objects_and_of_what_is_below(world: World) -> None:
    heard: list[tuple[str, bool]] = []
    world.cluster.watchers.append(lambda name, managed: heard.append((name, managed)))
    world.apply(config_map("other", "1"))
    manifest = deployment("web", "web:1")
    manifest["metadata"]["annotations"] = {TRACKING: "shop-web:apps/Deployment:shop/web"}
    world.apply(manifest)

    assert set(heard) == {("shop-web", True), ("shop-web", False)}
    assert list(world.cluster.tracked_by("shop-web")) == [WEB]


async def test_a_pod_reports_image_digest_and_readiness(world: World) -> None:
    world.apply(deployment("web", f"registry.example:5000/web@{DIGEST}"))
    pod = world.pods()[0]
    assert pod["status"]["containerStatuses"][0]["imageID"] == f"registry.example:5000/web@{DIGEST}"
    assert not pod["status"]["containerStatuses"][0]["ready"]

    await world.until_healthy()

    assert world.pods()[0]["status"]["containerStatuses"][0]["ready"]
    assert health.of(world.pods()[0]) == {"status": "Healthy"}


IMAGES = [
    ("registry.example/known:1", f"registry.example/known@{DIGEST}", "Running", "running"),
    ("registry.example/web:1", "registry.example/web@sha256:", "Running", "running"),
    ("registry.example/web:bad", "registry.example/web@sha256:", "Running", "CrashLoopBackOff"),
    ("registry.example/nosuch:1", "", "Pending", "ImagePullBackOff"),
]


@pytest.mark.parametrize(("image", "image_id", "phase", "state"), IMAGES)
async def test_digests_come_from_the_resolver_or_a_hash_and_some_images_never_run(world: World, image: str, image_id: str, phase: str, state: str) -> None:
    world.apply(deployment("web", image))

    pod = world.pods()[0]
    status = pod["status"]["containerStatuses"][0]
    assert status["imageID"].startswith(image_id)
    assert bool(status["imageID"]) == bool(image_id)
    assert pod["status"]["phase"] == phase
    assert state in str(status["state"])


async def test_a_roll_out_keeps_enough_pods_and_ends_with_new_ones(world: World) -> None:
    world.apply(deployment("web", "web:1", replicas=4))
    await world.until_healthy()

    world.apply(deployment("web", "web:2", replicas=4))

    assert (health.of(world.live(WEB)) or {})["status"] == "Progressing"
    ready = [pod for pod in world.pods() if (health.of(pod) or {})["status"] == "Healthy"]
    assert len(ready) >= 3
    await world.until_healthy()
    assert world.images() == ["2"] * 4
    assert world.live(WEB)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_a_bad_image_leaves_the_old_pods_and_degrades_after_the_deadline(world: World) -> None:
    world.apply(deployment("web", "web:1", replicas=3))
    await world.until_healthy()

    world.apply(deployment("web", "web:bad", replicas=3))
    await world.until_healthy(status="Degraded")

    assert health.of(world.live(WEB)) == {"status": "Degraded", "message": 'Deployment "web" exceeded its progress deadline'}
    assert world.images() == ["1", "1", "1", "bad"]


async def test_going_back_reuses_the_old_replica_set_at_once(world: World) -> None:
    world.apply(deployment("web", "web:1"))
    await world.until_healthy()
    world.apply(deployment("web", "web:bad"))
    await world.until_healthy(status="Degraded")

    world.apply(deployment("web", "web:1"))

    await asyncio.sleep(0)
    await world.until_healthy()
    assert world.images() == ["1"]
    sets = [world.live(key) for key in world.cluster.everything() if key.kind == "ReplicaSet"]
    assert sorted(item["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for item in sets) == ["2", "3"]


async def test_recreate_stops_all_old_pods_first(world: World) -> None:
    manifest = deployment("web", "web:1", replicas=2)
    manifest["spec"]["strategy"] = {"type": "Recreate"}
    world.apply(manifest)
    await world.until_healthy()
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"

    world.apply(manifest)

    assert "1" not in world.images()
    await world.until_healthy()
    assert world.images() == ["2", "2"]


async def test_scaling_down_takes_pods_away(world: World) -> None:
    world.apply(deployment("web", "web:1", replicas=3))
    await world.until_healthy()

    world.apply(deployment("web", "web:1", replicas=1))

    assert len(world.pods()) == 1
    assert world.live(WEB)["status"]["replicas"] == 1


async def test_a_stateful_set_replaces_its_pods_one_after_another(world: World) -> None:
    key = Key("apps", "StatefulSet", "shop", "db")

    def manifest(image: str) -> dict[str, Any]:
        template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "m", "image": image}]}}
        spec = {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}

    world.apply(manifest("db:1"))
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["db-0"]
    await world.until_healthy(key)
    assert sorted(pod["metadata"]["name"] for pod in world.pods()) == ["db-0", "db-1"]

    world.apply(manifest("db:2"))
    assert (health.of(world.live(key)) or {})["status"] == "Progressing"
    await world.until_healthy(key)
    assert world.images() == ["2", "2"]
    with pytest.raises(RejectedError, match="updates to statefulset spec"):
        world.apply(manifest("db:2") | {"spec": manifest("db:2")["spec"] | {"serviceName": "x"}})


async def test_a_job_runs_once_and_completes(world: World) -> None:
    template = {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "migrate:1"}]}}
    world.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"template": template}})
    key = Key("batch", "Job", "shop", "job")
    assert health.of(world.live(key)) == {"status": "Progressing"}

    await world.until_healthy(key)

    assert [pod["status"]["phase"] for pod in world.pods()] == ["Succeeded"]


async def test_health_of_passive_kinds(world: World) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "d"}, "spec": {}}
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"suspend": True}}
    balancer = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "l"}, "spec": {"type": "LoadBalancer"}}
    for manifest in (claim, cron, balancer, config_map("web", "1", health="Suspended")):
        world.apply(manifest)

    told = {key.kind: health.of(item) for key, item in world.cluster.everything().items()}
    assert told["PersistentVolumeClaim"] == {"status": "Healthy"}
    assert (told["CronJob"] or {})["status"] == "Suspended"
    assert told["Service"] == {"status": "Progressing"}
    assert told["ConfigMap"] == {"status": "Suspended"}
    assert told["Namespace"] is None
    assert health.worst(["Healthy", "Suspended", "Missing", "Progressing"]) == "Missing"
    assert health.worst([]) == "Healthy"
