"""Switches triggers of saved pipelines off and on again, in the pipeline's whole text as it was read; pure.

A trigger that is off for a hold carries the hold's mark, by target: one pipeline may deploy several targets, each with a hold of its own, and the trigger
comes on again when the last of them lets go. Nothing but the trigger's `enabled` and our own mark is ever changed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from integrations.delivery.spinnaker.pipelines import MARK, Pipeline, Trigger
from integrations.json_shapes import Body, items, text
from service.domain.model import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutTrigger:
    """A trigger that is off for a hold, or is to be. It was on before: one that somebody else switched off is no door, and is never touched.

    `pipeline` is the id of its pipeline and `name` that one's name, `says` what starts it; `mark` is ours, "" before it is written.
    """

    pipeline: str
    name: str
    digest: str
    says: str
    mark: str = ""

    @property
    def remembered(self) -> Mapping[str, Json]:
        """As plans, intents and holds keep it."""
        return {"pipeline": self.pipeline, "name": self.name, "digest": self.digest, "says": self.says, "mark": self.mark, "enabled": True}

    @property
    def named(self) -> str:
        """For a person."""
        return f"{self.says} of pipeline {self.name}"


def shut_triggers_of(remembered: Iterable[Body]) -> tuple[ShutTrigger, ...]:
    """Those that were remembered so."""
    return tuple(ShutTrigger(**{key: text(one.get(key)) for key in ("pipeline", "name", "digest", "says", "mark")}) for one in remembered)


def shut_trigger(pipeline: Pipeline, trigger: Trigger, mark: str = "") -> ShutTrigger:
    """That trigger of that pipeline."""
    return ShutTrigger(pipeline=pipeline.id, name=pipeline.name, digest=trigger.digest, says=trigger.says, mark=mark)


def kept_off_for(target: str, pipelines: Iterable[Pipeline]) -> tuple[ShutTrigger, ...]:
    """The triggers that are off and carry a mark for that target."""
    return tuple(
        shut_trigger(one, trigger, trigger.marks[target]) for one in pipelines for trigger in one.triggers if trigger.kept_off and target in trigger.marks
    )


def shut(pipeline: Pipeline, digests: Iterable[str], target: str, mark: str) -> Body:
    """The whole text with those triggers off, and marked for the target; one that is off already and not by us stays as it is."""
    wanted = frozenset(digests)

    def change(trigger: Trigger, body: Body) -> Body:
        if trigger.digest not in wanted or not (trigger.enabled or trigger.kept_off):
            return body
        return {**body, "enabled": False, MARK: {**trigger.marks, target: mark}}

    return _changed(pipeline, change)


def opened(pipeline: Pipeline, wanted: Iterable[ShutTrigger], target: str) -> Body:
    """The whole text with our marks for the target gone, and each of those triggers on again that is as we left it.

    One that somebody changed meanwhile stays as it is: whether it is to start again is theirs to say. One that another target's hold keeps off stays off.
    """
    marks = {one.mark for one in wanted}
    digests = {one.digest for one in wanted}

    def change(trigger: Trigger, body: Body) -> Body:
        if target not in trigger.marks or trigger.marks[target] not in marks:
            return body
        left = {other: mark for other, mark in trigger.marks.items() if other != target}
        bare = {key: value for key, value in body.items() if key != MARK}
        if left:
            return {**bare, MARK: left}
        return {**bare, "enabled": True} if trigger.digest in digests else bare

    return _changed(pipeline, change)


def unmarked(pipeline: Pipeline, target: str, mark: str) -> Body:
    """The whole text without that mark for the target; every trigger stays on or off as it is."""

    def change(trigger: Trigger, body: Body) -> Body:
        if trigger.marks.get(target) != mark:
            return body
        left = {other: text for other, text in trigger.marks.items() if other != target}
        return {**{key: value for key, value in body.items() if key != MARK}, **({MARK: left} if left else {})}

    return _changed(pipeline, change)


def with_mark(triggers: Iterable[ShutTrigger], mark: str) -> tuple[ShutTrigger, ...]:
    """As they are once that mark stands on them."""
    return tuple(replace(one, mark=mark) for one in triggers)


def _changed(pipeline: Pipeline, change: Callable[[Trigger, Body], Body]) -> Body:
    by_place = {trigger.place: trigger for trigger in pipeline.triggers}
    triggers = [
        change(by_place[place], one) if place in by_place and isinstance(one, Mapping) else one for place, one in enumerate(items(pipeline.raw.get("triggers")))
    ]
    return {**pipeline.raw, "triggers": triggers}
