"""Stages that change Kubernetes: one operation, its monitoring, and mostly a wait until the manifest is stable (contract 4.1; recordings 11)."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final

from integrations.sandbox.gate.refusals import BackendError, phrase
from integrations.sandbox.gate.settings import CLOUDDRIVER, Json
from integrations.sandbox.gate.stage import DONE, ORCA_TASKS, Definition, Outcome, StageError, Task, Work, always

_MANIFEST: Final = f"{ORCA_TASKS}clouddriver.tasks.manifest."
MONITOR: Final = f"{ORCA_TASKS}clouddriver.tasks.MonitorKatoTask"
TRIES: Final = 3


def post(work: Work, name: str, body: Json, provider: str) -> Outcome | None:
    """Post an operation; None once Clouddriver took it. A 5xx is tried three times, one second apart, with the same `clientRequestId` (recording 11l)."""
    digest = hashlib.sha256(json.dumps([work.stage["id"], work.stage["startTime"], name, body], sort_keys=True, default=str).encode()).hexdigest()
    url = f"{CLOUDDRIVER}/{provider}/ops?clientRequestId={digest}"
    try:
        task_id = work.tools.clouddriver.operate(name, body, user=work.user, request=digest)
    except BackendError as error:
        if error.status >= 500 and work.tools.clouddriver.tries[digest] < TRIES:
            return Outcome(status="RUNNING", again=work.tools.timings.retry)
        message = f"Status: {error.status}, Method: POST, URL: {url}, Message: {error.message}"
        http = {"kind": "HTTP", "method": "POST", "status": error.status, "url": url}
        codes = error.message.split("; ") if error.status == 400 else [message]
        raise StageError("SpinnakerHttpException", message, error=phrase(error.status), http=http, errors=codes) from error
    work.context["kato.last.task.id"] = {"id": task_id}
    return None


def monitor(*, results: bool = False) -> Callable[[Work], Outcome]:
    """Ask how the last operation goes. `results`: without result objects it never ends (recording 11k)."""

    def ask(work: Work) -> Outcome:
        task_id = work.context["kato.last.task.id"]["id"]
        try:
            task = work.tools.clouddriver.task(task_id)
        except BackendError:
            return Outcome(status="RUNNING")
        kept = [one for one in work.context.get("kato.tasks", []) if one["id"] != task_id]
        status = "RUNNING" if not task["status"]["completed"] else "TERMINAL" if task["status"]["failed"] else "SUCCEEDED"
        if status == "SUCCEEDED" and results and not task["resultObjects"]:
            status = "RUNNING"
        context: Json = {
            "kato.task.firstNotFoundRetry": -1,
            "kato.task.lastStatus": status,
            "kato.task.notFoundRetryCount": 0,
            "kato.task.terminalRetryCount": 0,
            "kato.tasks": [*kept, task],
        }
        return Outcome(status=status, context=context)

    return ask


def operation(name: str) -> Callable[[Work], Outcome]:
    """The task that posts a manifest's operation, and says where it went."""

    def act(work: Work) -> Outcome:
        context = work.context
        pending = post(work, name, _body(work), "kubernetes")
        if pending is not None:
            return pending
        for key, given in (("manifest.name", "manifestName"), ("manifest.location", "location"), ("manifest.account.name", "account")):
            if context.get(given) is None:
                del context["kato.last.task.id"]
                raise StageError("NullPointerException", f"null value in entry: {key}=null")
        place = str(context["location"])
        return Outcome(
            context={
                "kato.result.expected": False,
                "manifest.account.name": context["account"],
                "manifest.location": place,
                "manifest.name": context["manifestName"],
                "outputs.manifestNamesByNamespace": {place: [context["manifestName"]]},
            }
        )

    return act


_WRITTEN: Final = frozenset({"deploy.server.groups", "stableManifests", "failedManifests", "messages", "restartDetails", "exception"})


def wait_until_stable(work: Work) -> Outcome:
    """Ask for the manifests until they are stable; what cannot be read looks like slow progress (recording 11l)."""
    context = work.context
    account = str(context.get("manifest.account.name") or context.get("account"))
    stable, failed, messages = [], [], list(context.get("messages", []))
    waiting = False
    names: Json = context.get("outputs.manifestNamesByNamespace", {})
    for place, each in names.items():
        for name in each:
            about = f"'{name}' in '{place}' for account {account}"
            try:
                found = work.tools.clouddriver.manifest(account, place, name)
            except BackendError:
                return Outcome(status="RUNNING")
            status = found["status"] if found else {"stable": {"state": False}, "failed": {"state": False}}
            if status["failed"]["state"]:
                failed.append({"location": place, "manifestName": name})
                messages.append(f"{about}: {status['failed']['message']}")
            elif status["stable"]["state"]:
                stable.append({"location": place, "manifestName": name})
            else:
                waiting = True
                messages.append(f"{about}: waiting for manifest to stabilize")
    told: Json = {"failedManifests": failed, "messages": messages, "stableManifests": stable}
    if failed:
        return Outcome(status="TERMINAL", context={**told, "exception": {"details": {"errors": messages[-len(failed) :]}}})
    return Outcome(status="RUNNING" if waiting else "SUCCEEDED", context=told if waiting or not context.get("messages") else {**told, "messages": messages})


def _monitored(work: Work, name: str, *, results: bool = False, cls: str = MONITOR) -> Task:
    ask = monitor(results=results)

    def with_groups(inner: Work) -> Outcome:
        outcome = ask(inner)
        return Outcome(status=outcome.status, context={**outcome.context, **({"deploy.server.groups": {}} if outcome.status == "SUCCEEDED" else {})})

    return Task(name=name, cls=cls, work=with_groups, poll=work.tools.timings.monitor)


def _stable(work: Work) -> Task:
    return Task(
        name="waitForManifestToStabilize", cls=f"{_MANIFEST}WaitForManifestStableTask", work=wait_until_stable, poll=work.tools.timings.monitor, timeout=1800
    )


def _simple(name: str, cls: str, monitored: str, *, resolve: bool = False, stable: bool = False) -> Definition:
    def tasks(work: Work) -> Sequence[Task]:
        first = [Task(name="resolveTargetManifest", cls=f"{_MANIFEST}ResolveTargetManifestTask", work=_resolve)] if resolve else []
        last = [_stable(work)] if stable else []
        return [*first, Task(name=name, cls=f"{_MANIFEST}{cls}", work=operation(name)), _monitored(work, monitored), *last]

    return Definition(tasks=tasks)


def _resolve(work: Work) -> Outcome:
    """Find what `mode: dynamic` means: the newest, second newest or oldest ReplicaSet of a cluster."""
    context = work.context
    if context.get("mode") != "dynamic":
        return DONE
    kind, cluster, place = context.get("kind"), str(context.get("cluster")), str(context.get("location"))
    sets = [one for one in work.tools.clouddriver.kubernetes.sets if (one.account, one.namespace, one.cluster) == (context.get("account"), place, cluster)]
    order = sorted(sets, key=lambda one: one.sequence, reverse=True)
    at = {"newest": 0, "second_newest": 1, "oldest": len(order) - 1}.get(str(context.get("criteria")), 0)
    if not 0 <= at < len(order):
        raise StageError("IllegalArgumentException", f"No manifest matched {context.get('criteria')} of {cluster} in {place}")
    return Outcome(context={"manifestName": f"{kind} {order[at].name}"})


def _resolve_patch(_work: Work) -> Outcome:
    body = _work.context.get("patchBody") or []
    found: Json = {"allArtifacts": [], "manifests": body if isinstance(body, list) else [body], "requiredArtifacts": []}
    return Outcome(context=found, outputs=found)


def _patch(work: Work) -> Outcome:
    pending = post(work, "patchManifest", _body(work), "kubernetes")
    return pending or Outcome(context={"deploy.account.name": work.context.get("account"), "kato.result.expected": True})


def _body(work: Work) -> Json:
    return {key: value for key, value in work.context.items() if not key.startswith(("kato.", "manifest.", "outputs.")) and key not in _WRITTEN}


def _patch_tasks(work: Work) -> Sequence[Task]:
    return [
        Task(name="resolveTargetManifest", cls=f"{_MANIFEST}ResolveTargetManifestTask", work=_resolve),
        Task(name="resolvePatchSourceManifest", cls=f"{_MANIFEST}ResolvePatchSourceManifestTask", work=_resolve_patch),
        Task(name="patchManifest", cls=f"{_MANIFEST}PatchManifestTask", work=_patch),
        _monitored(work, "monitorPatch", results=True),
        Task(name="promoteOutputs", cls=f"{_MANIFEST}PromoteManifestKatoOutputsTask", work=_promote),
        _stable(work),
        Task(name="bindProducedArtifacts", cls=f"{ORCA_TASKS}pipeline.tasks.artifacts.BindProducedArtifactsTask", work=always),
    ]


def _resolve_source(work: Work) -> Outcome:
    """The manifests to deploy and the artifacts to bind into them: those that the stage names, else all that the run has."""
    trigger = work.execution["trigger"]
    bound: list[Json] = trigger.get("resolvedExpectedArtifacts", [])
    wanted = set(work.context.get("requiredArtifactIds", []))
    required = [one["boundArtifact"] for one in bound if one.get("boundArtifact") and one.get("id") in wanted]
    optional = [one for one in trigger.get("artifacts", []) if one not in required]
    found: Json = {"manifests": work.context.get("manifests", []), "optionalArtifacts": optional, "requiredArtifacts": required}
    return Outcome(context=found, outputs=found)


def _deploy(work: Work) -> Outcome:
    body = _body(work) | {"enableTraffic": True, "moniker": work.context.get("moniker") or {"app": work.execution["application"]}}
    pending = post(work, "deployManifest", body, "kubernetes")
    return pending or Outcome(context={"deploy.account.name": work.context.get("account"), "kato.result.expected": True})


def _promote(work: Work) -> Outcome:
    results = [one for task in work.context.get("kato.tasks", []) for one in task["resultObjects"]]
    if not results:
        return DONE
    found = results[0]
    outputs: Json = {
        "artifacts": found["createdArtifacts"],
        "manifests": found["manifests"],
        "outputs.boundArtifacts": found["boundArtifacts"],
        "outputs.createdArtifacts": found["createdArtifacts"],
        "outputs.manifestNamesByNamespace": found["manifestNamesByNamespace"],
        "outputs.manifests": found["manifests"],
    }
    named = {name: value for name, value in outputs.items() if name.startswith("outputs.")}
    return Outcome(context={"artifacts": found["createdArtifacts"], **named}, outputs=outputs)


def _clean(work: Work) -> Outcome:
    body = {"account": work.context.get("account"), "manifests": work.context.get("outputs.manifests", [])}
    pending = post(work, "cleanupArtifacts", body, "kubernetes")
    return pending or Outcome(context={"kato.result.expected": False})


def _deploy_tasks(work: Work) -> Sequence[Task]:
    promote = Task(name="promoteOutputs", cls=f"{_MANIFEST}PromoteManifestKatoOutputsTask", work=_promote)
    return [
        Task(name="resolveDeploySourceManifest", cls=f"{_MANIFEST}ResolveDeploySourceManifestTask", work=_resolve_source),
        Task(name="deployManifest", cls=f"{_MANIFEST}DeployManifestTask", work=_deploy),
        _monitored(work, "monitorDeploy", results=True, cls=f"{_MANIFEST}MonitorDeployManifestTask"),
        promote,
        _stable(work),
        Task(name="cleanupArtifacts", cls=f"{ORCA_TASKS}clouddriver.tasks.artifacts.CleanupArtifactsTask", work=_clean),
        _monitored(work, "monitorCleanup"),
        promote,
        Task(name="bindProducedArtifacts", cls=f"{ORCA_TASKS}pipeline.tasks.artifacts.BindProducedArtifactsTask", work=always),
    ]


def _find(work: Work) -> Outcome:
    context = work.context
    found = work.tools.clouddriver.kubernetes.manifest(str(context.get("account")), str(context.get("location")), str(context.get("manifestName")))
    if found is None:
        raise StageError("IllegalArgumentException", f"Manifest {context.get('manifestName')} not found")
    told = {"manifest": found["manifest"], "artifacts": found["artifacts"]}
    return Outcome(context=told, outputs=told)


MANIFEST: Final[dict[str, Definition]] = {
    "undoRolloutManifest": _simple("undoRolloutManifest", "UndoRolloutManifestTask", "monitorUndoRollout", stable=True),
    "scaleManifest": _simple("scaleManifest", "ScaleManifestTask", "monitorScale", resolve=True, stable=True),
    "enableManifest": _simple("enableManifest", "EnableManifestTask", "monitorEnable", resolve=True, stable=True),
    "disableManifest": _simple("disableManifest", "DisableManifestTask", "monitorDisable", resolve=True, stable=True),
    "pauseRolloutManifest": _simple("pauseRolloutManifest", "PauseRolloutManifestTask", "monitorPauseRollout"),
    "resumeRolloutManifest": _simple("resumeRolloutManifest", "ResumeRolloutManifestTask", "monitorResumeRollout", stable=True),
    "rollingRestartManifest": _simple("rollingRestartManifest", "RollingRestartManifestTask", "monitorRollingRestart"),
    "deleteManifest": _simple("deleteManifest", "DeleteManifestTask", "monitorDelete", resolve=True),
    "patchManifest": Definition(tasks=_patch_tasks),
    "deployManifest": Definition(tasks=_deploy_tasks),
    "findArtifactsFromResource": Definition(
        tasks=lambda _work: [Task(name="findArtifactsFromResource", cls=f"{_MANIFEST}ResolveManifestArtifactsTask", work=_find)]
    ),
}
"""The types by name."""
