"""Where a hold could go from here: to what is desired, or to nothing more because what is live may end it. Pure; whether it may is asked of the rules."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain.holding import HeldRelease
from service.domain.keys import TargetState
from service.domain.model import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The release to leave and the one to go to, or why there is none. `live_already`: the release to go to is live, nothing has to be deployed.

    `waits`: it is known that there is none yet, because what is held is live or desired again, or because nobody has deployed a fix.
    """

    suspect: Release | None = None
    goal: Release | None = None
    live_already: bool = False
    waits: bool = False
    says: str = ""


def course_of(state: TargetState, held: Sequence[HeldRelease], *, made_by_backout: Collection[str], verified: str, now: datetime) -> Course:
    """What a person deployed under the hold comes first: it is theirs, and is measured before anything else is deployed over it.

    `made_by_backout` are handles that a rollback of ours put live; `verified` is the key of a release that is live and was measured under the hold.
    """
    live = state.current
    if live is None:
        return Course(says="which release is live is not known")
    if any(one.key == live.key for one in held):
        return Course(suspect=live, waits=True, says=f"release {live.title}, which is held, is live again")
    left = next((one.release for one in reversed(held) if one.release), live)
    good = live.handle in made_by_backout or live.key == verified or any(one.against is not None and one.against.key == live.key for one in held)
    if not good:
        return Course(suspect=left, goal=live, live_already=True, says=f"{live.by.name or 'somebody'} deployed release {live.title} under the hold")
    if not state.keeps_desired:
        return Course(suspect=left, waits=True, says=f"release {live.title} is live, and nobody has deployed a fix yet")
    if not state.desired:
        return Course(suspect=live, says="what is desired is not known")
    if state.desired_key == live.key:
        return Course(suspect=left, goal=live, live_already=True, says=f"release {live.title} is live and desired")
    if any(one.key == state.desired_key for one in held):
        title = next(one.title for one in held if one.key == state.desired_key)
        return Course(suspect=live, waits=True, says=f"what is desired is still release {title}, which is held")
    version = next((one.version for one in state.history if one.key == state.desired_key), "")
    goal = Release(target=state.target, key=state.desired_key, handle="", sources=state.desired, version=version, started_at=now)
    return Course(suspect=live, goal=goal, says=f"release {goal.title} is desired now")


def as_live(goal: Release, handle: str) -> Release:
    """The release under the delivery system's own name, once it has one."""
    return replace(goal, handle=handle or goal.handle)
