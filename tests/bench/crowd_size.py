"""What 10,000 applications cost: the time of a decision compared with 10, list calls on its way, idle CPU, memory, start-up time."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure, quantile
from tests.bench.ground import Ground, ground

FEW, MANY = 10, 10_000
CHECKS = 40
IDLE = 60.0
SOON = {"every": "1s", "beat": "1s"}
DEFAULT = {"every": "10s", "beat": "15s"}
QUIET = {"every": "10m", "beat": "10m"}
"""The settings of `watch:`: until the shop was seen healthy; while nothing happens; while decisions are measured, so that a list call is on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Figures of one service: decision seconds, list calls while they were measured, idle CPU share of one core, MiB, seconds to ready."""

    decision: float
    lists: int
    idle: float
    resident: float
    started: float


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    few, many = await _size(folder / "few", FEW), await _size(folder / "many", MANY)
    ratio = many.decision / few.decision
    return (
        Figure(
            what=f"decision (all rules, facts read anew) at {MANY:,} applications",
            asked=f"≤ 1.2 × that at {FEW}",
            measured=f"{many.decision * 1000:.0f} ms = {ratio:.2f} × {few.decision * 1000:.0f} ms",
            holds=ratio <= 1.2,
        ),
        Figure(
            what=f"verdict with the volatile facts read anew, at {MANY:,} applications, servers' time and the API included: p50",
            asked="≤ 50 ms",
            measured=f"{many.decision * 1000:.0f} ms",
            holds=many.decision <= 0.05,
        ),
        Figure(what="list calls on the way of a decision", asked="none", measured=f"{many.lists} in {CHECKS} decisions", holds=many.lists == 0),
        Figure(
            what=f"idle CPU at {FEW} and {MANY:,} applications, default intervals", asked="reported", measured=f"{few.idle:.1%} and {many.idle:.1%} of a core"
        ),
        Figure(what=f"memory at {FEW} and {MANY:,} applications", asked="reported", measured=f"{few.resident:.0f} and {many.resident:.0f} MiB"),
        Figure(
            what=f"start to ready with a store of {FEW} and {MANY:,} applications", asked="reported", measured=f"{few.started:.1f} and {many.started:.1f} s"
        ),
    )


async def _size(folder: Path, count: int) -> Size:
    async with ground(folder, shops=("shop",), crowd=count - 1, watch=SOON) as made:
        await made.again(DEFAULT)
        await asyncio.sleep(5)
        before = made.process.cpu_seconds
        await asyncio.sleep(IDLE)
        idle = (made.process.cpu_seconds - before) / IDLE
        resident, started = made.process.resident_mib, made.process.started_in
        await made.again(QUIET)
        await made.world.release("shop", "v1.0.1")
        await asyncio.sleep(2)
        decision, lists = await _decisions(made)
        size = Size(decision=decision, lists=lists, idle=idle, resident=resident, started=started)
    sys.stderr.write(f"  {count}: {size}\n")
    return size


async def _decisions(made: Ground) -> tuple[float, int]:
    times, lists = [], made.crowd.lists
    for number in range(5 + CHECKS):
        began = time.perf_counter()
        await made.process.get("/v1/targets/sandbox:shop/rollback-check")
        if number >= 5:
            times.append(time.perf_counter() - began)
    return quantile(times, 0.5), made.crowd.lists - lists
