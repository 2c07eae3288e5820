"""A pace for what nobody waits for: so many requests a second to each outside system, and not one more. What an alert or a person asks for has none.

The pace belongs to the task that asks (a context variable), so the adapters need not know for whom they read.
"""

import math
from contextvars import ContextVar
from datetime import datetime, timedelta

from service.domain.ports import Clock


class Pace:
    """Turns in the order in which they were asked for, `per_second` of them for each system. Nothing is saved up: a quiet minute allows no burst."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        if per_second <= 0:
            raise ValueError("a pace is more than none")
        self._per_second = per_second
        self._clock = clock
        self._next: dict[str, datetime] = {}

    async def turn(self, system: str, requests: int = 1) -> None:
        """Wait for the next turn with that system, in which so many requests are made one right after the other: whole turns fit into a second."""
        now = self._clock.now()
        due = self._next.get(system, now)
        mine = now if due < now or due - now > LONGEST else due
        whole = math.floor(self._per_second / requests) or self._per_second / requests
        self._next[system] = mine + timedelta(seconds=1 / (self._per_second if requests == 1 else whole))
        if mine > now:
            await self._clock.sleep((mine - now).total_seconds())


LONGEST = timedelta(hours=1)
"""A turn that is further away than this comes of a clock that was set back."""

PACE: ContextVar[Pace | None] = ContextVar("backout_pace", default=None)


async def turn(system: str, requests: int = 1) -> None:
    """Wait for this task's next turn with the system (its address or name), of so many requests; at once where the task has no pace."""
    pace = PACE.get()
    if pace is not None:
        await pace.turn(system, requests)
