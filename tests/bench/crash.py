"""Two counts: 2,000 posts of one alert make one rollback call; after `kill -9` every alert that was acknowledged is in the store."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tests.bench.alerts import webhook
from tests.bench.figures import Figure
from tests.bench.ground import alone, bad_release, ground

POSTS, CONNECTIONS, ACKNOWLEDGED = 2000, 20, 300


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    return await _one_call(folder / "storm"), await _nothing_lost(folder / "killed")


async def _one_call(folder: Path) -> Figure:
    async with ground(folder, shops=("shop",), crowd=0) as made:
        body = await bad_release(made, "shop")
        taken = 0

        async def send() -> None:
            nonlocal taken
            while taken < POSTS:
                taken += await made.process.alert(body, made.alert_token) == 202

        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        operation = await made.ended("sandbox:shop")
        operations = len((await made.process.get("/v1/operations?target=sandbox:shop"))["operations"])
        calls = len(made.crowd.rollbacks)
    said = f"{calls} call, {operations} operation, {taken} posts acknowledged; {operation['outcome']}"
    return Figure(what=f"{POSTS:,} posts of one alert from {CONNECTIONS} connections", asked="exactly 1 rollback call", measured=said, holds=calls == 1)


async def _nothing_lost(folder: Path) -> Figure:
    folder.mkdir(parents=True)
    acknowledged: set[str] = set()
    async with alone(folder) as (process, token):

        async def send(share: int) -> None:
            for number in range(share, 10 * ACKNOWLEDGED, CONNECTIONS):
                body, names = webhook(number, 1)
                if await process.alert(body, token) != 202:
                    return  # it was killed
                acknowledged.update(names)

        storm = asyncio.gather(*(send(share) for share in range(CONNECTIONS)))
        while len(acknowledged) < ACKNOWLEDGED:
            await asyncio.sleep(0)
        await process.kill()
        await storm
        await process.start()
    store = sqlite3.connect(f"file:{folder / 'backout.db'}?mode=ro", uri=True)
    kept = {row[0] for row in store.execute("select fingerprint from episode")}
    store.close()
    lost = len(acknowledged - kept)
    said = f"{lost} lost of {len(acknowledged)}; {len(kept)} kept"
    return Figure(
        what=f"kill -9 after {ACKNOWLEDGED} acknowledged alerts, more on the way",
        asked="0 lost",
        measured=said,
        holds=not lost and len(acknowledged) >= ACKNOWLEDGED,
    )
