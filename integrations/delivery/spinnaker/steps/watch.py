"""The end of a hold on Spinnaker: nothing there keeps the bad release away, so nothing is changed; what a person deployed only has to be live still."""

from collections.abc import Mapping

from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.steps.names import WATCH
from integrations.delivery.spinnaker.steps.step import Intent, SpinnakerStep
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, goal: Release, command: str) -> Step:
    """The order."""
    return Step(
        name=WATCH,
        says=f"See that {state.title} still rolls out release {goal.title}; nothing is changed",
        effect=False,
        optional=True,
        once_verified=True,
        parameters={"template": goal.revision},
        done_when=f"revision {goal.handle} is the newest",
        fallback="another one is live: the hold stays and looks at that",
        command=command,
    )


class Watch(SpinnakerStep):
    """One look."""

    name = WATCH

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        del intention, looked
        return {"template": step.parameters["template"]}

    async def act(self, intent: Intent, guard: Guard) -> None:
        del intent, guard

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        if looked.live == intent["template"]:
            return Observation(seen=Seen.DONE, says=f"{looked.spoken} has it live as {looked.live_says}")
        return Observation(seen=Seen.FOREIGN, says=f"{looked.live_says} was deployed meanwhile")
