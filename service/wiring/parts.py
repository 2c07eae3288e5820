"""The parts that every entry point needs: the real clock, the settings models of the integrations, and the integrations built from the settings."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from integrations import catalogue, moment, pacing
from service.domain.model import Operation
from service.domain.ports import Clock, Delivery, FactSource, Sender, SpanDraft, SpanEncoder
from service.domain.rules import RULES
from service.settings import Kinds, Settings

VERSION = "0.1.0"

TRACE: ContextVar[str] = ContextVar("backout_trace", default="")
"""The W3C traceparent of the operation at work, for the requests that are made for it."""


class SystemClock:
    """Real time, UTC."""

    def now(self) -> datetime:
        """Now, aware."""
        return datetime.now(UTC)  # noqa: TID251  this is the Clock that everybody else is told to use

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


def unhurried(per_second: float, clock: Clock) -> Callable[[], None]:
    """What a task calls to ask the outside at a pace: from then on it causes no more than so many requests a second to each system."""
    pace = pacing.Pace(per_second, clock)

    def enter() -> None:
        pacing.PACE.set(pace)

    return enter


ONE_LOOK = timedelta(seconds=10)
"""A look of readiness keeps to its pace, so its questions lie seconds apart. What was read counts from when it was read, not from when it served."""


def new_moment(clock: Clock, lasts: timedelta = moment.LASTS) -> None:
    """From now on this task reads everything anew, and once (see `integrations.moment`)."""
    moment.MOMENT.set(moment.Moment(clock, lasts=lasts))


class LateEncoder:
    """A `SpanEncoder` that imports the OpenTelemetry SDK (0.1 s) when the first span is encoded, or when `warm` is called, not at start."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._encoder: SpanEncoder | None = None

    def warm(self) -> SpanEncoder:
        """Import it now."""
        from service.audit.encoding import OtlpEncoder  # noqa: PLC0415  see the class

        self._encoder = self._encoder or OtlpEncoder(VERSION, self._environment)
        return self._encoder

    def encode(self, operation: Operation, draft: SpanDraft) -> tuple[str, bytes]:
        """See `OtlpEncoder`."""
        return (self._encoder or self.warm()).encode(operation, draft)


def kinds() -> Kinds:
    """The settings models of every integration in the catalogue."""
    return Kinds(
        delivery={kind: entry.settings for kind, entry in catalogue.DELIVERY.items()},
        notify={kind: entry.settings for kind, entry in catalogue.NOTIFY.items()},
        evidence={kind: entry.settings for kind, entry in catalogue.EVIDENCE.items()},
        rules=tuple(rule.name for rule in RULES),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Everything that speaks to the outside, built from the settings."""

    deliveries: Mapping[str, Delivery]
    sources: Mapping[str, FactSource]
    notifiers: Mapping[str, Sender]
    trace: Sender | None

    async def close(self) -> None:
        """Close every connection, also when closing one of them fails."""
        async with contextlib.AsyncExitStack() as stack:
            for one in (*self.deliveries.values(), *self.sources.values(), *self.notifiers.values(), self.trace):
                close = getattr(one, "close", None)
                if close is not None:
                    stack.push_async_callback(close)


def outside(settings: Settings, clock: Clock) -> Outside:
    """Build every configured integration; nothing is connected yet."""
    trace = None
    if settings.audit.otlp:
        entry = catalogue.TRACE["otlp"]
        audit = settings.audit
        given = {"url": audit.otlp, "query_url": audit.query or None, "token_file": audit.token_file, "ca_file": audit.ca_file}
        trace = entry.build(entry.settings.model_validate({k: v for k, v in given.items() if v is not None}), clock)
    return Outside(
        deliveries={one.name: catalogue.DELIVERY[one.kind].build(one.settings, clock, traceparent=TRACE.get) for one in settings.delivery},
        sources={kind: catalogue.EVIDENCE[kind].build(one, clock) for kind, one in settings.evidence.items()},
        notifiers={one.name: catalogue.NOTIFY[one.kind].build(one.settings, clock) for one in settings.notify},
        trace=trace,
    )
