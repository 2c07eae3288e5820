"""DBOS in the segment shape: our row is the truth, a segment is a short workflow of fixed shape that steps until the work waits or ends.

Pinned to `dbos <3.5`; what we lean on is held by tests/contract/engine. DBOS is a process singleton, and so is `Engine`.
"""

import asyncio
import contextlib
import contextvars
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy.engine import make_url

from service.domain.errors import UnavailableError
from service.domain.ports import Work
from service.engine.arrivals import Arrivals
from service.engine.precedence import Precedence
from service.engine.runner import Directive, Runner

log = structlog.get_logger()

VERSION = "segment-1"
"""A constant for ever: it fences nothing but the *shape* of the segment. Another shape gets another workflow name beside this one."""

QUEUE = "operations"
FOR_EVER = 1_000_000

_running: "Engine | None" = None


def _transient(error: BaseException) -> bool:
    return isinstance(error, UnavailableError | OSError | TimeoutError)


@DBOS.step(name="transition", retries_allowed=True, interval_seconds=2.0, backoff_rate=1.0, max_attempts=FOR_EVER, should_retry=_transient)
async def _transition(kind: str, identity: str, seq: int) -> dict[str, Any]:
    if _running is None:
        raise UnavailableError("the engine is not running")
    directive = await _running.step(Work(kind=kind, id=identity, seq=seq))
    return {"stop": directive.stop, "sleep": directive.sleep, "why": directive.why}


@DBOS.workflow(name="work.segment", max_recovery_attempts=1000)
async def _segment(kind: str, identity: str, seq: int) -> str:
    while True:  # fixed shape: every call is decided by a recorded output
        told = await _transition(kind, identity, seq)
        if told["stop"]:
            return str(told["why"])
        if told["sleep"]:
            await DBOS.sleep_async(told["sleep"])


class Engine:
    """Starts, hands over and inspects segments. Implements `HandOver` and `Starter`."""

    def __init__(self, *, url: str, executor_id: str = "local", poll: float = 0.5, precedence: Precedence | None = None) -> None:
        self._url = _plain(url)
        self._precedence = precedence or Precedence()
        self._executor_id = executor_id
        self._poll = poll
        self._client: DBOSClient | None = None
        self._runner: Runner | None = None
        self._arrivals = Arrivals(self._place)
        self._steps = 0
        self._closing = False
        self._still = asyncio.Event()
        self._sqlite: sa.Engine | None = None

    @property
    def runner(self) -> Runner:
        """What the segments run; given once before `launch`."""
        if self._runner is None:
            raise UnavailableError("the engine has nothing to run yet")
        return self._runner

    def give(self, runner: Runner) -> None:
        """The runner and the store need each other's ports: the store hands over to the engine, the engine runs on the store."""
        self._runner = runner

    async def launch(self) -> None:
        """Start DBOS on the running loop; interrupted segments go on by themselves."""
        global _running  # noqa: PLW0603  DBOS is a process singleton, its workflows are module functions
        _running = self
        self._closing = False
        serializer = DBOSPortableJSONSerializer()
        DBOS(
            config={
                "name": "backout",
                "system_database_url": self._url,
                **self._own_engine(),
                "application_version": VERSION,
                "executor_id": self._executor_id,
                "serializer": serializer,
                "max_executor_threads": 16,
                "sys_db_pool_size": 8,
                "sys_db_idle_transaction_timeout_sec": 5.0,
                "notification_coalesce_sec": 0.25,
                "notification_listener_polling_interval_sec": 1.0 if self._poll >= 0.2 else 0.01,  # noqa: PLR2004  tests poll fast
                "scheduler_polling_interval_sec": 3600.0,
                "log_level": "ERROR",
                "console_log_level": "ERROR",
            }
        )
        DBOS.launch()
        await DBOS.register_queue_async(QUEUE, polling_interval_sec=self._poll, worker_concurrency=64)
        self._arrivals.start()
        self._client = DBOSClient(system_database_url=self._url, serializer=serializer, application_name="backout", lazy=True, system_database_pool_size=1)

    def _own_engine(self) -> DBOSConfig:
        """On SQLite the engine's connections wait for no disk: a power cut may take its newest rows, and ours, which are the truth, start them anew.

        What a kill leaves is whole in any case, and what is handed over in our own transaction is as safe as that.
        """
        if make_url(self._url).get_backend_name() != "sqlite":
            return {}
        engine = sa.create_engine(self._url)

        @sa.event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = "IMMEDIATE"  # as DBOS does for an engine of its own
            for pragma in ("busy_timeout=30000", "foreign_keys=ON", "synchronous=NORMAL"):
                connection.execute(f"PRAGMA {pragma}")

        self._sqlite = engine
        return {"system_database_engine": engine}

    async def _place(self, *delivery_ids: str) -> None:
        with self._precedence.taken():
            await self.runner.place(*delivery_ids)

    async def step(self, work: Work) -> Directive:
        """The runner's steps until the work sleeps, waits or ends, unless no more are begun.

        Each is committed in the row, which is the truth; the engine's own note of them is one for all, for it would say nothing that the row does not.
        """
        if self._closing:
            raise UnavailableError("the service is going down")
        self._steps += 1
        try:
            with self._precedence.taken():
                directive = await self.runner.step(work)
                while not (directive.stop or directive.sleep or self._closing):
                    directive = await self.runner.step(work)
                return directive
        finally:
            self._steps -= 1
            if not self._steps:
                self._still.set()

    async def drain(self, *, patience: float) -> bool:
        """Begin no further step, and wait for those that run; False when one still ran after `patience` seconds."""
        self._closing = True
        if self._steps:
            self._still.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._still.wait(), patience)
        return not self._steps

    async def stop(self) -> None:
        """Stop taking work; a running step finishes or is continued after the next start."""
        global _running  # noqa: PLW0603  see launch
        await self._arrivals.stop()
        if self._client is not None:
            client, self._client = self._client, None
            await asyncio.to_thread(client.destroy)
        await asyncio.to_thread(self._destroy)
        _running = None

    def _destroy(self) -> None:
        """In one thread, for DBOS takes the loop's threads with it."""
        DBOS.destroy()
        if self._sqlite is not None:
            self._sqlite.dispose()
            self._sqlite = None

    async def later(self, transaction: Any, work: Work, delay: timedelta) -> None:
        """Hand delayed work over inside the store's transaction (an SQLAlchemy AsyncConnection)."""
        client = self._client
        if client is None:
            raise UnavailableError("the engine is not running")
        options: Any = {
            "workflow_name": "work.segment",
            "queue_name": QUEUE,
            "workflow_id": work.name,
            "app_version": VERSION,
            "delay_seconds": max(0.0, delay.total_seconds()),
        }
        await transaction.run_sync(lambda sync: client.enqueue_in_transaction(sync, options, work.kind, work.id, work.seq))

    async def start(self, work: Work) -> None:
        """Start work now (2-3 ms to its first step); starting it twice runs it once."""
        if _running is not self:
            return  # the row is the truth: the reconciler starts it
        if work.kind == "delivery":
            self._arrivals.add(work.id)
            return
        # A step may start work too (an alert begins an operation), and DBOS lets no step start a workflow: so it is done in a context of its own.
        await asyncio.get_running_loop().create_task(self._start(work), context=contextvars.Context())

    @staticmethod
    async def _start(work: Work) -> None:
        with SetWorkflowID(work.name):
            await DBOS.start_workflow_async(_segment, work.kind, work.id, work.seq)

    async def owners(self) -> frozenset[str]:
        """The processes that segments run in, as far as the engine knows."""
        return frozenset(one.executor_id for one in await self._pending() if one.executor_id)

    async def take_over(self, owner: str) -> int:
        """Put the segments of a process that is gone back into the queue, for any living process; answers how many."""
        found = [one.workflow_id for one in await self._pending() if one.executor_id == owner]
        if found:
            await DBOS.resume_workflows_async(found, queue_name=QUEUE)
        return len(found)

    @staticmethod
    async def _pending() -> Any:
        return await DBOS.list_workflows_async(status="PENDING", name="work.segment", load_input=False, load_output=False)

    async def active(self) -> frozenset[str]:
        """Ids of segments that run, wait in the queue, or are delayed."""
        found = await DBOS.list_workflows_async(status=["PENDING", "ENQUEUED", "DELAYED"], name="work.segment", load_input=False, load_output=False)
        return frozenset(one.workflow_id for one in found)

    async def is_active(self, work: Work) -> bool:
        """Whether this very segment runs or waits."""
        if work.kind == "delivery":
            return self._arrivals.has(work.id)
        found = await DBOS.list_workflows_async(workflow_ids=[work.name], status=["PENDING", "ENQUEUED", "DELAYED"], load_input=False, load_output=False)
        return bool(found)

    async def collect(self, *, older_than: timedelta, now: Any) -> int:
        """Delete ended segments older than that; our own rows are kept by their own policy."""
        before = (now - older_than).isoformat()
        ended = await DBOS.list_workflows_async(
            status=["SUCCESS", "ERROR", "CANCELLED"], completed_before=before, load_input=False, load_output=False, limit=500
        )
        if ended:
            await DBOS.delete_workflows_async([one.workflow_id for one in ended])
        return len(ended)


def _plain(url: str) -> str:
    parsed = make_url(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=False)
