"""Rendered manifests as digests: what each object of a release is, field by field, without keeping a word of it. Pure.

Argo CD masks the values of Secrets in what it renders; here not even a digest is made of them, in case a server does not.
"""

import re
from collections.abc import Mapping, Sequence

from integrations.delivery.argocd.reading import Body, object_of, part
from integrations.manifests import digest, fields_of
from service.domain.difference import Rendered
from service.domain.model import Json, ObjectRef

OURS = ("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/installation-id", "kubectl.kubernetes.io/last-applied-configuration")
"""Annotations that Argo CD and kubectl add: they tell releases apart that are the same."""
FIELDS_KEPT = 2000
"""An object with more fields (a large CRD) is told as one field."""
MASKED = "masked"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = (40, 12, 8, 7)
"""Lengths in which Argo CD's build environment hands a revision to manifests (`ARGOCD_APP_REVISION`, `_SHORT_8`, `_SHORT`), and Git's own."""


def rendered_of(manifests: Sequence[Body], *, own: Sequence[ObjectRef], destination: str, revisions: Sequence[str]) -> tuple[Rendered, ...]:
    """Each manifest as digests. `own` are the application's objects now (they tell which are cluster-wide), `revisions` those that were rendered.

    Where a manifest names its own revision (an annotation, a label), the name is left out of the digest: every commit would differ by it.
    """
    names = [revision[:length] for length in _SHORT for revision in revisions if _COMMIT.fullmatch(revision)]
    return tuple(_rendered(manifest, _placed(object_of(manifest), own, destination), names) for manifest in manifests)


def _placed(ref: ObjectRef, own: Sequence[ObjectRef], destination: str) -> ObjectRef:
    """The object with its namespace: its own, none if it lives cluster-wide, else the application's."""
    if ref.namespace or ref in own:
        return ref
    return ObjectRef(group=ref.group, kind=ref.kind, namespace=destination, name=ref.name)


def _rendered(manifest: Body, ref: ObjectRef, names: Sequence[str]) -> Rendered:
    secret = (ref.group, ref.kind) == ("", "Secret")
    body = _plain(manifest, names, secret=secret)
    fields = dict(fields_of(body))
    if len(fields) > FIELDS_KEPT:
        fields = {"(all)": digest(body)[:16]}
    return Rendered(object=ref, digest=digest(body), fields=fields, hidden=secret)


def _plain(manifest: Body, names: Sequence[str], *, secret: bool) -> Mapping[str, Json]:
    metadata = {name: value for name, value in part(manifest, "metadata").items() if name not in {"creationTimestamp", "annotations"}}
    annotations = {name: value for name, value in part(manifest, "metadata", "annotations").items() if name not in OURS}
    body = {name: value for name, value in manifest.items() if name != "status"}
    body["metadata"] = metadata | ({"annotations": annotations} if annotations else {})
    if secret:
        body |= {name: dict.fromkeys(part(body, name), MASKED) for name in ("data", "stringData") if name in body}
    found: Mapping[str, Json] = _without(body, names)
    return found


def _without(value: Json, names: Sequence[str]) -> Json:
    if isinstance(value, Mapping):
        return {name: _without(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    if isinstance(value, str):
        for name in names:
            value = value.replace(name, "(revision)")
    return value
