from datetime import timedelta

import pytest

from service.domain.difference import Content, own
from service.domain.holding import Standing, judge, loudness, next_review
from tests.unit.service.domain import made

WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)
BLIND = Content(images=None, rendered=None)


def test_a_release_is_a_candidate_only_if_it_differs_from_every_held_one() -> None:
    older = made.held_release(key="key-40", bad=own(made.content(made.OLD_IMAGE), made.content(made.NEW_IMAGE)))
    assert judge(made.content(made.FIX_IMAGE), [made.held_release(), older]).standing is Standing.CANDIDATE
    assert judge(made.content(made.OLD_IMAGE), [made.held_release(), older]).standing is Standing.STILL_BAD


def test_what_one_held_release_settles_needs_no_other() -> None:
    unknown = made.held_release(key="key-40", bad=None)
    judged = judge(made.content(made.NEW_IMAGE, replicas="3"), [unknown, made.held_release()])
    assert judged.standing is Standing.STILL_BAD


@pytest.mark.parametrize("held", [(), (made.held_release(bad=None),), (made.held_release(), made.held_release(key="key-40", bad=None))])
def test_promise_1_what_cannot_be_compared_is_unknown(held: tuple[object, ...]) -> None:
    assert judge(made.content(made.FIX_IMAGE), held).standing is Standing.UNKNOWN  # type: ignore[arg-type]


def test_promise_1_a_release_that_cannot_be_read_is_unknown() -> None:
    assert judge(BLIND, [made.held_release()]).standing is Standing.UNKNOWN


def test_a_held_release_without_a_record_is_named_by_its_key() -> None:
    assert made.held_release(release=None).title == made.SUSPECT.key


@pytest.mark.parametrize(("reviewed", "after"), [(0, WEEK), (1, WEEK / 2), (2, WEEK / 4), (3, DAY), (99, DAY)])
def test_promise_7_a_review_comes_sooner_each_time_down_to_a_day(reviewed: int, after: timedelta) -> None:
    assert next_review(reviewed, made.NOW, WEEK) - made.NOW == after


def test_a_review_time_below_a_day_stays_as_it_is() -> None:
    assert next_review(5, made.NOW, HOUR) - made.NOW == HOUR


def test_promise_7_a_hold_past_its_review_is_told_more_loudly_each_time() -> None:
    assert [loudness(count) for count in (0, 1, 2, 3, 9)] == ["notice", "notice", "warning", "critical", "critical"]
