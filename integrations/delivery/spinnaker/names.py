"""How targets of Spinnaker are named: a manifest as `ACCOUNT/NAMESPACE/KIND/NAME`, the same words that every call of Spinnaker's takes; pure."""

from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from service.domain.errors import RefusedError
from service.domain.model import TargetId

PARTS = 4


def target_of(instance: str, address: ManifestAddress) -> TargetId:
    """The target of a manifest."""
    return TargetId(instance, f"{address.account}/{address.location}/{address.kind}/{address.name}")


def address_of(target: TargetId) -> ManifestAddress:
    """The manifest that a target names; RefusedError when it names none."""
    parts = target.name.split("/")
    if len(parts) != PARTS or not all(parts):
        raise RefusedError(f"there is no {target}: a target here is <instance>:<account>/<namespace>/<kind>/<name>")
    return ManifestAddress(*parts)
