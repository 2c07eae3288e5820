"""What a Kubernetes controller remembers of a manifest's past, as Gate hands it on; pure.

The revision number is no identity: an undo gives the restored pod template a new number and takes the old one out of the history (seen on the real API server,
safety/care D18). A release is its pod template. Gate reads `/manifests/...` live; `/serverGroupManagers` comes from a cache and may name what is gone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from integrations.delivery.spinnaker.executions import images_in
from integrations.json_shapes import Body, entries, number, part, text, texts
from integrations.manifests import digest, fields_of
from service.domain.model import Actor, Image, Json, ObjectRef, Release, Source, TargetId, release_key

REVISION = "deployment.kubernetes.io/revision"
EARLIER = "deployment.kubernetes.io/revision-history"
TEMPLATE_HASH = "pod-template-hash"
KEPT_BY_DEFAULT = 10
"""What Kubernetes keeps where `revisionHistoryLimit` is not set."""
UNDOABLE: Mapping[str, str] = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
"""The kinds whose roll-out Spinnaker can undo, as it writes them in lower case, and as Kubernetes does."""
VERSIONED = re.compile(r"-v\d{3,}$")
"""What Spinnaker appends to the name of a ConfigMap or Secret that it versions."""


@dataclass(frozen=True, slots=True, order=True)
class ManifestAddress:
    """A manifest as Spinnaker addresses it; `location` is the namespace."""

    account: str
    location: str
    kind: str
    name: str

    @property
    def spoken(self) -> str:
        """`deployment web`: two words, as every call of Spinnaker's wants it."""
        return f"{self.kind} {self.name}"

    @property
    def can_undo(self) -> bool:
        """Whether Spinnaker can undo a roll-out of this kind."""
        return self.kind.lower() in UNDOABLE

    @property
    def object(self) -> ObjectRef:
        """The Kubernetes object, for the index of alerts."""
        return ObjectRef(group="apps", kind=UNDOABLE.get(self.kind.lower(), self.kind), namespace=self.location, name=self.name)

    @classmethod
    def spoken_in(cls, account: str, location: str, words: str) -> "ManifestAddress | None":
        """The address of `<kind> <name>`; None when those are not exactly two words."""
        kind, _, name = words.partition(" ")
        return cls(account, location, kind, name) if account and location and kind and name and " " not in name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A ConfigMap or Secret that a pod template names. `optional`: the pod starts without it. One that is not `versioned` stays as the bad release made it.

    `read`: a container reads it; what only pulls images is no configuration. `keys` are those of it without which the pod does not start.
    """

    kind: str
    name: str
    optional: bool = False
    read: bool = True
    keys: tuple[str, ...] = ()

    @property
    def spoken(self) -> str:
        """`configMap web`, as every call of Spinnaker's wants it."""
        return f"{self.kind[:1].lower()}{self.kind[1:]} {self.name}"

    @property
    def versioned(self) -> bool:
        """Whether its name carries Spinnaker's version, so that the template names exactly the content it was deployed with."""
        return bool(VERSIONED.search(self.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision that the controller still has. `number` is today's, `earlier` are numbers that it had; `name` is its ReplicaSet's.

    `fields` is its template told by digests: path -> digest of the value.
    """

    number: int
    name: str
    digest: str
    images: tuple[Image, ...]
    created_at: datetime | None
    earlier: tuple[int, ...] = ()
    version: str = ""
    configs: tuple[Config, ...] = ()
    ready: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The revisions of one controller, newest first. `live` is the digest of the template that it rolls out now, `limit` how many old ones it keeps.

    `complete` is False when a revision that was told of could not be read, or does not say its number: then "there is no such revision" is not known.
    """

    revisions: tuple[Revision, ...]
    live: str
    number: int | None
    limit: int
    paused: bool
    complete: bool

    def of_template(self, digest: str) -> Revision | None:
        """The newest revision with that template."""
        return next((one for one in self.revisions if one.digest == digest), None)


def template_digest(template: Body) -> str:
    """Identity of a pod template: the same for a Deployment and for the ReplicaSet that it made of it (which alone carries the hash as a label)."""
    return digest(_kept(template))


def _kept(template: Body) -> Json:
    """What of a pod template a release is."""
    metadata = part(template, "metadata")
    labels = {key: value for key, value in part(metadata, "labels").items() if key != TEMPLATE_HASH}
    return _full({"labels": labels, "annotations": part(metadata, "annotations"), "spec": part(template, "spec")})


def history_of(manifest: Body, replica_sets: Sequence[Body | None]) -> History:
    """The history of a Deployment from its own manifest and those of its ReplicaSets, each as Kubernetes has it; None for one that could not be read."""
    template = part(manifest, "spec", "template")
    read = [body for body in replica_sets if body is not None and _is_of(body, manifest)]
    revisions = [one for body in read if (one := _revision(body)) is not None]
    complete = all(body is not None for body in replica_sets) and len(revisions) == len(read)
    limit = number(part(manifest, "spec").get("revisionHistoryLimit"))
    return History(
        revisions=tuple(sorted(revisions, key=lambda one: one.number, reverse=True)),
        live=template_digest(template) if template else "",
        number=number(part(manifest, "metadata", "annotations").get(REVISION)),
        limit=KEPT_BY_DEFAULT if limit is None else limit,
        paused=part(manifest, "spec").get("paused") is True,
        complete=complete,
    )


def release_of(target: TargetId, address: ManifestAddress, revision: Revision, *, by: Actor | None = None, deployed_at: datetime | None = None) -> Release:
    """A revision as a release: its handle is today's number, its identity the template. Without another word it was deployed when its ReplicaSet was made."""
    source = Source(repository=f"spinnaker:{address.account}", path=f"{address.location}/{address.spoken}", revision=revision.digest)
    at = deployed_at or revision.created_at or datetime.fromtimestamp(0, UTC)
    return Release(
        target=target,
        key=release_key((source,)),
        handle=str(revision.number),
        sources=(source,),
        version=revision.version,
        started_at=at,
        deployed_at=deployed_at or revision.created_at,
        by=by or Actor(kind="automation", name="spinnaker"),
    )


def configs_in(template: Body) -> tuple[Config, ...]:
    """Every ConfigMap and Secret that a pod of the template needs, each once; the strict need wins over an optional one."""
    found: dict[tuple[str, str], Config] = {}
    for need in _needs(part(template, "spec")):
        known = found.get((need.kind, need.name))
        found[need.kind, need.name] = need if known is None else _both(known, need)
    return tuple(one for one in found.values() if one.name)


def _both(one: Config, other: Config) -> Config:
    keys = tuple(dict.fromkeys((*one.keys, *other.keys)))
    return replace(one, optional=one.optional and other.optional, read=one.read or other.read, keys=keys)


def replica_sets_of(managers: Json, address: ManifestAddress) -> tuple[str, ...] | None:
    """Names of the ReplicaSets that the cached list gives for that manifest; None when the manifest is not in it: a cache that lags proves nothing."""
    for manager in entries(managers):
        if text(manager.get("account")) != address.account or text(manager.get("name")) != address.spoken:
            continue
        if (text(manager.get("namespace")) or text(manager.get("region"))) == address.location:
            named = (text(group.get("name")).partition(" ") for group in entries(manager.get("serverGroups")))
            return tuple(name for kind, _, name in named if kind.lower() == "replicaset" and name)
    return None


def health_of(status: Body) -> str:
    """Spinnaker's four flags on a manifest in the one word that is used for every system; Unknown when a flag is missing."""
    flags = {name: part(status, name).get("state") for name in ("failed", "paused", "stable", "available")}
    if flags["failed"] is True:
        return "Degraded"
    if flags["paused"] is True:
        return "Suspended"
    if flags["stable"] is True:
        return "Healthy" if flags["available"] is not False else "Degraded"
    return "Progressing" if flags["stable"] is False else "Unknown"


def _is_of(body: Body, manifest: Body) -> bool:
    """Whether the ReplicaSet belongs to this controller; without an owner named it is taken for one of it, for older clusters do not tell."""
    uid = text(part(manifest, "metadata").get("uid"))
    owners = [one for one in entries(part(body, "metadata").get("ownerReferences")) if one.get("controller") is True]
    return not uid or not owners or any(text(one.get("uid")) == uid for one in owners)


def _revision(body: Body) -> Revision | None:
    metadata, template = part(body, "metadata"), part(body, "spec", "template")
    annotations = part(metadata, "annotations")
    own = number(annotations.get(REVISION))
    if own is None or not template:
        return None
    images = images_in(template)
    return Revision(
        number=own,
        name=text(metadata.get("name")),
        digest=template_digest(template),
        images=images,
        created_at=moment_of(metadata.get("creationTimestamp")),
        earlier=tuple(one for word in text(annotations.get(EARLIER)).split(",") if (one := number(word.strip())) is not None),
        version=version_of(images),
        configs=configs_in(template),
        ready=number(part(body, "status").get("readyReplicas")) or 0,
        fields=dict(fields_of(_kept(template))),
    )


def version_of(images: Iterable[Image]) -> str:
    """What people call it: the tag of the first image that has one; "" when all are named by digest alone."""
    for image in images:
        tag = image.reference.partition("@")[0].rpartition("/")[2].partition(":")[2]
        if tag:
            return tag
    return ""


def _needs(spec: Body) -> Iterable[Config]:
    for volume in entries(spec.get("volumes")):
        yield from _named(volume, (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")))
        for source in entries(part(volume, "projected").get("sources")):
            yield from _named(source, (("ConfigMap", "configMap", "name"), ("Secret", "secret", "name")))
    for key in ("initContainers", "containers"):
        for container in entries(spec.get(key)):
            for source in entries(container.get("envFrom")):
                yield from _named(source, (("ConfigMap", "configMapRef", "name"), ("Secret", "secretRef", "name")))
            for variable in entries(container.get("env")):
                yield from _named(part(variable, "valueFrom"), (("ConfigMap", "configMapKeyRef", "name"), ("Secret", "secretKeyRef", "name")))
    for pull in entries(spec.get("imagePullSecrets")):
        yield Config(kind="Secret", name=text(pull.get("name")), read=False)


def _named(holder: Body, forms: Iterable[tuple[str, str, str]]) -> Iterable[Config]:
    """A variable names one `key` of it, a volume may name some as `items`; where neither is said, the pod starts with whatever is in it."""
    for kind, key, name in forms:
        if found := part(holder, key):
            optional = found.get("optional") is True
            keys = texts([found.get("key"), *(item.get("key") for item in entries(found.get("items")))])
            yield Config(kind=kind, name=text(found.get(name)), optional=optional, keys=() if optional else keys)


def _full(value: Json) -> Json:
    """Without what is empty: a server may write an empty object where another writes nothing."""
    if isinstance(value, Mapping):
        kept = {key: _full(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    return [_full(item) for item in value] if isinstance(value, list) else value


def moment_of(value: Json) -> datetime | None:
    """A moment as Kubernetes writes it; None when it is none."""
    try:
        found = datetime.fromisoformat(text(value)) if text(value) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def warnings_of(body: Body) -> tuple[str, ...]:
    """Spinnaker's own warnings on a manifest, word for word."""
    return texts([one.get("message") for one in entries(body.get("warnings"))])
