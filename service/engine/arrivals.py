"""Places deliveries as they arrive, without the durable engine: the row is the truth, and whatever is lost here is found again by the reconciler.

A storm of alerts then costs one transaction a delivery and does not stand in line with the steps of operations.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

log = structlog.get_logger()

WORKERS = 4
"""Placed side by side: what waits for something never holds up all that comes after it."""

AT_ONCE = 64
"""Deliveries that one worker places together at most, where so many wait: they share a transaction."""


class Arrivals:
    """In the order in which they came, each once at a time; `place` may be called twice for one, in another process or after a failure."""

    def __init__(self, place: Callable[..., Awaitable[None]]) -> None:
        self._place = place
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._here: set[str] = set()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work on what arrives."""
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._work(), name=f"arrivals-{number}") for number in range(WORKERS)]

    async def stop(self) -> None:
        """Stop; what was not placed yet is placed after the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()

    def add(self, delivery_id: str) -> None:
        """A delivery was kept and waits to be placed."""
        if delivery_id not in self._here:
            self._here.add(delivery_id)
            self._queue.put_nowait(delivery_id)

    def has(self, delivery_id: str) -> bool:
        """Whether it waits here or is being placed."""
        return delivery_id in self._here

    async def _work(self) -> None:
        while True:
            some = [await self._queue.get()]
            while len(some) < AT_ONCE and not self._queue.empty():
                some.append(self._queue.get_nowait())
            try:
                await self._together(some)
            finally:
                self._here.difference_update(some)

    async def _together(self, some: Sequence[str]) -> None:
        """All in one; where that fails, each alone, for one that cannot be placed must not keep the others back."""
        try:
            await self._place(*some)
        except Exception as error:  # whatever it is: the others of the batch are placed, and nothing that was accepted is dropped
            if len(some) > 1:
                for one in some:
                    await self._together([one])
                return
            log.exception("a delivery could not be placed; the reconciler will try again", delivery=some[0], kind=type(error).__name__)
