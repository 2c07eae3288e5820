"""Time that passes only when nobody has anything to do: a whole bad hour in a blink, and the same hour again for the same seed.

Every timer of asyncio counts on this loop's clock, which jumps to the next timer when all is idle. Where somebody waits for a socket (a database server),
the clock stands still until it answered. What would run in a thread runs at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from tests.unhurried import JumpingLoop

T = TypeVar("T")

BEGINS = datetime(2026, 5, 4, 14, 0, 0, tzinfo=UTC)
SOCKET_SECONDS = 30.0
"""Real seconds that a socket may keep everybody waiting before the run counts as hung."""


class Owner(Protocol):
    """Whose a task is: a process that can be killed."""

    tasks: "set[asyncio.Task[Any]]"


OWNER: ContextVar[Owner | None] = ContextVar("chaos_owner", default=None)
"""The process that the running code belongs to; None for the world around it. Tasks inherit it."""


class VirtualLoop(JumpingLoop):
    """Jumps whenever nothing is ready; where there are sockets at all they are a database's, and are waited for."""

    _process_events: Callable[[Any], None]

    def __init__(self) -> None:
        super().__init__()
        self._own_sockets = len(self._selector.get_map())
        self.set_task_factory(_task)  # type: ignore[arg-type]  # typeshed wants one callable for every kind of coroutine

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """At once: a thread would make every run another one."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  it belongs to who waits for it
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        if not self._ready and len(self._selector.get_map()) > self._own_sockets:
            events = self._selector.select(SOCKET_SECONDS)
            if not events:
                raise TimeoutError(f"a socket did not answer for {SOCKET_SECONDS:g} s")
            self._process_events(events)
        elif not self._ready and (when := self.next_timer()) is not None:
            self.jump(when)
        super()._run_once()  # type: ignore[misc]  # the step of asyncio.BaseEventLoop, which typeshed does not show


def _task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], context: Context | None = None) -> asyncio.Task[T]:
    task = asyncio.Task(work, loop=loop) if context is None else asyncio.Task(work, loop=loop, context=context)
    owner = (context or copy_context()).get(OWNER)
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
        task.add_done_callback(_seen)
    return task


def _seen(task: asyncio.Task[Any]) -> None:
    """What a killed process' tasks ended with is nobody's business."""
    _ = task.cancelled() or task.exception()


class VirtualClock:
    """Implements `Clock` on the loop's time. `step` is how far it is wrong: clocks are set forth and back."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.step = timedelta(0)

    def now(self) -> datetime:
        """What this clock shows."""
        return BEGINS + timedelta(seconds=self._loop.time()) + self.step

    async def sleep(self, seconds: float) -> None:
        """Time passes, whatever the clock shows."""
        await asyncio.sleep(seconds)
