"""The composition root: settings, integrations and a clock in, a running service out. The only file that knows both sides."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from integrations import catalogue
from service.domain import spans
from service.domain.errors import BackoutError, NotFoundError
from service.domain.model import Operation, OperationKind
from service.domain.ports import Checked, Clock, Delivery, FactSource, Sender
from service.domain.rules import RULES
from service.settings import Kinds, Settings, explain, load
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.holds import HoldStore
from service.store.migrating import migrate
from service.store.operations import OperationStore, new_id
from service.store.outbox import OutboxStore
from service.store.records import AnswerStore, PlanStore, StopStore
from service.store.targets import TargetStore
from service.workflow.correlate import Correlator
from service.workflow.desk import Desk
from service.workflow.examine import Examiner
from service.workflow.gather import Gatherer
from service.workflow.messages import Told
from service.workflow.own_facts import OwnFacts
from service.workflow.rollback import Ports, RollbackStory
from service.workflow.watch import Watcher

VERSION = "0.1.0"

log = structlog.get_logger()

_trace: ContextVar[str] = ContextVar("backout_trace", default="")


class SystemClock:
    """Real time, UTC."""

    def now(self) -> datetime:
        """Now, aware."""
        return datetime.now(UTC)  # noqa: TID251  this is the Clock that everybody else is told to use

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


def kinds() -> Kinds:
    """The settings models of every integration in the catalogue."""
    return Kinds(
        delivery={kind: entry.settings for kind, entry in catalogue.DELIVERY.items()},
        notify={kind: entry.settings for kind, entry in catalogue.NOTIFY.items()},
        evidence={kind: entry.settings for kind, entry in catalogue.EVIDENCE.items()},
        rules=tuple(rule.name for rule in RULES),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Everything that speaks to the outside, built from the settings."""

    deliveries: Mapping[str, Delivery]
    sources: Mapping[str, FactSource]
    notifiers: Mapping[str, Sender]
    trace: Sender | None

    async def close(self) -> None:
        """Close every connection."""
        for one in (*self.deliveries.values(), *self.sources.values(), *self.notifiers.values(), self.trace):
            close = getattr(one, "close", None)
            if close is not None:
                await close()


def outside(settings: Settings, clock: Clock) -> Outside:
    """Build every configured integration; nothing is connected yet."""
    trace = None
    if settings.audit.otlp:
        entry = catalogue.TRACE["otlp"]
        audit = settings.audit
        given = {"url": audit.otlp, "query_url": audit.query or None, "token_file": audit.token_file, "ca_file": audit.ca_file}
        trace = entry.build(entry.settings.model_validate({k: v for k, v in given.items() if v is not None}), clock)
    return Outside(
        deliveries={one.name: catalogue.DELIVERY[one.kind].build(one.settings, clock, traceparent=_trace.get) for one in settings.delivery},
        sources={kind: catalogue.EVIDENCE[kind].build(one, clock) for kind, one in settings.evidence.items()},
        notifiers={one.name: catalogue.NOTIFY[one.kind].build(one.settings, clock) for one in settings.notify},
        trace=trace,
    )


class Service:
    """The running service but for its HTTP edge: stores, engine, story, loops."""

    def __init__(self, settings: Settings, clock: Clock, *, count: Callable[[str, str], None] = lambda _a, _b: None) -> None:
        from service.audit.chain import link  # noqa: PLC0415  the OpenTelemetry SDK takes 0.2 s to import: commands that do not serve go without
        from service.audit.encoding import OtlpEncoder  # noqa: PLC0415
        from service.engine.reconciler import Reconciler  # noqa: PLC0415  DBOS takes 0.4 s
        from service.engine.runner import Runner  # noqa: PLC0415
        from service.engine.segments import Engine  # noqa: PLC0415
        from service.engine.sender import OutboxSender  # noqa: PLC0415
        from service.engine.tasks import Tasks  # noqa: PLC0415

        self.settings, self.clock = settings, clock
        self.database = Database(settings.store)
        self.outside = outside(settings, clock)
        self.told = Told(
            channels=tuple(f"notify:{name}" for name in self.outside.notifiers), public_url=settings.public_url, trace_link=settings.audit.trace_link
        )
        self.engine = Engine(url=settings.store)
        self.alerts = AlertStore(self.database)
        self.operations = OperationStore(self.database, spans=OtlpEncoder(VERSION, settings.audit.environment), link=link, hand_over=self.engine)
        self.targets = TargetStore(self.database)
        self.holds = HoldStore(self.database)
        self.outbox = OutboxStore(self.database)
        self.plans = PlanStore(self.database)
        self.answers = AnswerStore(self.database)
        self.stop_switch = StopStore(self.database, settings.stop_file)
        self.policies = settings.policies
        own = OwnFacts(targets=self.targets, holds=self.holds, journal=self.operations, policies=self.policies, clock=clock)
        self.gatherer = Gatherer(deliveries=self.outside.deliveries, sources=[*self.outside.sources.values(), own], clock=clock)
        self.examiner = Examiner(
            gatherer=self.gatherer, deliveries=self.outside.deliveries, targets=self.targets, rules=RULES, policies=self.policies, clock=clock
        )
        self.watcher = Watcher(deliveries=self.outside.deliveries, targets=self.targets, gatherer=self.gatherer, clock=clock, beat=settings.watch.beat)
        self.correlator = Correlator(
            alerts=self.alerts,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            targets=self.targets,
            outbox=self.outbox,
            policies=self.policies,
            mapping=settings.mapping,
            scopes={one.name: one.targets for one in settings.alerts.alertmanager},
            told=self.told,
            clock=clock,
            new_id=new_id,
        )
        self.desk = Desk(
            examiner=self.examiner,
            deliveries=self.outside.deliveries,
            targets=self.targets,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            holds=self.holds,
            clock=clock,
            new_id=new_id,
        )
        story = RollbackStory(
            Ports(
                examiner=self.examiner,
                gatherer=self.gatherer,
                deliveries=self.outside.deliveries,
                targets=self.targets,
                journal=self.operations,
                stop=self.stop_switch,
                clock=clock,
                told=self.told,
                new_id=new_id,
            )
        )
        self.runner = Runner(journal=self.operations, stories={OperationKind.ROLLBACK: story}, place=self.correlator.place, clock=clock, entering=_entering)
        self.engine.give(self.runner)
        self.reconciler = Reconciler(
            engine=self.engine, journal=self.operations, alerts=self.alerts, clock=clock, repaired=lambda what: count("repaired", what)
        )
        senders: dict[str, tuple[Sender, int]] = {f"notify:{name}": (sender, 1) for name, sender in self.outside.notifiers.items()}
        if self.outside.trace is not None:
            senders["trace"] = (self.outside.trace, 128)
        self.sender = OutboxSender(box=self.outbox, senders=senders, clock=clock, count=count)
        self.tasks = Tasks()

    async def start(self) -> None:
        """Open the store, bring it up to date, start the engine and the loops."""
        self.database.lock()
        await migrate(self.database)
        await self.engine.launch()
        await self.reconciler.round(patience=timedelta(0))
        self.tasks.every(self.settings.watch.every.total_seconds(), "watch", self.watcher.round)
        self.tasks.every(0.5, "outbox", self.sender.round)
        self.tasks.every(5, "reconcile", self.reconciler.round)
        self.tasks.every(10, "incidents", self.correlator.sweep)
        self.tasks.every(3600, "collect", self._collect)
        if not self.told.anybody:
            log.warning("nobody is configured to be told (notify:); no target leaves mode observe")

    async def stop(self) -> None:
        """Stop the loops, the engine, and close everything; what was under way goes on after the next start."""
        await self.tasks.stop()
        await self.engine.stop()
        await self.outside.close()
        await self.database.close()

    async def _collect(self) -> int:
        return await self.engine.collect(older_than=timedelta(days=2), now=self.clock.now())


def _entering(operation: Operation) -> None:
    """Argo CD's spans of what we ask now stand under the operation's root."""
    _trace.set(spans.traceparent(operation.id))


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[Service]:
    """A started service, stopped at the end of the block."""
    service = Service(settings, clock)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def settings_help(path: str) -> str:
    """The settings at a path, as text."""
    return explain(kinds(), path)


def stop_file(config: Path) -> Path | None:
    """The stop file that the settings name."""
    return load(config, kinds()).stop_file


_ = (Checked, BackoutError, NotFoundError, json, os, signal, sys, Any)
