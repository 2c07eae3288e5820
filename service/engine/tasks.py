"""Background work with a name: a reference is kept, a failure is seen and it goes on. Stopping waits for a loop's round in progress."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection

import structlog

from service.domain.ports import StandBack, at_once

log = structlog.get_logger()

AGAIN_AFTER = 1.0
"""Seconds until what is kept going and failed is run again."""


class Tasks:
    """Loops that run a round, then wait. `failed` counts rounds that raised, by name. Before each round but the first, they `stand_back`."""

    def __init__(self, stand_back: StandBack = at_once) -> None:
        self._stand_back = stand_back
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._kept: dict[str, asyncio.Task[None]] = {}
        self._begun: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.failed: dict[str, int] = {}

    def every(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        """Run `one` again and again, `seconds` apart, until `stop`."""
        self.failed[name] = 0
        self._tasks[name] = asyncio.get_running_loop().create_task(self._loop(seconds, name, one), name=name)

    async def _loop(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        stand_back: StandBack = at_once
        while not self._stopping.is_set():
            try:
                await stand_back()
                if not self._stopping.is_set():
                    await one()
            except Exception as error:  # the outermost loop: one bad round must not end all that come after it
                self.failed[name] += 1
                log.exception("background round failed", task=name, error=str(error), kind=type(error).__name__)
            stand_back = self._stand_back
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

    def keep(self, name: str, one: Callable[[], Awaitable[None]]) -> None:
        """Run `one`, which goes on by itself; run it again a second after a failure, and not again when it returns: then there is nothing to do.

        `stop` cancels it at once, so it must hold nothing that wants an end.
        """
        self.failed[name] = 0
        self._kept[name] = asyncio.get_running_loop().create_task(self._keep(name, one), name=name)

    async def _keep(self, name: str, one: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await one()
            except Exception as error:  # so here: it is counted, told, and run again
                self.failed[name] += 1
                log.exception("background task failed", task=name, error=str(error), kind=type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER)

    def begin(self, name: str, one: Callable[[], Awaitable[None]]) -> None:
        """Run `one` once, beside everything else; a failure is logged and counted under `name`. `stop` cancels it at once, as in `keep`."""
        self.failed.setdefault(name, 0)
        task = asyncio.get_running_loop().create_task(self._begun_one(name, one), name=name)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def _begun_one(self, name: str, one: Callable[[], Awaitable[None]]) -> None:
        try:
            await one()
        except Exception as error:  # nobody awaits it: unless it is told here it is lost
            self.failed[name] += 1
            log.exception("background work failed", task=name, error=str(error), kind=type(error).__name__)

    def alive(self) -> dict[str, bool]:
        """Whether each loop still runs."""
        return {name: not task.done() for name, task in self._tasks.items()}

    async def stop(self, *, patience: float = 5.0) -> None:
        """End all loops after their round; one that takes longer than `patience` seconds is cancelled in it."""
        self._stopping.set()
        await _cancelled(self._kept.values())
        self._kept.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        await _cancelled(tuple(self._begun))  # last: a round may have begun one while it came to its end
        self._stopping = asyncio.Event()


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
