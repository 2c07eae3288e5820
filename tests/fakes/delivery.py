"""One delivery instance in memory that keeps the contract of `Delivery`: observe then act, one effect an intent, a guard before each send.

Steps as Argo CD has them: stop_auto_sync (undo: restore_auto_sync), prove (no effect), clear_slot, roll_back; without auto-sync: prove, roll_back,
mark_hold (optional). Forward under a hold: sync_release
(undo: return_to_release), then what ends the hold. A test says per
step how the next acts fare (`fares`): lost, dropped, refused, permanent, running, failed, foreign, stuck.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys
from service.domain.difference import Rendered
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.model import Actor, Image, Json, ObjectRef, Release, TargetId, Way, release_key
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Basket, Captured, Checked, Clock, Guard, Intention, ListedTarget, Listing, Observation, Seen
from service.domain.rule import Case, Direction

SETTLED = timedelta(seconds=5)
ME = Actor(kind="service", name="backout")
STOP, PROVE, CLEAR, BACK, MARK, UNMARK, RESTORE = (
    "stop_auto_sync",
    "prove_controller",
    "clear_slot",
    "roll_back",
    "mark_hold",
    "unmark_hold",
    "restore_auto_sync",
)
SYNC, RETURN = "sync_release", "return_to_release"
SHUT, OPEN = "shut_triggers", "open_triggers"
REMEMBERED: Mapping[str, Json] = {"automated": {"prune": True, "selfHeal": True}}


@dataclass(slots=True)
class Application:
    """What the system holds of one target; tests change it as people and controllers would."""

    history: list[Release]
    images: dict[str, Image]
    uid: str = "uid-1"
    auto_sync: bool = True
    health: str = "Degraded"
    spec_digest: str = "sha256:spec"
    desired_revision: str = ""
    marker: str = ""
    running: keys.Running | None = None
    owner: keys.Owner = field(default_factory=lambda: keys.Owner(kind="nobody"))
    pods_ready: bool = True
    desired: Release | None = None
    objects: tuple[ObjectRef, ...] = ()
    attempted: Release | None = None
    failed_newer: str = ""
    manifests: dict[str, tuple[Rendered, ...]] = field(default_factory=dict)
    left_over: dict[str, tuple[ObjectRef, ...]] = field(default_factory=dict)
    rollouts: tuple[keys.Rollout, ...] = ()
    rollouts_back: tuple[keys.RolloutBack, ...] = ()

    @property
    def live(self) -> Release:
        """What was deployed last, whether it is in the history or not."""
        return self.attempted or self.history[0]


class FakeDelivery:
    """One instance with one application a target. `sent` lists what was really set going on the outside, in order.

    `stops` is what it calls that which is stopped under a hold. `shuts`: without auto-sync the first step switches a trigger off, may fail, and that rule
    passes because of it.
    """

    def __init__(self, clock: Clock, target: TargetId, application: Application) -> None:
        self._clock = clock
        self.target = target
        self.app = application
        self.fares: dict[str, list[str]] = {}
        self.refuses: dict[str, list[Exception]] = {}
        self.impossible = ""
        self.last: Step | None = None
        self.sent: list[str] = []
        self.intended: list[str] = []
        self.stops = ""
        self.shuts = ""
        self.acts: list[keys.Act] = []
        self.fates: dict[str, Seen] = {}
        self.before_send: Callable[[str], None] = lambda _step: None
        self.trouble: dict[str, Exception] = {}
        self.complete = True
        self.looks = 0
        self.lists = 0
        self.streams = 0
        self.stands = ""
        self.withdrawable = False
        self.nothing_yet = False
        self.hints: asyncio.Queue[TargetId | Exception | None] | None = None

    def tell(self, *hints: TargetId | Exception | None) -> None:
        """Open the stream for whoever asks for changes, and put these on it; an exception ends it."""
        self.hints = self.hints or asyncio.Queue()
        for hint in hints:
            self.hints.put_nowait(hint)

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """What `tell` put there, after the first None; nothing to be had before the first `tell`."""
        return self._changes(self.hints) if self.hints is not None else None

    async def _changes(self, hints: "asyncio.Queue[TargetId | Exception | None]") -> AsyncIterator[TargetId | None]:
        self.streams += 1
        if "changes" in self.trouble:
            raise self.trouble["changes"]
        yield None
        while True:
            hint = await hints.get()
            if isinstance(hint, Exception):
                raise hint
            yield hint

    @property
    def instance(self) -> str:
        """The first half of the target's id."""
        return self.target.instance

    @property
    def kinds(self) -> frozenset[str]:
        """What an instance of this kind can know."""
        return frozenset(
            {
                "state",
                "acts",
                "sync window",
                "pods",
                "permissions",
                "rendered images",
                "rendered manifests",
                "prune confirmations",
                "leftovers",
                "rollouts",
                "rollouts back",
            }
            | {"desired images", "desired manifests"}
        )

    async def targets(self) -> Listing:
        """The one target."""
        if "targets" in self.trouble:
            raise self.trouble["targets"]
        self.lists += 1
        app = self.app
        listed = ListedTarget(
            target=self.target,
            project="shop",
            namespace="shop",
            health=app.health,
            desired_revision=app.desired_revision or app.live.revision,
            stamp=f"{app.live.handle}/{app.health}/{app.spec_digest}",
            objects=app.objects,
        )
        return Listing(targets=(listed,), complete=self.complete, says="" if self.complete else "the answer may be short")

    async def capture(self, target: TargetId, into: Basket) -> None:
        """Says that it was here."""
        into.items.append(Captured(kind="manifest", name=f"Deployment {target.name}", text="{}"))

    async def look(self, target: TargetId) -> keys.TargetState:
        """The application now."""
        if "look" in self.trouble:
            raise self.trouble["look"]
        self.looks += 1
        app = self.app
        return keys.TargetState(
            target=target,
            uid=app.uid,
            title=target.name,
            project="shop",
            current=app.history[0],
            history=tuple(app.history),
            desired_revision=app.desired_revision or app.live.revision,
            auto_sync=app.auto_sync,
            remembered=REMEMBERED if app.auto_sync else {},
            owner=app.owner,
            running=app.running,
            health=app.health,
            spec_digest=app.spec_digest,
            objects=app.objects,
            marker=app.marker,
            desired=(app.desired or app.live).sources,
            unmark="take the mark off",
            attempted=app.attempted,
            failed_newer=app.failed_newer,
        )

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """A fact, or Absent."""
        if "read" in self.trouble:
            return Absent(str(self.trouble["read"]))
        values: dict[str, Callable[[], Any]] = {
            "acts": lambda: tuple(self.acts),
            "rollouts": lambda: self.app.rollouts,
            "rollouts back": lambda: self.app.rollouts_back,
            "sync window": lambda: keys.Window(open=True, says="no window is defined"),
            "pods": self.pods,
            "permissions": lambda: keys.Permissions(allowed={"get": True, "sync": True, "update": True}, fix={}),
        }
        if key.kind == "state":
            value: Any = await self.look(self.target)
        elif key.kind == "rendered images":
            value = tuple(image for release, image in self.app.images.items() if release in key.subject)  # type: ignore[operator]  # (target, release, handle)
        elif key.kind == "desired images":
            value = (self.app.images[(self.app.desired or self.app.live).key],)
        elif key.kind == "desired manifests":
            value = self.app.manifests.get((self.app.desired or self.app.live).key, ())
        elif key.kind == "prune confirmations":
            value = ()
        elif key.kind == "leftovers":
            value = next((objects for handle, objects in self.app.left_over.items() if handle in key.subject), ())  # type: ignore[operator]  # (target, handle)
        elif key.kind == "rendered manifests":
            value = next((rendered for release, rendered in self.app.manifests.items() if release in key.subject), None)  # type: ignore[operator]
            if value is None:
                return Absent("that release renders to nothing")
        elif key.kind in values:
            value = values[key.kind]()
        else:
            return Absent(f"the system does not tell the {key}")
        return Known(value=value, evidence=Evidence(source="fake delivery", what=str(key), read_at=self._clock.now()), good_for=timedelta(seconds=30))

    def pods(self) -> tuple[keys.Pod, ...]:
        """Two pods of what is live."""
        image = self.app.images[self.app.live.key]
        return tuple(keys.Pod(name=f"web-{n}", images=(image,), ready=self.app.pods_ready) for n in range(2))

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The plain rollback."""
        if case.suspect is None or case.goal is None:
            return ()
        if case.direction is Direction.FORWARD:
            return self._forward(case, case.suspect, case.goal)
        because = "Argo CD can deploy a release from its history again"
        if self.impossible:
            return (Offer(way=Way.ROLLBACK, steps=(), because=because, impossible=self.impossible),)
        prove = Step(name=PROVE, says="see that the controller answers", effect=False)
        back = Step(name=BACK, says=f"roll back to history id {case.goal.handle}", parameters={"history_id": case.goal.handle})
        if self.app.auto_sync:
            stop = Step(
                name=STOP,
                says="stop auto-sync",
                parameters={"remembered": REMEMBERED},
                undo=Step(name=RESTORE, says="give auto-sync back", parameters={"after_rollback": False}),
            )
            return (Offer(way=Way.ROLLBACK, steps=(stop, prove, Step(name=CLEAR, says="free the slot", stands=self.stands), back), because=because),)
        if self.shuts:
            door = Step(name=SHUT, says="switch off the trigger", optional=True, needed_for=self.shuts, undo=Step(name=OPEN, says="switch the trigger on"))
            return (Offer(way=Way.ROLLBACK, steps=(door, prove, back), because=because),)
        mark = Step(name=MARK, says="mark as held", optional=True, undo=Step(name=UNMARK, says="take the mark off", optional=True))
        return (Offer(way=Way.ROLLBACK, steps=(prove, back, self.last or mark), because=because),)

    def _forward(self, case: Case, live: Release, goal: Release) -> tuple[Offer, ...]:
        if case.context.get("remembered") and not self.app.auto_sync:
            parameters = {"remembered": REMEMBERED, "after_rollback": True, "only": goal.key} | ({"what": self.stops} if self.stops else {})
            ends = Step(name=RESTORE, says="give auto-sync back", optional=True, once_verified=True, parameters=parameters)
        else:
            ends = Step(name=UNMARK, says="take the mark off", optional=True, once_verified=True)
        back = Step(name=RETURN, says="go back to the release before", parameters={"goal": live.key})
        deploy = (Step(name=PROVE, says="see that the controller answers", effect=False), Step(name=SYNC, says="sync to the release", undo=back))
        return (Offer(way=Way.FORWARD, steps=(*(deploy if case.deploys else ()), ends), because="an explicit sync under the hold", impossible=self.impossible),)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """Refuse when the world is another one, or as a test says."""
        if self.refuses.get(step.name):
            raise self.refuses[step.name].pop(0)
        if intention.uid != self.app.uid:
            raise RefusedError("the application is another one of the same name")
        hands = [act for act in self.acts if intention.not_before is not None and act.at >= intention.not_before and not act.ours]
        if hands and step.name not in {RESTORE, UNMARK, RETURN, OPEN}:
            raise RefusedError(f"{hands[0].by.name} is acting on it")
        if step.name == RESTORE and self.app.auto_sync:
            raise RefusedError("auto-sync is not as Backout left it")
        if (
            step.name == RESTORE
            and not step.parameters.get("after_rollback")
            and any(self._fate(one) is not None for one in intention.ours if one["step"] == BACK)
        ):
            raise RefusedError("a rollback was accepted: auto-sync would undo it")
        if step.parameters.get("only") and release_key((self.app.desired or self.app.live).sources) != release_key(intention.goal.sources):
            raise RefusedError("what is desired now is another release: auto-sync would deploy it")
        self.intended.append(step.name)
        known: dict[str, Json] = {"step": step.name, "operation": intention.operation_id, "at": intention.at.isoformat(), "goal": intention.goal.key}
        known |= {"marker": intention.marker, "operation_id": intention.operation_id}
        if step.name == STOP:
            known["remembered"] = dict(REMEMBERED)
            known |= {"stops": self.stops} if self.stops else {}
        return {**known, "mark": f"{intention.operation_id}/{step.name}/{len(intention.ours)}"}

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """Look for the effect, ask the guard, send once."""
        if self._fate(intent) in {Seen.DONE, Seen.RUNNING, Seen.STUCK}:
            return
        if step != self.last:  # a look asks nobody: it sends nothing
            await guard()
        self.before_send(step.name)
        fares = self.fares.get(step.name, [])
        fare = fares.pop(0) if fares else "done"
        if fare == "refused":
            raise RefusedError("the server said no")
        if fare == "permanent":
            raise PermanentError("the server answered with something that is no answer")
        if fare == "dropped":
            raise TemporaryError("the request never arrived")
        self.sent.append(step.name)
        fate = {"lost": Seen.DONE, "done": Seen.DONE}.get(fare) or Seen(fare)
        self.fates[str(intent["mark"])] = fate
        if fate is Seen.DONE:
            self._apply(step.name, intent)
        if fare == "lost":
            raise TemporaryError("the answer was lost")

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        """By the mark of the intent."""
        if "observe" in self.trouble:
            raise self.trouble["observe"]
        fate = self._fate(intent)
        if fate is None:
            until = datetime.fromisoformat(str(intent["at"])) + SETTLED
            return Observation(seen=Seen.NOT_SEEN, says="nothing of ours is seen", not_seen_until=until)
        details = {"handle": self.app.live.handle} if step.name in {BACK, SYNC, RETURN} and fate is Seen.DONE else {}
        says, waits = f"{step.name} is {fate}", self.withdrawable and fate is Seen.STUCK
        return Observation(seen=fate, says=says, details=details, withdrawable=waits, nothing_yet=self.nothing_yet and fate in {Seen.RUNNING, Seen.STUCK})

    def fail(self, step: str) -> None:
        """What was running has failed."""
        self.fates |= {mark: Seen.FAILED for mark, fate in self.fates.items() if f"/{step}/" in mark and fate in {Seen.RUNNING, Seen.STUCK}}

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """What is stuck and may be withdrawn, or has asked for nothing, is told to end; a test says when it has ended."""
        if not (self.nothing_yet or (self.withdrawable and self._fate(intent) is Seen.STUCK)):
            return
        await guard()
        if "withdraw" in self.trouble:
            raise self.trouble["withdraw"]
        self.sent.append(f"withdraw {step.name}")
        self.withdrawable = False
        self.nothing_yet = False

    def finish(self, step: str) -> None:
        """What was running is done."""
        for mark in [m for m, fate in self.fates.items() if f"/{step}/" in m and fate in {Seen.RUNNING, Seen.STUCK}]:
            self.fates[mark] = Seen.DONE
            self._apply(step, {"goal": self.app.history[1].key})

    def _fate(self, intent: Mapping[str, Json]) -> Seen | None:
        return self.fates.get(str(intent["mark"]))

    def _apply(self, step: str, intent: Mapping[str, Json]) -> None:
        app = self.app
        if step == STOP:
            app.auto_sync, app.marker = False, app.marker or str(intent.get("marker", "held"))
        elif step == RESTORE:
            app.auto_sync, app.marker = True, ""
        elif step == MARK:
            app.marker = str(intent.get("marker", "held"))
        elif step == UNMARK:
            app.marker = ""
        elif step == SYNC:
            now, handle = self._clock.now(), str(1 + max(int(one.handle) for one in app.history))
            app.history.insert(0, replace(app.desired or app.live, handle=handle, started_at=now, deployed_at=now, by=ME))
        elif step in {BACK, RETURN}:
            goal = next(one for one in app.history if one.key == intent["goal"])
            handle = str(1 + max(int(one.handle) for one in app.history))
            now = self._clock.now()
            app.attempted, app.failed_newer = None, ""
            app.history.insert(0, replace(goal, handle=handle, started_at=now, deployed_at=now, by=ME))
            app.health = "Healthy"

    async def check(self) -> Sequence[Checked]:
        """One line."""
        return (Checked(what=self.instance, well="ok", says="in memory"),)

    async def close(self) -> None:
        """Nothing is open."""
