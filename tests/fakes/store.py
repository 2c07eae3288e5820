"""A store for tests: migrated once a session, copied for each test; and rows to put into it."""

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from service.audit.encoding import OtlpEncoder
from service.domain import spans
from service.domain.model import Actor, AlertNotice, Mode, Operation, OperationKind, RawDelivery, TargetId
from service.domain.ports import HandOver
from service.store.database import SCHEMA, WRITING, Database
from service.store.migrating import HEAD, migrate
from service.store.operations import OperationStore
from service.store.tables import metadata
from tests.fakes import inline_sqlite, shared_postgres
from tests.fakes.clock import START
from tests.postgres import Postgres, name_of

TARGET = TargetId("prod", "checkout")

KEPT = ("alembic_version", "dbos_migrations")
"""Tables that say which schema there is: ours, the engine's."""


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


def migrated_in(server: Postgres) -> str:
    """The name of a database of the newest schema, to be copied for each test; nobody is connected to it."""
    url = server.create()

    async def make() -> None:
        database = Database(url)
        await migrate(database)
        await database.close()

    asyncio.run(make())
    return name_of(url)


class Recycled:
    """Databases of a server: emptied and lent again, which is far quicker than making one for each test."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._template = migrated_in(server)
        self._idle: list[str] = []

    def take(self) -> str:
        """The address of an empty store of the newest schema."""
        return self._idle.pop() if self._idle else self._server.create(self._template)

    def give_back(self, url: str) -> None:
        """Empty it, whoever is connected still; one whose schema a test has changed is taken away."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            tables = connection.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('backout', 'dbos')").fetchall()
            sequences = connection.execute("SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname = 'backout'").fetchall()
            odd = connection.execute(
                "SELECT 1 FROM pg_trigger WHERE tgname = 'broken' UNION ALL SELECT 1 FROM backout.alembic_version WHERE version_num <> %s", (HEAD,)
            ).fetchone()
            as_made = odd is None and {name for schema, name in tables if schema == SCHEMA} == {*metadata.tables, *KEPT[:1]}
            if as_made:
                with connection.transaction():
                    for table in tables:
                        if table[1] not in KEPT:
                            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*table)))
                    for sequence in sequences:
                        connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(*sequence)))
        if as_made:
            self._idle.append(url)
        else:
            self._server.drop(url)


def opened(url: str, *, patience: float = 20.0, inline: bool = False) -> Database:
    """An open store; `inline` is quick (see `inline_sqlite`, `shared_postgres`) and for one store at a time."""
    database = Database(url, patience=patience)
    if inline:
        database.engine = inline_sqlite.engine(database.path) if database.sqlite else shared_postgres.engine(url)
    return database


def copied(template: Path, folder: Path, *, patience: float = 20.0, inline: bool = False) -> Database:
    """An open store of its own; `inline` works without the driver's thread, which is quick (see `inline_sqlite`)."""
    path = folder / "store.db"
    shutil.copyfile(template, path)
    return opened(f"sqlite:///{path}", patience=patience, inline=inline)


@contextlib.asynccontextmanager
async def locked(database: Database) -> AsyncIterator[None]:
    """Another process writes and does not let go before the end of the block."""
    if database.sqlite:
        other = sqlite3.connect(database.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    async with await psycopg.AsyncConnection.connect(database.url) as writer:
        await writer.execute("SELECT pg_advisory_xact_lock(%s)", (WRITING,))
        yield
        await writer.rollback()


async def breaks(database: Database, table: str, verb: str) -> None:
    """From now on the table refuses each INSERT or UPDATE, as a constraint would."""
    refuse = f"BEFORE {verb} ON {table}"
    statements = [f"CREATE TRIGGER broken {refuse} BEGIN SELECT RAISE(ABORT, 'broken'); END"]
    if not database.sqlite:
        raises = "BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'integrity_constraint_violation'; END"
        function = f"CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ {raises} $$"
        statements = [function, f"CREATE TRIGGER broken {refuse} FOR EACH ROW EXECUTE FUNCTION broken()"]
    async with database.write() as connection:
        for one in statements:
            await connection.exec_driver_sql(one)


async def closed(database: Database) -> None:
    """Close it and see its driver's threads end: one that was thrown away in the middle still reports to the loop, which must be there."""
    await database.close()
    while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110  a thread ends without an event
        await asyncio.sleep(0.002)


def operations(database: Database, hand_over: HandOver) -> OperationStore:
    """With the real encoder and the real chain."""
    return OperationStore(database, spans=OtlpEncoder("test"), hand_over=hand_over)


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
