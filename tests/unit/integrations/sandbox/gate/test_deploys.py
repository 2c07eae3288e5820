"""What deploys: manifests with bound artifacts, server groups by strategy, windows, pipelines in pipelines (contract 3.6, 4, 7)."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.contract.spinnaker.driver import Json, Spinnaker, wait
from tests.fakes.clock import START

EXPECTED = {"id": "image", "matchArtifact": {"type": "docker/image", "name": "registry/web"}, "usePriorArtifact": True, "useDefaultArtifact": False}
FIRST = {"refId": "1", "requisiteStageRefIds": []}


def image(tag: str) -> Json:
    return {"type": "docker/image", "name": "registry/web", "version": tag, "reference": f"registry/web:{tag}"}


def deploy_manifest(**more: Any) -> Json:
    template = {"spec": {"containers": [{"name": "web", "image": "registry/web"}]}}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "ns"}, "spec": {"replicas": 2, "template": template}}
    about = {"type": "deployManifest", "name": "Deploy", "account": "k8s", "cloudProvider": "kubernetes", "source": "text", "manifests": [manifest]}
    return {**about, **FIRST, "requiredArtifactIds": ["image"], **more}


def deploy_group(image_id: str, strategy: str) -> Json:
    where = {"account": "prod", "stack": "main", "provider": "aws", "availabilityZones": {"us-east-1": ["a"]}}
    cluster = {**where, "strategy": strategy, "imageId": image_id, "capacity": {"min": 2, "max": 2, "desired": 2}}
    return {"type": "deploy", "name": "Deploy", **FIRST, "clusters": [cluster]}


async def test_a_deploy_binds_the_image_it_was_given_and_says_which_it_was(sandbox: Spinnaker) -> None:
    await sandbox.save("deploy", [deploy_manifest()], expectedArtifacts=[EXPECTED], fresh=True)
    run = await sandbox.until_ended(await sandbox.run("deploy", artifacts=[image("1")], expectedArtifactIds=["image"]))
    stage = run["stages"][0]
    live = await sandbox.call("GET", "/manifests/k8s/ns/deployment%20web")

    assert (run["status"], live.body["artifacts"][0]["reference"]) == ("SUCCEEDED", "registry/web:1")
    assert stage["outputs"]["outputs.boundArtifacts"][0]["reference"] == "registry/web:1"
    assert stage["context"]["outputs.manifests"][0]["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/web:1"


async def test_a_prior_artifact_is_that_of_the_newest_run_even_if_it_failed(sandbox: Spinnaker) -> None:
    await sandbox.save("deploy", [deploy_manifest()], expectedArtifacts=[EXPECTED], fresh=True)
    await sandbox.until_ended(await sandbox.run("deploy", artifacts=[image("good")]))
    sandbox.inside.faults.refuse_operations = {"deployManifest": "kubectl says no"}
    failed = await sandbox.until_ended(await sandbox.run("deploy", artifacts=[image("bad")]))
    sandbox.inside.faults.refuse_operations = {}
    again = await sandbox.until_ended(await sandbox.run("deploy"))

    assert (failed["status"], again["trigger"]["resolvedExpectedArtifacts"][0]["boundArtifact"]["version"]) == ("TERMINAL", "bad")


async def test_red_black_leaves_the_old_group_running_without_traffic_and_highlander_leaves_none(sandbox: Spinnaker) -> None:
    await sandbox.save("red-black", [deploy_group("ami-2", "redblack")], fresh=True)
    await sandbox.save("highlander", [deploy_group("ami-3", "highlander")], fresh=True)
    groups = sandbox.inside.groups
    old = groups.runs(sandbox.app, cluster=f"{sandbox.app}-main", image="ami-1", capacity=(2, 2, 2))
    run = await sandbox.until_ended(await sandbox.run("red-black"), seconds=300)
    after_red_black = {one.name.rpartition("-")[2]: (one.disabled, groups.up(one)) for one in groups.all}
    created = next(one for one in run["stages"] if one["type"] == "createServerGroup")["context"]
    await sandbox.until_ended(await sandbox.run("highlander"), seconds=300)

    assert after_red_black == {"v000": (True, 2), "v001": (False, 2)}
    assert (created["source"]["serverGroupName"], created["deploy.server.groups"]) == (old.name, {"us-east-1": [f"{sandbox.app}-main-v001"]})
    assert [one.image for one in groups.all] == ["ami-3"]


async def test_going_back_to_an_image_makes_a_new_group(sandbox: Spinnaker) -> None:
    group = sandbox.inside.groups.runs(sandbox.app, cluster="web-main", image="ami-7")
    group.source_tag = {"name": "web-main-v006", "imageId": "ami-6", "imageName": "name-ami-6"}
    place = {"cloudProvider": "aws", "credentials": "prod", "region": "us-east-1", "rollbackContext": {"rollbackServerGroupName": group.name}}
    ended = await sandbox.until_ended(await sandbox.task({"type": "rollbackServerGroup", "rollbackType": "PREVIOUS_IMAGE", **place}), "tasks", 300)

    assert (ended["status"], [(one.image, one.disabled) for one in sandbox.inside.groups.all]) == ("SUCCEEDED", [("ami-7", True), ("ami-6", False)])


async def test_traffic_goes_back_to_the_replica_set_before(sandbox: Spinnaker) -> None:
    for tag in ("1", "2"):
        sandbox.inside.kubernetes.runs_versioned(sandbox.app, account="k8s", namespace="ns", cluster="web", image=f"registry/web:{tag}", service="web")
    await asyncio.sleep(60)
    dynamic = {"account": "k8s", "location": "ns", "kind": "replicaSet", "cluster": "replicaSet web", "mode": "dynamic", "cloudProvider": "kubernetes"}
    jobs = [{**dynamic, "type": "enableManifest", "criteria": "second_newest"}, {**dynamic, "type": "disableManifest", "criteria": "newest"}]
    ended = await sandbox.until_ended(await sandbox.task(*jobs), "tasks")
    listed = await sandbox.call("GET", f"/applications/{sandbox.app}/serverGroups")
    await asyncio.sleep(60)
    fresh = await sandbox.call("GET", f"/applications/{sandbox.app}/serverGroups")

    assert ended["status"] == "SUCCEEDED"
    assert [one["disabled"] for one in listed.body] == [True, False]  # Clouddriver's cache
    assert [one["disabled"] for one in fresh.body] == [False, True]


async def test_a_stage_waits_for_its_execution_window(sandbox: Spinnaker) -> None:
    opens = START + timedelta(minutes=5)
    window = {"whitelist": [{"startHour": opens.hour, "startMin": opens.minute, "endHour": opens.hour + 1, "endMin": 0}]}
    stage = {**wait(1), "restrictExecutionDuringTimeWindow": True, "restrictedExecutionWindow": window}
    await sandbox.save("windowed", [stage], fresh=True)
    execution = await sandbox.run("windowed")
    await asyncio.sleep(240)
    waiting = await sandbox.get(execution)
    await asyncio.sleep(120)
    ended = await sandbox.get(execution)

    assert (waiting["status"], {one["type"]: one["status"] for one in waiting["stages"]}) == (
        "RUNNING",
        {"wait": "RUNNING", "restrictExecutionDuringTimeWindow": "RUNNING"},
    )
    assert ended["status"] == "SUCCEEDED"


async def test_a_pipeline_stage_starts_another_pipeline_and_ends_as_it_does(sandbox: Spinnaker) -> None:
    check = {"type": "expression", "context": {"expression": "${ false }"}}
    child = await sandbox.save("child", [{"type": "checkPreconditions", "name": "Check", **FIRST, "preconditions": [check]}], fresh=True)
    stage = {"type": "pipeline", "name": "Child", **FIRST, "application": sandbox.app, "pipeline": child["id"], "pipelineParameters": {"a": "1"}}
    await sandbox.save("parent", [stage], fresh=True)
    parent = await sandbox.until_ended(await sandbox.run("parent"))
    inner = await sandbox.get(parent["stages"][0]["context"]["executionId"])

    assert (parent["status"], inner["status"], inner["trigger"]["parameters"]) == ("TERMINAL", "TERMINAL", {"a": "1"})
    assert inner["trigger"]["parentExecution"]["id"] == parent["id"]


async def test_a_revision_from_a_parameter_reaches_the_cloud_as_a_text(sandbox: Spinnaker) -> None:  # contract 4.1
    for tag in ("1", "2"):
        sandbox.inside.kubernetes.runs(sandbox.app, account="k8s", namespace="ns", name="web", image=f"registry/web:{tag}")
    undo = {"type": "undoRolloutManifest", "name": "Undo", **FIRST, "account": "k8s", "cloudProvider": "kubernetes", "location": "ns"}
    stage = {**undo, "manifestName": "deployment web", "revision": "${ parameters.revision }"}
    await sandbox.save("undo", [stage], parameterConfig=[{"name": "revision", "required": True}], fresh=True)
    run = await sandbox.until_ended(await sandbox.run("undo", parameters={"revision": "1"}))

    assert (run["status"], sandbox.inside.clouddriver.posted[0]["body"]["revision"]) == ("SUCCEEDED", "1")
