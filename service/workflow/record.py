"""What an operation remembers between its steps: the `data` of its row. Carries a schema number; fields are only ever added, with defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from service.domain.errors import PermanentError
from service.domain.model import Image, Json, Operation, OperationKind
from service.domain.planning.plan import Plan
from service.domain.recovery import Bound, Progress
from service.domain.rule import Trigger

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One effect that was intended: which step (by its place in the plan, or as the undo of that place), its marker, and what became of it.

    `accepted`: it was seen under way, so one that is not seen any more was taken away.
    """

    step: int
    undo: bool = False
    attempt: int = 1
    intent: Mapping[str, Json] = field(default_factory=dict)
    at: datetime
    ended: str = ""
    says: str = ""
    accepted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A person confirmed this plan beforehand by its digest, naming these rules, and asked to override these blocks."""

    digest: str
    names: tuple[str, ...] = ()
    reason: str = ""
    override: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an operation of any kind remembers.

    `cursor` is the next step of the plan; `why_compensate` the sentence that made the operation take its steps back. `ending` is the outcome that
    the compensation leads to. `verdicts` counts how often the world was judged, `attempts` the attempts made for plans that were given up since.
    `keep_firing` is the alert rule's own, which delays the end of a verification; `verified` that it ended well. `hold_id` is the hold that it opened,
    joined or works under. `second` is who confirmed the override of the plan's blocks, and why.
    `left_out` says why the last step that was left out was, `omitted` each of them with its reason. `approved_by` is who approved the plan.
    `left_behind` are the objects that the goal release does not have and that were still there at the end; None when nobody could
    find out, with the reason in `left_says`.
    """

    schema: int = SCHEMA
    trigger: Trigger | None = None
    episodes: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    confirmed: Confirmed | None = None
    why_mode: str = ""
    plan: Plan | None = None
    onset: datetime | None = None
    cursor: int = 0
    tried: tuple[Tried, ...] = ()
    why_compensate: str = ""
    ending: str = ""
    hold_id: str = ""
    wanted: tuple[Image, ...] = ()
    bound: Bound | None = None
    traffic_before: float | None = None
    progress: Progress | None = None
    verdicts: int = 0
    acting_since: datetime | None = None
    waiting_since: datetime | None = None
    stumbles: int = 0
    joins_hold: bool = False
    held_before: bool = False
    own_marker: str = ""
    back_since: datetime | None = None
    attempts: int = 0
    keep_firing: timedelta = timedelta(0)
    verified: bool = False
    second: str = ""
    second_reason: str = ""
    left_out: str = ""
    omitted: tuple[str, ...] = ()
    approved_by: str = ""
    left_behind: tuple[str, ...] | None = None
    left_says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(Attempt):
    """The record of a rollback operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward(Attempt):
    """The record of an operation that goes forward under a hold.

    `watched` is the alert that the hold began with, `opened_by` the operation that opened it. `handle` is the delivery system's name for the new
    release, once it is live. `told` is the refusal that a person was told last: the same one is not told twice.
    """

    watched: Trigger | None = None
    opened_by: str = ""
    handle: str = ""
    told: str = ""


_CLASSES: Mapping[OperationKind, type[Attempt]] = {OperationKind.ROLLBACK: Rollback, OperationKind.FORWARD: Forward}
_ADAPTERS: Mapping[OperationKind, TypeAdapter[Any]] = {kind: TypeAdapter(one) for kind, one in _CLASSES.items()}
_BY_CLASS: Mapping[type[Attempt], TypeAdapter[Any]] = {one: _ADAPTERS[kind] for kind, one in _CLASSES.items()}


def dump(record: Attempt) -> Mapping[str, Any]:
    """As JSON values."""
    data: Mapping[str, Any] = _BY_CLASS[type(record)].dump_python(record, mode="json")
    return data


def load(operation: Operation) -> Attempt:
    """Back from the row, by the operation's kind; PermanentError for a record that a newer version wrote."""
    if int(operation.data.get("schema", SCHEMA)) > SCHEMA:
        raise PermanentError(f"operation {operation.id} was written by a newer version of Backout")
    found: Attempt = _ADAPTERS[operation.kind].validate_python(operation.data)
    return found
