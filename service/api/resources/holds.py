"""Holds: what keeps bad releases away, and ending it by hand (decision 22)."""

from service.api import allowed, views
from service.api.bodies import EndHold
from service.api.edge import Answer, Call, Route
from service.api.problems import TRACE_ID, ProblemError
from service.api.resources.operations import DEEP
from service.domain.model import Hold


async def list_holds(call: Call) -> Answer:
    """The open ones, unless asked otherwise."""
    target, limit = call.target_filter(), call.limit()
    state = call.word("state", "open", "ended", "all") or "open"
    deep = limit if state != "ended" and (call.caller.sees_all or target) else DEEP
    found = await call.parts.holds.find(open_only=state == "open", target=str(target or ""), limit=deep)
    wanted = [one for one in found if call.caller.sees(one.target) and (state != "ended" or one.closed_at is not None)]
    return Answer(body={"holds": [_view(call, one) for one in wanted[:limit]]})


async def get_hold(call: Call) -> Answer:
    """One hold."""
    return Answer(body=_view(call, await _load(call)))


async def end_hold(call: Call, asked: EndHold) -> Answer:
    """End it, saying what should become of auto-sync."""
    hold = await _load(call)
    operation = await call.parts.operations.load(hold.operation_id)
    if operation is not None:
        call.request[TRACE_ID] = operation.trace_id
    ended = await call.parts.desk.end_hold(
        hold.id, call.caller.actor, reason=asked.reason, leave_auto_sync_off=asked.leave_auto_sync_off, accept_bad=asked.accept_bad
    )
    return Answer(body=_view(call, ended))


async def _load(call: Call) -> Hold:
    hold = await call.parts.holds.load(call.id)
    if hold is None or not call.caller.sees(hold.target):
        raise ProblemError("not_found", f"there is no hold {call.id} that this token may see")
    return hold


def _view(call: Call, hold: Hold) -> views.View:
    return views.hold(hold, now=call.parts.clock.now(), allowed=allowed.on_hold(call.caller, hold), addresses=call.addresses)


ROUTES = (
    Route(method="GET", path="/v1/holds", handler=list_holds, scope="operations:read", query=("target", "state", "limit")),
    Route(method="GET", path="/v1/holds/{id}", handler=get_hold, scope="operations:read"),
    Route(method="POST", path="/v1/holds/{id}/end", handler=end_hold, scope="holds:end", body=EndHold, once=True),
)
