"""One Argo CD as a `Delivery`: joins inventory, facts, hands and doctor, each in a file of its own, over one client."""

from collections.abc import Callable
from functools import partial

from integrations.delivery.argocd.capture import capture
from integrations.delivery.argocd.check import check
from integrations.delivery.argocd.client import Client
from integrations.delivery.argocd.facts import Reader
from integrations.delivery.argocd.hands import ArgoHands
from integrations.delivery.argocd.settings import Settings
from integrations.delivery.joined import Joined, untraced
from service.domain.ports import Clock, Delivery


def build(settings: Settings, clock: Clock, *, traceparent: Callable[[], str] = untraced) -> Delivery:
    """The adapter. `traceparent` is asked before each request; its W3C header makes Argo CD's API spans children of ours."""
    client = Client(settings, clock, traceparent=traceparent)
    reader = Reader(settings, client, clock)
    return Joined(
        instance=settings.name,
        reader=reader,
        hands=ArgoHands(settings, client, reader, clock),
        captures=partial(capture, client, reader),
        checks=partial(check, settings, client, reader, clock),
        closes=client.close,
    )
