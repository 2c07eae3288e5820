"""Ends the run that still deploys the release under suspicion, so that it does not deploy on over the undo (care D1, D6).

Only an automated run, only of that release, and only where its end starts nothing: a rollback of its own, another pipeline, or a run that waits behind it and
would begin at once (recording 06a). What it has asked the cloud for already goes on, so it is waited for. Nothing takes the cancellation back.
"""

from collections.abc import Mapping

from integrations.delivery.spinnaker.doors import starters_of
from integrations.delivery.spinnaker.executions import Execution, Status, execution_of
from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.steps.names import STOP
from integrations.delivery.spinnaker.steps.step import POSTED_GOES_ON, Intent, SpinnakerStep, certain_at, nobody_acted, refuse_when, suspect_is_live
from integrations.json_shapes import entries, part
from service.domain.errors import TemporaryError
from service.domain.keys import Running
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

CANARY = frozenset({"kayentaCanary", "runCanary"})
ENDS = ("canceled", "failed")
"""The words by which another pipeline can wait for the end of this one."""


def plan(running: Running, suspect: Release, command: str) -> Step:
    """The order."""
    return Step(
        name=STOP,
        says=f"Cancel the automated run that still deploys release {suspect.title} ({running.says}), and wait until it has ended",
        done_when="the run is CANCELED, and what it had asked for already is done",
        fallback="a person's run, one that waits behind it, or one whose failure starts something: hands off",
        command=command,
        stands="the run that deployed the bad release stays cancelled",
    )


class StopDeploy(SpinnakerStep):
    """A cancellation of each run, recognised by our reason and by the run's own status."""

    name = STOP

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        del step
        suspect_is_live(looked, intention)
        nobody_acted(looked, intention)
        acting = looked.acting
        for run in acting:
            why = why_not(run, looked)
            refuse_when(bool(why), f"{_named(run)} is left alone: {why}")
        return {"runs": [run.id for run in acting], "template": looked.live, "reason": f"Backout {intention.operation_id}"}

    async def act(self, intent: Intent, guard: Guard) -> None:
        before = await self.see(intent)
        if before.seen in {Seen.DONE, Seen.RUNNING}:
            return
        refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        for identity in intent["runs"]:
            run = await self._run(str(identity))
            if not run.status.ended and run.says != intent["reason"]:
                await self.t.client.cancel_run(run.id, str(intent["reason"]), guard)

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        if looked.live != intent["template"]:
            return Observation(seen=Seen.FOREIGN, says=f"{looked.live_says} was deployed meanwhile")
        others = [run for run in looked.acting if run.id not in intent["runs"]]
        if others:
            return Observation(seen=Seen.FOREIGN, says=f"{_named(others[0])} began meanwhile")
        found = [await self._run(str(identity)) for identity in intent["runs"]]
        alive = [run for run in found if not run.status.ended]
        if any(run.says != intent["reason"] for run in alive):
            return self.t.not_seen(intent, f"{_named(alive[0])} is {alive[0].status}")
        if alive:
            return Observation(seen=Seen.RUNNING, says=f"{_named(alive[0])} was told to end and is still {alive[0].status}")
        at_work = next((run for run in found if self._may_go_on(run, intent)), None)
        if at_work is not None:
            return Observation(seen=Seen.RUNNING, says=f"{_named(at_work)} has ended, and what it had asked for may still be under way")
        return Observation(seen=Seen.DONE, says="; ".join(f"{_named(run)} is {run.status}" for run in found) or "no run deploys it any more")

    async def _run(self, identity: str) -> Execution:
        run = execution_of((await self.t.client.pipeline_run(identity)).body)
        if run is None:
            raise TemporaryError(f"run {identity} could not be read")
        return run

    def _may_go_on(self, run: Execution, intent: Intent) -> bool:
        """Whether a cloud operation of it may still be at work. A cancelled run says no more of it, so then it is a matter of time."""
        open_ = any(_operation_is_open(stage.context) for stage in run.stages)
        ended = run.ended_at or max((stage.ended_at for stage in run.stages if stage.ended_at), default=certain_at(intent))
        return run.status is Status.CANCELED and open_ and self.t.clock.now() < ended + POSTED_GOES_ON


def _operation_is_open(context: Mapping[str, Json]) -> bool:
    operations = entries(context.get("kato.tasks"))
    if not operations:
        return bool(part(context, "kato.last.task.id"))
    return part(operations[-1], "status").get("completed") is not True


def why_not(run: Execution, looked: Looked) -> str:
    """Why the run is not ours to end; "" when it is."""
    if run.is_task or not run.automated:
        return f"it was started by {run.by.name}, by hand"
    deployed = {revision for touch in looked.touches([run]) if (revision := looked.revision_of(touch))}
    if not looked.live or deployed != {looked.live}:
        return "it has not deployed the release under suspicion, so what it deploys is not known"
    if any(one.config == run.config and one.id != run.id and one.status.waiting for one in looked.runs):
        return "another run of its pipeline waits behind it, and would begin at once"
    if any(part(stage.context, "rollback").get("onFailure") is True for stage in run.stages):
        return "its failure starts a rollback of its own"
    if any(stage.kind in CANARY and not stage.status.ended for stage in run.stages):
        return "a canary analysis is under way, whose end would skip its clean-up"
    pipeline = next((one for one in looked.pipelines if one.id == run.config), None)
    if pipeline is None:
        return "its pipeline is not among the saved ones, so what its end starts is not known"
    begun = [other.name for status in ENDS for other in starters_of(pipeline, looked.pipelines, status)]
    return f"its end starts pipeline {begun[0]}" if begun else ""


def _named(run: Execution) -> str:
    return f"{'task' if run.is_task else 'pipeline'} {run.name or run.id} ({run.id})"
