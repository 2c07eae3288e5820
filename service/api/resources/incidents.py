"""Incidents with their alert episodes and operations; read only."""

from aiohttp import web

from service.api import views
from service.api.edge import Answer, Call, Route
from service.api.problems import ProblemError
from service.api.resources.operations import DEEP, summary
from service.api.streams import MEDIA_TYPE, stream
from service.domain.model import Incident


async def list_incidents(call: Call) -> Answer:
    """The newest that fit and that the caller may see."""
    target, state, limit = call.target_filter(), call.word("state", "open", "closed"), call.limit()
    if state == "open":
        found = [one for one in reversed(await call.parts.alerts.open_incidents()) if target is None or one.target == target]
    else:
        deep = DEEP if state or not (call.caller.sees_all or target) else limit
        found = [one for one in await call.parts.alerts.incidents(target=str(target or ""), limit=deep) if not state or one.closed_at is not None]
    return Answer(body={"incidents": [views.incident(one, addresses=call.addresses) for one in found if call.caller.sees(one.target)][:limit]})


async def get_incident(call: Call) -> Answer:
    """One incident."""
    found = await _load(call)
    operations = await call.parts.operations.find(incident_id=found.id)
    return Answer(body=views.incident_detail(found, [summary(call, one) for one in operations], addresses=call.addresses))


async def list_events(call: Call) -> Answer | web.StreamResponse:
    """What happened to it, in the order of the commits; as a stream until it is closed."""
    after, found = call.after(), await _load(call)
    if call.prefers(MEDIA_TYPE):
        return await stream(call, found, lambda now: views.incident(now, addresses=call.addresses) if isinstance(now, Incident) else {})
    return Answer(body=views.incident_events(found, await call.parts.events.of(found.id), after))


async def _load(call: Call) -> Incident:
    found = await call.parts.alerts.incident(call.id)
    if found is None or not call.caller.sees(found.target):
        raise ProblemError("not_found", f"there is no incident {call.id} that this token may see")
    return found


ROUTES = (
    Route(method="GET", path="/v1/incidents", handler=list_incidents, scope="operations:read", query=("target", "state", "limit")),
    Route(method="GET", path="/v1/incidents/{id}", handler=get_incident, scope="operations:read"),
    Route(method="GET", path="/v1/incidents/{id}/events", handler=list_events, scope="operations:read", query=("after",)),
)
