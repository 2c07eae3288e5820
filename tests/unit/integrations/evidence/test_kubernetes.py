import subprocess
import sys
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from integrations.evidence import kubernetes
from integrations.evidence.kubernetes import Kubernetes, Settings, build, judge, selector_of
from service.domain import keys
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Known
from service.domain.model import ObjectRef
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes_api import NAMESPACE, TOKEN, KubernetesApi

WEB = ObjectRef(group="apps", kind="Deployment", namespace=NAMESPACE, name="web")
QUEUE = ObjectRef(group="apps", kind="StatefulSet", namespace=NAMESPACE, name="queue")
CONFIG = ObjectRef(group="", kind="ConfigMap", namespace=NAMESPACE, name="web")
HERE = "https://kubernetes.default.svc"


class Lab:
    """The recorded cluster and the source that reads it."""

    def __init__(self, folder: Path) -> None:
        self.api = KubernetesApi()
        self.clock = FakeClock()
        self.token_file = folder / "token"
        self.token_file.write_text(f"{TOKEN}\n")
        self._sources: list[Kubernetes] = []

    def source(self, timeout: float = 5.0, **cluster: Any) -> Kubernetes:
        one = {"name": "home", "destinations": [HERE], "url": self.api.url, "token_file": str(self.token_file), **cluster}
        self._sources.append(build(Settings.model_validate({"clusters": [one], "timeout_s": timeout}), self.clock))
        return self._sources[-1]

    async def close(self) -> None:
        for source in self._sources:
            await source.close()
        await self.api.stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    await made.api.start()
    yield made
    await made.close()


async def read(source: Kubernetes, *objects: ObjectRef, instance: str = "prod", cluster: str = HERE) -> tuple[keys.Workload, ...]:
    fact = await source.read(keys.workloads_in(instance, cluster, objects))
    assert isinstance(fact, Known), fact
    found: tuple[keys.Workload, ...] = fact.value
    return found


async def why(source: Kubernetes, *objects: ObjectRef, instance: str = "prod", cluster: str = HERE) -> str:
    fact = await source.read(keys.workloads_in(instance, cluster, objects))
    assert isinstance(fact, Absent), fact
    return fact.why


async def test_a_deployments_revisions_are_its_replica_sets_newest_first_with_their_pods(lab: Lab) -> None:
    (web,) = await read(lab.source(), WEB)
    bad, good = web.revisions
    assert (web.object, bad.name, good.name) == (WEB, "59fb4b7b9f", "7568b47f57")
    assert (bad.images, good.images) == (("registry.example/web:bad",), ("registry.example/web:1.0",))
    assert bad.created_at == datetime(2026, 11, 27, 9, 35, 57, tzinfo=UTC)
    (failing,) = bad.pods
    assert (failing.ready, failing.restarts, failing.waits) == (False, 3, "CrashLoopBackOff")
    assert [(pod.ready, pod.restarts, pod.images[0].digest) for pod in good.pods] == [
        (True, 0, "sha256:de1855960fd14d4107fede60ef8502c6a7f08637f43e099ba436012e0e7b0c54")
    ] * 2


async def test_a_stateful_sets_revisions_are_its_controller_revisions(lab: Lab) -> None:
    (queue,) = await read(lab.source(), QUEUE)
    assert [(one.name, one.images, [pod.name for pod in one.pods]) for one in queue.revisions] == [
        ("queue-7667b8d5d8", ("registry.example/queue:bad",), ["queue-1"]),
        ("queue-7fb4569794", ("registry.example/queue:1.0",), ["queue-0"]),
    ]


async def test_a_daemon_sets_pods_carry_only_the_hash_of_their_controller_revision(lab: Lab) -> None:
    objects = lab.api.objects
    daemon = deepcopy(objects["statefulsets"][0])
    objects["daemonsets"].append(daemon)
    for one in objects["controllerrevisions"]:
        one["metadata"]["labels"]["controller-revision-hash"] = one["metadata"]["name"].removeprefix("queue-")
    for pod in objects["pods"]:
        labels = pod["metadata"]["labels"]
        if "controller-revision-hash" in labels:
            labels["controller-revision-hash"] = labels["controller-revision-hash"].removeprefix("queue-")
    (queue,) = await read(lab.source(), ObjectRef(group="apps", kind="DaemonSet", namespace=NAMESPACE, name="queue"))
    assert [(one.name, len(one.pods)) for one in queue.revisions] == [("7667b8d5d8", 1), ("7fb4569794", 1)]


async def test_a_rollout_is_read_as_a_deployment_with_labels_of_its_own(lab: Lab) -> None:
    objects = lab.api.objects
    objects["rollouts"].append(deepcopy(objects["deployments"][0]))
    for one in (*objects["replicasets"], *objects["pods"]):
        labels = one["metadata"]["labels"]
        if "pod-template-hash" in labels:
            labels["rollouts-pod-template-hash"] = labels.pop("pod-template-hash")
    (web,) = await read(lab.source(), ObjectRef(group="argoproj.io", kind="Rollout", namespace=NAMESPACE, name="web"))
    assert [(one.name, len(one.pods)) for one in web.revisions] == [("59fb4b7b9f", 1), ("7568b47f57", 2)]


async def test_what_is_no_workload_is_not_asked_for_and_one_that_is_gone_is_left_out(lab: Lab) -> None:
    gone = ObjectRef(group="apps", kind="Deployment", namespace=NAMESPACE, name="none")
    assert await read(lab.source(), CONFIG, gone) == ()
    assert [seen.path for seen in lab.api.seen] == [f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/none"]


async def test_the_evidence_names_the_cluster_and_changes_with_any_object(lab: Lab) -> None:
    source = lab.source()
    facts = [await source.read(keys.workloads_in("prod", HERE, (WEB,)))]
    lab.api.objects["pods"][-1]["metadata"]["resourceVersion"] = "changed"
    facts += [await source.read(keys.workloads_in("prod", HERE, (WEB,)))]
    first, second = facts
    assert isinstance(first, Known)
    assert isinstance(second, Known)
    assert (first.evidence.source, first.evidence.read_at, first.good_for) == ("kubernetes:home", lab.clock.now(), timedelta(seconds=15))
    assert "Deployment recorded/web" in first.evidence.what
    assert first.evidence.digest != second.evidence.digest


async def test_pods_and_sets_of_others_with_the_same_labels_do_not_count(lab: Lab) -> None:
    objects = lab.api.objects
    strange_set, strange_pod, bare = deepcopy(objects["replicasets"][0]), deepcopy(objects["pods"][-1]), deepcopy(objects["pods"][-1])
    strange_set["metadata"] |= {"uid": "other", "name": "other-1", "ownerReferences": [{"controller": True, "kind": "Deployment", "name": "other", "uid": "o"}]}
    bare["metadata"] |= {"name": "bare", "uid": "bare", "ownerReferences": []}
    strange_pod["metadata"] |= {"name": "job", "uid": "job", "ownerReferences": [{"controller": True, "kind": "Job", "name": "job", "uid": "j"}]}
    objects["replicasets"].append(strange_set)
    objects["pods"] += [bare, strange_pod]
    (web,) = await read(lab.source(), WEB)
    assert [[pod.name for pod in one.pods] for one in web.revisions] == [["web-59fb4b7b9f-ftjqt"], ["web-7568b47f57-jjqwr", "web-7568b47f57-z5rqf"]]


async def test_a_pod_of_a_revision_that_came_in_between_makes_it_read_again(lab: Lab) -> None:
    newer = lab.api.objects["replicasets"].pop(0)
    lab.api.before_list["pods"] = lambda: lab.api.objects["replicasets"].append(newer)
    (web,) = await read(lab.source(), WEB)
    assert [len(one.pods) for one in web.revisions] == [1, 2]
    assert sum(seen.path.endswith("/pods") for seen in lab.api.seen) == 2


async def test_promise_1_pods_that_belong_to_no_known_revision_again_and_again_are_unknown(lab: Lab) -> None:
    lab.api.objects["replicasets"].pop(0)
    assert "changed each time while they were read" in await why(lab.source(), WEB)


async def test_long_lists_are_read_page_by_page(lab: Lab) -> None:
    lab.api.page = 1
    (web,) = await read(lab.source(), WEB)
    assert [len(one.pods) for one in web.revisions] == [1, 2]


async def test_promise_1_a_list_without_an_end_is_unknown_not_a_part(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "MOST_PAGES", 2)
    lab.api.page = 1
    assert "list pods in recorded: more than" in await why(lab.source(), WEB)


@pytest.mark.parametrize("resource", ["deployments", "replicasets", "pods"])
async def test_promise_1_a_missing_right_makes_all_of_it_unknown(lab: Lab, resource: str) -> None:
    lab.api.forbidden = {resource}
    assert f'answered 403: {resource} is forbidden: User "reader" cannot list' in await why(lab.source(), WEB, QUEUE)


async def test_promise_1_one_workload_that_cannot_be_read_makes_all_unknown(lab: Lab) -> None:
    lab.api.forbidden = {"statefulsets"}
    assert "statefulsets is forbidden" in await why(lab.source(), WEB, QUEUE)


async def test_a_server_that_does_not_answer_in_time_is_unknown(lab: Lab) -> None:
    lab.api.slow_down(2)
    assert await why(lab.source(timeout=0.1), WEB) == "cluster home: get apps/Deployment recorded/web: no answer within 0.1 s"


async def test_a_server_that_is_away_is_unknown_and_comes_back(lab: Lab) -> None:
    source = lab.source()
    await lab.api.go_down()
    assert "could not be reached" in await why(source, WEB)
    await lab.api.come_back()
    assert len(await read(source, WEB)) == 1


async def test_promise_12_the_token_is_read_again_for_each_request_and_stands_in_no_text(lab: Lab) -> None:
    source = lab.source()
    await read(source, WEB)
    lab.token_file.write_text("another-token")
    assert await why(source, WEB) == ("cluster home: get apps/Deployment recorded/web: answered 401: Unauthorized; the token is missing, expired or revoked")
    assert set(lab.api.tokens) == {f"Bearer {TOKEN}", "Bearer another-token"}
    lab.token_file.write_text("")
    assert "another-token" not in await why(source, WEB)


async def test_too_many_workloads_are_unknown(lab: Lab) -> None:
    many = [ObjectRef(group="apps", kind="Deployment", namespace=NAMESPACE, name=f"web-{n}") for n in range(31)]
    assert await why(lab.source(), *many) == "it has 31 workloads, more than the 30 that are read"


# --- which cluster ---


async def test_promise_1_a_cluster_that_nobody_configured_is_unknown_and_not_another_one(lab: Lab) -> None:
    assert await why(lab.source(), WEB, cluster="https://10.0.0.1") == "no cluster is configured that prod calls https://10.0.0.1"
    assert lab.api.seen == type(lab.api.seen)()


async def test_promise_1_two_clusters_of_the_same_name_are_unknown(lab: Lab) -> None:
    one = {"destinations": [HERE], "url": lab.api.url, "token_file": str(lab.token_file)}
    source = build(Settings.model_validate({"clusters": [{"name": "a", **one}, {"name": "b", **one}]}), lab.clock)
    assert await why(source, WEB) == f"2 clusters are configured that prod calls {HERE}"


async def test_each_instances_own_cluster_is_another(lab: Lab) -> None:
    source = lab.source(instances=["staging"])
    assert await why(source, WEB) == f"no cluster is configured that prod calls {HERE}"
    assert len(await read(source, WEB, instance="staging")) == 1


def test_a_cluster_goes_by_its_name_unless_told_otherwise_and_the_own_one_also_by_argo_cds() -> None:
    away = kubernetes.Cluster.model_validate({"name": "eu", "url": "https://10.0.0.1", "token_file": "token"})
    home = kubernetes.Cluster.model_validate({"name": "home", "in_cluster": True})
    assert (away.is_called("prod", "eu"), away.is_called("prod", "https://10.0.0.1"), away.is_called("prod", "")) == (True, False, False)
    assert [home.is_called("prod", name) for name in (HERE, "in-cluster", "home", "eu")] == [True, True, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x"},
        {"name": "x", "url": "https://10.0.0.1"},
        {"name": "x", "token_file": "token"},
        {"name": "x", "in_cluster": True, "url": "https://10.0.0.1"},
        {"name": "", "in_cluster": True},
        {"name": "x", "url": "https://me:pw@10.0.0.1", "token_file": "token"},
    ],
)
def test_settings_that_do_not_say_how_to_reach_a_cluster_stop_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"clusters": [wrong]})
    assert "pw" not in str(raised.value)


async def test_outside_of_a_pod_the_own_cluster_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    source = build(Settings.model_validate({"clusters": [{"name": "home", "in_cluster": True}]}), FakeClock())
    assert "Backout runs in no pod" in await why(source, WEB)


async def test_inside_a_pod_address_token_and_authority_are_the_pods_own(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host, port = lab.api.url.removeprefix("http://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(kubernetes, "MOUNTED", tmp_path)
    source = build(Settings.model_validate({"clusters": [{"name": "home", "in_cluster": True}]}), lab.clock)
    assert "ca_file ca.crt of cluster home cannot be used" in await why(source, WEB)
    assert lab.api.seen == type(lab.api.seen)()  # it would have spoken TLS


async def test_a_certificate_that_nobody_vouches_for_is_refused(lab: Lab) -> None:
    source = lab.source(url=lab.api.url.replace("http://", "https://"))
    assert "could not be reached" in await why(source, WEB) or "TLS failed" in await why(source, WEB)
    assert list(lab.api.seen) == []


def test_it_is_imported_only_when_a_cluster_is_asked() -> None:
    script = "import sys; import integrations.catalogue; sys.exit('kubernetes_asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0  # a process of its own: this one has it by now


# --- pure parts ---


def test_selectors_are_asked_as_the_api_spells_them() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["web", "api"]},
        {"key": "track", "operator": "NotIn", "values": ["canary"]},
        {"key": "app", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    assert selector_of({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": expressions}) == "a=1,b=2,tier in (web,api),track notin (canary),app,!old"
    assert selector_of({}) == ""
    with pytest.raises(PermanentError, match="operator 'Near'"):
        selector_of({"matchExpressions": [{"key": "a", "operator": "Near"}]})


async def test_promise_1_a_workload_without_a_selector_is_unknown_for_it_would_select_every_pod(lab: Lab) -> None:
    lab.api.objects["deployments"][0]["spec"]["selector"] = {}
    assert "has no selector" in await why(lab.source(), WEB)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (403, b'{"message":"no"}', RefusedError, "answered 403: no"),
        (401, b"{}", PermanentError, "expired or revoked"),
        (404, b"<html>", PermanentError, "answered 404 and no Status"),
        (410, b'{"message":"too old"}', TemporaryError, "changed while it was read"),
        (429, b"{}", TemporaryError, "answered 429"),
        (500, b"oops", TemporaryError, "answered 500 and no Status"),
        (504, b'{"message":"etcd"}', TemporaryError, "answered 504: etcd"),
        (200, b"[1]", PermanentError, "answered 200"),
        (302, b"", PermanentError, "answered 302"),
    ],
)
def test_answers_are_mapped_once(status: int, body: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        judge("cluster home: get x", status, body)


def test_only_the_servers_own_404_means_that_it_is_not_there() -> None:
    assert judge("x", 404, b'{"kind":"Status","message":"not found"}') is None


# --- doctor ---


async def test_doctor_finds_a_reader_well(lab: Lab) -> None:
    lines = await lab.source().check()
    assert [(line.what, line.well, line.says) for line in lines] == [
        ("kubernetes home", "ok", "v1.34.2 answers"),
        ("kubernetes home rights", "ok", "may get and list pods, workloads and their revisions"),
    ]


async def test_doctor_names_each_missing_right(lab: Lab) -> None:
    lab.api.may -= {("list", "pods"), ("get", "replicasets")}
    line = (await lab.source().check())[1]
    assert (line.well, bool(line.fix)) == ("warn", True)
    assert line.says == "may not list pods, get replicasets in every namespace: where it may not, what runs is unknown"


async def test_promise_12_doctor_names_rights_that_are_too_many(lab: Lab) -> None:
    lab.api.may |= {("get", "secrets")}
    line = (await lab.source().check())[2]
    assert (line.well, "may read Secrets" in line.says) == ("warn", True)


async def test_doctor_tells_a_server_that_does_not_answer(lab: Lab) -> None:
    source = lab.source()
    await lab.api.go_down()
    (line,) = await source.check()
    assert (line.what, line.well, bool(line.fix)) == ("kubernetes home", "no", True)
