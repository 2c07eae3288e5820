"""An ApplicationSet that generated the application: what it takes back (recording 12, contract 4.7). Pure."""

from collections.abc import Sequence

from integrations.delivery.argocd.owners.fields import ENABLED, all_covered, revisions_of
from integrations.delivery.argocd.reading import Body, auto_sync_on, entries, part, text
from service.domain.keys import Owner

KIND = "applicationset"
LEAVES_ALONE = frozenset({"create-only", "create-delete"})
ROLLING_DISABLES_SINCE = (3, 3)
"""Before it a RollingSync removes `automated` and syncs whenever the application is OutOfSync; from it on at each new revision."""


def name_of(app: Body) -> str:
    """Name of the ApplicationSet that owns the application, or ""."""
    references = entries(part(app, "metadata").get("ownerReferences"))
    return next((text(r.get("name")) for r in references if is_application_set(r)), "")


def is_application_set(reference: Body) -> bool:
    """Whether an owner reference is to one of Argo CD's, and not to somebody else's kind of that name."""
    return reference.get("kind") == "ApplicationSet" and text(reference.get("apiVersion")).startswith("argoproj.io/")


def judge(name: str, body: Body | None, app: Body, *, why_unread: str = "", version: tuple[int, int] = (3, 2)) -> Owner:
    """Whether the ApplicationSet undoes a stopped auto-sync, or a pinned revision. Unread counts as yes, for both."""
    if body is None:
        says = f"ApplicationSet {name} owns the spec and could not be read ({why_unread}): taken as one that undoes changes"
        return Owner(kind=KIND, name=name, reverts=True, reverts_pin=True, says=says, fix="Let Backout's account read it: applicationsets, get.")
    spec = part(body, "spec")
    if text(part(spec, "strategy").get("type")) == "RollingSync":
        when = "each new revision" if version >= ROLLING_DISABLES_SINCE else "once it is out of sync"
        says = f"ApplicationSet {name} deploys by itself in rolling order: it would sync the application again at {when}".replace("at once it", "once it")
        fix = f"Revert the change in Git, or take strategy RollingSync out of ApplicationSet {name} for as long as the bad release is held away."
        return Owner(kind=KIND, name=name, reverts=True, reverts_pin=True, says=says, fix=fix)
    policy = text(part(spec, "syncPolicy").get("applicationsSync"))
    if policy in LEAVES_ALONE:
        says = f"ApplicationSet {name} has policy {policy} and leaves the spec alone (unless its controller's --policy says otherwise)"
        return Owner(kind=KIND, name=name, says=says)
    rules = _rules(spec, text(part(app, "metadata").get("name")))
    keeps_pin = all_covered(revisions_of(app), rules)
    if not auto_sync_on(app):
        says = f"ApplicationSet {name} owns the spec; the application is not auto-synced, so a rollback changes nothing that it writes"
        return Owner(kind=KIND, name=name, reverts_pin=not keeps_pin, says=says)
    if all_covered((ENABLED,), rules):
        return Owner(kind=KIND, name=name, reverts_pin=not keeps_pin, says=f"ApplicationSet {name} owns the spec and ignores differences of auto-sync")
    says = f"ApplicationSet {name} owns the spec and takes back a stopped auto-sync within a tenth of a second"
    if keeps_pin:
        says += "; it ignores differences of the revision, so a pin stays"
    fix = f"Revert the change in Git, or add ignoreApplicationDifferences for /spec/syncPolicy/automated/enabled to ApplicationSet {name}."
    return Owner(kind=KIND, name=name, reverts=True, reverts_pin=not keeps_pin, says=says, fix=fix)


def _rules(spec: Body, app_name: str) -> Sequence[Body]:
    return [rule for rule in entries(spec.get("ignoreApplicationDifferences")) if text(rule.get("name")) in {"", app_name}]
