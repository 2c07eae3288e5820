"""What a Rollout's manifest says, and what it would do with a past release's."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.argocd import rollouts
from service.domain.errors import PermanentError, TemporaryError
from service.domain.keys import RolloutBack
from service.domain.model import ObjectRef

REF = ObjectRef(group="argoproj.io", kind="Rollout", namespace="shop", name="web")
STEPS = [{"setWeight": 20}, {"pause": {"duration": "10m"}}, {"setWeight": 60}, {"pause": {"duration": 90}}]


def template(tag: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": f"registry.example/web:{tag}", **more}]}}


def manifest(tag: str = "1.0", *, strategy: Any = None, **spec: Any) -> dict[str, Any]:
    """As Git has it: without a namespace of its own."""
    body = {"template": template(tag), "strategy": strategy or {"canary": {"steps": STEPS}}, **spec}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"}, "spec": body}


def live(stable: str = "bad", **status: Any) -> dict[str, Any]:
    made = manifest("2.0")
    made["metadata"] = {"name": "web", "namespace": "shop", "uid": "uid-1", "generation": 7}
    return {**made, "status": {"observedGeneration": "7", "stableRS": stable, "currentPodHash": "bad", "phase": "Healthy", **status}}


def replica_set(hashed: str, tag: str, at: str = "2026-05-04T14:00:00Z", **more: Any) -> dict[str, Any]:
    """As the cluster has it: with what Kubernetes and the controller fill in."""
    body = template(tag, **more)
    body["metadata"]["labels"]["rollouts-pod-template-hash"] = hashed
    body["spec"] |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {}}
    body["spec"]["containers"][0] |= {"imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log"}
    about = {"labels": {"rollouts-pod-template-hash": hashed}, "creationTimestamp": at, "ownerReferences": [{"uid": "uid-1"}]}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": about, "spec": {"template": body}}


GOOD, BAD = replica_set("good", "1.0", "2026-05-04T13:00:00Z"), replica_set("bad", "2.0")


def back(goal: dict[str, Any], *sets: dict[str, Any], stable: str = "bad") -> RolloutBack:
    return rollouts.back_of(live(stable), [goal], sets or (GOOD, BAD), "shop")


# --- where it stands ---


def test_a_canary_halfway_is_read_with_its_step_and_its_hashes() -> None:
    read = rollouts.rollout_of(
        live("good", phase="Paused", message="CanaryPauseStep", currentStepIndex=1, pauseConditions=[{"reason": "CanaryPauseStep"}], abort=None)
    )
    assert (read.object, read.uid, read.strategy) == (REF, "uid-1", rollouts.CANARY)
    assert (read.stable, read.current, read.step, read.steps) == ("good", "bad", 1, 4)
    assert (read.waiting, read.aborted, read.promoting, read.phase, read.says) == (True, False, False, "Paused", "CanaryPauseStep")
    assert read.under_way


@pytest.mark.parametrize(("told", "aborting"), [({"abort": True}, True), ({"abort": True, "abortedAt": "2026-05-04T14:00:00Z"}, False)])
def test_an_abort_is_asked_for_until_the_controller_has_done_it(told: dict[str, Any], aborting: bool) -> None:
    read = rollouts.rollout_of(live("good", **told))
    assert (read.aborted, read.aborting) == (True, aborting)


def test_a_person_s_pause_in_the_spec_is_waiting_too() -> None:
    paused = live("good")
    paused["spec"]["paused"] = True
    assert rollouts.rollout_of(paused).waiting


def test_analyses_count_until_they_have_ended() -> None:
    status: dict[str, Any] = {
        "canary": {
            "currentStepAnalysisRunStatus": {"name": "web-step", "status": "Running"},
            "currentBackgroundAnalysisRunStatus": {"name": "old", "status": "Failed"},
        },
        "blueGreen": {"prePromotionAnalysisRunStatus": {"name": "web-pre", "status": ""}},
    }
    assert rollouts.rollout_of(live("good", **status)).analyses == ("analysis web-step", "analysis web-pre")


def test_blue_green_is_told_from_a_canary() -> None:
    made = live("good")
    made["spec"]["strategy"] = {"blueGreen": {"activeService": "active"}}
    assert rollouts.rollout_of(made).strategy == rollouts.BLUE_GREEN


@pytest.mark.parametrize("status", [{"observedGeneration": "6"}, {"currentPodHash": ""}], ids=["an older spec", "no look at all"])
def test_promise_1_a_status_of_another_spec_says_nothing_of_this_one(status: dict[str, Any]) -> None:
    with pytest.raises(TemporaryError, match="has not looked at the newest spec of Rollout web yet"):
        rollouts.rollout_of(live("good", **status))


def test_a_manifest_of_something_else_is_a_mistake_of_the_server() -> None:
    assert rollouts.must_be(live(), REF)["kind"] == "Rollout"
    with pytest.raises(PermanentError, match="something else than"):
        rollouts.must_be(GOOD, REF)


def test_sets_of_rollouts_are_found_by_their_parents() -> None:
    parent = {"group": "argoproj.io", "kind": "Rollout", "namespace": "shop", "name": "web"}
    own = {"group": "apps", "kind": "ReplicaSet", "name": "web-good", "parentRefs": [parent]}
    others = [{**own, "name": "api-1", "parentRefs": [{**parent, "kind": "Deployment", "group": "apps"}]}, {"kind": "Pod", "name": "p", "parentRefs": [parent]}]
    assert rollouts.sets_of({"nodes": [own, *others]}, [REF]) == [own]


def test_a_set_with_a_deadline_serves_nobody_any_more() -> None:
    marked = copy.deepcopy(GOOD)
    marked["metadata"]["annotations"] = {"scale-down-deadline": "2026-05-04T14:00:30Z"}
    assert (rollouts.is_retiring(marked), rollouts.is_retiring(GOOD)) == (True, False)


# --- going back ---


def test_the_stable_set_s_template_needs_no_steps() -> None:
    assert back(manifest(), stable="good") == RolloutBack(object=REF, skips="stable")


def test_a_promoted_release_runs_every_step_of_the_goal_s_own_strategy_again() -> None:
    assert back(manifest()) == RolloutBack(object=REF, steps=4, waits=timedelta(minutes=11, seconds=30))


def test_a_goal_without_steps_goes_back_at_once_whatever_runs_now() -> None:
    assert back(manifest(strategy={"canary": {}})).skips == "none"


def test_the_stable_release_is_told_as_such_also_where_it_has_no_steps_for_then_an_abort_leads_to_it() -> None:
    assert back(manifest(strategy={"canary": {}}), stable="good").skips == "stable"


@pytest.mark.parametrize(
    ("revisions", "between", "skips"),
    [(1, 0, "window"), (1, 1, ""), (2, 1, "window"), (0, 0, "")],
)
def test_the_rollback_window_counts_the_sets_in_between(revisions: int, between: int, skips: str) -> None:
    others = [replica_set(f"other-{i}", f"1.{i + 1}", f"2026-05-04T13:3{i}:00Z") for i in range(between)]
    assert back(manifest(rollbackWindow={"revisions": revisions}), GOOD, *others, BAD).skips == skips


@pytest.mark.parametrize("at", ["2026-05-04T14:00:00Z", "2026-05-04T15:00:00Z"], ids=["the same second", "later"])
def test_only_an_older_set_is_a_way_back(at: str) -> None:
    assert back(manifest(rollbackWindow={"revisions": 5}), replica_set("good", "1.0", at), BAD).skips == ""


def test_the_window_of_the_goal_counts_for_it_is_what_will_be_deployed() -> None:
    running = live()
    running["spec"]["rollbackWindow"] = {"revisions": 5}
    assert rollouts.back_of(running, [manifest()], (GOOD, BAD), "shop").skips == ""


def test_a_goal_whose_set_is_gone_runs_its_steps() -> None:
    assert back(manifest(rollbackWindow={"revisions": 5}), BAD).steps == 4


def test_promise_1_two_sets_that_both_fit_are_taken_for_none() -> None:
    twin = replica_set("twin", "1.0", imagePullPolicy="Always")
    twin["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    assert back(manifest(), GOOD, twin, BAD, stable="good").skips == ""


def test_sets_of_another_rollout_of_the_same_name_do_not_count() -> None:
    foreign = copy.deepcopy(GOOD)
    foreign["metadata"]["ownerReferences"] = [{"uid": "uid-of-before"}]
    assert back(manifest(), foreign, BAD, stable="good").skips == ""


def test_a_goal_that_does_not_have_the_rollout_leaves_it_as_it_is() -> None:
    other = manifest()
    other["metadata"]["name"] = "api"
    assert rollouts.back_of(live(), [other], (GOOD, BAD), "shop").skips == "absent"
    elsewhere = manifest()
    elsewhere["metadata"]["namespace"] = "other"
    assert rollouts.back_of(live(), [elsewhere], (GOOD, BAD), "shop").skips == "absent"


def test_a_template_may_stand_in_the_deployment_that_the_rollout_refers_to() -> None:
    goal = manifest()
    goal["spec"].pop("template")
    goal["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-pods"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web-pods"}, "spec": {"template": template("1.0")}}
    assert rollouts.back_of(live("good"), [goal, deployment], (GOOD, BAD), "shop").skips == "stable"
    assert rollouts.back_of(live("good"), [goal], (GOOD, BAD), "shop").skips == ""


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"pause": {}}, "step 1 of 1 pauses until a person goes on"),
        ({"pause": None}, "step 1 of 1 pauses until a person goes on"),
        ({"pause": {"duration": "soon"}}, "step 1 of 1 pauses for soon, which is not understood"),
        ({"pause": {"duration": "1.5h"}}, "step 1 of 1 pauses for 1.5h, which is not understood"),
        ({"analysis": {"templates": []}}, "step 1 of 1 waits for an analysis"),
        ({"experiment": {}}, "step 1 of 1 runs an experiment"),
        ({"plugin": {"name": "x"}}, "step 1 of 1 waits for a plugin"),
    ],
)
def test_promise_1_a_step_whose_end_nobody_knows_is_named(step: dict[str, Any], why: str) -> None:
    assert back(manifest(strategy={"canary": {"steps": [step]}})).open_ended == (why,)


@pytest.mark.parametrize(
    ("duration", "length"),
    [(30, timedelta(seconds=30)), ("30", timedelta(seconds=30)), ("45s", timedelta(seconds=45)), ("1h5m", timedelta(hours=1, minutes=5))],
)
def test_lengths_of_pauses_are_read_in_each_spelling(duration: Any, length: timedelta) -> None:
    found = back(manifest(strategy={"canary": {"steps": [{"pause": {"duration": duration}}]}}))
    assert (found.waits, found.open_ended) == (length, ())


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({}, RolloutBack(object=REF, skips="none")),
        ({"autoPromotionEnabled": False}, RolloutBack(object=REF, steps=1, open_ended=("its promotion waits for a person",))),
        ({"autoPromotionEnabled": False, "autoPromotionSeconds": 60}, RolloutBack(object=REF, steps=1, waits=timedelta(seconds=60))),
        ({"prePromotionAnalysis": {"templates": []}}, RolloutBack(object=REF, steps=1, open_ended=("its promotion waits for an analysis",))),
    ],
    ids=["at once", "by hand", "after a minute", "after an analysis"],
)
def test_blue_green_waits_for_its_promotion(strategy: dict[str, Any], expected: RolloutBack) -> None:
    assert back(manifest(strategy={"blueGreen": strategy})) == expected


# --- the same template ---


@pytest.mark.parametrize(
    ("wanted", "running", "same"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": "1"}, True),
        ({"a": True}, {"a": "True"}, False),
        ({"a": 1}, {}, False),
        ({}, {"a": 1}, False),
        ({}, {"env": []}, True),
        ({"a": None, "b": {}}, {}, True),
        ({}, {"terminationGracePeriodSeconds": 30}, True),
        ({}, {"terminationGracePeriodSeconds": 60}, False),
        ({}, {"rollouts-pod-template-hash": "any"}, True),
        ({"serviceAccountName": "web"}, {"serviceAccountName": "web", "serviceAccount": "web"}, True),
        ({}, {"serviceAccount": "web"}, False),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], False),
        ([1, 2], [2, 1], False),
        ({"a": {"b": 1}}, {"a": "b"}, False),
    ],
)
def test_a_live_template_is_a_manifest_s_only_but_for_what_kubernetes_fills_in(wanted: Any, running: Any, same: bool) -> None:
    assert rollouts.is_of(wanted, running) is same
