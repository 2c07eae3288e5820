"""Targets: the list, one of them, and whether it could go back now."""

from service.api import allowed, views
from service.api.edge import Answer, Call, Route, no_target
from service.api.views import Around

MANY = 10_000


async def list_targets(call: Call) -> Answer:
    """All that the caller may see, as last listed."""
    parts, now = call.parts, call.parts.clock.now()
    listed = [(one, at) for one, at in await parts.targets.all_listed() if call.caller.sees(one.target)]
    holds = {one.target: one.id for one in await parts.holds.find(limit=MANY)}
    incidents = {one.target: one.id for one in await parts.alerts.open_incidents()}
    alive = {one.target: one.id for one in await parts.operations.alive()}
    seen = [
        views.target(
            one,
            seen_at=at,
            now=now,
            mode=parts.policies.of(one.target).mode,
            around=Around(hold=holds.get(one.target), incident=incidents.get(one.target), operation=alive.get(one.target)),
            allowed=allowed.on_target(call.caller, busy=one.target in alive),
            addresses=call.addresses,
        )
        for one, at in listed
    ]
    return Answer(body=views.target_list(seen, parts.freshness, now))


async def get_target(call: Call) -> Answer:
    """One target with the releases that were seen live."""
    target, parts, now = call.target(), call.parts, call.parts.clock.now()
    found = next(((one, at) for one, at in await parts.targets.all_listed() if one.target == target), None)
    if found is None:
        raise no_target(target, call.caller)
    open_ones = await parts.alerts.open_incidents()
    alive = await parts.operations.alive_for(target)
    hold = await parts.holds.open_for(target)
    summary = views.target(
        found[0],
        seen_at=found[1],
        now=now,
        mode=parts.policies.of(target).mode,
        around=Around(
            hold=hold.id if hold else None,
            incident=next((one.id for one in open_ones if one.target == target), None),
            operation=alive.id if alive else None,
        ),
        allowed=allowed.on_target(call.caller, busy=alive is not None),
        addresses=call.addresses,
    )
    return Answer(body=views.target_detail(summary, await parts.targets.records(target)))


async def check(call: Call) -> Answer:
    """Whether it could go back now, with facts read now."""
    target, parts = call.target(), call.parts
    found = await parts.desk.check(target, call.caller.actor)
    alive, hold = await parts.operations.alive_for(target), await parts.holds.open_for(target)
    return Answer(
        body=views.rollback_check(
            found,
            mode=parts.policies.of(target).mode,
            around=Around(hold=hold.id if hold else None, operation=alive.id if alive else None),
            allowed=allowed.on_check(call.caller, found.plan, busy=alive is not None),
            addresses=call.addresses,
        )
    )


ROUTES = (
    Route(method="GET", path="/v1/targets", handler=list_targets, scope="targets:read"),
    Route(method="GET", path="/v1/targets/{target}", handler=get_target, scope="targets:read"),
    Route(method="GET", path="/v1/targets/{target}/rollback-check", handler=check, scope="targets:read"),
)
