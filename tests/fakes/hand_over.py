"""Delayed and immediate work, written down instead of run."""

from datetime import timedelta
from typing import Any

from service.domain.ports import Work


class FakeEngine:
    """Implements `HandOver` and `Starter`. Like the engine it takes each operation's (id, seq) once, and a delivery as often as it is told."""

    def __init__(self) -> None:
        self.delayed: list[tuple[Work, timedelta]] = []
        self.started: list[Work] = []
        self.running: set[Work] = set()
        self.broken: Exception | None = None

    async def later(self, transaction: Any, work: Work, delay: timedelta) -> None:
        """Write down; raises what `broken` holds."""
        del transaction
        if self.broken is not None:
            raise self.broken
        self.delayed.append((work, delay))

    async def start(self, work: Work) -> None:
        """Write down, once."""
        if work.kind == "delivery" or work not in self.started:
            self.started.append(work)

    async def is_active(self, work: Work) -> bool:
        """Whether a test said so."""
        return work in self.running

    async def active(self) -> frozenset[str]:
        """The names of what a test said."""
        return frozenset(work.name for work in self.running)
