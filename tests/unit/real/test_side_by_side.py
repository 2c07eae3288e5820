"""How the files of the real suite are shared out to labs, and what several exit codes are together. The labs themselves: `make test-real`."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.real import __main__ as side_by_side

ROOT = Path(__file__).parents[3]


def test_every_file_runs_in_exactly_one_lab_and_always_in_the_same() -> None:
    found = side_by_side.files()
    first, second = side_by_side.share(found, 2)
    assert sorted([*first, *second]) == found
    assert side_by_side.share(reversed(found), 2) == [first, second]
    assert (first, second) == (sorted(first), sorted(second))


def test_the_labs_end_at_about_the_same_time() -> None:
    seconds = [sum(side_by_side.SECONDS.get(file, side_by_side.USUAL) for file in part) for part in side_by_side.share(side_by_side.files(), 2)]
    assert min(seconds) > 0.9 * max(seconds)


def test_what_was_measured_is_of_files_that_are_there() -> None:
    assert set(side_by_side.SECONDS) <= set(side_by_side.files())
    assert all((ROOT / file).is_file() for file in side_by_side.files())


def test_every_story_is_marked_or_nobody_would_run_it() -> None:
    stories = [Path(file) for file in side_by_side.files() if file.startswith("tests/real/")]
    assert len(stories) > 10
    assert [file.name for file in stories if not re.search(r"^pytestmark = .*pytest\.mark\.real\b", file.read_text(encoding="utf-8"), re.MULTILINE)] == []


def test_where_labs_cannot_stand_side_by_side_one_runs_everything() -> None:
    assert side_by_side.share(side_by_side.files(), 1) == [side_by_side.files()]


@pytest.mark.parametrize(
    ("codes", "together"),
    [((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((5, 0), 0), ((0, 5), 0), ((5, 5), 5), ((5, 1), 1), ((130, 0), 130), ((0, -9), -9)],
)
def test_any_failure_is_one_and_finding_no_test_is_one_where_no_lab_found_any(codes: Sequence[int], together: int) -> None:
    assert side_by_side.verdict(codes) == together


async def test_the_output_of_every_lab_is_shown_whole_and_a_failure_of_any_is_one(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a lab a program that prints what it was given, and fails where it was given nothing."""
    says = "import sys; files = [one for one in sys.argv if one.startswith('test_')]; print(*files, sep=chr(10)); sys.exit(not files)"
    monkeypatch.setattr(side_by_side, "IN_A_LAB", (sys.executable, "-c", says))
    assert await side_by_side.run([["test_a", "test_b"], ["test_c"]], ["-x"]) == 0
    assert capfd.readouterr().out.split() == ["test_a", "test_b", "test_c"]
    assert await side_by_side.run([["test_a"], []], []) == 1
    assert capfd.readouterr().out.split() == ["test_a"]
