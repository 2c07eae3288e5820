"""Calls that change an application: create, delete, PUT, PATCH, sync, rollback, terminate (contract 3.4-3.7).

They check and write; what then happens is the controller's.
"""

import copy
import re
from collections.abc import Callable
from typing import Any

from integrations.sandbox.argocd import windows
from integrations.sandbox.argocd.access import Access
from integrations.sandbox.argocd.edge import Call
from integrations.sandbox.argocd.lookup import Lookup
from integrations.sandbox.argocd.objects import CONTROL_PLANE, RESOURCES_FINALIZER, is_automated, is_deleting, known_spec, sources, stamp, wire
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.patching import patch
from integrations.sandbox.argocd.repositories import RenderError
from integrations.sandbox.argocd.status import DENIED, INVALID, PRECONDITION, UNKNOWN, Json, RefusedError, app_not_found, denied
from integrations.sandbox.argocd.writers import SERVER

_BUSY = "another operation is already in progress"


class ApplicationCalls:
    """Handlers; each gets a `Call` and returns the body of the answer."""

    def __init__(self, tools: Machinery, access: Access, lookup: Lookup) -> None:
        self._tools = tools
        self._access = access
        self._lookup = lookup

    async def create(self, call: Call) -> Json:
        """POST /applications: also updates when `upsert` is given."""
        wanted = call.body
        name, spec = (wanted.get("metadata") or {}).get("name", ""), wanted.get("spec") or {}
        project = spec.setdefault("project", "default") or "default"
        self._access.demand(call.caller, "applications", "create", f"{project}/{name}")
        if self._tools.faults.kube_down:
            raise denied()
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):
            raise RefusedError(INVALID, f'Application.argoproj.io "{name}" is invalid: metadata.name: Invalid value: "{name}"')
        self._lookup.validate(name, spec, render=call.one("validate") != "false")
        old = self._tools.applications.get(name)
        if old is not None:
            if old["spec"] != known_spec(spec, self._tools.profile):
                if call.one("upsert") != "true":
                    raise RefusedError(INVALID, "existing application spec is different, use upsert flag to force update")
                self._access.demand(call.caller, "applications", "update", f"{project}/{name}")
                return wire(self._replace(call, name, spec, wanted["metadata"]))
            return wire(old)
        app = self._tools.applications.create(wanted["metadata"], spec)
        self._tools.events.record(app, "ResourceCreated", f"{call.caller.subject} created application", user=call.caller.subject)
        if wanted.get("operation"):
            self._tools.applications.write(name, lambda new: new.update(operation=copy.deepcopy(wanted["operation"])), by=SERVER)
        return wire(app)

    async def delete(self, call: Call) -> Json:
        """DELETE /applications/{n}: with its resources unless `cascade=false`."""
        app = self._lookup.find(call.caller, "delete", call.parts["name"], project=call.one("project"), namespace=call.one("appNamespace"))
        name = app["metadata"]["name"]
        cascade = call.one("cascade", "true") != "false"

        def change(new: Json) -> None:
            kept = [item for item in new["metadata"].get("finalizers", []) if item != RESOURCES_FINALIZER]
            new["metadata"]["finalizers"] = [*kept, RESOURCES_FINALIZER] if cascade else kept

        self._tools.applications.write(name, change, by=SERVER)
        self._tools.events.record(app, "ResourceDeleted", f"{call.caller.subject} deleted application", user=call.caller.subject)
        self._tools.applications.delete(name)
        return {}

    async def put(self, call: Call) -> Json:
        """PUT /applications/{n}: spec, labels, annotations and finalizers are replaced."""
        app = self._find_to_update(call)
        spec = call.body.get("spec") or {}
        self._lookup.validate(app["metadata"]["name"], spec, render=call.one("validate") != "false")
        return wire(self._replace(call, app["metadata"]["name"], spec, call.body.get("metadata") or {}))

    async def put_spec(self, call: Call) -> Json:
        """PUT /applications/{n}/spec: last write wins."""
        app = self._find_to_update(call)
        self._lookup.validate(app["metadata"]["name"], call.body, render=call.one("validate") != "false")
        spec: Json = self._replace(call, app["metadata"]["name"], call.body, None)["spec"]
        return copy.deepcopy(spec)

    async def patch(self, call: Call) -> Json:
        """PATCH /applications/{n}: always renders; only spec, labels, annotations and finalizers persist."""
        body, name = call.body, call.parts["name"]
        app = self._lookup.find(call.caller, "get", name, project=body.get("project", ""), namespace=body.get("appNamespace", ""))
        self._access.demand(call.caller, "applications", "update", f"{app['spec']['project']}/{name}")
        told = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **copy.deepcopy(app)}
        new = patch(told, body["patch"], body["patchType"])
        if not isinstance(new.get("spec"), dict) or not isinstance(new.get("metadata"), dict):
            raise RefusedError(UNKNOWN, "json: cannot unmarshal patched application")
        self._lookup.validate(name, new["spec"], render=True)
        return wire(self._replace(call, name, new["spec"], new["metadata"]))

    def _find_to_update(self, call: Call) -> Json:
        app = self._lookup.find(call.caller, "update", call.parts["name"], project=call.one("project"), namespace=call.one("appNamespace"))
        wanted = (call.body.get("spec") or call.body).get("project") or "default"
        if wanted != app["spec"]["project"]:
            self._access.demand(call.caller, "applications", "create", f"{wanted}/{app['metadata']['name']}")
        return app

    def _replace(self, call: Call, name: str, spec: Json, metadata: Json | None) -> Json:
        def change(new: Json) -> None:
            new["spec"] = copy.deepcopy(spec)
            for part in ("labels", "annotations", "finalizers") if metadata is not None else ():
                new["metadata"][part] = copy.deepcopy((metadata or {}).get(part) or ([] if part == "finalizers" else {}))

        before = self._tools.applications.get(name)
        written = self._tools.applications.write(name, change, by=SERVER) or before
        if written is None:
            raise app_not_found(name)
        self._tools.events.record(written, "ResourceUpdated", f"{call.caller.subject} updated application spec", user=call.caller.subject)
        return written

    async def sync(self, call: Call) -> Json:
        """POST …/sync, with the checks in Argo CD's order."""
        body, caller, name = call.body, call.caller, call.parts["name"]
        app = self._lookup.find(caller, "get", name, project=body.get("project", ""), namespace=body.get("appNamespace", ""))
        spec, dry_run = app["spec"], bool(body.get("dryRun"))
        self._check_windows(app)
        self._access.demand(caller, "applications", "sync", f"{spec['project']}/{name}")
        if body.get("manifests"):
            self._access.demand(caller, "applications", "override", f"{spec['project']}/{name}")
            if is_automated(app) and not dry_run:
                raise RefusedError(PRECONDITION, "cannot use local sync when Automatic Sync Policy is enabled unless for dry run")
        if is_deleting(app):
            raise RefusedError(PRECONDITION, "application is deleting")
        shown, found = self._resolve(app, body)
        many = spec.get("sources")
        sync: Json = {} if many else {"revision": found[0]}
        sync |= {part: True for part in ("prune", "dryRun") if body.get(part)}
        sync |= {"syncStrategy": body["strategy"]} if body.get("strategy") else {}
        sync |= {"resources": body["resources"]} if body.get("resources") else {}
        sync["source"] = {"repoURL": ""} if many else copy.deepcopy(spec["source"])
        policy = spec.get("syncPolicy", {})
        chosen = body["syncOptions"].get("items") or [] if "syncOptions" in body else policy.get("syncOptions", [])
        sync |= {"syncOptions": list(chosen)} if chosen else {}
        sync |= {"sources": copy.deepcopy(many), "revisions": found} if many else {}
        retry = body.get("retryStrategy") or policy.get("retry") or {}
        operation = (
            {"sync": sync, "initiatedBy": {"username": caller.subject}}
            | ({"info": body["infos"]} if body.get("infos") else {})
            | {"retry": copy.deepcopy(retry)}
        )
        partial = "partial " if body.get("resources") else ""
        return self._set_operation(call, operation, f"initiated {partial}sync to {shown}")

    def _check_windows(self, app: Json) -> None:
        assigned = windows.assigned(self._tools.projects.windows(app["spec"]["project"]), app)
        try:
            free = windows.may_sync(assigned, manual=True, now=self._tools.clock())
        except (ValueError, KeyError) as error:
            raise RefusedError(DENIED, f"cannot sync: invalid sync window: {error}") from error
        if not free:
            raise RefusedError(DENIED, "cannot sync: blocked by sync window")

    def _resolve(self, app: Json, body: Json) -> tuple[str, list[str]]:
        parts = sources(app["spec"])
        asked: list[str | None] = [None] * len(parts)
        if app["spec"].get("sources"):
            for place, revision in zip(body.get("sourcePositions") or [], body.get("revisions") or [], strict=False):
                if not 1 <= place <= len(parts):
                    raise RefusedError(UNKNOWN, "source position is out of range")
                asked[place - 1] = revision
        else:
            asked[0] = body.get("revision") or None
        shown, found = [], []
        for source, revision in zip(parts, asked, strict=True):
            target = source.get("targetRevision") or "HEAD"
            if revision and revision != target and is_automated(app) and not body.get("dryRun"):
                which = f"source {source['repoURL']} to {revision}" if app["spec"].get("sources") else f"to {revision}"
                raise RefusedError(PRECONDITION, f"Cannot sync {which}: auto-sync currently set to {target}")
            try:
                sha = self._tools.repositories.resolve(source, revision)
            except RenderError as error:
                raise RefusedError(PRECONDITION, f"error resolving repo revision: {error.rpc}") from error
            found.append(sha)
            shown.append(sha if (revision or target) == sha else f"{revision or target} ({sha})")
        return ", ".join(shown), found

    async def rollback(self, call: Call) -> Json:
        """POST …/rollback: knows nothing of windows, Git or health (contract 3.5)."""
        body, name = call.body, call.parts["name"]
        app = self._lookup.find(call.caller, "sync", name, project=body.get("project", ""), namespace=body.get("appNamespace", ""))
        if is_deleting(app):
            raise RefusedError(PRECONDITION, "application is deleting")
        if is_automated(app):
            raise RefusedError(PRECONDITION, "rollback cannot be initiated when auto-sync is enabled")
        entry = next((item for item in app["status"].get("history", []) if item["id"] == body["id"]), None)
        if entry is None:
            raise RefusedError(INVALID, f"application {CONTROL_PLANE}/{name} does not have deployment with id {body['id']}")
        many = entry.get("sources")
        sync: Json = {} if many else {"revision": entry["revision"]}
        sync |= {part: True for part in ("prune", "dryRun") if body.get(part)}
        sync |= {"syncStrategy": {"apply": {}}, "source": copy.deepcopy(entry["source"])}
        chosen = app["spec"].get("syncPolicy", {}).get("syncOptions")
        sync |= {"syncOptions": list(chosen)} if chosen else {}
        sync |= {"sources": copy.deepcopy(many), "revisions": list(entry["revisions"])} if many else {}
        operation = {"sync": sync, "initiatedBy": {"username": call.caller.subject}, "retry": {}}
        return self._set_operation(call, operation, f"initiated rollback to {body['id']}")

    def _set_operation(self, call: Call, operation: Json, words: str) -> Json:
        name = call.parts["name"]
        app = self._tools.applications.get(name)
        if app is None:
            what = f'error setting app operation: error getting application "{name}": applications.argoproj.io "{name}" not found'
            raise RefusedError(5, what)
        if "operation" in app:
            raise RefusedError(PRECONDITION, _BUSY)

        def change(new: Json) -> None:
            new["operation"] = operation
            new["status"].pop("operationState", None)

        written = self._tools.applications.write(name, change, by=SERVER) or app
        self._tools.events.record(written, "OperationStarted", f"{call.caller.subject} {words}", user=call.caller.subject)
        return wire(written)

    async def terminate(self, call: Call) -> Json:
        """DELETE …/operation: fails before the controller picked the operation up."""
        app = self._lookup.find(call.caller, "sync", call.parts["name"], project=call.one("project"), namespace=call.one("appNamespace"))
        if "operation" not in app or "operationState" not in app["status"]:
            raise RefusedError(INVALID, "Unable to terminate operation. No operation is in progress")
        self._tools.applications.write(app["metadata"]["name"], lambda new: new["status"]["operationState"].update(phase="Terminating"), by=SERVER)
        self._tools.events.record(app, "ResourceUpdated", f"{call.caller.subject} terminated running operation", user=call.caller.subject)
        return {}

    def write_by_kubernetes(self, name: str, change: Callable[[Json], Any], *, by: str) -> Json:
        """What somebody with Kubernetes rights may do past the API, such as setting or removing `operation` (contract 4.2 F, 4.5)."""
        written = self._tools.applications.write(name, lambda new: change(new) and None, by=by)
        if written is None:
            raise LookupError(f"{name} at {stamp(self._tools.clock())}")
        return written

    def apply_by_kubernetes(self, name: str, body: Json, *, by: str) -> Json:
        """A server-side apply past the API, by force."""
        written = self._tools.applications.apply(name, body, by=by)
        if written is None:
            raise LookupError(f"{name} at {stamp(self._tools.clock())}")
        return written
