"""Operations in memory, with the store's promise: compare and swap on (seq, rev). A test can make the store go away or refuse."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from service.domain.model import Actor, Json, Operation, TargetId
from service.domain.ports import AuditEvent, Transition, Work

SHORT_WAIT = 5.0


class FakeJournal:
    """Implements `Journal` as far as one process needs it. `trouble` is raised by the next commits, one each; `commits` remembers what was tried."""

    def __init__(self, *operations: Operation) -> None:
        self.handed: list[Work] = []
        self.rows: dict[str, Operation] = {one.id: one for one in operations}
        self.wakes: dict[str, datetime] = {}
        self.trouble: list[Exception] = []
        self.commits: list[Transition] = []
        self.log: list[AuditEvent] = []

    async def load(self, operation_id: str) -> Operation | None:
        """The row now."""
        return self.rows.get(operation_id)

    async def commit(self, operation: Operation, transition: Transition, at: datetime) -> bool:
        """Swap, or say that somebody else was faster."""
        self.commits.append(transition)
        if self.trouble:
            raise self.trouble.pop(0)
        row = self.rows[operation.id]
        if (row.seq, row.rev) != (operation.seq, operation.rev) or row.done_at is not None:
            return False
        waits = transition.until_person is not None or transition.wait.total_seconds() > SHORT_WAIT
        self.rows[row.id] = replace(
            row,
            phase=transition.phase,
            data=transition.data,
            says=transition.says or row.says,
            seq=row.seq + 1 if waits else row.seq,
            rev=row.rev + 1,
            updated_at=at,
            done_at=at if transition.done else None,
            outcome=transition.done,
        )
        self.wakes.pop(row.id, None)
        if waits:
            self.wakes[row.id] = transition.until_person or at + transition.wait
        self.log += transition.events
        return True

    async def bump(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """A new seq for each, unless the row moved; what is handed over is in `handed`."""
        bumped = []
        for operation in operations:
            row = self.rows[operation.id]
            if (row.seq, row.rev) == (operation.seq, operation.rev):
                self.rows[row.id] = replace(row, seq=row.seq + 1, rev=row.rev + 1)
                self.handed.append(Work(kind="operation", id=row.id, seq=row.seq + 1))
                bumped.append(operation)
        return bumped

    async def alive(self) -> Sequence[Operation]:
        """All that have not ended."""
        return [row for row in self.rows.values() if row.done_at is None]

    async def alive_for(self, target: TargetId) -> Operation | None:
        """The one of the target that has not ended."""
        return next((row for row in await self.alive() if row.target == target), None)

    async def latest_of(self, target: TargetId) -> Operation | None:
        """The newest of the target."""
        found = [row for row in self.rows.values() if row.target == target]
        return max(found, key=lambda row: row.created_at, default=None)

    async def latest(self, incident_id: str) -> Operation | None:
        """The newest of the incident."""
        found = [row for row in self.rows.values() if row.incident_id == incident_id]
        return max(found, key=lambda row: row.created_at, default=None)

    async def due(self, at: datetime) -> Sequence[Operation]:
        """Alive, and not waiting beyond `at`."""
        return [row for row in await self.alive() if self.wakes.get(row.id, at) <= at]

    async def decide(self, operation_id: str, *, seq: int, actor: Actor, approve: bool, at: datetime, body: Mapping[str, Json]) -> bool:
        """Nobody decides here."""
        del operation_id, seq, actor, approve, at, body
        return False

    async def request_cancel(self, operation_id: str, *, actor: Actor, reason: str, at: datetime) -> bool:
        """Set the flag."""
        self.rows[operation_id] = replace(self.rows[operation_id], cancel_requested=f"cancelled by {actor}: {reason}", updated_at=at)
        return True

    async def approval(self, operation_id: str) -> Mapping[str, Json] | None:
        """Nobody decided."""
        del operation_id
        return None

    async def events(self, operation_id: str) -> Sequence[AuditEvent]:
        """What was logged, of all operations."""
        del operation_id
        return self.log
