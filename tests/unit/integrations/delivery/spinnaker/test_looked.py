from dataclasses import replace

import pytest

from integrations.delivery.spinnaker.executions import executions_of
from integrations.delivery.spinnaker.looked import acts_of, running_of
from tests.unit.integrations.delivery.spinnaker.stage import NEW, Stage, deploy_stage


async def test_promise_5_a_run_that_may_still_deploy_is_told_as_running(stage: Stage) -> None:
    config = {"application": "shop", "name": "slow", "stages": [{"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 600}]}
    config["stages"].append(deploy_stage("registry.example/web:3.0", requisiteStageRefIds=["0"]))  # type: ignore[attr-defined]
    stage.gate.save_pipeline(config)
    async with stage.gate_session() as session:
        await session.post("/pipelines/shop/slow", json={"type": "manual", "user": "alice"})
    stage.pass_(seconds=5)
    running = (await stage.state()).running
    assert running is not None
    assert (running.ours, running.automated, running.revision, running.phase) == (False, False, "", "RUNNING")
    assert "pipeline slow" in running.says


async def test_a_trigger_that_would_deploy_again_is_an_owner_that_may_undo_it_later(stage: Stage) -> None:
    trigger = {"type": "docker", "enabled": True, "account": "registry", "repository": "web", "registry": "registry.example"}
    stage.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [deploy_stage(NEW)], "triggers": [trigger]})
    owner = (await stage.state()).owner
    assert (owner.kind, owner.name, owner.later, owner.reverts) == ("pipeline", "deploy", True, False)
    assert "deploys the target when started by" in owner.says
    assert "not the pipeline" in owner.fix
    stage.gate.save_pipeline({"application": "shop", "name": "again", "stages": [deploy_stage(NEW)], "triggers": [trigger, trigger]})
    assert "and 2 more triggers" in (await stage.state()).owner.says


async def test_without_an_enabled_trigger_nobody_else_writes_it(stage: Stage) -> None:
    trigger = {"type": "docker", "enabled": False, "repository": "web"}
    stage.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [deploy_stage(NEW)], "triggers": [trigger]})
    assert (await stage.state()).owner.kind == "nobody"


@pytest.mark.parametrize(("marker", "ours"), [("backout-op-1-undo-0", True), ("pipeline-of-alice", False), ("not-backout-", False), ("", False)])
async def test_promise_5_what_runs_and_what_was_done_is_ours_only_by_our_marker(stage: Stage, marker: str, ours: bool) -> None:
    looked = await stage.looked()
    about = {"account": "k8s", "location": "shop", "manifestName": "deployment web", "revision": 1}
    job = {"id": "S", "refId": "1", "type": "undoRolloutManifest", "status": "RUNNING", "startTime": 1_800_000_000_000, "context": about}
    run = {"id": "01A", "type": "ORCHESTRATION", "status": "RUNNING", "trigger": {"type": "manual", "user": "alice", "correlationId": marker}, "stages": [job]}
    looked = replace(looked, runs=executions_of([run]))
    running = running_of(looked)
    assert running is not None
    assert (running.ours, running.automated, running.revision) == (ours, False, "")
    assert [(act.ours, act.by.name) for act in acts_of(looked)] == [(ours, "alice")]
