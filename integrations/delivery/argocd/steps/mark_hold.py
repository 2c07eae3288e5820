"""Marks an application without auto-sync as held; a sign for people, so it may fail."""

from collections.abc import Mapping, Sequence

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, patches, unmark_hold
from integrations.delivery.argocd.steps.names import MARK
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, suspect: Release) -> Step:
    """The order; its undo takes the mark off."""
    words = f"stay rolled back from release {suspect.title}"
    return Step(
        name=MARK,
        says=f"Mark {state.title} as held: {words}",
        optional=True,
        done_when=f"the application carries the annotation {reading.HOLD}",
        fallback="refused (no right to update, or nothing renders): the hold stands in Backout alone",
        command=commands.patch(reading.app_ref(state.target), "merge", {"metadata": {"annotations": {reading.HOLD: words}}}),
        undo=unmark_hold.plan(state),
    )


class MarkHold(ArgoStep):
    """One annotation."""

    name = MARK

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:  # noqa: ARG002  one shape for all steps
        judging.not_marked_by_another(looked.app, intention)
        await self.t.nobody_else(looked, intention)
        return {"mark": True}

    async def act(self, intent: Intent, guard: Guard) -> None:
        if judging.carries_our_mark(reading.marker_of((await self.t.get(intent)).app), intent):
            return

        def mark(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            judging.refuse_when(bool(reading.marker_of(app)), "the application carries another hold mark")
            return [patches.uid_test(app), *patches.add_mark(app, intent["marker"])]

        await self.t.patch_or_refuse(intent, mark, guard)

    async def see(self, intent: Intent) -> Observation:
        marker = reading.marker_of((await self.t.get(intent)).app)
        if judging.carries_our_mark(marker, intent):
            return Observation(seen=Seen.DONE, says="the application carries the hold mark")
        return Observation(seen=Seen.FOREIGN, says="it carries another hold mark") if marker else self.t.not_seen(intent, "there is no hold mark")
