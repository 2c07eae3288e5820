"""Targets: the list, one of them, and whether it could go back now."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from service.api import allowed, pages, views
from service.api.edge import Answer, Call, Route, no_target
from service.api.problems import ProblemError
from service.api.views import Around
from service.domain.model import Mode, TargetId
from service.domain.ports import ListedTarget
from service.domain.readiness import Standing
from service.domain.verdict import Answer as Verdict

MOST = 500
"""Targets on a page, unless fewer are asked for."""

TURNS = 50
"""So many turns of a standing verdict are told."""


async def list_targets(call: Call) -> Answer:
    """Those that the caller may see, as last listed, by id."""
    parts, now, limit = call.parts, call.parts.clock.now(), call.limit(default=MOST)
    place, wanted = pages.position_of(call), _wanted(call)
    behind, more = place[0] if place else "", False
    listed: list[tuple[ListedTarget, datetime]] = []
    standings: dict[TargetId, Standing] = {}
    while not more:
        rows = await parts.targets.listing(behind=behind, limit=MOST + 1)
        standings |= await parts.standings.of([one.target for one, _ in rows if call.caller.sees(one.target)])
        for one, at in rows:
            if more := len(listed) == limit:
                break
            behind = str(one.target)
            if call.caller.sees(one.target) and (wanted is None or _answer(standings.get(one.target), now) is wanted):
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
                standing=standings.get(one.target),
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
            standing=(await parts.standings.of([target])).get(target),
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
            now=parts.clock.now(),
            mode=parts.policies.of(target).mode,
            around=Around(
                hold=hold.id if hold else None,
                operation=alive.id if alive else None,
                disarmed_until=(await _disarmed(call, [target])).get(target),
                standing=(await parts.standings.of([target])).get(target),
            ),
            allowed=allowed.on_check(call.caller, found.plan, busy=alive is not None),
            addresses=call.addresses,
        )
    )


async def sources(call: Call) -> Answer:
    """From which source each image of the live release was built, read now."""
    return Answer(body=views.live_sources(await call.parts.desk.sources(call.target()), addresses=call.addresses))


async def readiness(call: Call) -> Answer:
    """The standing verdict, with its age and how it turned."""
    target, parts = call.target(), call.parts
    found = (await parts.standings.of([target])).get(target)
    if found is None:
        if await parts.targets.listed(target) is None:
            raise no_target(target, call.caller)
        raise ProblemError("not_found", f"{target} has no standing verdict yet; it gets one soon after it is first seen")
    return Answer(body=views.standing(found, await parts.standings.turns(target, limit=TURNS), now=parts.clock.now(), addresses=call.addresses))


def _wanted(call: Call) -> Verdict | None:
    """The answer that was asked for with `readiness`, None for all."""
    given = call.word("readiness", *(one.word for one in Verdict))
    return next((one for one in Verdict if one.word == given), None)


def _answer(standing: Standing | None, now: datetime) -> Verdict:
    """What stands for the target now: unknown where nobody looked yet."""
    return Verdict.UNKNOWN if standing is None else standing.at(now)


async def _disarmed(call: Call, targets: Sequence[TargetId]) -> Mapping[TargetId, datetime]:
    """Until when Backout's own rollbacks disarm these targets; only those in mode auto, the others never act without a person."""
    parts, now = call.parts, call.parts.clock.now()
    auto = {one: policy for one in targets if (policy := parts.policies.of(one)).mode is Mode.AUTO}
    if not auto:
        return {}
    acted = await parts.holds.rollbacks_at(now - max(policy.rollback_window for policy in auto.values()))
    return {one: until for one, policy in auto.items() if (until := policy.armed_again(acted.get(one, ()), now)) is not None}


ROUTES = (
    Route(method="GET", path="/v1/targets", handler=list_targets, scope="targets:read", query=("limit", "cursor", "readiness")),
    Route(method="GET", path="/v1/targets/{target}", handler=get_target, scope="targets:read"),
    Route(method="GET", path="/v1/targets/{target}/rollback-check", handler=check, scope="targets:read"),
    Route(method="GET", path="/v1/targets/{target}/sources", handler=sources, scope="targets:read"),
    Route(method="GET", path="/v1/targets/{target}/readiness", handler=readiness, scope="targets:read"),
)
