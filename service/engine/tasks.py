"""Background loops with a name: a reference is kept, a failure is seen and the loop goes on, and stopping waits for the round in progress."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()


class Tasks:
    """Loops that run a round, then wait. `failed` counts rounds that raised, by name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: dict[str, int] = {}

    def every(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        """Run `one` again and again, `seconds` apart, until `stop`."""
        self.failed[name] = 0
        self._tasks[name] = asyncio.get_running_loop().create_task(self._loop(seconds, name, one), name=name)

    async def _loop(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await one()
            except Exception as error:
                self.failed[name] += 1
                log.exception("background round failed", task=name, error=str(error), kind=type(error).__name__)
            await asyncio.sleep(seconds)

    def alive(self) -> dict[str, bool]:
        """Whether each loop still runs."""
        return {name: not task.done() for name, task in self._tasks.items()}

    async def stop(self) -> None:
        """End all loops."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
