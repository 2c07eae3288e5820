"""The doors that the bad version could come back through: what is not known to be shut is open."""

from typing import Any

import pytest

from integrations.delivery.spinnaker.doors import doors_to, starters_of
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from tests.unit.integrations.delivery.spinnaker.saved import deploy_manifest, pipeline, trigger

WEB = ManifestAddress("k8s", "ns", "deployment", "web")
MAIN = ClusterAddress("web", "prod", "web-main", "us-east-1", "aws")


def sure(*stages: dict[str, Any], target: Any = WEB) -> bool | None:
    doors = doors_to(target, [pipeline(*stages, triggers=[trigger()])])
    return doors[0].sure if doors else None


def deploy(**more: Any) -> dict[str, Any]:
    one = {"account": "prod", "application": "web", "stack": "main", "availabilityZones": {"us-east-1": ["a"]}, **more}
    return {"type": "deploy", "cloudProvider": "aws", "clusters": [one]}


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        (deploy_manifest(), True),
        (deploy_manifest("other"), None),
        (deploy_manifest(namespace="other"), None),
        (deploy_manifest(account="other"), None),
        (deploy_manifest(account="${parameters.account}"), True),
        (deploy_manifest("${parameters.name}"), False),
        (deploy_manifest(namespace=""), False),
        (deploy_manifest(namespace="other", namespaceOverride="ns"), True),
        (deploy_manifest(manifests=None, source="artifact"), False),
        (deploy_manifest(source="artifact"), False),
        ({"type": "patchManifest", "account": "k8s", "location": "ns", "manifestName": "deployment web"}, True),
        ({"type": "patchManifest", "account": "k8s", "location": "ns", "manifestName": "deployment other"}, None),
        (deploy(), None),
        ({"type": "wait"}, None),
        ({"type": "jenkins"}, False),
        ({"type": "script"}, False),
        ({"type": "undoRolloutManifest"}, None),
    ],
)
def test_a_stage_deploys_a_manifest_surely_perhaps_or_not(stage: dict[str, Any], answer: bool | None) -> None:
    assert sure(stage) is answer


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        (deploy(), True),
        (deploy(stack="canary"), None),
        (deploy(account="test"), None),
        (deploy(availabilityZones={"us-west-2": []}), None),
        (deploy(availabilityZones={}), False),
        (deploy(stack="${parameters.stack}"), False),
        ({"type": "cloneServerGroup", "credentials": "prod", "region": "us-east-1", "moniker": {"cluster": "web-main"}}, True),
        (deploy_manifest(), None),
    ],
)
def test_a_stage_deploys_a_cluster_surely_perhaps_or_not(stage: dict[str, Any], answer: bool | None) -> None:
    assert sure(stage, target=MAIN) is answer


def test_only_enabled_triggers_of_enabled_pipelines_are_doors() -> None:
    open_one = pipeline(deploy_manifest(), id="a", triggers=[trigger("git", enabled=False), trigger("docker", repository="shop/web")])
    shut = pipeline(deploy_manifest(), id="b", triggers=[trigger()], disabled=True)
    (door,) = doors_to(WEB, [open_one, shut])
    assert (door.pipeline.id, door.trigger.place, door.to_person) == ("a", 1, "")
    assert door.says == "pipeline pipeline a deploys the target when started by docker shop/web"


def test_a_pipeline_that_starts_a_deploying_one_is_a_door_and_a_circle_ends() -> None:
    lower = pipeline(deploy_manifest(), {"type": "pipeline", "pipeline": "up"}, id="low")
    upper = pipeline({"type": "pipeline", "pipeline": "low"}, id="up", triggers=[trigger("cron", cronExpression="0 0 * * *")])
    unknown = pipeline({"type": "pipeline", "pipeline": "elsewhere"}, id="far", triggers=[trigger("git")])
    doors = doors_to(WEB, [unknown, lower, upper])
    assert [(door.pipeline.id, door.sure) for door in doors] == [("up", True), ("far", False)]


def test_a_pipeline_made_from_a_template_may_deploy_anything_and_is_for_a_person() -> None:
    (door,) = doors_to(WEB, [pipeline(id="t", type="templatedPipeline", triggers=[trigger()])])
    assert not door.sure
    assert "template" in door.to_person


def test_what_begins_when_a_run_fails_is_known_before_it_is_cancelled() -> None:
    main = pipeline(deploy_manifest(), id="main")
    after = pipeline({"type": "rollbackCluster"}, id="after", triggers=[trigger("pipeline", pipeline="main", status=["failed", "canceled"])])
    good = pipeline(id="good", triggers=[trigger("pipeline", pipeline="main", status=["successful"])])
    off = pipeline(id="off", triggers=[trigger("pipeline", pipeline="main", status=["failed"], enabled=False)])
    assert [one.id for one in starters_of(main, [main, after, good, off], "canceled")] == ["after"]
    assert [one.id for one in starters_of(main, [main, after, good, off], "successful")] == ["good"]
