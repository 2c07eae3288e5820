import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from service.cli.demo import SHOPS, Story, _document, _summary, _tell_event
from service.wiring.parts import SystemClock

AT = datetime(2026, 5, 4, 12, 1, 7, tzinfo=UTC)


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


FIRST, SECOND = operation("checkout", "recovered"), operation("orders", "refused")


class Told(Story):
    """A story whose console is a text."""

    def __init__(self) -> None:
        super().__init__(console=Console(file=StringIO(), width=160, highlight=False), clock=SystemClock())

    @property
    def text(self) -> str:
        file = self.console.file
        assert isinstance(file, StringIO)
        return file.getvalue()


@pytest.mark.timeout(120)
def test_the_demo_plays_with_the_real_service_and_everything_that_it_checks_is_so() -> None:
    ran = subprocess.run([sys.executable, "-m", "service", "demo", "--json"], capture_output=True, text=True, check=False, timeout=110)
    document = json.loads(ran.stdout)
    assert (ran.returncode, document["ok"], ran.stderr) == (0, True, "")
    assert len(document["checks"]) >= 12
    assert set(document["checks"].values()) == {True}
    assert [(one["target"], one["outcome"]) for one in document["scenes"]] == [("sandbox:checkout", "recovered"), ("sandbox:orders", "refused")]
    assert set(SHOPS) >= {"checkout", "orders"}


def test_a_check_that_failed_is_said_no_and_is_the_exit_code() -> None:
    story = Told()
    story.check("the pods run v2.4.6 again, by digest", True)
    story.check("exactly one rollback was made", [])
    _summary(story, FIRST, SECOND, 20.4)
    lines = [line.strip() for line in story.text.splitlines()]
    assert "yes  the pods run v2.4.6 again, by digest" in lines
    assert "NO   exactly one rollback was made" in lines
    assert "Something did not happen: checkout recovered, orders refused; 20 s in all." in lines
    assert (story.ok, story.exit_code) == (False, 1)
    assert _document(story, FIRST, SECOND, 20.4)["ok"] is False


def test_a_story_in_which_all_was_seen_ends_well() -> None:
    story = Told()
    story.check("the hold is open", [1])
    _summary(story, FIRST, SECOND, 20.4)
    assert "All of it happened" in story.text
    assert "NO" not in story.text
    assert (story.ok, story.exit_code) == (True, 0)


def test_a_story_in_which_nothing_was_looked_at_did_not_happen() -> None:
    assert (Told().ok, Told().exit_code) == (False, 1)


def test_the_document_names_both_scenes_with_their_operations() -> None:
    story = Told()
    story.check("the hold is open", True)
    document = json.loads(json.dumps(_document(story, FIRST, SECOND, 20.44)))
    assert (document["ok"], document["seconds"], document["checks"]) == (True, 20.4, {"the hold is open": True})
    assert [(one["operation"], one["outcome"], one["seconds"]) for one in document["scenes"]] == [
        ("op_checkout", "recovered", 10.5),
        ("op_orders", "refused", 10.5),
    ]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"kind": "accepted", "says": "HighErrorRate fires for checkout — 31 %", "body": {}}, "alert      HighErrorRate fires for checkout"),
        ({"kind": "decision", "says": "roll back", "body": {"do": "act"}}, "decide     roll back"),
        ({"kind": "verified", "says": "2 of 2 pods run it", "body": {}}, "verified   2 of 2 pods run it"),
        ({"kind": "step_done", "says": "Stop auto-sync — it is off", "body": {"step": "stop_auto_sync"}}, "act        stop auto sync: it is off"),
        ({"kind": "answer_lost", "says": "nobody answered", "body": {}}, "answer los nobody answered"),
    ],
)
def test_an_event_is_told_at_its_own_time(event: Mapping[str, Any], said: str) -> None:
    story = Told()
    _tell_event(story, {**event, "at": AT.isoformat()})
    assert story.text.rstrip() == f"  12:01:07  {said}"


@pytest.mark.parametrize("kind", ["something_new", "step_intended"])
def test_an_event_that_says_nothing_to_a_person_is_not_told(kind: str) -> None:
    story = Told()
    _tell_event(story, {"kind": kind, "says": "x", "at": AT.isoformat(), "body": {}})
    assert story.text == ""


def test_a_refusal_is_told_by_its_verdict_and_not_twice() -> None:
    story = Told()
    findings = [
        {"rule": "deploy_caused_the_alert", "answer": "pass", "says": "Errors are only on v3.1.0."},
        {"rule": "schema_is_compatible", "answer": "block", "says": "Release 1 dropped column orders.legacy_status."},
    ]
    _tell_event(story, {"kind": "verdict", "says": "no", "at": AT.isoformat(), "body": {"findings": findings}})
    _tell_event(story, {"kind": "decision", "says": "refused", "at": AT.isoformat(), "body": {"do": "refuse"}})
    assert "Errors are only on v3.1.0." in story.text
    assert "no — Release 1 dropped column orders.legacy_status." in story.text
    assert "decide" not in story.text


def test_a_verdict_without_a_block_counts_its_yeses() -> None:
    story = Told()
    findings = [{"rule": str(number), "answer": answer, "says": ""} for number, answer in enumerate(("pass", "pass", "warn"))]
    _tell_event(story, {"kind": "verdict", "says": "yes", "at": AT.isoformat(), "body": {"findings": findings}})
    assert "2 of 3 questions: yes" in story.text
