from datetime import timedelta
from typing import Any

import pytest

from service.domain.model import Way
from service.domain.rules.no_rollout_step_is_in_the_way import RULE, where
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, rolled_out, rollout, rollout_back, world

HALFWAY: dict[str, Any] = {"stable": "good", "current": "bad", "step": 1, "steps": 2, "waiting": True}
PROMOTED: dict[str, Any] = {"stable": "bad", "current": "bad", "step": 2, "steps": 2}
ENDLESS = "step 2 of 2 pauses until a person goes on"


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def test_a_target_without_rollouts_passes_without_asking_for_more() -> None:
    assert (ask(world()).answer, ask(world()).says) == (Answer.PASS, "Nothing here rolls out in steps of its own.")
    assert world().gathered(RULE).keys() == {made.STATE}


def test_a_canary_halfway_is_aborted_first_by_the_way_that_does_so() -> None:
    finding = ask(rolled_out(world(way=Way.ABORT), HALFWAY, {"skips": "stable"}))
    assert finding.answer is Answer.PASS
    assert finding.says == "Rollout checkout waits at step 1 of 2; release 41 is still its stable one: the plan aborts it first, which leaves only that."
    assert {one.what for one in finding.evidence} == {str(made.STATE), str(made.ROLLOUTS), str(made.ROLLOUTS_BACK)}


def test_by_the_plain_rollback_it_goes_back_without_steps_as_well() -> None:
    finding = ask(rolled_out(world(), HALFWAY, {"skips": "stable"}))
    assert (finding.answer, finding.says) == (
        Answer.PASS,
        "Rollout checkout waits at step 1 of 2; release 41 is its stable one: it goes back without steps.",
    )


@pytest.mark.parametrize(
    ("skips", "says"),
    [
        ("window", "Rollout checkout is promoted in full; release 41 lies within its rollback window: it goes back without steps."),
        ("none", "Rollout checkout is promoted in full and has no steps: it goes back as fast as its pods get ready."),
    ],
)
def test_what_spares_it_the_steps_passes_and_is_named(skips: str, says: str) -> None:
    finding = ask(rolled_out(world(), PROMOTED, {"skips": skips}))
    assert (finding.answer, finding.says) == (Answer.PASS, says)


def test_steps_that_end_by_themselves_warn_and_say_how_long_they_take() -> None:
    finding = ask(rolled_out(world(), PROMOTED, {"steps": 4, "waits": timedelta(minutes=12)}))
    assert finding.answer is Answer.WARN
    assert finding.says == "Rollout checkout would run its 4 steps again, which takes at least 12 min; until then pods of release 42 serve."
    assert "promote_full" in finding.clears
    assert "rollbackWindow" in finding.clears


def test_one_step_without_a_pause_warns_in_the_singular() -> None:
    assert ask(rolled_out(world(), PROMOTED, {"steps": 1})).says == "Rollout checkout would run its 1 step again; until then pods of release 42 serve."


def test_promise_1_steps_whose_end_nobody_knows_are_unknown_and_so_never_automatic() -> None:
    finding = ask(rolled_out(world(), PROMOTED, {"steps": 2, "open_ended": (ENDLESS,)}))
    assert (finding.answer, RULE.gate) == (Answer.UNKNOWN, True)
    assert finding.says == f"When Rollout checkout would be back is unknown: {ENDLESS}; until then pods of release 42 serve."


def test_where_the_policy_allows_a_full_promotion_the_steps_pass_and_what_is_skipped_is_named() -> None:
    finding = ask(rolled_out(world(), PROMOTED, {"steps": 2, "open_ended": (ENDLESS,)}, promote_full=True))
    assert finding.answer is Answer.PASS
    assert finding.says == f"Rollout checkout is promoted in full; after the rollback the plan promotes it in full, which skips its 2 steps, with {ENDLESS}."
    short = ask(rolled_out(world(), PROMOTED, {"steps": 2}, promote_full=True))
    assert short.says.endswith("which skips its 2 steps.")


@pytest.mark.parametrize("way", [Way.PIN, Way.GIT_REVERT])
def test_where_nothing_is_promoted_afterwards_the_policy_spares_it_nothing(way: Way) -> None:
    finding = ask(rolled_out(world(way=way), PROMOTED, {"steps": 2, "open_ended": (ENDLESS,)}, promote_full=True))
    assert finding.answer is Answer.UNKNOWN


def test_a_rollout_that_the_goal_does_not_have_stays_and_warns() -> None:
    finding = ask(rolled_out(world(), PROMOTED, {"skips": "absent"}))
    assert (finding.answer, finding.says) == (Answer.WARN, "Release 41 does not have Rollout checkout: it stays as it is.")


@pytest.mark.parametrize("key", [made.STATE, made.ROLLOUTS, made.ROLLOUTS_BACK], ids=["state", "rollouts", "back"])
def test_promise_1_what_cannot_be_read_is_unknown(key: Any) -> None:
    finding = ask(rolled_out(world(), HALFWAY, {"skips": "stable"}).hide(key))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == "Whether roll-out steps hold the way back up is unknown: the connection was refused."


def test_promise_1_a_rollout_that_one_of_the_reads_does_not_have_is_unknown() -> None:
    finding = ask(rolled_out(world(), HALFWAY, {"skips": "stable"}).tell(made.ROLLOUTS_BACK, ()))
    assert (finding.answer, "Rollout shop/checkout was not there" in finding.says) == (Answer.UNKNOWN, True)


def test_without_a_release_to_go_back_to_nothing_is_said_to_be_quick() -> None:
    assert ask(rolled_out(world(goal=None), HALFWAY, {"skips": "stable"})).answer is Answer.UNKNOWN
    assert ask(rolled_out(world(suspect=None), HALFWAY, {"skips": "stable"})).answer is Answer.UNKNOWN


def test_of_several_rollouts_the_worst_speaks() -> None:
    of = rolled_out(world(), HALFWAY, {"skips": "stable"})
    other = made.rollout(name="worker", **PROMOTED)
    of.tell(made.STATE, made.state(objects=(rollout().object, other.object)))
    of.tell(made.ROLLOUTS, (rollout(**HALFWAY), other))
    of.tell(made.ROLLOUTS_BACK, (rollout_back(skips="stable"), rollout_back(name="worker", steps=2, waits=timedelta(seconds=30))))
    finding = ask(of)
    assert (finding.answer, finding.says.startswith("Rollout worker would run its 2 steps again")) == (Answer.WARN, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (PROMOTED, "is promoted in full"),
        (HALFWAY, "waits at step 1 of 2"),
        (HALFWAY | {"waiting": False}, "is on its way at step 1 of 2"),
        (HALFWAY | {"aborted": True}, "was aborted already"),
        (HALFWAY | {"steps": 0, "analyses": ("analysis web-2",)}, "waits under analysis web-2"),
    ],
)
def test_where_it_stands_is_said_in_words(changes: dict[str, Any], says: str) -> None:
    assert where(rollout(**changes)) == says


EXAMPLES: made.Examples = {
    "nothing rolls out in steps": world(),
    "a canary half-way": rolled_out(world(), HALFWAY, {"skips": "stable"}),
    "promoted in full, with steps of known length": rolled_out(world(), PROMOTED, {"steps": 4, "waits": timedelta(minutes=12)}),
    "promoted in full, with a pause for a person": rolled_out(world(), PROMOTED, {"steps": 2, "open_ended": (ENDLESS,)}),
}
