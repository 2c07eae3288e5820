"""Resource actions: what Argo CD's scripts for Rollouts offer and do (contract 3.9), and edits by hand. Kinds without a script have no action.

An action is checked against RBAC before anything else, works on the live object at once, and takes no operation slot.
"""

import copy
import json
from collections.abc import Callable
from typing import Final

from integrations.sandbox.argocd import comparison, patching
from integrations.sandbox.argocd.edge import Call
from integrations.sandbox.argocd.lookup import Lookup
from integrations.sandbox.argocd.objects import Key
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.status import INVALID, UNKNOWN, Json, RefusedError

_ROLLOUT: Final = ("argoproj.io", "Rollout")


class Actions:
    """Handlers; each gets a `Call` and returns the body of the answer."""

    def __init__(self, tools: Machinery, lookup: Lookup) -> None:
        self._tools = tools
        self._lookup = lookup

    @property
    def has_v2(self) -> bool:
        """Whether this version knows the second form of the call."""
        return self._tools.profile.actions_v2

    async def offered(self, call: Call) -> Json:
        """GET …/resource/actions."""
        key = _key(call.one)
        app = self._lookup.find(call.caller, "get", call.parts["name"], project=call.one("project"), namespace=call.one("appNamespace"))
        live = self._live(app, key)
        return {"actions": _offered(live)} if (key.group, key.kind) == _ROLLOUT else {}

    async def run(self, call: Call) -> Json:
        """POST …/resource/actions/v2, everything in the body."""
        body = call.body
        return self._run(call, _key(lambda name: str(body.get(name, ""))), str(body["action"]), str(body.get("project", "")), str(body.get("appNamespace", "")))

    async def run_v1(self, call: Call) -> Json:
        """POST …/resource/actions, the action alone in the body."""
        return self._run(call, _key(call.one), str(call.body.get("text", "")), call.one("project"), call.one("appNamespace"))

    def _run(self, call: Call, key: Key, action: str, project: str, namespace: str) -> Json:
        right = f"action/{key.group}/{key.kind}/{action}"
        app = self._lookup.find(call.caller, right, call.parts["name"], project=project, namespace=namespace)
        live = self._live(app, key)
        if (key.group, key.kind) != _ROLLOUT or action not in {offer["name"] for offer in _offered(live)}:
            raise RefusedError(UNKNOWN, "error getting Lua resource action: built-in script does not exist")
        changed = copy.deepcopy(live)
        _apply(changed, action)
        if changed != live:
            self._tools.cluster.put(key, changed)
        words = f"{call.caller.subject} ran action {action} on resource {key.group}/{key.kind}/{key.name}"
        self._tools.events.record(app, "ResourceActionRan", words, user=call.caller.subject)
        return {}

    async def edit(self, call: Call) -> Json:
        """POST …/resource: a merge patch of a live object past Git."""
        key, project, namespace = _key(call.one), call.one("project"), call.one("appNamespace")
        right = f"update/{key.group}/{key.kind}/{key.namespace}/{key.name}"
        app = self._lookup.find(call.caller, right, call.parts["name"], project=project, namespace=namespace)
        changed = self._tools.cluster.put(key, patching.patch(self._live(app, key), str(call.body.get("text", "")), "merge"))
        self._tools.events.record(app, "ResourceUpdated", f"{call.caller.subject} patched resource {key.group}/{key.kind}/{key.name}", user=call.caller.subject)
        return {"manifest": json.dumps(changed)}

    def _live(self, app: Json, key: Key) -> Json:
        live = comparison.find_in_tree(self._tools.cluster, app["metadata"]["name"], key)
        if live is None:
            raise RefusedError(INVALID, f"{key.kind} {key.group} {key.name} not found as part of application {app['metadata']['name']}")
        return live


def _key(one: Callable[[str], str]) -> Key:
    return Key(one("group"), one("kind"), one("namespace"), one("resourceName"))


def _offered(live: Json) -> list[Json]:
    spec, status = live["spec"], live.get("status")
    if status is None or not spec.get("strategy"):
        raise RefusedError(UNKNOWN, "error executing Lua discovery script: attempt to index a non-table object(nil) with key 'currentPodHash'")
    promoted = status.get("currentPodHash") == status.get("stableRS")
    aborted, paused = bool(status.get("abort")), bool(status.get("pauseConditions") or spec.get("paused"))
    steps = (spec["strategy"].get("canary") or {}).get("steps")
    disabled = {
        "restart": False,
        "resume": not paused,
        "abort": promoted or aborted,
        "retry": promoted or not aborted,
        "pause": promoted or aborted or bool(spec.get("paused")),
        "promote-full": promoted,
        "skip-current-step": not steps or status.get("currentStepIndex") == len(steps),
    }
    about = {"restart": {"displayName": "Restart Pods"}}
    return [{"name": name} | ({"disabled": True} if off else {}) | about.get(name, {}) for name, off in disabled.items()]


def _apply(live: Json, action: str) -> None:
    spec, status = live["spec"], live["status"]
    match action:
        case "abort":
            status["abort"] = True
        case "retry":
            status.pop("abort", None)
            status.pop("abortedAt", None)
        case "promote-full":
            status["promoteFull"] = True
        case "resume":
            status.pop("pauseConditions", None)
            if spec.get("paused"):
                spec["paused"] = False
        case "pause":
            spec["paused"] = True
        case "skip-current-step":
            status["currentStepIndex"] = status.get("currentStepIndex", 0) + 1
            status.pop("pauseConditions", None)
        case _:  # restart: pods are new, nothing else is; not played
            pass
