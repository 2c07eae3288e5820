"""Holds: what keeps bad releases away, and ending it by hand."""

from collections.abc import Sequence

from service.api import allowed, pages, views
from service.api.bodies import EndHold
from service.api.edge import Answer, Call, Route
from service.api.problems import TRACE_ID, ProblemError
from service.api.reads import Position
from service.domain.holding import HeldRelease
from service.domain.model import Hold


async def list_holds(call: Call) -> Answer:
    """The open ones, unless asked otherwise, newest first."""
    target, state = call.target_filter(), call.word("state", "open", "ended", "all") or "open"
    is_open = None if state == "all" else state == "open"

    async def read(behind: Position | None, limit: int) -> Sequence[Hold]:
        return await call.parts.holds.find(is_open=is_open, target=str(target or ""), behind=behind, limit=limit)

    found = await pages.page(call, read, position=lambda one: (one.opened_at, one.id), sees=lambda one: call.caller.sees(one.target))
    orphans = [views.orphan(one) for one in await call.parts.orphans() if call.caller.sees(one.mark.target) and target in {None, one.mark.target}]
    return pages.answer(call, "holds", [_view(call, one) for one in found.rows], found.cursor, orphans=orphans)


async def get_hold(call: Call) -> Answer:
    """One hold."""
    hold = await _load(call)
    return Answer(body=_view(call, hold, await call.parts.holds.releases(hold.id)))


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


def _view(call: Call, hold: Hold, releases: Sequence[HeldRelease] | None = None) -> views.View:
    can = allowed.on_hold(call.caller, hold)
    return views.hold(hold, now=call.parts.clock.now(), allowed=can, addresses=call.addresses, releases=releases)


ROUTES = (
    Route(method="GET", path="/v1/holds", handler=list_holds, scope="operations:read", query=("target", "state", "limit", "cursor")),
    Route(method="GET", path="/v1/holds/{id}", handler=get_hold, scope="operations:read"),
    Route(method="POST", path="/v1/holds/{id}/end", handler=end_hold, scope="holds:end", body=EndHold, once=True),
)
