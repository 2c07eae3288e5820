"""The alert intake: authenticate, read, parse, keep, answer 202. Nothing is decided here; what an alert means is the workflow's.

The order matters to the sender: 202 only after the commit; whatever may be better in a moment is 503, for Alertmanager repeats that and nothing else at once.
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from service.api import pages, views
from service.api.auth import bearer, unauthorized
from service.api.edge import Answer, Call, Route
from service.api.parts import Parts
from service.api.problems import RETRY_AFTER, ProblemError
from service.api.reads import Position
from service.domain.errors import UnavailableError
from service.domain.model import AlertNotice, Episode, RawDelivery
from service.domain.ports import AlertSource, Work

LIMIT = 16 << 20
"""Bytes of one delivery: about 12 000 alerts."""

INLINE = 256 << 10
"""Bytes up to which parsing on the event loop is cheaper than a thread (about 2 ms)."""

PATIENCE = 20.0
"""Seconds for the body to arrive; a sender that dawdles would hold a place."""

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

DISPOSITIONS = ("placed", "out_of_scope", "ambiguous", "no_target", "ignored", "resolved")
"""What became of an alert; one that was just taken in has none yet."""

ANSWER_OF = {
    "invalid_alert": "invalid",
    "invalid_token": "unauthorized",
    "too_large": "too_large",
    "overloaded": "overloaded",
    "store_unavailable": "unavailable",
}

_log = structlog.get_logger(__name__)


class Places:
    """How many deliveries are in flight; more than the limit are sent away at once, before anything of them is read."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A place for one delivery; raises the 503."""
        if self._taken >= self._limit:
            raise ProblemError("overloaded", f"{self._taken} deliveries are being taken already; send it again", retry_after=RETRY_AFTER)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


def intake(kind: str, places: Places) -> Callable[[Call], Awaitable[Answer]]:
    """The handler of one kind of sender."""

    async def accept(call: Call) -> Answer:
        counted = call.parts.metrics.deliveries
        try:
            answer = await _accept(call, kind, places)
        except ProblemError as problem:
            counted.labels(ANSWER_OF.get(problem.code, "failed")).inc()
            raise
        except UnavailableError as error:
            counted.labels("unavailable").inc()
            raise ProblemError("store_unavailable", f"nothing was kept: {error}; send it again", retry_after=RETRY_AFTER) from error
        except Exception:  # counted, and passed on as it came
            counted.labels("failed").inc()
            raise
        counted.labels("accepted").inc()
        return answer

    return accept


async def _accept(call: Call, kind: str, places: Places) -> Answer:
    parts, request = call.parts, call.request
    sender = sender_of(request, parts)
    async with places.one():
        source = parts.alert_sources[kind]
        body = await _read(request)
        received_at = parts.clock.now()
        notices, group_key, truncated = await _parse(source, body, sender)
        link = request.headers.get("traceparent", "")
        delivery_id = await parts.alerts.accept(
            RawDelivery(
                source=source.source,
                sender=sender,
                received_at=received_at,
                body=body,
                group_key=group_key,
                truncated=truncated,
                link=link if TRACEPARENT.fullmatch(link) else "",
                notices=tuple(notices),
            )
        )
    parts.metrics.alerts_received.labels(source.source).inc(len(notices))
    if truncated:
        _log.warning("the sender cut alerts off; set max_alerts: 0", sender=sender, delivery=delivery_id, truncated=truncated)
    await _start(parts, delivery_id)
    return Answer(body={"delivery": delivery_id, "alerts": len(notices), "truncated": truncated}, status=202)


def sender_of(request: web.Request, parts: Parts) -> str:
    """The sender whose credential it carries; raises the 401 that says what to set."""
    token = bearer(request.headers.get("Authorization", ""))
    sender = parts.senders.who(token) if token else None
    if sender is None:
        detail = (
            "this credential is in no token_file of backout's alert senders"
            if token
            else "send a bearer token: Alertmanager by http_config.authorization.credentials_file of this receiver"
        )
        raise unauthorized(detail, tried=bool(token))
    return sender


async def _read(request: web.Request) -> bytes:
    """The body, within the limit of size and of patience."""
    if (request.content_length or 0) > LIMIT:
        raise ProblemError("too_large", f"a delivery holds at most {LIMIT >> 20} MiB; set max_alerts of this receiver", headers={"Connection": "close"})
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.read()
    except TimeoutError as error:
        raise ProblemError("overloaded", "the body did not arrive in time; send it again", retry_after=RETRY_AFTER, headers={"Connection": "close"}) from error
    except web.HTTPRequestEntityTooLarge as error:
        detail = f"a delivery holds at most {LIMIT >> 20} MiB; set max_alerts of this receiver"
        raise ProblemError("too_large", detail, headers={"Connection": "close"}) from error
    except web.RequestPayloadError as error:
        raise ProblemError("invalid_alert", "the body broke off") from error


async def _parse(source: AlertSource, body: bytes, sender: str) -> tuple[Sequence[AlertNotice], str, int]:
    try:
        return await asyncio.to_thread(source.parse, body) if len(body) > INLINE else source.parse(body)
    except ValueError as error:
        _log.warning("a delivery was not understood", sender=sender, reason=str(error))
        raise ProblemError("invalid_alert", str(error)) from error


async def _start(parts: Parts, delivery_id: str) -> None:
    """Set correlation going. The delivery is kept whatever happens here, so a failure changes nothing for the sender: the reconciler finds it."""
    try:
        await parts.starter.start(Work(kind="delivery", id=delivery_id))
    except Exception:  # noqa: BLE001  accepted is kept; any other answer than 202 would have it sent again for nothing
        _log.exception("a delivery could not be started at once; the reconciler will", delivery=delivery_id)


async def list_alerts(call: Call) -> Answer:
    """Every firing that was told, by its start, newest first; what belongs to no target is seen by those alone who see every target."""
    target, state = call.target_filter(), call.word("state", "firing", "ended")
    disposition = call.word("disposition", *DISPOSITIONS)
    firing = None if not state else state == "firing"

    async def read(behind: Position | None, limit: int) -> Sequence[Episode]:
        return await call.parts.alerts.episodes(target=str(target or ""), firing=firing, disposition=disposition, behind=behind, limit=limit)

    def sees(one: Episode) -> bool:
        return call.caller.sees_all if one.target is None else call.caller.sees(one.target)

    found = await pages.page(call, read, position=lambda one: (one.starts_at, one.id), sees=sees)
    return pages.answer(call, "alerts", [views.episode(one) for one in found.rows], found.cursor)


def routes(parts: Parts) -> tuple[Route, ...]:
    """The list, and one intake a configured kind of sender; they share their places."""
    places = Places(parts.intake_limit)
    return (
        Route(method="GET", path="/v1/alerts", handler=list_alerts, scope="operations:read", query=("target", "state", "disposition", "limit", "cursor")),
        *(Route(method="POST", path=f"/v1/alerts/{kind}", handler=intake(kind, places), scope=None) for kind in parts.alert_sources),
    )
