"""The world with a sandbox Argo CD in it: Applications, who owns them, and what people and pipelines do to them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from integrations.delivery.argocd import client as argocd_client
from integrations.delivery.argocd.adapter import build
from integrations.delivery.argocd.settings import Settings
from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import Timings
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock, Delivery
from service.settings import Configured
from tests.chaos.fate import Fate
from tests.chaos.schedule import Shop
from tests.chaos.wire import Server, Wire
from tests.chaos.world import APPLIED_EVERY, APPLIES, FLUX, INSTANCE, NOBODY, REVISION_FREE, Deed, Entry, Json, Ship, World

ADDRESS = "http://argocd.example"


class ArgoCDWorld(World):
    """Shops are Applications of their name."""

    kind = "argocd"
    label = "argocd_app"

    def __init__(self, fate: Fate, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(fate, loop)
        self.argocd = SandboxArgoCD(clock=self.now, timings=Timings(resync=60.0), readiness=self._readiness)
        self.server = Server(self.argocd._app, address=ADDRESS, latest=25.0)  # noqa: SLF001  served without a socket; the adapter counts on 30
        self.token = self.argocd.add_account(
            "backout",
            [
                *(f"p, backout, applications, {verb}, */*, allow" for verb in ("get", "sync", "update")),
                "p, backout, projects, get, *, allow",
                "p, backout, applicationsets, get, */*, allow",
            ],
        )
        access = self.argocd._access  # noqa: SLF001  see below
        access.authenticate = cache(access.authenticate)  # type: ignore[method-assign]  # a signature checked again for each request takes most of its time
        self._alice = self.argocd.add_account("alice", ["p, alice, *, *, */*, allow", "p, alice, projects, *, *, allow"])
        self._by_config = {(ship.app, ship.config): ship for ship in self.fleet.ships.values()}
        self.appliers: dict[str, Json] = {}
        applications = self.argocd._calls._tools.applications  # noqa: SLF001  the diary reads what Kubernetes stores
        applications.listeners.append(self._heard)
        self.applications = applications
        self.argocd.cluster.watchers.append(lambda name, _managed: self._looked(name))

    # --- the delivery system, as Backout meets it ------------------------------------------------------------------------------

    def target(self, app: str) -> TargetId:
        return TargetId(INSTANCE, app)

    def app_of(self, target: TargetId) -> str:
        return target.name

    def connection(self, folder: Path, *, watch: bool) -> Configured:
        return Configured(kind=self.kind, name=INSTANCE, settings=Settings(name=INSTANCE, url=ADDRESS, token_file=folder / "none", watch=watch))

    def delivery(self, connection: Configured, http: Wire, clock: Clock, traceparent: Callable[[], str]) -> Delivery:
        assert isinstance(connection.settings, Settings)
        with mock.patch.object(argocd_client, "Http", return_value=http):  # the network is what is played here
            return build(connection.settings, clock, traceparent=traceparent)

    def credential(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def told(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, str]:
        del body
        application = path.split("/")[4]
        if path.endswith(("/rollback", "/sync")):
            return path.rpartition("/")[2], application
        return {"PATCH": "patch", "PUT": "spec", "DELETE": "terminate"}.get(method, method), application

    # --- people and pipelines ---------------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: str = "", token: str = "") -> Json:
        """One call of Argo CD's API as a person, or TemporaryError with its words."""
        headers = {"Authorization": f"Bearer {token or self._alice}", "Content-Type": "application/json"}
        answer = await self.server.answer(method, path, query, headers, b"" if body is None else json.dumps(body).encode())
        if answer.status >= 300:
            raise TemporaryError(f"{method} {path} -> {answer.status}: {answer.first_line()}")
        return answer.json() if answer.body else None

    async def open_shop(self, shop: Shop) -> None:
        """A shop with two good releases in its history, the second one live; `owner` is who made its Application and writes its spec."""
        app, auto_sync, self_heal, owner = shop.app, shop.auto_sync, shop.self_heal, shop.owner
        self.apps = (*self.apps, app)
        self.fleet.point(app, "1.0.0")
        policy: Json = {"automated": {"prune": False, "selfHeal": self_heal}} if auto_sync else {}
        source = {"repoURL": self.fleet.git.file_url("config"), "path": app, "targetRevision": app}
        body = {
            "metadata": {"name": app, "namespace": "argocd", "annotations": {"team": "shop"}},
            "spec": {
                "project": "default",
                "source": source,
                "destination": {"server": "https://kubernetes.default.svc", "namespace": app},
                "syncPolicy": {**policy, "syncOptions": ["CreateNamespace=true"]},
            },
        }
        if owner in APPLIES:
            declared = {"spec": {**body["spec"], "syncPolicy": {"automated": {**policy.get("automated", {}), **APPLIES[owner]}}}}
            self.appliers[app] = {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, **declared}
        if owner == NOBODY or owner in APPLIES:
            await self.call("POST", "/api/v1/applications", body)
            self.apply(app)
        else:
            await self.call("POST", "/api/v1/applicationsets", _set_of(app, body, leaves_revision=owner == REVISION_FREE))
            await asyncio.sleep(1.0)
        for version in ("1.0.0", "1.1.0"):
            self.fleet.point(app, version)
            await self.deploy(app, auto_sync=auto_sync)
            await asyncio.sleep(5.0)

    def apply(self, app: str) -> None:
        """Its applier puts back what it declares, whoever changed that; nothing, where there is none."""
        if app in self.appliers:
            self.argocd.apply_by_kubernetes(app, json.loads(json.dumps(self.appliers[app])), by=FLUX)

    async def deploy(self, app: str, *, auto_sync: bool) -> None:
        """What a pipeline does after it wrote the configuration: a refresh; and a sync where nothing else would."""
        await self.call("GET", f"/api/v1/applications/{app}", query="refresh=normal")
        if not auto_sync:
            await self.call("POST", f"/api/v1/applications/{app}/sync", {"name": app})

    async def release(self, app: str, version: str, how: str = "") -> None:
        """The next version goes out."""
        del how
        self.diary.note(f"{app} {version} is released")
        self.diary.desired.setdefault(app, []).append((self._loop.time(), version))
        self.fleet.point(app, version)
        live = self.applications.get(app)
        on = bool(live and _automated(live))
        try:
            if on:
                await self.call("GET", f"/api/v1/applications/{app}", query="refresh=normal")
            elif not self.held(app):
                await self.call("POST", f"/api/v1/applications/{app}/sync", {"name": app})
        except TemporaryError as error:
            self.diary.note(f"the pipeline of {app} failed: {error}")

    async def person(self, app: str, what: str) -> None:
        """Alice does something to the target by hand."""
        live = self.applications.get(app)
        if live is None:
            return
        path = f"/api/v1/applications/{app}"
        history = live["status"].get("history", [])
        try:
            match what:
                case "syncs":
                    await self.call("POST", f"{path}/sync", {"name": app})
                case "rolls back":
                    if _automated(live) or not history:
                        return
                    await self.call("POST", f"{path}/rollback", {"id": self.fate.chance.choice(history).get("id", 0)})
                case "edits the spec":
                    patch = [{"op": "add", "path": "/spec/revisionHistoryLimit", "value": self.fate.chance.randint(5, 50)}]
                    await self.call("PATCH", path, {"patch": json.dumps(patch), "patchType": "json"})
                case "turns auto-sync on":
                    patch = [{"op": "add", "path": "/spec/syncPolicy/automated", "value": {"prune": False, "selfHeal": True}}]
                    await self.call("PATCH", path, {"patch": json.dumps(patch), "patchType": "json"})
                case "turns auto-sync off":
                    if not _automated(live):
                        return
                    patch = [{"op": "remove", "path": "/spec/syncPolicy/automated"}]
                    await self.call("PATCH", path, {"patch": json.dumps(patch), "patchType": "json"})
                case _:
                    raise AssertionError(what)
        except TemporaryError as error:
            self.diary.note(f"alice tried to: {what} ({app}), and could not: {error}")
            return
        self.diary.deeds.append(Deed(self._loop.time(), app, "alice", what))
        self.diary.note(f"alice {what} ({app})")

    def window(self, *, closed: bool) -> None:
        """A deny window over everything, or none."""
        window = {"kind": "deny", "schedule": "* * * * *", "duration": "2m", "applications": ["*"], "manualSync": False}
        self.argocd.projects.set_windows("default", [window] if closed else [])
        self.diary.flag("sync window closed", closed)

    def controller(self, *, down: bool) -> None:
        """The application controller stops or goes on."""
        self.argocd.faults.controller_down = down
        self.diary.flag("controller down", down)

    def repo_server(self, *, down: bool) -> None:
        """Nothing renders."""
        self.argocd.faults.repo_server_down = down
        self.diary.flag("repo-server down", down)

    def outage(self, name: str, *, begins: bool) -> None:
        match name:
            case "sync window closed":
                self.window(closed=begins)
            case "controller down":
                self.controller(down=begins)
            case "repo-server down":
                self.repo_server(down=begins)
            case "API down":
                self.server.down = begins
                self.diary.flag(name, begins)
            case _:
                raise AssertionError(name)

    async def background(self) -> None:
        """Appliers apply again and again what they declare."""
        while self.appliers:
            for app in self.appliers:
                self.apply(app)
            await asyncio.sleep(APPLIED_EVERY)

    # --- what is ------------------------------------------------------------------------------------------------------------

    def version_of(self, app: str, revision: str) -> str:
        """The version that a configuration revision deploys; "?" when it is none of ours."""
        ship = self._by_config.get((app, revision))
        return ship.version if ship else "?"

    def held(self, app: str) -> bool:
        """Whether Backout's mark is on it."""
        live = self.applications.get(app)
        return bool(live and "backout.dev/hold" in live["metadata"].get("annotations", {}))

    def follows(self, app: str) -> str:
        """What its source follows: its branch, or a commit where it is pinned."""
        live = self.applications.get(app)
        return str(live["spec"]["source"]["targetRevision"]) if live else ""

    def automated(self, app: str) -> bool:
        """Whether auto-sync is on."""
        live = self.applications.get(app)
        return bool(live and _automated(live))

    def pods(self, app: str) -> list[tuple[Ship | None, bool]]:
        """Each pod's version and whether it is ready."""
        found: list[tuple[Ship | None, bool]] = []
        cluster = self.argocd.cluster
        for deployment in cluster.tracked_by(app).values():
            if deployment["kind"] != "Deployment":
                continue
            for replica_set in cluster.owned_by(deployment["metadata"]["uid"]).values():
                for pod in cluster.owned_by(replica_set["metadata"]["uid"]).values():
                    status = (pod.get("status", {}).get("containerStatuses") or [{}])[0]
                    found.append((self._by_digest.get(str(status.get("imageID", "")).rpartition("@")[2]), bool(status.get("ready"))))
        return found

    def _readiness(self, image: str) -> float | None:
        ship = self._by_digest.get(image.rpartition("@")[2])
        return None if ship is None or ship.errors is None else 0.5

    def _heard(self, kind: str, old: Json | None, new: Json) -> None:
        name, now = new["metadata"]["name"], self._loop.time()
        if kind == "DELETED":
            return
        known = {entry.number for entry in self.diary.entries if entry.app == name}
        for one in new["status"].get("history", []):
            number = int(one.get("id", 0))
            if number not in known:
                by = one.get("initiatedBy", {})
                who = "" if by.get("automated") else str(by.get("username", ""))
                ship = self._by_config.get((name, one["revision"]))
                version = ship.version if ship else one["revision"][:7]
                self.diary.entries.append(Entry(now, name, number, version, who))
                self.diary.note(f"{name}: history entry {number} deploys {version} (by {who or 'auto-sync'})")
        on = _automated(new)
        if old is None or on != _automated(old):
            self.diary.auto_sync.setdefault(name, []).append((now, on))
            if old is not None:
                self.diary.note(f"{name}: auto-sync is {'on' if on else 'off'}")

    async def end(self) -> None:
        """Stop the sandbox."""
        await self.argocd.stop()


def _set_of(app: str, body: Json, *, leaves_revision: bool) -> Json:
    """An ApplicationSet that generates just this application, and takes back every edit but, if it leaves that alone, of the revision."""
    rules: Json = {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/source/targetRevision"]}]} if leaves_revision else {}
    template = {"metadata": {"name": "{{app}}", "annotations": body["metadata"]["annotations"]}, "spec": body["spec"]}
    spec = {"generators": [{"list": {"elements": [{"app": app}]}}], "template": template, **rules}
    return {"metadata": {"name": f"{app}-set", "namespace": "argocd"}, "spec": spec}


def _automated(app: Json) -> bool:
    policy = app["spec"].get("syncPolicy", {}).get("automated")
    return policy is not None and policy.get("enabled") is not False
