"""Operations: asking for one, watching it, deciding about it. The story itself is the workflow's."""

import re
from collections.abc import Sequence
from datetime import timedelta

from aiohttp import web

from service.api import allowed, pages, views
from service.api.bodies import Approve, Override, StartRollback, WithReason
from service.api.edge import Answer, Call, Route, number, text
from service.api.problems import ProblemError
from service.api.reads import Position
from service.api.streams import MEDIA_TYPE, stream
from service.domain.errors import ConflictError
from service.domain.model import Operation, TargetId
from service.workflow import record

LONGEST_WAIT = 60
LOOK_EVERY = 0.25
"""Seconds between two looks of a long poll."""

PLAIN = "text/plain"


async def list_operations(call: Call) -> Answer:
    """The operations that fit and that the caller may see, newest first."""
    target, state, prefix = call.target_filter(), call.word("state", "alive", "ended"), call.query.get("prefix")
    alive = None if not state else state == "alive"
    if prefix is not None:
        return pages.answer(call, "operations", [summary(call, one) for one in await _by_prefix(call, prefix, target, alive=alive)], "")

    async def read(behind: Position | None, limit: int) -> Sequence[Operation]:
        return await call.parts.operations.find(target=str(target or ""), alive=alive, behind=behind, limit=limit)

    found = await pages.page(call, read, position=lambda one: (one.created_at, one.id), sees=lambda one: call.caller.sees(one.target))
    return pages.answer(call, "operations", [summary(call, one) for one in found.rows], found.cursor)


async def _by_prefix(call: Call, prefix: str, target: TargetId | None, *, alive: bool | None) -> Sequence[Operation]:
    """The few whose ids begin so, all at once."""
    if not 6 <= len(prefix) <= 64:  # noqa: PLR2004  as in openapi.yaml
        raise ProblemError("invalid_request", "prefix must have 6 to 64 characters")
    if "cursor" in call.query:
        raise ProblemError("invalid_request", "prefix and cursor do not go together: what begins so comes at once")
    found = reversed(await call.parts.operations.by_trace(prefix))
    fits = [one for one in found if (target is None or one.target == target) and (alive is None or alive == (one.done_at is None))]
    return [one for one in fits if call.caller.sees(one.target)][: call.limit()]


async def start_rollback(call: Call, asked: StartRollback) -> Answer:
    """Begin a rollback that a person asks for."""
    target = call.seen(asked.target_id)
    if await call.parts.targets.listed(target) is None:
        raise ProblemError("not_found", f"there is no target {target}; GET /v1/targets lists them")
    try:
        operation = await call.parts.desk.rollback(
            target, call.caller.actor, digest=asked.plan_digest or "", names=asked.accept, reason=asked.reason, override=asked.override
        )
    except ConflictError as error:
        raise await _busy(call, error) from error
    return await _under_way(call, operation)


async def _busy(call: Call, error: ConflictError) -> ProblemError:
    """The 409 that leads to the operation in the way; its id is the error's text."""
    other = await call.parts.operations.load(str(error))
    if other is None:
        return ProblemError("target_busy", "another operation is alive for this target, or just was; look again")
    return ProblemError(
        "target_busy",
        f"{other.id} is alive for {other.target} ({other.phase}, since {other.created_at:%H:%M:%SZ})",
        operation_url=call.addresses.operation(other.id),
        trace_id=other.trace_id,
        retry_after=30,
    )


async def get_operation(call: Call) -> Answer:
    """One operation; with `wait`, as soon as it changed or ended."""
    wait, since = _wait(call), number(call.query, "since_rev", default=-1, low=0, high=2**53)
    operation = call.about(await _load(call))
    since = operation.rev if since < 0 else since
    until = call.parts.clock.now() + wait
    while operation.done_at is None and operation.rev == since and call.parts.clock.now() < until and not call.parts.drain.begun:
        await call.parts.clock.sleep(LOOK_EVERY)
        operation = await _load(call)
    return Answer(body=await _detail(call, operation))


async def list_events(call: Call) -> Answer | web.StreamResponse:
    """The audit events, in the order of their commits; as a stream until the operation has ended."""
    after, operation = call.after(), call.about(await _load(call))
    if call.prefers(MEDIA_TYPE):
        return await stream(call, operation, lambda now: summary(call, now) if isinstance(now, Operation) else {})
    return Answer(body=views.events(operation, await call.parts.events.of(operation.id), after))


async def get_trace(call: Call) -> Answer | web.Response:
    """The trace out of the store."""
    operation = call.about(await _load(call))
    bodies = await call.parts.operations.span_bodies(operation.id)
    if call.prefers(PLAIN):
        return text(call.parts.tree_text(bodies) + "\n", PLAIN)
    return Answer(body=views.traces(operation, call.parts.trees(bodies), call.addresses))


async def approve(call: Call, asked: Approve) -> Answer:
    """Approve the plan that was looked at."""
    operation = call.about(await _load(call))
    decided = await call.parts.desk.decide(operation.id, call.caller.actor, approve=True, digest=asked.plan_digest, names=asked.accept, reason=asked.reason)
    return await _under_way(call, decided)


async def override(call: Call, asked: Override) -> Answer:
    """Confirm, as a second person, that the plan is carried out against the blocks that it names."""
    operation = call.about(await _load(call))
    decided = await call.parts.desk.confirm_override(
        operation.id, call.caller.actor, digest=asked.plan_digest, names=asked.accept, override=asked.override, reason=asked.reason
    )
    return await _under_way(call, decided)


async def reject(call: Call, asked: WithReason) -> Answer:
    """Reject it."""
    operation = call.about(await _load(call))
    return await _under_way(call, await call.parts.desk.decide(operation.id, call.caller.actor, approve=False, digest="", names=(), reason=asked.reason))


async def cancel(call: Call, asked: WithReason) -> Answer:
    """Ask it to stop."""
    operation = call.about(await _load(call))
    return await _under_way(call, await call.parts.desk.cancel(operation.id, call.caller.actor, asked.reason))


def summary(call: Call, operation: Operation) -> views.View:
    """An operation as a list shows it to this caller."""
    return views.operation(operation, allowed=_allowed(call, operation), addresses=call.addresses)


def _allowed(call: Call, operation: Operation) -> Sequence[str]:
    return allowed.on_operation(call.caller, operation, record.load(operation).plan)


async def _detail(call: Call, operation: Operation) -> views.View:
    decision = await call.parts.operations.approval(operation.id)
    return views.operation_detail(operation, decision, allowed=_allowed(call, operation), addresses=call.addresses)


async def _under_way(call: Call, operation: Operation) -> Answer:
    body = await _detail(call, operation)
    return Answer(body=body, status=202, headers={"Location": body["links"]["self"], "ETag": body["etag"]})


async def _load(call: Call) -> Operation:
    operation = await call.parts.operations.load(call.id)
    if operation is None:
        raise ProblemError("not_found", f"there is no operation {call.id} that this token may see")
    return operation


def _wait(call: Call) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,2})s?", call.query.get("wait", "0"))
    if found is None or int(found[1]) > LONGEST_WAIT:
        raise ProblemError("invalid_request", f"wait must be seconds up to {LONGEST_WAIT}, for example 20s")
    return timedelta(seconds=int(found[1]))


ROUTES = (
    Route(method="GET", path="/v1/operations", handler=list_operations, scope="operations:read", query=("target", "state", "prefix", "limit", "cursor")),
    Route(method="POST", path="/v1/operations", handler=start_rollback, scope="operations:create", body=StartRollback, once=True),
    Route(method="GET", path="/v1/operations/{id}", handler=get_operation, scope="operations:read", query=("wait", "since_rev")),
    Route(method="GET", path="/v1/operations/{id}/events", handler=list_events, scope="operations:read", query=("after",)),
    Route(method="GET", path="/v1/operations/{id}/trace", handler=get_trace, scope="operations:read"),
    Route(method="POST", path="/v1/operations/{id}/approve", handler=approve, scope="operations:approve", body=Approve, once=True),
    Route(method="POST", path="/v1/operations/{id}/override", handler=override, scope="operations:override", body=Override, once=True),
    Route(method="POST", path="/v1/operations/{id}/reject", handler=reject, scope="operations:approve", body=WithReason, once=True),
    Route(method="POST", path="/v1/operations/{id}/cancel", handler=cancel, scope="operations:cancel", body=WithReason, once=True),
)
