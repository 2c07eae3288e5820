"""What the edge needs from the workflow and from the records, as small protocols; wiring passes the desk and the stores, tests pass fakes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.holding import HeldRelease
from service.domain.model import Actor, Episode, Hold, Incident, Json, Operation, RawDelivery, ReleaseRecord, TargetId
from service.domain.ports import AuditEvent, ListedTarget
from service.domain.readiness import Standing, Turn
from service.workflow.examine import Examination
from service.workflow.sources import LiveSources

Position = tuple[datetime, str]
"""Time and id of a row: what a list goes on behind."""


class UseCases(Protocol):
    """What people ask for (`service.workflow.desk.Desk`). Errors are those of `service.domain.errors`, each with a sentence."""

    async def check(self, target: TargetId, actor: Actor = ...) -> Examination: ...  # noqa: D102
    async def sources(self, target: TargetId) -> LiveSources: ...  # noqa: D102
    async def rollback(  # noqa: D102
        self, target: TargetId, actor: Actor, *, digest: str, names: Sequence[str], reason: str, override: Sequence[str] = ()
    ) -> Operation: ...
    async def confirm_override(  # noqa: D102
        self, operation_id: str, actor: Actor, *, digest: str, names: Sequence[str], override: Sequence[str], reason: str
    ) -> Operation: ...
    async def decide(self, operation_id: str, actor: Actor, *, approve: bool, digest: str, names: Sequence[str], reason: str) -> Operation: ...  # noqa: D102
    async def cancel(self, operation_id: str, actor: Actor, reason: str) -> Operation: ...  # noqa: D102
    async def end_hold(self, hold_id: str, actor: Actor, *, reason: str, leave_auto_sync_off: bool, accept_bad: bool) -> Hold: ...  # noqa: D102


class TargetReads(Protocol):
    """Targets as they were last listed, and releases as they lived."""

    async def listed(self, target: TargetId) -> ListedTarget | None: ...  # noqa: D102
    async def listing(self, *, behind: str = "", limit: int | None = None) -> Sequence[tuple[ListedTarget, datetime]]: ...  # noqa: D102
    async def seen(self, target: TargetId) -> tuple[ListedTarget, datetime] | None: ...  # noqa: D102
    async def live(self, targets: Sequence[TargetId]) -> Mapping[TargetId, ReleaseRecord]: ...  # noqa: D102
    async def records(self, target: TargetId) -> Mapping[str, ReleaseRecord]: ...  # noqa: D102


class ReadinessReads(Protocol):
    """Standing verdicts."""

    async def of(self, targets: Sequence[TargetId]) -> Mapping[TargetId, Standing]: ...  # noqa: D102
    async def turns(self, target: TargetId, *, limit: int) -> Sequence[Turn]: ...  # noqa: D102


class OperationReads(Protocol):
    """Operations with their audit events, decisions and spans."""

    async def load(self, operation_id: str) -> Operation | None: ...  # noqa: D102
    async def alive(self) -> Sequence[Operation]: ...  # noqa: D102
    async def alive_for(self, target: TargetId) -> Operation | None: ...  # noqa: D102
    async def find(  # noqa: D102
        self, *, target: str = "", incident_id: str = "", alive: bool | None = None, behind: Position | None = None, limit: int = 50
    ) -> Sequence[Operation]: ...
    async def by_trace(self, prefix: str) -> Sequence[Operation]: ...  # noqa: D102
    async def events(self, operation_id: str) -> Sequence[AuditEvent]: ...  # noqa: D102
    async def marks(self, ids: Sequence[str]) -> Mapping[str, object]: ...  # noqa: D102
    async def approval(self, operation_id: str) -> Mapping[str, Json] | None: ...  # noqa: D102
    async def span_bodies(self, operation_id: str) -> Sequence[bytes]: ...  # noqa: D102


class CapturedItem(Protocol):
    """One captured text, by its digest; `size` in characters."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102


class CapturedMoment(Protocol):
    """What was captured before or after an operation's effect."""

    @property
    def moment(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> datetime: ...  # noqa: D102
    @property
    def says(self) -> str: ...  # noqa: D102
    @property
    def items(self) -> Sequence[CapturedItem]: ...  # noqa: D102
    @property
    def missing(self) -> Sequence[str]: ...  # noqa: D102


class CaptureReads(Protocol):
    """What was captured around operations."""

    async def of(self, operation_id: str) -> Sequence[CapturedMoment]: ...  # noqa: D102
    async def text(self, operation_id: str, digest: str) -> str | None: ...  # noqa: D102


class AlertRecords(Protocol):
    """Taking deliveries in, and incidents with their episodes."""

    async def accept(self, delivery: RawDelivery) -> str: ...  # noqa: D102
    async def incident(self, incident_id: str) -> Incident | None: ...  # noqa: D102
    async def incidents(  # noqa: D102
        self, *, target: str = "", is_open: bool | None = None, behind: Position | None = None, limit: int = 50
    ) -> Sequence[Incident]: ...
    async def episodes(  # noqa: D102
        self, *, target: str = "", firing: bool | None = None, disposition: str = "", behind: Position | None = None, limit: int = 50
    ) -> Sequence[Episode]: ...
    async def open_ids(self) -> Mapping[TargetId, str]: ...  # noqa: D102


class HoldReads(Protocol):
    """Holds, open and ended."""

    async def load(self, hold_id: str) -> Hold | None: ...  # noqa: D102
    async def releases(self, hold_id: str) -> Sequence[HeldRelease]: ...  # noqa: D102
    async def open_for(self, target: TargetId) -> Hold | None: ...  # noqa: D102
    async def open_ids(self) -> Mapping[TargetId, str]: ...  # noqa: D102
    async def rollbacks_at(self, since: datetime) -> Mapping[TargetId, Sequence[datetime]]: ...  # noqa: D102
    async def find(  # noqa: D102
        self, *, is_open: bool | None = True, target: str = "", behind: Position | None = None, limit: int = 100
    ) -> Sequence[Hold]: ...


class PlanShelf(Protocol):
    """Plans that were shown, by id."""

    async def keep(self, plan_id: str, *, target: str, digest: str, made_at: datetime, body: Mapping[str, Json]) -> None: ...  # noqa: D102
    async def load(self, plan_id: str) -> Mapping[str, Json] | None: ...  # noqa: D102


class AnswerShelf(Protocol):
    """Answers to requests with an Idempotency-Key. `claim` raises ConflictError when the key was used with another request."""

    async def claim(self, key: str, caller: str, request_digest: str, at: datetime) -> tuple[int, Mapping[str, str], Json] | None: ...  # noqa: D102
    async def answer(self, key: str, caller: str, status: int, headers: Mapping[str, str], body: Json) -> None: ...  # noqa: D102
    async def give_up(self, key: str, caller: str) -> None: ...  # noqa: D102


class EventReads(Protocol):
    """The audit rows of any subject: an operation, an incident, the stop switch (`stop`). Numbered from 1 without a gap."""

    async def of(self, subject: str) -> Sequence[AuditEvent]: ...  # noqa: D102
    async def newer(self, known: Mapping[str, int]) -> Mapping[str, Sequence[AuditEvent]]: ...  # noqa: D102


class StopSwitch(Protocol):
    """The stop switch, with the means to turn it."""

    async def reason(self) -> str: ...  # noqa: D102
    async def stop(self, *, by: str, reason: str, at: datetime) -> None: ...  # noqa: D102
    async def resume(self, *, by: str, at: datetime) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessCheck:
    """One question of /readyz: `ask` answers "" when all is well, else what is wrong; it may raise a BackoutError."""

    name: str
    ask: Callable[[], Awaitable[str]]
