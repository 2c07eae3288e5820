"""Tools beside Argo CD that write an Application: Image Updater, Kargo, Flux, Helm, an operator of one's own. Pure.

They are known by what they leave on the object: annotations and labels that each of them documents, an owner reference, and the fields that Kubernetes
records as theirs (`metadata.managedFields`). Outside knowledge: argocd-image-updater's annotations and `write-back-method`; Kargo's
`kargo.akuity.io/authorized-stage`, without which it may not touch an Application; Flux' `kustomize.toolkit.fluxcd.io/…` and `helm.toolkit.fluxcd.io/…`
labels, its server-side apply as `kustomize-controller`, and its `reconcile` and `ssa` annotations; Helm's `app.kubernetes.io/managed-by` label.
"""

from collections.abc import Iterator

from integrations.delivery.argocd.owners.application_set import is_application_set
from integrations.delivery.argocd.owners.fields import ENABLED, found_at, manager_name, owned, owns_spec, revisions_of
from integrations.delivery.argocd.reading import Body, automated_of, entries, part, text
from service.domain.keys import Owner

IMAGE_UPDATER = "argocd-image-updater.argoproj.io/"
UPDATER = "argocd-image-updater"
KARGO_STAGE = "kargo.akuity.io/authorized-stage"
KARGO = "kargo"
FLUX, FLUX_HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
FLUX_LEAVES_ALONE = (("reconcile", "disabled"), ("ssa", "Ignore"), ("ssa", "IfNotPresent"))
HELM_LABEL, HELM_RELEASE = "app.kubernetes.io/managed-by", "meta.helm.sh/release-name"
KUSTOMIZE_MANAGER = "kustomize-controller"

ARGO_CD = ("argocd-server", "argocd-application-controller", "argocd-applicationset-controller", "argocd-controller", "argocd-notifications-controller")
"""Field managers of Argo CD itself: what a parent or an ApplicationSet does is judged by them, and our own writes go through its server."""
PEOPLE = frozenset({"kubectl", "argocd", "k9s", "Lens", "headlamp", "before-first-apply", "Mozilla", "node-fetch"})
"""Field managers that write when somebody (or a pipeline) calls them, and not by themselves; kubectl names its verb too (`kubectl-edit`, `kubectl.exe`)."""


def all_of(app: Body) -> Iterator[Owner]:
    """Every tool that shows on the application."""
    found = [_operator(app), _flux(app), _flux_helm(app), _helm(app), _kargo(app), _image_updater(app)]
    told = [owner for owner in found if owner is not None]
    yield from told
    yield from _managers(app, frozenset(owner.kind for owner in told))
    if not any(owns_spec(part(entry, "fieldsV1")) for entry in entries(part(app, "metadata").get("managedFields"))):
        yield Owner(kind="", says="Kubernetes' record of who wrote the spec is missing, so somebody may write it whom nothing shows")


def _operator(app: Body) -> Owner | None:
    """Another controller that owns the object by reference; what it does about a change nobody here can know."""
    references = entries(part(app, "metadata").get("ownerReferences"))
    owner = next((r for r in references if r.get("controller") is True and not is_application_set(r)), None)
    if owner is None:
        return None
    kind, name = text(owner.get("kind")) or "object", text(owner.get("name"))
    says = f"{kind} {name} made this application and controls it; what it does about a change is not known, so it is taken as one that undoes it"
    return Owner(kind=kind, name=name, reverts=True, reverts_pin=True, says=says, fix=f"Go back where {kind} {name} is declared.")


def _flux(app: Body) -> Owner | None:
    labels, annotations = (part(app, "metadata", where) for where in ("labels", "annotations"))
    name, entry = text(labels.get(f"{FLUX}/name")), _manager(app, KUSTOMIZE_MANAGER)
    if not name and entry is None:
        return None
    shown = "/".join(x for x in (text(labels.get(f"{FLUX}/namespace")), name) if x)
    if any(text(annotations.get(f"{FLUX}/{key}")).casefold() == value.casefold() for key, value in FLUX_LEAVES_ALONE):
        return Owner(kind="Flux", name=shown, says=f"Flux Kustomization {shown} made this application and is told to leave it alone")
    fix = f"Suspend it (flux suspend kustomization {shown.rpartition('/')[2] or 'NAME'}), or annotate the application with {FLUX}/reconcile: disabled."
    if entry is None:
        says = f"Flux Kustomization {shown} applies this application; which fields its Git declares does not show, so it is taken as one that undoes changes"
        return Owner(kind="Flux", name=shown, reverts=True, reverts_pin=True, says=says, fix=fix)
    return _applies(app, entry, kind="Flux", name=shown, who=f"Flux Kustomization {shown}".rstrip(), when="at its next reconciliation", fix=fix)


def _flux_helm(app: Body) -> Owner | None:
    labels = part(app, "metadata", "labels")
    name = text(labels.get(f"{FLUX_HELM}/name"))
    if not name:
        return None
    shown = "/".join(x for x in (text(labels.get(f"{FLUX_HELM}/namespace")), name) if x)
    says = f"Flux HelmRelease {shown} made this application: its next upgrade, or its drift detection where that is on, may write it again"
    return Owner(kind="Flux", name=shown, later=True, says=says, fix=f"Suspend it: flux suspend helmrelease {name}.")


def _helm(app: Body) -> Owner | None:
    metadata = part(app, "metadata")
    release = text(part(metadata, "annotations").get(HELM_RELEASE))
    if part(metadata, "labels").get(HELM_LABEL) != "Helm" or part(metadata, "labels").get(f"{FLUX_HELM}/name"):
        return None
    return Owner(
        kind="Helm", name=release, says=f"Helm release {release} made this application and writes it only when somebody upgrades it".replace("  ", " ")
    )


def _kargo(app: Body) -> Owner | None:
    stage = text(part(app, "metadata", "annotations").get(KARGO_STAGE))
    if not stage:
        return None
    says = f"Kargo may promote stage {stage} into this application, and a promotion deploys although auto-sync is off"
    fix = f"Switch auto-promotion of stage {stage} off, and abort a promotion that runs, for as long as the bad release is held away."
    return Owner(kind=KARGO, name=stage, later=True, says=says, fix=fix)


def _image_updater(app: Body) -> Owner | None:
    """With auto-sync stopped nothing that it writes to the spec is deployed; under a pin it would be. What it writes to Git does not touch the spec."""
    annotations = part(app, "metadata", "annotations")
    named = any(name.startswith(IMAGE_UPDATER) for name in annotations)
    if not named and _manager(app, UPDATER) is None:
        return None
    if text(annotations.get(f"{IMAGE_UPDATER}write-back-method")).startswith("git"):
        says = "an image updater commits this application's images to Git; while auto-sync is stopped nothing that it writes is deployed"
        return Owner(kind="image updater", name=UPDATER, says=says)
    says = "an image updater writes this application's images; while auto-sync is stopped nothing that it writes is deployed"
    return Owner(kind="image updater", name=UPDATER, reverts_pin=True, says=says, fix="Take the application out of the image updater's list.")


def _managers(app: Body, told: frozenset[str]) -> Iterator[Owner]:
    """Whoever else Kubernetes records as a writer of the spec. Who applies on the server's side puts back exactly the fields that it holds."""
    known = {KUSTOMIZE_MANAGER, UPDATER, *ARGO_CD}
    for entry in entries(part(app, "metadata").get("managedFields")):
        name = manager_name(entry)
        if name in known or entry.get("subresource") or not owns_spec(part(entry, "fieldsV1")) or _by_people(name):
            continue
        if name.startswith(KARGO) and KARGO in told:
            continue
        if name in {"helm", "helm-controller"} and {"Helm", "Flux"} & told:
            continue
        fix = f"Pause {name} for this application for as long as the bad release is held away."
        if entry.get("operation") == "Apply":
            yield _applies(app, entry, kind=name, name="", who=name, when="whenever it applies again", fix=fix)
        else:
            when = f", last at {text(entry.get('time'))}" if entry.get("time") else ""
            yield Owner(kind=name, later=True, says=f"{name} has written the spec{when}; what it does about a change is not known", fix=fix)


def _by_people(name: str) -> bool:
    """By whole words: `argocd-agent` and its like write by themselves, and are no `argocd`."""
    return name in PEOPLE or name.startswith(("kubectl-", "kubectl."))


def _applies(app: Body, entry: Body, *, kind: str, name: str, who: str, when: str, fix: str) -> Owner:
    """What a server-side apply would put back: the fields that it holds, and those that it may have held until somebody else wrote them.

    Who writes a field takes it over from its applier, who takes it back when it applies again (tests/contract/argocd/test_writers.py). So a field
    that stands in the spec and is not held may be declared all the same. Only `enabled: false` is not doubted: we write that ourselves.
    """
    held = part(entry, "fieldsV1")
    stop = owned(held, ENABLED)
    revisions = [field for field in revisions_of(app) if not owned(held, field)]
    pin = len(revisions) < len(revisions_of(app))
    stop_hidden = not stop and (automated_of(app) or {}).get("enabled") is True
    pin_hidden = not pin and any(owned(held, field[:-1]) and text(found_at(app, field)) for field in revisions)
    back = " and ".join(x for x in ("a stopped auto-sync (it declares enabled)" if stop else "", "a pinned revision" if pin else "") if x)
    hidden = " and ".join(x for x in ("enabled" if stop_hidden else "", "a revision" if pin_hidden else "") if x)
    says = f"{who} applies this application" + (f" and takes {back} back {when}" if back else "" if hidden else ", without a field that a rollback writes")
    says += f"; whether its Git declares {hidden} does not show, for somebody else wrote it since: taken as if it did" if hidden else ""
    return Owner(kind=kind, name=name, reverts=stop or stop_hidden, reverts_pin=pin or pin_hidden, says=says, fix=fix)


def _manager(app: Body, name: str) -> Body | None:
    managers = entries(part(app, "metadata").get("managedFields"))
    return next((one for one in managers if one.get("manager") == name and owns_spec(part(one, "fieldsV1"))), None)
