"""A store for tests: migrated once a session, copied for each test; and rows to put into it."""

import asyncio
import shutil
import sqlite3
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from service.audit.chain import link
from service.audit.encoding import OtlpEncoder
from service.domain import spans
from service.domain.model import Actor, AlertNotice, Mode, Operation, OperationKind, RawDelivery, TargetId
from service.domain.ports import HandOver
from service.store.database import Database
from service.store.migrating import migrate
from service.store.operations import OperationStore
from tests.fakes import inline_sqlite
from tests.fakes.clock import START

TARGET = TargetId("prod", "checkout")


def migrated(folder: Path) -> Path:
    """A fresh store of the newest schema, closed and in one file."""

    async def make() -> Path:
        database = Database(f"sqlite:///{folder / 'template.db'}")
        await migrate(database)
        await database.close()
        return database.path

    path = asyncio.run(make())
    with sqlite3.connect(path) as connection:  # nothing may be left beside the file that is copied
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def copied(template: Path, folder: Path, *, patience: float = 20.0, inline: bool = False) -> Database:
    """An open store of its own; `inline` works without the driver's thread, which is quick (see `inline_sqlite`)."""
    path = folder / "store.db"
    shutil.copyfile(template, path)
    database = Database(f"sqlite:///{path}", patience=patience)
    if inline:
        database.engine = inline_sqlite.engine(path)
    return database


async def closed(database: Database) -> None:
    """Close it and see its driver's threads end: one that was thrown away in the middle still reports to the loop, which must be there."""
    await database.close()
    while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110  a thread ends without an event
        await asyncio.sleep(0.002)


def operations(database: Database, hand_over: HandOver) -> OperationStore:
    """With the real encoder and the real chain."""
    return OperationStore(database, spans=OtlpEncoder("test"), link=link, hand_over=hand_over)


def operation(identity: str = "op_1", **changes: Any) -> Operation:
    """An automatic operation that has just begun."""
    values: dict[str, Any] = {
        "id": identity,
        "kind": OperationKind.ROLLBACK,
        "target": TARGET,
        "incident_id": None,
        "requested_by": Actor(kind="alert", name="HighErrorRate"),
        "automatic": True,
        "mode": Mode.AUTO,
        "phase": "begin",
        "seq": 0,
        "rev": 0,
        "data": {"schema": 1},
        "trace_id": spans.trace_id(identity),
        "created_at": START,
        "updated_at": START,
    }
    return Operation(**(values | changes))


def notice(fingerprint: str = "f00d", *, starts_at: datetime = START, ends_at: datetime | None = None, **labels: str) -> AlertNotice:
    """One alert as a sender tells it; with `ends_at` it is resolved."""
    told = {"alertname": "HighErrorRate", "namespace": "shop", **labels}
    return AlertNotice(fingerprint=fingerprint, firing=ends_at is None, starts_at=starts_at, ends_at=ends_at, labels=told, annotations={"summary": "31 % fail"})


def delivery(*notices: AlertNotice, at: datetime = START, body: bytes = b"{}", **changes: Any) -> RawDelivery:
    """One POST."""
    return RawDelivery(source="alertmanager", sender="main", received_at=at, body=body, notices=notices, **changes)
