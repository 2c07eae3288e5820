"""Targets: the list, one of them, and whether it could go back now."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from service.api import allowed, pages, views
from service.api.edge import Answer, Call, Route, no_target
from service.api.views import Around
from service.domain.model import Mode, TargetId
from service.domain.ports import ListedTarget

MOST = 500
"""Targets on a page, unless fewer are asked for."""


async def list_targets(call: Call) -> Answer:
    """Those that the caller may see, as last listed, by id."""
    parts, now, limit = call.parts, call.parts.clock.now(), call.limit(default=MOST)
    place = pages.position_of(call)
    behind, more = place[0] if place else "", False
    listed: list[tuple[ListedTarget, datetime]] = []
    while not more:
        rows = await parts.targets.listing(behind=behind, limit=MOST + 1)
        for one, at in rows:
            if more := len(listed) == limit:
                break
            behind = str(one.target)
            if call.caller.sees(one.target):
                listed.append((one, at))
        if len(rows) <= MOST:
            break
    holds, incidents = await parts.holds.open_ids(), await parts.alerts.open_ids()
    alive = {one.target: one.id for one in await parts.operations.alive()}
    live = await parts.targets.live([one.target for one, _ in listed])
    disarmed = await _disarmed(call, [one.target for one, _ in listed])
    seen = [
        views.target(
            one,
            seen_at=at,
            now=now,
            mode=parts.policies.of(one.target).mode,
            around=Around(
                hold=holds.get(one.target),
                incident=incidents.get(one.target),
                operation=alive.get(one.target),
                live=live.get(one.target),
                disarmed_until=disarmed.get(one.target),
            ),
            allowed=allowed.on_target(call.caller, busy=one.target in alive),
            addresses=call.addresses,
        )
        for one, at in listed
    ]
    return pages.answer(call, "targets", seen, pages.cursor(call, behind) if more else "", **views.freshness(parts.freshness, now))


async def get_target(call: Call) -> Answer:
    """One target with the releases that were seen live."""
    target, parts, now = call.target(), call.parts, call.parts.clock.now()
    found = await parts.targets.seen(target)
    if found is None:
        raise no_target(target, call.caller)
    alive = await parts.operations.alive_for(target)
    hold = await parts.holds.open_for(target)
    summary = views.target(
        found[0],
        seen_at=found[1],
        now=now,
        mode=parts.policies.of(target).mode,
        around=Around(
            hold=hold.id if hold else None,
            incident=(await parts.alerts.open_ids()).get(target),
            operation=alive.id if alive else None,
            live=(await parts.targets.live([target])).get(target),
            disarmed_until=(await _disarmed(call, [target])).get(target),
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
            around=Around(
                hold=hold.id if hold else None,
                operation=alive.id if alive else None,
                disarmed_until=(await _disarmed(call, [target])).get(target),
            ),
            allowed=allowed.on_check(call.caller, found.plan, busy=alive is not None),
            addresses=call.addresses,
        )
    )


async def _disarmed(call: Call, targets: Sequence[TargetId]) -> Mapping[TargetId, datetime]:
    """Until when Backout's own rollbacks disarm these targets; only those in mode auto, the others never act without a person."""
    parts, now = call.parts, call.parts.clock.now()
    auto = {one: policy for one in targets if (policy := parts.policies.of(one)).mode is Mode.AUTO}
    if not auto:
        return {}
    acted = await parts.holds.rollbacks_at(now - max(policy.rollback_window for policy in auto.values()))
    return {one: until for one, policy in auto.items() if (until := policy.armed_again(acted.get(one, ()), now)) is not None}


ROUTES = (
    Route(method="GET", path="/v1/targets", handler=list_targets, scope="targets:read", query=("limit", "cursor")),
    Route(method="GET", path="/v1/targets/{target}", handler=get_target, scope="targets:read"),
    Route(method="GET", path="/v1/targets/{target}/rollback-check", handler=check, scope="targets:read"),
)
