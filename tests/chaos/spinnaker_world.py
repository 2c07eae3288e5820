"""The world with a sandbox Spinnaker in it: Deployments, the pipelines that deploy them, and what people do to them through Spinnaker and past it."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

from aiohttp import web

from integrations.delivery.spinnaker import client as spinnaker_client
from integrations.delivery.spinnaker.adapter import build
from integrations.delivery.spinnaker.kubernetes_history import template_digest
from integrations.delivery.spinnaker.settings import Settings
from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.kubernetes import Revision, Workload
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Outage, Profile
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock, Delivery
from service.settings import Configured
from tests.chaos import machines
from tests.chaos.fate import Fate
from tests.chaos.machines import Machines
from tests.chaos.pipelines import Pipelines
from tests.chaos.schedule import QUEUES, Shop
from tests.chaos.wire import Server, Wire
from tests.chaos.world import APPS, INSTANCE, READ_ME, Deed, Entry, Json, Ship, World

ADDRESS = "http://gate.example"
ACCOUNT, RENAMED = "k8s", "k8s-eu"
ME, ALICE = "backout", "alice"
TRIGGER = {"type": "docker", "enabled": True, "account": "registry", "registry": "registry.example", "organization": "shop", "repository": "shop/any"}
LOOKS_EVERY = 0.5
"""Seconds of the world: a sandbox Spinnaker does nothing while nobody looks."""
RIGHTS = ("READ", "WRITE", "EXECUTE")


@dataclass(frozen=True, slots=True)
class TrueClock:
    """Time as it is, for what is not Backout."""

    world: World

    def now(self) -> datetime:
        """True time."""
        return self.world.now()

    async def sleep(self, seconds: float) -> None:
        """Time passes."""
        await asyncio.sleep(seconds)


class SpinnakerWorld(World):
    """A shop is the one Deployment of the application of its name, in the namespace of its name; some are a cluster of machines instead (`machines.py`)."""

    kind = "spinnaker"
    label = "spinnaker_app"

    def __init__(self, fate: Fate, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(fate, loop)
        self.gate = SandboxGate(clock=TrueClock(self), profile=Profile(auth="header", fiat=True), seed=1)
        app = web.Application()
        app.add_routes(self.gate.routes())
        self.server = Server(app, address=ADDRESS, latest=90.0)  # served without a socket; the adapter counts on 125
        self.gate.clouddriver.caching = self.gate.echo.live = True  # as `start` does it
        for name in (ME, ALICE):
            self.gate.add_user(User(name=name, rights={right: {"*"} for right in RIGHTS}, accounts={"*"}))
        self.gate.add_account(ACCOUNT)
        self.gate.add_account(machines.ACCOUNT, "aws")
        self.machines = Machines(self)
        self.pipelines = Pipelines(self)
        self.shops: tuple[Shop, ...] = ()
        self._ships = {template_digest(_template(ship)): ship for ship in self.fleet.ships.values() if not ship.version.endswith(READ_ME)}
        self.triggered: set[str] = set()
        self._saved: dict[str, str] = {}
        self._known: dict[str, int | str] = {}
        self._past: dict[str, str] = {}

    # --- the delivery system, as Backout meets it ------------------------------------------------------------------------------

    def seconds(self) -> float:
        """The world's second."""
        return self._loop.time()

    def target(self, app: str) -> TargetId:
        if app in self.machines.apps:
            return TargetId(INSTANCE, f"{machines.ACCOUNT}/{machines.REGION}/{machines.cluster_of(app)}")
        return TargetId(INSTANCE, f"{ACCOUNT}/{app}/deployment/{app}")

    def app_of(self, target: TargetId) -> str:
        return target.name.rpartition("/")[2].removesuffix(f"-{machines.STACK}")

    def connection(self, folder: Path, *, watch: bool) -> Configured:
        del folder, watch
        own = self.pipelines.settled(self.shops, ACCOUNT)
        settings = Settings(name=INSTANCE, url=ADDRESS, auth="header", user=ME, applications=APPS, shut_triggers=True, rollback_pipelines=own)
        return Configured(kind=self.kind, name=INSTANCE, settings=settings)

    def delivery(self, connection: Configured, http: Wire, clock: Clock, traceparent: Callable[[], str]) -> Delivery:
        assert isinstance(connection.settings, Settings)
        with mock.patch.object(spinnaker_client, "Http", return_value=http):  # the network is what is played here
            return build(connection.settings, clock, traceparent=traceparent)

    def credential(self) -> Mapping[str, str]:
        return {}

    def told(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, str]:
        match method, path.split("/"):
            case "POST", ["", "tasks"]:
                kinds = "+".join(str(job["type"]) for job in body["job"])
                return {"undoRolloutManifest": "undo", "rollbackServerGroup": "switch"}.get(kinds, kinds), str(body["application"])
            case "PUT", ["", "pipelines" | "tasks" as what, run, "cancel"]:
                own = "own " if what == "pipelines" and self.pipelines.is_ours(run) else ""
                return f"cancel {own}{what[:-1]}", str(self.gate.run_of(run)["application"])
            case "POST", ["", "pipelines"]:
                application = str(body["application"])
                on = sum(bool(one["enabled"]) for one in body["triggers"])
                return "open triggers" if on > self.triggers_on(application) else "shut triggers", application
            case "PATCH", ["", "pipelines", run, "stages", _]:
                return "judge", str(self.gate.run_of(run)["application"])
            case "POST", ["", "pipelines", "start"]:
                return "plan pipeline", str(body["application"])
            case "POST", ["", "pipelines", application, _]:
                return "own pipeline", application
            case _:
                return f"{method} {path}", str(body.get("application", ""))

    # --- people, pipelines and what breaks ---------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, body: Json) -> Json:
        """One call of Gate as Alice, or TemporaryError with its words."""
        headers = {"X-SPINNAKER-USER": ALICE, "Content-Type": "application/json"}
        answer = await self.server.answer(method, path, "", headers, json.dumps(body).encode())
        if answer.status >= 300:
            raise TemporaryError(f"{method} {path} -> {answer.status}: {answer.first_line()}")
        return answer.json() if answer.body else None

    async def open_shop(self, shop: Shop) -> None:
        self.apps = (*self.apps, shop.app)
        if shop.auto_sync:
            self.triggered.add(shop.app)
        self.gate.add_application(shop.app)
        for version in ("1.0.0", "1.1.0"):
            self._past[shop.app] = "somebody"
            ship = self.fleet.ships[shop.app, version]
            if shop.machines:
                self.machines.open(ship)
            else:
                self.gate.kubernetes.runs(shop.app, account=ACCOUNT, namespace=shop.app, name=shop.app, image=_image(ship), template=_template(ship))
            self._look(shop.app)
            await asyncio.sleep(20.0)
        self.pipelines.open(shop, _where(shop.app), machines.ACCOUNT if shop.machines else ACCOUNT)
        for (app, _), ship in self.fleet.ships.items():
            if app == shop.app and ship.errors is None:
                self.gate.kubernetes.never_becomes_ready(_image(ship))
                self.gate.groups.instances_never_come_up(machines.image_of(ship))

    async def release(self, app: str, version: str, how: str = "") -> None:
        """Its deploy pipeline is saved with that version and run."""
        self.diary.note(f"{app} {version} is released ({how})")
        self.diary.desired.setdefault(app, []).append((self._loop.time(), version))
        ship = self.fleet.ships[app, version]
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": app, "namespace": app},
            "spec": {"replicas": 2, "template": _template(ship)},
        }
        where = {"account": ACCOUNT, "cloudProvider": "kubernetes", "moniker": {"app": app}}
        stage = (
            self.machines.deploy(ship)
            if app in self.machines.apps
            else {**where, "type": "deployManifest", "name": "deploy", "refId": "1", "requisiteStageRefIds": [], "source": "text", "manifests": [manifest]}
        )
        stages = self.pipelines.stages(stage, how)
        by_hand = how.startswith("by hand")
        before = self._pipeline(app) or {"application": app, "name": "deploy", "triggers": [TRIGGER] if app in self.triggered else []}
        self._saved[app] = str(self.gate.save_pipeline({**before, "stages": stages, "limitConcurrent": how.endswith(QUEUES)}, by=ALICE)["id"])
        image = {"type": "docker/image", "name": f"shop/{app}", "reference": _image(ship)}
        start = {"type": "manual" if by_hand else "docker", "user": ALICE, "artifacts": [image]}
        try:
            for _ in range(2 if how.endswith(QUEUES) else 1):
                self.pipelines.started(await self.call("POST", f"/pipelines/{app}/deploy", start), version)
        except TemporaryError as error:
            self.diary.note(f"the pipeline of {app} failed: {error}")
            return
        if by_hand:
            self.diary.deeds.append(Deed(self._loop.time(), app, ALICE, f"deploys {version}"))

    async def _by_hand_on_machines(self, app: str, what: str) -> None:
        if what == "pushes an image":
            self.gate.an_image_is_pushed("shop/any", "latest")
            self.diary.note("somebody pushes an image that triggers wait for")
        elif what.endswith("past Spinnaker"):
            self.diary.note(f"somebody {what} {self.machines.past(app, what)} ({app})")
        elif (job := self.machines.job(app, what)) is not None:
            named = job.get("serverGroupName") or job["rollbackContext"]
            try:
                await self._task(app, job)
            except TemporaryError as error:
                self.diary.note(f"alice tried to: {what} ({app}), and could not: {error}")
                return
            self.diary.deeds.append(Deed(self._loop.time(), app, ALICE, what))
            self.diary.note(f"alice {what} {named} ({app})")

    async def with_pipelines(self, app: str, what: str) -> None:
        """Alice does something with runs that are under way: no deed to the target itself."""
        try:
            await self.pipelines.person(app, what)
        except TemporaryError as error:
            self.diary.note(f"alice tried to: {what} ({app}), and could not: {error}")

    async def person(self, app: str, what: str) -> None:
        if app in self.machines.apps:
            await self._by_hand_on_machines(app, what)
            return
        workload = self._workload(app)
        if workload is None:
            return
        where = _where(app)
        try:
            match what:
                case "undoes":
                    revision = self.fate.chance.choice(workload.revisions).number
                    await self._task(app, {**where, "type": "undoRolloutManifest", "revision": revision})
                case "restarts":
                    await self._task(app, {**where, "type": "rollingRestartManifest"})
                case "pauses" | "resumes":
                    self.gate.kubernetes.is_paused(workload, paused=what == "pauses")
                    self.diary.note(f"somebody {what} the roll-out of {app}")
                    return
                case "pushes an image":
                    self.gate.an_image_is_pushed("shop/any", "latest")
                    self.diary.note("somebody pushes an image that triggers wait for")
                    return
                case "applies past Spinnaker":
                    self._past[app] = "kubectl"
                    ship = self.fleet.ships[app, self.fate.chance.choice(("1.0.0", "1.1.0", "3.0.0"))]
                    self.gate.kubernetes.runs(app, account=ACCOUNT, namespace=app, name=app, image=_image(ship), template=_template(ship), at_once=False)
                    self.diary.note(f"somebody applies {ship.version} of {app} past Spinnaker")
                    return
                case _:
                    raise AssertionError(what)
        except TemporaryError as error:
            self.diary.note(f"alice tried to: {what} ({app}), and could not: {error}")
            return
        self.diary.deeds.append(Deed(self._loop.time(), app, ALICE, what))
        self.diary.note(f"alice {what} ({app})")

    async def _task(self, app: str, job: Json) -> None:
        await self.call("POST", "/tasks", {"application": app, "description": "by hand", "job": [job], "trigger": {"type": "manual", "user": ALICE}})

    def lose(self, app: str, how: str) -> None:
        """Somebody renames the account in Spinnaker, or empties the cluster, while others act."""
        workload = self._workload(app)
        if workload is None and app not in self.machines.apps:
            return
        self.gone.add(app)
        if workload is None:
            self.machines.lose(app, how)
        elif how == "renamed":
            self.gate.add_account(RENAMED)
            self.gate.kubernetes.delete(ACCOUNT, app, f"deployment {app}")
            workload.account = RENAMED
            self.gate.kubernetes.workloads.append(workload)
        else:
            self.gate.kubernetes.delete(ACCOUNT, app, f"deployment {app}")
        self.diary.note(f"{app} is {how}")
        self._looked(app)

    def outage(self, name: str, *, begins: bool) -> None:
        faults = self.gate.faults
        match name:
            case "Orca down":
                (self.gate.orca_is_killed if begins else self.gate.orca_is_started_again)()
            case "Clouddriver away":
                faults.clouddriver = Outage(status=503, message="Clouddriver is restarting") if begins else None
            case "operations refused":
                faults.operations = Outage(status=500, message="no worker for it") if begins else None
            case "API down":
                self.server.down = begins
            case "rights lost":
                for right in RIGHTS:
                    me = self.gate.access.user(ME)
                    assert me is not None
                    me.rights[right] = set() if begins else {"*"}
            case _:
                raise AssertionError(name)
        self.diary.flag(name, begins)

    async def background(self) -> None:
        while True:
            self.gate.timeline.catch_up()
            self.machines.look()
            for app in self.apps:
                self._look(app)
            await asyncio.sleep(LOOKS_EVERY)

    # --- what is ---------------------------------------------------------------------------------------------------------------

    def version_of(self, app: str, revision: str) -> str:
        if found := self.machines.version(app, revision):
            return found
        ship = self._ships.get(revision)
        return ship.version if ship is not None and ship.app == app else "?"

    def pods(self, app: str) -> list[tuple[Ship | None, bool]]:
        if app in self.machines.apps:
            return list(self.machines.pods(app))
        workload = self._workload(app, anywhere=True)
        return [] if workload is None else list(self._pods_of(workload))

    def _pods_of(self, workload: Workload) -> Iterator[tuple[Ship | None, bool]]:
        for revision, count, ready in self.gate.clouddriver.kubernetes.spread(workload):
            for number in range(count):
                yield self._by_digest.get(revision.images[0].rpartition("@")[2]), number < ready

    def _pipeline(self, app: str) -> Json | None:
        """The shop's deploy pipeline as it is saved."""
        return self.gate.front50.pipeline(self._saved.get(app, ""))

    def triggers_on(self, app: str) -> int:
        """How many triggers would deploy the shop."""
        return sum(bool(one["enabled"]) for one in (self._pipeline(app) or {}).get("triggers", ()))

    def undone_by(self, operation: str) -> int:
        """How many undos of that operation Clouddriver took."""
        return sum(
            one["taken"] and one["name"] == "undoRolloutManifest" and operation in str(one["body"].get("reason")) for one in self.gate.clouddriver.posted
        )

    async def end(self) -> None:
        """It has no task of its own."""

    # --- the diary ---------------------------------------------------------------------------------------------------------------

    def _workload(self, app: str, *, anywhere: bool = False) -> Workload | None:
        found = [one for one in self.gate.clouddriver.kubernetes.workloads if one.application == app and (anywhere or one.account == ACCOUNT)]
        return found[0] if found else None

    def _look(self, app: str) -> None:
        group = self.machines.live(app) if app in self.machines.apps else None
        if group is None and self._known.get(app) and app in self.machines.apps:
            self._known[app] = ""
            self.diary.entries.append(Entry(self._loop.time(), app, "", "nothing", "somebody"))
            self.diary.note(f"{app}: no server group takes traffic")
        if group is not None and group.name != self._known.get(app):
            self._known[app] = group.name
            ship = self.machines.ship_of(group)
            by = self._past.pop(app, "") or self.machines.took_over(group)
            version = ship.version if ship else "?"
            self.diary.entries.append(Entry(self._loop.time(), app, group.name, version, by))
            self.diary.note(f"{app}: server group {group.name} takes the traffic with {version} (by {by})")
        workload = self._workload(app)
        if workload is not None and workload.live.number != self._known.get(app):
            self._known[app] = workload.live.number
            self._heard(app, workload.live)
        self._looked(app)

    def _heard(self, app: str, live: Revision) -> None:
        """Another template is rolled out: by who asked Clouddriver for it last, unless somebody went past it."""
        asked = [one for one in self.gate.clouddriver.posted if one["taken"] and _names(one["body"], app)]
        by = self._past.pop(app, "") or (str(asked[-1]["user"]) if asked else "somebody")
        ship = self._by_digest.get(live.images[0].rpartition("@")[2])
        if ship is not None:
            self._ships[template_digest(live.template)] = ship  # a restart makes another template of the same image
        version = ship.version if ship else "?"
        self.diary.entries.append(Entry(self._loop.time(), app, live.number, version, by))
        self.diary.note(f"{app}: revision {live.number} rolls out {version} (by {by})")


def _where(app: str) -> Json:
    """How a stage names a shop's Deployment."""
    return {"account": ACCOUNT, "cloudProvider": "kubernetes", "location": app, "manifestName": f"deployment {app}"}


def _names(body: Json, app: str) -> bool:
    """Whether a cloud operation is about that shop."""
    return body.get("location") == app or any(one.get("metadata", {}).get("name") == app for one in body.get("manifests") or ())


def _image(ship: Ship) -> str:
    return f"registry.example/{ship.app}@{ship.digest}"


def _template(ship: Ship) -> Json:
    return copy.deepcopy({"metadata": {"labels": {"app": ship.app}}, "spec": {"containers": [{"name": "main", "image": _image(ship)}]}})
