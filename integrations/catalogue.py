"""Every integration there is, by section and kind: its settings model and how it is built. A new one is its file, its test, and one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from integrations.alerts import alertmanager
from integrations.delivery.argocd.adapter import build as build_argocd
from integrations.delivery.argocd.settings import Settings as ArgoCDSettings
from integrations.delivery.spinnaker.adapter import build as build_spinnaker
from integrations.delivery.spinnaker.settings import Settings as SpinnakerSettings
from integrations.evidence import databases, git, kubernetes, prometheus, registry
from integrations.notify import webhook
from integrations.trace import otlp
from service.domain.ports import AlertSource, Clock, Delivery, FactSource, Sender

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One integration: the settings it owns, and `build(settings, clock)`. `optional` says what goes on without it, "" when questions stay unknown then."""

    settings: type[BaseModel]
    build: Callable[[Any, Clock], T]
    optional: str = ""


class BuildsDelivery(Protocol):
    """Builds a delivery instance; `traceparent` gives the W3C header of the operation at work, so that its API spans stand under ours."""

    def __call__(self, settings: Any, clock: Clock, *, traceparent: Callable[[], str]) -> Delivery: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """One delivery system."""

    settings: type[BaseModel]
    build: BuildsDelivery


DELIVERY: Mapping[str, DeliveryEntry] = {
    "argocd": DeliveryEntry(ArgoCDSettings, build_argocd),
    "spinnaker": DeliveryEntry(SpinnakerSettings, build_spinnaker),
}

EVIDENCE: Mapping[str, Entry[FactSource]] = {
    "databases": Entry(databases.Settings, databases.build, optional="migrations are judged by their text alone, which is never a pass"),
    "git": Entry(git.Settings, git.build),
    "kubernetes": Entry(kubernetes.Settings, kubernetes.build, optional="what runs is read through the delivery system alone"),
    "prometheus": Entry(prometheus.Settings, prometheus.build),
    "registry": Entry(registry.Settings, registry.build),
}

NOTIFY: Mapping[str, Entry[Sender]] = {
    "webhook": Entry(webhook.Settings, webhook.build),
}

TRACE: Mapping[str, Entry[Sender]] = {
    "otlp": Entry(otlp.Settings, otlp.build),
}

ALERTS: Mapping[str, Entry[AlertSource]] = {
    "alertmanager": Entry(alertmanager.Settings, alertmanager.build),
}
