import asyncio
import gc
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from integrations.sandbox.ports import spare_port
from integrations.sandbox.world import World
from service.api.live import Live
from service.api.parts import Drain
from service.domain.errors import BackoutError, SettingsError, UnavailableError
from service.domain.ports import Message
from service.settings import load
from service.wiring.parts import VERSION, SystemClock, kinds
from service.wiring.service import Service
from service.wiring.serving import SELDOM, _Gauges, _listen, _readiness, _serve, parts, serve
from service.workflow.watch import Freshness, Stream
from tests.fakes import store
from tests.unit.service.wiring.conftest import PATIENCE, process, settings_of

GAUGES = (
    "backout_outbox_waiting",
    "backout_outbox_oldest_age_seconds",
    "backout_outbox_parked",
    "backout_operations_in_progress",
    "backout_background_failed_rounds",
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as made:
        yield made


# --- as a process --------------------------------------------------------------------------------------------------------


async def test_a_service_gets_ready_shows_its_figures_and_ends_when_it_is_asked_to(alone: Callable[..., Path], session: aiohttp.ClientSession) -> None:
    async with process(alone(notify=[{"kind": "webhook", "name": "on-call", "url": "http://127.0.0.1:1"}])) as one:
        await one.answers(session, "/readyz", 200)
        text = await one.answers(session, "/metrics", 200)
        async with asyncio.timeout(PATIENCE):
            while 'backout_background_failed_rounds{loop="watch"}' not in text:
                await asyncio.sleep(0.05)
                text = await one.answers(session, "/metrics", 200)
        for name in GAUGES:
            assert f"# TYPE {name} gauge" in text
        assert 'backout_outbox_waiting{channel="notify:on-call"} 0.0' in text
        assert f'backout_build_info{{version="{VERSION}"}} 1.0' in text
        one.send(signal.SIGTERM)
        assert await one.code() == 0
        assert (await one.get(session, "/livez"))[0] == 0
        assert [event["event"] for event in one.events()] == ["ready", "stopping", "stopped"]


async def test_a_port_in_use_is_an_error_that_says_what_to_do_and_the_process_ends(alone: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        async with process(alone(listen=listen)) as one:
            assert await one.code() == 1
            assert f"backout: cannot listen on {listen}: " in one.text()
            assert "choose another address with listen:" in one.text()
            assert "Traceback" not in one.text()


async def test_nothing_secret_stands_in_the_log_and_ctrl_c_is_as_graceful(world: World, session: aiohttp.ClientSession) -> None:
    secrets = [(world.folder / name).read_text(encoding="utf-8").strip() for name in ("alert-token", "notify-token", "argocd-token")]
    assert all(stat.S_IMODE((world.folder / name).stat().st_mode) == 0o600 for name in ("alert-token", "notify-token", "argocd-token"))
    async with process(world.settings(listen=f"127.0.0.1:{spare_port()}")) as one:
        await one.answers(session, "/readyz", 200)
        await world.argocd.stop()
        await asyncio.sleep(0.7)
        one.send(signal.SIGINT)
        assert await one.code() == 0
        assert one.events()[-1]["event"] == "stopped"
        assert [secret for secret in secrets if secret in one.text()] == []


# --- in this process -----------------------------------------------------------------------------------------------------


async def test_a_service_that_goes_down_says_so_and_goes_on_answering_until_it_is_drained(alone: Callable[..., Path], session: aiohttp.ClientSession) -> None:
    settings = load(alone(), kinds())
    as_it_was = gc.get_threshold()
    serving = asyncio.ensure_future(_serve(settings, drain_seconds=10 * PATIENCE))

    async def readiness() -> tuple[int, str]:
        try:
            async with session.get(f"http://{settings.listen}/readyz?verbose") as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def until(status: int) -> str:
        async with asyncio.timeout(PATIENCE):
            while (found := await readiness())[0] != status:
                assert not serving.done()
                await asyncio.sleep(0.02)
        return found[1]

    await until(200)
    os.kill(os.getpid(), signal.SIGTERM)
    assert "the service is going down" in await until(503)
    assert gc.get_threshold() == SELDOM
    async with session.get(f"http://{settings.listen}/livez") as answer:
        assert answer.status == 200
    assert not serving.done()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert (await readiness())[0] == 0
    assert gc.get_threshold() == as_it_was


def test_wrong_settings_are_told_with_file_and_line_before_anything_is_opened(alone: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^backout\.yaml:5: lissten: unknown setting\. Did you mean listen\?$"):
        serve(alone(lissten="127.0.0.1:1"))
    assert list(tmp_path.glob("backout.db*")) == []


@pytest.mark.parametrize("body", ['{"keys": []}', "", "no json"])
async def test_a_keys_file_that_lets_nobody_in_stops_the_start_before_anything_is_opened(alone: Callable[..., Path], tmp_path: Path, body: str) -> None:
    settings = load(alone(), kinds())
    (tmp_path / "keys.json").write_text(body, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^auth\.keys_file "):
        await _serve(settings)
    assert not (tmp_path / "backout.db").exists()
    assert not (tmp_path / "backout.db.lock").exists()


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "no-such-host.invalid:8080"])
async def test_an_address_that_cannot_be_listened_on_is_named(alone: Callable[..., Path], listen: str) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with pytest.raises(BackoutError, match=f"^cannot listen on {listen}: .*; end what listens there, or choose another address with listen:$"):
        await _listen(runner, load(alone(listen=listen), kinds()))
    await runner.cleanup()


async def test_a_port_that_is_taken_is_said_in_the_words_of_the_system(alone: Callable[..., Path]) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BackoutError) as raised:
            await _listen(runner, load(alone(listen=listen), kinds()))
    await runner.cleanup()
    assert str(raised.value).startswith(f"cannot listen on {listen}: address already in use; end what listens there")


async def test_the_edge_is_made_of_the_services_own_parts(world: World) -> None:
    service = Service(settings_of(world), SystemClock())
    drain = Drain()
    made = parts(service, CollectorRegistry(), drain)
    assert made.drain is drain
    assert made.starter is service.engine
    assert made.freshness is service.watcher.freshness
    assert made.alert_sources.keys() == {"alertmanager"}
    assert made.version == VERSION
    assert made.openapi.is_file()
    assert made.senders.who((world.folder / "alert-token").read_text(encoding="utf-8").strip()) == "main"
    assert made.senders.who("somebody") is None
    await service.outside.close()


async def test_a_sender_without_a_token_stops_the_start(world: World) -> None:
    (world.folder / "alert-token").write_text("", encoding="utf-8")
    service = Service(settings_of(world), SystemClock())
    with pytest.raises(SettingsError, match="token_file of the alert sender main"):
        parts(service, CollectorRegistry(), Drain())
    await service.outside.close()


async def test_the_gauges_show_what_waits_and_what_was_set_aside(alone: Callable[..., Path], tmp_path: Path) -> None:
    copied = store.copied(await asyncio.to_thread(store.migrated, tmp_path), tmp_path)
    settings = load(alone(store=copied.url, notify=[{"kind": "webhook", "name": "on-call", "url": "http://127.0.0.1:1"}]), kinds())
    service, registry = Service(settings, SystemClock()), CollectorRegistry()
    live = Live(events=service.events, operations=service.operations, alerts=service.alerts)
    gauges = _Gauges(service, registry, live)
    for key in ("a", "b"):
        await service.outbox.send(Message(channel="notify:on-call", key=key, body={"outcome": "recovered"}), SystemClock().now())
    await service.operations.begin(store.operation(), (), ())
    service.tasks.failed["watch"] = 3
    now = SystemClock().now()
    service.watcher.freshness |= {"prod": Freshness(listed_at=now), "spin": Freshness(), "git": Freshness()}
    service.watcher.freshness["prod"].stream_is(Stream.UP, now)
    service.watcher.freshness["spin"].stream_is(Stream.DOWN, now, "cut off")
    with live.place("alice"):
        await gauges.round()
    text = generate_latest(registry).decode()
    assert "backout_event_streams 1.0" in text
    assert 'backout_outbox_waiting{channel="notify:on-call"} 2.0' in text
    assert 'backout_outbox_waiting{channel="trace"} 0.0' in text
    assert 'backout_outbox_parked{channel="notify:on-call"} 0.0' in text
    assert "backout_operations_in_progress 1.0" in text
    assert 'backout_background_failed_rounds{loop="watch"} 3.0' in text
    assert 'backout_instance_stream_up{instance="prod"} 1.0' in text
    assert 'backout_instance_stream_up{instance="spin"} 0.0' in text
    assert 'backout_instance_stream_up{instance="git"}' not in text
    assert 'backout_instance_listed_age_seconds{instance="spin"} -1.0' in text
    await store.closed(service.database)
    await store.closed(copied)


async def test_ready_is_a_store_that_answers_and_loops_that_live(alone: Callable[..., Path], tmp_path: Path) -> None:
    copied = store.copied(await asyncio.to_thread(store.migrated, tmp_path), tmp_path)
    service = Service(load(alone(store=copied.url), kinds()), SystemClock())
    asked = {one.name: one.ask for one in _readiness(service)}
    assert {name: await ask() for name, ask in asked.items()} == {"store": "", "loops": ""}
    service.tasks.every(60, "well", service.operations.alive)
    assert await asked["loops"]() == ""
    (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == "well"]
    loop.cancel()
    await asyncio.wait([loop])
    assert await asked["loops"]() == "background loops ended: well"
    await service.tasks.stop()
    await store.closed(service.database)
    await store.closed(copied)
    (tmp_path / "store.db").write_text("no longer a store " * 300, encoding="utf-8")
    with pytest.raises(UnavailableError):
        await asked["store"]()
    await store.closed(service.database)
