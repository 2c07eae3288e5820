"""The sandbox is held to recordings of a real Gate, Orca and Echo 2026.2.3: each request of each file, its status, headers and body."""

import aiohttp
import pytest

from tests.contract.spinnaker.lab import build
from tests.contract.spinnaker.replay import Player
from tests.contract.spinnaker.scenes import SCENES, UNPLAYED
from tests.unit.integrations.delivery.spinnaker.recordings import FIXTURES


def test_every_recording_is_played_or_says_why_not() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == SCENES.keys() | UNPLAYED.keys()


@pytest.mark.parametrize("name", SCENES)
async def test_a_recording_replays_clean(name: str) -> None:
    scene = SCENES[name]
    gate = build(scene.profile, scene.timings)
    scene.prepare(gate)
    await gate.start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            await Player(gate=gate, session=session, name=name, between=scene.between, skip=scene.skip).play()
    finally:
        await gate.stop()
