import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.sandbox.argocd import V2_14
from service.domain.errors import PermanentError, RefusedError, StoppedError, TemporaryError
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Observation, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, opened

AUTO = {"prune": True, "selfHeal": True}
HOLD = "backout.dev/hold"
CLOSED = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}


@pytest.fixture
async def plain(stage: Stage) -> Stage:
    """`web` is not auto-synced; release 1 is live."""
    await stage.two_releases("web")
    return stage


@pytest.fixture
async def auto(stage: Stage) -> Stage:
    """`web` is auto-synced; release 1 is live."""
    await stage.two_releases("web", automated=AUTO)
    return stage


async def carry_out(stage: Stage, step: Step, intention: Intention) -> tuple[dict[str, Json], Observation]:
    intent = await stage.argo.intend(step, intention)
    await stage.argo.act(step, intent, CountingGuard())
    return dict(intent), await stage.argo.observe(step, intent)


async def stopped(stage: Stage) -> tuple[dict[str, Step], Intention, dict[str, Json]]:
    """Auto-sync of `web` stopped by us: all steps, the intention that knows the first effect, and its intent."""
    offer, state = await stage.offer("web")
    assert not offer.impossible, offer.impossible
    steps = {step.name: step for step in offer.steps}
    intention = stage.intention(state)
    intent, seen = await carry_out(stage, steps["stop_auto_sync"], intention)
    assert seen.seen is Seen.DONE
    return steps, replace(intention, ours=(intent,), at=stage.clock.now()), intent


def automated(app: Any) -> Any:
    return app["spec"]["syncPolicy"].get("automated")


# --- rolling back ---


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
    assert "would fire later" in seen.says


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


async def current_print(stage: Stage, step: Step, intention: Intention) -> Json:
    """What an intent of now would remember of the last operation."""
    state = await stage.argo.look(intention.target)
    now = replace(intention, suspect=state.history[0], goal=state.history[1], at=stage.clock.now())
    parameters = {**step.parameters, "history_id": 1, "goal": state.history[1].key}
    return (await stage.argo.intend(replace(step, parameters=parameters), now))["before"]


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


# --- promise 3: what is certain, and when ---


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


# --- promise 5: what failed is not in the history ---


async def test_promise_5_a_failed_sync_is_told_and_what_it_left_is_not_the_last_releases(plain: Stage) -> None:
    assert (await plain.argo.look(plain.target("web"))).failed_newer == ""
    sha = plain.commit(
        "web", "registry.example/web:3.0", {"deploy/odd.json": json.dumps({"apiVersion": "odd.example/v1", "kind": "Odd", "metadata": {"name": "odd"}})}
    )
    await plain.person("POST", "/applications/web/sync", {})
    await plain.until("web", lambda app: "operation" not in app and app["status"]["operationState"]["phase"] == "Failed", "a failure")
    state = await plain.argo.look(plain.target("web"))
    assert state.current is not None
    assert state.current.handle == "1"
    assert state.failed_newer.startswith(f"a deploy of {sha} by admin ended Failed at 2026-05-04T14:0")
    assert not state.settled


async def test_promise_5_a_release_is_settled_once_argo_cd_looked_a_second_after_it_was_deployed(plain: Stage) -> None:
    plain.tick(2)
    await plain.person("GET", "/applications/web?refresh=normal")
    assert (await plain.argo.look(plain.target("web"))).settled
    step, intention = await plain.ready("web", "roll_back")
    plain.sandbox.faults.controller_down = True
    await plain.argo.act(step, await plain.argo.intend(step, intention), CountingGuard())
    assert not (await plain.argo.look(plain.target("web"))).settled


# --- promise 12: secrets stay where they are ---


async def test_promise_12_no_secret_of_the_sources_is_in_offers_intents_or_the_state(plain: Stage) -> None:
    def poison(app: Any) -> None:
        for source in (app["spec"]["source"], *(entry["source"] for entry in app["status"]["history"])):
            source["repoURL"] = "https://bot:hunter2@git.example/web"
            source["helm"] = {"parameters": [{"name": "db.password", "value": "s3cret"}]}

    plain.sandbox.faults.controller_down = True
    plain.sandbox.write_by_kubernetes("web", poison)
    offer, state = await plain.offer("web")
    assert not offer.impossible
    intents = [await plain.argo.intend(step, plain.intention(state)) for step in offer.steps]
    shown = [repr(offer), repr(state), *(json.dumps(dict(intent)) for intent in intents)]
    assert not [word for word in ("hunter2", "s3cret", "db.password") if any(word in text for text in shown)]


# --- what must hold before a rollback ---


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
    with pytest.raises(PermanentError, match="no step 'abort'"):
        await plain.argo.intend(replace(step, name="abort"), intention)


# --- stopping auto-sync ---


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
    auto.sandbox.repositories.flush_manifests()
    auto.sandbox.repositories.drop_clones()
    auto.sandbox.faults.git_down = True
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


async def test_a_stop_whose_answer_is_lost_is_running_until_it_was_read_back_and_then_done(auto: Stage) -> None:
    step, intention = await auto.ready("web", "stop_auto_sync")
    intent = await auto.argo.intend(step, intention)
    assert (await auto.argo.observe(step, intent)).seen is Seen.NOT_SEEN
    auto.sandbox.faults.lose_answers = 1
    with pytest.raises(TemporaryError):
        await auto.argo.act(step, intent, CountingGuard())
    assert (await auto.argo.observe(step, intent)).seen is Seen.RUNNING
    auto.tick(6)
    assert (await auto.argo.observe(step, intent)).seen is Seen.DONE


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


# --- proving the controller, freeing the slot ---


async def test_a_living_controller_answers_the_refresh(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    auto.tick()
    intent = await auto.argo.intend(steps["prove_controller"], replace(intention, at=auto.clock.now()))
    guard = CountingGuard()
    await auto.argo.act(steps["prove_controller"], intent, guard)
    assert guard.asked == 1
    seen = await auto.argo.observe(steps["prove_controller"], intent)
    assert seen.seen is Seen.DONE


async def test_a_dead_controller_is_refused_and_seen_as_failed(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.two_releases("web", automated=AUTO)
        stage.argo = stage.adapter(refresh_timeout_seconds=1)
        steps, intention, _ = await stopped(stage)
        stage.tick()
        stage.sandbox.faults.controller_down = True
        intent = await stage.argo.intend(steps["prove_controller"], replace(intention, at=stage.clock.now()))
        with pytest.raises(RefusedError, match="did not answer a refresh within 1 s: a rollback now would fire later"):
            await stage.argo.act(steps["prove_controller"], intent, CountingGuard())
        stage.tick(5)
        assert (await stage.argo.observe(steps["prove_controller"], intent)).seen is Seen.FAILED


async def test_a_refresh_under_auto_sync_is_never_asked_for(auto: Stage) -> None:
    offer, state = await auto.offer("web")
    prove = next(step for step in offer.steps if step.name == "prove_controller")
    with pytest.raises(RefusedError, match="a refresh now could deploy a newer commit"):
        await auto.argo.intend(prove, auto.intention(state))


def holding(stage: Stage, *, revision: str, by: dict[str, Any], **state: Any) -> None:
    """An operation that holds the slot and does not end by itself: the controller stands still."""
    operation = {"sync": {"revision": revision}, "initiatedBy": by, "retry": {}}

    def hold(app: Any) -> None:
        app["operation"] = operation
        app["status"]["operationState"] = {"operation": operation, "phase": "Running", "message": "", "startedAt": "2026-05-04T14:00:00Z", **state}

    stage.sandbox.faults.controller_down = True
    stage.sandbox.write_by_kubernetes("web", hold)


class Waking(CountingGuard):
    """Lets the controller work again once the request is about to be sent."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    async def __call__(self) -> None:
        await super().__call__()
        self._stage.sandbox.faults.controller_down = False


async def test_an_automated_operation_on_the_bad_release_is_ended(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    clear = steps["clear_slot"]
    holding(auto, revision=intention.suspect.revision, by={"automated": True}, retryCount=1)
    intent = await auto.argo.intend(clear, intention)
    assert (await auto.argo.observe(clear, intent)).seen is Seen.NOT_SEEN
    guard = Waking(auto)
    await auto.argo.act(clear, intent, guard)
    assert guard.asked == 1
    assert "operation" not in await auto.raw("web")
    assert (await auto.argo.observe(clear, intent)).seen is Seen.DONE


@pytest.mark.parametrize(
    ("by", "revision", "state"),
    [
        ({"username": "alice"}, "suspect", {}),
        ({"username": "alice"}, "other", {"retryCount": 2}),
        ({"automated": True}, "other", {}),
    ],
    ids=["a person's", "a person's stuck one on another release", "an automated one on another release"],
)
async def test_operations_that_are_not_ours_to_end_are_left_alone(auto: Stage, by: dict[str, Any], revision: str, state: dict[str, Any]) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["clear_slot"], intention)
    holding(auto, revision=intention.suspect.revision if revision == "suspect" else "d" * 40, by=by, **state)
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="hands off"):
        await auto.argo.act(steps["clear_slot"], intent, guard)
    assert guard.asked == 0
    assert (await auto.argo.observe(steps["clear_slot"], intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="hands off"):
        await auto.argo.intend(steps["clear_slot"], intention)


async def test_a_persons_stuck_operation_on_the_bad_release_is_ended(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    holding(auto, revision=intention.suspect.revision, by={"username": "alice"}, retryCount=2)
    intent = await auto.argo.intend(steps["clear_slot"], replace(intention, not_before=None))
    await auto.argo.act(steps["clear_slot"], intent, Waking(auto))
    assert "operation" not in await auto.raw("web")


async def test_an_operation_that_does_not_end_is_refused_in_time(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    holding(auto, revision=intention.suspect.revision, by={"automated": True})
    intent = await auto.argo.intend(steps["clear_slot"], intention)
    guard, begun = CountingGuard(), auto.clock.now()
    with pytest.raises(RefusedError, match="does not end"):
        await auto.argo.act(steps["clear_slot"], intent, guard)
    assert guard.asked == 1
    assert auto.clock.now() - begun < timedelta(seconds=25)


async def test_an_empty_slot_needs_nothing(auto: Stage) -> None:
    steps, intention, _ = await stopped(auto)
    intent = await auto.argo.intend(steps["clear_slot"], intention)
    guard = CountingGuard()
    await auto.argo.act(steps["clear_slot"], intent, guard)
    assert guard.asked == 0


async def test_the_whole_way_back_of_an_auto_synced_application_stays(auto: Stage) -> None:
    offer, state = await auto.offer("web")
    assert [step.name for step in offer.steps] == ["stop_auto_sync", "prove_controller", "clear_slot", "roll_back"]
    intention = auto.intention(state)
    ours: list[Mapping[str, Json]] = []
    for step in offer.steps:
        auto.tick(1)
        intent = await auto.argo.intend(step, replace(intention, ours=tuple(ours), at=auto.clock.now()))
        await auto.argo.act(step, intent, CountingGuard())
        if step.name == "roll_back":
            await auto.deployed("web", 3)
        assert (await auto.argo.observe(step, intent)).seen is Seen.DONE, step.name
        ours.append(intent)
    await auto.settle(0.2)
    after = await auto.argo.look(state.target)
    assert after.current is not None
    assert (after.current.key, after.current.handle) == (intention.goal.key, "2")
    assert after.desired_revision == intention.suspect.revision


# --- giving auto-sync back ---


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
    auto.sandbox.repositories.flush_manifests()
    auto.sandbox.repositories.drop_clones()
    auto.sandbox.faults.git_down = True
    intent = await auto.argo.intend(step, intention)
    await auto.argo.act(step, intent, CountingGuard())
    seen = await restore(auto, {"stop_auto_sync": step}, replace(intention, ours=(intent,)))
    assert seen.seen is Seen.DONE
    app = await auto.raw("web")
    assert automated(app) == AUTO
    assert not app["spec"].get("info")


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


# --- the mark of a hold ---


async def test_a_hold_is_marked_and_unmarked(plain: Stage) -> None:
    step, intention = await plain.ready("web", "mark_hold")
    assert step.optional
    intent, seen = await carry_out(plain, step, intention)
    assert seen.seen is Seen.DONE
    assert (await plain.raw("web"))["metadata"]["annotations"] == {HOLD: intention.marker}
    second = CountingGuard()
    await plain.argo.act(step, intent, second)
    assert second.asked == 0
    assert step.undo is not None
    _, gone = await carry_out(plain, step.undo, replace(intention, ours=(intent,), marker=""))
    assert gone.seen is Seen.DONE
    assert not (await plain.raw("web"))["metadata"].get("annotations")


async def test_another_holds_mark_is_never_overwritten(plain: Stage) -> None:
    step, intention = await plain.ready("web", "mark_hold")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(annotations={HOLD: "another"}))
    with pytest.raises(RefusedError, match="another hold mark"):
        await plain.argo.act(step, intent, CountingGuard())
    assert (await plain.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_a_mark_refused_because_nothing_renders_is_an_answer(plain: Stage) -> None:
    step, intention = await plain.ready("web", "mark_hold")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.repositories.flush_manifests()
    plain.sandbox.repositories.drop_clones()
    plain.sandbox.faults.git_down = True
    with pytest.raises(RefusedError, match="is invalid"):
        await plain.argo.act(step, intent, CountingGuard())
    assert (await plain.argo.observe(step, intent)).seen is Seen.NOT_SEEN


# --- promise 7: a second rollback under our own hold ---

FIRST = "operation=op_first suspect=aaaaaaaaaaaa goal=bbbbbbbbbbbb"
SECOND = "operation=op_second suspect=cccccccccccc goal=bbbbbbbbbbbb"


def held(stage: Stage, text: str = FIRST) -> None:
    stage.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(annotations={HOLD: text}))


async def mark_of(stage: Stage) -> str:
    return str(((await stage.raw("web"))["metadata"].get("annotations") or {}).get(HOLD, ""))


async def test_promise_7_a_second_rollback_under_our_own_hold_is_not_foreign(plain: Stage) -> None:
    held(plain)
    offer, state = await plain.offer("web")
    intention = plain.intention(state, marker=SECOND, own_marker=FIRST)
    ours: list[Mapping[str, Json]] = []
    for step in offer.steps:
        plain.tick(1)
        intent = await plain.argo.intend(step, replace(intention, ours=tuple(ours), at=plain.clock.now()))
        await plain.argo.act(step, intent, CountingGuard())
        if step.name == "roll_back":
            await plain.deployed("web", 3)
        assert (await plain.argo.observe(step, intent)).seen is Seen.DONE, step.name
        ours.append(intent)
    assert await mark_of(plain) == FIRST
    undo = offer.steps[-1].undo
    assert undo is not None
    _, seen = await carry_out(plain, undo, replace(intention, ours=tuple(ours), at=plain.clock.now()))
    assert (seen.seen, seen.says) == (Seen.DONE, "the mark of the earlier hold stays")
    assert await mark_of(plain) == FIRST


@pytest.mark.parametrize(
    ("on_target", "told"),
    [(FIRST, ""), (FIRST, SECOND), ("stay away", "stay away"), (f"{FIRST} and more", f"{FIRST} and more")],
    ids=["nobody says that it is ours", "another one is ours", "not as Backout writes", "nearly as Backout writes"],
)
async def test_promise_7_any_other_mark_is_foreign_still(plain: Stage, on_target: str, told: str) -> None:
    held(plain, on_target)
    for name in ("roll_back", "mark_hold"):
        step, intention = await plain.ready("web", name, marker="operation=op_third suspect=c goal=b", own_marker=told)
        with pytest.raises(RefusedError, match="it is held already"):
            await plain.argo.intend(step, intention)


async def test_promise_7_auto_sync_is_stopped_again_and_given_back_under_the_mark_of_our_earlier_hold(auto: Stage) -> None:
    held(auto)
    step, intention = await auto.ready("web", "stop_auto_sync", marker=SECOND, own_marker=FIRST)
    with pytest.raises(RefusedError, match="it is held already"):
        await auto.argo.intend(step, replace(intention, own_marker=""))
    intent, seen = await carry_out(auto, step, intention)
    assert seen.seen is Seen.DONE
    assert (automated(await auto.raw("web")), await mark_of(auto)) == ({**AUTO, "enabled": False}, FIRST)
    assert step.undo is not None
    undo = replace(intention, ours=(intent,), at=auto.clock.now())
    with pytest.raises(RefusedError, match="held by another"):
        await auto.argo.intend(step.undo, replace(undo, own_marker=""))
    _, back = await carry_out(auto, step.undo, undo)
    assert back.seen is Seen.DONE
    assert (automated(await auto.raw("web")), await mark_of(auto)) == (AUTO, FIRST)


async def test_promise_7_where_nothing_renders_the_earlier_mark_stays_too(auto: Stage) -> None:
    spec_info = [{"name": HOLD, "value": FIRST}]
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(info=spec_info))
    step, intention = await auto.ready("web", "stop_auto_sync", marker=SECOND, own_marker=FIRST)
    auto.sandbox.repositories.flush_manifests()
    auto.sandbox.repositories.drop_clones()
    auto.sandbox.faults.git_down = True
    intent, _ = await carry_out(auto, step, intention)
    assert step.undo is not None
    await carry_out(auto, step.undo, replace(intention, ours=(intent,), at=auto.clock.now()))
    app = await auto.raw("web")
    assert (automated(app), app["spec"]["info"]) == (AUTO, spec_info)


@pytest.fixture
async def about_to_stop(auto: Stage) -> tuple[Stage, Step, dict[str, Json]]:
    step, intention = await auto.ready("web", "stop_auto_sync")
    return auto, step, dict(await auto.argo.intend(step, intention))


async def test_a_raising_guard_leaves_auto_sync_alone(about_to_stop: tuple[Stage, Step, dict[str, Json]]) -> None:
    stage, step, intent = about_to_stop
    with pytest.raises(StoppedError):
        await stage.argo.act(step, intent, CountingGuard(StoppedError("stopped")))
    assert automated(await stage.raw("web")) == AUTO
