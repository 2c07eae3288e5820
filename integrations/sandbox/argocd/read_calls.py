"""Calls that only read an application, refresh included (contract 3.1, 3.2, 3.8)."""

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import datetime

from integrations.sandbox.argocd import comparison, windows
from integrations.sandbox.argocd.access import Access, Caller
from integrations.sandbox.argocd.cluster import Cluster
from integrations.sandbox.argocd.controller import Controller
from integrations.sandbox.argocd.edge import Call
from integrations.sandbox.argocd.lookup import Lookup
from integrations.sandbox.argocd.objects import HYDRATE, REFRESH, Key, annotation, project_fields, sources, stamp, wire
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.repositories import RenderError
from integrations.sandbox.argocd.state import Versions
from integrations.sandbox.argocd.status import INVALID, UNAVAILABLE, UNKNOWN, Json, RefusedError, app_not_found
from integrations.sandbox.argocd.writers import SERVER


class ReadCalls:
    """Handlers; each gets a `Call` and returns the body of the answer."""

    def __init__(self, tools: Machinery, access: Access, lookup: Lookup, controller: Controller, versions: Versions) -> None:
        self._tools = tools
        self._access = access
        self._lookup = lookup
        self._controller = controller
        self._versions = versions
        self._lost: dict[str, str] = {}
        self._lines: Sequence[str] | None = None

    def _find(self, call: Call, *, cached: bool = False) -> Json:
        asked = [*call.query.get("project", []), *call.query.get("projects", [])]
        if len(asked) > 1:
            raise RefusedError(INVALID, "multiple projects specified - the get endpoint accepts either zero or one project")
        project = asked[0] if asked else ""
        return self._lookup.find(call.caller, "get", call.parts["name"], project=project, namespace=call.one("appNamespace"), cached=cached)

    async def list_all(self, call: Call) -> Json:
        """GET /applications: what the caller may see, without a word about the rest."""
        found = [wire(app) for app in self.visible(call)]
        fields = call.one("fields")
        if fields:
            found = [project_fields(app, fields, self._tools.profile) for app in found]
        return {"metadata": {"resourceVersion": self._versions.latest}, "items": found or None}

    def visible(self, call: Call) -> list[Json]:
        """Applications that match the query and that the caller may get, by name."""
        selects(call.one("selector"), {})  # a broken selector is refused even when there is nothing to select
        return [app for app in self._tools.applications.all() if self.matches(call, app)]

    def matches(self, call: Call, app: Json) -> bool:
        """Whether a list or a watch shows this application."""
        projects = [*call.query.get("projects", []), *call.query.get("project", [])]
        repository, name, namespace = call.one("repo"), call.one("name"), call.one("appNamespace")
        first = (sources(app["spec"]) or [{}])[0].get("repoURL")
        return (
            (not name or app["metadata"]["name"] == name)
            and (not namespace or namespace == app["metadata"]["namespace"])
            and (not projects or app["spec"]["project"] in projects)
            and (not repository or repository == first)
            and selects(call.one("selector"), app["metadata"].get("labels") or {})
            and self.may_get(call.caller, app)
        )

    def may_get(self, caller: Caller, app: Json) -> bool:
        """RBAC of lists and watches."""
        return self._access.allows(caller, "applications", "get", f"{app['spec']['project']}/{app['metadata']['name']}")

    async def get(self, call: Call) -> Json:
        """GET /applications/{n}; with `refresh` it waits until the controller took the annotation off."""
        app = self._find(call)
        if "refresh" in call.query:
            app = await self._refreshed(app, "hard" if call.one("refresh") == "hard" else "normal")
        return wire(app, comparison.resource_health(self._tools.cluster, app["status"].get("resources", [])))

    async def _refreshed(self, app: Json, kind: str) -> Json:
        name, changed = app["metadata"]["name"], asyncio.Event()
        applications = self._tools.applications

        def heard(_kind: str, _old: Json | None, new: Json) -> None:
            if new["metadata"]["name"] == name:
                changed.set()

        if kind == "hard":
            self._tools.repositories.forget(sources(app["spec"]))
        applications.listeners.append(heard)
        try:
            applications.write(name, lambda new: new["metadata"].setdefault("annotations", {}).update({REFRESH: kind, HYDRATE: "normal"}), by=SERVER)
            self._controller.refresh(name)
            while True:
                now = applications.get(name)
                if now is None:
                    raise app_not_found(name)
                if not annotation(now, REFRESH):
                    return now
                changed.clear()
                await changed.wait()
        finally:
            applications.listeners.remove(heard)

    async def sync_windows(self, call: Call) -> Json:
        """GET …/syncwindows, with manual semantics."""
        app = self._find(call)
        assigned = windows.assigned(self._tools.projects.windows(app["spec"]["project"]), app)
        now = self._tools.clock()
        active = [window for window in assigned if windows.is_active(window, now)]
        told: Json = {"activeWindows": [windows.shown(window) for window in active]} if active else {}
        told |= {"assignedWindows": [windows.shown(window) for window in assigned]} if assigned else {}
        return told | {"canSync": windows.may_sync(assigned, manual=True, now=now)}

    async def manifests(self, call: Call) -> Json:
        """GET …/manifests: the current source rendered at some revision; a remembered ref will do (recording 23)."""
        app = self._find(call, cached=True)
        if self._tools.faults.kube_down:
            raise RefusedError(UNKNOWN, "error getting server version: failed to get server version: dial tcp 127.0.0.1:6443: connect: connection refused")
        destination, parts = app["spec"].get("destination", {}), sources(app["spec"])
        asked: list[str | None] = [call.one("revision") or None] * len(parts)
        if app["spec"].get("sources"):
            asked = [None] * len(parts)
            for place, revision in zip(call.query.get("sourcePositions", []), call.query.get("revisions", []), strict=False):
                if not place.isdecimal() or not 1 <= int(place) <= len(parts):
                    raise RefusedError(UNKNOWN, "source position is out of range")
                asked[int(place) - 1] = revision
        repositories, name, anew = self._tools.repositories, app["metadata"]["name"], call.one("noCache") == "true"
        try:
            shas = [repositories.resolve(source, wanted, remembered=not anew) for source, wanted in zip(parts, asked, strict=True)]
            each = repositories.render_all(parts, shas, name, destination.get("namespace", ""), anew=anew)
            found = [manifest for rendered in each for manifest in rendered()]
        except RenderError as error:
            raise error.refusal() from error
        return {"manifests": [_text(_masked(manifest)) for manifest in found]} if found else {}

    async def managed_resources(self, call: Call) -> Json:
        """GET …/managed-resources: target and live states as JSON strings, secrets masked."""
        app = self._find(call, cached=True)
        self._cached("managed resources", app)
        broken = next((item for item in app["status"].get("conditions", []) if item["type"] in {"ComparisonError", "InvalidSpecError"}), None)
        if broken:
            raise RefusedError(UNKNOWN, f"error getting cached app managed resources: {broken['type']}: {broken['message']}")
        name, namespace, cluster = app["metadata"]["name"], app["spec"].get("destination", {}).get("namespace", ""), self._tools.cluster
        try:
            target = comparison.load(self._tools.repositories, app, app["spec"], _known_revisions(app))
        except RenderError as error:
            raise RefusedError(UNAVAILABLE if error.code == UNAVAILABLE else UNKNOWN, f"error getting cached app managed resources: {error.message}") from error
        wanted = {Key.of(manifest, namespace): manifest for manifest in target.manifests}
        items = []
        for key in sorted(wanted.keys() | cluster.tracked_by(name).keys()):
            if any(given and given != value for given, value in ((call.one(part), getattr(key, part)) for part in ("group", "kind", "namespace", "name"))):
                continue
            items.append(_managed(cluster, key, wanted.get(key), namespace))
        return {"items": items} if items else {}

    async def tree(self, call: Call) -> Json:
        """GET …/resource-tree."""
        app = self._find(call, cached=True)
        self._cached("resource tree", app)
        return comparison.tree(self._tools.cluster, app)

    async def resource(self, call: Call) -> Json:
        """GET …/resource: one live object of the tree as a JSON string."""
        app = self._find(call)
        self._cached("resource tree", app)
        key = Key(call.one("group"), call.one("kind"), call.one("namespace"), call.one("resourceName"))
        live = comparison.find_in_tree(self._tools.cluster, app["metadata"]["name"], key)
        if live is None:
            raise RefusedError(INVALID, f"{key.kind} {key.group} {key.name} not found as part of application {app['metadata']['name']}")
        return {"manifest": _text(_masked(live))}

    def lose_redis(self) -> None:
        """Redis was started again and has forgotten everything: the controller writes a tree there again only when it changes."""
        apps = [app for app in self._tools.applications.all() if app["status"].get("reconciledAt")]
        self._lost = {app["metadata"]["name"]: _text(comparison.tree(self._tools.cluster, app)) for app in apps}

    def _cached(self, what: str, app: Json) -> None:
        """What the controller leaves in Redis."""
        if self._tools.faults.redis_down:
            raise RefusedError(UNKNOWN, f"error getting cached app {what}: dial tcp 127.0.0.1:6379: connect: connection refused")
        lost = self._lost.get(app["metadata"]["name"])
        if lost is not None and lost == _text(comparison.tree(self._tools.cluster, app)):
            raise RefusedError(UNKNOWN, f"error getting cached app {what}: cache: key is missing")
        self._lost.pop(app["metadata"]["name"], None)

    async def events(self, call: Call) -> Json:
        """GET …/events: the application's own audit lines."""
        app = self._find(call)
        wanted = call.one("resourceUID")
        found = self._tools.events.of(app) if wanted in {"", app["metadata"]["uid"]} else []
        return {"metadata": {"resourceVersion": self._versions.latest}, "items": found or None}

    def log_of(self, call: Call) -> list[Json]:
        """GET …/pods/{pod}/logs as messages; nothing of a pod that is not there.

        Without lines the node has no kubelet, which Argo CD tells where a line would stand.
        """
        app = self._find(call)
        name = app["metadata"]["name"]
        self._access.demand(call.caller, "logs", "get", f"{app['spec']['project']}/{name}")
        if comparison.find_in_tree(self._tools.cluster, name, Key("", "Pod", call.one("namespace"), call.parts["pod"])) is None:
            return []
        now = self._tools.clock()
        last = {"content": "", "timeStamp": stamp(now), "last": True, "timeStampStr": stamp(now), "podName": ""}
        if self._lines is None:
            words = "no preferred addresses found; known addresses: []"
            told = [{"content": words, "timeStamp": None, "last": False, "timeStampStr": "0001-01-01T00:00:00Z", "podName": ""}]
        else:
            told = [_line(line, call.parts["pod"]) for line in self._lines[-int(call.one("tailLines") or len(self._lines)) :]]
        return [{"result": one} for one in (*told, last)]

    def containers_wrote(self, lines: Sequence[str] | None) -> None:
        """What every container's log is from now on."""
        self._lines = lines

    async def revision_metadata(self, call: Call) -> Json:
        """GET …/revisions/{rev}/metadata: the commit's author, date and message."""
        app = self._find(call, cached=True)
        parts = sources(app["spec"])
        place = call.one("sourceIndex", "0")
        if not place.isdecimal() or int(place) >= len(parts):
            raise RefusedError(UNKNOWN, f"source index {place} not found")
        try:
            return self._tools.repositories.metadata(parts[int(place)]["repoURL"], call.parts["revision"])
        except RenderError as error:
            raise error.refusal() from error


def _line(line: str, pod: str) -> Json:
    at, _, content = line.partition(" ")
    return {"content": content, "timeStamp": stamp(datetime.fromisoformat(at)), "last": False, "timeStampStr": at, "podName": pod}


def selects(selector: str, labels: Json) -> bool:
    """Kubernetes label selector: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, joined by commas. RefusedError 500/2 when it is none."""
    for term in [part.strip() for part in re.split(r",(?![^()]*\))", selector) if part.strip()]:
        several = re.fullmatch(r"([\w./-]+)\s+(in|notin)\s*\(([^()]*)\)", term)
        equal = re.fullmatch(r"([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)", term)
        present = re.fullmatch(r"(!?)\s*([\w./-]+)", term)
        if several:
            inside = labels.get(several[1]) in [value.strip() for value in several[3].split(",")]
            ok = inside == (several[2] == "in")
        elif equal:
            ok = (labels.get(equal[1]) == equal[3]) == (equal[2] != "!=")
        elif present:
            ok = (present[2] in labels) != bool(present[1])
        else:
            raise RefusedError(UNKNOWN, f"error parsing the selector: unable to parse requirement: found '{term}'")
        if not ok:
            return False
    return True


def _known_revisions(app: Json) -> list[str] | None:
    sync = app["status"]["sync"]
    return sync.get("revisions") or ([sync["revision"]] if sync.get("revision") else None)


def _managed(cluster: Cluster, key: Key, target: Json | None, namespace: str) -> Json:
    live = cluster.get(key)
    shown: Json = {"group": key.group} if key.group else {}
    shown |= {"kind": key.kind} | ({"namespace": key.namespace} if key.namespace else {}) | {"name": key.name}
    if target is not None and key.namespace:
        target["metadata"]["namespace"] = key.namespace
    normal = _text(_normalized(_masked(live))) if live else "null"
    shown |= {"targetState": _text(_masked(target)) if target else "null", "liveState": _text(_masked(live)) if live else "null", "normalizedLiveState": normal}
    shown["predictedLiveState"] = _text(_normalized(_masked(cluster.predicted(target, namespace)))) if target else normal
    drifted = target is not None and cluster.differs(target, namespace)
    return shown | ({"resourceVersion": live["metadata"]["resourceVersion"]} if live else {}) | ({"modified": True} if drifted else {})


def _masked(item: Json) -> Json:
    if item["kind"] != "Secret":
        return item
    return {name: dict.fromkeys(value, "++++++++") if name in {"data", "stringData"} else value for name, value in item.items()}


def _normalized(item: Json) -> Json:
    about = {name: value for name, value in item["metadata"].items() if name != "creationTimestamp"}
    return {name: value for name, value in item.items() if name != "status"} | {"metadata": about}


def _text(item: Json) -> str:
    return json.dumps(item, sort_keys=True, separators=(",", ":"))
