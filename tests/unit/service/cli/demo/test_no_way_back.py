from typing import Any

import pytest

from service.cli.demo.no_way_back import MIGRATION, check
from tests.unit.service.cli.demo.told import Told

SCHEMA = {"answer": "block", "says": "Release 1 dropped column orders.legacy_status.", "evidence": [{"what": f"{MIGRATION}:2"}]}
BEFORE: dict[str, Any] = {"spec": {"a": 1}, "status": {"history": [{"id": 0}]}}
AFTER: dict[str, Any] = {"spec": {"a": 1}, "status": {"history": [{"id": 0}, {"id": 1}]}}


def test_a_refusal_is_seen_so() -> None:
    story = Told()
    check(story, {"outcome": "refused"}, SCHEMA, BEFORE, AFTER)
    assert story.ok


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("scene 2 ended refused", {"operation": {"outcome": "recovered"}}),
        ("the schema rule blocked, naming the column", {"schema": {**SCHEMA, "answer": "unknown"}}),
        ("the evidence names file and line", {"schema": {**SCHEMA, "evidence": [{"what": MIGRATION}]}}),
        ("nothing was touched", {"after": {**AFTER, "spec": {"a": 2}}}),
        ("nothing was touched", {"after": {**AFTER, "status": {"history": [{"id": n} for n in range(3)]}}}),
    ],
)
def test_whatever_is_not_so_is_seen(name: str, given: dict[str, Any]) -> None:
    story = Told()
    case: dict[str, Any] = {"operation": {"outcome": "refused"}, "schema": SCHEMA, "after": AFTER, **given}
    check(story, case["operation"], case["schema"], BEFORE, case["after"])
    assert [one for one, held in story.checks.items() if not held] == [name]
