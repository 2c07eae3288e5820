"""Which target an alert is about, and which release of it is under suspicion. Ambiguity is an answer here, never guessed away."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.model import Episode, ObjectRef, TargetId
from service.domain.policy import AlertMapping

LABEL_APP = "argocd_app"
LABEL_APP_NAMESPACE = "argocd_app_namespace"
LABEL_INSTANCE = "argocd_instance"
LABEL_TARGET = "backout_target"
WORKLOADS: Mapping[str, tuple[str, str]] = {
    "deployment": ("apps", "Deployment"),
    "statefulset": ("apps", "StatefulSet"),
    "daemonset": ("apps", "DaemonSet"),
    "rollout": ("argoproj.io", "Rollout"),
    "cronjob": ("batch", "CronJob"),
    "job_name": ("batch", "Job"),
    "service": ("", "Service"),
    "horizontalpodautoscaler": ("autoscaling", "HorizontalPodAutoscaler"),
}
"""Label of kube-state-metrics and service alerts -> group and kind of the object it names (conventions section 1.5)."""

IGNORED_SEVERITIES = frozenset({"none", "info"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The target an alert means, and which rung of the ladder hit; or None with every candidate and the reason."""

    target: TargetId | None
    rung: str
    says: str
    candidates: tuple[TargetId, ...] = ()


def ignored(episode: Episode) -> str:
    """Why an alert is no incident at all (Watchdog, InfoInhibitor, severity none or info, the rule says never), or ""."""
    if episode.labels.get("backout") == "never":
        return "the rule's label backout=never keeps Backout out"
    if episode.name in {"Watchdog", "InfoInhibitor"}:
        return f"{episode.name} is a sign of life, not a fault"
    severity = episode.labels.get("severity", "")
    return f"severity {severity} is never acted on" if severity in IGNORED_SEVERITIES else ""


def named(episode: Episode, *, mapping: Sequence[AlertMapping], instances: Collection[str]) -> frozenset[str]:
    """Ids of every target that the labels or the mapping may mean, known or not: so few have to be looked up, however many there are."""
    labels, ids = episode.labels, set()
    if LABEL_TARGET in labels:
        ids.add(labels[LABEL_TARGET])
    if app := labels.get(LABEL_APP, ""):
        namespace = labels.get(LABEL_APP_NAMESPACE, "")
        ids |= {f"{instance}:{name}" for instance in instances for name in (app, f"{namespace}/{app}")}
    if (wanted := _mapped(episode, mapping)) is not None:
        ids.add(wanted)
    return frozenset(ids)


def find_target(
    episode: Episode,
    *,
    known: Sequence[TargetId],
    mapping: Sequence[AlertMapping],
    index: Mapping[ObjectRef, tuple[TargetId, ...]],
) -> Match:
    """Climb the ladder: explicit labels, the operator's mapping, the index of objects. The first rung with a hit ends it; several hits = no target.

    `known` are the targets that are known, at least those among `named`; `index` holds the objects that the labels name.
    """
    for rung, candidates in (
        ("label", _by_label(episode, known)),
        ("mapping", _by_mapping(episode, known, mapping)),
        ("resources", _by_objects(episode, index)),
    ):
        if len(candidates) == 1:
            return Match(target=candidates[0], rung=rung, says=f"the alert's {_RUNG_SAYS[rung]} name {candidates[0]}", candidates=candidates)
        if candidates:
            listed = ", ".join(str(c) for c in candidates[:5])
            return Match(target=None, rung=rung, says=f"the alert's {_RUNG_SAYS[rung]} fit {len(candidates)} targets: {listed}", candidates=candidates)
        named = episode.labels.get(LABEL_TARGET) or episode.labels.get(LABEL_APP)
        if rung == "label" and named:  # who names a target means it: no lower rung may find another one
            return Match(target=None, rung=rung, says=f"the alert's labels name {named}, which no delivery instance lists")
    return Match(target=None, rung="", says="no label, no mapping and no known object leads from this alert to a target")


_RUNG_SAYS = {"label": "labels", "mapping": "labels by the operator's mapping", "resources": "objects"}


def _by_label(episode: Episode, known: Sequence[TargetId]) -> tuple[TargetId, ...]:
    labels = episode.labels
    if LABEL_TARGET in labels:
        return tuple(t for t in known if str(t) == labels[LABEL_TARGET])
    app = labels.get(LABEL_APP, "")
    if not app:
        return ()
    namespace, instance = labels.get(LABEL_APP_NAMESPACE, ""), labels.get(LABEL_INSTANCE, "")
    here = [t for t in known if not instance or t.instance == instance]
    qualified = tuple(t for t in here if namespace and t.name == f"{namespace}/{app}")
    return qualified or tuple(t for t in here if t.name == app)


def _by_mapping(episode: Episode, known: Sequence[TargetId], mapping: Sequence[AlertMapping]) -> tuple[TargetId, ...]:
    wanted = _mapped(episode, mapping)
    return tuple(t for t in known if str(t) == wanted)


def _mapped(episode: Episode, mapping: Sequence[AlertMapping]) -> str | None:
    """The id that the first line that fits makes of the labels."""
    for line in mapping:
        if all(episode.labels.get(name) == value or (value == "*" and name in episode.labels) for name, value in line.labels.items()):
            wanted = line.target
            for name, value in episode.labels.items():
                wanted = wanted.replace("{" + name + "}", value)
            return wanted
    return None


def _by_objects(episode: Episode, index: Mapping[ObjectRef, tuple[TargetId, ...]]) -> tuple[TargetId, ...]:
    namespace = episode.labels.get("namespace", "")
    found: list[TargetId] = []
    for label, (group, kind) in WORKLOADS.items():
        name = episode.labels.get(label, "")
        if name and namespace:
            found += index.get(ObjectRef(group=group, kind=kind, namespace=namespace, name=name), ())
    return tuple(sorted(set(found)))


def onset(began_at: datetime, hold: timedelta, active_at: datetime | None) -> datetime:
    """When the trouble began: the metrics system's own time of the condition, else the told start less the rule's `for`."""
    return active_at if active_at and active_at <= began_at else began_at - hold
