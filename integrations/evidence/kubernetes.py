"""Reads workloads, their revisions and pods from the Kubernetes clusters that the operator configured: which revision's pods fail, and since when they exist.

Reads only, with a deadline on everything; needs `get` and `list` on the kinds in `NEEDED`, nothing else. kubernetes-asyncio is imported when a cluster is
asked for the first time. A workload's revisions are its ReplicaSets (by pod-template-hash) or its ControllerRevisions.
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label
"""

import asyncio
import hashlib
import json
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from integrations import pacing
from integrations.http import MAX_BODY, Address, credential, reason
from integrations.json_shapes import Body, entries, part, text
from integrations.pods import pod_of
from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import Pod, Workload, WorkloadRevision
from service.domain.model import Json, ObjectRef
from service.domain.ports import Checked, Clock

if TYPE_CHECKING:
    import aiohttp

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account's token and the cluster's authority."""
IN_CLUSTER = ("https://kubernetes.default.svc", "in-cluster")
"""What Argo CD calls the cluster that it runs in."""
PAGE, MOST_PAGES, MOST_WORKLOADS = 500, 10, 30
TRIES = 3
"""How often a workload is read again when its pods belong to a revision that was not there a moment before."""
_FROM_REPLICA_SETS = frozenset({("apps", "Deployment"), ("argoproj.io", "Rollout")})
_FROM_CONTROLLER_REVISIONS = frozenset({("apps", "StatefulSet"), ("apps", "DaemonSet")})
WORKLOADS = _FROM_REPLICA_SETS | _FROM_CONTROLLER_REVISIONS
NEEDED = (
    ("", "pods"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("apps", "controllerrevisions"),
)
"""(group, resource) that are read, each with the verbs get and list; with Argo Rollouts also rollouts of argoproj.io."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429


class Cluster(BaseModel):
    """One cluster that may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    name: str = Field(min_length=1, description="Name for people, logs and evidence.")
    destinations: tuple[str, ...] = Field(
        default=(), description="What the delivery system calls it: the destination's server or name. Default: the name, in_cluster: Argo CD's own names."
    )
    instances: tuple[str, ...] = Field(default=(), description="Delivery instances that call it so; each in-cluster is another cluster. Default: every one.")
    in_cluster: bool = Field(default=False, description="The cluster that Backout runs in, with its service account. Default: false.")
    url: Address | None = Field(default=None, description="Address of the API server; required unless in_cluster.")
    token_file: Path | None = Field(default=None, description="File with a bearer token, read again for each request; required unless in_cluster.")
    ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the API server's certificate. Default: the system's.")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.in_cluster and (self.url or self.token_file or self.ca_file):
            raise ValueError("in_cluster takes address, token and authority from the pod; leave url, token_file and ca_file out")
        if not self.in_cluster and (self.url is None or self.token_file is None):
            raise ValueError("name url and token_file, or set in_cluster")
        return self

    def is_called(self, instance: str, destination: str) -> bool:
        """Whether the delivery instance means this cluster by that name."""
        names = self.destinations or ((*IN_CLUSTER, self.name) if self.in_cluster else (self.name,))
        return destination in names and (not self.instances or instance in self.instances)


class Settings(BaseModel):
    """Clusters whose workloads and pods may be read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    clusters: tuple[Cluster, ...] = Field(min_length=1, description="The clusters.")
    timeout_s: float = Field(default=5.0, gt=0, le=60, description="Seconds for each request. Default: 5.")
    good_for_s: float = Field(default=15.0, gt=0, le=300, description="How long what was read may be believed. Default: 15.")


def build(settings: Settings, clock: Clock) -> "Kubernetes":
    """The source; nothing is imported or connected yet."""
    return Kubernetes(settings, clock)


class Kubernetes:
    """A `FactSource` for "workloads of a cluster"."""

    kinds = frozenset({"workloads of a cluster"})

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._apis = {cluster.name: _Api(cluster, settings.timeout_s) for cluster in settings.clusters}

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The workloads that still exist, or why nobody could find out. All of them or none: half an answer would read as "there is no other pod"."""
        if key.kind not in self.kinds:
            return Absent(f"Kubernetes knows nothing of the {key.kind}")
        subject: Any = key.subject
        instance, destination, objects = subject
        asked = tuple(one for one in objects if (one.group, one.kind) in WORKLOADS)
        found = [cluster for cluster in self._settings.clusters if cluster.is_called(instance, destination)]
        if len(found) != 1:
            how_many = "no cluster is" if not found else f"{len(found)} clusters are"
            return Absent(f"{how_many} configured that {instance} calls {destination or 'nothing'}", clears="Correct evidence.kubernetes.clusters.")
        if len(asked) > MOST_WORKLOADS:
            return Absent(f"it has {len(asked)} workloads, more than the {MOST_WORKLOADS} that are read")
        api = self._apis[found[0].name]
        answers = await asyncio.gather(*(_workload(api, one) for one in asked), return_exceptions=True)
        read: list[_Read | None] = []
        for answer in answers:
            if isinstance(answer, BackoutError):
                return Absent(str(answer), clears="Look at the cluster; `backout doctor` names missing rights.")
            if isinstance(answer, BaseException):
                raise answer
            read.append(answer)
        digest = hashlib.sha256(json.dumps([one.raw for one in read if one is not None], sort_keys=True).encode()).hexdigest()
        what = f"workloads, revisions and pods of {', '.join(map(str, asked)) or 'nothing'}"
        evidence = Evidence(source=f"kubernetes:{found[0].name}", what=what, read_at=self._clock.now(), digest=f"sha256:{digest}")
        value = tuple(one.workload for one in read if one is not None)
        return Known(value=value, evidence=evidence, good_for=timedelta(seconds=self._settings.good_for_s))

    async def check(self) -> Sequence[Checked]:
        """For each cluster whether it answers and whether the token may read what is needed, and nothing that is not."""
        return [line for cluster in self._settings.clusters for line in await _check(cluster, self._apis[cluster.name])]

    async def close(self) -> None:
        """Close the connections."""
        for api in self._apis.values():
            await api.close()


# --- one workload --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    workload: Workload
    raw: Json
    """Name and version of every object it was made of, for the digest."""


async def _workload(api: "_Api", ref: ObjectRef) -> _Read | None:
    """The workload with its revisions and their pods; None when there is no such workload (any more)."""
    for _ in range(TRIES):
        body = await api.workload(ref)
        if body is None:
            return None
        uid, selector = text(part(body, "metadata").get("uid")), selector_of(part(body, "spec", "selector"))
        if not uid or not selector:
            raise PermanentError(f"{ref} has no selector: its pods cannot be told from others")
        by_replica_set = (ref.group, ref.kind) in _FROM_REPLICA_SETS
        sets = [one for one in await api.revisions(ref, selector, by_replica_set=by_replica_set) if _owner(one) == uid]
        pods = await api.pods(ref.namespace, selector)
        made = revisions_of(sets, pods, uid, by_replica_set=by_replica_set)
        if made is not None:
            raw = [[text(part(one, "metadata").get(name)) for name in ("name", "resourceVersion")] for one in (body, *sets, *pods)]
            return _Read(workload=Workload(object=ref, revisions=made), raw=raw)
    raise TemporaryError(f"the pods of {ref} changed each time while they were read")


def revisions_of(sets: Sequence[Body], pods: Sequence[Body], uid: str, *, by_replica_set: bool) -> tuple[WorkloadRevision, ...] | None:
    """The revisions with their pods, newest first. None when a pod belongs to a revision that is not among `sets`: it came in between."""
    named = {(text(part(one, "metadata").get("uid")) if by_replica_set else _revision_label(one)): one for one in sets}
    running: dict[str, list[Pod]] = {name: [] for name in named}
    for body in pods:
        owner = _owner(body)
        if (owner != uid) if not by_replica_set else (owner not in named and not _belongs_to_a_set(body)):
            continue  # the selector fits somebody else's pod
        name = owner if by_replica_set else _revision_label(body)
        pod = pod_of(body)
        if pod is None:
            continue
        if name not in running:
            return None
        running[name].append(pod)
    made = [
        WorkloadRevision(
            name=_revision_label(one) or text(part(one, "metadata").get("name")),
            created_at=_created(one),
            images=_images(one),
            pods=tuple(sorted(running[name], key=lambda pod: pod.name)),
        )
        for name, one in named.items()
    ]
    return tuple(sorted(made, key=lambda one: (one.created_at, one.name), reverse=True))


def _belongs_to_a_set(pod: Body) -> bool:
    return any(owner.get("controller") and owner.get("kind") == "ReplicaSet" for owner in entries(part(pod, "metadata").get("ownerReferences")))


def _owner(body: Body) -> str:
    """The uid of the controller that owns the object, "" when none does."""
    return next((text(one.get("uid")) for one in entries(part(body, "metadata").get("ownerReferences")) if one.get("controller")), "")


def _revision_label(body: Body) -> str:
    labels = part(body, "metadata", "labels")
    names = ("pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash", "controller.kubernetes.io/hash")
    if body.get("revision") is not None:  # a ControllerRevision; a StatefulSet's pods carry its whole name, a DaemonSet's only the hash
        name, hashed = text(part(body, "metadata").get("name")), text(labels.get("controller-revision-hash"))
        return hashed or name
    return next((text(labels.get(name)) for name in names if labels.get(name)), "")


def _created(body: Body) -> datetime:
    told = text(part(body, "metadata").get("creationTimestamp"))
    try:
        return datetime.fromisoformat(told)
    except ValueError as error:
        raise PermanentError(f"Kubernetes gave {told!r} for a time") from error


def _images(body: Body) -> tuple[str, ...]:
    """Images of the template: a ReplicaSet's own, or the one that a ControllerRevision keeps."""
    template = part(body, "spec", "template") or part(body, "data", "spec", "template")
    return tuple(text(one.get("image")) for one in entries(part(template, "spec").get("containers")))


def selector_of(selector: Body) -> str:
    """A workload's selector as a query asks for it, "" when it selects nothing in particular. PermanentError for an operator that is not known."""
    parts = [f"{name}={value}" for name, value in sorted(part(selector, "matchLabels").items())]
    for one in entries(selector.get("matchExpressions")):
        name, values = text(one.get("key")), ",".join(text(value) for value in one.get("values") or ())
        match one.get("operator"):
            case "In":
                parts.append(f"{name} in ({values})")
            case "NotIn":
                parts.append(f"{name} notin ({values})")
            case "Exists":
                parts.append(name)
            case "DoesNotExist":
                parts.append(f"!{name}")
            case other:
                raise PermanentError(f"a selector has the operator {other!r}, which is not understood")
    return ",".join(parts)


# --- one API server ------------------------------------------------------------------------------------------------------


class _Api:
    """One API server over kubernetes-asyncio: each call with a deadline, each failure as one of ours."""

    def __init__(self, cluster: Cluster, timeout: float) -> None:
        self._cluster = cluster
        self._timeout = timeout
        self._client: Any = None

    async def workload(self, ref: ObjectRef) -> Body | None:
        """The workload itself, None when there is none."""
        kubernetes, client = self._opened()
        if ref.group == "argoproj.io":
            custom = kubernetes.CustomObjectsApi(client)
            return await self._ask(f"get {ref}", custom.get_namespaced_custom_object, ref.group, "v1alpha1", ref.namespace, "rollouts", ref.name)
        apps = kubernetes.AppsV1Api(client)
        calls = {
            "Deployment": apps.read_namespaced_deployment,
            "StatefulSet": apps.read_namespaced_stateful_set,
            "DaemonSet": apps.read_namespaced_daemon_set,
        }
        return await self._ask(f"get {ref}", calls[ref.kind], ref.name, ref.namespace)

    async def revisions(self, ref: ObjectRef, selector: str, *, by_replica_set: bool) -> Sequence[Body]:
        """ReplicaSets or ControllerRevisions with these labels."""
        kubernetes, client = self._opened()
        apps = kubernetes.AppsV1Api(client)
        call = apps.list_namespaced_replica_set if by_replica_set else apps.list_namespaced_controller_revision
        return await self._list(f"list {'replicasets' if by_replica_set else 'controllerrevisions'} in {ref.namespace}", call, ref.namespace, selector)

    async def pods(self, namespace: str, selector: str) -> Sequence[Body]:
        """Pods with these labels."""
        kubernetes, client = self._opened()
        return await self._list(f"list pods in {namespace}", kubernetes.CoreV1Api(client).list_namespaced_pod, namespace, selector)

    async def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether the token may do that in every namespace."""
        kubernetes, client = self._opened()
        review = {"spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}}}
        call = kubernetes.AuthorizationV1Api(client).create_self_subject_access_review
        body = await self._ask(f"ask whether it may {verb} {resource}", call, review)
        return bool(part(body or {}, "status").get("allowed"))

    async def version(self) -> str:
        """Such as v1.34.2."""
        kubernetes, client = self._opened()
        return text((await self._ask("get the version", kubernetes.VersionApi(client).get_code) or {}).get("gitVersion"))

    async def close(self) -> None:
        """Close the connections; it can be used again afterwards."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _opened(self) -> tuple[Any, Any]:
        from kubernetes_asyncio import client as kubernetes  # noqa: PLC0415  half a second that only who configured a cluster should pay

        if self._client is None:
            address, token_file, authority = self._access()
            configuration = kubernetes.Configuration(host=address)
            configuration.ssl_ca_cert = str(authority) if authority else None
            configuration.api_key["BearerToken"] = ""

            def current(one: Any) -> None:
                one.api_key["BearerToken"] = f"Bearer {credential(token_file)}"

            configuration.refresh_api_key_hook = current
            try:
                self._client = kubernetes.ApiClient(configuration)
            except (OSError, ssl.SSLError) as error:
                named = authority.name if authority else "the system's certificates"
                raise PermanentError(f"ca_file {named} of cluster {self._cluster.name} cannot be used ({type(error).__name__})") from error
        return kubernetes, self._client

    def _access(self) -> tuple[str, Path, Path | None]:
        cluster = self._cluster
        if not cluster.in_cluster:
            assert cluster.url is not None  # noqa: S101  the settings' own validator holds it
            assert cluster.token_file is not None  # noqa: S101  the settings' own validator holds it
            return cluster.url, cluster.token_file, cluster.ca_file
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port:
            raise PermanentError(f"cluster {cluster.name} is in_cluster, and Backout runs in no pod: KUBERNETES_SERVICE_HOST is not set")
        return f"https://{f'[{host}]' if ':' in host else host}:{port}", MOUNTED / "token", MOUNTED / "ca.crt"

    async def _list(self, what: str, call: Callable[..., Awaitable[Any]], namespace: str, selector: str) -> Sequence[Body]:
        found: list[Body] = []
        following = ""
        for _ in range(MOST_PAGES):
            more = {"_continue": following} if following else {}
            body = await self._ask(what, call, namespace, label_selector=selector, limit=PAGE, **more)
            if body is None:
                raise RefusedError(f"cluster {self._cluster.name}: {what}: there is no such thing")
            found += entries(body.get("items"))
            following = text(part(body, "metadata").get("continue"))
            if not following:
                return found
        raise PermanentError(f"cluster {self._cluster.name}: {what}: more than {PAGE * MOST_PAGES} objects")

    async def _ask(self, what: str, call: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Body | None:
        """The answer's body; None for 404."""
        import aiohttp  # noqa: PLC0415  kept beside the other, which is made of it

        await pacing.turn(f"cluster {self._cluster.name}")
        where = f"cluster {self._cluster.name}: {what}"
        try:
            async with asyncio.timeout(self._timeout):
                answer = await call(*arguments, **named, _preload_content=False, _request_timeout=self._timeout)
                try:
                    raw = await _bounded(answer)
                finally:
                    answer.release()
        except TimeoutError as error:
            raise TemporaryError(f"{where}: no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise PermanentError(f"{where}: TLS failed ({type(error).__name__}); check the certificate or set ca_file") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"{where}: could not be reached ({reason(error)})") from error
        return judge(where, answer.status, raw)


async def _bounded(answer: "aiohttp.ClientResponse") -> bytes:
    read = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        read += chunk
        if len(read) > MAX_BODY:
            raise PermanentError(f"Kubernetes answered more than {MAX_BODY} bytes")
    return bytes(read)


def judge(where: str, status: int, raw: bytes) -> Body | None:
    """The body of a good answer, None for 404; any other answer is one of our errors, in the server's words."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if 200 <= status < 300 and isinstance(body, dict):  # noqa: PLR2004  the range of success
        return body
    words = text(body.get("message"))[:300] if isinstance(body, dict) else ""
    says = f"{where}: answered {status}{f': {words}' if words else ' and no Status'}"
    match status:
        case code if code == _NOT_FOUND and isinstance(body, dict):
            return None
        case code if code == _UNAUTHORIZED:
            raise PermanentError(f"{says}; the token is missing, expired or revoked")
        case code if code == _FORBIDDEN:
            raise RefusedError(says)
        case code if code == _TOO_MANY or code >= 500:  # noqa: PLR2004  the server's own troubles
            raise TemporaryError(says)
        case 410:
            raise TemporaryError(f"{says}; the list changed while it was read page by page")
        case _:
            raise PermanentError(says)


# --- doctor --------------------------------------------------------------------------------------------------------------


async def _check(cluster: Cluster, api: _Api) -> list[Checked]:
    what = f"kubernetes {cluster.name}"
    try:
        lines = [Checked(what=what, well="ok", says=f"{await api.version()} answers")]
        missing = [f"{verb} {resource}" for group, resource in NEEDED for verb in ("get", "list") if not await api.may(verb, group, resource)]
        if missing:
            says = f"may not {', '.join(missing)} in every namespace: where it may not, what runs is unknown"
            lines.append(
                Checked(what=f"{what} rights", well="warn", says=says, fix="Bind the ClusterRole of docs/kubernetes.md, or its rules in each namespace.")
            )
        else:
            lines.append(Checked(what=f"{what} rights", well="ok", says="may get and list pods, workloads and their revisions"))
        if await api.may("get", "", "secrets") or await api.may("delete", "", "pods"):
            says = "may read Secrets or delete pods, which Backout never does: the token is worth more to a thief than it must be"
            lines.append(Checked(what=f"{what} rights", well="warn", says=says, fix="Give it an account with the ClusterRole of docs/kubernetes.md alone."))
    except BackoutError as error:
        return [Checked(what=what, well="no", says=str(error), fix=f"Check url, token_file and ca_file of {cluster.name}.")]
    return lines
