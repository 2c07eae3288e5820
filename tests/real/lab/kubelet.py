"""Plays nodes and kubelets, so that real Deployments, StatefulSets and Jobs progress, fail and finish.

Binds every pod to one node and reports the state its images ask for: of the lab's registry by their labels (`images.py`),
of any other by the tag (`:bad` is never ready, `:slowN` after N seconds, all else at once). Containers do not exist.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.real.lab.api import ApiError, HttpApi
from tests.real.lab.images import ERRORS, READY, VERSION, FoundImage, Reference, Registry, digest_of, parse_reference
from tests.real.lab.output import say
from tests.real.lab.traffic import ServingPod, Traffic

NODE = "lab-node"
_PERIOD_S = 0.15
_RUN_TO_COMPLETION_S = 0.5

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImage:
    """The image a container runs. `found`: None when the lab's registry has no such image, so it cannot be pulled."""

    reference: Reference
    found: FoundImage | None

    @property
    def image_id(self) -> str:
        """`repository@digest`, as a container runtime reports it; empty while nothing is pulled."""
        return f"{self.reference.repository}@{self.found.digest}" if self.found else ""

    @property
    def ready_after_s(self) -> float | None:
        """Seconds from the start until the container is ready; None: never."""
        if self.found is None:
            return None
        wish = self.found.labels.get(READY, self.reference.tag)
        if wish in {"never", "bad"}:
            return None
        slow = re.fullmatch(r"slow(\d+)", wish)
        return float(slow[1]) if slow else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodReport:
    """A pod's status as the kubelet would write it; `ready` says whether it takes requests, which a Job's pod never does."""

    status: dict[str, Any]
    ready: bool

    @property
    def gist(self) -> tuple[object, ...]:
        """What decides whether the status is worth writing again: phase, readiness and restarts."""
        return (self.status["phase"], self.ready, *((c["ready"], c["restartCount"]) for c in self.status["containerStatuses"]))


def report(pod: JsonObject, images: Sequence[ContainerImage], *, age_s: float, now: str) -> PodReport:
    """The status of a pod that started `age_s` seconds ago. `images`: one per container, in order. `now`: RFC 3339."""
    finite = pod["spec"].get("restartPolicy", "Always") != "Always"
    statuses = [_container(c, image, age_s=age_s, finite=finite, now=now) for c, image in zip(pod["spec"]["containers"], images, strict=True)]
    ends = [state["terminated"]["exitCode"] for state in (status["state"] for status in statuses) if "terminated" in state]
    if finite and len(ends) == len(statuses):
        phase = "Failed" if any(ends) else "Succeeded"
    else:
        phase = "Running" if all(image.found for image in images) else "Pending"
    ready = phase == "Running" and not finite and all(status["ready"] for status in statuses)
    conditions = [{"type": kind, "status": str(ready), "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
    return PodReport(
        ready=ready,
        status={
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": statuses,
            "podIP": "10.1.0.1",
            "hostIP": "127.0.0.1",
            "startTime": pod["metadata"].get("creationTimestamp") or now,
        },
    )


def _container(container: JsonObject, image: ContainerImage, *, age_s: float, finite: bool, now: str) -> dict[str, Any]:
    ready, restarts = False, 0
    if image.found is None:
        state: dict[str, Any] = {"waiting": {"reason": "ImagePullBackOff", "message": f"{container['image']}: not found"}}
    elif image.ready_after_s is None and finite:
        state = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now}}
    elif image.ready_after_s is None:
        restarts = min(1 + int(age_s / 2), 5)
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
    elif finite and age_s >= image.ready_after_s + _RUN_TO_COMPLETION_S:
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    else:
        ready = age_s >= image.ready_after_s
        state = {"running": {"startedAt": now}}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": image.image_id,
        "ready": ready,
        "started": ready,
        "restartCount": restarts,
        "state": state,
    }


def serving(pod: JsonObject, images: Sequence[ContainerImage]) -> ServingPod:
    """How a ready pod answers its users: as its first container's image says."""
    first, labels = images[0], images[0].found.labels if images[0].found else {}
    meta = pod["metadata"]
    names = meta.get("labels") or {}
    return ServingPod(
        namespace=meta["namespace"],
        app=names.get("app") or names.get("app.kubernetes.io/name") or meta["name"],
        version=labels.get(VERSION) or first.reference.tag or "unknown",
        errors=float(labels.get(ERRORS, "0")),
    )


@dataclass(slots=True)
class _Known:
    """What the kubelet remembers of a pod: its start on the clock, its images as pulled, what it last reported."""

    started: float
    images: tuple[ContainerImage, ...]
    reported: tuple[object, ...] | None = None


class FakeKubelet:
    """Looks at all pods a few times per second; every change it makes goes through the Kubernetes API."""

    def __init__(self, kube: HttpApi, registry: Registry, traffic: Traffic, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._registry, self._traffic, self._clock = kube, registry, traffic, clock
        self._known: dict[str, _Known] = {}

    async def run(self) -> None:
        """Runs until cancelled. While the API server is away the pods go on as they are, like real ones."""
        while True:
            try:
                await self.look()
            except (aiohttp.ClientError, ApiError, OSError, TimeoutError):
                await asyncio.sleep(0.5)  # starting, stopping, or taken down by a test
            except ValueError as error:  # a label that says nothing the lab knows
                say(f"kubelet: {error}")
                await asyncio.sleep(2)
            await asyncio.sleep(_PERIOD_S)

    async def look(self) -> None:
        """One round over all pods."""
        pods = (await self._kube.must("GET", "/api/v1/pods"))["items"]
        self._known = {uid: known for uid, known in self._known.items() if uid in {pod["metadata"]["uid"] for pod in pods}}
        self._traffic.serve([ready for pod in pods if (ready := await self._care_for(pod)) is not None])

    async def _care_for(self, pod: JsonObject) -> ServingPod | None:
        """Move one pod on; the answer is not None when it takes requests."""
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if meta.get("deletionTimestamp"):
            await self._kube.call("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
            return None
        if not pod["spec"].get("nodeName"):
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}, "target": {"kind": "Node", "name": NODE}}
            await self._kube.call("POST", f"{path}/binding", binding)
            return None
        known = self._known.get(meta["uid"])
        if known is None:
            images = tuple([await self._pull(container["image"]) for container in pod["spec"]["containers"]])
            known = self._known[meta["uid"]] = _Known(started=self._clock(), images=images)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state = report(pod, known.images, age_s=self._clock() - known.started, now=now)
        if known.reported != state.gist:
            answer = await self._kube.call("PATCH", f"{path}/status", {"status": state.status}, content_type="application/strategic-merge-patch+json")
            known.reported = state.gist if answer.good else None
        return serving(pod, known.images) if state.ready else None

    async def _pull(self, text: str) -> ContainerImage:
        reference = parse_reference(text)
        if reference.host == self._registry.host:
            return ContainerImage(reference=reference, found=await self._registry.look_up(reference))
        # of a registry that does not exist: its digest is the reference's own, or follows from the name
        return ContainerImage(reference=reference, found=FoundImage(digest=reference.digest or digest_of(text.encode())))
