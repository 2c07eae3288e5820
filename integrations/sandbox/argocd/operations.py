"""Runs one sync operation on an application: windows, rendering, hooks and waves, pruning, retries, history, the final state.

The order of writes is that of recordings 20 and 21. Starting operations and refreshing afterwards is the controller's work.
"""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from integrations.sandbox.argocd import comparison, health, windows
from integrations.sandbox.argocd.cluster import Cluster, RejectedError, UnknownKindError
from integrations.sandbox.argocd.ignored import RESPECT, paths_for, with_live
from integrations.sandbox.argocd.objects import DELETION_APPROVED, HOOK, WAVE, Key, annotation, options, sources, stamp
from integrations.sandbox.argocd.repositories import RenderError, Repositories
from integrations.sandbox.argocd.settings import Clock, Faults, Profile, Timings, while_down
from integrations.sandbox.argocd.state import Applications, Events, Projects
from integrations.sandbox.argocd.status import Json

BLOCKED: Final = "Sync operation blocked by sync window"
_KIND_ORDER: Final = [
    "Namespace",
    "NetworkPolicy",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "PersistentVolumeClaim",
    "Role",
    "RoleBinding",
    "Service",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "Ingress",
]
_PHASES: Final = ("PreSync", "Sync", "PostSync")


class _TerminatedError(Exception):
    """Somebody asked for the end of the operation."""


class _GoneError(Exception):
    """The application or its operation vanished under us."""


class _FailedError(Exception):
    """The operation ends in `phase` with a message."""

    def __init__(self, phase: str, message: str) -> None:
        super().__init__(message)
        self.phase = phase
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Machinery:
    """What an operation works with."""

    applications: Applications
    projects: Projects
    events: Events
    cluster: Cluster
    repositories: Repositories
    clock: Clock
    timings: Timings
    faults: Faults
    profile: Profile


@dataclass(slots=True, kw_only=True)
class _Task:
    key: Key
    manifest: Json
    phase: str = "Sync"
    wave: int = 0
    prune: bool = False
    result: Json = field(default_factory=dict)

    @property
    def hook(self) -> bool:
        return bool(annotation(self.manifest, HOOK))


class Operation:
    """One operation of one application, from Running to its final state."""

    def __init__(self, tools: Machinery, name: str) -> None:
        self._tools = tools
        self._name = name
        self._results: list[Json] = []
        self._retries = 0
        self._begun = False

    async def run(self) -> None:
        """Carry the operation out; returns when it left the slot or the application is gone."""
        tools = self._tools
        started = tools.clock()
        try:
            self._begin(started)
            await self._first_look_at_windows()
            while True:
                try:
                    message = await self._attempt(started)
                except _FailedError as failed:
                    if not await self._retry(failed):
                        self._end(failed.phase, failed.message)
                        return
                else:
                    self._end("Succeeded", message)
                    return
        except _TerminatedError:
            try:
                await self._sleep(tools.timings.terminate, heed_termination=False)
                self._end("Failed", "Operation terminated")
            except _GoneError:
                return
        except _GoneError:
            return

    def _app(self) -> Json:
        app = self._tools.applications.get(self._name)
        if app is None or "operation" not in app or (self._begun and "operationState" not in app["status"]):  # another operation took the slot
            raise _GoneError
        return app

    def _change_state(self, change: Callable[[Json], None]) -> None:
        self._app()
        self._tools.applications.write(self._name, lambda new: change(new["status"]["operationState"]))

    def _begin(self, started: datetime) -> None:
        def change(new: Json) -> None:
            new["status"]["operationState"] = {"operation": copy.deepcopy(new["operation"]), "phase": "Running", "startedAt": stamp(started)}

        self._app()
        self._tools.applications.write(self._name, change)
        self._begun = True

    async def _sleep(self, seconds: float, *, heed_termination: bool = True) -> None:
        await asyncio.sleep(seconds * self._tools.timings.pace)
        await while_down(self._tools.faults)
        phase = self._app()["status"].get("operationState", {}).get("phase")
        if heed_termination and phase == "Terminating":
            raise _TerminatedError

    def _say(self, message: str) -> None:
        def change(state: Json) -> None:
            if state["phase"] == "Running":
                state["message"] = message
                state["syncResult"] = self._sync_result()

        self._change_state(change)

    def _may_sync(self, *, manual: bool) -> bool:
        app = self._app()
        assigned = windows.assigned(self._tools.projects.windows(app["spec"]["project"]), app)
        return windows.may_sync(assigned, manual=manual, now=self._tools.clock())

    async def _first_look_at_windows(self) -> None:
        """It counts as automated, so a manual operation shows "blocked" for a moment even where it may run (recording 09)."""
        if self._may_sync(manual=False):
            return
        self._change_state(lambda state: state.update(message=BLOCKED))
        await self._sleep(self._tools.timings.blocked, heed_termination=False)
        await self._wait_for_windows()
        self._change_state(lambda state: state.pop("message", None) and None)

    async def _wait_for_windows(self) -> None:
        """The controller looks at them at each pass, also of an operation that is half done; told to end, one ends only when they open (recording 08)."""
        manual = not self._app()["operation"].get("initiatedBy", {}).get("automated", False)
        while not self._may_sync(manual=manual):
            self._change_state(lambda state: state.update(message=BLOCKED))
            await self._sleep(self._tools.timings.resync, heed_termination=False)
        if self._app()["status"]["operationState"]["phase"] == "Terminating":
            raise _TerminatedError

    async def _attempt(self, started: datetime) -> str:
        tools, app = self._tools, self._app()
        sync = app["operation"]["sync"]
        self._results = []
        holder = sync if sources(sync) else app["spec"]
        revisions = list(sync.get("revisions") or ([sync["revision"]] if sync.get("revision") else []))
        await self._sleep(tools.timings.apply)
        try:
            target = comparison.load(tools.repositories, app, holder, revisions or None)
        except RenderError as error:
            raise _FailedError("Error", f"{comparison.COMPARISON_ERROR}: {error.message}") from error
        tasks = self._plan(app, sync, target)
        dry_run = bool(sync.get("dryRun"))
        strange = [task for task in tasks if not task.prune and not self._tools.cluster.knows(task.key)]
        if strange:  # what nobody knows is refused before anything is applied, so that only it is named
            for task in strange:
                self._run(app, task, dry_run=True)
            self._check(strange, "")
        if dry_run:
            for task in tasks:
                self._run(app, task, dry_run=True)
            self._check(tasks, " (dry run)")
            return "successfully synced (no more tasks)"
        groups = sorted({(_PHASES.index(task.phase), task.wave) for task in tasks})
        for number, (phase, wave) in enumerate(groups):
            group = [task for task in tasks if _PHASES.index(task.phase) == phase and task.wave == wave]
            if number and groups[number - 1][0] == phase:
                await self._sleep(tools.timings.wave)
            for task in group:
                if task.prune and "Prune=confirm" in options(task.manifest):  # asked for also where nothing would be pruned
                    await self._confirmed(task, started)
                self._run(app, task, dry_run=False)
            self._check(tasks, "")
            await self._settled(group, last=number == len(groups) - 1)
        if not sync.get("resources"):
            self._append_history(app, target, started)
            await self._sleep(tools.timings.record, heed_termination=False)
        return "successfully synced (all tasks run)"

    def _plan(self, app: Json, sync: Json, target: comparison.Target) -> list[_Task]:
        namespace = app["spec"].get("destination", {}).get("namespace", "")
        chosen = [(item.get("group", ""), item["kind"], item.get("namespace"), item["name"]) for item in sync.get("resources") or []]
        hooks_run = "apply" not in sync.get("syncStrategy", {}) and not chosen
        tasks = []
        for manifest in target.manifests:
            task = _Task(key=Key.of(manifest, namespace), manifest=manifest, wave=_wave(manifest))
            kinds = {part.strip() for part in annotation(manifest, HOOK).split(",") if part.strip()}
            if kinds:
                phase = next((name for name in _PHASES if name in kinds), "")
                if not hooks_run or not phase:
                    continue
                task.phase = phase
            elif chosen and not _is_chosen(task.key, chosen):
                continue
            tasks.append(task)
        wanted = {Key.of(manifest, namespace) for manifest in target.manifests}
        for key, live in self._tools.cluster.tracked_by(self._name).items():
            if key not in wanted and not annotation(live, HOOK) and (not chosen or _is_chosen(key, chosen)):
                tasks.append(_Task(key=key, manifest=live, prune=True, wave=min((task.wave for task in tasks if task.phase == "Sync"), default=0)))
        if (
            "CreateNamespace=true" in (sync.get("syncOptions") or [])
            and namespace
            and self._tools.cluster.get(Key("", "Namespace", "", namespace)) is None
            and tasks
        ):
            made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            tasks.append(_Task(key=Key("", "Namespace", "", namespace), manifest=made, phase="PreSync", wave=-1000))
        return sorted(tasks, key=lambda task: (_PHASES.index(task.phase), task.wave, not task.prune, _rank(task) * (-1 if task.prune else 1), task.key))

    def _run(self, app: Json, task: _Task, *, dry_run: bool) -> None:
        sync, destination = app["operation"]["sync"], app["spec"].get("destination", {})
        said = set(sync.get("syncOptions") or []) | options(task.manifest)
        status, phase = "Synced", "Succeeded" if dry_run else "Running"
        if task.prune:
            phase = "Succeeded"
            if not sync.get("prune"):
                status, message = "PruneSkipped", "ignored (requires pruning)"
            elif "Prune=false" in said:
                status, message = "PruneSkipped", "ignored (no prune)"
            else:
                status, message = "Pruned", "pruned (dry run)" if dry_run else "pruned"
                if not dry_run:
                    self._tools.cluster.delete(task.key)
        else:
            if task.hook and not dry_run and "BeforeHookCreation" in (annotation(task.manifest, f"{HOOK}-delete-policy") or "BeforeHookCreation"):
                self._tools.cluster.delete(task.key)
            live, manifest = self._tools.cluster.get(task.key), task.manifest
            if RESPECT in said and live is not None:
                manifest = with_live(manifest, live, paths_for(app, task.key))
            try:
                message = self._tools.cluster.apply(
                    manifest, destination.get("namespace", ""), dry_run=dry_run, replace="Replace=true" in said, server_side="ServerSideApply=true" in said
                )
            except (RejectedError, UnknownKindError) as error:
                status, phase, message = "SyncFailed", "Failed", str(error)
        task.result |= {
            "group": task.key.group,
            "version": task.manifest["apiVersion"].rpartition("/")[2],
            "kind": task.key.kind,
            "namespace": task.key.namespace,
        }
        task.result |= {"name": task.key.name, "status": status, "message": message}
        task.result |= {"hookType": task.phase} if task.hook else {}
        task.result |= {"hookPhase": phase, "syncPhase": task.phase}
        holder = task.manifest.get("spec", {}).get("jobTemplate", task.manifest).get("spec", {})
        found = [container["image"] for container in holder.get("template", {}).get("spec", {}).get("containers", []) if "image" in container]
        task.result |= {"images": found} if found else {}
        if task.result not in self._results:
            self._results.append(task.result)

    def _check(self, tasks: list[_Task], suffix: str) -> None:
        failed = [task.result["message"] for task in tasks if task.result.get("status") == "SyncFailed"]
        if not failed:
            return
        if any(message.startswith("The Kubernetes API could not find") for message in failed):
            raise _FailedError("Failed", f"one or more synchronization tasks are not valid: {','.join(failed)}")
        raise _FailedError("Failed", f"one or more objects failed to apply{suffix}, reason: {','.join(failed)}")

    async def _settled(self, group: list[_Task], *, last: bool) -> None:
        """Wait for the hooks of a group, and for its objects' health when more tasks follow."""
        while True:
            await self._wait_for_windows()
            told = [
                (task, (health.of(live) or {"status": "Healthy"})["status"]) for task in group if not task.prune and (live := self._tools.cluster.get(task.key))
            ]
            hooks = [(task, status) for task, status in told if task.hook]
            broken = [task for task, status in told if status == "Degraded" and (task.hook or not last)]
            if broken:
                for task in broken:
                    task.result["hookPhase"] = "Failed"
                raise _FailedError("Failed", "one or more synchronization tasks completed unsuccessfully")
            unfinished = [task for task, status in hooks if status not in {"Healthy", "Suspended"}]
            unhealthy = [task for task, status in told if status not in {"Healthy", "Suspended"} and not task.hook] if not last else []
            if unfinished:
                more = len(unfinished) - 1
                self._say(f"waiting for completion of hook {unfinished[0].key.shown()}" + (f" and {more} more hooks" if more else ""))
            elif unhealthy:
                more = len(unhealthy) - 1
                self._say(f"waiting for healthy state of {unhealthy[0].key.shown()}" + (f" and {more} more resources" if more else ""))
            else:
                for task, _ in told if not last else hooks:  # nobody waits for the health of the last ones
                    task.result["hookPhase"] = "Succeeded"
                for task, _ in hooks:
                    if "HookSucceeded" in annotation(task.manifest, f"{HOOK}-delete-policy"):
                        self._tools.cluster.delete(task.key)
                return
            await self._sleep(self._tools.timings.reconcile)

    async def _confirmed(self, task: _Task, started: datetime) -> None:
        about = f"v1/{task.key.kind}/{task.key.name}" if self._tools.profile.old_confirmation_words else task.key.shown()
        words = f"{'Waiting' if self._tools.profile.old_confirmation_words else 'waiting'} for pruning confirmation of {about}"
        while annotation(self._app(), DELETION_APPROVED) < stamp(started):
            await self._wait_for_windows()
            self._say(words)
            await self._sleep(self._tools.timings.reconcile)

    async def _retry(self, failed: _FailedError) -> bool:
        """Stay Running with `finishedAt` set until the next attempt; False when the operation may not try again."""
        retry = self._app()["operation"].get("retry", {})
        limit = retry.get("limit", 0)
        if limit == 0 or 0 < limit <= self._retries:
            return False
        timings = self._tools.timings
        self._retries += 1
        now = self._tools.clock()

        def change(state: Json) -> None:
            clock = now.strftime("%I:%M%p").lstrip("0")
            state |= {
                "message": f"{failed.message}. Retrying attempt #{self._retries} at {clock}.",
                "syncResult": self._sync_result(),
                "finishedAt": stamp(now),
            }
            state["retryCount"] = self._retries

        self._change_state(change)
        left = min(timings.retry * 2 ** (self._retries - 1), timings.retry_max)
        while left > 0:
            await self._sleep(min(left, timings.reconcile))
            left -= timings.reconcile

        def again(state: Json) -> None:
            state.pop("finishedAt", None)
            state["message"] = f"Retrying operation. Attempt #{self._retries}"

        self._change_state(again)
        return True

    def _sync_result(self) -> Json:
        sync = self._app()["operation"]["sync"]
        told: Json = {"resources": copy.deepcopy(self._results)} if self._results else {}
        told |= {"revision": sync.get("revision", ""), "source": copy.deepcopy(sync.get("source") or {"repoURL": ""})}
        if sync.get("sources"):
            told |= {"sources": copy.deepcopy(sync["sources"]), "revisions": list(sync.get("revisions", []))}
        return told

    def _append_history(self, app: Json, target: comparison.Target, started: datetime) -> None:
        sync = app["operation"]["sync"]
        many = sync.get("sources")
        limit = app["spec"].get("revisionHistoryLimit", 10)
        entry: Json = {} if many else {"revision": target.revisions[0]}
        entry |= {"deployedAt": stamp(self._tools.clock())}

        def change(new: Json) -> None:
            history = new["status"].get("history", [])
            told = entry | {
                "id": history[-1]["id"] + 1 if history else 0,
                "source": copy.deepcopy(sync.get("source") or app["spec"].get("source") or {"repoURL": ""}),
            }
            told["deployStartedAt"] = stamp(started)
            told |= {"sources": copy.deepcopy(many), "revisions": list(target.revisions)} if many else {}
            told["initiatedBy"] = copy.deepcopy(app["operation"].get("initiatedBy", {}))
            kept = [*history, told][-limit:] if limit else []
            if kept:
                new["status"]["history"] = kept
            else:
                new["status"].pop("history", None)

        self._app()
        self._tools.applications.write(self._name, change)

    def _end(self, phase: str, message: str) -> None:
        app = self._app()
        sync = app["operation"]["sync"]
        if self._retries:
            message += f" (retried {self._retries} times)."

        def change(new: Json) -> None:
            state = new["status"]["operationState"]
            kept = state.get("syncResult") if phase in {"Failed", "Error"} and not self._results else None
            state |= {"phase": phase, "message": message, "syncResult": kept or self._sync_result(), "finishedAt": stamp(self._tools.clock())}
            del new["operation"]

        told = self._tools.applications.write(self._name, change)
        revision = sync.get("revision") or ",".join(sync.get("revisions", []))
        what = f"Sync operation to {revision}" if not sync.get("resources") else f"Partial sync operation to {revision}"
        succeeded = phase == "Succeeded"
        self._tools.events.record(
            told or app, "OperationCompleted", f"{what} succeeded" if succeeded else f"{what} failed: {message}", kind="Normal" if succeeded else "Warning"
        )


def _is_chosen(key: Key, chosen: list[tuple[str, str, str | None, str]]) -> bool:
    """Whether a selective sync names the object; a self-heal gives no namespace."""
    return any((group, kind, name) == (key.group, key.kind, key.name) and namespace in {None, "", key.namespace} for group, kind, namespace, name in chosen)


def _wave(manifest: Json) -> int:
    text = annotation(manifest, WAVE)
    return int(text) if text.lstrip("-").isdecimal() else 0


def _rank(task: _Task) -> int:
    return _KIND_ORDER.index(task.key.kind) if task.key.kind in _KIND_ORDER else len(_KIND_ORDER)
