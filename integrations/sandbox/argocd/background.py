"""Tasks of the simulated controllers: a reference is kept, a failure is kept and raised when the server stops."""

import asyncio
from collections.abc import Callable, Coroutine


class Background:
    """A bag of tasks and timers that ends with `stop`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._failures: list[BaseException] = []

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or `stop` cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` after real `seconds`."""

        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)

    async def stop(self) -> None:
        """Cancel everything and wait for it. Raises the first failure that any task had."""
        for timer in self._timers:
            timer.cancel()
        pending = set(self._tasks)
        while pending:  # again and again: `asyncio.wait_for` of Python 3.11 may swallow a cancellation that comes as its wait ends
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.5)
        self._timers.clear()
        if self._failures:
            failures, self._failures = self._failures, []
            raise failures[0]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failures.append(task.exception() or RuntimeError("a task failed without an exception"))
