"""Which doors the bad version could come back through: triggers of saved pipelines that deploy the target, and pipelines that start those; pure.

A pipeline whose stages do not tell what they deploy may deploy anything: its triggers are doors too. A door is shut by switching its trigger off, never by
switching the pipeline off: the fix will need it (safety/care D2).
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from integrations.delivery.spinnaker.clusters_meant import means_cluster
from integrations.delivery.spinnaker.executions import DEPLOYING
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.manifests_meant import means_manifest
from integrations.delivery.spinnaker.names import Address
from integrations.delivery.spinnaker.pipelines import Pipeline, SavedStage, Trigger
from integrations.json_shapes import Body, part, text

INSCRUTABLE = frozenset(
    {"jenkins", "script", "runJob", "runJobManifest", "gcb", "awsCodeBuild", "concourse", "travis", "wercker", "webhook", "preconfiguredWebhook"}
)
"""Stages that may deploy anything by means that Spinnaker does not see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A trigger through which the bad version may come back. `sure`: it is known to deploy the target; `to_person` is why only a person shuts it, else ""."""

    pipeline: Pipeline
    trigger: Trigger
    sure: bool
    to_person: str

    @property
    def may_be_shut(self) -> bool:
        """Whether Backout may switch it off, where it is let: one that only may deploy the target stays, and so does what a tool or a lock owns."""
        return self.sure and not self.to_person

    @property
    def says(self) -> str:
        """One line for a person."""
        certainty = "deploys" if self.sure else "may deploy"
        return f"pipeline {self.pipeline.name} {certainty} the target when started by {self.trigger.says}"


def doors_to(target: Address, pipelines: Sequence[Pipeline], *, deployed_by: Container[str] = (), shut_for: str = "") -> tuple[Door, ...]:
    """Every open door to the target; those that are sure come first.

    `deployed_by` are ids of pipelines that are known to have deployed it: what their stages do not say is settled by that. A trigger that Backout keeps off
    for other targets is open too: it comes on again when they let go. Those that it keeps off for `shut_for` are shut.

    Pipelines that start a deploying one are followed upwards, however many there are and also in a circle. A trigger that hangs on the
    end of an upstream pipeline is a door itself; the doors of the upstream one are not: to shut the nearest is enough.
    """
    by_id = {pipeline.id: pipeline for pipeline in pipelines}
    found: list[Door] = []
    for pipeline in pipelines:
        if pipeline.disabled:
            continue
        sure = _deploys(pipeline, target, by_id, frozenset())
        if sure is None:
            continue
        sure = sure or pipeline.id in deployed_by
        triggers = [trigger for trigger in pipeline.triggers if _open(trigger, shut_for)]
        found += [Door(pipeline=pipeline, trigger=trigger, sure=sure, to_person=_to_person(pipeline)) for trigger in triggers]
    return tuple(sorted(found, key=lambda door: (not door.sure, door.pipeline.application, door.pipeline.name, door.trigger.place)))


def starters_of(pipeline: Pipeline, pipelines: Iterable[Pipeline], status: str) -> tuple[Pipeline, ...]:
    """The pipelines that begin by themselves when this one ends with that status (successful, failed, canceled): read before anything of it is cancelled."""
    return tuple(
        other
        for other in pipelines
        if not other.disabled
        and any(one.enabled and one.upstream == pipeline.id and (status in one.upstream_statuses or not one.upstream_statuses) for one in other.triggers)
    )


def _open(trigger: Trigger, shut_for: str) -> bool:
    return trigger.enabled or (trigger.kept_off and shut_for not in trigger.marks)


def _to_person(pipeline: Pipeline) -> str:
    if pipeline.written_elsewhere:
        return pipeline.written_elsewhere
    return "" if pipeline.raw.get("triggers") is not None else "its triggers cannot be read"


def _deploys(pipeline: Pipeline, target: Address, by_id: Mapping[str, Pipeline], above: frozenset[str]) -> bool | None:
    """True: it does; False: nobody can tell; None: it does not."""
    if pipeline.written_elsewhere == "it is made from a template" and not pipeline.stages:
        return False
    found: bool | None = None
    for stage in pipeline.stages:
        answer = _stage_deploys(stage, target, by_id, above | {pipeline.id})
        if answer:
            return True
        found = found if answer is None else answer
    return found


def _stage_deploys(stage: SavedStage, target: Address, by_id: Mapping[str, Pipeline], above: frozenset[str]) -> bool | None:
    if part(stage.body, "stageEnabled") == {} and stage.body.get("enabled") is False:
        return None
    if stage.kind == "pipeline":
        called = text(stage.body.get("pipeline"))
        if called in above:
            return None
        return _deploys(by_id[called], target, by_id, above) if called in by_id else False
    if stage.kind in INSCRUTABLE:
        return False
    if stage.kind not in DEPLOYING:
        return None
    return means(stage.body, target)


def means(body: Body, target: Address) -> bool | None:
    """Whether the stage means the target. True: it does; False: nobody can tell; None: it does not."""
    return means_manifest(body, target) if isinstance(target, ManifestAddress) else means_cluster(body, target)
