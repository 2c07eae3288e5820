"""How many requests Gate's rate limiter leaves us, by the headers of its own answers (contract 2.4). Without a limiter, which is the default, nothing waits.

Gate counts in fixed windows and refuses the rest, so what only looks waits for the next window before the last request is spent: an act finds room. The more
there is to look at, the longer a round of looks takes; that is what the budget is for.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from integrations import pacing
from integrations.json_shapes import number
from service.domain.ports import Clock

WINDOW = timedelta(seconds=10)
"""Gate's shipped window, where it does not tell a believable end."""
FOR_ACTS = 10
"""One in so many requests is kept for what writes."""
FOR_THE_HURRIED = 2
"""One in so many is kept for whoever does not wait for a pace (`integrations.pacing`): alerts, people, operations."""
BLINK = 0.05


class Budget:
    """Counts what was sent since Gate told last. `capacity` is None while it tells of no limiter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.capacity: int | None = None
        self._left = 0
        self._ends = clock.now()

    def told(self, headers: Mapping[str, str], *, ends: datetime | None) -> None:
        """An answer's headers (names in lower case). `ends` is when its window ends by our clock, None where that is not to be believed."""
        capacity, left = number(headers.get("x-ratelimit-capacity")), number(headers.get("x-ratelimit-remaining"))
        if capacity is None or left is None or capacity < 1 or headers.get("x-ratelimit-learning", "").lower() == "true":
            return
        now = self._clock.now()
        ends = ends if ends is not None and now < ends <= now + WINDOW * 6 else now + WINDOW
        another_window = self.capacity is None or ends > self._ends + timedelta(seconds=1)  # it tells whole seconds
        self._left = left if another_window else min(self._left, left)
        self._ends = max(self._ends, ends) if not another_window else ends
        self.capacity = capacity

    async def room(self, *, writes: bool = False) -> None:
        """Wait until there is room for one more request."""
        while self.capacity is not None:
            now = self._clock.now()
            if now >= self._ends or self._left > self._kept(self.capacity, writes=writes):
                return
            await self._clock.sleep(max((self._ends - now).total_seconds(), BLINK))

    async def spend(self, *, writes: bool = False) -> None:
        """Wait for room, and take it."""
        await self.room(writes=writes)
        if self.capacity is None:
            return
        now = self._clock.now()
        if now >= self._ends:
            self._left, self._ends = self.capacity, now + WINDOW
        self._left -= 1

    def takes(self, requests: int) -> timedelta:
        """How long so many requests take at least that nobody hurries; nothing without a limiter."""
        if self.capacity is None:
            return timedelta(0)
        return WINDOW * (requests // max(1, self.capacity - self.capacity // FOR_ACTS))

    @staticmethod
    def _kept(capacity: int, *, writes: bool) -> int:
        if writes:
            return 0
        return capacity // FOR_THE_HURRIED if pacing.PACE.get() is not None else capacity // FOR_ACTS
