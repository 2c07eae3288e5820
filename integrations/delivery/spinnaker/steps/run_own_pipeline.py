"""Starts the team's own rollback pipeline once, with the parameters of the plan, and follows it to its end.

Its run carries our marker and is found by that, also where the answer was lost. An accepted start proves no right and no value (care D3), so what it needs was
read before, and that Orca can parse it is asked right before. What it waits for (a judgment, an execution window, another run) is told to a person.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from integrations.delivery.spinnaker.executions import Execution, Status, executions_of, ref_of
from integrations.delivery.spinnaker.looked import Looked, running_of
from integrations.delivery.spinnaker.own_pipeline import own_pipeline_of
from integrations.delivery.spinnaker.own_rollback import EXACT, HARMLESS
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.steps.names import OWN
from integrations.delivery.spinnaker.steps.step import (
    POSTED_GOES_ON,
    SETTLED_AFTER,
    Intent,
    SpinnakerStep,
    certain_at,
    nobody_else,
    refuse_when,
    suspect_is_live,
)
from integrations.json_shapes import text
from service.domain.errors import RefusedError, TemporaryError
from service.domain.keys import OwnPipeline, TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

RUNS_LOOKED_THROUGH = 50
"""Runs of each pipeline in which ours is looked for, where it is not among the newest."""
WINDOW = "restrictExecutionDuringTimeWindow"
"""The stage that Orca puts before one which may run in its execution window alone (source only)."""


def plan(state: TargetState, goal: Release, own: OwnPipeline, command: str) -> Step:
    """The order."""
    given = ", ".join(f"{name}={value}" for name, value in sorted(own.values.items())) or "its defaults"
    return Step(
        name=OWN,
        says=f"Start the team's own pipeline {own.name} for {state.title} with {given}, and wait until it has ended",
        parameters={"pipeline": own.id, "values": dict(own.values), "goal_live": goal.revision},
        done_when=f"its run has ended, and {state.title} is at release {goal.title} again",
        fallback="it waits or fails: a person looks at the run; nothing is started a second time",
        command=command,
    )


class RunOwnPipeline(SpinnakerStep):
    """One run, recognised by our marker and by what is live."""

    name = OWN

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        suspect_is_live(looked, intention)
        nobody_else(looked, intention)
        own = own_pipeline_of(self.t.settings, looked, intention.goal.key)
        if own is None:
            raise RefusedError("no rollback pipeline is set up for this target any more")
        stops = (*own.blocked, *own.missing)
        refuse_when(bool(stops), f"pipeline {own.name} cannot be started: {'; '.join(stops)}")
        same = (own.id, dict(own.values)) == (step.parameters.get("pipeline"), step.parameters.get("values"))
        refuse_when(not same, f"pipeline {own.name} would be started with other values now than when the plan was made")
        pipeline = _pipeline(looked, own.id)
        return {
            "pipeline": own.id,
            "named": own.name,
            "config": pipeline.digest,
            "values": dict(own.values),
            "goal_live": step.parameters["goal_live"],
            "suspect_live": looked.live,
            "before": {"live": looked.live_says, "images": [image.reference for image in looked.live_images]},
        }

    async def act(self, intent: Intent, guard: Guard) -> None:
        looked = await self.t.get(intent)
        before = await self._seen(looked, intent)
        if before.seen in {Seen.DONE, Seen.RUNNING, Seen.STUCK}:
            return
        refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        pipeline = _pipeline(looked, str(intent["pipeline"]))
        refuse_when(pipeline.digest != intent["config"], f"pipeline {pipeline.name} was changed meanwhile")
        marker, values = str(intent["marker"]), dict(intent["values"])
        parsed = await self.t.client.plan(pipeline.raw, values, marker, guard)
        if ref_of(parsed.body):
            raise TemporaryError("Spinnaker started what it was to parse only; its run is looked for")
        reply = await self.t.client.start(looked.application, pipeline.id, values, marker, guard)
        if not ref_of(reply.body):
            raise TemporaryError(f"{reply.what} named no run; what was started is looked for")

    async def see(self, intent: Intent) -> Observation:
        return await self._seen(await self.t.get(intent), intent)

    async def withdraw(self, intent: Intent, guard: Guard) -> None:
        """Cancel our run as long as it has not asked for anything: then nothing of it happens (care D8)."""
        for run in await self._runs(await self.t.get(intent), intent):
            if not run.status.ended and not run.has_posted:
                await self.t.client.cancel_run(run.id, f"Backout {intent['operation_id']}", guard)

    async def _runs(self, looked: Looked, intent: Intent) -> Sequence[Execution]:
        """Ours, oldest first: more than one where Spinnaker started a second one."""
        own = [run for run in looked.runs if run.marker == intent["marker"]]
        if not own:
            listed = await self.t.client.pipeline_runs(looked.application, limit=RUNS_LOOKED_THROUGH, expand=False)
            own = [run for run in executions_of(listed.body) if run.marker == intent["marker"]]
        return sorted(own, key=lambda run: run.id)

    async def _seen(self, looked: Looked, intent: Intent) -> Observation:
        runs = await self._runs(looked, intent)
        if not runs:
            return self._without_run(looked, intent)
        alive = [run for run in runs if not run.status.ended]
        run = alive[0] if alive else runs[-1]
        twice = f"; Spinnaker started it {len(runs)} times" if len(runs) > 1 else ""
        found = self._alive(run, intent) if alive else self._ended(run, looked, intent)
        return Observation(
            seen=found.seen,
            says=f"{found.says}{twice}",
            withdrawable=found.withdrawable,
            nothing_yet=any(not one.has_posted for one in alive),  # a second one may still act, whatever the first did
            details={
                "handle": _handle(looked, intent),
                "run": run.id,
                "status": str(run.status),
                "message": run.failure,
                "before": intent["before"],
                "after": {"live": looked.live_says, "images": [image.reference for image in looked.live_images]},
            },
        )

    def _alive(self, run: Execution, intent: Intent) -> Observation:
        """What a run that has not ended waits for, if for anything; what has asked for nothing yet can be withdrawn."""
        named = f"run {run.id} of pipeline {intent['named']}"
        settled = self.t.clock.now() > datetime.fromisoformat(str(intent["at"])) + SETTLED_AFTER
        if run.status.waiting:
            says = f"{named} is {run.status}: it waits for its turn"
            return Observation(seen=Seen.STUCK if settled else Seen.RUNNING, says=says, withdrawable=settled)
        if run.status is Status.PAUSED:
            return Observation(seen=Seen.STUCK, says=f"{named} is PAUSED: whoever paused it resumes it, or cancels it")
        if run.judgments:
            waits = ", ".join(stage.name for stage in run.judgments)
            return Observation(seen=Seen.STUCK, says=f"{named} waits for a person's judgment in Spinnaker: {waits}")
        if any(stage.kind == WINDOW and not stage.status.ended for stage in run.stages):
            says = f"{named} waits for an execution window"
            return Observation(seen=Seen.STUCK, says=says, withdrawable=not run.has_posted)
        return Observation(seen=Seen.RUNNING, says=f"{named} is {run.status}")

    def _ended(self, run: Execution, looked: Looked, intent: Intent) -> Observation:
        """Its own status decides nothing: what is live does."""
        named, told = f"run {run.id} of pipeline {intent['named']}", _why(run)
        if looked.live == intent["goal_live"]:
            ended = "" if run.status.well and not run.failure else f"; it ended {run.status}: {told}"
            return Observation(seen=Seen.DONE, says=f"{looked.spoken} is at {looked.live_says}, which is what it was before{ended}")
        if looked.live != intent["suspect_live"]:
            return Observation(seen=Seen.FOREIGN, says=f"{named} ended {run.status}, and {looked.live_says} is live, which is neither release")
        at = run.ended_at or certain_at(intent)
        if run.status is Status.CANCELED and run.has_posted and self.t.clock.now() < at + POSTED_GOES_ON:
            return Observation(seen=Seen.RUNNING, says=f"{named} was cancelled after it had asked for something, which may still happen")
        if run.status.well:
            return Observation(seen=Seen.FAILED, says=f"{named} SUCCEEDED, and {looked.spoken} is still at {looked.live_says}")
        return Observation(seen=Seen.FAILED, says=f"{named} ended {run.status}: {told}{_begun(run)}")

    def _without_run(self, looked: Looked, intent: Intent) -> Observation:
        if looked.live == intent["goal_live"]:
            return Observation(seen=Seen.FOREIGN, says=f"somebody else brought {looked.live_says} back meanwhile")
        if looked.live != intent["suspect_live"]:
            return Observation(seen=Seen.FOREIGN, says=f"{looked.live_says} was deployed meanwhile")
        if running := running_of(looked):
            return Observation(seen=Seen.FOREIGN, says=f"{running.by.name} is acting on it: {running.says}")
        return self.t.not_seen(intent, f"no run of pipeline {intent['named']} of ours is seen")


def _pipeline(looked: Looked, identity: str) -> Pipeline:
    found = next((one for one in looked.pipelines if one.id == identity), None)
    if found is None:
        raise RefusedError("the rollback pipeline is not among the saved ones any more")
    return found


def _handle(looked: Looked, intent: Intent) -> str:
    """What the release that is live again is called now, once it is."""
    release = looked.live_release
    return release.handle if release is not None and looked.live == intent["goal_live"] else ""


def _begun(run: Execution) -> str:
    """What may have done anything outside of the cloud operations that Spinnaker tells of: a build or a webhook is not undone by a cancellation (care D9)."""
    known = HARMLESS | EXACT | {"manualJudgment", WINDOW}
    acted = [f"{stage.name} ({stage.kind})" for stage in run.stages if stage.started_at is not None and not stage.parent and stage.kind not in known]
    return f"; stage {', '.join(acted)} had begun, and what it did stays" if acted else ""


def _why(run: Execution) -> str:
    """Why it did not succeed, in Spinnaker's own words: who cancelled it says so, and a judgment that was stopped says nothing."""
    stopped = [stage.name for stage in run.stages if stage.kind == "manualJudgment" and text(stage.context.get("judgmentStatus")).lower() == "stop"]
    return run.failure or (f"judgment {stopped[0]} was stopped" if stopped else "it does not say why")
