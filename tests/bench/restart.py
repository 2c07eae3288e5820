"""1,000 open operations, each of a target of its own: how long after a restart until every one of them made its first transition."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from service.domain import spans
from service.domain.model import Actor, Mode, Operation, OperationKind, TargetId
from service.domain.ports import Work
from service.store.database import Database
from service.store.operations import OperationStore
from service.wiring.parts import LateEncoder, SystemClock
from service.workflow import record
from tests.bench.figures import Figure
from tests.bench.ground import ground

OPERATIONS = 1000
BOUND = 10.0


class NoEngine:
    """The rows alone: as after a crash between the commit and the start."""

    async def later(self, transaction: object, work: Work, delay: timedelta) -> None:
        """Nothing is handed over."""


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    async with ground(folder, shops=("shop",), crowd=0) as made:
        await made.process.kill()
        database = Database(f"sqlite:///{folder / 'backout.db'}")
        store = OperationStore(database, spans=LateEncoder("bench"), hand_over=NoEngine())
        now = SystemClock().now()
        for number in range(OPERATIONS):
            identity = f"op_{number:032x}"
            operation = Operation(
                id=identity,
                kind=OperationKind.ROLLBACK,
                target=TargetId("sandbox", f"open-{number:04}"),
                incident_id=None,
                requested_by=Actor(kind="alert", name="Load"),
                automatic=True,
                mode=Mode.OBSERVE,
                phase="begin",
                seq=0,
                rev=0,
                data=record.dump(record.Rollback(why_mode="bench")),
                trace_id=spans.trace_id(identity),
                created_at=now,
                updated_at=now,
            )
            await store.begin(operation, (), ())
        await database.close()
        await made.process.start()
        ready = time.perf_counter()
        moved = 0
        reader = sqlite3.connect(f"file:{folder / 'backout.db'}?mode=ro", uri=True)
        try:
            while moved < OPERATIONS and time.perf_counter() - ready < 120:
                moved = int(reader.execute("select count(*) from operation where id like 'op_0000%' and rev > 0").fetchone()[0])
                await asyncio.sleep(0.05)
        finally:
            reader.close()
        took = time.perf_counter() - ready
    said = f"{moved:,} of {OPERATIONS:,} within {took:.1f} s of being ready"
    return (
        Figure(
            what=f"{OPERATIONS:,} open operations after a restart",
            asked="first transition of each within 10 s",
            measured=said,
            holds=moved == OPERATIONS and took <= BOUND,
        ),
    )
