"""Deliberately broken builds of Backout, at least one for each promise: the checker must find every one of them, or it proves nothing.

Each replaces one function of the product by one that breaks a promise, as a careless change might. `focus` deals the trouble that brings it out, so that a
few schedules are enough; the checks are those of every other schedule.
"""

import dataclasses
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from integrations.delivery.argocd.owners import tools
from integrations.delivery.argocd.steps import judging
from integrations.delivery.argocd.steps.prove_controller import ProveController
from integrations.delivery.argocd.steps.restore_auto_sync import RestoreAutoSync
from integrations.delivery.argocd.steps.roll_back import RollBack
from integrations.delivery.argocd.steps.step import Tools
from integrations.delivery.argocd.steps.stop_auto_sync import StopAutoSync
from service.domain import difference, evaluation, holding, recovery, verdict
from service.domain.difference import Likeness
from service.domain.errors import UnavailableError
from service.domain.facts import Known
from service.domain.keys import Owner
from service.domain.model import Mode, Outcome, RawDelivery
from service.domain.ports import Fence, Observation, Seen
from service.domain.recovery import Look
from service.domain.rules import nobody_else_is_acting
from service.domain.verdict import Answer, Finding
from service.engine.lease import Lease
from service.engine.reconciler import Reconciler
from service.engine.sender import OutboxSender
from service.store import events, holds
from service.store.alerts import AlertStore
from service.store.operations import OperationStore
from service.store.records import StopStore
from service.workflow import correlate, gather, messages
from service.workflow.chapters import chapter, taking_back, verifying
from service.workflow.desk import Desk
from service.workflow.own_facts import OwnFacts
from service.workflow.watch import Stream, Watcher
from tests.chaos.fate import Trouble
from tests.chaos.schedule import ARGOCD, WARM, Event, Schedule, approvals
from tests.chaos.world import APPLIER, NOBODY, READ_ME, REVISION_FREE, SET

Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A broken build: what it does wrong, and which promise that breaks. `within` is how many schedules may be needed to see it.

    `how` is who starts the deploy of the bad release, where Spinnaker deploys (`schedule.HOW`).
    """

    name: str
    promise: int
    says: str
    patches: Callable[[], Sequence[Patch]]
    rates: Mapping[Trouble, float] | None = None
    events: Callable[[str, random.Random], Sequence[Event]] = field(default=lambda _app, _chance: ())
    mode: str = "auto"
    owner: str = NOBODY
    watch: bool = False
    replicas: int = 1
    within: int = 12
    delivery: str = ARGOCD
    how: str = "trigger"
    machines: bool = False
    own: str = ""
    keel: bool = False

    @contextmanager
    def built(self) -> Iterator[None]:
        """The product is broken inside the block."""
        with ExitStack() as stack:
            for where, name, broken in self.patches():
                stack.enter_context(mock.patch.object(where, name, broken))
            yield

    def focus(self, schedule: Schedule) -> Schedule:
        """One shop with a bad release, and the trouble that brings the defect out."""
        shop = dataclasses.replace(schedule.shops[0], mode=self.mode, auto_sync=True, owner=self.owner, machines=self.machines)
        shops = (dataclasses.replace(shop, own=self.own, keel=self.keel),)
        app = shops[0].app
        kept = [Event(T0, "release", (app, "2.0.0") if self.delivery == ARGOCD else (app, "2.0.0", self.how))]
        kept += approvals(app) if self.machines else []
        more = self.events(app, random.Random(schedule.seed))  # noqa: S311  the point is to draw the same again
        return dataclasses.replace(
            schedule,
            shops=shops,
            rates=schedule.rates if self.rates is None else self.rates,
            events=tuple(sorted([*kept, *more])),
            secret=True,
            replicas=self.replicas,
            watch=self.watch,
        )


# --- what is broken ----------------------------------------------------------------------------------------------------------


def _unknown_passes() -> Sequence[Patch]:
    weigh = verdict._weight

    def weight(finding: Finding) -> Answer:
        return Answer.PASS if finding.answer is Answer.UNKNOWN else weigh(finding)

    return [(verdict, "_weight", weight)]


def _answers_before_the_commit() -> Sequence[Patch]:
    accept = AlertStore.accept

    async def hopes(self: AlertStore, delivery: RawDelivery) -> str:
        try:
            return await accept(self, delivery)
        except UnavailableError:
            return "dlv_kept_in_memory_for_now"

    return [(AlertStore, "accept", hopes)]


def _forgets_what_nobody_placed() -> Sequence[Patch]:
    async def nothing(self: AlertStore, *before: datetime) -> Sequence[str]:
        del self, before
        return ()

    return [(AlertStore, "deliveries_undecided", nothing)]


def _acts_without_looking() -> Sequence[Patch]:
    async def act(self: RollBack, intent: Any, guard: Any) -> None:
        looked = await self.t.get(intent)
        await self.t.client.roll_back(looked.ref, int(intent["goal_id"]), guard)

    return [(RollBack, "act", act)]


def _takes_a_lost_answer_for_a_lost_request() -> Sequence[Patch]:
    look = RollBack.see

    async def see(self: RollBack, intent: Any) -> Observation:
        seen = await look(self, intent)
        surely = self.t.clock.now() - timedelta(seconds=5)
        return dataclasses.replace(seen, seen=Seen.NOT_SEEN, not_seen_until=surely) if seen.seen is not Seen.FOREIGN else seen

    return [(RollBack, "see", see)]


def _knows_no_fence() -> Sequence[Patch]:
    async def open_to_all(self: Lease) -> bool:
        del self
        return False

    return [(Lease, "fence", open_to_all), *_acts_on_an_old_look()]  # which would keep it from acting, too


def _asks_the_fence_first() -> Sequence[Patch]:
    async def early(fence: Fence, look: Callable[[], Awaitable[None]]) -> None:
        await fence()
        await look()

    return [(chapter, "fenced", early), *_acts_on_an_old_look()]


def _acts_on_an_old_look() -> Sequence[Patch]:
    return [(chapter, "LOOK_HOLDS", timedelta.max)]


def _ignores_the_stop_switch() -> Sequence[Patch]:
    async def never(self: StopStore) -> str:
        del self
        return ""

    return [(StopStore, "reason", never)]


def _takes_the_controller_for_alive() -> Sequence[Patch]:
    async def act(self: ProveController, intent: Any, guard: Any) -> None:
        del self, intent, guard

    async def see(self: ProveController, intent: Any) -> Observation:
        del self, intent
        return Observation(seen=Seen.DONE, says="surely")

    return [(ProveController, "act", act), (ProveController, "see", see)]


def _ignores_windows() -> Sequence[Patch]:
    from service.domain.rules import no_sync_window_is_in_the_way as rule  # noqa: PLC0415  only here

    async def fine(self: Tools, looked: Any) -> None:
        del self, looked

    return [(Tools, "window_is_open", fine), (rule, "blocks", lambda says, *evidence, **_: verdict.passes(says, *evidence))]


def _does_not_look_at_people() -> Sequence[Patch]:
    async def nobody(self: Tools, looked: Any, intention: Any) -> None:
        del self, looked, intention

    return [
        (Tools, "nobody_else", nobody),
        (judging, "unedited", lambda *_: None),
        (nobody_else_is_acting, "_since", lambda *_: iter(())),
    ]


def _says_no_without_a_reason() -> Sequence[Patch]:
    ask = evaluation._ask

    def mute(rule: Any, case: Any) -> Finding:
        return dataclasses.replace(ask(rule, case), says="")

    return [(evaluation, "_ask", mute)]


def _holds_nothing() -> Sequence[Patch]:
    change = holds.change

    async def forgets(connection: Any, operation: Any, wanted: Any, at: datetime) -> None:
        if wanted.open is None:
            await change(connection, operation, wanted, at)

    return [(holds, "change", forgets)]


def _asks_nobody_who_owns() -> Sequence[Patch]:
    def nobody(self: Owner, way: Any) -> None:
        del self, way

    return [(Owner, "undoing", nobody)]


def _does_not_see_who_applies() -> Sequence[Patch]:
    def harmless(_app: Any, _entry: Any, *, kind: str, name: str, **_more: str) -> Owner:
        return Owner(kind=kind, name=name, says="it applies this application")

    return [(tools, "_applies", harmless)]


def _believes_the_watch_alone() -> Sequence[Patch]:
    def never(self: Watcher, name: str) -> bool:
        return self.freshness[name].stream is not Stream.UP

    async def heed(self: Watcher, name: str) -> None:
        self._hints[name].list_first = self._hints[name].list_newest = None
        self._hints[name].unsure.clear()
        await look(self, name)

    look = Watcher.heed
    return [(Watcher, "_is_due", never), (Watcher, "heed", heed)]


def _leaves_no_mark() -> Sequence[Patch]:
    may = StopAutoSync.may

    async def unmarked(self: StopAutoSync, step: Any, intention: Any, looked: Any) -> Mapping[str, Any]:
        return {**await may(self, step, intention, looked), "mark": False}

    return [(StopAutoSync, "may", unmarked)]


def _gives_auto_sync_back_over_a_rollback() -> Sequence[Patch]:
    async def sure(self: RestoreAutoSync, intent: Any) -> None:
        del self, intent

    return [(RestoreAutoSync, "_never_accepted", sure), (taking_back, "decisive", lambda _: -1)]


def _takes_any_commit_for_a_fix() -> Sequence[Patch]:
    recognise = difference.recognise

    def differs(content: Any, bad: Any) -> Any:
        return dataclasses.replace(recognise(content, bad), likeness=Likeness.NONE)

    return [(holding, "recognise", differs)]


def _believes_the_first_good_look() -> Sequence[Patch]:
    advance = recovery.advance

    def at_once(progress: Any, checks: Any, **more: Any) -> Any:
        step = advance(progress, checks, **more)
        good = checks and all(check.look is not Look.BAD for check in checks)
        return dataclasses.replace(step, ended="recovered", says="recovered: it looks good") if good else step

    return [(verifying, "advance", at_once)]


def _forgets_what_could_not_be_sent() -> Sequence[Patch]:
    async def gone(self: OutboxSender, channel: str, positions: Sequence[int], tries: int, why: str) -> None:
        del channel, tries, why
        await self._box.delivered(positions, self._clock.now())

    return [(OutboxSender, "_later", gone)]


def _keeps_half_a_trace() -> Sequence[Patch]:
    append = OperationStore._append

    async def half(self: OperationStore, connection: Any, operation: Any, rows: Any, drafts: Any, told: Any, at: Any) -> None:
        kept = [one for one in drafts if not one.name.startswith("operation.completed")]
        await append(self, connection, operation, rows, kept, told, at)

    return [(OperationStore, "_append", half)]


def _knows_no_limits() -> Sequence[Patch]:
    limits = OwnFacts._limits

    async def none(self: OwnFacts, target: Any) -> Any:
        found = await limits(self, target)
        if not isinstance(found, Known):
            return found
        return dataclasses.replace(found, value=dataclasses.replace(found.value, automatic_rollbacks=0, wide_outage="", disarmed=""))

    return [(OwnFacts, "_limits", none)]


def _does_as_the_label_says() -> Sequence[Patch]:
    permitted = correlate.permitted

    def raised(policy: Any, episodes: Any, scopes: Any, **more: Any) -> tuple[Mode, str]:
        if any(episode.labels.get("backout") == "auto" for episode in episodes):
            return Mode.AUTO, "mode auto: the label says so"
        return permitted(policy, episodes, scopes, **more)

    return [(correlate, "permitted", raised)]


def _takes_any_digest() -> Sequence[Patch]:
    async def decide(self: Desk, operation_id: str, actor: Any, *, approve: bool, digest: str, names: Sequence[str], reason: str) -> Any:
        operation = await self._operation(operation_id)
        body = {"digest": digest, "names": list(names), "reason": reason}
        await self._journal.decide(operation_id, seq=operation.seq, actor=actor, approve=approve, at=self._clock.now(), body=body)
        return await self._woken(operation_id)

    return [(Desk, "decide", decide)]


def _tells_secrets() -> Sequence[Patch]:
    return [
        (events, "clear", lambda text: (text, 0)),
        (events, "without_secrets", lambda body: body),
        (messages, "without_secrets", lambda body: body),
        (gather, "clear", lambda text: (text, 0)),
    ]


def _says_nothing_of_a_refusal() -> Sequence[Patch]:
    message = messages.message

    def quiet(told: Any, *, event: str, **more: Any) -> Any:
        return () if event in {Outcome.REFUSED.value, Outcome.EXPIRED.value} else message(told, event=event, **more)

    return [(messages, "message", quiet)]


def _repairs_nothing() -> Sequence[Patch]:
    async def idle(self: Reconciler, *, patience: timedelta = timedelta(0)) -> int:
        del self, patience
        return 0

    return [(Reconciler, "round", idle)]


# --- the trouble that brings it out ------------------------------------------------------------------------------------------

CALM: Mapping[Trouble, float] = {}
T0 = WARM + 10.0
"""When the bad release goes out; its alert fires about 31 s later, and the rollback is sent some seconds after that."""


def _away(name: str, begins: float, ends: float, *given: object) -> Callable[[str, random.Random], Sequence[Event]]:
    return lambda _app, _chance: (Event(begins, f"{name}_away", given), Event(ends, f"{name}_back", given))


def _out(what: str, begins: float, ends: float) -> Callable[[str, random.Random], Sequence[Event]]:
    return lambda _app, _chance: (Event(begins, "begins", (what,)), Event(ends, "ends", (what,)))


MUTANTS = (
    Mutant(name="repairs nothing", promise=0, says="a start that was lost is never repaired", patches=_repairs_nothing, rates={Trouble.CRASH: 0.08}, within=40),
    Mutant(
        name="unknown passes",
        promise=1,
        says="what nobody could find out counts as a yes",
        patches=_unknown_passes,
        rates={Trouble.FACT_ABSENT: 0.3},
    ),
    Mutant(
        name="answers before the commit",
        promise=2,
        says="202 although the store did not take it",
        patches=_answers_before_the_commit,
        rates={Trouble.NO_COMMIT: 0.3},
    ),
    Mutant(
        name="answers although the disk is full",
        promise=2,
        says="202 although nothing could be written",
        patches=_answers_before_the_commit,
        rates=CALM,
        events=_away("disk", T0 + 20, T0 + 60),
    ),
    Mutant(
        name="forgets what nobody placed",
        promise=2,
        says="a delivery whose segment was lost stays undecided",
        patches=_forgets_what_nobody_placed,
        rates={Trouble.NO_COMMIT: 0.6},
    ),
    Mutant(
        name="acts without looking",
        promise=3,
        says="the request is sent again after a crash",
        patches=_acts_without_looking,
        rates={Trouble.CRASH_AFTER_WRITE: 0.4},
        within=40,
    ),
    Mutant(
        name="knows no fence",
        promise=3,
        says="a process that was declared dead acts when it wakes",
        patches=_knows_no_fence,
        rates={Trouble.FREEZE_IN_LOOK: 0.5},
        replicas=2,
    ),
    Mutant(
        name="asks the fence first",
        promise=3,
        says="a process that is frozen in its last look acts when it wakes",
        patches=_asks_the_fence_first,
        rates={Trouble.FREEZE_IN_LOOK: 0.5},
        replicas=2,
    ),
    Mutant(
        name="takes a lost answer for a lost request",
        promise=7,
        says="an effect that is not seen at once never was, and the rest is taken back",
        patches=_takes_a_lost_answer_for_a_lost_request,
        rates={Trouble.ANSWER_LOST: 0.5},
    ),
    Mutant(
        name="ignores the stop switch",
        promise=4,
        says="acts while everything is stopped",
        patches=_ignores_the_stop_switch,
        rates=CALM,
        events=_away("stop", T0, T0 + 200, True),
    ),
    Mutant(
        name="takes the controller for alive",
        promise=4,
        says="sends a rollback that nobody picks up now",
        patches=_takes_the_controller_for_alive,
        rates=CALM,
        events=_out("controller down", T0 + 2, T0 + 120),
    ),
    Mutant(
        name="ignores windows",
        promise=4,
        says="sends a rollback into a closed window",
        patches=_ignores_windows,
        rates=CALM,
        events=_out("sync window closed", T0 + 2, T0 + 120),
    ),
    Mutant(
        name="does not look at people",
        promise=5,
        says="acts although a person has begun to",
        patches=_does_not_look_at_people,
        rates=CALM,
        events=lambda app, _: [Event(T0 + 15, "person", (app, "edits the spec"))],
    ),
    Mutant(name="says no without a reason", promise=6, says="a finding has no sentence", patches=_says_no_without_a_reason, rates=CALM),
    Mutant(name="holds nothing", promise=7, says="the release that was left is not held away", patches=_holds_nothing, rates=CALM),
    Mutant(
        name="holds no pin",
        promise=7,
        says="the release that was left by a pin is not held away",
        patches=_holds_nothing,
        rates=CALM,
        owner=REVISION_FREE,
    ),
    Mutant(
        name="asks nobody who owns",
        promise=7,
        says="writes what the owner takes back at once",
        patches=_asks_nobody_who_owns,
        rates=CALM,
        owner=SET,
    ),
    Mutant(
        name="does not see who applies",
        promise=7,
        says="takes who applies the spec on the server's side for harmless",
        patches=_does_not_see_who_applies,
        rates=CALM,
        owner=APPLIER,
    ),
    Mutant(
        name="believes the watch alone",
        promise=1,
        says="reads no list while the watch says something",
        patches=_believes_the_watch_alone,
        rates={Trouble.HINT_LOST: 0.97},
        watch=True,
    ),
    Mutant(name="leaves no mark", promise=7, says="the hold does not show on the target", patches=_leaves_no_mark, rates=CALM),
    Mutant(
        name="gives auto-sync back over a rollback",
        promise=7,
        says="compensates although the rollback was accepted",
        patches=_gives_auto_sync_back_over_a_rollback,
        rates=CALM,
        events=lambda app, chance: [Event(T0 + chance.uniform(40.8, 43.0), "person", (app, "syncs"))],
        within=40,
    ),
    Mutant(
        name="takes any commit for a fix",
        promise=7,
        says="a commit that changes nothing brings the held release back",
        patches=_takes_any_commit_for_a_fix,
        rates=CALM,
        events=lambda app, _: [Event(T0 + 120, "release", (app, f"2.0.0{READ_ME}")), Event(T0 + 300, "repeat_post", (1,))],
    ),
    Mutant(name="believes the first good look", promise=8, says="recovered without the bake time", patches=_believes_the_first_good_look, rates=CALM),
    Mutant(
        name="forgets what could not be sent",
        promise=9,
        says="a span that the collector did not take is gone",
        patches=_forgets_what_could_not_be_sent,
        rates={Trouble.RECEIVER_AWAY: 0.5},
    ),
    Mutant(name="keeps half a trace", promise=9, says="the end of an operation is not in its trace", patches=_keeps_half_a_trace, rates=CALM),
    Mutant(
        name="knows no limits",
        promise=10,
        says="rolls back by itself again and again",
        patches=_knows_no_limits,
        rates=CALM,
        events=lambda app, _: [
            Event(T0 + 90, "person", (app, "turns auto-sync on")),
            Event(T0 + 95, "release", (app, "3.0.0")),
            Event(T0 + 200, "release", (app, "2.2.0")),
        ],
    ),
    Mutant(
        name="does as the label says",
        promise=11,
        says="a label raises the mode",
        patches=_does_as_the_label_says,
        rates=CALM,
        events=lambda app, _: [Event(T0 + 31, "forge", (app, "raises"))],
        mode="suggest",
    ),
    Mutant(
        name="takes any digest",
        promise=12,
        says="an approval of another plan counts",
        patches=_takes_any_digest,
        rates=CALM,
        events=lambda app, _: [Event(T0 + 60, "decide", (app, "wrong digest"))],
        mode="approve",
    ),
    Mutant(name="tells secrets", promise=12, says="what errors and annotations hold is told on", patches=_tells_secrets, rates={Trouble.FACT_ABSENT: 0.2}),
    Mutant(
        name="says nothing of a refusal",
        promise=13,
        says="a refusal and an end without a decision are told to nobody",
        patches=_says_nothing_of_a_refusal,
        rates={Trouble.FACT_ABSENT: 0.3},
    ),
)
