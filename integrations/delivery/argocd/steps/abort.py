"""Aborts the roll-out of the release under suspicion: the stable ReplicaSet of its Rollout serves alone within a second.

Takes no operation slot and is not undone by auto-sync (recording 36), so it comes before everything else. Nothing takes it back: a `retry` would bring the
bad release back by our hand.
"""

from collections.abc import Mapping

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging
from integrations.delivery.argocd.steps.names import ABORT
from integrations.delivery.argocd.steps.step import SETTLED_AFTER, ArgoStep, Intent
from service.domain.errors import PermanentError, RefusedError
from service.domain.keys import Rollout, TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

ACTION = "abort"


def plan(state: TargetState, rollout: Rollout, suspect: Release) -> Step:
    """The order."""
    name = rollout.object.name
    return Step(
        name=ABORT,
        says=f"Abort Rollout {name}: what it rolls out of release {suspect.title} goes, and its stable release serves alone",
        parameters={
            **judging.rollout_parameters(rollout),
            "stable": rollout.stable,
            "remembered": dict(state.remembered),
            "spec_digest": state.spec_digest,
        },
        done_when=f"Rollout {name} says RolloutAborted",
        fallback="nobody carries it out: look at the controller of Argo Rollouts; the rollback would wait for it too",
        command=commands.action(reading.app_ref(state.target), rollout.object, ACTION),
        stands=f"Rollout {name} stays aborted, which keeps its stable release serving; only a new release or a person's retry changes that",
    )


class Abort(ArgoStep):
    """One action, recognised by what the Rollout says of itself."""

    name = ABORT

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        remembered = step.parameters.get("remembered") or {}
        judging.refuse_when(bool(remembered) != reading.auto_sync_on(app), "auto-sync was switched since the plan was made")
        judging.unedited(step, intention, app)
        judging.suspect_is_live(app, intention)
        judging.slot_is_clearable(app, intention, looked.me, self.t.clock.now())
        judging.not_marked_by_another(app, intention)
        await self.t.nobody_else(looked, intention)
        await self.t.window_is_open(looked)  # not for the abort, which no window stops, but for the rollback that it is a part of
        rollout = await self._rollout(looked, step.parameters)
        judging.refuse_when(rollout.promoted, f"Rollout {rollout.object.name} was promoted in full since the plan was made: there is nothing left to abort")
        more = {"remembered": {"automated": reading.automated_of(app)}} if reading.auto_sync_on(app) else {}
        return {**judging.rollout_parameters(rollout), "stable": rollout.stable, **more}

    async def act(self, intent: Intent, guard: Guard) -> None:
        before = await self.see(intent)
        if before.seen in {Seen.DONE, Seen.RUNNING}:
            return
        judging.refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        looked = await self.t.get(intent)
        await self.t.run_action(looked, judging.rollout_ref(intent), ACTION, guard)

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        try:
            rollout = await self._rollout(looked, intent)
        except (RefusedError, PermanentError) as error:
            return Observation(seen=Seen.FOREIGN, says=str(error))
        name = rollout.object.name
        if rollout.aborted and not rollout.aborting:
            return Observation(seen=Seen.DONE, says=f"Rollout {name} is aborted: {rollout.says}".rstrip(": "))
        if rollout.aborted:
            late = self.t.clock.now() > judging.intended_at(intent) + SETTLED_AFTER
            says = f"Rollout {name} is told to abort and its controller does not do it" if late else f"Rollout {name} is being aborted"
            return Observation(seen=Seen.FAILED if late else Seen.RUNNING, says=says)
        if rollout.promoted:
            return Observation(seen=Seen.FOREIGN, says=f"Rollout {name} was promoted in full meanwhile")
        return self.t.not_seen(intent, f"Rollout {name} is not aborted")

    async def _rollout(self, looked: Looked, about: Mapping[str, Json]) -> Rollout:
        """The Rollout, while it still rolls out what the plan knows; RefusedError otherwise."""
        rollout = await self.t.reader.rollout(looked, judging.rollout_ref(about))
        judging.same_rollout(rollout, about)
        judging.refuse_when(rollout.current != about["current"], f"Rollout {rollout.object.name} rolls out something else by now")
        return rollout
