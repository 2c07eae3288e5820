"""A `Delivery` of the parts that every delivery system has, each in a file of its own: a reader, hands, captures and a doctor, over one client."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.domain.facts import Fact, Key
from service.domain.keys import TargetState
from service.domain.model import Json, TargetId
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Basket, Checked, FactSource, Guard, Hands, Intention, Listing, Observation
from service.domain.rule import Case


class TargetReader(FactSource, Protocol):
    """Inventory, looks and facts of one instance."""

    async def targets(self) -> Listing: ...  # noqa: D102
    def changes(self) -> AsyncIterator[TargetId | None] | None: ...  # noqa: D102
    async def look(self, target: TargetId) -> TargetState: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """See `service.domain.ports.Delivery`. `captures` and `checks` are its `capture` and `check`, `closes` ends the connections."""

    instance: str
    reader: TargetReader
    hands: Hands
    captures: Callable[[TargetId, Basket], Awaitable[None]]
    checks: Callable[[], Awaitable[Sequence[Checked]]]
    closes: Callable[[], Awaitable[None]]

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return self.reader.kinds

    async def targets(self) -> Listing:
        """All targets there are, and whether those are all."""
        return await self.reader.targets()

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """Hints of what changed, or None where nothing tells them and it is polled."""
        return self.reader.changes()

    async def look(self, target: TargetId) -> TargetState:
        """The target now."""
        return await self.reader.look(target)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """A fact, or why it is absent; never raises for anything outside."""
        return await self.reader.read(key)

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The ways back; pure."""
        return tuple(self.hands.offers(case))

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """What the step finds before anything is sent; RefusedError when that is not what the plan assumed."""
        return await self.hands.intend(step, intention)

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """Look whether it happened, then send once."""
        await self.hands.act(step, intent, guard)

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        """What became of it."""
        return await self.hands.observe(step, intent)

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """See to it that what waits does not happen any more."""
        await self.hands.withdraw(step, intent, guard)

    async def capture(self, target: TargetId, into: Basket) -> None:
        """What the target shows now, for the record."""
        await self.captures(target, into)

    async def check(self) -> Sequence[Checked]:
        """The lines of `backout doctor`."""
        return await self.checks()

    async def close(self) -> None:
        """Close the connections."""
        await self.closes()


def untraced() -> str:
    """No trace to continue."""
    return ""
