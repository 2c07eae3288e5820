"""Repairs starts: every alive, non-waiting operation and every undecided delivery has an active segment, or gets the next one. Each repair is counted."""

from collections.abc import Callable
from datetime import timedelta

import structlog

from service.domain.ports import Alerts, Clock, Journal, Work
from service.engine.segments import Engine

log = structlog.get_logger()

PATIENCE = timedelta(seconds=10)
"""A row that moved within this time is not looked at: its segment may just be between two steps."""


class Reconciler:
    """One round every few seconds, in any replica."""

    def __init__(self, *, engine: Engine, journal: Journal, alerts: Alerts, clock: Clock, repaired: Callable[[str], None]) -> None:
        self._engine = engine
        self._journal = journal
        self._alerts = alerts
        self._clock = clock
        self._repaired = repaired

    async def round(self, *, patience: timedelta = PATIENCE) -> int:
        """Repair what stands still; answers how many repairs."""
        now, repairs = self._clock.now(), 0
        for operation in await self._journal.due(now - patience):
            if now - operation.updated_at < patience or await self._engine.is_active(Work(kind="operation", id=operation.id, seq=operation.seq)):
                continue
            if await self._journal.bump(operation):
                await self._engine.start(Work(kind="operation", id=operation.id, seq=operation.seq + 1))
                log.warning("operation had no segment; started one", operation=operation.id, phase=operation.phase)
                self._repaired("operation")
                repairs += 1
        for delivery in await self._alerts.deliveries_undecided(now - patience):
            work = Work(kind="delivery", id=delivery)
            if await self._engine.is_active(work):
                continue
            await self._engine.start(work)
            log.warning("delivery was not placed; placing it", delivery=delivery)
            self._repaired("delivery")
            repairs += 1
        return repairs
