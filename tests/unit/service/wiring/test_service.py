import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from integrations.sandbox.world import World
from service.domain import spans
from service.domain.errors import BackoutError, SettingsError
from service.domain.model import Outcome, TargetId
from service.settings import Settings, load
from service.wiring.parts import TRACE, SystemClock, kinds
from service.wiring.service import Service, _entering, running
from tests.fakes import store
from tests.unit.service.wiring.conftest import PATIENCE, settings_of

LOOPS = {"watch", "outbox", "reconcile", "incidents", "collect"}
CHECKOUT = TargetId("sandbox", "checkout")


@pytest.fixture
def settings(alone: Callable[..., Path]) -> Settings:
    return load(alone(), kinds())


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_every_loop_runs_from_start_to_stop(settings: Settings) -> None:
    async with running(settings, SystemClock()) as service:
        assert service.tasks.alive() == dict.fromkeys(LOOPS, True)
        await asyncio.sleep(0.2)
        assert service.tasks.failed == dict.fromkeys(LOOPS, 0)
    assert service.tasks.alive() == {}
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() in LOOPS] == []
    await store.closed(service.database)


async def test_a_second_service_on_the_same_store_is_refused_and_the_first_goes_on(settings: Settings) -> None:
    async with running(settings, SystemClock()) as service:
        second = Service(settings, SystemClock())
        with pytest.raises(SettingsError, match=r"the store backout\.db is in use by another Backout process"):
            await second.start()
        assert second.tasks.alive() == {}
        assert all(service.tasks.alive().values())
        assert await service.engine.active() == frozenset()
        await store.closed(second.database)
    await store.closed(service.database)


async def test_after_a_stop_the_store_is_free_for_the_next_service(settings: Settings) -> None:
    for _ in range(2):
        async with running(settings, SystemClock()) as service:
            assert await service.targets.known() == ()
        await store.closed(service.database)


async def test_a_folder_that_cannot_hold_the_store_is_told_and_nothing_starts(alone: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    service = Service(load(alone(store=f"sqlite:///{tmp_path / 'file' / 'backout.db'}"), kinds()), SystemClock())
    with pytest.raises(BackoutError, match=r"the folder of the store backout\.db cannot be used"):
        await service.start()
    assert service.tasks.alive() == {}


async def test_a_folder_that_is_not_there_is_made(alone: Callable[..., Path], tmp_path: Path) -> None:
    settings = load(alone(store=f"sqlite:///{tmp_path / 'new' / 'folder' / 'backout.db'}"), kinds())
    async with running(settings, SystemClock()) as service:
        assert (tmp_path / "new" / "folder" / "backout.db").exists()
    await store.closed(service.database)


async def test_without_anybody_to_tell_the_start_warns(settings: Settings) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running(settings, SystemClock()) as service:
            assert not service.told.anybody
    assert [one["event"] for one in logs if one["log_level"] == "warning"] == ["nobody is configured to be told (notify:); no target leaves mode observe"]
    await store.closed(service.database)


async def test_with_somebody_to_tell_it_does_not_and_the_watch_finds_the_targets(world: World) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running(settings_of(world), SystemClock()) as service:

            async def seen() -> bool:
                return CHECKOUT in await service.targets.known()

            await until(seen)
            assert service.told.channels == ("notify:on-call",)
            assert service.watcher.freshness["sandbox"].complete
    assert [one for one in logs if one["log_level"] in {"warning", "error"}] == []
    await store.closed(service.database)


async def test_what_was_under_way_when_the_process_died_is_taken_up_at_the_start(settings: Settings) -> None:
    """The row is the truth: nobody hands it over, and it is carried on all the same (here to its end, for its delivery system is not configured)."""
    async with running(settings, SystemClock()) as first:
        pass
    await first.operations.begin(store.operation(created_at=SystemClock().now() - timedelta(hours=1)), (), ())
    await store.closed(first.database)
    async with running(settings, SystemClock()) as service:

        async def over() -> bool:
            row = await service.operations.load("op_1")
            return row is not None and row.done_at is not None

        await until(over)
        row = await service.operations.load("op_1")
        assert row is not None
        assert row.outcome is not Outcome.RECOVERED
    await store.closed(service.database)


async def test_requests_that_are_left_open_by_a_dead_process_can_be_asked_again(settings: Settings) -> None:
    async with running(settings, SystemClock()) as first:
        assert await first.answers.claim("key", "alice", "digest", SystemClock().now()) is None
        claimed = await first.answers.claim("key", "alice", "digest", SystemClock().now())
        assert claimed is not None
        assert claimed[0] == 0
    await store.closed(first.database)
    async with running(settings, SystemClock()) as second:
        assert await second.answers.claim("key", "alice", "digest", SystemClock().now()) is None
    await store.closed(second.database)


async def test_the_operation_that_is_entered_is_the_trace_at_work() -> None:
    async def enter(identity: str) -> str:
        _entering(store.operation(identity))
        await asyncio.sleep(0)
        return TRACE.get()

    both = await asyncio.gather(enter("op_1"), enter("op_2"))
    assert both == [spans.traceparent("op_1"), spans.traceparent("op_2")]
    assert TRACE.get() == ""
