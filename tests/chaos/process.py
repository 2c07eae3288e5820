"""One process of Backout, as far as killing it goes: everything that runs in it ends at once, wherever it stands, and nothing it held reaches the outside."""

import asyncio
from collections.abc import Callable
from typing import Any

from service.wiring.parts import TRACE
from tests.chaos.fate import Fate, Trouble
from tests.chaos.virtual import VirtualClock

READ, ANSWERED, COMMITTED = "the store is read", "was answered", "a transaction has committed"
"""How some points are called."""


class Killed(BaseException):
    """Raised in whatever runs in a process when it is killed; nothing catches it."""


class Process:
    """`point` stands at every place where a kill makes a difference: around requests, transactions, facts and messages.

    A frozen process stands still at its next point; `cut` is whether the store cannot be reached from it.
    """

    def __init__(self, name: str, clock: VirtualClock, fate: Fate, *, killed: Callable[["Process", str], None], freeze: Callable[["Process"], None]) -> None:
        self.name = name
        self.clock = clock
        self.tasks: set[asyncio.Task[Any]] = set()
        self.dead = False
        self.cut = False
        self.frozen: asyncio.Event = asyncio.Event()
        self.frozen.set()
        self._fate = fate
        self._killed = killed
        self._freeze = freeze
        self._course: dict[str, list[str]] = {}

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
        """A place to be killed or frozen at; also a chance for others to run."""
        operation = TRACE.get()
        if operation:
            looks = where == READ and _looked(self._course.get(operation, []))
            if self._fate.strikes(Trouble.FREEZE) or (looks and self._fate.strikes(Trouble.FREEZE_IN_LOOK)):
                self._freeze(self)
        await self.alive()
        self.may_die(where, share)

    def may_die(self, where: str, share: float = 1.0) -> None:
        """The same where nobody may wait."""
        self.check()
        if operation := TRACE.get():
            course = self._course.setdefault(operation, [])
            course.append(where)
            if where == COMMITTED:
                course.clear()
        if self._fate.strikes(Trouble.CRASH, share) or (TRACE.get() and self._fate.is_the_place()):
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


def _looked(course: list[str]) -> bool:
    """Whether an operation has looked at nothing but the target since its last commit: what it reads of the store then is its last look before an act."""
    return bool(course) and course[-1].endswith(ANSWERED) and not any(one.endswith("is read") and one != READ for one in course)


def _closes(task: asyncio.Task[Any]) -> bool:
    """Whether it gives a connection back: the operating system does that for a killed process too."""
    return getattr(task.get_coro(), "__qualname__", "") == "AsyncConnection.close"
