"""`docs/spinnaker-stories.md` says of each hard case on Argo CD what it is on Spinnaker: every case stands in it, and every test that it names exists."""

import re
from pathlib import Path

import pytest

from tests.unit import test_hard_cases

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/spinnaker-stories.md"
FOLDER = "tests/unit/integrations/delivery/spinnaker"
NAMED = re.compile(r"`((?:[\w/]+/)?test_\w+\.py)::(test_\w+)`")
REASON = re.compile(r"none \(\S.{6,}\)")
ONCE_ONLY = "What only Spinnaker has"


def sections() -> dict[str, dict[str, str]]:
    """Heading -> case -> what it is on Spinnaker."""
    found: dict[str, dict[str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            found[line[3:]] = {}
        elif line.startswith("|") and not line.startswith("|--") and found:
            case, told = (cell.strip() for cell in line.strip("|").split("|"))
            found[list(found)[-1]][case] = told
    return {heading: {case: told for case, told in rows.items() if not case.startswith("case")} for heading, rows in found.items()}


def faults(case: str, told: str) -> list[str]:
    """What a row names and the tree does not have, or that it neither names a test nor gives a reason."""
    named = [(file if file.startswith("tests/") else f"{FOLDER}/{file}", test) for file, test in NAMED.findall(told)]
    found = [f"{file}::{test}" for file, test in named if not (ROOT / file).exists() or f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")]
    return found if named or REASON.search(told) else [f"{case}: neither a test nor a reason"]


ROWS = [(case, told) for rows in sections().values() for case, told in rows.items()]


@pytest.mark.parametrize(("case", "told"), ROWS, ids=[case for case, _ in ROWS])
def test_what_a_row_names_exists(case: str, told: str) -> None:
    assert faults(case, told) == []


def test_each_hard_case_of_argo_cd_has_its_row_and_no_other_has() -> None:
    told = [case for heading, rows in sections().items() if heading != ONCE_ONLY for case in rows]
    assert told == [case for case, _, _ in test_hard_cases.rows()]
    assert len(told) > 50


def test_a_row_that_names_nothing_or_what_is_not_there_is_found() -> None:
    assert faults("a case", "somehow") == ["a case: neither a test nor a reason"]
    assert faults("a case", "none ()") == ["a case: neither a test nor a reason"]
    assert faults("a case", "`test_ways.py::test_none`") == [f"{FOLDER}/test_ways.py::test_none"]
    assert faults("a case", "`tests/e2e/test_none.py::test_none`") == ["tests/e2e/test_none.py::test_none"]
