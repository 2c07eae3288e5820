from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import RefusedError, TemporaryError
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.canary import NO_STEPS, RIGHTS, Canary
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, opened
from tests.unit.integrations.delivery.argocd.steps.carrying_out import carry_out


@pytest.fixture
async def promoted(tmp_path: Path) -> AsyncIterator[Canary]:
    """`web` is not auto-synced, and 2.0 is promoted in full; 1.0 would go back by steps with a pause."""
    async with opened(tmp_path, verbs=RIGHTS) as stage:
        canary = Canary(stage)
        await canary.open()
        await canary.release("2.0", NO_STEPS, phase="Healthy")
        yield canary


async def planned(canary: Canary) -> tuple[dict[str, Step], Intention]:
    (offer,), state = await canary.offers(promote_full=True)
    assert [step.name for step in offer.steps] == ["prove_controller", "roll_back", "promote", "mark_hold"]
    return {step.name: step for step in offer.steps}, canary.stage.intention(state)


async def rolled_back(canary: Canary) -> tuple[Step, Intention]:
    """Our rollback is done, and the goal's steps stand at their pause."""
    steps, intention = await planned(canary)
    intent, _ = await carry_out(canary.stage, steps["roll_back"], intention)
    await canary.stage.deployed("web", 3)
    await canary.until(lambda status: status.get("phase") == "Paused", "the pause")
    return steps["promote"], replace(intention, ours=(intent,), at=canary.stage.clock.now())


async def test_the_goal_takes_over_without_its_steps(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    guard = CountingGuard()
    intent = await promoted.stage.argo.intend(step, intention)
    seen = await promoted.stage.argo.observe(step, intent)
    assert (seen.seen, seen.says) == (Seen.NOT_SEEN, "Rollout web runs its steps")

    await promoted.stage.argo.act(step, intent, guard)

    assert guard.asked == 1
    status = await promoted.until(lambda told: told.get("phase") == "Healthy", "the promotion")
    assert status["stableRS"] == intent["current"]
    assert (await promoted.stage.argo.observe(step, intent)).seen is Seen.DONE


async def test_promise_3_done_twice_it_is_sent_once_and_nothing_at_all_where_nothing_is_left(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    intent, _ = await carry_out(promoted.stage, step, intention)
    await promoted.until(lambda told: told.get("phase") == "Healthy", "the promotion")
    again = CountingGuard()
    await promoted.stage.argo.act(step, intent, again)
    fresh, seen = await carry_out(promoted.stage, step, replace(intention, at=promoted.stage.clock.now()))
    assert (again.asked, seen.seen, fresh["current"]) == (0, Seen.DONE, intent["current"])
    events = (await promoted.stage.person("GET", "/applications/web/events"))["items"]
    assert len([event for event in events if "ran action promote-full" in event["message"]]) == 1


async def test_promise_5_what_became_something_else_in_between_is_not_promoted(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    intent = await promoted.stage.argo.intend(step, intention)
    promoted.told(currentPodHash="another", observedGeneration="99")
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="rolls out something else by now"):
        await promoted.stage.argo.act(step, intent, guard)
    assert guard.asked == 0
    assert (await promoted.stage.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_promise_5_a_release_deployed_over_the_rollback_is_not_promoted(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    intent = await promoted.stage.argo.intend(step, intention)
    await promoted.release("3.0")
    with pytest.raises(RefusedError):
        await promoted.stage.argo.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match="what was deployed last is not our rollback"):
        await promoted.stage.argo.intend(step, replace(intention, not_before=None))


async def test_promise_5_a_deploy_that_the_rollout_does_not_show_yet_is_in_the_way_too(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    intent = await promoted.stage.argo.intend(step, intention)
    promoted.stage.sandbox.write_by_kubernetes("web", lambda app: app["status"]["history"].append({**app["status"]["history"][0], "id": 9}))
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="something else was deployed meanwhile"):
        await promoted.stage.argo.act(step, intent, guard)
    assert guard.asked == 0


async def test_before_our_rollback_nothing_is_promoted(promoted: Canary) -> None:
    steps, intention = await planned(promoted)
    with pytest.raises(RefusedError, match="what was deployed last is not our rollback"):
        await promoted.stage.argo.intend(steps["promote"], intention)


async def test_promise_1_while_the_controller_has_not_taken_it_over_it_waits(promoted: Canary) -> None:
    steps, intention = await planned(promoted)
    promoted.stage.sandbox.faults.rollouts_down = True
    await carry_out(promoted.stage, steps["roll_back"], intention)
    await promoted.stage.deployed("web", 3)
    with pytest.raises(TemporaryError, match="has not looked at the newest spec"):
        await promoted.stage.argo.intend(steps["promote"], intention)


async def test_the_release_that_we_leave_is_never_promoted(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    left = replace(step, parameters={**step.parameters, "left": promoted.status()["currentPodHash"]})
    with pytest.raises(TemporaryError, match="has not taken the rollback over yet"):
        await promoted.stage.argo.intend(left, intention)


async def test_a_rollback_that_was_aborted_is_not_promoted_for_that_would_undo_the_abort(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    intent = await promoted.stage.argo.intend(step, intention)
    promoted.told(abort=True, abortedAt="2026-05-04T14:00:00Z", phase="Degraded")
    with pytest.raises(RefusedError, match="was aborted meanwhile"):
        await promoted.stage.argo.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match="what is stable is the release that we leave"):
        await promoted.stage.argo.intend(step, intention)


async def test_promise_5_a_person_s_action_on_the_way_back_means_hands_off(promoted: Canary) -> None:
    step, intention = await rolled_back(promoted)
    await promoted.act("pause")
    with pytest.raises(RefusedError, match="admin is acting on it"):
        await promoted.stage.argo.intend(step, intention)


@pytest.mark.parametrize(
    ("change", "why"),
    [({"automated": {}}, "auto-sync is on again"), ({"operation": {"sync": {}}}, "holds the application")],
    ids=["auto-sync", "an operation"],
)
async def test_what_may_deploy_in_the_next_moment_is_in_the_way(promoted: Canary, change: dict[str, Any], why: str) -> None:
    step, intention = await rolled_back(promoted)
    promoted.stage.sandbox.faults.controller_down = True

    def write(app: Any) -> None:
        if "automated" in change:
            app["spec"]["syncPolicy"]["automated"] = change["automated"]
        else:
            app["operation"] = change["operation"]

    promoted.stage.sandbox.write_by_kubernetes("web", write)
    with pytest.raises(RefusedError, match=why):
        await promoted.stage.argo.intend(step, replace(intention, not_before=None))


@pytest.mark.parametrize(
    ("told", "seen", "says"),
    [
        ({"promoteFull": True, "phase": "Progressing", "message": "more replicas need to be updated"}, Seen.RUNNING, "is being promoted: more replicas"),
        ({"promoteFull": True, "phase": "Degraded", "message": "ProgressDeadlineExceeded"}, Seen.FAILED, "is Degraded: ProgressDeadlineExceeded"),
    ],
)
async def test_a_promotion_under_way_is_told_from_one_that_fails(promoted: Canary, told: dict[str, Any], seen: Seen, says: str) -> None:
    step, intention = await rolled_back(promoted)
    intent = await promoted.stage.argo.intend(step, intention)
    promoted.told(**told)
    observed = await promoted.stage.argo.observe(step, intent)
    assert (observed.seen, says in observed.says) == (seen, True)


async def test_it_may_fail_for_the_rollback_before_it_stays(promoted: Canary) -> None:
    steps, _ = await planned(promoted)
    step = steps["promote"]
    assert (step.optional, step.effect, step.undo) == (True, True, None)
    assert step.command == "argocd app actions run web promote-full --group argoproj.io --kind Rollout --namespace web --resource-name web"
