"""Starts a Kubernetes without nodes: etcd, the API server and the controllers that Deployments and Jobs need."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.real.lab.addresses import LOOPBACK, Port
from tests.real.lab.api import HttpApi
from tests.real.lab.cache import Cache
from tests.real.lab.kubelet import NODE
from tests.real.lab.processes import Processes

URL = f"https://{Port.KUBE_API.at}"
TOKEN = "lab-kube-token"
NAMESPACE = "argocd"
APPLY = "application/apply-patch+yaml"

# The garbage collector is what prunes; the node lifecycle controller must stay off, for nobody renews a node's lease.
_CONTROLLERS = "deployment-controller,replicaset-controller,statefulset-controller,job-controller,garbage-collector-controller,namespace-controller"


def kubeconfig(work: Path) -> Path:
    """Where the file stands that leads Argo CD and the controllers to the API server."""
    return work / "kubeconfig"


async def start(processes: Processes, cache: Cache, work: Path, kube: HttpApi) -> None:
    """Start the three and wait until the API answers and has the lab's node; etcd is expected to come up meanwhile."""
    _write_credentials(work)
    await processes.start(
        "etcd",
        [
            "etcd",
            f"--data-dir={work}/etcd",
            "--logger=zap",
            "--log-level=warn",
            f"--listen-client-urls={Port.ETCD.url}",
            f"--advertise-client-urls={Port.ETCD.url}",
            f"--listen-peer-urls={Port.ETCD_PEER.url}",
            f"--initial-advertise-peer-urls={Port.ETCD_PEER.url}",
            f"--initial-cluster=default={Port.ETCD_PEER.url}",
        ],
    )
    await processes.start(
        "kube-apiserver",
        [
            cache.binary("kube-apiserver"),
            f"--etcd-servers={Port.ETCD.url}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={Port.KUBE_API}",
            f"--cert-dir={work}/kube-apiserver",
            f"--token-auth-file={work}/tokens.csv",
            "--service-account-issuer=https://localhost",
            f"--service-account-key-file={work}/sa.pub",
            f"--service-account-signing-key-file={work}/sa.key",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ],
    )

    async def answers() -> bool:
        return (await kube.call("GET", "/readyz")).good

    await processes.until_ready("kube-apiserver", answers)
    await processes.start(
        "kube-controller-manager",
        [
            cache.binary("kube-controller-manager"),
            f"--kubeconfig={kubeconfig(work)}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={Port.KUBE_CONTROLLERS}",
            f"--cert-dir={work}/kube-controller-manager",
            "--leader-elect=false",
            "--use-service-account-credentials=false",
            f"--controllers={_CONTROLLERS}",
        ],
    )
    await apply(kube, "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    await apply(kube, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})


async def apply(kube: HttpApi, collection: str, thing: dict[str, Any]) -> None:
    """Server-side apply one object at its collection's path."""
    await kube.must("PATCH", f"{collection}/{thing['metadata']['name']}?fieldManager=lab&force=true", thing, content_type=APPLY)


def _write_credentials(work: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM
    (work / "sa.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (work / "sa.pub").write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    (work / "tokens.csv").write_text(f'{TOKEN},lab-admin,lab-admin,"system:masters"\n')
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": URL, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "lab", "user": {"token": TOKEN}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": NAMESPACE}}],
    }
    kubeconfig(work).write_text(json.dumps(config))
