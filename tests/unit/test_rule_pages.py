from pathlib import Path

import pytest

from service.domain.rule import Rule
from service.domain.rules import RULES
from service.domain.verdict import Answer
from tests import rule_pages


def test_the_pages_are_what_the_rules_say_today() -> None:
    assert list(rule_pages.differing()) == [], "run: make rule-pages"


def test_a_page_that_was_changed_by_hand_is_missing_or_has_no_rule_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_pages, "FOLDER", tmp_path)
    (tmp_path / "gone.md").write_text("a rule that is gone", encoding="utf-8")
    rule_pages.write()
    assert list(rule_pages.differing()) == []
    (tmp_path / "README.md").write_text("by hand", encoding="utf-8")
    (tmp_path / "goal_images_exist.md").unlink()
    (tmp_path / "another.md").write_text("", encoding="utf-8")
    assert list(rule_pages.differing()) == ["README.md", "another.md", "goal_images_exist.md"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rules_examples_show_a_yes_an_unknown_and_never_repeat_a_sentence(rule: Rule) -> None:
    answers = [rule.ask(world.gathered_case(rule)) for world in rule_pages.given(rule).values()]
    assert {Answer.PASS, Answer.UNKNOWN} <= {finding.answer for finding in answers}
    assert len({finding.told for finding in answers}) == len(answers)
    assert all(finding.clears for finding in answers if finding.answer is not Answer.PASS)


HEADLINE = 100
"""Characters that a person reads at a glance: beyond them there belong lines of evidence."""

LONGER = frozenset(
    {
        "automation_has_room",
        "configuration_is_as_it_was",
        "deploy_caused_the_alert",
        "goal_images_exist",
        "goal_release_is_exact_and_was_healthy",
        "no_rollout_step_is_in_the_way",
        "no_sync_window_is_in_the_way",
        "own_pipeline_is_safe_to_start",
        "prune_deletes_no_data",
        "release_differs_where_the_bad_one_did",
        "rollback_will_stay",
        "schema_is_compatible",
        "server_group_can_take_over",
    }
)
"""Rules that still say too much in one sentence. A rule that has learned not to leaves the list."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rules_sentences_are_headlines(rule: Rule) -> None:
    longest = max((rule.ask(world.gathered_case(rule)).says for world in rule_pages.given(rule).values()), key=len)
    assert (len(longest) > HEADLINE) == (rule.name in LONGER), longest


def test_a_section_that_is_missing_is_named() -> None:
    intro, sections = rule_pages.read("It holds.\n\nMore of it.\n\nProblem: one\ntwo\n\nthree: and four.\n\nRead: five")
    assert (intro, dict(sections)) == ("It holds.\n\nMore of it.", {"Problem": "one two\n\nthree: and four.", "Read": "five"})
