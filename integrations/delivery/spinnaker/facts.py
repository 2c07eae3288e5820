"""Reads facts about manifests, live: the cluster's own word through Gate, and what Spinnaker ran. An outside failure is an Absent with Gate's words.

Nothing here writes. What comes from Clouddriver's cache (the list of ReplicaSets, the pods of one) is only used to find names; what stands behind a name is
read from the cluster, and a cache that has fallen behind is noticed, not believed.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from integrations import pacing
from integrations.delivery.spinnaker import runs
from integrations.delivery.spinnaker.answers import GoneError, Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.doors import doors_to
from integrations.delivery.spinnaker.executions import Execution, executions_of, images_in
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
from integrations.delivery.spinnaker.names import address_of, target_of
from integrations.delivery.spinnaker.pipelines import Pipeline, pipeline_of
from integrations.delivery.spinnaker.runs import OURS, Touch
from integrations.delivery.spinnaker.settings import Settings
from integrations.json_shapes import Body, entries, number, part, text
from integrations.pods import pod_of
from service.domain.correlation import names_of
from service.domain.difference import Rendered
from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import Act, Owner, Permissions, Pod, Rollout, RolloutBack, Running, TargetState, Window
from service.domain.model import Actor, Image, Json, ObjectRef, Release, TargetId
from service.domain.ports import Clock, ListedTarget, Listing

VOLATILE = timedelta(seconds=30)
PODS_HOLD = timedelta(seconds=15)
SLOW = timedelta(minutes=5)
AT_ONCE = 8
"""Requests for one question at the same time."""
RUNS_SHOWN = 5
"""Runs of each pipeline that are read to learn who deployed what."""
NEWEST_SET = re.compile(r'ReplicaSet "([^"]+)"')
"""How a Deployment's condition names the ReplicaSet that it rolls out (Kubernetes' deployment controller)."""
FREE = "Spinnaker has no windows over what is asked of it ad hoc; execution windows hold stages of pipelines alone"
NOTHING_DESIRED = "Spinnaker keeps no desired state: what it deploys next is decided by whoever starts a pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One live read of a manifest: Gate's whole answer, the revisions that its controller still has, and what Spinnaker ran in its application."""

    target: TargetId
    address: ManifestAddress
    application: str
    body: Body
    history: History
    runs: tuple[Execution, ...]
    pipelines: tuple[Pipeline, ...]
    reply: Reply

    @property
    def manifest(self) -> Body:
        """The object as Kubernetes has it."""
        return part(self.body, "manifest")

    @property
    def uid(self) -> str:
        """Its identity in the cluster."""
        return text(part(self.manifest, "metadata").get("uid"))

    @property
    def live(self) -> Revision | None:
        """The revision that is rolled out now."""
        return self.history.of_template(self.history.live)


class Reader:
    """Inventory, looks and facts of one Gate. Remembers only the application of a manifest, which its own annotation says anew at each look."""

    def __init__(self, settings: Settings, client: Client, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._asked: dict[tuple[TargetId, pacing.Pace | None], asyncio.Future[Looked]] = {}
        self._answers: Mapping[str, Callable[[Any], Awaitable[Fact[Any]]]] = {
            "state": self._state,
            "sync window": self._window,
            "acts": self._acts,
            "pods": self._pods,
            "permissions": self._permissions,
            "rendered images": self._images,
            "rendered manifests": self._manifests,
            "leftovers": self._leftovers,
            "prune confirmations": self._confirmations,
            "rollouts": self._rollouts,
            "rollouts back": self._rollouts_back,
        }

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return frozenset(self._answers)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, or Absent with what Gate said."""
        answer = self._answers.get(key.kind)
        if answer is None:
            return Absent(f"Spinnaker knows nothing of the {key.kind}")
        try:
            return await answer(key.subject)
        except BackoutError as error:
            return Absent(str(error), "a Gate that answers, and the rights to read; `backout doctor` looks at both")

    # --- inventory ---

    async def targets(self) -> Listing:
        """Every Deployment of the configured applications. Complete only if each of them could be read."""
        found: list[ListedTarget] = []
        short: list[str] = []
        for application in self._settings.applications:
            try:
                managers = await self._client.managers(application)
                addresses = sorted({one for manager in entries(managers.body) if (one := _address(manager)) is not None and one.kind.lower() == "deployment"})
                found += [one for one in await self._gathered(self._listed(address, application) for address in addresses) if one is not None]
            except (RefusedError, TemporaryError) as error:
                short.append(f"{application}: {error}")
        if short and len(short) == len(self._settings.applications):
            raise TemporaryError("; ".join(short))
        return Listing(targets=tuple(found), complete=not short, says=f"not all applications could be read: {'; '.join(short)}" if short else "")

    async def _listed(self, address: ManifestAddress, application: str) -> ListedTarget | None:
        """As it is now in the cluster; None for one that the cache still has and the cluster has not."""
        try:
            body = _object((await self._client.manifest(address.account, address.location, address.spoken)).body)
        except GoneError:
            return None
        manifest, health = part(body, "manifest"), health_of(part(body, "status"))
        metadata = part(manifest, "metadata")
        if _application(body) != application:
            return None
        return ListedTarget(
            target=target_of(self._settings.name, address),
            project=application,
            namespace=address.location,
            health=health,
            desired_revision="",
            stamp=_digest([metadata.get("uid"), metadata.get("generation"), part(metadata, "annotations"), health]),
            objects=(address.object, *names_of(application, account=address.account, cluster=address.spoken, region=address.location)),
            images=tuple(image.reference for image in images_in(part(manifest, "spec", "template"))),
            cluster=address.account,
        )

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """None: Gate tells nothing by itself, so it is polled."""
        return None

    # --- one manifest ---

    async def look(self, target: TargetId) -> TargetState:
        """The manifest now. Raises what reading raises; RefusedError when it is gone, or not ours to look after."""
        return self.state(await self.get(target))

    async def get(self, target: TargetId) -> Looked:
        """One live read with everything that may matter for an act."""
        address = address_of(target)
        reply = await self._client.manifest(address.account, address.location, address.spoken)
        body = _object(reply.body)
        application = _application(body)
        if application not in self._settings.applications:
            owner = f"belongs to application {application}" if application else "names no application of Spinnaker (moniker)"
            raise RefusedError(f"{target} {owner}, which Backout does not look after here")
        if not text(part(body, "manifest", "metadata").get("uid")):
            raise PermanentError(f"{reply.what} answered no object of Kubernetes")
        history, found, saved = await asyncio.gather(
            self._history(address, application, part(body, "manifest")), self.runs(application), self._client.pipeline_configs(application)
        )
        pipelines = tuple(one for config in entries(saved.body) if (one := pipeline_of(config)) is not None)
        return Looked(target=target, address=address, application=application, body=body, history=history, runs=found, pipelines=pipelines, reply=reply)

    async def _history(self, address: ManifestAddress, application: str, manifest: Body) -> History:
        """The revisions that the controller has. The newest ReplicaSet is found by what the Deployment says of itself, whatever the cache knows.

        TemporaryError while the one that is rolled out cannot be found: then nobody could say what runs.
        """
        cached = replica_sets_of((await self._client.managers(application)).body, address)
        names = dict.fromkeys((*(cached or ()), *_named_by(manifest)))
        sets = [one for one in await self._gathered(self._replica_set(address, name) for name in names) if one is not False]
        history = history_of(manifest, [one if isinstance(one, Mapping) else None for one in sets])
        if history.of_template(history.live) is None:
            raise TemporaryError(f"the ReplicaSet of what {address.spoken} rolls out now is not known yet")
        return history if cached is not None else replace(history, complete=False)

    async def _replica_set(self, address: ManifestAddress, name: str) -> Body | bool:
        """The object; False when the cluster has no such thing (any more)."""
        try:
            return part(_object((await self._client.manifest(address.account, address.location, f"replicaSet {name}")).body), "manifest")
        except GoneError:
            return False

    async def runs(self, application: str) -> tuple[Execution, ...]:
        """The newest runs of the application's pipelines, and its tasks."""
        pipelines, tasks = await asyncio.gather(
            self._client.pipeline_runs(application, limit=RUNS_SHOWN, expand=True),
            self._client.tasks(application),
        )
        return (*executions_of(pipelines.body), *executions_of(tasks.body))

    async def _look(self, target: TargetId) -> Looked:
        """One live read for all facts of the target that are asked for in the same turn of the loop; it begins after each of them was asked for."""
        asked = (target, pacing.PACE.get())  # who is in a hurry shares no look with one that waits for its turn
        if asked in self._asked:
            return await asyncio.shield(self._asked[asked])
        mine = self._asked[asked] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.sleep(0)
            del self._asked[asked]  # whoever asks from here on asks anew
            looked = await self.get(target)
        except BaseException as error:
            if self._asked.get(asked) is mine:
                del self._asked[asked]
            mine.set_exception(error if isinstance(error, BackoutError) else TemporaryError(f"the read of {target} was ended"))
            mine.exception()  # there may be nobody beside us who hears of it
            raise
        mine.set_result(looked)
        return looked

    def state(self, looked: Looked) -> TargetState:
        """The state of what was just read."""
        manifest, metadata = looked.manifest, part(looked.manifest, "metadata")
        history = releases_of(looked)
        live = looked.live
        current = next((one for one in history if live is not None and one.handle == str(live.number)), None)
        observed = number(part(manifest, "status").get("observedGeneration"))
        health = health_of(part(looked.body, "status"))
        return TargetState(
            target=looked.target,
            uid=looked.uid,
            title=looked.address.spoken,
            project=looked.application,
            current=current,
            history=history,
            desired_revision="",
            auto_sync=False,
            remembered={},
            owner=owner_of(looked),
            running=running_of(looked),
            health=health,
            spec_digest=spec_digest(manifest),
            objects=(looked.address.object,),
            warnings=_warnings(looked),
            settled=health in {"Healthy", "Degraded", "Suspended"} and observed == number(metadata.get("generation")),
            history_limit=looked.history.limit,
        )

    # --- facts ---

    async def _state(self, target: TargetId) -> Known[TargetState]:
        looked = await self._look(target)
        return self._known(self.state(looked), looked.reply, VOLATILE)

    async def _window(self, target: TargetId) -> Known[Window]:
        looked = await self._look(target)
        return self._known(Window(open=True, says=FREE), looked.reply, VOLATILE)

    async def _acts(self, target: TargetId) -> Known[tuple[Act, ...]]:
        looked = await self._look(target)
        return self._known(acts_of(looked), looked.reply, VOLATILE, what=f"runs and tasks of {looked.application}")

    async def _pods(self, target: TargetId) -> Known[tuple[Pod, ...]]:
        """The pods that the cache names, each read from the cluster; TemporaryError while they are not as many as the Deployment itself counts."""
        looked = await self._look(target)
        address, names = looked.address, pod_names(await self.groups(looked))
        read = [one for one in await self._gathered(self._manifest(address, f"pod {name}") for name in names) if one is not None]
        pods = [replace(pod, object=address.object) for one in read if (pod := pod_of(one)) is not None]
        counted = number(part(looked.manifest, "status").get("replicas")) or 0
        if sum(not pod.ending for pod in pods) != counted:
            raise TemporaryError(f"{address.spoken} counts {counted} pods, and Spinnaker's cache does not have all of them yet")
        return self._known(tuple(sorted(pods, key=lambda pod: pod.name)), looked.reply, PODS_HOLD, what=f"pods of {address.spoken}")

    async def groups(self, looked: Looked) -> list[Body]:
        """The ReplicaSets of the manifest as the cache has them, with their instances; one that it does not have is left out."""

        async def one(name: str) -> Body:
            try:
                reply = await self._client.server_group(looked.application, looked.address.account, looked.address.location, f"replicaSet {name}")
            except GoneError:
                return {}
            return _object(reply.body)

        return await self._gathered(one(revision.name) for revision in looked.history.revisions if revision.name)

    async def _manifest(self, address: ManifestAddress, name: str) -> Body | None:
        try:
            return part(_object((await self._client.manifest(address.account, address.location, name)).body), "manifest")
        except GoneError:
            return None

    async def _permissions(self, target: TargetId) -> Known[Permissions]:
        looked = await self._look(target)
        application, user = await asyncio.gather(self._client.application(looked.application), self._client.user())
        found = permissions_of(_object(application.body), user.body, looked.address.account)
        return self._known(found, application, SLOW, what=f"/auth/user and the permissions of {looked.application}")

    async def _images(self, subject: tuple[TargetId, str, str]) -> Known[tuple[Image, ...]]:
        looked, revision = await self._revision(subject)
        return self._known(revision.images, looked.reply, SLOW)

    async def _manifests(self, subject: tuple[TargetId, str, str]) -> Known[tuple[Rendered, ...]]:
        """What an undo brings back is the pod template and nothing else, so that is all that a release here is made of."""
        looked, revision = await self._revision(subject)
        return self._known((Rendered(object=looked.address.object, digest=revision.digest, fields=revision.fields),), looked.reply, SLOW)

    async def _revision(self, subject: tuple[TargetId, str, str]) -> tuple[Looked, Revision]:
        target, key, handle = subject
        looked = await self._look(target)
        revision = next((one for one in looked.history.revisions if release_of(target, looked.address, one).key == key), None)
        if revision is None:
            raise PermanentError(f"{looked.address.spoken} has no revision {handle} any more")
        return looked, revision

    async def _leftovers(self, subject: tuple[TargetId, str]) -> Known[tuple[ObjectRef, ...]]:
        looked = await self._look(subject[0])
        return self._known((), looked.reply, SLOW, what="an undo changes a pod template and deletes nothing")

    async def _confirmations(self, subject: tuple[TargetId, tuple[ObjectRef, ...]]) -> Known[tuple[ObjectRef, ...]]:
        looked = await self._look(subject[0])
        return self._known((), looked.reply, SLOW, what="an undo changes a pod template and deletes nothing")

    async def _rollouts(self, target: TargetId) -> Known[tuple[Rollout, ...]]:
        looked = await self._look(target)
        return self._known((), looked.reply, SLOW, what="a Deployment has no steps")

    async def _rollouts_back(self, subject: tuple[TargetId, str, str]) -> Known[tuple[RolloutBack, ...]]:
        looked = await self._look(subject[0])
        return self._known((), looked.reply, SLOW, what="a Deployment has no steps")

    # --- small things ---

    async def _gathered(self, asked: Any) -> list[Any]:
        """The answers in order, some at a time; the first error is raised."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(ask: Awaitable[Any]) -> Any:
            async with gate:
                return await ask

        return list(await asyncio.gather(*(one(ask) for ask in asked)))

    def _known(self, value: Any, reply: Reply, good_for: timedelta, *, what: str = "") -> Known[Any]:
        evidence = Evidence(source=f"spinnaker:{self._settings.name}", what=what or reply.what, read_at=self._clock.now(), digest=reply.digest)
        return Known(value=value, evidence=evidence, good_for=good_for)


# --- what was read, as values ---


def releases_of(looked: Looked) -> tuple[Release, ...]:
    """The revisions as releases, newest first. By the run that deployed each where one is known; a time never runs against the order of the numbers."""
    touches = runs.touches_of(looked.runs, looked.address)
    found: list[Release] = []
    before: datetime | None = None
    for revision in reversed(looked.history.revisions):
        touch = runs.made(touches, revision)
        release = release_of(looked.target, looked.address, revision)
        started = touch.at if touch is not None else release.started_at
        started = max(started, before) if before is not None else started
        before = started
        deployed = touch.stage.ended_at if touch is not None else release.deployed_at
        by = _by(touch)
        found.append(replace(release, started_at=started, deployed_at=max(deployed, started) if deployed else None, by=by))
    return tuple(reversed(found))


def _by(touch: Touch | None) -> Actor:
    if touch is None:
        return Actor(kind="automation", name="nobody that Spinnaker remembers")
    return Actor(kind="service", name="backout") if touch.run.marker.startswith(OURS) else touch.run.by


def owner_of(looked: Looked) -> Owner:
    """Who may deploy over a rollback by itself: a trigger of a saved pipeline. It leaves an undo alone until it fires, and then deploys what it finds."""
    doors = doors_to(looked.address, looked.pipelines)
    if not doors:
        return Owner(kind="nobody")
    first, more = doors[0], f", and {len(doors) - 1} more trigger{'s' if len(doors) > 2 else ''}" if len(doors) > 1 else ""  # noqa: PLR2004  more than one more
    fix = "Switch the trigger off (not the pipeline: the fix needs it) for as long as the bad release is held away."
    return Owner(kind="pipeline", name=first.pipeline.name, later=True, says=f"{first.says}{more}", fix=fix)


def running_of(looked: Looked) -> Running | None:
    """The run that may still change the manifest. What it deploys is told once its stage has made it; until then nobody knows."""
    run = runs.acting_on(looked.runs, looked.address)
    if run is None:
        return None
    touch = next((one for one in runs.touches_of([run], looked.address) if one.images), None)
    images = {image.reference for image in touch.images} if touch is not None else set()
    made = next((one for one in looked.history.revisions if images and {image.reference for image in one.images} == images), None)
    return Running(
        by=run.by,
        ours=run.marker.startswith(OURS),
        automated=run.automated,
        phase=run.status.value,
        says=f"{'task' if run.is_task else 'pipeline'} {run.name or run.id} ({run.id}) is {run.status.value}",
        since=run.started_at or run.built_at,
        revision=made.digest if made is not None else "",
    )


def acts_of(looked: Looked) -> tuple[Act, ...]:
    """What was done to the manifest through Spinnaker, oldest first."""
    touches: Sequence[Touch] = runs.touches_of(looked.runs, looked.address)
    return tuple(
        Act(
            what="operation",
            by=touch.run.by,
            at=touch.at,
            says=f"{touch.stage.kind} by {'task' if touch.run.is_task else 'pipeline'} {touch.run.name or touch.run.id}",
            ours=touch.run.marker.startswith(OURS),
        )
        for touch in reversed(touches)
    )


def permissions_of(application: Body, user: Json, account: str) -> Permissions:
    """What our account may do, as far as Gate tells; what it does not tell is left out and so unknown.

    No endpoint answers it (contract section 8): roles are compared with the application's permissions, which are absent where nothing is restricted. Source
    only: that `allowedAccounts` holds the accounts that may be written to. Without Fiat it is empty, and so it is for one who may write to none.
    """
    me: Body = user if isinstance(user, Mapping) else {}
    roles = {one for one in me.get("roles", []) if isinstance(one, str)} if isinstance(me.get("roles"), list) else set()
    wanted = part(application, "attributes", "permissions")
    allowed: dict[str, bool] = {"get": True}
    fix: dict[str, str] = {}
    accounts = me.get("allowedAccounts")
    listed = [one for one in accounts if isinstance(one, str)] if isinstance(accounts, list) else []
    name = text(application.get("name"))
    if listed or wanted:
        executes = wanted.get("EXECUTE", wanted.get("READ", []))  # Fiat falls back to READ where EXECUTE is not set, if it is set up so
        may = me.get("isAdmin") is True or not wanted or bool(roles & {one for one in executes if isinstance(one, str)})
        allowed["sync"] = may and account in listed
        if not allowed["sync"]:
            fix["sync"] = f"permissions of application {name}: EXECUTE, and of account {account}: WRITE, for a role of {text(me.get('username')) or 'Backout'}"
    elif me:
        allowed["sync"] = True
    return Permissions(allowed=allowed, fix=fix)


def spec_digest(manifest: Body) -> str:
    """Covers what a person could have edited besides deploying: not the pod template, which is the release, and not the replicas, which scale."""
    spec = {key: value for key, value in part(manifest, "spec").items() if key not in {"template", "replicas"}}
    return "sha256:" + _digest(spec)


def _warnings(looked: Looked) -> tuple[str, ...]:
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


def pod_names(groups: Sequence[Body]) -> list[str]:
    """The pods of server groups, by name."""
    return sorted({name for group in groups for one in entries(group.get("instances")) if (name := _pod_name(one))})


def _pod_name(instance: Body) -> str:
    kind, _, name = (text(instance.get("humanReadableName")) or text(instance.get("name"))).partition(" ")
    return name if kind.lower() == "pod" else ""


def _object(value: Json) -> Body:
    return value if isinstance(value, Mapping) else {}


def _digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()
