"""A clock that stands still until somebody sleeps or moves it."""

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
