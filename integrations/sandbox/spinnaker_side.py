"""Spinnaker as a side of the sandbox world: each shop is an application with a Deployment, put out by a pipeline that somebody, or a trigger, starts.

Gate is set up as a team would: people are known by a header that the network vouches for, Backout by an API token of its own, and Fiat grants it what
docs/spinnaker.md asks for and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.executions import ORCHESTRATION, PIPELINE
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.server_groups import ServerGroup
from integrations.sandbox.gate.settings import Profile, Timings
from integrations.sandbox.side import Shipped, deployment, write_private
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock

INSTANCE = "spin"
ACCOUNT = "prod-k8s"
CLOUD, REGION = "prod-aws", "us-east-1"
"""Where machines run."""
TOKEN = "gate-token"  # noqa: S105  the name of a file
PACE = 0.1
"""Ten times as fast as recorded: an undo takes a second, and Clouddriver's cache lags three."""
BACKOUT = User(name="backout", roles=["backout"], rights={"READ": {"*"}, "EXECUTE": {"*"}}, accounts={ACCOUNT})
ALICE = User(name="alice", roles=["team"], rights={right: {"*"} for right in ("READ", "WRITE", "EXECUTE")}, accounts={ACCOUNT})


class SpinnakerSide:
    """See `integrations.sandbox.side.Side`; `server` is the sandbox itself.

    The runs of shops in `pushed` are a trigger's, and have more to do after the deploy. The pipelines of shops in `triggered` have a Docker trigger, which
    deploys again what they deployed; with `shut_triggers` Backout may switch it off, and has the right to. The runs of shops in `judged` are a trigger's, and
    wait after the deploy for a judgment whose stop ends them. `rollback_pipelines` are those of Backout's settings. Shops in `machines` are clusters of
    machines, deployed by red/black, whose images tell their commit by Rosco's `appversion` alone.
    """

    kind = "spinnaker"
    title = "Spinnaker"
    label = "spinnaker_app"
    shortened = "Spinnaker itself is ten times as fast as recorded"

    def __init__(self, *, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self.server = SandboxGate(clock=clock, profile=Profile(auth="header", api_tokens=True, fiat=True), timings=Timings(pace=PACE))
        self.pushed: set[str] = set()
        self.triggered: set[str] = set()
        self.judged: set[str] = set()
        self.machines: set[str] = set()
        self.shut_triggers = False
        self._baked: dict[str, Shipped] = {}
        self.rollback_pipelines: list[Mapping[str, Any]] = []
        self._apps: list[str] = []
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.server.url

    async def open(self) -> None:
        """Start it, with an account for Backout and one for a person."""
        write = {"WRITE": {"*"}} if self.shut_triggers else {}
        accounts = {ACCOUNT: "kubernetes", **({CLOUD: "aws"} if self.machines else {})}
        self.server.add_user(replace(BACKOUT, rights={**BACKOUT.rights, **write}, accounts=set(accounts)))
        self.server.add_user(replace(ALICE, accounts=set(accounts)))
        for name, kind in accounts.items():
            self.server.add_account(name, kind)
        await self.server.start()
        self._session = aiohttp.ClientSession(headers={"X-SPINNAKER-USER": ALICE.name})
        write_private(self._folder / TOKEN, self.server.access.token_for(BACKOUT.name))

    async def close(self) -> None:
        """Stop it; what was not opened is closed already."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self.server.stop()

    def settings(self) -> Mapping[str, Any]:
        """Backout's settings for it."""
        known = {"kind": self.kind, "name": INSTANCE, "url": self.server.url, "applications": sorted(self._apps)}
        shuts = {"shut_triggers": True} if self.shut_triggers else {}
        own = {"rollback_pipelines": self.rollback_pipelines} if self.rollback_pipelines else {}
        packages = {"packages": {one.app: one.repository for one in self._baked.values()}} if self._baked else {}
        return {**known, "auth": "api_token", "token_file": str(self._folder / TOKEN), **shuts, **own, **packages}

    def target(self, app: str) -> TargetId:
        """The shop as Backout calls it."""
        return TargetId(INSTANCE, f"{CLOUD}/{REGION}/{app}" if app in self.machines else f"{ACCOUNT}/{app}/deployment/{app}")

    def namespace(self, app: str) -> str:
        """The namespace of its name; the region of machines."""
        return REGION if app in self.machines else app

    async def deploy_first(self, shipped: Shipped, replicas: int, *, auto_sync: bool) -> None:
        """Begin to deploy the first release of a shop that is not there yet. `auto_sync` where there is such a thing."""
        del auto_sync  # Spinnaker deploys what somebody starts
        app = shipped.app
        self._apps.append(app)
        self.server.add_application(app)
        if app in self.machines:
            self.server.groups.runs(app, cluster=app, account=CLOUD, region=REGION, image=self._bake(shipped), capacity=(replicas, 2 * replicas, replicas))
            return
        template = deployment(app, shipped.image, replicas)["spec"]["template"]
        self.server.kubernetes.runs(app, account=ACCOUNT, namespace=app, name=app, image=shipped.image, replicas=replicas, template=template)

    async def deploy_next(self, shipped: Shipped) -> None:
        """The deploy pipeline, which was saved with the new image, is run."""
        app = shipped.app
        if app in self.machines:
            await self._deploy_machines(shipped)
            return
        manifest = {**deployment(app, shipped.image, self.replicas(app)), "metadata": {"name": app, "namespace": app}}
        stage = {
            "type": "deployManifest",
            "name": "deploy",
            "refId": "1",
            "requisiteStageRefIds": [],
            "account": ACCOUNT,
            "cloudProvider": "kubernetes",
            "source": "text",
            "moniker": {"app": app},
            "manifests": [manifest],
        }
        again = {**stage, "refId": "3", "requisiteStageRefIds": ["2"], "name": "deploy again"}
        between = {"type": "wait", "waitTime": 3600} if app in self.pushed else {"type": "manualJudgment", "name": "Ship it everywhere?"}
        after = [{**between, "refId": "2", "requisiteStageRefIds": ["1"]}, again] if app in self.pushed | self.judged else []
        triggers = [{"id": "pushed", "type": "docker", "enabled": True, "account": "registry", "repository": f"shop/{app}", "runAsUser": ALICE.name}]
        saved = {"application": app, "name": f"deploy {app} {shipped.version}", "stages": [stage, *after]}
        self.server.save_pipeline({**saved, "triggers": triggers if app in self.triggered else []})
        path = f"/pipelines/{app}/deploy%20{app}%20{shipped.version}"
        await self.call("POST", path, {"type": "docker" if app in self.pushed | self.judged else "manual", "user": ALICE.name})

    async def _deploy_machines(self, shipped: Shipped) -> None:
        """The same of a cluster of machines: the old server group keeps running and loses its traffic."""
        app, size = shipped.app, self.replicas(shipped.app)
        capacity = {"min": size, "max": 2 * size, "desired": size}
        cluster = {"account": CLOUD, "application": app, "availabilityZones": {REGION: []}, "provider": "aws", "capacity": capacity, "strategy": "redblack"}
        stage = {"type": "deploy", "name": "deploy", "refId": "1", "requisiteStageRefIds": [], "clusters": [{**cluster, "imageId": self._bake(shipped)}]}
        self.server.save_pipeline({"application": app, "name": f"deploy {app} {shipped.version}", "stages": [stage], "triggers": []})
        await self.call("POST", f"/pipelines/{app}/deploy%20{app}%20{shipped.version}", {"type": "manual", "user": ALICE.name})

    def _bake(self, shipped: Shipped) -> str:
        """The machine image of a release: its id. Rosco's tag tells its commit, and the build has it tagged with its version."""
        image = f"ami-{shipped.digest.rpartition(':')[2][:17]}"
        self._baked[image] = shipped
        version = f"{shipped.app}-{shipped.version.removeprefix('v')}-h1.{shipped.source}/{shipped.app}/1"
        self.server.groups.tags[image] = {"appversion": version, "org.opencontainers.image.version": shipped.version}
        return image

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call of Gate's API, as a person would do it."""
        if self._session is None:
            raise TemporaryError("the world is not started")
        async with self._session.request(method, f"{self.server.url}{path}", json=body) as answer:
            if answer.status >= 300:
                raise TemporaryError(f"Gate answered {answer.status}: {(await answer.text())[:200]}")
            return await answer.json(content_type=None) if await answer.read() else None

    def called(self, shipped: Shipped) -> str:
        """A release as this system's users call it."""
        return shipped.version

    def triggers(self, app: str) -> list[Mapping[str, Any]]:
        """The triggers of the shop's pipelines, as they are saved."""
        return [one for config in self.server.front50.pipelines(app) for one in config["triggers"]]

    def runs(self, app: str) -> list[Mapping[str, Any]]:
        """The runs of the shop's pipelines, oldest first."""
        found = [one.execution for one in self.server.executions if one.kind == PIPELINE and one.execution["application"] == app]
        return sorted(found, key=lambda one: str(one["id"]))

    def replicas(self, app: str) -> int:
        """How many pods the shop wants."""
        if app in self.machines:
            return max(one.desired for one in self._serving(app))
        return next(one.replicas for one in self.server.kubernetes.workloads if one.application == app)

    def _serving(self, app: str) -> list[ServerGroup]:
        return [one for one in self.server.groups.all if one.application == app and not one.disabled]

    def pods(self, app: str) -> Sequence[tuple[str, bool]]:
        """(digest, ready) of each pod of the shop."""
        if app in self.machines:
            up = self.server.groups.up
            return [(self._baked[one.image].digest, number < up(one)) for one in self._serving(app) for number in range(one.desired)]
        kubernetes = self.server.kubernetes
        found = [one for one in kubernetes.workloads if one.application == app]
        return [(image.partition("@")[2], True) for workload in found for image, ready in kubernetes.serving(workload) for _ in range(ready)]

    def writes(self) -> int:
        """How many writing requests of Backout's account it was sent."""
        return sum(1 for one in self.server.served if one.user == BACKOUT.name and one.method != "GET")

    def asks(self, app: str) -> int:
        """How often Backout asked it to take the shop's release back."""
        mine = [one.execution for one in self.server.executions if one.kind == ORCHESTRATION and one.execution["application"] == app]
        return sum(1 for one in mine if one["authentication"]["user"] == BACKOUT.name)

    async def times_taken_back(self, app: str) -> int:
        """How often that happened."""
        if app in self.machines:
            posted = [one for one in self.server.clouddriver.posted if one["name"] == "enableServerGroup" and one["taken"] and one["user"] == BACKOUT.name]
            return len([one for one in posted if str(one["body"]["serverGroupName"]).startswith(f"{app}-v")])
        return len(self.undos(app))

    def undos(self, app: str) -> list[Mapping[str, Any]]:
        """What Backout had Clouddriver undo for the shop, as it was posted."""
        posted = [one for one in self.server.clouddriver.posted if one["name"] == "undoRolloutManifest" and one["taken"] and one["user"] == BACKOUT.name]
        return [one["body"] for one in posted if one["body"]["location"] == app]

    async def kept_away(self, app: str) -> Mapping[str, bool]:
        """Spinnaker keeps no desired state, so nothing stands in the way of a deploy but that nobody starts one."""
        busy = [one.execution["id"] for one in self.server.executions if one.execution["application"] == app and one.execution["status"] == "RUNNING"]
        return {"no run that would deploy it again is under way": not busy}
