"""ApplicationSets with strategy RollingSync: which of their applications are synced now, and what the set's status says of each. Pure.

As v3.2 does with `--enable-progressive-syncs`, which is off by default on a real server: auto-sync is taken out of the generated spec, and the set's
controller asks for a sync of whatever is OutOfSync, step by step. Also of what somebody has just rolled back (tests/contract/argocd/test_owners.py).
"""

import copy
from typing import Any, Final

from integrations.sandbox.argocd.objects import is_automated
from integrations.sandbox.argocd.status import Json

WAITING: Final = "Waiting"
PENDING: Final = "Pending"
PROGRESSING: Final = "Progressing"
HEALTHY: Final = "Healthy"
ACTOR: Final = "applicationset-controller"
_REASON: Final = "ApplicationSet RollingSync triggered a sync of this Application resource"


def is_rolling(owner: Json) -> bool:
    """Whether the set deploys by itself, in order."""
    strategy = owner["spec"].get("strategy") or {}
    return strategy.get("type") == "RollingSync" and bool((strategy.get("rollingSync") or {}).get("steps"))


def step_of(owner: Json, labels: Json) -> int:
    """The step that selects an application with these labels, from 1 on; -1 for none: such a one is never synced by the set."""
    for place, step in enumerate(owner["spec"]["strategy"]["rollingSync"]["steps"]):
        if all(_matches(rule, labels) for rule in step.get("matchExpressions") or []):
            return place + 1
    return -1


def _matches(rule: Json, labels: Json) -> bool:
    value = labels.get(rule["key"])
    if rule["operator"] == "In":
        return value in rule["values"]
    return value not in rule["values"]


def advanced(owner: Json, wanted: dict[str, Json], live: dict[str, Json], now: str) -> list[Json]:
    """`status.applicationStatus` after one more look at the applications."""
    before = {row["application"]: row for row in owner["status"].get("applicationStatus", [])}
    rows = [_row(owner, app, before.get(name), wanted[name]["metadata"].get("labels") or {}, now) for name, app in sorted(live.items()) if name in wanted]
    free = _free(owner, wanted, live, rows)
    running: dict[str, int] = {}
    for row in rows:
        running[row["step"]] = running.get(row["step"], 0) + (row["status"] in {PENDING, PROGRESSING})
    for row in rows:
        if row["status"] == WAITING and row["application"] in free and running[row["step"]] < _at_most(owner, rows, row["step"]):
            words = "Application moved to Pending status, watching for the Application resource to start Progressing."
            row |= {"status": PENDING, "message": words, "lastTransitionTime": now}
            running[row["step"]] += 1
    return rows


def to_sync(owner: Json, rows: list[Json], live: dict[str, Json]) -> set[str]:
    """Names of the applications that are asked to sync now."""
    pending = {row["application"] for row in rows if row["status"] == PENDING and row["step"] != "-1"}
    return {name for name in pending if is_rolling(owner) and live[name]["status"]["sync"].get("status") == "OutOfSync"}


def without_auto_sync(spec: Json) -> tuple[Json, bool]:
    """The generated spec as such a set writes it, and whether its syncs prune."""
    if not is_automated({"spec": spec}):
        return spec, False
    kept = copy.deepcopy(spec)
    automated = kept["syncPolicy"].pop("automated")
    return kept, bool(automated.get("prune"))


def operation(spec: Json, *, prune: bool) -> Json:
    """What such a set asks for: a sync to whatever is desired, without a revision of its own."""
    policy = spec.get("syncPolicy") or {}
    sync: Json = {"prune": True} if prune else {}
    sync |= {"syncOptions": list(policy["syncOptions"])} if policy.get("syncOptions") else {}
    info = [{"name": "Reason", "value": _REASON}]
    return {"sync": sync, "initiatedBy": {"username": ACTOR, "automated": True}, "info": info, "retry": policy.get("retry") or {"limit": 5}}


def _row(owner: Json, app: Json, before: Json | None, labels: Json, now: str) -> Json:
    status = app["status"]
    health, synced = status["health"].get("status", ""), status["sync"].get("status", "")
    phase = (status.get("operationState") or {}).get("phase", "")
    revisions = status["sync"].get("revisions") or ([status["sync"]["revision"]] if status["sync"].get("revision") else [])
    step = str(step_of(owner, labels))
    well = health == HEALTHY and synced == "Synced" and phase in {"", "Succeeded"} and "operation" not in app
    first = {"application": app["metadata"]["name"], "status": WAITING, "step": step, "targetRevisions": [], "lastTransitionTime": now}
    row: Json = dict(before or {**first, "message": "No Application status found, defaulting status to Waiting."})
    if row["targetRevisions"] != revisions or (synced == "OutOfSync" and row["status"] not in {WAITING, PENDING}):
        row |= {"targetRevisions": revisions, "status": WAITING, "step": step, "lastTransitionTime": now}
        row |= {"message": "Application has pending changes, setting status to Waiting."} if before else {}
    if row["status"] == PENDING and (phase == "Running" or health == PROGRESSING or (synced != "OutOfSync" and phase == "Succeeded")):
        row |= _moved(row, PROGRESSING, now)
    if row["status"] in {WAITING, PROGRESSING} and well:
        row |= _moved(row, HEALTHY, now)
    return row


def _moved(row: Json, status: str, now: str) -> Json:
    words = f"Application resource became {status}, updating status from {row['status']} to {status}."
    return {"status": status, "lastTransitionTime": now, "message": words}


def _free(owner: Json, wanted: dict[str, Json], live: dict[str, Json], rows: list[Json]) -> set[str]:
    """The applications of every step up to the first that is not well."""
    status = {row["application"]: row["status"] for row in rows}
    free: set[str] = set()
    for step in range(len(owner["spec"]["strategy"]["rollingSync"]["steps"])):
        names = {name for name, app in wanted.items() if step_of(owner, app["metadata"].get("labels") or {}) == step + 1}
        free |= names
        if any(name not in live or status.get(name) != HEALTHY for name in names):
            break
    return free


def _at_most(owner: Json, rows: list[Json], step: str) -> int:
    said: Any = owner["spec"]["strategy"]["rollingSync"]["steps"][int(step) - 1].get("maxUpdate")
    total = sum(1 for row in rows if row["step"] == step)
    if said is None:
        return total
    if isinstance(said, str):
        return max(total * int(said.rstrip("%")) // 100, 0 if said == "0%" else 1)
    return int(said)
