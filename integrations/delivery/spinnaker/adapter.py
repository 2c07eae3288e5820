"""One Spinnaker as a `Delivery`: joins inventory, facts, hands and doctor, each in a file of its own, over one client."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from integrations.delivery.spinnaker import capture
from integrations.delivery.spinnaker.check import check
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.hands import SpinnakerHands
from integrations.delivery.spinnaker.settings import Settings
from service.domain.facts import Fact, Key
from service.domain.keys import TargetState
from service.domain.model import Json, TargetId
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Basket, Checked, Clock, Guard, Intention, Listing, Observation
from service.domain.rule import Case


class Spinnaker:
    """See `service.domain.ports.Delivery`; what each part does stands in `facts.py`, `ways.py`, `hands.py` and `check.py`."""

    def __init__(self, settings: Settings, clock: Clock, *, traceparent: Callable[[], str]) -> None:
        self._settings = settings
        self._clock = clock
        self._client = Client(settings, clock, traceparent=traceparent)
        self._reader = Reader(settings, self._client, clock)
        self._hands = SpinnakerHands(settings, self._client, self._reader, clock)

    @property
    def instance(self) -> str:
        """The first half of its targets' ids."""
        return self._settings.name

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return self._reader.kinds

    async def targets(self) -> Listing:
        """The Deployments of the configured applications."""
        return await self._reader.targets()

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """None: Gate tells nothing by itself, so it is polled."""
        return None

    async def look(self, target: TargetId) -> TargetState:
        """The manifest now."""
        return await self._reader.look(target)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """A fact, or why it is absent; never raises for anything outside."""
        return await self._reader.read(key)

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The ways back; pure."""
        return self._hands.offers(case)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """See `SpinnakerHands.intend`."""
        return await self._hands.intend(step, intention)

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """See `SpinnakerHands.act`."""
        await self._hands.act(step, intent, guard)

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        """See `SpinnakerHands.observe`."""
        return await self._hands.observe(step, intent)

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """See `SpinnakerHands.withdraw`."""
        await self._hands.withdraw(step, intent, guard)

    async def capture(self, target: TargetId, into: Basket) -> None:
        """Manifests and events, for the record; see `capture.py`."""
        await capture.capture(self._client, self._reader, target, into)

    async def check(self) -> Sequence[Checked]:
        """The lines of `backout doctor`."""
        return await check(self._settings, self._client, self._reader, self._clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def untraced() -> str:
    """No trace to continue."""
    return ""


def build(settings: Settings, clock: Clock, *, traceparent: Callable[[], str] = untraced) -> Spinnaker:
    """The adapter. `traceparent` is asked before each request; its trace id becomes Spinnaker's request id."""
    return Spinnaker(settings, clock, traceparent=traceparent)
