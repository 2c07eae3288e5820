"""Checkout's release 42 burns, 41 was good: the world of the domain's tests, told by fakes over a real store, and a story driven step by step without DBOS."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.domain import keys, spans
from service.domain.difference import Rendered
from service.domain.facts import Absent
from service.domain.model import Hold, Image, Mode, Operation, OperationKind, Release, TargetId
from service.domain.policy import AlertMapping, Policies, RecoveredWhen, TargetPolicy
from service.domain.ports import AuditEvent, Transition, Work
from service.domain.rule import Trigger
from service.domain.rules import RULES
from service.engine.runner import Runner, Story
from service.store import tables as t
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.holds import HoldStore
from service.store.outbox import OutboxStore
from service.store.records import StopStore
from service.store.targets import TargetStore
from service.workflow import record
from service.workflow.correlate import Correlator
from service.workflow.desk import Desk
from service.workflow.examine import Examiner
from service.workflow.forward import ForwardStory
from service.workflow.gather import Gatherer
from service.workflow.keeper import Keeper
from service.workflow.messages import Told
from service.workflow.own_facts import OwnFacts
from service.workflow.rollback import Ports, RollbackStory
from service.workflow.watch import Watcher
from tests.fakes import store
from tests.fakes.clock import FakeClock
from tests.fakes.delivery import Application, FakeDelivery
from tests.fakes.facts import FakeFacts
from tests.fakes.hand_over import FakeEngine
from tests.unit.service.domain import made

TARGET = made.TARGET
CHANNEL = "notify:on-call"
SLI, TRAFFIC = "sum(rate(errors[9s]))", "sum(rate(requests[9s]))"
QUICK = RecoveredWhen(
    promql=SLI, below=0.01, bake=timedelta(seconds=1), scrape_interval=timedelta(milliseconds=400), passes=2, give_up_after=timedelta(seconds=10)
)
POLICY = replace(made.POLICY, match="prod:*", version="1", mode=Mode.AUTO, alerts=("HighErrorRate",), namespaces=("shop",), recovered_when=QUICK)
ENDED = "ended"
PROMISED_BY_THE_STORE = r"test_promise_(2|3|7|9|10|13)_"
"""Stories whose promise rests on what the store does (what is kept, once, held, counted, told): for `ON_BOTH` of a module with many other ones."""


class OneByOne:
    """A story each of whose transitions is committed by itself, so that a test can stop between any two; or, `together`, as the service plays it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.together = False

    @property
    def phases(self) -> frozenset[str]:
        return self.story.phases

    async def advance(self, operation: Operation) -> Transition:
        told = await self.story.advance(operation)
        return told if self.together else replace(told, goes_on=False)

    async def barred(self, operation: Operation, why: str) -> Transition:
        return await self.story.barred(operation, why)

    async def failed(self, operation: Operation, why: str) -> Transition:
        return await self.story.failed(operation, why)


class Stage:
    """One target and everything around it. `policy` may be changed before the story is driven."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = FakeClock(made.NOW)
        self.engine = FakeEngine()
        self.operations = store.operations(database, self.engine)
        self.alerts, self.targets, self.holds = AlertStore(database), TargetStore(database), HoldStore(database)
        self.outbox, self.stop_file = OutboxStore(database), folder / "STOP"
        self.switch = StopStore(database, self.stop_file)
        images = {made.SUSPECT.key: made.NEW_IMAGE, made.GOAL.key: made.OLD_IMAGE}
        images |= {made.FIX.key: made.FIX_IMAGE}
        manifests: dict[str, tuple[Rendered, ...]] = {
            made.SUSPECT.key: (made.rendered(replicas="3"),),
            made.GOAL.key: (made.rendered(),),
            made.FIX.key: (made.rendered(),),
        }
        self.app = Application(history=[made.SUSPECT, made.GOAL], images=images, manifests=manifests)
        self.delivery = FakeDelivery(self.clock, TARGET, self.app)
        self.deliveries = {"prod": self.delivery}
        self.facts = FakeFacts(self.clock)
        self.mapping: tuple[AlertMapping, ...] = ()
        self.scopes: dict[str, str] = {"main": "prod:*"}
        self.told = Told(channels=(CHANNEL,), public_url="https://backout.example", trace_link="https://jaeger.example/trace/{trace_id}")
        self._ids = 0
        self.fenced, self.may_act, self.at_fence = 0, asyncio.Event(), asyncio.Event()
        self.may_act.set()
        self.tell_the_world()
        self.use(POLICY)

    def new_id(self, kind: str) -> str:
        """Ids that a test can read."""
        self._ids += 1
        return f"{kind}_{self._ids}"

    async def fence(self) -> bool:
        """Counted; waits while a test forbids it to act."""
        self.fenced += 1
        self.at_fence.set()
        waits = not self.may_act.is_set()
        await self.may_act.wait()
        return waits

    def use(self, policy: TargetPolicy, *more: TargetPolicy) -> None:
        """(Re)wire everything for these policies."""
        self.policies = Policies((*more, policy))
        self.own = OwnFacts(targets=self.targets, holds=self.holds, policies=self.policies, freshness={}, clock=self.clock, operations=self.operations)
        self.gatherer = Gatherer(deliveries=self.deliveries, sources=[self.facts, self.own], clock=self.clock, read_seconds=5)
        self.examiner = Examiner(
            gatherer=self.gatherer, deliveries=self.deliveries, targets=self.targets, rules=RULES, policies=self.policies, clock=self.clock
        )
        ports = Ports(
            examiner=self.examiner,
            gatherer=self.gatherer,
            deliveries=self.deliveries,
            targets=self.targets,
            journal=self.operations,
            alerts=self.alerts,
            holds=self.holds,
            stop=self.switch,
            clock=self.clock,
            told=self.told,
            new_id=self.new_id,
            fence=self.fence,
        )
        self.story = RollbackStory(ports)
        self.played = OneByOne(self.story)
        self.correlator = Correlator(
            alerts=self.alerts,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            targets=self.targets,
            outbox=self.outbox,
            policies=self.policies,
            mapping=self.mapping,
            instances=tuple(self.deliveries),
            scopes=self.scopes,
            told=self.told,
            clock=self.clock,
            new_id=self.new_id,
        )
        self.desk = Desk(
            examiner=self.examiner,
            deliveries=self.deliveries,
            targets=self.targets,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            holds=self.holds,
            stop=self.switch,
            clock=self.clock,
            new_id=self.new_id,
            fence=self.fence,
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
            clock=self.clock,
            new_id=self.new_id,
        )
        self.watcher = Watcher(deliveries=self.deliveries, targets=self.targets, gatherer=self.gatherer, clock=self.clock)
        self.runner = Runner(
            journal=self.operations,
            stories={OperationKind.ROLLBACK: self.played, OperationKind.FORWARD: OneByOne(ForwardStory(ports))},
            place=self.correlator.place,
            clock=self.clock,
        )

    def change(self, **changes: Any) -> None:
        """Use the policy with these changes."""
        self.use(replace(self.policies.of(TARGET), **changes))

    def tell_the_world(self) -> None:
        """What metrics, registry and Git say: bad while 42 is live, good once 41 is."""
        bad = self.bad
        self.retell(self.trigger().series_labels)
        self.facts.tell(made.SERIES, lambda: replace(made.shares({"v2.5.0": 0.31, "v2.4.6": 0.001}), at=self.clock.now()))
        self.tell_series(SLI, lambda: 0.31 if bad() else 0.001)
        self.facts.tell(made.MANIFEST, keys.Manifest(digest=made.OLD_DIGEST))
        for key, revision in ((made.LABELS_NEW, made.NEW_REVISION), (made.LABELS_OLD, made.OLD_REVISION)):
            self.facts.tell(key, keys.ImageConfig(labels={}, revision=revision, repository=made.REPOSITORY))
        self.facts.tell(made.DIFFERENCE, made.difference())
        self.facts.tell(keys.manifest(str(made.FIX_IMAGE.exact)), keys.Manifest(digest=made.FIX_DIGEST))
        fix = keys.ImageConfig(labels={}, revision=made.FIX_SOURCE_REVISION, repository=made.REPOSITORY)
        self.facts.tell(keys.image_config(str(made.FIX_IMAGE.exact)), fix)
        change = keys.source_change(made.REPOSITORY, made.OLD_REVISION, made.FIX_SOURCE_REVISION)
        self.facts.tell(change, made.difference(new=made.FIX_SOURCE_REVISION))

    def retell(self, labels: tuple[tuple[str, str], ...]) -> None:
        """The alert of these labels fires while the bad release is live."""
        bad = self.bad
        self.facts.tell(
            keys.alert_now("HighErrorRate", labels),
            lambda: keys.AlertNow(state="firing" if bad() else "inactive", active_at=made.ONSET if bad() else None),
        )
        rule = keys.AlertRule(name="HighErrorRate", query="errors > 0.01", hold=made.FOR, keep_firing=timedelta(0))
        self.facts.tell(keys.alert_rule("HighErrorRate", labels), rule)

    def tell_series(self, promql: str, value: Any) -> None:
        """One series with that value, always fresh."""
        self.facts.tell(keys.series(promql), lambda: keys.Series(values={(("app", "checkout"),): value() if callable(value) else value}, at=self.clock.now()))

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """The labels that pick the alert's series."""
        return self.trigger().series_labels

    def bad(self) -> bool:
        """Whether the bad release is what runs."""
        return self.app.live.key == made.SUSPECT.key

    def trigger(self, incident: str = "inc_1") -> Trigger:
        """The alert that began it."""
        told = {"alertname": "HighErrorRate", "namespace": "shop", **dict(made.LABELS)}
        return Trigger(incident_id=incident, alert="HighErrorRate", labels=told, began_at=made.BEGAN, received_at=made.NOW)

    async def prepare(self) -> None:
        """What Backout saw before: the list, the spec before the onset, both releases while they lived."""
        await self.targets.remember(await self.delivery.targets(), "prod", made.NOW)
        records = [made.record(made.GOAL, made.OLD_IMAGE), made.record(made.SUSPECT, made.NEW_IMAGE)]
        await self.targets.remember_state(await self.delivery.look(TARGET), records, made.ONSET - timedelta(minutes=1))

    # --- driving -------------------------------------------------------------------------------------------------------------

    async def begin(self, *, mode: Mode = Mode.AUTO, automatic: bool = True, identity: str = "op_1", confirmed: record.Confirmed | None = None) -> Operation:
        """Begin an operation as correlation (or the desk) would."""
        trigger = self.trigger() if automatic else None
        data = record.dump(record.Rollback(trigger=trigger, fingerprints=("f00d",) if automatic else (), confirmed=confirmed))
        row = store.operation(identity, target=TARGET, mode=mode, automatic=automatic, data=data, created_at=self.clock.now(), updated_at=self.clock.now())
        return await self.operations.begin(row, (), ())

    async def row(self, identity: str = "op_1") -> Operation:
        """The row now."""
        found = await self.operations.load(identity)
        assert found is not None
        return found

    async def step(self, identity: str = "op_1") -> Operation:
        """One step, and whatever short pause follows it; a long wait is the caller's to end."""
        return await self._step(await self.row(identity))

    async def _step(self, before: Operation, *, wait: bool = False) -> Operation:
        directive = await self.runner.step(Work(kind="operation", id=before.id, seq=before.seq))
        if not directive.stop:
            await self.clock.sleep(directive.sleep)
        row = await self.row(before.id)
        if directive.stop and wait and row.phase != "awaiting_approval" and (woken := await self._woken_at(before.id)) is not None:
            self.clock.at = max(self.clock.at, woken)
        return row

    async def drive(self, *, until: str = ENDED, identity: str = "op_1", limit: int = 400, patient: bool = False) -> Operation:
        """Step until a phase. Delayed segments come when their time has come; a wait for a person is waited out only if `patient`."""
        row = await self.row(identity)
        if patient and (woken := await self._woken_at(identity)) is not None:
            self.clock.at = max(self.clock.at, woken)
        for _ in range(limit):
            if row.phase == until or row.done_at is not None or (row.phase == "awaiting_approval" and not patient):
                return row
            row = await self._step(row, wait=True)
        raise AssertionError(f"still in phase {row.phase} after {limit} steps: {row.says}")

    async def recovered(self) -> Operation:
        """The happy path."""
        await self.begin()
        return await self.drive()

    async def _woken_at(self, identity: str) -> datetime | None:
        async with self.database.read() as connection:
            woken: datetime | None = (await connection.execute(sa.select(t.operation.c.wake_at).where(t.operation.c.id == identity))).scalar_one()
            return woken

    # --- looking -------------------------------------------------------------------------------------------------------------

    async def events(self, identity: str = "op_1") -> list[AuditEvent]:
        """All audit rows."""
        return list(await self.operations.events(identity))

    async def kinds(self, identity: str = "op_1") -> list[str]:
        """The kinds of the audit rows."""
        return [one.kind for one in await self.events(identity)]

    async def trace(self, identity: str = "op_1") -> list[Span]:
        """The spans as they are exported."""
        found: list[Span] = []
        for body in await self.operations.span_bodies(identity):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return found

    async def messages(self) -> list[Mapping[str, Any]]:
        """What people are told, in order."""
        import json  # noqa: PLC0415  only here

        return [json.loads(body) for _, body, _ in await self.outbox.due(CHANNEL, self.clock.now() + timedelta(days=9), 100)]

    async def held(self) -> Hold:
        """Rolled back, and the hold that stands since; the bad commit is still desired."""
        assert (await self.recovered()).done_at is not None
        self.app.desired = made.SUSPECT
        hold = await self.hold()
        assert hold is not None
        return hold

    def push(self, release: Release = made.FIX, image: Image | None = None) -> None:
        """Another release is desired from now on."""
        self.app.desired, self.app.desired_revision = release, release.revision
        if image is not None:
            self.app.images[release.key] = image

    async def keep(self) -> Operation | None:
        """One round of the keeper; the operation that it began, if it did."""
        before = {one.id for one in await self.operations.find(target=str(TARGET))}
        await self.keeper.round()
        return next((one for one in await self.operations.find(target=str(TARGET)) if one.id not in before), None)

    async def went_forward(self) -> Operation:
        """A round that begins an operation, driven to its end (or to where a person decides)."""
        began = await self.keep()
        assert began is not None
        return await self.drive(identity=began.id)

    async def hold(self) -> Hold | None:
        """The target's open hold."""
        return await self.holds.open_for(TARGET)

    def absent(self, why: str = "the connection was refused") -> Absent:
        """Nobody could find out."""
        return Absent(why)


def attribute(span: Span, name: str) -> Any:
    """The value of one attribute, or None."""
    for pair in span.attributes:
        if pair.key == name:
            return getattr(pair.value, str(pair.value.WhichOneof("value")))
    return None


def roots(trace: Sequence[Span]) -> list[Span]:
    """The spans without a parent."""
    return [span for span in trace if not span.parent_span_id]


def orphans(trace: Sequence[Span]) -> list[str]:
    """Names of spans whose parent is in no place of the trace."""
    known = {span.span_id for span in trace}
    return [span.name for span in trace if span.parent_span_id and span.parent_span_id not in known]


def named(trace: Sequence[Span], name: str) -> list[Span]:
    """The spans of that name."""
    return [span for span in trace if span.name == name]


OTHER = TargetId("prod", "cart")
__all__ = ["CHANNEL", "OTHER", "POLICY", "QUICK", "SLI", "TARGET", "TRAFFIC", "Stage", "attribute", "made", "named", "orphans", "roots", "spans"]
