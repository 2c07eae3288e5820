import pytest

from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed


def test_a_check_that_blocks_reads_worst_first(golden: Golden) -> None:
    golden("check-block", render.check(documents.check(), NOW))


def test_a_check_that_differs_from_what_stood_says_so() -> None:
    shown = printed(render.check(documents.check(readiness=documents.readiness()), NOW))
    assert "it stood at pass when it was looked at 10 min ago" in shown
    assert "it stood at" not in printed(render.check(documents.passing(readiness=documents.readiness()), NOW))


def test_a_check_shows_the_passes_with_their_evidence_when_asked(golden: Golden) -> None:
    golden("check-pass-all", render.check(documents.passing(hold=documents.HOLD, operation=documents.OPERATION), NOW, everything=True))


def test_a_check_with_a_warning_names_what_an_approval_has_to_name(golden: Golden) -> None:
    golden("check-warn", render.check(documents.check(verdict="warn", findings=[*documents.PASSES, documents.WARN], must_name=["caches_stay_coherent"]), NOW))


@pytest.mark.parametrize("way", ["rollback", "abort"])
def test_a_check_with_an_unknown_says_how_to_decide_by_whichever_way_leads_back(way: str) -> None:
    document = documents.check(verdict="unknown", recommended={"way": way, "because": "Nobody knows."}, findings=documents.PASSES)
    assert "Find out what is missing above, or decide, naming each unknown: backout rollback" in printed(render.check(document, NOW))


def test_a_check_without_a_goal_says_that_there_is_none() -> None:
    shown = printed(
        render.check(documents.check(verdict="unknown", to=None, plan_digest=None, findings=[], recommended={"way": "none", "because": "nobody knows"}), NOW)
    )
    assert "57 (v3.1.0 · 9c1e2ab) → nothing to go back to" in shown
    assert "not known whether it can go back" in shown
    assert "nobody was asked" in shown
    assert "Why: nobody knows" in shown


@pytest.mark.parametrize("verdict", ["pass", "warn"])
def test_a_good_verdict_without_a_plan_is_not_shown_as_a_way_back(verdict: str) -> None:
    shown = printed(render.check(documents.passing(plan_digest=None) | {"verdict": verdict}, NOW))
    assert "there is no way back to offer" in shown
    assert "can go back" not in shown
    assert "To go back" not in shown


def test_an_unknown_verdict_says_how_a_person_may_decide() -> None:
    shown = printed(render.check(documents.check(verdict="unknown", findings=[documents.UNKNOWN], recommended={"way": "rollback", "because": ""}), NOW))
    assert "naming each unknown: backout rollback prod:team-a/orders" in " ".join(shown.split())


def test_a_verdict_in_a_word_of_the_future_is_not_known() -> None:
    assert "not known (perhaps)" in printed(render.check(documents.check(verdict="perhaps"), NOW))
