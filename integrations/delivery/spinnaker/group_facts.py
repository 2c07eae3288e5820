"""Reads clusters of server groups: the machines that Spinnaker deploys outside Kubernetes. Nothing here writes.

Everything comes from Clouddriver's cache, which is half a minute old: no cloud is asked live. Spinnaker's own rollback reads the same (recording 12c). The
list of an application (source only) is used for names; each group is then read by itself, in the shape that was recorded (08a).
"""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.asking import Applications, gathered
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.looked import Looked, by_of, running_of
from integrations.delivery.spinnaker.names import target_of
from integrations.delivery.spinnaker.owner import UNMARK, mark_of, remembered_of
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.runs import Touch
from integrations.delivery.spinnaker.server_groups import Cluster, ClusterAddress, ServerGroup, clusters_of, release_of
from integrations.delivery.spinnaker.settings import Settings
from integrations.delivery.spinnaker.traffic_guards import is_guarded
from integrations.json_shapes import Body, entries, part, text
from integrations.manifests import digest
from service.domain.correlation import names_of
from service.domain.difference import Rendered
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.keys import MACHINES, Pod, ServerGroups, TargetState
from service.domain.keys import ServerGroup as GroupFact
from service.domain.model import Image, ObjectRef, Release, TargetId
from service.domain.ports import Clock, ListedTarget

NOT_MACHINES = frozenset({"kubernetes", "dockerRegistry"})
"""Types of accounts that have no server groups of machines."""
NAMED = 3
"""So many are named in one sentence."""
CACHE_LAGS = timedelta(minutes=2)
"""So long after a stage ended the cache may still show the groups as they were: it is refreshed each half minute, more slowly under load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedCluster(Looked):
    """One read of a cluster: its server groups, and whether Spinnaker guards its traffic (None where it does not say)."""

    cluster: Cluster
    guarded: bool | None

    deletes: ClassVar[str] = "enabling one server group and disabling another deletes nothing"
    steps: ClassVar[str] = "server groups are switched as a whole"

    @property
    def address(self) -> ClusterAddress:
        """Application, account, cluster, region and provider."""
        return self.cluster.address

    @property
    def spoken(self) -> str:
        """`cluster web-main in us-east-1`."""
        return f"cluster {self.address.cluster} in {self.address.region}"

    @property
    def object(self) -> ObjectRef:
        """What its machines belong to."""
        return object_of(self.address)

    @property
    def uid(self) -> str:
        """A cluster is nothing but a name, so this is that name: another cluster of the same name has other server groups, and they are compared."""
        return f"{self.application}/{self.address.account}/{self.address.region}/{self.address.cluster}"

    @property
    def leaving(self) -> bool:
        """Nothing says that a cluster is on its way out."""
        return False

    @property
    def spec_digest(self) -> str:
        """Of the load balancers that stand before what serves. Sizes are compared group by group, for scaling changes them as well as people."""
        return "sha256:" + digest(sorted({name for group in self.cluster.enabled for name in group.load_balancers}))

    @property
    def serving(self) -> ServerGroup | None:
        """The newest group that may take traffic."""
        return self.cluster.newest_serving

    @property
    def live(self) -> str:
        """The identity of that group."""
        return self.live_release.revision if self.live_release is not None else ""

    @property
    def live_says(self) -> str:
        """Its name, and of those beside it."""
        names = [group.name for group in self.cluster.enabled]
        beside = f" (with {', '.join(names[1:])} beside it)" if len(names) > 1 else ""
        return f"server group {names[0]}{beside}" if names else "no server group"

    @property
    def live_release(self) -> Release | None:
        """That group as a release, without who deployed it."""
        return None if self.serving is None else release_of(self.target, self.serving)

    @property
    def live_images(self) -> tuple[Image, ...]:
        """Those of its launch configuration."""
        return self.serving.images if self.serving is not None else ()

    def revision_of(self, touch: Touch) -> str:
        """The server group that the stage made, or gave traffic again."""
        found = next((group for name in (*touch.groups, touch.enabled) if (group := self.cluster.named(name)) is not None), None)
        return "" if found is None else release_of(self.target, found).revision

    def images_of(self, release: str, handle: str) -> tuple[Image, ...]:
        """Those of its launch configuration."""
        return self.group_of(release, handle).images

    def rendered(self, release: str, handle: str) -> tuple[Rendered, ...]:
        """What its machines are launched with; the image stands among the images."""
        launch = {path: value for path, value in self.group_of(release, handle).launch.items() if path != "imageId"}
        return (Rendered(object=self.object, digest=digest(launch), fields=launch),)

    def group_of(self, release: str, handle: str) -> ServerGroup:
        """The group that is that release."""
        found = next((group for group in self.cluster.groups if release_of(self.target, group).key == release), None)
        if found is None:
            raise PermanentError(f"{self.spoken} has no server group {handle} any more")
        return found

    def fact_of(self, group: ServerGroup) -> GroupFact:
        """One group as rules see it."""
        return GroupFact(
            name=group.name,
            release=release_of(self.target, group).key,
            takes_traffic=None if group.disabled is None else not group.disabled,
            running=group.running,
            desired=group.desired,
            minimum=group.minimum,
            maximum=group.maximum,
            launchable=group.launchable,
            suspended=group.suspended,
            strategy=next((touch.strategy for touch in self.touches() if group.name in touch.groups), ""),
        )

    def facts(self) -> ServerGroups:
        """All groups as rules see them."""
        groups = tuple(self.fact_of(group) for group in self.cluster.groups)
        return ServerGroups(cloud=self.address.provider, groups=groups, guarded=self.guarded)

    def pods(self) -> tuple[Pod, ...]:
        """Its machines; those of a disabled group serve nobody."""
        return tuple(
            Pod(
                name=instance.name,
                images=group.images,
                ready=instance.serves,
                started_at=instance.launched_at,
                retiring=group.disabled is True,
                object=self.object,
            )
            for group in self.cluster.groups
            for instance in group.instances
        )

    def state(self) -> TargetState:
        """The cluster with its groups as releases."""
        history = releases_of(self)
        health = health_of(self.cluster)
        running = running_of(self)
        return TargetState(
            target=self.target,
            uid=self.uid,
            title=self.spoken,
            project=self.application,
            current=next((one for one in history if one.revision == self.live), None),
            history=history,
            desired_revision="",
            keeps_desired=False,
            auto_sync=False,
            remembered=remembered_of(self.doors, may_shut=self.may_shut),
            owner=self.owner,
            running=running,
            health=health,
            spec_digest=self.spec_digest,
            objects=(self.object,),
            warnings=_warnings(self),
            marker=self.mark,
            unmark=UNMARK,
            settled=running is None and health != "Progressing" and not self.cluster.half_done,
        )


class Clusters:
    """Inventory and looks of the clusters of one Gate."""

    def __init__(self, settings: Settings, client: Client, applications: Applications, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._applications = applications
        self._clock = clock

    async def listed(self, application: str) -> list[ListedTarget]:
        """Every cluster of the application, in each region by itself. Where all accounts are of Kubernetes nothing more is asked."""
        types = {text(one.get("type")) for one in entries((await self._client.accounts()).body)}
        if types and types <= NOT_MACHINES:
            return []
        found = clusters_of(_of_machines(await self._applications.server_groups(application)), application)
        saved = await self._applications.configs(application) if found and self._settings.shut_triggers else ()
        return [self._listed(cluster, application, saved) for cluster in found if _can_be_named(cluster.address)]

    def _listed(self, cluster: Cluster, application: str, saved: Sequence[Pipeline]) -> ListedTarget:
        address, serving = cluster.address, cluster.newest_serving
        target = target_of(self._settings.name, address)
        sizes = [[one.name, one.disabled, one.running, one.desired, one.minimum, one.maximum] for one in cluster.groups]
        return ListedTarget(
            target=target,
            project=application,
            namespace=address.region,
            health=health_of(cluster),
            desired_revision="",
            stamp=digest([sizes, mark_of(target, saved)]),
            objects=(object_of(address), *names_of(application, account=address.account, cluster=address.cluster, region=address.region)),
            images=tuple(image.reference for image in serving.images) if serving is not None else (),
            cluster=address.account,
        )

    async def get(self, target: TargetId, address: ClusterAddress, *, anew: bool = False) -> LookedCluster:
        """One read with everything that may matter for an act. GoneError only where the account is known to be readable and has no such group."""
        application, names = await self._names(target, address)
        bodies, about, (found, pipelines), managed = await asyncio.gather(
            gathered(functools.partial(self._group, application, address, name) for name in names),
            self._client.application(application),
            self._applications.ran_in(application, anew=anew),
            self._applications.managed(application, anew=anew),
        )
        cluster = next(iter(clusters_of([body for body in bodies if body], application)), None)
        if cluster is None:
            raise TemporaryError(f"none of the server groups of {target} could be read")
        looked = LookedCluster(
            target=target,
            application=application,
            runs=found,
            pipelines=pipelines,
            reply=about,
            managed=managed,
            may_shut=self._settings.shut_triggers,
            cluster=cluster,
            guarded=is_guarded(part(about.body), cluster.address),
        )
        if unseen := unseen_of(looked, self._clock.now()):
            raise TemporaryError(f"{looked.spoken} is not shown as it is yet: server group {unseen}, made a moment ago, is not in Spinnaker's cache")
        return looked

    async def _names(self, target: TargetId, address: ClusterAddress) -> tuple[str, list[str]]:
        """The application that has the cluster, and the names of its groups: those whose own name begins the cluster's are asked first."""
        likely = sorted(self._settings.applications, key=lambda one: (not f"{address.cluster}-".startswith(f"{one}-"), -len(one)))
        for application in likely:
            for cluster in clusters_of(_of_machines(await self._applications.server_groups(application)), application):
                there = cluster.address
                if (there.account, there.region, there.cluster) == (address.account, address.region, address.cluster):
                    if there.application != application:
                        raise RefusedError(f"{target} belongs to application {there.application}, which Backout does not look after here")
                    return application, [group.name for group in cluster.groups]
        accounts = {text(one.get("name")) for one in entries((await self._client.accounts()).body) if one.get("authorized") is not False}
        if address.account in accounts:
            raise GoneError(f"{target} has no server group in the applications that Backout looks after ({', '.join(self._settings.applications)})")
        raise TemporaryError(f"no server group of {target} is shown, and Gate does not list account {address.account}: it may be gone, or may not be read")

    async def _group(self, application: str, address: ClusterAddress, name: str) -> Body:
        """One group with its instances; nothing for one that is gone meanwhile."""
        try:
            return part((await self._client.server_group(application, address.account, address.region, name)).body)
        except GoneError:
            return {}


# --- what was read, as values ---


def object_of(address: ClusterAddress) -> ObjectRef:
    """A cluster as the object that alerts, pods and differences are about."""
    group, kind = MACHINES
    return ObjectRef(group=group, kind=kind, namespace=f"{address.account}/{address.region}", name=address.cluster)


def releases_of(looked: LookedCluster) -> tuple[Release, ...]:
    """The groups as releases, in the order in which they went live: what takes traffic first, whenever it was made.

    A disabled group that came after what serves now is left out: it never took over, or somebody took it out past Spinnaker.
    """
    made: dict[str, Touch] = {}
    for touch in reversed(looked.touches()):  # oldest first, so that the newest stays
        made |= {name: touch for name in (*touch.groups, touch.enabled) if name}
    found = [(group, _release(looked, group, made.get(group.name))) for group in looked.cluster.groups]
    serving = [release for group, release in found if group.disabled is not True]
    since = max((release.started_at for release in serving), default=None)
    before = [release for group, release in found if group.disabled is True and (since is None or release.started_at <= since)]
    return (*serving, *sorted(before, key=lambda one: one.started_at, reverse=True))


def _release(looked: LookedCluster, group: ServerGroup, touch: Touch | None) -> Release:
    release = release_of(looked.target, group, by=by_of(touch))
    if touch is None or touch.enabled != group.name:
        return release
    return replace(release, started_at=max(release.started_at, touch.at), deployed_at=_later(release.deployed_at, touch.stage.ended_at))


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


def unseen_of(looked: LookedCluster, now: datetime) -> str:
    """The server group that a run has just made or enabled and that is not among those shown, "" when there is none.

    Until it is, the group before it looks as if it were live. One that stays away was destroyed, or was never made: after `CACHE_LAGS` that is believed,
    also while the stage goes on: Orca waits for hours until a group is up that somebody destroyed.
    """
    for touch in looked.touches():
        since = touch.stage.ended_at or (touch.at if touch.run.status.ended else touch.stage.made_at or now)
        if since + CACHE_LAGS < now:
            continue
        for name in (*touch.groups, touch.enabled):
            if name and looked.cluster.named(name) is None:
                return name
    return ""


def health_of(cluster: Cluster) -> str:
    """How what takes traffic is, in the one word that is used for every system; Unknown where the instances are not counted."""
    words = [_health(group) for group in cluster.enabled]
    return next((word for word in ("Unknown", "Missing", "Degraded", "Progressing", "Healthy") if word in words), "Missing")


def _health(group: ServerGroup) -> str:
    if group.up is None or group.desired is None or group.disabled is None:
        return "Unknown"
    if not group.total:
        return "Missing"
    if group.up >= group.desired and not group.down:
        return "Healthy"
    return "Progressing" if group.starting else "Degraded"


def _warnings(looked: LookedCluster) -> tuple[str, ...]:
    found = list(looked.cluster.unread)
    if looked.cluster.half_done:
        names = [group.name for group in looked.cluster.enabled]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        found.append(f"{', '.join(names[:NAMED])}{more} take traffic side by side: a switch is under way or was broken off")
    return tuple(found)


def _of_machines(groups: object) -> list[Body]:
    """The server groups of all but Kubernetes, whose workloads are manifests."""
    listed = entries(groups)
    return [one for one in listed if text(one.get("cloudProvider") or one.get("type")) != "kubernetes"]


def _can_be_named(address: ClusterAddress) -> bool:
    return not any("/" in one or not one for one in (address.account, address.region, address.cluster))


def a_cluster(looked: Looked) -> LookedCluster:
    """The look as one at a cluster; PermanentError where the target is none, which no plan of ours says."""
    if not isinstance(looked, LookedCluster):
        raise PermanentError(f"{looked.target} is no cluster of server groups")
    return looked
