"""A simulated Kubernetes cluster: keeps live objects, applies manifests with three-way merges, refuses what Kubernetes refuses.

Knows the kinds in `KINDS`; any other is a resource the API does not have. Pods and roll-outs are in `workloads`; Applications as
resources of a parent application live in `state` and are reached from here, so that an app-of-apps works like any application.
"""

import base64
import copy
import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from integrations.sandbox.argocd.ignored import Path, with_live
from integrations.sandbox.argocd.objects import CONTROL_PLANE, LAST_APPLIED, TRACKING, Key, annotation, known_spec, stamp
from integrations.sandbox.argocd.settings import Clock, Faults, Profile
from integrations.sandbox.argocd.state import Applications, Versions
from integrations.sandbox.argocd.status import Json
from integrations.sandbox.argocd.writers import SYNC

SERVER: Final = "https://kubernetes.default.svc"
KINDS: Final[dict[tuple[str, str], str]] = {
    ("", "Namespace"): "namespace",
    ("", "ServiceAccount"): "serviceaccount",
    ("", "Secret"): "secret",
    ("", "ConfigMap"): "configmap",
    ("", "PersistentVolumeClaim"): "persistentvolumeclaim",
    ("rbac.authorization.k8s.io", "Role"): "role",
    ("rbac.authorization.k8s.io", "RoleBinding"): "rolebinding",
    ("", "Service"): "service",
    ("apps", "Deployment"): "deployment",
    ("apps", "StatefulSet"): "statefulset",
    ("batch", "Job"): "job",
    ("batch", "CronJob"): "cronjob",
    ("autoscaling", "HorizontalPodAutoscaler"): "horizontalpodautoscaler",
    ("policy", "PodDisruptionBudget"): "poddisruptionbudget",
    ("networking.k8s.io", "NetworkPolicy"): "networkpolicy",
    ("networking.k8s.io", "Ingress"): "ingress",
    ("argoproj.io", "Application"): "application",
    ("argoproj.io", "Rollout"): "rollout",
    ("argoproj.io", "AnalysisTemplate"): "analysistemplate",
}
_APPLICATION: Final = ("argoproj.io", "Application")
_POD: Final = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
_CONTAINER: Final = {"imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_DEPLOYMENT: Final = {
    "progressDeadlineSeconds": 600,
    "replicas": 1,
    "revisionHistoryLimit": 10,
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
}
_GENERATIONS: Final = {"Deployment", "ReplicaSet", "Rollout", "StatefulSet", "Job", "CronJob", "Pod", "Ingress", "NetworkPolicy", "PodDisruptionBudget"}
Watcher = Callable[[str, bool], None]


class RejectedError(Exception):
    """Kubernetes refuses an object; the text is kubectl's."""


class UnknownKindError(Exception):
    """The API has no such resource."""


class Cluster:
    """Live objects by key. `watchers` hear `(application, managed)` on a change: managed = a manifest's object, else something below it."""

    def __init__(self, *, versions: Versions, clock: Clock, faults: Faults, applications: Applications, profile: Profile) -> None:
        self._versions = versions
        self._clock = clock
        self._faults = faults
        self._applications = applications
        self._profile = profile
        self._objects: dict[Key, Json] = {}
        self.watchers: list[Watcher] = []
        self.applied: list[Callable[[Key], None]] = []
        applications.listeners.append(self._application_changed)

    def get(self, key: Key) -> Json | None:
        """A live object with apiVersion, kind, metadata, spec and status."""
        if (key.group, key.kind) == _APPLICATION:
            app = self._applications.get(key.name)
            return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **app} if app and key.namespace == CONTROL_PLANE else None
        return self._objects.get(key)

    @property
    def faults(self) -> Faults:
        """The failures that are played now."""
        return self._faults

    def everything(self) -> dict[Key, Json]:
        """All live objects but Applications."""
        return dict(self._objects)

    def tracked_by(self, application: str) -> dict[Key, Json]:
        """Live objects whose tracking annotation names the application."""
        children = [Key("argoproj.io", "Application", CONTROL_PLANE, app["metadata"]["name"]) for app in self._applications.all()]
        found = {key: live for key in [*self._objects, *children] if (live := self.get(key)) and _tracker(live) == application}
        return dict(sorted(found.items()))

    def owned_by(self, uid: str) -> dict[Key, Json]:
        """Objects with an owner reference to `uid`."""
        return {key: item for key, item in self._objects.items() if any(ref["uid"] == uid for ref in item["metadata"].get("ownerReferences", []))}

    def predicted(self, manifest: Json, namespace: str, *, replace: bool = False) -> Json:
        """What applying the manifest would leave: a three-way merge of last-applied, manifest and live, with defaults filled in."""
        wanted = copy.deepcopy(manifest)
        key = Key.of(wanted, namespace)
        if key.namespace:
            wanted["metadata"]["namespace"] = key.namespace
        live = self.get(key)
        if live is None or replace:
            return _defaulted(wanted)
        last = json.loads(annotation(live, LAST_APPLIED) or "{}")
        return _defaulted(_three_way({name: live[name] for name in live if name not in {"status", "operation"}}, last, wanted))

    def differs(self, manifest: Json, namespace: str, ignored: Sequence[Path] = ()) -> bool:
        """Whether the live object has drifted from the manifest; extra live fields are no drift, nor are `ignored` ones, an absent object is."""
        live = self.get(Key.of(manifest, namespace))
        return live is None or self._comparable(with_live(self.predicted(manifest, namespace), live, ignored)) != self._comparable(live)

    @staticmethod
    def knows(key: Key) -> bool:
        """Whether there is such a kind."""
        return (key.group, key.kind) in KINDS

    def apply(self, manifest: Json, namespace: str, *, dry_run: bool = False, replace: bool = False, server_side: bool = False) -> str:
        """Write a manifest; kubectl's sentence about it. RejectedError or UnknownKindError when it may not be."""
        key = Key.of(manifest, namespace)
        resource = KINDS.get((key.group, key.kind))
        if resource is None:
            raise UnknownKindError(
                f"The Kubernetes API could not find {key.group}/{key.kind} for requested resource {key.namespace}/{key.name}. "
                f'Make sure the "{key.kind}" CRD is installed on the destination cluster.'
            )
        shown = f"{resource}.{key.group}/{key.name}" if key.group else f"{resource}/{key.name}"
        live = self.get(key)
        if key.namespace and not dry_run and key.namespace != CONTROL_PLANE and Key("", "Namespace", "", key.namespace) not in self._objects:
            raise RejectedError(f'namespaces "{key.namespace}" not found')
        words = self._faults.reject(manifest) if self._faults.reject else None
        new = self.predicted(manifest, namespace, replace=replace)
        if live is not None and not dry_run:
            words = words or _immutable(key, live, new)
        if words:
            raise RejectedError(f'error when patching "/dev/shm/{int(hashlib.sha256(key.name.encode()).hexdigest()[:8], 16)}": {words}' if live else words)
        said = "created" if live is None else "replaced" if replace else "configured" if self.differs(manifest, namespace) else "unchanged"
        if server_side:
            said = "serverside-applied"
        if not dry_run:
            wanted = copy.deepcopy(manifest)
            if key.namespace:
                wanted["metadata"]["namespace"] = key.namespace
            last = json.dumps(wanted, sort_keys=True, separators=(",", ":")) + "\n"
            new["metadata"].setdefault("annotations", {})[LAST_APPLIED] = last
            self.put(key, new)
        return f"{shown} {said}{' (dry run)' if dry_run else ''}"

    def put(self, key: Key, item: Json, *, quiet: bool = False) -> Json:
        """Store an object as given, with server metadata; `quiet` leaves the controllers of Kubernetes out."""
        if (key.group, key.kind) == _APPLICATION:
            self._put_application(key, item)
            return item
        old = self._objects.get(key)
        new = copy.deepcopy(item)
        if old is None:
            new["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(self._clock())}
            if key.kind in _GENERATIONS:
                new["metadata"]["generation"] = 1
        else:
            new["metadata"] |= {
                name: old["metadata"][name] for name in ("uid", "creationTimestamp", "generation", "resourceVersion") if name in old["metadata"]
            }
            if "status" in old:
                new.setdefault("status", old["status"])
            if new == old:
                return old
            if key.kind in _GENERATIONS and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if key.kind == "PersistentVolumeClaim":
            new["status"] = {"phase": "Bound"}
        new["metadata"]["resourceVersion"] = self._versions.next()
        self._objects[key] = new
        self._tell(new)
        for applied in [] if quiet else self.applied:
            applied(key)
        return self._objects.get(key, new)

    def delete(self, key: Key) -> None:
        """Remove an object and everything it owns (foreground deletion without the waiting)."""
        if (key.group, key.kind) == _APPLICATION:
            if self._applications.get(key.name):
                self._applications.delete(key.name)
            return
        item = self._objects.pop(key, None)
        if item is None:
            return
        for below in self.owned_by(item["metadata"]["uid"]):
            self.delete(below)
        self._tell(item)
        for applied in self.applied:
            applied(key)

    def application_of(self, item: Json) -> tuple[str, bool]:
        """Application that an object belongs to through its owners ("" for none), and whether the object itself is tracked."""
        at: Json | None = item
        managed = True
        while at is not None:
            if _tracker(at):
                return _tracker(at), managed
            owner = next(iter(at["metadata"].get("ownerReferences", [])), None)
            managed = False
            at = next((found for found in self._objects.values() if owner and found["metadata"]["uid"] == owner["uid"]), None)
        return "", False

    def _tell(self, item: Json) -> None:
        application, managed = self.application_of(item)
        for watcher in self.watchers if application else []:
            watcher(application, managed)

    def _application_changed(self, kind: str, old: Json | None, new: Json) -> None:
        if _tracker(new) and (
            kind != "MODIFIED" or old is None or old["spec"] != new["spec"] or old["metadata"].get("annotations") != new["metadata"].get("annotations")
        ):
            for watcher in self.watchers:
                watcher(_tracker(new), True)

    def _put_application(self, key: Key, item: Json) -> None:
        if self._applications.get(key.name) is None:
            self._applications.create(item["metadata"], item["spec"], by=SYNC)
            return

        def change(new: Json) -> None:
            new["spec"] = copy.deepcopy(item["spec"])
            for part in ("labels", "annotations", "finalizers"):
                new["metadata"][part] = copy.deepcopy(item["metadata"].get(part) or ([] if part == "finalizers" else {}))

        self._applications.write(key.name, change, by=SYNC)

    def _comparable(self, item: Json) -> Json:
        kept = {name: value for name, value in item.items() if name not in {"status", "metadata", "operation"}}
        if item["kind"] == "Application":
            kept["spec"] = known_spec(item["spec"], self._profile)
        notes = {name: value for name, value in (item["metadata"].get("annotations") or {}).items() if name != LAST_APPLIED}
        return kept | {"labels": item["metadata"].get("labels") or {}, "annotations": notes}


def _tracker(item: Json) -> str:
    return annotation(item, TRACKING).partition(":")[0]


def _three_way(live: Json, last: Json, wanted: Json) -> Json:
    merged = {name: value for name, value in live.items() if name not in last or name in wanted}
    for name, value in wanted.items():
        merged[name] = _merged_value(live.get(name), last.get(name), value)
    return merged


def _merged_value(live: Any, last: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        return _three_way(live, last if isinstance(last, dict) else {}, wanted)
    if isinstance(wanted, list) and isinstance(live, list) and _named(wanted) and _named(live):
        now, before = {item["name"]: item for item in live}, {item["name"]: item for item in last or [] if isinstance(item, dict) and "name" in item}
        merged = [_merged_value(now.get(item["name"], {}), before.get(item["name"], {}), item) for item in wanted]
        known = {item["name"] for item in wanted}
        return merged + [item for item in live if item["name"] not in known and item["name"] not in before]
    return copy.deepcopy(wanted)


def _named(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and "name" in item for item in items)


def _defaulted(item: Json) -> Json:
    kind, spec = item["kind"], item.get("spec")
    if kind in {"Deployment", "StatefulSet", "Job"} and isinstance(spec, dict):
        for name, value in (
            _DEPLOYMENT if kind == "Deployment" else {"replicas": 1, "revisionHistoryLimit": 10} if kind == "StatefulSet" else {"backoffLimit": 6}
        ).items():
            spec.setdefault(name, copy.deepcopy(value))
        pod = spec["template"].setdefault("spec", {})
        for name, value in _POD.items():
            pod.setdefault(name, copy.deepcopy(value))
        for container in [*pod.get("containers", []), *pod.get("initContainers", [])]:
            for name, value in _CONTAINER.items():
                container.setdefault(name, copy.deepcopy(value))
            for port in container.get("ports", []):
                port.setdefault("protocol", "TCP")
    if kind == "Service" and isinstance(spec, dict):
        spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports", []):
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
    if kind == "Secret" and (plain := item.pop("stringData", None)):
        item["data"] = (item.get("data") or {}) | {name: base64.b64encode(str(text).encode()).decode() for name, text in plain.items()}
    if kind == "PersistentVolumeClaim" and isinstance(spec, dict):
        spec.setdefault("volumeMode", "Filesystem")
    return item


def _immutable(key: Key, live: Json, new: Json) -> str | None:
    if key.kind == "Deployment" and live["spec"].get("selector") != new["spec"].get("selector"):
        labels, selector = (
            json.dumps(value, separators=(",", ":"), sort_keys=True) for value in (new["spec"]["template"]["metadata"]["labels"], new["spec"]["selector"])
        )
        mismatch = f"spec.template.metadata.labels: Invalid value: {labels}: `selector` does not match template `labels`, "
        matches = all(
            new["spec"]["template"]["metadata"]["labels"].get(name) == value for name, value in new["spec"]["selector"].get("matchLabels", {}).items()
        )
        return f'Deployment.apps "{key.name}" is invalid: [{"" if matches else mismatch}spec.selector: Invalid value: {selector}: field is immutable]'
    if key.kind in {"ConfigMap", "Secret"} and live.get("immutable") and any(live.get(part) != new.get(part) for part in ("data", "binaryData")):
        return f'{key.kind} "{key.name}" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    if key.kind == "Job" and live["spec"].get("template") != new["spec"].get("template"):
        return f'Job.batch "{key.name}" is invalid: spec.template: Invalid value: field is immutable'
    if key.kind == "PersistentVolumeClaim":
        free = {"resources", "volumeAttributesClassName"}
        if {name: value for name, value in live["spec"].items() if name not in free} != {
            name: value for name, value in new["spec"].items() if name not in free
        }:
            return (
                f'PersistentVolumeClaim "{key.name}" is invalid: spec: Forbidden: spec is immutable after creation '
                "except resources.requests and volumeAttributesClassName for bound claims"
            )
    if key.kind == "StatefulSet":
        free = {"replicas", "template", "updateStrategy", "minReadySeconds", "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit", "ordinals"}
        if {name: value for name, value in live["spec"].items() if name not in free} != {
            name: value for name, value in new["spec"].items() if name not in free
        }:
            words = "updates to statefulset spec for fields other than"
            return f'StatefulSet.apps "{key.name}" is invalid: spec: Forbidden: {words} {sorted(free)} are forbidden'
    return None
