"""Repairs starts: every alive, non-waiting operation and every undecided delivery has an active segment, or gets the next one. Each repair is counted."""

from collections.abc import Callable
from datetime import timedelta

import structlog

from service.domain.ports import Alerts, Clock, Journal, Work
from service.engine.segments import Engine

log = structlog.get_logger()

PATIENCE = timedelta(seconds=10)
"""A row that moved within this time is not looked at: its segment may just be between two steps."""

TOGETHER = 100
"""Operations that get their next segment in one transaction."""


class Reconciler:
    """One round every few seconds, in any replica."""

    def __init__(self, *, engine: Engine, journal: Journal, alerts: Alerts, clock: Clock, repaired: Callable[[str], None]) -> None:
        self._engine = engine
        self._journal = journal
        self._alerts = alerts
        self._clock = clock
        self._repaired = repaired
        self._patience = PATIENCE

    def hurry(self) -> None:
        """The next round waits for nothing: who says so knows that nobody else can be between two steps, as after a start alone on the store."""
        self._patience = timedelta(0)

    async def round(self) -> int:
        """Repair what stands still; answers how many repairs."""
        patience, self._patience = self._patience, PATIENCE
        now = self._clock.now()
        due = [one for one in await self._journal.due(now - patience) if now - one.updated_at >= patience]
        active = await self._engine.active() if due else frozenset()
        still = [one for one in due if Work(kind="operation", id=one.id, seq=one.seq).name not in active]
        repairs = 0
        for start in range(0, len(still), TOGETHER):
            for operation in await self._journal.bump(still[start : start + TOGETHER]):
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
