from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from integrations.sandbox.argocd.settings import V2_14
from service.domain import keys
from service.domain.errors import RefusedError, TemporaryError
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.canary import RIGHTS, Canary
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, opened
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, CLOSED, carry_out


@pytest.fixture
async def halfway(tmp_path: Path) -> AsyncIterator[Canary]:
    """`web` is not auto-synced and halfway to 2.0."""
    async with opened(tmp_path, verbs=RIGHTS) as stage:
        canary = Canary(stage)
        await canary.open()
        await canary.release("2.0")
        yield canary


async def ready(canary: Canary) -> tuple[Step, Intention]:
    offers, state = await canary.offers()
    step = offers[0].steps[0]
    assert step.name == "abort"
    return step, canary.stage.intention(state)


async def test_it_leaves_the_stable_release_alone_and_is_done_when_the_controller_says_so(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    guard = CountingGuard()
    intent = await halfway.stage.argo.intend(step, intention)
    assert (await halfway.stage.argo.observe(step, intent)).seen is Seen.NOT_SEEN

    await halfway.stage.argo.act(step, intent, guard)

    assert guard.asked == 1
    await halfway.until(lambda status: "abortedAt" in status, "the abort")
    seen = await halfway.stage.argo.observe(step, intent)
    assert (seen.seen, seen.says) == (Seen.DONE, "Rollout web is aborted: RolloutAborted: Rollout aborted update to revision 2")


async def test_promise_3_done_twice_it_is_sent_once(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    intent, _ = await carry_out(halfway.stage, step, intention)
    again = CountingGuard()
    await halfway.stage.argo.act(step, intent, again)
    assert again.asked == 0
    events = (await halfway.stage.person("GET", "/applications/web/events"))["items"]
    assert [event["message"] for event in events if "ran action" in event["message"]] == ["backout ran action abort on resource argoproj.io/Rollout/web"]


async def test_promise_3_an_answer_that_was_lost_is_found_by_looking(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    intent = await halfway.stage.argo.intend(step, intention)
    halfway.stage.sandbox.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await halfway.stage.argo.act(step, intent, CountingGuard())
    await halfway.until(lambda status: "abortedAt" in status, "the abort")
    assert (await halfway.stage.argo.observe(step, intent)).seen is Seen.DONE


async def test_an_abort_by_the_controller_itself_is_as_good_as_ours(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    halfway.told(abort=True, abortedAt="2026-05-04T14:00:00Z", phase="Degraded")
    intent, seen = await carry_out(halfway.stage, step, intention)
    assert seen.seen is Seen.DONE
    assert intent["current"] == halfway.status()["currentPodHash"]


async def test_while_the_controller_does_not_look_it_is_under_way_and_then_failed(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    halfway.stage.sandbox.faults.rollouts_down = True
    intent, seen = await carry_out(halfway.stage, step, intention)
    assert (seen.seen, seen.says) == (Seen.RUNNING, "Rollout web is being aborted")
    halfway.stage.clock.jump(31)
    late = await halfway.stage.argo.observe(step, intent)
    assert (late.seen, late.says) == (Seen.FAILED, "Rollout web is told to abort and its controller does not do it")


async def test_promise_5_what_became_another_release_is_not_aborted(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    intent = await halfway.stage.argo.intend(step, intention)
    halfway.told(currentPodHash="another", observedGeneration="99")
    with pytest.raises(RefusedError, match="rolls out something else by now"):
        await halfway.stage.argo.act(step, intent, CountingGuard())
    assert (await halfway.stage.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_what_was_promoted_since_has_nothing_left_to_abort(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    await halfway.act("promote-full")
    await halfway.until(lambda status: status.get("phase") == "Healthy", "the promotion")
    with pytest.raises(RefusedError, match="promoted in full since the plan was made"):
        await halfway.stage.argo.intend(step, replace(intention, not_before=None))


async def test_a_promotion_between_look_and_send_is_seen_as_foreign(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    intent = await halfway.stage.argo.intend(step, intention)
    await halfway.act("promote-full")
    await halfway.until(lambda status: status.get("phase") == "Healthy", "the promotion")
    with pytest.raises(RefusedError, match="promoted in full meanwhile"):
        await halfway.stage.argo.act(step, intent, CountingGuard())


async def test_promise_5_a_person_s_pause_since_the_trouble_began_means_hands_off(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    await halfway.act("pause")
    await halfway.stage.settle(0.2)
    with pytest.raises(RefusedError, match=r"admin is acting on it: admin ran action pause on resource argoproj\.io/Rollout/web"):
        await halfway.stage.argo.intend(step, intention)


async def test_promise_5_an_action_in_the_very_second_of_the_deploy_is_no_part_of_the_deploy(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    await halfway.act("pause")
    same_second = replace(intention, suspect=replace(intention.suspect, started_at=halfway.stage.clock.now()))
    with pytest.raises(RefusedError, match="admin is acting on it"):
        await halfway.stage.argo.intend(step, same_second)


async def test_a_rollout_made_anew_under_its_name_is_another_one(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    other = replace(step, parameters={**step.parameters, "rollout_uid": "uid-of-before"})
    with pytest.raises(RefusedError, match="another one of the same name"):
        await halfway.stage.argo.intend(other, intention)


async def test_a_closed_window_refuses_it_for_the_rollback_s_sake(halfway: Canary) -> None:
    step, intention = await ready(halfway)
    body = {
        "project": {
            "metadata": {"name": "default"},
            "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}], "syncWindows": [CLOSED]},
        }
    }
    await halfway.stage.person("PUT", "/projects/default", body)
    with pytest.raises(RefusedError, match="sync window is in the way"):
        await halfway.stage.argo.intend(step, intention)


async def test_it_cannot_be_taken_back_and_says_what_stays(halfway: Canary) -> None:
    step, _ = await ready(halfway)
    assert (step.undo, step.optional, step.effect) == (None, False, True)
    assert step.stands.startswith("Rollout web stays aborted")
    assert step.command == "argocd app actions run web abort --group argoproj.io --kind Rollout --namespace web --resource-name web"


async def test_a_server_before_3_1_is_asked_in_the_form_that_it_knows(tmp_path: Path) -> None:
    async with opened(tmp_path, verbs=RIGHTS, profile=V2_14) as stage:
        canary = Canary(stage)
        await canary.open()
        await canary.release("2.0")
        assert (await stage.argo.read(keys.permissions(stage.target("web")))).value.allowed["abort"]  # type: ignore[union-attr]  # known, or the test fails
        step, intention = await ready(canary)
        await carry_out(stage, step, intention)
        assert canary.status()["abort"] is True
        assert {served.path.rpartition("/")[2] for served in stage.sandbox.served if "/actions" in served.path} == {"actions"}


async def test_under_auto_sync_its_intent_remembers_the_settings_for_the_hold(tmp_path: Path) -> None:
    async with opened(tmp_path, verbs=RIGHTS) as stage:
        canary = Canary(stage)
        await canary.open(automated=AUTO)
        await canary.release("2.0")
        step, intention = await ready(canary)
        intent, _ = await carry_out(stage, step, intention)
        assert intent["remembered"] == {"automated": AUTO}
        await canary.until(lambda status: "abortedAt" in status, "the abort")
        await stage.person("GET", "/applications/web?refresh=normal")
        assert canary.status()["abort"] is True  # auto-sync does not undo it
        await stage.person("PATCH", "/applications/web", {"patchType": "merge", "patch": '{"spec":{"syncPolicy":{"automated":null}}}'})
        with pytest.raises(RefusedError, match="auto-sync was switched since"):
            await stage.argo.intend(step, replace(intention, not_before=stage.clock.now() + timedelta(hours=1)))
