"""An outbox in memory and a receiver that a test can put in a bad mood."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain.ports import TRIED_OFTEN


@dataclass(slots=True)
class Row:
    """One message."""

    position: int
    channel: str
    body: bytes
    due_at: datetime
    tries: int = 0
    delivered: bool = False
    parked: str = ""


class FakeBox:
    """Implements the sender's `Box`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def put(self, channel: str, *bodies: bytes, at: datetime) -> None:
        """Add messages, due at once."""
        for body in bodies:
            self.rows.append(Row(position=len(self.rows) + 1, channel=channel, body=body, due_at=at))

    async def due(self, channel: str, at: datetime, limit: int) -> Sequence[tuple[int, bytes, int]]:
        """Oldest first, those that were tried often last."""
        found = [r for r in self.rows if r.channel == channel and not r.delivered and not r.parked and r.due_at <= at]
        found.sort(key=lambda r: (r.tries >= TRIED_OFTEN, r.position))
        return [(r.position, r.body, r.tries) for r in found[:limit]]

    async def delivered(self, positions: Sequence[int], at: datetime) -> None:
        """Sent."""
        del at
        for position in positions:
            self.rows[position - 1].delivered = True

    async def put_off(self, positions: Sequence[int], until: datetime) -> None:
        """Later."""
        for position in positions:
            row = self.rows[position - 1]
            row.due_at, row.tries = until, row.tries + 1

    async def park(self, position: int, why: str) -> None:
        """Aside."""
        self.rows[position - 1].parked = why


class FakeReceiver:
    """Implements `Sender`. `moods` are raised by the next sends, one each; a body in `refused` is refused whenever it is among those sent.

    With `hangs` a send takes until that is set; `asked` is set once one has begun.
    """

    def __init__(self, channel: str = "notify") -> None:
        self._channel = channel
        self.moods: list[Exception] = []
        self.refused: dict[bytes, Exception] = {}
        self.got: list[bytes] = []
        self.calls: list[tuple[bytes, ...]] = []
        self.hangs: asyncio.Event | None = None
        self.asked = asyncio.Event()

    @property
    def channel(self) -> str:
        """The kind."""
        return self._channel

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Take them, or raise."""
        self.calls.append(tuple(bodies))
        self.asked.set()
        if self.hangs is not None:
            await self.hangs.wait()
        if self.moods:
            raise self.moods.pop(0)
        for body in bodies:
            if body in self.refused:
                raise self.refused[body]
        self.got += bodies
