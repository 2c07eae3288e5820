from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from service.cli.demo.telling import seconds_of, shop_of, tell_event
from tests.unit.service.cli.demo.told import Told

AT = datetime(2026, 5, 4, 12, 1, 7, tzinfo=UTC)


def test_a_story_in_which_nothing_was_looked_at_did_not_happen() -> None:
    assert (Told().ok, Told().exit_code) == (False, 1)


def test_the_seconds_of_an_operation_are_those_from_its_beginning_to_its_end() -> None:
    assert seconds_of({"created_at": "2026-05-04T12:01:00Z", "done_at": "2026-05-04T12:01:10.500Z"}) == 10.5


@pytest.mark.parametrize("target", ["sandbox:checkout", "spin:prod-k8s/checkout/deployment/checkout"])
def test_a_shop_is_called_by_its_own_name_whatever_deploys_it(target: str) -> None:
    assert shop_of(target) == "checkout"


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
    tell_event(story, {**event, "at": AT.isoformat()})
    assert story.text.rstrip() == f"  12:01:07  {said}"


def test_a_long_sentence_goes_on_in_its_own_column_of_a_narrow_window() -> None:
    story = Told(columns=60)
    story.tell("blame", "release 1 (v2.5.0) is under suspicion; back to release 0", at=AT)
    story.more("db/migrations/0042.sql:2 drops a column that release 0 may still read", about="text")
    story.show("what a command prints, which is set in and may be long as well")
    assert [line.rstrip() for line in story.text.splitlines()] == [
        "  12:01:07  blame      release 1 (v2.5.0) is under",
        "                       suspicion; back to release 0",
        "                       text      db/migrations/0042.sql:2",
        "                                 drops a column that release",
        "                                 0 may still read",
        "            what a command prints, which is set in and may",
        "            be long as well",
    ]


def test_what_is_waited_for_is_said_in_a_window_and_leaves_nothing_in_a_file() -> None:
    window, file = Told(columns=60), Told()
    for story in (window, file):
        story.waits("each shop is looked at")
        story.tell("readiness", "all", at=AT)
    assert "… each shop is looked at" in window.text
    assert file.text == "  12:01:07  readiness  all\n"


@pytest.mark.parametrize("kind", ["something_new", "step_intended"])
def test_an_event_that_says_nothing_to_a_person_is_not_told(kind: str) -> None:
    story = Told()
    tell_event(story, {"kind": kind, "says": "x", "at": AT.isoformat(), "body": {}})
    assert story.text == ""


def test_a_refusal_is_told_by_its_verdict_and_not_twice() -> None:
    story = Told()
    findings = [
        {"rule": "deploy_caused_the_alert", "answer": "pass", "says": "Errors are only on v3.1.0."},
        {"rule": "schema_is_compatible", "answer": "block", "says": "Release 1 dropped column orders.legacy_status."},
    ]
    tell_event(story, {"kind": "verdict", "says": "no", "at": AT.isoformat(), "body": {"findings": findings}})
    tell_event(story, {"kind": "decision", "says": "refused", "at": AT.isoformat(), "body": {"do": "refuse"}})
    assert "Errors are only on v3.1.0." in story.text
    assert "no — Release 1 dropped column orders.legacy_status." in story.text
    assert "decide" not in story.text


def test_a_verdict_without_a_block_counts_its_yeses() -> None:
    story = Told()
    findings = [{"rule": str(number), "answer": answer, "says": ""} for number, answer in enumerate(("pass", "pass", "warn"))]
    tell_event(story, {"kind": "verdict", "says": "yes", "at": AT.isoformat(), "body": {"findings": findings}})
    assert "2 of 3 questions: yes" in story.text
