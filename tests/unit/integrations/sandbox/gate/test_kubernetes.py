from typing import Any

import pytest

from integrations.sandbox.gate.kubernetes import HISTORY, REVISION, KubectlError, Kubernetes, Workload
from integrations.sandbox.gate.timeline import Timeline
from tests.fakes.clock import FakeClock

READY = 3.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def kubernetes(clock: FakeClock) -> Kubernetes:
    return Kubernetes(Timeline(clock), READY)


def web(kubernetes: Kubernetes, *images: str, **more: Any) -> Workload:
    """A Deployment that ran these images one after the other."""
    return [kubernetes.runs("shop", account="k8s", namespace="ns", name="web", image=image, **more) for image in images][-1]


def undo(kubernetes: Kubernetes, *, revision: str | None = None, back: int | None = None, name: str = "deployment web") -> None:
    kubernetes.undo("k8s", "ns", name, revision=revision, back=back)


def read(kubernetes: Kubernetes, name: str = "deployment web") -> Any:
    found = kubernetes.manifest("k8s", "ns", name)
    assert found is not None
    return found


def test_undo_gives_the_old_template_a_new_number_and_takes_its_old_one() -> None:
    kubernetes = Kubernetes(Timeline(FakeClock()), READY)
    workload = web(kubernetes, "app:1", "app:2", "app:3")

    undo(kubernetes, revision="1")

    assert {one.images[0]: one.number for one in workload.revisions} == {"app:2": 2, "app:3": 3, "app:1": 4}
    assert read(kubernetes)["manifest"]["metadata"]["annotations"][REVISION] == "4"
    restored = read(kubernetes, f"replicaSet {workload.live.name}")["manifest"]["metadata"]
    assert (restored["annotations"][REVISION], restored["annotations"][HISTORY]) == ("4", "1")
    with pytest.raises(KubectlError, match="unable to find specified revision 1 in history"):
        undo(kubernetes, revision="1")


def test_undo_to_the_live_revision_changes_nothing(kubernetes: Kubernetes) -> None:
    workload = web(kubernetes, "app:1", "app:2")

    undo(kubernetes, revision="2")

    assert workload.live.number == 2


def test_undo_by_steps_toggles_back_to_the_bad_version_when_repeated(kubernetes: Kubernetes) -> None:
    workload = web(kubernetes, "app:1", "app:2", "app:3")

    undo(kubernetes, back=1)
    first = workload.live.images
    undo(kubernetes, back=1)

    assert (first, workload.live.images) == (["app:2"], ["app:3"])
    with pytest.raises(KubectlError, match=r"There are 3 revision\(s\) in total, cannot rollback 3"):
        undo(kubernetes, back=3)


def test_a_paused_rollout_cannot_be_undone(kubernetes: Kubernetes) -> None:
    kubernetes.is_paused(web(kubernetes, "app:1", "app:2"))

    with pytest.raises(KubectlError, match="cannot rollback a paused deployment"):
        undo(kubernetes, revision="1")


def test_only_controllers_with_a_history_can_be_undone(kubernetes: Kubernetes) -> None:
    kubernetes.has("k8s", "ns", "configMap", "settings")

    with pytest.raises(KubectlError, match="does not support undo rollout"):
        undo(kubernetes, revision="1", name="configMap settings")


def test_revisions_over_the_limit_are_pruned(kubernetes: Kubernetes) -> None:
    workload = web(kubernetes, *(f"app:{number}" for number in range(14)))

    assert [one.number for one in workload.revisions] == list(range(4, 15))


def test_while_a_new_revision_is_not_ready_the_one_before_serves(kubernetes: Kubernetes, clock: FakeClock) -> None:
    web(kubernetes, "app:1")
    workload = web(kubernetes, "app:2", at_once=False)
    under_way = kubernetes.serving(workload), read(kubernetes)["status"]["stable"]["state"]
    clock.pass_(seconds=READY)

    assert under_way == ([("app:1", 2)], False)
    assert (kubernetes.serving(workload), read(kubernetes)["status"]["stable"]["state"]) == ([("app:2", 2)], True)


def test_a_rollout_that_never_gets_ready_is_unstable_and_one_over_its_deadline_has_failed(kubernetes: Kubernetes, clock: FakeClock) -> None:
    web(kubernetes, "app:1")
    kubernetes.never_becomes_ready("app:2")
    web(kubernetes, "app:2", at_once=False)
    clock.pass_(days=1)
    stuck = read(kubernetes)["status"]
    kubernetes.exceeds_its_deadline("app:2")
    overdue = read(kubernetes)

    assert (stuck["stable"]["state"], stuck["failed"]["state"]) == (False, False)
    assert overdue["status"]["failed"] == {"message": "Deployment exceeded its progress deadline", "state": True}
    assert overdue["manifest"]["status"]["conditions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_objects_are_known_by_uid_and_pods_by_their_replica_set(kubernetes: Kubernetes) -> None:
    workload = web(kubernetes, "app:1")
    kubernetes.images = lambda image: "sha256:abc" if image == "app:1" else None
    deployment = read(kubernetes)["manifest"]["metadata"]
    replica_set = read(kubernetes, f"replicaSet {workload.live.name}")["manifest"]["metadata"]
    pods = kubernetes.groups("shop")[0]["instances"]
    pod = read(kubernetes, pods[0]["name"])["manifest"]

    assert replica_set["ownerReferences"][0]["uid"] == deployment["uid"]
    assert pod["metadata"]["ownerReferences"][0]["uid"] == replica_set["uid"]
    assert len(pods) == 2
    assert pod["status"]["containerStatuses"][0]["imageID"] == "app@sha256:abc"


def test_a_new_versioned_set_takes_the_traffic_and_switching_gives_it_back(kubernetes: Kubernetes) -> None:
    old = kubernetes.runs_versioned("shop", account="k8s", namespace="ns", cluster="web", image="app:1", service="web")
    new = kubernetes.runs_versioned("shop", account="k8s", namespace="ns", cluster="web", image="app:2", service="web")
    taken = (old.traffic, new.traffic)
    kubernetes.switch("k8s", "ns", "replicaSet web-v000", on=True)
    kubernetes.switch("k8s", "ns", "replicaSet web-v001", on=False)

    assert taken == (False, True)
    assert {one["name"]: one["disabled"] for one in kubernetes.groups("shop")} == {"replicaSet web-v000": False, "replicaSet web-v001": True}
    assert read(kubernetes, "replicaSet web-v001")["manifest"]["metadata"]["labels"] == {}


def test_a_restart_is_a_new_revision_of_the_same_image(kubernetes: Kubernetes) -> None:
    workload = web(kubernetes, "app:1")
    kubernetes.restart("k8s", "ns", "deployment web", "2026-05-04T14:03:00Z")

    assert (workload.live.number, workload.live.images) == (2, ["app:1"])


def test_what_changes_is_told_before_it_does(kubernetes: Kubernetes) -> None:
    seen: list[int] = []
    kubernetes.changed.append(lambda: seen.append(len(kubernetes.managers("shop"))))
    web(kubernetes, "app:1", "app:2")

    assert seen[0] == 0
    assert seen[-1] == 1
