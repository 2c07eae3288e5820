"""Sends the outbox: at least once, never dropped, in order while all goes well. What a receiver will never take is parked with its reason and counted.

Whether a failure is the receiver's or the message's own shows only in what others fare: after a few tries the younger ones go first.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.ports import TRIED_OFTEN, Clock, Fence, Sender, no_fence

log = structlog.get_logger()

LONGEST = timedelta(minutes=5)
BREATH = timedelta(seconds=5)
"""The pause of a channel after a message failed that had failed often before: a receiver that is away is not asked for all of them at once."""

LONG_ENOUGH = timedelta(hours=24)
"""A notification that was tried for so long is set aside. Spans are not: their export is promised, and they hold nobody up."""

PARK_AFTER = 12
"""A permanent error (unreadable credential, TLS) is tried this often, in growing steps (some 25 minutes), before the message is set aside."""


class Box(Protocol):
    """The outbox table."""

    async def due(self, channel: str, at: datetime, limit: int) -> Sequence[tuple[int, bytes, int]]: ...  # noqa: D102
    async def delivered(self, positions: Sequence[int], at: datetime) -> None: ...  # noqa: D102
    async def put_off(self, positions: Sequence[int], until: datetime) -> None: ...  # noqa: D102
    async def park(self, position: int, why: str) -> None: ...  # noqa: D102


class OutboxSender:
    """`senders` is outbox channel -> sender and how many messages go out together."""

    def __init__(
        self, *, box: Box, senders: Mapping[str, tuple[Sender, int]], clock: Clock, count: Callable[[str, str], None], fence: Fence = no_fence
    ) -> None:
        self._fence = fence
        self._box = box
        self._senders = senders
        self._clock = clock
        self._count = count
        self._paused: dict[str, datetime] = {}

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have a sender. Each wants a loop of its own: a receiver that takes its time must not hold up the others."""
        return tuple(self._senders)

    async def round(self, channel: str) -> int:
        """Send what is due on that channel; answers how many messages left."""
        sender, together = self._senders[channel]
        sent = 0
        while (now := self._clock.now()) >= self._paused.get(channel, now):
            due = await self._box.due(channel, now, together)
            if not due:
                break
            fresh = [one for one in due if one[2] < TRIED_OFTEN]
            sent += await self._batch(channel, sender, fresh or due[:1])
        return sent

    async def _batch(self, channel: str, sender: Sender, batch: Sequence[tuple[int, bytes, int]]) -> int:
        """How many of it left; the channel is paused when its receiver is in trouble."""
        positions = [position for position, _, _ in batch]
        tries = max(tried for _, _, tried in batch)
        await self._fence()
        try:
            await sender.send([body for _, body, _ in batch])
        except (TemporaryError, PermanentError, RefusedError) as error:
            patient = sender.channel == "trace" or _waited(tries) < LONG_ENOUGH
            if (isinstance(error, TemporaryError) and patient) or (isinstance(error, PermanentError) and tries < PARK_AFTER):
                await self._later(channel, positions, tries, str(error))
                return 0
            if len(batch) > 1:  # find the one that is refused; the others go out
                left = 0
                for one in batch:
                    if channel in self._paused and self._clock.now() < self._paused[channel]:
                        break
                    left += await self._batch(channel, sender, [one])
                return left
            log.warning("message set aside", channel=channel, position=positions[0], why=str(error))
            await self._box.park(positions[0], str(error))
            self._count(channel, "parked")
            return 0
        await self._box.delivered(positions, self._clock.now())
        self._count(channel, "sent")
        return len(batch)

    async def _later(self, channel: str, positions: Sequence[int], tries: int, why: str) -> None:
        pause, now = _pause(tries), self._clock.now()
        log.warning("could not send; trying again", channel=channel, why=why, seconds=pause.total_seconds())
        if tries + 1 < TRIED_OFTEN:
            self._paused[channel] = now + pause  # the younger ones wait: most likely the receiver is away for a moment, and then the order stays
        elif tries >= TRIED_OFTEN:
            self._paused[channel] = now + BREATH
        await self._box.put_off(positions, now + pause)
        self._count(channel, "put_off")


def _pause(tries: int) -> timedelta:
    return min(LONGEST, timedelta(seconds=2 ** min(tries, 10)))


def _waited(tries: int) -> timedelta:
    """How long it has been tried at least."""
    return sum((_pause(n) for n in range(tries)), timedelta(0))
