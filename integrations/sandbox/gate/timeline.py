"""What will happen in a sandbox Spinnaker, in the order of its moments. Says nothing about what happens.

Whoever looks calls `catch_up`: all that is due happens then, each with its own moment as the present.
"""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from service.domain.ports import Clock

Act = Callable[[], None]


class Timeline:
    """Acts at their moments. Two acts of one moment happen in the order in which they were planned."""

    def __init__(self, clock: Clock, pace: float = 1.0) -> None:
        self._clock = clock
        self._pace = pace
        self._numbers = count()
        self._due: list[tuple[datetime, int, Act]] = []
        self._present: datetime | None = None

    @property
    def now(self) -> datetime:
        """The moment of the act that happens, else the clock's."""
        return self._clock.now() if self._present is None else self._present

    @property
    def millis(self) -> int:
        """The present as Spinnaker writes it: milliseconds since 1970."""
        return round(self.now.timestamp() * 1000)

    def after(self, seconds: float, act: Act) -> None:
        """Let `act` happen `seconds`, times the pace, from now."""
        heapq.heappush(self._due, (self.now + timedelta(seconds=seconds * self._pace), next(self._numbers), act))

    async def wait(self, seconds: float) -> None:
        """Keep a caller waiting, by the clock."""
        await self._clock.sleep(seconds * self._pace)

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        now = self._clock.now()
        try:
            while self._due and self._due[0][0] <= now:
                self._present, _, act = heapq.heappop(self._due)
                act()
        finally:
            self._present = None
