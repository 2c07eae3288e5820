"""What a Kubernetes controller does with the numbers of revisions, on the real one and on the clusters behind the sandbox Gate, read by one reader.

Spinnaker undoes with `kubectl rollout undo --to-revision`, which writes the pod template of that revision's ReplicaSet into the Deployment, without the hash
that the controller had put in, and writes nothing where that is the template already. Just that is written here; what comes of it is the controller's.
"""

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytest

from integrations.delivery.spinnaker.kubernetes_history import REVISION, TEMPLATE_HASH, History, history_of, template_digest
from integrations.sandbox.gate.server import SandboxGate
from service.wiring.parts import SystemClock
from tests.real.lab.client import LabClient, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

KEEPS = 2
"""Old revisions that the Deployment keeps."""
Told = Sequence[tuple[int, str, tuple[int, ...]]]
"""Number, version and earlier numbers of each revision, newest first."""


class Cluster(Protocol):
    """A Deployment `web` without pods, in a cluster of some kind."""

    async def deploy(self, version: str) -> None: ...
    async def undo(self, revision: int) -> None: ...
    async def history(self) -> History: ...


def template(version: str) -> dict[str, Any]:
    """The pod template of that version."""
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": f"registry.example/web:{version}"}]}}


class Real:
    """On the API server and the controller manager of the lab."""

    def __init__(self, client: LabClient) -> None:
        self._kube = client.kube
        self._client = client
        self.namespace = f"revisions-{uuid.uuid4().hex[:8]}"
        self._path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"

    async def begin(self) -> None:
        await self._client.create_namespace(self.namespace)
        spec = {"replicas": 0, "revisionHistoryLimit": KEEPS, "selector": {"matchLabels": {"app": "web"}}, "template": template("1")}
        await self._kube.must("POST", self._path, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
        await self._settled("1")

    async def end(self) -> None:
        await self._kube.must("DELETE", f"/api/v1/namespaces/{self.namespace}")

    async def deploy(self, version: str) -> None:
        await self._write(template(version))
        await self._settled(version)

    async def undo(self, revision: int) -> None:
        """As kubectl does it."""
        live, sets = await self._read()
        wanted = {one["metadata"]["annotations"][REVISION]: one for one in sets}[str(revision)]
        old = copy.deepcopy(wanted["spec"]["template"])
        old["metadata"]["labels"].pop(TEMPLATE_HASH)
        if template_digest(old) == template_digest(live["spec"]["template"]):
            return
        await self._write(old)
        await self._settled(old["spec"]["containers"][0]["image"].rpartition(":")[2])

    async def history(self) -> History:
        return history_of(*await self._read())

    async def _write(self, pods: Mapping[str, Any]) -> None:
        patch = [{"op": "replace", "path": "/spec/template", "value": pods}]
        await self._kube.must("PATCH", f"{self._path}/web", patch, content_type="application/json-patch+json")

    async def _read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        live = await self._client.kube_get(f"{self._path}/web")
        sets = await self._client.kube_get(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets")
        return live, [{**one, "metadata": {"annotations": {}, **one["metadata"]}} for one in sets["items"]]

    async def _settled(self, version: str) -> None:
        """The controller has looked at what was written, made or renumbered its ReplicaSet, and let go of those over the limit."""

        async def done() -> bool:
            live, sets = await self._read()
            if live["metadata"]["generation"] != live.get("status", {}).get("observedGeneration") or len(sets) > KEEPS + 1:
                return False
            newest = max(sets, key=lambda one: int(one["metadata"]["annotations"].get(REVISION, 0)), default=None)
            numbered = newest is not None and newest["metadata"]["annotations"].get(REVISION) == live["metadata"].get("annotations", {}).get(REVISION)
            return numbered and newest is not None and newest["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{version}")

        await until(done, what=f"the controller to roll {version} out")


class Sandbox:
    """Behind the sandbox Gate."""

    def __init__(self) -> None:
        self._gate = SandboxGate(clock=SystemClock())
        self._where = ("k8s", "shop")
        self._gate.kubernetes.runs("shop", account="k8s", namespace="shop", name="web", image="", replicas=0, template=template("1"))
        self._gate.kubernetes.workloads[0].limit = KEEPS

    async def deploy(self, version: str) -> None:
        self._gate.kubernetes.runs("shop", account="k8s", namespace="shop", name="web", image="", replicas=0, template=template(version))

    async def undo(self, revision: int) -> None:
        self._gate.kubernetes.undo(*self._where, "deployment web", revision=str(revision), back=None)

    async def history(self) -> History:
        names = [f"replicaSet {one.name}" for one in self._gate.kubernetes.workloads[0].revisions]
        return history_of(self._manifest("deployment web"), [self._manifest(name) for name in names])

    def _manifest(self, name: str) -> dict[str, Any]:
        read = self._gate.clouddriver.manifest(*self._where, name)
        assert read is not None
        found: dict[str, Any] = read["manifest"]
        return found


async def told(cluster: Cluster) -> Told:
    history = await cluster.history()
    assert history.complete
    assert (history.limit, history.paused) == (KEEPS, False)
    live = history.of_template(history.live)
    assert live is not None
    assert (live, live.number) == (history.revisions[0], history.number)  # the newest number is what is rolled out
    return [(one.number, one.version, one.earlier) for one in history.revisions]


async def played(cluster: Cluster) -> list[Told]:
    """What is told of the revisions after each thing that is done to them."""
    found = [await told(cluster)]
    for act, what in (
        (cluster.deploy, "2"),
        (cluster.deploy, "3"),
        (cluster.deploy, "3"),  # the same again: no new revision
        (cluster.undo, 2),  # the restored one gets a number that is new, and its old one is gone
        (cluster.undo, 4),  # what is live already: nothing is written
        (cluster.undo, 3),
        (cluster.deploy, "4"),  # one more than is kept: the oldest number goes
        (cluster.deploy, "2"),  # a deploy of what is kept still renumbers it as an undo does
        (cluster.deploy, "1"),  # what is kept no more is a revision like any new one
    ):
        await act(what)  # type: ignore[arg-type]  # each with what is its own
        found.append(await told(cluster))
    return found


async def test_the_real_controller_and_the_sandbox_number_revisions_alike(client: LabClient) -> None:
    real = Real(client)
    await real.begin()
    try:
        seen = await played(real)
        with pytest.raises(KeyError):
            await real.undo(1)  # gone: kubectl cannot find it either
    finally:
        await real.end()
    assert seen == await played(Sandbox())
    assert seen[4][0] == (4, "2", (2,))
    assert [number for number, _, _ in seen[4]] == [4, 3, 1]
