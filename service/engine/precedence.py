"""What somebody waits for goes first: while a delivery is placed or an operation takes a step, loops that nobody waits for begin no round.

All of them share one thread, so a list of ten thousand targets or a notification that is sent in the middle of it puts the rollback off by as much.
"""

import asyncio
import contextlib
from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds that a round stands back at most: an operation that hangs, or a thousand after a restart, must not stop the watching."""


class Precedence:
    """`taken` by those who go first, side by side as many as there are; the others wait until it is `free`."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._first = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Go first, inside the block."""
        self._first += 1
        self._free.clear()
        try:
            yield
        finally:
            self._first -= 1
            if not self._first:
                self._free.set()

    async def free(self) -> None:
        """Stand back while anybody goes first, and no longer than the patience lasts."""
        if self._first:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._free.wait(), self._patience)
