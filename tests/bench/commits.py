"""Counts the transactions that are committed from an alert to the rollback call: `python -m tests.bench.commits FOLDER` prints the number.

The service runs in this process for it, so that those of its own store and those of its engine are both seen.
"""

import asyncio
import sys
from pathlib import Path

import aiohttp
import sqlalchemy as sa
from aiohttp import web
from prometheus_client import CollectorRegistry

from service.api.app import make_app
from service.api.parts import Drain
from service.settings import load
from service.wiring.parts import SystemClock, kinds
from service.wiring.service import running
from service.wiring.serving import parts as parts_of
from tests.bench.ground import bad_release, ground, rolled_back, until


async def count_commits(folder: Path) -> int:
    """How many transactions are committed from the alert to the rollback call: the service in this process, its engine and its own store counted."""
    async with ground(folder, shops=("counted",), crowd=0) as made:
        await made.process.stop()
        clock = SystemClock()
        settings = load(made.process.config, kinds())
        count = 0

        def committed(_connection: sa.Connection) -> None:
            nonlocal count
            count += 1

        async with running(settings, clock) as service:
            runner = web.AppRunner(make_app(parts_of(service, CollectorRegistry(), Drain())), access_log=None)
            await runner.setup()
            await web.TCPSite(runner, *settings.address).start()
            made.process.session = aiohttp.ClientSession()
            body = await bad_release(made, "counted")
            sa.event.listen(sa.Engine, "commit", committed)
            try:
                await made.process.alert(body, made.alert_token)
                await until(lambda: rolled_back(made, 0), 60, "the rollback call")
                counted = count
            finally:
                sa.event.remove(sa.Engine, "commit", committed)
            await made.ended("sandbox:counted")
            await runner.cleanup()
        return counted


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(count_commits(Path(sys.argv[1])))}\n")
