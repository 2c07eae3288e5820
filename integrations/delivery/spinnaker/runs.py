"""What runs of pipelines and tasks have to do with one target: which of them deployed it, brought it back, or may be about to; pure.

A run names what it deploys only once it has: until then a deploy stage may mean any manifest of the application. So "may touch" is wide, "did touch" exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from integrations.delivery.spinnaker.canaries import open_canaries
from integrations.delivery.spinnaker.clusters_meant import means_cluster
from integrations.delivery.spinnaker.executions import DEPLOYING, GOING_BACK, Deployed, Execution, Stage, Status, images_in
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress, Revision
from integrations.delivery.spinnaker.manifests_meant import means_manifest
from integrations.delivery.spinnaker.names import Address
from integrations.delivery.spinnaker.server_groups import ClusterAddress, cluster_of
from integrations.json_shapes import entries, part, text
from service.domain.model import Image

OURS = "backout-"
"""How the marker of everything begins that Backout starts."""
NEAR = timedelta(seconds=60)
"""Orca's and the cluster's clocks, and the time between a stage's start and the ReplicaSet that it makes."""
MOVING = frozenset({"scaleManifest", "rollingRestartManifest", "pauseRolloutManifest", "resumeRolloutManifest", "deleteManifest"})
"""Other stage types that change a manifest that lives."""
MOVING_GROUPS = frozenset(
    {"enableServerGroup", "disableServerGroup", "resizeServerGroup", "destroyServerGroup", "disableCluster", "shrinkCluster", "scaleDownCluster"}
)
"""Stage types that change server groups that live."""
FETCHES = "resolveDeploySourceManifest"
"""The task of a deploy stage that puts what it really deploys into its context (recording 11k; that it replaces what was typed: source only)."""
LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """One stage of a run that has to do with the target, as far as the stage tells.

    Of a manifest `images` are what it deployed there, `revision` what it went back to. Of a cluster `groups` are the server groups that it made there,
    `enabled` the one that it gave traffic again.
    """

    run: Execution
    stage: Stage
    images: tuple[Image, ...] = ()
    revision: str = ""
    groups: tuple[str, ...] = ()
    enabled: str = ""

    @property
    def strategy(self) -> str:
        """How a deploy of server groups treats those before it: its own word for all its clusters, or that of each; "" where it says nothing."""
        each = (text(one.get("strategy")) for one in entries(self.stage.context.get("clusters")))
        return (text(self.stage.context.get("strategy")) or next((word for word in each if word), "")).lower()

    @property
    def at(self) -> datetime:
        """When it began, by Orca's clock."""
        return self.stage.started_at or self.run.started_at or self.run.built_at or LONG_AGO


def touches_of(runs: Iterable[Execution], address: Address) -> tuple[Touch, ...]:
    """What was done to the target, newest first: stages that have begun and that name it."""
    found = [touch for run in runs for stage in run.stages if stage.started_at is not None and (touch := _touch(run, stage, address)) is not None]
    return tuple(sorted(found, key=lambda touch: touch.at, reverse=True))


def all_acting_on(runs: Iterable[Execution], address: Address) -> tuple[Execution, ...]:
    """The runs that have not ended and may still change the target, oldest first; a deploy stage that does not say what it deploys counts.

    So does one that deployed it and still measures it in a canary analysis: what is live here decides how far it goes.
    """
    alive = [run for run in runs if not run.status.ended and (any(_may_touch(stage, address) for stage in run.stages) or _measures(run, address))]
    return tuple(sorted(alive, key=lambda run: run.built_at or LONG_AGO))


def acting_on(runs: Iterable[Execution], address: Address) -> Execution | None:
    """The oldest of them."""
    return next(iter(all_acting_on(runs, address)), None)


def made(touches: Sequence[Touch], revision: Revision) -> Touch | None:
    """The touch that put the revision live (again): the newest that deployed these images or went back to it, around the time at which it came to be.

    None when no run is known to have done so: kubectl, another tool, or a run that Spinnaker remembers no more.
    """
    for touch in touches:
        if touch.revision and touch.revision in {str(number) for number in revision.earlier}:
            return touch
        if (revision.earlier and _same_images(touch, revision)) or around(touch, revision):
            return touch
    return None


def around(touch: Touch, revision: Revision) -> bool:
    """Whether the stage deployed exactly these images around the time at which the revision came to be."""
    when = revision.created_at
    return _same_images(touch, revision) and when is not None and touch.at - NEAR <= when <= (touch.stage.ended_at or touch.at + NEAR) + NEAR


def _same_images(touch: Touch, revision: Revision) -> bool:
    return bool(touch.images) and {image.reference for image in touch.images} == {image.reference for image in revision.images}


def _touch(run: Execution, stage: Stage, address: Address) -> Touch | None:
    if isinstance(address, ClusterAddress):
        return _cluster_touch(run, stage, address)
    if stage.kind in DEPLOYING:
        one = next((one for one in run.deployed if one.stage is stage and one.manifests), None)
        images = _images_for(one, address) if one is not None else None
        return None if images is None else Touch(run=run, stage=stage, images=images)
    if stage.kind in GOING_BACK | MOVING and means_manifest(stage.context, address) is True:
        revision = stage.context.get("revision")
        return Touch(run=run, stage=stage, revision=str(revision) if isinstance(revision, int | str) and stage.kind == "undoRolloutManifest" else "")
    return None


def _images_for(made_: Deployed, address: ManifestAddress) -> tuple[Image, ...] | None:
    """The images that the stage deployed under that address; None when it deployed something else."""
    if made_.account not in {"", address.account}:
        return None
    for manifest in made_.manifests:
        metadata = part(manifest, "metadata")
        named = (text(manifest.get("kind")).lower(), text(metadata.get("name")))
        if named == (address.kind.lower(), address.name) and text(metadata.get("namespace")) in {"", address.location}:
            return images_in(part(manifest, "spec", "template"))
    return None


def _cluster_touch(run: Execution, stage: Stage, address: ClusterAddress) -> Touch | None:
    if stage.kind in DEPLOYING:
        made_ = (name for one in run.deployed if one.stage is stage and one.account in {"", address.account} for name in one.groups.get(address.region, ()))
        groups = tuple(name for name in made_ if cluster_of(name)[0] == address.cluster)
        return Touch(run=run, stage=stage, groups=groups) if groups else None
    if stage.kind not in GOING_BACK | MOVING_GROUPS or means_cluster(stage.context, address) is not True:
        return None
    enables = stage.kind == "enableServerGroup" and stage.posted
    return Touch(run=run, stage=stage, enabled=text(stage.context.get("serverGroupName")) if enables else "")


def _may_touch(stage: Stage, address: Address) -> bool:
    if stage.status.ended:
        return False
    if isinstance(address, ClusterAddress):
        return stage.kind in DEPLOYING | GOING_BACK | MOVING_GROUPS and means_cluster(stage.context, address) is not None
    return stage.kind in DEPLOYING | GOING_BACK | MOVING and means_manifest(stage.context, address, fetched=not _not_fetched(stage)) is not None


def _measures(run: Execution, address: Address) -> bool:
    deployed = (_touch(run, stage, address) for stage in run.stages if stage.kind in DEPLOYING and stage.started_at is not None)
    return bool(open_canaries(run)) and any(touch is not None for touch in deployed)


def _not_fetched(stage: Stage) -> bool:
    """Whether it deploys an artifact that it has not fetched yet: until then `manifests` is what was typed into the stage before, and means nothing."""
    return text(stage.context.get("source")) == "artifact" and (FETCHES, Status.SUCCEEDED) not in stage.tasks
