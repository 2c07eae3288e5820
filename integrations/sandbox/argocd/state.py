"""What Kubernetes stores for Argo CD: Applications, AppProjects, ApplicationSets, audit events, and the one counter of versions.

Stored values are never changed in place: a write replaces them, so readers may keep what they hold. Every write tells the listeners.
"""

import copy
import uuid
from collections.abc import Callable
from typing import Final

from integrations.sandbox.argocd import writers
from integrations.sandbox.argocd.objects import CONTROL_PLANE, known_spec, no_status, stamp
from integrations.sandbox.argocd.settings import Clock, Profile
from integrations.sandbox.argocd.status import Json

Listener = Callable[[str, Json | None, Json], None]
_KEPT_EVENTS: Final = 500


class Versions:
    """etcd's revision: one counter under all objects."""

    def __init__(self) -> None:
        self._last = 100

    def next(self) -> str:
        """The next resource version."""
        self._last += 1
        return str(self._last)

    @property
    def latest(self) -> str:
        """The newest resource version given out."""
        return str(self._last)


class Events:
    """Kubernetes events about Applications: the audit lines of recording 32, oldest first."""

    def __init__(self, versions: Versions, clock: Clock) -> None:
        self._versions = versions
        self._clock = clock
        self._kept: list[Json] = []

    def record(self, app: Json, reason: str, message: str, *, user: str | None = None, kind: str = "Normal") -> None:
        """Add a line; with a `user` it comes from the API server, without from the controller."""
        about, destination, now = app["metadata"], app["spec"].get("destination", {}), stamp(self._clock())
        annotations = {"dest-namespace": destination.get("namespace", ""), "dest-server": destination.get("server", "")} | ({"user": user} if user else {})
        version = self._versions.next()
        event: Json = {
            "metadata": {
                "name": f"{about['name']}.{int(version):016x}",
                "namespace": CONTROL_PLANE,
                "uid": str(uuid.uuid4()),
                "resourceVersion": version,
                "creationTimestamp": now,
                "annotations": annotations,
                "managedFields": [],
            },
            "involvedObject": {
                "kind": "Application",
                "namespace": CONTROL_PLANE,
                "name": about["name"],
                "uid": about["uid"],
                "apiVersion": "argoproj.io/v1alpha1",
                "resourceVersion": about["resourceVersion"],
            },
            "reason": reason,
            "message": message,
            "source": {"component": "argocd-server" if user else "argocd-application-controller"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": "",
            "reportingInstance": "",
        }
        self._kept = [*self._kept[-_KEPT_EVENTS:], event]

    def of(self, app: Json) -> list[Json]:
        """Events of one application; those of a deleted namesake stay out."""
        return [event for event in self._kept if event["involvedObject"]["uid"] == app["metadata"]["uid"]]


class Applications:
    """The Application objects. A write that changes nothing leaves the resource version alone, as in Kubernetes."""

    def __init__(self, versions: Versions, clock: Clock, profile: Profile) -> None:
        self._versions = versions
        self._clock = clock
        self._profile = profile
        self._items: dict[str, Json] = {}
        self.listeners: list[Listener] = []

    def get(self, name: str) -> Json | None:
        """The stored application."""
        return self._items.get(name)

    def all(self) -> list[Json]:
        """All applications by name."""
        return [self._items[name] for name in sorted(self._items)]

    def create(self, metadata: Json, spec: Json, *, by: str = writers.SERVER) -> Json:
        """Store a new application; `metadata` gives name, labels, annotations, finalizers, ownerReferences. `by` is the field manager, as in `write`."""
        kept = {name: metadata[name] for name in ("name", "labels", "annotations", "ownerReferences", "finalizers") if metadata.get(name)}
        now = stamp(self._clock())
        about = {"namespace": CONTROL_PLANE, "uid": str(uuid.uuid4()), "creationTimestamp": now, "generation": 1}
        app: Json = {"metadata": copy.deepcopy(kept) | about, "spec": known_spec(spec, self._profile), "status": no_status()}
        app["metadata"]["managedFields"] = writers.after_update([], None, app, manager=by, now=now)
        app["metadata"]["resourceVersion"] = self._versions.next()
        self._items[app["metadata"]["name"]] = app
        self._tell("ADDED", None, app)
        return app

    def write(self, name: str, change: Callable[[Json], None], *, by: str = writers.CONTROLLER) -> Json | None:
        """Replace the application by a changed copy. None when it is gone. One that is being deleted vanishes with its last finalizer."""
        old = self._items.get(name)
        if old is None:
            return None
        new = copy.deepcopy(old)
        change(new)
        self._normalize(new)
        if new == old:
            return old
        entries = [entry for entry in new["metadata"]["managedFields"] if entry]  # `[{}]` empties the record
        new["metadata"]["managedFields"] = writers.after_update(entries, old, new, manager=by, now=stamp(self._clock()))
        return self._replace(old, new)

    def apply(self, name: str, body: Json, *, by: str) -> Json | None:
        """Apply `body` on the server's side, by force. None when there is no such application."""
        old = self._items.get(name)
        if old is None:
            return None
        entries = old["metadata"]["managedFields"]
        new = copy.deepcopy(writers.applied(entries, old, body, manager=by))
        self._normalize(new)
        new["metadata"]["managedFields"] = writers.after_apply(entries, old, new, body, manager=by, now=stamp(self._clock()))
        return old if new == old else self._replace(old, new)

    def _normalize(self, app: Json) -> None:
        app["spec"] = known_spec(app["spec"], self._profile)
        for part in ("labels", "annotations", "finalizers", "ownerReferences"):
            if not app["metadata"].get(part, True):
                del app["metadata"][part]

    def _replace(self, old: Json, new: Json) -> Json | None:
        name = new["metadata"]["name"]
        new["metadata"]["generation"] += 1
        new["metadata"]["resourceVersion"] = self._versions.next()
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
            del self._items[name]
            self._tell("DELETED", old, new)
            return None
        self._items[name] = new
        self._tell("MODIFIED", old, new)
        return new

    def delete(self, name: str) -> None:
        """Ask for deletion: at once without finalizers, else when the last one is taken off."""
        app = self._items[name]
        if app["metadata"].get("finalizers"):
            self.write(name, lambda new: new["metadata"].setdefault("deletionTimestamp", stamp(self._clock())) and None)
            return
        del self._items[name]
        app = copy.deepcopy(app)
        app["metadata"]["resourceVersion"] = self._versions.next()
        self._tell("DELETED", self._items.get(name), app)

    def _tell(self, kind: str, old: Json | None, new: Json) -> None:
        for listener in list(self.listeners):
            listener(kind, old, new)


class Projects:
    """AppProjects by name. `default` allows everything, as on a fresh Argo CD."""

    def __init__(self, versions: Versions, clock: Clock) -> None:
        self._versions = versions
        self._clock = clock
        self._items: dict[str, Json] = {}
        self.put("default")

    def put(self, name: str, spec: Json | None = None) -> Json:
        """Create or replace a project; without a spec it may deploy anything anywhere. Role tokens outlive a replacement."""
        old = self._items.get(name)
        everything = {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }
        about = (
            {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
            if old
            else {
                "name": name,
                "namespace": CONTROL_PLANE,
                "uid": str(uuid.uuid4()),
                "generation": 1,
                "creationTimestamp": stamp(self._clock()),
                "managedFields": [],
            }
        )
        project: Json = {"metadata": about, "spec": copy.deepcopy(everything if spec is None else spec), "status": copy.deepcopy(old["status"]) if old else {}}
        project["metadata"]["resourceVersion"] = self._versions.next()
        self._items[name] = project
        return project

    def get(self, name: str) -> Json | None:
        """A project."""
        return self._items.get(name)

    def all(self) -> list[Json]:
        """All projects by name."""
        return [self._items[name] for name in sorted(self._items)]

    def delete(self, name: str) -> None:
        """Forget a project."""
        self._items.pop(name, None)

    def windows(self, name: str) -> list[Json]:
        """Sync windows of a project; none when the project is unknown."""
        project = self._items.get(name)
        return list(project["spec"].get("syncWindows") or []) if project else []

    def set_windows(self, name: str, windows: list[Json]) -> None:
        """Replace a project's windows: `{"kind", "schedule", "duration", "applications", …}`."""
        self.put(name, {**self._items[name]["spec"], "syncWindows": windows})


class ApplicationSets:
    """ApplicationSet objects with list generators; their controller is in `owners`."""

    def __init__(self, versions: Versions, clock: Clock) -> None:
        self._versions = versions
        self._clock = clock
        self._items: dict[str, Json] = {}

    def put(self, metadata: Json, spec: Json) -> Json:
        """Create or replace."""
        old = self._items.get(metadata["name"])
        about = (
            old["metadata"] if old else {"namespace": CONTROL_PLANE, "uid": str(uuid.uuid4()), "creationTimestamp": stamp(self._clock()), "managedFields": []}
        )
        item: Json = {"metadata": {**about, **metadata, "resourceVersion": self._versions.next()}, "spec": copy.deepcopy(spec), "status": {}}
        self._items[metadata["name"]] = item
        return item

    def set_status(self, name: str, status: Json) -> None:
        """Write what the controller says of the set."""
        old = self._items[name]
        self._items[name] = {**old, "metadata": {**old["metadata"], "resourceVersion": self._versions.next()}, "status": status}

    def get(self, name: str) -> Json | None:
        """One set."""
        return self._items.get(name)

    def all(self) -> list[Json]:
        """All sets by name."""
        return [self._items[name] for name in sorted(self._items)]

    def delete(self, name: str) -> None:
        """Forget a set."""
        self._items.pop(name, None)
