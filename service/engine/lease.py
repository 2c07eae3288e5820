"""The life of this process among others on one store: it beats; who has not been heard of for the grace is declared dead, and its work goes on elsewhere.

- Others are judged by what is seen of them, on our own monotonic clock: neither a step of a wall clock nor a difference between two makes anybody dead.
- A process that cannot beat does nothing on the outside (`fence`) long before anybody may take its work over.
- Who was declared dead can never beat again: when it wakes it ends itself.
- After an outage of the store nobody is judged before a whole grace of own beats.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import structlog

from service.domain.errors import UnavailableError
from service.domain.ports import Clock, Executor

log = structlog.get_logger()

FENCED = 0.6
"""After this part of the grace without a confirmed beat of our own nothing is sent any more."""

BEATS = 6
"""Beats in a grace. Our own count as unbroken while none is later than two of them."""

DECLARED_DEAD = 70
"""The exit code of a process that finds itself declared dead (EX_SOFTWARE)."""


class Executors(Protocol):
    """The rows of all processes; see `service.store.executors`."""

    async def enter(self, name: str, at: datetime) -> None: ...  # noqa: D102
    async def beat(self, name: str) -> Sequence[Executor] | None: ...  # noqa: D102
    async def retire(self, name: str, *, beats: int | None = None) -> bool: ...  # noqa: D102
    async def living(self) -> frozenset[str]: ...  # noqa: D102
    def sweeping(self) -> AbstractAsyncContextManager[bool]: ...  # noqa: D102
    async def forget(self, before: datetime) -> int: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


class Segments(Protocol):
    """What the sweeper asks of the engine."""

    async def owners(self) -> frozenset[str]: ...  # noqa: D102
    async def take_over(self, owner: str) -> int: ...  # noqa: D102


def _exit() -> None:
    os._exit(DECLARED_DEAD)  # nothing may run after it, no handler and no loop: another process does our work by now


class Alone:
    """The one process on an embedded store: nobody takes over from it, and the file's lock keeps a second one away."""

    name = "local"
    """One name for ever, so that a restart goes on with its own work."""

    leads = True

    async def begin(self) -> None:
        """Nobody has to know."""

    async def fence(self) -> bool:
        """It may act, and never had to wait for it."""
        return False

    async def end(self) -> None:
        """Nobody waits for it."""

    async def forget(self, before: datetime) -> None:
        """There is nobody to forget."""


class Lease:
    """One process' beats, and its look at the others. `grace` is in seconds."""

    def __init__(
        self, *, name: str, executors: Executors, clock: Clock, grace: float, monotonic: Callable[[], float] = time.monotonic, die: Callable[[], None] = _exit
    ) -> None:
        self.name = name
        self.every = grace / BEATS
        self._executors = executors
        self._clock = clock
        self._grace = grace
        self._monotonic = monotonic
        self._die = die
        self._confirmed: float | None = None
        self._first = False
        self._ended = False
        self._seen: dict[str, tuple[int, float]] = {}

    @property
    def ok(self) -> bool:
        """Whether nobody can have declared us dead."""
        return not self._ended and self._confirmed is not None and self._monotonic() - self._confirmed < FENCED * self._grace

    @property
    def leads(self) -> bool:
        """Whether the loops that must run once run here: in the oldest process. The next one leads only after this one is retired."""
        return self._first and self.ok

    async def begin(self) -> None:
        """Enter the row and beat once. UnavailableError when the store is away."""
        await self._executors.enter(self.name, self._clock.now())
        await self.beat()

    async def fence(self) -> bool:
        """Return once this process may act on the outside; right before each act. Never, once it has ended. Answers whether it had to wait."""
        told = False
        while not self.ok:
            if not told:
                log.warning("no beat was confirmed; waiting before acting", executor=self.name)
                told = True
            await self._clock.sleep(0.1)
        return told

    async def beat(self) -> None:
        """One beat; whatever fails is the next beat's business."""
        began = self._monotonic()
        async with asyncio.timeout(2 * self.every):
            everybody = await self._executors.beat(self.name)
        if everybody is None:
            if self._ended:
                return
            log.critical("declared dead by another process; ending", executor=self.name)
            self._die()
            return
        if self._confirmed is None or began - self._confirmed > 2 * self.every:
            self._seen = {}
        self._confirmed = began
        self._first = everybody[0].name == self.name
        now = self._monotonic()
        before, self._seen = self._seen, {}
        for one in everybody:
            seen = before.get(one.name)
            self._seen[one.name] = seen if seen is not None and seen[0] == one.beats else (one.beats, now)

    async def sweep(self, segments: Segments) -> Sequence[str]:
        """Declare dead who has not been heard of for a whole grace, and let the work of the retired go on; answers whose story ended so."""
        gone: list[str] = []
        if not self.ok:
            return gone
        async with self._executors.sweeping() as mine:
            if not mine:
                return gone
            now = self._monotonic()
            for name, (beats, since) in self._seen.items():
                if name != self.name and now - since >= self._grace and await self._executors.retire(name, beats=beats):
                    log.warning("a process was not heard of for the grace; it is retired", executor=name)
                    gone.append(name)
            owners = await segments.owners()  # read first: whoever owns work now has a row by then
            for name in sorted(owners - await self._executors.living() - {self.name}):
                if self.ok:
                    log.warning("taking over the work of a process that is gone", executor=name, segments=await segments.take_over(name))
                    gone.append(name)
        return gone

    async def end(self) -> None:
        """We have stopped acting: others may take over at once. Nothing is sent from here on."""
        self._ended = True
        try:
            await self._executors.retire(self.name)
        except UnavailableError as error:
            log.warning("could not retire; another process takes over after the grace", executor=self.name, error=str(error))
        await self._executors.close()

    async def forget(self, before: datetime) -> None:
        """Forget the retired ones that began before then."""
        await self._executors.forget(before)
