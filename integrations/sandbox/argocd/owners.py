"""The ApplicationSet controller: makes Applications from list generators and takes back every edit that no rule protects (recording 12).

With strategy RollingSync it also deploys them, in order; what it decides then is in `rolling`.

A parent application (app-of-apps) needs nothing here: its children are resources of the cluster like any other.
"""

import asyncio
import re
from typing import Any, Final

from integrations.sandbox.argocd import rolling
from integrations.sandbox.argocd.background import Background
from integrations.sandbox.argocd.ignored import paths_of, take_over
from integrations.sandbox.argocd.objects import HYDRATE, REFRESH, known_spec, stamp
from integrations.sandbox.argocd.settings import Clock, Faults, Profile, Timings, while_down
from integrations.sandbox.argocd.state import Applications, ApplicationSets
from integrations.sandbox.argocd.status import Json
from integrations.sandbox.argocd.writers import SET_CONTROLLER

_ALWAYS_KEPT: Final = {"notified.notifications.argoproj.io", REFRESH, HYDRATE}


class ApplicationSetController:
    """Keeps generated applications as their template says. `reconcile` a set after creating or changing it."""

    def __init__(
        self, *, applications: Applications, sets: ApplicationSets, clock: Clock, timings: Timings, faults: Faults, profile: Profile, background: Background
    ) -> None:
        self._clock = clock
        self._applications = applications
        self._sets = sets
        self._timings = timings
        self._faults = faults
        self._profile = profile
        self._background = background
        applications.listeners.append(self._heard)

    def reconcile(self, name: str) -> None:
        """Create or update the set's applications, and delete those it generates no more."""
        owner = self._sets.get(name)
        if owner is None:
            return
        wanted = {app["metadata"]["name"]: app for app in _generate(owner)}
        policy = owner["spec"].get("syncPolicy", {}).get("applicationsSync", "sync")
        operations = self._in_order(owner, wanted) if rolling.is_rolling(owner) else {}
        for app_name, app in wanted.items():
            live = self._applications.get(app_name)
            if live is None:
                metadata = app["metadata"] | {"ownerReferences": [_reference(owner)]}
                self._applications.create(metadata, app["spec"], by=SET_CONTROLLER)
            elif policy in {"sync", "create-update"}:
                self._restore(owner, live, app, operations.get(app_name))
        for live in self._applications.all():
            if _owned(live) == name and live["metadata"]["name"] not in wanted and policy in {"sync", "create-delete"}:
                self._applications.delete(live["metadata"]["name"])

    def _in_order(self, owner: Json, wanted: dict[str, Json]) -> dict[str, Json]:
        """Take auto-sync out of what is wanted, write the set's status; the syncs to ask for, by application."""
        live = {name: app for name in wanted if (app := self._applications.get(name)) is not None}
        rows = rolling.advanced(owner, wanted, live, stamp(self._clock()))
        if rows != owner["status"].get("applicationStatus"):
            self._sets.set_status(owner["metadata"]["name"], {"applicationStatus": rows})
            _ = self._background.start(self._later(owner["metadata"]["name"]))
        due, operations = rolling.to_sync(owner, rows, live), {}
        for name, app in wanted.items():
            app["spec"], prune = rolling.without_auto_sync(app["spec"])
            if name in due:
                operations[name] = rolling.operation(app["spec"], prune=prune)
        return operations

    def _heard(self, kind: str, old: Json | None, new: Json) -> None:
        name = _owned(new)
        owner = self._sets.get(name) if name else None
        edited = old is None or any(old["metadata"].get(part) != new["metadata"].get(part) for part in ("annotations", "labels")) or old["spec"] != new["spec"]
        moved = owner is not None and rolling.is_rolling(owner) and (old is None or _seen(old) != _seen(new))
        if name and (kind == "DELETED" or (kind == "MODIFIED" and (edited or moved))):
            _ = self._background.start(self._later(name))

    async def _later(self, name: str) -> None:
        await asyncio.sleep(self._timings.owner * self._timings.pace)
        await while_down(self._faults)
        self.reconcile(name)

    def _restore(self, owner: Json, live: Json, wanted: Json, operation: Json | None) -> None:
        spec = known_spec(wanted["spec"], self._profile)
        for rule in owner["spec"].get("ignoreApplicationDifferences") or []:
            if rule.get("name", live["metadata"]["name"]) == live["metadata"]["name"]:
                for path in paths_of(rule):
                    if path[0] == "spec":
                        take_over(spec, live["spec"], path[1:])
        preserved = owner["spec"].get("preservedFields", {})

        def change(new: Json) -> None:
            new["spec"] = spec
            if operation is not None:
                new["operation"] = operation
            for part in ("annotations", "labels"):
                kept = set(preserved.get(part) or []) | (_ALWAYS_KEPT if part == "annotations" else set())
                old = new["metadata"].get(part) or {}
                new["metadata"][part] = {**(wanted["metadata"].get(part) or {}), **{name: value for name, value in old.items() if name in kept}}

        self._applications.write(live["metadata"]["name"], change, by=SET_CONTROLLER)


def _owned(app: Json) -> str:
    return next((str(ref["name"]) for ref in app["metadata"].get("ownerReferences", []) if ref["kind"] == "ApplicationSet"), "")


def _seen(app: Json) -> tuple[object, ...]:
    """What a set in rolling order looks at, beside the spec."""
    status = app["status"]
    state = status.get("operationState") or {}
    return status["health"].get("status"), status["sync"].get("status"), status["sync"].get("revision"), state.get("phase"), state.get("startedAt")


def _reference(owner: Json) -> Json:
    about = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return about | {"controller": True, "blockOwnerDeletion": True}


def _generate(owner: Json) -> list[Json]:
    made = []
    for generator in owner["spec"].get("generators", []):
        for element in generator.get("list", {}).get("elements", []):
            app = _filled(owner["spec"]["template"], element)
            app["metadata"].setdefault("finalizers", ["resources-finalizer.argocd.argoproj.io"])
            made.append(app)
    return made


def _filled(value: Any, element: Json) -> Any:
    if isinstance(value, dict):
        return {name: _filled(below, element) for name, below in value.items()}
    if isinstance(value, list):
        return [_filled(below, element) for below in value]
    if isinstance(value, str):
        return re.sub(r"\{\{\s*\.?([\w.-]+)\s*\}\}", lambda found: str(element.get(found[1], found[0])), value)
    return value
