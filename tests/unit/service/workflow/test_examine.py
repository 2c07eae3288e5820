from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.errors import TemporaryError
from service.domain.facts import Known
from service.domain.model import Actor, Mode, TargetId, Way
from service.domain.planning.plan import Offer
from service.domain.rule import Case
from service.domain.verdict import Answer
from service.workflow.examine import Examination
from tests.fakes.delivery import BACK, CLEAR, PROVE, STOP, FakeDelivery
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import PROMISED_BY_THE_STORE, TARGET, Stage

ON_BOTH = PROMISED_BY_THE_STORE

JANE = Actor(kind="user", name="jane")


async def examine(stage: Stage, *, incident: bool = True, automatic: bool = True, **more: Any) -> Examination:
    return await stage.examiner.examine(
        TARGET,
        trigger=stage.trigger() if incident else None,
        automatic=automatic,
        mode=Mode.AUTO,
        requested_by=JANE,
        plan_id="pln_1",
        deadline=timedelta(seconds=60),
        **more,
    )


def answers(found: Examination) -> dict[str, Answer]:
    return {one.rule: one.answer for one in found.verdict.findings}


async def test_the_suspect_is_what_went_live_before_the_onset_and_the_goal_what_was_good_before(stage: Stage) -> None:
    found = await examine(stage)
    assert (found.case.suspect, found.case.goal) == (made.SUSPECT, made.GOAL)
    assert found.onset == made.ONSET
    assert found.verdict.worst is Answer.PASS
    assert found.says == "Every question has a yes."
    assert found.state is not None
    assert found.state.uid == "uid-1"


async def test_the_plan_binds_what_was_examined_and_ends_in_time(stage: Stage) -> None:
    plan = (await examine(stage)).plan
    assert plan is not None
    assert [step.name for step in plan.steps] == [STOP, PROVE, CLEAR, BACK]
    assert (plan.uid, plan.way, plan.policy_version, plan.requested_by) == ("uid-1", Way.ROLLBACK, "1", JANE)
    assert plan.act_before == made.NOW + timedelta(seconds=60)
    assert plan.tags == ("rollback-2026-05-04",)


async def test_promise_12_two_examinations_of_the_same_world_have_one_digest_whatever_the_time(stage: Stage) -> None:
    first = (await examine(stage)).plan
    stage.clock.pass_(seconds=40)
    second = (await examine(stage)).plan
    assert first is not None
    assert second is not None
    assert (first.digest, first.act_before) != (second.digest, second.act_before)
    assert first.digest == second.digest


async def test_without_the_metrics_systems_own_time_the_onset_is_the_told_start_less_the_rules_for(stage: Stage) -> None:
    stage.facts.tell(keys.alert_now("HighErrorRate", stage.labels), keys.AlertNow(state="firing"))
    assert (await examine(stage)).onset == made.BEGAN - made.FOR


async def test_a_person_without_an_incident_may_leave_what_is_live(stage: Stage) -> None:
    found = await examine(stage, incident=False, automatic=False)
    assert (found.onset, found.case.suspect) == (None, made.SUSPECT)
    assert {"alert_is_firing", "deploy_caused_the_alert", "automation_has_room"}.isdisjoint(answers(found))


async def test_promise_10_a_release_that_backout_made_is_never_suspect(stage: Stage) -> None:
    await stage.targets.note_made(TARGET, "op_0", "42", made.STARTED)
    found = await examine(stage)
    assert (found.case.suspect, found.plan) == (None, None)
    assert "was put there by Backout" in found.says


async def test_promise_7_a_held_release_is_never_a_goal(stage: Stage) -> None:
    await stage.recovered()
    hold = await stage.hold()
    assert hold is not None
    assert hold.held == (made.SUSPECT.key,)
    newer = made.release("44", version="v3", revision="d00d" + "0" * 36, started_at=stage.clock.now())
    stage.app.history.insert(0, newer)
    stage.app.images[newer.key] = made.NEW_IMAGE
    found = await examine(stage, incident=False, automatic=False)
    assert found.case.suspect == newer
    assert found.case.goal is not None
    assert found.case.goal.key == made.GOAL.key


async def test_a_version_that_only_backout_saw_is_in_the_sentence(stage: Stage) -> None:
    stage.app.history[0] = replace(made.SUSPECT, version="")
    found = await examine(stage)
    assert found.case.suspect is not None
    assert found.case.suspect.version == "v2.5.0"


async def test_an_operation_is_in_the_way_of_everybody_but_itself(stage: Stage) -> None:
    await stage.begin()
    assert answers(await examine(stage, ignore_operation="op_1"))["limits_allow_acting"] is Answer.PASS
    assert answers(await examine(stage))["limits_allow_acting"] is Answer.BLOCK


async def test_an_operation_is_not_in_its_own_way_either_when_the_limits_had_to_be_read_again(stage: Stage) -> None:
    await stage.begin()

    def slow() -> keys.Manifest:
        stage.clock.pass_(seconds=10)
        return keys.Manifest(digest=made.OLD_DIGEST)

    stage.facts.tell(made.MANIFEST, slow)
    found = await examine(stage, ignore_operation="op_1")
    limits = found.case.facts.read(keys.limits(TARGET))
    assert isinstance(limits, Known)
    assert (limits.value.alive, answers(found)["limits_allow_acting"]) == ((), Answer.PASS)


async def test_promise_1_a_delivery_system_that_does_not_answer_gives_no_plan(stage: Stage) -> None:
    stage.delivery.trouble["read"] = TemporaryError("503")
    found = await examine(stage)
    assert (found.plan, found.state, found.case.suspect) == (None, None, None)
    assert found.says == "which release is live is unknown: 503"
    assert found.verdict.worst is not Answer.PASS


async def test_promise_1_an_instance_that_is_not_configured_gives_no_plan(stage: Stage) -> None:
    stage.deliveries.clear()
    found = await examine(stage)
    assert found.plan is None
    assert "no source is configured" in found.says


async def test_a_way_that_is_impossible_has_a_plan_without_steps_that_says_why(stage: Stage) -> None:
    stage.delivery.impossible = "Argo CD's history does not hold release 41 any more"
    plan = (await examine(stage)).plan
    assert plan is not None
    assert (plan.steps, plan.because) == ((), "Argo CD's history does not hold release 41 any more")


class TwoWays(FakeDelivery):
    """Offers a rollback, which its owner would undo, and then a revert in Git, which stays."""

    def offers(self, case: Case) -> tuple[Offer, ...]:
        (back,) = super().offers(case)
        return (back, replace(back, way=Way.GIT_REVERT, because="what is on the branch is what runs"))


async def test_each_offered_way_is_judged_and_the_safer_one_is_planned(stage: Stage) -> None:
    stage.app.owner = keys.Owner(kind="applicationset", name="shop", reverts=True)
    stage.deliveries["prod"] = TwoWays(stage.clock, TARGET, stage.app)
    plan = (await examine(stage)).plan
    assert plan is not None
    assert (plan.way, plan.verdict.worst) == (Way.GIT_REVERT, Answer.PASS)


async def test_of_ways_that_are_equally_safe_the_first_is_planned(stage: Stage) -> None:
    stage.deliveries["prod"] = TwoWays(stage.clock, TARGET, stage.app)
    plan = (await examine(stage)).plan
    assert plan is not None
    assert plan.way is Way.ROLLBACK


class PinToo(FakeDelivery):
    """A rollback that is impossible although every rule lets it pass, and a pin that is possible."""

    def offers(self, case: Case) -> tuple[Offer, ...]:
        (back,) = super().offers(case)
        return (replace(back, steps=(), impossible="this Argo CD is too old"), replace(back, way=Way.PIN, because="the spec is pinned"))


async def test_a_way_that_is_possible_goes_before_one_that_is_not(stage: Stage) -> None:
    stage.deliveries["prod"] = PinToo(stage.clock, TARGET, stage.app)
    plan = (await examine(stage)).plan
    assert plan is not None
    assert (plan.way, plan.because) == (Way.PIN, "the spec is pinned")


async def test_where_no_way_may_be_gone_the_one_that_is_possible_says_why_not(stage: Stage) -> None:
    """Its block is the one that matters: the other way was never there."""
    stage.app.owner = keys.Owner(kind="applicationset", name="shop", reverts=True, reverts_pin=True)
    stage.deliveries["prod"] = PinToo(stage.clock, TARGET, stage.app)
    plan = (await examine(stage)).plan
    assert plan is not None
    assert (plan.way, plan.verdict.worst) == (Way.PIN, Answer.BLOCK)


@pytest.mark.parametrize("incident", [True, False])
async def test_an_examination_never_acts(stage: Stage, *, incident: bool) -> None:
    await examine(stage, incident=incident)
    assert (stage.delivery.intended, stage.delivery.sent) == ([], [])


class HalfDeployed(FakeDelivery):
    """A deploy that is in no history failed after the newest entry: part of it may be live."""

    async def look(self, target: TargetId) -> keys.TargetState:
        return replace(await super().look(target), failed_newer="a deploy of d00d by jane ended Failed at 14:02")


@pytest.mark.parametrize("incident", [True, False])
async def test_promise_1_after_a_deploy_that_failed_nobody_is_under_suspicion_and_nothing_is_planned(stage: Stage, *, incident: bool) -> None:
    stage.deliveries["prod"] = HalfDeployed(stage.clock, TARGET, stage.app)
    found = await examine(stage, incident=incident, automatic=incident)
    assert (found.case.suspect, found.case.goal, found.plan, found.offer) == (None, None, None, None)
    assert found.verdict.worst is not Answer.PASS
    assert found.says.startswith("a deploy of d00d by jane ended Failed at 14:02; part of it may be live")
    assert found.case.why_none == found.says


FAILED = replace(made.SUSPECT, handle="")


def half_deployed(stage: Stage) -> None:
    """The bad release's deploy failed half-way: it is in no history, and part of it is live."""
    stage.app.history.pop(0)
    stage.app.attempted, stage.app.failed_newer = FAILED, "a deploy of c0ffee0 by argocd ended Failed at 14:02"


async def test_a_deploy_that_failed_half_way_is_blamed_and_the_newest_entry_is_the_goal(stage: Stage) -> None:
    half_deployed(stage)
    found = await examine(stage)
    assert (found.case.suspect, found.case.goal) == (FAILED, made.GOAL)
    assert (found.verdict.worst, found.verdict.because) == (Answer.PASS, "Every question has a yes.")
    assert found.plan is not None
    assert [step.name for step in found.plan.steps] == [STOP, PROVE, CLEAR, BACK]


async def test_releases_that_were_never_good_are_passed_over_and_bound_by_the_plan(stage: Stage) -> None:
    burned = made.release("41", version="v2.4.7", revision="d" * 40, started_at=made.STARTED - timedelta(minutes=20))
    burned = replace(burned, key="key-burned")
    stage.app.history.insert(1, burned)
    stage.app.images[burned.key] = made.NEW_IMAGE
    await stage.targets.remember_state_record(replace(made.record(burned, None, last_health="Degraded"), key=burned.key))
    found = await examine(stage)
    assert found.plan is not None
    assert (found.plan.goal, found.plan.passed_over) == (made.GOAL, (burned,))
    assert found.plan.digest != replace(found.plan, passed_over=()).digest
    assert "release 41 (v2.4.7 · ddddddd) is passed over: it was Degraded when Backout last saw it live" in found.case.why_none


class Drifted(FakeDelivery):
    """Somebody changed an object by hand."""

    async def look(self, target: TargetId) -> keys.TargetState:
        return replace(await super().look(target), drifted=(made.CONFIG_MAP,))


async def test_where_no_deploy_is_the_cause_a_change_by_hand_is_named(stage: Stage) -> None:
    stage.deliveries["prod"] = Drifted(stage.clock, TARGET, stage.app)
    stage.app.history[0] = replace(made.SUSPECT, started_at=made.ONSET - timedelta(days=3))
    found = await examine(stage)
    assert found.case.suspect is None
    assert found.says.endswith("ConfigMap shop/flags was changed by hand, which no release tells: look at that first")
