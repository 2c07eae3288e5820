"""One Spinnaker as a `Delivery`: joins inventory, facts, hands and doctor, each in a file of its own, over one client."""

from collections.abc import Callable
from functools import partial

from integrations.delivery.joined import Joined, untraced
from integrations.delivery.spinnaker.capture import capture
from integrations.delivery.spinnaker.check import check
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.hands import SpinnakerHands
from integrations.delivery.spinnaker.settings import Settings
from service.domain.ports import Clock, Delivery


def build(settings: Settings, clock: Clock, *, traceparent: Callable[[], str] = untraced) -> Delivery:
    """The adapter. `traceparent` is asked before each request; its trace id becomes Spinnaker's request id."""
    client = Client(settings, clock, traceparent=traceparent)
    reader = Reader(settings, client, clock)
    return Joined(
        instance=settings.name,
        reader=reader,
        hands=SpinnakerHands(settings, client, reader, clock),
        captures=partial(capture, client, reader),
        checks=partial(check, settings, client, reader, clock),
        closes=client.close,
    )
