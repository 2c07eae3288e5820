"""The sandbox is held to recordings of a real Gate, Orca and Echo 2026.2.3: each request of each file, its status, headers and body."""

import aiohttp
import pytest

from integrations.sandbox.gate.settings import Profile, Timings
from tests.contract.spinnaker.lab import build
from tests.contract.spinnaker.replay import Player

PLAIN = [
    "01a-wait-pipeline-v1",
    "01b-start-own-id",
    "01c-task-wait",
    "01d-own-id-twice-redis",
    "02-start-errors",
    "03a-cancel",
    "04a-judgment-continue",
    "04b-judgment-stop",
    "04c-judgment-stop-soft",
    "04e-skip-wait",
    "06a-limit-supersede",
    "07-correlation",
    "11a-undo-success",
    "11b-undo-numback",
    "11c-undo-revision-not-found",
    "11h-task-bad-input",
    "11i-task-two-jobs",
    "11k-other-manifest-ops",
    "12a-rollback-test",
    "12b-explicit-enable-disable-only",
    "12c-explicit-resize",
    "12d-explicit-missing-group",
    "12e-rollback-no-type",
    "12f-rollback-bad-type",
    "12g-previous-image-none",
    "12i-rollback-cluster",
    "15a-v2-start",
    "15c-webhook-trigger",
]

SLOWER = {"07-correlation": Timings(start=0.08, plan=0.2, cache=0.0, ready=0.0)}
"""The recorded machine was busy: what it showed between two requests has to be there still."""


@pytest.mark.parametrize("name", PLAIN)
async def test_a_recording_of_the_plain_lab_replays_clean(name: str) -> None:
    gate = build(Profile(version="Unknown", caches=False), SLOWER.get(name))
    gate.faults.without_results = {"patchManifest"}  # as the stub was that played Clouddriver
    await gate.start()
    async with aiohttp.ClientSession() as session:
        await Player(gate=gate, session=session, name=name).play()
    await gate.stop()
