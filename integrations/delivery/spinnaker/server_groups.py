"""Server groups (everything in Spinnaker that is not a Kubernetes manifest) as values; pure. Names are `app-stack-detail-v003`.

Recorded through a real Gate with a played clouddriver: that the fields are there is certain, that a real clouddriver of each provider fills them is read from
its source only. `disabled` is what takes no traffic; how many instances run is told by the counts alone, and only they say that a group still runs.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from integrations.json_shapes import Body, entries, epoch, number, part, text, texts
from service.domain.model import Actor, Image, Json, Release, Source, TargetId, release_key

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
class ServerGroup:
    """One server group. `up` of `total` instances are healthy, None where that is not told; `desired` is how many there should be.

    `images` are what it was made of: image ids of machines (exact), or container references. `build` names the build where the image says it.
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
    load_balancers: tuple[str, ...] = ()

    @property
    def serves(self) -> bool:
        """Whether it is known to take traffic: enabled, with at least one healthy instance."""
        return self.disabled is False and bool(self.up)

    @property
    def still_runs(self) -> bool:
        """Whether it runs at the size that it is meant to have, told by the instance counts: only then enabling it is enough."""
        return self.up is not None and bool(self.desired) and self.up >= (self.desired or 0)

    @property
    def version(self) -> str:
        """What people call it: the build, else the image, else its own number."""
        image = next((one.reference for one in self.images), "")
        return self.build or image or self.name


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
        load_balancers=texts(whole.get("loadBalancers")),
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
    """A server group as a release: its handle is its name; its identity is cluster, name and moment of creation, for numbers begin again after 999."""
    made = group.created_at.isoformat() if group.created_at else ""
    image = ",".join(image.reference for image in group.images)
    source = Source(
        repository=f"spinnaker:{group.address.account}",
        path=f"{group.address.region}/{group.address.cluster}",
        revision=group.name,
        parameters=f"{image}@{made}" if image or made else "",
    )
    return Release(
        target=target,
        key=release_key((source,)),
        handle=group.name,
        sources=(source,),
        version=group.version,
        started_at=group.created_at or datetime.fromtimestamp(0, UTC),
        deployed_at=group.created_at,
        by=by or Actor(kind="automation", name="spinnaker"),
    )


def healthy_percentage(desired: int | None) -> int:
    """How much of the restored group must be healthy before the bad one is disabled: what Deck itself asks for (contract section 4.2)."""
    if desired is None or desired < 10:  # noqa: PLR2004 - Deck's own steps
        return 100
    return 90 if desired < 20 else 95  # noqa: PLR2004


def _newest_first(groups: Iterable[ServerGroup]) -> tuple[ServerGroup, ...]:
    """By creation; by number only where that is not told, for numbers begin again."""
    return tuple(sorted(groups, key=lambda one: (one.created_at or datetime.fromtimestamp(0, UTC), one.sequence or 0, one.name), reverse=True))


def _missing(body: Body) -> str:
    return " and ".join(name for name in ("name", "account", "region") if not text(body.get(name)))


def _images(body: Body) -> Iterable[Image]:
    containers: Sequence[str] = texts(part(body, "buildInfo").get("images"))
    for reference in containers:
        yield Image(reference=reference)
    if not containers:
        own = text(part(body, "launchConfig").get("imageId")) or text(part(body, "image").get("imageId")) or text(body.get("image"))
        if own:
            yield Image(reference=own)


def _build(body: Body) -> str:
    info = part(body, "buildInfo")
    package, build = text(info.get("package_name")), text(part(info, "jenkins").get("number")) or text(info.get("version"))
    return " ".join(word for word in (package, f"build {build}" if build else "") if word)
