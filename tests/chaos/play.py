"""Plays one schedule: the real service, wired by its own composition root, in the world of `world.py`, on a real store, with everything that can go wrong."""

import asyncio
import hashlib
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from integrations.alerts.alertmanager import AlertmanagerWebhook
from integrations.alerts.alertmanager import Settings as WebhookSettings
from service.domain.errors import BackoutError, UnavailableError
from service.domain.model import Actor, RawDelivery, TargetId
from service.domain.ports import Work
from service.domain.verdict import Answer
from service.engine.lease import Alone, Lease
from service.engine.tasks import Tasks
from service.settings import (
    AlertsSettings,
    AuthSettings,
    DeclaresSettings,
    RecoveredSettings,
    SenderSettings,
    Settings,
    SplitSettings,
    TargetSettings,
    WatchSettings,
)
from service.store.database import FROZEN_SECONDS, Database
from service.store.executors import ExecutorStore
from service.wiring.parts import TRACE, Outside
from service.wiring.service import Service
from service.workflow import record
from tests.chaos.argocd_world import ArgoCDWorld
from tests.chaos.database import ChaosDatabase, Outage
from tests.chaos.engine import ChaosEngine, Durable
from tests.chaos.executors import ChaosExecutors, end_the_sweep
from tests.chaos.fate import Fate
from tests.chaos.process import Killed, Process
from tests.chaos.schedule import ENDS, Schedule, Shop
from tests.chaos.spinnaker_world import SpinnakerWorld
from tests.chaos.virtual import OWNER, VirtualClock, VirtualLoop
from tests.chaos.wire import Wire
from tests.chaos.world import ALERT, INSTANCE, SECRET, Knocking, Receiver, Sources, World, at

AROUND = ("metrics away", "notifier away", "collector away")
"""Outages of what is around both Backout and its delivery system."""

QUIET_FOR = 2.0 * 3600
"""World seconds after the last trouble within which everything must have come to its end."""

LISTED_AGAIN = 90.0
"""World seconds after the last trouble within which each target was looked at again, however seldom lists are read."""

CLIENT_SECONDS = 60.0
"""Whoever asks something of Backout's API waits so long."""

JANE, JOE = Actor(kind="user", name="jane"), Actor(kind="user", name="joe")
STORE = Callable[[], str]

WORLDS: Mapping[str, type[World]] = {one.kind: one for one in (ArgoCDWorld, SpinnakerWorld)}
"""By what deploys the shops."""


@dataclass(slots=True, kw_only=True)
class Accepted:
    """A delivery that was answered with 2xx: what it told, by whom."""

    at: float
    sender: str
    delivery: str
    notices: tuple[tuple[str, datetime, bool], ...]


@dataclass(slots=True, kw_only=True)
class Decision:
    """An approval that the desk took."""

    at: float
    operation: str
    digest: str
    names: tuple[str, ...]


@dataclass(slots=True)
class Story:
    """All that is known after a play; `checks` compares its sides. `frozen_for` is how long processes stood still, in seconds, all together."""

    schedule: Schedule
    world: World
    settings: Settings
    receivers: Mapping[str, Receiver]
    accepted: list[Accepted] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    ended_holds: list[tuple[float, str, str]] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    clock_steps: int = 0
    frozen_for: float = 0.0
    rows: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    chains: dict[str, list[tuple[Any, str]]] = field(default_factory=dict)
    lasted: float = 0.0
    retired: dict[str, float] = field(default_factory=dict)
    places: int = 0


@dataclass(slots=True, eq=False)
class Replica:
    """A machine that Backout runs on: its clock, and its process while one is up. `executors` are its rows where it is not alone on the store."""

    clock: VirtualClock
    process: Process | None = None
    service: Service | None = None
    executors: ChaosExecutors | None = None


class SlowTasks(Tasks):
    """The service's own loops, some slower than in production: the story is the same, and a quiet hour is cheaper. Defects in them are noted."""

    def __init__(self, noted: list[str]) -> None:
        super().__init__()
        self._noted = noted

    def every(self, seconds: float, name: str, one: Callable[[], Awaitable[object]]) -> None:
        """At most twice a minute; what the watch hints at sooner."""

        async def watched() -> object:
            try:
                return await one()
            except (BackoutError, OSError):
                raise
            except Exception as error:
                self._noted.append(f"the loop {name} raised {type(error).__name__}: {error}")
                raise

        super().every(2.0 if name.startswith("heed ") else max(30.0, seconds), name, watched)


class Play:
    """One run. `store` makes the address of a fresh, migrated store; `connect` may replace a database's driver."""

    def __init__(self, schedule: Schedule, *, url: str, folder: Path, connect: Callable[[Database], None], loop: VirtualLoop) -> None:
        self.schedule = schedule
        self._url, self._folder, self._connect = url, folder, connect
        self._loop = loop
        chance = random.Random(f"fate {schedule.seed}")  # noqa: S311  the point is to draw the same again
        self.fate = Fate(chance, schedule.rates, kill_at=schedule.kill_at)
        self.world: World = WORLDS[schedule.delivery](self.fate, loop)
        if isinstance(self.world, SpinnakerWorld):
            self.world.machines.apps |= {shop.app for shop in schedule.shops if shop.machines}
            self.world.shops = schedule.shops
        self.alone = url.startswith("sqlite")
        self.replicas = [Replica(VirtualClock(loop)) for _ in range(1 if self.alone else schedule.replicas)]
        self.durable = Durable()
        self.outage = Outage()
        self._born = 0
        self._stop_file = folder / "STOP"
        self.settings = _settings(schedule, self.world, url, self._stop_file, folder)
        self.receivers = {
            "trace": Receiver("trace", "collector", self.world, self.fate),
            "on-call": Receiver("notify", "notifier", self.world, self.fate),
        }
        self.story = Story(schedule, self.world, self.settings, self.receivers)
        self._webhook = AlertmanagerWebhook(WebhookSettings())
        self._told: dict[str, datetime] = {}
        self._posts: list[tuple[str, list[Mapping[str, Any]]]] = []
        self._quiet = False
        self._own = Database(url)
        connect(self._own)
        self._opened: list[Database] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- the whole of it --------------------------------------------------------------------------------------------------

    async def run(self) -> Story:
        """Play it to its end."""
        world, loop = self.world, self._loop
        for shop in self.schedule.shops:
            await world.open_shop(shop)
        for replica in self.replicas:
            self._go(self._run_process(replica))
        self._go(self._alertmanager())
        self._go(world.background())
        self._loop.call_at(loop.time() + 55.0, self._trouble)
        begins = loop.time()
        for event in self.schedule.events:
            await self._until(begins + event.at)
            world.diary.note(f"event: {event}")
            self._go(getattr(self, event.do)(*event.given))
        await self._until(begins + self.schedule.ends)
        self._calm()
        await self._quiet_down()
        await self._stop_process()
        self.story.lasted, self.story.places = loop.time(), self.fate.places
        await self._read_rows()
        await world.end()
        return self.story

    def _go(self, work: Coroutine[Any, Any, Any]) -> None:
        """A thing of the world's own; what it raises is a defect of this harness."""
        task = self._loop.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Killed):
            self.story.defects.append(f"harness: {type(error).__name__}: {error}")

    async def _until(self, when: float) -> None:
        await asyncio.sleep(max(0.0, when - self._loop.time()))

    def _trouble(self) -> None:
        self.fate.on = True

    def _calm(self) -> None:
        """Nothing goes wrong any more, and everything works."""
        world = self.world
        self.fate.on = False
        for name, line in world.diary.flags.items():
            if name != "stopped" and line[-1][1]:
                self._outage(name, begins=False)
        self.outage.away = self.outage.full = False
        for replica in self.replicas:
            if replica.process is not None:
                replica.process.cut = False
                replica.process.frozen.set()
        self._stop_file.unlink(missing_ok=True)
        self._go(self.stop_back(False))
        world.diary.note("from here on nothing goes wrong any more")

    async def _quiet_down(self) -> None:
        until = self._loop.time() + QUIET_FOR
        await asyncio.sleep(LISTED_AGAIN)
        why = ["not looked yet"]
        while why and self._loop.time() < until:
            await asyncio.sleep(15.0)
            why = await self._unfinished()
        self.story.unfinished = why

    async def _unfinished(self) -> list[str]:
        """What has not come to its end, by the store's word."""
        import sqlalchemy as sa  # noqa: PLC0415  only here

        from service.store import tables as t  # noqa: PLC0415  only here

        if self._posts:
            return ["alerts are not delivered yet"]
        if not any(replica.service for replica in self.replicas):
            return ["Backout is not up"]
        found: list[str] = []
        database = self._own
        async with database.read() as connection:
            rows = await connection.execute(sa.select(t.operation.c.id, t.operation.c.phase, t.operation.c.says).where(t.operation.c.done_at.is_(None)))
            found += [f"operation {row.id} is in phase {row.phase}: {row.says}" for row in rows]
            rows = await connection.execute(sa.select(t.episode.c.id).where(t.episode.c.disposition == ""))
            found += [f"episode {row.id} is not decided" for row in rows]
            rows = await connection.execute(sa.select(t.outbox.c.key).where(t.outbox.c.delivered_at.is_(None), t.outbox.c.parked == "").limit(3))
            found += [f"message {row.key} is not sent" for row in rows]
            rows = await connection.execute(
                sa.select(t.episode.c.id)
                .outerjoin(t.operation, t.operation.c.id == t.episode.c.covered_by)
                .where(t.episode.c.incident_id.is_not(None), t.episode.c.ends_at.is_(None), t.operation.c.id.is_(None))
            )
            found += [f"episode {row.id} is not answered" for row in rows]
        return found

    async def _read_rows(self) -> None:
        import sqlalchemy as sa  # noqa: PLC0415  only here

        from service.store import tables as t  # noqa: PLC0415  only here

        async with self._own.read() as connection:
            for table in t.metadata.sorted_tables:
                self.story.rows[table.name] = [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]
        await self._own.close()

    # --- the process --------------------------------------------------------------------------------------------------------

    async def _run_process(self, replica: Replica) -> None:
        """Start it, as its supervisor would; its death arranges for the next one."""
        if replica.process is None and not self._quiet:
            self._born += 1
            process = Process(f"backout-{self._born}", replica.clock, self.fate, killed=partial(self._killed, replica), freeze=partial(self._freeze, replica))
            task = self._loop.create_task(self._boot(replica, process), context=_owned(process))
            try:
                await task
            except (Killed, asyncio.CancelledError):
                return
            except (BackoutError, OSError, TimeoutError) as error:
                process.kill(f"as it did not start: {error}")
            return

    async def _boot(self, replica: Replica, process: Process) -> None:
        replica.process, clock = process, replica.clock
        database = ChaosDatabase(self._url, process, self.fate, self.durable, self.outage)
        self._connect(database)
        self._opened.append(database)
        engine = ChaosEngine(self.durable, process, self.fate, alone=self.alone)
        database.nudge = engine.nudge
        log, told = self.world.diary.sent, self.world.told
        wire = Wire(self.world.server, process, self.fate, credential=self.world.credential(), log=log, operation=lambda: TRACE.get()[3:35], told=told)
        delivery = self.world.delivery(self.settings.delivery[0], wire, clock, TRACE.get)
        edges = Outside(
            deliveries={INSTANCE: delivery},
            sources={"world": Sources(self.world, self.fate, clock.now, process.point)},
            notifiers={"on-call": Knocking(self.receivers["on-call"], process.point)},
            trace=Knocking(self.receivers["trace"], process.point),
        )
        lease = self._lease(replica, process, database)
        service = Service(self.settings, clock, database=database, engine=engine, edges=edges, lease=lease)
        service.tasks = SlowTasks(self.story.defects)
        await service.start()
        replica.service = service
        self.world.diary.note(f"{process.name} is up")

    def _lease(self, replica: Replica, process: Process, database: Database) -> Alone | Lease:
        """As the service makes it for itself, on the world's time."""
        if self.alone:
            return Alone()
        replica.executors = executors = ChaosExecutors(ExecutorStore(database), process, self.outage, self.story.retired)
        grace = self.settings.takeover_after.total_seconds()
        die = partial(process.kill, "as it was declared dead")
        return Lease(name=process.name, executors=executors, clock=replica.clock, grace=grace, monotonic=self._loop.time, die=die)

    def _killed(self, replica: Replica, process: Process, why: str) -> None:
        self.world.diary.note(f"{process.name} is killed {why}")
        self.durable.engines[:] = [one for one in self.durable.engines if not one.is_of(process)]
        if self.alone:
            self.durable.orphan(process.name)
        replica.process = replica.service = replica.executors = None
        if not self._quiet:
            pause = self.fate.between(0.5, 60.0)
            self._loop.call_later(pause, lambda: self._go(self._run_process(replica)))

    def _one_up(self) -> Replica | None:
        """One of those that are up, by chance."""
        up = [replica for replica in self.replicas if replica.service is not None and replica.process is not None]
        return None if not up else up[0] if len(up) == 1 else self.fate.chance.choice(up)

    async def _stop_process(self) -> None:
        self._quiet = True
        for replica in self.replicas:
            if replica.process is not None:
                replica.process.kill("at the end")
        await asyncio.sleep(1.0)
        for database in self._opened:
            await database.close()

    async def _inside(self, work: Callable[[Service], Awaitable[Any]], replica: Replica | None = None) -> Any:
        """Let a process do something that somebody asks of its API; None when it is away, dies over it, says nothing, or says no."""
        replica = replica or self._one_up()
        if replica is None or replica.service is None or replica.process is None:
            return None
        service, process = replica.service, replica.process

        async def ask() -> Any:
            return await work(service)

        task = self._loop.create_task(ask(), context=_owned(process))
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                return await asyncio.shield(task)
        except (Killed, asyncio.CancelledError):
            return None
        except (BackoutError, OSError, TimeoutError) as error:
            self.world.diary.note(f"no: {error}")
            return None

    # --- alerts ---------------------------------------------------------------------------------------------------------------

    async def _alertmanager(self) -> None:
        """Tells of every alert that fires or fired, again and again, and tries again what was not taken."""
        last: dict[str, float] = {}
        while True:
            for app in self.world.apps:
                firing = self.world.alert(app) == "firing"
                told, now = self._told.get(app), self._loop.time()
                if firing and (told is None or now - last.get(app, 0.0) > 120.0):
                    self._told[app] = told = told or self.world.now()
                    last[app] = now
                    self._go(self._post("main", [_alert(self.world, app, told, None, secret=self.schedule.secret)]))
                elif not firing and told is not None:
                    del self._told[app]
                    self._go(self._post("main", [_alert(self.world, app, told, self.world.now(), secret=self.schedule.secret)]))
            await asyncio.sleep(5.0)

    async def _post(self, sender: str, alerts: list[Mapping[str, Any]]) -> None:
        body = json.dumps({"version": "4", "status": "firing", "groupKey": "{}", "truncatedAlerts": 0, "receiver": "backout", "alerts": alerts}).encode()
        notices, group, truncated = self._webhook.parse(body)
        entry = (sender, alerts)
        self._posts.append(entry)

        async def take(service: Service) -> str:
            raw = RawDelivery(
                source=self._webhook.source,
                sender=sender,
                received_at=service.clock.now(),
                body=body,
                group_key=group,
                truncated=truncated,
                notices=tuple(notices),
            )
            delivery = await service.alerts.accept(raw)
            self.story.accepted.append(
                Accepted(at=self._loop.time(), sender=sender, delivery=delivery, notices=tuple((one.fingerprint, one.starts_at, one.firing) for one in notices))
            )
            with suppress(UnavailableError):
                await service.engine.start(Work(kind="delivery", id=delivery))
            return delivery

        while await self._inside(take) is None and self._loop.time() < ENDS * 3:  # noqa: ASYNC110  a sender tries again, it is not told when
            await asyncio.sleep(self.fate.between(5.0, 30.0))
        self._posts.remove(entry)

    # --- events ---------------------------------------------------------------------------------------------------------------

    async def release(self, app: str, version: str, how: str = "") -> None:
        await self.world.release(app, version, how)

    async def trouble(self, app: str, begins: bool) -> None:
        self.world.trouble(app, begins=begins)

    async def person(self, app: str, what: str) -> None:
        await self.world.person(app, what)

    async def with_pipelines(self, app: str, what: str) -> None:
        if isinstance(self.world, SpinnakerWorld):
            await self.world.with_pipelines(app, what)

    async def lose(self, app: str, how: str) -> None:
        if isinstance(self.world, SpinnakerWorld):
            self.world.lose(app, how)

    async def meanwhile(self, app: str, after: float, do: str, *given: str) -> None:
        """Something happens so many seconds after a switch of server groups was sent; an outage ends again."""
        while not any(one.what == "switch" and one.application == app for one in self.world.diary.sent):
            if self._quiet:
                return
            await asyncio.sleep(0.25)
        await asyncio.sleep(after)
        if not self.fate.on:
            return
        self.world.diary.note(f"meanwhile: {do}({', '.join(given)}) ({app})")
        await getattr(self, do)(*([app] if do in {"person", "release", "lose"} else []), *given)
        if do == "begins":
            await asyncio.sleep(self.fate.between(3.0, 90.0))
            await self.ends(*given)

    async def begins(self, what: str) -> None:
        self._outage(what, begins=True)

    async def ends(self, what: str) -> None:
        if at(self.world.diary.flags.get(what, ()), self._loop.time(), default=False):
            self._outage(what, begins=False)

    def _outage(self, what: str, *, begins: bool) -> None:
        if what in AROUND:
            self.world.diary.flag(what, begins)
        else:
            self.world.outage(what, begins=begins)

    async def store_away(self) -> None:
        self.outage.away = True
        self.world.diary.note("the store is away")

    async def store_back(self) -> None:
        self.outage.away = False
        self.world.diary.note("the store is back")

    async def disk_away(self) -> None:
        self.outage.full = True
        self.world.diary.note("the store's disk is full")

    async def disk_back(self) -> None:
        self.outage.full = False
        self.world.diary.note("the store's disk has room again")

    async def stop_away(self, by_file: bool) -> None:
        if by_file:
            self._stop_file.write_text("a person said so", encoding="utf-8")
            self.world.diary.flag("stopped", value=True)
            return
        done = await self._inside(lambda service: _true(service.stop_switch.stop(by=str(JANE), reason="hands off", at=service.clock.now())))
        if done:
            self.world.diary.flag("stopped", value=True)

    async def stop_back(self, by_file: bool) -> None:
        del by_file
        if at(self.world.diary.flags.get("stopped", ()), self._loop.time(), default=False):
            self.world.diary.flag("stopped", value=False)  # from the first try on: its commit may be done and the answer lost
        while not self._quiet and not await self._inside(self._resume):  # noqa: ASYNC110  a person tries again
            await asyncio.sleep(5.0)

    async def _resume(self, service: Service) -> bool:
        await service.stop_switch.resume(by=str(JANE), at=service.clock.now())
        return True

    async def kill(self) -> None:
        replica = self._one_up()
        if replica is not None and replica.process is not None:
            replica.process.kill("from outside")

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so many seconds."""
        replica = self._one_up()
        if replica is None or replica.process is None:
            return
        self._freeze(replica, replica.process, seconds)

    def _freeze(self, replica: Replica, process: Process, seconds: float = 0.0) -> None:
        """It stands still from its next point on; for how long is chance where nobody says."""
        if process.frozen.is_set():
            seconds = seconds or self.fate.chance.choice((2.0, 8.0, 25.0, 60.0))
            process.frozen.clear()
            self.world.diary.note(f"{process.name} is frozen for {seconds:g} s")
            self.story.frozen_for += seconds
            self._go(self._thaw(replica, process, seconds))

    async def _thaw(self, replica: Replica, process: Process, seconds: float) -> None:
        await asyncio.sleep(min(seconds, FROZEN_SECONDS))
        if replica.process is process and replica.executors is not None and replica.executors.sweeps and not process.frozen.is_set():
            end_the_sweep(self._url)
        await asyncio.sleep(max(0.0, seconds - FROZEN_SECONDS))
        if not process.frozen.is_set():
            process.frozen.set()
            self.world.diary.note(f"{process.name} goes on")

    async def cut_off(self, seconds: float) -> None:
        """One process cannot reach the store."""
        replica = self._one_up()
        if replica is None or replica.process is None or len(self.replicas) == 1:
            return
        process = replica.process
        process.cut = True
        self.world.diary.note(f"{process.name} cannot reach the store for {seconds:g} s")
        await asyncio.sleep(seconds)
        process.cut = False

    async def terminate(self) -> None:
        """SIGTERM: it stops in order, and is started again."""
        replica = self._one_up()
        if replica is None or replica.process is None:
            return
        process = replica.process
        self.world.diary.note(f"{process.name} is asked to end")
        await self._inside(lambda one: _true(one.engine.drain(patience=10.0)), replica)
        await self._inside(lambda one: _true(one.tasks.stop()), replica)
        await self._inside(lambda one: _true(one.engine.stop()), replica)
        await self._inside(lambda one: _true(one.lease.end()), replica)
        if not process.dead:
            process.kill("after it ended in order")

    async def step_clock(self, seconds: float) -> None:
        replica = self._one_up() or self.replicas[0]
        replica.clock.step += timedelta(seconds=seconds)
        self.story.clock_steps += 1
        self.world.diary.note(f"the clock of {replica.process.name if replica.process else 'Backout'} is set {seconds:+g} s")

    async def repeat_post(self, times: int) -> None:
        """The same alerts once more, several times at once."""
        alerts = [_alert(self.world, app, told, None, secret=self.schedule.secret) for app, told in self._told.items()]
        if alerts:
            await asyncio.gather(*(self._post("main", alerts) for _ in range(times)))

    async def forge(self, app: str, kind: str) -> None:
        """An alert that claims more than it may, or tells nonsense."""
        now, labels, sender, name = self.world.now(), {}, "main", ALERT
        starts, ends = now, None
        match kind:
            case "raises":
                labels = {"backout": "auto"}
            case "foreign namespace":
                labels = {"namespace": "elsewhere"}
            case "unlisted":
                name = "DiskFull"
            case "late":
                starts = now - timedelta(minutes=40)
            case "ahead":
                starts = now + timedelta(minutes=30)
            case "other sender":
                sender = "guest"
            case "quiet":
                labels = {"pod": "nobody-knows"}
            case "resolved only":
                ends = now
            case _:
                labels = {self.world.label: "nothing-of-that-name"}
        await self._post(sender, [_alert(self.world, app, starts, ends, secret=True, name=name, **{"forged": kind.replace(" ", "-"), **labels})])

    async def decide(self, app: str, how: str) -> None:
        """People answer what waits for them, some of them wrongly."""

        async def one(service: Service, actor: Actor) -> bool:
            waiting = next((o for o in await service.operations.alive() if self.world.app_of(o.target) == app and o.phase == "awaiting_approval"), None)
            if waiting is None:
                return False
            plan = record.load(waiting).plan
            assert plan is not None
            names = () if how == "names nothing" else tuple(f.rule for f in plan.verdict.findings if f.answer is not Answer.PASS and not f.waived)
            digest = "sha256:" + hashlib.sha256(b"another plan").hexdigest() if how == "wrong digest" else plan.digest
            await service.desk.decide(waiting.id, actor, approve=how != "reject", digest=digest, names=names, reason="looks right")
            if how != "reject":
                self.story.decisions.append(Decision(at=self._loop.time(), operation=waiting.id, digest=digest, names=names))
                self.world.diary.note(f"{actor} approved {waiting.id}")
            return True

        if how == "twice":
            await asyncio.gather(self._inside(lambda s: one(s, JANE)), self._inside(lambda s: one(s, JOE)))
        else:
            await self._inside(lambda s: one(s, JANE))

    async def cancel(self, app: str) -> None:
        async def one(service: Service) -> bool:
            for operation in await service.operations.alive():
                if self.world.app_of(operation.target) == app:
                    await service.desk.cancel(operation.id, JANE, "wrong one")
                    self.world.diary.note(f"jane cancelled {operation.id} in phase {operation.phase}")
            return True

        await self._inside(one)

    async def ask(self, app: str, confirmed: bool) -> None:
        """A person asks for a rollback."""

        async def one(service: Service) -> bool:
            target, digest = self.world.target(app), ""
            names: tuple[str, ...] = ()
            if confirmed:
                found = await service.desk.check(target, JANE)
                if found.plan is None:
                    return False
                digest, names = found.plan.digest, tuple(f.rule for f in found.verdict.findings if f.answer is not Answer.PASS and not f.waived)
            operation = await service.desk.rollback(target, JANE, digest=digest, names=names, reason="it burns")
            if confirmed:
                self.story.decisions.append(Decision(at=self._loop.time(), operation=operation.id, digest=digest, names=names))
            self.world.diary.note(f"jane asked for a rollback of {app}: {operation.id}")
            return True

        await self._inside(one)

    async def end_hold(self, app: str, how: str) -> None:
        async def one(service: Service) -> bool:
            hold = await service.holds.open_for(self.world.target(app))
            if hold is None:
                return False
            self.story.ended_holds.append((self._loop.time(), app, how))
            await service.desk.end_hold(hold.id, JANE, reason="done", leave_auto_sync_off=how == "leave off", accept_bad=how == "accept bad")
            self.world.diary.note(f"jane ended the hold of {app} ({how})")
            return True

        await self._inside(one)


def _owned(process: Process) -> Context:
    context = Context()
    context.run(OWNER.set, process)
    return context


async def _true(work: Awaitable[Any]) -> bool:
    await work
    return True


def _alert(world: World, app: str, starts: datetime, ends: datetime | None, *, secret: bool, name: str = ALERT, **labels: str) -> Mapping[str, Any]:
    told = {"alertname": name, "namespace": app, world.label: app, "severity": "page", **labels}
    fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    summary = f"requests of {app} fail; see https://bot:{SECRET}@wiki.example/ and password={SECRET}" if secret else f"requests of {app} fail"
    return {
        "status": "resolved" if ends else "firing",
        "labels": told,
        "annotations": {"summary": summary},
        "startsAt": starts.isoformat().replace("+00:00", "Z"),
        "endsAt": ends.isoformat().replace("+00:00", "Z") if ends else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": fingerprint,
    }


def _target(shop: Shop, target: TargetId) -> TargetSettings:
    return TargetSettings(
        match=str(target),
        mode=shop.mode,
        alerts=(ALERT,),
        recovered_when=RecoveredSettings.model_validate(
            {"promql": f"share[20s] {shop.app}", "below": 0.01, "traffic": f"traffic {shop.app}", "for": "20s", "scrape_interval": "8s", "give_up_after": "2m"}
        ),
        version_split=SplitSettings(promql=f"versions {shop.app}", label="version", above=0.01),
        declares=DeclaresSettings(shared_services=(), cache="versioned"),
        minimum_healthy=timedelta(seconds=20),
        approve_within=timedelta(minutes=5),
    )


def _settings(schedule: Schedule, world: World, url: str, stop_file: Path, folder: Path) -> Settings:
    return Settings(
        store=url,
        stop_file=stop_file,
        auth=AuthSettings(keys_file=folder / "none"),
        alerts=AlertsSettings(
            alertmanager=(
                SenderSettings(name="main", token_file=folder / "none", targets=f"{INSTANCE}:*"),
                SenderSettings(name="guest", token_file=folder / "none", targets="staging:*"),
            )
        ),
        delivery=(world.connection(folder, watch=schedule.watch),),
        watch=WatchSettings(every=timedelta(seconds=20), beat=timedelta(seconds=15)),
        targets=tuple(_target(shop, world.target(shop.app)) for shop in schedule.shops),
    )


def _nothing(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@contextmanager
def _steady(seed: int) -> Iterator[None]:
    """Identities that chance would make are drawn from the seed, and nobody writes a log."""
    chance = random.Random(f"ids {seed}")  # noqa: S311  the point is to draw the same again

    def made() -> uuid.UUID:
        return uuid.UUID(int=chance.getrandbits(128), version=4)

    before = structlog.get_config()
    structlog.configure(processors=[_nothing])
    try:
        with mock.patch.object(uuid, "uuid4", made):
            yield
    finally:
        structlog.configure(**before)


def play(schedule: Schedule, *, url: str, folder: Path, connect: Callable[[Database], None] = lambda _: None) -> Story:
    """Play a schedule on a fresh store."""
    loop = VirtualLoop()
    try:
        with _steady(schedule.seed):
            return loop.run_until_complete(Play(schedule, url=url, folder=folder, connect=connect, loop=loop).run())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
