"""Stops auto-sync, keeping its settings, and marks the application as held in the same atomic change."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import ServerRefusedError
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, patches, restore_auto_sync
from integrations.delivery.argocd.steps.names import STOP
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.errors import RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Way
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState) -> Step:
    """The order; its undo gives auto-sync back."""
    old = state.remembered["automated"]
    patch = [{"op": "test", "path": patches.AUTOMATED, "value": old}, {"op": "add", "path": f"{patches.AUTOMATED}/enabled", "value": False}]
    return Step(
        name=STOP,
        says=f"Stop auto-sync of {state.title}, keeping its settings (they are remembered)",
        parameters={"remembered": dict(state.remembered), "spec_digest": state.spec_digest, "mark": state.owner.kind != "applicationset"},
        done_when="spec.syncPolicy.automated.enabled is false and still is after 5 s",
        fallback="where nothing renders and the patch is refused: PUT the spec with validate=false, only `enabled` changed",
        command=commands.patch(reading.app_ref(state.target), "json", patch),
        undo=restore_auto_sync.plan(state),
    )


class StopAutoSync(ArgoStep):
    """`enabled: false` beside the remembered settings, and the mark."""

    name = STOP

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        remembered = reading.part(step.parameters, "remembered").get("automated")
        judging.refuse_when(not reading.auto_sync_on(app), "auto-sync is off already: somebody stopped it since the plan was made")
        judging.refuse_when(not judging.same_automated(reading.automated_of(app), remembered), "the settings of auto-sync changed since the plan was made")
        judging.refuse_when(await self.t.reader.version() < reading.ENABLED_SINCE, reading.TOO_OLD)
        undoing = (await self.t.reader.owner(app)).undoing(Way.ROLLBACK)
        judging.refuse_when(undoing is not None, undoing.says if undoing is not None else "")
        judging.unedited(step, intention, app)
        judging.suspect_is_live(app, intention)
        judging.slot_is_clearable(app, intention, looked.me, self.t.clock.now())
        judging.not_marked_by_another(app, intention)
        await self.t.all_hold(self.t.nobody_else(looked, intention), self.t.window_is_open(looked), self.t.renders_now(looked, intention))
        mark = bool(step.parameters.get("mark", True)) and not reading.marker_of(app)  # the mark of a hold of ours that is open already stays
        return {"remembered": {"automated": reading.automated_of(app)}, "mark": mark}

    async def act(self, intent: Intent, guard: Guard) -> None:
        looked = await self.t.get(intent)
        seen = self._stop_seen(looked.app, intent)
        if seen.seen in {Seen.DONE, Seen.RUNNING}:
            return
        judging.refuse_when(seen.seen is not Seen.NOT_SEEN, seen.says)

        def stop(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            changed = not judging.same_automated(reading.automated_of(app), intent["remembered"]["automated"])
            judging.refuse_when(changed, "the settings of auto-sync changed meanwhile")
            judging.still_unedited(app, intent)
            judging.nothing_newer(app, intent)
            return _stop_patch(app, intent)

        try:
            await self.t.patch(intent, stop, guard, just_read=looked)
        except ServerRefusedError as error:
            if not patches.renders_not(error):
                raise RefusedError(patches.refusal_of(error)) from error
            await self._stop_by_put(intent, guard)
        await self._read_back(intent)

    async def see(self, intent: Intent) -> Observation:
        return self._stop_seen((await self.t.get(intent)).app, intent)

    async def _stop_by_put(self, intent: Intent, guard: Guard) -> None:
        """Where nothing renders a patch is refused (400/3). The last writer wins here, so the spec is read again right before."""
        looked = await self.t.get(intent)
        spec = dict(reading.part(looked.app, "spec"))
        judging.still_unedited(looked.app, intent)
        judging.nothing_newer(looked.app, intent)
        remembered = intent["remembered"]["automated"]
        judging.refuse_when(not judging.same_automated(reading.automated_of(looked.app), remembered), "the settings of auto-sync changed meanwhile")
        spec["syncPolicy"] = {**reading.part(spec, "syncPolicy"), "automated": {**remembered, "enabled": False}}
        if intent["mark"]:
            spec["info"] = [*(i for i in reading.entries(spec.get("info")) if i.get("name") != reading.HOLD), {"name": reading.HOLD, "value": intent["marker"]}]
        await self.t.client.put_spec(looked.ref, spec, guard)

    async def _read_back(self, intent: Intent) -> None:
        waited = 0.0
        for second in self.t.settings.read_back_seconds:
            await self.t.clock.sleep(max(0.0, second - waited))
            waited = second
            looked = await self.t.get(intent)
            if not judging.as_written(looked.app, intent["remembered"]["automated"]):
                owner = await self.t.reader.owner(looked.app)
                raise RefusedError(f"the stop of auto-sync was taken back within {second:g} s: it is managed elsewhere ({owner.kind} {owner.name})".rstrip())

    def _stop_seen(self, app: reading.Body, intent: Intent) -> Observation:
        mine = reading.marker_of(app) == intent["marker"]
        if judging.as_written(app, intent["remembered"]["automated"]) and (mine or not intent["mark"]):
            settled = judging.intended_at(intent) + timedelta(seconds=max(self.t.settings.read_back_seconds, default=0.0))
            if self.t.clock.now() < settled:
                return Observation(seen=Seen.RUNNING, says="auto-sync is stopped; whether it stays is seen in some seconds")
            return Observation(seen=Seen.DONE, says="auto-sync is stopped and stays so", details={"remembered": intent["remembered"]})
        if reading.auto_sync_on(app):
            if mine:
                return Observation(seen=Seen.FAILED, says="the stop of auto-sync was taken back: it is managed elsewhere")
            return self.t.not_seen(intent, "auto-sync is on")
        return Observation(seen=Seen.FOREIGN, says="somebody else changed auto-sync")


def _stop_patch(app: reading.Body, intent: Intent) -> Sequence[Mapping[str, Json]]:
    """One atomic change: nothing is written when the settings of auto-sync are not the ones that were read."""
    stop = [
        patches.uid_test(app),
        {"op": "test", "path": patches.AUTOMATED, "value": reading.automated_of(app)},
        {"op": "add", "path": f"{patches.AUTOMATED}/enabled", "value": False},
    ]
    return [*stop, *(patches.add_mark(app, intent["marker"]) if intent["mark"] else ())]
