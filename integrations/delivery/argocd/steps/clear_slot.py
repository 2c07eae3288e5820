"""Ends the operation that holds the application, if it is automated or stuck and on the bad release (promise 5)."""

from collections.abc import Mapping
from datetime import timedelta

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging
from integrations.delivery.argocd.steps.names import CLEAR
from integrations.delivery.argocd.steps.step import POLL, SETTLED_AFTER, ArgoStep, Intent
from service.domain.errors import RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, suspect: Release) -> Step:
    """The order."""
    return Step(
        name=CLEAR,
        says=f"End the operation that holds {state.title}, if it is automated or stuck and deploys release {suspect.title}; wait until it is gone",
        parameters={"spec_digest": state.spec_digest},
        done_when="the application has no `operation`",
        fallback="a person's operation, or one that deploys something else, is left alone: hands off",
        command=commands.argocd(reading.app_ref(state.target), "terminate-op"),
    )


class ClearSlot(ArgoStep):
    """A termination, waited for until the slot is free."""

    name = CLEAR

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        judging.refuse_when(reading.auto_sync_on(looked.app), "auto-sync is on again: an ended operation would start anew")
        judging.unedited(step, intention, looked.app)
        judging.suspect_is_live(looked.app, intention)
        judging.slot_is_clearable(looked.app, intention, looked.me, self.t.clock.now())
        await self.t.nobody_else(looked, intention)
        return {}

    async def act(self, intent: Intent, guard: Guard) -> None:
        until = self.t.clock.now() + timedelta(seconds=self.t.settings.slot_timeout_seconds)
        asked = False
        while True:
            looked = await self.t.get(intent)
            running = reading.running_of(looked.app, looked.me, self.t.clock.now())
            if running is None:
                return
            if running.phase != "Terminating" and not asked:
                free = judging.clearable(looked.app, intent["suspect_revisions"], looked.me, self.t.clock.now())
                judging.refuse_when(not free, judging.slot_says(looked.app, looked.me))
                asked = await self.t.terminate(looked, guard)
            if self.t.clock.now() >= until:
                raise RefusedError(f"the operation of {running.by.name} does not end ({running.phase} {running.says})".rstrip())
            await self.t.clock.sleep(POLL)

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        running = reading.running_of(looked.app, looked.me, self.t.clock.now())
        if running is None:
            return Observation(seen=Seen.DONE, says="no operation holds the application")
        if running.phase == "Terminating":
            late = self.t.clock.now() > judging.intended_at(intent) + SETTLED_AFTER
            return Observation(seen=Seen.STUCK if late else Seen.RUNNING, says=f"the operation is being ended: {running.says}")
        if judging.clearable(looked.app, intent["suspect_revisions"], looked.me, self.t.clock.now()):
            return self.t.not_seen(intent, "the operation still runs")
        return Observation(seen=Seen.FOREIGN, says=judging.slot_says(looked.app, looked.me))
