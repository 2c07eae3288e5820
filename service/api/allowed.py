"""Which actions a caller may take on a thing now: its state, the caller's scopes, nothing else. The same words stand in openapi.yaml."""

from datetime import datetime

from service.api.auth import Principal
from service.domain.model import Hold, Operation
from service.domain.planning.plan import Plan
from service.domain.policy import another_person, can_override
from service.domain.verdict import Answer

WAITING = "awaiting_approval"
"""The phase in which an operation waits for a person."""


def _those(caller: Principal, *pairs: tuple[str, str, bool]) -> list[str]:
    return [action for action, scope, possible in pairs if possible and caller.may(scope)]


def on_target(caller: Principal, *, busy: bool) -> list[str]:
    """On a target as listed; whether a rollback is safe is not known before a check."""
    return _those(caller, ("check", "targets:read", True), ("plan", "plans:write", True), ("rollback", "operations:create", not busy))


def on_check(caller: Principal, plan: Plan | None, *, busy: bool) -> list[str]:
    """After a check: a rollback only where there is a plan that can be carried out, an override to ask for only where its blocks can be overridden."""
    return _those(
        caller,
        ("plan", "plans:write", plan is not None),
        ("rollback", "operations:create", not busy and can_run(plan)),
        ("override", "operations:create", not busy and can_be_overridden(plan) and caller.actor.kind == "user"),
    )


def on_plan(caller: Principal, plan: Plan, *, now: datetime) -> list[str]:
    """On a kept plan, until its time is over."""
    fresh = now < plan.act_before
    return _those(
        caller,
        ("rollback", "operations:create", can_run(plan) and fresh),
        ("override", "operations:create", can_be_overridden(plan) and fresh and caller.actor.kind == "user"),
    )


def on_operation(caller: Principal, operation: Operation, plan: Plan | None = None) -> list[str]:
    """On an operation as it stands, with its plan. One that overrides a block is confirmed by another person than who asked for it."""
    alive = operation.done_at is None
    waits = alive and operation.phase == WAITING and not operation.cancel_requested
    overrides = plan is not None and bool(plan.overrides)
    return _those(
        caller,
        ("approve", "operations:approve", waits and not overrides),
        ("override", "operations:override", waits and overrides and another_person(operation.requested_by, caller.actor)),
        ("reject", "operations:approve", waits),
        ("cancel", "operations:cancel", alive and not operation.cancel_requested),
    )


def on_hold(caller: Principal, hold: Hold) -> list[str]:
    """On a hold as it stands."""
    return _those(caller, ("end", "holds:end", hold.closed_at is None))


def on_stop(caller: Principal, *, stopped: bool) -> list[str]:
    """On the stop switch; resuming concerns every target."""
    return _those(caller, ("stop", "stop:write", True), ("resume", "stop:write", stopped and caller.sees_all))


def can_run(plan: Plan | None) -> bool:
    """Whether the plan has steps and nothing blocks it."""
    return plan is not None and bool(plan.steps) and plan.verdict.worst < Answer.BLOCK


def can_be_overridden(plan: Plan | None) -> bool:
    """Whether the plan has steps and every block of it is one that two persons may override."""
    return plan is not None and bool(plan.steps) and bool(can_override(plan.verdict))
