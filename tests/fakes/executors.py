"""The rows of processes on one store, in memory; and what the sweeper asks of the engine."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.errors import UnavailableError
from service.domain.ports import Executor


@dataclass
class Row:
    """One process."""

    beats: int = 0
    retired: bool = False


@dataclass
class FakeExecutors:
    """Implements `service.engine.lease.Executors`. While `away` nothing can be asked; while `swept` somebody else sweeps."""

    rows: dict[str, Row] = field(default_factory=dict)
    away: bool = False
    swept: bool = False

    def _asked(self) -> None:
        if self.away:
            raise UnavailableError("the store is away")

    async def enter(self, name: str, at: datetime) -> None:
        """A row."""
        del at
        self._asked()
        self.rows[name] = Row()

    async def beat(self, name: str) -> Sequence[Executor] | None:
        """Count, or None for who is retired or unknown."""
        self._asked()
        mine = self.rows.get(name)
        if mine is None or mine.retired:
            return None
        mine.beats += 1
        return tuple(Executor(name, row.beats) for name, row in self.rows.items() if not row.retired)

    async def retire(self, name: str, *, beats: int | None = None) -> bool:
        """Compare and swap."""
        self._asked()
        row = self.rows[name]
        if beats is not None and row.beats != beats:
            return False
        row.retired = True
        return True

    async def living(self) -> frozenset[str]:
        """Who is not retired."""
        self._asked()
        return frozenset(name for name, row in self.rows.items() if not row.retired)

    @contextlib.asynccontextmanager
    async def sweeping(self) -> AsyncIterator[bool]:
        """One at a time."""
        self._asked()
        yield not self.swept

    async def forget(self, before: datetime) -> int:
        """All that are retired."""
        del before
        gone = [name for name, row in self.rows.items() if row.retired]
        for name in gone:
            del self.rows[name]
        return len(gone)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class FakeSegments:
    """Owner -> how many segments run in it. What is taken over is taken down, with whether its owner was retired by then."""

    executors: FakeExecutors
    running: dict[str, int] = field(default_factory=dict)
    taken: list[tuple[str, bool]] = field(default_factory=list)

    async def owners(self) -> frozenset[str]:
        """Who has any."""
        return frozenset(self.running)

    async def take_over(self, owner: str) -> int:
        """Give them to the others."""
        row = self.executors.rows.get(owner)
        self.taken.append((owner, row is None or row.retired))
        return self.running.pop(owner)
