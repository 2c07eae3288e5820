"""Clouddriver: takes operations and tells how they went, reads live or from its cache, and asks Fiat about accounts (contract 4, 5.4).

An operation takes effect when it is done. The same `clientRequestId` is one operation.
"""

import copy
from collections.abc import Callable
from typing import Final

from integrations.sandbox.gate import refusals
from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.kubernetes import KubectlError, Kubernetes, artifact
from integrations.sandbox.gate.refusals import BackendError
from integrations.sandbox.gate.server_groups import GroupError, ServerGroup, ServerGroups
from integrations.sandbox.gate.settings import Faults, Json, Outage, Timings
from integrations.sandbox.gate.timeline import Timeline

Operation = Callable[[Json], list[Json]]
AccountRight = Callable[[str, str], bool]
_BEGUN: Final = {"phase": "ORCHESTRATION", "status": "Initializing Orchestration Task..."}


class Clouddriver:
    """One Clouddriver over the clusters and groups of a sandbox. `may_write(user, account)` is filled in by the server."""

    def __init__(self, timeline: Timeline, ids: Ids, timings: Timings, faults: Faults) -> None:
        self._timeline = timeline
        self._ids = ids
        self._timings = timings
        self._faults = faults
        self.kubernetes = Kubernetes(timeline, timings.ready)
        self.groups = ServerGroups(timeline, timings.ready)
        self.accounts: dict[str, str] = {}
        self.may_write: AccountRight = lambda _user, _account: True
        self._tasks: dict[str, Json] = {}
        self._requests: dict[str, str] = {}
        self._kept: Json = {}
        self.tries: dict[str, int] = {}
        """How often an operation was posted, by its `clientRequestId`."""
        self._refreshing = False
        self.caching = False  # from the start of the server on
        self.posted: list[Json] = []
        """Every operation that was posted, with the user who did, oldest first: `{name, body, user, taken}`."""
        self.kubernetes.changed.append(self._forget_later)
        self.groups.changed.append(self._forget_later)
        self._operations: dict[str, Operation] = {
            "undoRolloutManifest": self._undo,
            "scaleManifest": self._scale,
            "enableManifest": lambda body: self._switch(body, on=True),
            "disableManifest": lambda body: self._switch(body, on=False),
            "pauseRolloutManifest": lambda body: self._pause(body, paused=True),
            "resumeRolloutManifest": lambda body: self._pause(body, paused=False),
            "rollingRestartManifest": self._restart,
            "deleteManifest": self._delete,
            "patchManifest": lambda body: [_promoted(body)],
            "deployManifest": self._deploy,
            "cleanupArtifacts": lambda _body: [],
            "enableServerGroup": lambda body: self._group(body, self.groups.enable),
            "disableServerGroup": lambda body: self._group(body, self.groups.disable),
            "destroyServerGroup": lambda body: self._group(body, self.groups.destroy),
            "resizeServerGroup": self._resize,
            "cloneServerGroup": self._clone,
            "createServerGroup": self._create,
        }

    # --- operations --------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """BackendError where Clouddriver is away or has no wish to answer."""
        answer_of(self._faults.clouddriver)

    def operate(self, name: str, body: Json, *, user: str, request: str) -> str:
        """Take an operation; answers the id of its task. BackendError: refused, nothing will happen."""
        self.posted.append({"name": name, "body": copy.deepcopy(body), "user": user, "taken": False})
        self.tries[request] = self.tries.get(request, 0) + 1
        self.check()
        answer_of(self._faults.operations)
        if request in self._requests:
            return self._requests[request]
        account = str(body.get("account") or body.get("credentials") or "")
        if not self.may_write(user, account):
            raise BackendError(403, f"Access denied to account {account} - required authorization: WRITE")
        self.posted[-1]["taken"] = True
        task_id = self._requests[request] = self._ids.uuid()
        self._tasks[task_id] = _task(task_id, completed=False)
        self._timeline.after(self._timings.operation, lambda: self._carry_out(task_id, name, copy.deepcopy(body)))
        return task_id

    def _carry_out(self, task_id: str, name: str, body: Json) -> None:
        why = self._faults.refuse_operations.get(name)
        if why is not None:
            self._fail(task_id, name, why)
            return
        try:
            results = self._operations[name](body)
        except (KubectlError, GroupError) as error:
            self._fail(task_id, name, str(error))
        else:
            told = [] if name in self._faults.without_results else results
            self._tasks[task_id] = _task(task_id, completed=True, results=told)

    def _fail(self, task_id: str, name: str, why: str) -> None:
        self._tasks[task_id] = _task(task_id, completed=True, failed={"cause": name, "message": why, "operation": name, "type": "EXCEPTION"})

    def manifest(self, account: str, namespace: str, name: str) -> Json | None:
        """A manifest, live; None when there is no such thing. BackendError where it cannot be read."""
        self.check()
        answer_of(self._faults.manifests)
        return self.kubernetes.manifest(account, namespace, name)

    def task(self, task_id: str) -> Json:
        """How the operation of that task went. BackendError 404 for an unknown one."""
        self.check()
        if task_id not in self._tasks:
            raise BackendError(404, f"Task not found (id: {task_id})")
        return copy.deepcopy(self._tasks[task_id])

    def _undo(self, body: Json) -> list[Json]:
        back, revision = body.get("numRevisionsBack"), body.get("revision")
        if back is None and revision is None:
            raise KubectlError("undoRolloutKubernetesManifestDescription.revisions.empty")
        self.kubernetes.undo(
            *_place(body), revision=None if revision is None else str(revision), back=int(back) if back is not None and str(back).isdigit() else None
        )
        return []

    def _scale(self, body: Json) -> list[Json]:
        self.kubernetes.scale(*_place(body), int(body.get("replicas", 0)))
        return []

    def _switch(self, body: Json, *, on: bool) -> list[Json]:
        self.kubernetes.switch(*_place(body), on=on)
        return []

    def _pause(self, body: Json, *, paused: bool) -> list[Json]:
        self.kubernetes.pause(*_place(body), paused=paused)
        return []

    def _restart(self, body: Json) -> list[Json]:
        self.kubernetes.restart(*_place(body), self._timeline.now.isoformat())
        return []

    def _delete(self, body: Json) -> list[Json]:
        self.kubernetes.delete(*_place(body))
        return []

    def _deploy(self, body: Json) -> list[Json]:
        manifests = [one for one in body.get("manifests", []) if isinstance(one, dict)]
        bound = [*(body.get("requiredArtifacts") or []), *(body.get("optionalArtifacts") or [])]
        for one in manifests:
            bind(one, bound)
            self.kubernetes.deploy(str(body["account"]), one, str(body.get("moniker", {}).get("app", "")), str(body.get("namespaceOverride") or ""))
        return [{**_promoted({**body, "manifests": manifests}), "boundArtifacts": [item for item in bound if any(_uses(one, item) for one in manifests)]}]

    def _group(self, body: Json, act: Callable[[str, str, str], None]) -> list[Json]:
        act(str(body["serverGroupName"]), str(body["credentials"]), str(body["region"]))
        return []

    def _resize(self, body: Json) -> list[Json]:
        self.groups.resize(str(body["serverGroupName"]), str(body["credentials"]), str(body["region"]), body["capacity"])
        return []

    def _clone(self, body: Json) -> list[Json]:
        source = self.groups.find(str(body["serverGroupName"]), str(body["credentials"]), str(body["region"]))
        if source is None:
            raise GroupError(f"Server group {body['serverGroupName']} not found")
        return [_made(self.groups.clone(source, str(body["imageId"])))]

    def _create(self, body: Json) -> list[Json]:
        capacity = body["capacity"]
        return [
            _made(
                self.groups.runs(
                    str(body["application"]),
                    cluster=str(body["cluster"]),
                    image=str(body["imageId"]),
                    account=str(body["credentials"]),
                    region=str(body["region"]),
                    provider=str(body["provider"]),
                    capacity=(int(capacity["min"]), int(capacity["max"]), int(capacity["desired"])),
                    at_once=False,
                )
            )
        ]

    # --- the cache ---------------------------------------------------------------------------------------------------------

    def _forget_later(self) -> None:
        """Something is about to change: until the caching agents look again, what they saw is what is told."""
        if not self.caching or not self._timings.cache:
            return
        if not self._refreshing:
            self._refreshing = True
            self._kept = self._look()
            self._timeline.after(self._timings.cache, self._refresh)

    def _refresh(self) -> None:
        self._refreshing = False
        self._kept = {}

    def _look(self) -> Json:
        kubernetes = self.kubernetes
        names = {one.application for one in kubernetes.workloads} | {one.application for one in kubernetes.sets} | {one.application for one in self.groups.all}
        managers = {name: copy.deepcopy(self.kubernetes.managers(name)) for name in names}
        groups = {name: copy.deepcopy([*map(self.groups.view, self._groups_of(name)), *self.kubernetes.groups(name)]) for name in names}
        return {"managers": managers, "groups": groups}

    def _groups_of(self, application: str) -> list[ServerGroup]:
        return sorted((one for one in self.groups.all if one.application == application), key=lambda one: one.created)

    def cached(self, what: str, application: str) -> list[Json]:
        """`managers` or `groups` of an application, as the caching agents saw them last."""
        self.check()
        seen = self._kept or self._look()
        found: list[Json] = seen[what].get(application, [])
        return copy.deepcopy(found)


def answer_of(outage: Outage | None) -> None:
    """BackendError for what a backend answers while it is out of order; nothing while it is not."""
    if outage is None:
        return
    if outage.status == 0:
        raise BackendError(500, outage.message, kind=refusals.NETWORK)
    if outage.status < 300:
        words = {"html": refusals.HTML_BODY, "broken": refusals.BROKEN_BODY}.get(outage.body, refusals.EMPTY_BODY)
        raise BackendError(500, words, kind=refusals.CONVERSION)
    raise BackendError(outage.status, refusals.phrase(outage.status) if outage.body == "html" else outage.message)


def bind(manifest: Json, artifacts: list[Json]) -> None:
    """Put the images of the artifacts where the manifest names them by their bare name."""
    for container in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        name = artifact(str(container.get("image", "")))["name"]
        fit = next((one for one in artifacts if one.get("type") == "docker/image" and one.get("name") == name), None)
        if fit is not None and fit.get("reference"):
            container["image"] = fit["reference"]


def _uses(manifest: Json, item: Json) -> bool:
    containers = manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return any(container.get("image") == item.get("reference") for container in containers)


def _made(group: ServerGroup) -> Json:
    return {"serverGroupNames": [f"{group.region}:{group.name}"], "serverGroupNameByRegion": {group.region: group.name}}


def _place(body: Json) -> tuple[str, str, str]:
    return str(body.get("account")), str(body.get("location")), str(body.get("manifestName"))


def _promoted(body: Json) -> Json:
    account, created = str(body.get("account")), []
    names: dict[str, list[str]] = {}
    for one in body.get("manifests", []):
        about, kind = one.get("metadata", {}), str(one.get("kind", ""))
        place, low = str(about.get("namespace") or body.get("location") or "default"), kind[:1].lower() + kind[1:]
        made = {"customKind": False, "location": place, "metadata": {"account": account}, "name": about.get("name"), "reference": about.get("name")}
        created.append({**made, "type": f"kubernetes/{low}", "version": ""})
        names.setdefault(place, []).append(f"{low} {about.get('name')}")
    return {
        "boundArtifacts": [],
        "createdArtifacts": created,
        "manifestNamesByNamespace": names,
        "manifests": copy.deepcopy(body.get("manifests", [])),
        "sensitiveResources": [],
    }


def _task(task_id: str, *, completed: bool, failed: Json | None = None, results: list[Json] | None = None) -> Json:
    history = [_BEGUN]
    if failed is not None:
        history = [_BEGUN, {"phase": "ORCHESTRATION", "status": f"Orchestration failed: {failed['message']}"}]
    elif completed:
        history = [_BEGUN, {"phase": "ORCHESTRATION", "status": "Orchestration completed."}]
    told = {"exception": failed} if failed is not None else {}
    status = {"completed": completed, "failed": failed is not None, "retryable": False}
    return {"history": history, "id": task_id, "outputs": [], "resultObjects": [failed] if failed else results or [], "status": status, **told}
