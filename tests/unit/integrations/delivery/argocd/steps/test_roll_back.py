import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain import keys
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Known
from service.domain.model import Json, Way
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, offer_of
from tests.unit.integrations.delivery.argocd.steps.carrying_out import CLOSED, HOLD, carry_out


async def current_print(stage: Stage, step: Step, intention: Intention) -> Json:
    """What an intent of now would remember of the last operation."""
    state = await stage.argo.look(intention.target)
    now = replace(intention, suspect=state.history[0], goal=state.history[1], at=stage.clock.now())
    parameters = {**step.parameters, "history_id": 1, "goal": state.history[1].key}
    return (await stage.argo.intend(replace(step, parameters=parameters), now))["before"]


def plain_again(stage: Stage) -> Any:
    """The adapter after a restart, with Kubernetes back."""
    stage.sandbox.faults.kube_down = False
    return stage.adapter()


def deployed_by(stage: Stage, username: str, number: int) -> None:
    """A history entry of somebody's rollback to release 0, written as the controller would."""

    def write(app: Any) -> None:
        first = app["status"]["history"][0]
        stamp = stage.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        app["status"]["history"].append({**first, "id": number, "deployStartedAt": stamp, "deployedAt": stamp, "initiatedBy": {"username": username}})

    stage.sandbox.write_by_kubernetes("web", write)


def holding(stage: Stage, *, revision: str, by: dict[str, Any], **state: Any) -> None:
    """An operation that holds the slot and does not end by itself: the controller stands still."""
    operation = {"sync": {"revision": revision}, "initiatedBy": by, "retry": {}}

    def hold(app: Any) -> None:
        app["operation"] = operation
        app["status"]["operationState"] = {"operation": operation, "phase": "Running", "message": "", "startedAt": "2026-05-04T14:00:00Z", **state}

    stage.sandbox.faults.controller_down = True
    stage.sandbox.write_by_kubernetes("web", hold)


async def test_promise_5_nothing_is_rolled_back_once_somebody_edits_the_spec(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(revisionHistoryLimit=3))
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="somebody edited the spec meanwhile"):
        await plain.argo.act(step, intent, guard)
    assert guard.asked == 0


async def test_a_rollback_deploys_the_goal_release_again(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    guard = CountingGuard()
    await plain.argo.act(step, intent, guard)
    assert guard.asked == 1
    await plain.deployed("web", 3)
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.DONE
    assert seen.details["handle"] == "2"
    assert seen.details["resources"]
    state = await plain.argo.look(intention.target)
    assert state.current is not None
    assert state.current.key == intention.goal.key
    assert str(state.current.by) == "service:backout"


async def test_promise_7_an_owner_that_came_since_the_plan_refuses_the_rollback_also_where_auto_sync_is_off(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    tenant = {"apiVersion": "example.org/v1", "kind": "Tenant", "name": "shop", "uid": "u-1", "controller": True}
    plain.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(ownerReferences=[tenant]), by="tenants")
    with pytest.raises(RefusedError, match="Tenant shop made this application and controls it"):
        await plain.argo.intend(step, intention)
    assert "operation" not in await plain.raw("web")


async def test_an_intent_is_plain_json_and_remembers_the_world_before(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    assert json.loads(json.dumps(dict(intent))) == intent
    assert (intent["uid"], intent["username"], intent["history_id"], intent["goal_id"]) == (intention.uid, "backout", 1, 0)
    assert intent["goal_revisions"] == [intention.goal.revision]
    assert intent["at"] == intention.at.isoformat()


async def test_success_stamped_in_the_second_of_the_reconcile_is_looked_at_again(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, CountingGuard())
    await plain.deployed("web", 3)
    await plain.until("web", lambda app: app["status"]["health"]["status"] == "Healthy", "the end of the roll-out")
    plain.sandbox.faults.controller_down = True
    await plain.settle(0.2)

    def same_second(app: Any) -> None:
        app["status"]["reconciledAt"] = app["status"]["operationState"]["finishedAt"]

    plain.sandbox.write_by_kubernetes("web", same_second)
    plain.clock.slept.clear()
    assert (await plain.argo.observe(step, intent)).seen is Seen.DONE
    assert plain.clock.slept == [1.1]


async def test_success_that_nobody_looked_at_yet_is_still_running(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, CountingGuard())
    await plain.deployed("web", 3)
    await plain.until("web", lambda app: app["status"]["health"]["status"] == "Healthy", "the end of the roll-out")
    plain.sandbox.faults.controller_down = True
    await plain.settle(0.2)
    plain.sandbox.write_by_kubernetes("web", lambda app: app["status"].update(reconciledAt="2026-05-04T13:00:00Z"))
    assert (await plain.argo.observe(step, intent)).seen is Seen.RUNNING


async def test_our_rollback_is_known_by_its_history_entry_when_its_state_is_gone(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, CountingGuard())
    await plain.deployed("web", 3)
    plain.sandbox.write_by_kubernetes("web", lambda app: app["status"].pop("operationState"))
    seen = await plain.argo.observe(step, intent)
    assert (seen.seen, seen.details["handle"]) == (Seen.DONE, "2")


async def test_a_rollback_without_rendered_manifests_fails_in_the_servers_words(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.repositories.flush_manifests()
    plain.sandbox.repositories.drop_clones()
    plain.sandbox.faults.git_down = True
    await plain.argo.act(step, intent, CountingGuard())
    await plain.until("web", lambda app: "operation" not in app, "an end")
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.FAILED
    assert "ComparisonError: Failed to load target state" in seen.says


async def test_a_rollback_that_nobody_picks_up_is_running_and_then_stuck(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.faults.controller_down = True
    await plain.argo.act(step, intent, CountingGuard())
    assert (await plain.argo.observe(step, intent)).seen is Seen.RUNNING
    plain.tick(31)
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.STUCK
    assert "would fire when the application controller is back, and Argo CD cannot end it before" in seen.says
    assert "kubectl --namespace argocd patch applications.argoproj.io/web --type json" in seen.says
    assert not seen.withdrawable


async def test_what_somebody_took_away_by_kubernetes_before_it_was_picked_up_never_happened(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.faults.controller_down = True
    await plain.argo.act(step, intent, CountingGuard())
    plain.sandbox.write_by_kubernetes("web", lambda app: app.pop("operation"))
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.NOT_SEEN
    assert seen.not_seen_until is not None


async def test_a_rollback_blocked_by_a_window_is_stuck_only_after_a_second_look(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.projects.set_windows("default", [CLOSED])
    await plain.argo.act(step, intent, CountingGuard())
    await plain.until("web", lambda app: "blocked" in (app["status"].get("operationState") or {}).get("message", ""), "a block")
    plain.clock.slept.clear()
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.STUCK
    assert seen.says.startswith("Sync operation blocked by sync window")
    assert plain.clock.slept == [2.2]


async def test_promise_4_a_rollback_that_a_window_blocks_is_withdrawn_and_does_not_fire_when_it_opens(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.projects.set_windows("default", [CLOSED])
    await plain.argo.act(step, intent, CountingGuard())
    await plain.until("web", lambda app: "blocked" in (app["status"].get("operationState") or {}).get("message", ""), "a block")
    blocked = await plain.argo.observe(step, intent)
    guard = CountingGuard()
    await plain.argo.withdraw(step, intent, guard)
    await plain.argo.withdraw(step, intent, guard)
    ending = await plain.argo.observe(step, intent)
    plain.sandbox.projects.set_windows("default", [])
    await plain.until("web", lambda app: "operation" not in app, "an end")
    ended = await plain.argo.observe(step, intent)

    assert (blocked.seen, blocked.withdrawable, guard.asked) == (Seen.STUCK, True, 1)
    assert (ending.seen, ending.withdrawable, "does not fire" in ending.says) == (Seen.STUCK, False, True)
    assert (ended.seen, ended.says) == (Seen.FAILED, "Argo CD ended the rollback as Failed: Operation terminated")
    assert len((await plain.raw("web"))["status"]["history"]) == 2


async def test_promise_5_somebody_elses_operation_behind_the_window_is_not_withdrawn(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.projects.set_windows("default", [CLOSED])
    await plain.person("POST", "/applications/web/rollback", {"id": 0})
    await plain.until("web", lambda app: "blocked" in (app["status"].get("operationState") or {}).get("message", ""), "a block")
    guard = CountingGuard()
    assert not (await plain.argo.observe(step, intent)).withdrawable
    await plain.argo.withdraw(step, intent, guard)
    assert guard.asked == 0


async def test_a_running_phase_without_an_operation_is_a_corpse_and_not_running(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.projects.set_windows("default", [CLOSED])
    await plain.argo.act(step, intent, CountingGuard())
    await plain.until("web", lambda app: "blocked" in (app["status"].get("operationState") or {}).get("message", ""), "a block")
    plain.sandbox.write_by_kubernetes("web", lambda app: app.pop("operation"))
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.FAILED
    assert "taken away from outside" in seen.says


async def test_a_persons_operation_after_the_intent_is_foreign(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.faults.controller_down = True
    await plain.person("POST", "/applications/web/sync", {})
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.FOREIGN
    assert "admin" in seen.says
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="admin"):
        await plain.argo.act(step, intent, guard)
    assert guard.asked == 0


async def test_a_persons_rollback_to_the_same_release_is_not_taken_for_ours(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.person("POST", "/applications/web/rollback", {"id": 0})
    await plain.deployed("web", 3)
    assert (await plain.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_a_persons_rollback_to_the_same_release_under_way_is_not_taken_for_ours(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.faults.controller_down = True
    await plain.person("POST", "/applications/web/rollback", {"id": 0})
    seen = await plain.argo.observe(step, intent)
    assert seen.seen is Seen.FOREIGN
    assert "an operation of admin" in seen.says


async def test_an_earlier_rollback_of_ours_is_not_taken_for_this_one(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    first = await plain.argo.intend(step, intention)
    await plain.argo.act(step, first, CountingGuard())
    await plain.deployed("web", 3)
    again = dict(first) | {"history_id": 2, "before": await current_print(plain, step, intention)}
    assert (await plain.argo.observe(step, again)).seen is Seen.NOT_SEEN


async def test_observing_after_the_application_was_replaced_says_failed(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.person("DELETE", "/applications/web?cascade=false")
    gone = await plain.argo.observe(step, intent)
    assert gone.seen is Seen.FAILED
    assert "not found" in gone.says
    await plain.application("web")
    other = await plain.argo.observe(step, intent)
    assert (other.seen, other.says) == (Seen.FAILED, "prod:web is another application of the same name now")


async def test_a_lost_answer_leaves_nobody_knowing_and_observe_finds_it(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await plain.argo.act(step, intent, CountingGuard())
    await plain.deployed("web", 3)
    assert (await plain.argo.observe(step, intent)).seen is Seen.DONE


async def test_a_missing_right_to_sync_is_asked_again_for_half_a_minute_before_it_is_believed(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    argo = plain.adapter(("get",), name="reader")
    intent = await argo.intend(step, intention)
    guard, begun = CountingGuard(), plain.clock.now()
    with pytest.raises(RefusedError, match="the token lacks the right, or"):
        await argo.act(step, intent, guard)
    assert plain.clock.now() - begun >= timedelta(seconds=30)
    assert guard.asked == 11


async def test_a_dead_kubernetes_that_comes_back_does_not_end_a_write(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)

    class Reviving(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            plain.sandbox.faults.kube_down = self.asked < 3

    guard = Reviving()
    await plain.argo.act(step, intent, guard)
    assert guard.asked == 3
    assert plain.clock.slept[-2:] == [3.0, 3.0]
    await plain.deployed("web", 3)


async def test_a_kubernetes_that_stays_dead_is_refused_after_half_a_minute(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)

    class Killing(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            plain.sandbox.faults.kube_down = True

    guard, begun = Killing(), plain.clock.now()
    with pytest.raises(RefusedError, match="or Argo CD cannot reach Kubernetes"):
        await plain.argo.act(step, intent, guard)
    assert timedelta(seconds=30) <= plain.clock.now() - begun < timedelta(seconds=40)
    assert guard.asked == 11


async def test_promise_3_not_seen_is_certain_only_when_no_request_can_be_under_way_any_more(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    seen = await plain.argo.observe(step, intent)
    assert seen.not_seen_until == intention.at + timedelta(seconds=30 + 10 + 10 + 30)  # tries, a late start, the last request, its way
    restarted = plain.adapter(denied_for_seconds=0, timeout_seconds=1)
    assert (await restarted.observe(step, intent)).not_seen_until == seen.not_seen_until


async def test_promise_3_an_act_that_begins_too_late_sends_nothing_and_a_new_intent_does(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.tick(41)
    with pytest.raises(TemporaryError, match="too old to be sent"):
        await plain.adapter().act(step, intent, CountingGuard())
    assert "operation" not in await plain.raw("web")
    assert (await plain.argo.observe(step, intent)).seen is Seen.NOT_SEEN
    again = await plain.argo.intend(step, replace(intention, at=plain.clock.now()))
    await plain.argo.act(step, again, CountingGuard())
    await plain.deployed("web", 3)


async def test_promise_3_a_refused_request_is_not_sent_again_after_its_time(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.tick(35)
    sent: list[float] = []

    class Killing(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            plain.sandbox.faults.kube_down = True
            sent.append((plain.clock.now() - intention.at).total_seconds())

    with pytest.raises(TemporaryError, match="too old to be sent"):
        await plain.argo.act(step, intent, Killing())
    assert sent[0] < 40 <= sent[-1]  # the last one was asked for and not sent
    assert len(sent) == 3
    certain = (await plain_again(plain).observe(step, intent)).not_seen_until
    assert certain is not None
    assert (certain - intention.at).total_seconds() - sent[-2] > 10 + 30


async def test_promise_3_a_rollback_of_ours_under_a_persons_deploy_is_not_refused_as_if_it_had_not_happened(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, CountingGuard())
    await plain.deployed("web", 3)
    plain.tick()
    await plain.deploy("web", "registry.example/web:3.0")
    guard = CountingGuard()
    await plain.argo.act(step, intent, guard)
    assert guard.asked == 0
    seen = await plain.argo.observe(step, intent)
    assert (seen.seen, seen.details["handle"]) == (Seen.FOREIGN, "2")
    assert seen.says == "release 2 is our rollback; then admin deployed release 3 meanwhile"


async def test_promise_3_a_rollback_of_ours_under_a_persons_running_operation_is_not_refused_either(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, CountingGuard())
    await plain.deployed("web", 3)
    plain.sandbox.faults.controller_down = True
    await plain.person("POST", "/applications/web/sync", {})
    guard = CountingGuard()
    await plain.argo.act(step, intent, guard)
    assert guard.asked == 0
    seen = await plain.argo.observe(step, intent)
    assert (seen.seen, seen.details["handle"]) == (Seen.FOREIGN, "2")
    assert seen.says.startswith("release 2 is our rollback; then an operation of admin")


async def test_promise_3_an_earlier_try_that_arrives_while_this_one_is_sent_counts(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)

    class Arriving(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            deployed_by(plain, "backout", 2)
            holding(plain, revision="d" * 40, by={"username": "alice"})

    await plain.argo.act(step, intent, Arriving())
    assert (await plain.argo.observe(step, intent)).details["handle"] == "2"


async def test_promise_3_anothers_entry_is_no_excuse_and_the_act_is_refused(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    deployed_by(plain, "alice", 2)
    with pytest.raises(RefusedError, match="alice deployed release 2 meanwhile"):
        await plain.argo.act(step, intent, CountingGuard())


async def fail_half_way(plain: Stage) -> str:
    """A person's sync of 3.0 replaces the Deployment and then fails on another object."""
    odd: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}}
    plain.sandbox.faults.reject = lambda manifest: "it may not be" if str(manifest["metadata"]).count("odd") else None
    sha = plain.commit("web", "registry.example/web:3.0", {"deploy/odd.json": json.dumps(odd)})
    await plain.person("POST", "/applications/web/sync", {})
    await plain.until("web", lambda app: "operation" not in app and app["status"]["operationState"]["phase"] == "Failed", "a failure")
    plain.tick()
    return sha


async def test_promise_5_a_failed_sync_is_told_and_what_it_left_is_not_the_last_releases(plain: Stage) -> None:
    assert (await plain.argo.look(plain.target("web"))).failed_newer == ""
    sha = await fail_half_way(plain)
    state = await plain.argo.look(plain.target("web"))
    assert state.current is not None
    assert state.current.handle == "1"
    assert state.failed_newer.startswith(f"a deploy of {sha} by admin ended Failed at 2026-05-04T14:0")
    assert not state.settled
    assert state.attempted is not None
    assert (state.attempted.revision, state.attempted.handle) == (sha, "")
    rendered = await plain.argo.read(keys.images(state.target, state.attempted.key, ""))
    assert isinstance(rendered, Known)
    assert [image.reference for image in rendered.value] == ["registry.example/web:3.0"]


async def test_a_release_that_failed_half_way_is_rolled_back_to_the_newest_entry(plain: Stage) -> None:
    await fail_half_way(plain)
    state = await plain.argo.look(plain.target("web"))
    offer = offer_of(Way.ROLLBACK, plain.argo, state, state.attempted, state.history[0], plain.clock.now())
    step = next(one for one in offer.steps if one.name == "roll_back")
    intention = plain.intention(state, suspect=state.attempted, goal=state.history[0])
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, CountingGuard())
    app = await plain.deployed("web", 3)
    assert [entry["id"] for entry in app["status"]["history"]] == [0, 1, 2]
    assert app["status"]["history"][-1]["revision"] == app["status"]["history"][-2]["revision"]
    plain.tick()
    assert (await plain.argo.observe(step, intent)).seen is Seen.DONE
    after = await plain.argo.look(plain.target("web"))
    assert (after.attempted, after.failed_newer) == (None, "")


async def test_promise_5_another_deploy_that_failed_since_the_plan_was_made_means_hands_off(plain: Stage) -> None:
    await fail_half_way(plain)
    state = await plain.argo.look(plain.target("web"))
    offer = offer_of(Way.ROLLBACK, plain.argo, state, state.attempted, state.history[0], plain.clock.now())
    step = next(one for one in offer.steps if one.name == "roll_back")
    await fail_half_way(plain)
    with pytest.raises(RefusedError, match="began since: it is no longer release"):
        await plain.argo.intend(step, plain.intention(state, suspect=state.attempted, goal=state.history[0]))


async def test_promise_5_a_release_is_settled_once_argo_cd_looked_a_second_after_it_was_deployed(plain: Stage) -> None:
    plain.tick(2)
    await plain.person("GET", "/applications/web?refresh=normal")
    assert (await plain.argo.look(plain.target("web"))).settled
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.controller_down = True
    await plain.argo.act(step, await plain.argo.intend(step, intention), CountingGuard())
    assert not (await plain.argo.look(plain.target("web"))).settled


async def test_promise_12_no_secret_of_the_sources_is_in_offers_intents_or_the_state(plain: Stage) -> None:
    def poison(app: Any) -> None:
        for i, source in enumerate((app["spec"]["source"], *(entry["source"] for entry in app["status"]["history"]))):
            source["repoURL"] = "https://bot:hunter2@git.example/web"
            source["helm"] = {
                "parameters": [{"name": "db.password", "value": f"s3cret{'' if i else '-now'}"}]
            }  # other than before: nobody can try to render it

    plain.sandbox.faults.controller_down = True
    plain.sandbox.write_by_kubernetes("web", poison)
    offer, state = await plain.offer("web")
    assert not offer.impossible
    intents = [await plain.argo.intend(step, plain.intention(state)) for step in offer.steps]
    shown = [repr(offer), repr(state), *(json.dumps(dict(intent)) for intent in intents)]
    assert not [word for word in ("hunter2", "s3cret", "db.password") if any(word in text for text in shown)]


async def test_a_newer_release_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.tick()
    await plain.deploy("web", "registry.example/web:3.0")
    with pytest.raises(RefusedError, match=r"release 2 .* was deployed by admin since"):
        await plain.argo.intend(step, intention)


async def test_a_trimmed_goal_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["status"]["history"].pop(0))
    with pytest.raises(RefusedError, match="was trimmed from the history"):
        await plain.argo.intend(step, intention)


async def test_a_goal_id_with_other_sources_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["status"]["history"][0].update(revision="f" * 40))
    with pytest.raises(RefusedError, match="history id 0 names other sources"):
        await plain.argo.intend(step, intention)


async def test_a_spec_edit_since_the_plan_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    spec = plain.spec("web")
    spec["source"]["path"] = "."
    await plain.person("PUT", "/applications/web/spec?validate=false", spec)
    with pytest.raises(RefusedError, match="somebody edited the spec since the plan was made"):
        await plain.argo.intend(step, replace(intention, not_before=None))


async def test_an_edit_past_the_api_refuses_the_rollback_too(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["source"].update(targetRevision="hotfix"))
    with pytest.raises(RefusedError, match="somebody edited the spec"):
        await plain.argo.intend(step, intention)


async def test_an_edit_taken_back_is_still_a_person_acting(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    spec = plain.spec("web")
    await plain.person("PUT", "/applications/web/spec?validate=false", {**spec, "info": [{"name": "a", "value": "b"}]})
    await plain.person("PUT", "/applications/web/spec?validate=false", spec)
    with pytest.raises(RefusedError, match="admin is acting on it: admin updated application spec"):
        await plain.argo.intend(step, intention)
    await plain.argo.intend(step, replace(intention, not_before=None))


async def test_acts_before_the_trouble_do_not_count(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    await plain.argo.intend(step, replace(intention, not_before=plain.clock.now() - timedelta(seconds=1)))
    with pytest.raises(RefusedError, match="admin is acting on it"):
        await plain.argo.intend(step, replace(intention, not_before=plain.clock.now() - timedelta(hours=1)))


async def test_a_closed_window_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.projects.set_windows("default", [CLOSED])
    with pytest.raises(RefusedError, match="a sync window is in the way: deny at"):
        await plain.argo.intend(step, intention)


async def test_a_window_that_closes_in_a_moment_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    soon = plain.clock.now() + timedelta(seconds=59)
    closing = {"kind": "deny", "schedule": f"{soon.minute} {soon.hour} * * *", "duration": "1h", "applications": ["*"]}
    plain.sandbox.projects.set_windows("default", [closing])
    with pytest.raises(RefusedError, match=r"and closes at 14:0.:00 UTC: what is not done by then would hang and fire later"):
        await plain.argo.intend(step, intention)
    plain.sandbox.projects.set_windows("default", [{**closing, "schedule": f"{soon.minute + 5} {soon.hour} * * *"}])
    await plain.argo.intend(step, intention)


async def test_a_rollback_that_a_window_blocks_says_when_it_will_fire(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.projects.set_windows("default", [{"kind": "deny", "schedule": "0 14 * * *", "duration": "3h", "applications": ["*"]}])
    await plain.argo.act(step, intent, CountingGuard())
    await plain.until("web", lambda app: "blocked" in (app["status"].get("operationState") or {}).get("message", ""), "blocked")
    seen = await plain.argo.observe(step, intent)
    assert (seen.seen, seen.says.endswith("left alone it would fire when the window opens, at 2026-05-04 17:00:00 UTC")) == (Seen.STUCK, True)


async def test_with_git_away_a_release_that_still_renders_from_a_cache_is_rolled_back_to(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.git_down = True
    _, seen = await carry_out(plain, step, intention)
    assert seen.seen in {Seen.DONE, Seen.RUNNING}


@pytest.mark.parametrize("away", ["git", "repo-server"])
async def test_a_release_that_cannot_be_rendered_now_is_not_rolled_back_to_and_nothing_is_sent(plain: Stage, away: str) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.git_down = away == "git"
    plain.sandbox.faults.repo_server_down = away == "repo-server"
    plain.sandbox.repositories.flush_manifests()
    plain.sandbox.repositories.drop_clones()
    with pytest.raises(RefusedError, match="cannot be rendered now, so a rollback would end in Error"):
        await plain.argo.intend(step, intention)
    assert "operation" not in await plain.raw("web")


async def test_a_repo_server_that_comes_back_in_a_moment_is_waited_for(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.repo_server_down = True

    def back(seconds: float) -> None:
        if seconds:
            plain.sandbox.faults.repo_server_down = False

    plain.clock.after_sleep = back
    assert (await plain.argo.intend(step, intention))["step"] == "roll_back"


async def test_of_a_release_with_other_parameters_nobody_can_tell_whether_it_renders_so_nobody_is_asked(plain: Stage) -> None:
    plain.sandbox.faults.repo_server_down = plain.sandbox.faults.controller_down = True
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["source"].update(path="elsewhere"))
    step, intention = await plain.ready("web", "roll_back")
    assert (await plain.argo.intend(step, intention))["step"] == "roll_back"


async def test_a_persons_operation_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.controller_down = True
    await plain.person("POST", "/applications/web/sync", {})
    with pytest.raises(RefusedError, match="an operation of admin holds the application"):
        await plain.argo.intend(step, intention)


async def test_auto_sync_switched_on_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["syncPolicy"].update(automated={}))
    with pytest.raises(RefusedError, match="auto-sync is on"):
        await plain.argo.intend(step, intention)


async def test_another_operations_hold_mark_refuses_the_rollback(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(annotations={HOLD: "somebody's"}))
    with pytest.raises(RefusedError, match="it is held already"):
        await plain.argo.intend(step, intention)


async def test_a_missing_application_and_a_foreign_uid_are_refused(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    with pytest.raises(RefusedError, match="another application of the same name"):
        await plain.argo.intend(step, replace(intention, uid="other"))
    await plain.person("DELETE", "/applications/web?cascade=false")
    with pytest.raises(RefusedError, match="prod:web is gone"):
        await plain.argo.intend(step, intention)


async def test_an_application_being_deleted_is_refused(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(finalizers=["keep"], deletionTimestamp="2026-05-04T14:00:00Z"))
    with pytest.raises(RefusedError, match="is being deleted"):
        await plain.argo.intend(step, intention)


async def test_a_dead_kubernetes_makes_an_intention_temporary_and_never_refused(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.kube_down = True
    with pytest.raises(TemporaryError, match="or Argo CD cannot reach Kubernetes"):
        await plain.argo.intend(step, intention)


async def test_an_account_that_nobody_knows_may_not_act(plain: Stage, tmp_path: Path) -> None:
    step, intention = await plain.ready("web", "roll_back")
    (tmp_path / "backout.token").write_text("a.b.c")
    with pytest.raises(PermanentError, match="the token is missing, expired or revoked"):
        await plain.argo.intend(step, intention)


async def test_an_unknown_step_is_a_mistake(plain: Stage) -> None:
    step, intention = await plain.ready("web", "roll_back")
    with pytest.raises(PermanentError, match="no step 'nonsense'"):
        await plain.argo.intend(replace(step, name="nonsense"), intention)
