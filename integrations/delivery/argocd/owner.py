"""Who else writes an application's spec, and whether it would undo us: ApplicationSet, parent application, image updater. Pure.

What was recorded (contract 4.7, 11): an ApplicationSet takes an edit back within 0.1 s unless it is told to ignore that field; a parent leaves
an added `enabled: false` standing unless its Git says `enabled: true` or it replaces objects.
"""

import re
from dataclasses import dataclass

from integrations.delivery.argocd.reading import Body, auto_sync_on, automated_of, entries, part, text
from service.domain.keys import Owner

NOBODY = Owner(kind="nobody")
TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE_LABEL = "app.kubernetes.io/instance"
IMAGE_UPDATER = "argocd-image-updater.argoproj.io/"
ENABLED_POINTER = ("spec", "syncPolicy", "automated", "enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentName:
    """A parent application as a child's tracking names it; `sure` when only Argo CD writes that mark."""

    name: str
    namespace: str = ""
    sure: bool = True


def application_set_of(app: Body) -> str:
    """Name of the ApplicationSet that owns the application, or ""."""
    references = entries(part(app, "metadata").get("ownerReferences"))
    return next((text(r.get("name")) for r in references if r.get("kind") == "ApplicationSet" and text(r.get("apiVersion")).startswith("argoproj.io/")), "")


def parent_of(app: Body, *, tracking_by_label: bool) -> ParentName | None:
    """The parent that the tracking mark names: the annotation only if it is about this very Application, the label only where Argo CD tracks by it."""
    metadata = part(app, "metadata")
    own = f"argoproj.io/Application:{text(metadata.get('namespace'))}/{text(metadata.get('name'))}"
    parent, _, about = text(part(metadata, "annotations").get(TRACKING)).partition(":")
    if parent and about == own:
        namespace, _, name = parent.rpartition("_")
        return ParentName(name=name, namespace=namespace)
    label = text(part(metadata, "labels").get(INSTANCE_LABEL))
    if tracking_by_label and label and label != text(metadata.get("name")):
        return ParentName(name=label, sure=False)
    return None


def judge_application_set(name: str, application_set: Body | None, app: Body, *, why_unread: str = "") -> Owner:
    """Whether the ApplicationSet undoes `enabled: false`. Unread counts as yes."""
    if application_set is None:
        says = f"ApplicationSet {name} owns the spec and could not be read ({why_unread}): taken as one that undoes changes"
        return Owner(kind="applicationset", name=name, reverts=True, says=says)
    spec = part(application_set, "spec")
    if text(part(spec, "strategy").get("type")) == "RollingSync":
        says = f"ApplicationSet {name} deploys by itself in rolling order: it would sync the application again"
        return Owner(kind="applicationset", name=name, reverts=True, says=says)
    if not auto_sync_on(app):
        says = f"ApplicationSet {name} owns the spec; the application is not auto-synced, so a rollback changes nothing that it writes"
        return Owner(kind="applicationset", name=name, says=says)
    policy = text(part(spec, "syncPolicy").get("applicationsSync"))
    if policy in {"create-only", "create-delete"}:
        says = f"ApplicationSet {name} has policy {policy} and leaves the spec alone (unless its controller's --policy says otherwise)"
        return Owner(kind="applicationset", name=name, says=says)
    app_name = text(part(app, "metadata").get("name"))
    if any(_covers(rule, app_name) for rule in entries(spec.get("ignoreApplicationDifferences"))):
        return Owner(kind="applicationset", name=name, says=f"ApplicationSet {name} owns the spec and ignores differences of auto-sync")
    says = f"ApplicationSet {name} owns the spec and takes back a stopped auto-sync within a tenth of a second"
    return Owner(kind="applicationset", name=name, reverts=True, says=says)


def _covers(rule: Body, app_name: str) -> bool:
    if text(rule.get("name")) not in {"", app_name}:
        return False
    pointers = [tuple(pointer.strip("/").split("/")) for pointer in rule.get("jsonPointers") or () if isinstance(pointer, str) and pointer.strip("/")]
    paths = [tuple(re.sub(r"\?$", "", path.strip()).strip(".").split(".")) for path in rule.get("jqPathExpressions") or () if isinstance(path, str)]
    return any(path == ENABLED_POINTER[: len(path)] for path in (*pointers, *paths) if path != ("",))


def judge_parent(parent: ParentName, body: Body | None, declared: Body | None, app: Body, *, why_unread: str = "") -> Owner:
    """Whether a parent application undoes `enabled: false`, from its own sync policy and from how its Git declares the child."""
    name = f"{parent.namespace}/{parent.name}" if parent.namespace else parent.name
    if body is None or declared is None:
        says = f"application {name} owns the spec and could not be read ({why_unread}): taken as one that undoes changes"
        return Owner(kind="parent", name=name, reverts=auto_sync_on(app), says=says)
    if not auto_sync_on(app):
        says = f"application {name} owns the spec; this one is not auto-synced, so a rollback changes nothing that it writes"
        return Owner(kind="parent", name=name, says=says)
    parent_auto = auto_sync_on(body)
    heals = parent_auto and bool((automated_of(body) or {}).get("selfHeal"))
    git_says = (automated_of(declared) or {}).get("enabled")
    options = [*(part(body, "spec", "syncPolicy").get("syncOptions") or ()), *_own_options(declared)]
    if git_says is True and heals:
        return Owner(kind="parent", name=name, reverts=True, says=f"application {name} declares enabled: true in Git and heals itself: it puts it back at once")
    if "Replace=true" in options and parent_auto:
        return Owner(kind="parent", name=name, reverts=True, says=f"application {name} replaces this one at its next sync, and a stopped auto-sync with it")
    if git_says is True:
        when = "its next sync" if parent_auto else "its next sync by hand"
        return Owner(kind="parent", name=name, says=f"application {name} declares enabled: true in Git: {when} starts auto-sync again")
    return Owner(kind="parent", name=name, says=f"application {name} owns the spec; a stopped auto-sync stays, for its Git does not say enabled: true")


def _own_options(declared: Body) -> list[str]:
    raw = text(part(declared, "metadata", "annotations").get("argocd.argoproj.io/sync-options"))
    return [option.strip() for option in raw.split(",")]


def image_updater_of(app: Body) -> Owner | None:
    """An image updater that writes the spec; with auto-sync stopped nothing it writes is deployed."""
    if any(name.startswith(IMAGE_UPDATER) for name in part(app, "metadata", "annotations")):
        says = "an image updater writes this application's images; while auto-sync is stopped nothing that it writes is deployed"
        return Owner(kind="image updater", name="argocd-image-updater", says=says)
    return None
