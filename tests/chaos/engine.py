"""A durable engine in memory that forgets nothing: what DBOS keeps in its tables survives every kill here too, and nothing else does.

Work handed over inside a transaction is kept if that commits. A segment whose process was killed runs again, from its interrupted step on. Which calls
of DBOS promise that is held by tests/contract/engine.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from service.domain.errors import UnavailableError
from service.domain.ports import Work
from service.engine.segments import Engine
from tests.chaos.fate import Fate
from tests.chaos.process import Killed, Process

RETRY_SECONDS = 2.0


@dataclass(slots=True)
class Segment:
    """One row of the engine: `due` is the world's second from which it may run, `by` the process that runs it."""

    work: Work
    due: float
    state: str = "waiting"
    by: str = ""
    error: str = ""


@dataclass(slots=True)
class Durable:
    """The engine's tables. `staged` is what open transactions hold, by the identity of their connection."""

    segments: dict[str, Segment] = field(default_factory=dict)
    staged: dict[int, list[tuple[Work, float]]] = field(default_factory=dict)
    engines: "list[ChaosEngine]" = field(default_factory=list)

    def keep(self, work: Work, due: float) -> bool:
        """Add a segment, once for ever under its id."""
        name = _name(work)
        if name in self.segments:
            return False
        self.segments[name] = Segment(work, due)
        return True

    def orphan(self, process: str) -> None:
        """The process is gone: what it ran waits for another one."""
        for segment in self.segments.values():
            if segment.by == process and segment.state == "running":
                segment.state, segment.by = "waiting", ""
        self.wake()

    def wake(self) -> None:
        """There may be something to run, in whichever process."""
        for engine in self.engines:
            engine.look()


class ChaosEngine(Engine):
    """The engine of one process, over the tables that all share."""

    def __init__(self, durable: Durable, process: Process, fate: Fate, *, alone: bool) -> None:
        super().__init__(url="sqlite:///not-used.db")
        self._alone = alone
        self._durable = durable
        self._process = process
        self._fate = fate
        self._up = False
        self._wake = asyncio.Event()
        self._loops: set[asyncio.Task[None]] = set()

    async def launch(self) -> None:
        """Take up what waits."""
        self._up, self._closing = True, False
        self._durable.engines.append(self)
        self._arrivals.start()
        self._loops.add(asyncio.get_running_loop().create_task(self._work()))

    async def stop(self) -> None:
        """Take nothing more; what runs goes on after the next start, or elsewhere once this process is retired."""
        self._up = False
        if self in self._durable.engines:
            self._durable.engines.remove(self)
        self._wake.set()
        await self._arrivals.stop()

    async def later(self, transaction: Any, work: Work, delay: timedelta) -> None:
        """Kept with the transaction."""
        self._process.check()
        due = asyncio.get_running_loop().time() + max(0.0, delay.total_seconds())
        self._durable.staged.setdefault(id(transaction), []).append((work, due))

    async def start(self, work: Work) -> None:
        """Kept at once; a delivery is only remembered, for its row is the truth."""
        if not self._up:
            return
        if work.kind == "delivery":
            await self._process.point(f"delivery {work.id} arrives")
            self._arrivals.add(work.id)
            return
        await self._process.point(f"{work.kind} {work.id} is being started")
        self._durable.keep(work, asyncio.get_running_loop().time())
        self._durable.wake()
        await self._process.point(f"{work.kind} {work.id} was started")

    async def active(self) -> frozenset[str]:
        """Everything that waits or runs."""
        await self._process.alive()
        return frozenset(name for name, one in self._durable.segments.items() if one.state in {"waiting", "running"})

    async def is_active(self, work: Work) -> bool:
        """Whether this one does."""
        return self._arrivals.has(work.id) if work.kind == "delivery" else _name(work) in await self.active()

    async def owners(self) -> frozenset[str]:
        """The processes that segments run in."""
        await self._process.alive()
        return frozenset(one.by for one in self._durable.segments.values() if one.by)

    async def take_over(self, owner: str) -> int:
        """What that process ran waits for another one."""
        await self._process.alive()
        found = sum(1 for one in self._durable.segments.values() if one.by == owner and one.state == "running")
        self._durable.orphan(owner)
        return found

    async def collect(self, *, older_than: timedelta, now: Any) -> int:
        """Nothing grows old here."""
        del older_than, now
        return 0

    def nudge(self) -> None:
        """A transaction kept new work."""
        self._durable.wake()

    def is_of(self, process: Process) -> bool:
        """Whether it runs in that process."""
        return self._process is process

    def look(self) -> None:
        """There may be something to run."""
        self._wake.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._up:
            self._wake.clear()
            if not self._alone:
                await asyncio.sleep(self._fate.between(0.0, 0.3))  # whoever asks first gets it
            await self._process.alive()
            now = loop.time()
            waiting = [one for one in self._durable.segments.values() if one.state == "waiting"]
            for one in waiting:
                if one.due <= now:
                    one.state, one.by = "running", self._process.name
                    self._loops.add(loop.create_task(self._run(one)))
            later = min((one.due for one in waiting if one.state == "waiting"), default=now + 600.0)
            try:
                async with asyncio.timeout_at(max(later, now + 0.2)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _run(self, segment: Segment) -> None:
        work = segment.work
        await asyncio.sleep(self._fate.between(0.002, 0.2))
        while self._up:
            await self._process.point(f"{work.kind} {work.id} makes a step")
            try:
                told = await self.step(work)
            except (UnavailableError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Killed:
                raise
            except Exception as error:  # noqa: BLE001  as DBOS does: the error is the segment's end, and the reconciler repairs it
                self._ends(segment, "error", f"{type(error).__name__}: {error}")
                return
            if told.stop:
                self._ends(segment, "done")
                return
            await asyncio.sleep(told.sleep)
        if self._alone:
            segment.state, segment.by = "waiting", ""

    def _ends(self, segment: Segment, state: str, error: str = "") -> None:
        """Unless it runs elsewhere by now."""
        if segment.by == self._process.name:
            segment.state, segment.error = state, error


def _name(work: Work) -> str:
    return f"{work.kind}:{work.id}:{work.seq}"
