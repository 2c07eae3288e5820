"""Our own time from an alert to the rollback call: all gate rules on, durable, warm facts; configured waits and the servers' time taken off.

Compared in the same run with a bare relay that makes as many fsynced commits. How many that are is counted, not assumed.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.bench.figures import Figure, busy_within, quantile
from tests.bench.ground import bad_release, free_port, ground, rolled_back, until

SAMPLES = 40
CROWD = 1000


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    commits = await _counted(folder / "counted")
    own, spent = await _own_times(folder / "reaction")
    relay = await _relay_times(folder / "relay", commits)
    p50, p99, bare = quantile(own, 0.5), quantile(own, 0.99), quantile(relay, 0.5)
    what = f"alert to rollback call, own time ({len(own)} alerts; {commits} fsynced commits; servers' time taken off: p50 {quantile(spent, 0.5) * 1000:.0f} ms)"
    return (
        Figure(
            what=f"{what}: p50",
            asked="≤ 3 × a bare relay with as many commits",
            measured=f"{p50 * 1000:.0f} ms = {p50 / bare:.1f} × {bare * 1000:.0f} ms",
            holds=p50 <= 3 * bare,
        ),
        Figure(what="the same: p99", asked="≤ 5 × own p50", measured=f"{p99 * 1000:.0f} ms = {p99 / p50:.1f} × p50", holds=p99 <= 5 * p50),
    )


async def _counted(folder: Path) -> int:
    """In a process of its own: the engine leaves its mark on the event loop that it ran on."""
    folder.mkdir(parents=True)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.commits", str(folder), stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the commits could not be counted")
    return int(told.split()[-1])


async def _own_times(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Own seconds and the servers' seconds of each alert."""
    shops = [f"shop-{number:02}" for number in range(SAMPLES)]
    own, spent = [], []
    async with ground(folder, shops=shops, crowd=CROWD, watch={"every": "5s", "beat": "5s"}) as made:
        for number, shop in enumerate(shops):
            body = await bad_release(made, shop)
            await asyncio.sleep(0.5)  # what noticing the deploy takes is over
            began = time.perf_counter()
            status = await made.process.alert(body, made.alert_token)
            if status != web.HTTPAccepted.status_code:
                raise RuntimeError(f"the alert was answered with {status}")
            await until(lambda: rolled_back(made, number), 60, f"the rollback of {shop}", pause=0.005)  # noqa: B023  awaited in the same round
            called = made.crowd.rollbacks[number][0]
            servers = busy_within([span for one in made.servers for span in one.busy], began, called)
            own.append(called - began - servers)
            spent.append(servers)
            operation = await made.ended(f"sandbox:{shop}")
            if operation["outcome"] != "recovered":
                raise RuntimeError(f"{shop} ended {operation['outcome']}: {operation['says']}")
            sys.stderr.write(f"  {shop}: own {own[-1] * 1000:.0f} ms, servers {servers * 1000:.0f} ms\n")
    return own, spent


async def _relay_times(folder: Path, commits: int) -> Sequence[float]:
    folder.mkdir(parents=True, exist_ok=True)
    asked: list[float] = []

    async def rollback(_request: web.Request) -> web.Response:
        asked.append(time.perf_counter())
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/api/v1/applications/{name}/rollback", rollback)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream, port = f"http://127.0.0.1:{runner.addresses[0][1]}", free_port()
    arguments = ("-m", "tests.bench.relay", str(port), upstream, str(commits), str(folder / "relay.db"))
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
            for _ in range(5 + SAMPLES):
                asked.clear()
                began = time.perf_counter()
                async with session.post(f"http://127.0.0.1:{port}/v1/alerts/alertmanager", data=body) as answer:
                    await answer.read()
                times.append(asked[0] - began)
                await asyncio.sleep(0.05)
    finally:
        process.terminate()
        await process.wait()
        await runner.cleanup()
    return times[5:]
