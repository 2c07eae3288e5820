"""An application that is one Rollout on the stage: release 0 runs 1.0 and is promoted, release 1 runs 2.0 and is halfway, or promoted as well."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from service.domain import keys
from service.domain.facts import Facts, Key, Known
from service.domain.keys import TargetState
from service.domain.model import ObjectRef, Way
from service.domain.planning.plan import Offer
from service.domain.policy import TargetPolicy
from service.domain.rule import Case
from tests.unit.integrations.delivery.argocd.stage import Stage

HALF_THEN_STOP: Mapping[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
NO_STEPS: Mapping[str, Any] = {"canary": {}}
BY_HAND: Mapping[str, Any] = {"blueGreen": {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": False}}
ROLLOUT = ObjectRef(group="argoproj.io", kind="Rollout", namespace="web", name="web")
RIGHTS = ("get", "sync", "update", "action/argoproj.io/Rollout/abort", "action/argoproj.io/Rollout/promote-full")


def files(image: str, strategy: Mapping[str, Any], **spec: Any) -> dict[str, str | None]:
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": dict(strategy),
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}},
            **spec,
        },
    }
    return {"deploy/app.json": json.dumps(rollout)}


class Canary:
    """`web` on a stage."""

    def __init__(self, stage: Stage, **spec: Any) -> None:
        self.stage, self.spec = stage, spec

    async def open(self, strategy: Mapping[str, Any] = HALF_THEN_STOP, *, automated: Mapping[str, Any] | None = None) -> None:
        self.stage.git.create("web")
        self.commit("1.0", strategy)
        await self.stage.application("web", automated=automated)
        await self._deployed(1, sync=automated is None)
        await self.until(lambda status: status.get("phase") == "Healthy", "1.0 to be promoted")
        self.stage.tick()

    def commit(self, tag: str, strategy: Mapping[str, Any] = HALF_THEN_STOP) -> None:
        self.stage.git.commit("web", files(f"registry.example/web:{tag}", strategy, **self.spec), f"web {tag}", self.stage.clock.now())

    async def release(self, tag: str, strategy: Mapping[str, Any] = HALF_THEN_STOP, *, phase: str = "Paused") -> None:
        """Deploy it, and wait until it comes to rest in that phase."""
        count = len((await self.stage.raw("web"))["status"]["history"]) + 1
        self.commit(tag, strategy)
        automated = ((await self.stage.raw("web"))["spec"].get("syncPolicy") or {}).get("automated")
        if automated is not None:
            await self.stage.person("GET", "/applications/web?refresh=normal")
        await self._deployed(count, sync=automated is None)
        image = f"registry.example/web:{tag}"

        def rests(status: Mapping[str, Any]) -> bool:
            return bool(status.get("phase") == phase and self.live()["spec"]["template"]["spec"]["containers"][0]["image"] == image)

        await self.until(rests, f"{tag} to be {phase}")
        self.stage.tick()

    async def _deployed(self, count: int, *, sync: bool) -> None:
        if sync:
            await self.stage.person("POST", "/applications/web/sync", {})
        await self.stage.deployed("web", count)

    def live(self) -> dict[str, Any]:
        found = next(item for key, item in self.stage.sandbox.cluster.everything().items() if (key.kind, key.name) == ("Rollout", "web"))
        return dict(found)

    def status(self) -> dict[str, Any]:
        return dict(self.live().get("status", {}))

    def told(self, **changes: Any) -> None:
        """Write the Rollout's status past everybody, and hold its controller back, which would write its own answer at any moment."""
        self.stage.sandbox.faults.rollouts_down = True
        key = next(key for key in self.stage.sandbox.cluster.everything() if (key.kind, key.name) == ("Rollout", "web"))
        live = self.live()
        self.stage.sandbox.cluster.put(key, {**live, "status": {**live["status"], **changes}}, quiet=True)

    async def until(self, holds: Callable[[Mapping[str, Any]], bool], what: str) -> dict[str, Any]:
        for _ in range(400):
            if holds(self.status()):
                return self.status()
            await asyncio.sleep(0.01)
        raise AssertionError(f"never came to {what}: {json.dumps(self.status())}")

    async def act(self, action: str) -> None:
        """A person runs an action."""
        about = {"resourceName": "web", "kind": "Rollout", "version": "v1alpha1", "group": "argoproj.io", "namespace": "web", "action": action}
        await self.stage.person("POST", "/applications/web/resource/actions/v2", about)

    async def case(self, *, promote_full: bool = False) -> tuple[Case, TargetState]:
        """The case as the gatherer would hand it over, with what the adapter reads of the Rollout."""
        target = self.stage.target("web")
        state = await self.stage.argo.look(target)
        goal = state.history[1]
        wanted: list[Key[Any]] = [keys.state(target), keys.rollouts(target), keys.rollouts_back(target, goal.key, goal.handle)]
        known = {key: await self.stage.argo.read(key) for key in wanted}
        assert all(isinstance(fact, Known) for fact in known.values()), known
        facts = Facts(known, self.stage.clock.now() + timedelta(0))
        policy = TargetPolicy(promote_full=promote_full)
        return Case(target=target, policy=policy, suspect=state.history[0], goal=goal, way=Way.ROLLBACK, facts=facts), state

    async def offers(self, *, promote_full: bool = False) -> tuple[tuple[Offer, ...], TargetState]:
        case, state = await self.case(promote_full=promote_full)
        return self.stage.argo.offers(case), state
