"""Switches the triggers off that would deploy the bad release again, never the pipeline: the fix needs it (care D2). What they were is remembered.

Each pipeline is read, changed in the trigger alone, and saved only if nobody saved it meanwhile. One whose triggers changed since the plan stays as it is.
A rollback that nobody asked for or approved does not go on without it; where a person decided, what stays on is told.
"""

from collections.abc import Iterable, Mapping, Sequence

from integrations.delivery.spinnaker import door_marks
from integrations.delivery.spinnaker.door_marks import ShutTrigger
from integrations.delivery.spinnaker.looked import Looked, running_of
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.steps import open_triggers
from integrations.delivery.spinnaker.steps.names import SHUT
from integrations.delivery.spinnaker.steps.saving import save_each
from integrations.delivery.spinnaker.steps.step import Intent, SpinnakerStep, certain_at, nobody_acted, refuse_when, suspect_is_live
from integrations.json_shapes import Body, entries, part
from service.domain.errors import BackoutError, PermanentError, RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen


def plan(state: TargetState, suspect: Release, triggers: Sequence[ShutTrigger], command: str) -> Step:
    """The order; its undo switches them on again."""
    remembered: dict[str, Json] = {"triggers": [dict(one.remembered) for one in triggers]}
    return Step(
        name=SHUT,
        says=f"Switch off what would deploy release {suspect.title} again, and remember it: {_named(triggers)}",
        optional=True,
        needed_for="rollback_will_stay",
        parameters={"remembered": remembered},
        done_when="each trigger is off in the saved pipeline, and carries the mark of the hold",
        fallback="refused, or somebody saved it meanwhile: by itself Backout ends there; where a person asked or approved, it stays on, and that is told",
        command=command,
        undo=open_triggers.plan(state, remembered),
    )


class ShutTriggers(SpinnakerStep):
    """One save for each pipeline, recognised by our mark in the trigger."""

    name = SHUT

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        suspect_is_live(looked, intention)
        nobody_acted(looked, intention)
        running = running_of(looked)
        refuse_when(running is not None and not running.automated, f"{running.by.name} is acting on it: {running.says}" if running else "")
        target, mark = str(intention.target), intention.marker or intention.own_marker
        planned = door_marks.shut_triggers_of(entries(part(step.parameters, "remembered").get("triggers")))
        on = [one for one in planned if _is_on(one, looked.pipelines, target)]
        refuse_when(not on, "none of the triggers is on any more as it was when the plan was made")
        before = [one for one in door_marks.kept_off_for(target, looked.pipelines) if one.mark == intention.own_marker]
        remembered = [dict(one.remembered) for one in (*before, *door_marks.with_mark(on, mark))]
        return {
            "remembered": {"triggers": remembered},
            "stops": open_triggers.WHAT,
            "mark": mark,
            "shut": [dict(one.remembered) for one in on],
            "suspect_live": looked.live,
        }

    async def act(self, intent: Intent, guard: Guard) -> None:
        target, mark, wanted = str(intent["target"]), str(intent["mark"]), _shut(intent)
        looked = await self.t.get(intent)  # the intent may be older than this process: by now the fix may be live, and its triggers have to stay
        refuse_when(looked.live != intent.get("suspect_live", looked.live), f"{looked.live_says} was deployed meanwhile")

        def change(pipeline: Pipeline) -> Body:
            return door_marks.shut(pipeline, [one.digest for one in wanted if one.pipeline == pipeline.id], target, mark)

        try:
            await save_each(self.t, intent, guard, change)
        except RefusedError as error:  # also by the guard: what was switched off before that has to be taken back
            try:
                off = _off(await self.t.get(intent), intent)
            except BackoutError as unseen:
                raise PermanentError(f"{error}; whether others are off already is not known: {unseen}") from error
            if off:
                raise PermanentError(f"{error}; off already: {_named(off)}") from error
            raise

    async def see(self, intent: Intent) -> Observation:
        looked = await self.t.get(intent)
        wanted, off = _shut(intent), _off(looked, intent)
        missing = [one for one in wanted if one not in off]
        if not missing:
            return Observation(seen=Seen.DONE, says=f"off until the hold ends: {_named(wanted)}")
        on = [one for one in missing if _is_on(one, looked.pipelines, str(intent["target"]))]
        if not on:
            return Observation(seen=Seen.FOREIGN, says=f"somebody changed {missing[0].named} meanwhile")
        if off and self.t.clock.now() >= certain_at(intent):
            return Observation(seen=Seen.FAILED, says=f"{on[0].named} is still on, and off already: {_named(off)}")
        return self.t.not_seen(intent, f"{on[0].named} is still on")


def _shut(intent: Intent) -> tuple[ShutTrigger, ...]:
    return door_marks.shut_triggers_of(entries(intent["shut"]))


def _off(looked: Looked, intent: Intent) -> tuple[ShutTrigger, ...]:
    """Those of the intent that carry its mark."""
    off = {(one.pipeline, one.digest) for one in door_marks.kept_off_for(str(intent["target"]), looked.pipelines) if one.mark == intent["mark"]}
    return tuple(one for one in _shut(intent) if (one.pipeline, one.digest) in off)


def _named(triggers: Iterable[ShutTrigger]) -> str:
    return "; ".join(one.named for one in triggers)


def _is_on(wanted: ShutTrigger, pipelines: Iterable[Pipeline], target: str) -> bool:
    """Whether it is there as it was, and on, or kept off for other targets alone."""
    return any(
        trigger.digest == wanted.digest and (trigger.enabled or (trigger.kept_off and target not in trigger.marks))
        for pipeline in pipelines
        if pipeline.id == wanted.pipeline
        for trigger in pipeline.triggers
    )
