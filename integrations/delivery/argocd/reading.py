"""Argo CD's JSON as values of the domain; pure. Zero structs, nulls and missing fields are ordinary; a time that is none is an error.

Who owns an application is judged in `owner.py`; what to do about what is read here is decided elsewhere.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from integrations.delivery.argocd.client import WORDS_KEPT, AppRef, without_user
from integrations.json_shapes import Body as Body
from integrations.json_shapes import entries as entries
from integrations.json_shapes import part as part
from integrations.json_shapes import text as text
from integrations.pods import images_of as images_of
from integrations.rendering import object_of as object_of
from service.domain.declared import LONGEST, NAMES
from service.domain.errors import PermanentError
from service.domain.keys import Act, Owner, Running, TargetState
from service.domain.model import Actor, Json, ObjectRef, Release, Source, TargetId, release_key
from service.domain.ports import ListedTarget

HOLD = "backout.dev/hold"
"""Name of our marker on a held application: an annotation, or an entry of `spec.info` where nothing renders."""
MARK = re.compile(r"operation=\S+ suspect=\S* goal=\S*")
"""The text that an operation of Backout writes there; anything else was written by somebody else."""
REFRESH = "argocd.argoproj.io/refresh"
STEERING = ("argocd.argoproj.io/sync-options", "argocd.argoproj.io/compare-options", "argocd.argoproj.io/skip-reconcile")
"""Annotations that change what a sync does; they count as part of the spec."""
PARAMETERS = ("helm", "kustomize", "directory", "plugin", "ref", "tagPrefix")
ACTION_RAN = "ResourceActionRan"
BLOCKED = "blocked by sync window"
ENDED_PHASES = frozenset({"Succeeded", "Failed", "Error"})
STUCK_AFTER = timedelta(minutes=10)
"""An operation that is still waiting for something after this long makes no progress (a roll-out's own deadline is 10 min by default)."""
ENABLED_SINCE = (3, 1)
"""Version that knows `automated.enabled`; older servers drop it silently, and auto-sync stays on."""
TOO_OLD = "this Argo CD is older than v3.1: it cannot stop auto-sync without forgetting its settings"

HISTORY_LIMIT = 10
"""What Argo CD keeps where `revisionHistoryLimit` is not set."""
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
PINNED = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|sha256:[0-9a-f]{64}|v?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")
"""A resolved revision: a commit, a digest, a chart's version. Anything else is a name that can move."""

_SPEC_EDIT = re.compile(r"\bupdated application\b")


def said(value: Json) -> str:
    """Words of Argo CD's for a sentence: without credentials in addresses; "" for anything that is no string."""
    return without_user(text(value))


def moment(value: Json) -> datetime | None:
    """An RFC 3339 time, or None when there is none; PermanentError when it is something else."""
    if not text(value):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise PermanentError(f"Argo CD gave {value!r} for a time") from error
    if found.tzinfo is None:
        raise PermanentError(f"Argo CD gave {value!r}, a time without a zone")
    return found


def canonical(value: Json) -> str:
    """JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _without_empty(value: Json) -> Json:
    if isinstance(value, Mapping):
        kept = {k: _without_empty(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in (None, "", {}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def parse_version(value: str) -> tuple[int, int]:
    """`v3.2.11+abc` -> (3, 2); PermanentError when it is no version."""
    found = re.match(r"v?(\d+)\.(\d+)", value)
    if not found:
        raise PermanentError(f"Argo CD gave {value!r} as its version")
    return int(found[1]), int(found[2])


# --- who, what, when -----------------------------------------------------------------------------------------------------


def app_ref(target: TargetId, project: str = "") -> AppRef:
    """`app` or `namespace/app` as Argo CD addresses it."""
    namespace, _, name = target.name.rpartition("/")
    return AppRef(name=name, namespace=namespace, project=project)


def target_of(instance: str, control_plane: str, metadata: Body) -> TargetId:
    """The id of an application."""
    name, namespace = text(metadata.get("name")), text(metadata.get("namespace"))
    return TargetId(instance, name if namespace in {"", control_plane} else f"{namespace}/{name}")


def actor(initiated_by: Body, me: str) -> Actor:
    """Who initiated: automation, ourselves (a service), or a user. Nobody named counts as a user: an unknown hand is not ours."""
    name = text(initiated_by.get("username"))
    if initiated_by.get("automated"):
        return Actor(kind="automation", name=name or "argocd")
    return Actor(kind="service" if name and name == me else "user", name=name or "somebody")


def revisions_of(body: Body) -> tuple[str, ...]:
    """Resolved revisions of a history entry, a sync request or a sync status; one per source."""
    several = body.get("revisions")
    if isinstance(several, list) and several:
        return tuple(text(revision) for revision in several)
    return (text(body.get("revision")),) if text(body.get("revision")) else ()


def joined(revisions: Sequence[str]) -> str:
    """Several revisions as one text, in the order of the sources: how a desired revision is compared with a release's."""
    return ",".join(revisions)


def sources_of(body: Body) -> tuple[Source, ...]:
    """Sources of a history entry or a sync request with their resolved revisions.

    They go into plans, rows and answers, so they hold no secret: repositories without user and password, parameters as a digest that tells them apart.
    """
    revisions = revisions_of(body)
    several = entries(body.get("sources"))
    raw = several or [part(body, "source")]
    return tuple(
        Source(
            repository=without_user(text(source.get("repoURL"))),
            path=text(source.get("path")) or text(source.get("chart")),
            revision=revisions[i] if i < len(revisions) else "",
            parameters=_parameters(source),
        )
        for i, source in enumerate(raw)
    )


def _parameters(source: Body) -> str:
    found = _without_empty({name: source.get(name) for name in PARAMETERS})
    return "sha256:" + hashlib.sha256(canonical(found).encode()).hexdigest() if found else ""


def follows_of(app: Body) -> tuple[str, ...]:
    """What each source of the spec follows: a branch, a tag, a fixed revision; "" is the repository's default."""
    spec = part(app, "spec")
    return tuple(text(source.get("targetRevision")) for source in entries(spec.get("sources")) or [part(spec, "source")])


def same_but_revision(entry: Body, spec: Body) -> bool:
    """Whether a history entry's sources equal the current ones but for the revision."""

    def shape(body: Body) -> list[tuple[str, str, str]]:
        return [(s.repository, s.path, s.parameters) for s in sources_of(body)]

    return shape(entry) == shape(spec)


def release_of(entry: Body, target: TargetId, me: str) -> Release:
    """One history entry as a release; its handle is the history id."""
    started, deployed = moment(entry.get("deployStartedAt")), moment(entry.get("deployedAt"))
    begun = started or deployed
    if begun is None:
        raise PermanentError(f"history entry {entry.get('id', 0)} of {target} carries no time")
    sources = sources_of(entry)
    raw = (entries(entry.get("sources")) or [part(entry, "source")])[0]
    return Release(
        target=target,
        key=release_key(sources),
        handle=str(entry.get("id", 0)),
        sources=sources,
        version=sources[0].revision if text(raw.get("chart")) else "",
        started_at=begun,
        deployed_at=deployed,
        by=actor(part(entry, "initiatedBy"), me),
    )


def history_of(app: Body) -> Sequence[Body]:
    """Raw history, oldest first."""
    return sorted(entries(part(app, "status").get("history")), key=lambda entry: int(entry.get("id", 0)))


# --- state ---------------------------------------------------------------------------------------------------------------


def automated_of(app: Body) -> Body | None:
    """The raw `automated` object, or None when there is none."""
    found = part(app, "spec", "syncPolicy").get("automated")
    return found if isinstance(found, Mapping) else None


def auto_sync_on(app: Body) -> bool:
    """Whether Argo CD deploys by itself; an absent `enabled` means yes."""
    automated = automated_of(app)
    return automated is not None and automated.get("enabled") is not False


def marker_of(app: Body) -> str:
    """Text of our hold marker, from the annotation or from `spec.info`."""
    annotation = text(part(app, "metadata", "annotations").get(HOLD))
    return annotation or next((text(info.get("value")) for info in entries(part(app, "spec").get("info")) if info.get("name") == HOLD), "")


def desired_of(app: Body) -> tuple[Source, ...]:
    """What would be deployed: the spec's sources at the revisions that Argo CD resolved for them; () while it has not compared with these sources."""
    spec, sync = part(app, "spec"), part(app, "status", "sync")
    mine = {"source": spec.get("source"), "sources": spec.get("sources"), "revision": sync.get("revision"), "revisions": sync.get("revisions")}
    several = len(entries(spec.get("sources")))
    compared = part(sync, "comparedTo")
    asked, answered = ([text(one.get("targetRevision")) for one in entries(body.get("sources")) or [part(body, "source")]] for body in (spec, compared))
    if not revisions_of(mine) or (several and len(revisions_of(mine)) != several) or not same_but_revision(compared, spec) or asked != answered:
        return ()
    return sources_of(mine)


def spec_digest(app: Body) -> str:
    """Digest over what a person could have edited, without what we write ourselves: `automated.enabled` and our marker."""
    spec = dict(part(app, "spec"))
    policy = dict(part(spec, "syncPolicy"))
    if (automated := automated_of(app)) is not None:
        # an empty `automated` means on, so its presence is kept although empty objects are dropped below
        policy["automated"] = {"present": True, **{k: v for k, v in automated.items() if k != "enabled"}}
    spec["syncPolicy"] = policy
    spec["info"] = [info for info in entries(spec.get("info")) if info.get("name") != HOLD]
    annotations = part(app, "metadata", "annotations")
    steering = {name: annotations.get(name) for name in STEERING}
    return "sha256:" + hashlib.sha256(canonical(_without_empty({"spec": spec, "annotations": steering})).encode()).hexdigest()


def running_of(app: Body, me: str, now: datetime) -> Running | None:
    """The operation that holds the slot; a Running phase without `operation` is a leftover and none."""
    operation = part(app, "operation")
    if not operation:
        return None
    state = part(app, "status", "operationState")
    by = actor(part(operation, "initiatedBy"), me)
    phase, says = text(state.get("phase")) or "Pending", said(state.get("message"))
    since = moment(state.get("startedAt"))
    waiting = says.lower().startswith(("waiting for", "one or more tasks are running"))
    stuck = bool(state.get("retryCount")) or BLOCKED in says or (waiting and since is not None and now - since > STUCK_AFTER)
    return Running(
        by=by,
        ours=by.kind == "service",
        automated=by.kind == "automation",
        phase=phase,
        says=says,
        since=since,
        revision=joined(revisions_of(part(operation, "sync"))),
        stuck=stuck,
    )


def objects_of(app: Body) -> tuple[ObjectRef, ...]:
    """The application's own objects, hooks left out."""
    return tuple(object_ref(resource) for resource in entries(part(app, "status").get("resources")) if not resource.get("hook"))


def live_objects_of(app: Body) -> tuple[ObjectRef, ...]:
    """The application's own objects but for those that are wanted and not there."""
    rows = entries(part(app, "status").get("resources"))
    return tuple(object_ref(row) for row in rows if not row.get("hook") and text(part(row, "health").get("status")) != "Missing")


def object_ref(body: Body) -> ObjectRef:
    """A resource or a tree node as an object."""
    return ObjectRef(group=text(body.get("group")), kind=text(body.get("kind")), namespace=text(body.get("namespace")), name=text(body.get("name")))


def asks_before_pruning(manifest: Body) -> bool:
    """Whether a person has to confirm before Argo CD prunes the object."""
    options = text(part(manifest, "metadata", "annotations").get(STEERING[0])).split(",")
    return "Prune=confirm" in [option.strip() for option in options]


def warnings_of(app: Body, *, can_stop: bool) -> tuple[str, ...]:
    """What a person should know: conditions, deletion, a leftover operation, a server too old to stop auto-sync."""
    found = [f"{text(c.get('type'))}: {said(c.get('message'))}" for c in entries(part(app, "status").get("conditions"))]
    if part(app, "metadata").get("deletionTimestamp"):
        found.append("the application is being deleted")
    if text(part(app, "metadata", "annotations").get("argocd.argoproj.io/skip-reconcile")) == "true":
        found.append("the controller is told to skip this application: an operation would wait")
    phase = text(part(app, "status", "operationState").get("phase"))
    if phase and phase not in ENDED_PHASES and not part(app, "operation"):
        found.append(f"a {phase} operation is shown that nobody runs: a leftover until the next one")
    if auto_sync_on(app) and not can_stop:
        found.append(TOO_OLD)
    return tuple(found)


def _request(state: Body) -> Body:
    """What an operation was on: the result has the revisions resolved, the request may name a branch."""
    sync, result = part(state, "operation", "sync"), part(state, "syncResult")
    return {**sync, **{name: value for name, value in result.items() if value}}


def _unrecorded(app: Body, current: Release | None) -> bool:
    """Whether the last operation, which is over, was on something else than the newest history entry, and may have changed something.

    It is over when `operation` is gone, whatever its phase (one taken away from outside stays Running). A history entry is written before its
    operation ends, so what ended on other sources is newer than the entry, unless the stamps say otherwise. A dry run changed nothing.
    """
    state = part(app, "status", "operationState")
    finished = moment(state.get("finishedAt"))
    if not state or part(app, "operation") or not _reached(state) or (current is not None and finished is not None and finished < current.started_at):
        return False
    body = _request(state)
    sources = sources_of(body)
    if current is not None and not any(source.repository for source in sources):
        return revisions_of(body) != tuple(source.revision for source in current.sources)
    return current is None or release_key(sources) != current.key


def _reached(state: Body) -> bool:
    """Whether the operation may have changed something in the cluster.

    Sure of the contrary are only a dry run, and one that failed at once before anything was applied: it tried once, and names no object that it changed
    and no hook that it ran (recordings 18, 23).
    """
    if part(state, "operation", "sync").get("dryRun"):
        return False
    rows = entries(part(state, "syncResult").get("resources"))
    touched = any(text(row.get("hookType")) or text(row.get("status")) not in {"", "SyncFailed", "PruneSkipped"} for row in rows)
    at_once = text(state.get("phase")) in {"Failed", "Error"} and not state.get("retryCount") and bool(part(state, "syncResult"))
    return touched or not at_once


def failed_newer_of(app: Body, current: Release | None, me: str) -> str:
    """The sentence of a deploy that failed, or was taken away, after the newest history entry; "" when there is none."""
    state = part(app, "status", "operationState")
    phase = text(state.get("phase"))
    if phase == "Succeeded" or not _unrecorded(app, current):
        return ""
    operation = part(state, "operation")
    revision = joined(revisions_of(part(state, "syncResult")) or revisions_of(part(operation, "sync"))) or "an unknown revision"
    by = actor(part(operation, "initiatedBy"), me).name
    at = text(state.get("finishedAt")) or text(state.get("startedAt")) or "an unknown time"
    ended = f"ended {phase}" if phase in ENDED_PHASES else f"was taken away while {phase or 'it began'}"
    message = said(state.get("message"))[:WORDS_KEPT]
    return f"a deploy of {revision} by {by} {ended} at {at}" + (f": {message}" if message else "")


def attempted_of(app: Body, target: TargetId, current: Release | None, me: str) -> Release | None:
    """The release of an operation that is in no history entry and changed something: it failed, was taken away, was on some objects only, or still runs.

    None also where it does not say exactly what it was on: a branch is no release.
    """
    state = part(app, "status", "operationState")
    running = bool(part(app, "operation"))
    rows = entries(part(state, "syncResult").get("resources"))
    whole = text(state.get("phase")) == "Succeeded" and not part(state, "operation", "sync").get("resources")  # such a one is in the history
    if not state or whole or not ((running and rows and _reached(state)) or _unrecorded(app, current)):
        return None
    started, sources = moment(state.get("startedAt")), sources_of(_request(state))
    exact = bool(sources) and all(source.repository and PINNED.fullmatch(source.revision) for source in sources)
    key = release_key(sources)
    if started is None or not exact or (current is not None and key == current.key):
        return None
    return Release(target=target, key=key, handle="", sources=sources, started_at=started, by=actor(part(state, "operation", "initiatedBy"), me))


def attempted_body(app: Body) -> Body:
    """The sources of the last operation, in the shape of a history entry."""
    return _request(part(app, "status", "operationState"))


def unrecorded_current(app: Body, target: TargetId, me: str) -> Release | None:
    """What is live where Argo CD keeps no history (`revisionHistoryLimit: 0`): what the last operation deployed in full, or healed, if that succeeded.

    The time is that operation's: of a deploy that was healed since nothing else is kept.
    """
    state = part(app, "status", "operationState")
    sync = part(state, "operation", "sync")
    by = actor(part(state, "operation", "initiatedBy"), me)
    started, sources = moment(state.get("startedAt")), sources_of(_request(state))
    complete = not sync.get("resources") or _healed(sync, by)
    whole = text(state.get("phase")) == "Succeeded" and complete and not sync.get("dryRun") and not part(app, "operation")
    if history_of(app) or not whole or started is None or not any(source.repository for source in sources):
        return None
    return Release(target=target, key=release_key(sources), handle="", sources=sources, started_at=started, deployed_at=moment(state.get("finishedAt")), by=by)


def _healed(sync: Body, by: Actor) -> bool:
    """Whether Argo CD put back what differed from the release that was live: a sync of some objects that leaves all of them as the release made them.

    It heals only what it synced successfully before, at the same revision and with the same sources, and names every object that differs. Right after a
    sync it does so now and then for an object that it has not seen change yet (six of a hundred syncs on a busy machine, v3.2.11).
    """
    return by.kind == "automation" and bool(sync.get("autoHealAttemptsCount"))


def drifted_of(app: Body, current: Release | None) -> tuple[ObjectRef, ...]:
    """Objects that differ from what the newest release made them although Git wants that very release: somebody changed them by hand.

    Nothing while an operation runs or another release is wanted, for then differences say nothing about hands.
    """
    status = part(app, "status")
    compared = {**part(status, "sync", "comparedTo"), **{name: value for name, value in part(status, "sync").items() if name in {"revision", "revisions"}}}
    if current is None or part(app, "operation") or release_key(sources_of(compared)) != current.key:
        return ()
    rows = [row for row in entries(status.get("resources")) if not row.get("hook")]
    return tuple(object_ref(row) for row in rows if row.get("status") == "OutOfSync" and not row.get("requiresPruning"))


def history_limit_of(app: Body) -> int:
    """How many releases Argo CD remembers of the application."""
    limit = part(app, "spec").get("revisionHistoryLimit")
    return limit if isinstance(limit, int) else HISTORY_LIMIT


SAME_SECOND = timedelta(seconds=2)


def settled_of(app: Body, current: Release | None, now: datetime) -> bool:
    """Whether what runs belongs to the newest history entry: no operation runs, the last one was that entry's, and Argo CD looked after its end.

    Stamps have no fractions, so a reconcile of the same second may be from just before: that one counts once the second is over for long enough, for
    Argo CD refreshes within a fifth of a second after each operation (recordings 20, 28).
    """
    if current is None or part(app, "operation") or _unrecorded(app, current):
        return False
    status = part(app, "status")
    finished, reconciled = moment(part(status, "operationState").get("finishedAt")) or current.deployed_at, moment(status.get("reconciledAt"))
    if finished is None or reconciled is None:
        return False
    return reconciled > finished or (reconciled == finished and now - finished >= SAME_SECOND)


def state_of(app: Body, target: TargetId, *, me: str, owner: Owner, now: datetime, url: str, can_stop: bool) -> TargetState:
    """The whole application as a state. `prune` is False: our rollbacks never ask for it."""
    history = tuple(release_of(entry, target, me) for entry in reversed(history_of(app)))
    metadata, status = part(app, "metadata"), part(app, "status")
    automated = automated_of(app)
    current = history[0] if history else unrecorded_current(app, target, me)
    settled = settled_of(app, current, now)
    return TargetState(
        target=target,
        uid=text(metadata.get("uid")),
        title=target.name,
        project=text(part(app, "spec").get("project")),
        current=current,
        history=history,
        desired_revision=joined(revisions_of(part(status, "sync"))),
        auto_sync=auto_sync_on(app),
        remembered={"automated": dict(automated)} if automated is not None and auto_sync_on(app) else {},
        owner=owner,
        running=running_of(app, me, now),
        health=text(part(status, "health").get("status")) or "Unknown",
        spec_digest=spec_digest(app),
        objects=objects_of(app),
        marker=marker_of(app),
        warnings=warnings_of(app, can_stop=can_stop),
        link=f"{url.rstrip('/')}/applications/{text(metadata.get('namespace'))}/{text(metadata.get('name'))}",
        failed_newer=failed_newer_of(app, current, me),
        settled=settled,
        follows=follows_of(app),
        attempted=attempted_of(app, target, current, me),
        drifted=drifted_of(app, current) if settled else (),  # until Argo CD looked after a deploy, differences are those from before
        history_limit=history_limit_of(app),
        desired=desired_of(app),
        unmark=_unmark(target) if marker_of(app) else "",
        declares={name: text(value)[:LONGEST] for name, value in part(metadata, "annotations").items() if name in NAMES},
    )


def _unmark(target: TargetId) -> str:
    """The command by which a person takes our mark off."""
    return f"argocd app patch {shlex.quote(target.name)} --type merge --patch {shlex.quote(json.dumps({'metadata': {'annotations': {HOLD: None}}}))}"


def listed_of(item: Body, *, instance: str, control_plane: str, project: str) -> ListedTarget:
    """One item of the projected list."""
    spec, status = part(item, "spec"), part(item, "status")
    return ListedTarget(
        target=target_of(instance, control_plane, part(item, "metadata")),
        project=text(spec.get("project")) or project,
        namespace=text(part(spec, "destination").get("namespace")),
        health=text(part(status, "health").get("status")) or "Unknown",
        desired_revision=joined(revisions_of(part(status, "sync"))),
        stamp=hashlib.sha256(canonical(item).encode()).hexdigest()[:24],
        objects=objects_of(item),
        images=tuple(text(image) for image in part(status, "summary").get("images") or ()),
        cluster=text(part(spec, "destination").get("server")) or text(part(spec, "destination").get("name")),
    )


# --- acts ----------------------------------------------------------------------------------------------------------------


def acts_of(app: Body, events: Body, me: str) -> tuple[Act, ...]:
    """What was done to the application, from its history, its last operation and its events; oldest first."""
    found = [_history_act(entry, me) for entry in history_of(app)]
    state = part(app, "status", "operationState")
    started = moment(state.get("startedAt"))
    if started is not None:
        by = actor(part(state, "operation", "initiatedBy"), me)
        says = f"{by.name} started an operation to {joined(revisions_of(part(state, 'operation', 'sync'))) or 'the target'}: {text(state.get('phase'))}"
        found.append(Act(what="operation", by=by, at=started, says=says, ours=by.kind == "service"))
    found += [act for event in entries(events.get("items")) if (act := _event_act(event, me)) is not None]
    return tuple(sorted(found, key=lambda act: act.at))


def _history_act(entry: Body, me: str) -> Act:
    by, at = actor(part(entry, "initiatedBy"), me), moment(entry.get("deployStartedAt")) or moment(entry.get("deployedAt"))
    if at is None:
        raise PermanentError(f"history entry {entry.get('id', 0)} carries no time")
    says = f"{by.name} deployed release {entry.get('id', 0)} ({joined(revisions_of(entry))})"
    return Act(what="history", by=by, at=at, says=says, ours=by.kind == "service")


def _event_act(event: Body, me: str) -> Act | None:
    """Events of the API server are acts of whoever called it; of the controller's only its own syncs are acts."""
    message = said(event.get("message"))
    at = moment(event.get("lastTimestamp")) or moment(event.get("eventTime")) or moment(event.get("firstTimestamp"))
    component = text(part(event, "source").get("component")) or text(event.get("reportingComponent"))
    if at is None or not message:
        return None
    if component == "argocd-server":
        name = text(part(event, "metadata", "annotations").get("user")) or message.partition(" ")[0]
        by = Actor(kind="service" if name == me and me else "user", name=name)
        what = "action" if text(event.get("reason")) == ACTION_RAN else "spec_edit" if _SPEC_EDIT.search(message) else "operation"
        return Act(what=what, by=by, at=at, says=message, ours=by.kind == "service")
    if message.startswith("Initiated automated sync"):
        return Act(what="operation", by=Actor(kind="automation", name="argocd"), at=at, says=message, ours=False)
    return None


# --- pods and images -----------------------------------------------------------------------------------------------------


def pods_of_tree(tree: Body, own: Sequence[ObjectRef]) -> Sequence[Body]:
    """The tree's Pod nodes whose line of owners ends in an object of the application."""
    return [node for node in entries(tree.get("nodes")) if node.get("kind") == "Pod" and not text(node.get("group")) and object_over(tree, node, own)]


def object_over(tree: Body, node: Body, own: Sequence[ObjectRef]) -> ObjectRef | None:
    """The application's object that the node's line of owners ends in; None when it ends elsewhere."""
    nodes = {text(one.get("uid")): one for one in entries(tree.get("nodes"))}

    def over(node: Body, seen: frozenset[str] = frozenset()) -> ObjectRef | None:
        ref, uid = object_ref(node), text(node.get("uid"))
        if ref in own or uid in seen:
            return ref if ref in own else None
        parents = (over(nodes.get(text(parent.get("uid")), parent), seen | {uid}) for parent in entries(node.get("parentRefs")))
        return next((found for found in parents if found is not None), None)

    return over(node)


def manifests_of(body: Body) -> Sequence[Body]:
    """Rendered manifests, parsed; PermanentError when one is no JSON object."""
    found = []
    for raw in body.get("manifests") or ():
        try:
            manifest = json.loads(raw)
        except (TypeError, ValueError) as error:
            raise PermanentError("Argo CD rendered a manifest that is no JSON") from error
        if not isinstance(manifest, Mapping):
            raise PermanentError("Argo CD rendered a manifest that is no object")
        found.append(manifest)
    return found


def missing_in(manifests: Sequence[Body], own: Sequence[ObjectRef], destination: str) -> tuple[ObjectRef, ...]:
    """The application's objects that the manifests do not have. A manifest without a namespace is in the destination's, or cluster-wide."""
    there = set()
    for manifest in manifests:
        group = text(manifest.get("apiVersion")).rpartition("/")[0]
        metadata = part(manifest, "metadata")
        namespaces = {text(metadata.get("namespace"))} if metadata.get("namespace") else {"", destination}
        there |= {(group, text(manifest.get("kind")), namespace, text(metadata.get("name"))) for namespace in namespaces}
    return tuple(o for o in own if (o.group, o.kind, o.namespace, o.name) not in there)
