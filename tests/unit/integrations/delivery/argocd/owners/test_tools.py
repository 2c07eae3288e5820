from typing import Any

import pytest

from integrations.delivery.argocd.owners import NOBODY, together, tools
from service.domain.keys import Owner
from service.domain.model import Way

MADE = {"manager": "argocd-server", "operation": "Update", "fieldsV1": {"f:spec": {"f:project": {}}}}
"""What there is of every application: whoever made it."""


def app(*managers: dict[str, Any], labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    about = {"name": "web", "namespace": "argocd", "labels": labels or {}, "annotations": annotations or {}, "managedFields": [MADE, *managers], **metadata}
    return {"metadata": about, "spec": {"source": {"repoURL": "a", "targetRevision": "main"}, "syncPolicy": {"automated": {}}}}


def manager(name: str, *held: str, operation: str = "Apply", **more: str) -> dict[str, Any]:
    """A managedFields entry that holds those fields of the spec, e.g. `source.targetRevision`."""
    spec: dict[str, Any] = {}
    for path in held:
        here = spec
        for step in path.split("."):
            here = here.setdefault(f"f:{step}", {})
    return {"manager": name, "operation": operation, "apiVersion": "argoproj.io/v1alpha1", "fieldsV1": {"f:spec": spec} if held else {"f:status": {}}, **more}


def only(found: dict[str, Any]) -> Owner:
    (owner,) = tools.all_of(found)
    return owner


def test_an_application_that_argo_cd_and_people_alone_wrote_has_no_tool() -> None:
    managers = [
        manager(name, "source.targetRevision", operation="Update")
        for name in ("argocd-server", "argocd-controller", "argocd", "kubectl-client-side-apply", "kubectl-edit", "kubectl.exe")
    ]
    assert list(tools.all_of(app(*managers, manager("kubectl", "syncPolicy.automated.enabled"), manager("strange", operation="Update")))) == []


# --- image updater ---


def test_an_image_updater_undoes_a_pin_and_no_rollback() -> None:
    found = only(app(annotations={"argocd-image-updater.argoproj.io/image-list": "web=registry.example/web"}))
    assert (found.kind, found.reverts, found.reverts_pin, found.later) == ("image updater", False, True, False)


def test_an_image_updater_that_commits_to_git_leaves_the_spec_alone() -> None:
    listed = {"argocd-image-updater.argoproj.io/image-list": "x", "argocd-image-updater.argoproj.io/write-back-method": "git:secret:argocd/creds"}
    assert not only(app(annotations=listed)).reverts_pin


def test_an_image_updater_of_the_resource_kind_shows_as_a_writer_of_fields() -> None:
    found = only(app(manager("argocd-image-updater", "source.kustomize.images", operation="Update")))
    assert (found.kind, found.reverts_pin) == ("image updater", True)


# --- Kargo ---


def test_kargo_undoes_nothing_by_itself_and_its_next_promotion_deploys_all_the_same() -> None:
    found = only(app(manager("kargo-controller", "source.targetRevision", operation="Update"), annotations={"kargo.akuity.io/authorized-stage": "shop:prod"}))
    assert (found.kind, found.name, found.reverts, found.later) == ("kargo", "shop:prod", False, True)
    assert "a promotion deploys although auto-sync is off" in found.says
    assert "shop:prod" in found.fix


# --- Flux, Helm ---

KUSTOMIZATION = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}


@pytest.mark.parametrize(
    ("held", "reverts", "reverts_pin", "words"),
    [
        (("source.targetRevision", "syncPolicy.automated.prune"), False, True, "takes a pinned revision back at its next reconciliation"),
        (("source.targetRevision", "syncPolicy.automated.enabled"), True, True, "takes a stopped auto-sync (it declares enabled) and a pinned revision back"),
        (("project", "syncPolicy.automated.prune"), False, False, "without a field that a rollback writes"),
    ],
)
def test_flux_puts_back_the_fields_that_its_git_declares(held: tuple[str, ...], reverts: bool, reverts_pin: bool, words: str) -> None:
    found = only(app(manager("kustomize-controller", *held), labels=KUSTOMIZATION))
    assert (found.kind, found.name, found.reverts, found.reverts_pin) == ("Flux", "flux-system/apps", reverts, reverts_pin)
    assert words in found.says
    assert "flux suspend kustomization apps" in found.fix


def test_flux_whose_fields_do_not_show_is_taken_as_one_that_reverts() -> None:
    found = only(app(labels=KUSTOMIZATION))
    assert (found.reverts, found.reverts_pin) == (True, True)


@pytest.mark.parametrize("annotation", [{"reconcile": "disabled"}, {"ssa": "ignore"}, {"ssa": "IfNotPresent"}])
def test_flux_that_is_told_to_leave_it_alone_does(annotation: dict[str, str]) -> None:
    told = {f"kustomize.toolkit.fluxcd.io/{key}": value for key, value in annotation.items()}
    found = only(app(manager("kustomize-controller", "syncPolicy.automated.enabled"), labels=KUSTOMIZATION, annotations=told))
    assert (found.reverts, found.reverts_pin) == (False, False)


def test_flux_without_its_labels_shows_by_its_fields() -> None:
    found = only(app(manager("kustomize-controller", "syncPolicy.automated.enabled")))
    assert (found.kind, found.reverts) == ("Flux", True)


def test_a_release_of_flux_may_write_it_again_with_its_next_upgrade() -> None:
    labels = {"helm.toolkit.fluxcd.io/name": "apps", "helm.toolkit.fluxcd.io/namespace": "flux-system", "app.kubernetes.io/managed-by": "Helm"}
    found = only(app(manager("helm-controller", "source.targetRevision", operation="Update"), labels=labels))
    assert (found.kind, found.name, found.later, found.reverts) == ("Flux", "flux-system/apps", True, False)


def test_helm_writes_only_when_somebody_upgrades() -> None:
    made = app(
        manager("helm", "source.targetRevision", operation="Update"),
        labels={"app.kubernetes.io/managed-by": "Helm"},
        annotations={"meta.helm.sh/release-name": "apps"},
    )
    found = only(made)
    assert (found.kind, found.name, found.reverts, found.reverts_pin, found.later) == ("Helm", "apps", False, False, False)


# --- anybody else ---


def test_an_operator_that_made_the_application_is_taken_as_one_that_reverts() -> None:
    owner = {"apiVersion": "example.org/v1", "kind": "Tenant", "name": "shop", "controller": True}
    found = only(app(ownerReferences=[owner]))
    assert (found.kind, found.name, found.reverts, found.reverts_pin) == ("Tenant", "shop", True, True)
    assert list(tools.all_of(app(ownerReferences=[{**owner, "controller": False}]))) == []


def test_whoever_applies_on_the_servers_side_puts_back_what_it_holds() -> None:
    found = only(app(manager("Terraform", "syncPolicy.automated.enabled")))
    assert (found.kind, found.reverts, found.reverts_pin) == ("Terraform", True, False)
    assert found.says == "Terraform applies this application and takes a stopped auto-sync (it declares enabled) back whenever it applies again"


def test_a_field_that_somebody_took_over_from_its_applier_is_taken_for_declared() -> None:
    """Whoever switches auto-sync off and on again by hand leaves Flux without the field until it reconciles, and then it is put back."""
    made = app(manager("kustomize-controller", "source.repoURL", "syncPolicy.automated.prune"), labels=KUSTOMIZATION)
    pinned = only(made)
    made["spec"]["syncPolicy"]["automated"] = {"enabled": True}
    both = only(made)
    made["spec"]["syncPolicy"]["automated"] = {"enabled": False}
    stopped = only(made)
    del made["spec"]["source"]["targetRevision"]
    nothing = only(made)

    assert (pinned.reverts, pinned.reverts_pin, both.reverts, both.reverts_pin) == (False, True, True, True)
    assert both.says.endswith("whether its Git declares enabled and a revision does not show, for somebody else wrote it since: taken as if it did")
    assert (stopped.reverts, nothing.reverts_pin) == (False, False)  # what we write ourselves is no sign, and what nobody wrote is not declared


@pytest.mark.parametrize("name", ["argocd-agent-principal", "argocd-operator", "kubectlish"])
def test_a_name_that_only_begins_like_a_persons_tool_is_an_unknown_writer(name: str) -> None:
    assert only(app(manager(name, "source.targetRevision", operation="Update"))).later


def test_an_unknown_writer_may_do_anything_later() -> None:
    found = only(app(manager("crossplane-provider", "source.targetRevision", operation="Update", time="2026-05-04T13:00:00Z")))
    assert (found.kind, found.reverts, found.later) == ("crossplane-provider", False, True)
    assert "last at 2026-05-04T13:00:00Z" in found.says


def test_writers_of_the_status_alone_are_no_owners() -> None:
    assert list(tools.all_of(app(manager("strange", "source.targetRevision", subresource="status")))) == []


@pytest.mark.parametrize("entries", [[], [manager("argocd-application-controller", operation="Update")]])
def test_promise_1_a_spec_that_nobody_is_recorded_for_may_have_an_owner_that_nothing_shows(entries: list[dict[str, Any]]) -> None:
    """Anybody may empty the record (`managedFields: [{}]`), and a proxy may leave it out."""
    found = only({**app(), "metadata": {**app()["metadata"], "managedFields": entries}})
    assert (found.kind, found.reverts, found.later) == ("", False, False)
    assert "record of who wrote the spec is missing" in found.says


def test_somebody_elses_kind_of_the_name_application_set_is_a_controller_that_nobody_knows() -> None:
    owner = {"apiVersion": "example.org/v1", "kind": "ApplicationSet", "name": "shop", "controller": True}
    argo = {**owner, "apiVersion": "argoproj.io/v1alpha1"}
    assert (only(app(ownerReferences=[owner])).reverts, list(tools.all_of(app(ownerReferences=[argo])))) == (True, [])


# --- several ---


def test_several_owners_are_one_with_the_most_harmful_first() -> None:
    mild, later, pin, worst = (
        Owner(kind="Helm"),
        Owner(kind="kargo", later=True),
        Owner(kind="image updater", reverts_pin=True),
        Owner(kind="applicationset", reverts=True, reverts_pin=True),
    )
    found = together([mild, later, pin, worst])
    assert [one.kind for one in found.all] == ["applicationset", "kargo", "image updater", "Helm"]
    assert found.undoing(Way.ROLLBACK) is found
    assert found.undoing(Way.GIT_REVERT) is None
    beside = together([mild, pin]).undoing(Way.PIN)
    assert beside is not None
    assert beside.kind == "image updater"
    assert together([mild, pin]).undoing(Way.ROLLBACK) is None
    assert together([]) is NOBODY
