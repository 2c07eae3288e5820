"""The controllers of Kubernetes that matter here: Deployments roll ReplicaSets and pods, StatefulSets and Jobs run pods; Rollouts are `rollouts.py`'s.

Whether and when a pod gets ready is asked of a `Readiness`; image digests come from the reference, a resolver, or a hash of the name.
A resolver that raises LookupError plays a registry without the image: ImagePullBackOff.
"""

import asyncio
import copy
import hashlib
import json
import math
import re
from collections.abc import Callable
from typing import Final

from integrations.sandbox.argocd.cluster import Cluster
from integrations.sandbox.argocd.objects import Key, stamp
from integrations.sandbox.argocd.rollouts import Rollouts
from integrations.sandbox.argocd.settings import Clock, ImageDigest, Readiness, Timings
from integrations.sandbox.argocd.status import Json

NODE: Final = "sandbox-node"
_REVISION: Final = "deployment.kubernetes.io/revision"
_COMPLETE: Final = "Reached expected number of succeeded pods"
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


class Workloads:
    """Reacts to every applied object; `stop` cancels what is still to come."""

    def __init__(self, cluster: Cluster, *, clock: Clock, timings: Timings, images: ImageDigest, readiness: Readiness) -> None:
        self._cluster = cluster
        self._clock = clock
        self._timings = timings
        self._images = images
        self._readiness = readiness
        self._timers: set[asyncio.TimerHandle] = set()
        self._pods_made = 0
        self._deadlines: dict[Key, tuple[str, bool]] = {}
        self.rollouts = Rollouts(cluster, clock=clock, timings=timings, pods=self)
        cluster.applied.append(self.settle)

    def stop(self) -> None:
        """Nothing happens in the cluster any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def settle(self, key: Key) -> None:
        """Bring a workload one step nearer to its spec; called on each change of it and of its pods."""
        item = self._cluster.get(key)
        if item is None:
            self._deadlines.pop(key, None)
        elif key.kind == "Deployment":
            self._roll(key, item)
        elif key.kind == "Rollout":
            self.rollouts.settle(key)
        elif key.kind == "StatefulSet":
            self._replace(key, item)
        elif key.kind == "Job" and not self.pods_of(item):
            self._make_pod(key, item, f"{key.name}-{self._suffix()}", item["spec"]["template"], {"job-name": key.name})

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do that so many seconds later, at the sandbox's pace."""

        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds * self._timings.pace, fire)
        self._timers.add(timer)

    def _suffix(self) -> str:
        self._pods_made += 1
        digest = hashlib.sha256(str(self._pods_made).encode()).digest()
        return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:5])

    def pods_of(self, owner: Json) -> dict[Key, Json]:
        """The pods that the object owns."""
        return {key: pod for key, pod in self._cluster.owned_by(owner["metadata"]["uid"]).items() if key.kind == "Pod"}

    def _roll(self, key: Key, item: Json) -> None:
        spec = item["spec"]
        digest = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        sets = {k: s for k, s in self._cluster.owned_by(item["metadata"]["uid"]).items() if k.kind == "ReplicaSet"}
        current = next((k for k, s in sets.items() if s["metadata"]["labels"]["pod-template-hash"] == digest), None)
        newest = max((int(s["metadata"]["annotations"][_REVISION]) for s in sets.values()), default=0)
        if current is None:
            current = self._make_set(key, item, digest, newest + 1)
        elif int(sets[current]["metadata"]["annotations"][_REVISION]) != newest:
            back = copy.deepcopy(sets[current])
            back["metadata"]["annotations"][_REVISION] = str(newest + 1)
            self._cluster.put(current, back)
        wanted, strategy = spec["replicas"], spec["strategy"]
        rolling = strategy.get("rollingUpdate") or {}
        surge, slack = _share(rolling.get("maxSurge", "25%"), wanted, math.ceil), _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
        if strategy["type"] == "Recreate":
            surge, slack = 0, wanted
        elif surge == slack == 0:
            slack = 1
        old = {k: pod for s in sets if s != current for k, pod in self.pods_of(sets[s]).items()}
        new = self.pods_of(self._must(current))
        if strategy["type"] != "Recreate" or not old:
            for _ in range(max(0, min(wanted, wanted + surge - len(old)) - len(new))):
                self._make_pod(current, self._must(current), f"{current.name}-{self._suffix()}", self._must(current)["spec"]["template"], {})
        new = self.pods_of(self._must(current))
        for extra in sorted(new, key=lambda k: _ready(new[k]))[: max(0, len(new) - wanted)]:
            self._cluster.delete(extra)
        new = self.pods_of(self._must(current))
        ready_new, floor = sum(map(_ready, new.values())), wanted - slack
        room = len(old) + len(new) - floor - (len(new) - ready_new)
        dropped = [k for k, pod in old.items() if not _ready(pod)][: max(0, room)]
        old = {k: pod for k, pod in old.items() if k not in dropped}
        spare = ready_new + sum(map(_ready, old.values())) - floor
        dropped += [k for k, pod in old.items() if _ready(pod)][: max(0, spare)]
        for gone in dropped:
            self._cluster.delete(gone)
        old = {k: pod for k, pod in old.items() if k not in dropped}
        if dropped:  # their room may be filled now
            self.later(0, lambda: self.settle(key))
        self._deployment_status(key, item, current, new, old)

    def _must(self, key: Key) -> Json:
        item = self._cluster.get(key)
        if item is None:
            raise LookupError(key.shown())
        return item

    def _make_set(self, key: Key, item: Json, digest: str, revision: int) -> Key:
        template = copy.deepcopy(item["spec"]["template"])
        labels = {**template["metadata"].get("labels", {}), "pod-template-hash": digest}
        template["metadata"]["labels"] = labels
        made = Key("apps", "ReplicaSet", key.namespace, f"{key.name}-{digest}")
        body: Json = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": made.name,
                "namespace": key.namespace,
                "labels": labels,
                "annotations": {_REVISION: str(revision)},
                "ownerReferences": [_owner(item)],
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            "status": {"replicas": 0},
        }
        self._cluster.put(made, body)
        return made

    def _deployment_status(self, key: Key, item: Json, current: Key, new: dict[Key, Json], old: dict[Key, Json]) -> None:
        wanted, now = item["spec"]["replicas"], stamp(self._clock())
        for set_key, replica_set in self._cluster.owned_by(item["metadata"]["uid"]).items():
            pods = self.pods_of(replica_set)
            counted = copy.deepcopy(replica_set)
            counted["spec"]["replicas"] = len(pods)
            ready = sum(map(_ready, pods.values()))
            counted["status"] = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1}
            self._cluster.put(set_key, counted)
        ready_all = sum(map(_ready, [*new.values(), *old.values()]))
        ready_new = sum(map(_ready, new.values()))
        done = ready_new == len(new) == wanted and not old
        known, expired = self._deadlines.get(key, ("", False))
        if known != current.name or done:
            expired = False
            self._deadlines[key] = (current.name, False)
            if not done:
                self.later(item["spec"]["progressDeadlineSeconds"], lambda: self._expire(key, current.name))
        reason, message = (
            ("NewReplicaSetAvailable", f'ReplicaSet "{current.name}" has successfully progressed.')
            if done
            else ("ProgressDeadlineExceeded", f'ReplicaSet "{current.name}" has timed out progressing.')
            if expired
            else ("ReplicaSetUpdated", f'ReplicaSet "{current.name}" is progressing.')
        )
        enough = ready_all >= wanted - _share((item["spec"]["strategy"].get("rollingUpdate") or {}).get("maxUnavailable", 0), wanted, math.floor)
        available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.") if enough else ("False", "MinimumReplicasUnavailable", "")
        conditions = [
            {"type": "Available", "status": available[0], "reason": available[1], "message": available[2] or "Deployment does not have minimum availability."},
            {"type": "Progressing", "status": "False" if expired else "True", "reason": reason, "message": message},
        ]
        before = {condition["type"]: condition for condition in item.get("status", {}).get("conditions", [])}
        for condition in conditions:
            same = before.get(condition["type"], {})
            unchanged = all(same.get(name) == value for name, value in condition.items())
            condition |= {name: same[name] if unchanged else now for name in ("lastTransitionTime", "lastUpdateTime")}
        told: Json = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(new) + len(old),
            "updatedReplicas": len(new),
            "conditions": conditions,
        }
        told |= {"readyReplicas": ready_all, "availableReplicas": ready_all} if ready_all else {}
        told |= {"unavailableReplicas": len(new) + len(old) - ready_all} if len(new) + len(old) > ready_all else {}
        changed = copy.deepcopy(self._must(key))
        changed["status"] = told
        revision = self._must(current)["metadata"]["annotations"][_REVISION]
        changed["metadata"].setdefault("annotations", {})[_REVISION] = revision
        self._cluster.put(key, changed, quiet=True)

    def _expire(self, key: Key, name: str) -> None:
        if self._deadlines.get(key) == (name, False) and (item := self._cluster.get(key)):
            progressing: Json = next((c for c in item.get("status", {}).get("conditions", []) if c["type"] == "Progressing"), {})
            if progressing.get("reason") != "NewReplicaSetAvailable":
                self._deadlines[key] = (name, True)
                self.settle(key)

    def _replace(self, key: Key, item: Json) -> None:
        template = item["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        wanted = item["spec"]["replicas"]
        names = [f"{key.name}-{number}" for number in range(wanted)]
        for surplus in [pod for pod in self.pods_of(item) if pod.name not in names]:
            self._cluster.delete(surplus)
        for name in names:  # in order, each waits for the one before; a pod that never became ready is replaced all the same
            pod = self._cluster.get(Key("", "Pod", key.namespace, name))
            if pod is not None and pod["metadata"]["labels"]["controller-revision-hash"] != digest:
                self._cluster.delete(Key("", "Pod", key.namespace, name))
                pod = None
            if pod is None:
                self._make_pod(key, item, name, template, {"controller-revision-hash": digest})
            if pod is None or not _ready(pod):
                break
        pods = self.pods_of(item)
        changed = copy.deepcopy(self._must(key))
        updated = sum(pod["metadata"]["labels"]["controller-revision-hash"] == digest for pod in pods.values())
        changed["status"] = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": sum(map(_ready, pods.values())),
            "updatedReplicas": updated,
            "updateRevision": f"{key.name}-{digest}",
            "currentRevision": f"{key.name}-{digest}",
        }
        self._cluster.put(key, changed, quiet=True)

    def start_pod(self, key: Key, owner: Json, template: Json) -> None:
        """A pod of a ReplicaSet."""
        self._make_pod(key, owner, f"{key.name}-{self._suffix()}", template, {})

    def is_ready(self, pod: Json) -> bool:
        """Whether it takes requests."""
        return _ready(pod)

    def owner_of(self, item: Json) -> Json:
        """The reference that says who owns."""
        return _owner(item)

    def _make_pod(self, key: Key, owner: Json, name: str, template: Json, labels: dict[str, str]) -> None:
        pod: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": key.namespace,
                "labels": {**template.get("metadata", {}).get("labels", {}), **labels},
                "ownerReferences": [_owner(owner)],
            },
            "spec": {**copy.deepcopy(template["spec"]), "nodeName": NODE},
        }
        statuses, wait = [], 0.0
        for container in pod["spec"].get("containers", []):
            digest, trouble = self._digest(container["image"])
            starts = None if trouble else self._readiness(container["image"])
            wait = math.inf if starts is None else max(wait, starts)
            statuses.append(_container(container, digest, trouble or ("" if starts is not None else "CrashLoopBackOff")))
        now = stamp(self._clock())
        pod["status"] = {
            "phase": "Pending" if any(not status["imageID"] for status in statuses) else "Running",
            "startTime": now,
            "containerStatuses": statuses,
        }
        pod["status"]["conditions"] = _conditions(ready=False, now=now)
        pod_key = Key("", "Pod", key.namespace, name)
        uid = self._cluster.put(pod_key, pod)["metadata"]["uid"]
        if wait != math.inf:
            self.later(wait or self._timings.pod_start, lambda: self._start(pod_key, uid))

    def _start(self, key: Key, uid: str) -> None:
        pod = self._cluster.get(key)
        if pod is None or pod["metadata"]["uid"] != uid:
            return
        ready, now = copy.deepcopy(pod), stamp(self._clock())
        job = any(ref["kind"] == "Job" for ref in pod["metadata"]["ownerReferences"])
        ready["status"]["phase"] = "Succeeded" if job else "Running"
        ready["status"]["conditions"] = _conditions(ready=not job, now=now)
        for status in ready["status"]["containerStatuses"]:
            status |= {"ready": not job, "started": not job}
            status["state"] = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}} if job else {"running": {"startedAt": now}}
        self._cluster.put(key, ready)
        self._owner_changed(pod)

    def _owner_changed(self, pod: Json) -> None:
        owner = pod["metadata"]["ownerReferences"][0]
        namespace = pod["metadata"]["namespace"]
        if owner["kind"] == "ReplicaSet":
            owner = self._must(Key("apps", "ReplicaSet", namespace, owner["name"]))["metadata"]["ownerReferences"][0]
        key = Key(owner["apiVersion"].rpartition("/")[0], owner["kind"], namespace, owner["name"])
        if owner["kind"] == "Job":
            done = copy.deepcopy(self._must(key))
            done["status"] = {
                "succeeded": 1,
                "conditions": [{"type": "Complete", "status": "True", "message": _COMPLETE, "lastTransitionTime": stamp(self._clock())}],
            }
            self._cluster.put(key, done)
        else:
            self.settle(key)

    def _digest(self, image: str) -> tuple[str, str]:
        named = re.search(r"@(sha256:[0-9a-f]{64})$", image)
        if named:
            return named[1], ""
        try:
            found = self._images(image)
        except LookupError:
            return "", "ImagePullBackOff"
        return found or "sha256:" + hashlib.sha256(image.encode()).hexdigest(), ""


def _container(container: Json, digest: str, trouble: str) -> Json:
    image = container["image"]
    name = re.sub(r":[^/:@]+$", "", image.partition("@")[0])
    status: Json = {
        "name": container["name"],
        "image": image,
        "imageID": f"{name}@{digest}" if digest else "",
        "ready": False,
        "started": False,
        "restartCount": 0,
    }
    words = {"CrashLoopBackOff": f"back-off 10s restarting failed container={container['name']}", "ImagePullBackOff": f'Back-off pulling image "{image}"'}
    status["state"] = {"waiting": {"reason": trouble, "message": words[trouble]}} if trouble else {"running": {}}
    return status | ({"restartCount": 1} if trouble == "CrashLoopBackOff" else {})


def _conditions(*, ready: bool, now: str) -> list[Json]:
    said = "True" if ready else "False"
    return [{"type": kind, "status": said, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")] + [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Initialized", "PodScheduled")
    ]


def _ready(pod: Json) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"]["conditions"])


def _owner(item: Json) -> Json:
    about = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}
    return about | {"controller": True, "blockOwnerDeletion": True}


def _share(value: int | str, of: int, rounded: Callable[[float], int]) -> int:
    return rounded(of * int(value.removesuffix("%")) / 100) if isinstance(value, str) else value
