"""A parent application (app of apps) whose Git declares the application: what it takes back (recording 10, contract 4.7). Pure.

A parent leaves an added `enabled: false` standing, through self-heal and real syncs, unless its Git says `enabled: true` or it replaces objects. A
revision is always declared, so a pin is taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from integrations.delivery.argocd.owners.fields import ENABLED, Field, all_covered, revisions_of
from integrations.delivery.argocd.reading import Body, auto_sync_on, automated_of, entries, part, text
from service.domain.keys import Owner

KIND = "parent"
TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE_LABEL = "app.kubernetes.io/instance"
RESPECT = "RespectIgnoreDifferences=true"
REPLACE = "Replace=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentName:
    """A parent application as a child's tracking names it; `sure` when only Argo CD writes that mark."""

    name: str
    namespace: str = ""
    sure: bool = True


def name_of(app: Body, *, tracking_by_label: bool) -> ParentName | None:
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


def judge(parent: ParentName, body: Body | None, declared: Body | None, app: Body, *, why_unread: str = "") -> Owner:
    """Whether a parent application undoes a stopped auto-sync or a pin, from its own sync policy and from how its Git declares the child."""
    name = f"{parent.namespace}/{parent.name}" if parent.namespace else parent.name
    if body is None or declared is None:
        says = f"application {name} owns the spec and could not be read ({why_unread}): taken as one that undoes changes"
        fix = f"Let Backout's account read application {name}."
        return Owner(kind=KIND, name=name, reverts=auto_sync_on(app), reverts_pin=True, says=says, fix=fix)
    options = [*(part(body, "spec", "syncPolicy").get("syncOptions") or ()), *_own_options(declared)]
    rules = _ignored(body, app)
    parent_auto = auto_sync_on(body)
    keeps_pin = REPLACE not in options and (not parent_auto or (RESPECT in options and all_covered(revisions_of(app), rules)))
    if not auto_sync_on(app):
        says = f"application {name} owns the spec; this one is not auto-synced, so a rollback changes nothing that it writes"
        return Owner(kind=KIND, name=name, reverts_pin=not keeps_pin, says=says)
    heals = parent_auto and bool((automated_of(body) or {}).get("selfHeal"))
    ignores = all_covered((ENABLED,), rules)
    git_says = (automated_of(declared) or {}).get("enabled")
    fix = f"Take enabled: true out of the application's manifest in the Git of {name}: absent means on, and then a stopped auto-sync stays."
    if git_says is True and heals and not ignores:
        says = f"application {name} declares enabled: true in Git and heals itself: it puts it back at once"
        return Owner(kind=KIND, name=name, reverts=True, reverts_pin=not keeps_pin, says=_with_pin(says, keeps=keeps_pin), fix=fix)
    if REPLACE in options and parent_auto:
        says = f"application {name} replaces this one at its next sync, and a stopped auto-sync with it"
        return Owner(kind=KIND, name=name, reverts=True, reverts_pin=True, says=says, fix=f"Take Replace=true away from application {name}.")
    if git_says is True and not (ignores and RESPECT in options):
        when = "its next sync" if parent_auto else "its next sync by hand"
        says = f"application {name} declares enabled: true in Git: {when} starts auto-sync again"
        return Owner(kind=KIND, name=name, reverts_pin=not keeps_pin, later=True, says=says, fix=fix)
    why = "for it ignores differences of auto-sync" if git_says is True else "for its Git does not say enabled: true"
    return Owner(kind=KIND, name=name, reverts_pin=not keeps_pin, says=f"application {name} owns the spec; a stopped auto-sync stays, {why}")


def _with_pin(says: str, *, keeps: bool) -> str:
    return f"{says}; it ignores differences of the revision, so a pin stays" if keeps else says


def _own_options(declared: Body) -> list[str]:
    raw = text(part(declared, "metadata", "annotations").get("argocd.argoproj.io/sync-options"))
    return [option.strip() for option in raw.split(",")]


def _ignored(body: Body, app: Body) -> Sequence[Body]:
    """The parent's `ignoreDifferences` that are about this child; a field covered by them is no drift, so self-heal leaves it alone."""
    metadata = part(app, "metadata")

    def fits(rule: Body, field: str, own: str) -> bool:
        return text(rule.get(field)) in {"", "*", own}

    rules = entries(part(body, "spec").get("ignoreDifferences"))
    return [
        rule
        for rule in rules
        if text(rule.get("group")) in {"*", "argoproj.io"}
        and text(rule.get("kind")) in {"*", "Application"}
        and fits(rule, "name", text(metadata.get("name")))
        and fits(rule, "namespace", text(metadata.get("namespace")))
    ]


__all__ = ["INSTANCE_LABEL", "KIND", "TRACKING", "Field", "ParentName", "judge", "name_of"]
