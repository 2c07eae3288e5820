"""Switches the triggers on again that a hold kept off, each only while it is as we left it; the rest of the pipeline stays as whoever saved it last wrote it.

A trigger that somebody changed, or switched off or on themselves, is theirs: it loses our mark and nothing else, and that is said.
"""

from collections.abc import Mapping, Sequence

from integrations.delivery.spinnaker import door_marks
from integrations.delivery.spinnaker.door_marks import ShutTrigger
from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.steps.names import OPEN, SHUT
from integrations.delivery.spinnaker.steps.saving import save_each
from integrations.delivery.spinnaker.steps.step import Intent, SpinnakerStep, refuse_when
from integrations.json_shapes import Body, entries, part
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

WHAT = "what starts its pipelines"
"""What is off under the hold, for the hold's own sentences."""


def plan(state: TargetState, remembered: Mapping[str, Json], *, goal: Release | None = None, command: str = "") -> Step:
    """The order: the undo of `shut_triggers`, and what ends a hold. `goal`: only while that release is live."""
    triggers = door_marks.shut_triggers_of(entries(remembered.get("triggers")))
    return Step(
        name=OPEN,
        says=f"Switch on again what starts pipelines of {state.title}, as it was: {'; '.join(one.named for one in triggers)}",
        parameters={"remembered": dict(remembered), "what": WHAT, **({"only": goal.key, "template": goal.revision} if goal else {})},
        optional=goal is not None,
        once_verified=goal is not None,
        done_when="each trigger is on again, and no mark of the hold is left in it",
        fallback="a trigger that somebody changed meanwhile stays as they left it" + ("" if goal is None else "; on trouble the hold stays, and says why"),
        command=command,
    )


class OpenTriggers(SpinnakerStep):
    """One save for each pipeline, recognised by our mark being gone."""

    name = OPEN

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        shut = next((one for one in reversed(intention.ours) if one.get("step") == SHUT), None)
        remembered = entries(part(shut or step.parameters, "remembered").get("triggers"))
        refuse_when(not remembered or not all(one.get("mark") for one in remembered), "which triggers were switched off for it is not known")
        template = str(step.parameters.get("template", ""))
        refuse_when(bool(template) and looked.live != template, "something else was deployed since it was verified: its triggers stay off")
        return {"remembered": {"triggers": [dict(one) for one in remembered]}}

    async def act(self, intent: Intent, guard: Guard) -> None:
        target, wanted = str(intent["target"]), _wanted(intent)

        def change(pipeline: Pipeline) -> Body:
            return door_marks.opened(pipeline, [one for one in wanted if one.pipeline == pipeline.id], target)

        await save_each(self.t, intent, guard, change)

    async def see(self, intent: Intent) -> Observation:
        looked, target = await self.t.get(intent), str(intent["target"])
        wanted = _wanted(intent)
        marks = {one.mark for one in wanted}
        if left := next((one for one in door_marks.kept_off_for(target, looked.pipelines) if one.mark in marks), None):
            return self.t.not_seen(intent, f"{left.named} is still off")
        told = [says for one in wanted if (says := _not_as_it_was(one, looked.pipelines))]
        return Observation(seen=Seen.DONE, says="; ".join(told) if told else "what starts its pipelines is as it was")


def _wanted(intent: Intent) -> Sequence[ShutTrigger]:
    return door_marks.shut_triggers_of(entries(part(intent, "remembered").get("triggers")))


def _not_as_it_was(one: ShutTrigger, pipelines: Sequence[Pipeline]) -> str:
    """What a person has to know of a trigger that did not come back as it was; "" for one that did."""
    pipeline = next((each for each in pipelines if each.id == one.pipeline), None)
    if pipeline is None:
        return f"pipeline {one.name} is gone, and its triggers with it"
    found = next((each for each in pipeline.triggers if each.digest == one.digest), None)
    if found is None:
        return f"{one.named} was changed or removed by somebody meanwhile: it is left as they saved it"
    if found.kept_off:
        return f"{one.named} stays off for another hold"
    return "" if found.enabled else f"{one.named} was switched off by somebody else: it stays off"
