"""What a way back means for workloads that roll out in steps: whether one is aborted first, and whether one is promoted in full afterwards. Pure.

Read by the rules that judge it and by the delivery system that plans it, so that both say the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import Derived
from service.domain.facts import Absent, Key, Known
from service.domain.keys import Rollout, RolloutBack
from service.domain.model import ObjectRef, Way
from service.domain.rule import Case, Direction

WITHOUT_ROLLBACK = frozenset({Way.PIN, Way.GIT_REVERT, Way.HOTFIX})
"""Ways on which the delivery system deploys by itself what is written elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One Rollout: where it stands, and what it does when it goes back."""

    now: Rollout
    back: RolloutBack

    @property
    def aborts(self) -> bool:
        """Whether an abort leaves the goal release serving alone: the release under suspicion is on its way, and the goal is still the stable one."""
        return self.now.under_way and self.back.skips == "stable"

    @property
    def runs_steps(self) -> bool:
        """Whether the rollback alone would let pods of the release under suspicion serve on while steps run."""
        return not self.back.skips

    @property
    def open_ended(self) -> bool:
        """Whether nobody knows beforehand when its steps end."""
        return bool(self.back.open_ended)

    @property
    def waits(self) -> timedelta:
        """How long the pauses of its steps take together, where they end by themselves."""
        return self.back.waits


def course_keys(case: Case) -> Iterator[Key[Any]]:
    """The facts that `courses` reads; of a target without such workloads, and on the way forward, only its state."""
    yield keys.state(case.target)
    state = case.facts.read(keys.state(case.target))
    if case.direction is Direction.BACK and isinstance(state, Known) and keys.step_wise(state.value.objects) and case.goal is not None:
        yield keys.rollouts(case.target)
        yield keys.rollouts_back(case.target, case.goal.key, case.goal.handle)


def courses(case: Case) -> Derived[tuple[Course, ...]] | Absent:
    """Every workload of the target that rolls out in steps; none is an answer, one that cannot be read is not."""
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return state
    wanted = keys.step_wise(state.value.objects)
    if not wanted:
        return Derived((), (state.evidence,))
    if case.goal is None:
        return Absent("no release to go back to is known", clears="Known once there is a release to go back to.")
    now, back = case.facts.read(keys.rollouts(case.target)), case.facts.read(keys.rollouts_back(case.target, case.goal.key, case.goal.handle))
    if isinstance(now, Absent):
        return now
    if isinstance(back, Absent):
        return back
    standing = {one.object: one for one in now.value}
    going = {one.object: one for one in back.value}
    missing: list[ObjectRef] = [one for one in wanted if one not in standing or one not in going]
    if missing:
        return Absent(f"{missing[0]} was not there when it was read", clears="Ask again.")
    return Derived(tuple(Course(now=standing[one], back=going[one]) for one in wanted), (state.evidence, now.evidence, back.evidence))


def promotes(case: Case, course: Course) -> bool:
    """Whether the plan promotes it in full after the rollback: it would run steps, and the policy lets it skip them. Only a rollback is followed by that."""
    return case.policy.promote_full and course.runs_steps and case.way not in WITHOUT_ROLLBACK
