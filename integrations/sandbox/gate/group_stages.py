"""Stages that change server groups: deploy, enable, disable, resize, destroy, and the rollbacks built from them (contract 4.2; recordings 12)."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from integrations.sandbox.gate.manifest_stages import MONITOR, monitor, post
from integrations.sandbox.gate.server_groups import ServerGroup
from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.stage import DONE, ORCA_TASKS, Definition, Outcome, StageError, Synthetic, Task, Work, always

_CLOUD: Final = f"{ORCA_TASKS}clouddriver."
_GROUP: Final = f"{_CLOUD}tasks.servergroup."
_TYPES: Final = frozenset({"EXPLICIT", "PREVIOUS_IMAGE", "TEST"})
_NO_TARGET: Final = "Could not resolve target"


def _name(work: Work) -> str:
    return str(work.context.get("serverGroupName") or work.context.get("asgName"))


def _place(work: Work) -> tuple[str, str]:
    location = work.context.get("targetLocation") or {}
    return str(work.context.get("credentials") or work.context.get("account")), str(work.context.get("region") or location.get("value"))


def _group(work: Work) -> ServerGroup | None:
    return work.tools.clouddriver.groups.find(_name(work), *_place(work))


def _post(operation: str, notified: str) -> Callable[[Work], Outcome]:
    def act(work: Work) -> Outcome:
        context = work.context
        group = _group(work)
        if operation in {"disableServerGroup", "destroyServerGroup"} and group is not None and (words := work.tools.clouddriver.groups.why_guarded(group)):
            raise StageError("TrafficGuardException", words)
        body = {key: value for key, value in context.items() if not key.startswith(("kato.", "targetop.", "deploy.", "force.")) and key not in _WRITTEN}
        if operation == "resizeServerGroup" and group is not None:
            body["originalCapacity"] = group.capacity
        pending = post(work, operation, body, str(context.get("cloudProvider", "aws")))
        if pending is not None:
            return pending
        account, region = _place(work)
        told: Json = {
            "asgName": _name(work),
            "deploy.account.name": account,
            "deploy.server.groups": {region: [_name(work)]},
            "notification.type": notified,
        }
        if operation in {"enableServerGroup", "disableServerGroup"}:
            told |= {f"targetop.asg.{operation}.name": _name(work), f"targetop.asg.{operation}.regions": [region]}
        outputs = {f"originalCapacity.{_name(work)}": group.capacity} if operation == "resizeServerGroup" and group is not None else {}
        return Outcome(context=told, outputs=outputs)

    return act


_WRITTEN: Final = frozenset({"notification.type", "processed.server.groups", "refreshed.server.groups", "zones", "restartDetails", "exception"})


def _refresh(_work: Work) -> Outcome:
    return Outcome(context={"force.cache.refresh.errors": [], "processed.server.groups": [], "refreshed.server.groups": [], "zones": []})


def _up(work: Work) -> Outcome:
    group = _group(work)
    if group is None:
        return Outcome(status="RUNNING")
    share = int(work.context.get("targetHealthyDeployPercentage", 100)) / 100
    enough = work.tools.clouddriver.groups.up(group) >= share * group.desired
    return DONE if enough and not group.disabled else Outcome(status="RUNNING")


def _capacity_matches(work: Work) -> Outcome:
    group = _group(work)
    return DONE if group is not None and work.tools.clouddriver.groups.up(group) == group.desired else Outcome(status="RUNNING")


def _disabled(work: Work) -> Outcome:
    group = _group(work)
    return DONE if group is None or group.disabled else Outcome(status="RUNNING")


def _health_providers() -> Task:
    return Task(name="determineHealthProviders", cls=f"{_CLOUD}tasks.DetermineHealthProvidersTask", work=always)


def monitored(work: Work, name: str = "monitorServerGroup") -> Task:
    """The task that asks how the stage's operation goes."""
    return Task(name=name, cls=MONITOR, work=monitor(), poll=work.tools.timings.monitor)


def _cache(name: str = "forceCacheRefresh") -> Task:
    return Task(name=name, cls=f"{_GROUP}ServerGroupCacheForceRefreshTask", work=_refresh)


def _polled(work: Work, name: str, cls: str, ask: Callable[[Work], Outcome]) -> Task:
    return Task(name=name, cls=f"{_CLOUD}tasks.{cls}", work=ask, poll=work.tools.timings.instances, timeout=7200)


# --- one group -------------------------------------------------------------------------------------------------------------


def _is_child(work: Work) -> bool:
    return "parentStageId" in work.stage


def _targets(kind: str) -> Callable[[Work], Sequence[Synthetic]]:
    """A job of its own has no tasks: it adds one stage of the same type per group that it means."""

    def before(work: Work) -> Sequence[Synthetic]:
        if _is_child(work):
            return ()
        context = work.context
        if context.get("serverGroupName") or context.get("asgName"):
            return [Synthetic(type=kind, name=kind, context=dict(context))]
        account, groups = str(context.get("credentials")), work.tools.clouddriver.groups
        found = []
        for region in context.get("regions") or [context.get("region")]:
            every = sorted(groups.of(str(context.get("cluster")), account, str(region)), key=lambda one: one.created, reverse=True)
            at = {"ancestor_asg_dynamic": 1, "previous_asg_dynamic": 1, "oldest_asg_dynamic": len(every) - 1}.get(str(context.get("target")), 0)
            if not 0 <= at < len(every):
                raise StageError("TargetServerGroup$NotFoundException", f"{_NO_TARGET} {context.get('target')} of {context.get('cluster')} in {region}")
            one = {"serverGroupName": every[at].name, "asgName": every[at].name, "region": region}
            found.append(Synthetic(type=kind, name=f"{kind} [{region}]", context={**context, **one}))
        return found

    return before


def _enable_tasks(work: Work) -> Sequence[Task]:
    if not _is_child(work):
        return ()
    return [
        _health_providers(),
        Task(name="enableServerGroup", cls=f"{_GROUP}EnableServerGroupTask", work=_post("enableServerGroup", "enableservergroup")),
        monitored(work),
        _polled(work, "waitForUpInstances", "instance.WaitForUpInstancesTask", _up),
    ]


def _disable_tasks(work: Work) -> Sequence[Task]:
    if not _is_child(work):
        return ()
    return [
        _health_providers(),
        Task(name="disableServerGroup", cls=f"{_GROUP}DisableServerGroupTask", work=_post("disableServerGroup", "disableservergroup")),
        monitored(work),
        _polled(work, "waitForDownInstances", "servergroup.WaitForRequiredInstancesDownTask", _disabled),
        _polled(work, "waitForServerGroupDisabled", "servergroup.WaitForDisabledServerGroupTask", _disabled),
    ]


def _resize_tasks(work: Work) -> Sequence[Task]:
    if not _is_child(work):
        return ()
    return [
        Task(name="checkIfApplicationExists", cls=f"{_GROUP}CheckIfApplicationExistsForServerGroupTask", work=always),
        _health_providers(),
        Task(name="resizeServerGroup", cls=f"{_GROUP}ResizeServerGroupTask", work=_post("resizeServerGroup", "resizeservergroup")),
        monitored(work),
        _cache(),
        _polled(work, "waitForCapacityMatch", "servergroup.WaitForCapacityMatchTask", _capacity_matches),
    ]


def _destroy_tasks(work: Work) -> Sequence[Task]:
    if not _is_child(work):
        return ()
    return [Task(name="destroyServerGroup", cls=f"{_GROUP}DestroyServerGroupTask", work=_post("destroyServerGroup", "destroyservergroup")), monitored(work)]


def _scaling(action: str) -> Callable[[Work], Sequence[Synthetic]]:
    def children(work: Work) -> Sequence[Synthetic]:
        if not _is_child(work):
            return _targets("resizeServerGroup")(work) if action == "resume" else ()
        if work.context.get("cloudProvider") != "aws":
            return ()
        account, region = _place(work)
        about = {"cloudProvider": "aws", "credentials": account, "region": region, "serverGroupName": _name(work)}
        processes = ["Launch", "Terminate"]
        return [Synthetic(type="modifyAwsScalingProcess", name=f"{action}ScalingProcesses", context={**about, "action": action, "processes": processes})]

    return children


def _modify_tasks(work: Work) -> Sequence[Task]:
    action = str(work.context.get("action"))

    def act(inner: Work) -> Outcome:
        told: Json = {"deploy.server.groups": {str(inner.context.get("region")): [_name(inner)]}, "notification.type": f"{action}asgprocessesdescription"}
        return Outcome(context={**told, "asgName": _name(inner), "processes": []}, outputs={f"scalingProcesses.{_name(inner)}": []})

    proper = f"{action.capitalize()}AwsScalingProcessTask"
    return [
        Task(name=action, cls=f"{_CLOUD}tasks.providers.aws.scalingprocess.{proper}", work=act),
        Task(name="monitor", cls=MONITOR, work=always),
        _cache(),
        Task(name="waitForScalingProcesses", cls=f"{_CLOUD}pipeline.providers.aws.ModifyAwsScalingProcessStage.WaitForScalingProcess", work=always),
    ]


# --- back to a named group -------------------------------------------------------------------------------------------------


def _snapshot(work: Work) -> Outcome:
    source = work.context["source"]
    group = work.tools.clouddriver.groups.find(source["serverGroupName"], source["account"], source["region"])
    if group is None:
        raise StageError("IllegalStateException", f"Source server group {source['serverGroupName']} is gone")
    return Outcome(context={"sourceServerGroupCapacitySnapshot": group.capacity, "capacity": group.capacity, "useSourceCapacity": False})


def _snapshot_tasks(_work: Work) -> Sequence[Task]:
    cls = f"{_CLOUD}pipeline.providers.aws.CaptureSourceServerGroupCapacityTask"
    return [Task(name="snapshotSourceServerGroup", cls=cls, work=_snapshot)]


def _restore(work: Work) -> Outcome:
    target = work.context["target"]
    siblings = [one for one in work.execution["stages"] if one.get("parentStageId") == work.stage.get("parentStageId")]
    taken = next(one["context"] for one in siblings if one["type"] == "captureSourceServerGroupCapacity")
    body: Json = {
        "asgName": target["asgName"],
        "capacity": {"min": taken["sourceServerGroupCapacitySnapshot"]["min"]},
        "cloudProvider": target["cloudProvider"],
        "credentials": target["account"],
        "region": target["region"],
        "serverGroupName": target["serverGroupName"],
    }
    pending = post(work, "resizeServerGroup", body, str(target["cloudProvider"]))
    if pending is not None:
        return pending
    told = {"asgName": target["asgName"], "deploy.account.name": target["account"], "deploy.server.groups": {target["region"]: [target["asgName"]]}}
    return Outcome(context={**told, "notification.type": "resizeservergroup", "serverGroupName": target["serverGroupName"]})


def _restore_tasks(work: Work) -> Sequence[Task]:
    cls = f"{_CLOUD}pipeline.providers.aws.ApplySourceServerGroupCapacityTask"
    return [Task(name="restoreMinCapacity", cls=cls, work=_restore), monitored(work, "waitForCapacityMatch"), _cache()]


def _rollback(work: Work) -> Sequence[Synthetic]:
    context = work.context
    kind = context.get("rollbackType")
    if kind is None:
        raise StageError("IllegalStateException", f"Missing `rollbackType` (execution: {work.execution['id']})")
    if kind not in _TYPES:
        raise StageError("IllegalArgumentException", f"Unable to map context to class {_CLOUD}pipeline.servergroup.RollbackServerGroupStage$StageData")
    given: Json = context.get("rollbackContext") or {}
    if kind == "TEST":
        return [Synthetic(type="wait", name="wait", context={"waitTime": given.get("waitTime", 0)})]
    return _to_image(work, given) if kind == "PREVIOUS_IMAGE" else _explicit(work, given)


def _explicit(work: Work, given: Json) -> Sequence[Synthetic]:
    bad, good = str(given.get("rollbackServerGroupName")), str(given.get("restoreServerGroupName"))
    inherited = {key: value for key, value in work.context.items() if not key.startswith("kato.") and key not in _WRITTEN}
    disable = Synthetic(type="disableServerGroup", name=f"Disable {bad} due to rollback", context={**inherited, "serverGroupName": bad})
    if given.get("disableOnly"):
        return [disable]
    share = given.get("targetHealthyRollbackPercentage", 100)
    enabling = {**inherited, "serverGroupName": good, "targetHealthyDeployPercentage": share}
    enable = Synthetic(type="enableServerGroup", name=f"Enable {good} due to rollback", context=enabling)
    if given.get("enableAndDisableOnly"):
        return [enable, disable]
    source, target = _looked_up(work, bad), _looked_up(work, good)
    wanted = {"desired": max(source.desired, target.desired), "max": max(source.maximum, target.maximum), "min": max(source.desired, target.desired)}
    delay = int(given.get("delayBeforeDisableSeconds") or 0)
    pause = [Synthetic(type="wait", name="waitBeforeDisable", context={"waitTime": delay})] if delay else []
    if wanted["desired"] == target.desired and wanted["max"] == target.maximum:
        return [enable, *pause, disable]
    account, region = _place(work)
    resize = Synthetic(
        type="resizeServerGroup",
        name=f"Resize Server Group: {good} to (min: {wanted['min']}, max: {wanted['max']}, desired: {wanted['desired']})",
        context={
            **inherited,
            "action": "scale_exact",
            "asgName": good,
            "capacity": wanted,
            "pinMinimumCapacity": True,
            "serverGroupName": good,
            "targetHealthyDeployPercentage": share,
            "targetLocation": {"type": "REGION", "value": region},
        },
    )
    place = {"account": account, "region": region}
    capture = Synthetic(
        type="captureSourceServerGroupCapacity",
        name="Snapshot Source Server Group",
        context={"source": {**place, "asgName": bad, "serverGroupName": bad, "useSourceCapacity": False}, "useSourceCapacity": False},
    )
    provider = str(work.context.get("cloudProvider"))
    apply = Synthetic(
        type="applySourceServerGroupCapacity",
        name="Restore Min Capacity From Snapshot due to rollback",
        context={
            "cloudProvider": provider,
            "credentials": account,
            "target": {**place, "asgName": good, "cloudProvider": provider, "serverGroupName": good},
        },
    )
    return [capture, enable, resize, *pause, disable, apply]


def _looked_up(work: Work, name: str) -> ServerGroup:
    group = work.tools.clouddriver.groups.find(name, *_place(work))
    if group is None or work.tools.faults.lookups_are_slow or work.tools.faults.clouddriver is not None:
        words = f"Failed Clouddriver look up for {name} in 5 sec. Consider increasing rollback.explicitRollback.timeout in orca profile."
        raise StageError("SpinnakerException", words)
    return group


def _to_image(work: Work, given: Json) -> Sequence[Synthetic]:
    name = str(given.get("rollbackServerGroupName"))
    group = work.tools.clouddriver.groups.find(name, *_place(work))
    image = given.get("imageId") or (group.source_tag or {}).get("imageId") if group else None
    if image is None:
        raise StageError("IllegalStateException", f"Unable to determine rollback image (serverGroupName: {name})")
    account, region = _place(work)
    about = {"cloudProvider": work.context.get("cloudProvider"), "credentials": account, "region": region, "serverGroupName": name, "imageId": image}
    return [Synthetic(type="cloneServerGroup", name="clone", context={**about, "strategy": "redblack"})]


def _clone_tasks(work: Work) -> Sequence[Task]:
    def act(inner: Work) -> Outcome:
        return post(inner, "cloneServerGroup", dict(inner.context), str(inner.context.get("cloudProvider"))) or DONE

    return [Task(name="cloneServerGroup", cls=f"{_GROUP}CloneServerGroupTask", work=act), *_after_creation(work)]


# --- back without a name ---------------------------------------------------------------------------------------------------


def _candidates(work: Work) -> Outcome:
    context = work.context
    groups, account = work.tools.clouddriver.groups, str(context.get("credentials"))
    cluster = str((context.get("moniker") or {}).get("cluster"))
    more: Json = context.get("additionalRollbackContext") or {}
    images: list[Json] = []
    kinds: Json = {}
    contexts: Json = {}
    for region in context.get("regions", []):
        newest = sorted(groups.of(cluster, account, region), key=lambda one: one.created, reverse=True)
        bad = next((one for one in newest if not one.disabled), None)
        others = [one for one in newest if one is not bad and not (more.get("onlyEnabledServerGroups") and one.disabled)]
        if bad is None or not others:
            continue  # skipped in silence (recording 12i)
        tagged = (bad.source_tag or {}).get("imageId")
        good = next((one for one in others if tagged and one.image == tagged), others[0])
        kinds[region] = "EXPLICIT"
        share = context.get("targetHealthyRollbackPercentage", 100)
        contexts[region] = {"restoreServerGroupName": good.name, "rollbackServerGroupName": bad.name, "targetHealthyRollbackPercentage": share}
        images.append({"buildNumber": good.build, "image": f"name-{good.image}", "region": region, "rollbackMethod": "EXPLICIT"})
    return Outcome(context={"imagesToRestore": images}, outputs={"rollbackContexts": contexts, "rollbackTypes": kinds})


def _candidate_tasks(_work: Work) -> Sequence[Task]:
    cls = f"{_CLOUD}tasks.cluster.DetermineRollbackCandidatesTask"
    return [Task(name="determineRollbackCandidates", cls=cls, work=_candidates, poll=15.0, timeout=300)]


def _regions(work: Work) -> Sequence[Synthetic]:
    context = work.context
    found: list[Synthetic] = []
    for region, kind in work.stage["outputs"].get("rollbackTypes", {}).items():
        if found and context.get("waitTimeBetweenRegions"):
            found.append(Synthetic(type="wait", name="waitBetweenRegions", context={"waitTime": context["waitTimeBetweenRegions"]}))
        inner = {
            "cloudProvider": context.get("cloudProvider"),
            "credentials": context.get("credentials"),
            "region": region,
            "rollbackContext": {**(context.get("additionalRollbackContext") or {}), **work.stage["outputs"]["rollbackContexts"][region]},
            "rollbackType": kind,
            "type": "rollbackServerGroup",
        }
        found.append(Synthetic(type="rollbackServerGroup", name=f"Rollback {region}", context=inner))
    return found


# --- deploy ----------------------------------------------------------------------------------------------------------------


def _deploys(work: Work) -> Sequence[Synthetic]:
    """One stage per cluster and region of a deploy stage; a strategy decides what becomes of the groups that had the traffic."""
    found = []
    for one in work.context.get("clusters", []):
        for region in one.get("availabilityZones", {"us-east-1": []}):
            account = one.get("account") or one.get("credentials")
            about = {"application": one.get("application") or work.execution["application"], "cloudProvider": one.get("provider", "aws")}
            where = {"account": account, "credentials": account, "region": region, **about, "type": "createServerGroup"}
            found.append(Synthetic(type="createServerGroup", name=f"Deploy in {region}", context={**one, **where}))
    return found


def cluster_of(context: Json) -> str:
    """The name that application, stack and detail of a deploy make."""
    parts = [context.get("application"), context.get("stack"), context.get("freeFormDetails")]
    return "-".join(str(one) for one in parts if one)


def _create(work: Work) -> Outcome:
    context = work.context
    cluster = cluster_of(context)
    account, region = _place(work)
    groups = work.tools.clouddriver.groups
    before = [one for one in groups.of(cluster, account, region) if not one.disabled]
    artifacts = work.execution["trigger"].get("artifacts", [])
    image = context.get("imageId") or context.get("amiName") or next((one.get("reference") for one in artifacts if one.get("reference")), "ami-0")
    source = {"source": {"account": account, "asgName": before[-1].name, "region": region, "serverGroupName": before[-1].name}} if before else {}
    body = {"cluster": cluster, "credentials": account, "region": region, "imageId": image, "application": context["application"]}
    body |= {"capacity": context.get("capacity") or {"min": 1, "max": 1, "desired": 1}, "provider": context.get("cloudProvider")}
    return post(work, "createServerGroup", body, str(context.get("cloudProvider"))) or Outcome(context=source)


def _created(work: Work) -> Outcome:
    outcome = monitor(results=True)(work)
    if outcome.status != "SUCCEEDED":
        return outcome
    made: Json = outcome.context["kato.tasks"][-1]["resultObjects"][0]["serverGroupNameByRegion"]
    region, name = next(iter(made.items()))
    return Outcome(context={**outcome.context, "deploy.server.groups": {region: [name]}, "asgName": name, "serverGroupName": name})


def _after_creation(work: Work) -> Sequence[Task]:
    return [
        Task(name="monitorDeploy", cls=MONITOR, work=_created, poll=work.tools.timings.monitor),
        _polled(work, "waitForUpInstances", "instance.WaitForUpInstancesTask", _up),
    ]


def _create_tasks(work: Work) -> Sequence[Task]:
    return [Task(name="createServerGroup", cls=f"{_GROUP}CreateServerGroupTask", work=_create), *_after_creation(work)]


def _replaced(work: Work) -> Sequence[Synthetic]:
    """Red/black disables what had the traffic, highlander destroys it, none leaves it."""
    account, region = _place(work)
    new = _group(work)
    strategy = work.context.get("strategy")
    kind = {"redblack": "disableServerGroup", "rollingredblack": "disableServerGroup", "highlander": "destroyServerGroup"}.get(str(strategy))
    if new is None or kind is None:
        return ()
    old = [
        one for one in work.tools.clouddriver.groups.of(new.cluster, account, region) if one is not new and (kind == "destroyServerGroup" or not one.disabled)
    ]
    about: dict[str, Any] = {"cloudProvider": new.provider, "credentials": account, "region": region}
    return [Synthetic(type=kind, name=f"{kind} {one.name}", context={**about, "asgName": one.name, "serverGroupName": one.name}) for one in old]


GROUPS: Final[dict[str, Definition]] = {
    "enableServerGroup": Definition(before=_targets("enableServerGroup"), tasks=_enable_tasks),
    "disableServerGroup": Definition(before=_targets("disableServerGroup"), tasks=_disable_tasks),
    "destroyServerGroup": Definition(before=_targets("destroyServerGroup"), tasks=_destroy_tasks),
    "resizeServerGroup": Definition(before=_scaling("resume"), tasks=_resize_tasks, after=_scaling("suspend")),
    "modifyAwsScalingProcess": Definition(tasks=_modify_tasks),
    "captureSourceServerGroupCapacity": Definition(tasks=_snapshot_tasks),
    "applySourceServerGroupCapacity": Definition(tasks=_restore_tasks),
    "rollbackServerGroup": Definition(after=_rollback),
    "rollbackCluster": Definition(tasks=_candidate_tasks, after=_regions),
    "cloneServerGroup": Definition(tasks=_clone_tasks, after=_replaced),
    "createServerGroup": Definition(tasks=_create_tasks, after=_replaced),
    "deploy": Definition(after=_deploys),
}
"""The types by name."""
