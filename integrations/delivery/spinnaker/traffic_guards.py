"""Which clusters Spinnaker guards: it refuses what would leave one without traffic. Read ahead from the application, as Orca reads it; pure.

Source only. A guard does not stand in the way of a switch that gives the old group its traffic first; it refuses the disable where that did not come up.
"""

from integrations.delivery.spinnaker.server_groups import ClusterAddress
from integrations.json_shapes import Body, entries, part, text

ANY = "*"


def is_guarded(application: Body, address: ClusterAddress) -> bool | None:
    """Whether a guard of the application that is switched on means the cluster; None where the application's attributes are not told."""
    attributes = part(application, "attributes")
    if not attributes.keys() - {"name"}:  # a Gate whose cache is off knows nothing but the name
        return None
    stack, detail = _parts(address)
    wanted = {"account": address.account, "location": address.region, "stack": stack, "detail": detail}
    return any(
        guard.get("enabled") is not False and all(text(guard.get(key)) in {ANY, value} for key, value in wanted.items())
        for guard in entries(attributes.get("trafficGuards"))
    )


def _parts(address: ClusterAddress) -> tuple[str, str]:
    """Stack and detail of a cluster's name, `app-stack-detail`; a detail may have dashes of its own."""
    rest = address.cluster.removeprefix(address.application).removeprefix("-")
    stack, _, detail = rest.partition("-")
    return stack, detail
