from dataclasses import replace
from typing import Any

from service.domain.course import Course, as_live, course_of
from service.domain.model import release_key
from tests.unit.service.domain import made


def course(*, verified: str = "", made_by_backout: tuple[str, ...] = ("43",), **changes: Any) -> Course:
    return course_of(made.held_state(**changes), (made.held_release(),), made_by_backout=made_by_backout, verified=verified, now=made.NOW)


def test_what_is_desired_is_where_it_goes_from_the_release_that_is_live() -> None:
    found = course()
    assert (found.suspect, found.live_already) == (made.LIVE, False)
    assert found.goal is not None
    assert (found.goal.key, found.goal.handle, found.goal.sources) == (made.FIX.key, "", made.FIX.sources)


def test_promise_5_what_a_person_deployed_under_the_hold_comes_first() -> None:
    found = course(current=made.FIX_LIVE, desired=made.SUSPECT.sources)
    assert (found.goal, found.live_already, found.says) == (made.FIX_LIVE, True, "jane deployed release 44 (v2.5.1 · f1f1f1f) under the hold")
    assert found.suspect == made.SUSPECT


def test_one_that_was_measured_is_left_for_what_is_desired_next() -> None:
    newer = (made.source("e" * 40),)
    found = course(current=made.FIX_LIVE, verified=made.FIX.key, desired=newer)
    assert (found.suspect, found.live_already) == (made.FIX_LIVE, False)
    assert found.goal is not None
    assert found.goal.key == release_key(newer)


def test_what_is_live_and_desired_only_ends_the_hold() -> None:
    found = course(current=made.FIX_LIVE, verified=made.FIX.key)
    assert (found.goal, found.live_already) == (made.FIX_LIVE, True)


def test_the_release_that_was_good_counts_as_known_also_without_a_record_of_who_put_it_there() -> None:
    assert course(made_by_backout=()).live_already is False


def test_a_held_release_is_nowhere_to_go() -> None:
    held = made.held_release(key=release_key(made.SUSPECT.sources))
    found = course_of(made.held_state(desired=made.SUSPECT.sources), (held,), made_by_backout=("43",), verified="", now=made.NOW)
    assert (found.goal, "what is desired is still release 42" in found.says) == (None, True)
    assert course(current=made.SUSPECT).says == "release 42 (v2.5.0 · c0ffee0), which is held, is live again"
    assert found.waits
    assert course(current=made.SUSPECT).waits


def test_a_system_that_desires_nothing_is_waited_for_until_somebody_deploys_a_fix() -> None:
    found = course(desired=(), keeps_desired=False)
    assert (found.goal, found.waits) == (None, True)
    assert found.says.endswith("is live, and nobody has deployed a fix yet")
    assert course(current=None, keeps_desired=False).waits is False


def test_promise_1_what_is_not_known_is_nowhere_to_go() -> None:
    assert course(desired=()).says == "what is desired is not known"
    assert not course(desired=()).waits
    assert course(current=None).says == "which release is live is not known"


def test_a_release_that_went_live_keeps_its_identity() -> None:
    assert as_live(made.FIX, "44") == replace(made.FIX, handle="44")
    assert as_live(made.FIX_LIVE, "") == made.FIX_LIVE
