"""Rendered manifests as digests: what each object of a release is, field by field, without keeping a word of it. Pure.

Argo CD masks the values of Secrets in what it renders; here not even a digest is made of them, in case a server does not.
"""

import re
from collections.abc import Mapping, Sequence

from integrations.json_shapes import Body, entries, part, text
from integrations.manifests import digest, fields_of
from integrations.pods import images_of
from service.domain.difference import Facets, Rendered
from service.domain.model import Json, ObjectRef

OURS = ("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/installation-id", "kubectl.kubernetes.io/last-applied-configuration")
"""Annotations that Argo CD and kubectl add: they tell releases apart that are the same."""
FIELDS_KEPT = 2000
"""An object with more fields (a large CRD) is told as one field."""
MASKED = "masked"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = (40, 12, 8, 7)
"""Lengths in which Argo CD's build environment hands a revision to manifests (`ARGOCD_APP_REVISION`, `_SHORT_8`, `_SHORT`), and Git's own."""


def object_of(manifest: Body) -> ObjectRef:
    """A manifest as an object; without a namespace where it names none."""
    metadata = part(manifest, "metadata")
    group = text(manifest.get("apiVersion")).rpartition("/")[0]
    return ObjectRef(group=group, kind=text(manifest.get("kind")), namespace=text(metadata.get("namespace")), name=text(metadata.get("name")))


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
    return Rendered(object=ref, digest=digest(body), fields=fields, hidden=secret, facets=facets_of(manifest, ref))


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


HOOKS = ("argocd.argoproj.io/hook", "helm.sh/hook")
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
HELM_POLICY = "helm.sh/resource-policy"
POINTERS = frozenset(
    {
        ("argoproj.io", "Application"),
        ("argoproj.io", "ApplicationSet"),
        ("helm.toolkit.fluxcd.io", "HelmRelease"),
        ("kustomize.toolkit.fluxcd.io", "Kustomization"),
        ("source.toolkit.fluxcd.io", "GitRepository"),
        ("source.toolkit.fluxcd.io", "HelmRepository"),
        ("source.toolkit.fluxcd.io", "OCIRepository"),
        ("helm.cattle.io", "HelmChart"),
    }
)
"""Kinds whose manifest only names what is deployed."""
_SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_SIZE = re.compile(r"(\d{1,15})([kMGTP]i?|)", re.ASCII)


def facets_of(manifest: Body, ref: ObjectRef) -> Facets:
    """What the manifest says in names, versions and sizes. Of a Secret or ConfigMap nothing but its name is told."""
    annotations = part(manifest, "metadata", "annotations")
    options = {option.strip() for option in text(annotations.get(SYNC_OPTIONS)).split(",")}
    spec = part(manifest, "spec")
    versions = entries(spec.get("versions")) if (ref.group, ref.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition") else []
    return Facets(
        images=tuple(image.reference for image in images_of([manifest])),
        refers=_refers(spec),
        hook=any(name in annotations for name in HOOKS),
        kept="Prune=false" in options or text(annotations.get(HELM_POLICY)) == "keep",
        confirms="Prune=confirm" in options,
        replaced={"Replace=true", "Force=true"} <= options,
        frozen=manifest.get("immutable") is True,
        asks=_bytes(part(spec, "resources", "requests").get("storage")) if (ref.group, ref.kind) == ("", "PersistentVolumeClaim") else None,
        serves=tuple(text(one.get("name")) for one in versions if one.get("served") is not False),
        stores=next((text(one.get("name")) for one in versions if one.get("storage") is True), ""),
        points=(ref.group, ref.kind) in POINTERS,
    )


_REFERENCES = {
    "configMap": ("ConfigMap", "name"),
    "configMapRef": ("ConfigMap", "name"),
    "configMapKeyRef": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
    "secretRef": ("Secret", "name"),
    "secretKeyRef": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
"""Where a pod template names an object that has to be there before its pods start. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/"""


def _refers(spec: Json) -> tuple[tuple[str, str], ...]:
    found: set[tuple[str, str]] = set()

    def walk(value: Json) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                kind, called = _REFERENCES.get(name, ("", ""))
                target = text(part(inner).get(called)) or text(part(inner).get("name")) if kind else ""
                if target and part(inner).get("optional") is not True:
                    found.add((kind, target))
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(spec)
    return tuple(sorted(found))


def _bytes(size: Json) -> int | None:
    """`10Gi` in bytes; None for what is not read here (`1.5Gi`, an exponent)."""
    found = _SIZE.fullmatch(str(size)) if isinstance(size, str | int) else None
    return int(found[1]) * _SIZES[found[2]] if found and found[2] in _SIZES else None
