from pathlib import Path

import pytest

from integrations.sandbox.argocd.settings import V2_14
from service.domain.errors import RefusedError, TemporaryError
from service.domain.planning.plan import Step
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, opened
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, CLOSED, HOLD, automated, stopped


async def test_stopping_auto_sync_keeps_its_settings_and_marks_the_application(auto: Stage) -> None:
    _, intention, intent = await stopped(auto)
    app = await auto.raw("web")
    assert automated(app) == {**AUTO, "enabled": False}
    assert app["metadata"]["annotations"][HOLD] == intention.marker
    assert intent["remembered"] == {"automated": AUTO}
    assert auto.clock.slept[-2:] == [2.0, 3.0]
    state = await auto.argo.look(intention.target)
    assert (state.auto_sync, state.marker) == (False, intention.marker)


async def test_annotations_of_others_survive_the_mark(stage: Stage) -> None:
    await stage.two_releases("web", automated=AUTO, annotations={"team": "shop"})
    _, intention, _ = await stopped(stage)
    assert (await stage.raw("web"))["metadata"]["annotations"] == {"team": "shop", HOLD: intention.marker}


async def test_settings_of_auto_sync_that_changed_are_not_overwritten(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].update(automated={"prune": True}))
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="the settings of auto-sync changed meanwhile"):
        await auto.argo.act(step, intent, guard)
    assert guard.asked == 0
    with pytest.raises(RefusedError, match="changed since the plan was made"):
        await auto.argo.intend(step, intention)


async def test_promise_5_auto_sync_is_not_stopped_once_something_newer_is_live(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)
    auto.commit("web", "registry.example/web:3.0")
    await auto.person("GET", "/applications/web?refresh=normal")
    await auto.deployed("web", 3)
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="release 2 was deployed meanwhile"):
        await auto.argo.act(step, intent, guard)
    assert (guard.asked, automated(await auto.raw("web"))) == (0, AUTO)


async def test_promise_5_auto_sync_is_not_stopped_once_somebody_edits_the_spec(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(revisionHistoryLimit=3))
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="somebody edited the spec meanwhile"):
        await auto.argo.act(step, intent, guard)
    assert (guard.asked, automated(await auto.raw("web"))) == (0, AUTO)


async def test_a_change_in_the_same_moment_fails_the_patchs_test_and_nothing_is_written(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)

    class Interfering(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].update(automated={"prune": True}))

    with pytest.raises(RefusedError, match="changed in the same moment; nothing was written"):
        await auto.argo.act(step, intent, Interfering())
    assert automated(await auto.raw("web")) == {"prune": True}


async def test_a_status_write_in_the_same_moment_only_costs_another_try(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)

    class Reconciling(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            if self.asked < 3:
                auto.sandbox.write_by_kubernetes("web", lambda app: app["status"].update(reconciledAt=f"2026-05-04T13:00:0{self.asked}Z"))

    guard = Reconciling()
    await auto.argo.act(step, intent, guard)
    assert guard.asked >= 3
    assert (await auto.argo.look(intention.target)).marker == intention.marker


async def test_where_nothing_renders_the_spec_is_put_with_the_mark_as_info(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    auto.sandbox.faults.git_down = True
    auto.sandbox.faults.controller_down = True  # else a status write of its in between may cost another try of the patch
    guard = CountingGuard()
    intent = await auto.argo.intend(step, intention)
    await auto.argo.act(step, intent, guard)
    assert guard.asked == 2
    app = await auto.raw("web")
    assert automated(app) == {**AUTO, "enabled": False}
    assert app["spec"]["info"] == [{"name": HOLD, "value": intention.marker}]
    assert (await auto.argo.observe(step, intent)).seen is Seen.DONE
    state = await auto.argo.look(intention.target)
    assert state.marker == intention.marker
    assert state.spec_digest == intent["spec_digest"]


async def test_a_stop_that_is_taken_back_ends_at_once(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)

    def revert(seconds: float) -> None:
        if seconds == 2.0:
            auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"]["automated"].pop("enabled"))

    auto.clock.after_sleep = revert
    with pytest.raises(RefusedError, match="was taken back within 2 s: it is managed elsewhere"):
        await auto.argo.act(step, intent, CountingGuard())
    seen = await auto.argo.observe(step, intent)
    assert seen.seen is Seen.FAILED
    assert "managed elsewhere" in seen.says


async def test_stopping_twice_writes_once(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)
    await auto.argo.act(step, intent, CountingGuard())
    second = CountingGuard()
    await auto.argo.act(step, intent, second)
    assert second.asked == 0


async def test_a_stop_whose_answer_is_lost_is_running_until_it_was_read_back_and_then_done(stage: Stage) -> None:
    await stage.two_releases("web", automated=AUTO, annotations={"team": "shop"})  # an annotation: else a status write in between may fail the first patch
    step, intention = await stage.ready("web", "stop_auto_sync")
    intent = await stage.argo.intend(step, intention)
    assert (await stage.argo.observe(step, intent)).seen is Seen.NOT_SEEN
    stage.sandbox.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await stage.argo.act(step, intent, CountingGuard())
    assert (await stage.argo.observe(step, intent)).seen is Seen.RUNNING
    stage.tick(6)
    assert (await stage.argo.observe(step, intent)).seen is Seen.DONE


async def test_a_person_who_stopped_auto_sync_first_is_foreign(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)
    await auto.person("PATCH", "/applications/web", {"patch": '{"spec":{"syncPolicy":{"automated":{"enabled":false}}}}', "patchType": "merge"})
    assert (await auto.argo.observe(step, intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="somebody else changed auto-sync"):
        await auto.argo.act(step, intent, CountingGuard())
    with pytest.raises(RefusedError, match="auto-sync is off already"):
        await auto.argo.intend(step, intention)


async def test_a_closed_window_stops_us_before_the_first_write(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    auto.sandbox.projects.set_windows("default", [CLOSED])
    with pytest.raises(RefusedError, match="a sync window is in the way"):
        await auto.argo.intend(step, intention)


async def test_a_newer_automated_deploy_stops_us_before_the_first_write(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    auto.sandbox.faults.controller_down = True
    newer = {"sync": {"revision": "e" * 40}, "initiatedBy": {"automated": True}}
    auto.sandbox.write_by_kubernetes("web", lambda app: app.update(operation=newer))
    with pytest.raises(RefusedError, match=r"an operation of argocd to eeee.* holds the application: hands off"):
        await auto.argo.intend(step, intention)


async def test_below_3_1_auto_sync_is_never_touched(tmp_path: Path) -> None:
    async with opened(tmp_path, profile=V2_14) as old:
        await old.two_releases("web", automated=AUTO)
        offer, state = await old.offer("web")
        assert "older than v3.1" in offer.impossible
        step = Step(name="stop_auto_sync", says="", parameters={"remembered": dict(state.remembered)})
        with pytest.raises(RefusedError, match=r"older than v3\.1"):
            await old.argo.intend(step, old.intention(state))


async def test_a_missing_right_to_update_is_refused_in_the_servers_words(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    argo = auto.adapter(("get", "sync"), name="roller")
    intent = await argo.intend(step, intention)
    with pytest.raises(RefusedError, match="permission denied: applications, update, default/web, sub: roller"):
        await argo.act(step, intent, CountingGuard())
    assert automated(await auto.raw("web")) == AUTO
