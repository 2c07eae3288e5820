"""Shapes: keys of Kubernetes objects, Argo CD's annotations, and an Application as the API writes it.

Drops what the server's types do not know, keeps the zero structs that Go never omits (contract 2.1). Holds no state.
"""

import copy
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from integrations.sandbox.argocd.settings import Profile
from integrations.sandbox.argocd.status import Json

TRACKING: Final = "argocd.argoproj.io/tracking-id"
REFRESH: Final = "argocd.argoproj.io/refresh"
HYDRATE: Final = "argocd.argoproj.io/hydrate"
SKIP_RECONCILE: Final = "argocd.argoproj.io/skip-reconcile"
SYNC_OPTIONS: Final = "argocd.argoproj.io/sync-options"
DELETION_APPROVED: Final = "argocd.argoproj.io/deletion-approved"
HOOK: Final = "argocd.argoproj.io/hook"
WAVE: Final = "argocd.argoproj.io/sync-wave"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
RESOURCES_FINALIZER: Final = "resources-finalizer.argocd.argoproj.io"
CONTROL_PLANE: Final = "argocd"
CLUSTER_SCOPED: Final = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "CustomResourceDefinition", "PriorityClass", "StorageClass"}
CATALOGUE: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.annotations",
    "metadata.labels",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "spec",
    "spec.destination",
    "spec.source",
    "spec.sources",
    "spec.sourceHydrator",
    "spec.syncPolicy",
    "status.sourceHydrator",
    "status.summary",
    "status.sync.status",
    "status.sync.revision",
    "status.health",
    "status.resources",
    "status.operationState.startedAt",
    "status.operationState.finishedAt",
    "status.operationState.phase",
    "operation.sync",
    "status.operationState.operation.sync",
)
_STATUS_ORDER: Final = [
    "resources",
    "sync",
    "health",
    "history",
    "conditions",
    "reconciledAt",
    "operationState",
    "sourceType",
    "summary",
    "resourceHealthSource",
    "sourceTypes",
    "controllerNamespace",
    "sourceHydrator",
]
_SOURCE: Final = dict.fromkeys(["repoURL", "path", "chart", "targetRevision", "ref", "name", "tagPrefix", "helm", "kustomize", "directory", "plugin"])
_SPEC: Final[Json] = {
    "source": _SOURCE,
    "destination": dict.fromkeys(["server", "name", "namespace"]),
    "project": None,
    "syncPolicy": {
        "automated": dict.fromkeys(["prune", "selfHeal", "allowEmpty", "enabled"]),
        "syncOptions": None,
        "retry": dict.fromkeys(["limit", "backoff", "refresh"]),
        "managedNamespaceMetadata": None,
    },
    "ignoreDifferences": None,
    "info": None,
    "revisionHistoryLimit": None,
    "sources": None,
    "sourceHydrator": None,
}


class Key(NamedTuple):
    """Identity of a live object; cluster-scoped ones have an empty namespace."""

    group: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Json, default_namespace: str = "") -> "Key":
        """Key of a manifest that will land in `default_namespace` unless it says another."""
        group = manifest["apiVersion"].rpartition("/")[0]
        kind, metadata = manifest["kind"], manifest["metadata"]
        return cls(group, kind, "" if kind in CLUSTER_SCOPED else metadata.get("namespace") or default_namespace, metadata["name"])

    def shown(self) -> str:
        """`apps/Deployment/web`, as operation messages name it."""
        return f"{self.group}/{self.kind}/{self.name}"


def stamp(now: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def annotation(item: Json, name: str) -> str:
    """Value of an annotation, empty when absent."""
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def options(item: Json) -> set[str]:
    """Sync options that a manifest or live object carries itself."""
    return {part.strip() for part in annotation(item, SYNC_OPTIONS).split(",") if part.strip()}


def sources(holder: Json) -> list[Json]:
    """Sources of a spec, a history entry or an operation's `sync`: several, or the one."""
    many = holder.get("sources")
    return list(many) if many else [holder["source"]] if holder.get("source", {}).get("repoURL") else []


def is_automated(app: Json) -> bool:
    """AUTO: auto-sync is on (an absent `enabled` means on)."""
    automated = app["spec"].get("syncPolicy", {}).get("automated")
    return automated is not None and automated.get("enabled", True) is not False


def is_deleting(app: Json) -> bool:
    """Deletion was asked for and finalizers hold the object."""
    return "deletionTimestamp" in app["metadata"]


def known_spec(spec: Json, profile: Profile) -> Json:
    """The spec as the server stores it: unknown fields dropped, zero values omitted."""
    kept = _known(spec, _SPEC)
    policy = kept.get("syncPolicy", {})
    automated = policy.get("automated")
    if automated is not None:
        for flag in ("prune", "selfHeal", "allowEmpty"):
            if automated.get(flag) is False:
                del automated[flag]
        if not profile.automated_enabled or automated.get("enabled") is None:
            automated.pop("enabled", None)
    kept["sources"] = [_known(source, _SOURCE) for source in kept.get("sources") or []]
    for name in ("sources", "info", "ignoreDifferences"):
        if not kept.get(name):
            kept.pop(name, None)
    if not policy.get("syncOptions", True):
        del policy["syncOptions"]
    kept.setdefault("destination", {})
    kept.setdefault("project", "")
    return kept


def _known(value: Json, shape: Json) -> Json:
    kept: Json = {}
    for name, below in shape.items():
        found = value.get(name)
        if found is None or found == "":
            continue
        kept[name] = _known(found, below) if isinstance(below, dict) and isinstance(found, dict) else copy.deepcopy(found)
    return kept


def no_status() -> Json:
    """Status of an application that no controller has seen yet."""
    return {"sync": {"status": "", "comparedTo": {"source": {"repoURL": ""}, "destination": {}}}, "health": {}, "summary": {}, "sourceHydrator": {}}


def wire(app: Json, health: dict[tuple[str, str, str, str], Json] | None = None) -> Json:
    """An application as the API answers it: no kind, fixed order, per-resource health only where `health` is given (GET and watch)."""
    app = copy.deepcopy(app)
    status = app["status"]
    for row in status.get("resources", []) if health else []:
        found = (health or {}).get((row.get("group", ""), row["kind"], row.get("namespace", ""), row["name"]))
        if found:
            row["health"] = found
    told = {"metadata": app["metadata"], "spec": app["spec"], "status": {name: status[name] for name in _STATUS_ORDER if name in status}}
    if "operation" in app:
        told["operation"] = app["operation"]
    return told


def project_fields(item: Json, fields: str, profile: Profile) -> Json:
    """A list item reduced to catalogued `fields` (`items.` prefixes, a leading `-` excludes); anything else vanishes silently."""
    catalogue = [*CATALOGUE, "spec.project"] if profile.list_spec_project else list(CATALOGUE)
    asked = {name.strip().removeprefix("items.") for name in fields.removeprefix("-").split(",")}
    wanted = [name for name in catalogue if (name in asked) != fields.startswith("-")]
    kept: Json = {}
    for name in wanted:
        origin = "status.operationState.syncResult" if name == "status.operationState.operation.sync" else name
        value = _at(item, origin.split("."))
        if value not in (None, {}, []):
            _put(kept, name.split("."), value)
    return kept


def prune_paths(message: Json, fields: str) -> Json:
    """A watch message reduced to the given dotted paths, or without them when `fields` starts with `-`."""
    paths = [name.strip().split(".") for name in fields.removeprefix("-").split(",")]
    if fields.startswith("-"):
        left = copy.deepcopy(message)
        for path in paths:
            parent = _at(left, path[:-1])
            if isinstance(parent, dict):
                parent.pop(path[-1], None)
        return left
    kept: Json = {}
    for path in paths:
        value = _at(message, path)
        if value is not None:
            _put(kept, path, value)
    return kept


def _at(item: Any, path: Iterable[str]) -> Any:
    for part in path:
        if not isinstance(item, dict) or part not in item:
            return None
        item = item[part]
    return copy.deepcopy(item) if not isinstance(item, dict) else item


def _put(item: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        item = item.setdefault(part, {})
    if isinstance(item.get(path[-1]), dict) and isinstance(value, dict):
        item[path[-1]] = copy.deepcopy(value) | item[path[-1]]
    else:
        item[path[-1]] = copy.deepcopy(value)
