from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.evaluation import asked, evaluate, needed
from service.domain.facts import Facts, Key
from service.domain.model import Way
from service.domain.policy import Waiver
from service.domain.rule import Case, Rule
from service.domain.verdict import Answer, Finding, blocks, passes, unknown, warns
from tests.unit.service.domain import made
from tests.unit.service.domain.made import world

KEY: Key[int] = Key("number")
OTHER: Key[int] = Key("other number")


def rule(name: str, finding: Finding | None = None, **changes: Any) -> Rule:
    return Rule(name=name, question="?", ask=lambda _: finding or passes("Yes."), **changes)


def broken(_: Case) -> Finding:
    raise KeyError("secret-token")


def broken_needs(_: Case) -> Iterable[Key[Any]]:
    raise ZeroDivisionError


def nonsense(_: Case) -> Finding:
    return None  # type: ignore[return-value]  # a rule with a defect


def test_every_rule_is_asked_also_after_a_no_and_in_order() -> None:
    rules = [rule("a", blocks("No.", clears="x")), rule("b", warns("Perhaps.", clears="y")), rule("c")]
    verdict = evaluate(world().case(), rules, automatic=True)
    assert [(finding.rule, finding.answer.word) for finding in verdict.findings] == [("a", "block"), ("b", "warn"), ("c", "pass")]
    assert (verdict.worst, verdict.as_of, verdict.way) == (Answer.BLOCK, made.NOW, Way.ROLLBACK)


def test_a_finding_bears_its_rules_name_and_whether_it_is_a_gate() -> None:
    verdict = evaluate(world().case(), [rule("a", passes("Yes.")), rule("b", gate=False)], automatic=True)
    assert [(finding.rule, finding.gate) for finding in verdict.findings] == [("a", True), ("b", False)]


def test_a_rule_cannot_pose_as_another() -> None:
    finding = replace(passes("Yes."), rule="somebody_else", gate=False, waived="by myself")
    assert evaluate(world().case(), [rule("a", finding)], automatic=True).findings == (replace(passes("Yes."), rule="a", gate=True),)


@pytest.mark.parametrize("ask", [broken, nonsense], ids=["raises", "answers nonsense"])
def test_a_rule_with_a_defect_is_unknown_and_its_message_does_not_leak(ask: Any) -> None:
    verdict = evaluate(world().case(), [Rule(name="a", question="?", ask=ask), rule("b")], automatic=True)
    assert verdict.worst is Answer.UNKNOWN
    assert verdict.findings[0].says.startswith("The rule a failed: ")
    assert "secret-token" not in str(verdict.findings)
    assert verdict.findings[1].answer is Answer.PASS


def test_no_rules_is_not_a_pass() -> None:
    verdict = evaluate(world().case(), [], automatic=True)
    assert (verdict.worst, verdict.recommended, verdict.because) == (Answer.UNKNOWN, Way.NONE, "Nobody was asked.")


def test_incident_rules_are_not_asked_without_an_incident() -> None:
    rules = (rule("a", needs_incident=True), rule("b"))
    assert [one.name for one in asked(world(trigger=None).case(), rules, automatic=False)] == ["b"]
    assert [one.name for one in asked(world().case(), rules, automatic=False)] == ["a", "b"]


def test_rules_for_automation_are_not_asked_of_a_person() -> None:
    rules = (rule("a", for_automatic=True), rule("b"))
    assert [one.name for one in asked(world().case(), rules, automatic=False)] == ["b"]
    assert [one.name for one in asked(world().case(), rules, automatic=True)] == ["a", "b"]


def test_what_is_needed_is_what_the_rules_name_and_nobody_read_yet() -> None:
    rules = [rule("a", needs=lambda _: (KEY, OTHER)), rule("b", needs=lambda _: (KEY,)), rule("c")]
    case = world().case()
    assert needed(case, rules) == {KEY, OTHER}
    assert needed(replace(case, facts=Facts({KEY: made.known(1)}, made.NOW)), rules) == {OTHER}
    assert needed(replace(case, facts=Facts({KEY: made.ABSENT}, made.NOW)), rules) == {OTHER}


def test_a_rule_whose_needs_have_a_defect_does_not_keep_the_others_from_their_facts() -> None:
    assert needed(world().case(), [rule("a", needs=broken_needs), rule("b", needs=lambda _: (KEY,))]) == {KEY}


def test_all_yes_recommends_the_way_that_was_asked_about() -> None:
    verdict = evaluate(world().case(), [rule("a")], automatic=True)
    assert (verdict.recommended, verdict.because) == (Way.ROLLBACK, "Every question has a yes.")


def test_a_doubt_keeps_the_way_and_gives_its_sentence_unknown_first() -> None:
    verdict = evaluate(world().case(), [rule("a", warns("Perhaps.", clears="")), rule("b", unknown("Who knows.", clears=""))], automatic=True)
    assert (verdict.recommended, verdict.because) == (Way.ROLLBACK, "Who knows.")


def test_a_block_that_knows_a_better_way_is_the_recommendation() -> None:
    rules = [rule("a", blocks("No.", clears="")), rule("b", blocks("Column gone.", clears="", instead=Way.HOTFIX))]
    verdict = evaluate(world().case(), rules, automatic=True)
    assert (verdict.recommended, verdict.because) == (Way.HOTFIX, "Column gone.")


def test_blocks_without_a_better_way_recommend_none() -> None:
    verdict = evaluate(world().case(), [rule("a", blocks("No.", clears="")), rule("b", blocks("Neither.", clears=""))], automatic=True)
    assert (verdict.recommended, verdict.because) == (Way.NONE, "No.")


def waived(days: int, finding: Finding) -> Finding:
    policy = replace(made.POLICY, waivers=(Waiver(rule="a", reason="known and harmless", expires=made.NOW + timedelta(days=days)),))
    return evaluate(world(policy=policy).case(), [rule("a", finding)], automatic=True).findings[0]


@pytest.mark.parametrize("finding", [warns("Perhaps.", clears=""), unknown("Who knows.", clears="")], ids=["warn", "unknown"])
def test_a_waiver_lets_a_doubt_pass_until_it_expires(finding: Finding) -> None:
    assert waived(1, finding).waived == "waived until 2026-05-05: known and harmless"
    assert waived(0, finding).waived == ""


@pytest.mark.parametrize("finding", [passes("Yes."), blocks("No.", clears="")], ids=["pass", "block"])
def test_a_waiver_says_nothing_about_a_yes_and_never_lets_a_no_pass(finding: Finding) -> None:
    assert waived(1, finding).waived == ""
