"""Background loops with a name: a reference is kept, a failure is seen and the loop goes on, and stopping waits for the round in progress."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()


class Tasks:
    """Loops that run a round, then wait. `failed` counts rounds that raised, by name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self.failed: dict[str, int] = {}

    def every(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        """Run `one` again and again, `seconds` apart, until `stop`."""
        self.failed[name] = 0
        self._tasks[name] = asyncio.get_running_loop().create_task(self._loop(seconds, name, one), name=name)

    async def _loop(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        while not self._stopping.is_set():
            try:
                await one()
            except Exception as error:
                self.failed[name] += 1
                log.exception("background round failed", task=name, error=str(error), kind=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

    def alive(self) -> dict[str, bool]:
        """Whether each loop still runs."""
        return {name: not task.done() for name, task in self._tasks.items()}

    async def stop(self, *, patience: float = 5.0) -> None:
        """End all loops after their round; one that takes longer than `patience` seconds is cancelled in it."""
        self._stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self._stopping = asyncio.Event()
