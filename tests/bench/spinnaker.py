"""Spinnaker beside Argo CD: from an alert to the first write, one task for a storm of alerts, and what following many runs costs Gate and us.

From alert to first write: two worlds that differ in nothing but what deploys the shops, each with a service of its own; servers' time is taken off as in
`reaction.py`. Following: tasks of ours that run, each asked after as often as an operation does, by the adapter in a process of its own
(`python -m tests.bench.spinnaker URL SECONDS`), once with Gate's rate limiter as it is shipped and once without.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from integrations.delivery.spinnaker.adapter import build
from integrations.delivery.spinnaker.settings import Settings
from integrations.delivery.spinnaker.steps.names import UNDO
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Profile
from integrations.sandbox.ports import spare_port
from integrations.sandbox.world import ARGOCD, SPINNAKER, World
from service.domain.planning.plan import Step
from service.wiring.parts import SystemClock
from service.workflow.chapters.chapter import POLL
from tests.bench.figures import Figure, busy_within, quantile
from tests.bench.ground import NOWHERE, Process, keys_and_token, until

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "host"})
ROUNDS, SHOPS = 3, 3
"""Worlds of each kind, and shops in each: more than three incidents in ten minutes would be wider than one release."""
BAD = "v2.0.0"
POSTS, CONNECTIONS = 2000, 20
APPLICATIONS, EACH = 50, 10
FOLLOWED_FOR = 40.0
SHIPPED = Profile(capacity=60)
"""Gate's rate limiter as it is shipped, switched on (contract 2.4)."""


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    times: dict[str, list[float]] = {ARGOCD: [], SPINNAKER: []}
    for number in range(ROUNDS):  # in turn, so that a busy minute of the machine meets both
        for side, found in times.items():
            found.extend(await _to_first_write(folder / f"{side}-{number}", side))
    ours, theirs = quantile(times[SPINNAKER], 0.5), quantile(times[ARGOCD], 0.5)
    return (
        Figure(
            what=f"alert to first write to Gate, own time ({ROUNDS * SHOPS} alerts of each): p50",
            asked="≤ 3 × the same to Argo CD",
            measured=f"{ours * 1000:.0f} ms = {ours / theirs:.1f} × {theirs * 1000:.0f} ms",
            holds=ours <= 3 * theirs,
        ),
        await _one_task(folder / "storm"),
        *await _followed(),
    )


class Proxy:
    """Between the service and the delivery system: hands everything on, and notes when a request came and went, and when the first write came."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.writes: list[float] = []
        self.busy: list[tuple[float, float]] = []
        self.url = ""

    async def start(self) -> None:
        """Listen on loopback."""
        self._session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End all connections."""
        await self._runner.cleanup()
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.Response:
        began = time.perf_counter()
        if request.method != "GET":
            self.writes.append(began)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body, url = await request.read(), URL(f"{self._upstream}{request.raw_path}", encoded=True)
        async with self._session.request(request.method, url, data=body or None, headers=headers, allow_redirects=False) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.Response(status=answer.status, body=await answer.read(), headers=kept)
        self.busy.append((began, time.perf_counter()))
        return response


class Busy(Protocol):
    """Whoever tells when it was at work, in seconds of the monotonic clock."""

    @property
    def busy(self) -> Iterable[tuple[float, float]]: ...


@dataclass(frozen=True, slots=True)
class Ground:
    """A world of one side, and the service that watches it through a proxy."""

    world: World
    proxy: Proxy
    process: Process
    alert_token: str

    async def warm(self, app: str) -> bytes:
        """The alert about the shop's bad release, once its standing verdict is about that release."""

        live: Mapping[str, Any] | None = None

        async def is_warm() -> bool:
            nonlocal live
            try:
                live = (await self.process.get(f"/v1/targets/{_named(self.world, app)}/readiness"))["from"]
            except aiohttp.ClientResponseError:
                return False  # nobody looked yet
            return live is not None and live["version"] == BAD

        try:
            await until(is_warm, 120, f"the standing verdict about the bad release of {app}")
        except RuntimeError as error:
            raise RuntimeError(f"{error}; it is about {live}") from error

        async def firing() -> bytes | None:
            return self.world.webhook_about(app)

        body: bytes = await until(firing, 30, f"the alert of {app} to fire")
        return body

    async def ended(self, app: str) -> Mapping[str, Any]:
        """The newest operation of the shop, once it has ended."""

        async def look() -> Mapping[str, Any] | None:
            found = (await self.process.get(f"/v1/operations?target={self.world.target(app)}&limit=1"))["operations"]
            return found[0] if found and found[0]["done_at"] else None

        found: Mapping[str, Any] = await until(look, 90, f"the operation of {app} to end")
        return found


@asynccontextmanager
async def _ground(folder: Path, side: str, shops: Sequence[str]) -> AsyncIterator[Ground]:
    folder.mkdir(parents=True)
    token = keys_and_token(folder)
    world = World(folder=folder, clock=SystemClock(), webhook=f"{NOWHERE}/", fast=True, sides=(side,))
    await world.start()
    try:
        for shop in shops:
            await world.add_shop(shop, "v1.0.0")
        config = world.settings(listen=f"127.0.0.1:{spare_port()}")
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
        document["watch"] = {**document.get("watch", {}), "every": "5s", "beat": "5s"}
        document["readiness"] = {"per_second": 1000}
        proxy = Proxy(document["delivery"][0]["url"])
        await proxy.start()
        document["delivery"][0] |= {"url": proxy.url, **({"read_back_seconds": [0], "watch": False} if side == ARGOCD else {})}
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        process = Process(config, token)
        try:
            await process.start()
            made = Ground(world, proxy, process, (folder / "alert-token").read_text(encoding="utf-8").strip())
            for shop in shops:
                await until(lambda: _watched(made, shop), 120, f"{shop} to be watched")  # noqa: B023  awaited in the same round
            yield made
        finally:
            await process.stop()
            await proxy.stop()
    finally:
        await world.stop()


def _named(world: World, app: str) -> str:
    """The shop's target in a path."""
    return quote(str(world.target(app)), safe="")


async def _watched(made: Ground, shop: str) -> bool:
    try:
        releases = (await made.process.get(f"/v1/targets/{_named(made.world, shop)}"))["releases"]
    except aiohttp.ClientResponseError:
        return False
    return any(one["healthy_for_s"] >= 1 for one in releases)


async def _to_first_write(folder: Path, side: str) -> Sequence[float]:
    """Own seconds of each alert."""
    shops, own = [f"shop-{number}" for number in range(SHOPS)], list[float]()
    async with _ground(folder, side, shops) as made:
        world, proxy = made.world, made.proxy
        servers: Sequence[Busy] = (proxy, world.prometheus, world.registry, world.git)
        for shop in shops:
            shipped = await world.release(shop, BAD, errors=0.3)
            await world.until_live(shop, shipped)
            body = await made.warm(shop)
            proxy.writes.clear()
            began = time.perf_counter()
            await made.process.alert(body, made.alert_token)
            await until(lambda: _true(bool(proxy.writes)), 60, f"the first write about {shop}")
            wrote = proxy.writes[0]
            own.append(wrote - began - busy_within([span for one in servers for span in one.busy], began, wrote))
            operation = await made.ended(shop)
            if operation["outcome"] != "recovered":
                raise RuntimeError(f"{shop} ended {operation['outcome']}: {operation['says']}")
            sys.stderr.write(f"  {side} {shop}: own {own[-1] * 1000:.0f} ms\n")
    return own


async def _true(value: bool) -> bool:
    return value


async def _one_task(folder: Path) -> Figure:
    async with _ground(folder, SPINNAKER, ["shop"]) as made:
        shipped = await made.world.release("shop", BAD, errors=0.3)
        await made.world.until_live("shop", shipped)
        body = await made.warm("shop")
        taken = 0

        async def send() -> None:
            nonlocal taken
            while taken < POSTS:
                taken += await made.process.alert(body, made.alert_token) == 202

        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        operation = await made.ended("shop")
        tasks, undos = made.world.spinnaker.asks("shop"), len(made.world.spinnaker.undos("shop"))
    said = f"{tasks} task, {undos} undo posted to Clouddriver, {taken} posts acknowledged; {operation['outcome']}"
    return Figure(what=f"{POSTS:,} posts of one alert of a Spinnaker target", asked="exactly 1 task", measured=said, holds=(tasks, undos) == (1, 1))


# --- following ------------------------------------------------------------------------------------------------------------------


def _marker(application: str, number: int) -> str:
    return f"backout-bench-{application}-{number}"


async def _followed() -> Sequence[Figure]:
    figures = []
    for limiter, profile in (("without a rate limiter", Profile()), ("inside Gate's shipped rate limit (60 in 10 s)", SHIPPED)):
        gate = SandboxGate(clock=SystemClock(), profile=Profile())
        for number in range(APPLICATIONS):
            gate.add_application(f"app-{number}")
        await gate.start()
        try:
            await _start_tasks(gate.url)
            gate.access._profile = profile  # noqa: SLF001  the limiter is switched on once the tasks run
            before = len(gate.served)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.spinnaker", gate.url, str(FOLLOWED_FOR), stdout=asyncio.subprocess.PIPE
            )
            told, _ = await process.communicate()
            if process.returncode:
                raise RuntimeError("nobody followed")
            found = json.loads(told.splitlines()[-1])
            served = list(gate.served)[before:]
        finally:
            await gate.stop()
        refused, share = sum(1 for one in served if one.status == 429), found["cpu"] / found["seconds"]
        looks = f"each seen every {found['apart']:.1f} s, {len(served) / found['seconds']:.1f} requests/s, {refused} refused"
        figures.append(
            Figure(
                what=f"following {APPLICATIONS * EACH} running tasks in {APPLICATIONS} applications, {limiter}",
                asked="≤ 5 % of a core, 0 refused",
                measured=f"{share:.1%} of a core; {looks}",
                holds=share <= 0.05 and not refused,
            )
        )
    return figures


async def _start_tasks(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for application in (f"app-{number}" for number in range(APPLICATIONS)):
            for number in range(EACH):
                trigger = {"type": "manual", "correlationId": _marker(application, number)}
                job = [{"type": "wait", "waitTime": 3600}]
                async with session.post(f"{url}/tasks", json={"application": application, "description": "x", "job": job, "trigger": trigger}) as answer:
                    answer.raise_for_status()


async def follow(url: str, seconds: float) -> Mapping[str, float]:
    """Ask after every task as its operation would; how much CPU time that took, and how far apart the answers about one were."""
    clock = SystemClock()
    names = tuple(f"app-{number}" for number in range(APPLICATIONS))
    delivery = build(Settings(name="spin", url=url, auth="none", applications=names), clock)
    step, seen, ends = Step(name=UNDO, says="undo"), 0, time.perf_counter() + seconds
    began = _cpu()

    async def one(application: str, number: int) -> None:
        nonlocal seen
        intent = {"application": application, "marker": _marker(application, number), "at": clock.now().isoformat(), "before": {}}
        while time.perf_counter() < ends:
            await delivery.observe(step, intent)
            seen += 1
            await asyncio.sleep(POLL.total_seconds())

    await asyncio.gather(*(one(application, number) for application in names for number in range(EACH)))
    await delivery.close()
    return {"cpu": _cpu() - began, "seconds": seconds, "apart": seconds * APPLICATIONS * EACH / max(1, seen)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(follow(sys.argv[1], float(sys.argv[2])))) + "\n")
