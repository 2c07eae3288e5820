"""What one read of an application says about a step: pure functions, each a question that several steps ask. `refuse_when` ends an intent in a sentence."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from integrations.delivery.argocd import reading
from service.domain.errors import RefusedError
from service.domain.keys import Rollout
from service.domain.model import Json, ObjectRef, Release, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Intention

Intent = Mapping[str, Json]


class OtherApplicationError(RefusedError):
    """The application that was meant is gone, going, or replaced by one of the same name."""


def refuse_when(when: bool, says: str) -> None:
    """RefusedError with that sentence, when it is so."""
    if when:
        raise RefusedError(says)


def same_application(app: reading.Body, uid: str, name: str) -> None:
    """OtherApplicationError unless it is the application of that uid, and not on its way out."""
    metadata = reading.part(app, "metadata")
    if metadata.get("uid") != uid:
        raise OtherApplicationError(f"{name} is another application of the same name now")
    if metadata.get("deletionTimestamp"):
        raise OtherApplicationError(f"{name} is being deleted")


def entry_id(entry: reading.Body) -> int:
    """The id of a history entry; 0 is left out by the server."""
    return int(entry.get("id", 0))


def intended_at(intent: Intent) -> datetime:
    """When the intent was written down."""
    return datetime.fromisoformat(str(intent["at"]))


def unedited(step: Step, intention: Intention, app: reading.Body) -> None:
    """The spec is as when the plan was made and as at our earlier steps; what we wrote ourselves is not in the digest."""
    expected = {str(step.parameters["spec_digest"])} if "spec_digest" in step.parameters else set()
    expected |= {str(marker["spec_digest"]) for marker in intention.ours if "spec_digest" in marker}
    refuse_when(bool(expected - {reading.spec_digest(app)}), "somebody edited the spec since the plan was made")


def still_unedited(app: reading.Body, intent: Intent) -> None:
    """RefusedError when somebody edited the spec since the intent: a slow server or a restart may lie between it and the request."""
    refuse_when(reading.spec_digest(app) != intent["spec_digest"], "somebody edited the spec meanwhile")


def nothing_newer(app: reading.Body, intent: Intent) -> None:
    """RefusedError when something was deployed since the intent."""
    history = reading.history_of(app)
    newest = entry_id(history[-1]) if history else -1
    refuse_when(newest != int(intent["history_id"]), f"release {newest} was deployed meanwhile")


def suspect_is_live(app: reading.Body, intention: Intention) -> None:
    """RefusedError when something else was deployed since the plan was made."""
    history = reading.history_of(app)
    refuse_when(not history, "Argo CD remembers no release of it any more")
    last = reading.release_of(history[-1], intention.target, "")
    suspect = intention.suspect
    tried = reading.attempted_of(app, intention.target, last, "")
    if tried is not None and not suspect.handle:
        refuse_when(tried.key != suspect.key, f"a deploy of {tried.title} began since: it is no longer release {suspect.title} that is live in part")
        return
    if (last.handle, last.key) != (suspect.handle, suspect.key):
        raise RefusedError(f"release {last.title} was deployed by {last.by.name} since: it is no longer release {suspect.title} that is live")


def goal_is_there(app: reading.Body, goal: Release) -> None:
    """RefusedError when the history does not hold the goal release under its id any more."""
    entry = next((e for e in reading.history_of(app) if str(entry_id(e)) == goal.handle), None)
    if entry is None:
        raise RefusedError(f"release {goal.title} was trimmed from the history")
    refuse_when(release_key(reading.sources_of(entry)) != goal.key, f"history id {goal.handle} names other sources than release {goal.title}")


def not_marked_by_another(app: reading.Body, intention: Intention) -> None:
    """RefusedError when a mark stands there that is neither this operation's nor that of an open hold of ours."""
    marker = reading.marker_of(app)
    refuse_when(marker not in {"", intention.marker, earlier_mark(intention)}, f"it is held already ({marker})")


def held_by_nobody_else(app: reading.Body, *ours: str) -> None:
    """RefusedError when a mark stands there that is none of these."""
    marker = reading.marker_of(app)
    refuse_when(marker not in {"", *ours}, f"it is held by another ({marker})")


def earlier_mark(intention: Intention) -> str:
    """The mark of a hold of ours that is open already, "" when there is none. A text that Backout does not write is nobody of ours, whoever says so."""
    return intention.own_marker if reading.MARK.fullmatch(intention.own_marker) else ""


def carries_our_mark(marker: str, intent: Intent) -> bool:
    """Whether the mark is this intent's, or that of the open hold, which is enough: one mark says that the target is held."""
    return bool(marker) and marker in {intent["marker"], intent["own_marker"]}


def own_marker(intention: Intention, step: str) -> str:
    """The text that we marked the application with: as the earlier intent has it, for who ends a hold does not carry it."""
    return next((str(earlier["marker"]) for earlier in reversed(intention.ours) if earlier.get("step") == step), intention.marker)


def clearable(app: reading.Body, suspect_revisions: Sequence[str], me: str, now: datetime) -> bool:
    """Whether nothing holds the slot, or only what may be ended: automated or stuck, and on the bad release (promise 5)."""
    running = reading.running_of(app, me, now)
    return running is None or ((running.automated or running.stuck) and running.revision == reading.joined(suspect_revisions))


def slot_is_clearable(app: reading.Body, intention: Intention, me: str, now: datetime) -> None:
    """RefusedError when what holds the slot may not be ended."""
    refuse_when(not clearable(app, [s.revision for s in intention.suspect.sources], me, now), slot_says(app, me))


def slot_says(app: reading.Body, me: str) -> str:
    """Whose operation holds the application, and what it deploys."""
    operation = reading.part(app, "operation")
    by = reading.actor(reading.part(operation, "initiatedBy"), me)
    revision = reading.joined(reading.revisions_of(reading.part(operation, "sync"))) or "the target revision"
    return f"an operation of {by.name} to {revision} holds the application: hands off"


def same_automated(one: Json, other: Json) -> bool:
    """Equal but for fields that are false, which Argo CD leaves out; `enabled` counts in both spellings of on."""

    def plain(value: Json) -> Json:
        if not isinstance(value, Mapping):
            return None
        return {"enabled": value.get("enabled") is not False, **{k: v for k, v in value.items() if v and k != "enabled"}}

    return bool(plain(one) == plain(other))


def as_written(app: reading.Body, remembered: Mapping[str, Json]) -> bool:
    """Whether auto-sync is what it was, but stopped."""
    return same_automated(reading.automated_of(app), {**remembered, "enabled": False})


def rollout_parameters(rollout: Rollout) -> Mapping[str, Json]:
    """What a step remembers of a Rollout: which object, and the pod hash that it rolls out."""
    ref = rollout.object
    return {"object": [ref.group, ref.kind, ref.namespace, ref.name], "rollout_uid": rollout.uid, "current": rollout.current}


def rollout_ref(about: Mapping[str, Json]) -> ObjectRef:
    """The Rollout that `rollout_parameters` remembered."""
    group, kind, namespace, name = about["object"]
    return ObjectRef(group=group, kind=kind, namespace=namespace, name=name)


def same_rollout(rollout: Rollout, about: Mapping[str, Json]) -> None:
    """RefusedError when it was deleted and made anew."""
    refuse_when(rollout.uid != about["rollout_uid"], f"Rollout {rollout.object.name} is another one of the same name now")


def is_by(initiated_by: reading.Body, intent: Intent) -> bool:
    """Whether our account set it going, and no automation under its name."""
    return initiated_by.get("username") == intent["username"] and not initiated_by.get("automated")


def operation_print(app: reading.Body) -> Json:
    """What tells one operation's state from the next; None when there is none."""
    state = reading.part(app, "status", "operationState")
    if not state:
        return None
    operation = reading.part(state, "operation")
    return [
        reading.text(state.get("startedAt")),
        reading.text(state.get("finishedAt")),
        reading.text(state.get("phase")),
        reading.text(reading.part(operation, "initiatedBy").get("username")),
        list(reading.revisions_of(reading.part(operation, "sync"))),
    ]
