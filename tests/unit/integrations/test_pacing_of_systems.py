"""A refresh never causes more than the configured requests a second: counted where they arrive, on a clock that the test brings, for each kind of system."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from integrations.delivery.argocd import adapter as argocd
from integrations.delivery.argocd.settings import Settings as ArgoSettings
from integrations.evidence import databases, git, prometheus, registry
from integrations.evidence.databases.settings import Database
from integrations.evidence.databases.settings import Settings as DatabaseSettings
from integrations.pacing import PACE, Pace
from service.domain import keys
from service.domain.facts import Fact, Key
from service.domain.model import TargetId
from service.domain.ports import FactSource
from tests.fakes.clock import START
from tests.unhurried import UnhurriedLoop

PER_SECOND = 8
SECOND = timedelta(seconds=1)


class LoopClock:
    """The time of the loop, which passes only while all wait."""

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class StandIn:
    """A server of any kind that has nothing: it notes when somebody came, and says so."""

    clock: LoopClock = field(default_factory=LoopClock)
    came: list[datetime] = field(default_factory=list)
    port: int = 0
    runner: web.AppRunner | None = None
    listening: asyncio.Server | None = None

    async def http(self) -> None:
        async def answer(_request: web.Request) -> web.Response:
            self.came.append(self.clock.now())
            return web.Response(status=404, body=json.dumps({"code": 5, "message": "nothing here"}), content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]

    async def bytes(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.came.append(self.clock.now())
            await reader.read(1)
            writer.close()

        self.listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        self.port = self.listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        if self.listening is not None:
            self.listening.close()
            await self.listening.wait_closed()

    def busiest(self, length: timedelta = SECOND) -> int:
        """The most requests within any stretch of that length."""
        return max(sum(begin <= one < begin + length for one in self.came) for begin in self.came)


Source = Callable[[StandIn, Path], tuple[FactSource, Sequence[Key[Any]]]]


def an_argocd(server: StandIn, folder: Path) -> tuple[FactSource, Sequence[Key[Any]]]:
    (folder / "token").write_text("token")
    made = argocd.build(ArgoSettings(name="prod", url=f"http://127.0.0.1:{server.port}", token_file=folder / "token"), server.clock)
    return made, [keys.permissions(TargetId("prod", f"shop-{number}")) for number in range(40)]


def a_registry(server: StandIn, folder: Path) -> tuple[FactSource, Sequence[Key[Any]]]:
    del folder
    one = registry.Registry(host="registry.example", url=f"http://127.0.0.1:{server.port}")
    made = registry.build(registry.Settings(registries=(one,), requests_per_minute=100_000), server.clock)
    return made, [keys.manifest(f"registry.example/shop-{number}@sha256:{'a' * 64}") for number in range(40)]


def a_prometheus(server: StandIn, folder: Path) -> tuple[FactSource, Sequence[Key[Any]]]:
    del folder
    made = prometheus.build(prometheus.Settings(url=f"http://127.0.0.1:{server.port}"), server.clock)
    return made, [keys.series(f"up_{number}") for number in range(40)]


def a_git_server(server: StandIn, folder: Path) -> tuple[FactSource, Sequence[Key[Any]]]:
    addresses = [f"http://127.0.0.1:{server.port}/shop-{number}.git" for number in range(12)]
    known = tuple(git.Repository(repository=one) for one in addresses)
    made = git.build(git.Settings(repositories=known, cache_dir=folder / "mirrors"), server.clock)
    return made, [keys.source_change(one, "a" * 40, "b" * 40) for one in addresses]


def a_database(server: StandIn, folder: Path) -> tuple[FactSource, Sequence[Key[Any]]]:
    del folder
    one = Database(name="orders", url=f"postgresql://reader@127.0.0.1:{server.port}/orders?sslmode=disable")
    made = databases.build(DatabaseSettings(databases=(one,)), server.clock)
    return made, [keys.catalog("orders")] * 20


async def refresh(source: FactSource, wanted: Sequence[Key[Any]], pace: Pace | None) -> Sequence[Fact[Any]]:
    """Read them all at once, as a refresh of many targets would that did not hold back."""

    async def one(key: Key[Any]) -> Fact[Any]:
        PACE.set(pace)
        return await source.read(key)

    return await asyncio.gather(*(one(key) for key in wanted))


def played(story: Callable[[], Awaitable[None]]) -> None:
    loop = UnhurriedLoop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("source", "speaks"),
    [(an_argocd, "http"), (a_registry, "http"), (a_prometheus, "http"), (a_git_server, "http"), (a_database, "bytes")],
    ids=["Argo CD", "a registry", "Prometheus", "Git", "a database"],
)
def test_a_refresh_never_causes_more_requests_a_second_than_are_configured(source: Source, speaks: str, tmp_path: Path) -> None:
    async def story() -> None:
        server = StandIn()
        await (server.http() if speaks == "http" else server.bytes())
        made, wanted = source(server, tmp_path)
        await refresh(made, wanted, Pace(PER_SECOND, server.clock))
        assert len(server.came) >= len(wanted)
        assert server.busiest() <= PER_SECOND
        close = getattr(made, "close", None)
        if close is not None:
            await close()
        await server.close()

    played(story)


def test_what_an_alert_asks_for_waits_for_no_turn(tmp_path: Path) -> None:
    async def story() -> None:
        server = StandIn()
        await server.http()
        made, wanted = an_argocd(server, tmp_path)
        await refresh(made, wanted, None)
        assert server.busiest(timedelta(microseconds=1)) == len(server.came)
        await made.close()  # type: ignore[attr-defined]  # an adapter has one
        await server.close()

    played(story)


def test_a_refresh_leaves_half_of_a_registrys_own_limit_to_an_alert() -> None:
    async def story() -> None:
        server = StandIn()
        await server.http()
        one = registry.Registry(host="registry.example", url=f"http://127.0.0.1:{server.port}")
        made = registry.build(registry.Settings(registries=(one,), requests_per_minute=20), server.clock)
        wanted = [keys.manifest(f"registry.example/shop-{number}@sha256:{'a' * 64}") for number in range(15)]
        slow = asyncio.ensure_future(refresh(made, wanted, Pace(1000, server.clock)))
        await asyncio.sleep(30)
        assert len(server.came) == 10
        hurried = await refresh(made, [keys.manifest(f"registry.example/now@sha256:{'b' * 64}")], None)
        assert len(server.came) == 12  # it asked twice, as one does of what is not there
        assert "our own limit" not in str(hurried)
        assert "our own limit" not in str(await slow)
        assert server.busiest(timedelta(minutes=1)) <= 12
        await made.close()
        await server.close()

    played(story)
