"""Starts Argo CD on a Kubernetes that answers: its objects, its four programs, and a token per account.

All programs are one binary under several names. Accounts: `backout` with just what the service needs, `reader`, `human`
with everything, and `admin`.
"""

import base64
import os
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.real.lab.addresses import LOOPBACK, Port
from tests.real.lab.api import HttpApi
from tests.real.lab.cache import Cache
from tests.real.lab.kubernetes import APPLY, NAMESPACE, apply, kubeconfig
from tests.real.lab.processes import Processes
from tests.real.lab.programs import ARGOCD, HELM, KUSTOMIZE

_CRDS = {"application": "applications", "appproject": "appprojects", "applicationset": "applicationsets"}
_CONFIG = ("cm", "rbac-cm", "cmd-params-cm", "secret", "gpg-keys-cm", "ssh-known-hosts-cm", "tls-certs-cm")
_COLLECTIONS = {"ConfigMap": "configmaps", "Secret": "secrets"}
_ACCOUNTS = ("backout", "reader", "human")

# A plain ConfigMap plays any health a test wants: as a resource, a hook or a wave.
_CONFIG_MAP_HEALTH = """\
hs = {}
hs.status = "Healthy"
if obj.data ~= nil and obj.data.health ~= nil then hs.status = obj.data.health end
return hs
"""
_POLICY = """\
p, role:backout, applications, get, */*, allow
p, role:backout, applications, sync, */*, allow
p, role:backout, applications, update, */*, allow
p, role:backout, applications, action/argoproj.io/Rollout/abort, */*, allow
p, role:backout, applications, action/argoproj.io/Rollout/promote-full, */*, allow
p, role:backout, projects, get, *, allow
p, role:backout, applicationsets, get, */*, allow
p, role:reader, applications, get, */*, allow
p, role:reader, projects, get, *, allow
p, role:reader, applicationsets, get, */*, allow
g, backout, role:backout
g, reader, role:reader
g, human, role:admin
"""
_OWN_SETTINGS = {
    "argocd-cm": {
        **{f"accounts.{account}": "apiKey" for account in _ACCOUNTS},
        "timeout.reconciliation": "10s",
        "timeout.reconciliation.jitter": "0s",
        "resource.customizations.health.ConfigMap": _CONFIG_MAP_HEALTH,
    },
    "argocd-rbac-cm": {"policy.csv": _POLICY},
}


async def create_objects(processes: Processes, cache: Cache, kube: HttpApi) -> None:
    """The CRDs and the base configuration, with the lab's settings in it; waits until the API knows the kinds."""
    for short, plural in _CRDS.items():
        # as text: the largest has a megabyte, and only server-side apply takes it
        text = _read(cache.manifests(ARGOCD) / "crds" / f"{short}-crd.yaml")
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.argoproj.io?fieldManager=lab&force=true"
        await kube.must("PATCH", path, text, content_type=APPLY)
    for name in _CONFIG:
        thing = yaml.safe_load(_read(cache.manifests(ARGOCD) / "base" / "config" / f"argocd-{name}.yaml"))
        if own := _OWN_SETTINGS.get(thing["metadata"]["name"]):
            thing["data"] = (thing.get("data") or {}) | own
        await apply(kube, f"/api/v1/namespaces/{NAMESPACE}/{_COLLECTIONS[thing['kind']]}", thing)

    async def known() -> bool:
        answer = await kube.call("GET", "/apis/argoproj.io/v1alpha1")
        return answer.good and {resource["name"] for resource in answer.body["resources"]} >= set(_CRDS.values())

    await processes.until_ready("kube-apiserver", known)


def _read(file: Path) -> str:
    return file.read_text()


def _prepare(cache: Cache, work: Path) -> tuple[Path, dict[str, str]]:
    """The folder with the four names of the binary and with what they render with, and the environment all of them want."""
    links = work / "argocd-bin"
    links.mkdir()
    for name in ("server", "repo-server", "application-controller", "applicationset-controller"):
        (links / f"argocd-{name}").symlink_to(cache.binary("argocd"))
    for tool in (HELM, KUSTOMIZE):  # the repo-server renders with them
        (links / tool.name).symlink_to(cache.binary(tool.name))
    folders = {
        "ARGOCD_TLS_DATA_PATH": "argocd/tls",
        "ARGOCD_SSH_DATA_PATH": "argocd/ssh",
        "ARGOCD_GNUPGHOME": "argocd/gpg/keys",
        "ARGOCD_GPG_DATA_PATH": "argocd/gpg/source",
        "ARGOCD_PLUGINSOCKFILEPATH": "argocd/plugins",
        "TMPDIR": "argocd/tmp",
    }
    for folder in (*folders.values(), "argocd/static"):
        (work / folder).mkdir(parents=True)
    return links, {
        "PATH": f"{links}:{os.environ['PATH']}",
        "KUBECONFIG": str(kubeconfig(work)),
        "ARGOCD_FAKE_IN_CLUSTER": "true",  # https://kubernetes.default.svc is the cluster of the kubeconfig
        "ARGOCD_GPG_ENABLED": "false",
        "HOSTNAME": "testappcontroller-1",
        "ARGOCD_ASK_PASS_SOCK": str(work / "argocd/ask-pass.sock"),  # else a fixed path in /tmp, and no other lab could start beside this one
        **{variable: str(work / folder) for variable, folder in folders.items()},
    }


async def start(processes: Processes, cache: Cache, work: Path, session: aiohttp.ClientSession) -> None:
    """Start the four programs and wait until each answers. Redis is expected to run."""
    links, env = _prepare(cache, work)
    redis = ["--redis", Port.REDIS.at]
    backends = ["--repo-server", Port.REPO_SERVER.at, *redis]
    spans = ["--otlp-address", Port.JAEGER_OTLP_GRPC.at]
    await processes.start(
        "argocd-repo-server",
        [
            links / "argocd-repo-server",
            *("--address", LOOPBACK, "--port", str(Port.REPO_SERVER.value)),
            *("--metrics-address", LOOPBACK, "--metrics-port", str(Port.REPO_SERVER_METRICS.value)),
            *redis,
            *spans,
        ],
        env,
    )
    await processes.start(
        "argocd-server",
        [
            links / "argocd-server",
            "--insecure",
            *("--address", LOOPBACK, "--port", str(Port.ARGOCD.value)),
            *("--metrics-address", LOOPBACK, "--metrics-port", str(Port.ARGOCD_METRICS.value)),
            *("--dex-server", "http://127.0.0.1:1", "--staticassets", str(work / "argocd/static")),
            *backends,
            *spans,
        ],
        env,
    )
    # it writes the server's key, the admin's password and the default project: the others must not come before it
    await _answering(processes, session, "argocd-server", f"{Port.ARGOCD.url}/healthz")
    await processes.start(
        "argocd-application-controller",
        [
            links / "argocd-application-controller",
            *("--app-resync", "10", "--app-resync-jitter", "0", "--metrics-port", str(Port.CONTROLLER_METRICS.value)),
            *backends,
            *spans,
        ],
        env,
    )
    await processes.start(
        "argocd-applicationset-controller",
        [
            links / "argocd-applicationset-controller",
            *("--metrics-addr", Port.APPLICATIONSET_METRICS.at, "--probe-addr", Port.APPLICATIONSET_PROBE.at),
            *("--webhook-addr", Port.APPLICATIONSET_WEBHOOK.at, "--argocd-repo-server", Port.REPO_SERVER.at),
            "--enable-progressive-syncs",  # off by default; sets without strategy RollingSync behave the same
        ],
        env,
    )
    await _answering(processes, session, "argocd-repo-server", f"{Port.REPO_SERVER_METRICS.url}/healthz")
    await _answering(processes, session, "argocd-application-controller", f"{Port.CONTROLLER_METRICS.url}/healthz")
    await _answering(processes, session, "argocd-applicationset-controller", f"{Port.APPLICATIONSET_METRICS.url}/metrics")


async def _answering(processes: Processes, session: aiohttp.ClientSession, name: str, address: str) -> None:
    async def answers() -> bool:
        async with session.get(address) as response:
            return response.status == 200

    await processes.until_ready(name, answers)


async def tokens(processes: Processes, kube: HttpApi, session: aiohttp.ClientSession) -> dict[str, str]:
    """Account -> bearer token; waits until Argo CD has taken the accounts over and serves applications."""
    found: dict[str, str] = {}

    async def log_in() -> bool:
        secret = await kube.must("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/argocd-initial-admin-secret")
        login = {"username": "admin", "password": base64.b64decode(secret["data"]["password"]).decode()}
        found["admin"] = (await HttpApi(session, Port.ARGOCD.url).must("POST", "/api/v1/session", login))["token"]
        return True

    await processes.until_ready("argocd-server", log_in)
    admin = HttpApi(session, Port.ARGOCD.url, found["admin"])

    async def create_keys() -> bool:
        for account in _ACCOUNTS:
            if account not in found:
                found[account] = (await admin.must("POST", f"/api/v1/account/{account}/token", {}))["token"]
        return (await admin.call("GET", "/api/v1/applications")).good

    await processes.until_ready("argocd-server", create_keys)
    return found


async def version(session: aiohttp.ClientSession) -> str:
    """What the server says about itself, such as `v3.2.11`."""
    answer: dict[str, Any] = await HttpApi(session, Port.ARGOCD.url).must("GET", "/api/version")
    return str(answer["Version"])
