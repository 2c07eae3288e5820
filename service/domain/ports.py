"""What the story needs from the outside, small and shaped by the story, not by one system. Integrations and the store implement these; fakes keep them too.

Every call may raise TemporaryError (nobody knows), PermanentError (a person is needed) or RefusedError (it said no); nothing else.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from service.domain.catalog import Catalog
from service.domain.difference import Content, Own
from service.domain.facts import Fact, Key, Known
from service.domain.grouping import Burning
from service.domain.holding import HeldRelease
from service.domain.keys import ImageConfig, TargetState
from service.domain.model import (
    Actor,
    AlertNotice,
    Episode,
    Hold,
    Incident,
    Json,
    ObjectRef,
    Operation,
    Outcome,
    RawDelivery,
    Release,
    ReleaseRecord,
    TargetId,
    Watch,
)
from service.domain.own_statements import OwnStatements
from service.domain.planning.plan import Offer, Step
from service.domain.readiness import Age, Standing, Turn
from service.domain.rule import Case
from service.domain.suspicion import Trouble

# --- time ----------------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """The only source of time. `now` is UTC and aware; `sleep` is real in production and moves the clock in tests."""

    def now(self) -> datetime: ...
    async def sleep(self, seconds: float) -> None: ...


# --- facts ---------------------------------------------------------------------------------------------------------------


class FactSource(Protocol):
    """Reads facts. `kinds` are the `Key.kind`s it answers; `read` answers Absent rather than raising for anything that an outside system does.

    A source of one delivery instance is asked only for keys whose subject's target belongs to that instance (see `Delivery.instance`).
    """

    @property
    def kinds(self) -> frozenset[str]: ...
    async def read(self, key: Key[Any]) -> Fact[Any]: ...


# --- delivery systems ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTarget:
    """One target as a cheap list shows it. `stamp` changes whenever something worth a closer look changed; `objects` feed the alert index.

    `cluster` is what the delivery system calls the cluster that it deploys to, "" when it does not tell.
    """

    target: TargetId
    project: str
    namespace: str
    health: str
    desired_revision: str
    stamp: str
    objects: tuple[ObjectRef, ...]
    images: tuple[str, ...] = ()
    cluster: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All targets of an instance. `complete` is False when the answer may be short (no right, truncated): then absence proves nothing."""

    targets: tuple[ListedTarget, ...]
    complete: bool
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intention:
    """What an effect is for, given to `intend`, which adds what it needs to recognise the effect later.

    `not_before`: acts of people on the target after this time mean hands off. `ours` are markers of this operation's earlier effects.
    `own_marker` is the text on the target of a hold of ours that is open already, "" when there is none.
    """

    target: TargetId
    uid: str
    operation_id: str
    suspect: Release
    goal: Release
    not_before: datetime | None
    marker: str
    at: datetime
    ours: tuple[Mapping[str, Json], ...] = ()
    own_marker: str = ""


class Seen(StrEnum):
    """What became of an effect, as seen from the target."""

    NOT_SEEN = "not_seen"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    FOREIGN = "foreign"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """`not_seen` holds until `not_seen_until` (then it never happened); `foreign`: somebody else's; `stuck`: accepted, and does not come to its end.

    `withdrawable`: stuck, would happen later, and `withdraw` keeps it from that. `nothing_yet`: it has asked for nothing so far, so that `withdraw` keeps it
    from happening after `act_before`.
    """

    seen: Seen
    says: str
    not_seen_until: datetime | None = None
    withdrawable: bool = False
    nothing_yet: bool = False
    details: Mapping[str, Json] = field(default_factory=dict)


Guard = Callable[[], Awaitable[None]]
"""Called by an adapter right before each HTTP send that writes: raises StoppedError or TooLateError, and then nothing was sent."""


Fence = Callable[[], Awaitable[bool]]
"""Returns once this process may act on the outside, and waits as long as another one may have taken its work over; answers whether it had to wait.

Asked last before every act: whatever is awaited after it may take longer than the fence holds.
"""


async def no_fence() -> bool:
    """The fence of a process that is alone on its store: it never waits."""
    return False


StandBack = Callable[[], Awaitable[None]]
"""Awaited by what nobody waits for, before it begins: returns once those who are waited for are done, or have taken long enough."""


async def at_once() -> None:
    """There is nobody to stand back for."""


@dataclass(frozen=True, slots=True)
class Executor:
    """A process that shares the store, as it was last seen: its name and how often it has beaten."""

    name: str
    beats: int


class Inventory(Protocol):
    """The targets of one instance, cheaply.

    `changes` gives hints, never facts, over one connection: a target that deserves a closer look now, or None for "anything may have changed, list
    again", which is always the first. It ends, or raises, when the connection ends; whoever asks again must list. Without a single hint while nothing
    changes. None instead of an iterator: this system tells nothing by itself, so it is polled.
    """

    @property
    def instance(self) -> str: ...
    async def targets(self) -> Listing: ...
    def changes(self) -> AsyncIterator[TargetId | None] | None: ...


class Hands(Protocol):
    """Acting on targets: which ways there are, and one step at a time. An act may be asynchronous and its answer may be lost.

    `offers` is pure over the case's facts, best way first. `intend` reads the world again and raises RefusedError when it is not as the plan
    assumed; its mapping is persisted before `act` and alone lets `observe` (also after a crash) tell whether the effect happened. `act` raising
    TemporaryError means *nobody knows*: observe before anything else. Doing a step twice does it once.

    `withdraw` asks that what was accepted and waits shall not happen any more; what becomes of it is observed. Where nothing waits it does nothing.
    """

    def offers(self, case: Case) -> tuple[Offer, ...]: ...
    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]: ...
    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None: ...
    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation: ...
    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One thing as it was at a moment: `kind` is manifest, events or log, `name` says of what, `text` is for people to read, secrets taken out."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What was captured of a target, and in a sentence each what could not be."""

    items: tuple[Captured, ...] = ()
    missing: tuple[str, ...] = ()


class Capturing(Protocol):
    """Best effort, for the record: `capture` adds to `into` as it goes, so that who stops waiting keeps what is there. Raises nothing for one thing missing."""

    async def capture(self, target: TargetId, into: "Basket") -> None: ...


@dataclass(slots=True)
class Basket:
    """Fills up while something is captured."""

    items: list[Captured] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Delivery(Inventory, Hands, FactSource, Capturing, Protocol):
    """One instance of one delivery system."""

    async def look(self, target: TargetId) -> TargetState: ...
    async def check(self) -> Sequence["Checked"]: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One line of `backout doctor`: what was looked at, whether it is well (ok, no, warn), what was found, and the fix."""

    what: str
    well: str
    says: str
    fix: str = ""


class Checkable(Protocol):
    """A connection that doctor can look at."""

    async def check(self) -> Sequence[Checked]: ...


# --- alerts --------------------------------------------------------------------------------------------------------------


class AlertSource(Protocol):
    """Parses one sender's wire format; pure. Raises ValueError with one line that helps whoever reads the sender's log."""

    @property
    def source(self) -> str: ...
    def parse(self, body: bytes) -> tuple[Sequence[AlertNotice], str, int]:
        """The notices, the group key, and how many alerts the sender cut off."""
        ...


# --- what leaves through the outbox --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to be sent at least once. `channel` is `trace` or `notify:<name>`; `key` is its identity: the same key is stored once."""

    channel: str
    key: str
    body: Mapping[str, Json] | bytes


TRIED_OFTEN = 3
"""A message that was tried this often lets younger ones go first: the trouble may be its own and not the receiver's."""


class Sender(Protocol):
    """Sends one batch. TemporaryError: try later; PermanentError or RefusedError: park it and say so. `channel` is the kind, trace or notify."""

    @property
    def channel(self) -> str: ...
    async def send(self, bodies: Sequence[bytes]) -> None: ...


# --- audit ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanDraft:
    """One ended span of an operation's trace, before it is encoded. `path` names it within the trace: ("", ) is the root, its parent is path[:-1].

    `links` are W3C traceparents. `failed` sets the span's status to error with `says`.
    """

    path: tuple[str, ...]
    name: str
    started_at: datetime
    ended_at: datetime
    says: str = ""
    failed: bool = False
    client: bool = False
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One audit row: what happened, in the sentence that everybody sees. Numbered per operation in the order of commits."""

    kind: str
    says: str
    at: datetime
    body: Mapping[str, Json] = field(default_factory=dict)


class SpanEncoder(Protocol):
    """Encodes an ended span once, as it will be exported for ever: the same draft gives the same bytes."""

    def encode(self, operation: Operation, draft: SpanDraft) -> tuple[str, bytes]:
        """Its span id (16 hex) and OTLP protobuf bytes."""
        ...


# --- the durable story ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldChange:
    """Open a hold (with its held release), or end it; `only` takes that one held release out of it. Written in the transition that makes it true.

    `releases` tell each newly held release in full.
    """

    open: Hold | None = None
    releases: tuple[HeldRelease, ...] = ()
    end: str = ""
    only: str = ""
    ended_by: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Everything that one step of an operation changes; committed in one transaction, or not at all.

    `wait`: nothing runs until then (0 = go on at once; None with `until_person` = until an approval or the deadline). `first_effect` stamps the row
    before the first write. `done` ends the operation; the incident is then closed with `incident_outcome` unless that is "". `suspect` is the release
    that the incident is found to be about: the incident keeps it, and joins the others of the same cause.
    `goes_on`: a crash before the next transition's commit costs nothing but doing this one again, so both may share a commit.
    """

    phase: str
    data: Mapping[str, Json]
    says: str = ""
    events: tuple[AuditEvent, ...] = ()
    spans: tuple[SpanDraft, ...] = ()
    messages: tuple[Message, ...] = ()
    hold: HoldChange | None = None
    wait: timedelta = timedelta(0)
    until_person: datetime | None = None
    first_effect: bool = False
    suspect: Release | None = None
    suspect_key: str | None = None
    goal_key: str | None = None
    act_before: datetime | None = None
    done: Outcome | None = None
    incident_outcome: str = ""
    goes_on: bool = False

    def then(self, other: "Transition") -> "Transition":
        """This one and the one that follows it, as one."""
        return replace(
            other,
            says=other.says or self.says,
            events=(*self.events, *other.events),
            spans=(*self.spans, *other.spans),
            messages=(*self.messages, *other.messages),
            hold=other.hold or self.hold,
            first_effect=self.first_effect or other.first_effect,
            suspect=other.suspect or self.suspect,
            suspect_key=self.suspect_key if other.suspect_key is None else other.suspect_key,
            goal_key=self.goal_key if other.goal_key is None else other.goal_key,
            act_before=other.act_before or self.act_before,
            incident_outcome=other.incident_outcome or self.incident_outcome,
        )

    def of(self, operation: Operation, at: datetime) -> Operation:
        """The row as it will be once this is committed, but for `rev`, `seq` and an end."""
        return replace(
            operation,
            phase=self.phase,
            data=self.data,
            says=self.says or operation.says,
            updated_at=at,
            suspect_key=operation.suspect_key if self.suspect_key is None else self.suspect_key,
            goal_key=operation.goal_key if self.goal_key is None else self.goal_key,
            act_before=self.act_before or operation.act_before,
            first_effect_at=operation.first_effect_at or (at if self.first_effect else None),
        )


class Journal(Protocol):
    """The operations' rows, which are the truth. `commit` is compare-and-swap on (seq, rev): False means somebody else was faster; nothing was written."""

    async def load(self, operation_id: str) -> Operation | None: ...
    async def commit(self, operation: Operation, transition: Transition, at: datetime) -> bool: ...
    async def bump(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """Give these a new `seq` and hand their next segment over with it; those that moved meanwhile are left out of the answer."""
        ...

    async def alive(self) -> Sequence[Operation]: ...
    async def alive_for(self, target: TargetId) -> Operation | None:
        """The one operation of the target that has not ended."""
        ...

    async def latest(self, incident_id: str) -> Operation | None:
        """The newest operation of the incident."""
        ...

    async def latest_of(self, target: TargetId) -> Operation | None:
        """The newest operation of the target, of any incident or none."""
        ...

    async def due(self, at: datetime) -> Sequence[Operation]:
        """Alive operations that ought to be moving: not waiting for a person or for a later time."""
        ...

    async def decide(self, operation_id: str, *, seq: int, actor: Actor, approve: bool, at: datetime, body: Mapping[str, Json]) -> bool:
        """Record a person's decision on a waiting operation and set it going; False if it no longer waits at `seq`."""
        ...

    async def request_cancel(self, operation_id: str, *, actor: Actor, reason: str, at: datetime) -> bool: ...
    async def approval(self, operation_id: str) -> Mapping[str, Json] | None: ...
    async def events(self, operation_id: str) -> Sequence[AuditEvent]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one episode belongs: its disposition, in words why, and the target and rung of the ladder where it has one.

    `candidates` are the targets that it could have meant where it has none.
    """

    episode: Episode
    disposition: str
    says: str
    target: TargetId | None = None
    rung: str = ""
    candidates: tuple[TargetId, ...] = ()


class Alerts(Protocol):
    """Deliveries, episodes and incidents."""

    async def accept(self, delivery: RawDelivery) -> str:
        """Commit the raw delivery and its episodes; answers the delivery's id. Raises UnavailableError when nothing was kept."""
        ...

    async def undecided(self, delivery_id: str) -> Sequence[Episode]: ...
    async def deliveries_undecided(self, before: datetime) -> Sequence[str]:
        """Deliveries received before then that still hold an episode without a disposition, oldest first."""
        ...

    async def place(self, placements: Sequence[Placement], at: datetime) -> Sequence[Incident]:
        """Record where these episodes belong, all or nothing; one that another worker placed meanwhile stays as it is.

        An episode with a target opens or joins the target's incident; the incidents so touched are answered.
        """
        ...

    async def incident(self, incident_id: str) -> Incident | None: ...
    async def open_incidents(self) -> Sequence[Incident]: ...
    async def firings(self, alerts: Collection[tuple[str, str]], since: datetime) -> Mapping[tuple[str, str], int]:
        """How many firings of these alerts, by (source, fingerprint), began since then."""
        ...

    async def burning(self) -> Sequence[Burning]:
        """The open incidents whose suspect is known, oldest first."""
        ...

    async def close_incident(self, incident_id: str, *, outcome: str, at: datetime, quiet_only: bool = False) -> None:
        """Close it; with `quiet_only` it stays open if one of its alerts fires by now."""
        ...


class Starting(Protocol):
    """Beginning operations."""

    async def begin(self, operation: Operation, events: Sequence[AuditEvent], spans: Sequence[SpanDraft], covers: Sequence[Episode] = ()) -> Operation:
        """Insert the row and mark the episodes as covered by it, or nothing of both.

        Raises ConflictError when one is alive for the target (its id is the error's text), or when an episode was covered otherwise meanwhile.
        """
        ...

    async def append(
        self,
        operation_id: str,
        events: Sequence[AuditEvent],
        spans: Sequence[SpanDraft],
        messages: Sequence[Message],
        at: datetime,
        covers: Sequence[Episode] = (),
    ) -> None:
        """Add rows outside of a transition (joined alerts, the end of its hold). ConflictError when it has ended and should cover, or as in `begin`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A hold marker on a target, since when it was seen there, and a command by which a person takes it off."""

    target: TargetId
    marker: str
    unmark: str
    since: datetime


class Targets(Protocol):
    """What Backout knows of targets and releases from watching them."""

    async def known(self) -> Sequence[TargetId]: ...
    async def among(self, ids: Collection[str]) -> Sequence[TargetId]:
        """Those of these ids that are known targets, by id."""
        ...

    async def count(self) -> int:
        """How many targets there are."""
        ...

    async def listed(self, target: TargetId) -> ListedTarget | None: ...
    async def index(self, objects: Sequence[ObjectRef]) -> Mapping[ObjectRef, tuple[TargetId, ...]]: ...
    async def remember(self, listing: Listing, instance: str, at: datetime) -> Sequence[ListedTarget]:
        """Store the list; answers those whose stamp changed since the last time."""
        ...

    async def remember_state(
        self, state: TargetState, records: Sequence[ReleaseRecord], at: datetime, *, seen: Mapping[str, ReleaseRecord] | None = None
    ) -> bool:
        """Store what one close look showed. False, and nothing stored, if the records are no longer those `seen` before it: another process was faster.

        After a look that was not final, or found another release live, `remember` answers the target again whatever its stamp.
        """
        ...

    async def lives(self, targets: Sequence[TargetId]) -> Sequence[ReleaseRecord]:
        """Every record of these targets that is not over, without what the release is made of (images, sources, objects).

        There is more than one of a target where nobody could tell which release is live.
        """
        ...

    async def lived_on(self, records: Sequence[tuple[ReleaseRecord, ReleaseRecord]]) -> None:
        """Write down that releases lived on: (as it was read, as it is now). One that moved meanwhile stays as it is."""
        ...

    async def remember_state_record(self, record: ReleaseRecord, *, seen: ReleaseRecord | None = None) -> bool:
        """Store one record that lived on; False if it is no longer the one that was `seen`."""
        ...

    async def records(self, target: TargetId) -> Mapping[str, ReleaseRecord]: ...
    async def keep_content(self, target: TargetId, key: str, content: Content, *, replaces: Collection[str], at: datetime) -> None:
        """Keep what the live release is made of, for the time when the delivery system renders it no more; no longer that of the keys it `replaces`."""
        ...

    async def content(self, target: TargetId, key: str) -> Content | None:
        """What is kept of a release, if anything is."""
        ...

    async def spec_before(self, target: TargetId, at: datetime) -> tuple[str, datetime] | None:
        """The spec digest last read before `at`, and when."""
        ...

    async def troubles(self, target: TargetId) -> Sequence[Trouble]:
        """When alerts fired on the target, newest first, as far back as matters for releases that are still remembered."""
        ...

    async def handles_made_by_backout(self, target: TargetId) -> Sequence[str]: ...
    async def note_made(self, target: TargetId, operation_id: str, handle: str, at: datetime) -> None: ...
    async def looked(self, target: TargetId, stamp: str) -> None: ...
    async def marked(self) -> Sequence[Mark]:
        """The hold markers that were last seen on targets."""
        ...

    async def shared(self, target: TargetId) -> tuple[Mapping[ObjectRef, tuple[TargetId, ...]], int]:
        """Objects of the target that others hold too, and how many targets were compared."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCatalog:
    """The schema of a database as it was while a release lived alone, when it was read, and its digest."""

    catalog: Catalog
    at: datetime
    digest: str


class Catalogs(Protocol):
    """Schemas of databases as they were while a release lived alone; they cannot be had later."""

    async def has(self, target: TargetId, release: str, databases: Sequence[str]) -> frozenset[str]: ...
    async def keep(self, target: TargetId, release: str, database: str, catalog: Catalog, at: datetime) -> None: ...
    async def of(self, target: TargetId, release: str, database: str) -> KeptCatalog | None: ...


class StatementsKept(Protocol):
    """What releases were seen to run in their databases; it cannot be had later."""

    async def keep(self, target: TargetId, release: str, database: str, statements: OwnStatements) -> None: ...
    async def of(self, target: TargetId, release: str, database: str) -> OwnStatements | None: ...


class Labels(Protocol):
    """Labels of images by `repository@digest`, as they were read of a registry for a platform (`linux/amd64`): they never change."""

    async def of(self, image: str, platform: str) -> Known[ImageConfig] | None: ...
    async def keep(self, image: str, platform: str, labels: Known[ImageConfig]) -> None: ...


class Readinesses(Protocol):
    """Standing verdicts, one a target, and the turns they took."""

    async def of(self, targets: Sequence[TargetId]) -> Mapping[TargetId, Standing]: ...
    async def ages(self) -> Sequence[Age]: ...
    async def keep(self, standing: Standing, turn: Turn | None, messages: Sequence[Message] = ()) -> bool:
        """With its turn and what is told of it, at once; False, and nothing written, where one with later facts is there already, or the target is gone."""
        ...

    async def turns(self, target: TargetId, *, limit: int) -> Sequence[Turn]:
        """Newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What Backout did and has open around a target, all of one moment.

    `rollbacks`: automatic ones with an effect since a time; `failed_forwards`: automatic ones that went forward since then and did not end well.
    `held`: keys of the releases that its open hold keeps away. `made`: handles of the releases that Backout put live, oldest first. `alive`: the
    operation that has not ended, or "". `burning`: how many different targets had an incident opened since another time, of `targets` in all.
    """

    rollbacks: int
    failed_forwards: int
    held: tuple[str, ...]
    made: tuple[str, ...]
    alive: str
    burning: int
    targets: int


class Holds(Protocol):
    """Open and ended holds, and Backout's own acts around a target."""

    async def open_for(self, target: TargetId) -> Hold | None: ...
    async def load(self, hold_id: str) -> Hold | None: ...
    async def open(self) -> Sequence[Hold]:
        """All open holds, oldest first."""
        ...

    async def releases(self, hold_id: str) -> Sequence[HeldRelease]:
        """What the hold keeps away, oldest first."""
        ...

    async def tell_bad(self, hold_id: str, key: str, bad: Own) -> None:
        """Write down what only the held release has; what was written stays."""
        ...

    async def see(self, hold: Hold, watch: Watch, events: Sequence[AuditEvent], messages: Sequence[Message], at: datetime) -> bool:
        """Write down what was seen of the hold, and tell people, in one transaction; False if another replica was faster (`watch_rev`): nothing is told."""
        ...

    async def renew(self, hold: Hold, review_at: datetime, events: Sequence[AuditEvent], messages: Sequence[Message], at: datetime) -> bool:
        """The next review; False if another replica was faster."""
        ...

    async def around(self, target: TargetId, *, since: datetime, burning_since: datetime) -> Around: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A capture that an operation still wants: `moment` is before or after its effect. `late`: the effect has begun, so there is no before any more."""

    operation_id: str
    target: TargetId
    moment: str
    late: bool = False


class Captures(Protocol):
    """What was captured around operations; each moment of an operation once."""

    async def wanted(self, at: datetime) -> Sequence[Wanted]: ...
    async def keep(self, wanted: Wanted, capture: Capture, says: str, at: datetime) -> None:
        """Store the texts by digest, and tell of it in the operation's audit rows, in one transaction. A moment that is there already stays."""
        ...


class StopSwitch(Protocol):
    """Whether everything is stopped: the reason, or "". UnavailableError while nobody can say: then nothing is done, and it is asked again."""

    async def reason(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A durable row with something to do: `kind` is operation or delivery; `seq` fences."""

    kind: str
    id: str
    seq: int = 0

    @property
    def name(self) -> str:
        """What the engine calls it, once for ever."""
        return f"{self.kind}:{self.id}:{self.seq}"


class HandOver(Protocol):
    """Puts delayed work into the engine inside the store's open transaction (an opaque connection), so that both are kept or neither."""

    async def later(self, transaction: Any, work: Work, delay: timedelta) -> None: ...


class Starter(Protocol):
    """Starts work at once after a commit; losing the start is repaired by the reconciler, for the row is the truth."""

    async def start(self, work: Work) -> None: ...


class Outbox(Protocol):
    """Messages that belong to no operation."""

    async def send(self, message: Message, at: datetime) -> None: ...


NewId = Callable[[str], str]
"""Makes a fresh identity for a kind, such as `op_…`."""
