"""Server groups of virtual machines behind a sandbox Spinnaker: capacity, instances that come up, enabled or not, traffic guards (contract 4.2, 5.4)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.timeline import Timeline


class GroupError(Exception):
    """An operation failed; the words are Clouddriver's."""


@dataclass(slots=True, kw_only=True)
class ServerGroup:
    """One server group. `up_since` is when its newest instances started; `image` is an id, its name is `name-<id>`."""

    name: str
    application: str
    account: str
    region: str
    cluster: str
    sequence: int
    provider: str
    image: str
    build: str
    created: datetime
    up_since: datetime
    minimum: int
    maximum: int
    desired: int
    stack: str = ""
    disabled: bool = False
    load_balancers: list[str] = field(default_factory=lambda: ["web"])
    image_is_gone: bool = False
    source_tag: Json | None = None  # entity tag `spinnaker:metadata`: what was there before it

    @property
    def capacity(self) -> Json:
        """As Spinnaker writes it."""
        return {"desired": self.desired, "max": self.maximum, "min": self.minimum}

    @property
    def moniker(self) -> Json:
        """As Spinnaker writes it."""
        stack = {"stack": self.stack} if self.stack else {}
        return {"app": self.application, "cluster": self.cluster, "sequence": self.sequence, **stack}


class ServerGroups:
    """All server groups of one Spinnaker."""

    def __init__(self, timeline: Timeline, ready_after: float) -> None:
        self._timeline = timeline
        self._ready_after = ready_after
        self._sick: set[str] = set()
        self.all: list[ServerGroup] = []
        self.tags: dict[str, dict[str, str]] = {}
        """Image id -> its tags, where it has any."""
        self.guarded: dict[tuple[str, str, str], float] = {}
        self.changed: list[Callable[[], None]] = []

    # --- what a person or a cloud does -------------------------------------------------------------------------------------

    def runs(
        self,
        application: str,
        *,
        cluster: str,
        image: str,
        account: str = "prod",
        region: str = "us-east-1",
        provider: str = "aws",
        capacity: tuple[int, int, int] = (1, 3, 1),
        disabled: bool = False,
        sequence: int | None = None,
        at_once: bool = True,
    ) -> ServerGroup:
        """The next server group of a cluster runs; `capacity` is (min, max, desired), and `at_once` means that its instances are up already."""
        before = self.of(cluster, account, region)
        number = sequence if sequence is not None else max((one.sequence for one in before), default=-1) + 1
        now = self._timeline.now
        stack = cluster.removeprefix(application).strip("-")
        group = ServerGroup(
            name=f"{cluster}-v{number:03d}",
            application=application,
            account=account,
            region=region,
            cluster=cluster,
            sequence=number,
            provider=provider,
            image=image,
            build=image.rpartition("-")[2],
            created=now + timedelta(milliseconds=len(self.all)),
            up_since=now - timedelta(days=1) if at_once else now,
            minimum=capacity[0],
            maximum=capacity[1],
            desired=capacity[2],
            stack=stack,
            disabled=disabled,
        )
        self._tell()
        self.all.append(group)
        return group

    def instances_never_come_up(self, image: str) -> None:
        """Instances of this image stay down."""
        self._sick.add(image)

    def has_a_traffic_guard(self, *, cluster: str, account: str, region: str, share: float = 0.0) -> None:
        """More than this share of the cluster's instances with traffic have to stay: Orca's min-capacity-ratio, which it takes below 0.5 only."""
        self.guarded[(cluster, account, region)] = share

    def is_destroyed(self, group: ServerGroup) -> None:
        """Somebody destroyed it."""
        self._tell()
        self.all.remove(group)

    # --- operations --------------------------------------------------------------------------------------------------------

    def enable(self, name: str, account: str, region: str) -> None:
        """Give the group traffic."""
        self._tell()
        self._must(name, account, region).disabled = False

    def disable(self, name: str, account: str, region: str) -> None:
        """Take its traffic; a traffic guard is looked at before, by Orca."""
        self._tell()
        self._must(name, account, region).disabled = True

    def resize(self, name: str, account: str, region: str, capacity: Json) -> None:
        """Another capacity; what `capacity` does not name stays."""
        group = self._must(name, account, region)
        self._tell()
        desired = int(capacity.get("desired", group.desired))
        if desired > group.desired:
            group.up_since = self._timeline.now
        group.minimum = int(capacity.get("min", group.minimum))
        group.maximum = int(capacity.get("max", group.maximum))
        group.desired = desired

    def destroy(self, name: str, account: str, region: str) -> None:
        """The group is gone."""
        self.is_destroyed(self._must(name, account, region))

    def clone(self, source: ServerGroup, image: str) -> ServerGroup:
        """A new group from another one's settings, with this image."""
        made = self.runs(
            source.application,
            cluster=source.cluster,
            image=image,
            account=source.account,
            region=source.region,
            provider=source.provider,
            capacity=(source.minimum, source.maximum, source.desired),
            at_once=False,
        )
        made.source_tag = {"name": source.name, "imageId": source.image, "imageName": f"name-{source.image}"}
        return made

    def _must(self, name: str, account: str, region: str) -> ServerGroup:
        group = self.find(name, account, region)
        if group is None:
            raise GroupError(f"Server group {name} not found in {account}/{region}")
        return group

    def _tell(self) -> None:
        for listener in self.changed:
            listener()

    # --- what can be read --------------------------------------------------------------------------------------------------

    def find(self, name: str, account: str, region: str) -> ServerGroup | None:
        """The group of that name."""
        return next((one for one in self.all if (one.name, one.account, one.region) == (name, account, region)), None)

    def of(self, cluster: str, account: str, region: str) -> list[ServerGroup]:
        """The groups of a cluster in a region, oldest first."""
        return sorted((one for one in self.all if (one.cluster, one.account, one.region) == (cluster, account, region)), key=lambda one: one.created)

    def why_guarded(self, group: ServerGroup) -> str:
        """Why a traffic guard lets nobody take the group's traffic, in Orca's words; "" where it does (source only)."""
        least = self.guarded.get((group.cluster, group.account, group.region))
        serving = {one.name: 0 if one.disabled else self.up(one) for one in self.of(group.cluster, group.account, group.region)}
        now = sum(serving.values())
        left = now - serving[group.name]
        if least is None or not now or left / now > least:
            return ""
        where = f"This cluster ('{group.cluster}' in {group.account}/{group.region}) has traffic guards enabled."
        up = f"{left} instance{'' if left == 1 else 's'} up ({left / now:.1%} of {now} instances currently up). The configured minimum is {least:.1%}."
        return f"{where} Disabling [{group.name}] would leave the cluster with {up if left else 'no instances up.'}"

    def up(self, group: ServerGroup) -> int:
        """How many of its instances are up, whether or not they get traffic."""
        if group.image in self._sick or self._timeline.now < group.up_since + timedelta(seconds=self._ready_after):
            return 0
        return group.desired

    def view(self, group: ServerGroup) -> Json:
        """As Clouddriver shows it."""
        up, created = self.up(group), round(group.created.timestamp() * 1000)
        out = group.desired if group.disabled else 0
        state = "OutOfService" if group.disabled else "Up" if up else "Starting"
        instances = [
            {
                "cloudProvider": group.provider,
                "health": [{"state": state, "type": "LoadBalancer"}],
                "healthState": state,
                "instanceId": f"i-{group.sequence:03d}{number}",
                "launchTime": created,
                "name": f"i-{group.sequence:03d}{number}",
                "zone": f"{group.region}a",
            }
            for number in range(group.desired)
        ]
        tags = {} if group.image_is_gone else self.tags.get(group.image, {})
        image: Json = {"imageId": group.image, "name": f"name-{group.image}"}
        if tags:
            image["tags"] = [{"key": name, "value": value} for name, value in tags.items()]
        counts = {"down": 0, "outOfService": out, "starting": 0 if out or up else group.desired, "total": group.desired, "unknown": 0, "up": 0 if out else up}
        return {
            "account": group.account,
            "asg": {"desiredCapacity": group.desired, "maxSize": group.maximum, "minSize": group.minimum, "suspendedProcesses": []},
            "buildInfo": built_of(tags) if tags else {"jenkins": {"number": group.build}},
            "capacity": group.capacity,
            "cloudProvider": group.provider,
            "cluster": group.cluster,
            "createdTime": created,
            "disabled": group.disabled,
            "image": {} if group.image_is_gone else image,
            "insightActions": [],
            "instanceCounts": counts,
            "instances": instances,
            "isDisabled": group.disabled,
            "launchConfig": {"imageId": group.image},
            "loadBalancers": group.load_balancers,
            "moniker": group.moniker,
            "name": group.name,
            "region": group.region,
            "type": group.provider,
            "zones": [f"{group.region}a"],
        }


def built_of(tags: dict[str, str]) -> Json | None:
    """`buildInfo` as Clouddriver works it out of an image's tags (AmazonClusterProvider, source only); None where none says `appversion`."""
    found = _APP_VERSION.fullmatch(tags.get("appversion", ""))
    if found is None:
        return None
    package, version, number, commit, job = found.groups()
    jenkins = {"jenkins": {"name": job, "number": number.removeprefix("h")}} if job else {}
    return {"commit": commit, "package_name": package, "version": f"{version}-{number}", **jenkins}


_APP_VERSION = re.compile(r"([\w.+-]+)-([0-9.a-zA-Z~]+)-(\w+)(?:[.](\w+))?(?:/([\w.+-]+)/[0-9]+)?")
"""`package-version-hN.commit/job/N`, as Rosco writes it."""
