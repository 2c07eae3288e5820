"""What a canary analysis in a run means for who would end the run, and what it leaves; pure. Source only: `orca-kayenta` of release 2026.2.3.

A cancelled stage ends Kayenta's analysis and plans neither what follows it nor its clean-up (safety/care D5): a baseline and a canary that it deployed stay
and take traffic. One that deploys nothing measures what the run deployed before, or what was there; its scopes name that.
"""

from collections.abc import Iterator

from integrations.delivery.spinnaker.executions import DEPLOYING, Deployed, Execution, Stage
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.names import Address
from integrations.delivery.spinnaker.server_groups import cluster_of
from integrations.json_shapes import entries, part, text
from service.domain.keys import CanaryPart

ANALYSIS = "kayentaCanary"
UNREAD = frozenset({"canary", "acaTask", "monitorCanary", "runCanary"})
"""Other stages that measure a canary, at the top of a pipeline: what their cancellation does was not read."""
CLEANS_UP = "cleanupCanaryClusters"
DEPLOYS = "deployCanaryServerGroups"
ROLES = {"control": "baseline", "experiment": "canary"}
"""Kayenta's two words, and what everybody calls them."""
WORKLOADS = frozenset({"deployment", "replicaset", "statefulset", "daemonset"})


def open_canaries(run: Execution) -> tuple[Stage, ...]:
    """The canary analyses of the run that have not ended."""
    return tuple(stage for stage in run.stages if not stage.parent and stage.kind in UNREAD | {ANALYSIS} and not stage.status.ended)


def why_left_alone(run: Execution) -> str:
    """Why the run is not ours to end because of its canary analysis; "" when it may be ended."""
    for canary in open_canaries(run):
        if canary.kind in UNREAD:
            return f"a canary analysis of type {canary.kind} is under way, and what its end does is not known"
        below = run.below(canary)
        if any(stage.kind == CLEANS_UP for stage in below):
            return "its canary is being cleaned up, which its end would break off"
        if any(stage.kind == DEPLOYS and stage.status.value == "RUNNING" for stage in below):
            return "it is making its baseline and its canary, so what it would leave is not known yet"
    return ""


def left_by(run: Execution, target: Address) -> tuple[CanaryPart, ...]:
    """What the run made to measure by, without the target itself: what an end of the run leaves as it is."""
    found: dict[CanaryPart, None] = {}
    for canary in open_canaries(run):
        below = {stage.id for stage in run.below(canary)}
        named = dict(_scopes(canary))
        for made in run.deployed:
            role = _role_of(run, made.stage) if made.stage.id in below else ""
            found |= dict.fromkeys(one for one in _parts(made, role, named) if not _is(one, target))
    return tuple(sorted(found))


def _scopes(canary: Stage) -> Iterator[tuple[str, str]]:
    """Name of what is measured -> its role, as the stage was given them."""
    for scope in entries(part(canary.context, "canaryConfig").get("scopes")):
        for word, role in ROLES.items():
            if name := text(scope.get(f"{word}Scope")):
                yield name, role


def _role_of(run: Execution, stage: Stage) -> str:
    """By the name of the stage that deployed all of one role."""
    by_id = {one.id: one for one in run.stages}
    seen: set[str] = set()
    while stage.id not in seen:
        seen.add(stage.id)
        if stage.kind in DEPLOYING and stage.name in (names := {f"Deploy {word} server groups": role for word, role in ROLES.items()}):
            return names[stage.name]
        stage = by_id.get(stage.parent, stage)
    return "canary"


def _parts(made: Deployed, role: str, named: dict[str, str]) -> Iterator[CanaryPart]:
    """Those of one deploy: all of a stage below the analysis, else what its scopes name."""
    for region, names in made.groups.items():
        for name in names:
            if found := role or named.get(name) or named.get(cluster_of(name)[0], ""):
                provider = text(made.stage.context.get("cloudProvider")) or text(made.stage.context.get("provider"))
                yield CanaryPart(role=found, name=name, account=made.account, location=region, provider=provider)
    for manifest in made.manifests:
        kind, name = text(manifest.get("kind")), text(part(manifest, "metadata").get("name"))
        if kind.lower() in WORKLOADS and (found := named.get(name, "")):
            spoken = f"{kind[:1].lower()}{kind[1:]} {name}"
            location = text(part(manifest, "metadata").get("namespace"))
            yield CanaryPart(role=found, name=spoken, account=made.account, location=location, provider="kubernetes")


def _is(one: CanaryPart, target: Address) -> bool:
    if isinstance(target, ManifestAddress):
        return (one.account, one.location, one.name) == (target.account, target.location, target.spoken)
    return (one.account, one.location, cluster_of(one.name)[0]) == (target.account, target.region, target.cluster)
