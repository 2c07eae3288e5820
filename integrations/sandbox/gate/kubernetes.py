"""The clusters behind a sandbox Spinnaker: Deployments with numbered revisions, ReplicaSets with traffic, other objects (contract 5.4, 7.1).

A revision is a ReplicaSet (a ControllerRevision for the other kinds); undoing makes the old one the newest, under a new number. What Clouddriver makes
of it is told by `manifest`, `managers` and `groups`. `images(image)` gives the digest that a pod of the image runs, None for one made of its name.
"""

import copy
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.timeline import Timeline

REVISION: Final = "deployment.kubernetes.io/revision"
HISTORY: Final = "deployment.kubernetes.io/revision-history"
UNDOABLE: Final = ("deployment", "statefulSet", "daemonSet")
_KINDS: Final = {
    "deployment": ("apps/v1", "Deployment"),
    "statefulset": ("apps/v1", "StatefulSet"),
    "daemonset": ("apps/v1", "DaemonSet"),
    "replicaset": ("apps/v1", "ReplicaSet"),
    "configmap": ("v1", "ConfigMap"),
    "secret": ("v1", "Secret"),
    "service": ("v1", "Service"),
}
ImageDigest = Callable[[str], str | None]
_SPACE: Final = uuid.UUID("5b6f7a0e-6c1d-5f3a-9f0e-2f1b6d0c9a11")


class KubectlError(Exception):
    """An operation failed; the words are Clouddriver's, with kubectl's in them."""


@dataclass(slots=True, kw_only=True)
class Revision:
    """One pod template that a workload had: its ReplicaSet, the number it has now and those it had before."""

    name: str
    number: int
    template: Json
    created: datetime
    earlier: list[int] = field(default_factory=list)

    @property
    def images(self) -> list[str]:
        """The images of its containers."""
        return [str(one.get("image", "")) for one in self.template.get("spec", {}).get("containers", [])]


@dataclass(slots=True, kw_only=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet. `since` is when its newest rollout began."""

    account: str
    namespace: str
    kind: str
    name: str
    application: str
    replicas: int
    since: datetime
    revisions: list[Revision] = field(default_factory=list)
    before: Revision | None = None  # what serves while the newest one is not ready
    paused: bool = False
    labels: Json = field(default_factory=dict)
    annotations: Json = field(default_factory=dict)
    generation: int = 0
    limit: int = 10  # revisionHistoryLimit

    @property
    def live(self) -> Revision:
        """The newest revision."""
        return max(self.revisions, key=lambda one: one.number)


@dataclass(slots=True, kw_only=True)
class VersionedSet:
    """A ReplicaSet that Spinnaker itself numbers (`web-v003`), switched by traffic."""

    account: str
    namespace: str
    name: str
    cluster: str
    application: str
    sequence: int
    template: Json
    replicas: int
    since: datetime
    services: list[str]
    traffic: bool = True


class Kubernetes:
    """All clusters of one Spinnaker."""

    def __init__(self, timeline: Timeline, ready_after: float) -> None:
        self._timeline = timeline
        self._ready_after = ready_after
        self._never: set[str] = set()
        self._overdue: set[str] = set()
        self._version = 1000
        self.images: ImageDigest = lambda _image: None
        self.workloads: list[Workload] = []
        self.sets: list[VersionedSet] = []
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.changed: list[Callable[[], None]] = []

    # --- what a person or a cluster does -----------------------------------------------------------------------------------

    def runs(
        self,
        application: str,
        *,
        account: str,
        namespace: str,
        name: str,
        image: str,
        kind: str = "deployment",
        replicas: int = 2,
        template: Json | None = None,
        annotations: Json | None = None,
        at_once: bool = True,
    ) -> Workload:
        """A workload runs this image from now on, as if applied by a deploy; `at_once`: its pods are ready already. `template` replaces the pod template."""
        body = template or {"spec": {"containers": [{"image": image, "name": name}]}}
        workload = self._workload(account, namespace, kind, name)
        new = workload is None
        if workload is None:
            workload = Workload(
                account=account, namespace=namespace, kind=kind, name=name, application=application, replicas=replicas, since=self._timeline.now
            )
        workload.replicas = replicas
        workload.annotations |= annotations or {}
        self._roll(workload, body)
        if new:
            self.workloads.append(workload)
        if at_once:
            workload.since = self._timeline.now - timedelta(days=1)
        return workload

    def never_becomes_ready(self, image: str) -> None:
        """Pods of this image never get ready, and nobody says that it takes too long."""
        self._never.add(image)

    def exceeds_its_deadline(self, image: str) -> None:
        """A rollout of this image fails with ProgressDeadlineExceeded."""
        self._overdue.add(image)

    def becomes_well(self, image: str) -> None:
        """End of the two above."""
        self._never.discard(image)
        self._overdue.discard(image)

    def is_paused(self, workload: Workload, *, paused: bool = True) -> None:
        """Somebody paused the rollout."""
        self._tell()
        workload.paused = paused

    def has(self, account: str, namespace: str, kind: str, name: str, body: Json | None = None) -> None:
        """Another object exists: a ConfigMap, a Secret, a Service."""
        self.objects[account, namespace, f"{kind} {name}".lower()] = body or {}

    def runs_versioned(self, application: str, *, account: str, namespace: str, cluster: str, image: str, service: str, replicas: int = 2) -> VersionedSet:
        """The next ReplicaSet of a cluster that Spinnaker numbers, red/black: it takes the traffic, those before keep running without."""
        before = [one for one in self.sets if (one.account, one.namespace, one.cluster) == (account, namespace, f"replicaSet {cluster}")]
        for one in before:
            one.traffic = False
        sequence = max((one.sequence for one in before), default=-1) + 1
        made = VersionedSet(
            account=account,
            namespace=namespace,
            name=f"{cluster}-v{sequence:03d}",
            cluster=f"replicaSet {cluster}",
            application=application,
            sequence=sequence,
            template={"spec": {"containers": [{"image": image, "name": cluster}]}},
            replicas=replicas,
            since=self._timeline.now - timedelta(days=1),
            services=[f"service {service}"],
        )
        self._tell()
        self.sets.append(made)
        return made

    def forgets_revisions(self, workload: Workload, keep: int) -> None:
        """Only the newest `keep` revisions are left, as `revisionHistoryLimit` or a cleanup does."""
        self._tell()
        workload.revisions = sorted(workload.revisions, key=lambda one: one.number)[-keep:]

    def is_deleted(self, workload: Workload) -> None:
        """Somebody deleted the workload."""
        self._tell()
        self.workloads.remove(workload)

    # --- operations --------------------------------------------------------------------------------------------------------

    def deploy(self, account: str, manifest: Json, application: str, namespace: str = "") -> None:
        """Apply a manifest: a workload with another template gets a new revision, anything else is stored."""
        about = manifest.get("metadata", {})
        kind, name = str(manifest.get("kind", "")), str(about.get("name", ""))
        place = namespace or str(about.get("namespace", "default"))
        low = kind[:1].lower() + kind[1:]
        if low not in UNDOABLE:
            self.has(account, place, kind, name, copy.deepcopy(manifest))
            return
        spec = manifest.get("spec", {})
        workload = self._workload(account, place, low, name)
        new = workload is None
        if workload is None:
            workload = Workload(account=account, namespace=place, kind=low, name=name, application=application, replicas=1, since=self._timeline.now)
        workload.labels |= about.get("labels") or {}
        workload.annotations |= about.get("annotations") or {}
        workload.replicas = int(spec.get("replicas", workload.replicas))
        if spec.get("template") or new:
            self._roll(workload, copy.deepcopy(spec.get("template") or {}))
        if new:
            self.workloads.append(workload)

    def undo(self, account: str, namespace: str, name: str, *, revision: str | None, back: int | None) -> None:
        """`kubectl rollout undo`: `back` wins over `revision`, as in Clouddriver."""
        kind, workload = self._target(account, namespace, name, "undo rollout", UNDOABLE)
        numbers = sorted(one.number for one in workload.revisions)
        if back is not None:
            if back >= len(numbers):
                raise KubectlError(f"There are {len(numbers)} revision(s) in total, cannot rollback {back}")
            wanted = numbers[-1 - back]
        else:
            wanted = int(revision) if revision is not None and revision.isdigit() else -1
        failed = f"Failed to undo rollout {kind}/{workload.name} from {namespace}: error: "
        if workload.paused:
            raise KubectlError(f"{failed}cannot rollback a paused {kind}; resume it first with 'kubectl rollout resume' and try again")
        found = next((one for one in workload.revisions if one.number == wanted), None)
        if found is None:
            raise KubectlError(f"{failed}unable to find specified revision {wanted} in history")
        if found is workload.live:
            return  # "skipped rollback (current template already matches revision N)"
        self._roll(workload, found.template)

    def scale(self, account: str, namespace: str, name: str, replicas: int) -> None:
        """Another number of replicas."""
        self._tell()
        versioned = self._set(account, namespace, name)
        if versioned is not None:
            if replicas > versioned.replicas:
                versioned.since = self._timeline.now
            versioned.replicas = replicas
            return
        _, workload = self._target(account, namespace, name, "scaling", (*UNDOABLE, "replicaSet"))
        if replicas > workload.replicas:
            workload.since = self._timeline.now
        workload.replicas = replicas

    def switch(self, account: str, namespace: str, name: str, *, on: bool) -> None:
        """Give a ReplicaSet the traffic of its services, or take it."""
        versioned = self._set(account, namespace, name)
        if versioned is None:
            _, workload = self._target(account, namespace, name, "traffic", (*UNDOABLE, "replicaSet"))
            workload.generation += 1
            return
        self._tell()
        versioned.traffic = on

    def pause(self, account: str, namespace: str, name: str, *, paused: bool) -> None:
        """`kubectl rollout pause` and `resume`."""
        _, workload = self._target(account, namespace, name, "pause rollout" if paused else "resume rollout", ("deployment",))
        self.is_paused(workload, paused=paused)

    def restart(self, account: str, namespace: str, name: str, stamp: str) -> None:
        """`kubectl rollout restart`: the same template with a stamp, so a new revision."""
        _, workload = self._target(account, namespace, name, "rolling restart", UNDOABLE)
        template = copy.deepcopy(workload.live.template)
        template.setdefault("metadata", {}).setdefault("annotations", {})["kubectl.kubernetes.io/restartedAt"] = stamp
        self._roll(workload, template)

    def delete(self, account: str, namespace: str, name: str) -> None:
        """Delete the object of that name, `kind name`."""
        workload = self._named(account, namespace, name)
        if workload is not None:
            self.is_deleted(workload)
            return
        versioned = self._set(account, namespace, name)
        if versioned is not None:
            self._tell()
            self.sets.remove(versioned)
            return
        self.objects.pop((account, namespace, name.lower()), None)

    def _roll(self, workload: Workload, template: Json) -> None:
        self._tell()
        same = next((one for one in workload.revisions if one.template == template), None)
        if same is not None and same is workload.live:
            return
        if workload.revisions and self._ready(workload.live.images, workload.since):
            workload.before = workload.live
        number = max((one.number for one in workload.revisions), default=0) + 1
        if same is not None:
            same.earlier.append(same.number)
            same.number = number
        else:
            stamp = _short(json.dumps(template, sort_keys=True), 10)
            workload.revisions.append(Revision(name=f"{workload.name}-{stamp}", number=number, template=copy.deepcopy(template), created=self._timeline.now))
        workload.revisions = sorted(workload.revisions, key=lambda one: one.number)[-workload.limit - 1 :]
        workload.generation += 1
        self._version += 1
        workload.since = self._timeline.now

    def _tell(self) -> None:
        for listener in self.changed:
            listener()

    # --- what can be read --------------------------------------------------------------------------------------------------

    def _workload(self, account: str, namespace: str, kind: str, name: str) -> Workload | None:
        wanted = (account, namespace, kind.lower(), name)
        return next((one for one in self.workloads if (one.account, one.namespace, one.kind.lower(), one.name) == wanted), None)

    def _named(self, account: str, namespace: str, name: str) -> Workload | None:
        kind, _, rest = name.partition(" ")
        return self._workload(account, namespace, kind, rest)

    def _set(self, account: str, namespace: str, name: str) -> VersionedSet | None:
        kind, _, rest = name.partition(" ")
        if kind.lower() != "replicaset":
            return None
        return next((one for one in self.sets if (one.account, one.namespace, one.name) == (account, namespace, rest)), None)

    def _target(self, account: str, namespace: str, name: str, what: str, kinds: tuple[str, ...]) -> tuple[str, Workload]:
        workload = self._named(account, namespace, name)
        kind = next((one for one in kinds if one.lower() == name.partition(" ")[0].lower()), None)
        if kind is None:
            raise KubectlError(f"Resource with {name} does not support {what}")
        if workload is None:
            raise KubectlError(f"Failed to get history of {name.replace(' ', '/')} from {namespace}: Error from server (NotFound): {kind}s.apps not found")
        return kind, workload

    def spread(self, workload: Workload) -> list[tuple[Revision, int, int]]:
        """(revision, pods, ready pods) of each revision that has pods: while the newest is not ready, the one before keeps serving beside one new pod."""
        live = workload.live
        if self._ready(live.images, workload.since):
            return [(live, workload.replicas, workload.replicas)]
        before = workload.before
        if before is None or before is live or before not in workload.revisions:
            return [(live, workload.replicas, 0)]
        return [(live, min(1, workload.replicas), 0), (before, workload.replicas, workload.replicas)]

    def serving(self, workload: Workload) -> list[tuple[str, int]]:
        """(image, ready pods) of all that serves."""
        return [(image, ready) for revision, _, ready in self.spread(workload) if ready for image in revision.images]

    def _pods(self, workload: Workload, revision: Revision) -> list[tuple[str, bool]]:
        """(name, ready) of the pods of a revision."""
        count, ready = next(((count, ready) for one, count, ready in self.spread(workload) if one is revision), (0, 0))
        stem = revision.name if workload.kind == "deployment" else workload.name
        return [(f"{stem}-{_short(f'{stem}/{number}/{revision.number}', 5)}", number < ready) for number in range(count)]

    def _ready(self, images: list[str], since: datetime) -> bool:
        if any(image in self._never | self._overdue for image in images):
            return False
        return self._timeline.now >= since + timedelta(seconds=self._ready_after)

    def manifest(self, account: str, namespace: str, name: str) -> Json | None:
        """What Clouddriver reads live of `kind name`; None when there is no such thing."""
        workload = self._named(account, namespace, name)
        if workload is not None:
            return self._of_workload(workload)
        for one in self.workloads:
            for revision in one.revisions:
                if (one.account, one.namespace, f"replicaset {revision.name}") == (account, namespace, name.lower()) and one.kind == "deployment":
                    return self._of_revision(one, revision)
        versioned = self._set(account, namespace, name)
        if versioned is not None:
            return self._of_set(versioned)
        pod = self._pod(account, namespace, name)
        if pod is not None:
            return pod
        found = self.objects.get((account, namespace, name.lower()))
        if found is None:
            return None
        kind, _, rest = name.partition(" ")
        version, proper = _KINDS.get(kind.lower(), ("v1", kind[:1].upper() + kind[1:]))
        body = {"apiVersion": version, "kind": proper, **found}
        plain = {"annotations": {}, "creationTimestamp": "2026-01-01T00:00:00Z", "name": rest, "namespace": namespace, "uid": _uid(namespace, proper, rest)}
        body["metadata"] = {**plain, **body.get("metadata", {})}
        return _read(account, namespace, name, body, {}, [])

    def _pod(self, account: str, namespace: str, name: str) -> Json | None:
        for workload in self.workloads:
            if (workload.account, workload.namespace) != (account, namespace):
                continue
            for revision, _, _ in self.spread(workload):
                for pod, ready in self._pods(workload, revision):
                    if f"pod {pod}" == name.lower():
                        return self._of_pod(workload, revision, pod, ready=ready)
        return None

    def _of_pod(self, workload: Workload, revision: Revision, name: str, *, ready: bool) -> Json:
        owner = ("ReplicaSet", revision.name) if workload.kind == "deployment" else (_KINDS[workload.kind.lower()][1], workload.name)
        statuses = []
        for container in revision.template.get("spec", {}).get("containers", []):
            image = str(container.get("image", ""))
            head, at, digest = image.partition("@")
            known = digest if at else self.images(image) or f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
            statuses.append({"image": image, "imageID": f"{head if at else artifact(image)['name']}@{known}", "name": container.get("name"), "ready": ready})
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self._about(workload.namespace, name, "Pod", workload.since, owner=owner, annotations=_moniker(workload)),
            "spec": copy.deepcopy(revision.template.get("spec", {})),
            "status": {
                "conditions": [{"status": "True" if ready else "False", "type": "Ready"}],
                "containerStatuses": statuses,
                "phase": "Running",
            },
        }
        moniker = {"app": workload.application, "cluster": f"{workload.kind} {workload.name}"}
        return _read(workload.account, workload.namespace, f"pod {name}", body, moniker, revision.images, stable=ready)

    def _about(
        self, namespace: str, name: str, kind: str, created: datetime, *, owner: tuple[str, str] | None = None, annotations: Json, generation: int = 1
    ) -> Json:
        about: Json = {
            "annotations": annotations,
            "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": generation,
            "name": name,
            "namespace": namespace,
            "resourceVersion": str(self._version + generation),
            "uid": _uid(namespace, kind, name),
        }
        if owner is not None:
            uid = _uid(namespace, *owner)
            about["ownerReferences"] = [{"apiVersion": "apps/v1", "controller": True, "kind": owner[0], "name": owner[1], "uid": uid}]
        return about

    def _of_workload(self, workload: Workload) -> Json:
        live = workload.live
        name = f"{workload.kind} {workload.name}"
        version, kind = _KINDS[workload.kind.lower()]
        ready = self._ready(live.images, workload.since)
        overdue = any(image in self._overdue for image in live.images)
        annotations = {**({REVISION: str(live.number)} if workload.kind == "deployment" else {}), **_moniker(workload), **workload.annotations}
        first = min(one.created for one in workload.revisions)
        metadata = self._about(workload.namespace, workload.name, kind, first, annotations=annotations, generation=workload.generation)
        metadata |= {"labels": workload.labels} if workload.labels else {}
        spread = self.spread(workload)
        count, up = sum(one[1] for one in spread), sum(one[2] for one in spread)
        status: Json = {
            "availableReplicas": up,
            "conditions": [_progress(live, ready=ready, overdue=overdue)],
            "observedGeneration": workload.generation,
            "readyReplicas": up,
            "replicas": count,
            "updatedReplicas": spread[0][1],
        }
        spec = {"paused": workload.paused, "replicas": workload.replicas, "revisionHistoryLimit": workload.limit, "template": live.template}
        moniker = {"app": workload.application, "cluster": name}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}
        return _read(workload.account, workload.namespace, name, body, moniker, live.images, stable=ready, overdue=overdue, paused=workload.paused)

    def _of_revision(self, workload: Workload, revision: Revision) -> Json:
        annotations = {REVISION: str(revision.number), **({HISTORY: ",".join(map(str, revision.earlier))} if revision.earlier else {}), **_moniker(workload)}
        pods = self._pods(workload, revision)
        ready = sum(one[1] for one in pods)
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": self._about(
                workload.namespace, revision.name, "ReplicaSet", revision.created, owner=("Deployment", workload.name), annotations=annotations
            ),
            "spec": {"replicas": len(pods), "template": revision.template},
            "status": {"observedGeneration": 1, "readyReplicas": ready, "replicas": len(pods)},
        }
        moniker = {"app": workload.application, "cluster": f"{workload.kind} {workload.name}", "sequence": revision.number}
        name = f"replicaSet {revision.name}"
        return _read(workload.account, workload.namespace, name, body, moniker, revision.images, stable=ready == len(pods))

    def _of_set(self, versioned: VersionedSet) -> Json:
        images = [str(one["image"]) for one in versioned.template["spec"]["containers"]]
        annotations = {
            "moniker.spinnaker.io/application": versioned.application,
            "moniker.spinnaker.io/cluster": versioned.cluster,
            "moniker.spinnaker.io/sequence": str(versioned.sequence),
            "traffic.spinnaker.io/load-balancers": json.dumps(versioned.services),
        }
        ready = self._ready(images, versioned.since)
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                **self._about(versioned.namespace, versioned.name, "ReplicaSet", versioned.since, annotations=annotations),
                "labels": self.traffic_labels(versioned),
            },
            "spec": {"replicas": versioned.replicas, "template": versioned.template},
            "status": {"observedGeneration": 1, "readyReplicas": versioned.replicas if ready else 0, "replicas": versioned.replicas},
        }
        moniker = {"app": versioned.application, "cluster": versioned.cluster, "sequence": versioned.sequence}
        return _read(versioned.account, versioned.namespace, f"replicaSet {versioned.name}", body, moniker, images, stable=ready)

    @staticmethod
    def traffic_labels(versioned: VersionedSet) -> Json:
        """The labels by which its services select it, while it has traffic."""
        return {f"lb.{service.removeprefix('service ')}": "true" for service in versioned.services} if versioned.traffic else {}

    def managers(self, application: str) -> list[Json]:
        """Deployments and their ReplicaSets, as Clouddriver's cache has them."""
        found = []
        for one in self.workloads:
            if one.application != application or one.kind != "deployment" or not one.revisions:
                continue
            name = f"{one.kind} {one.name}"
            moniker = {"app": application, "cluster": name}
            place = {"account": one.account, "namespace": one.namespace, "region": one.namespace}
            groups = [
                {**place, "moniker": {**moniker, "sequence": revision.number}, "name": f"replicaSet {revision.name}"}
                for revision in sorted(one.revisions, key=lambda revision: revision.number)
            ]
            created = round(min(revision.created for revision in one.revisions).timestamp() * 1000)
            about = {"apiVersion": "apps/v1", "cloudProvider": "kubernetes", "createdTime": created, "displayName": one.name, "kind": one.kind}
            found.append({**place, **about, "labels": one.labels, "moniker": moniker, "name": name, "serverGroups": groups})
        return found

    def groups(self, application: str) -> list[Json]:
        """ReplicaSets as server groups, in the shape that all providers share."""
        found = []
        for one in self.workloads:
            if one.application != application or one.kind != "deployment":
                continue
            for revision in one.revisions:
                pods = self._pods(one, revision)
                up = sum(ready for _, ready in pods)
                managers = [{"account": one.account, "location": one.namespace, "name": f"{one.kind} {one.name}"}]
                moniker = {"app": application, "cluster": f"{one.kind} {one.name}", "sequence": revision.number}
                name = f"replicaSet {revision.name}"
                made = _group(one, name, revision.images, moniker, len(pods), up, revision.created, disabled=False, managers=managers)
                instances = [{"healthState": "Up" if ready else "Starting", "name": f"pod {pod}", "zone": one.namespace} for pod, ready in pods]
                found.append({**made, "instances": instances})
        for each in self.sets:
            if each.application == application:
                images = [str(container["image"]) for container in each.template["spec"]["containers"]]
                up = each.replicas if self._ready(images, each.since) else 0
                moniker = {"app": application, "cluster": each.cluster, "sequence": each.sequence}
                made = _group(each, f"replicaSet {each.name}", images, moniker, each.replicas, up, each.since, disabled=not each.traffic, managers=[])
                found.append({**made, "loadBalancers": each.services})
        return found


def _short(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _uid(namespace: str, kind: str, name: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{namespace}/{kind}/{name}"))


def _moniker(workload: Workload) -> Json:
    return {"moniker.spinnaker.io/application": workload.application, "moniker.spinnaker.io/cluster": f"{workload.kind} {workload.name}"}


def _progress(live: Revision, *, ready: bool, overdue: bool) -> Json:
    about = f'ReplicaSet "{live.name}"'
    if overdue:
        return {"message": f"{about} has timed out progressing.", "reason": "ProgressDeadlineExceeded", "status": "False", "type": "Progressing"}
    if ready:
        return {"message": f"{about} has successfully progressed.", "reason": "NewReplicaSetAvailable", "status": "True", "type": "Progressing"}
    return {"message": f"{about} is progressing.", "reason": "ReplicaSetUpdated", "status": "True", "type": "Progressing"}


def _group(
    where: Workload | VersionedSet, name: str, images: list[str], moniker: Json, count: int, up: int, created: datetime, *, disabled: bool, managers: list[Json]
) -> Json:
    counts = {"down": 0, "outOfService": 0, "starting": count - up, "total": count, "unknown": 0, "up": up}
    return {
        "account": where.account,
        "buildInfo": {"images": images},
        "capacity": {"desired": count, "max": count, "min": count},
        "cloudProvider": "kubernetes",
        "cluster": moniker["cluster"],
        "createdTime": round(created.timestamp() * 1000),
        "disabled": disabled,
        "instanceCounts": counts,
        "isDisabled": disabled,
        "labels": {},
        "loadBalancers": [],
        "moniker": moniker,
        "name": name,
        "namespace": where.namespace,
        "region": where.namespace,
        "serverGroupManagers": managers,
        "type": "kubernetes",
    }


def _read(
    account: str, namespace: str, name: str, body: Json, moniker: Json, images: list[str], *, stable: bool = True, overdue: bool = False, paused: bool = False
) -> Json:
    waiting = {"message": "Waiting for all replicas to be updated", "state": False}
    yes, no = {"message": None, "state": True}, {"message": None, "state": False}
    status = {
        "available": yes,
        "failed": {"message": "Deployment exceeded its progress deadline", "state": True} if overdue else no,
        "paused": {"message": "Deployment is paused", "state": True} if paused else no,
        "stable": yes if stable else waiting,
    }
    return {
        "account": account,
        "artifacts": [artifact(image) for image in images],
        "events": [],
        "location": namespace,
        "manifest": copy.deepcopy(body),
        "metrics": [],
        "moniker": moniker,
        "name": name,
        "status": status,
        "warnings": [],
    }


def artifact(image: str) -> Json:
    """A container image as a `docker/image` artifact. The version is what stands behind `@`, else behind the tag's colon."""
    name, at, version = image.partition("@")
    if not at:
        head, colon, tail = image.rpartition(":")
        name, version = (head, tail) if colon and "/" not in tail else (image, "")
    return {"customKind": False, "metadata": {}, "name": name, "reference": image, "type": "docker/image", "version": version}
