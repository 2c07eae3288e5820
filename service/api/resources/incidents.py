"""Incidents with their alert episodes and operations; read only."""

from collections.abc import Sequence

from aiohttp import web

from service.api import pages, views
from service.api.edge import Answer, Call, Route
from service.api.problems import ProblemError
from service.api.reads import Position
from service.api.resources.operations import summary
from service.api.streams import MEDIA_TYPE, stream
from service.domain.model import Incident


async def list_incidents(call: Call) -> Answer:
    """The incidents that fit and that the caller may see, newest first."""
    target, state = call.target_filter(), call.word("state", "open", "closed")
    is_open = None if not state else state == "open"

    async def read(behind: Position | None, limit: int) -> Sequence[Incident]:
        return await call.parts.alerts.incidents(target=str(target or ""), is_open=is_open, behind=behind, limit=limit)

    found = await pages.page(call, read, position=lambda one: (one.opened_at, one.id), sees=lambda one: call.caller.sees(one.target))
    return pages.answer(call, "incidents", [views.incident(one, addresses=call.addresses, sees=call.caller.sees) for one in found.rows], found.cursor)


async def get_incident(call: Call) -> Answer:
    """One incident."""
    found = await _load(call)
    operations = await call.parts.operations.find(incident_id=found.id)
    return Answer(body=views.incident_detail(found, [summary(call, one) for one in operations], addresses=call.addresses, sees=call.caller.sees))


async def list_events(call: Call) -> Answer | web.StreamResponse:
    """What happened to it, in the order of the commits; as a stream until it is closed."""
    after, found = call.after(), await _load(call)
    if call.prefers(MEDIA_TYPE):
        return await stream(call, found, lambda now: views.incident(now, addresses=call.addresses, sees=call.caller.sees) if isinstance(now, Incident) else {})
    return Answer(body=views.incident_events(found, await call.parts.events.of(found.id), after))


async def _load(call: Call) -> Incident:
    found = await call.parts.alerts.incident(call.id)
    if found is None or not call.caller.sees(found.target):
        raise ProblemError("not_found", f"there is no incident {call.id} that this token may see")
    return found


ROUTES = (
    Route(method="GET", path="/v1/incidents", handler=list_incidents, scope="operations:read", query=("target", "state", "limit", "cursor")),
    Route(method="GET", path="/v1/incidents/{id}", handler=get_incident, scope="operations:read"),
    Route(method="GET", path="/v1/incidents/{id}/events", handler=list_events, scope="operations:read", query=("after",)),
)
