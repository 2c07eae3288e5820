from typing import Any

import pytest

from service.cli.demo.no_way_back import MIGRATION, check, check_standing, lines
from tests.unit.service.cli.demo.told import Told

SCHEMA = {"answer": "block", "says": "Release 1 dropped column orders.legacy_status.", "evidence": [{"what": f"{MIGRATION}:2"}]}


def test_a_refusal_is_seen_so() -> None:
    story = Told()
    check(story, {"outcome": "refused"}, SCHEMA, writes=0, untouched=True)
    assert story.ok


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("scene 2 ended refused", {"operation": {"outcome": "recovered"}}),
        ("the schema rule blocked, naming the column", {"schema": {**SCHEMA, "answer": "unknown"}}),
        ("the evidence names file and line", {"schema": {**SCHEMA, "evidence": [{"what": MIGRATION}]}}),
        ("nothing was touched", {"writes": 1}),
        ("nothing was touched", {"untouched": False}),
    ],
)
def test_whatever_is_not_so_is_seen(name: str, given: dict[str, Any]) -> None:
    story = Told()
    case: dict[str, Any] = {"operation": {"outcome": "refused"}, "schema": SCHEMA, "writes": 0, "untouched": True, **given}
    check(story, case["operation"], case["schema"], writes=case["writes"], untouched=case["untouched"])
    assert [one for one, held in story.checks.items() if not held] == [name]


# --- the three lines of evidence ------------------------------------------------------------------------------------------


def test_each_line_is_told_with_what_it_says_by_itself() -> None:
    told = lines({"lines": [{"source": "text", "answer": "block", "says": "Gone."}, {"source": "database", "answer": "unknown", "says": "Not asked."}]})
    assert told == (("text", "block: Gone."), ("database", "unknown: Not asked."))


# --- the readiness table --------------------------------------------------------------------------------------------------


def shop(name: str, verdict: str, says: str = "") -> dict[str, Any]:
    return {"id": f"sandbox:{name}", "readiness": {"verdict": verdict, "says": says}}


ORDERS, CATALOG = shop("orders", "block", "Release 1 dropped column orders.legacy_status."), shop("catalog", "pass")


@pytest.mark.parametrize(
    ("targets", "failed"),
    [
        ([ORDERS, CATALOG], []),
        ([shop("orders", "pass"), CATALOG], ["it is known without any alert that orders cannot go back"]),
        ([shop("orders", "block", "No earlier release is known."), CATALOG], ["it is known without any alert that orders cannot go back"]),
        ([ORDERS, shop("catalog", "unknown")], ["and that catalog could"]),
        ([ORDERS, CATALOG, {"id": "sandbox:payments", "readiness": None}], ["each shop has a standing verdict"]),
    ],
)
def test_whatever_does_not_stand_is_seen(targets: list[dict[str, Any]], failed: list[str]) -> None:
    story = Told()
    check_standing(story, {"targets": targets})
    assert [name for name, held in story.checks.items() if not held] == failed
