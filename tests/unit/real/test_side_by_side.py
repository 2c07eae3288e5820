"""How the files of the real suite are shared out to labs, what several exit codes are together, and the second try. The labs themselves: `make test-real`."""

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


STEADY = "import pytest\n@pytest.mark.real\ndef test_steady(): pass\n"
UNSTEADY = """
import pathlib, pytest

@pytest.mark.real
def test_unsteady():
    been = pathlib.Path("been")
    try:
        assert been.exists(), "beside others"
    finally:
        been.touch()

@pytest.mark.real
def test_beside_it(): pass
"""
WRONG = "import pytest\n@pytest.mark.real\ndef test_wrong(): assert False, 'as ever'\n"
DIES = "import os, signal, pytest\n@pytest.mark.real\ndef test_dies(): os.kill(os.getpid(), signal.SIGKILL)\n"


SLOW = """
import pathlib, time, pytest

@pytest.mark.real
def test_slow():
    been = pathlib.Path("been")
    time.sleep(900 if been.exists() else 0)
    been.touch()
    assert False
"""


@pytest.fixture
def no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of its own in the current folder, whose labs are pytest alone."""
    monkeypatch.setattr(side_by_side, "IN_A_LAB", ("env",))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = real\n")
    for name, text in {"steady": STEADY, "unsteady": UNSTEADY, "wrong": WRONG, "dies": DIES, "slow": SLOW}.items():
        (tmp_path / f"test_{name}.py").write_text(text)


@pytest.mark.usefixtures("no_lab")
async def test_what_failed_beside_others_and_passes_alone_fails_no_run_and_is_told_at_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    assert await side_by_side.run([["test_steady.py"], ["test_unsteady.py"]], []) == 0
    out, err = capfd.readouterr()
    assert "AssertionError: beside others" in out.partition("short test summary")[0]  # the first failure's own output
    assert [line.partition(" in ")[0].strip("= ") for line in out.splitlines() if " passed" in line and " in " in line] == [
        "1 passed",
        "1 failed, 1 passed",
        "1 passed",
    ]
    assert out.rpartition("UNSTEADY")[2].splitlines()[1:3] == ["  test_unsteady.py::test_unsteady", "      AssertionError: beside others"]
    assert "once more, alone in a lab of its own: test_unsteady.py::test_unsteady\n" in err
    assert err.splitlines()[-1] == "lab: the real suite: passed, 1 unsteady"


@pytest.mark.usefixtures("no_lab")
async def test_what_fails_twice_fails_the_run_and_what_passed_beside_it_is_told_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    assert await side_by_side.run([["test_wrong.py"], ["test_unsteady.py"]], []) == 1
    out, err = capfd.readouterr()
    assert out.rpartition("UNSTEADY")[2].splitlines()[1] == "  test_unsteady.py::test_unsteady"
    assert "test_wrong.py::test_wrong" not in out.rpartition("UNSTEADY")[2]
    assert err.splitlines()[-1] == "lab: the real suite: FAILED (1), 1 unsteady"


@pytest.mark.usefixtures("no_lab")
async def test_where_a_lab_dies_nothing_runs_once_more(capfd: pytest.CaptureFixture[str]) -> None:
    assert await side_by_side.run([["test_unsteady.py"], ["test_dies.py"]], []) == 1
    assert capfd.readouterr().err.splitlines()[-2:] == [
        "lab: no second try: lab 2 did not end as a lab does in which only tests fail",
        "lab: the real suite: FAILED (1), 0 unsteady",
    ]


@pytest.mark.usefixtures("no_lab")
async def test_a_second_try_that_takes_too_long_is_ended(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "AGAIN_S", 5)
    assert await side_by_side.run([["test_slow.py"], ["test_steady.py"]], []) == 1
    err = capfd.readouterr().err
    assert "lab: the lab of the second try is told to end: it has taken 5 s\n" in err
    assert err.splitlines()[-1] == "lab: the real suite: FAILED (1), 0 unsteady"
