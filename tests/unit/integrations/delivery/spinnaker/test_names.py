import pytest

from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.names import address_of, target_of
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from service.domain.errors import RefusedError
from service.domain.model import TargetId

WEB = ManifestAddress("k8s", "shop", "deployment", "web")


def test_a_target_is_named_by_what_every_call_takes_and_read_back() -> None:
    target = target_of("spin", WEB)
    assert str(target) == "spin:k8s/shop/deployment/web"
    assert address_of(target) == WEB


def test_a_cluster_is_named_by_account_region_and_name_its_application_is_in_the_list() -> None:
    cluster = ClusterAddress(application="web", account="prod", cluster="web-main", region="us-east-1", provider="aws")
    target = target_of("spin", cluster)
    assert str(target) == "spin:prod/us-east-1/web-main"
    assert address_of(target) == ClusterAddress(application="", account="prod", cluster="web-main", region="us-east-1")


@pytest.mark.parametrize("name", ["web", "k8s/shop", "k8s//web", "k8s/shop/", "k8s/shop/deployment/web/more", "k8s//deployment/web", "k8s/shop/deployment/"])
def test_another_name_is_no_target(name: str) -> None:
    with pytest.raises(RefusedError, match="<account>/<namespace>/<kind>/<name>"):
        address_of(TargetId("spin", name))
