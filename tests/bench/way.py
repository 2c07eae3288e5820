"""Counts what lies on the way from an alert to the rollback call: `python -m tests.bench.way FOLDER` prints it as JSON.

The service runs in this process for it, so that the transactions of its own store and those of its engine are both seen.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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

ON_THE_WAY = re.compile(r"\s*(INSERT INTO|UPDATE) (delivery|episode|incident|operation)\b")
"""What the transactions write that the way waits for; captures, looks at releases and what is sent are committed beside it."""


class Count:
    """Transactions while it listens: `fsynced` on the way, `beside` it, and the `engine`'s own.

    `store` are the engines of our own connections, which wait for the disk at each commit (synchronous=FULL); the engine's wait for none.
    """

    def __init__(self, store: Sequence[sa.Engine]) -> None:
        self._store = store
        self.fsynced = self.beside = self._all = 0

    @property
    def engine(self) -> int:
        """All others."""
        return self._all - self.fsynced - self.beside

    def executed(self, connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        """Remember whether the transaction wrote what the way is made of."""
        if ON_THE_WAY.match(statement):
            connection.info["on the way"] = True

    def committed(self, connection: sa.Connection) -> None:
        """Count one of ours."""
        if connection.info.pop("on the way", False):
            self.fsynced += 1
        else:
            self.beside += 1

    def anybody(self, _connection: sa.Connection) -> None:
        """Count any."""
        self._all += 1

    def listen(self, *, off: bool = False) -> None:
        """Begin, or end."""
        ours = [(one, name, heard) for one in self._store for name, heard in (("before_cursor_execute", self.executed), ("commit", self.committed))]
        for one, name, heard in (*ours, (sa.Engine, "commit", self.anybody)):
            (sa.event.remove if off else sa.event.listen)(one, name, heard)


async def count_way(folder: Path) -> Mapping[str, int]:
    """Commits and requests from an alert to its rollback call; `requests` are those to Argo CD."""
    async with ground(folder, shops=("counted",), crowd=0) as made:
        await made.process.stop()
        clock = SystemClock()
        settings = load(made.process.config, kinds())
        async with running(settings, clock) as service:
            count = Count(service.database.engines)
            runner = web.AppRunner(make_app(parts_of(service, CollectorRegistry(), Drain())), access_log=None)
            await runner.setup()
            await web.TCPSite(runner, *settings.address).start()
            made.process.session = aiohttp.ClientSession()
            body = await bad_release(made, "counted")
            before = made.crowd.traced
            count.listen()
            try:
                await made.process.alert(body, made.alert_token)
                await until(lambda: rolled_back(made, 0), 60, "the rollback call", pause=0.001)
                requests = made.crowd.traced - before
            finally:
                count.listen(off=True)
            await made.ended("sandbox:counted")
            await runner.cleanup()
        return {"fsynced": count.fsynced, "beside": count.beside, "engine": count.engine, "requests": requests}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(count_way(Path(sys.argv[1])))) + "\n")
