"""Which cluster of server groups a stage means, saved or run: by its clusters, by a server group's name, or by the cluster's own; pure.

Words as Deck and Orca write them: those of rollbacks, enables, disables and resizes are recorded (12a to 12j), those of deploys are source only.
"""

from integrations.delivery.spinnaker.server_groups import ClusterAddress, cluster_of
from integrations.json_shapes import Body, entries, part, text, texts


def means_cluster(body: Body, target: ClusterAddress) -> bool | None:
    """True: it does; False: nobody can tell yet; None: it does not."""
    if text(body.get("cloudProvider")) == "kubernetes":
        return None
    answers = [_means(one, target) for one in entries(body.get("clusters")) or [body]]
    return True if True in answers else (False if False in answers else None)


def _means(body: Body, target: ClusterAddress) -> bool | None:
    account = text(body.get("account")) or text(body.get("credentials"))
    name = _cluster(body)
    regions = _regions(body)
    if differs(account, target.account) or differs(name, target.cluster) or (regions and not any(not differs(one, target.region) for one in regions)):
        return None
    return bool(account and name and regions) and not any(unclear(word) for word in (account, name, *regions))


def _cluster(body: Body) -> str:
    """What it says of the cluster's name: outright, by a server group's name, or by the parts that a name is made of."""
    back = part(body, "rollbackContext")
    groups = (body.get("serverGroupName"), body.get("asgName"), back.get("rollbackServerGroupName"), back.get("restoreServerGroupName"))
    of_group = next((cluster_of(name)[0] for one in groups if (name := text(one))), "")
    parts = "-".join(word for word in (text(body.get("application")), text(body.get("stack")), text(body.get("freeFormDetails"))) if word)
    return text(part(body, "moniker").get("cluster")) or of_group or text(body.get("cluster")) or parts


def _regions(body: Body) -> set[str]:
    one = (text(body.get("region")), text(part(body, "targetLocation").get("value")))
    return {*texts(body.get("regions")), *part(body, "availabilityZones"), *(word for word in one if word)}


def unclear(word: str) -> bool:
    """Whether an expression stands in it: what it will be is known only when it runs."""
    return "${" in word


def differs(said: str, wanted: str) -> bool:
    """Whether it is certainly another one: nothing said, and an expression, may be any."""
    return bool(said) and not unclear(said) and said.lower() != wanted.lower()
