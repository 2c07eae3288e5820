"""Takes a hold's marks off triggers and leaves them on or off as they are: what a person asked for who ends a hold and wants them to stay off."""

from collections.abc import Mapping

from integrations.delivery.spinnaker import door_marks
from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.steps.names import UNMARK
from integrations.delivery.spinnaker.steps.saving import save_each
from integrations.delivery.spinnaker.steps.step import Intent, SpinnakerStep, refuse_when
from integrations.json_shapes import Body
from service.domain.keys import TargetState
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, command: str) -> Step:
    """The order."""
    return Step(
        name=UNMARK,
        says=f"Take the hold's marks off the triggers that deploy {state.title}; they stay on or off as they are",
        optional=True,
        once_verified=True,
        done_when="no trigger carries the mark of the hold any more",
        command=command,
    )


class UnmarkTriggers(SpinnakerStep):
    """One save for each pipeline with such a mark."""

    name = UNMARK

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        del step, looked
        refuse_when(not intention.own_marker, "no mark of this hold is known")
        return {"mark": intention.own_marker}

    async def act(self, intent: Intent, guard: Guard) -> None:
        target, mark = str(intent["target"]), str(intent["mark"])

        def change(pipeline: Pipeline) -> Body:
            return door_marks.unmarked(pipeline, target, mark)

        await save_each(self.t, intent, guard, change)

    async def see(self, intent: Intent) -> Observation:
        looked, target = await self.t.get(intent), str(intent["target"])
        left = [one for one in door_marks.kept_off_for(target, looked.pipelines) if one.mark == intent["mark"]]
        if left:
            return self.t.not_seen(intent, f"{left[0].named} still carries the mark")
        return Observation(seen=Seen.DONE, says="no trigger carries the mark any more")
