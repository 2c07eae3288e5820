"""What differs between the kinds of operation: how the world is judged, what the first write is held by, what people are told, and what each end means.

The chapters are the same for all kinds and ask the operation's tale where they have to know.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.facts import Facts
from service.domain.model import Json, Operation, Outcome
from service.domain.planning.plan import Plan, Step
from service.domain.policy import Decision
from service.domain.ports import (
    Alerts,
    AuditEvent,
    Clock,
    Delivery,
    Fence,
    HoldChange,
    Holds,
    Intention,
    Journal,
    NewId,
    Observation,
    SpanDraft,
    StopSwitch,
    Targets,
    no_fence,
)
from service.domain.rule import Trigger
from service.workflow.examine import Examination, Examiner
from service.workflow.gather import Gatherer
from service.workflow.messages import Told
from service.workflow.record import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything the stories need from outside."""

    examiner: Examiner
    gatherer: Gatherer
    deliveries: Mapping[str, Delivery]
    targets: Targets
    journal: Journal
    alerts: Alerts
    holds: Holds
    stop: StopSwitch
    clock: Clock
    told: Told
    new_id: NewId
    fence: Fence = no_fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What the end of a verification adds: the hold's change, audit rows, spans, the text of the message; `says` where it is another sentence."""

    text: Sequence[str] = ()
    says: str = ""
    rows: Sequence[AuditEvent] = ()
    drafts: Sequence[SpanDraft] = ()
    hold: HoldChange | None = None


class Tale(ABC):
    """One kind of operation. `verb` says what is under way, `act` names it for people (`the rollback`), `words` tell each outcome."""

    verb: str
    act: str
    words: Mapping[Outcome, str]
    patient: bool = True
    """Whether harm is watched until the verification gives up: after a rollback it was there before, and takes its time to go."""

    def __init__(self, ports: Ports) -> None:
        self._p = ports

    # --- judging ---

    @abstractmethod
    async def examine(self, op: Operation, data: Attempt, deadline: timedelta) -> Examination:
        """Look at the world now; `deadline` from now is the plan's `act_before`."""

    def settles(self, op: Operation, found: Examination, decision: Decision) -> Decision:
        """The decision, where this kind knows a case that the table of modes does not need to be asked for: one without an effect."""
        del op, found
        return decision

    def tells(self, data: Attempt, says: str) -> bool:
        """Whether a refusal in these words is told to a person."""
        del data, says
        return True

    @abstractmethod
    def trigger(self, data: Attempt) -> Trigger | None:
        """The alert that the verification asks after, and whose rule may be the SLI."""

    @abstractmethod
    def by_hand(self, op: Operation, data: Attempt) -> str:
        """The line of a message that says how a person sets it going, or looks at it."""

    # --- acting ---

    def intention(self, op: Operation, data: Attempt, plan: Plan, now: datetime, *, undo: bool) -> Intention:
        """What an effect is for, as the adapter has to know it. `undo`: it takes an earlier one back."""
        del undo
        return Intention(
            target=op.target,
            uid=plan.uid,
            operation_id=op.id,
            suspect=plan.suspect,
            goal=plan.goal,
            not_before=data.onset or op.created_at,
            marker=f"operation={op.id} suspect={plan.suspect.revision[:12]} goal={plan.goal.revision[:12]}",
            at=now,
            ours=tuple(one.intent for one in data.tried),
            own_marker=data.own_marker,
        )

    @abstractmethod
    async def before(self, op: Operation, data: Attempt, step: Step) -> Attempt:
        """Right before the intent of a step: what the record has to know of the hold. RefusedError when it must not be tried any more."""

    @abstractmethod
    def first_write(self, op: Operation, data: Attempt, plan: Plan, intent: Mapping[str, Json], now: datetime) -> tuple[Attempt, HoldChange | None]:
        """What is committed together with the intent of the first effect."""

    @abstractmethod
    async def seen(self, op: Operation, data: Attempt, step: Step, observation: Observation) -> Attempt:
        """Something of ours was seen on the target: note what others have to know of it."""

    # --- ends ---

    @abstractmethod
    def reverted(self, data: Attempt, plan: Plan, facts: Facts) -> str:
        """Whether somebody took our change back: one observed revert means stop, not retry (promise 7). "" = no."""

    @abstractmethod
    def stays(self, data: Attempt, outcome: Outcome) -> bool:
        """Whether what was done stays after that end of the verification; else it is taken back first."""

    async def look_round(self, op: Operation, data: Attempt, plan: Plan) -> Attempt:
        """When the verification has ended: what else a person has to know of the target by then."""
        del op, plan
        return data

    @abstractmethod
    def verified(self, op: Operation, data: Attempt, plan: Plan, outcome: Outcome, says: str, now: datetime) -> Closing:
        """The end after a verification, with every step done or left out."""

    @abstractmethod
    def cancelled(self, op: Operation) -> str:
        """The sentence that ends an operation which is cancelled while it verifies, and whose effect stays; "" to take it back."""

    @abstractmethod
    def taken_back(self, data: Attempt, plan: Plan, *, accepted: bool, failed: str, some: bool) -> tuple[str, HoldChange | None]:
        """How a compensation ended, in words, and the hold's change. `accepted`: the deciding step may have happened and stays; `failed` says what failed."""

    @abstractmethod
    def what_now(self, op: Operation, data: Attempt) -> Sequence[str]:
        """Lines for a message about an end that came before anything was measured: how the target stands by what is known, and what to type next."""

    def links(self, data: Attempt) -> tuple[str, ...]:
        """W3C traceparents that the trace's ends are linked to."""
        del data
        return ()
