"""The story of one operation, phase by phase: begin → (wait for a person) → act, step by step → verify → end; or take back what was done, and end.

Each function takes the row and answers one `Transition`; nothing is remembered between them but the row. Before every effect its intent is committed;
`deliveries` act and observe; a crash anywhere is continued from the row, and an effect is looked for before it is tried.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from service.domain import grouping
from service.domain.errors import UnavailableError
from service.domain.grouping import Burning
from service.domain.model import Operation, Outcome
from service.domain.ports import Transition
from service.workflow.chapters.acting import Acting
from service.workflow.chapters.chapter import ACT, BACK, BACK_SEND, BACK_WATCH, BEGIN, DECIDED, SEND, STUCK, VERIFY, WAITING, WATCH
from service.workflow.chapters.deciding import Deciding
from service.workflow.chapters.taking_back import TakingBack
from service.workflow.chapters.tale import Ports, Tale
from service.workflow.chapters.verifying import Verifying
from service.workflow.messages import also
from service.workflow.record import Attempt, load


class Story:
    """One transition at a time for operations of one kind; the chapters stand in files of their own, the tale says what differs between kinds."""

    def __init__(self, ports: Ports, tale: Tale) -> None:
        deciding, verifying, taking_back = Deciding(ports, tale), Verifying(ports, tale), TakingBack(ports, tale)
        self._tale = tale
        self._alerts = ports.alerts
        self._acting = acting = Acting(ports, tale, verifying)
        self._phases: Mapping[str, Callable[[Operation, Attempt], Awaitable[Transition]]] = {
            BEGIN: deciding.begin,
            WAITING: deciding.waited,
            DECIDED: deciding.decided,
            ACT: acting.act,
            SEND: acting.send,
            WATCH: acting.watch,
            STUCK: acting.watch,
            VERIFY: verifying.verify,
            BACK: taking_back.take_back,
            BACK_SEND: taking_back.back_send,
            BACK_WATCH: taking_back.back_watch,
        }

    @property
    def phases(self) -> frozenset[str]:
        """The phases this version knows; others are left to a newer one."""
        return frozenset(self._phases)

    async def advance(self, operation: Operation) -> Transition:
        """The next transition of the operation. TemporaryError and UnavailableError may pass through: the engine tries again."""
        return await self._with_others(operation, await self._advance(operation))

    async def _with_others(self, operation: Operation, transition: Transition) -> Transition:
        """Whoever is told of it is told which other targets burn for the same cause: to look at one cause is less work than to look at each target."""
        if not transition.messages or operation.incident_id is None:
            return transition
        try:
            incident = await self._alerts.incident(operation.incident_id)
            suspect = transition.suspect or (incident.suspect if incident else None)
            burning = await self._alerts.burning() if suspect else ()
        except UnavailableError:  # what was done must be written down; the line is missing then, and the incident shows it
            return transition
        if incident is None or suspect is None:
            return transition
        mine = Burning(
            incident_id=incident.id,
            group_id=incident.group_id,
            target=incident.target,
            opened_at=incident.opened_at,
            began_at=incident.began_at,
            suspect=suspect,
        )
        others = grouping.same_cause(mine, burning)
        return replace(transition, messages=tuple(also(one, grouping.says(others), [other.target for other, _ in others]) for one in transition.messages))

    async def _advance(self, operation: Operation) -> Transition:
        data = load(operation)
        if operation.cancel_requested and operation.phase == VERIFY:
            says = self._tale.cancelled(operation)
            if says:
                return self._acting.end(operation, data, Outcome.CANCELLED, says)
            return self._acting.give_up(operation, data, operation.cancel_requested, Outcome.CANCELLED)
        if operation.cancel_requested and operation.phase not in {BACK, BACK_SEND, BACK_WATCH}:
            return await self._acting.cancel(operation, data)
        return await self._phases[operation.phase](operation, data)

    async def failed(self, operation: Operation, why: str) -> Transition:
        """Backout itself cannot go on, and nothing was written yet: end, or the target would stay taken for nothing."""
        return self._acting.end(operation, load(operation), Outcome.FAILED, f"{why}; nothing was changed")

    async def barred(self, operation: Operation, why: str) -> Transition:
        """The row may not get its first effect (another automatic operation acted on this release): end without touching anything."""
        return self._acting.end(operation, load(operation), Outcome.REFUSED, f"{why}; nothing was changed")
