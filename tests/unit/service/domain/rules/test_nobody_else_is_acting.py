from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.facts import Key
from service.domain.model import Actor
from service.domain.rules.nobody_else_is_acting import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import JANE, ROBOT, World, world

LATER = made.ONSET + timedelta(seconds=10)


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def act(what: str, by: Actor, at: datetime = LATER, *, ours: bool = False) -> keys.Act:
    return keys.Act(what=what, by=by, at=at, says=f"{by.name} did something", ours=ours)


def running(**changes: Any) -> keys.Running:
    operation = keys.Running(
        by=ROBOT, ours=False, automated=True, phase="Running", says="waiting for pods.", since=made.STARTED, revision=made.SUSPECT.revision
    )
    return replace(operation, **changes)


def test_a_quiet_target_passes() -> None:
    finding = ask(world())
    assert (finding.answer, finding.says) == (Answer.PASS, "No operation is running. Nobody acted since the trouble began.")


@pytest.mark.parametrize("what", ["spec_edit", "operation", "history"])
def test_a_person_who_acted_since_the_trouble_began_means_hands_off(what: str) -> None:
    finding = ask(world().tell(made.ACTS, (act(what, JANE),)))
    assert finding.answer is Answer.BLOCK
    assert finding.says == "jane acted at 14:02:23, after the trouble began: jane did something."
    assert "hands off" in finding.clears


def test_a_person_who_acted_before_the_trouble_is_the_past() -> None:
    assert ask(world().tell(made.ACTS, (act("spec_edit", JANE, made.ONSET - timedelta(seconds=1)),))).answer is Answer.PASS


def test_an_act_in_the_second_of_the_onset_counts_as_after_it() -> None:
    onset = made.ONSET + timedelta(milliseconds=400)
    told = world().tell(made.ALERT_NOW, keys.AlertNow(state="firing", active_at=onset)).tell(keys.baseline(made.TARGET, onset), "sha256:spec")
    assert ask(told.tell(made.ACTS, (act("spec_edit", JANE, made.ONSET),))).answer is Answer.BLOCK


def test_what_backout_itself_did_does_not_count() -> None:
    assert ask(world().tell(made.ACTS, (act("spec_edit", Actor(kind="service", name="backout"), ours=True),))).answer is Answer.PASS


@pytest.mark.parametrize("kind", ["automation", "service"])
@pytest.mark.parametrize("what", ["spec_edit", "history"])
def test_a_tool_that_edits_or_deploys_means_hands_off_as_well(kind: str, what: str) -> None:
    assert ask(world().tell(made.ACTS, (act(what, Actor(kind=kind, name="updater")),))).answer is Answer.BLOCK


def test_an_automated_operation_since_the_trouble_began_is_a_warning() -> None:
    assert ask(world().tell(made.ACTS, (act("operation", ROBOT),))).answer is Answer.WARN


def test_somebody_without_a_name_is_somebody() -> None:
    assert ask(world().tell(made.ACTS, (act("operation", Actor(kind="user", name="")),))).says.startswith("Somebody acted at")


def test_the_suspects_own_deploy_is_no_act_of_a_person_against_us() -> None:
    late = replace(made.SUSPECT, started_at=made.ONSET, deployed_at=LATER, by=JANE)
    own = (act("operation", JANE, made.ONSET + timedelta(seconds=1)), act("history", JANE, LATER))
    assert ask(world(suspect=late).tell(made.STATE, made.state(current=late, history=(late, made.GOAL))).tell(made.ACTS, own)).answer is Answer.PASS


@pytest.mark.parametrize(("after", "answer"), [(2, Answer.PASS), (3, Answer.BLOCK)])
def test_an_operation_is_the_suspects_own_only_in_its_first_seconds(after: int, answer: Answer) -> None:
    late = replace(made.SUSPECT, started_at=made.ONSET)
    told = world(suspect=late).tell(made.STATE, made.state(history=(late, made.GOAL)))
    assert ask(told.tell(made.ACTS, (act("operation", JANE, made.ONSET + timedelta(seconds=after)),))).answer is answer


def test_a_running_operation_of_another_release_does_not_stand_for_the_suspect() -> None:
    lost = made.state(history=(made.GOAL,), current=made.GOAL, running=running(revision="f" * 40))
    assert ask(world().tell(made.STATE, lost)).answer is Answer.BLOCK
    assert "neither" not in ask(world().tell(made.STATE, lost)).says


def test_a_spec_edit_in_the_second_of_the_deploy_is_still_an_act() -> None:
    late = replace(made.SUSPECT, started_at=made.ONSET)
    told = world(suspect=late).tell(made.STATE, made.state(history=(late, made.GOAL)))
    assert ask(told.tell(made.ACTS, (act("spec_edit", JANE, made.ONSET),))).answer is Answer.BLOCK


def test_a_persons_running_operation_means_hands_off() -> None:
    finding = ask(world().tell(made.STATE, made.state(running=running(by=JANE, automated=False))))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "jane is running an operation: waiting for pods.")


def test_a_persons_stuck_operation_is_still_a_persons() -> None:
    assert ask(world().tell(made.STATE, made.state(running=running(by=JANE, automated=False, stuck=True)))).answer is Answer.BLOCK


def test_our_own_running_operation_has_to_end_first() -> None:
    assert ask(world().tell(made.STATE, made.state(running=running(ours=True)))).answer is Answer.BLOCK


def test_an_automated_deploy_of_the_suspect_is_ended_by_the_plan() -> None:
    finding = ask(world().tell(made.STATE, made.state(running=running())))
    assert finding.answer is Answer.PASS
    assert finding.says.startswith("Only the suspect's automated deploy runs; the plan ends it.")
    assert finding.adds == ("End the automated operation that deploys release 42, then wait until it is gone.",)


def test_an_automated_deploy_of_something_else_may_be_the_fix() -> None:
    finding = ask(world().tell(made.STATE, made.state(running=running(revision="f" * 40))))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "An automated operation is deploying ffffffffffff, which is not release 42.")


def test_an_automated_deploy_of_nobody_knows_what_is_unknown() -> None:
    assert ask(world().tell(made.STATE, made.state(running=running(revision="")))).answer is Answer.UNKNOWN


@pytest.mark.parametrize("by", [JANE, ROBOT], ids=["a person", "automation"])
def test_a_newer_deploy_means_asking_again(by: Actor) -> None:
    newer = replace(made.release("43", version="v2.5.1", revision="d" * 40, started_at=LATER), by=by)
    finding = ask(world().tell(made.STATE, made.state(current=newer, history=(newer, made.SUSPECT, made.GOAL))))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "Release 43 (v2.5.1 · ddddddd) was deployed at 14:02:23, after release 42.")


def test_a_person_who_asks_without_an_incident_is_told_of_a_newer_deploy_too() -> None:
    newer = made.release("43", version="", revision="d" * 40, started_at=LATER)
    assert ask(world(trigger=None).tell(made.STATE, made.state(history=(newer, made.SUSPECT)))).answer is Answer.BLOCK


def test_a_suspect_that_is_still_being_deployed_is_not_in_the_history_yet() -> None:
    assert ask(world().tell(made.STATE, made.state(history=(made.GOAL,), current=made.GOAL, running=running()))).answer is Answer.PASS


def test_a_suspect_that_is_nowhere_is_unknown() -> None:
    assert ask(world().tell(made.STATE, made.state(history=(made.GOAL,)))).answer is Answer.UNKNOWN


def test_a_spec_that_differs_from_the_one_before_the_trouble_means_hands_off() -> None:
    finding = ask(world().tell(made.STATE, made.state(spec_digest="sha256:other")))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "The target's spec was edited since it was last read before the trouble began.")


@pytest.mark.parametrize("key", [made.STATE, made.ALERT_NOW, made.ACTS, made.BASELINE], ids=["state", "onset", "acts", "baseline"])
def test_what_nobody_could_read_is_unknown(key: Key[object]) -> None:
    finding = ask(world().hide(key))
    assert finding.answer is Answer.UNKNOWN
    assert "the connection was refused" in finding.says


def test_a_spec_that_could_not_be_read_is_unknown() -> None:
    assert ask(world().tell(made.STATE, made.state(spec_digest=""))).answer is Answer.UNKNOWN


def test_without_a_suspect_nobody_can_say_what_came_after_it() -> None:
    assert ask(world(suspect=None)).answer is Answer.UNKNOWN


def test_a_persons_act_speaks_before_what_is_not_known() -> None:
    finding = ask(world().tell(made.ACTS, (act("spec_edit", JANE),)).hide(made.BASELINE))
    assert finding.answer is Answer.BLOCK


def test_without_an_incident_only_the_target_is_asked_for() -> None:
    quiet = world(trigger=None)
    assert set(quiet.gathered(RULE)) == {made.STATE}
    assert ask(quiet).says == "No operation is running. Nothing newer was deployed."


FAILED = replace(made.SUSPECT, handle="")


def half_deployed(**changes: Any) -> World:
    values: dict[str, Any] = {"history": (made.GOAL,), "current": made.GOAL, "attempted": FAILED, "failed_newer": "a deploy failed"}
    return world(suspect=FAILED).tell(made.STATE, made.state(**(values | changes)))


def test_a_suspect_whose_deploy_failed_is_in_no_history() -> None:
    assert ask(half_deployed()).answer is Answer.PASS


def test_another_deploy_that_failed_is_not_the_suspect() -> None:
    assert ask(half_deployed(attempted=replace(FAILED, key="another"))).answer is Answer.UNKNOWN


def test_a_newer_release_than_the_failed_one_means_hands_off() -> None:
    newer = made.release("43", version="", revision="d" * 40, started_at=LATER)
    assert ask(half_deployed(history=(newer, made.GOAL))).answer is Answer.BLOCK


def test_promise_5_a_failed_deploy_that_a_person_tries_again_is_theirs() -> None:
    assert ask(half_deployed(running=running(automated=False, by=made.JANE))).answer is Answer.BLOCK


@pytest.mark.parametrize("incident", [True, False])
def test_promise_5_what_somebody_changed_by_hand_is_not_overwritten_without_a_person(incident: bool) -> None:
    changed = world(**({} if incident else {"trigger": None})).tell(made.STATE, made.state(drifted=(made.CONFIG_MAP,)))
    finding = ask(changed)
    assert (finding.answer, finding.says) == (
        Answer.WARN,
        "ConfigMap shop/flags is not as release 42 made it: somebody changed that by hand, nobody can say when. Going back overwrites it.",
    )


EXAMPLES: made.Examples = {
    "nobody acts": world(),
    "a person edited the spec since": world().tell(made.ACTS, (act("spec_edit", JANE),)),
    "the automated deploy of the suspect still runs": world().tell(made.STATE, made.state(running=running())),
    "a person's sync runs": world().tell(made.STATE, made.state(running=running(by=JANE, automated=False))),
    "events cannot be read": world().hide(made.ACTS),
}


def test_a_deploy_that_measures_in_a_canary_analysis_is_ended_too() -> None:
    state = made.state(running=running(measures=True))
    finding = ask(world().tell(made.STATE, state))
    assert finding.answer is Answer.PASS
    assert "runs and measures it in a canary analysis; the plan ends it." in finding.says


def test_a_canary_that_nobody_will_clean_up_is_a_warning_that_names_it() -> None:
    left = keys.CanaryPart(role="canary", name="web-canary-v003", account="prod", location="us-east-1")
    finding = ask(world().tell(made.STATE, made.state(running=running(measures=True, canary=(left,)))))
    assert finding.answer is Answer.WARN
    assert "skips the clean-up of its canary analysis: server group web-canary-v003 (canary, us-east-1) stays" in finding.says
    assert finding.adds == (f"End the automated operation that deploys release {made.SUSPECT.name}, then wait until it is gone.",)
