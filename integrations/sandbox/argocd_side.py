"""Argo CD as a side of the sandbox world: each shop is an Application whose manifest lies in the world's Git, auto-synced where it is asked for."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import Timings
from integrations.sandbox.git import GitServer
from integrations.sandbox.side import Shipped, write_private
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock

INSTANCE = "sandbox"
TOKEN = "argocd-token"  # noqa: S105  the name of a file


class ArgoCDSide:
    """See `integrations.sandbox.side.Side`; `server` is the sandbox itself."""

    kind = "argocd"
    title = "Argo CD"
    label = "argocd_app"
    shortened = ""

    def __init__(self, *, folder: Path, clock: Clock, git: GitServer, fast: bool) -> None:
        self._folder = folder
        self._git = git
        self.server = SandboxArgoCD(clock=clock.now, timings=Timings.fast() if fast else Timings(resync=3.0))
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._human = ""

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.server.url

    async def open(self) -> None:
        """Start it, with an account for Backout and one for a person."""
        await self.server.start()
        self._session = aiohttp.ClientSession()
        everything = "*/*, allow"
        self._token = self.server.add_account(
            "backout",
            [
                *(f"p, backout, applications, {verb}, {everything}" for verb in ("get", "sync", "update")),
                "p, backout, projects, get, *, allow",
                f"p, backout, applicationsets, get, {everything}",
                f"p, backout, logs, get, {everything}",
            ],
        )
        self._human = self.server.add_account("alice", [f"p, alice, *, *, {everything}", "p, alice, projects, *, *, allow"])
        write_private(self._folder / TOKEN, self._token)

    async def close(self) -> None:
        """Stop it; what was not opened is closed already."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self.server.stop()

    def settings(self) -> Mapping[str, Any]:
        """Backout's settings for it."""
        return {"kind": self.kind, "name": INSTANCE, "url": self.server.url, "token_file": str(self._folder / TOKEN)}

    def target(self, app: str) -> TargetId:
        """The shop as Backout calls it."""
        return TargetId(INSTANCE, app)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, human: bool = True) -> Any:
        """One call of Argo CD's API, as a person would do it."""
        if self._session is None:
            raise TemporaryError("the world is not started")
        headers = {"Authorization": f"Bearer {self._human if human else self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, f"{self.server.url}{path}", data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise TemporaryError(f"Argo CD answered {answer.status}: {text[:200]}")
            return json.loads(text) if text else None

    def namespace(self, app: str) -> str:
        """The one of its name."""
        return app

    async def deploy_first(self, shipped: Shipped, replicas: int, *, auto_sync: bool) -> None:
        """Begin to deploy the first release of a shop that is not there yet. `auto_sync` where there is such a thing."""
        del replicas  # it is in Git
        policy: dict[str, Any] = {"automated": {"prune": False, "selfHeal": True}} if auto_sync else {}
        app = shipped.app
        body = {
            "metadata": {"name": app, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": {"repoURL": self._git.file_url("config"), "path": app, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": app},
                "syncPolicy": {**policy, "syncOptions": ["CreateNamespace=true"]},
            },
        }
        await self.call("POST", "/api/v1/applications", body)
        if not auto_sync:
            await self.call("POST", f"/api/v1/applications/{app}/sync", {"name": app})

    async def deploy_next(self, shipped: Shipped) -> None:
        """Begin to deploy a release that was just shipped."""
        await self._application(shipped.app, "?refresh=normal")  # as a Git webhook would cause

    def called(self, shipped: Shipped) -> str:
        """A release as this system's users call it."""
        return f"{shipped.version} · {shipped.config[:7]}"

    def replicas(self, app: str) -> int:
        """How many pods the shop wants."""
        found = next(o for o in self.server.cluster.tracked_by(app).values() if o["kind"] == "Deployment")
        return int(found["spec"]["replicas"])

    def pods(self, app: str) -> Sequence[tuple[str, bool]]:
        """(digest, ready) of each pod of the shop."""
        found: list[tuple[str, bool]] = []
        for one in self.server.cluster.tracked_by(app).values():
            if one["kind"] != "Deployment":
                continue
            for replica_set in self.server.cluster.owned_by(one["metadata"]["uid"]).values():
                for pod in self.server.cluster.owned_by(replica_set["metadata"]["uid"]).values():
                    status = (pod.get("status", {}).get("containerStatuses") or [{}])[0]
                    found.append((str(status.get("imageID", "")).rpartition("@")[2], bool(status.get("ready"))))
        return found

    def writes(self) -> int:
        """How many writing requests of Backout's account it was sent."""
        return sum(1 for one in self.server.served if one.user == "backout" and one.method != "GET")

    def asks(self, app: str) -> int:
        """How often Backout asked it to take the shop's release back."""
        path = f"/api/v1/applications/{app}/rollback"
        return sum(1 for one in self.server.served if (one.method, one.path, one.user) == ("POST", path, "backout"))

    async def times_taken_back(self, app: str) -> int:
        """How often that happened."""
        history = (await self._application(app))["status"]["history"]
        return sum(1 for one in history if one.get("initiatedBy", {}).get("username") == "backout")

    async def kept_away(self, app: str) -> Mapping[str, bool]:
        """What has to be so of a shop whose bad release was taken back and is held away: a sentence, and whether it is."""
        found = await self._application(app)
        automated = found["spec"]["syncPolicy"]["automated"]
        kept = {name: value for name, value in automated.items() if name == "enabled" or value}
        return {
            "auto-sync is off, its settings kept": kept == {"selfHeal": True, "enabled": False},
            "the hold is marked on the Application": "backout.dev/hold" in found["metadata"].get("annotations", {}),
        }

    async def _application(self, app: str, query: str = "") -> Any:
        return await self.call("GET", f"/api/v1/applications/{app}{query}")
