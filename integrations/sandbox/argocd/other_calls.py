"""Calls about everything but single applications: sessions, accounts, projects, ApplicationSets, clusters, settings, version."""

import asyncio
from datetime import UTC, datetime

from integrations.sandbox.argocd import windows
from integrations.sandbox.argocd.access import Access
from integrations.sandbox.argocd.cluster import SERVER
from integrations.sandbox.argocd.edge import Call
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.owners import ApplicationSetController
from integrations.sandbox.argocd.state import ApplicationSets
from integrations.sandbox.argocd.status import EXISTS, INVALID, NOT_FOUND, UNKNOWN, Json, RefusedError


class OtherCalls:
    """Handlers; each gets a `Call` and returns the body of the answer."""

    def __init__(self, tools: Machinery, access: Access, sets: ApplicationSets, owners: ApplicationSetController) -> None:
        self._tools = tools
        self._access = access
        self._sets = sets
        self._owners = owners

    async def login(self, call: Call) -> Json:
        """POST /session; slow on purpose."""
        await asyncio.sleep(self._tools.timings.login * self._tools.timings.pace)
        return {"token": self._access.login(call.body.get("username", ""), call.body.get("password", ""))}

    async def user_info(self, call: Call) -> Json:
        """GET /session/userinfo never fails."""
        caller = call.known_caller
        return {"loggedIn": True, "username": caller.subject, "iss": "argocd"} if caller else {}

    async def account_token(self, call: Call) -> Json:
        """POST /account/{name}/token: one's own, or with `accounts, update`."""
        name = call.parts["name"]
        if call.caller.subject != name:
            self._access.demand(call.caller, "accounts", "update", name)
        return {"token": self._access.account_token(name, expires_in=call.body.get("expiresIn", 0), jti=call.body.get("id", ""))}

    async def revoke_account_token(self, call: Call) -> Json:
        """DELETE /account/{name}/token/{id}."""
        if call.caller.subject != call.parts["name"]:
            self._access.demand(call.caller, "accounts", "update", call.parts["name"])
        self._access.revoke_account_token(call.parts["name"], call.parts["id"])
        return {}

    async def can_i(self, call: Call) -> Json:
        """GET /account/can-i/…."""
        parts = call.parts
        return {"value": "yes" if self._access.can_i(call.caller, parts["resource"], parts["action"], parts["item"]) else "no"}

    async def version(self, call: Call) -> Json:
        """GET /api/version: only `Version` for strangers."""
        told = {"Version": self._tools.profile.version}
        return told | {"BuildDate": "1970-01-01T00:00:00Z", "Platform": "linux/amd64"} if call.known_caller else told

    async def settings(self, call: Call) -> Json:
        """GET /settings."""
        told: Json = {"appLabelKey": "app.kubernetes.io/instance", "trackingMethod": "annotation"}
        return told | ({"controllerNamespace": "argocd"} if call.known_caller else {})

    async def clusters(self, call: Call) -> Json:
        """GET /clusters, filtered silently."""
        state = {"status": "Successful", "message": "", "attemptedAt": None}
        known = {"server": SERVER, "name": "in-cluster", "config": {"tlsClientConfig": {"insecure": False}}, "connectionState": state, "serverVersion": "1.34"}
        return {"metadata": {}, "items": [known] if self._access.allows(call.caller, "clusters", "get", SERVER) else None}

    async def project(self, call: Call) -> Json:
        """GET /projects/{p}, role tokens included."""
        return _shown(self._project(call, "get"))

    async def projects(self, call: Call) -> Json:
        """GET /projects."""
        found = [_shown(item) for item in self._tools.projects.all() if self._access.allows(call.caller, "projects", "get", item["metadata"]["name"])]
        return {"metadata": {}, "items": found or None}

    async def project_windows(self, call: Call) -> Json:
        """GET /projects/{p}/syncwindows: the active ones only, whole."""
        project, now = self._project(call, "get"), self._tools.clock()
        active = [window for window in project["spec"].get("syncWindows") or [] if windows.is_active(window, now)]
        return {"windows": active} if active else {}

    async def create_project(self, call: Call) -> Json:
        """POST /projects `{"project": {…}, "upsert": bool}`."""
        wanted = call.body.get("project") or {}
        name = (wanted.get("metadata") or {}).get("name", "")
        self._access.demand(call.caller, "projects", "create", name)
        old = self._tools.projects.get(name)
        if old is not None and not call.body.get("upsert"):
            if old["spec"] != wanted.get("spec"):
                raise RefusedError(INVALID, "existing project spec is different, use upsert flag to force update")
            return _shown(old)
        _check_windows(wanted.get("spec") or {})
        return _shown(self._tools.projects.put(name, wanted.get("spec") or {}))

    async def update_project(self, call: Call) -> Json:
        """PUT /projects/{p} `{"project": {…}}`."""
        self._project(call, "update")
        spec = (call.body.get("project") or {}).get("spec") or {}
        _check_windows(spec)
        for role in spec.get("roles") or []:
            role.pop("jwtTokens", None)
        return _shown(self._tools.projects.put(call.parts["name"], spec))

    async def delete_project(self, call: Call) -> Json:
        """DELETE /projects/{p}: refused while applications use it."""
        self._project(call, "delete")
        users = [app for app in self._tools.applications.all() if app["spec"]["project"] == call.parts["name"]]
        if users:
            raise RefusedError(INVALID, f"project is referenced by {len(users)} applications")
        self._tools.projects.delete(call.parts["name"])
        return {}

    async def project_token(self, call: Call) -> Json:
        """POST /projects/{p}/roles/{r}/token."""
        self._project(call, "update")
        body = call.body
        return {"token": self._access.project_token(call.parts["name"], call.parts["role"], expires_in=body.get("expiresIn", 0), jti=body.get("id", ""))}

    async def revoke_project_token(self, call: Call) -> Json:
        """DELETE /projects/{p}/roles/{r}/token/{iat}?id=."""
        self._project(call, "update")
        issued = call.parts["iat"]
        self._access.revoke_project_token(call.parts["name"], call.parts["role"], int(issued) if issued.isdecimal() else 0, call.one("id"))
        return {}

    def _project(self, call: Call, action: str) -> Json:
        name = call.parts["name"]
        self._access.demand(call.caller, "projects", action, name)
        project = self._tools.projects.get(name)
        if project is None:
            raise RefusedError(NOT_FOUND, f'appprojects.argoproj.io "{name}" not found')
        return project

    async def application_sets(self, call: Call) -> Json:
        """GET /applicationsets, filtered silently."""
        found = [item for item in self._sets.all() if self._access.allows(call.caller, "applicationsets", "get", _set_object(item))]
        return {"metadata": {}, "items": found or None}

    async def application_set(self, call: Call) -> Json:
        """GET /applicationsets/{name}."""
        item = self._sets.get(call.parts["name"])
        if item is None:
            raise RefusedError(NOT_FOUND, f'applicationsets.argoproj.io "{call.parts["name"]}" not found')
        self._access.demand(call.caller, "applicationsets", "get", _set_object(item))
        return item

    async def create_application_set(self, call: Call) -> Json:
        """POST /applicationsets: list generators only."""
        body = call.body
        if any("list" not in generator for generator in (body.get("spec") or {}).get("generators") or [{}]):
            raise RefusedError(INVALID, "error validating ApplicationSets: the sandbox knows list generators only")
        self._access.demand(call.caller, "applicationsets", "create", _set_object(body))
        old = self._sets.get(body["metadata"]["name"])
        if old is not None and call.one("upsert") != "true":
            raise RefusedError(INVALID, "existing ApplicationSet spec is different, use upsert flag to force update")
        item = self._sets.put({name: body["metadata"][name] for name in ("name", "labels", "annotations") if name in body["metadata"]}, body["spec"])
        self._owners.reconcile(item["metadata"]["name"])
        return item

    async def delete_application_set(self, call: Call) -> Json:
        """DELETE /applicationsets/{name}: its applications go with it."""
        item = self._sets.get(call.parts["name"])
        if item is None:
            raise RefusedError(NOT_FOUND, f'applicationsets.argoproj.io "{call.parts["name"]}" not found')
        self._access.demand(call.caller, "applicationsets", "delete", _set_object(item))
        self._sets.delete(call.parts["name"])
        for app in self._tools.applications.all():
            if any(ref["uid"] == item["metadata"]["uid"] for ref in app["metadata"].get("ownerReferences", [])):
                self._tools.applications.delete(app["metadata"]["name"])
        return {}


def _check_windows(spec: Json) -> None:
    """Kind, schedule and duration tell windows apart; invalid ones are refused."""
    seen: set[tuple[str, str, str]] = set()
    for window in spec.get("syncWindows") or []:
        known = (window.get("kind", ""), window.get("schedule", ""), window.get("duration", ""))
        if known in seen:
            words = f"sync window with kind '{known[0]}', schedule '{known[1]}', and duration '{known[2]}' already exists"
            raise RefusedError(EXISTS, f"{words} (hash={hash(known) & 0xFFFFFFFFFFFFFFFF}, duplicate detected)")
        seen.add(known)
        try:
            next(windows.ticks_after(known[1], datetime(2000, 1, 1, tzinfo=UTC)), None)
        except ValueError as error:
            raise RefusedError(UNKNOWN, f"error validating project: cannot parse schedule '{known[1]}': {error}") from error
        try:
            windows.duration(known[2])
        except ValueError as error:
            raise RefusedError(UNKNOWN, f"error validating project: cannot parse duration '{known[2]}': {error}") from error


def _set_object(item: Json) -> str:
    return f"{item['spec']['template']['spec'].get('project', 'default')}/{item['metadata']['name']}"


def _shown(project: Json) -> Json:
    """A project as the API tells it: role tokens stand in the role and in the status."""
    told = {**project, "spec": {**project["spec"]}}
    tokens = project["status"].get("jwtTokensByRole", {})
    if told["spec"].get("roles"):
        held = {name: {"jwtTokens": entry["items"]} if entry.get("items") else {} for name, entry in tokens.items()}
        told["spec"]["roles"] = [role | held.get(role["name"], {}) for role in told["spec"]["roles"]]
    return told
