"""How the recorded Spinnaker stood, and what was done to it between the requests, for each recording: its mode.

Two modes of comparing: `exact`, and for what Clouddriver and Front50 say `more` (they were stubs: a real one may say more keys); the player knows which
paths those are. What is not played stands in `skip` with its reason.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Outage, Profile, Timings
from tests.contract.spinnaker.lab import FRESH
from tests.contract.spinnaker.replay import Between, Player, nothing

Json = dict[str, Any]
LAB: Final = Profile(version="Unknown", caches=False)
SQL: Final = Profile(version="Unknown", caches=False, sql=True)
Prepare = Callable[[SandboxGate], None]


def as_it_was(_gate: SandboxGate) -> None:
    """The lab as `lab.build` makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One recording's Spinnaker. `between` is called before each step."""

    profile: Profile = LAB
    timings: Timings | None = None
    prepare: Prepare = as_it_was
    between: Between = nothing
    skip: Mapping[int, str] = field(default_factory=dict)


def slow(**more: float) -> Timings:
    """The recorded machine was busy: what it showed between two requests has to be there still."""
    return Timings(**{"start": 0.08, "cache": 0.0, "ready": 0.0, **more})


def _with(**faults: Any) -> Prepare:
    def prepare(gate: SandboxGate) -> None:
        for name, value in faults.items():
            setattr(gate.faults, name, value)

    return prepare


def _front50(status: int, message: str = "", body: str = "json") -> Scene:
    return Scene(prepare=_with(front50=Outage(status=status, message=message, body=body)))


def _on_image(act: str) -> Prepare:
    def prepare(gate: SandboxGate) -> None:
        getattr(gate.kubernetes, act)("registry/app:2")

    return prepare


async def _orca_says(player: Player, _at: int, step: Json) -> None:
    words = {
        500: "orca broke",
        403: "Access denied to application lab - required authorization: READ",
        503: "busy",
        429: "slow down",
        404: "No pipeline found for 01X",
    }
    status, _, kind = step["note"].removeprefix("orca answers ").partition(" ")
    body = "html" if kind == "text/html" else "empty"
    player.gate.faults.orca = Outage(status=int(status), message=words.get(int(status), ""), body="json" if int(status) >= 300 else body)


async def _kill_orca(player: Player, _at: int, step: Json) -> None:
    if step.get("note") == "orca killed":
        player.gate.orca_is_killed()
    elif step.get("note") == "orca started again":
        player.gate.orca_is_started_again()


async def _clouddriver_fails(player: Player, _at: int, step: Json) -> None:
    faults, note = player.gate.faults, step.get("note", "")
    if note.startswith("POST ops answers 500"):
        faults.operations = Outage(status=500, message="boom")
    elif note.startswith("POST ops answers 400"):
        faults.operations = Outage(status=400, message="undoRolloutKubernetesManifestDescription.manifestName.empty")
    elif note.startswith("GET /manifests"):
        faults.operations, faults.manifests = None, Outage(status=500, message="boom")


async def _probed(player: Player, at: int, _step: Json) -> None:
    """Somebody looked before whether Gate was up."""
    if at == 0:
        async with player.session.get(f"{player.gate.url}/health"):
            pass


async def _six_runs(player: Player, at: int, _step: Json) -> None:
    """Five more starts after the first one, which alone was recorded."""
    for number in range(1, 6) if at == 1 else ():
        body = {"type": "manual", "correlationId": f"rb-20-{number}"}
        async with player.session.post(f"{player.gate.url}/pipelines/lab/wait-pipeline", json=body):
            pass
    if at == 1:
        await asyncio.sleep(5)


def _only_lab(gate: SandboxGate) -> None:
    del gate.front50.applications["web"]


async def _half_down(player: Player, at: int, step: Json) -> None:
    player.gate.faults.echo_down = at in {1, 5}
    if "broken" in step.get("note", ""):
        player.gate.faults.front50 = player.gate.faults.clouddriver = Outage(status=500)


async def _past(player: Player, at: int, _step: Json) -> None:
    """What the lab had been through when the recording began: a refused start, and an undo that worked."""
    if at:
        return
    refused = {"type": "manual", "user": "u", "expectedArtifactIds": ["aaaaaaaa-0000-4000-8000-000000000001"]}
    undo = {"type": "undoRolloutManifest", "account": "k8s", "cloudProvider": "kubernetes", "location": "ns", "manifestName": "deployment web", "revision": 2}
    task = {"application": "lab", "description": "rb-11", "job": [{**undo, "reason": "alert X"}]}
    for path, body in (("/pipelines/v2/lab/needs-artifact", refused), ("/tasks", task)):
        async with player.session.post(f"{player.gate.url}{path}", json=body):
            pass
    await asyncio.sleep(20)


def _then_clouddriver(outage: Outage) -> Between:
    async def between(player: Player, at: int, step: Json) -> None:
        await _past(player, at, step)
        player.gate.faults.clouddriver = outage

    return between


async def _save_fresh(player: Player, at: int, _step: Json) -> None:
    if at == 0:
        player.gate.save_pipeline(FRESH)


def _live_again(gate: SandboxGate) -> None:
    """After 12i: v006 has the traffic, v007 has none."""
    for group in gate.groups.all:
        group.disabled = group.name == "web-main-v007"


def _orca_is_away(gate: SandboxGate) -> None:
    gate.kubernetes.undo("k8s", "ns", "deployment web", revision="2", back=None)
    gate.kubernetes.never_becomes_ready("registry/app:2")
    gate.orca_is_killed()


def _groups_in_lab(gate: SandboxGate) -> None:
    for group in gate.groups.all:
        group.application = "lab"


_BOUNDS: Final = "asks by the very millisecond of a recorded run: test_traps plays the exclusive bounds"
_NO_HISTORY: Final = "the stub of Front50 kept no history"
_OTHER_LAB: Final = "the stub of Clouddriver answered a map where the real one answers a list, and Gate choked on it"
SCENES: Final[Mapping[str, Scene]] = {
    "01a-wait-pipeline-v1": Scene(),
    "01b-start-own-id": Scene(),
    "01c-task-wait": Scene(),
    "01d-own-id-twice-redis": Scene(),
    "02-start-errors": Scene(),
    "03a-cancel": Scene(),
    "04a-judgment-continue": Scene(),
    "04b-judgment-stop": Scene(),
    "04c-judgment-stop-soft": Scene(),
    "04e-skip-wait": Scene(),
    "06a-limit-supersede": Scene(),
    "07-correlation": Scene(timings=slow(plan=0.2)),
    "08a-search-redis": Scene(prepare=_groups_in_lab, between=_past, skip={43: _NO_HISTORY, 57: _OTHER_LAB}),
    "09a-front50-200-bad-json": _front50(200, body="broken"),
    "09a-front50-200-html": _front50(200, body="html"),
    "09a-front50-403": _front50(403, "Access is denied"),
    "09a-front50-429": _front50(429, "slow down"),
    "09a-front50-500-json": _front50(500, "f50 broke"),
    "09a-front50-503-html": _front50(503, body="html"),
    "09b-clouddriver-403": Scene(between=_then_clouddriver(Outage(status=403, message="Access denied to account k8s"))),
    "09b-clouddriver-500-json": Scene(between=_then_clouddriver(Outage(status=500, message="cd broke"))),
    "09c-front50-slow": Scene(prepare=_with(front50_hangs=True)),
    "09d-orca-down": Scene(prepare=_orca_is_away),
    "09e-orca-killed-mid-run": Scene(timings=slow(ready=8.0), between=_kill_orca),
    "09f-gate-swallows-orca-errors": Scene(between=_orca_says),
    "10a-auth-basic": Scene(profile=Profile(version="Unknown", caches=False, auth="basic", api_tokens=True, capacity=8), between=_probed),
    "10b-rate-limit": Scene(profile=Profile(version="Unknown", caches=False, auth="basic", api_tokens=True, capacity=8)),
    "10c-auth-header": Scene(profile=Profile(version="Unknown", caches=False, auth="header")),
    "11a-undo-success": Scene(),
    "11b-undo-numback": Scene(),
    "11c-undo-revision-not-found": Scene(),
    "11e-undo-deadline": Scene(prepare=_on_image("exceeds_its_deadline")),
    "11f-undo-never-stable": Scene(prepare=_on_image("never_becomes_ready")),
    "11h-task-bad-input": Scene(),
    "11i-task-two-jobs": Scene(),
    "11k-other-manifest-ops": Scene(prepare=_with(without_results={"patchManifest"})),
    "11l-clouddriver-down": Scene(between=_clouddriver_fails),
    "12a-rollback-test": Scene(),
    "12b-explicit-enable-disable-only": Scene(),
    "12c-explicit-resize": Scene(),
    "12d-explicit-missing-group": Scene(),
    "12e-rollback-no-type": Scene(),
    "12f-rollback-bad-type": Scene(),
    "12g-previous-image-none": Scene(),
    "12i-rollback-cluster": Scene(),
    "12j-rollback-cluster-again": Scene(prepare=_live_again),
    "14-health": Scene(profile=Profile(version="Unknown"), prepare=_only_lab, between=_half_down),
    "15a-v2-start": Scene(),
    "15c-webhook-trigger": Scene(),
    "15d-v2-config-just-saved": Scene(timings=slow(echo_poll=10.0), between=_save_fresh),
    "15e-v2-echo-down": Scene(prepare=_with(echo_down=True)),
    "20a-sql-search": Scene(profile=SQL, between=_six_runs, skip=dict.fromkeys((8, 9, 10), _BOUNDS)),
    "20b-sql-correlation": Scene(profile=SQL, timings=slow(plan=0.3)),
    "20c-sql-control": Scene(profile=SQL),
    "21-fiat-permissions": Scene(profile=Profile(version="Unknown", auth="header", fiat=True, api_tokens=True, sql=True)),
}
UNPLAYED: Final[Mapping[str, str]] = {"08b-search-redis-small-size": "its six runs were started before the recording began: test_traps plays them"}
