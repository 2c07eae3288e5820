"""Plans that were shown, answers to repeated requests, and the stop switch."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from service.domain.errors import ConflictError
from service.domain.model import Json
from service.domain.ports import AuditEvent
from service.store import tables as t
from service.store.database import Database
from service.store.events import STOP, append

KEEP_ANSWERS = timedelta(hours=48)


class PlanStore:
    """Plans as they were shown, by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, plan_id: str, *, target: str, digest: str, made_at: datetime, body: Mapping[str, Json]) -> None:
        """Store a plan once."""
        async with self._database.write() as connection:
            await connection.execute(t.plan.insert().values(id=plan_id, target=target, digest=digest, made_at=made_at, body=dict(body)))

    async def load(self, plan_id: str) -> Mapping[str, Json] | None:
        """The stored plan."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(t.plan.c.body).where(t.plan.c.id == plan_id))).first()
            return None if row is None else row.body


class AnswerStore:
    """Answers to requests with an Idempotency-Key, kept for two days. `executor` is the process that claims."""

    def __init__(self, database: Database, *, executor: str = "") -> None:
        self._database = database
        self._executor = executor

    async def claim(self, key: str, caller: str, request_digest: str, at: datetime) -> tuple[int, Mapping[str, str], Json] | None:
        """None: the caller may go on and must `answer` or `give_up`. Else the stored answer (status 0 = still running).

        Raises ConflictError when the key was used with another request.
        """
        async with self._database.write() as connection:
            await connection.execute(t.idempotency.delete().where(t.idempotency.c.created_at < at - KEEP_ANSWERS))
            row = (await connection.execute(sa.select(t.idempotency).where(t.idempotency.c.key == key, t.idempotency.c.caller == caller))).first()
            if row is None:
                await connection.execute(
                    t.idempotency.insert().values(
                        key=key, caller=caller, request_digest=request_digest, status=0, headers={}, body=None, created_at=at, executor=self._executor
                    )
                )
                return None
            if row.request_digest != request_digest:
                raise ConflictError("this Idempotency-Key was used with another request")
            return row.status, row.headers, row.body

    async def answer(self, key: str, caller: str, status: int, headers: Mapping[str, str], body: Json) -> None:
        """Keep the answer for repeats."""
        async with self._database.write() as connection:
            await connection.execute(
                t.idempotency.update()
                .where(t.idempotency.c.key == key, t.idempotency.c.caller == caller)
                .values(status=status, headers=dict(headers), body=body)
            )

    async def give_up_all(self) -> None:
        """Forget every open claim of whom nobody can be working on one any more: all on SQLite, where one process owns the store, else the retired ones'."""
        query = t.idempotency.delete().where(t.idempotency.c.status == 0)
        if not self._database.sqlite:
            query = query.where(t.idempotency.c.executor.not_in(sa.select(t.executor.c.name).where(t.executor.c.retired == sa.false())))
        async with self._database.write() as connection:
            await connection.execute(query)

    async def give_up(self, key: str, caller: str) -> None:
        """Forget a claim whose request failed, so that a repeat may try again."""
        async with self._database.write() as connection:
            await connection.execute(t.idempotency.delete().where(t.idempotency.c.key == key, t.idempotency.c.caller == caller, t.idempotency.c.status == 0))


_STOP = sa.select(t.stop).order_by(t.stop.c.id.desc()).limit(1)
"""Built once: it is asked before each request of an operation."""


class StopStore:
    """The stop switch: a row and a file beside the store; either one stops everything, and so does a file that cannot be read.

    While the row cannot be read the store is away: nobody acts then, and it is no order of a person's. What was under way goes on when the store is back.
    """

    def __init__(self, database: Database, file: Path | None) -> None:
        self._database = database
        self._file = file

    async def reason(self) -> str:
        """Why everything is stopped, or "". UnavailableError while the store is away and no file says it."""
        if self._file is not None and (told := _stop_file_says(self._file)):
            return told
        async with self._database.read(few=True) as connection:
            row = (await connection.execute(_STOP)).first()
        return "" if row is None else f"stopped by {row.by}: {row.reason}"

    async def stop(self, *, by: str, reason: str, at: datetime) -> None:
        """Stop everything; stopping twice keeps the newer reason. Who turned the switch stays in its audit rows."""
        async with self._database.write() as connection:
            await connection.execute(t.stop.delete())
            await connection.execute(t.stop.insert().values(id=1, reason=reason, by=by, at=at))
            row = AuditEvent(kind="stopped", says=f"stopped by {by}: {reason}", at=at, body={"actor": by, "reason": reason})
            await append(connection, STOP, (row,))

    async def resume(self, *, by: str, at: datetime) -> None:
        """Take the stop back, row and file; OSError when the file cannot be removed, and then everything stays as it was."""
        was = await self.reason()
        async with self._database.write() as connection:
            await connection.execute(t.stop.delete())
            says = f"resumed by {by}; it was {was}" if was else f"resumed by {by}; it was not stopped"
            await append(connection, STOP, (AuditEvent(kind="resumed", says=says, at=at, body={"actor": by, "was": was}),))
            if self._file is not None:  # last before the commit: what was not recorded is not resumed
                self._file.unlink(missing_ok=True)


def _stop_file_says(file: Path) -> str:
    """Why the file stops everything, or "" if it is not there. A folder that is not there may be one that is not mounted: that is no "not stopped"."""
    try:
        return f"the stop file is there: {file.read_text(encoding='utf-8', errors='replace').strip()[:200] or 'no reason given'}"
    except FileNotFoundError:
        return "" if file.parent.is_dir() else f"the folder of the stop file {file.name} is not there, so nothing is done"
    except OSError as error:
        return f"the stop file cannot be read ({error.strerror}), so nothing is done"
