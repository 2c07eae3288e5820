"""Follows again what was followed before a pin, only while the pin is as we left it; never while that would bring the bad release back."""

from collections.abc import Mapping, Sequence

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging, patches, pinning
from integrations.delivery.argocd.steps.names import PIN, UNPIN
from integrations.delivery.argocd.steps.step import ArgoStep, Intent
from service.domain.errors import BackoutError, RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, pinned: Sequence[str]) -> Step:
    """The order: the undo of `pin_source`, and what ends the hold of a pin."""
    shown = ", ".join(follows or "the default branch" for follows in state.follows)
    return Step(
        name=UNPIN,
        says=f"Let {state.title} follow {shown} again",
        parameters={"follows": list(state.follows), "pinned": list(pinned), "after_rollback": False},
        done_when="targetRevision is what it was",
        fallback="only while the pin is as we wrote it and what would be followed is not the bad release; else leave it to a person",
        command=commands.patch(reading.app_ref(state.target), "json", list(pinning.write(pinning.shape(len(pinned)), pinned, state.follows))),
    )


class UnpinSource(ArgoStep):
    """The revisions that were followed, and our mark removed."""

    name = UNPIN

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        pin = next((one for one in reversed(intention.ours) if one.get("step") == PIN), None)
        if pin is None:
            raise RefusedError("what was followed before is not known")
        follows, marker = tuple(pin["remembered"]["follows"]), judging.own_marker(intention, PIN)
        judging.refuse_when(not pinning.is_pinned(app, pin["pinned"]), "the sources are not pinned as Backout left them: somebody decided otherwise")
        judging.held_by_nobody_else(app, marker, judging.earlier_mark(intention))
        if step.parameters.get("after_rollback", False) or not intention.marker:
            if not step.parameters.get("accept_bad", False):  # a person said that the bad release may come back
                await self._is_not_the_bad_one(looked, intention, follows)
        else:
            judging.refuse_when(pinning.digest_without(app, pin) != pin["spec_digest"], "somebody edited the spec since it was pinned")
            compared = reading.follows_of({"spec": reading.part(app, "status", "sync", "comparedTo")})
            taken_up = compared == tuple(pin["pinned"]) or bool(reading.part(app, "operation"))
            judging.refuse_when(taken_up, "Argo CD has taken the pin up already, and to follow the branch again would bring the bad release back")
        return {"remembered": {"follows": list(follows)}, "pinned": list(pin["pinned"]), "mark": bool(pin.get("mark", True)), "marker": marker}

    async def act(self, intent: Intent, guard: Guard) -> None:
        follows, pinned = tuple(intent["remembered"]["follows"]), tuple(intent["pinned"])
        if pinning.is_pinned((await self.t.get(intent)).app, follows):
            return

        def unpin(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            judging.refuse_when(not pinning.is_pinned(app, pinned), "the sources are not pinned as Backout left them: they stay as they are")
            judging.refuse_when(reading.marker_of(app) not in {"", intent["marker"], intent["own_marker"]}, "the application carries another hold mark")
            return [patches.uid_test(app), *pinning.write(app, pinned, follows), *patches.remove_mark(app, intent["marker"])]

        await self.t.patch_or_refuse(intent, unpin, guard)

    async def see(self, intent: Intent) -> Observation:
        app = (await self.t.get(intent)).app
        if pinning.is_pinned(app, intent["remembered"]["follows"]):
            return Observation(seen=Seen.DONE, says="the sources follow what they followed before")
        if pinning.is_pinned(app, intent["pinned"]):
            return self.t.not_seen(intent, "the sources are still pinned")
        return Observation(seen=Seen.FOREIGN, says="somebody else changed which revision is followed")

    async def _is_not_the_bad_one(self, looked: Looked, intention: Intention, follows: Sequence[str]) -> None:
        """The images of what would be followed, against those that only the bad release has: it would be deployed at once (promise 7)."""
        bad = await self._images(looked, [source.revision for source in intention.suspect.sources])
        good = await self._images(looked, [source.revision for source in intention.goal.sources])
        next_images = await self._images(looked, [revision or "HEAD" for revision in follows], anew=True)
        differs = bad - good
        if not differs:
            raise RefusedError(
                "what is held away differs only in configuration, and whether what would be followed still has that is not known; "
                "look at it yourself, then use --accept-bad"
            )
        still = differs & next_images  # any one of them: a fix of one image of two would bring the other back
        judging.refuse_when(
            bool(still), f"what would be followed still has {', '.join(sorted(still))}: release a fix first, or use --accept-bad to let it come back"
        )

    async def _images(self, looked: Looked, revisions: Sequence[str], *, anew: bool = False) -> set[str]:
        multi = bool(reading.entries(reading.part(looked.app, "spec").get("sources")))
        try:
            reply = await self.t.client.manifests(looked.ref, revisions, multi=multi, anew=anew)
        except BackoutError as error:
            raise RefusedError(f"what {', '.join(revisions)} renders to is not known: {error}") from error
        return {image.reference for image in reading.images_of(reading.manifests_of(reply.body))}
