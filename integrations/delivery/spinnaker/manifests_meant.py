"""Which manifest a stage means, saved or run: by its name, or by the manifests that it deploys; pure.

Words as Deck and Orca write them: those of an undo and of other manifest stages are recorded (11a to 11k), `namespaceOverride` is source only.
"""

from integrations.delivery.spinnaker.clusters_meant import differs, unclear
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.json_shapes import Body, entries, part, text


def means_manifest(body: Body, target: ManifestAddress, *, fetched: bool = False) -> bool | None:
    """True: it does; False: nobody can tell yet; None: it does not.

    `fetched`: an artifact that it deploys stands in `manifests` by now; until then what stands there was typed in before, and means nothing.
    """
    if _is_of_machines(body) or differs(text(body.get("account")) or text(body.get("credentials")), target.account):
        return None
    named, location = text(body.get("manifestName")), text(body.get("location"))
    if named:
        return None if differs(named, target.spoken) or differs(location, target.location) else not (unclear(named) or unclear(location))
    manifests = entries(body.get("manifests"))
    if not manifests or (text(body.get("source")) == "artifact" and not fetched):
        return None if differs(location, target.location) else False
    answers = [_means(one, text(body.get("namespaceOverride")), target) for one in manifests]
    return True if True in answers else (False if False in answers else None)


def _means(manifest: Body, override: str, target: ManifestAddress) -> bool | None:
    metadata = part(manifest, "metadata")
    kind, name, namespace = text(manifest.get("kind")), text(metadata.get("name")), override or text(metadata.get("namespace"))
    if differs(kind, target.kind) or differs(name, target.name) or differs(namespace, target.location):
        return None
    return bool(kind and name and namespace) and not any(unclear(word) for word in (kind, name, namespace))


def _is_of_machines(body: Body) -> bool:
    """Whether it says that it is of another provider than Kubernetes."""
    told = [text(one.get(key)) for one in (body, *entries(body.get("clusters"))) for key in ("cloudProvider", "provider")]
    return any(told) and "kubernetes" not in told
