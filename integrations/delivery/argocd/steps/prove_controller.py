"""Sees that the application controller answers: an operation that nobody picks up now would fire later (promise 4)."""

from collections.abc import Mapping
from datetime import timedelta

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import DeadlineError
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging
from integrations.delivery.argocd.steps.names import PROVE
from integrations.delivery.argocd.steps.step import ONE_SECOND, ArgoStep, Intent
from service.domain.errors import RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, *, once_verified: bool = False) -> Step:
    """The order. `once_verified`: it only brings what is known of the desired revision up to date, so it may be left out."""
    return Step(
        name=PROVE,
        says=f"See that the application controller answers a refresh of {state.title}: an operation that nobody picks up would fire later",
        effect=False,
        optional=once_verified,
        once_verified=once_verified,
        parameters={"spec_digest": state.spec_digest},
        done_when="the refresh is answered within seconds",
        fallback="no answer: give auto-sync back and look at argocd-application-controller",
        command=commands.argocd(reading.app_ref(state.target), "get", then=("--refresh",)),
    )


class ProveController(ArgoStep):
    """A refresh, answered within seconds."""

    name = PROVE

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        judging.refuse_when(reading.auto_sync_on(looked.app), "auto-sync is on: a refresh now could deploy a newer commit")
        judging.unedited(step, intention, looked.app)
        judging.suspect_is_live(looked.app, intention)
        return {}

    async def act(self, intent: Intent, guard: Guard) -> None:
        looked = await self.t.get(intent)
        judging.refuse_when(reading.auto_sync_on(looked.app), "auto-sync is on: a refresh now could deploy a newer commit")
        seconds = self.t.settings.refresh_timeout_seconds
        try:
            await self.t.client.refresh(looked.ref, guard, seconds=seconds)
        except DeadlineError as error:
            raise RefusedError(f"the application controller did not answer a refresh within {seconds} s: a rollback now would fire later") from error

    async def see(self, intent: Intent) -> Observation:
        app = (await self.t.get(intent)).app
        status = reading.part(app, "status")
        if reading.part(app, "metadata", "annotations").get(reading.REFRESH):
            late = self.t.clock.now() > judging.intended_at(intent) + timedelta(seconds=self.t.settings.refresh_timeout_seconds)
            says = "a refresh is asked for and not answered"
            return Observation(seen=Seen.FAILED if late else Seen.RUNNING, says=says)
        if reading.text(status.get("reconciledAt")) != intent["reconciled_at"]:
            return Observation(seen=Seen.DONE, says=f"the application controller reconciled at {reading.text(status.get('reconciledAt'))}")
        reconciled = reading.moment(status.get("reconciledAt"))
        if reconciled is not None and reconciled + ONE_SECOND > judging.intended_at(intent):
            return Observation(seen=Seen.DONE, says="the application controller reconciled in the second of the request")
        return self.t.not_seen(intent, "the application controller has not reconciled since")
