"""Goes back to the release that a sync under a hold came from: ends that sync if it still runs, then rolls back to the history entry."""

from collections.abc import Mapping
from datetime import timedelta

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging
from integrations.delivery.argocd.steps.names import RETURN, SYNC
from integrations.delivery.argocd.steps.roll_back import RollBack
from integrations.delivery.argocd.steps.step import POLL, Intent
from service.domain.errors import RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Release, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention


def plan(state: TargetState, live: Release) -> Step:
    """The order: the undo of `sync_release`."""
    return Step(
        name=RETURN,
        says=f"Go back to release {live.title}, without pruning",
        parameters={"history_id": int(live.handle), "goal": live.key},
        done_when="the rollback Succeeded, a new history entry shows it, and Argo CD reconciled after it ended",
        fallback="a person decides; the hold stays, and auto-sync stays off",
        command=commands.argocd(reading.app_ref(state.target), "rollback", then=(live.handle,)),
    )


class ReturnToRelease(RollBack):
    """A rollback over our own sync, and over nobody else's deploy."""

    name = RETURN

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        del step
        app = looked.app
        judging.refuse_when(reading.auto_sync_on(app), "auto-sync is on again: somebody wants it so")
        judging.goal_is_there(app, intention.goal)
        synced = next((one for one in reversed(intention.ours) if one.get("step") == SYNC), None)
        if synced is None:
            raise RefusedError("no sync of this operation is known")
        foreign = next((e for e in reading.history_of(app) if judging.entry_id(e) > int(synced["history_id"]) and not _is_of(e, synced)), None)
        if foreign is not None:
            by = reading.actor(reading.part(foreign, "initiatedBy"), looked.me).name
            raise RefusedError(f"{by} deployed release {judging.entry_id(foreign)} since: hands off")
        operation = reading.part(app, "operation")
        judging.refuse_when(bool(operation) and not _carries(operation, synced), judging.slot_says(app, looked.me))
        await self.t.window_is_open(looked)
        return {"info": str(synced["info"]), "synced": synced["goal_key"]}

    async def act(self, intent: Intent, guard: Guard) -> None:
        """Our own sync is ended first: it may wait for what never gets ready."""
        until = self.t.clock.now() + timedelta(seconds=self.t.settings.slot_timeout_seconds)
        asked = False
        while True:
            looked = await self.t.get(intent)
            if not self.passes_over(reading.part(looked.app, "operation"), intent):
                break
            if not asked:
                asked = await self.t.terminate(looked, guard)
            judging.refuse_when(self.t.clock.now() >= until, "our own sync does not end")
            await self.t.clock.sleep(POLL)
        await super().act(intent, guard)

    def passes_over(self, operation: reading.Body, intent: Intent) -> bool:
        """The sync that this takes back."""
        return _carries(operation, intent)

    def passes_over_entry(self, entry: reading.Body, intent: Intent) -> bool:
        """What that sync deployed."""
        return judging.is_by(reading.part(entry, "initiatedBy"), intent) and release_key(reading.sources_of(entry)) == intent["synced"]


def _carries(operation: reading.Body, intent: Intent) -> bool:
    """Whether the running operation is the sync that carries our text."""
    return any(reading.text(one.get("value")) == intent["info"] for one in reading.entries(operation.get("info")))


def _is_of(entry: reading.Body, synced: Intent) -> bool:
    return judging.is_by(reading.part(entry, "initiatedBy"), synced) and release_key(reading.sources_of(entry)) == synced["goal_key"]
