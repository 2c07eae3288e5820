"""Compares what Git wants with what lives in the cluster: sync status, the list of resources, health, images, the resource tree.

Reads only. When to compare and what to do about the result is the controller's.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from integrations.sandbox.argocd import health
from integrations.sandbox.argocd.cluster import Cluster
from integrations.sandbox.argocd.ignored import paths_for
from integrations.sandbox.argocd.objects import HOOK, WAVE, Key, annotation, sources
from integrations.sandbox.argocd.repositories import RenderError, Repositories
from integrations.sandbox.argocd.rollouts import REVISION as ROLLOUT_REVISION
from integrations.sandbox.argocd.status import Json
from integrations.sandbox.argocd.workloads import NODE

T = TypeVar("T")

COMPARISON_ERROR: Final = "ComparisonError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Rendered state of some sources: one SHA (or chart version) per source, the manifests, and what kind each rendered source is."""

    revisions: tuple[str, ...]
    manifests: tuple[Json, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Result for one application: everything of `status` that a comparison decides. `target` is None when Git could not be rendered."""

    target: Target | None
    status: str
    revisions: tuple[str, ...]
    resources: list[Json]
    health: str
    images: list[str]
    error: str


def load(repositories: Repositories, app: Json, holder: Json, revisions: list[str] | None = None) -> Target:
    """Render the sources of `holder` (a spec, or an operation's `sync`) at `revisions` or at their targets. RenderError with Argo CD's prefix."""
    name, namespace = app["metadata"]["name"], app["spec"].get("destination", {}).get("namespace", "")
    parts = sources(holder)
    wanted: Sequence[str | None] = revisions or [None] * len(parts)
    found = _each(len(parts), (functools.partial(repositories.resolve, *pair) for pair in zip(parts, wanted, strict=True)))
    rendered = _each(len(parts), repositories.render_all(parts, found, name, namespace))
    kinds = [repositories.kind_of(part, sha) for part, sha in zip(parts, found, strict=True) if part.get("path") or part.get("chart")]
    return Target(revisions=tuple(found), manifests=tuple(manifest for part in rendered for manifest in part), kinds=tuple(kinds))


def _each(count: int, calls: Iterable[Callable[[], T]]) -> list[T]:
    """What they answer; RenderError with Argo CD's words about the source that failed."""
    found: list[T] = []
    for call in calls:
        try:
            found.append(call())
        except RenderError as error:
            words = f"Failed to load target state: failed to generate manifest for source {len(found) + 1} of {count}: {error.rpc}"
            raise RenderError(error.code, words) from error
    return found


def compare(cluster: Cluster, repositories: Repositories, app: Json, *, revisions: list[str] | None = None) -> Comparison:
    """Compare an application with its target, which is resolved again unless `revisions` is given."""
    name, namespace = app["metadata"]["name"], app["spec"].get("destination", {}).get("namespace", "")
    live = cluster.tracked_by(name)
    try:
        target = load(repositories, app, app["spec"], revisions)
    except RenderError as error:
        rows = [_row(key, item, "Unknown", prune=True) for key, item in live.items()]
        asked = tuple(source.get("targetRevision", "") for source in sources(app["spec"]))
        return Comparison(
            target=None, status="Unknown", revisions=asked, resources=rows, health=_overall(cluster, rows), images=images(cluster, name), error=error.message
        )
    wanted = {Key.of(manifest, namespace): manifest for manifest in target.manifests if not annotation(manifest, HOOK)}
    rows = []
    for key in sorted(wanted.keys() | live.keys()):
        if key not in wanted:
            rows.append(_row(key, live[key], "" if annotation(live[key], HOOK) else "OutOfSync", prune=not annotation(live[key], HOOK)))
        else:
            drifted = key not in live or cluster.differs(wanted[key], namespace, paths_for(app, key))
            rows.append(_row(key, wanted[key], "OutOfSync" if drifted else "Synced", prune=False))
    status = "OutOfSync" if any(row.get("status") == "OutOfSync" for row in rows) else "Synced"
    return Comparison(
        target=target, status=status, revisions=target.revisions, resources=rows, health=_overall(cluster, rows), images=images(cluster, name), error=""
    )


def _row(key: Key, item: Json, status: str, *, prune: bool) -> Json:
    row: Json = {"group": key.group} if key.group else {}
    row |= {"version": item["apiVersion"].rpartition("/")[2], "kind": key.kind}
    row |= {"namespace": key.namespace} if key.namespace else {}
    row |= {"name": key.name} | ({"status": status} if status else {})
    if annotation(item, HOOK):
        row["hook"] = True
    if prune:
        row["requiresPruning"] = True
    wave = annotation(item, WAVE)
    return row | ({"syncWave": int(wave)} if wave.lstrip("-").isdecimal() and int(wave) else {})


def row_key(row: Json) -> Key:
    """Key of a line of `status.resources`."""
    return Key(row.get("group", ""), row["kind"], row.get("namespace", ""), row["name"])


def resource_health(cluster: Cluster, rows: list[Json]) -> dict[tuple[str, str, str, str], Json]:
    """Health of each line, as the server fills it in from the tree."""
    found: dict[tuple[str, str, str, str], Json] = {}
    for row in rows:
        key = row_key(row)
        live = cluster.get(key)
        told = health.of(live) if live else {"status": "Missing"}
        if told:
            found[key] = told
    return found


def _overall(cluster: Cluster, rows: list[Json]) -> str:
    told = resource_health(cluster, [row for row in rows if not row.get("hook")])
    return health.worst([item["status"] for item in told.values()])


def overall_health(cluster: Cluster, app: Json) -> str:
    """Health of the application now, from the resources it lists."""
    return _overall(cluster, app["status"].get("resources", []))


def _below(cluster: Cluster, application: str) -> dict[Key, Json]:
    found = dict(cluster.tracked_by(application))
    todo = list(found.values())
    while todo:
        owned = cluster.owned_by(todo.pop()["metadata"]["uid"])
        found |= owned
        todo += owned.values()
    return dict(sorted(found.items()))


def images(cluster: Cluster, application: str) -> list[str]:
    """Images of the application's pods."""
    pods = [item for key, item in _below(cluster, application).items() if key.kind == "Pod"]
    return sorted({container["image"] for pod in pods for container in pod["spec"].get("containers", [])})


def find_in_tree(cluster: Cluster, application: str, key: Key) -> Json | None:
    """A live object of the application's tree."""
    return _below(cluster, application).get(key)


def tree(cluster: Cluster, app: Json) -> Json:
    """The resource tree: nodes sorted by key, parents by reference, pods with images and their state."""
    nodes, pods = [], False
    live = _below(cluster, app["metadata"]["name"])
    for key, item in live.items():
        node: Json = {"group": key.group} if key.group else {}
        node |= {"version": item["apiVersion"].rpartition("/")[2], "kind": key.kind}
        node |= {"namespace": key.namespace} if key.namespace else {}
        node |= {"name": key.name, "uid": item["metadata"]["uid"]}
        parents = [_reference(key, ref) for ref in item["metadata"].get("ownerReferences", []) if ref["kind"] != "ApplicationSet"]
        node |= {"parentRefs": parents} if parents else {}
        info = _info(key, item)
        node |= {"info": info} if info else {}
        if key.kind == "Pod":
            pods = True
            node["networkingInfo"] = {"labels": item["metadata"].get("labels", {})}
        node["resourceVersion"] = item["metadata"]["resourceVersion"]
        if key.kind == "Pod":
            node["images"] = [container["image"] for container in item["spec"]["containers"]]
        told = health.of(item)
        node |= {"health": told} if told else {}
        nodes.append(node | {"createdAt": item["metadata"]["creationTimestamp"]})
    missing = [row for row in app["status"].get("resources", []) if row_key(row) not in live and not row.get("hook")]
    about = ("group", "version", "kind", "namespace", "name")
    nodes += [{name: row[name] for name in about if name in row} | {"health": {"status": "Missing"}} for row in missing]
    unknown = "machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion kubeProxyVersion operatingSystem architecture"
    hosts = [{"name": NODE, "systemInfo": dict.fromkeys(unknown.split(), "")}] if pods else None
    return ({"nodes": nodes} if nodes else {}) | ({"hosts": hosts} if hosts else {})


def _reference(key: Key, ref: Json) -> Json:
    group, _, version = ref["apiVersion"].rpartition("/")
    told: Json = {"group": group} if group else {}
    return told | {"version": version, "kind": ref["kind"], "namespace": key.namespace, "name": ref["name"], "uid": ref["uid"]}


def _info(key: Key, item: Json) -> list[Json]:
    if key.kind in {"Deployment", "ReplicaSet", "Rollout"}:
        return [{"name": "Revision", "value": f"Rev:{annotation(item, 'deployment.kubernetes.io/revision') or annotation(item, ROLLOUT_REVISION)}"}]
    if key.kind != "Pod":
        return []
    statuses = item["status"]["containerStatuses"]
    reasons = [state["reason"] for status in statuses for state in status["state"].values() if "reason" in state]
    restarts = sum(status["restartCount"] for status in statuses)
    ready = sum(status["ready"] for status in statuses)
    told = [("Status Reason", reasons[0] if reasons else item["status"]["phase"]), ("Node", NODE), ("Containers", f"{ready}/{len(statuses)}")]
    told += [("Restart Count", str(restarts))] if restarts else []
    told += [("cpu", "0"), ("memory", "0")] if item["status"]["phase"] == "Running" else []
    return [{"name": name, "value": value} for name, value in told]
