from typing import Any

import pytest

from service.domain import keys
from service.domain.errors import UnavailableError
from service.domain.facts import Absent, Key, Known
from service.domain.model import Image, ObjectRef, TargetId
from service.domain.ports import FactSource, ListedTarget, Listing
from service.workflow.cluster_facts import ClusterFacts
from service.workflow.gather import Gatherer
from tests.fakes.facts import FakeFacts
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import TARGET, Stage

WEB = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
JOB = ObjectRef(group="batch", kind="Job", namespace="shop", name="migrate")
HERE = "https://kubernetes.default.svc"
IMAGE = Image(reference="web:1", digest="sha256:" + "1" * 64, proof="pods")


def pod(name: str) -> keys.Pod:
    return keys.Pod(name=name, images=(IMAGE,), ready=True)


WORKLOADS = (
    keys.Workload(
        object=WEB,
        revisions=(
            keys.WorkloadRevision(name="new", created_at=made.NOW, images=("web:2",), pods=(pod("web-new-1"),)),
            keys.WorkloadRevision(name="old", created_at=made.NOW, images=("web:1",), pods=(pod("web-old-2"), pod("web-old-1"))),
        ),
    ),
)


@pytest.fixture
def cluster(stage: Stage) -> FakeFacts:
    return FakeFacts(stage.clock, "workloads of a cluster")


async def listed(stage: Stage, *objects: ObjectRef, cluster: str = HERE) -> None:
    one = ListedTarget(target=TARGET, project="shop", namespace="shop", health="Healthy", desired_revision="a", stamp="2", objects=objects, cluster=cluster)
    await stage.targets.remember(Listing(targets=(one,), complete=True), "prod", stage.clock.now())


async def read(stage: Stage, cluster: FakeFacts, key: Key[Any]) -> Any:
    return await ClusterFacts(targets=stage.targets, source=cluster).read(key)


async def test_the_workloads_of_a_target_are_read_on_the_cluster_that_it_deploys_to(stage: Stage, cluster: FakeFacts) -> None:
    await listed(stage, WEB)
    cluster.tell(keys.workloads_in("prod", HERE, (WEB,)), WORKLOADS)
    found = await read(stage, cluster, keys.workloads(TARGET))
    assert isinstance(found, Known)
    assert found.value == WORKLOADS


async def test_the_pods_of_a_target_are_those_of_all_its_revisions(stage: Stage, cluster: FakeFacts) -> None:
    await listed(stage, WEB)
    cluster.tell(keys.workloads_in("prod", HERE, (WEB,)), WORKLOADS)
    found = await read(stage, cluster, keys.pods(TARGET))
    assert isinstance(found, Known)
    assert [one.name for one in found.value] == ["web-new-1", "web-old-1", "web-old-2"]


async def test_promise_1_pods_are_not_told_in_part(stage: Stage, cluster: FakeFacts) -> None:
    """A job's pods are not read with the workloads: what the target runs would be told short."""
    await listed(stage, WEB, JOB)
    cluster.tell(keys.workloads_in("prod", HERE, (WEB, JOB)), WORKLOADS)
    assert await read(stage, cluster, keys.pods(TARGET)) == Absent("pods of batch/Job shop/migrate are read by the delivery system alone")
    assert isinstance(await read(stage, cluster, keys.workloads(TARGET)), Known)


async def test_what_the_source_cannot_tell_is_absent_with_its_reason(stage: Stage, cluster: FakeFacts) -> None:
    await listed(stage, WEB)
    cluster.tell(keys.workloads_in("prod", HERE, (WEB,)), Absent("pods is forbidden"))
    for key in (keys.pods(TARGET), keys.workloads(TARGET)):
        assert (await read(stage, cluster, key)).why == "pods is forbidden"


async def test_a_target_whose_cluster_nobody_tells_is_absent_and_no_cluster_is_asked(stage: Stage, cluster: FakeFacts) -> None:
    await listed(stage, WEB, cluster="")
    assert (await read(stage, cluster, keys.workloads(TARGET))).why == "prod does not tell to which cluster it deploys"
    assert (await read(stage, cluster, keys.workloads(TargetId("prod", "nosuch")))).why == "the target is not in the index yet"
    assert cluster.asked == []


async def test_a_store_that_is_away_makes_it_absent(stage: Stage, cluster: FakeFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_target: TargetId) -> None:
        raise UnavailableError("the store does not answer")

    monkeypatch.setattr(stage.targets, "listed", away)
    assert (await read(stage, cluster, keys.workloads(TARGET))).why == "the store does not answer"


# --- asked by the gatherer ---


async def gathered(stage: Stage, cluster: FakeFacts, key: Key[Any]) -> Any:
    sources: list[FactSource] = [cluster, ClusterFacts(targets=stage.targets, source=cluster)]
    return (await Gatherer(deliveries=stage.deliveries, sources=sources, clock=stage.clock).facts(TARGET, [key])).read(key)


async def test_pods_that_the_delivery_system_cannot_tell_are_read_from_the_cluster(stage: Stage, cluster: FakeFacts) -> None:
    await listed(stage, WEB)
    cluster.tell(keys.workloads_in("prod", HERE, (WEB,)), WORKLOADS)
    assert [one.name for one in (await gathered(stage, cluster, keys.pods(TARGET))).value] == ["web-0", "web-1"]  # its own word comes first
    assert cluster.asked == []
    stage.delivery.trouble["read"] = ValueError("Redis is away")
    assert [one.name for one in (await gathered(stage, cluster, keys.pods(TARGET))).value] == ["web-new-1", "web-old-1", "web-old-2"]


async def test_pods_that_nobody_can_tell_are_absent_with_both_reasons(stage: Stage, cluster: FakeFacts) -> None:
    await listed(stage, WEB)
    cluster.tell(keys.workloads_in("prod", HERE, (WEB,)), Absent("the cluster is away", clears="Look at it."))
    stage.delivery.trouble["read"] = ValueError("Redis is away")
    assert await gathered(stage, cluster, keys.pods(TARGET)) == Absent("Redis is away; the cluster is away", clears="Look at it.")
