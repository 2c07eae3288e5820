"""Promotes a Rollout in full after the rollback, where the operator allows it: the goal release takes over without steps, pauses and analyses.

Comes after the step that goes back, so it may fail: the rollback stays, and what is live is measured. It is sent only to the pod hash that our rollback
brought: a Rollout that became something else in between is left alone (Argo CD has no precondition for it; the look stands right before).
"""

from collections.abc import Mapping

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging
from integrations.delivery.argocd.steps.names import PROMOTE
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.keys import Rollout, TargetState
from service.domain.model import Json, Release, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

ACTION = "promote-full"


def plan(state: TargetState, rollout: Rollout, goal: Release) -> Step:
    """The order. `left` is the pod hash that must not be promoted by us: that of the release under suspicion."""
    name = rollout.object.name
    return Step(
        name=PROMOTE,
        says=f"Promote Rollout {name} in full: release {goal.title} takes over without its steps, pauses and analyses",
        optional=True,
        parameters={**judging.rollout_parameters(rollout), "left": rollout.current},
        done_when=f"Rollout {name} is Healthy and its stable pod hash is the current one",
        fallback="refused, or something else is rolled out by now: promote or abort it by hand; the rollback stays",
        command=commands.action(reading.app_ref(state.target), rollout.object, ACTION),
    )


class Promote(ArgoStep):
    """One action, only on what our own rollback brought."""

    name = PROMOTE

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        _is_our_rollback(looked, intention)
        await self.t.nobody_else(looked, intention)
        rollout = await self.t.reader.rollout(looked, judging.rollout_ref(step.parameters))
        judging.same_rollout(rollout, step.parameters)
        name = rollout.object.name
        if rollout.current == step.parameters["left"]:
            raise TemporaryError(f"Rollout {name} has not taken the rollback over yet")
        judging.refuse_when(rollout.aborted, f"Rollout {name} was aborted while it went back: what is stable is the release that we leave")
        return judging.rollout_parameters(rollout)

    async def act(self, intent: Intent, guard: Guard) -> None:
        before = await self.see(intent)
        if before.seen in {Seen.DONE, Seen.RUNNING}:
            return
        judging.refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        looked = await self.t.get(intent)
        history = reading.history_of(looked.app)
        judging.refuse_when(not history or judging.entry_id(history[-1]) != intent["history_id"], "something else was deployed meanwhile")
        await self.t.run_action(looked, judging.rollout_ref(intent), ACTION, guard)

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        try:
            rollout = await self.t.reader.rollout(looked, judging.rollout_ref(intent))
            judging.same_rollout(rollout, intent)
        except (RefusedError, PermanentError) as error:
            return Observation(seen=Seen.FOREIGN, says=str(error))
        name = rollout.object.name
        if rollout.current != intent["current"]:
            return Observation(seen=Seen.FOREIGN, says=f"Rollout {name} rolls out something else by now")
        if rollout.promoted:
            return Observation(seen=Seen.DONE, says=f"Rollout {name} is promoted in full")
        if rollout.aborted:
            return Observation(seen=Seen.FOREIGN, says=f"Rollout {name} was aborted meanwhile")
        if rollout.promoting and rollout.phase == "Degraded":
            return Observation(seen=Seen.FAILED, says=f"Rollout {name} is being promoted and is Degraded: {rollout.says}".rstrip(": "))
        if rollout.promoting:
            return Observation(seen=Seen.RUNNING, says=f"Rollout {name} is being promoted: {rollout.says}".rstrip(": "))
        return self.t.not_seen(intent, f"Rollout {name} runs its steps")


def _is_our_rollback(looked: Looked, intention: Intention) -> None:
    """RefusedError unless the newest release is the goal, deployed by us, and nothing else is on its way."""
    app = looked.app
    judging.refuse_when(reading.auto_sync_on(app), "auto-sync is on again")
    judging.refuse_when(bool(reading.part(app, "operation")), judging.slot_says(app, looked.me))
    history = reading.history_of(app)
    last = history[-1] if history else {}
    by = reading.part(last, "initiatedBy")
    ours = by.get("username") == looked.me and not by.get("automated")
    if not ours or release_key(reading.sources_of(last)) != intention.goal.key:
        raise RefusedError("what was deployed last is not our rollback")
