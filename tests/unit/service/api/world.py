"""A whole edge over a real store and a real desk; only the delivery system, the clock and the engine are made up.

Release 42 of prod:checkout burns, 41 was good; one rule is asked, and it answers what `World.finding` says.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from integrations.alerts import alertmanager
from service.api.app import Parts
from service.api.auth import SCOPES, KeysFileVerifier
from service.api.live import Live
from service.api.metrics import ApiMetrics
from service.api.reads import ReadinessCheck
from service.api.senders import SenderFiles
from service.api.tokens import create_token, new_key
from service.audit.encoding import OtlpEncoder
from service.audit.tree import grow_each, render_text, to_json
from service.domain import keys
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.model import Actor, Episode, Hold, Image, Mode, Operation, Outcome, RawDelivery, Release, ReleaseRecord, Source, TargetId, Way
from service.domain.planning.plan import Offer, Step
from service.domain.policy import Policies, TargetPolicy
from service.domain.ports import (
    AuditEvent,
    Basket,
    Checked,
    Guard,
    HoldChange,
    Intention,
    ListedTarget,
    Listing,
    Observation,
    Placement,
    Seen,
    Transition,
    Work,
)
from service.domain.rule import Case, Rule, Trigger
from service.domain.verdict import Finding, passes
from service.store.alerts import AlertStore
from service.store.captures import CaptureStore
from service.store.database import Database
from service.store.events import EventStore
from service.store.holds import HoldStore
from service.store.operations import OperationStore, new_id
from service.store.readiness import ReadinessStore
from service.store.records import AnswerStore, PlanStore, StopStore
from service.store.targets import TargetStore
from service.workflow import record
from service.workflow.desk import Desk
from service.workflow.examine import Examiner
from service.workflow.gather import Gatherer
from service.workflow.keeper import Orphan
from service.workflow.watch import Freshness

ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 5, 4, 12, 1, 7, tzinfo=UTC)
CHECKOUT = TargetId("prod", "checkout")
ORDERS = TargetId("prod", "team-a/orders")
STAGING = TargetId("staging", "checkout")
SENDER_TOKEN = "sender-secret-one"
RULE = "schema_is_compatible"
FIXTURES = ROOT / "tests" / "fixtures" / "alertmanager"


class FakeClock:
    """Stands still until somebody sleeps; `at_sleep` is what happens in the world meanwhile."""

    def __init__(self) -> None:
        self.at = NOW
        self.at_sleep: list[Callable[[], Awaitable[None]]] = []
        self.slept = 0.0

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.at += timedelta(seconds=seconds)
        if self.at_sleep:
            await self.at_sleep.pop(0)()
        await asyncio.sleep(0)


class FakeEngine:
    """Takes starts and hand-overs down; `broken` makes a start fail."""

    def __init__(self) -> None:
        self.started: list[Work] = []
        self.broken = False

    async def start(self, work: Work) -> None:
        if self.broken:
            raise RuntimeError("the engine is not running")
        self.started.append(work)

    async def later(self, transaction: Any, work: Work, delay: timedelta) -> None:
        del transaction, work, delay


def release(target: TargetId, handle: str, *, age: timedelta, version: str) -> Release:
    revision = hashlib.sha256(handle.encode()).hexdigest()[:40]
    return Release(
        target=target,
        key=f"key-{handle}",
        handle=handle,
        sources=(Source(repository="https://git.example/shop/deploy", path="checkout", revision=revision),),
        version=version,
        started_at=NOW - age,
        deployed_at=NOW - age + timedelta(seconds=13),
        by=Actor(kind="user", name="dev"),
    )


STEPS = (
    Step(
        name="stop_auto_sync", says="Stop auto-sync of prod:checkout.", parameters={"mode": "patch"}, undo=Step(name="give_back", says="Give auto-sync back.")
    ),
    Step(name="roll_back", says="Roll back to history id 41.", parameters={"id": 41}, done_when="The operation succeeded.", command="argocd app rollback"),
)


class FakeDelivery:
    """One instance whose targets all look alike: `state_of` may be replaced by an Absent, `offer` by None."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.kinds = frozenset({"state"})
        self.absent: Absent | None = None
        self.offer: Offer | None = Offer(way=Way.ROLLBACK, steps=STEPS, because="Auto-synced and owned by nobody.")
        self.desired = "held-revision"
        self.acted: list[str] = []

    def changes(self) -> None:
        return None

    async def read(self, key: Key[Any]) -> Fact[Any]:
        if self.absent is not None:
            return self.absent
        return Known(
            value=await self.look(TargetId.parse(str(key.subject))),
            evidence=Evidence(source=f"argocd:{self.instance}", what=str(key), read_at=NOW, digest="sha256:00"),
            good_for=timedelta(days=1),
        )

    async def look(self, target: TargetId) -> keys.TargetState:
        new, old = release(target, "42", age=timedelta(minutes=9), version="v2.5.0"), release(target, "41", age=timedelta(days=1), version="v2.4.6")
        return keys.TargetState(
            target=target,
            uid="uid-1",
            title=target.name,
            project="shop",
            current=new,
            history=(new, old),
            desired_revision=self.desired,
            auto_sync=True,
            remembered={"automated": {"prune": True}},
            owner=keys.Owner(kind="nobody"),
            running=None,
            health="Degraded",
            spec_digest="sha256:11",
            objects=(),
            link=f"https://argocd.example/{target.name}",
        )

    def offers(self, case: Case) -> tuple[Offer, ...]:
        del case
        return (self.offer,) if self.offer else ()

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Any]:
        return {"step": step.name, "uid": intention.uid}

    async def act(self, step: Step, intent: Mapping[str, Any], guard: Guard) -> None:
        del intent
        await guard()
        self.acted.append(step.name)

    async def observe(self, step: Step, intent: Mapping[str, Any]) -> Observation:
        del step, intent
        return Observation(seen=Seen.DONE, says="done")

    async def withdraw(self, step: Step, intent: Mapping[str, Any], guard: Guard) -> None:
        del step, intent, guard

    async def targets(self) -> Listing:
        return Listing(targets=(), complete=True)

    async def capture(self, target: TargetId, into: Basket) -> None:
        del target, into

    async def check(self) -> Sequence[Checked]:
        return ()

    async def close(self) -> None:
        return


class World:
    """The parts of an edge, and the means to make things happen behind it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.delivery = FakeDelivery("prod")
        self.finding: Finding = passes("No migration lies between the two releases.")
        self.targets = TargetStore(database)
        self.operations = OperationStore(database, spans=OtlpEncoder(version="test"), hand_over=self.engine)
        self.events = EventStore(database)
        self.alerts = AlertStore(database, patience=60)  # a slow machine must not look like an outage
        self.captures = CaptureStore(database)
        self.holds = HoldStore(database)
        self.answers = AnswerStore(database)
        self.stop_file = folder / "STOP"
        self.stop = StopStore(database, self.stop_file)
        self.freshness = {"prod": Freshness(listed_at=NOW - timedelta(seconds=4), complete=True)}
        self.keys_file, self.sender_file = folder / "keys.json", folder / "sender-token"
        self.key = new_key()
        self.keys_file.write_text(json.dumps({"keys": [{"kid": self.key["kid"], "alg": "EdDSA", "public": self.key["public"]}]}))
        self.sender_file.write_text(SENDER_TOKEN + "\n")
        policies = Policies(ordered=(TargetPolicy(match="prod:auto-*", mode=Mode.AUTO), TargetPolicy(match="prod:*", mode=Mode.APPROVE)))
        rule = Rule(name=RULE, question="Can the goal release read the schema?", ask=lambda _: self.finding)
        examiner = Examiner(
            gatherer=Gatherer(deliveries={"prod": self.delivery}, sources=(), clock=self.clock),
            deliveries={"prod": self.delivery},
            targets=self.targets,
            rules=(rule,),
            policies=policies,
            clock=self.clock,
        )
        self.desk = Desk(
            examiner=examiner,
            deliveries={"prod": self.delivery},
            targets=self.targets,
            journal=self.operations,
            starting=self.operations,
            starter=self.engine,
            holds=self.holds,
            stop=self.stop,
            clock=self.clock,
            new_id=new_id,
        )
        self.standings = ReadinessStore(database)
        self.trouble = ""
        self.heard: list[str] = []
        self.orphans: list[Orphan] = []
        self.live = Live(events=self.events, operations=self.operations, alerts=self.alerts, limit=4, keep_alive=5.0)
        self.parts = Parts(
            desk=self.desk,
            targets=self.targets,
            standings=self.standings,
            operations=self.operations,
            events=self.events,
            captures=self.captures,
            live=self.live,
            alerts=self.alerts,
            holds=self.holds,
            orphans=self._orphans,
            plans=PlanStore(database),
            answers=self.answers,
            stop=self.stop,
            starter=self.engine,
            clock=self.clock,
            verifier=KeysFileVerifier(self.keys_file, self.clock),
            senders=SenderFiles({"main": self.sender_file}),
            alert_sources={"alertmanager": alertmanager.AlertmanagerWebhook(alertmanager.Settings())},
            policies=policies,
            freshness=self.freshness,
            trees=lambda bodies: [to_json(tree) for tree in grow_each(bodies)],
            tree_text=lambda bodies: "\n\n".join(render_text(tree) for tree in grow_each(bodies)),
            readiness=(ReadinessCheck(name="store", ask=self._ready),),
            metrics=ApiMetrics(CollectorRegistry(), sources=("alertmanager",)),
            hints={"spinnaker": self._heard("spinnaker"), "cdevents": self._heard("cdevents")},
            openapi=ROOT / "openapi.yaml",
            version="0.1.0",
            trace_link="https://jaeger.example/trace/{trace_id}",
        )

    def _heard(self, source: str) -> Callable[[], Sequence[str]]:
        def hear() -> Sequence[str]:
            self.heard.append(source)
            return ["prod"]

        return hear

    async def _orphans(self) -> Sequence[Orphan]:
        return self.orphans

    async def _ready(self) -> str:
        return self.trouble

    def with_parts(self, **changes: Any) -> None:
        """Replace parts before the edge is made."""
        self.parts = replace(self.parts, **changes)

    @staticmethod
    async def really_sleep(seconds: float) -> None:
        """For what happens on a socket, where no clock of ours is asked."""
        await asyncio.sleep(seconds)

    def token(self, *scopes: str, targets: Sequence[str] = ("*",), subject: str = "alice", expires: timedelta = timedelta(hours=1)) -> str:
        return create_token({"keys": [self.key]}, subject=subject, scopes=scopes or SCOPES, targets=targets, expires=expires, now=self.clock.now())

    # --- what happens behind the edge ----------------------------------------------------------------------------------

    async def list_targets(self, *targets: TargetId, complete: bool = True) -> None:
        for instance in {one.instance for one in targets}:
            rows = tuple(
                ListedTarget(
                    target=one,
                    project="shop",
                    namespace="shop",
                    health="Degraded",
                    desired_revision="9c1e2ab",
                    stamp="1",
                    objects=(),
                    images=("registry.example/shop/web:2.5.0",),
                )
                for one in targets
                if one.instance == instance
            )
            await self.targets.remember(Listing(targets=rows, complete=complete), instance, NOW - timedelta(seconds=4))
        for one in targets:
            await self.targets.remember_state_record(
                ReleaseRecord(
                    target=one,
                    key="key-41",
                    handle="41",
                    version="v2.4.6",
                    images=(Image(reference="registry.example/shop/web:2.4.6", digest="sha256:" + "3" * 64, proof="pods"),),
                    watched_from=NOW - timedelta(days=1),
                    watched_until=NOW - timedelta(minutes=9),
                    healthy_for=timedelta(hours=23),
                    last_health="Healthy",
                    live_until=NOW - timedelta(minutes=9),
                )
            )

    async def begun(self, target: TargetId = CHECKOUT, *, user: str = "alice") -> Operation:
        """An operation that a person asked for."""
        return await self.desk.rollback(target, Actor(kind="user", name=user), digest="", names=(), reason="errors")

    async def waiting(self, target: TargetId = CHECKOUT) -> Operation:
        """An operation that waits for an approval of its plan."""
        operation = await self.begun(target)
        found = await self.desk.check(target)
        data = replace(record.load(operation), plan=found.plan)
        return await self.move(operation, phase="awaiting_approval", data=record.dump(data), says="a person decides", until_person=NOW + timedelta(minutes=30))

    async def move(self, operation: Operation, **changes: Any) -> Operation:
        """One transition."""
        values = {"phase": operation.phase, "data": operation.data, "events": (AuditEvent(kind="moved", says="moved", at=self.clock.now()),)} | changes
        assert await self.operations.commit(operation, Transition(**values), self.clock.now())
        after = await self.operations.load(operation.id)
        assert after is not None
        return after

    async def ended(self, target: TargetId = CHECKOUT, outcome: Outcome = Outcome.RECOVERED) -> Operation:
        """An operation that is over."""
        operation = await self.begun(target)
        return await self.move(operation, phase="done", says="recovered", done=outcome)

    async def held(self, target: TargetId = CHECKOUT, **changes: Any) -> Hold:
        """A hold, with the operation that opened it ended."""
        operation = await self.waiting(target)
        values: dict[str, Any] = {
            "id": new_id("hld"),
            "target": target,
            "operation_id": operation.id,
            "opened_at": NOW,
            "reason": "v2.5.0 was rolled back",
            "review_at": NOW + timedelta(days=7),
            "owner": "alert:HighErrorRate",
            "held": ("key-42",),
            "remembered": {"revisions": ["held-revision"], "stopped": True},
        }
        hold = Hold(**(values | changes))
        data = replace(record.load(operation), hold_id=hold.id)
        await self.move(operation, phase="done", says="recovered", done=Outcome.RECOVERED, hold=HoldChange(open=hold), data=record.dump(data))
        kept = await self.holds.load(hold.id)
        assert kept is not None
        return kept

    async def incident(self, target: TargetId = CHECKOUT) -> str:
        """An open incident with one episode, through the real intake of the store."""
        source = alertmanager.AlertmanagerWebhook(alertmanager.Settings())
        body = recorded("refire.json")
        notices, group, truncated = source.parse(body)
        notices = [replace(one, fingerprint=hashlib.sha256(f"{target} {one.fingerprint}".encode()).hexdigest()[:16]) for one in notices]
        delivery = await self.alerts.accept(
            RawDelivery(source="alertmanager", sender="main", received_at=NOW, body=body, group_key=group, truncated=truncated, notices=tuple(notices))
        )
        episodes: Sequence[Episode] = await self.alerts.undecided(delivery)
        (placed,) = await self.alerts.place(
            (Placement(episode=episodes[0], disposition="incident", says="its labels name the target", target=target, rung="label"),), NOW
        )
        return placed.id


def recorded(name: str, number: int = 0) -> bytes:
    """The body of a recorded request of Alertmanager."""
    document = json.loads((FIXTURES / name).read_text())
    if "requests" not in document:
        return json.dumps(document["body"]).encode()
    body: str = document["requests"][number]["body_raw"]
    return body.encode()


def trigger() -> Trigger:
    """The alert behind an operation."""
    return Trigger(incident_id="inc_1", alert="HighErrorRate", labels={"alertname": "HighErrorRate"}, began_at=NOW, received_at=NOW)
