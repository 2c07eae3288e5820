"""Undoes the roll-out of a Deployment: its controller brings back a revision that it still has, named by number, never "the one before".

A number is no identity, so the revision is found by its pod template right before the request. The undo itself takes a second; the task then waits until the
pods are stable. Nothing in it names what was restored (recording 11a): that is read from the cluster, before and after, and kept in the record.
"""

from collections.abc import Mapping

from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.executions import Execution, Status, ref_of
from integrations.delivery.spinnaker.kubernetes_history import Revision
from integrations.delivery.spinnaker.looked import Looked, running_of
from integrations.delivery.spinnaker.manifest_facts import LookedManifest, a_manifest
from integrations.delivery.spinnaker.steps.names import UNDO
from integrations.delivery.spinnaker.steps.step import (
    Intent,
    SpinnakerStep,
    alive,
    may_go_on,
    nobody_else,
    own_task,
    refuse_when,
    suspect_is_live,
    unedited,
)
from service.domain.errors import RefusedError, TemporaryError
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

WAIT_MS = 300_000
"""So long Orca waits for stable pods, instead of half an hour; when that is over the undo itself stands all the same (recording 11f)."""


def plan(state: TargetState, goal: Release, command: str) -> Step:
    """The order."""
    return Step(
        name=UNDO,
        says=f"Undo the roll-out of {state.title} to revision {goal.handle}{f' ({goal.version})' if goal.version else ''}: its pod template and nothing else",
        parameters={"revision": int(goal.handle), "template": goal.revision, "spec_digest": state.spec_digest},
        done_when=f"the Deployment rolls out the template of revision {goal.handle} under a new number, and the task {Status.SUCCEEDED}",
        fallback="the revision is gone, or the roll-out is paused: kubectl refuses and nothing changes; deploy the old version with your own pipeline",
        command=command,
    )


class Undo(SpinnakerStep):
    """One ad-hoc task, recognised by our marker and by what the Deployment rolls out."""

    name = UNDO

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        looked = a_manifest(looked)
        unedited(step, looked)
        suspect_is_live(looked, intention)
        refuse_when(looked.history.paused, "its roll-out is paused: an undo would be refused, and whoever resumes it pushes the newest version on")
        nobody_else(looked, intention)
        goal = _goal(looked, str(step.parameters["template"]), intention.goal.title)
        await self._configs_are_there(looked, goal)
        live = looked.live_revision
        return {
            "account": looked.address.account,
            "location": looked.address.location,
            "manifest": looked.address.spoken,
            "revision": goal.number,
            "template": goal.digest,
            "suspect_template": looked.history.live,
            "before": {"revision": live.number if live else None, "images": [image.reference for image in live.images] if live else []},
        }

    async def act(self, intent: Intent, guard: Guard) -> None:
        looked = await self.t.get_manifest(intent)
        before = self._seen(looked, intent)
        if before.seen in {Seen.DONE, Seen.RUNNING, Seen.STUCK}:
            return
        refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        refuse_when(looked.spec_digest != intent["spec_digest"], "somebody edited the spec meanwhile")
        goal = _goal(looked, str(intent["template"]), f"revision {intent['revision']}")
        refuse_when(goal.number != intent["revision"], f"revision {intent['revision']} is number {goal.number} now: somebody deploys")
        job = {
            "type": "undoRolloutManifest",
            "cloudProvider": "kubernetes",
            "account": intent["account"],
            "location": intent["location"],
            "manifestName": intent["manifest"],
            "revision": goal.number,
            "reason": f"Backout {intent['operation_id']}",
            "stageTimeoutMs": WAIT_MS,
        }
        description = f"Backout {intent['operation_id']}: undo {intent['manifest']} to revision {goal.number}"
        reply = await self.t.client.post_task(looked.application, description, [job], str(intent["marker"]), guard)
        if not ref_of(reply.body):
            raise TemporaryError(f"{reply.what} named no task; what was started is looked for")

    async def see(self, intent: Intent) -> Observation:
        return await self.t.alive(intent) or self._seen(await self.t.get_manifest(intent), intent)

    async def withdraw(self, intent: Intent, guard: Guard) -> None:
        await self.t.withdraw_task(intent, guard)

    async def _configs_are_there(self, looked: LookedManifest, goal: Revision) -> None:
        """What the old template names has to exist still, or its pods never start: nothing else looks (contract 7.3(3))."""
        for config in goal.configs:
            if config.optional:
                continue
            try:
                await self.t.client.manifest(looked.address.account, looked.address.location, config.spoken)
            except GoneError as error:
                raise RefusedError(
                    f"{config.kind} {config.name}, which revision {goal.number} needs, is not there any more: its pods would not start"
                ) from error

    def _seen(self, looked: LookedManifest, intent: Intent) -> Observation:
        task = own_task(looked, intent)
        if task is None:
            return self._without_task(looked, intent)
        details = _details(looked, intent, task)
        live = looked.history.live
        named = f"task {task.id}"
        if not task.status.ended:
            return alive(task, intent, self.t.clock.now())
        if live == intent["template"]:
            says = f"{looked.address.spoken} rolls out the template of revision {intent['revision']} again, as revision {looked.history.number}"
            if task.status is not Status.SUCCEEDED:
                says += f"; Spinnaker's own wait for it ended {task.status}: {task.failure or 'it does not say why'}"
            return Observation(seen=Seen.DONE, says=says, details=details)
        if live != intent["suspect_template"]:
            return Observation(seen=Seen.FOREIGN, says=f"revision {looked.history.number} was deployed meanwhile, by somebody else", details=details)
        if task.status is Status.CANCELED and may_go_on(task, intent, self.t.clock.now()):
            return Observation(seen=Seen.RUNNING, says=f"{named} was cancelled after it had asked for the undo, which may still happen", details=details)
        if task.status is Status.SUCCEEDED:
            told = f"{named} SUCCEEDED, and {looked.address.spoken} still rolls out what it did before"
            return Observation(seen=Seen.FAILED, says=told, details=details)
        why = task.failure or ("it was cancelled" if task.status is Status.CANCELED else "it does not say why")
        return Observation(seen=Seen.FAILED, says=f"{named} ended {task.status}: {why}", details=details)

    def _without_task(self, looked: LookedManifest, intent: Intent) -> Observation:
        live = looked.history.live
        if live == intent["template"]:
            return Observation(seen=Seen.FOREIGN, says=f"somebody else brought revision {intent['revision']} back meanwhile")
        if live != intent["suspect_template"]:
            return Observation(seen=Seen.FOREIGN, says=f"revision {looked.history.number} was deployed meanwhile")
        if running := running_of(looked):
            return Observation(seen=Seen.FOREIGN, says=f"{running.by.name} is acting on it: {running.says}")
        return self.t.not_seen(intent, "no task of ours is seen")


def _goal(looked: LookedManifest, template: str, title: str) -> Revision:
    """The revision with that template; RefusedError when the controller has it no more, or when that cannot be said."""
    found = looked.history.of_template(template)
    if found is None and not looked.history.complete:
        raise RefusedError(f"whether {looked.address.spoken} still has {title} is not known: not all of its revisions could be read")
    if found is None:
        raise RefusedError(f"{looked.address.spoken} does not have {title} any more (it keeps {looked.history.limit})")
    return found


def _details(looked: LookedManifest, intent: Intent, task: Execution) -> Mapping[str, Json]:
    """For the record: which task, its words, and images and revision before and after, which Spinnaker tells nowhere (spinnaker#5328)."""
    goal = looked.history.of_template(str(intent["template"]))
    live = looked.live_revision
    restored = goal is not None and goal.number > int(intent["revision"])
    return {
        "handle": str(goal.number) if restored and goal is not None else "",
        "task": task.id,
        "status": str(task.status),
        "message": task.failure,
        "before": intent["before"],
        "after": {"revision": live.number, "images": [image.reference for image in live.images]} if live is not None else {},
    }
