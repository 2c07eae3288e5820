from typing import Any

import pytest

from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.manifests_meant import means_manifest
from tests.unit.integrations.delivery.spinnaker.saved import deploy_manifest

WEB = ManifestAddress(account="k8s", location="ns", kind="deployment", name="web")
NAMED = {"account": "k8s", "location": "ns", "manifestName": "deployment web"}


def deploy(**metadata: str) -> dict[str, Any]:
    return deploy_manifest(manifests=[{"kind": "Deployment", "metadata": {"name": "web", "namespace": "ns", **metadata}}])


@pytest.mark.parametrize(
    ("body", "means"),
    [
        (NAMED, True),
        ({**NAMED, "manifestName": "Deployment Web"}, True),
        ({**NAMED, "manifestName": "deployment api"}, None),
        ({**NAMED, "location": "other"}, None),
        ({**NAMED, "account": "other"}, None),
        ({**NAMED, "account": "", "credentials": "other"}, None),
        ({**NAMED, "manifestName": "${ parameters.name }"}, False),
        ({**NAMED, "location": "${ parameters.ns }"}, False),
        ({**NAMED, "cloudProvider": "aws"}, None),
        ({"clusters": [{"provider": "gce"}]}, None),
        ({"account": "k8s"}, False),
        ({"account": "k8s", "location": "other"}, None),
        (deploy(), True),
        (deploy(name="api"), None),
        (deploy(namespace="other"), None),
        (deploy(namespace=""), False),
        (deploy(name="${ parameters.name }"), False),
        ({**deploy(), "namespaceOverride": "other"}, None),
        ({**deploy(namespace="other"), "namespaceOverride": "ns"}, True),
        ({**deploy(), "manifests": [{"kind": "Service", "metadata": {"name": "web", "namespace": "ns"}}]}, None),
        ({**deploy(name="api"), "manifests": [*deploy(name="api")["manifests"], *deploy()["manifests"]]}, True),
    ],
)
def test_a_stage_means_what_it_names_and_what_it_deploys(body: dict[str, Any], means: bool | None) -> None:
    assert means_manifest(body, WEB) is means


def test_what_was_typed_in_before_an_artifact_is_fetched_means_nothing() -> None:
    body = {**deploy(name="api"), "source": "artifact"}
    assert (means_manifest(body, WEB), means_manifest(body, WEB, fetched=True)) == (False, None)
