"""What can be turned on a sandbox Argo CD: its version, its speed, the failures it plays.

Plain values; the modules that read them say what each does.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

Clock = Callable[[], datetime]
ImageDigest = Callable[[str], str | None]
Readiness = Callable[[str], float | None]
Rejection = Callable[[dict[str, object]], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Version that the sandbox plays. `proven` only where the contract suite ran against the real one of that version."""

    version: str
    proven: bool
    automated_enabled: bool = True  # `spec.syncPolicy.automated.enabled` exists; before 3.1 it is dropped silently and auto-sync stays on
    actions_v2: bool = True  # `resource/actions/v2` exists (3.1)
    list_spec_project: bool = False  # `items.spec.project` is in the list's catalogue of fields (3.5)
    old_confirmation_words: bool = True  # "Waiting for pruning confirmation of v1/ConfigMap/x"; 3.5: "waiting for … of /ConfigMap/x"


V3_2_11 = Profile(version="v3.2.11+sandbox", proven=True)
V2_14 = Profile(version="v2.14.21+sandbox", proven=False, automated_enabled=False, actions_v2=False)
V3_5_1 = Profile(version="v3.5.1+sandbox", proven=False, list_spec_project=True, old_confirmation_words=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds, as measured on v3.2.11 (contract 5 and 11); every one is multiplied by `pace`, so a test may run the same order of events faster."""

    pace: float = 1.0
    pickup: float = 0.05  # operation set -> Running
    apply: float = 0.2  # Running -> objects applied
    record: float = 0.04  # history -> final state
    refresh: float = 0.1  # final state -> fresh sync and health
    reconciled: float = 0.04  # fresh sync and health -> reconciledAt
    reconcile: float = 0.04  # any other wish to refresh -> its write
    blocked: float = 0.2  # how long a manual operation shows "blocked" in a window that allows manual syncs
    terminate: float = 0.1  # Terminating -> Failed
    wave: float = 2.0  # between two sync waves
    resync: float = 120.0  # periodic refresh: polls the branch, looks at windows again
    retry: float = 5.0  # first wait of a failing operation that retries, doubling up to retry_max
    retry_max: float = 180.0
    self_heal: float = 2.0  # first wait between two self-heals, times three up to self_heal_max
    self_heal_max: float = 300.0
    owner: float = 0.05  # ApplicationSet controller: edit -> reverted
    pod_start: float = 0.15  # pod created -> ready, when nothing else is said
    keep_alive: float = 15.0  # SSE comment
    restart: float = 20.0  # after a change of its settings argocd-server refuses connections as long as a watch is open, this long at most
    login: float = 0.7  # deliberate delay of a login

    @classmethod
    def fast(cls) -> "Timings":
        """For tests: the same order of events, a twentieth of the time, the branch polled every half second."""
        return cls(pace=0.05, resync=10.0, login=0.02)


@dataclass(slots=True, kw_only=True)
class Faults:
    """Failures to play; change the fields at any time. Counters count down by themselves."""

    controller_down: bool = False  # nothing reconciles, operations wait, refresh blocks
    repo_server_down: bool = False  # nothing renders: 503/14, operations end in Error
    git_down: bool = False  # repositories cannot be reached; caches still answer
    redis_down: bool = False  # nobody tells a resource tree: 500/2; everything else works
    kube_down: bool = False  # by-name calls are 403 "permission denied", lists answer from the cache, the controller stands still
    rollouts_down: bool = False  # nobody looks at Rollouts: what they are told waits
    kube_hangs: bool = False  # the Kubernetes API takes calls and answers none: by-name calls hang, lists answer from the cache, the controller stands still
    api_hangs: bool = False  # argocd-server takes connections and answers nothing, open watches fall silent; nothing else stops
    lose_answers: int = 0  # so many writing calls act and then close the connection without an answer
    drop_requests: int = 0  # so many calls close the connection without acting
    slow_by: float = 0.0  # seconds every call waits first (not scaled)
    reject: Rejection | None = field(default=None)  # Kubernetes refuses a manifest with these words


async def while_down(faults: Faults) -> None:
    """Wait for as long as the controllers may not work."""
    while faults.controller_down or faults.kube_down or faults.kube_hangs:  # noqa: ASYNC110  faults are plain fields that tests set at any time
        await asyncio.sleep(0.02)


def ready_by_tag(image: str) -> float | None:
    """Seconds until a container of `image` is ready; None = never. Tag `bad…` never, `slowN` after N seconds, anything else at once (0)."""
    tag = image.split("@", 1)[0].rsplit(":", 1)[-1]
    if tag.startswith("bad"):
        return None
    slow = re.fullmatch(r"slow(\d+).*", tag)
    return float(slow[1]) if slow else 0.0
