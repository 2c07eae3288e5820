"""The yardstick: a bare aiohttp relay that takes an alert, makes so many fsynced commits, and asks for the rollback. It checks, decides and keeps nothing.

A second one also reads the application so many times, one after another, and understands nothing of it: what looking costs by itself.
Run as a process of its own: `python -m tests.bench.relay PORT UPSTREAM COMMITS LOOKS DATABASE`.
"""

import json
import sqlite3
import sys

import aiohttp
from aiohttp import web


async def make(upstream: str, commits: int, looks: int, database: str) -> web.Application:
    """The relay's application."""
    store = sqlite3.connect(database, isolation_level=None)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=FULL")
    store.execute("create table if not exists step (id integer primary key, body text)")
    session = aiohttp.ClientSession()

    async def alert(request: web.Request) -> web.Response:
        body = await request.text()
        app = json.loads(body)["alerts"][0]["labels"]["argocd_app"]
        for _ in range(commits):
            store.execute("begin immediate")
            store.execute("insert into step (body) values (?)", (body,))
            store.execute("commit")
        for _ in range(looks):
            async with session.get(f"{upstream}/api/v1/applications/{app}") as answer:
                await answer.json()
        async with session.post(f"{upstream}/api/v1/applications/{app}/rollback", json={"id": 0}) as answer:
            await answer.read()
        return web.Response(status=202)

    async def close(_app: web.Application) -> None:
        await session.close()
        store.close()

    made = web.Application()
    made.router.add_post("/v1/alerts/alertmanager", alert)
    made.router.add_get("/readyz", lambda _request: _ready())
    made.on_cleanup.append(close)
    return made


async def _ready() -> web.Response:
    return web.Response()


if __name__ == "__main__":
    web.run_app(make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
