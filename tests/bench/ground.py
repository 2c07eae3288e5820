"""What the benchmarks stand on: the sandbox world in this process, the real service as a process of its own, and figures of that process."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from integrations.delivery.argocd import reading
from integrations.sandbox.ports import spare_port
from integrations.sandbox.world import World
from service.api.tokens import create_token, new_key
from service.domain.ports import Listing
from service.store import tables
from service.store.database import Database
from service.store.migrating import migrate
from service.store.targets import TargetStore
from service.wiring.parts import SystemClock
from tests.bench.crowd import Crowd

SCOPES = ("targets:read", "operations:read", "plans:write", "operations:create", "operations:approve", "operations:cancel", "holds:end", "stop:write")
BAD = "v2.0.0"
NOWHERE = "http://127.0.0.1:1"
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """`backout serve` with its settings; `started_in` is the seconds from spawn to ready."""

    def __init__(self, config: Path, token: str) -> None:
        self.config, self._token = config, token
        self.url = "http://" + str(yaml.safe_load(config.read_text(encoding="utf-8"))["listen"])
        self.started_in = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def start(self) -> None:
        """Spawn it and wait until it is ready."""
        began = time.perf_counter()
        with (self.config.parent / "service.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service", "serve", "--config", str(self.config), stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )
        await until(self._ready, 60, "the service to be ready", pause=0.01)
        self.started_in = time.perf_counter() - began

    async def kill(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """End it, and the session."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 20)
            except TimeoutError:
                await self.kill()
        await self.session.close()

    async def _ready(self) -> bool:
        if self._process is not None and self._process.returncode is not None:
            raise RuntimeError((self.config.parent / "service.log").read_text(encoding="utf-8")[-2000:])
        try:
            async with self.session.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def get(self, path: str) -> Any:
        """One GET of the API."""
        async with self.session.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {self._token}"}) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def alert(self, body: bytes, token: str) -> int:
        """One webhook; its status, 0 when nobody answered."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            async with self.session.post(f"{self.url}/v1/alerts/alertmanager", data=body, headers=headers) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    @property
    def cpu_seconds(self) -> float:
        """CPU time that the process used since its start."""
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def resident_mib(self) -> float:
        """Resident memory in MiB."""
        return int(Path(f"/proc/{self._pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE / 1024**2

    @property
    def _pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the service is not started")
        return self._process.pid


async def until(check: Callable[[], Awaitable[Any]], seconds: float, what: str, *, pause: float = 0.05) -> Any:
    """Wait for something true; RuntimeError that names it otherwise."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if found := await check():
            return found
        await asyncio.sleep(pause)
    raise RuntimeError(f"waited {seconds:g} s for {what}")


def keys_and_token(folder: Path) -> str:
    """Write the keys file; a token with every scope that the benchmarks use."""
    document = {"keys": [new_key()]}
    (folder / "keys.json").touch(mode=0o600)
    (folder / "keys.json").write_text(json.dumps(document), encoding="utf-8")
    return create_token(document, subject="bench", scopes=SCOPES, targets=("*",), expires=timedelta(hours=6), now=SystemClock().now())


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[tuple[Process, str]]:
    """The service with intake and store and nothing else: what a storm of alerts meets first. Also the sender's token."""
    token = keys_and_token(folder)
    (folder / "alert-token").touch(mode=0o600)
    (folder / "alert-token").write_text("bench-alert-token\n", encoding="utf-8")
    document = {
        "listen": f"127.0.0.1:{spare_port()}",
        "store": f"sqlite:///{folder / 'backout.db'}",
        "auth": {"keys_file": str(folder / "keys.json")},
        "alerts": {"alertmanager": [{"name": "main", "token_file": str(folder / "alert-token"), "targets": "*"}]},
    }
    config = folder / "backout.yaml"
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    process = Process(config, token)
    try:
        await process.start()
        yield process, "bench-alert-token"
    finally:
        await process.stop()


class Ground:
    """A world with shops behind a proxy that shows a crowd, and the service that watches them."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token
        self.clock = SystemClock()
        self.world = World(folder=folder, clock=self.clock, webhook=f"{NOWHERE}/", fast=True)  # the benchmarks post the alerts themselves
        self.crowd = Crowd("", 0)
        self.process: Process
        self.alert_token = ""

    @property
    def servers(self) -> Sequence[Any]:
        """Whoever the service asks on the way from an alert to a rollback; each has `busy`."""
        return (self.crowd, self.world.prometheus, self.world.registry, self.world.git)

    async def again(self, watch: Mapping[str, str]) -> None:
        """End the service and start it with these settings of `watch:`; it is ready, and its list is as new as the start."""
        await self.process.stop()
        config = self.process.config
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
        document["watch"] |= watch
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        self.process = Process(config, self.token)
        before = self.crowd.lists
        await self.process.start()
        await until(lambda: self._listed_since(before), 60, "the first list after the start")

    async def _listed_since(self, before: int) -> bool:
        return self.crowd.lists > before

    async def ended(self, target: str) -> Mapping[str, Any]:
        """The newest operation of the target, once it has ended."""

        async def look() -> Mapping[str, Any] | None:
            found = (await self.process.get(f"/v1/operations?target={target}&limit=1"))["operations"]
            return found[0] if found and found[0]["done_at"] else None

        found: Mapping[str, Any] = await until(look, 90, f"the operation of {target} to end")
        return found

    async def firing(self, app: str) -> bytes:
        """The webhook about the shop, once its alert fires."""

        async def look() -> bytes | None:
            return self.world.webhook_about(app)

        found: bytes = await until(look, 30, f"the alert of {app} to fire")
        return found


@asynccontextmanager
async def ground(
    folder: Path, *, shops: Sequence[str], crowd: int, watch: Mapping[str, str] | None = None, readiness: Mapping[str, int] | None = None
) -> AsyncIterator[Ground]:
    """A ground with these shops live and healthy, and `crowd` further applications in the list. `watch` and `readiness` are the settings of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    token = keys_and_token(folder)
    made = Ground(folder, token)
    await made.world.start()
    try:
        for shop in shops:
            await made.world.add_shop(shop, "v1.0.0")
        made.crowd = Crowd(made.world.argocd.url, crowd)
        await made.crowd.start()
        config = made.world.settings(listen=f"127.0.0.1:{spare_port()}")
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
        document["delivery"][0] |= {"url": made.crowd.url, "read_back_seconds": [0]}
        document["watch"] |= watch or {}
        document["readiness"] = dict(readiness or {})
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        await seed(made, document["store"])
        made.alert_token = (folder / "alert-token").read_text(encoding="utf-8").strip()
        made.process = Process(config, token)
        try:
            await made.process.start()
            await until(lambda: _watched(made, shops), 240, "the shops to be watched")
            await until(lambda: _listed(made, len(shops) + crowd), 240, "the crowd to be listed")
            yield made
        finally:
            await made.process.stop()
    finally:
        await made.crowd.stop()
        await made.world.stop()


async def seed(made: Ground, store: str) -> None:
    """Write the crowd down as known, looked at and live in good health, as after some time of watching: first looks at all would take minutes."""
    database, now = Database(store), made.clock.now()
    await migrate(database)
    listed = tuple(reading.listed_of(item, instance="sandbox", control_plane="argocd", project="default") for item in made.crowd.items())
    await TargetStore(database).remember(Listing(targets=listed, complete=True), "sandbox", now)
    live = [
        {
            "target": str(one.target),
            "key": "c" * 24,
            "handle": "1",
            "version": "v1.0.0",
            "watched_from": now - timedelta(hours=1),
            "watched_until": now,
            "healthy_seconds": 3600.0,
            "last_health": "Healthy",
            "made_by_backout": False,
            "vouched": True,
        }
        for one in listed
    ]
    async with database.write() as connection:
        await connection.execute(tables.target.update().values(looked_stamp=tables.target.c.stamp))
        if live:
            await connection.execute(tables.release.insert(), live)
    await database.close()


async def _watched(made: Ground, shops: Sequence[str]) -> bool:
    for shop in shops:
        try:
            releases = (await made.process.get(f"/v1/targets/sandbox:{shop}"))["releases"]
        except aiohttp.ClientResponseError:
            return False
        if not any(one["healthy_for_s"] >= 1 for one in releases):
            return False
    return True


async def _listed(made: Ground, count: int) -> bool:
    store = sqlite3.connect(f"file:{made.folder / 'backout.db'}?mode=ro", uri=True)
    try:
        return int(store.execute("select count(*) from target").fetchone()[0]) >= count
    finally:
        store.close()


async def rolled_back(made: Ground, before: int) -> bool:
    """Whether more rollbacks than these were asked for."""
    return len(made.crowd.rollbacks) > before


async def bad_release(made: Ground, app: str) -> bytes:
    """Ship a bad release; the webhook about it, once it is live and its alert fires."""
    shipped = await made.world.release(app, BAD, errors=0.3)
    await made.world.until_live(app, shipped)
    return await made.firing(app)
