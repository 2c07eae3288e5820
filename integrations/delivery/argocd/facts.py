"""Reads facts about applications, live. An outside failure is an Absent with the server's words; nothing here writes."""

import asyncio
import contextlib
import functools
import hashlib
import json
import marshal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from integrations.delivery.answering import PODS_HOLD, SLOW, VOLATILE, Answer, Answering
from integrations.delivery.argocd import owners, reading, rollouts, windows
from integrations.delivery.argocd.client import ROLLOUT, AppRef, Client, DeniedError, GoneError, Reply
from integrations.delivery.argocd.owners import application_set, parent, tools
from integrations.delivery.argocd.settings import Settings
from integrations.delivery.looks import Looks
from integrations.moment import read_once
from integrations.pods import pod_of
from integrations.rendering import rendered_of
from service.domain.difference import Rendered
from service.domain.errors import BackoutError, PermanentError, TemporaryError
from service.domain.facts import Fact, Key, Known
from service.domain.keys import Act, Owner, Permissions, Pod, Rollout, RolloutBack, TargetState, Window, step_wise
from service.domain.model import Image, ObjectRef, TargetId, release_key
from service.domain.ports import Clock, ListedTarget, Listing

ACCOUNT = "account"
POD_READS = 8
"""Pods of one application read at the same time."""
TREE_READS = 3
"""How often the pods are read again when some vanished in between (a roll-out)."""
VERBS = ("get", "sync", "update")
PLAIN = 2
"""The form of `marshal` without references: the same value has the same bytes. It is only written, and only to be compared."""
ACTIONS = {"abort": "abort", "promote": "promote-full"}
"""Our words for what is done to Rollouts, and Argo CD's names of the actions."""
ACTIONS_V2_SINCE = (3, 1)
"""Version that knows the second form of the call that runs an action (contract 3.9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One live read of an application: the raw body, how to address it, who we are, and when the read began."""

    app: reading.Body
    ref: AppRef
    me: str
    reply: Reply
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Render:
    """What some revisions of an application render to today; `key` is the release's, "" for the desired one."""

    looked: Looked
    manifests: Sequence[reading.Body]
    revisions: Sequence[str]
    reply: Reply
    key: str = ""


class Reader:
    """Inventory, looks and facts of one Argo CD. Remembers only what cannot mislead: projects of applications, and for minutes version and rights."""

    def __init__(self, settings: Settings, client: Client, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._projects: dict[str, str] = {}
        self._remembered: dict[str, tuple[datetime, Any]] = {}
        self._token = ""
        self._understood: dict[str, Mapping[bytes, ListedTarget]] = {}
        self._looks = Looks[TargetId, Looked](self.get)
        answers: Mapping[str, Answer] = {
            "state": self._state,
            "sync window": self._window,
            "acts": self._acts,
            "pods": self._pods,
            "permissions": self._permissions,
            "rendered images": self._images,
            "desired images": self._desired_images,
            "rendered manifests": self._manifests,
            "desired manifests": self._desired_manifests,
            "leftovers": self._leftovers,
            "prune confirmations": self._confirmations,
            "rollouts": self._rollouts,
            "rollouts back": self._rollouts_back,
        }
        fix = "a working connection and token; `backout doctor` looks at both"
        self._answering = Answering(answers, system="Argo CD", source=f"argocd:{settings.name}", fix=fix, clock=clock)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return self._answering.kinds

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, or Absent with what Argo CD said."""
        return await self._answering.read(key)

    # --- inventory ---

    async def targets(self) -> Listing:
        """All applications, per project where projects are configured. Complete only if the token may read all that was asked for."""
        found: list[ListedTarget] = []
        short: list[str] = []
        for project in self._settings.projects or ("",):
            reply = await self._client.applications(project)
            items = [item for item in reading.entries(reply.body.get("items")) if reading.part(item, "metadata").get("name")]
            found += self._listed(items, project)
            whole = f"{project or '*'}/*"
            if not await self._slowly(f"get {whole}", functools.partial(self._client.can_i, "get", whole)):
                short.append(whole)
        self._projects.update({listed.target.name: listed.project for listed in found if listed.project})
        says = f"the token may not read all of {', '.join(short)}: what is not listed may exist all the same" if short else ""
        return Listing(targets=tuple(found), complete=not short, says=says)

    def _listed(self, items: Sequence[reading.Body], project: str) -> Sequence[ListedTarget]:
        """Each item as it was understood in the list before, where nothing in it is another: of ten thousand that is nearly every one, nearly always."""
        before, now = self._understood.get(project, {}), dict[bytes, ListedTarget]()
        for item in items:
            same = hashlib.blake2b(marshal.dumps(dict(item), PLAIN), digest_size=16).digest()
            now[same] = before.get(same) or reading.listed_of(item, instance=self._settings.name, control_plane=self._settings.namespace, project=project)
        self._understood[project] = now
        return tuple(now.values())

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """Hints of one watch, or None when it is switched off."""
        return self._hints() if self._settings.watch else None

    async def _hints(self) -> AsyncIterator[TargetId | None]:
        """An application that changed where it matters; None at first, and when one came or went."""
        first = True
        async with contextlib.aclosing(self._client.watch(self._settings.projects)) as messages:  # type: ignore[type-var]  # it is a generator
            async for kind, app in messages:
                metadata = reading.part(app, "metadata")
                known = kind == "MODIFIED" and bool(metadata.get("name"))
                if first or not known:
                    yield None
                if known:
                    yield reading.target_of(self._settings.name, self._settings.namespace, metadata)
                first = False

    # --- one application ---

    async def look(self, target: TargetId) -> TargetState:
        """The application now, with its owner. Raises what reading raises; RefusedError when it is gone."""
        return await self.state(await self.get(target))

    async def get(self, target: TargetId, project: str = "", *, anew: bool = False) -> Looked:
        """One live read, with `project` whenever it is known: only then a missing application can be told from a forbidden one.

        Within one moment (`integrations.moment`) the read before serves as well, unless it has to be `anew`.
        """
        return await read_once(target, lambda: self._get(target, project), anew=anew, serves=lambda seen: project in {"", seen.ref.project})

    async def _get(self, target: TargetId, project: str) -> Looked:
        began = self._clock.now()
        known = project or self._projects.get(target.name, "") or (self._settings.projects[0] if len(self._settings.projects) == 1 else "")
        try:
            reply = await self._client.application(reading.app_ref(target, known))
        except GoneError as error:
            if self._projects.pop(target.name, None) is None or project:
                raise
            try:
                reply = await self._client.application(reading.app_ref(target))  # it may have moved to another project
            except TemporaryError:
                raise error from None  # without a project gone and forbidden look the same: the answer with one says more
        real = reading.text(reading.part(reply.body, "spec").get("project"))
        if not reading.text(reading.part(reply.body, "metadata").get("uid")) or not real:
            raise PermanentError(f"{reply.what} answered no application")
        self._projects[target.name] = real
        return Looked(app=reply.body, ref=reading.app_ref(target, real), me=await self.me(), reply=reply, at=began)

    async def state(self, looked: Looked) -> TargetState:
        """The state of what was just read; asks for the owner beside it."""
        app = looked.app
        return reading.state_of(
            app,
            self._target(looked),
            me=looked.me,
            owner=await self.owner(app),
            now=self._clock.now(),
            url=self._settings.url,
            can_stop=await self.version() >= reading.ENABLED_SINCE,
        )

    async def me(self) -> str:
        """Our account's name, asked for each token (they rotate) and again after a while.

        TemporaryError when the server does not know us: then nothing is known to be ours.
        """

        async def ask() -> str:
            body = (await self._client.user_info()).body
            name = reading.text(body.get("username"))
            if not body.get("loggedIn") or not name:
                raise TemporaryError("Argo CD does not say whose token this is: what is ours cannot be told from what is not")
            return name

        mark = self._client.mark_of_token()
        if self._token != mark:
            self._token = mark
            self._remembered.pop(ACCOUNT, None)
        name: str = await self._slowly(ACCOUNT, ask)
        return name

    async def version(self) -> tuple[int, int]:
        """Major and minor."""

        async def ask() -> tuple[int, int]:
            return reading.parse_version(reading.text((await self._client.version()).body.get("Version")))

        found: tuple[int, int] = await self._slowly("version", ask)
        return found

    async def owner(self, app: reading.Body, sets: dict[str, reading.Body] | None = None, *, midway: bool = False) -> Owner:
        """Who else writes the spec, and what each of them would do about a change of ours; the one that harms most first.

        `sets` keeps the ApplicationSets that were read, for who asks about many applications at once. One that cannot be read counts as one that undoes
        changes; `midway` through our own change that is not concluded from one answer: TemporaryError, so that it is asked again.
        """
        found = [await self._application_set(name, app, {} if sets is None else sets, midway=midway)] if (name := application_set.name_of(app)) else []

        async def by_label() -> bool:
            return reading.text((await self._client.settings()).body.get("trackingMethod")) == "label"

        parent_name = parent.name_of(app, tracking_by_label=await self._slowly("tracking", by_label))
        if parent_name is not None and (owner := await self._parent(parent_name, app, midway=midway)) is not None:
            found.append(owner)
        return owners.together([*found, *tools.all_of(app)])

    async def _application_set(self, name: str, app: reading.Body, known: dict[str, reading.Body], *, midway: bool) -> Owner:
        namespace = reading.text(reading.part(app, "metadata").get("namespace"))
        try:
            if f"{namespace}/{name}" not in known:
                known[f"{namespace}/{name}"] = (await self._client.application_set(name, namespace)).body
        except BackoutError as error:
            _ask_again(error, midway=midway)
            return application_set.judge(name, None, app, why_unread=str(error))
        return application_set.judge(name, known[f"{namespace}/{name}"], app, version=await self.version())

    async def _parent(self, named: parent.ParentName, app: reading.Body, *, midway: bool) -> Owner | None:
        metadata = reading.part(app, "metadata")
        name, namespace = reading.text(metadata.get("name")), reading.text(metadata.get("namespace"))
        ref = AppRef(name=named.name, namespace=named.namespace)
        try:
            body = (await self._client.application(ref)).body
            ref = replace(ref, project=reading.text(reading.part(body, "spec").get("project")))
            managed = reading.entries((await self._client.managed_application(ref, name, namespace)).body.get("items"))
        except BackoutError as error:
            _ask_again(error, midway=midway)
            return parent.judge(named, None, None, app, why_unread=str(error))
        declared = next((_json(item.get("targetState")) for item in managed if item.get("name") == name and item.get("kind") == "Application"), None)
        if not declared and not named.sure:
            return None  # the label is somebody else's: the application that it names does not declare this one
        return parent.judge(named, body, declared, app, why_unread="it does not declare this application any more")

    # --- facts ---

    async def _state(self, target: TargetId) -> Known[TargetState]:
        looked = await self._looks.look(target)
        return self._known(await self.state(looked), looked, VOLATILE)

    async def _window(self, target: TargetId) -> Known[Window]:
        looked = await self._looks.look(target)
        window, reply = await self.window(looked.ref)
        return self._answering.known(window, reply, VOLATILE)

    async def _acts(self, target: TargetId) -> Known[tuple[Act, ...]]:
        looked = await self._looks.look(target)
        return self._known(await self.acts(looked), looked, VOLATILE)

    async def acts(self, looked: Looked) -> tuple[Act, ...]:
        """What was done to the application just read."""
        return reading.acts_of(looked.app, (await self._client.events(looked.ref)).body, looked.me)

    async def window(self, ref: AppRef) -> tuple[Window, Reply]:
        """The sync windows now, and when that changes, or why nobody can say. PermanentError when the server does not say whether a sync may run."""
        reply = await self._client.sync_windows(ref)
        window = windows.window_of(reply.body)
        if window is None:
            raise PermanentError(f"{reply.what} does not say whether a sync may run")
        assigned = reading.entries(reply.body.get("assignedWindows"))
        if not assigned:
            return window, reply
        try:
            project = reading.part((await self._client.project(ref.project)).body, "spec")
            found = windows.sync_windows(assigned, reading.entries(project.get("syncWindows")))
            now = self._clock.now()
            automated_until = windows.changes_at(found, now, free=window.automated, manual=False)
            return replace(window, until=windows.changes_at(found, now, free=window.open), automated_until=automated_until), reply
        except BackoutError as error:
            return replace(window, unsure=str(error)), reply

    async def _pods(self, target: TargetId) -> Known[tuple[Pod, ...]]:
        looked = await self._looks.look(target)
        for _ in range(TREE_READS):
            tree = await self._client.resource_tree(looked.ref)
            own = reading.objects_of(looked.app)
            nodes = reading.pods_of_tree(tree.body, own)
            manifests = await self._read_all(looked.ref, nodes)
            if all(manifest is not None for manifest in manifests):
                idle = await self._retiring(looked, tree.body, nodes)
                pods = [
                    replace(pod, retiring=_owner_name(node) in idle, object=reading.object_over(tree.body, node, own))
                    for node, manifest in zip(nodes, manifests, strict=True)
                    if manifest is not None and (pod := pod_of(manifest)) is not None
                ]
                return self._answering.known(tuple(sorted(pods, key=lambda pod: pod.name)), tree, PODS_HOLD)
        raise TemporaryError("the pods changed each time while they were read")

    async def _read_all(self, ref: AppRef, nodes: Sequence[reading.Body]) -> Sequence[reading.Body | None]:
        """The live manifests, in order; None for those that are gone. Any other failure fails all."""
        gate = asyncio.Semaphore(POD_READS)

        async def one(node: reading.Body) -> reading.Body | BackoutError | None:
            async with gate:
                try:
                    manifest = _json((await self._client.resource(ref, node)).body.get("manifest"))
                except BackoutError as error:
                    return None if "not found" in str(error) else error
                return manifest or PermanentError(f"Argo CD gave no manifest of {reading.object_ref(node)}")

        results = await asyncio.gather(*(one(node) for node in nodes))
        for result in results:
            if isinstance(result, BackoutError):
                raise result
        return [result for result in results if not isinstance(result, BackoutError)]

    async def _retiring(self, looked: Looked, tree: reading.Body, pods: Sequence[reading.Body]) -> frozenset[str]:
        """Names of the ReplicaSets of Rollouts that serve nobody any more, of those that have pods."""
        owners = {_owner_name(pod) for pod in pods}
        sets = [one for one in rollouts.sets_of(tree, step_wise(reading.objects_of(looked.app))) if one.get("name") in owners]
        live = await self._read_all(looked.ref, sets)
        return frozenset(reading.object_ref(node).name for node, one in zip(sets, live, strict=True) if one is not None and rollouts.is_retiring(one))

    # --- Argo Rollouts ---

    async def rollout(self, looked: Looked, ref: ObjectRef) -> Rollout:
        """One Rollout now. TemporaryError while its controller has not looked at the newest spec; PermanentError when it is not there."""
        return rollouts.rollout_of(await self._live_rollout(looked, ref))

    async def _live_rollout(self, looked: Looked, ref: ObjectRef) -> reading.Body:
        (live,) = await self._read_all(looked.ref, [rollout_node(ref)])
        if live is None:
            raise PermanentError(f"{ref} is gone")
        return rollouts.must_be(live, ref)

    async def _rollouts(self, target: TargetId) -> Known[tuple[Rollout, ...]]:
        looked = await self._looks.look(target)
        found = [await self.rollout(looked, ref) for ref in step_wise(reading.objects_of(looked.app))]
        return self._known(tuple(found), looked, VOLATILE, what=f"{looked.reply.what}, its Rollouts")

    async def _rollouts_back(self, subject: tuple[TargetId, str, str]) -> Known[tuple[RolloutBack, ...]]:
        target, key, handle = subject
        found = await self._render(target, handle)
        if found.key != key:
            raise PermanentError(f"history entry {handle} is another release now")
        looked = found.looked
        wanted = step_wise(reading.objects_of(looked.app))
        tree = await self._client.resource_tree(looked.ref)
        sets = [one for one in await self._read_all(looked.ref, rollouts.sets_of(tree.body, wanted)) if one is not None]
        live = [await self._live_rollout(looked, ref) for ref in wanted]
        back = tuple(rollouts.back_of(one, found.manifests, sets, _destination(looked.app)) for one in live)
        return self._answering.known(back, found.reply, VOLATILE, what=f"{found.reply.what}, beside its Rollouts")

    async def may_run(self, looked: Looked, action: str) -> bool:
        """Whether our account may run that action on Rollouts of the application.

        A 403 may also mean that Kubernetes is away (contract 1.3): it counts only beside a live read that worked right after it.
        """
        old_form = await self.version() < ACTIONS_V2_SINCE
        if await self._client.may_run(looked.ref, ROLLOUT, action, old_form=old_form):
            return True
        await self._client.application(looked.ref)
        return await self._client.may_run(looked.ref, ROLLOUT, action, old_form=old_form)

    async def _permissions(self, target: TargetId) -> Known[Permissions]:
        looked = await self._looks.look(target)
        asked = [verb for verb in VERBS if verb != "get"]  # who just read it may read it
        allowed = {"get": True, **dict(zip(asked, await asyncio.gather(*(self._client.can_i(verb, looked.ref.object) for verb in asked)), strict=True))}
        lines = {verb: policy_line(looked.me, verb, looked.ref) for verb in VERBS}
        if step_wise(reading.objects_of(looked.app)):
            for word, action in ACTIONS.items():
                allowed[word] = await self.may_run(looked, action)
                lines[word] = policy_line(looked.me, action_right(action), looked.ref)
        fix = {word: lines[word] for word, yes in allowed.items() if not yes}
        return self._known(Permissions(allowed=allowed, fix=fix), looked, SLOW, what=f"account/can-i on {looked.ref.object}")

    async def _images(self, subject: tuple[TargetId, str, str]) -> Known[tuple[Image, ...]]:
        target, key, handle = subject
        found = await self._render(target, handle)
        if found.key != key:
            raise PermanentError(f"history entry {handle} is another release now")
        return self._answering.known(reading.images_of(found.manifests), found.reply, SLOW)

    async def _manifests(self, subject: tuple[TargetId, str, str]) -> Known[tuple[Rendered, ...]]:
        target, key, handle = subject
        found = await self._render(target, handle)
        if found.key != key:
            raise PermanentError(f"history entry {handle} is another release now")
        return self._answering.known(_digests(found), found.reply, SLOW)

    async def _desired_manifests(self, target: TargetId) -> Known[tuple[Rendered, ...]]:
        found = await self._render_desired(target)
        return self._answering.known(_digests(found), found.reply, VOLATILE)

    async def _desired_images(self, target: TargetId) -> Known[tuple[Image, ...]]:
        found = await self._render_desired(target)
        return self._answering.known(reading.images_of(found.manifests), found.reply, VOLATILE)

    async def _render_desired(self, target: TargetId) -> Render:
        looked = await self._looks.look(target)
        revisions = reading.revisions_of(reading.part(looked.app, "status", "sync"))
        if not revisions:
            raise PermanentError("Argo CD does not say which revision it wants")
        reply = await self._client.manifests(looked.ref, revisions, multi=bool(reading.entries(reading.part(looked.app, "spec").get("sources"))))
        manifests = reading.manifests_of(reply.body)
        if not manifests:
            raise PermanentError(f"the desired revision {', '.join(revisions)} renders to nothing")
        return Render(looked=looked, manifests=manifests, revisions=revisions, reply=reply)

    async def _leftovers(self, subject: tuple[TargetId, str]) -> Known[tuple[ObjectRef, ...]]:
        target, handle = subject
        found = await self._render(target, handle)
        return self._answering.known(
            reading.missing_in(found.manifests, reading.live_objects_of(found.looked.app), _destination(found.looked.app)), found.reply, SLOW
        )

    async def _confirmations(self, subject: tuple[TargetId, tuple[ObjectRef, ...]]) -> Known[tuple[ObjectRef, ...]]:
        """Argo CD waits for a confirmation of each, before it applies anything, also by a rollback that prunes nothing (seen on 3.2.11)."""
        target, objects = subject
        looked = await self._looks.look(target)
        rows = [row for row in reading.entries(reading.part(looked.app, "status").get("resources")) if reading.object_ref(row) in objects]
        manifests = await self._read_all(looked.ref, rows)
        asking = [reading.object_ref(row) for row, live in zip(rows, manifests, strict=True) if live is not None and reading.asks_before_pruning(live)]
        return self._known(tuple(asking), looked, VOLATILE)

    async def _render(self, target: TargetId, handle: str) -> Render:
        """What a past release renders to today, and its key; only where nothing but the revision differs from the current sources."""
        looked = await self._looks.look(target)
        entry = next((e for e in reading.history_of(looked.app) if str(e.get("id", 0)) == handle), None)
        entry = reading.attempted_body(looked.app) if not handle else entry
        if entry is None:
            raise PermanentError(f"Argo CD's history has no entry {handle} any more")
        name = handle or reading.joined(reading.revisions_of(entry))[:7]
        if not reading.same_but_revision(entry, reading.part(looked.app, "spec")):
            raise PermanentError(f"release {name} had other sources or parameters than today, and Argo CD renders only today's")
        revisions = reading.revisions_of(entry)
        if not revisions:
            raise PermanentError(f"release {name} names no revision")
        movable = not all(reading.COMMIT.fullmatch(revision) for revision in revisions)  # a chart's version may have been published again
        reply = await self._client.manifests(looked.ref, revisions, multi=bool(reading.entries(entry.get("sources"))), anew=movable)
        manifests = reading.manifests_of(reply.body)
        if not manifests:
            raise PermanentError(f"release {name} renders to nothing")
        return Render(looked=looked, manifests=manifests, revisions=revisions, reply=reply, key=release_key(reading.sources_of(entry)))

    # --- small things ---

    def _known(self, value: Any, looked: Looked, good_for: timedelta, *, what: str = "") -> Known[Any]:
        """What the read of the application tells: as old as that is, which within a moment may be a little older than the question."""
        return self._answering.known(value, looked.reply, good_for, what=what, read_at=looked.at)

    def _target(self, looked: Looked) -> TargetId:
        return reading.target_of(self._settings.name, self._settings.namespace, reading.part(looked.app, "metadata"))

    async def _slowly(self, name: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What changes only with the server's set-up, asked again after some minutes."""
        kept = self._remembered.get(name)
        if kept is None or self._clock.now() - kept[0] > SLOW:
            kept = (self._clock.now(), await ask())
            self._remembered[name] = kept
        return kept[1]


def _ask_again(error: BackoutError, *, midway: bool) -> None:
    """TemporaryError where one answer proves nothing: no answer, and a bare 403 (contract 1.3)."""
    if midway and isinstance(error, TemporaryError | DeniedError):
        raise TemporaryError(f"whether an owner would undo it is not known now ({error})") from error


def action_right(action: str) -> str:
    """The verb of a policy line that lets an action run on Rollouts."""
    return f"action/{ROLLOUT.group}/{ROLLOUT.kind}/{action}"


def rollout_node(ref: ObjectRef) -> Mapping[str, str]:
    """How a Rollout is addressed."""
    return {"group": ref.group, "version": ROLLOUT.version, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _owner_name(node: reading.Body) -> str:
    return next((reading.text(parent.get("name")) for parent in reading.entries(node.get("parentRefs"))), "")


def policy_line(account: str, verb: str, ref: AppRef) -> str:
    """The line of policy.csv that gives our account the verb on all of the application's project."""
    return f"p, {account}, applications, {verb}, {ref.project}/*, allow"


def _destination(app: reading.Body) -> str:
    return reading.text(reading.part(app, "spec", "destination").get("namespace"))


def _digests(found: Render) -> tuple[Rendered, ...]:
    app = found.looked.app
    return rendered_of(found.manifests, own=reading.objects_of(app), destination=_destination(app), revisions=found.revisions)


def _json(raw: Any) -> reading.Body:
    """An object from a string of JSON; {} when it is none (`null` stands for absent)."""
    try:
        value = json.loads(raw) if isinstance(raw, str) else None
    except ValueError:
        return {}
    return value if isinstance(value, Mapping) else {}
