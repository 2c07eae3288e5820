"""The team's own rollback pipeline: started without a person only if it goes back to exactly what it names, at once, whenever it is started."""

from typing import Any

import pytest

from integrations.delivery.spinnaker.own_rollback import covers_only_known, read_own_rollback
from integrations.delivery.spinnaker.pipelines import Pipeline
from tests.unit.integrations.delivery.spinnaker.saved import deploy_manifest, pipeline

UNDO = {"type": "undoRolloutManifest", "refId": "1", "name": "undo", "revision": "${ parameters.revision }"}
BOTH = {"rollbackServerGroupName": "web-v007", "restoreServerGroupName": "web-v006"}


def test_an_exact_one_with_its_parameter_is_automatic() -> None:
    found = read_own_rollback(
        pipeline(UNDO, {"type": "wait"}, parameterConfig=[{"name": "revision", "required": True}]), {"revision": "2"}, deploy_is_running=False
    )
    assert found.automatic
    assert (found.to_person, found.missing, found.blocked) == ((), (), ())


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ({"type": "rollbackCluster"}, "goes forward to the bad version"),
        ({"type": "rollbackServerGroup", "rollbackType": "PREVIOUS_IMAGE"}, "PREVIOUS_IMAGE"),
        ({"type": "rollbackServerGroup", "rollbackType": "EXPLICIT", "rollbackContext": {"restoreServerGroupName": "web-v006"}}, "both server groups"),
        ({"type": "rollbackServerGroup"}, "not said"),
        ({**UNDO, "numRevisionsBack": 1}, "counts revisions back"),
        ({"type": "undoRolloutManifest"}, "counts revisions back"),
        ({"type": "manualJudgment"}, "waits for a judgment"),
        ({"type": "jenkins"}, "may do anything"),
        (deploy_manifest(), "may do anything"),
        ({"type": "pipeline", "pipeline": "x"}, "may do anything"),
        ({"type": "somethingNew"}, "may do anything"),
        ({}, "no type"),
        ({**UNDO, "restrictExecutionDuringTimeWindow": True}, "execution window"),
    ],
)
def test_what_is_not_exact_or_not_at_once_waits_for_a_person(stage: dict[str, Any], says: str) -> None:
    found = read_own_rollback(pipeline(stage), {}, deploy_is_running=False)
    assert not found.automatic
    assert any(says in reason for reason in found.to_person)


def test_an_explicit_one_with_both_names_is_exact() -> None:
    stage = {"type": "rollbackServerGroup", "rollbackType": "EXPLICIT", "rollbackContext": BOTH}
    assert read_own_rollback(pipeline(stage), {}, deploy_is_running=False).automatic


@pytest.mark.parametrize("running", [True, None])
def test_one_that_runs_one_at_a_time_is_not_automatic_behind_a_running_deploy(running: bool | None) -> None:
    assert not read_own_rollback(pipeline(UNDO, limitConcurrent=True), {}, deploy_is_running=running).automatic
    assert read_own_rollback(pipeline(UNDO, limitConcurrent=True), {}, deploy_is_running=False).automatic
    assert read_own_rollback(pipeline(UNDO, limitConcurrent=False), {}, deploy_is_running=running).automatic


@pytest.mark.parametrize("given", [{}, {"revision": ""}, {"revision": None}])
def test_a_required_parameter_without_a_value_is_missing(given: dict[str, Any]) -> None:
    found = read_own_rollback(pipeline(UNDO, parameterConfig=[{"name": "revision", "required": True, "default": ""}]), given, deploy_is_running=False)
    assert found.missing == ("parameter revision is required and has no value",)


def test_a_value_that_spinnaker_would_evaluate_is_refused() -> None:
    found = read_own_rollback(pipeline(UNDO, parameterConfig=[{"name": "revision"}]), {"revision": "${execution.id}"}, deploy_is_running=False)
    assert len(found.blocked) == 1


@pytest.mark.parametrize(
    ("artifact", "automatic", "missing"),
    [({"useDefaultArtifact": True}, True, 0), ({"usePriorArtifact": True}, False, 0), ({}, False, 1)],
)
def test_an_artifact_of_the_most_recent_run_may_be_the_bad_one(artifact: dict[str, Any], automatic: bool, missing: int) -> None:
    found = read_own_rollback(pipeline(UNDO, expectedArtifacts=[{"matchArtifact": {"name": "shop/web"}, **artifact}]), {}, deploy_is_running=False)
    assert found.automatic is automatic
    assert len(found.missing) == missing


@pytest.mark.parametrize("broken", [pipeline(UNDO, disabled=True), pipeline(), pipeline(type="templatedPipeline")])
def test_one_that_cannot_be_started_or_read_is_blocked(broken: Pipeline) -> None:
    assert read_own_rollback(broken, {}, deploy_is_running=False).blocked


def test_a_deploy_pipeline_is_covered_only_if_every_stage_is_known() -> None:
    assert covers_only_known(pipeline(UNDO, {"type": "wait"}).stages) == ()
    assert covers_only_known(pipeline({"type": "jenkins", "name": "migrate"}).stages) == ("stage migrate (jenkins) may do anything",)
