"""Server groups (everything in Spinnaker that is not a Kubernetes manifest) as values; pure. Names are `app-stack-detail-v003`.

Recorded through a real Gate with a played clouddriver: that the fields are there is certain, that a real clouddriver of each provider fills them is read from
its source only. `disabled` is what takes no traffic; how many instances run is told by the counts alone, and only they say that a group still runs.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from integrations.http import without_credential
from integrations.json_shapes import Body, entries, epoch, number, part, text, texts
from integrations.manifests import digest, fields_of
from integrations.pods import image_digest
from service.domain.model import Actor, Image, Json, Release, Source, TargetId, release_key

WRAPS = 1000
"""After v999 comes v000."""
LAUNCH = (
    "imageId",
    "instanceType",
    "keyName",
    "securityGroups",
    "iamInstanceProfile",
    "ebsOptimized",
    "instanceMonitoring",
    "blockDeviceMappings",
    "spotPrice",
    "kernelId",
    "ramdiskId",
)
"""What a launch configuration or template says of the machines that it makes, without what each deploy names anew (source only)."""
PLATFORM = frozenset({"Amazon", "Google", "Azure"})
"""Health that a cloud reports of the machine alone: it does not tell whether what runs on it serves, and mostly says Unknown (source only)."""
VERSION = "org.opencontainers.image.version"
"""The tag of an image that says which version it is, as the label of a container image does."""
SEQUENCE = re.compile(r"^(?P<cluster>.+)-v(?P<sequence>\d{3,})$")
"""A server group's name: its cluster, and the number that is counted up to 999 and then begins again."""


@dataclass(frozen=True, slots=True, order=True)
class ClusterAddress:
    """A cluster in one region, as Spinnaker addresses it."""

    application: str
    account: str
    cluster: str
    region: str
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One machine of a server group. `serves`: it is healthy, and so says everything that looks at it from outside, load balancers above all."""

    name: str
    serves: bool
    starts: bool = False
    launched_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """One server group. `up` of `total` instances are healthy, None where that is not told; `desired` is how many there should be.

    `out` are healthy ones that were taken out of traffic, `down` and `starting` as they are called. `images` are what it was made of: image ids of machines
    (exact), or container references. `build` names the build where the image says it, `package` and `commit` what it was baked from; `tags` are the image's
    own. `launch` are the settings of its machines, path -> digest.
    `launchable` tells whether its launch configuration and image are still there, None where that is not told. `suspended` are its scaling processes
    that somebody switched off.
    """

    name: str
    address: ClusterAddress
    disabled: bool | None
    created_at: datetime | None
    sequence: int | None = None
    up: int | None = None
    total: int | None = None
    minimum: int | None = None
    desired: int | None = None
    maximum: int | None = None
    images: tuple[Image, ...] = ()
    build: str = ""
    package: str = ""
    commit: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    load_balancers: tuple[str, ...] = ()
    out: int | None = None
    down: int | None = None
    starting: int | None = None
    launch: Mapping[str, str] = field(default_factory=dict)
    launchable: bool | None = None
    suspended: tuple[str, ...] = ()
    instances: tuple[Instance, ...] = ()

    @property
    def serves(self) -> bool:
        """Whether it is known to take traffic: enabled, with at least one healthy instance."""
        return self.disabled is False and bool(self.up)

    @property
    def still_runs(self) -> bool:
        """Whether it runs at the size that it is meant to have, told by the instance counts: only then enabling it is enough."""
        return self.running is not None and bool(self.desired) and self.running >= (self.desired or 0)

    @property
    def running(self) -> int | None:
        """How many of its instances run well, with traffic or without: those of a disabled group are out of service and run all the same."""
        return None if self.up is None else self.up + (self.out or 0)

    @property
    def made_at(self) -> datetime:
        """When it was made; long ago where that is not told."""
        return self.created_at or datetime.fromtimestamp(0, UTC)

    @property
    def version(self) -> str:
        """What people call it: as its image's tag says, else the build, else the image, else its own number."""
        image = next((one.reference for one in self.images), "")
        return self.tags.get(VERSION) or self.build or image or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The server groups of one cluster in one region, newest first. `unread` are sentences about groups of it that could not be read."""

    address: ClusterAddress
    groups: tuple[ServerGroup, ...]
    unread: tuple[str, ...] = ()

    @property
    def enabled(self) -> tuple[ServerGroup, ...]:
        """Those that are not known to be disabled: an unknown one may take traffic."""
        return tuple(group for group in self.groups if group.disabled is not True)

    @property
    def current(self) -> ServerGroup | None:
        """The one that serves; None when none does or several do (a half-done switch): then nobody may guess."""
        serving = [group for group in self.groups if group.serves]
        return serving[0] if len(serving) == 1 and len(self.enabled) == 1 else None

    @property
    def half_done(self) -> bool:
        """Whether more than one may take traffic: a switch under way or broken off. Repeating an explicit one is the cure, not reversing it."""
        return len(self.enabled) > 1

    @property
    def newest_serving(self) -> ServerGroup | None:
        """The newest of those that may take traffic."""
        return next(iter(self.enabled), None)

    def named(self, name: str) -> ServerGroup | None:
        """The group of that name."""
        return next((group for group in self.groups if group.name == name), None)


def cluster_of(name: str) -> tuple[str, int | None]:
    """Cluster and number of a server group's name; the whole name and None for one that is not numbered."""
    found = SEQUENCE.match(name)
    return (found["cluster"], int(found["sequence"])) if found else (name, None)


def server_group_of(body: Json, application: str) -> ServerGroup | None:
    """A server group as Gate gives it, in lists or by itself; None when it does not say its name, account and region."""
    whole: Body = body if isinstance(body, dict) else {}
    name, account, region = text(whole.get("name")), text(whole.get("account")), text(whole.get("region"))
    if not (name and account and region):
        return None
    moniker, capacity, counts = part(whole, "moniker"), part(whole, "capacity"), part(whole, "instanceCounts")
    cluster, counted = cluster_of(name)
    disabled = next((value for key in ("disabled", "isDisabled") if isinstance(value := whole.get(key), bool)), None)
    sequence = number(moniker.get("sequence"))
    return ServerGroup(
        name=name,
        address=ClusterAddress(
            application=text(moniker.get("app")) or application,
            account=account,
            cluster=text(moniker.get("cluster")) or cluster,
            region=region,
            provider=text(whole.get("cloudProvider")) or text(whole.get("type")),
        ),
        disabled=disabled,
        created_at=epoch(whole.get("createdTime")),
        sequence=counted if sequence is None else sequence,
        up=number(counts.get("up")),
        total=number(counts.get("total")),
        minimum=number(capacity.get("min")),
        desired=number(capacity.get("desired")),
        maximum=number(capacity.get("max")),
        images=tuple(_images(whole)),
        build=_build(whole),
        package=text(part(whole, "buildInfo").get("package_name")),
        commit=text(part(whole, "buildInfo").get("commit")),
        tags=dict(_tags(part(whole, "image").get("tags"))),
        load_balancers=texts(whole.get("loadBalancers")),
        out=number(counts.get("outOfService")),
        down=number(counts.get("down")),
        starting=number(counts.get("starting")),
        launch=dict(fields_of(_launch(whole, name))),
        launchable=_launchable(whole),
        suspended=tuple(text(one.get("processName")) for one in entries(part(whole, "asg").get("suspendedProcesses")) if text(one.get("processName"))),
        instances=tuple(_instance(one) for one in entries(whole.get("instances"))),
    )


def clusters_of(bodies: Json, application: str) -> tuple[Cluster, ...]:
    """All clusters in a list of server groups, each in each region; a group that cannot be read makes its sentence in every cluster: it may belong there."""
    groups, unread = [], []
    for body in entries(bodies):
        found = server_group_of(body, application)
        if found is None:
            unread.append(f"a server group without {_missing(body)} was left out")
        else:
            groups.append(found)
    addresses = sorted({group.address for group in groups})
    return tuple(
        Cluster(address=address, groups=_newest_first(group for group in groups if group.address == address), unread=tuple(unread)) for address in addresses
    )


def release_of(target: TargetId, group: ServerGroup, *, by: Actor | None = None) -> Release:
    """A server group as a release: its handle is its name; its identity is the name, the moment of creation and what it was made of.

    The name alone is none, for numbers begin again after 999.
    """
    source = Source(repository=f"spinnaker:{group.address.account}", path=f"{group.address.region}/{group.address.cluster}", revision=identity_of(group))
    return Release(
        target=target,
        key=release_key((source,)),
        handle=group.name,
        sources=(source,),
        version=group.version if group.version != group.name else "",
        started_at=group.made_at,
        deployed_at=group.created_at,
        by=by or Actor(kind="automation", name="spinnaker"),
    )


def identity_of(group: ServerGroup) -> str:
    """A digest of what a server group is: which one, made when, of what. What it becomes (its size, its traffic) is no part of it."""
    images = sorted(image.reference for image in group.images)
    return digest([group.name, group.made_at.isoformat(), images, group.launch.get("imageId", "")])


def healthy_percentage(desired: int | None) -> int:
    """How much of the restored group must be healthy before the bad one is disabled: what Deck itself asks for (contract section 4.2)."""
    if desired is None or desired < 10:  # noqa: PLR2004 - Deck's own steps
        return 100
    return 90 if desired < 20 else 95  # noqa: PLR2004


def _newest_first(groups: Iterable[ServerGroup]) -> tuple[ServerGroup, ...]:
    """By creation where every group tells it; else by number, after which v999 comes v000."""
    found = list(groups)
    numbers = {one.sequence for one in found if one.sequence is not None}
    begun_again = any(one >= WRAPS - WRAPS // 4 for one in numbers) and any(one < WRAPS // 4 for one in numbers)

    def age(one: ServerGroup) -> tuple[datetime, int, str]:
        number_ = one.sequence if one.sequence is not None else -1
        if begun_again and 0 <= number_ < WRAPS // 4:
            number_ += WRAPS
        return one.made_at if all(each.created_at for each in found) else datetime.fromtimestamp(0, UTC), number_, one.name

    return tuple(sorted(found, key=age, reverse=True))


def _missing(body: Body) -> str:
    return " and ".join(name for name in ("name", "account", "region") if not text(body.get(name)))


def _images(body: Body) -> Iterable[Image]:
    """An image of machines is named by an id that never means another one, so that id is its digest too."""
    containers: Sequence[str] = texts(part(body, "buildInfo").get("images"))
    for reference in containers:
        found = image_digest(reference)
        yield Image(reference=reference, digest=found, proof="reference" if found else "")
    own = _machine_image(body)
    if own and not containers:
        yield Image(reference=own, digest=own, proof="reference")


def _machine_image(body: Body) -> str:
    template = part(body, "launchTemplate", "launchTemplateData")
    named = (part(body, "launchConfig").get("imageId"), template.get("imageId"), part(body, "image").get("imageId"), body.get("image"))
    return next((found for one in named if (found := text(one))), "")


def _tags(tags: Json) -> Iterable[tuple[str, str]]:
    """Tags of an image as EC2 lists them (source only), or as an object. A name that stands there twice tells nothing, for nobody knows which one counts."""
    pairs = [(text(one.get("key")), text(one.get("value"))) for one in entries(tags)]
    pairs = pairs or [(name, text(value)) for name, value in (tags.items() if isinstance(tags, Mapping) else ())]
    names = [name for name, _ in pairs]
    return ((name, without_credential(value)) for name, value in pairs if name and names.count(name) == 1)


def _launch(body: Body, name: str) -> Json:
    """The settings of its machines. What they are told at their start names the server group itself, so the name is taken out."""
    source = part(body, "launchTemplate", "launchTemplateData") or part(body, "launchConfig")
    found = {key: source[key] for key in LAUNCH if source.get(key) not in (None, "", [], {})}
    try:
        start = base64.b64decode(text(source.get("userData")), validate=True).decode(errors="replace")
    except binascii.Error:
        start = text(source.get("userData"))
    if start:
        found["userData"] = re.sub(rf"{re.escape(name)}(?:-\d+)?", "", start)
    return found


def _launchable(body: Body) -> bool | None:
    """Whether what would launch another of its machines is there: a configuration or template that names an image, and that image itself."""
    named = _machine_image(body)
    if not named:
        return None
    image = body.get("image")
    return bool(part(body, "image")) if isinstance(image, Mapping) else None


def _instance(body: Body) -> Instance:
    state = text(body.get("healthState"))
    told = [text(one.get("state")) for one in entries(body.get("health")) if text(one.get("type")) not in PLATFORM]
    return Instance(
        name=text(body.get("name")) or text(body.get("id")),
        serves=state == "Up" and all(one == "Up" for one in told),
        starts=state == "Starting" or "Starting" in told,
        launched_at=epoch(body.get("launchTime")),
    )


def _build(body: Body) -> str:
    info = part(body, "buildInfo")
    package, build = text(info.get("package_name")), text(part(info, "jenkins").get("number")) or text(info.get("version"))
    return " ".join(word for word in (package, f"build {build}" if build else "") if word)
