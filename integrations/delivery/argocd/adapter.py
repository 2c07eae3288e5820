"""One Argo CD as a `Delivery`: joins inventory, facts, hands and doctor, each in a file of its own, over one client."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from integrations.delivery.argocd import capture
from integrations.delivery.argocd.check import check
from integrations.delivery.argocd.client import Client
from integrations.delivery.argocd.facts import Reader
from integrations.delivery.argocd.hands import ArgoHands
from integrations.delivery.argocd.settings import Settings
from service.domain.facts import Fact, Key
from service.domain.keys import TargetState
from service.domain.model import Json, TargetId
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Basket, Checked, Clock, Guard, Intention, Listing, Observation
from service.domain.rule import Case


class ArgoCD:
    """See `service.domain.ports.Delivery`; what each part does stands in `facts.py`, `ways.py`, `hands.py` and `check.py`."""

    def __init__(self, settings: Settings, clock: Clock, *, traceparent: Callable[[], str]) -> None:
        self._settings = settings
        self._clock = clock
        self._client = Client(settings, clock, traceparent=traceparent)
        self._reader = Reader(settings, self._client, clock)
        self._hands = ArgoHands(settings, self._client, self._reader, clock)

    @property
    def instance(self) -> str:
        """The first half of its targets' ids."""
        return self._settings.name

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return self._reader.kinds

    async def targets(self) -> Listing:
        """All applications the token may read."""
        return await self._reader.targets()

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """Hints from one watch, or None when it is switched off."""
        return self._reader.changes()

    async def look(self, target: TargetId) -> TargetState:
        """The application now."""
        return await self._reader.look(target)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """A fact, or why it is absent; never raises for anything outside."""
        return await self._reader.read(key)

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The ways back; pure."""
        return self._hands.offers(case)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """See `ArgoHands.intend`."""
        return await self._hands.intend(step, intention)

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """See `ArgoHands.act`."""
        await self._hands.act(step, intent, guard)

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        """See `ArgoHands.observe`."""
        return await self._hands.observe(step, intent)

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """See `ArgoHands.withdraw`."""
        await self._hands.withdraw(step, intent, guard)

    async def capture(self, target: TargetId, into: Basket) -> None:
        """Manifests, events and logs, for the record; see `capture.py`."""
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


def build(settings: Settings, clock: Clock, *, traceparent: Callable[[], str] = untraced) -> ArgoCD:
    """The adapter. `traceparent` is asked before each request; its W3C header makes Argo CD's API spans children of ours."""
    return ArgoCD(settings, clock, traceparent=traceparent)
