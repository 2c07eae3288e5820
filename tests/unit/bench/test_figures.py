from pathlib import Path

import pytest

from tests.bench.__main__ import BEGIN, END, kept
from tests.bench.figures import Figure, busy_within, quantile, table


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, value: float) -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], share) == value


def test_nothing_measured_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        quantile([], 0.5)


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0.0),
        ([(1.0, 2.0)], 1.0),
        ([(1.0, 3.0), (2.0, 4.0)], 3.0),
        ([(1.0, 5.0), (2.0, 3.0)], 4.0),
        ([(-5.0, 1.0), (9.0, 20.0)], 2.0),
        ([(11.0, 12.0)], 0.0),
    ],
)
def test_time_in_which_several_were_busy_counts_once_and_only_within(spans: list[tuple[float, float]], seconds: float) -> None:
    assert busy_within(spans, 0.0, 10.0) == seconds


def test_a_bound_that_does_not_hold_is_loud_and_a_report_has_none() -> None:
    figures = [Figure(what="a", asked="b", measured="c", holds=held) for held in (True, False, None)]
    assert [line.rsplit("|", 2)[1].strip() for line in table(figures).splitlines()[2:]] == ["yes", "NO", "reported"]


def test_what_was_measured_takes_the_place_of_what_stood_there_and_the_rest_of_the_page_stays() -> None:
    page = f"# Benchmarks\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
    once = kept(page, "new")
    assert once == f"# Benchmarks\n\nBefore.\n\n{BEGIN}\nnew\n{END}\n\nAfter.\n"
    assert kept(once, "new") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_a_place_for_the_table_is_said(page: str) -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        kept(page, "new")


def test_our_own_page_has_a_place_for_the_table() -> None:
    assert kept((Path(__file__).parents[3] / "docs/benchmarks.md").read_text(encoding="utf-8"), "new").count("new") >= 1
