"""A running service but for its HTTP edge: stores, engine, story and loops, joined once and in one straight function, for each step needs earlier ones."""

import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial

import structlog

from service.domain import spans
from service.domain.errors import BackoutError
from service.domain.model import Operation, OperationKind
from service.domain.ports import Clock, Sender
from service.domain.rules import RULES
from service.engine.lease import Alone, Lease
from service.engine.precedence import Precedence
from service.engine.reconciler import Reconciler
from service.engine.runner import Runner
from service.engine.segments import Engine
from service.engine.sender import OutboxSender
from service.engine.tasks import Tasks
from service.settings import Settings
from service.store.alerts import AlertStore
from service.store.captures import CaptureStore
from service.store.catalogs import CatalogStore
from service.store.database import Database
from service.store.events import EventStore
from service.store.executors import ExecutorStore
from service.store.holds import HoldStore
from service.store.labels import LabelStore
from service.store.migrating import migrate
from service.store.operations import OperationStore, new_id
from service.store.outbox import OutboxStore
from service.store.readiness import ReadinessStore
from service.store.records import AnswerStore, PlanStore, StopStore
from service.store.statements import StatementStore
from service.store.targets import TargetStore
from service.wiring.parts import ONE_LOOK, TRACE, LateEncoder, Outside, new_moment, outside, unhurried
from service.workflow import messages
from service.workflow.capture import Capturer
from service.workflow.chapters.chapter import BEGIN
from service.workflow.cluster_facts import ClusterFacts
from service.workflow.correlate import Correlator
from service.workflow.desk import Desk
from service.workflow.examine import Examiner
from service.workflow.forward import ForwardStory
from service.workflow.gather import Gatherer
from service.workflow.keeper import Keeper
from service.workflow.kept_labels import KeptLabels
from service.workflow.messages import Told
from service.workflow.own_facts import OwnFacts
from service.workflow.readiness import Doors, Readiness
from service.workflow.rollback import Ports, RollbackStory
from service.workflow.snapshots import Snapshots
from service.workflow.watch import Freshness, Watcher

log = structlog.get_logger()

DRAIN_PATIENCE = 10.0
"""Seconds that a running step has to end at SIGTERM."""

KEEP_ENDED = timedelta(days=2)
"""So long what the engine ended, and the rows of processes that are gone, are kept."""

KEEP_GONE = timedelta(days=30)
"""So long the standing verdicts of targets that are gone are kept, how they turned, which schema their releases had, and what those ran."""

KEEP_LABELS = timedelta(days=90)
"""So long labels of images are kept before they are read anew: they do not change, but images come and go."""

AHEAD_SECONDS = 300.0
"""How long one fact may take that is read ahead of time, waiting for its turn included."""


class Service:
    """The running service but for its HTTP edge: stores, engine, story, loops.

    `database`, `engine`, `edges` (everything that speaks to the outside) and `lease` are made from the settings; tests bring their own.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        count: Callable[[str, str], None] = lambda _a, _b: None,
        database: Database | None = None,
        engine: Engine | None = None,
        edges: Outside | None = None,
        lease: Lease | Alone | None = None,
    ) -> None:
        self.settings, self.clock = settings, clock
        self.precedence = Precedence()
        self.tasks, self._vital = Tasks(self.precedence.free), Tasks()
        self.database = database or Database(settings.store)
        self.outside = edges or outside(settings, clock)
        self.told = Told(
            channels=tuple(f"notify:{name}" for name in self.outside.notifiers), public_url=settings.public_url, trace_link=settings.audit.trace_link
        )
        self.lease = lease or _lease(self.database, clock, settings)
        self.engine = engine or Engine(url=settings.store, executor_id=self.lease.name, precedence=self.precedence)
        self.alerts = AlertStore(self.database)
        self.encoder = LateEncoder(settings.audit.environment)
        self.operations = OperationStore(self.database, spans=self.encoder, hand_over=self.engine)
        self.events = EventStore(self.database)
        self.targets = TargetStore(self.database)
        self.holds = HoldStore(self.database)
        self.outbox = OutboxStore(self.database)
        self.plans = PlanStore(self.database)
        self.captures = CaptureStore(self.database)
        self.capturer = Capturer(
            deliveries=self.outside.deliveries, captures=self.captures, clock=clock, begin=self.tasks.begin, stand_back=self.precedence.free
        )
        self.answers = AnswerStore(self.database, executor=self.lease.name)
        self.stop_switch = StopStore(self.database, settings.stop_file)
        self.policies = settings.policies
        freshness: dict[str, Freshness] = {}
        self.catalogs = CatalogStore(self.database)
        self.statements = StatementStore(self.database)
        own = OwnFacts(
            targets=self.targets,
            holds=self.holds,
            policies=self.policies,
            freshness=freshness,
            clock=clock,
            catalogs=self.catalogs,
            statements=self.statements,
            operations=self.operations,
        )
        clusters = [ClusterFacts(targets=self.targets, source=one) for one in self.outside.sources.values() if "workloads of a cluster" in one.kinds]
        self.labels = LabelStore(self.database)
        labels = [
            KeptLabels(source=one, kept=self.labels, platform=str(getattr(one, "platform", "")), clock=clock)
            for one in self.outside.sources.values()
            if "image labels" in one.kinds
        ]
        # Of two that tell one kind the later one is asked: the labels that are kept stand before the registries.
        self.gatherer = Gatherer(deliveries=self.outside.deliveries, sources=[*self.outside.sources.values(), *clusters, *labels, own], clock=clock)
        self.examiner = Examiner(
            gatherer=self.gatherer, deliveries=self.outside.deliveries, targets=self.targets, rules=RULES, policies=self.policies, clock=clock
        )
        patient = self.gatherer.patient(AHEAD_SECONDS)
        ahead = Examiner(
            gatherer=patient,
            deliveries=self.outside.deliveries,
            targets=self.targets,
            rules=RULES,
            policies=self.policies,
            clock=clock,
        )
        self.standings = ReadinessStore(self.database)
        self.readiness = Readiness(
            examiner=ahead,
            targets=self.targets,
            kept=self.standings,
            clock=clock,
            max_age=settings.readiness.max_age,
            snapshots=Snapshots(catalogs=self.catalogs, statements=self.statements, gatherer=patient, clock=clock),
            entering=unhurried(settings.readiness.per_second, clock),
            looking=partial(new_moment, clock, ONE_LOOK),
            stand_back=self.precedence.free,
            alive=self.operations.alive_for,
            doors=Doors(self.told, momentary=[rule.name for rule in RULES if rule.momentary], most=settings.readiness.messages),
        )
        self.watcher = Watcher(
            deliveries=self.outside.deliveries,
            targets=self.targets,
            gatherer=self.gatherer,
            clock=clock,
            changed=self.readiness.changed,
            every=settings.watch.every,
            beat=settings.watch.beat,
            freshness=freshness,
        )
        self.correlator = Correlator(
            alerts=self.alerts,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            targets=self.targets,
            outbox=self.outbox,
            policies=self.policies,
            mapping=settings.mapping,
            instances=tuple(self.outside.deliveries),
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
            stop=self.stop_switch,
            clock=clock,
            new_id=new_id,
            fence=self.lease.fence,
        )
        ports = Ports(
            examiner=self.examiner,
            gatherer=self.gatherer,
            deliveries=self.outside.deliveries,
            targets=self.targets,
            journal=self.operations,
            alerts=self.alerts,
            holds=self.holds,
            stop=self.stop_switch,
            clock=clock,
            told=self.told,
            new_id=new_id,
            fence=self.lease.fence,
        )
        self.runner = Runner(
            journal=self.operations,
            stories={OperationKind.ROLLBACK: RollbackStory(ports), OperationKind.FORWARD: ForwardStory(ports)},
            place=self.correlator.place,
            clock=clock,
            entering=self._entering,
            tell=partial(messages.stumbled, self.told),
        )
        self.keeper = Keeper(
            holds=self.holds,
            gatherer=self.gatherer,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            targets=self.targets,
            outbox=self.outbox,
            policies=self.policies,
            told=self.told,
            clock=clock,
            new_id=new_id,
        )
        self.engine.give(self.runner)
        self.reconciler = Reconciler(
            engine=self.engine, journal=self.operations, alerts=self.alerts, clock=clock, repaired=lambda what: count("repaired", what)
        )
        senders: dict[str, tuple[Sender, int]] = {f"notify:{name}": (sender, 1) for name, sender in self.outside.notifiers.items()}
        if self.outside.trace is not None:
            senders["trace"] = (self.outside.trace, 128)
        self.sender = OutboxSender(box=self.outbox, senders=senders, clock=clock, count=count, fence=self.lease.fence)

    async def start(self) -> None:
        """Open the store, bring it up to date, start the engine and the loops."""
        try:
            self.database.lock()
        except OSError as error:
            raise BackoutError(
                f"the folder of the store {self.database.path.name} cannot be used ({error.strerror}); make it a folder to write into"
            ) from error
        await migrate(self.database)
        await self.lease.begin()
        await self.answers.give_up_all()
        await self.engine.launch()
        if self.lease.leads:  # else another process may be between two steps
            self.reconciler.hurry()
        if isinstance(self.lease, Lease):
            self._vital.every(self.lease.every, "beat", self.lease.beat)
            self._vital.every(self.lease.every, "sweep", self._sweep)
        self.tasks.every(self.settings.watch.every.total_seconds(), "watch", self.watcher.round)
        for name in self.outside.deliveries:
            self.tasks.keep(f"hear {name}", partial(self.watcher.hear, name))
            self.tasks.every(0.25, f"heed {name}", partial(self.watcher.heed, name))
        self._once(self.settings.watch.every.total_seconds(), "holds", self.keeper.round)
        for channel in self.sender.channels:
            self._once(0.5, f"outbox {channel}", partial(self.sender.round, channel))
        self._once(5, "reconcile", self.reconciler.round)
        self._once(10, "incidents", self.correlator.sweep)
        self._once(0.25, "capture", self.capturer.round)
        self.tasks.every(1, "readiness", self._stand)
        self._once(3600, "collect", self._collect)
        if not self.told.anybody:
            log.warning("nobody is configured to be told (notify:); no target leaves mode observe")

    async def stop(self) -> None:
        """Let running steps end, stop the loops and the engine, and close everything; what was under way goes on in another process or after the next start.

        The lease ends when nothing here can act any more: from then on another process may.
        """
        if not await self.engine.drain(patience=DRAIN_PATIENCE):
            log.warning("a step was still under way; it is looked for before it is done again")
        await self.tasks.stop()
        await self.engine.stop()
        await self._vital.stop()
        await self.lease.end()
        await self.outside.close()
        await self.database.close()

    def alive(self) -> dict[str, bool]:
        """Whether each background loop still runs."""
        return self.tasks.alive() | self._vital.alive()

    def _once(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        """A loop that runs in one of all processes on the store."""

        async def led() -> None:
            if self.lease.leads:
                await one()

        self.tasks.every(seconds, name, led)

    def _entering(self, operation: Operation) -> None:
        """Before each transition. An operation's first act may come sooner than the next round of the capture's loop, so its *before* is taken now."""
        if operation.phase == BEGIN and self.lease.leads:
            self.tasks.begin("capture", self.capturer.round)
        _entering(operation, self.clock)

    async def _stand(self) -> None:
        while self.lease.leads and await self.readiness.round():
            pass  # its own pace holds it back
        if not self.lease.leads:
            await self.readiness.learn()

    async def _sweep(self) -> None:
        if isinstance(self.lease, Lease) and await self.lease.sweep(self.engine):
            await self.answers.give_up_all()

    async def _collect(self) -> None:
        await self.engine.collect(older_than=KEEP_ENDED, now=self.clock.now())
        await self.lease.forget(self.clock.now() - KEEP_ENDED)
        for kept in (self.standings, self.catalogs, self.statements):
            await kept.forget(self.clock.now() - KEEP_GONE)
        await self.labels.forget(self.clock.now() - KEEP_LABELS)


def _lease(database: Database, clock: Clock, settings: Settings) -> Lease | Alone:
    if database.sqlite:
        return Alone()
    name = f"{socket.gethostname()[:64]}-{uuid.uuid4().hex[:8]}"  # a name for each start: under the old one it would be given what runs elsewhere by now
    return Lease(name=name, executors=ExecutorStore(database), clock=clock, grace=settings.takeover_after.total_seconds())


def _entering(operation: Operation, clock: Clock) -> None:
    """Argo CD's spans of what we ask now stand under the operation's root, and what was read for an earlier transition serves no more."""
    TRACE.set(spans.traceparent(operation.id))
    new_moment(clock)


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[Service]:
    """A started service, stopped at the end of the block."""
    service = Service(settings, clock)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
