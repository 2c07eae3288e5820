"""What teams do with pipelines, in the world of a sandbox Spinnaker: judgments, runs that wait or stand still, rollback pipelines of their own, and keel."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from integrations.delivery.spinnaker.settings import RollbackPipeline
from integrations.sandbox.gate.executions import Run
from tests.chaos.schedule import JUDGED, QUEUES, SOON, Shop

if TYPE_CHECKING:
    from tests.chaos.spinnaker_world import SpinnakerWorld

Json = Any

OWN = "roll back"
"""The name of a team's own rollback pipeline; the one that deploys is called `deploy`."""
SOAKS, SOAKS_SHORTLY = 3600, 60
"""Seconds between a pipeline's first deploy and its second."""


class Pipelines:
    """`versions` tells of each run of a deploy pipeline what it was started with."""

    def __init__(self, world: "SpinnakerWorld") -> None:
        self._world = world
        self.versions: dict[str, str] = {}
        self.managed: set[str] = set()

    # --- what there is before anything happens ---------------------------------------------------------------------------------

    def open(self, shop: Shop, where: Json, account: str) -> None:
        """The team's own rollback pipeline, if it has one, and keel, if that manages the shop."""
        gate = self._world.gate
        if shop.own:
            back = {
                **where,
                "type": "undoRolloutManifest",
                "name": "back",
                "refId": "2",
                "requisiteStageRefIds": ["1"],
                "revision": "${ parameters.revision }",
            }
            first = {"type": "manualJudgment", "name": "sure?"} if shop.own == JUDGED else {"type": "wait", "name": "breathe", "waitTime": 2}
            stages = [{**first, "refId": "1", "requisiteStageRefIds": []}, back]
            needs = [{"name": "revision", "required": True, "default": ""}]
            gate.save_pipeline({"application": shop.app, "name": OWN, "stages": stages, "parameterConfig": needs, "triggers": []}, by="alice")
        if shop.keel:
            self.managed.add(shop.app)
            gate.keel_manages(shop.app, {"id": f"k8s:{shop.app}", "kind": "k8s/resource@v1", "locations": {"account": account}})

    @staticmethod
    def settled(shops: Iterable[Shop], account: str) -> tuple[RollbackPipeline, ...]:
        """What the operator writes down about the teams' own rollback pipelines."""
        return tuple(
            RollbackPipeline(pipeline=OWN, targets=(f"{account}/{shop.app}/*",), parameters={"revision": "{revision}"})
            for shop in shops
            if shop.own and not shop.machines
        )

    # --- what is done with them ------------------------------------------------------------------------------------------------

    @staticmethod
    def stages(deploy: Json, how: str) -> list[Json]:
        """A deploy, and what the pipeline has to do besides."""
        again = {**deploy, "refId": "3", "requisiteStageRefIds": ["2"], "name": "deploy again"}
        if how.endswith(JUDGED):
            return [deploy, {"type": "manualJudgment", "name": "good?", "refId": "2", "requisiteStageRefIds": ["1"]}, again]
        if how.endswith(("and more", QUEUES, SOON)):
            soaks = SOAKS if how.endswith("and more") else SOAKS_SHORTLY
            return [deploy, {"type": "wait", "name": "soak", "waitTime": soaks, "refId": "2", "requisiteStageRefIds": ["1"]}, again]
        return [deploy]

    def started(self, answer: Json, version: str) -> None:
        """A deploy pipeline was started."""
        self.versions[str(answer["ref"]).rpartition("/")[2]] = version

    async def person(self, app: str, what: str) -> None:
        """Alice pauses or resumes every run of the shop that is under way, or answers every judgment with go on."""
        for run in list(self._of(app)):
            if what == "judges":
                for stage in run.execution["stages"]:
                    if stage["type"] == "manualJudgment" and stage["status"] == "RUNNING" and run.execution["name"] == OWN:
                        await self._world.call("PATCH", f"/pipelines/{run.id}/stages/{stage['id']}", {"judgmentStatus": "continue"})
            elif not run.complete:
                await self._world.call("PUT", f"/pipelines/{run.id}/{what.removesuffix('s the run')}", {})
        self._world.diary.note(f"alice {what} ({app})")

    # --- what is -----------------------------------------------------------------------------------------------------------------

    def _of(self, app: str) -> Iterator[Run]:
        return (run for run in self._world.gate.executions if run.execution["application"] == app and run.kind == "PIPELINE")

    def started_for(self, operation: str) -> list[str]:
        """Runs of pipelines that carry the mark of that operation of ours."""
        mark = operation.replace("_", "-")
        return [run.id for run in self._world.gate.executions if run.kind == "PIPELINE" and mark in str(run.execution["trigger"].get("correlationId"))]

    def asks_a_person(self, app: str) -> bool:
        """Whether the team's rollback pipeline begins with a judgment."""
        return any(shop.app == app and shop.own == JUDGED for shop in self._world.shops)

    def is_ours(self, run: str) -> bool:
        """Whether Backout started it."""
        return str(self._world.gate.run_of(run)["trigger"].get("correlationId")).startswith("backout-")
