"""Argo Rollouts in Argo CD's JSON: where a Rollout stands, and what it would do with a past release's manifest. Pure.

As its controller decides (Argo Rollouts v1.10.1, `rollout/canary.go`, `bluegreen.go` and `sync.go`; proven by tests/contract/argocd/test_rollouts.py): a
template that is the stable ReplicaSet's needs no steps; one whose ReplicaSet is older than the stable one needs none while fewer than
`rollbackWindow.revisions` lie between; any other begins at the first step.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from integrations.delivery.argocd.reading import Body, entries, moment, object_of, object_ref, part, said, text
from service.domain.errors import PermanentError, TemporaryError
from service.domain.keys import Rollout, RolloutBack
from service.domain.model import Json, ObjectRef

HASH: Final = "rollouts-pod-template-hash"
DEADLINE: Final = "scale-down-deadline"
"""Annotation of a ReplicaSet that serves nobody any more and is scaled down then."""
CANARY, BLUE_GREEN = "canary", "blue_green"
_ENDED = frozenset({"Successful", "Failed", "Error", "Inconclusive"})
_LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_DEFAULTS: Final[Mapping[str, tuple[Json, ...]]] = {
    "resources": ({},),
    "securityContext": ({},),
    "imagePullPolicy": ("IfNotPresent", "Always"),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "terminationGracePeriodSeconds": (30,),
    "dnsPolicy": ("ClusterFirst",),
    "restartPolicy": ("Always",),
    "schedulerName": ("default-scheduler",),
    "protocol": ("TCP",),
    "timeoutSeconds": (1,),
    "periodSeconds": (10,),
    "successThreshold": (1,),
    "failureThreshold": (3,),
    "scheme": ("HTTP",),
    "defaultMode": (420,),
    "apiVersion": ("v1",),
    "divisor": ("0",),
}
"""What Kubernetes fills into a pod template by itself. Anything else that a live template has and a manifest has not tells them apart."""


def rollout_of(manifest: Body) -> Rollout:
    """Where it stands. TemporaryError while its controller has not looked at the newest spec: what the status says is of another one then."""
    metadata, spec, status = part(manifest, "metadata"), part(manifest, "spec"), part(manifest, "status")
    name = text(metadata.get("name"))
    seen = text(status.get("observedGeneration"))
    if not status.get("currentPodHash") or (seen.isdecimal() and int(seen) < int(metadata.get("generation") or 0)):
        raise TemporaryError(f"the controller of Argo Rollouts has not looked at the newest spec of Rollout {name} yet")
    strategy = part(spec, "strategy")
    steps = len(entries(part(strategy, "canary").get("steps")))
    aborted = bool(status.get("abort"))
    return Rollout(
        object=object_of(manifest),
        uid=text(metadata.get("uid")),
        strategy=BLUE_GREEN if part(strategy, "blueGreen") else CANARY,
        phase=text(status.get("phase")),
        says=said(status.get("message")),
        stable=text(status.get("stableRS")),
        current=text(status.get("currentPodHash")),
        step=int(status.get("currentStepIndex") or 0),
        steps=steps,
        waiting=bool(entries(status.get("pauseConditions"))) or bool(spec.get("paused")),
        aborted=aborted,
        aborting=aborted and not status.get("abortedAt"),
        promoting=bool(status.get("promoteFull")),
        analyses=tuple(_analyses(status)),
    )


def _analyses(status: Body) -> Sequence[str]:
    canary, green = part(status, "canary"), part(status, "blueGreen")
    runs = (
        part(canary, "currentStepAnalysisRunStatus"),
        part(canary, "currentBackgroundAnalysisRunStatus"),
        part(green, "prePromotionAnalysisRunStatus"),
        part(green, "postPromotionAnalysisRunStatus"),
    )
    return [f"analysis {text(run.get('name'))}" for run in runs if run and text(run.get("status")) not in _ENDED]


def sets_of(tree: Body, rollouts: Sequence[ObjectRef]) -> Sequence[Body]:
    """The tree's ReplicaSet nodes that belong to these Rollouts."""
    wanted = set(rollouts)
    nodes = [node for node in entries(tree.get("nodes")) if (text(node.get("group")), node.get("kind")) == ("apps", "ReplicaSet")]
    return [node for node in nodes if any(object_ref(parent) in wanted for parent in entries(node.get("parentRefs")))]


def is_retiring(replica_set: Body) -> bool:
    """Whether it serves nobody any more and is only kept for a while."""
    return bool(part(replica_set, "metadata", "annotations").get(DEADLINE))


# --- going back ----------------------------------------------------------------------------------------------------------


def back_of(live: Body, manifests: Sequence[Body], replica_sets: Sequence[Body], namespace: str) -> RolloutBack:
    """What the live Rollout would do if the release that rendered to `manifests` were deployed now; `namespace` is where it deploys to by default."""
    ref = object_of(live)
    goal = _find(manifests, ref, namespace)
    if goal is None:
        return RolloutBack(object=ref, skips="absent")
    uid = text(part(live, "metadata").get("uid"))
    own = [one for one in replica_sets if any(text(owner.get("uid")) == uid for owner in entries(part(one, "metadata").get("ownerReferences")))]
    stable = next((one for one in own if hash_of(one) == text(part(live, "status").get("stableRS"))), None)
    template = _template(goal, manifests, namespace)
    fitting = [one for one in own if template and is_of(template, part(one, "spec", "template"))]
    new = fitting[0] if len(fitting) == 1 else None  # two that fit: which of them it would be is not known
    if new is not None and stable is not None:
        if hash_of(new) == hash_of(stable):
            return RolloutBack(object=ref, skips="stable")
        if _within_window(new, stable, own, int(part(goal, "spec", "rollbackWindow").get("revisions") or 0)):
            return RolloutBack(object=ref, skips="window")
    ahead = _ahead(ref, part(goal, "spec", "strategy"))
    return ahead if ahead.steps else RolloutBack(object=ref, skips="none")


def _find(manifests: Sequence[Body], ref: ObjectRef, namespace: str) -> Body | None:
    for manifest in manifests:
        found = object_of(manifest)
        if (found.group, found.kind, found.name) == (ref.group, ref.kind, ref.name) and (found.namespace or namespace) == ref.namespace:
            return manifest
    return None


def _template(goal: Body, manifests: Sequence[Body], namespace: str) -> Body:
    """The pod template, its own or that of the Deployment it refers to."""
    spec = part(goal, "spec")
    if template := part(spec, "template"):
        return template
    named = part(spec, "workloadRef")
    at = text(part(goal, "metadata").get("namespace")) or namespace
    ref = ObjectRef(group=text(named.get("apiVersion")).rpartition("/")[0], kind=text(named.get("kind")), namespace=at, name=text(named.get("name")))
    return part(_find(manifests, ref, namespace) or {}, "spec", "template")


def hash_of(replica_set: Body) -> str:
    """The pod hash of a ReplicaSet."""
    return text(part(replica_set, "metadata", "labels").get(HASH))


def is_of(wanted: Json, live: Json) -> bool:
    """Whether a live template is what a manifest's template becomes: the same but for what Kubernetes and the controller fill in."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        given = {name: value for name, value in wanted.items() if value not in (None, {}, [])}
        extra = {name: value for name, value in live.items() if name not in given and value not in (None, {}, [])}
        return all(name in live and is_of(value, live[name]) for name, value in given.items()) and all(_filled_in(n, v, given) for n, v in extra.items())
    if isinstance(wanted, list) and isinstance(live, list):
        return len(wanted) == len(live) and all(is_of(one, other) for one, other in zip(wanted, live, strict=True))
    if isinstance(wanted, bool) or isinstance(live, bool):
        return wanted is live
    return str(wanted) == str(live)


def _filled_in(name: str, value: Json, beside: Mapping[str, Json]) -> bool:
    if name == HASH:
        return True
    if name == "serviceAccount":  # the old name of `serviceAccountName`, kept equal
        return bool(value == beside.get("serviceAccountName"))
    return value in _DEFAULTS.get(name, ())


def _within_window(new: Body, stable: Body, every: Sequence[Body], revisions: int) -> bool:
    made = {hash_of(one): moment(part(one, "metadata").get("creationTimestamp")) for one in every}
    begin, end = made[hash_of(new)], made[hash_of(stable)]
    if begin is None or end is None or begin >= end:
        return False
    between = [at for at in made.values() if at is not None and begin < at < end]
    return len(between) < revisions


def _ahead(ref: ObjectRef, strategy: Body) -> RolloutBack:
    """Every step from the first on."""
    green = strategy.get("blueGreen")
    if isinstance(green, Mapping):
        return _blue_green(ref, green)
    steps = entries(part(strategy, "canary").get("steps"))
    waits, open_ended = timedelta(0), []
    for number, step in enumerate(steps, start=1):
        length = _pause(step)
        if length is not None:
            waits += length
        elif why := _why_open(step):
            open_ended.append(f"step {number} of {len(steps)} {why}")
    return RolloutBack(object=ref, steps=len(steps), waits=waits, open_ended=tuple(open_ended))


def _blue_green(ref: ObjectRef, strategy: Body) -> RolloutBack:
    open_ended, seconds = [], strategy.get("autoPromotionSeconds")
    if strategy.get("prePromotionAnalysis"):
        open_ended.append("its promotion waits for an analysis")
    if strategy.get("autoPromotionEnabled") is False and not seconds:
        open_ended.append("its promotion waits for a person")
    waits = timedelta(seconds=int(seconds)) if seconds and strategy.get("autoPromotionEnabled") is False else timedelta(0)
    return RolloutBack(object=ref, steps=1 if open_ended or waits else 0, waits=waits, open_ended=tuple(open_ended))


def _pause(step: Body) -> timedelta | None:
    """The length of a pause; None for a pause without one that is understood, and for every other step."""
    pause = step.get("pause")
    raw = pause.get("duration") if isinstance(pause, Mapping) else None
    if raw is None or isinstance(raw, bool):
        return None
    if str(raw).isdecimal():
        return timedelta(seconds=int(str(raw)))
    found = _LENGTH.fullmatch(str(raw))
    if found is None or not str(raw):
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _why_open(step: Body) -> str:
    if "pause" in step:
        duration = part(step, "pause").get("duration")
        return "pauses until a person goes on" if duration is None else f"pauses for {duration!s}, which is not understood"
    for kind, why in (("analysis", "waits for an analysis"), ("experiment", "runs an experiment"), ("plugin", "waits for a plugin")):
        if kind in step:
            return why
    return ""


def must_be(manifest: Body, ref: ObjectRef) -> Body:
    """The manifest, if it is of that object; PermanentError when the server gave another."""
    if object_of(manifest) != ref:
        raise PermanentError(f"Argo CD gave something else than {ref}")
    return manifest
