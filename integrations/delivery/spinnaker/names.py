"""How targets of Spinnaker are named, in the words that every call of Spinnaker's takes; pure.

A manifest is `ACCOUNT/NAMESPACE/KIND/NAME`, a cluster of server groups `ACCOUNT/REGION/CLUSTER`.
"""

from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from service.domain.errors import RefusedError
from service.domain.model import TargetId

Address = ManifestAddress | ClusterAddress
"""What a target is to Spinnaker."""
MANIFEST_PARTS, CLUSTER_PARTS = 4, 3


def target_of(instance: str, address: Address) -> TargetId:
    """The target of a manifest or of a cluster."""
    if isinstance(address, ManifestAddress):
        return TargetId(instance, f"{address.account}/{address.location}/{address.kind}/{address.name}")
    return TargetId(instance, f"{address.account}/{address.region}/{address.cluster}")


def address_of(target: TargetId) -> Address:
    """The manifest or the cluster that a target names, the cluster without its application and provider; RefusedError when it names none."""
    parts = target.name.split("/")
    if all(parts) and len(parts) == MANIFEST_PARTS:
        return ManifestAddress(*parts)
    if all(parts) and len(parts) == CLUSTER_PARTS:
        account, region, cluster = parts
        return ClusterAddress(application="", account=account, cluster=cluster, region=region)
    raise RefusedError(f"there is no {target}: a target here is <instance>:<account>/<namespace>/<kind>/<name>, or <instance>:<account>/<region>/<cluster>")
