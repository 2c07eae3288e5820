"""Deploys the desired release by an explicit sync under a hold, and recognises that sync by the text that it carries."""

from collections.abc import Mapping

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, return_to_release
from integrations.delivery.argocd.steps.names import SYNC
from integrations.delivery.argocd.steps.roll_back import RollBack
from integrations.delivery.argocd.steps.step import Intent
from service.domain.keys import TargetState
from service.domain.model import Json, Release, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

INFO = "backout.dev/operation"
"""Name of the entry in the operation's `info` that carries our operation's id: a sync takes such texts, a rollback does not."""


def plan(state: TargetState, goal: Release, live: Release) -> Step:
    """The order, with the way back to the release that is live now."""
    return Step(
        name=SYNC,
        says=f"Sync {state.title} to {goal.title} while auto-sync stays off, without pruning",
        parameters={"goal": goal.key, "spec_digest": state.spec_digest},
        done_when="the operation Succeeded, a new history entry shows it, and Argo CD reconciled after it ended",
        fallback=f"a sync that fails, or a release that is not seen to be well: back to release {live.title}, once",
        command=commands.argocd(reading.app_ref(state.target), "sync", then=("--revision", goal.revision)),
        undo=return_to_release.plan(state, live),
    )


class SyncRelease(RollBack):
    """One request to deploy what is desired; looked at as a rollback is, but known by our text in it."""

    name = SYNC
    noun = "sync"

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        judging.refuse_when(reading.auto_sync_on(app), "auto-sync is on again: somebody wants it so, and Argo CD deploys by itself")
        judging.unedited(step, intention, app)
        judging.suspect_is_live(app, intention)
        desired = reading.desired_of(app)
        judging.refuse_when(release_key(desired) != intention.goal.key, f"what is desired is no longer release {intention.goal.title}")
        judging.refuse_when(reading.part(app, "operation") != {}, judging.slot_says(app, looked.me))
        judging.not_marked_by_another(app, intention)
        await self.t.nobody_else(looked, intention, edits=False)  # a release of parameters is wanted by an edit; a later one shows in the digest above
        await self.t.window_is_open(looked)
        return {"info": intention.operation_id, "revisions": [source.revision for source in desired], "multi": bool(reading.part(app, "spec").get("sources"))}

    async def send(self, looked: Looked, intent: Intent, guard: Guard) -> None:
        judging.refuse_when(release_key(reading.desired_of(looked.app)) != intent["goal_key"], "what is desired changed in the same moment")
        info = (INFO, str(intent["info"]))
        await self.t.client.sync(looked.ref, [str(one) for one in intent["revisions"]], info, guard, multi=bool(intent["multi"]))

    def is_own(self, operation: reading.Body, intent: Intent) -> bool:
        """By the text, and by our account: anybody may write a text."""
        told = {(reading.text(one.get("name")), reading.text(one.get("value"))) for one in reading.entries(operation.get("info"))}
        return (INFO, str(intent["info"])) in told and judging.is_by(reading.part(operation, "initiatedBy"), intent)

    async def look(self, intent: Intent) -> tuple[Observation, Looked]:
        """A sync waits for hooks and waves; one that is still at it long after does not come to its end by itself."""
        seen, looked = await super().look(intent)
        if seen.seen is Seen.RUNNING and self.t.clock.now() - judging.intended_at(intent) > reading.STUCK_AFTER:
            minutes = int(reading.STUCK_AFTER.total_seconds() // 60)
            return Observation(seen=Seen.FAILED, says=f"the sync does not end: after {minutes} min {seen.says}", details=seen.details), looked
        return seen, looked
