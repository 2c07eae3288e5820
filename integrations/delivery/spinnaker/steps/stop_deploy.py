"""Ends the run that still deploys the release under suspicion, so that it does not deploy on over the undo (care D1, D6).

A run that waits for a judgment whose stop ends it is answered with stop; any other is cancelled, paused ones too. Runs of the same version that wait behind
it would begin at once (recording 06a), so they are cancelled first. Only an automated run, only of that release, and only where its end starts nothing: a
rollback of its own, another pipeline, or a run that may be the fix. What it has asked the cloud for already goes on, so it is waited for. Nothing takes the
cancellation back. A canary analysis ends with its run; what it deployed to measure by stays as it is, which the plan tells (`see_canary.py`).
"""

from collections.abc import Iterable, Mapping

from integrations.delivery.spinnaker import canaries
from integrations.delivery.spinnaker.doors import starters_of
from integrations.delivery.spinnaker.executions import Execution, Status, execution_of
from integrations.delivery.spinnaker.judgments import rejectable, rejected
from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.steps.names import STOP
from integrations.delivery.spinnaker.steps.step import POSTED_GOES_ON, Intent, SpinnakerStep, certain_at, nobody_acted, refuse_when, suspect_is_live
from integrations.json_shapes import entries, part, text
from service.domain.errors import TemporaryError
from service.domain.keys import Running
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

ANSWERED = 2.0
"""Seconds after which the answer to a judgment has ended a run (recording 04b: at once), or was taken back for want of a role."""
MONITORED = "monitored"
"""The strategy whose deployment monitor decides how far a deploy goes, and takes it back by itself (source only)."""
ENDS = ("canceled", "failed")
"""The words by which another pipeline can wait for the end of this one."""


def plan(running: Running, suspect: Release, command: str) -> Step:
    """The order."""
    says = f"Cancel the automated run that still deploys release {suspect.title} ({running.says}), and wait until it has ended"
    if running.measures:
        says += "; its canary analysis ends with it"
    if running.canary:
        says += f", whose clean-up is skipped: {' and '.join(one.says for one in running.canary)} {'stays' if len(running.canary) == 1 else 'stay'} as they are"
    return Step(
        name=STOP,
        says=says,
        parameters={"canary": sorted(one.says for one in running.canary)},
        done_when="the run is CANCELED, and what it had asked for already is done",
        fallback="a person's run, one that waits behind it, or one whose failure starts something: hands off",
        command=command,
        stands="the run that deployed the bad release stays cancelled",
    )


class StopDeploy(SpinnakerStep):
    """A cancellation of each run, recognised by our reason and by the run's own status."""

    name = STOP

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        suspect_is_live(looked, intention)
        nobody_acted(looked, intention)
        acting = looked.acting
        waiting = [one for run in acting for one in behind(run, looked)]
        for run in acting:
            why = "" if run in waiting else why_not(run, looked)
            refuse_when(bool(why), f"{_named(run)} is left alone: {why}")
        left = _left(acting, looked)
        refuse_when(left != step.parameters.get("canary", []), f"what its canary analysis leaves is not what the plan says: {', '.join(left) or 'nothing'}")
        named = list(dict.fromkeys(run.id for run in (*waiting, *acting)))
        return {"runs": named, "template": looked.live, "canary": left, "reason": f"Backout {intention.operation_id}"}

    async def act(self, intent: Intent, guard: Guard) -> None:
        before = await self.see(intent)
        if before.seen in {Seen.DONE, Seen.RUNNING}:
            return
        refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        looked = await self.t.get(intent)
        for identity in intent["runs"]:
            run = await self._run(str(identity))
            refuse_when(_left([run], looked) not in ([], intent["canary"]), f"{_named(run)} has made more for its canary analysis since")
            await self._end(run, str(intent["reason"]), guard)

    async def _end(self, run: Execution, reason: str, guard: Guard) -> None:
        """Answer its judgment, if that ends it; cancel it, if it has not ended by then."""
        stage = rejectable(run)
        if stage is not None and not rejected(run, reason):
            await self.t.client.reject(run.id, stage.id, reason, guard)
            await self.t.clock.sleep(ANSWERED)
            run = await self._run(run.id)
        if not run.status.ended and run.says != reason:
            await self.t.client.cancel_run(run.id, reason, guard)

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        if looked.live != intent["template"]:
            return Observation(seen=Seen.FOREIGN, says=f"{looked.live_says} was deployed meanwhile")
        others = [run for run in looked.acting if run.id not in intent["runs"]]
        if others:
            return Observation(seen=Seen.FOREIGN, says=f"{_named(others[0])} began meanwhile")
        queued = [one for run in looked.runs if run.id in intent["runs"] for one in behind(run, looked) if one.id not in intent["runs"]]
        if queued:
            return Observation(seen=Seen.FOREIGN, says=f"{_named(queued[0])} waits behind it since, and would begin at once")
        found = [await self._run(str(identity)) for identity in intent["runs"]]
        alive = [run for run in found if not run.status.ended]
        if any(run.says != intent["reason"] for run in alive):
            return self.t.not_seen(intent, f"{_named(alive[0])} is {alive[0].status}")
        if alive:
            return Observation(seen=Seen.RUNNING, says=f"{_named(alive[0])} was told to end and is still {alive[0].status}")
        behind_time = next((run for run in looked.acting if run.id in intent["runs"]), None)
        if behind_time is not None:  # the look is older than the answer about the run: whoever looks next would take it for somebody who acts
            return Observation(seen=Seen.RUNNING, says=f"{_named(behind_time)} has ended since the last look at {looked.spoken}")
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
    if any(not _same_version(one, run) for one in behind(run, looked)):
        return "another run of its pipeline waits behind it, and would begin at once with what may be the fix"
    if any(not one.automated for one in behind(run, looked)):
        return "a run that somebody started by hand waits behind it"
    if any(part(stage.context, "rollback").get("onFailure") is True for stage in run.stages):
        return "its failure starts a rollback of its own"
    if any(text(stage.context.get("strategy")).lower() == MONITORED for stage in run.stages):
        return "its deployment monitor takes a bad deploy back by itself"
    if why := canaries.why_left_alone(run):
        return why
    pipeline = next((one for one in looked.pipelines if one.id == run.config), None)
    if pipeline is None:
        return "its pipeline is not among the saved ones, so what its end starts is not known"
    begun = [other.name for status in ENDS for other in starters_of(pipeline, looked.pipelines, status)]
    return f"its end starts pipeline {begun[0]}" if begun else ""


def _left(runs: Iterable[Execution], looked: Looked) -> list[str]:
    return sorted({one.says for run in runs for one in canaries.left_by(run, looked.address)})


def behind(run: Execution, looked: Looked) -> list[Execution]:
    """The runs of its pipeline that have not begun: the newest of them begins as soon as this one ends (recording 06a)."""
    return [one for one in looked.runs if one.config == run.config and one.id != run.id and one.status.waiting and not one.is_task and not run.status.waiting]


def _same_version(one: Execution, other: Execution) -> bool:
    """Whether the same event started both with the same artifacts; a run that names no artifact finds what it deploys as it runs, and that may be the fix."""
    return bool(one.artifacts) and one.started_with == other.started_with


def _named(run: Execution) -> str:
    return f"{'task' if run.is_task else 'pipeline'} {run.name or run.id} ({run.id})"
