"""Who may deploy over a rollback by itself: triggers of saved pipelines; pure. None of them takes an undo back: it deploys what it finds when it fires."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from integrations.delivery.spinnaker.door_marks import kept_off_for, shut_trigger
from integrations.delivery.spinnaker.doors import Door, doors_to
from integrations.delivery.spinnaker.names import Address
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.runs import Touch
from service.domain.keys import Owner
from service.domain.model import Json, TargetId

FIX = "Switch the trigger off (not the pipeline: the fix needs it) for as long as the bad release is held away."


UNMARK = "take backoutHold out of the trigger and switch it on, in the pipeline's JSON in Deck"
"""How a person takes a mark off. No command does it: Gate saves a pipeline whole, and would overwrite what somebody saved meanwhile."""


def doors_of(target: TargetId, address: Address, pipelines: Sequence[Pipeline], touches: Iterable[Touch]) -> tuple[Door, ...]:
    """The open doors to the target. What the stages of a pipeline do not say, its runs tell: who deployed it once may again."""
    deployed_by = {touch.run.config for touch in touches if (touch.images or touch.groups) and touch.run.config}
    return doors_to(address, pipelines, deployed_by=deployed_by, shut_for=str(target))


def owner_of(doors: Sequence[Door], *, may_shut: bool, keel: Owner | None = None) -> Owner:
    """The doors as who else writes the target. `may_shut`: the settings let a rollback shut those that it can; those that stay open are a later owner.

    `keel` is managed delivery, where it manages the target: it harms most, so it comes first.
    """
    shut = [door for door in doors if may_shut and door.may_be_shut]
    stay = [door for door in doors if door not in shut]
    owners = [_owner(group, later=later) for group, later in ((stay, True), (shut, False)) if group]
    owners = [*([keel] if keel is not None else []), *owners]
    return replace(owners[0], others=tuple(owners[1:])) if owners else Owner(kind="nobody")


def _owner(doors: Sequence[Door], *, later: bool) -> Owner:
    first, count = doors[0], len(doors) - 1
    more = f", and {count} more trigger{'s' if count > 1 else ''}" if count else ""
    says = f"{first.says}{more}"
    if later:
        because = f", and Backout leaves it alone: {first.to_person}" if first.to_person else ""
        return Owner(kind="pipeline", name=first.pipeline.name, later=True, says=says + because, fix=FIX)
    return Owner(kind="pipeline", name=first.pipeline.name, says=f"{says}; the plan switches {'them' if count else 'it'} off until the hold ends")


def remembered_of(doors: Iterable[Door], *, may_shut: bool) -> Mapping[str, Json]:
    """The doors as a plan needs them: `triggers` are those that Backout switches off, `by_hand` those that are sure and that a person has to; {} for none."""
    shut = [dict(shut_trigger(one.pipeline, one.trigger).remembered) for one in doors if may_shut and one.may_be_shut]
    by_hand = [
        {**shut_trigger(one.pipeline, one.trigger).remembered, "why": one.to_person or "the settings do not let Backout (shut_triggers)"}
        for one in doors
        if one.sure and not (may_shut and one.may_be_shut)
    ]
    return {key: value for key, value in (("triggers", shut), ("by_hand", by_hand)) if value}


def mark_of(target: TargetId, pipelines: Iterable[Pipeline]) -> str:
    """The mark of the hold for which triggers are kept off, "" for none. Where several holds left theirs, the newest: its operation's id sorts last."""
    return max((one.mark for one in kept_off_for(str(target), pipelines)), default="")
