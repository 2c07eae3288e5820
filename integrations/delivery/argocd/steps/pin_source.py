"""Pins the sources to the goal's revisions while auto-sync stays on: Argo CD deploys them by itself, hooks included: docs/decisions/0019-pin.md."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import ServerRefusedError
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, patches, pinning, unpin_source
from integrations.delivery.argocd.steps.names import PIN
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.errors import RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Release, Way
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, goal: Release) -> Step:
    """The order; its undo follows again what was followed before."""
    pinned = tuple(source.revision for source in goal.sources)
    ref = reading.app_ref(state.target)
    return Step(
        name=PIN,
        says=f"Pin {state.title} to {_shown(pinned)} instead of {_shown(state.follows)}; auto-sync stays on and deploys it, and its hooks run",
        parameters={"follows": list(state.follows), "pinned": list(pinned), "spec_digest": state.spec_digest, "mark": state.owner.kind != "applicationset"},
        done_when="targetRevision is as pinned and still is after 5 s",
        fallback="where the pinned release does not render the patch is refused and nothing was written",
        command=commands.patch(ref, "json", list(pinning.write(pinning.shape(len(pinned)), state.follows, pinned))),
        undo=unpin_source.plan(state, pinned),
    )


def _shown(revisions: Sequence[str]) -> str:
    return ", ".join(revision[:7] if len(revision) == 40 else revision or "the default branch" for revision in revisions)  # noqa: PLR2004  a full commit id


class PinSource(ArgoStep):
    """`targetRevision` of each source, and the mark, in one atomic change."""

    name = PIN

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app, follows = looked.app, tuple(step.parameters["follows"])
        judging.refuse_when(not reading.auto_sync_on(app), "auto-sync is off: nothing would deploy a pinned release")
        judging.refuse_when(reading.follows_of(app) != follows, "the spec follows another revision than when the plan was made")
        undoing = (await self.t.reader.owner(app)).undoing(Way.PIN)
        judging.refuse_when(undoing is not None, undoing.says if undoing is not None else "")
        judging.unedited(step, intention, app)
        judging.suspect_is_live(app, intention)
        judging.goal_is_there(app, intention.goal)
        entry = next(one for one in reading.history_of(app) if str(judging.entry_id(one)) == intention.goal.handle)
        judging.refuse_when(
            not reading.same_but_revision(entry, reading.part(app, "spec")), f"release {intention.goal.title} had other parameters than the spec has now"
        )
        running = reading.running_of(app, looked.me, self.t.clock.now())
        judging.refuse_when(running is not None, judging.slot_says(app, looked.me))
        judging.not_marked_by_another(app, intention)
        await self.t.nobody_else(looked, intention)
        await self.t.window_is_open(looked, automated=True)
        mark = bool(step.parameters.get("mark", True)) and not reading.marker_of(app)
        return {"remembered": {"follows": list(follows)}, "pinned": list(step.parameters["pinned"]), "mark": mark}

    async def act(self, intent: Intent, guard: Guard) -> None:
        seen = self._seen((await self.t.get(intent)).app, intent)
        if seen.seen in {Seen.DONE, Seen.RUNNING}:
            return
        judging.refuse_when(seen.seen is not Seen.NOT_SEEN, seen.says)
        follows, pinned = tuple(intent["remembered"]["follows"]), tuple(intent["pinned"])

        def pin(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            judging.refuse_when(reading.follows_of(app) != follows, "the spec follows another revision meanwhile")
            judging.refuse_when(not reading.auto_sync_on(app), "auto-sync was stopped meanwhile")
            judging.still_unedited(app, intent)
            judging.nothing_newer(app, intent)
            marks = patches.add_mark(app, intent["marker"]) if intent["mark"] else ()
            return [patches.uid_test(app), *pinning.write(app, follows, pinned), *marks]

        try:
            await self.t.patch(intent, pin, guard)
        except ServerRefusedError as error:
            if patches.renders_not(error):
                raise RefusedError(f"the release to pin does not render now: {error}") from error
            raise RefusedError(patches.refusal_of(error)) from error
        await self._read_back(intent)

    async def see(self, intent: Intent) -> Observation:
        return self._seen((await self.t.get(intent)).app, intent)

    async def _read_back(self, intent: Intent) -> None:
        waited = 0.0
        for second in self.t.settings.read_back_seconds:
            await self.t.clock.sleep(max(0.0, second - waited))
            waited = second
            looked = await self.t.get(intent)
            if not pinning.is_pinned(looked.app, intent["pinned"]):
                owner = await self.t.reader.owner(looked.app)
                raise RefusedError(f"the pin was taken back within {second:g} s: it is managed elsewhere ({owner.kind} {owner.name})".rstrip())

    def _seen(self, app: reading.Body, intent: Intent) -> Observation:
        mine = reading.marker_of(app) == intent["marker"]
        if pinning.is_pinned(app, intent["pinned"]) and (mine or not intent["mark"]):
            settled = judging.intended_at(intent) + timedelta(seconds=max(self.t.settings.read_back_seconds, default=0.0))
            if self.t.clock.now() < settled:
                return Observation(seen=Seen.RUNNING, says="the sources are pinned; whether they stay so is seen in some seconds")
            return Observation(seen=Seen.DONE, says="the sources are pinned and stay so", details={"remembered": intent["remembered"]})
        if pinning.is_pinned(app, intent["remembered"]["follows"]):
            if mine and intent["mark"]:
                return Observation(seen=Seen.FAILED, says="the pin was taken back: it is managed elsewhere")
            return self.t.not_seen(intent, "the sources are not pinned")
        return Observation(seen=Seen.FOREIGN, says="somebody else changed which revision is followed")
