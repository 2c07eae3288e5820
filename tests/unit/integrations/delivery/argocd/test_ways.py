import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.argocd import reading, ways
from service.domain import keys
from service.domain.facts import Evidence, Facts, Key, Known
from service.domain.keys import Owner, Rollout, RolloutBack, Running, TargetState
from service.domain.model import Actor, ObjectRef, Release, Source, TargetId, Way, release_key
from service.domain.planning.plan import Offer, Step
from service.domain.policy import TargetPolicy
from service.domain.rule import Case
from tests.unit.service.domain import made

NOW = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)
WEB = TargetId("prod", "web")


def release(handle: str, revision: str, repository: str = "https://git.example/web") -> Release:
    sources = (Source(repository=repository, path="deploy", revision=revision),)
    return Release(target=WEB, key=release_key(sources), handle=handle, sources=sources, started_at=NOW)


GOOD, BAD = release("0", "a" * 40), release("1", "b" * 40)
STATE = TargetState(
    target=WEB,
    uid="uid-1",
    title="web",
    project="shop",
    current=BAD,
    history=(BAD, GOOD),
    desired_revision=BAD.revision,
    auto_sync=False,
    remembered={},
    owner=Owner(kind="nobody"),
    running=None,
    health="Degraded",
    spec_digest="sha256:1",
    objects=(),
)
AUTOMATED = {"prune": True, "selfHeal": True}
AUTO = replace(STATE, auto_sync=True, remembered={"automated": AUTOMATED})


def case(state: TargetState | None, **changes: Any) -> Case:
    known = {} if state is None else {keys.state(WEB): Known(value=state, evidence=Evidence(source="t", what="t", read_at=NOW), good_for=timedelta(minutes=1))}
    made = Case(target=WEB, policy=TargetPolicy(), suspect=BAD, goal=GOOD, way=Way.NONE, facts=Facts(known=known, now=NOW))
    return replace(made, **changes)


def offer(state: TargetState | None, **changes: Any) -> Offer:
    (only,) = ways.offers(case(state, **changes))
    assert only.way is Way.ROLLBACK
    return only


def everything(steps: tuple[Step, ...]) -> list[Step]:
    return [each for step in steps for each in (step, step.undo) if each is not None]


def test_without_auto_sync_the_controller_is_proven_then_the_release_rolled_back_then_marked() -> None:
    found = offer(STATE)
    assert [(s.name, s.effect, s.optional) for s in found.steps] == [("prove_controller", False, False), ("roll_back", True, False), ("mark_hold", True, True)]
    assert found.permissions == ("get", "sync")
    assert not found.impossible


def test_with_auto_sync_it_is_stopped_first_and_the_slot_cleared() -> None:
    found = offer(AUTO)
    assert [s.name for s in found.steps] == ["stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]
    assert found.permissions == ("get", "sync", "update")
    stop = found.steps[0]
    assert stop.parameters["remembered"] == {"automated": AUTOMATED}
    assert stop.undo is not None
    assert (stop.undo.name, stop.undo.parameters["after_rollback"]) == ("restore_auto_sync", False)


@pytest.mark.parametrize("state", [STATE, AUTO])
def test_every_step_is_an_order_with_a_command_that_can_be_typed_as_it_is(state: TargetState) -> None:
    for step in everything(offer(state).steps):
        assert all((step.says, step.done_when, step.command)), step.name
        words = shlex.split(step.command)
        assert words[:2] == ["argocd", "app"]
        assert not any(sign in step.command for sign in ("<", ">", "…", "$"))
        for word in words:
            if word.startswith(("{", "[")):
                json.loads(word)
        json.dumps(dict(step.parameters))


def test_the_rollback_names_the_history_id_and_the_release() -> None:
    back = offer(STATE).steps[1]
    assert back.command == "argocd app rollback web 0"
    assert back.parameters == {"history_id": 0, "goal": GOOD.key, "spec_digest": "sha256:1"}


def test_the_persons_command_for_stopping_tests_what_it_changes() -> None:
    patch = json.loads(shlex.split(offer(AUTO).steps[0].command)[-1])
    assert patch == [
        {"op": "test", "path": "/spec/syncPolicy/automated", "value": AUTOMATED},
        {"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": False},
    ]


def test_names_in_other_namespaces_and_odd_names_are_quoted() -> None:
    elsewhere = replace(STATE, target=TargetId("prod", "team-a/web; rm -rf x"))
    known = {keys.state(elsewhere.target): Known(value=elsewhere, evidence=Evidence(source="t", what="t", read_at=NOW), good_for=timedelta(minutes=1))}
    (found,) = ways.offers(case(None, target=elsewhere.target, facts=Facts(known=known, now=NOW)))
    assert shlex.split(found.steps[1].command) == ["argocd", "app", "rollback", "team-a/web; rm -rf x", "0"]


def test_an_application_set_gets_no_mark_for_it_would_take_it_back() -> None:
    ignoring = Owner(kind="applicationset", name="all", says="ignores")
    assert [s.name for s in offer(replace(STATE, owner=ignoring)).steps] == ["prove_controller", "roll_back"]
    assert offer(replace(AUTO, owner=ignoring)).steps[0].parameters["mark"] is False
    assert offer(AUTO).steps[0].parameters["mark"] is True


@pytest.mark.parametrize(
    ("state", "changes", "words"),
    [
        (None, {}, "the state of the application is unknown"),
        (STATE, {"goal": None, "why_none": "no earlier release"}, "no earlier release"),
        (STATE, {"suspect": None}, "no release to go back to is known"),
        (STATE, {"suspect": release("5", "c" * 40)}, "is not what Argo CD deployed last"),
        (STATE, {"suspect": replace(BAD, key="other")}, "is not what Argo CD deployed last"),
        (replace(STATE, current=None, history=()), {}, "(nothing)"),
        (replace(STATE, history=(BAD,)), {}, "history does not hold release 0"),
        (STATE, {"goal": replace(GOOD, key="other")}, "history does not hold release 0"),
    ],
)
def test_an_impossible_offer_says_why_and_has_no_steps(state: TargetState | None, changes: dict[str, Any], words: str) -> None:
    found = offer(state, **changes)
    assert words in found.impossible
    assert found.steps == ()


def test_a_release_recorded_without_sources_cannot_be_rolled_back_to() -> None:
    bare = release("0", "a" * 40, repository="")
    assert "recorded without its sources" in offer(replace(STATE, history=(BAD, bare)), goal=bare).impossible


def test_a_stale_state_makes_no_offer() -> None:
    found = case(STATE)
    late = replace(found, facts=Facts(known=found.facts.known, now=NOW + timedelta(minutes=2)))
    assert "holds for" in ways.offers(late)[0].impossible


def test_the_same_facts_give_the_same_offer() -> None:
    assert ways.offers(case(AUTO)) == ways.offers(case(AUTO))


# --- Argo Rollouts ---

WEB_ROLLOUT = ObjectRef(group="argoproj.io", kind="Rollout", namespace="web", name="web")
HALFWAY = Rollout(object=WEB_ROLLOUT, uid="u", strategy="canary", phase="Paused", says="", stable="good", current="bad", step=1, steps=2, waiting=True)
PROMOTED = replace(HALFWAY, stable="bad", phase="Healthy", step=2, waiting=False)
STABLE, STEPS = RolloutBack(object=WEB_ROLLOUT, skips="stable"), RolloutBack(object=WEB_ROLLOUT, steps=2)


def rolled_out(state: TargetState, now: Rollout | None, back: RolloutBack, *, promote_full: bool = False) -> tuple[Offer, ...]:
    state = replace(state, objects=(WEB_ROLLOUT,))
    made = case(state, policy=TargetPolicy(promote_full=promote_full))
    evidence = Evidence(source="t", what="t", read_at=NOW)
    told: dict[Key[Any], Any] = {keys.rollouts(WEB): (now,), keys.rollouts_back(WEB, GOOD.key, GOOD.handle): (back,)} if now is not None else {}
    known = {key: Known(value=value, evidence=evidence, good_for=timedelta(minutes=1)) for key, value in told.items()}
    return ways.offers(replace(made, facts=Facts(known={**made.facts.known, **known}, now=NOW)))


def test_halfway_the_abort_comes_first_and_the_plain_rollback_is_the_other_way() -> None:
    abort, plain = rolled_out(AUTO, HALFWAY, STABLE)
    assert (abort.way, plain.way) == (Way.ABORT, Way.ROLLBACK)
    assert [step.name for step in abort.steps] == ["abort", "stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]
    assert plain.steps == abort.steps[1:]
    assert abort.permissions == ("get", "sync", "update", "abort")
    assert "still being rolled out by web" in abort.because


def test_without_auto_sync_the_mark_comes_last() -> None:
    abort, _ = rolled_out(STATE, HALFWAY, STABLE)
    assert [step.name for step in abort.steps] == ["abort", "prove_controller", "roll_back", "mark_hold"]


@pytest.mark.parametrize("now", [PROMOTED, replace(HALFWAY, aborted=True)], ids=["promoted", "aborted already"])
def test_what_is_not_on_its_way_is_not_aborted(now: Rollout) -> None:
    (only,) = rolled_out(AUTO, now, STABLE)
    assert (only.way, [step.name for step in only.steps][-1]) == (Way.ROLLBACK, "roll_back")


def test_a_promoted_release_is_promoted_in_full_on_the_way_back_only_where_the_policy_says_so() -> None:
    (allowed,), (not_allowed,) = rolled_out(STATE, PROMOTED, STEPS, promote_full=True), rolled_out(STATE, PROMOTED, STEPS)
    assert [step.name for step in allowed.steps] == ["prove_controller", "roll_back", "promote", "mark_hold"]
    assert allowed.permissions == ("get", "sync", "promote")
    assert "promote" not in [step.name for step in not_allowed.steps]
    promote = allowed.steps[2]
    assert (promote.optional, promote.parameters["left"]) == (True, "bad")


def test_promise_1_rollouts_that_cannot_be_read_get_neither_abort_nor_promotion() -> None:
    (only,) = rolled_out(AUTO, None, STEPS, promote_full=True)
    assert [step.name for step in only.steps] == ["stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]


def test_promise_5_nothing_of_an_abort_brings_the_release_back() -> None:
    abort, _ = rolled_out(AUTO, HALFWAY, STABLE)
    assert abort.steps[0].undo is None
    assert "stays aborted" in abort.steps[0].stands


# --- where a rollback would not stay ---

REVERTING = Owner(kind="parent", name="root", reverts=True, says="root puts it back")
BOUND = replace(AUTO, owner=REVERTING, follows=("main",))
TAKES_PINS_BACK = replace(BOUND, owner=replace(REVERTING, reverts_pin=True))


def ways_of(state: TargetState, **changes: Any) -> tuple[Offer, Offer, Offer]:
    back, pin, revert = ways.offers(case(state, **changes))
    assert [one.way for one in (back, pin, revert)] == [Way.ROLLBACK, Way.PIN, Way.GIT_REVERT]
    return back, pin, revert


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (BOUND, "root puts it back"),
        (replace(AUTO, follows=("main",), warnings=(reading.TOO_OLD,)), "older than v3.1"),
        (replace(BOUND, owner=Owner(kind="Helm", others=(REVERTING,))), "root puts it back"),
    ],
)
def test_where_a_rollback_would_be_undone_the_revision_is_pinned_and_auto_sync_stays_on(state: TargetState, words: str) -> None:
    back, pin, _ = ways_of(state)
    assert words in back.impossible
    assert back.steps == ()
    assert not pin.impossible
    assert words in pin.because
    assert "its hooks run" in pin.because
    assert [(step.name, step.effect, step.owner) for step in pin.steps] == [("pin_source", True, "backout"), ("deploy_pinned", True, "backout")]
    undo = pin.steps[0].undo
    assert undo is not None
    assert undo.name == "unpin_source"


def test_a_pin_names_the_revision_of_each_source_and_what_it_was() -> None:
    _, pin, _ = ways_of(BOUND)
    first = pin.steps[0]
    assert first.parameters == {"follows": ["main"], "pinned": ["a" * 40], "spec_digest": "sha256:1", "mark": True}
    assert json.loads(shlex.split(first.command)[-1]) == [
        {"op": "test", "path": "/spec/source/targetRevision", "value": "main"},
        {"op": "add", "path": "/spec/source/targetRevision", "value": "a" * 40},
    ]
    assert first.undo is not None
    assert json.loads(shlex.split(first.undo.command)[-1]) == [
        {"op": "test", "path": "/spec/source/targetRevision", "value": "a" * 40},
        {"op": "add", "path": "/spec/source/targetRevision", "value": "main"},
    ]


def other(handle: str, revision: str, **changes: Any) -> Release:
    made = release(handle, revision)
    sources = (replace(made.sources[0], **changes),)
    return replace(made, sources=sources, key=release_key(sources))


MOVED = other("0", "a" * 40, parameters="sha256:other")


@pytest.mark.parametrize(
    ("state", "goal", "words"),
    [
        (TAKES_PINS_BACK, GOOD, "parent root would take the pinned revision back"),
        (replace(BOUND, auto_sync=False, remembered={}), GOOD, "auto-sync is off"),
        (
            replace(
                BOUND,
                running=Running(by=Actor(kind="automation", name="argocd"), ours=False, automated=True, phase="Running", says="", since=None, revision=""),
            ),
            GOOD,
            "an operation of argocd",
        ),
        (replace(BOUND, history=(BAD, MOVED)), MOVED, "had other sources or parameters"),
        (replace(BOUND, follows=()), GOOD, "had other sources or parameters"),
    ],
)
def test_where_a_pin_is_not_possible_either_the_revert_in_git_says_why_both_are_not(state: TargetState, goal: Release, words: str) -> None:
    _, pin, revert = ways_of(state, goal=goal)
    assert words in pin.impossible
    assert pin.steps == ()
    assert "root puts it back" in revert.because
    assert words in revert.because
    assert not revert.impossible
    assert all(step.owner == "person" for step in revert.steps)


def test_where_a_person_reverts_in_git_they_are_told_to_abort_what_is_still_rolled_out_first() -> None:
    _, _, revert = rolled_out(TAKES_PINS_BACK, HALFWAY, STABLE)
    assert revert.steps[0].name == "abort"
    assert all(step.owner == "person" for step in revert.steps)
    assert "actions run" in revert.steps[0].command
    _, _, promoted = rolled_out(TAKES_PINS_BACK, PROMOTED, STABLE)
    assert "abort" not in [step.name for step in promoted.steps]


def test_without_a_history_there_is_nothing_to_pin_or_to_revert_to() -> None:
    (only,) = ways.offers(case(replace(BOUND, history=(BAD,))))
    assert "history does not hold release 0" in only.impossible


def test_what_stays_behind_is_part_of_the_plan_for_a_person() -> None:
    cron = ObjectRef(group="batch", kind="CronJob", namespace="shop", name="sweep")
    case = made.world().tell(made.STATE, made.state()).tell(made.LEFTOVERS, (cron,)).case()
    steps = ways.offers(case)[-1].steps
    assert [step.name for step in steps if step.owner == "backout"][-1] == "roll_back"
    assert [(step.name, step.owner, str(cron) in step.says) for step in steps[-1:]] == [("left_behind", "person", True)]


@pytest.mark.parametrize(("limit", "words"), [(0, "keeps no releases of it"), (1, "keeps 1 release of it"), (None, "remembers too few releases of it")])
def test_where_the_history_was_trimmed_the_way_is_git_and_every_step_a_persons(limit: int | None, words: str) -> None:
    gone = replace(made.GOAL, handle="")
    (found,) = ways.offers(made.world(goal=gone).tell(made.STATE, made.state(history=(made.SUSPECT,), history_limit=limit)).case())
    assert (found.way, found.impossible, {step.owner for step in found.steps}) == (Way.GIT_REVERT, "", {"person"})
    assert words in found.because
    assert "is known from Backout's own record only" in found.because
    assert any(f"--source={gone.revision}" in step.command for step in found.steps)


def test_over_a_rollback_of_ours_that_ended_half_done_the_release_beneath_can_be_left_again_and_over_a_persons_deploy_it_cannot() -> None:
    half = replace(GOOD, handle="", by=Actor(kind="service", name="backout"))
    assert [step.name for step in offer(replace(STATE, attempted=half)).steps] == ["prove_controller", "roll_back", "mark_hold"]
    theirs = offer(replace(STATE, attempted=replace(half, by=Actor(kind="human", name="alice"))))
    assert (theirs.steps, "is not what Argo CD deployed last" in theirs.impossible) == ((), True)


def test_a_trimmed_goal_is_no_way_to_leave_what_is_not_live() -> None:
    other = made.release("43", version="", revision="d" * 40, started_at=made.STARTED)
    (found,) = ways.offers(made.world(goal=replace(made.GOAL, handle="")).tell(made.STATE, made.state(current=other, history=(other,))).case())
    assert "is not what Argo CD deployed last" in found.impossible
