from dataclasses import replace

import pytest

from service.domain.errors import RefusedError, StoppedError, TemporaryError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import (
    AUTO,
    CLOSED,
    HOLD,
    MARKER,
    automated,
    carry_out,
    forward_intention,
    forward_offer,
    held,
    synced,
)


async def test_the_desired_release_is_deployed_while_auto_sync_stays_off(auto: Stage) -> None:
    state, _, _, live = await synced(auto)
    app = await auto.raw("web")
    assert (app["status"]["history"][-1]["revision"], app["status"]["history"][-1]["initiatedBy"]["username"]) == (state.desired_revision, "backout")
    assert live.handle == str(app["status"]["history"][-1]["id"])
    assert automated(app) == {**AUTO, "enabled": False}
    assert app["metadata"]["annotations"][HOLD] == MARKER


async def test_the_sync_carries_our_operation_and_asks_for_no_pruning_and_no_retry(auto: Stage) -> None:
    await synced(auto)
    operation = (await auto.raw("web"))["status"]["operationState"]["operation"]
    assert operation["info"] == [{"name": "backout.dev/operation", "value": "op-2"}]
    assert not operation["sync"].get("prune")
    assert not (operation.get("retry") or {}).get("limit")


async def test_promise_3_a_lost_answer_is_looked_for_and_not_sent_again(auto: Stage) -> None:
    state = await held(auto)
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    intent = await auto.argo.intend(step, forward_intention(auto, state))
    auto.sandbox.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await auto.argo.act(step, intent, CountingGuard())
    await auto.deployed("web", 4)
    guard = CountingGuard()
    await auto.argo.act(step, intent, guard)
    assert guard.asked == 0
    assert len((await auto.raw("web"))["status"]["history"]) == 4


async def test_promise_3_a_request_that_never_arrived_is_not_seen(auto: Stage) -> None:
    state = await held(auto)
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    intent = await auto.argo.intend(step, forward_intention(auto, state))

    async def drop_the_next() -> None:
        auto.sandbox.faults.drop_requests = 1

    with pytest.raises(TemporaryError):
        await auto.argo.act(step, intent, drop_the_next)
    seen = await auto.argo.observe(step, intent)
    assert (seen.seen, seen.says) == (Seen.NOT_SEEN, "no sync of ours is seen")


async def test_nothing_is_sent_when_the_guard_says_no(auto: Stage) -> None:
    state = await held(auto)
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    intent = await auto.argo.intend(step, forward_intention(auto, state))
    with pytest.raises(StoppedError):
        await auto.argo.act(step, intent, CountingGuard(StoppedError("everything is stopped")))
    assert len((await auto.raw("web"))["status"]["history"]) == 3


async def refusal(stage: Stage, change: str) -> str:
    state = await held(stage)
    step = next(one for one in forward_offer(stage, state).steps if one.name == "sync_release")
    intention = forward_intention(stage, state)
    match change:
        case "auto-sync":
            stage.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"]["automated"].pop("enabled"))
        case "newer commit":
            stage.commit("web", "registry.example/web:4.0")
            await stage.person("GET", "/applications/web?refresh=normal")
        case "edit":
            stage.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(revisionHistoryLimit=7))
        case "deploy":
            await stage.person("POST", "/applications/web/sync", {})
            await stage.deployed("web", 4)
        case "window":
            await stage.person("PUT", "/projects/default", {"project": windowed(await stage.person("GET", "/projects/default"))})
        case _:
            stage.sandbox.write_by_kubernetes("web", lambda app: app["metadata"]["annotations"].update({HOLD: "operation=other suspect= goal="}))
    with pytest.raises(RefusedError) as refused:
        await stage.argo.intend(step, replace(intention, at=stage.clock.now()))
    return str(refused.value)


def windowed(project: dict[str, dict[str, object]]) -> dict[str, object]:
    return {**project, "spec": {**project["spec"], "syncWindows": [CLOSED]}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("auto-sync", "auto-sync is on again"),
        ("newer commit", "what is desired is no longer release"),
        ("edit", "somebody edited the spec"),
        ("deploy", "was deployed by admin since"),
        ("window", "would hang and fire"),
        ("mark", "it is held already"),
    ],
)
async def test_promise_5_it_is_not_tried_when_the_world_is_another_one(auto: Stage, change: str, says: str) -> None:
    assert says in await refusal(auto, change)


async def test_an_edit_that_the_plan_saw_is_what_is_wanted_and_one_after_it_means_hands_off(auto: Stage) -> None:
    """Parameters are changed in the spec: whoever pushes such a fix edits it, maybe in the very second in which we look."""
    await held(auto)
    await auto.person("PATCH", "/applications/web", {"patch": '{"spec":{"revisionHistoryLimit":7}}', "patchType": "merge"})
    state = await auto.argo.look(auto.target("web"))
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    at_once = replace(forward_intention(auto, state), at=auto.clock.now(), not_before=auto.clock.now())
    await auto.argo.intend(step, at_once)
    await auto.person("PATCH", "/applications/web", {"patch": '{"spec":{"revisionHistoryLimit":8}}', "patchType": "merge"})
    with pytest.raises(RefusedError, match="somebody edited the spec"):
        await auto.argo.intend(step, at_once)


async def test_somebody_elses_operation_in_the_slot_means_hands_off(auto: Stage) -> None:
    state = await held(auto)
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    intent = await auto.argo.intend(step, forward_intention(auto, state))
    auto.sandbox.faults.controller_down = True
    await auto.person("POST", "/applications/web/sync", {})
    with pytest.raises(RefusedError, match="an operation of admin"):
        await auto.argo.act(step, intent, CountingGuard())
    assert (await auto.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_a_person_who_copies_our_text_is_not_taken_for_us(auto: Stage) -> None:
    state = await held(auto)
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    intent = await auto.argo.intend(step, forward_intention(auto, state))
    auto.sandbox.faults.controller_down = True
    await auto.person("POST", "/applications/web/sync", {"infos": [{"name": "backout.dev/operation", "value": "op-2"}]})
    assert (await auto.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_one_that_nobody_picks_up_is_stuck(auto: Stage) -> None:
    state = await held(auto)
    step = next(one for one in forward_offer(auto, state).steps if one.name == "sync_release")
    auto.sandbox.faults.controller_down = True
    intent, seen = await carry_out(auto, step, forward_intention(auto, state))
    assert (seen.seen, seen.says) == (Seen.RUNNING, "the sync is accepted")
    auto.clock.jump(120)
    assert (await auto.argo.observe(step, intent)).seen is Seen.STUCK
