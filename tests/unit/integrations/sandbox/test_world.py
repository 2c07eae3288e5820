import asyncio
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from integrations.evidence import prometheus, registry
from integrations.sandbox.http import LoopbackServer
from integrations.sandbox.world import ARGOCD, BY_VERSION, REQUESTS, SPINNAKER, World
from service.domain import keys
from service.domain.errors import TemporaryError
from service.domain.facts import Known
from service.domain.model import Mode, TargetId
from service.settings import load
from service.wiring.parts import kinds
from tests.fakes.clock import LoopClock

CLOCK = LoopClock()
NOWHERE = "http://127.0.0.1:1/v1/alerts/alertmanager"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(folder=tmp_path / "world", clock=CLOCK, webhook=NOWHERE, fast=True)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def shares(world: World, expression: str, label: str = "argocd_app") -> dict[str, float]:
    """An expression's value as a client of Prometheus reads it, by one label; waits for the first sample."""
    source = prometheus.build(prometheus.Settings(url=world.prometheus.url), CLOCK)
    try:
        async with asyncio.timeout(10):
            while True:
                fact = await source.read(keys.series(expression))
                if isinstance(fact, Known) and fact.value.values:
                    return {dict(labels)[label]: value for labels, value in fact.value.values.items()}
                await asyncio.sleep(0.05)
    finally:
        await source.close()


async def share_becomes(world: World, app: str, expected: float) -> bool:
    """Whether the shop's share of failing requests becomes that within a few samples."""
    for _ in range(100):
        if abs((await shares(world, world.error_share)).get(app, -1.0) - expected) < 1e-9:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_release_is_live_when_its_pods_run_its_digest(world: World) -> None:
    first = await world.add_shop("checkout", "v1")
    assert await world.live("checkout") == {first.digest}
    second = await world.release("checkout", "v2")
    await world.until_live("checkout", second)
    assert await world.live("checkout") == {second.digest}
    assert first.digest != second.digest


async def test_a_release_that_never_comes_is_told_by_name(world: World) -> None:
    first = await world.add_shop("checkout", "v1")
    second = await world.release("checkout", "v2")
    await world.until_live("checkout", second)
    with pytest.raises(TemporaryError, match=r"checkout v1 did not go live within 0\.1 s"):
        await world.until_live("checkout", first, seconds=0.1)


async def test_the_share_of_errors_is_what_the_images_say_that_really_run(world: World) -> None:
    await world.add_shop("checkout", "v1")
    assert await share_becomes(world, "checkout", 0.002)
    shipped = await world.release("checkout", "v2", errors=0.31)
    await world.until_live("checkout", shipped)
    assert await share_becomes(world, "checkout", 0.31)
    assert await shares(world, BY_VERSION.format(label="argocd_app", app="checkout"), "version") == {"v2": 0.31}
    assert await shares(world, world.request_rate) == {"checkout": REQUESTS}


async def test_going_back_by_argo_cd_alone_makes_the_errors_go_away(world: World) -> None:
    first = await world.add_shop("checkout", "v1", auto_sync=False)
    bad = await world.release("checkout", "v2", errors=0.31)
    await world.call("POST", "/api/v1/applications/checkout/sync", {"name": "checkout"})
    await world.until_live("checkout", bad)
    history = (await world.call("GET", "/api/v1/applications/checkout"))["status"]["history"]
    await world.call("POST", "/api/v1/applications/checkout/rollback", {"name": "checkout", "id": history[0]["id"]})
    await world.until_live("checkout", first)
    assert await share_becomes(world, "checkout", 0.002)


async def test_a_second_shop_is_not_touched_by_what_happens_to_the_first(world: World) -> None:
    await world.add_shop("checkout", "v1")
    orders = await world.add_shop("orders", "v3")
    before = await world.call("GET", "/api/v1/applications/orders")
    shipped = await world.release("checkout", "v2", errors=0.5)
    await world.until_live("checkout", shipped)
    assert await share_becomes(world, "checkout", 0.5)
    after = await world.call("GET", "/api/v1/applications/orders")
    assert await world.live("orders") == {orders.digest}
    assert (after["spec"], after["status"]["history"]) == (before["spec"], before["status"]["history"])
    assert (await shares(world, world.error_share))["orders"] == 0.002


async def test_the_alert_fires_for_the_shop_that_burns_and_for_no_other(world: World) -> None:
    for app in ("checkout", "orders"):
        await world.add_shop(app, "v1")
    await world.until_live("checkout", await world.release("checkout", "v2", errors=0.31))
    async with asyncio.timeout(10):
        while not (alerts := world.prometheus.outgoing_alerts()):  # noqa: ASYNC110  the sandbox samples by itself and tells nobody
            await asyncio.sleep(0.05)
    assert {one.labels["argocd_app"] for one in alerts} == {"checkout"}
    assert {one.labels["alertname"] for one in alerts} == {"HighErrorRate"}


async def test_an_image_says_which_commit_of_which_repository_it_was_built_from(world: World) -> None:
    shipped = await world.add_shop("checkout", "v1")
    settings = registry.Settings.model_validate({"registries": [{"host": world.registry_host, "url": world.registry.url}]})
    source = registry.build(settings, CLOCK)
    fact = await source.read(keys.image_config(f"{world.registry_host}/shop/checkout@{shipped.digest}"))
    await source.close()
    assert isinstance(fact, Known)
    assert (fact.value.revision, fact.value.version) == (shipped.source, "v1")
    assert fact.value.repository == world.git.http_url("shop/checkout")


async def test_a_person_and_backout_are_two_accounts_and_backouts_may_not_delete(world: World) -> None:
    await world.add_shop("checkout", "v1")
    assert (await world.call("GET", "/api/v1/session/userinfo"))["username"] == "alice"
    assert (await world.call("GET", "/api/v1/session/userinfo", human=False))["username"] == "backout"
    with pytest.raises(TemporaryError, match="Argo CD answered 403"):
        await world.call("DELETE", "/api/v1/applications/checkout", human=False)
    assert await world.live("checkout")


async def test_secrets_stand_in_files_that_only_their_owner_reads(world: World) -> None:
    files = [world.folder / name for name in ("alert-token", "notify-token", "argocd-token")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len({file.read_text(encoding="utf-8") for file in files}) == 3


async def test_the_settings_load_and_name_every_part_and_no_secret(world: World) -> None:
    for app in ("checkout", "orders"):
        await world.add_shop(app, "v1")
    file = world.settings(listen="127.0.0.1:8080", modes={"orders": "approve"}, bake="5s")
    settings = load(file, kinds())
    assert [one.settings.url for one in settings.delivery] == [world.argocd.url]
    assert settings.evidence["prometheus"].url == world.prometheus.url
    assert settings.evidence.keys() == kinds().evidence.keys() - {"kubernetes", "databases"}  # the sandbox has no API of a cluster, and no database
    assert settings.audit.otlp == world.collector.url
    modes = {app: settings.policies.of(TargetId("sandbox", app)).mode for app in ("checkout", "orders")}
    assert modes == {"checkout": Mode.AUTO, "orders": Mode.APPROVE}
    assert settings.policies.of(TargetId("sandbox", "checkout")).recovered_when.bake == timedelta(seconds=5)
    for name in ("alert-token", "notify-token", "argocd-token"):
        assert (world.folder / name).read_text(encoding="utf-8").strip() not in file.read_text(encoding="utf-8")


async def test_extra_settings_win(world: World) -> None:
    settings = load(world.settings(listen="127.0.0.1:8080", extra={"notify": [], "audit": {}}), kinds())
    assert (settings.notify, settings.audit.otlp) == ((), "")


async def test_everything_listens_on_loopback_only(world: World) -> None:
    for part in (world.argocd, world.git, world.registry, world.prometheus, world.sink, world.collector):
        assert part.url.startswith("http://127.0.0.1:")


async def test_stopping_frees_every_port_and_may_be_done_twice(world: World) -> None:
    parts: list[LoopbackServer] = [world.git, world.registry, world.prometheus, world.sink, world.collector]
    addresses = [world.argocd.url, *(part.url for part in parts)]
    await world.stop()
    await world.stop()
    async with aiohttp.ClientSession() as session:
        for address in addresses:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(address)


async def test_a_world_that_was_not_started_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    world = World(folder=tmp_path / "none", clock=CLOCK, webhook=NOWHERE)
    with pytest.raises(TemporaryError, match="the world is not started"):
        await world.call("GET", "/api/version")
    with pytest.raises(LookupError, match="there is no Spinnaker in this world"):
        _ = world.gate
    await world.stop()
    assert not (tmp_path / "none").exists()


def test_a_world_of_a_delivery_system_that_nobody_plays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no sandbox flux"):
        World(folder=tmp_path, clock=CLOCK, webhook=NOWHERE, sides=("flux",))


async def test_one_world_may_have_both_delivery_systems_and_one_commit_behind_images_of_both(tmp_path: Path) -> None:
    both = World(folder=tmp_path / "world", clock=CLOCK, webhook=NOWHERE, fast=True, sides=(ARGOCD, SPINNAKER))
    await both.start()
    try:
        await both.add_shop("checkout", "v1")
        await both.add_shop("ledger", "v1", on=SPINNAKER)
        assert [str(both.target(app)) for app in ("checkout", "ledger")] == ["sandbox:checkout", "spin:prod-k8s/ledger/deployment/ledger"]
        first = await both.release("checkout", "v2", errors=0.3)
        second = await both.release("ledger", "v2", errors=0.4, built_with=first)
        for shipped in (first, second):
            await both.until_live(shipped.app, shipped)
        assert (second.source, second.repository) == (first.source, both.git.http_url("shop/checkout"))
        assert second.digest != first.digest
        async with asyncio.timeout(10):
            while len(alerts := both.prometheus.outgoing_alerts()) < 2:  # noqa: ASYNC110  the sandbox samples by itself and tells nobody
                await asyncio.sleep(0.05)
        told = {(one.labels["namespace"], one.labels.get("argocd_app", ""), one.labels.get("spinnaker_app", "")) for one in alerts}
        assert told == {("checkout", "checkout", ""), ("ledger", "", "ledger")}
        kinds_ = [one.kind for one in load(both.settings(listen="127.0.0.1:8080"), kinds()).delivery]
        assert kinds_ == [ARGOCD, SPINNAKER]
    finally:
        await both.stop()
