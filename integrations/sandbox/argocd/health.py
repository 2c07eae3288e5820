"""Health of live objects by Argo CD's built-in rules, and the lab's trick that a ConfigMap plays any health through `.data.health`."""

from typing import Any, Final

from integrations.sandbox.argocd.status import Json

WORST_LAST: Final = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")


def worst(statuses: list[str]) -> str:
    """Health of an application from its resources'; none at all is Healthy."""
    return max(statuses, key=WORST_LAST.index, default="Healthy")


def of(item: Json) -> Json | None:
    """`{"status", "message"?}` of a live object, None for a kind without a health check."""
    if "deletionTimestamp" in item["metadata"]:
        return _health("Progressing", "Pending deletion")
    checks: dict[str, Any] = {
        "ConfigMap": lambda it: _health(str((it.get("data") or {}).get("health") or "Healthy")),
        "Deployment": _deployment,
        "Rollout": _rollout,
        "ReplicaSet": _replica_set,
        "StatefulSet": _stateful_set,
        "Pod": _pod,
        "Job": _job,
        "CronJob": _cron_job,
        "PersistentVolumeClaim": _claim,
        "Service": _service,
        "Namespace": None,
    }
    check = checks.get(item["kind"])
    health: Json | None = check(item) if check else None
    return health


def _health(status: str, message: str = "") -> Json:
    return {"status": status} | ({"message": message} if message else {})


def _waiting(words: str) -> Json:
    return _health("Progressing", f"Waiting for rollout to finish: {words}...")


def _deployment(item: Json) -> Json:
    status, name = item.get("status", {}), item["metadata"]["name"]
    if item["spec"].get("paused"):
        return _health("Suspended", "Deployment is paused")
    if item["metadata"].get("generation", 1) > status.get("observedGeneration", 0):
        return _waiting("observed deployment generation less than desired generation")
    if any(condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded" for condition in status.get("conditions", [])):
        return _health("Degraded", f'Deployment "{name}" exceeded its progress deadline')
    wanted, updated = item["spec"].get("replicas", 1), status.get("updatedReplicas", 0)
    if updated < wanted:
        return _waiting(f"{updated} out of {wanted} new replicas have been updated")
    if status.get("replicas", 0) > updated:
        return _waiting(f"{status['replicas'] - updated} old replicas are pending termination")
    if status.get("availableReplicas", 0) < updated:
        return _waiting(f"{status.get('availableReplicas', 0)} of {updated} updated replicas are available")
    return _health("Healthy")


def _rollout(item: Json) -> Json:
    status = item.get("status", {})
    if status.get("observedGeneration") != str(item["metadata"].get("generation", 1)):
        return _health("Progressing", "Waiting for rollout spec update to be observed")
    phase = str(status.get("phase", "Progressing"))
    return _health("Suspended" if phase == "Paused" else phase, str(status.get("message", "")))


def _replica_set(item: Json) -> Json:
    wanted, available = item["spec"].get("replicas", 0), item.get("status", {}).get("availableReplicas", 0)
    return _waiting(f"{available} out of {wanted} new replicas are available") if available < wanted else _health("Healthy")


def _stateful_set(item: Json) -> Json:
    status, wanted = item.get("status", {}), item["spec"].get("replicas", 1)
    if status.get("readyReplicas", 0) < wanted:
        return _health("Progressing", f"Waiting for {wanted - status.get('readyReplicas', 0)} pods to be ready...")
    if status.get("updatedReplicas", 0) < wanted:
        return _health(
            "Progressing", f"Waiting for partitioned roll out to finish: {status.get('updatedReplicas', 0)} out of {wanted} new pods have been updated..."
        )
    return _health("Healthy", f"partitioned roll out complete: {wanted} new pods have been updated...")


def _pod(item: Json) -> Json:
    status = item.get("status", {})
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason.startswith("Err") or reason.endswith(("Error", "BackOff")):
            return _health("Degraded", waiting.get("message", ""))
    if status.get("phase") == "Succeeded":
        return _health("Healthy")
    if status.get("phase") == "Failed":
        return _health("Degraded", status.get("message", ""))
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", []))
    return _health("Healthy" if ready else "Progressing")


def _job(item: Json) -> Json:
    for condition in item.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in {"Complete", "Failed"}:
            return _health("Healthy" if condition["type"] == "Complete" else "Degraded", condition.get("message", ""))
    return _health("Suspended") if item["spec"].get("suspend") else _health("Progressing")


def _cron_job(item: Json) -> Json:
    return _health("Suspended", "CronJob is Suspended") if item["spec"].get("suspend") else _health("Healthy", "CronJob has not been scheduled yet")


def _claim(item: Json) -> Json:
    return _health({"Bound": "Healthy", "Lost": "Degraded"}.get(item.get("status", {}).get("phase", ""), "Progressing"))


def _service(item: Json) -> Json:
    balanced = item["spec"].get("type") != "LoadBalancer" or item.get("status", {}).get("loadBalancer", {}).get("ingress")
    return _health("Healthy" if balanced else "Progressing")
