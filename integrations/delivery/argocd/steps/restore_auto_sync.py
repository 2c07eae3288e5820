"""Gives auto-sync back exactly as it was, only while it is as we left it."""

import contextlib
import json
from collections.abc import Mapping, Sequence

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import ServerRefusedError
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, patches
from integrations.delivery.argocd.steps.names import BACK, PROVE, RESTORE, STOP
from integrations.delivery.argocd.steps.prove_controller import ProveController
from integrations.delivery.argocd.steps.roll_back import RollBack
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.errors import RefusedError, TemporaryError
from service.domain.keys import TargetState
from service.domain.model import Json, Release, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, remembered: Mapping[str, Json] | None = None, *, goal: Release | None = None) -> Step:
    """The order: the undo of `stop_auto_sync`, and what ends a hold. `goal`: only while that release is live and desired, and then our mark goes too."""
    remembered = state.remembered if remembered is None else remembered
    old = remembered["automated"]
    patch = [{"op": "test", "path": patches.AUTOMATED, "value": {**old, "enabled": False}}, {"op": "replace", "path": patches.AUTOMATED, "value": old}]
    return Step(
        name=RESTORE,
        says=f"Give {state.title} its auto-sync back as it was: {json.dumps(old, sort_keys=True)}",
        parameters={"remembered": dict(remembered), "after_rollback": goal is not None, **({"only": goal.key} if goal else {})},
        optional=goal is not None,
        once_verified=goal is not None,
        done_when="spec.syncPolicy.automated is as remembered",
        fallback="only while it is still as we wrote it and no rollback was accepted; else leave it to a person"
        if goal is None
        else "the hold stays, and says what it waits for",
        command=commands.patch(reading.app_ref(state.target), "json", patch),
    )


class RestoreAutoSync(ArgoStep):
    """The remembered settings written back, and our mark removed."""

    name = RESTORE

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        """As compensation only while everything is as we left it and no rollback was accepted.

        When a person ends a hold the rollback is long live and the spec may have been edited: told by `after_rollback`, or by an intention without
        a marker, which is no operation's. Then only auto-sync itself must be as we left it.
        """
        stopped = next((marker for marker in reversed(intention.ours) if marker.get("step") == STOP), None)
        remembered = reading.part(stopped or step.parameters, "remembered").get("automated")
        if not isinstance(remembered, Mapping):
            raise RefusedError("what auto-sync was before is not known")
        only = str(step.parameters.get("only", ""))
        marker = judging.earlier_mark(intention) if only else judging.own_marker(intention, STOP)
        given_back = judging.same_automated(reading.automated_of(looked.app), remembered)  # whoever undid us did our work
        left = given_back or judging.as_written(looked.app, remembered)
        judging.refuse_when(not left, "auto-sync is not as Backout left it: somebody decided otherwise, so it stays")
        judging.held_by_nobody_else(looked.app, marker, judging.earlier_mark(intention))
        if not (step.parameters.get("after_rollback", False) or not intention.marker):
            if stopped is not None:
                judging.refuse_when(reading.spec_digest(looked.app) != stopped.get("spec_digest"), "somebody edited the spec since auto-sync was stopped")
            for earlier in intention.ours:
                if earlier.get("step") == BACK:
                    await self._never_accepted(earlier)
        _only(looked.app, only)
        if only and not given_back:
            await self._was_looked_at(looked.app, intention)
        return {"remembered": {"automated": remembered}, "mark": bool((stopped or {}).get("mark", True)), "marker": marker, "only": only}

    async def act(self, intent: Intent, guard: Guard) -> None:
        remembered = intent["remembered"]["automated"]
        if judging.same_automated(reading.automated_of((await self.t.get(intent)).app), remembered):
            await self._take_mark_off(intent, guard)
            return

        def restore(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            judging.refuse_when(not judging.as_written(app, remembered), "auto-sync is not as Backout left it: it stays as it is")
            _only(app, str(intent.get("only", "")))
            judging.refuse_when(reading.marker_of(app) not in {"", intent["marker"], intent["own_marker"]}, "the application carries another hold mark")
            return [
                patches.uid_test(app),
                {"op": "test", "path": patches.AUTOMATED, "value": reading.automated_of(app)},
                {"op": "replace", "path": patches.AUTOMATED, "value": remembered},
                *patches.remove_mark(app, intent["marker"]),
            ]

        try:
            await self.t.patch(intent, restore, guard)
        except ServerRefusedError as error:
            if not patches.renders_not(error):
                raise RefusedError(patches.refusal_of(error)) from error
            await self._restore_by_put(intent, guard)

    async def see(self, intent: Intent) -> Observation:
        app = (await self.t.get(intent)).app
        remembered = intent["remembered"]["automated"]
        if judging.same_automated(reading.automated_of(app), remembered):
            left = "; the hold mark is still there" if reading.marker_of(app) == intent["marker"] else ""
            return Observation(seen=Seen.DONE, says=f"auto-sync is as it was{left}")
        if judging.as_written(app, remembered):
            return self.t.not_seen(intent, "auto-sync is still stopped")
        return Observation(seen=Seen.FOREIGN, says="somebody else changed auto-sync")

    async def _take_mark_off(self, intent: Intent, guard: Guard) -> None:
        """Whoever gave auto-sync back left our mark, and under a mark of nobody's hold no later rollback begins. A sign only, so trouble with it is none."""

        def unmark(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            return [patches.uid_test(app), *patches.remove_mark(app, str(intent["marker"]))]

        if patches.remove_mark((await self.t.get(intent)).app, str(intent["marker"])):
            with contextlib.suppress(RefusedError):
                await self.t.patch_or_refuse(intent, unmark, guard)

    async def _was_looked_at(self, app: reading.Body, intention: Intention) -> None:
        """RefusedError unless Argo CD answered a refresh since the release went live: else what is desired may have moved without anybody knowing."""
        history = reading.history_of(app)
        newest = judging.entry_id(history[-1]) if history else -1
        proven = next((one for one in reversed(intention.ours) if one.get("step") == PROVE), None)
        if proven is None or int(proven["history_id"]) != newest or (await ProveController(self.t).see(proven)).seen is not Seen.DONE:
            raise RefusedError("Argo CD did not look at what is desired since the release was verified: auto-sync could deploy something newer")

    async def _never_accepted(self, intent: Intent) -> None:
        observation = await RollBack(self.t).see(intent)
        judging.refuse_when(observation.seen is not Seen.NOT_SEEN, f"a rollback was accepted ({observation.says}): auto-sync would undo it")
        until = observation.not_seen_until
        if until is not None and self.t.clock.now() < until:
            raise TemporaryError(f"only at {until.isoformat()} is it certain that no rollback was accepted")

    async def _restore_by_put(self, intent: Intent, guard: Guard) -> None:
        looked = await self.t.get(intent)
        remembered = intent["remembered"]["automated"]
        judging.refuse_when(reading.spec_digest(looked.app) != intent["spec_digest"], "somebody edited the spec meanwhile")
        judging.refuse_when(not judging.as_written(looked.app, remembered), "auto-sync is not as Backout left it: it stays as it is")
        spec = dict(reading.part(looked.app, "spec"))
        spec["syncPolicy"] = {**reading.part(spec, "syncPolicy"), "automated": remembered}
        kept = [i for i in reading.entries(spec.get("info")) if (i.get("name"), i.get("value")) != (reading.HOLD, intent["marker"])]
        spec = {**{k: v for k, v in spec.items() if k != "info"}, **({"info": kept} if kept else {})}
        await self.t.client.put_spec(looked.ref, spec, guard)


def _only(app: reading.Body, key: str) -> None:
    """RefusedError unless that release is live and what auto-sync would deploy ("" = whichever)."""
    if key:
        desired, history = reading.desired_of(app), reading.history_of(app)
        wanted = reading.joined([source.revision for source in desired])[:12] or "not known"
        judging.refuse_when(release_key(desired) != key, f"what is desired now is {wanted}, not the release that was verified: auto-sync would deploy it")
        live = bool(history) and release_key(reading.sources_of(history[-1])) == key
        judging.refuse_when(not live or bool(reading.part(app, "operation")), "something else was deployed, or is being deployed, since it was verified")
