"""Reads an operation's trace from the store alone: no settings, no service, no integration."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from service.audit import tree
from service.domain.errors import BackoutError, NotFoundError
from service.domain.model import Operation
from service.domain.ports import SpanDraft, Work
from service.store.database import Database
from service.store.operations import OperationStore


async def audit_from_store(store: str, identity: str) -> Mapping[str, Any]:
    """The trace of an operation (by id, trace id or incident id, or the beginning of one) from the store alone, as GET …/trace gives it."""
    database = Database(store)
    try:
        if database.sqlite and not database.path.exists():
            raise NotFoundError(f"there is no store {database.path.name}")
        operations = OperationStore(database, spans=_NoSpans(), hand_over=_NoHandOver())
        found = await operations.by_trace(identity)
        if len(found) != 1:
            listed = ", ".join(one.id for one in found[:5])
            raise NotFoundError(f"{len(found)} operations begin with {identity}" + (f": {listed}" if listed else ""))
        bodies = await operations.span_bodies(found[0].id)
        return {
            "operation": found[0].id,
            "trace_id": found[0].trace_id,
            "traces": [tree.to_json(one) for one in tree.grow_each(bodies)],
            "text": "\n\n".join(tree.render_text(one) for one in tree.grow_each(bodies)),
            "links": {},
        }
    finally:
        await database.close()


class _NoSpans:
    """For reading alone: nothing is encoded."""

    def encode(self, operation: Operation, draft: SpanDraft) -> tuple[str, bytes]:
        """Refuses."""
        raise BackoutError(f"{draft.name} of {operation.id} cannot be written: the store is open for reading")


class _NoHandOver:
    """For reading alone: nothing is handed over."""

    async def later(self, transaction: Any, work: Work, delay: timedelta) -> None:
        """Refuses."""
        raise BackoutError(f"{work.id} cannot be handed over in {delay} on {transaction}: the store is open for reading")
