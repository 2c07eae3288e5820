"""The steps of plans around the way back: what keeps the bad release from coming back by itself, what it left behind, and how a hold ends; pure."""

from collections.abc import Mapping

from integrations.delivery.spinnaker import commands, door_marks
from integrations.delivery.spinnaker.steps import open_triggers, see_canary, shut_triggers, stop_deploy, unmark_triggers
from integrations.json_shapes import entries, text
from service.domain.keys import TargetState
from service.domain.model import Json, Release
from service.domain.planning.plan import Step

BY_HAND = "shut_by_hand"
PERSON = "person"


def around(state: TargetState, suspect: Release, way: Step, url: str) -> tuple[Step, ...]:
    """The whole plan of a way back: triggers off and the deploy that still runs ended, the way, what its canary left, and what a person switches off."""
    running = state.running
    stop = (stop_deploy.plan(running, suspect, commands.cancel_run(url)),) if running is not None and running.automated else ()
    return (*before(state, suspect, url), *stop, way, *see_canary.plan(state, url), *after(state, suspect, url))


def before(state: TargetState, suspect: Release, url: str) -> tuple[Step, ...]:
    """Before anything else: what could start the bad release again meanwhile is off then."""
    triggers = door_marks.shut_triggers_of(entries(state.remembered.get("triggers")))
    if not triggers:
        return ()
    return (shut_triggers.plan(state, suspect, triggers, commands.get(url, commands.configs_path(state.project))),)


def after(state: TargetState, suspect: Release, url: str) -> tuple[Step, ...]:
    """After the way back: what only a person can switch off, one step each."""
    found = []
    for one in entries(state.remembered.get("by_hand")):
        (trigger,) = door_marks.shut_triggers_of([one])
        says = f"Switch off {trigger.named}, or it deploys release {suspect.title} again; Backout leaves it on: {text(one.get('why'))}"
        command = commands.get(url, commands.configs_path(state.project))
        done = "the trigger is off, and the pipeline is not: the fix needs it"
        parameters = {"pipeline": trigger.pipeline, "trigger": trigger.digest}
        found.append(Step(name=BY_HAND, says=says, effect=False, optional=True, owner=PERSON, parameters=parameters, done_when=done, command=command))
    return tuple(found)


def ends_hold(state: TargetState, goal: Release, remembered: Json, url: str) -> tuple[Step, ...]:
    """What a hold kept off comes on again once that release was seen to be well; where nothing is remembered only a mark that is still there goes."""
    shown = commands.get(url, commands.configs_path(state.project))
    if isinstance(remembered, Mapping) and entries(remembered.get("triggers")):
        return (open_triggers.plan(state, remembered, goal=goal, command=shown),)
    return (unmark_triggers.plan(state, shown),) if state.marker else ()
