from typing import Any

import pytest

from integrations.delivery.spinnaker.clusters_meant import differs, means_cluster, unclear
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from tests.unit.integrations.delivery.spinnaker.recordings import answers

WEB = ClusterAddress(application="web", account="prod", cluster="web-main", region="us-east-1")
WHERE = {"credentials": "prod", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("body", "means"),
    [
        ({**WHERE, "serverGroupName": "web-main-v003"}, True),
        ({**WHERE, "asgName": "web-main-v003"}, True),
        ({**WHERE, "moniker": {"cluster": "web-main"}}, True),
        ({**WHERE, "cluster": "web-main"}, True),
        ({**WHERE, "rollbackContext": {"rollbackServerGroupName": "web-main-v007", "restoreServerGroupName": "web-main-v006"}}, True),
        ({"account": "prod", "regions": ["eu-west-1", "us-east-1"], "application": "web", "stack": "main"}, True),
        ({"account": "prod", "targetLocation": {"type": "REGION", "value": "us-east-1"}, "serverGroupName": "web-main-v003"}, True),
        ({"clusters": [{"account": "prod", "application": "web", "stack": "main", "availabilityZones": {"us-east-1": []}}]}, True),
        ({"clusters": [{"account": "prod", "application": "web", "stack": "other", "availabilityZones": {"us-east-1": []}}]}, None),
        ({**WHERE, "serverGroupName": "web-mainly-v003"}, None),
        ({**WHERE, "serverGroupName": "web-main-v003", "cloudProvider": "kubernetes"}, None),
        ({"credentials": "test", "region": "us-east-1", "serverGroupName": "web-main-v003"}, None),
        ({"credentials": "prod", "region": "eu-west-1", "serverGroupName": "web-main-v003"}, None),
        ({"credentials": "prod", "regions": ["eu-west-1"], "cluster": "web-main"}, None),
        ({**WHERE, "serverGroupName": "${ parameters.group }"}, False),
        ({"region": "us-east-1", "serverGroupName": "web-main-v003"}, False),
        ({}, False),
    ],
)
def test_a_stage_means_a_cluster_by_any_of_its_names_and_may_mean_it_where_it_says_too_little(body: Any, means: bool | None) -> None:
    assert means_cluster(body, WEB) is means


@pytest.mark.parametrize("file", ["12b-explicit-enable-disable-only", "12c-explicit-resize", "12i-rollback-cluster"])
def test_every_recorded_stage_that_moves_a_group_is_recognised(file: str) -> None:
    """Their names, accounts and regions stand where Orca writes them."""
    kinds = {"rollbackServerGroup", "rollbackCluster", "enableServerGroup", "disableServerGroup", "resizeServerGroup"}
    runs = [body["execution"] for body in answers(file, "/tasks/") if "execution" in body]
    stages = [stage for run in runs for stage in run["stages"] if stage["type"] in kinds]
    assert stages
    assert [stage["type"] for stage in stages if means_cluster(stage["context"], WEB) is not True] == []


def test_an_expression_may_be_anything() -> None:
    assert unclear("${x}")
    assert not unclear("web")
    assert not differs("${x}", "web")
    assert not differs("", "web")
    assert not differs("WEB", "web")
    assert differs("api", "web")
