"""What is written down of a session of pytest, played by a real one on files of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import outcomes
from tests.real.outcomes import Failure, Session

ROOT = Path(__file__).parents[3]

EVERY_END = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("no lab")

@pytest.fixture
def torn():
    yield
    raise RuntimeError("not closed")

def test_passes(): pass
def test_fails(): assert 1 == 2, "one is not two\\nmore of it"
def test_has_no_fixture(broken): pass
def test_is_not_taken_down(torn): pass
def test_fails_and_is_not_taken_down(torn): raise ValueError("first")
@pytest.mark.skip(reason="not here")
def test_is_skipped(): pass
@pytest.mark.parametrize("one", ["a::b", "c d"])
def test_of_each(one): pass
"""


def played(folder: Path, text: str, *more: str) -> tuple[int, Session | None]:
    """The exit code, and what was written down."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    file = folder / "it.outcomes"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", str(folder / "pytest.ini")]
    run = subprocess.run([*command, str(folder / "test_it.py"), *more, *outcomes.arguments(file)], cwd=ROOT, capture_output=True, check=False, timeout=120)
    return run.returncode, outcomes.read(file)


def test_each_test_is_written_down_by_its_name_with_the_line_that_says_how_it_failed_first(tmp_path: Path) -> None:
    code, session = played(tmp_path, EVERY_END)
    assert session is not None
    assert (code, session.code, session.whole) == (1, 1, True)
    assert session.passed == {"test_it.py::test_passes", "test_it.py::test_of_each[a::b]", "test_it.py::test_of_each[c d]"}
    assert session.failures == (
        Failure(test="test_it.py::test_fails", says="AssertionError: one is not two"),
        Failure(test="test_it.py::test_has_no_fixture", says="RuntimeError: no lab"),
        Failure(test="test_it.py::test_is_not_taken_down", says="RuntimeError: not closed"),
        Failure(test="test_it.py::test_fails_and_is_not_taken_down", says="ValueError: first"),
    )


def test_a_session_that_stops_at_the_first_failure_is_not_whole(tmp_path: Path) -> None:
    code, session = played(tmp_path, EVERY_END, "-x")
    assert session is not None
    assert (code, session.code, session.whole, len(session.failures)) == (1, 1, False, 1)


def test_what_was_not_asked_for_is_not_missing(tmp_path: Path) -> None:
    code, session = played(tmp_path, EVERY_END, "-k", "passes or skipped")
    assert (code, session) == (0, Session(code=0, whole=True, passed=frozenset({"test_it.py::test_passes"}), failures=()))


@pytest.mark.parametrize(("text", "code"), [("import nothing_of_that_name", 2), ("", 5)], ids=["a file that cannot be read", "no test"])
def test_where_no_test_ran_the_code_tells_why(tmp_path: Path, text: str, code: int) -> None:
    found, session = played(tmp_path, text)
    assert (found, session) == (code, Session(code=code, whole=True, passed=frozenset(), failures=()))


def test_a_session_that_was_killed_wrote_nothing(tmp_path: Path) -> None:
    code, session = played(tmp_path, "import os, signal\ndef test_dies(): os.kill(os.getpid(), signal.SIGKILL)\n")
    assert (code, session) == (-9, None)
