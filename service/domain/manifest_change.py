"""What differs between the manifests of two releases, and what of it stands in the way back: no delivery system and no cluster is asked. Pure.

The manifests are told by digests and names (`difference.Rendered`), so this sees no value. What Kubernetes refuses to change is from its API reference
(https://kubernetes.io/docs/reference/kubernetes-api/): a field here is one that the API server rejects an update of.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.domain.difference import Facets, Rendered
from service.domain.left_behind import DATABASE_GROUPS, kind_of
from service.domain.model import Image, ObjectRef
from service.domain.verdict import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An object with the file and line where its manifest begins."""

    rendered: Rendered
    path: str
    line: int

    @property
    def facets(self) -> Facets:
        """Its names, versions and sizes."""
        return self.rendered.facets or Facets()


@dataclass(frozen=True, slots=True)
class Unread:
    """What nobody read at one of the two revisions, and why (a clause that goes on after its path)."""

    path: str
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """The manifests of one folder at two revisions. `unread` may change what is deployed; with any, nothing proves that all was seen.

    `alike` are folders that a tool renders and that do not differ.
    """

    folder: str
    old: tuple[Placed, ...]
    new: tuple[Placed, ...]
    unread: tuple[Unread, ...] = ()
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """One thing that stands in the way, or that a person has to know: `says` is a sentence about the change, `why` it matters, what to `do`."""

    rule: str
    answer: Answer
    says: str
    why: str
    do: str
    at: Placed


LOSES = frozenset(
    {
        ("", "Namespace"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("snapshot.storage.k8s.io", "VolumeSnapshot"),
        ("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
    }
)
"""Kinds whose manifest does not bring back what was in them: a claim's volume, all that is in a namespace, every object of a definition."""

_STATEFUL_SET_MAY = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds")
_CLAIM_MAY = ("resources", "volumeAttributesClassName")
_IMMUTABLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "ReplicaSet"): ("spec.selector",),
    ("batch", "Job"): ("spec.selector", "spec.template", "spec.completionMode", "spec.podFailurePolicy", "spec.backoffLimitPerIndex"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): ("spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"),
    ("", "Service"): ("spec.clusterIP", "spec.clusterIPs"),
}
_ENGINES = re.compile(
    r"(?:^|/)(cassandra|clickhouse-server|cockroach|couchdb|elasticsearch|etcd|influxdb|kafka|keydb|mariadb|mongo|mongodb|mysql|neo4j|opensearch|percona-server"
    r"|postgres|postgresql|postgis|rabbitmq|redis|redis-stack|scylla|timescaledb|valkey|zookeeper)$"
)
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:[.\-_].*)?$", re.ASCII)
_BY_MAJOR_ALONE = re.compile(r"(?:^|/)(?:postgres|postgresql|postgis)$")
"""Stores whose data stays readable between the minor versions of one major version (PostgreSQL since 10)."""
_SINCE = 10
_MOVING = frozenset({"", "latest", "stable", "main", "master", "edge", "nightly", "dev"})


def objections(found: Manifests, older: str, newer: str, *, prunes: bool | None) -> Iterator[Objection]:
    """Everything about the two sides, in the order of the newer side's files. `older` and `newer` are how a person calls the revisions.

    `prunes` is whether a deploy deletes what its manifests do not have, None when nobody said.
    """
    old, new = ({one.rendered.object: one for one in side if one.rendered.object.name} for side in (found.old, found.new))
    for ref, now in new.items():
        before = old.get(ref)
        yield from _runs(before, now, older)
        yield from _points(before, now)
        if before is not None and before.rendered.digest != now.rendered.digest:
            yield from _refused(before, now)
            yield from _smaller(before, now, older)
            yield from _versions(before, now, older)
    for ref, before in old.items():
        if ref not in new:
            yield from _gone(before, older, newer, prunes=prunes)
    yield from _missing(found, older, newer)
    yield from _images(found, older, newer)


def _changed(before: Rendered, now: Rendered) -> Iterator[str]:
    """The paths of fields that differ, and `spec.template` where only images do, which have no path."""
    yield from (path for path in sorted(before.fields.keys() | now.fields.keys()) if before.fields.get(path) != now.fields.get(path))
    if before.facets and now.facets and before.facets.images != now.facets.images:
        yield "spec.template"


def _below(path: str, fields: Iterable[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in fields)


def _immutable(kind: tuple[str, str], path: str, *, frozen: bool) -> bool:
    """Whether Kubernetes refuses an update of that field of such an object."""
    if kind == ("apps", "StatefulSet"):
        return path.startswith("spec.") and not _below(path, (f"spec.{one}" for one in _STATEFUL_SET_MAY))
    if kind == ("", "PersistentVolumeClaim"):
        return path.startswith("spec.") and not _below(path, (f"spec.{one}" for one in _CLAIM_MAY))
    if kind in {("", "ConfigMap"), ("", "Secret")}:
        return frozen and _below(path, ("data", "binaryData", "stringData", "immutable"))
    return _below(path, _IMMUTABLE.get(kind, ()))


def _refused(before: Placed, now: Placed) -> Iterator[Objection]:
    ref, kind = now.rendered.object, kind_of(now.rendered.object)
    if now.facets.hook or now.facets.replaced:  # made anew by whoever deploys it
        return
    frozen = before.facets.frozen
    paths = [path for path in _changed(before.rendered, now.rendered) if _immutable(kind, path, frozen=frozen)]
    if paths:
        yield Objection(
            rule="immutable_field_changed",
            answer=Answer.BLOCK,
            says=f"Changes {_shortest(paths)} of {ref}, which Kubernetes refuses.",
            why="The deploy can only go through if the object is deleted first, and then going back is refused the same way.",
            do="Leave the field as it is, or give the object a new name and let both live until nobody would go back.",
            at=now,
        )


def _shortest(paths: Sequence[str]) -> str:
    """The fields by their first two names: `spec.selector` for all that differs below it."""
    heads = list(dict.fromkeys(re.split(r"[.\[]", path)[0] + ("." + re.split(r"[.\[]", path)[1] if "." in path else "") for path in paths))
    return ", ".join(heads[:3]) + (f" and {len(heads) - 3} more" if len(heads) > 3 else "")  # noqa: PLR2004  three are told


def _smaller(before: Placed, now: Placed, older: str) -> Iterator[Objection]:
    was, asks = before.facets.asks, now.facets.asks
    if was is None or asks is None or was == asks:
        return
    ref = now.rendered.object
    yield Objection(
        rule="claim_resized",
        answer=Answer.WARN,
        says=f"Changes the size of {ref}; Kubernetes lets a claim only grow.",
        why=f"Going back to {older} asks for less than there is then, which is refused: a rollback of all manifests ends with an error."
        if asks > was
        else "The deploy itself is refused.",
        do="If you go back, keep the larger size in the manifest.",
        at=now,
    )


def _versions(before: Placed, now: Placed, older: str) -> Iterator[Objection]:
    stores = now.facets.stores
    if stores and stores not in before.facets.serves:
        yield Objection(
            rule="stored_version_unknown_to_old",
            answer=Answer.BLOCK,
            says=f"Stores objects of {now.rendered.object} in version {stores}, which {older} does not have.",
            why="Kubernetes refuses a definition without a version in which objects are stored, so going back to the earlier definition fails.",
            do=f"Serve {stores} without storing it for one release; store it in the next.",
            at=now,
        )


def _gone(before: Placed, older: str, newer: str, *, prunes: bool | None) -> Iterator[Objection]:
    ref = before.rendered.object
    if before.facets.kept or before.facets.hook or prunes is False or not (kind_of(ref) in LOSES or ref.group in DATABASE_GROUPS):
        return
    sure = prunes is True
    yield Objection(
        rule="data_object_removed",
        answer=Answer.BLOCK if sure else Answer.UNKNOWN,
        says=f"Removes {ref}, which may hold data.",
        why=f"{'A' if sure else 'If a'} deploy of {newer} deletes it, {'and ' if sure else ''}going back to {older} makes it anew, empty.",
        do="Keep it with the annotation argocd.argoproj.io/sync-options: Prune=false, and remove it once nobody would go back"
        + ("." if sure else "; or say in .backout.yaml whether deploys prune: `manifests: {prune: true}` or false."),
        at=before,
    )


def _runs(before: Placed | None, now: Placed, older: str) -> Iterator[Objection]:
    job = kind_of(now.rendered.object) == ("batch", "Job")
    if not (job or now.facets.hook) or (before is not None and before.rendered.fields == now.rendered.fields):
        return
    what = "the hook " if now.facets.hook else ""
    yield Objection(
        rule="job_runs",
        answer=Answer.WARN,
        says=f"{'Adds' if before is None else 'Changes'} {what}{now.rendered.object}, which runs when this is deployed.",
        why=f"What it does is not undone by going back to {older}. A rollback runs no hooks; a revert in Git runs those of {older} again.",
        do="Read what it does: can the earlier release live with that?",
        at=now,
    )


def _points(before: Placed | None, now: Placed) -> Iterator[Objection]:
    if now.facets.points and (before is None or before.rendered.digest != now.rendered.digest):
        yield Objection(
            rule="deployed_from_elsewhere",
            answer=Answer.UNKNOWN,
            says=f"{'Adds' if before is None else 'Changes'} {now.rendered.object}, which deploys what does not stand in this folder.",
            why="What it deploys was not read.",
            do="Check the repository or chart that it names, with the two revisions that it deploys.",
            at=now,
        )


def _missing(found: Manifests, older: str, newer: str) -> Iterator[Objection]:
    """What only the older side's pods need and none of its manifests makes: somebody else has to keep it."""
    there = {(one.rendered.object.kind, one.rendered.object.name) for one in found.old}
    still = {need for one in found.new for need in one.facets.refers}
    for one in found.old:
        left = [need for need in one.facets.refers if need not in still and need not in there]
        if left:
            names = ", ".join(f"{kind} {name}" for kind, name in left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")  # noqa: PLR2004
            yield Objection(
                rule="reference_left",
                answer=Answer.WARN,
                says=f"{newer} does not need {names} any more; pods of {one.rendered.object} in {older} do not start without.",
                why="No manifest here makes it, so whoever made it may take it away now.",
                do="Keep it for as long as somebody may go back.",
                at=one,
            )


def _images(found: Manifests, older: str, newer: str) -> Iterator[Objection]:
    was, now = _by_name(found.old), _by_name(found.new)
    for name, (image, at) in was.items():
        tag, place = _tag(image.reference), now.get(name)
        if image.digest is None and tag in _MOVING:
            yield Objection(
                rule="image_moves",
                answer=Answer.WARN,
                says=f"The image {image.reference} of {older} names no version.",
                why="Going back starts whatever that name means then, not what ran.",
                do="Name images by version or, better, by digest.",
                at=at,
            )
        if place is not None and _engine(image) and image.reference != place[0].reference:
            yield from _engine_changed(image, place[0], place[1], older, newer)
    repositories = {one.repository for one, _ in now.values()}
    for image, at in was.values():
        tail = image.repository.rpartition("/")[2]
        moved = next((one for one in sorted(repositories) if one.rpartition("/")[2] == tail and one != image.repository), "")
        if image.repository not in repositories and moved:
            yield Objection(
                rule="image_repository_moved",
                answer=Answer.WARN,
                says=f"Takes {tail} from {moved} instead of {image.repository}.",
                why=f"Pods of {older} do not start once its images are gone from the old place.",
                do="Keep the images in the old place, and the right to pull them, for as long as somebody may go back.",
                at=at,
            )


def _engine_changed(before: Image, now: Image, at: Placed, older: str, newer: str) -> Iterator[Objection]:
    was, is_now = (_VERSION.match(_tag(one.reference)) for one in (before, now))
    major = was is not None and is_now is not None and was[1] != is_now[1]
    if was and is_now and not major:
        alone = _BY_MAJOR_ALONE.search(before.repository) is not None and int(was[1]) >= _SINCE
        if alone or (was[2] is not None and was[2] == is_now[2]):
            return
    tail = before.repository.rpartition("/")[2]
    yield Objection(
        rule="engine_version_changed",
        answer=Answer.BLOCK if major else Answer.UNKNOWN,
        says=f"Changes {tail} from {_tag(before.reference) or 'no version'} to {_tag(now.reference) or 'no version'}.",
        why=f"Data that {newer} has opened may not open under the version of {older} again."
        if major
        else "Whether the earlier version opens data that the newer one has opened is not clear from the tags.",
        do="Take a snapshot that can be restored first, and plan the way back through it.",
        at=at,
    )


def _by_name(side: Sequence[Placed]) -> dict[tuple[ObjectRef, int], tuple[Image, Placed]]:
    """Each image by its object and its place in it."""
    return {(one.rendered.object, number): (_image(reference), one) for one in side for number, reference in enumerate(one.facets.images)}


def _image(reference: str) -> Image:
    digest = reference.partition("@")[2]
    return Image(reference=reference, digest=digest or None, proof="reference" if digest else "")


def _tag(reference: str) -> str:
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def _engine(image: Image) -> bool:
    return _ENGINES.search(image.repository) is not None


def images_of(side: Sequence[Placed]) -> tuple[str, ...]:
    """The references of all images, sorted."""
    return tuple(sorted({reference for one in side for reference in one.facets.images}))
