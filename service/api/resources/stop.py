"""The stop switch. Stopping is the safe side and needs the scope alone; resuming sets every target going again and needs a token for all of them."""

import structlog

from service.api import allowed, views
from service.api.bodies import Stop
from service.api.edge import Answer, Call, Route
from service.api.problems import RETRY_AFTER, ProblemError

STOP = "stop"
"""The switch as a subject of audit rows."""

_log = structlog.get_logger(__name__)


async def get_stop(call: Call) -> Answer:
    """The switch now; what cannot be read counts as stopped."""
    return await _now(call)


async def stop(call: Call, asked: Stop) -> Answer:
    """Stop everything."""
    await call.parts.stop.stop(by=str(call.caller.actor), reason=asked.reason, at=call.parts.clock.now())
    _log.warning("everything was stopped", by=str(call.caller.actor), reason=asked.reason)
    return await _now(call)


async def resume(call: Call) -> Answer:
    """Take the stop back, row and file."""
    call.caller.need_all_targets()
    try:
        await call.parts.stop.resume(by=str(call.caller.actor), at=call.parts.clock.now())
    except OSError as error:
        raise ProblemError("stop_file", f"the stop file cannot be removed ({error.strerror}); everything stays stopped", retry_after=RETRY_AFTER) from error
    _log.warning("the stop was taken back", by=str(call.caller.actor))
    return await _now(call)


async def list_events(call: Call) -> Answer:
    """Who turned the switch, when and why, in order."""
    after = call.after()
    return Answer(body=views.stop_events(await call.parts.events.of(STOP), after))


async def _now(call: Call) -> Answer:
    reason = await call.parts.stop.reason()
    return Answer(body=views.stop(reason, allowed=allowed.on_stop(call.caller, stopped=bool(reason)), addresses=call.addresses))


ROUTES = (
    Route(method="GET", path="/v1/stop", handler=get_stop, scope="operations:read"),
    Route(method="GET", path="/v1/stop/events", handler=list_events, scope="operations:read", query=("after",)),
    Route(method="PUT", path="/v1/stop", handler=stop, scope="stop:write", body=Stop),
    Route(method="DELETE", path="/v1/stop", handler=resume, scope="stop:write"),
)
