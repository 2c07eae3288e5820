"""Our own time from an alert to the rollback call: all gate rules on, durable, warm facts; configured waits and the servers' time taken off.

Warm means that the shop's standing verdict is about the bad release already when the alert comes: what does not change was read ahead of it.

Compared in the same run with a bare relay that makes as many fsynced commits as the way has (`way.py` counts them), and with one that also reads the
application as often as the way asks Argo CD: the first says what everything costs, the second what judging and recording cost beside looking.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from integrations.sandbox.ports import spare_port
from tests.bench.crowd import Crowd
from tests.bench.figures import Figure, busy_within, quantile
from tests.bench.ground import BAD, Ground, bad_release, ground, rolled_back, until

SAMPLES = 20
CROWD = 1000
WARM = 5


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    way = await _counted(folder / "counted")
    own, strict, spent = await _own_times(folder / "reaction")
    relay = await _relay_times(folder / "relay", way["fsynced"], 0)
    looking = await _relay_times(folder / "looking", way["fsynced"], way["requests"])
    p50, slowest, bare, looks = quantile(own, 0.5), max(own), quantile(relay, 0.5), quantile(looking, 0.5)
    counts = f"{way['fsynced']} fsynced commits, {way['requests']} requests to Argo CD"
    what = f"alert to rollback call, own time ({len(own)} alerts; {counts}; servers' time taken off: p50 {quantile(spent, 0.5) * 1000:.0f} ms)"
    return (
        Figure(
            what=f"{what}: p50",
            asked="≤ 3 × a bare relay with as many commits",
            measured=f"{p50 * 1000:.0f} ms = {p50 / bare:.1f} × {bare * 1000:.1f} ms",
            holds=p50 <= 3 * bare,
        ),
        Figure(
            what="the same beside a relay with as many commits that asks Argo CD as often",
            asked="reported",
            measured=f"{p50 / looks:.1f} × {looks * 1000:.0f} ms",
        ),
        Figure(
            what=f"the same: slowest of {len(own)}",
            asked="≤ 5 × own p50",
            measured=f"{slowest * 1000:.0f} ms = {slowest / p50:.1f} × p50",
            holds=slowest <= 5 * p50,
        ),
        Figure(
            what="the same, if of Argo CD's time only its work on the way's own requests is taken off, and not what captures and watch ask meanwhile: p50",
            asked="reported",
            measured=f"{quantile(strict, 0.5) * 1000:.0f} ms = {quantile(strict, 0.5) / bare:.1f} × {bare * 1000:.1f} ms",
        ),
        Figure(
            what="commits between alert and call that nothing waits for: the store's beside the way, and the engine's without fsync",
            asked="reported",
            measured=f"{way['beside']} and {way['engine']}",
        ),
    )


async def _counted(folder: Path) -> Mapping[str, int]:
    """In a process of its own: the engine leaves its mark on the event loop that it ran on."""
    folder.mkdir(parents=True)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.way", str(folder), stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the way could not be counted")
    found: Mapping[str, int] = json.loads(told.splitlines()[-1])
    return found


async def _own_times(folder: Path) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    """Own seconds of each alert: with all of the servers' time taken off, and with less of Argo CD's; and the servers' seconds."""
    shops = [f"shop-{number:02}" for number in range(SAMPLES)]
    own, strict, spent = [], [], []
    async with ground(folder, shops=shops, crowd=CROWD, watch={"every": "5s", "beat": "5s"}, readiness={"per_second": 1000}) as made:
        for number, shop in enumerate(shops):
            body = await bad_release(made, shop)
            await until(lambda: _is_warm(made, shop), 120, f"the standing verdict about the bad release of {shop}")  # noqa: B023  awaited in the same round
            began = time.perf_counter()
            status = await made.process.alert(body, made.alert_token)
            if status != web.HTTPAccepted.status_code:
                raise RuntimeError(f"the alert was answered with {status}")
            await until(lambda: rolled_back(made, number), 60, f"the rollback of {shop}", pause=0.005)  # noqa: B023  awaited in the same round
            called = made.crowd.rollbacks[number][0]
            servers = busy_within([span for one in made.servers for span in one.busy], began, called)
            own.append(called - began - servers)
            asked = [made.crowd.busy_on_the_way, *(one.busy for one in made.servers if one is not made.crowd)]
            strict.append(called - began - busy_within([span for spans in asked for span in spans], began, called))
            spent.append(servers)
            operation = await made.ended(f"sandbox:{shop}")
            if operation["outcome"] != "recovered":
                raise RuntimeError(f"{shop} ended {operation['outcome']}: {operation['says']}")
            sys.stderr.write(f"  {shop}: own {own[-1] * 1000:.0f} ms, servers {servers * 1000:.0f} ms\n")
    return own, strict, spent


async def _is_warm(made: Ground, shop: str) -> bool:
    """Whether the standing verdict of the shop is about what is live now."""
    try:
        live = (await made.process.get(f"/v1/targets/sandbox:{shop}/readiness"))["from"]
    except aiohttp.ClientResponseError:
        return False  # nobody looked yet
    return live is not None and live["version"] == BAD


async def _relay_times(folder: Path, commits: int, looks: int) -> Sequence[float]:
    """Own seconds of a relay for each alert, the server's time taken off as ours is."""
    folder.mkdir(parents=True, exist_ok=True)
    asked: list[float] = []
    busy: list[tuple[float, float]] = []
    shown = json.dumps({**Crowd("", 1).items()[0], "operations": ["a line of its history"] * 100}).encode()

    async def rollback(_request: web.Request) -> web.Response:
        asked.append(time.perf_counter())
        return web.json_response({})

    async def application(_request: web.Request) -> web.Response:
        began = time.perf_counter()
        answer = web.Response(body=shown, content_type="application/json")
        busy.append((began, time.perf_counter()))
        return answer

    app = web.Application()
    app.router.add_post("/api/v1/applications/{name}/rollback", rollback)
    app.router.add_get("/api/v1/applications/{name}", application)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream, port = f"http://127.0.0.1:{runner.addresses[0][1]}", spare_port()
    arguments = ("-m", "tests.bench.relay", str(port), upstream, str(commits), str(looks), str(folder / "relay.db"))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    body = b'{"version": "4", "alerts": [{"labels": {"argocd_app": "shop"}}]}'
    times = []
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        return answer.ok
                except aiohttp.ClientError:
                    return False

            await until(ready, 20, "the relay")
            for _ in range(WARM + SAMPLES):
                asked.clear()
                busy.clear()
                began = time.perf_counter()
                async with session.post(f"http://127.0.0.1:{port}/v1/alerts/alertmanager", data=body) as answer:
                    await answer.read()
                times.append(asked[0] - began - busy_within(busy, began, asked[0]))
                await asyncio.sleep(0.05)
    finally:
        process.terminate()
        await process.wait()
        await runner.cleanup()
    return times[WARM:]
