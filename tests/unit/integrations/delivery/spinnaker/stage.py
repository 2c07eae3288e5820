"""A Spinnaker of one's own with one Deployment in it, and the adapter that looks at it, on a clock that moves when somebody sleeps."""

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from integrations.delivery.spinnaker.adapter import build
from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.manifest_facts import LookedManifest
from integrations.delivery.spinnaker.runs import OURS
from integrations.delivery.spinnaker.settings import Settings
from integrations.sandbox.gate.server import SandboxGate
from service.domain import keys
from service.domain.facts import Facts, Key, Known
from service.domain.keys import TargetState
from service.domain.model import TargetId, Way
from service.domain.planning.plan import Offer, Step
from service.domain.policy import TargetPolicy
from service.domain.ports import Clock, Delivery, Intention
from service.domain.rule import Case
from tests.fakes.clock import FakeClock

WEB = TargetId("spin", "k8s/shop/deployment/web")
OLD, NEW = "registry.example/web:1.0", "registry.example/web:2.0"


class HoldingClock:
    """Gate's own clock: another one, which can be held; then nothing happens behind Gate, and it answers all the same."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta(0)
        self._held: datetime | None = None

    def now(self) -> datetime:
        """The other clock's time, as far as it was let go on."""
        return self._held if self._held is not None else self._clock.now() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """As the other clock."""
        await self._clock.sleep(seconds)

    def hold(self) -> None:
        """Time stands."""
        self._held = self.now()

    def go_on(self, **lasting: float) -> None:
        """Time goes on, and has passed."""
        self._held = None
        self._ahead += timedelta(**lasting)


class Stage:
    """`web` of application `shop`: release 1.0 was deployed, then 2.0; a person's pipeline deploys whatever it is told."""

    def __init__(self, gate: SandboxGate, clock: Clock, gates_clock: HoldingClock) -> None:
        self.gate = gate
        self.clock = clock
        self.gates_clock = gates_clock
        self.opened: list[Delivery | Client] = []
        self.spinnaker = self.adapter()

    def adapter(self, **more: Any) -> Delivery:
        """A new process that remembers nothing."""
        made = build(Settings(**({"name": "spin", "url": self.gate.url, "auth": "none", "applications": ("shop",)} | more)), self.clock)
        self.opened.append(made)
        return made

    async def close(self) -> None:
        """Close every adapter."""
        for one in self.opened:
            await one.close()

    def reader(self) -> Reader:
        """The part that reads, by itself."""
        settings = Settings(name="spin", url=self.gate.url, auth="none", applications=("shop",))
        client = Client(settings, self.clock, traceparent=str)
        self.opened.append(client)
        return Reader(settings, client, self.clock)

    async def looked(self) -> LookedManifest:
        """What it sees of `web`."""
        return await looked_by(self.reader())

    def runs(self, image: str, *, name: str = "web", **more: Any) -> None:
        """Somebody applies this image past Spinnaker's pipelines."""
        self.gate.kubernetes.runs("shop", account="k8s", namespace="shop", name=name, image=image, **more)

    def pass_(self, **lasting: float) -> None:
        """Time passes, and what is due happens."""
        if isinstance(self.clock, FakeClock):
            self.clock.pass_(**lasting)
        else:
            self.gates_clock.go_on(**lasting)
        self.gate.timeline.catch_up()

    def gate_session(self) -> aiohttp.ClientSession:
        """Somebody else who speaks to Gate."""
        return aiohttp.ClientSession(base_url=self.gate.url)

    async def get(self, path: str) -> Any:
        """What Gate answers somebody else."""
        async with self.gate_session() as session, session.get(path) as answer:
            return await answer.json()

    async def state(self) -> TargetState:
        """The target now."""
        return await self.spinnaker.look(WEB)

    async def case(self, **more: Any) -> Case:
        """Going back from the newest release to the one before it, on facts read now."""
        state = await self.state()
        fact = await self.spinnaker.read(keys.state(WEB))
        assert isinstance(fact, Known)
        suspect, goal = state.history[:2]
        own = keys.own_pipeline(WEB, goal.key, goal.handle)
        facts = Facts(known={keys.state(WEB): fact, own: await self.spinnaker.read(own)}, now=self.clock.now())
        made = Case(target=WEB, policy=TargetPolicy(), suspect=suspect, goal=goal, way=Way.UNDO, facts=facts)
        return replace(made, **more)

    async def offer(self, **more: Any) -> Offer:
        """The best way back."""
        return self.spinnaker.offers(await self.case(**more))[0]

    async def ready(self, **more: Any) -> tuple[Step, Intention]:
        """The step of the undo, and what it is for."""
        case = await self.case()
        step = self.spinnaker.offers(case)[0].steps[-1]
        assert case.suspect is not None
        assert case.goal is not None
        now = self.clock.now()
        made = Intention(
            target=WEB,
            uid=(await self.state()).uid,
            operation_id="op_1",
            suspect=case.suspect,
            goal=case.goal,
            not_before=now - timedelta(minutes=1),
            marker="",
            at=now,
        )
        return step, replace(made, **more)

    async def deploys(self, image: str, *, trigger: str = "docker", more: Sequence[dict[str, Any]] = (), **config: Any) -> str:
        """A saved pipeline deploys the image, started by a trigger of that type; answers the run's id as soon as it runs."""
        container = {"name": "web", "image": image}
        named: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
        manifest = {**named, "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}}}
        stage: dict[str, Any] = {
            "refId": "1",
            "requisiteStageRefIds": [],
            "type": "deployManifest",
            "name": "deploy",
            "account": "k8s",
            "cloudProvider": "kubernetes",
        }
        stage |= {"source": "text", "moniker": {"app": "shop"}, "manifests": [manifest], **config.pop("about", {})}
        self.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [stage, *more], "triggers": [], **config})
        return await self.starts("deploy", trigger)

    async def starts(self, pipeline: str, trigger: str = "manual") -> str:
        """A saved pipeline is started by a trigger of that type."""
        async with self.gate_session() as session, session.post(f"/pipelines/shop/{pipeline}", json={"type": trigger, "user": "alice"}) as answer:
            ref: str = (await answer.json())["ref"]
        for _ in range(10):
            self.pass_(seconds=5)
        return ref.rpartition("/")[2]

    def posted(self) -> int:
        """How many undos Clouddriver was asked for."""
        return sum(one["name"] == "undoRolloutManifest" for one in self.gate.clouddriver.posted)

    def started(self) -> int:
        """How many tasks of ours Orca was given."""
        runs = [run.execution for run in self.gate.executions if run.kind == "ORCHESTRATION"]
        return sum(str(run["trigger"].get("correlationId", "")).startswith(OURS) for run in runs)


@asynccontextmanager
async def opened(clock: Clock | None = None) -> AsyncIterator[Stage]:
    """The stage: 1.0 ran for an hour, 2.0 was deployed ten minutes ago."""
    clock = clock or FakeClock()
    gates_clock = HoldingClock(clock)
    gate = SandboxGate(clock=gates_clock)
    gate.add_application("shop")
    gate.add_account("k8s")
    gate.kubernetes.runs("shop", account="k8s", namespace="shop", name="web", image=OLD)
    if isinstance(clock, FakeClock):
        clock.pass_(minutes=60)
    else:
        gates_clock.go_on(minutes=60)
    await gate.start()
    stage = Stage(gate, clock, gates_clock)
    try:
        stage.runs(NEW)
        stage.pass_(minutes=10)
        yield stage
    finally:
        await stage.close()
        await gate.stop()


class Rewritten(Client):
    """A Gate whose answers a test rewrites: of a Deployment's manifest, and of the cached list of an application."""

    manifest_of: Callable[[Any], Any] = staticmethod(lambda body: body)
    managers_of: Callable[[str, Any], Any] = staticmethod(lambda _application, body: body)

    async def manifest(self, account: str, location: str, name: str) -> Reply:
        reply = await super().manifest(account, location, name)
        return replace(reply, body=self.manifest_of(copy.deepcopy(reply.body))) if name.startswith("deployment ") else reply

    async def managers(self, application: str) -> Reply:
        reply = await super().managers(application)
        return replace(reply, body=self.managers_of(application, copy.deepcopy(reply.body)))


def reader_of(stage: Stage, *applications: str, **rewritten: Any) -> Reader:
    """A reader of a Gate whose answers are rewritten so."""
    settings = Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop", *applications))
    client = Rewritten(settings, stage.clock, traceparent=str)
    for name, change in rewritten.items():
        setattr(client, name, change)
    stage.opened.append(client)
    return Reader(settings, client, stage.clock)


async def known(stage: Stage, key: Key[Any]) -> Any:
    fact = await stage.spinnaker.read(key)
    assert isinstance(fact, Known), fact
    return fact.value


async def deployed_by_a_pipeline(stage: Stage, image: str, trigger: dict[str, Any] | None = None) -> str:
    """A pipeline deploys the image; answers the run's id."""
    stage.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [deploy_stage(image)], "triggers": []})
    async with stage.gate_session() as session, session.post("/pipelines/shop/deploy", json=trigger or {"type": "manual", "user": "alice"}) as answer:
        ref: str = (await answer.json())["ref"]
    for _ in range(10):
        stage.pass_(seconds=5)
    return ref.rpartition("/")[2]


def deploy_stage(image: str, **more: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "web", "image": image}]}}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": template}}
    about = {"account": "k8s", "cloudProvider": "kubernetes", "source": "text", "moniker": {"app": "shop"}, "manifests": [manifest]}
    return {"refId": "1", "requisiteStageRefIds": [], "type": "deployManifest", "name": "deploy", **about, **more}


async def looked_by(reader: Reader) -> LookedManifest:
    """What that reader sees of `web`."""
    looked = await reader.get(WEB)
    assert isinstance(looked, LookedManifest)
    return looked
