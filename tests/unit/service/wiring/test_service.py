import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from integrations.moment import MOMENT
from integrations.sandbox.world import World
from service.domain import spans
from service.domain.errors import BackoutError, SettingsError
from service.domain.model import Outcome, TargetId
from service.domain.ports import Work
from service.engine.runner import STUMBLES
from service.settings import Settings, load
from service.store import tables as t
from service.store.migrating import migrate
from service.wiring.parts import TRACE, SystemClock, kinds
from service.wiring.service import Service, _entering, running
from service.workflow.watch import Stream
from tests.fakes import store
from tests.unit.service.wiring.conftest import PATIENCE, settings_of

LOOPS = {"watch", "readiness", "holds", "reconcile", "incidents", "capture", "collect"}
CHECKOUT = TargetId("sandbox", "checkout")


@pytest.fixture
def settings(alone: Callable[..., Path]) -> Settings:
    return load(alone(), kinds())


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110  what a loop of the service does comes without an event
            await asyncio.sleep(0.02)


async def test_every_loop_runs_from_start_to_stop_and_without_anybody_to_tell_the_start_warns(alone: Callable[..., Path], tmp_path: Path) -> None:
    settings = load(alone(store=f"sqlite:///{tmp_path / 'new' / 'folder' / 'backout.db'}"), kinds())  # a folder that is not there is made
    with structlog.testing.capture_logs() as logs:
        async with running(settings, SystemClock()) as service:
            assert service.tasks.alive() == dict.fromkeys(LOOPS, True)
            await asyncio.sleep(0.2)
            assert service.tasks.failed == dict.fromkeys(LOOPS, 0)
            assert not service.told.anybody
    assert service.tasks.alive() == {}
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() in LOOPS] == []
    assert [one["event"] for one in logs if one["log_level"] == "warning"] == ["nobody is configured to be told (notify:); no target leaves mode observe"]
    await store.closed(service.database)


async def test_on_postgresql_it_beats_among_others_and_is_retired_when_it_stopped(alone: Callable[..., Path], postgres_url: str) -> None:
    settings = load(alone(store=postgres_url, takeover_after="15s"), kinds())
    async with running(settings, SystemClock()) as service:
        assert service.alive() == dict.fromkeys([*LOOPS, "beat", "sweep"], True)
        assert service.lease.name != "local"
        assert service.lease.leads
        beats = await _beats(service)

        async def beaten() -> bool:
            return await _beats(service) > beats

        await until(beaten)
    assert service.alive() == {}
    look = Service(settings, SystemClock())
    async with look.database.read() as connection:
        rows = (await connection.execute(sa.select(t.executor.c.name, t.executor.c.retired))).all()
    assert [tuple(row) for row in rows] == [(service.lease.name, True)]
    await look.database.close()


async def _beats(service: Service) -> int:
    async with service.database.read() as connection:
        return int((await connection.execute(sa.select(t.executor.c.beats))).scalar_one())


async def test_a_second_service_on_the_same_store_is_refused_and_the_first_goes_on(settings: Settings) -> None:
    async with running(settings, SystemClock()) as service:
        second = Service(settings, SystemClock())
        with pytest.raises(SettingsError, match=r"the store backout\.db is in use by another Backout process"):
            await second.start()
        assert second.tasks.alive() == {}
        assert all(service.tasks.alive().values())
        assert await service.engine.active() == frozenset()
        await second.database.close()
    await store.closed(service.database)


async def test_a_folder_that_cannot_hold_the_store_is_told_and_nothing_starts(alone: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    service = Service(load(alone(store=f"sqlite:///{tmp_path / 'file' / 'backout.db'}"), kinds()), SystemClock())
    with pytest.raises(BackoutError, match=r"the folder of the store backout\.db cannot be used"):
        await service.start()
    assert service.tasks.alive() == {}


async def test_with_somebody_to_tell_it_does_not_and_the_watch_finds_the_targets(world: World) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running(settings_of(world), SystemClock()) as service:

            async def seen() -> bool:
                return CHECKOUT in await service.targets.known()

            await until(seen)
            assert service.told.channels == ("notify:on-call",)
            assert {"outbox notify:on-call", "outbox trace"} <= set(service.alive())
            assert service.watcher.freshness["sandbox"].complete
    assert [one for one in logs if one["log_level"] in {"warning", "error"}] == []
    await store.closed(service.database)


async def test_stopping_ends_the_watch_of_argo_cd_and_does_not_wait_for_it(world: World) -> None:
    service = Service(settings_of(world), SystemClock())
    await service.start()

    async def up() -> bool:
        return service.watcher.freshness["sandbox"].stream is Stream.UP

    await until(up)
    assert not world.argocd.watched_by_nobody.is_set()
    await asyncio.wait_for(service.tasks.stop(patience=10 * PATIENCE), PATIENCE)
    await asyncio.wait_for(world.argocd.watched_by_nobody.wait(), PATIENCE)
    await service.stop()
    await store.closed(service.database)


async def test_what_a_dead_process_left_is_taken_up_by_the_next_service_on_the_store(settings: Settings) -> None:
    """The row is the truth: nobody hands the operation over, and it is carried on (here to a refusal, for its delivery system is not configured).

    A request that was being answered can be asked again, for nobody answers it any more.
    """
    now = SystemClock().now()
    async with running(settings, SystemClock()) as first:
        assert await first.answers.claim("key", "alice", "digest", now) is None
        assert await first.answers.claim("key", "alice", "digest", now) is not None
    await first.operations.begin(store.operation(created_at=now - timedelta(hours=1)), (), ())
    await store.closed(first.database)
    async with running(settings, SystemClock()) as service:

        async def over() -> bool:
            row = await service.operations.load("op_1")
            return row is not None and row.done_at is not None

        await until(over)
        row = await service.operations.load("op_1")
        assert row is not None
        assert row.outcome is not Outcome.RECOVERED
        assert await service.answers.claim("key", "alice", "digest", now) is None
    await store.closed(service.database)


async def test_the_operation_that_is_entered_is_the_trace_at_work() -> None:
    moments = set()

    async def enter(identity: str) -> str:
        _entering(store.operation(identity), SystemClock())
        moments.add(MOMENT.get())
        await asyncio.sleep(0)
        return TRACE.get()

    both: list[str] = list(await asyncio.gather(enter("op_1"), enter("op_2")))
    assert both == [spans.traceparent("op_1"), spans.traceparent("op_2")]
    assert len(moments - {None}) == 2
    assert TRACE.get() == ""


async def test_promise_13_a_stumble_of_the_running_service_is_told_to_everybody_configured(world: World) -> None:
    service = Service(settings_of(world), SystemClock())
    row = store.operation(target=CHECKOUT, data={"schema": 1, "episodes": 3})  # a record that nobody can read
    await migrate(service.database)
    await service.operations.begin(row, (), ())
    for _ in range(STUMBLES):
        await service.runner.step(Work(kind="operation", id=row.id, seq=0))
    for channel in service.told.channels:
        ((_, body, _),) = await service.outbox.due(channel, SystemClock().now(), 10)
        assert json.loads(body)["event"] == "stumbled"
    assert service.told.channels
    await service.tasks.stop()  # a capture began with the operation; it would open the store again
    await service.outside.close()
    await store.closed(service.database)


async def test_what_an_act_will_change_is_captured_as_its_operation_begins_and_not_only_by_the_loop(settings: Settings) -> None:
    service = Service(settings, SystemClock())  # not started: no loop runs
    await migrate(service.database)
    begun = store.operation(phase="act")
    await service.operations.begin(begun, (), ())
    service._entering(begun)  # noqa: SLF001  what the runner calls
    await asyncio.sleep(0)
    assert await service.captures.of(begun.id) == ()
    service._entering(replace(begun, phase="begin"))  # noqa: SLF001  as above

    async def captured() -> bool:
        return [one.moment for one in await service.captures.of(begun.id)] == ["before"]

    await until(captured)
    await service.tasks.stop()
    await service.database.close()
