import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integrations.sandbox.world import ARGOCD, World
from tests.fakes.clock import LoopClock

CLOCK = LoopClock()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(folder=tmp_path / "world", clock=CLOCK, webhook="http://127.0.0.1:1/", fast=True)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_what_backout_did_is_told_from_what_people_did(world: World) -> None:
    first = await world.add_shop("web", "v1", auto_sync=False)
    second = await world.release("web", "v2")
    await world.call("POST", "/api/v1/applications/web/sync", {"name": "web"})
    await world.until_live("web", second)
    side = world.side(ARGOCD)
    assert (side.writes(), side.asks("web"), await side.times_taken_back("web")) == (0, 0, 0)
    history = (await world.call("GET", "/api/v1/applications/web"))["status"]["history"]
    await world.call("POST", "/api/v1/applications/web/rollback", {"name": "web", "id": history[0]["id"]}, human=False)
    await world.until_live("web", first)
    assert (side.writes(), side.asks("web")) == (1, 1)
    assert world.called(second) == f"v2 · {second.config[:7]}"


async def test_a_release_is_kept_away_by_auto_sync_that_is_off_with_its_settings_and_by_a_mark(world: World) -> None:
    await world.add_shop("web", "v1")
    side = world.side(ARGOCD)
    assert set((await side.kept_away("web")).values()) == {False}
    patch = {"metadata": {"annotations": {"backout.dev/hold": "operation=op_1"}}, "spec": {"syncPolicy": {"automated": {"enabled": False}}}}
    body = {"name": "web", "patch": json.dumps(patch), "patchType": "merge"}
    await world.call("PATCH", "/api/v1/applications/web", body)
    assert set((await side.kept_away("web")).values()) == {True}
