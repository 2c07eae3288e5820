from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain import keys
from service.domain.difference import Rendered
from service.domain.facts import Key
from service.domain.model import Source, Way
from service.domain.rules.goal_release_is_exact_and_was_healthy import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def going_back_to(revision: str) -> World:
    goal = replace(made.GOAL, sources=(made.source(revision),))
    return world(goal=goal).tell(made.STATE, made.state(history=(made.SUSPECT, goal)))


def test_an_exact_release_of_the_history_that_was_healthy_passes() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.says == (
        "Release 41 (v2.4.6 · beef000) is one exact entry of the history. Release 41 names exact revisions. It was healthy for 23 h while Backout watched it."
    )
    assert {one.what for one in finding.evidence} == {str(made.STATE), str(made.RECORD_OLD)}


@pytest.mark.parametrize("revision", ["a" * 40, "b" * 64, "sha256:" + "c" * 64])
def test_a_commit_and_a_digest_are_exact(revision: str) -> None:
    assert ask(going_back_to(revision)).answer is Answer.PASS


def chart(revision: str, *, ran: str | None = "a", today: str = "a") -> World:
    """A goal that is a chart's version, with the digest of what it rendered to then (None = not seen) and today."""
    objects = None if ran is None else ((made.CONFIG_MAP, ran),)
    record = replace(made.record(made.GOAL, made.OLD_IMAGE), objects=objects)
    return going_back_to(revision).tell(made.RECORD_OLD, record).tell(MANIFESTS, (Rendered(object=made.CONFIG_MAP, digest=today),))


MANIFESTS = keys.manifests(made.TARGET, made.GOAL.key, made.GOAL.handle)


@pytest.mark.parametrize("revision", ["1.2.3", "v1.2.3", "0.1.0-rc.1+build.5"])
def test_a_chart_version_is_exact_while_it_renders_to_what_ran(revision: str) -> None:
    finding = ask(chart(revision))
    assert finding.answer is Answer.PASS
    assert f"Chart version {revision} still renders to what ran." in finding.says
    assert str(MANIFESTS) in {one.what for one in finding.evidence}


def test_a_chart_version_that_was_published_again_is_unknown() -> None:
    finding = ask(chart("1.2.3", today="b"))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == (f"Chart version 1.2.3 of release 41 was published again: {made.CONFIG_MAP} renders to something else today than what ran.")


@pytest.mark.parametrize("of", [chart("1.2.3", ran=None), chart("1.2.3").hide(MANIFESTS), chart("1.2.3").hide(made.RECORD_OLD)])
def test_promise_1_a_chart_version_that_cannot_be_compared_is_unknown(of: World) -> None:
    finding = ask(of)
    assert finding.answer is Answer.UNKNOWN
    assert "Whether chart version 1.2.3 of release 41 still is what ran is unknown: " in finding.says


@pytest.mark.parametrize("revision", ["main", "HEAD", "latest", "", "a" * 39, "1.2", "1.x", "~1.2.3", "refs/heads/main", "A" * 40 + "!"])
def test_a_revision_that_can_mean_something_else_today_is_unknown(revision: str) -> None:
    finding = ask(going_back_to(revision))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == f"Release 41 names {revision or 'an empty revision'} of git.example/shop/deploy, which can mean something else today."


def test_every_source_of_the_release_has_to_be_exact() -> None:
    goal = replace(made.GOAL, sources=(made.source("a" * 40), Source(repository="git.example/values", path="", revision="main")))
    assert ask(world(goal=goal).tell(made.STATE, made.state(history=(made.SUSPECT, goal)))).answer is Answer.UNKNOWN


def test_a_release_without_sources_is_unknown() -> None:
    goal = replace(made.GOAL, sources=())
    assert ask(world(goal=goal).tell(made.STATE, made.state(history=(made.SUSPECT, goal)))).answer is Answer.UNKNOWN


def test_a_release_that_left_the_history_is_a_no() -> None:
    finding = ask(world().tell(made.STATE, made.state(history=(made.SUSPECT,))))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "Release 41 (v2.4.6 · beef000) is no longer in the history.")


def test_a_history_id_that_was_given_anew_is_a_no() -> None:
    moved = replace(made.GOAL, handle="3")
    finding = ask(world().tell(made.STATE, made.state(history=(made.SUSPECT, moved))))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "Release 41 (v2.4.6 · beef000) now has the history id 3.")


def test_the_same_history_id_with_another_release_behind_it_is_a_no() -> None:
    other = replace(made.GOAL, key="key-of-another")
    assert ask(world().tell(made.STATE, made.state(history=(made.SUSPECT, other)))).answer is Answer.BLOCK


def test_what_runs_already_is_nothing_to_go_back_to() -> None:
    finding = ask(world().tell(made.STATE, made.state(current=made.GOAL)))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "Release 41 (v2.4.6 · beef000) is what runs already.")


def test_no_goal_release_is_a_no_with_the_reason() -> None:
    finding = ask(world(goal=None, why_none="no earlier release is known to go back to"))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "No earlier release is known to go back to.")


def test_no_goal_release_and_no_reason_is_a_no_all_the_same() -> None:
    assert ask(world(goal=None)).says == "No release is known to go back to."


def test_promise_1_an_outage_of_the_delivery_system_takes_no_way_back_away() -> None:
    finding = ask(world(goal=None, why_none="the state is not known").hide(made.STATE))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says.startswith("Which release is live is unknown")
    assert finding.clears


@pytest.mark.parametrize("health", ["Degraded", "Missing"])
def test_a_release_that_was_unhealthy_when_last_seen_is_a_no(health: str) -> None:
    finding = ask(world().tell(made.RECORD_OLD, made.record(made.GOAL, made.OLD_IMAGE, last_health=health)))
    assert (finding.answer, finding.says) == (Answer.BLOCK, f"Release 41 was {health} when Backout last saw it live, at 14:02:07.")


@pytest.mark.parametrize("health", ["Healthy", "Progressing", "Suspended"])
def test_how_a_good_release_may_look_in_its_last_moment_passes(health: str) -> None:
    assert ask(world().tell(made.RECORD_OLD, made.record(made.GOAL, made.OLD_IMAGE, last_health=health))).answer is Answer.PASS


@pytest.mark.parametrize("health", ["", "Unknown"])
def test_a_last_health_that_says_nothing_is_a_warning(health: str) -> None:
    finding = ask(world().tell(made.RECORD_OLD, made.record(made.GOAL, made.OLD_IMAGE, last_health=health)))
    assert (finding.answer, finding.says) == (Answer.WARN, f"Release 41 was healthy for 23 h, but its last health is {health or 'not known'}.")


@pytest.mark.parametrize(("healthy_for", "answer"), [(0, Answer.WARN), (299, Answer.WARN), (300, Answer.PASS)])
def test_healthy_for_less_than_the_policy_asks_is_a_warning(healthy_for: int, answer: Answer) -> None:
    finding = ask(world().tell(made.RECORD_OLD, made.record(made.GOAL, made.OLD_IMAGE, healthy_for=timedelta(seconds=healthy_for))))
    assert finding.answer is answer
    assert answer is Answer.PASS or "the policy asks for 5 min" in finding.says


@pytest.mark.parametrize("key", [made.STATE, made.RECORD_OLD], ids=["state", "record"])
def test_what_nobody_could_read_is_unknown(key: Key[object]) -> None:
    finding = ask(world().hide(key))
    assert (finding.answer, finding.clears) == (Answer.UNKNOWN, "Try again.")


def test_a_release_that_backout_never_watched_is_unknown() -> None:
    finding = ask(world().forget(made.RECORD_OLD))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says.startswith("Whether release 41 was ever healthy is unknown: no source answers the record of")


def test_a_no_speaks_before_what_is_not_known() -> None:
    finding = ask(going_back_to("main").tell(made.RECORD_OLD, made.record(made.GOAL, None, last_health="Degraded")))
    assert finding.answer is Answer.BLOCK
    assert "main" not in finding.says


@pytest.mark.parametrize("what", ["registry.example/web ran as sha256:aaaa and later as sha256:bbbb", "apps/Deployment shop/web was rendered in two ways"])
def test_promise_1_a_release_under_which_something_moved_is_no_exact_thing(what: str) -> None:
    finding = ask(world().tell(made.RECORD_OLD, replace(made.record(made.GOAL, made.OLD_IMAGE), moved=what)))
    assert (finding.answer, finding.says) == (Answer.UNKNOWN, f"Release 41 is no exact thing: while it was the same release, {what}.")
    assert "named by digest" in finding.clears


def test_the_newest_entry_is_a_goal_while_part_of_a_failed_deploy_lies_over_it() -> None:
    failed = replace(made.SUSPECT, handle="")
    over = made.state(current=made.GOAL, history=(made.GOAL,), attempted=failed, failed_newer="a deploy failed")
    assert ask(world(suspect=failed).tell(made.STATE, over)).answer is Answer.PASS
    assert ask(world().tell(made.STATE, made.state(current=made.GOAL, history=(made.GOAL,)))).answer is Answer.BLOCK


@pytest.mark.parametrize(
    ("limit", "words"), [(0, "no releases of it are kept"), (1, "1 release of it is kept"), (5, "5 releases of it are kept"), (None, "history.")]
)
def test_a_release_that_was_trimmed_is_a_no_for_a_rollback_and_a_question_to_git(limit: int | None, words: str) -> None:
    gone = world(goal=replace(made.GOAL, handle="")).tell(made.STATE, made.state(history=(made.SUSPECT,), history_limit=limit))
    refused = ask(gone)
    assert (refused.answer, refused.instead, words in refused.says) == (Answer.BLOCK, Way.GIT_REVERT, True)
    gone.way = Way.GIT_REVERT
    through_git = ask(gone)
    assert through_git.answer is Answer.WARN
    assert "only Git can bring it back" in through_git.says


EXAMPLES: made.Examples = {
    "an exact release that was well for a day": world(),
    "it ran for a minute only": world().tell(made.RECORD_OLD, made.record(made.GOAL, made.OLD_IMAGE, healthy_for=timedelta(minutes=1))),
    "it was burning itself": world().tell(made.RECORD_OLD, made.record(made.GOAL, made.OLD_IMAGE, last_health="Degraded")),
    "the history has forgotten it": world().tell(made.STATE, made.state(history=(made.SUSPECT,), history_limit=1)),
    "it is a branch, not a commit": going_back_to("main"),
}
