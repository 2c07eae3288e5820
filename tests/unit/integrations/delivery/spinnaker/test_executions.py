"""Executions as Orca 2026.2.3 really answered them, and with everything wrong that a server can get wrong."""

from typing import Any

import pytest

from integrations.delivery.spinnaker.executions import (
    Execution,
    Status,
    execution_of,
    executions_of,
    images_in,
    ref_of,
    task_of,
)
from tests.unit.integrations.delivery.spinnaker.recordings import FIXTURES, answers

FAILURES = {
    "11c-undo-revision-not-found": "undoRolloutManifest: Failed to undo rollout deployment/web from ns: error: unable to find specified revision 41 in history",
    "11e-undo-deadline": "undoRolloutManifest: 'deployment web' in 'ns' for account k8s: Deployment exceeded its progress deadline",
    "11f-undo-never-stable": "undoRolloutManifest: Stage undoRolloutManifest timed out after 15 seconds",
    "11l-clouddriver-down": "undoRolloutManifest: Stage undoRolloutManifest timed out after 40 seconds",
}


def last_task(name: str) -> Execution:
    found = task_of(answers(name, "/tasks/")[-1])
    assert found is not None
    return found


def run(*stages: dict[str, Any], **more: Any) -> Execution:
    found = execution_of({"id": "E", "type": "PIPELINE", "status": "SUCCEEDED", "stages": list(stages), **more})
    assert found is not None
    return found


def test_every_recorded_execution_can_be_read() -> None:
    seen = 0
    for file in FIXTURES.glob("*.json"):
        for body in (*answers(file.stem, "/pipelines/"), *answers(file.stem, "/tasks/")):
            found = task_of(body) or execution_of(body)
            if found is None:
                continue
            seen += 1
            assert found.status is not Status.OTHER
            assert len(found.top) == sum(not stage.parent for stage in found.stages)
    assert seen > 100


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_in_spinnakers_own_words(name: str) -> None:
    assert last_task(name).failure == FAILURES[name]
    assert last_task(name).status is Status.TERMINAL


def test_an_empty_or_odd_answer_is_no_execution() -> None:
    nothing: tuple[Any, ...] = (None, "", [], {}, {"id": None}, {"id": 7}, "<html>")
    for body in nothing:
        assert execution_of(body) is None
    assert task_of({"id": "T"}) is None
    assert ref_of(None) == ref_of({}) == ref_of({"ref": None}) == ""
    assert ref_of({"ref": "/tasks/01K"}) == "01K"


def test_fields_that_are_missing_null_or_of_another_type_are_ordinary() -> None:
    odd = {"id": "E", "status": 7, "buildTime": "soon", "trigger": [], "authentication": None, "stages": [None, {"refId": 3, "tasks": {}, "context": []}]}
    found = execution_of(odd)
    assert found is not None
    assert found.status is Status.OTHER
    assert not found.status.ended
    assert found.built_at is None
    assert len(found.stages) == 1
    assert found.failure == ""


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED_CONTINUE", "SKIPPED", "TERMINAL", "CANCELED", "STOPPED"])
def test_these_statuses_have_ended(word: str) -> None:
    assert Status.of(word).ended


@pytest.mark.parametrize("word", ["NOT_STARTED", "BUFFERED", "RUNNING", "PAUSED", "SUSPENDED", "REDIRECT", "BANANA", "succeeded", None, 3])
def test_every_other_status_has_not_ended_and_an_unknown_one_neither(word: Any) -> None:
    assert not Status.of(word).ended


def test_a_run_that_succeeded_and_was_cancelled_afterwards_succeeded() -> None:
    bodies = answers("03a-cancel", "/pipelines/")
    late = [found for body in bodies if body and body.get("canceled") and body["status"] == "SUCCEEDED" and (found := execution_of(body))]
    assert late
    assert all(one.status.well for one in late)


def test_a_run_that_runs_again_has_not_ended_although_an_end_is_told() -> None:
    again = [body for body in answers("01d-own-id-twice-redis", "/pipelines/") if body and body["status"] == "RUNNING" and "endTime" in body]
    assert again
    found = execution_of(again[0])
    assert found is not None
    assert found.ended_at is not None
    assert not found.status.ended


def test_the_order_is_that_of_the_requirements_and_not_that_of_the_array() -> None:
    found = run(
        {"id": "c", "refId": "3", "requisiteStageRefIds": ["2"]},
        {"id": "x", "refId": "1<1", "parentStageId": "a"},
        {"id": "b", "refId": "2", "requisiteStageRefIds": ["1"]},
        {"id": "a", "refId": "1", "requisiteStageRefIds": []},
    )
    assert [stage.id for stage in found.top] == ["a", "b", "c"]
    assert [stage.id for stage in found.below(found.top[0])] == ["x"]


def test_stages_that_refer_in_a_circle_are_read_once_each() -> None:
    found = run(
        {"id": "a", "refId": "1", "requisiteStageRefIds": ["2"]},
        {"id": "b", "refId": "2", "requisiteStageRefIds": ["1"]},
        {"id": "c", "refId": "3", "parentStageId": "d"},
        {"id": "d", "refId": "4", "parentStageId": "c"},
    )
    assert sorted(stage.id for stage in found.top) == ["a", "b"]
    assert [stage.id for stage in found.below(found.stages[2])] == ["d"]


def test_the_children_of_an_explicit_rollback_are_all_below_it() -> None:
    found = last_task("12b-explicit-enable-disable-only")
    assert [stage.kind for stage in found.top] == ["rollbackServerGroup"]
    assert {stage.kind for stage in found.below(found.top[0])} == {"enableServerGroup", "disableServerGroup"}
    assert found.goes_back
    assert found.has_posted


def test_a_stopped_judgment_says_nothing_and_the_run_may_have_succeeded_all_the_same() -> None:
    bodies = [found for body in answers("04c-judgment-stop-soft", "/pipelines/") if (found := execution_of(body))]
    assert bodies[-1].status.well
    assert {stage.kind: stage.status for stage in bodies[-1].top}["manualJudgment"] is Status.STOPPED
    assert any(one.judgments for one in bodies)
    assert not bodies[-1].judgments


def test_what_was_deployed_is_what_the_stage_made_and_not_what_was_asked_for() -> None:
    made = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": "shop/web@sha256:" + "a" * 64}]}}}}
    asked = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": "shop/web:2"}]}}}}
    found = run(
        {
            "id": "a",
            "refId": "1",
            "type": "deployManifest",
            "status": "TERMINAL",
            "context": {"account": "k8s", "manifests": [asked], "outputs.manifests": [made]},
        },
        {
            "id": "b",
            "refId": "2",
            "type": "deploy",
            "status": "SUCCEEDED",
            "context": {"deploy.account.name": "prod", "deploy.server.groups": {"us-east-1": ["web-v007"]}},
        },
        {"id": "c", "refId": "3", "type": "deployManifest", "status": "NOT_STARTED", "context": {"account": "k8s", "manifests": [asked]}},
    )
    kubernetes, machines = found.deployed
    assert [image.digest for image in kubernetes.images] == ["sha256:" + "a" * 64]
    assert not kubernetes.well, "the run succeeded, its deploy did not"
    assert (machines.account, machines.groups, machines.well) == ("prod", {"us-east-1": ("web-v007",)}, True)


def test_init_containers_count_and_a_tag_is_no_digest() -> None:
    template = {"spec": {"initContainers": [{"image": "shop/migrate:2"}], "containers": [{"image": "shop/web:2"}, {"image": None}, {"image": "shop/web:2"}]}}
    assert [(image.reference, image.exact) for image in images_in(template)] == [("shop/migrate:2", None), ("shop/web:2", None)]


@pytest.mark.parametrize(
    ("trigger", "origin", "automated"),
    [("git", "api", True), ("cron", "unknown", True), ("manual", "api", False), ("", "api", False), ("git", "deck", False), ("pipeline", "api", True)],
)
def test_only_a_run_that_nobody_asked_for_is_automated(trigger: str, origin: str, automated: bool) -> None:
    assert run(trigger={"type": trigger, "user": "ann"}, origin=origin).automated is automated


def test_who_started_it_is_who_gate_authenticated() -> None:
    by_hand = run(trigger={"type": "manual", "user": "somebody-else"}, authentication={"user": "ann"})
    assert str(by_hand.by) == "user:ann"
    assert str(run(trigger={"type": "manual", "user": "ann"}, authentication={"user": "anonymous"}).by) == "user:ann"
    assert str(run(trigger={"type": "git"}, authentication={"user": "bot"}).by) == "automation:git trigger as bot"


def test_a_search_that_repeats_one_run_gives_it_once() -> None:
    repeated = [found for body in answers("08b-search-redis-small-size", "/applications/") if body for found in [executions_of(body)]]
    assert any(len(one) for one in repeated)
    assert all(len({run.id for run in one}) == len(one) for one in repeated)
    body = {"id": "E", "status": "RUNNING"}
    assert len(executions_of([body, body, None])) == 1
