"""The application controller: refreshes applications, starts automated syncs and self-heals, runs operations, finishes deletions.

Two cooperating tasks per application, as Argo CD has two queues: one for refreshes, one for operations. What an operation does is in
`operations`, what a comparison finds in `comparison`.
"""

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Final

from integrations.sandbox.argocd import comparison, windows
from integrations.sandbox.argocd.background import Background
from integrations.sandbox.argocd.objects import HYDRATE, REFRESH, RESOURCES_FINALIZER, SKIP_RECONCILE, annotation, is_automated, is_deleting, sources, stamp
from integrations.sandbox.argocd.operations import Machinery, Operation
from integrations.sandbox.argocd.settings import while_down
from integrations.sandbox.argocd.status import Json

_HEALTH: Final = 1  # something below a managed object changed
_RECENT: Final = 2  # a managed object changed: compare with the revision known
_FULL: Final = 3  # resolve the target again


@dataclass(slots=True)
class _Loop:
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    operation: asyncio.Event = field(default_factory=asyncio.Event)
    level: int = _FULL
    delay: float = 0.0
    heals: int = 0
    ended: float = 0.0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Controller:
    """Drives every application that exists; `refresh` may be called from anywhere."""

    def __init__(self, tools: Machinery, background: Background) -> None:
        self._tools = tools
        self._background = background
        self._loops: dict[str, _Loop] = {}
        tools.applications.listeners.append(self._heard)
        tools.cluster.watchers.append(lambda name, managed: self.refresh(name, _RECENT if managed else _HEALTH))

    def refresh(self, name: str, level: int = _FULL, delay: float | None = None) -> None:
        """Ask for a refresh at least as deep as `level`, after `delay` seconds."""
        loop = self._loops.get(name)
        if loop is not None:
            loop.level = max(loop.level, level)
            loop.delay = max(loop.delay, self._tools.timings.reconcile if delay is None else delay)
            loop.wake.set()

    def _heard(self, kind: str, old: Json | None, new: Json) -> None:
        name = new["metadata"]["name"]
        if kind == "ADDED":
            loop = self._loops[name] = _Loop()
            loop.tasks = [self._background.start(self._refreshes(name, loop)), self._background.start(self._operations(name, loop))]
            loop.wake.set()
        elif kind == "DELETED":
            gone = self._loops.pop(name, None)
            for task in gone.tasks if gone else []:
                if task is not asyncio.current_task():
                    task.cancel()
        elif old is not None:
            asked = annotation(new, REFRESH) and annotation(new, REFRESH) != annotation(old, REFRESH)
            if asked or new["spec"] != old["spec"] or is_deleting(new) != is_deleting(old):
                self.refresh(name, _FULL)
        if "operation" in new and name in self._loops:
            self._loops[name].operation.set()

    async def _operations(self, name: str, loop: _Loop) -> None:
        timings = self._tools.timings
        while True:
            await loop.operation.wait()
            loop.operation.clear()
            await asyncio.sleep(timings.pickup * timings.pace)
            await while_down(self._tools.faults)
            app = self._tools.applications.get(name)
            if app is None or "operation" not in app or annotation(app, SKIP_RECONCILE) == "true":
                continue
            dry_run = bool(app["operation"]["sync"].get("dryRun"))
            await Operation(self._tools, name).run()
            loop.ended = asyncio.get_running_loop().time()
            if not dry_run:
                self.refresh(name, _FULL, timings.refresh)

    async def _refreshes(self, name: str, loop: _Loop) -> None:
        timings = self._tools.timings
        while True:
            try:
                await asyncio.wait_for(loop.wake.wait(), timings.resync * timings.pace)
            except TimeoutError:
                loop.level = _FULL
            loop.wake.clear()
            await asyncio.sleep(loop.delay * timings.pace)
            await while_down(self._tools.faults)
            level, loop.level, loop.delay = loop.level, 0, 0.0
            loop.wake.clear()
            app = self._tools.applications.get(name)
            if app is None:
                return
            if is_deleting(app):
                self._finish_deletion(app)
                continue
            if annotation(app, SKIP_RECONCILE) == "true":
                continue
            await self._refresh_now(name, app, level, loop)

    async def _refresh_now(self, name: str, app: Json, level: int, loop: _Loop) -> None:
        timings = self._tools.timings
        if level == _HEALTH and app["status"]["sync"]["status"]:
            self._write_health(app)
            return
        asked = annotation(app, REFRESH)
        known = app["status"]["sync"].get("revisions") or ([app["status"]["sync"]["revision"]] if app["status"]["sync"].get("revision") else None)
        same = app["status"]["sync"].get("comparedTo") == _compared_to(app)
        found = comparison.compare(self._tools.cluster, self._tools.repositories, app, revisions=known if level != _FULL and same else None)
        first = not app["status"].get("reconciledAt")
        now = self._write(app, found, at_once=bool(asked) or first)
        if now is None:
            return
        self._auto_sync(now, found, loop)
        if not asked and not first:
            await asyncio.sleep(timings.reconciled * timings.pace)
            await while_down(self._tools.faults)
            self._tools.applications.write(name, lambda new: new["status"].update(reconciledAt=stamp(self._tools.clock())))

    def _write_health(self, app: Json) -> None:
        status, images = comparison.overall_health(self._tools.cluster, app), comparison.images(self._tools.cluster, app["metadata"]["name"])

        def change(new: Json) -> None:
            _set_health(new, status, stamp(self._tools.clock()))
            new["status"]["summary"] = {"images": images} if images else {}

        self._told(app, self._tools.applications.write(app["metadata"]["name"], change))

    def _write(self, app: Json, found: comparison.Comparison, *, at_once: bool) -> Json | None:
        now = stamp(self._tools.clock())
        many = len(sources(app["spec"])) > 1 or bool(app["spec"].get("sources"))

        def change(new: Json) -> None:
            status = new["status"]
            status["sync"] = {"status": found.status, "comparedTo": _compared_to(app)}
            status["sync"] |= {"revisions": list(found.revisions)} if many else {"revision": found.revisions[0]} if found.revisions else {}
            for name, value in (("resources", found.resources), ("summary", None)):
                if value:
                    status[name] = value
                elif name == "resources":
                    status.pop(name, None)
            status["summary"] = {"images": found.images} if found.images else {}
            _set_health(new, found.health, now)
            kept = [condition for condition in status.get("conditions", []) if condition["type"] == "SyncError"]
            if found.error:
                before = next((c for c in status.get("conditions", []) if c["type"] == comparison.COMPARISON_ERROR and c["message"] == found.error), None)
                kept.append(before or {"type": comparison.COMPARISON_ERROR, "message": found.error, "lastTransitionTime": now})
            _set_conditions(status, kept)
            for name in ("sourceType", "sourceTypes"):
                status.pop(name, None)
            if found.target is not None:
                status |= {"sourceTypes": list(found.target.kinds)} if many else {"sourceType": found.target.kinds[0]}
            status |= {"resourceHealthSource": "appTree", "controllerNamespace": "argocd"}
            if at_once:
                status["reconciledAt"] = now
            for name in (REFRESH, HYDRATE):
                if new["metadata"].get("annotations", {}).get(name) and annotation(app, name):
                    del new["metadata"]["annotations"][name]

        written = self._tools.applications.write(app["metadata"]["name"], change)
        self._told(app, written)
        return written

    def _told(self, old: Json, new: Json | None) -> None:
        if new is None:
            return
        for part, words in (("sync", "sync status"), ("health", "health status")):
            before, after = old["status"][part].get("status", ""), new["status"][part].get("status", "")
            if before != after:
                self._tools.events.record(old, "ResourceUpdated", f"Updated {words}: {before} -> {after}")

    def _auto_sync(self, app: Json, found: comparison.Comparison, loop: _Loop) -> None:
        """Argo CD's autoSync: skips what was tried before, unless self-heal applies (contract 4.4)."""
        name, spec, state = app["metadata"]["name"], app["spec"], app["status"].get("operationState")
        policy = spec.get("syncPolicy", {}).get("automated")
        if policy is None or not is_automated(app) or "operation" in app or found.target is None:
            return
        drifted = [row for row in found.resources if row.get("status") == "OutOfSync"]
        if found.status != "OutOfSync":
            self._sync_error(name, None)
            return
        if not policy.get("prune") and all(row.get("requiresPruning") for row in drifted):
            return
        assigned = windows.assigned(self._tools.projects.windows(spec["project"]), app)
        if not windows.may_sync(assigned, manual=False, now=self._tools.clock()):
            return
        if policy.get("prune") and not policy.get("allowEmpty") and not found.target.manifests and found.resources:
            self._sync_error(name, f"Skipping sync attempt to {list(found.revisions)}: auto-sync will wipe out all resources".replace("'", ""))
            return
        resources: list[Json] = []
        tried = _already_tried(app, found)
        if tried and state is not None:
            if state["phase"] != "Succeeded":
                self._sync_error(name, f"Failed last sync attempt to [{' '.join(found.revisions)}]: {state['message']}")
                return
            if not policy.get("selfHeal"):
                return
            timings, ran = self._tools.timings, asyncio.get_running_loop().time() - loop.ended
            wait = min(timings.self_heal * 3**loop.heals, timings.self_heal_max) * timings.pace if loop.heals or loop.ended else 0.0
            if ran < wait:
                self._background.later(wait - ran, lambda: self.refresh(name, _RECENT))
                return
            loop.heals += 1
            resources = [{part: row[part] for part in ("group", "kind", "name") if part in row} for row in drifted]
        else:
            loop.heals = 0
        self._start(app, found, policy, resources, loop.heals)

    def _start(self, app: Json, found: comparison.Comparison, policy: Json, resources: list[Json], heals: int) -> None:
        spec = app["spec"]
        many = spec.get("sources")
        sync: Json = {} if many else {"revision": found.revisions[0]}
        sync |= {"prune": True} if policy.get("prune") else {}
        sync |= {"resources": resources} if resources else {}
        sync["source"] = copy.deepcopy(spec.get("source") or {"repoURL": ""}) if not many else {"repoURL": ""}
        sync |= {"syncOptions": list(spec["syncPolicy"]["syncOptions"])} if spec["syncPolicy"].get("syncOptions") else {}
        sync |= {"sources": copy.deepcopy(many), "revisions": list(found.revisions)} if many else {}
        sync |= {"autoHealAttemptsCount": heals} if resources else {}
        retry = copy.deepcopy(spec["syncPolicy"].get("retry") or {"limit": 5})
        operation = {"sync": sync, "initiatedBy": {"automated": True}, "retry": retry}

        def change(new: Json) -> None:
            if "operation" not in new and is_automated(new) and not is_deleting(new):
                new["operation"] = operation
                new["status"].pop("operationState", None)

        written = self._tools.applications.write(app["metadata"]["name"], change)
        if written is not None and written.get("operation") == operation:
            shown = found.revisions[0] if not many else ",".join(found.revisions)
            self._tools.events.record(written, "OperationStarted", f"Initiated automated sync to '{shown}'")

    def _sync_error(self, name: str, message: str | None) -> None:
        def change(new: Json) -> None:
            old = new["status"].get("conditions", [])
            before = next((condition for condition in old if condition["type"] == "SyncError"), None)
            kept = [condition for condition in old if condition["type"] != "SyncError"]
            if message:
                same = before if before and before["message"] == message else None
                kept.append(same or {"type": "SyncError", "message": message, "lastTransitionTime": stamp(self._tools.clock())})
            _set_conditions(new["status"], kept)

        self._tools.applications.write(name, change)

    def _finish_deletion(self, app: Json) -> None:
        name = app["metadata"]["name"]
        if RESOURCES_FINALIZER not in app["metadata"].get("finalizers", []):
            return
        for key in self._tools.cluster.tracked_by(name):
            self._tools.cluster.delete(key)
        self._tools.applications.write(name, lambda new: new["metadata"]["finalizers"].remove(RESOURCES_FINALIZER))


def _compared_to(app: Json) -> Json:
    spec = app["spec"]
    told: Json = {"source": copy.deepcopy(spec.get("source") or {"repoURL": ""}), "destination": copy.deepcopy(spec.get("destination", {}))}
    return told | ({"sources": copy.deepcopy(spec["sources"])} if spec.get("sources") else {})


def _set_health(app: Json, status: str, now: str) -> None:
    if app["status"]["health"].get("status") != status:
        app["status"]["health"] = {"status": status, "lastTransitionTime": now}


def _set_conditions(status: Json, conditions: list[Json]) -> None:
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)


def _already_tried(app: Json, found: comparison.Comparison) -> bool:
    state = app["status"].get("operationState") or {}
    result = state.get("syncResult")
    if not result:
        return False
    if [*result.get("revisions", [])] or app["spec"].get("sources"):
        return list(result.get("revisions", [])) == list(found.revisions) and _plain(sources(result)) == _plain(sources(app["spec"]))
    return bool(result.get("revision") == found.revisions[0]) and _plain(sources(result)) == _plain(sources(app["spec"]))


def _plain(parts: list[Json]) -> list[Json]:
    return [{name: value for name, value in part.items() if name != "targetRevision"} for part in parts]
