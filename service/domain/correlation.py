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
LABEL_SPINNAKER_APP = "spinnaker_app"
MONIKER = "moniker.spinnaker.io"
"""Group of what is no object but a name that Spinnaker gives its targets: `application` (as the namespace, too), `account`, `cluster`, `region`.

A Spinnaker target lists its own beside its objects, so that labels find it through the same index; nobody shares anything by having the same name.
"""
SPINNAKER: Mapping[str, str] = {"spinnaker_account": "account", "spinnaker_cluster": "cluster", "spinnaker_region": "region"}
"""Labels beside `spinnaker_app` that say which of the application's targets is meant -> kind of the name."""
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

LABELS_THAT_LEAD = (LABEL_TARGET, LABEL_APP, LABEL_APP_NAMESPACE, LABEL_INSTANCE, LABEL_SPINNAKER_APP, *SPINNAKER, "namespace", *WORKLOADS)
"""Labels by which an alert names its target. Whoever sends a notification can write them, so the metrics system's own alert must carry them too."""

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


def names_of(application: str, *, account: str = "", cluster: str = "", region: str = "") -> tuple[ObjectRef, ...]:
    """The names of a Spinnaker target, for its list of objects."""
    told = {"application": application, "account": account, "cluster": cluster, "region": region}
    return tuple(ObjectRef(group=MONIKER, kind=kind, namespace=application, name=name) for kind, name in told.items() if application and name)


def same_cluster(shared: Mapping[ObjectRef, tuple[TargetId, ...]]) -> frozenset[TargetId]:
    """Which targets are the same cluster of the same application and account, elsewhere: from what a target has in common with others."""
    by_kind: dict[str, set[TargetId]] = {}
    for one, others in shared.items():
        if one.group == MONIKER:
            by_kind.setdefault(one.kind, set()).update(others)
    return frozenset(by_kind.get("application", set()) & by_kind.get("account", set()) & by_kind.get("cluster", set()))


def objects_named(episode: Episode) -> frozenset[ObjectRef]:
    """Every object, and every name of Spinnaker's, that the labels tell: what has to be looked up in the index."""
    return frozenset((*_workloads(episode), *_moniker(episode)))


def find_target(
    episode: Episode,
    *,
    known: Sequence[TargetId],
    mapping: Sequence[AlertMapping],
    index: Mapping[ObjectRef, tuple[TargetId, ...]],
) -> Match:
    """Climb the ladder: explicit labels (an id, an application of Argo CD's or of Spinnaker's), the operator's mapping, the index of objects.

    The first rung with a hit ends it; several hits = no target.

    `known` are the targets that are known, at least those among `named`; `index` holds the objects that the labels name.
    """
    for rung, candidates in (
        ("label", _by_label(episode, known) or _by_moniker(episode, index)),
        ("mapping", _by_mapping(episode, known, mapping)),
        ("resources", _by_objects(episode, index)),
    ):
        if len(candidates) == 1:
            return Match(target=candidates[0], rung=rung, says=f"the alert's {_RUNG_SAYS[rung]} name {candidates[0]}", candidates=candidates)
        if candidates:
            listed = ", ".join(str(c) for c in candidates[:5])
            return Match(target=None, rung=rung, says=f"the alert's {_RUNG_SAYS[rung]} fit {len(candidates)} targets: {listed}", candidates=candidates)
        named = next((told for label in (LABEL_TARGET, LABEL_APP, LABEL_SPINNAKER_APP) if (told := episode.labels.get(label))), "")
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
    return tuple(sorted({target for one in _workloads(episode) for target in index.get(one, ())}))


def _by_moniker(episode: Episode, index: Mapping[ObjectRef, tuple[TargetId, ...]]) -> tuple[TargetId, ...]:
    """The targets that have every name that the labels tell; the workload that they name, if any, says which one of these."""
    told = _moniker(episode)
    if not told or LABEL_TARGET in episode.labels or LABEL_APP in episode.labels:
        return ()
    found = set.intersection(*(set(index.get(one, ())) for one in told))
    narrower = found & set(_by_objects(episode, index))
    return tuple(sorted(narrower or found))


def _workloads(episode: Episode) -> tuple[ObjectRef, ...]:
    namespace = episode.labels.get("namespace", "")
    named = ((group, kind, episode.labels.get(label, "")) for label, (group, kind) in WORKLOADS.items())
    return tuple(ObjectRef(group=group, kind=kind, namespace=namespace, name=name) for group, kind, name in named if namespace and name)


def _moniker(episode: Episode) -> tuple[ObjectRef, ...]:
    told = {kind: episode.labels.get(label, "") for label, kind in SPINNAKER.items()}
    return names_of(episode.labels.get(LABEL_SPINNAKER_APP, ""), **told)


def onset(began_at: datetime, hold: timedelta, active_at: datetime | None) -> datetime:
    """When the trouble began: the metrics system's own time of the condition, else the told start less the rule's `for`."""
    return active_at if active_at and active_at <= began_at else began_at - hold
