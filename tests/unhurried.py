"""An event loop whose time passes only while nobody has anything to do, so that no test depends on how fast the machine is.

For tests where all that acts lives on this loop: a simulated server, its controllers with their delays, and the client that is under test, over real
sockets on loopback. Work takes no time here, and waiting takes no real time: when all wait, the clock jumps to the next timer. So what a server does
"after 50 ms" happens after everything that was under way before, on the slowest machine as on the fastest.

Not for tests with other processes or threads of their own, which this loop cannot see at work: what runs in its executor is waited for, nothing else.
"""

import asyncio
import heapq
import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

BEAT = 0.25
"""A jump over more seconds than this may be into somebody's time-out: bytes in flight get a real moment to arrive first."""
MOMENT = 0.02
"""That moment, in real seconds. The kernel hands bytes over on loopback at once, as good as always."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop with its own time, which only `jump` moves. What it touches of asyncio's loops has been so since Python 3.4."""

    _selector: selectors.BaseSelector
    _scheduled: list[Any]
    _ready: deque[Any]
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._passed

    def next_timer(self) -> float | None:
        """When the next timer rings; None when there is none."""
        while self._scheduled and self._scheduled[0]._cancelled:  # noqa: SLF001  as the loop itself does
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False  # noqa: SLF001  as the loop itself does
        return float(self._scheduled[0]._when) if self._scheduled else None  # noqa: SLF001  as the loop itself does

    def jump(self, when: float) -> None:
        """It is `when` now, or later if it was."""
        self._passed = max(self._passed, when)


class UnhurriedLoop(JumpingLoop):
    """Jumps when nothing is ready, no socket of its own has news, and nothing runs in its executor."""

    def __init__(self) -> None:
        super().__init__()
        self._in_threads = 0
        self._wall: float | None = None

    def time(self) -> float:
        """Seconds since the beginning."""
        return super().time() if self._wall is None else time.monotonic() - self._wall

    def follow_the_wall(self) -> None:
        """From now on an ordinary loop: for a test whose server is another process after all."""
        self._wall = time.monotonic() - self._passed

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """As ever; time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._back)
        return future

    def _back(self, _future: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def _run_once(self) -> None:
        if self._wall is None and not self._ready and not self._in_threads:
            when = self.next_timer()
            if when is not None and not self._selector.select(MOMENT if when - self._passed > BEAT else 0):
                self.jump(when)
        super()._run_once()  # type: ignore[misc]  # the step of asyncio.BaseEventLoop, which typeshed does not show


def follow_the_wall() -> None:
    """Let the running loop be an ordinary one from now on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, UnhurriedLoop)
    loop.follow_the_wall()


def unhurried() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What `pytest_asyncio_loop_factories` of a folder's conftest answers."""
    return {"unhurried": UnhurriedLoop}
