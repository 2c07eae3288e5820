"""A Spinnaker of one's own with one cluster of machines in it: `web-main`, where 2.0 took over from 1.0 by red/black ten minutes ago."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.group_facts import LookedCluster, a_cluster
from integrations.delivery.spinnaker.settings import Settings
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.server_groups import ServerGroup
from service.domain import keys
from service.domain.facts import Facts, Key, Known
from service.domain.keys import TargetState
from service.domain.model import TargetId, Way
from service.domain.planning.plan import Offer, Step
from service.domain.policy import TargetPolicy
from service.domain.ports import Intention
from service.domain.rule import Case
from tests.fakes.clock import FakeClock
from tests.unit.integrations.delivery.spinnaker.stage import HoldingClock, Stage

MAIN = TargetId("spin", "prod/us-east-1/web-main")
OLD, BAD = "ami-1", "ami-2"


class Machines(Stage):
    """`old` is the server group of 1.0, `bad` that of 2.0; a pipeline `deploy` is there to be started."""

    application = "web"

    def __init__(self, gate: SandboxGate, clock: FakeClock, gates_clock: HoldingClock, old: ServerGroup) -> None:
        super().__init__(gate, clock, gates_clock)
        self.old = old
        self.bad = old

    def adapter(self, **more: Any) -> Any:
        """A new process that remembers nothing."""
        return super().adapter(**({"applications": ("web",)} | more))

    def reader(self) -> Reader:
        """The part that reads, by itself."""
        settings = Settings(name="spin", url=self.gate.url, auth="none", applications=("web",))
        client = Client(settings, self.clock, traceparent=str)
        self.opened.append(client)
        return Reader(settings, client, self.clock)

    def group(self, image: str, *, cluster: str = "web-main", capacity: tuple[int, int, int] = (2, 4, 3), **more: Any) -> ServerGroup:
        """Another server group of the cluster runs."""
        return self.gate.groups.runs("web", cluster=cluster, image=image, capacity=capacity, **more)

    async def state(self) -> TargetState:
        """The target now."""
        return await self.spinnaker.look(MAIN)

    async def cluster(self) -> LookedCluster:
        """What one look sees."""
        return a_cluster(await self.reader().get(MAIN))

    async def case(self, **more: Any) -> Case:
        """Going back from what serves to the group before it, on facts read now."""
        found: dict[Key[Any], Known[Any]] = {}

        async def read(key: Key[Any]) -> Any:
            fact = await self.spinnaker.read(key)
            assert isinstance(fact, Known), fact
            found[key] = fact
            return fact.value

        state = await read(keys.state(MAIN))
        suspect, goal = (*state.history, None)[:2]
        await read(keys.server_groups(MAIN))
        for one in state.history:
            await read(keys.own_pipeline(MAIN, one.key, one.handle))
        facts = Facts(known=found, now=self.clock.now())
        made = Case(target=MAIN, policy=TargetPolicy(), suspect=suspect, goal=goal, way=Way.ENABLE_PREVIOUS, facts=facts)
        return replace(made, **more)

    async def offer(self, **more: Any) -> Offer:
        """The best way back."""
        return self.spinnaker.offers(await self.case(**more))[0]

    async def ready(self, **more: Any) -> tuple[Step, Intention]:
        """The switch, and what it is for."""
        case = await self.case()
        offer = self.spinnaker.offers(case)[0]
        assert offer.steps, offer.impossible
        assert case.suspect is not None
        assert case.goal is not None
        now = self.clock.now()
        made = Intention(
            target=MAIN,
            uid=(await self.state()).uid,
            operation_id="op_1",
            suspect=case.suspect,
            goal=case.goal,
            not_before=now - timedelta(minutes=1),
            marker="",
            at=now,
        )
        return offer.steps[-1], replace(made, **more)

    def operations(self) -> list[str]:
        """What Clouddriver was asked for, in order."""
        return [str(one["name"]) for one in self.gate.clouddriver.posted]

    def serving(self) -> list[str]:
        """The groups that take traffic."""
        return [one.name for one in self.gate.groups.all if not one.disabled]

    async def deploy(self, image: str) -> None:
        """A pipeline is started by a trigger and deploys that image by red/black; it goes on while time passes."""
        cluster = {"application": "web", "stack": "main", "account": "prod", "provider": "aws", "availabilityZones": {"us-east-1": []}, "strategy": "redblack"}
        stage = {"refId": "1", "requisiteStageRefIds": [], "type": "deploy", "name": "deploy", "clusters": [{**cluster, "imageId": image}]}
        self.gate.save_pipeline({"application": "web", "name": "deploy", "stages": [stage], "triggers": []})
        async with self.gate_session() as session:
            await session.post("/pipelines/web/deploy", json={"type": "docker", "user": "ci"})

    async def by_hand(self, *jobs: dict[str, Any], user: str = "alice") -> None:
        """A person posts a task, and it runs to its end."""
        body = {"application": "web", "description": "by hand", "job": list(jobs), "trigger": {"type": "manual", "user": user}}
        async with self.gate_session() as session:
            await session.post("/tasks", json=body)
        for _ in range(30):
            self.pass_(seconds=10)


@asynccontextmanager
async def machines(**attributes: Any) -> AsyncIterator[Machines]:
    """The stage: 1.0 ran for an hour, 2.0 took over ten minutes ago. `attributes` are the application's."""
    clock = FakeClock()
    gates_clock = HoldingClock(clock)
    gate = SandboxGate(clock=gates_clock)
    gate.add_application("web", **attributes)
    gate.add_account("prod", "aws")
    old = gate.groups.runs("web", cluster="web-main", image=OLD, capacity=(2, 4, 3))
    await gate.start()
    stage = Machines(gate, clock, gates_clock, old)
    try:
        stage.pass_(minutes=60)
        stage.bad = stage.group(BAD)
        old.disabled = True
        stage.pass_(minutes=10)
        yield stage
    finally:
        await stage.close()
        await gate.stop()
