"""The controller of Argo Rollouts: canaries with weights and pauses, blue-green, abort, full promotion, the rollback window.

Analyses, experiments and traffic routing are not played: a step of such a kind waits for ever. Actions reach it through the status, as in the real one.
"""

import copy
import hashlib
import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from integrations.sandbox.argocd.cluster import Cluster
from integrations.sandbox.argocd.objects import Key, annotation, stamp
from integrations.sandbox.argocd.settings import Clock, Timings
from integrations.sandbox.argocd.status import Json

HASH: Final = "rollouts-pod-template-hash"
REVISION: Final = "rollout.argoproj.io/revision"
DEADLINE: Final = "scale-down-deadline"
_DELAY: Final = 0.05
"""Seconds from a change to the controller's look at it."""
_SCALE_DOWN: Final = 30.0


class Pods(Protocol):
    """What the workloads' controller lends: pods, and time."""

    def pods_of(self, owner: Json) -> dict[Key, Json]:
        """The pods that an object owns."""
        ...

    def start_pod(self, key: Key, owner: Json, template: Json) -> None:
        """One more pod of a ReplicaSet."""
        ...

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do that so much later, at the sandbox's pace."""
        ...

    def is_ready(self, pod: Json) -> bool:
        """Whether it takes requests."""
        ...

    def owner_of(self, item: Json) -> Json:
        """The reference that says who owns."""
        ...


class Rollouts:
    """Reacts to changes of Rollouts and of their pods; each look goes one step."""

    def __init__(self, cluster: Cluster, *, clock: Clock, timings: Timings, pods: Pods) -> None:
        self._cluster = cluster
        self._clock = clock
        self._timings = timings
        self._pods = pods
        self._due: set[Key] = set()
        self._since: dict[Key, tuple[str, datetime]] = {}

    def settle(self, key: Key) -> None:
        """Look at it soon; several wishes are one look."""
        if key in self._due:
            return
        self._due.add(key)

        def look() -> None:
            self._due.discard(key)
            if self._cluster.faults.rollouts_down:
                self.settle(key)
                return
            item = self._cluster.get(key)
            if item is not None:
                _Look(self, key, item).go()

        self._pods.later(_DELAY, look)

    # --- what a look works with ---

    @property
    def cluster(self) -> Cluster:
        """The live objects."""
        return self._cluster

    @property
    def pods(self) -> Pods:
        """The pods of ReplicaSets."""
        return self._pods

    def now(self) -> datetime:
        """The clock's time."""
        return self._clock()

    def waited(self, key: Key, hashed: str) -> float:
        """Seconds since the Rollout began to move to this pod hash, at the sandbox's pace."""
        known, since = self._since.get(key, ("", self._clock()))
        if known != hashed:
            self._since[key] = (hashed, self._clock())
            return 0.0
        return (self._clock() - since).total_seconds() / self._timings.pace

    def ago(self, at: datetime) -> float:
        """Seconds since then, at the sandbox's pace."""
        return (self._clock() - at).total_seconds() / self._timings.pace


class _Look:
    """One look of the controller at one Rollout: `status` is what it will say."""

    def __init__(self, parts: Rollouts, key: Key, item: Json) -> None:
        self._parts, self._key, self._item = parts, key, item
        self._spec, self._before = item["spec"], item.get("status", {})
        self._replicas = self._spec.get("replicas", 1)
        self._hash = hashlib.sha256(json.dumps(self._spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        self._sets = {
            owned["metadata"]["labels"][HASH]: (set_key, owned)
            for set_key, owned in parts.cluster.owned_by(item["metadata"]["uid"]).items()
            if set_key.kind == "ReplicaSet"
        }
        self._canary: Json | None = self._spec.get("strategy", {}).get("canary")
        self._green: Json | None = self._spec.get("strategy", {}).get("blueGreen")
        self._steps: list[Json] = (self._canary or {}).get("steps") or []
        self._revision = self._current_revision()

    def go(self) -> None:
        before = self._before
        status: Json = {
            name: before[name] for name in ("abort", "abortedAt", "promoteFull", "pauseConditions", "stableRS", "currentStepIndex") if name in before
        }
        status["blueGreen"] = dict(before.get("blueGreen", {}))
        if before.get("currentPodHash") != self._hash:
            for name in ("abort", "abortedAt", "promoteFull", "pauseConditions", "currentStepIndex"):
                status.pop(name, None)
            if self._steps:
                back = status.get("stableRS") == self._hash
                status["currentStepIndex"] = len(self._steps) if back or not status.get("stableRS") else 0
        if status.get("abort") and "abortedAt" not in status:
            status["abortedAt"] = stamp(self._parts.now())
            status.pop("pauseConditions", None)
        if status.get("promoteFull") or self._within_window(status) or status.get("stableRS") == self._hash:
            for name in ("abort", "abortedAt", "pauseConditions"):
                status.pop(name, None)
            if self._steps:
                status["currentStepIndex"] = len(self._steps)
        if not status.get("stableRS"):
            self._initial(status)
        elif self._green is not None:
            self._blue_green(status, self._green)
        else:
            self._canary_steps(status)
        self._expire(status)
        self._write(status)

    # --- strategies ---

    def _initial(self, status: Json) -> None:
        self._scale(self._hash, self._replicas)
        if self._ready(self._hash) == self._replicas:
            self._promote(status)
        if self._green is not None:
            status["blueGreen"] = {"activeSelector": self._hash, "previewSelector": self._hash}

    def _canary_steps(self, status: Json) -> None:
        weight = 0 if status.get("abort") else self._weight(status)
        canary = self._replicas if weight == 100 else math.ceil(self._replicas * weight / 100)
        stable = self._replicas - canary
        if self._hash == status["stableRS"]:
            canary, stable = self._replicas, 0
        self._scale(self._hash, canary)
        ready = self._ready(self._hash)
        if self._hash != status["stableRS"]:
            self._scale(status["stableRS"], max(stable, self._replicas - ready), shrink=ready >= canary)
        for hashed in self._sets.keys() - {self._hash, status["stableRS"]}:
            self._scale(hashed, 0)
        full = ready >= self._replicas and not status.get("abort")
        if full and (status.get("promoteFull") or self._fast(status) or status.get("currentStepIndex", 0) >= len(self._steps)):
            old = status["stableRS"]
            self._promote(status)
            if old != self._hash:
                self._scale(old, 0)
            return
        if status.get("abort"):
            if self._steps:
                status["currentStepIndex"] = 0
            return
        self._next_step(status, settled=ready == canary == self._count(self._hash) and self._ready(status["stableRS"]) == stable)

    def _next_step(self, status: Json, *, settled: bool) -> None:
        index = status.get("currentStepIndex", 0)
        if index >= len(self._steps) or self._spec.get("paused"):
            return
        step = self._steps[index]
        done = "setWeight" in step and settled
        if "pause" in step:
            done = self._paused(status, "CanaryPauseStep", (step["pause"] or {}).get("duration"))
        if done:
            status["currentStepIndex"] = index + 1

    def _blue_green(self, status: Json, strategy: Json) -> None:
        active = status["blueGreen"].get("activeSelector") or status["stableRS"]
        if self._hash == status["stableRS"]:
            self._scale(self._hash, self._replicas)
            status["blueGreen"] = {"activeSelector": self._hash, "previewSelector": self._hash}
            self._retire({self._hash}, strategy)
            self._promote(status)
            return
        status["blueGreen"]["previewSelector"] = self._hash
        if status.get("abort"):
            status["blueGreen"]["activeSelector"] = status["stableRS"]
            self._retire({status["stableRS"]}, strategy, "abortScaleDownDelaySeconds")
            return
        fast = self._fast(status) or (self._retiring(self._hash) and self._goes_back(status))
        self._scale(self._hash, self._replicas)
        if self._ready(self._hash) < self._replicas or self._spec.get("paused"):
            return
        waits = strategy.get("autoPromotionEnabled") is False and not fast and not status.get("promoteFull")
        if waits and not self._paused(status, "BlueGreenPause", strategy.get("autoPromotionSeconds")):
            status["blueGreen"]["activeSelector"] = active
            return
        status["blueGreen"]["activeSelector"] = self._hash
        self._promote(status)
        self._retire({self._hash}, strategy)

    # --- their parts ---

    def _weight(self, status: Json) -> int:
        index = status.get("currentStepIndex", 0)
        if index >= len(self._steps):
            return 100
        return next((int(step["setWeight"]) for step in reversed(self._steps[: index + 1]) if "setWeight" in step), 0)

    def _paused(self, status: Json, reason: str, length: Any) -> bool:
        """Whether the pause is over: after its length, or when somebody took its condition away."""
        conditions = status.get("pauseConditions")
        if not conditions:
            if self._before.get("controllerPause") and self._before.get("currentPodHash") == self._hash:
                return True
            status["pauseConditions"] = [{"reason": reason, "startTime": stamp(self._parts.now())}]
            conditions = status["pauseConditions"]
        if length is None:
            return False
        seconds = _seconds(length)
        if self._parts.ago(datetime.fromisoformat(conditions[0]["startTime"])) < seconds:
            self._parts.pods.later(seconds, lambda: self._parts.settle(self._key))
            return False
        status.pop("pauseConditions", None)
        return True

    def _promote(self, status: Json) -> None:
        status["stableRS"] = self._hash
        for name in ("abort", "abortedAt", "promoteFull", "pauseConditions"):
            status.pop(name, None)
        if self._steps:
            status["currentStepIndex"] = len(self._steps)

    def _fast(self, status: Json) -> bool:
        return self._hash == status["stableRS"] or self._within_window(status)

    def _within_window(self, status: Json) -> bool:
        window = int((self._spec.get("rollbackWindow") or {}).get("revisions", 0))
        if not window or not self._goes_back(status):
            return False
        made = self._made()
        return sum(made[self._hash] < one < made[status["stableRS"]] for one in made.values()) < window

    def _goes_back(self, status: Json) -> bool:
        """Whether the set was made before the stable one. Two of the same second are no rollback: then a person's promotion is waited for again."""
        made = self._made()
        begin, end = made.get(self._hash), made.get(status.get("stableRS", ""))
        return begin is not None and end is not None and begin < end

    def _made(self) -> dict[str, str]:
        """When each set was made, by its hash; whole seconds, here as there."""
        return {hashed: owned["metadata"]["creationTimestamp"] for hashed, (_, owned) in self._sets.items()}

    def _retire(self, serving: set[str], strategy: Json, delay: str = "scaleDownDelaySeconds") -> None:
        """Sets that serve nobody any more are scaled down after a while; one of them can be gone back to at once until then."""
        for hashed in self._sets.keys() - serving:
            key, owned = self._must(hashed)
            if not self._count(hashed) or annotation(owned, DEADLINE):
                continue
            seconds = float(strategy.get(delay) or _SCALE_DOWN)
            marked = copy.deepcopy(owned)
            marked["metadata"]["annotations"][DEADLINE] = stamp(self._parts.now() + timedelta(seconds=seconds))
            self._parts.cluster.put(key, marked, quiet=True)
            self._parts.pods.later(seconds, self._scaling_down(key))
        for hashed in serving:
            key, owned = self._must(hashed)
            if annotation(owned, DEADLINE):
                marked = copy.deepcopy(owned)
                del marked["metadata"]["annotations"][DEADLINE]
                self._parts.cluster.put(key, marked, quiet=True)

    def _scaling_down(self, key: Key) -> Callable[[], None]:
        def scale_down() -> None:
            owned = self._parts.cluster.get(key)
            if owned is not None and annotation(owned, DEADLINE):
                for pod in self._parts.pods.pods_of(owned):
                    self._parts.cluster.delete(pod)
                self._count_down(key)

        return scale_down

    def _retiring(self, hashed: str) -> bool:
        return hashed in self._sets and bool(annotation(self._must(hashed)[1], DEADLINE)) and self._ready(hashed) > 0

    def _expire(self, status: Json) -> None:
        """The progress deadline: a set that does not get ready in time makes the Rollout Degraded, or aborts it."""
        moving = self._hash != status.get("stableRS") and not status.get("abort") and not status.get("pauseConditions") and not self._spec.get("paused")
        if not moving:
            self._parts.waited(self._key, "")
            status.pop("expired", None)
            return
        limit = float(self._spec.get("progressDeadlineSeconds", 600))
        if self._parts.waited(self._key, self._hash) < limit:
            self._parts.pods.later(limit + 0.1, lambda: self._parts.settle(self._key))
        elif self._spec.get("progressDeadlineAbort"):
            status |= {"abort": True, "abortedAt": stamp(self._parts.now())}
            self._parts.settle(self._key)
        else:
            status["expired"] = True

    # --- ReplicaSets ---

    def _current_revision(self) -> int:
        """Make or renew the ReplicaSet of the spec's template; answers its revision."""
        newest = max((int(annotation(owned, REVISION)) for _, owned in self._sets.values()), default=0)
        if self._hash not in self._sets:
            self._make_set(newest + 1)
            return newest + 1
        key, owned = self._sets[self._hash]
        revision = int(annotation(owned, REVISION))
        if revision == newest:
            return revision
        renewed = copy.deepcopy(owned)
        renewed["metadata"]["annotations"][REVISION] = str(newest + 1)
        self._sets[self._hash] = (key, self._parts.cluster.put(key, renewed, quiet=True))
        return newest + 1

    def _make_set(self, revision: int) -> None:
        template = copy.deepcopy(self._spec["template"])
        labels = {**template.setdefault("metadata", {}).get("labels", {}), HASH: self._hash}
        template["metadata"]["labels"] = labels
        key = Key("apps", "ReplicaSet", self._key.namespace, f"{self._key.name}-{self._hash}")
        body: Json = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": labels,
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [self._parts.pods.owner_of(self._item)],
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            "status": {"replicas": 0},
        }
        self._sets[self._hash] = (key, self._parts.cluster.put(key, body, quiet=True))

    def _must(self, hashed: str) -> tuple[Key, Json]:
        key = self._sets[hashed][0]
        owned = self._parts.cluster.get(key)
        if owned is None:
            raise LookupError(key.shown())
        return key, owned

    def _of(self, hashed: str) -> dict[Key, Json]:
        return self._parts.pods.pods_of(self._must(hashed)[1]) if hashed in self._sets else {}

    def _count(self, hashed: str) -> int:
        return len(self._of(hashed))

    def _ready(self, hashed: str) -> int:
        return sum(map(self._parts.pods.is_ready, self._of(hashed).values()))

    def _scale(self, hashed: str, wanted: int, *, shrink: bool = True) -> None:
        if hashed not in self._sets:
            return
        key, owned = self._must(hashed)
        pods = self._of(hashed)
        for _ in range(wanted - len(pods)):
            self._parts.pods.start_pod(key, owned, owned["spec"]["template"])
        surplus = sorted(pods, key=lambda pod: self._parts.pods.is_ready(pods[pod]))[: max(0, len(pods) - wanted)]
        for pod in surplus if shrink else ():
            self._parts.cluster.delete(pod)
        self._count_down(key)

    def _count_down(self, key: Key) -> None:
        owned = self._parts.cluster.get(key)
        if owned is None:
            return
        pods = self._parts.pods.pods_of(owned)
        ready = sum(map(self._parts.pods.is_ready, pods.values()))
        counted = copy.deepcopy(owned)
        counted["spec"]["replicas"] = len(pods)
        counted["status"] = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1}
        self._parts.cluster.put(key, counted, quiet=True)

    # --- what it says ---

    def _write(self, status: Json) -> None:
        every = {hashed: self._ready(hashed) for hashed in self._sets}
        total, updated = sum(self._count(hashed) for hashed in self._sets), self._count(self._hash)
        expired = status.pop("expired", False)
        told: Json = {
            "HPAReplicas": total,
            "blueGreen": status["blueGreen"],
            "canary": {},
            "currentPodHash": self._hash,
            "currentStepHash": hashlib.sha256(json.dumps(self._steps).encode()).hexdigest()[:9],
            "observedGeneration": str(self._item["metadata"].get("generation", 1)),
            "replicas": total,
            "selector": ",".join(f"{name}={value}" for name, value in self._spec["selector"].get("matchLabels", {}).items()),
        }
        ready = every.get(status["blueGreen"].get("activeSelector", ""), 0) if self._green is not None else sum(every.values())
        told |= {name: count for name, count in (("readyReplicas", ready), ("availableReplicas", ready), ("updatedReplicas", updated)) if count}
        told |= {name: value for name, value in status.items() if name != "blueGreen"}
        told |= {"controllerPause": True} if status.get("pauseConditions") else {}
        told["phase"], message = self._phase(told, expired=expired, ready=ready)
        told |= {"message": message} if message else {}
        told["conditions"] = [self._progressing(told, expired=expired)]
        live = self._parts.cluster.get(self._key)
        if live is None:
            return
        changed = copy.deepcopy(live)
        changed["status"] = told
        changed["metadata"].setdefault("annotations", {})[REVISION] = str(self._revision)
        self._parts.cluster.put(self._key, changed, quiet=True)
        if told != self._before:  # until nothing changes any more
            self._parts.settle(self._key)

    def _phase(self, told: Json, *, expired: bool, ready: int) -> tuple[str, str]:
        if told.get("abort"):
            return "Degraded", f"RolloutAborted: Rollout aborted update to revision {self._revision}"
        if expired:
            return "Degraded", f'ProgressDeadlineExceeded: ReplicaSet "{self._key.name}-{self._hash}" has timed out progressing.'
        if self._spec.get("paused"):
            return "Paused", "manually paused"
        if told.get("pauseConditions"):
            return "Paused", told["pauseConditions"][0]["reason"]
        updated = told.get("updatedReplicas", 0)
        if updated < self._replicas:
            return "Progressing", "more replicas need to be updated"
        if ready < updated:
            return "Progressing", "updated replicas are still becoming available"
        if self._green is None and told["replicas"] > updated:
            return "Progressing", "old replicas are pending termination"
        if told.get("stableRS") != self._hash:
            return "Progressing", "waiting for all steps to complete" if self._green is None else "active service cutover pending"
        return "Healthy", ""

    def _progressing(self, told: Json, *, expired: bool) -> Json:
        name = f"{self._key.name}-{self._hash}"
        reason, message, good = "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.', "True"
        if told.get("abort"):
            reason, message, good = "RolloutAborted", f"Rollout aborted update to revision {self._revision}", "False"
        elif expired:
            reason, message, good = "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.', "False"
        elif told["phase"] == "Paused":
            reason, message, good = "RolloutPaused", "Rollout is paused", "Unknown"
        elif told["phase"] == "Healthy":
            reason, message = "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'
        known: Json = next((c for c in self._before.get("conditions", []) if c["type"] == "Progressing" and c["reason"] == reason), {})
        now = known.get("lastUpdateTime") or stamp(self._parts.now())
        return {"type": "Progressing", "status": good, "reason": reason, "message": message, "lastTransitionTime": now, "lastUpdateTime": now}


def _seconds(length: Any) -> float:
    """A pause's length: seconds as a number or a string of one, or `30s`, `10m`, `1h`."""
    text = str(length)
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    return float(text[:-1]) * unit if unit else float(text)
