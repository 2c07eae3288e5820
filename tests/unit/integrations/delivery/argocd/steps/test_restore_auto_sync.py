from dataclasses import replace

import pytest

from service.domain.errors import RefusedError, TemporaryError
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Observation, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, HOLD, automated, carry_out, stopped, synced


async def restore(stage: Stage, steps: dict[str, Step], intention: Intention) -> Observation:
    undo = steps["stop_auto_sync"].undo
    assert undo is not None
    return (await carry_out(stage, undo, replace(intention, at=stage.clock.now())))[1]


async def test_undoing_the_stop_gives_auto_sync_back_and_takes_the_mark_off(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    seen = await restore(auto, steps, intention)
    assert (seen.seen, seen.says) == (Seen.DONE, "auto-sync is as it was")
    app = await auto.raw("web")
    assert automated(app) == AUTO
    assert HOLD not in (app["metadata"].get("annotations") or {})


async def test_undoing_works_where_nothing_renders(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    auto.sandbox.faults.git_down = True
    intent = await auto.argo.intend(step, intention)
    await auto.argo.act(step, intent, CountingGuard())
    seen = await restore(auto, {"stop_auto_sync": step}, replace(intention, ours=(intent,)))
    assert seen.seen is Seen.DONE
    app = await auto.raw("web")
    assert automated(app) == AUTO
    assert not app["spec"].get("info")


async def test_whoever_took_the_stop_back_has_done_our_work(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].update(automated=dict(AUTO)))
    seen = await restore(auto, steps, intention)
    app = await auto.raw("web")
    assert (seen.seen, seen.says, automated(app)) == (Seen.DONE, "auto-sync is as it was", AUTO)
    assert HOLD not in (app["metadata"].get("annotations") or {})  # a mark that nobody explains would bar every later rollback


async def test_what_a_person_changed_since_is_not_undone(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].update(automated={"enabled": False}))
    with pytest.raises(RefusedError, match="not as Backout left it"):
        await restore(auto, steps, intention)
    assert automated(await auto.raw("web")) == {"enabled": False}


async def test_an_edit_of_the_spec_since_keeps_auto_sync_off(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["source"].update(targetRevision="hotfix"))
    with pytest.raises(RefusedError, match="somebody edited the spec since auto-sync was stopped"):
        await restore(auto, steps, intention)


async def test_after_an_accepted_rollback_auto_sync_is_not_given_back(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["roll_back"], intention)
    await auto.argo.act(steps["roll_back"], intent, CountingGuard())
    with pytest.raises(RefusedError, match="a rollback was accepted"):
        await restore(auto, steps, replace(intention, ours=(*intention.ours, intent)))


async def test_while_a_rollback_may_still_arrive_auto_sync_is_not_given_back(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["roll_back"], intention)
    both = replace(intention, ours=(*intention.ours, intent))
    with pytest.raises(TemporaryError, match=r"only at .* is it certain"):
        await restore(auto, steps, both)
    auto.tick(31)  # half a minute after the intent a request that was refused at first may still be sent again
    with pytest.raises(TemporaryError, match=r"only at .* is it certain"):
        await restore(auto, steps, both)
    auto.tick(50)
    assert (await restore(auto, steps, both)).seen is Seen.DONE


@pytest.mark.parametrize("told_by", ["the step", "the intention"])
async def test_ending_a_hold_gives_auto_sync_back_although_we_rolled_back_and_somebody_edited_the_spec(auto: Stage, told_by: str) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["roll_back"], intention)
    await auto.argo.act(steps["roll_back"], intent, CountingGuard())
    await auto.deployed("web", 3)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(info=[{"name": "a", "value": "b"}]))
    undo = steps["stop_auto_sync"].undo
    assert undo is not None
    ending = replace(intention, ours=(*intention.ours, intent), at=auto.clock.now(), not_before=None)
    if told_by == "the step":
        undo = replace(undo, parameters={**undo.parameters, "after_rollback": True})
    else:
        ending = replace(ending, marker="")
    _, seen = await carry_out(auto, undo, ending)
    assert (seen.seen, seen.says) == (Seen.DONE, "auto-sync is as it was")
    app = await auto.raw("web")
    assert automated(app) == AUTO
    assert HOLD not in (app["metadata"].get("annotations") or {})


async def test_ending_a_hold_leaves_anothers_mark_and_settings_alone(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    undo = steps["stop_auto_sync"].undo
    assert undo is not None
    auto.sandbox.write_by_kubernetes("web", lambda app: app["metadata"]["annotations"].update({HOLD: "another"}))
    with pytest.raises(RefusedError, match="held by another"):
        await auto.argo.intend(undo, replace(intention, marker=""))


async def test_restoring_twice_writes_once_and_a_change_in_between_is_foreign(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    undo = steps["stop_auto_sync"].undo
    assert undo is not None
    intent = await auto.argo.intend(undo, replace(intention, at=auto.clock.now()))
    assert (await auto.argo.observe(undo, intent)).seen is Seen.NOT_SEEN
    await auto.argo.act(undo, intent, CountingGuard())
    second = CountingGuard()
    await auto.argo.act(undo, intent, second)
    assert second.asked == 0
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].pop("automated"))
    assert (await auto.argo.observe(undo, intent)).seen is Seen.FOREIGN


async def test_promise_7_a_hold_ends_with_auto_sync_as_it_was_only_while_the_verified_release_is_what_is_desired(auto: Stage) -> None:
    _, steps, intention, live = await synced(auto)
    last = replace(intention, suspect=live, goal=live, not_before=None)
    auto.commit("web", "registry.example/web:4.0")
    await auto.person("GET", "/applications/web?refresh=normal")
    with pytest.raises(RefusedError, match="not the release that was verified: auto-sync would deploy it"):
        await auto.argo.intend(steps["restore_auto_sync"], last)
    assert automated(await auto.raw("web")) == {**AUTO, "enabled": False}


async def test_promise_7_auto_sync_comes_back_for_the_verified_release_and_the_mark_of_the_hold_goes(auto: Stage) -> None:
    _, steps, intention, live = await synced(auto)
    last = replace(intention, suspect=live, goal=live, not_before=None)
    proof, _ = await carry_out(auto, steps["prove_controller"], last)
    _, seen = await carry_out(auto, steps["restore_auto_sync"], replace(last, ours=(*last.ours, proof)))
    app = await auto.raw("web")
    assert seen.seen is Seen.DONE
    assert automated(app) == AUTO
    assert HOLD not in (app["metadata"].get("annotations") or {})
    await auto.settle()
    assert len((await auto.raw("web"))["status"]["history"]) == 4


async def test_promise_1_auto_sync_stays_off_where_nobody_looked_at_what_is_desired_since_the_release_was_verified(auto: Stage) -> None:
    _, steps, intention, live = await synced(auto)
    earlier = {**intention.ours[0], "step": "prove_controller"}  # the proof from before the sync says nothing about now
    last = replace(intention, suspect=live, goal=live, not_before=None, ours=(earlier, *intention.ours))
    auto.commit("web", "registry.example/web:4.0")  # which Argo CD has not seen, and its controller answers nobody
    with pytest.raises(RefusedError, match="did not look at what is desired since the release was verified"):
        await auto.argo.intend(steps["restore_auto_sync"], last)
    assert automated(await auto.raw("web")) == {**AUTO, "enabled": False}


async def test_auto_sync_that_a_person_gave_back_needs_no_proof(auto: Stage) -> None:
    _, steps, intention, live = await synced(auto)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].update(automated=dict(AUTO)))
    await auto.argo.intend(steps["restore_auto_sync"], replace(intention, suspect=live, goal=live, not_before=None))
