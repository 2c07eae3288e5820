"""Takes the mark of a hold away again, while it is ours."""

from collections.abc import Mapping, Sequence

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, patches
from integrations.delivery.argocd.steps.names import MARK, UNMARK
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.keys import TargetState
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, *, ends_hold: bool = False) -> Step:
    """The order: the undo of `mark_hold`, and what ends a hold that did not stop auto-sync."""
    return Step(
        name=UNMARK,
        says=f"Take the hold mark off {state.title}",
        optional=True,
        once_verified=ends_hold,
        parameters={"ends_hold": True} if ends_hold else {},
        done_when="the annotation is gone",
        command=commands.patch(reading.app_ref(state.target), "merge", {"metadata": {"annotations": {reading.HOLD: None}}}),
    )


class UnmarkHold(ArgoStep):
    """The annotation removed; that of an earlier hold of ours stays."""

    name = UNMARK

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        marker = judging.earlier_mark(intention) if step.parameters.get("ends_hold") else judging.own_marker(intention, MARK)
        judging.held_by_nobody_else(looked.app, marker, judging.earlier_mark(intention))
        return {"mark": True, "marker": marker, **({"own_marker": ""} if step.parameters.get("ends_hold") else {})}

    async def act(self, intent: Intent, guard: Guard) -> None:
        if reading.marker_of((await self.t.get(intent)).app) in {"", intent["own_marker"]}:
            return

        def unmark(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            judging.refuse_when(reading.marker_of(app) != intent["marker"], "the application carries another hold mark")
            return [patches.uid_test(app), *patches.remove_mark(app, intent["marker"])]

        await self.t.patch_or_refuse(intent, unmark, guard)

    async def see(self, intent: Intent) -> Observation:
        marker = reading.marker_of((await self.t.get(intent)).app)
        if not marker:
            return Observation(seen=Seen.DONE, says="the hold mark is gone")
        if marker == intent["own_marker"]:
            return Observation(seen=Seen.DONE, says="the mark of the earlier hold stays")
        if marker != intent["marker"]:
            return Observation(seen=Seen.FOREIGN, says="it carries another hold mark")
        return self.t.not_seen(intent, "the hold mark is still there")
