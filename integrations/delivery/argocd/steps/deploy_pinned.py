"""Sees Argo CD deploy the pinned release by itself. The refresh that proves the controller alive can deploy nothing else now (promise 4)."""

from collections.abc import Mapping

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import DeadlineError
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, pinning
from integrations.delivery.argocd.steps.names import DEPLOY, PIN
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.errors import RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Release, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, goal: Release) -> Step:
    """The order."""
    return Step(
        name=DEPLOY,
        says=f"Let Argo CD deploy release {goal.title} to {state.title} by itself; a refresh shows that its controller is alive",
        parameters={"goal": goal.key},
        done_when="a new history entry shows the pinned revision, and Argo CD reconciled after it ended",
        fallback="no answer to the refresh: take the pin back and look at argocd-application-controller",
        command=commands.argocd(reading.app_ref(state.target), "get", then=("--refresh",)),
    )


class DeployPinned(ArgoStep):
    """A refresh, and the automated deploy that it leads to."""

    name = DEPLOY

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:  # noqa: ARG002  one shape for all steps
        pin = next((one for one in reversed(intention.ours) if one.get("step") == PIN), None)
        if pin is None:
            raise RefusedError("nothing was pinned")
        judging.refuse_when(not pinning.is_pinned(looked.app, pin["pinned"]), "the pin was taken back: it is managed elsewhere")
        judging.refuse_when(not reading.auto_sync_on(looked.app), "auto-sync was stopped meanwhile: nothing deploys the pinned release")
        judging.refuse_when(pinning.digest_without(looked.app, pin) != pin["spec_digest"], "somebody edited the spec since it was pinned")
        await self.t.nobody_else(looked, intention)
        return {"pinned": list(pin["pinned"]), "history_id": pin["history_id"], "before": pin["before"]}

    async def act(self, intent: Intent, guard: Guard) -> None:
        looked = await self.t.get(intent)
        judging.refuse_when(not pinning.is_pinned(looked.app, intent["pinned"]), "the pin was taken back: it is managed elsewhere")
        if self._seen(looked, intent).seen is not Seen.NOT_SEEN:
            return
        seconds = self.t.settings.refresh_timeout_seconds
        try:
            await self.t.client.refresh(looked.ref, guard, seconds=seconds)
        except DeadlineError as error:
            raise RefusedError(f"the application controller did not answer a refresh within {seconds} s: the pinned release would be deployed later") from error

    async def see(self, intent: Intent) -> Observation:
        return self._seen(await self.t.get(intent), intent)

    def _seen(self, looked: Looked, intent: Intent) -> Observation:
        app, goal = looked.app, intent["goal_key"]
        state = reading.part(app, "status", "operationState")
        new = [entry for entry in reading.history_of(app) if judging.entry_id(entry) > int(intent["history_id"])]
        own = next((entry for entry in new if reading.part(entry, "initiatedBy").get("automated") and release_key(reading.sources_of(entry)) == goal), None)
        details = {"handle": str(judging.entry_id(own)) if own is not None else "", "phase": reading.text(state.get("phase"))}
        if new and new[-1] is not own:
            by = reading.actor(reading.part(new[-1], "initiatedBy"), looked.me).name
            return Observation(seen=Seen.FOREIGN, says=f"{by} deployed release {judging.entry_id(new[-1])} meanwhile", details=details)
        if not pinning.is_pinned(app, intent["pinned"]):
            return Observation(seen=Seen.FOREIGN, says="the pin was taken back: it is managed elsewhere", details=details)
        if operation := reading.part(app, "operation"):
            return self._running(app, operation, state, intent, looked.me, details)
        ended = judging.operation_print(app) != intent["before"]
        if ended and reading.text(state.get("phase")) in {"Failed", "Error"}:
            told = f"Argo CD ended the deploy of the pinned release as {reading.text(state.get('phase'))}: {reading.said(state.get('message'))}"
            return Observation(seen=Seen.FAILED, says=told, details=details)
        if own is not None:
            return self._after(app, state, details)
        status = reading.part(app, "status")
        compared = reading.follows_of({"spec": reading.part(status, "sync", "comparedTo")})
        if compared == tuple(intent["pinned"]) and reading.part(status, "sync").get("status") == "Synced":
            return Observation(seen=Seen.DONE, says="the pinned release is what runs already", details=details)
        return self.t.not_seen(intent, "Argo CD has not begun to deploy the pinned release")

    def _running(self, app: reading.Body, operation: reading.Body, state: reading.Body, intent: Intent, me: str, details: Mapping[str, Json]) -> Observation:
        by = reading.part(operation, "initiatedBy")
        revision = reading.joined(reading.revisions_of(reading.part(operation, "sync")))
        if not by.get("automated") or revision not in {reading.joined(intent["goal_revisions"]), ""}:
            return Observation(seen=Seen.FOREIGN, says=judging.slot_says(app, me), details=details)
        phase, says = reading.text(state.get("phase")) or "accepted", reading.said(state.get("message"))
        return Observation(seen=Seen.RUNNING, says=f"Argo CD deploys the pinned release ({phase}{f': {says}' if says else ''})", details=details)

    @staticmethod
    def _after(app: reading.Body, state: reading.Body, details: Mapping[str, Json]) -> Observation:
        """Deployed; Argo CD has to have looked at the result since (contract 4.3)."""
        finished, reconciled = reading.moment(state.get("finishedAt")), reading.moment(reading.part(app, "status").get("reconciledAt"))
        if finished is None or reconciled is None or reconciled < finished:
            return Observation(seen=Seen.RUNNING, says="the pinned release is deployed; Argo CD has not looked at the result yet", details=details)
        return Observation(seen=Seen.DONE, says=f"Argo CD deployed the pinned release as {details['handle']}", details=details)
