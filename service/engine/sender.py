"""Sends the outbox: in order, at least once, never dropped. What a receiver refuses for good is parked with its reason and counted."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.ports import Clock, Sender

log = structlog.get_logger()

LONGEST = timedelta(minutes=5)
PARK_AFTER = 3
"""A permanent error (bad credential) is tried this often, in growing steps, before the message is set aside."""


class Box(Protocol):
    """The outbox table."""

    async def due(self, channel: str, at: datetime, limit: int) -> Sequence[tuple[int, bytes, int]]: ...  # noqa: D102
    async def delivered(self, positions: Sequence[int], at: datetime) -> None: ...  # noqa: D102
    async def put_off(self, positions: Sequence[int], until: datetime) -> None: ...  # noqa: D102
    async def park(self, position: int, why: str) -> None: ...  # noqa: D102


class OutboxSender:
    """`senders` is outbox channel -> sender and how many messages go out together."""

    def __init__(self, *, box: Box, senders: Mapping[str, tuple[Sender, int]], clock: Clock, count: Callable[[str, str], None]) -> None:
        self._box = box
        self._senders = senders
        self._clock = clock
        self._count = count

    async def round(self) -> int:
        """Send what is due on every channel; answers how many messages left. One channel's trouble never holds up another."""
        sent = 0
        for channel, (sender, together) in self._senders.items():
            while True:
                batch = await self._box.due(channel, self._clock.now(), together)
                if not batch or not await self._batch(channel, sender, batch):
                    break
                sent += len(batch)
        return sent

    async def _batch(self, channel: str, sender: Sender, batch: Sequence[tuple[int, bytes, int]]) -> bool:
        positions = [position for position, _, _ in batch]
        tries = max(tried for _, _, tried in batch)
        try:
            await sender.send([body for _, body, _ in batch])
        except TemporaryError as error:
            await self._later(channel, positions, tries, str(error))
            return False
        except (PermanentError, RefusedError) as error:
            if len(batch) > 1:  # find the one that is refused; the others go out
                done = [await self._batch(channel, sender, [one]) for one in batch]
                return all(done)
            if isinstance(error, PermanentError) and tries < PARK_AFTER:
                await self._later(channel, positions, tries, str(error))
                return False
            log.warning("message set aside", channel=channel, position=positions[0], why=str(error))
            await self._box.park(positions[0], str(error))
            self._count(channel, "parked")
            return True
        await self._box.delivered(positions, self._clock.now())
        self._count(channel, "sent")
        return True

    async def _later(self, channel: str, positions: Sequence[int], tries: int, why: str) -> None:
        pause = min(LONGEST, timedelta(seconds=2 ** min(tries, 10)))
        log.warning("could not send; trying again", channel=channel, why=why, seconds=pause.total_seconds())
        await self._box.put_off(positions, self._clock.now() + pause)
        self._count(channel, "put_off")
