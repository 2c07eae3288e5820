"""One process of Backout, as far as killing it goes: everything that runs in it ends at once, wherever it stands, and nothing it held reaches the outside."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.chaos.fate import Fate, Trouble
from tests.chaos.virtual import VirtualClock


class Killed(BaseException):
    """Raised in whatever runs in a process when it is killed; nothing catches it."""


class Process:
    """`point` stands at every place where a kill makes a difference: around requests, transactions, facts and messages."""

    def __init__(self, name: str, clock: VirtualClock, fate: Fate, killed: Callable[["Process", str], None]) -> None:
        self.name = name
        self.clock = clock
        self.tasks: set[asyncio.Task[Any]] = set()
        self.dead = False
        self.frozen: asyncio.Event = asyncio.Event()
        self.frozen.set()
        self._fate = fate
        self._killed = killed

    async def alive(self) -> None:
        """Wait while frozen; raise when dead."""
        if not self.frozen.is_set():
            await self.frozen.wait()
        self.check()

    def check(self) -> None:
        """Raise when dead: code that goes on after its cancellation reaches nothing."""
        if self.dead:
            raise Killed(self.name)

    async def point(self, where: str, share: float = 1.0) -> None:
        """A place to be killed at; also a chance for others to run."""
        await self.alive()
        self.may_die(where, share)

    def may_die(self, where: str, share: float = 1.0) -> None:
        """The same where nobody may wait."""
        self.check()
        if self._fate.strikes(Trouble.CRASH, share):
            self.kill(f"while {where}")
            raise Killed(self.name)

    def kill(self, why: str) -> None:
        """No farewell: as `kill -9` does it."""
        if self.dead:
            return
        self.dead = True
        self.frozen.set()
        for task in list(self.tasks):
            if task is not asyncio.current_task() and not _closes(task):
                task.cancel()
        self._killed(self, why)


def _closes(task: asyncio.Task[Any]) -> bool:
    """Whether it gives a connection back: the operating system does that for a killed process too."""
    return getattr(task.get_coro(), "__qualname__", "") == "AsyncConnection.close"
