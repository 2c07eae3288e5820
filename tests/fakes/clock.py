"""A clock that stands still until somebody sleeps or moves it, and one that goes with the event loop."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 5, 4, 14, 3, 0, tzinfo=UTC)


class FakeClock:
    """Implements `Clock`: sleeping moves the time and gives others a turn."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        """The time that was set."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.pass_(seconds=seconds)
        await asyncio.sleep(0)

    def pass_(self, **lasting: float) -> None:
        """Move on by a `timedelta(**lasting)`."""
        self.at += timedelta(**lasting)


class LoopClock:
    """Implements `Clock`: goes with the running event loop, for tests on `tests/unhurried.py`."""

    def now(self) -> datetime:
        """The loop's time."""
        return START + timedelta(seconds=asyncio.get_running_loop().time())

    async def sleep(self, seconds: float) -> None:
        """Time passes for all on the loop."""
        await asyncio.sleep(seconds)
