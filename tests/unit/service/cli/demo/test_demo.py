import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from service.cli.demo import OUTCOMES, SCENES, SHOPS, _document, _summary
from tests.unit.service.cli.demo.told import Told


def operation(app: str, outcome: str) -> Mapping[str, Any]:
    return {
        "id": f"op_{app}",
        "trace_id": "a" * 32,
        "target": f"sandbox:{app}",
        "outcome": outcome,
        "says": f"{outcome}.",
        "created_at": "2026-05-04T12:01:00Z",
        "done_at": "2026-05-04T12:01:10.500Z",
    }


OPERATIONS = (operation("checkout", "recovered"), operation("orders", "refused"), operation("payments", "recovered"))


@pytest.mark.timeout(300)
def test_the_demo_plays_with_the_real_service_and_everything_that_it_checks_is_so() -> None:
    ran = subprocess.run([sys.executable, "-m", "service", "demo", "--json"], capture_output=True, text=True, check=False, timeout=280)
    document = json.loads(ran.stdout)
    assert (ran.returncode, document["ok"], ran.stderr) == (0, True, "")
    assert len(document["checks"]) >= 21
    assert set(document["checks"].values()) == {True}
    assert [(one["target"], one["outcome"]) for one in document["scenes"]] == [
        ("sandbox:checkout", "recovered"),
        ("sandbox:orders", "refused"),
        ("sandbox:payments", "recovered"),
    ]
    assert set(SHOPS) >= {"checkout", "orders", "payments"}
    assert len(SCENES) == len(OUTCOMES) == len(document["scenes"])


def test_a_check_that_failed_is_said_no_and_is_the_exit_code() -> None:
    story = Told()
    story.check("the pods run v2.4.6 again, by digest", True)
    story.check("exactly one rollback was made", [])
    _summary(story, OPERATIONS, 20.4)
    lines = [line.strip() for line in story.text.splitlines()]
    assert "yes  the pods run v2.4.6 again, by digest" in lines
    assert "NO   exactly one rollback was made" in lines
    assert "Something did not happen: checkout recovered, orders refused, payments recovered; 20 s in all." in lines
    assert (story.ok, story.exit_code) == (False, 1)
    assert _document(story, OPERATIONS, 20.4)["ok"] is False


def test_a_story_in_which_all_was_seen_ends_well() -> None:
    story = Told()
    story.check("the hold is open", [1])
    _summary(story, OPERATIONS, 20.4)
    assert "All of it happened" in story.text
    assert "NO" not in story.text
    assert (story.ok, story.exit_code) == (True, 0)


def test_the_document_names_every_scene_with_its_operation() -> None:
    story = Told()
    story.check("the hold is open", True)
    document = json.loads(json.dumps(_document(story, OPERATIONS, 20.44)))
    assert (document["ok"], document["seconds"], document["checks"]) == (True, 20.4, {"the hold is open": True})
    assert [(one["operation"], one["outcome"], one["seconds"]) for one in document["scenes"]] == [
        ("op_checkout", "recovered", 10.5),
        ("op_orders", "refused", 10.5),
        ("op_payments", "recovered", 10.5),
    ]
