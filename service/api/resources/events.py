"""Events of delivery systems and pipelines: a hint that something happened, never a fact.

What an event says is not read: whoever can post one could say anything, events are lost and come twice. The instances that it may be about are listed again,
once for any number of events, and what is there is read from them. So a flood of events costs one list in a few seconds, and a lost one only freshness.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.api.edge import Answer, Call, Route
from service.api.parts import Parts
from service.api.problems import ProblemError
from service.api.resources.alerts import sender_of


def hinted(source: str) -> Callable[[Call], Awaitable[Answer]]:
    """The handler for one kind of sender of events."""

    async def take(call: Call) -> Answer:
        sender_of(call.request, call.parts)
        instances = call.parts.hints[source]()
        if not instances:
            raise ProblemError("not_found", f"no delivery instance of the kind {source} is configured, so these events are about nothing here")
        await _pass_over(call.request)
        return Answer(body={"instances": list(instances)}, status=202)

    return take


async def _pass_over(request: web.Request) -> None:
    """Let the body go by without keeping it, so that the connection can be used again."""
    try:
        async for _ in request.content.iter_chunked(1 << 16):
            pass
    except web.RequestPayloadError:
        return  # the sender went away: the hint was heard


def routes(parts: Parts) -> tuple[Route, ...]:
    """One address a kind of sender; the credentials are those of the alert senders, for both only tell us something."""
    return tuple(Route(method="POST", path=f"/v1/events/{source}", handler=hinted(source), scope=None) for source in parts.hints)
