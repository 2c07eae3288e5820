"""`docs/hard-cases.md` says where each hard case is proved: every test that it names exists, and every story of a hard case stands in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/hard-cases.md"
NAMED = re.compile(r"`((?:[\w/]+/)?test_\w+\.py)::(test_\w+)`")
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)

STORIES, CONTRACTS = "tests/real", "tests/contract/argocd"
IN_PART = frozenset({"tests/real/test_stories.py", "tests/real/test_cluster.py"})
"""Files of which only some stories are hard cases on Argo CD; every other file that the page names is on it as a whole."""


def rows() -> list[tuple[str, str, str]]:
    """Case, story, contract of every row but the headings."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in line) for line in lines]
    return [(one[0], one[1], one[2]) for one in cells if one[0] not in {"case", "--"}]


def named(cell: str, folder: str) -> Iterator[tuple[str, str]]:
    """(file from the root, test) of each test in a cell; a file without a folder is of the column's."""
    for file, test in NAMED.findall(cell):
        yield (file if "/" in file else f"{folder}/{file}"), test


def missing(case: str, story: str, contract: str) -> list[str]:
    """What a row names and the tree does not have, or that it names nothing where it gives no reason."""
    found = []
    for cell, folder in ((story, STORIES), (contract, CONTRACTS)):
        tests = list(named(cell, folder))
        if not tests and not cell.startswith("none ("):
            found.append(f"{case}: nothing in {folder}")
        for file, test in tests:
            path = ROOT / file
            if not path.exists() or test not in TEST.findall(path.read_text(encoding="utf-8")):
                found.append(f"{file}::{test}")
    return found


@pytest.mark.parametrize(("case", "story", "contract"), rows(), ids=[row[0] for row in rows()])
def test_what_a_row_names_exists(case: str, story: str, contract: str) -> None:
    assert missing(case, story, contract) == []


def test_a_row_that_names_what_is_not_there_is_found() -> None:
    assert missing("a case", "`test_windows.py::test_none`", "") == ["tests/real/test_windows.py::test_none", f"a case: nothing in {CONTRACTS}"]
    assert missing("a case", "`tests/e2e/test_none.py::test_none`", "none (a reason)") == ["tests/e2e/test_none.py::test_none"]


def test_each_story_of_a_file_that_the_page_names_stands_in_it() -> None:
    told = {one for _, story, _ in rows() for one in named(story, STORIES)}
    files = {file for file, _ in told if file.startswith(STORIES)} - IN_PART
    there = {(file, test) for file in files for test in TEST.findall((ROOT / file).read_text(encoding="utf-8"))}
    assert len(files) > 8
    assert there - told == set()
