"""Reads manifests, live: the cluster's own word through Gate. Nothing here writes.

What comes from Clouddriver's cache (the list of ReplicaSets, the pods of one) is only used to find names; what stands behind a name is read from the
cluster, and a cache that has fallen behind is noticed, not believed.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import ClassVar

from integrations.delivery.spinnaker import runs
from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.asking import Applications, gathered
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.configs_left import Then, left_as_it_is
from integrations.delivery.spinnaker.executions import images_in
from integrations.delivery.spinnaker.kubernetes_history import (
    History,
    ManifestAddress,
    Revision,
    health_of,
    history_of,
    release_of,
    replica_sets_of,
    warnings_of,
)
from integrations.delivery.spinnaker.looked import Looked, by_of, running_of
from integrations.delivery.spinnaker.names import target_of
from integrations.delivery.spinnaker.owner import UNMARK, mark_of, remembered_of
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.runs import Touch
from integrations.delivery.spinnaker.settings import Settings
from integrations.json_shapes import Body, entries, number, part, text
from integrations.manifests import digest
from integrations.pods import pod_of
from service.domain.correlation import names_of
from service.domain.difference import Rendered
from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError
from service.domain.keys import ConfigLeft, Pod, TargetState
from service.domain.model import Image, Release, TargetId
from service.domain.ports import ListedTarget

NEWEST_SET = re.compile(r'ReplicaSet "([^"]+)"')
"""How a Deployment's condition names the ReplicaSet that it rolls out (Kubernetes' deployment controller)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedManifest(Looked):
    """One live read of a manifest: Gate's whole answer, and the revisions that its controller still has."""

    manifest_address: ManifestAddress
    body: Body
    history: History

    deletes: ClassVar[str] = "an undo changes a pod template and deletes nothing"
    steps: ClassVar[str] = "a Deployment has no steps"

    @property
    def address(self) -> ManifestAddress:
        """Account, namespace, kind and name."""
        return self.manifest_address

    @property
    def spoken(self) -> str:
        """`deployment web`."""
        return self.address.spoken

    @property
    def manifest(self) -> Body:
        """The object as Kubernetes has it."""
        return part(self.body, "manifest")

    @property
    def uid(self) -> str:
        """Its identity in the cluster."""
        return text(part(self.manifest, "metadata").get("uid"))

    @property
    def leaving(self) -> bool:
        """Whether Kubernetes was told to delete it."""
        return bool(part(self.manifest, "metadata").get("deletionTimestamp"))

    @property
    def spec_digest(self) -> str:
        """Of the spec without the pod template, which is the release, and without the replicas, which scale."""
        return spec_digest(self.manifest)

    @property
    def live(self) -> str:
        """The digest of the template that is rolled out."""
        return self.history.live

    @property
    def live_revision(self) -> Revision | None:
        """The revision that is rolled out now."""
        return self.history.of_template(self.history.live)

    @property
    def live_says(self) -> str:
        """Its number."""
        live = self.live_revision
        return f"revision {live.number if live is not None else 'nobody knows which'}"

    @property
    def live_release(self) -> Release | None:
        """That revision as a release, without who deployed it."""
        live = self.live_revision
        return None if live is None else release_of(self.target, self.address, live)

    @property
    def live_images(self) -> tuple[Image, ...]:
        """Those of its template."""
        live = self.live_revision
        return live.images if live is not None else ()

    def revision_of(self, touch: Touch) -> str:
        """The template with exactly the images that the stage deployed."""
        images = {image.reference for image in touch.images}
        return next((one.digest for one in self.history.revisions if images and {image.reference for image in one.images} == images), "")

    def images_of(self, release: str, handle: str) -> tuple[Image, ...]:
        """Those of its template."""
        return self.revision(release, handle).images

    def rendered(self, release: str, handle: str) -> tuple[Rendered, ...]:
        """What an undo brings back is the pod template and nothing else, so that is all that a release here is made of."""
        revision = self.revision(release, handle)
        return (Rendered(object=self.address.object, digest=revision.digest, fields=revision.fields),)

    def revision(self, release: str, handle: str) -> Revision:
        """The revision that is this release (by key); PermanentError when it is not there any more."""
        found = next((one for one in self.history.revisions if release_of(self.target, self.address, one).key == release), None)
        if found is None:
            raise PermanentError(f"{self.spoken} has no revision {handle} any more")
        return found

    def state(self) -> TargetState:
        """The Deployment with its revisions."""
        manifest, metadata = self.manifest, part(self.manifest, "metadata")
        history = releases_of(self)
        live = self.live_revision
        observed = number(part(manifest, "status").get("observedGeneration"))
        health = health_of(part(self.body, "status"))
        return TargetState(
            target=self.target,
            uid=self.uid,
            title=self.spoken,
            project=self.application,
            current=next((one for one in history if live is not None and one.handle == str(live.number)), None),
            history=history,
            desired_revision="",
            keeps_desired=False,
            auto_sync=False,
            remembered=remembered_of(self.doors, may_shut=self.may_shut),
            owner=self.owner,
            running=running_of(self),
            health=health,
            spec_digest=self.spec_digest,
            objects=(self.address.object,),
            warnings=_warnings(self),
            settled=health in {"Healthy", "Degraded", "Suspended"} and observed == number(metadata.get("generation")),
            history_limit=self.history.limit,
            marker=self.mark,
            unmark=UNMARK,
        )


class Manifests:
    """Inventory and looks of the manifests of one Gate."""

    def __init__(self, settings: Settings, client: Client, applications: Applications) -> None:
        self._settings = settings
        self._client = client
        self._applications = applications

    async def listed(self, application: str) -> list[ListedTarget]:
        """Every Deployment of the application."""
        managers = await self._applications.managers(application)
        addresses = sorted({one for manager in entries(managers) if (one := _address(manager)) is not None and one.kind.lower() == "deployment"})
        saved = await self._applications.configs(application) if self._settings.shut_triggers else ()
        found = await gathered(partial(self._listed, address, application, saved) for address in addresses)
        return [one for one in found if one is not None]

    async def _listed(self, address: ManifestAddress, application: str, saved: Sequence[Pipeline]) -> ListedTarget | None:
        """As it is now in the cluster; None for one that the cache still has and the cluster has not."""
        try:
            body = part((await self._client.manifest(address.account, address.location, address.spoken)).body)
        except GoneError:
            return None
        manifest, health = part(body, "manifest"), health_of(part(body, "status"))
        metadata = part(manifest, "metadata")
        if _application(body) != application:
            return None
        target = target_of(self._settings.name, address)
        return ListedTarget(
            target=target,
            project=application,
            namespace=address.location,
            health=health,
            desired_revision="",
            stamp=digest([metadata.get("uid"), metadata.get("generation"), part(metadata, "annotations"), health, mark_of(target, saved)]),
            objects=(address.object, *names_of(application, account=address.account, cluster=address.spoken, region=address.location)),
            images=tuple(image.reference for image in images_in(part(manifest, "spec", "template"))),
            cluster=address.account,
        )

    async def get(self, target: TargetId, address: ManifestAddress, *, anew: bool) -> LookedManifest:
        """One live read with everything that may matter for an act; `anew`: also of what was just read for another target of the application."""
        reply = await self._client.manifest(address.account, address.location, address.spoken)
        body = part(reply.body)
        application = _application(body)
        if application not in self._settings.applications:
            owner = f"belongs to application {application}" if application else "names no application of Spinnaker (moniker)"
            raise RefusedError(f"{target} {owner}, which Backout does not look after here")
        if not text(part(body, "manifest", "metadata").get("uid")):
            raise PermanentError(f"{reply.what} answered no object of Kubernetes")
        history, (found, pipelines), managed = await asyncio.gather(
            self._history(address, application, part(body, "manifest")),
            self._applications.ran_in(application, anew=anew),
            self._applications.managed(application, anew=anew),
        )
        return LookedManifest(
            target=target,
            application=application,
            runs=found,
            pipelines=pipelines,
            reply=reply,
            manifest_address=address,
            body=body,
            history=history,
            managed=managed,
            may_shut=self._settings.shut_triggers,
        )

    async def _history(self, address: ManifestAddress, application: str, manifest: Body) -> History:
        """The revisions that the controller has. The newest ReplicaSet is found by what the Deployment says of itself, whatever the cache knows.

        TemporaryError while the one that is rolled out cannot be found: then nobody could say what runs.
        """
        cached = replica_sets_of(await self._applications.managers(application), address)
        names = dict.fromkeys((*(cached or ()), *_named_by(manifest)))
        sets = [one for one in await gathered(partial(self._replica_set, address, name) for name in names) if one is not False]
        history = history_of(manifest, [one if isinstance(one, Mapping) else None for one in sets])
        if history.of_template(history.live) is None:
            raise TemporaryError(f"the ReplicaSet of what {address.spoken} rolls out now is not known yet")
        return history if cached is not None else replace(history, complete=False)

    async def _replica_set(self, address: ManifestAddress, name: str) -> Body | bool:
        """The object; False when the cluster has no such thing (any more)."""
        try:
            return part(part((await self._client.manifest(address.account, address.location, f"replicaSet {name}")).body), "manifest")
        except GoneError:
            return False

    async def configs_left(self, looked: LookedManifest, release: str, handle: str) -> tuple[ConfigLeft, ...]:
        """The ConfigMaps and Secrets that the release's containers read and that an undo leaves as they are, each read from the cluster now."""
        goal = looked.revision(release, handle)
        named = [config for config in goal.configs if config.read and not config.versioned]
        live = await gathered(partial(self._config, looked.address, config.spoken) for config in named)
        then = Then(address=looked.address, goal=goal, revisions=looked.history.revisions, touches=looked.touches(), runs=looked.runs)
        return tuple(left_as_it_is(config, found, then) for config, found in zip(named, live, strict=True))

    async def _config(self, address: ManifestAddress, name: str) -> Body | BackoutError | None:
        """One that cannot be read (an account without the right to read Secrets) says nothing of the others."""
        try:
            return await self._manifest(address, name)
        except BackoutError as error:
            return error

    async def pods(self, looked: LookedManifest) -> tuple[Pod, ...]:
        """The pods that the cache names, each read from the cluster; TemporaryError while they are not as many as the Deployment itself counts."""
        address, names = looked.address, pod_names(await self.groups(looked))
        read = [one for one in await gathered(partial(self._manifest, address, f"pod {name}") for name in names) if one is not None]
        pods = [replace(pod, object=address.object) for one in read if (pod := pod_of(one)) is not None]
        counted = number(part(looked.manifest, "status").get("replicas")) or 0
        if sum(not pod.ending for pod in pods) != counted:
            raise TemporaryError(f"{address.spoken} counts {counted} pods, and Spinnaker's cache does not have all of them yet")
        return tuple(sorted(pods, key=lambda pod: pod.name))

    async def groups(self, looked: LookedManifest) -> list[Body]:
        """The ReplicaSets of the manifest as the cache has them, with their instances; one that it does not have is left out."""

        async def one(name: str) -> Body:
            try:
                reply = await self._client.server_group(looked.application, looked.address.account, looked.address.location, f"replicaSet {name}")
            except GoneError:
                return {}
            return part(reply.body)

        return await gathered(partial(one, revision.name) for revision in looked.history.revisions if revision.name)

    async def _manifest(self, address: ManifestAddress, name: str) -> Body | None:
        try:
            return part(part((await self._client.manifest(address.account, address.location, name)).body), "manifest")
        except GoneError:
            return None


# --- what was read, as values ---


def a_manifest(looked: Looked) -> LookedManifest:
    """The look as one at a manifest; PermanentError where the target is none, which no plan of ours says."""
    if not isinstance(looked, LookedManifest):
        raise PermanentError(f"{looked.target} is no manifest")
    return looked


def releases_of(looked: LookedManifest) -> tuple[Release, ...]:
    """The revisions as releases, newest first. By the run that deployed each where one is known; a time never runs against the order of the numbers."""
    touches = looked.touches()
    found: list[Release] = []
    before: datetime | None = None
    for revision in reversed(looked.history.revisions):
        touch = runs.made(touches, revision)
        release = release_of(looked.target, looked.address, revision)
        started = touch.at if touch is not None else release.started_at
        started = max(started, before) if before is not None else started
        before = started
        deployed = touch.stage.ended_at if touch is not None else release.deployed_at
        found.append(replace(release, started_at=started, deployed_at=max(deployed, started) if deployed else None, by=by_of(touch)))
    return tuple(reversed(found))


def spec_digest(manifest: Body) -> str:
    """Covers what a person could have edited besides deploying: not the pod template, which is the release, and not the replicas, which scale."""
    spec = {key: value for key, value in part(manifest, "spec").items() if key not in {"template", "replicas"}}
    return "sha256:" + digest(spec)


def pod_names(groups: Sequence[Body]) -> list[str]:
    """The pods of server groups, by name."""
    return sorted({name for group in groups for one in entries(group.get("instances")) if (name := _pod_name(one))})


def _pod_name(instance: Body) -> str:
    kind, _, name = (text(instance.get("humanReadableName")) or text(instance.get("name"))).partition(" ")
    return name if kind.lower() == "pod" else ""


def _warnings(looked: LookedManifest) -> tuple[str, ...]:
    found = [f"Spinnaker says of it: {words}" for words in warnings_of(looked.body)]
    if looked.history.paused:
        found.append("its roll-out is paused: an undo is refused, and resuming it would push the newest version on")
    if not looked.history.complete:
        found.append("not all revisions that its controller has could be read")
    return tuple(found)


def _named_by(manifest: Body) -> tuple[str, ...]:
    """The ReplicaSet that the Deployment names as the one it rolls out."""
    said = [text(one.get("message")) for one in entries(part(manifest, "status").get("conditions")) if one.get("type") == "Progressing"]
    return tuple(found[1] for words in said if (found := NEWEST_SET.search(words)))


def _address(manager: Body) -> ManifestAddress | None:
    location = text(manager.get("namespace")) or text(manager.get("region"))
    found = ManifestAddress.spoken_in(text(manager.get("account")), location, text(manager.get("name")))
    return None if found is None or any("/" in one for one in (found.account, found.location, found.kind, found.name)) else found


def _application(body: Body) -> str:
    """The application that the manifest belongs to by Spinnaker's own annotation, or by what Gate makes of it."""
    return text(part(body, "manifest", "metadata", "annotations").get("moniker.spinnaker.io/application")) or text(part(body, "moniker").get("app"))
