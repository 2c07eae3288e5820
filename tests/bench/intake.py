"""How many alerts a second are taken and kept (202 after the commit): in groups, and one a post; from twenty connections, all of it new to the store."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.alerts import webhook
from tests.bench.figures import Figure
from tests.bench.ground import alone

CONNECTIONS = 20
GROUPS, GROUP_SIZE = 400, 50
SINGLES = 2000


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    folder.mkdir(parents=True, exist_ok=True)
    async with alone(folder) as (process, token):

        async def rate(first: int, posts: int, size: int) -> float:
            waiting = [webhook(first + number, size)[0] for number in range(posts)]

            async def send() -> None:
                while waiting:
                    body = waiting.pop()
                    while await process.alert(body, token) != 202:  # as an Alertmanager would
                        await asyncio.sleep(0.05)

            began = time.perf_counter()
            await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
            return posts * size / (time.perf_counter() - began)

        grouped = await rate(0, GROUPS, GROUP_SIZE)
        sys.stderr.write(f"  grouped {grouped:.0f}/s\n")
        singles = await rate(GROUPS, SINGLES, 1)
    return (
        Figure(what=f"intake in groups of {GROUP_SIZE}, new alerts", asked="≥ 1,000 alerts/s", measured=f"{grouped:,.0f} alerts/s", holds=grouped >= 1000),
        Figure(what="intake one alert a post, new alerts", asked="≥ 300 posts/s", measured=f"{singles:,.0f} posts/s", holds=singles >= 300),
    )
