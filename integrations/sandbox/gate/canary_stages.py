"""A canary analysis: Orca deploys a baseline and a canary if it is told to, lets Kayenta judge interval by interval, and cleans both up.

Source only: `orca-kayenta` of release 2026.2.3 (`KayentaCanaryStage`, `DeployCanaryServerGroupsStage`, `RunCanaryIntervalsStage`, `RunCanaryPipelineStage`,
`MonitorKayentaCanaryTask`, `AggregateCanaryResultsTask`, `CleanupCanaryClustersStage`). The clean-up stands after the stage and after its failure;
`CompleteStageHandler` plans neither for a cancelled one. Orca deploys baseline and canary side by side, here one after the other.
"""

from collections.abc import Sequence
from typing import Any, Final

from integrations.sandbox.gate.group_stages import cluster_of, monitored
from integrations.sandbox.gate.manifest_stages import post
from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.stage import ORCA_TASKS, Definition, Outcome, StageError, Synthetic, Task, Work, always

_KAYENTA: Final = f"{ORCA_TASKS}kayenta.tasks."
_CLUSTER: Final = f"{ORCA_TASKS}clouddriver.tasks.cluster."


def _deployments(work: Work) -> Json:
    """What the canary stage above deploys; {} where it measures what is there already."""
    stage: Json | None = work.stage
    while stage is not None and stage["type"] != "kayentaCanary":
        stage = next((one for one in work.execution["stages"] if one["id"] == (stage or {}).get("parentStageId")), None)
    return (stage or work.stage)["context"].get("deployments") or {}


def _pairs(work: Work) -> list[Json]:
    found: list[Json] = _deployments(work).get("serverGroupPairs", [])
    return found


def _begin(work: Work) -> Sequence[Synthetic]:
    config: Json = work.context.get("canaryConfig") or {}
    if not config.get("scopes"):
        raise StageError("IllegalArgumentException", "Canary stage configuration must contain at least one scope.")
    if not (config["scopes"][0].get("endTimeIso") or config.get("lifetimeDuration") or config.get("lifetimeHours")):
        raise StageError("IllegalArgumentException", "Canary stage configuration must include either `endTime` or `lifetimeDuration`.")
    deploys = [Synthetic(type="deployCanaryServerGroups", name="Deploy Canary Server Groups", context={})] if _pairs(work) else []
    intervals = {"canaryConfig": config, "continuePipeline": work.context.get("continuePipeline")}
    return [*deploys, Synthetic(type="runCanaryIntervals", name="Run Canary Intervals", context=intervals)]


def _deploy_both(work: Work) -> Sequence[Synthetic]:
    baseline = _deployments(work).get("baseline", {})
    about = {key: baseline.get(key) for key in ("application", "account", "cluster")} | {"cloudProvider": baseline.get("cloudProvider") or "aws"}

    def deploy(which: str) -> Synthetic:
        clusters = [dict(pair[which]) for pair in _pairs(work)]
        return Synthetic(type="deploy", name=f"Deploy {which} server groups", context={"clusters": clusters, "strategy": "highlander"})

    return [Synthetic(type="findImage", name="Find baseline image", context=about), deploy("control"), deploy("experiment")]


def _propagate(work: Work) -> Outcome:
    """Tell which server groups were made, pair by pair."""
    made = {}
    stages: list[Json] = work.execution["stages"]
    for which in ("control", "experiment"):
        name = f"Deploy {which} server groups"
        deploy = next(one for one in stages if one.get("parentStageId") == work.stage["id"] and one["name"] == name)
        children = sorted((one for one in stages if one.get("parentStageId") == deploy["id"]), key=lambda one: str(one["refId"]))
        made[which] = [(region, names[0]) for one in children for region, names in one["context"].get("deploy.server.groups", {}).items()]
    scopes = [
        {"controlLocation": control[0], "controlScope": control[1], "experimentLocation": experiment[0], "experimentScope": experiment[1]}
        for control, experiment in zip(made["control"], made["experiment"], strict=True)
    ]
    return Outcome(outputs={"deployedServerGroups": scopes})


def _minutes(value: Any) -> float:
    return float(str(value).removeprefix("PT").removesuffix("M").removesuffix("H") or 0) * (60 if str(value).endswith("H") else 1)


def _intervals(work: Work) -> Sequence[Synthetic]:
    config = work.context["canaryConfig"]
    lifetime = _minutes(config["lifetimeDuration"]) if config.get("lifetimeDuration") else float(config.get("lifetimeHours") or 1) * 60
    every = min(float(config.get("canaryAnalysisIntervalMins") or lifetime) or lifetime, lifetime)
    found = []
    for number in range(1, int(lifetime // every) + 1):
        if not config["scopes"][0].get("endTimeIso"):
            found.append(Synthetic(type="wait", name=f"Interval Wait #{number}", context={"waitTime": every * 60}))
        about = {key: config.get(key) for key in ("canaryConfigId", "metricsAccountName", "storageAccountName", "scoreThresholds")}
        context = {**about, "continuePipeline": work.context.get("continuePipeline"), "scopes": {"default": {}}}
        found.append(Synthetic(type="runCanary", name=f"Run Canary #{number}", context=context))
    return found


def _start(work: Work) -> Outcome:
    return Outcome(context={"canaryPipelineExecutionId": work.tools.kayenta.start()})


def _follow(work: Work) -> Outcome:
    kayenta = work.tools.kayenta
    status = kayenta.status(work.context["canaryPipelineExecutionId"])
    if status == "RUNNING":
        return Outcome(status="RUNNING", context={"canaryPipelineStatus": status})
    if status == "CANCELED":
        errors = {"exception": {"details": {"errors": ["Canary execution was canceled."]}}}
        return Outcome(status="TERMINAL", context={"canaryPipelineStatus": status, **errors})
    told: Json = {"canaryPipelineStatus": status, "canaryScore": kayenta.score, "durationString": "PT1M", "warnings": []}
    if kayenta.score <= float((work.context.get("scoreThresholds") or {}).get("marginal") or 0):
        return Outcome(status="TERMINAL", context={**told, "canaryScoreMessage": "Canary score is not above the marginal score threshold."})
    return Outcome(context=told)


def _cancel(work: Work) -> None:
    if identity := work.context.get("canaryPipelineExecutionId"):
        work.tools.kayenta.cancel(str(identity))


def _aggregate(work: Work) -> Outcome:
    scores = [one["context"]["canaryScore"] for one in work.execution["stages"] if one["type"] == "runCanary" and "canaryScore" in one["context"]]
    least = (work.context["canaryConfig"].get("scoreThresholds") or {}).get("pass")
    if least is None:
        return Outcome(context={"canaryScores": scores, "canaryScoreMessage": "No score thresholds were specified."})
    well = scores[-1] >= float(least)
    said = f"Final canary score {scores[-1]} {'met or exceeded' if well else 'is below'} the pass score threshold."
    return Outcome(status="SUCCEEDED" if well else "TERMINAL", context={"canaryScores": scores, "canaryScoreMessage": said})


def _clean_up(work: Work) -> Sequence[Synthetic]:
    return [Synthetic(type="cleanupCanaryClusters", name="Cleanup Canary Clusters", context={})] if _pairs(work) else []


def _both_clusters(work: Work) -> Sequence[Synthetic]:
    """Both lose their traffic, a while later both are shrunk to nothing."""
    named = [(which, pair[which]) for pair in _pairs(work) for which in ("control", "experiment")]

    def of(kind: str, says: str, more: Json) -> list[Synthetic]:
        return [Synthetic(type=kind, name=f"{says} {which} cluster {cluster_of(spec)}", context={**_context_of(spec), **more}) for which, spec in named]

    disables = of("disableCluster", "Disable", {"remainingEnabledServerGroups": 0, "continuePipeline": True})
    wait = Synthetic(type="wait", name="Wait before cleanup", context={"waitTime": _minutes(_deployments(work).get("delayBeforeCleanup") or 0) * 60})
    return [*disables, wait, *of("shrinkCluster", "Cleanup", {"allowDeleteActive": True, "shrinkToSize": 0, "continuePipeline": True})]


def _context_of(spec: Json) -> Json:
    regions = list(spec.get("availabilityZones") or {}) or [spec.get("region")]
    about = {"cluster": cluster_of(spec), "credentials": spec.get("account"), "moniker": spec.get("moniker"), "regions": regions}
    return {**about, "cloudProvider": spec.get("cloudProvider") or spec.get("provider") or "aws"}


def _of_cluster(operation: str, name: str) -> Definition:
    """One operation for each server group of the cluster (`AbstractClusterWideClouddriverOperationStage`)."""

    def act(work: Work) -> Outcome:
        context, groups = work.context, work.tools.clouddriver.groups
        for region in context["regions"]:
            for one in groups.of(context["cluster"], context["credentials"], region):
                body = {"cloudProvider": context["cloudProvider"], "credentials": context["credentials"], "region": region, "serverGroupName": one.name}
                pending = post(work, operation, body, str(context["cloudProvider"]))
                if pending is not None:
                    return pending
        return Outcome(status="SUCCEEDED" if "kato.last.task.id" in context else "TERMINAL")  # there is no such cluster

    def tasks(work: Work) -> Sequence[Task]:
        kind = name[:1].upper() + name[1:]
        return [Task(name=name, cls=f"{_CLUSTER}{kind}Task", work=act), monitored(work, f"monitor{kind}")]

    return Definition(tasks=tasks)


def _one(name: str, cls: str, work: Any, **more: float) -> Task:
    return Task(name=name, cls=f"{_KAYENTA}{cls}", work=work, **more)


CANARY: Final[dict[str, Definition]] = {
    "kayentaCanary": Definition(
        before=_begin,
        tasks=lambda _work: [_one("aggregateCanaryResults", "AggregateCanaryResultsTask", _aggregate)],
        after=_clean_up,
        on_failure=_clean_up,
    ),
    "deployCanaryServerGroups": Definition(
        before=_deploy_both,
        tasks=lambda _work: [_one("propagateDeployedServerGroupScopes", "PropagateDeployedServerGroupScopes", _propagate)],
    ),
    "findImage": Definition(tasks=lambda _work: [Task(name="findImage", cls=f"{_CLUSTER}FindImageFromClusterTask", work=always)]),
    "runCanaryIntervals": Definition(before=_intervals),
    "runCanary": Definition(
        tasks=lambda _work: [
            _one("runCanary", "RunKayentaCanaryTask", _start),
            _one("monitorCanary", "MonitorKayentaCanaryTask", _follow, timeout=12 * 3600.0),
        ],
        cancel=_cancel,
    ),
    "cleanupCanaryClusters": Definition(before=_both_clusters),
    "disableCluster": _of_cluster("disableServerGroup", "disableCluster"),
    "shrinkCluster": _of_cluster("destroyServerGroup", "shrinkCluster"),
}
"""The types by name."""
