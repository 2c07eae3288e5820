"""Which tests of the real suite run once more, and what is told of one that passes then."""

from collections.abc import Sequence

import pytest

from tests.real import again
from tests.real.outcomes import Failure, Session


def failure(test: str) -> Failure:
    return Failure(test=test, says=f"AssertionError: of {test}")


def session(*failed: str, code: int | None = None, whole: bool = True, passed: Sequence[str] = ()) -> Session:
    return Session(code=bool(failed) if code is None else code, whole=whole, passed=frozenset(passed), failures=tuple(failure(one) for one in failed))


def test_nothing_runs_once_more_where_nothing_failed() -> None:
    assert again.once_more((0, 5), (session(passed=["a"]), session(code=5))) == ((), "")


def test_the_failures_of_all_labs_run_once_more() -> None:
    assert again.once_more((1, 0), (session("a", "b"), session())) == ((failure("a"), failure("b")), "")
    assert again.once_more((1, 1), (session("a", "b"), session("c", "d"))) == (tuple(failure(one) for one in "abcd"), "")


def test_more_than_four_failures_are_no_bad_luck() -> None:
    assert again.once_more((1, 1), (session("a", "b", "c"), session("d", "e"))) == ((), "5 tests failed, more than 4")


@pytest.mark.parametrize(
    ("code", "second"),
    [(1, None), (130, session("b", code=2)), (-9, None), (0, session("b")), (1, session()), (3, session("b", code=3)), (2, session(code=2))],
    ids=["never came up", "interrupted", "killed", "another code", "yet another code", "pytest broke", "a file that cannot be read"],
)
def test_a_lab_in_which_more_is_wrong_than_a_test_gets_no_second_try(code: int, second: Session | None) -> None:
    tried, why = again.once_more((1, code), (session("a"), second))
    assert (tried, why) == ((), "lab 2 did not end as a lab does in which only tests fail")


def test_a_lab_that_stopped_before_its_end_gets_no_second_try_for_what_it_left_out_would_count_as_passed() -> None:
    assert again.once_more((1, 1), (session("a"), session("b", whole=False))) == ((), "lab 2 left tests out")


def test_a_lab_that_failed_without_a_failed_test_gets_no_second_try() -> None:
    assert again.once_more((1, 0), (session(code=1), session())) == ((), "lab 1 failed, and no test of it did")


def test_what_passed_alone_is_unsteady_and_what_failed_twice_is_not() -> None:
    tried = (failure("a"), failure("b"))
    assert again.unsteady(tried, 0, session(passed=["a", "b"])) == tried
    assert again.unsteady(tried, 1, session("b", passed=["a"])) == (failure("a"),)


def test_what_was_skipped_or_never_ran_has_not_passed() -> None:
    assert again.unsteady((failure("a"),), 0, session()) == ()


@pytest.mark.parametrize(("code", "second"), [(1, None), (-15, session(passed=["a"])), (2, session(code=2, passed=["a"]))])
def test_a_second_lab_that_broke_proves_nothing(code: int, second: Session | None) -> None:
    assert again.unsteady((failure("a"),), code, second) == ()


def test_each_unsteady_test_is_told_loudly_with_how_it_failed() -> None:
    told = again.told([failure("tests/real/test_x.py::test_y[real]")])
    assert "UNSTEADY: failed beside others, passed alone" in told
    assert "tests/real/test_x.py::test_y[real]\n      AssertionError: of tests/real/test_x.py::test_y[real]\n" in told
    assert "docs/decisions/0042" in told
    assert again.told([]) == ""


@pytest.mark.parametrize(("code", "says"), [(0, "passed"), (1, "FAILED (1)"), (5, "nothing to run"), (-15, "FAILED (-15)")])
def test_the_last_line_of_a_run_counts_the_unsteady(code: int, says: str) -> None:
    assert again.closing(code, [failure("a"), failure("b")]) == f"the real suite: {says}, 2 unsteady"
    assert again.closing(code, []) == f"the real suite: {says}, 0 unsteady"
