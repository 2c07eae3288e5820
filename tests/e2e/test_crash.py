"""The real service killed with SIGKILL in the middle of its story, again and again: nothing accepted is lost, nothing is done twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = pytest.mark.timeout(120)

APP = "checkout"


@pytest.fixture
async def ground(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Playground]:
    """On both databases, by changing one setting."""
    monkeypatch.setenv("BACKOUT_STORE", store_url)
    monkeypatch.setenv("BACKOUT_TAKEOVER_AFTER", "3s")  # on PostgreSQL the next process waits so long for the one that was killed
    playground = Playground(tmp_path, SystemClock())
    try:
        await playground.start({APP: "v2.4.6"})
        yield playground
    finally:
        await playground.stop()


async def application(ground: Playground) -> Any:
    return await ground.world.call("GET", f"/api/v1/applications/{APP}")


async def ours(ground: Playground) -> int:
    """Rollbacks as the target saw them."""
    history = (await application(ground))["status"]["history"]
    return sum(1 for entry in history if entry.get("initiatedBy", {}).get("username") == "backout")


async def test_promise_3_a_service_that_is_killed_at_every_turn_makes_one_rollback_and_ends_the_story(ground: Playground) -> None:
    async def begun() -> object:
        return await ground.operation_of(APP)

    async def auto_sync_stopped() -> object:
        return (await application(ground))["spec"]["syncPolicy"]["automated"].get("enabled") is False

    async def rolled_back() -> object:
        return await ours(ground)

    async def measuring() -> object:
        found = await ground.operation_of(APP)
        return found and found["phase"] == "verify"

    async def ended() -> object:
        found = await ground.operation_of(APP)
        return found if found and found["done_at"] else None

    good = await ground.world.live(APP)
    shipped = await ground.world.release(APP, "v2.5.0", errors=0.31)
    await ground.world.until_live(APP, shipped)
    turns: tuple[tuple[str, Callable[[], Awaitable[object]]], ...] = (
        ("an operation to begin", begun),
        ("auto-sync to be stopped", auto_sync_stopped),
        ("the rollback", rolled_back),
        ("the measuring", measuring),
    )
    for what, turn in turns:
        await ground.until(turn, 30, what)
        await ground.kill()
        await ground.serve()
    operation: Any = await ground.until(ended, 60, "the end")
    assert operation["outcome"] == "recovered"
    assert await ours(ground) == 1
    assert await ground.world.live(APP) == good
    assert len((await ground.get("/v1/operations"))["operations"]) == 1
