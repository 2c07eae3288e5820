"""The edge's own metrics, on a registry that is passed in. What operations do is counted elsewhere."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

ANSWERS = ("accepted", "invalid", "unauthorized", "too_large", "overloaded", "unavailable", "failed")
"""What a delivery can be answered with."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds; the long end is the long poll's."""


class ApiMetrics:
    """Request times by route template, deliveries by answer, alerts by source; every answer starts at 0, so that its first rise is seen."""

    def __init__(self, registry: CollectorRegistry, sources: Iterable[str] = ()) -> None:
        self.registry = registry
        self.request_seconds = Histogram(
            "backout_http_request_seconds", "How long requests took, by route template.", ("method", "route", "status"), buckets=BUCKETS, registry=registry
        )
        self.alerts_received = Counter("backout_alerts_received_total", "Alerts in accepted deliveries.", ("source",), registry=registry)
        self.deliveries = Counter("backout_deliveries_total", "Deliveries of alert senders by our answer.", ("answer",), registry=registry)
        for answer in ANSWERS:
            self.deliveries.labels(answer)
        for source in sources:
            self.alerts_received.labels(source)
