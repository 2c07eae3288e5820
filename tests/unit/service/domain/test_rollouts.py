from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.derived import Derived
from service.domain.facts import Absent
from service.domain.model import Way
from service.domain.rollouts import Course, course_keys, courses, promotes
from tests.unit.service.domain import made
from tests.unit.service.domain.made import rolled_out, rollout, rollout_back, world


@pytest.mark.parametrize(
    ("aborted", "stable", "skips", "aborts"),
    [
        (False, "good", "stable", True),
        (True, "good", "stable", False),
        (False, "bad", "stable", False),
        (False, "good", "", False),
        (False, "good", "window", False),
    ],
    ids=["halfway", "aborted already", "promoted", "the goal is not the stable one", "within the window"],
)
def test_only_a_release_on_its_way_from_the_goal_is_aborted(aborted: bool, stable: str, skips: str, aborts: bool) -> None:
    course = Course(now=rollout(stable=stable, current="bad", aborted=aborted), back=rollout_back(skips=skips))
    assert course.aborts is aborts


def test_a_full_promotion_needs_the_policy_and_steps_to_skip() -> None:
    case = rolled_out(world(), {}, {"steps": 2}).case()
    allowed = replace(case, policy=replace(case.policy, promote_full=True))
    with_steps, without = Course(now=rollout(), back=rollout_back(steps=2)), Course(now=rollout(), back=rollout_back(skips="stable"))
    assert [promotes(one, course) for one in (case, allowed) for course in (with_steps, without)] == [False, False, True, False]


def test_a_course_tells_how_long_and_whether_anybody_knows() -> None:
    course = Course(now=rollout(), back=rollout_back(steps=2, waits=timedelta(seconds=4), open_ended=("step 2 of 2 waits for an analysis",)))
    assert (course.runs_steps, course.open_ended, course.waits) == (True, True, timedelta(seconds=4))


def test_the_keys_are_asked_for_only_where_something_rolls_out_in_steps() -> None:
    plain, stepped = world().case(), rolled_out(world(), {}, {}).case()
    assert list(course_keys(plain)) == [made.STATE]
    assert list(course_keys(stepped)) == [made.STATE, made.ROLLOUTS, made.ROLLOUTS_BACK]
    assert list(course_keys(replace(stepped, goal=None))) == [made.STATE]
    assert list(course_keys(replace(stepped, way=Way.FORWARD))) == [made.STATE]


def test_courses_carry_the_evidence_of_all_three_facts() -> None:
    found = courses(rolled_out(world(), {}, {}).case())
    assert isinstance(found, Derived)
    assert [one.what for one in found.evidence] == [str(made.STATE), str(made.ROLLOUTS), str(made.ROLLOUTS_BACK)]
    assert isinstance(courses(rolled_out(world(), {}, {}).hide(made.ROLLOUTS).case()), Absent)
