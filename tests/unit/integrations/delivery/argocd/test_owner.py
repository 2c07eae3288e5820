from typing import Any

import pytest

from integrations.delivery.argocd import owner
from integrations.delivery.argocd.owner import ParentName
from tests.unit.integrations.delivery.argocd.recordings import body


def app(automated: Any = None, **metadata: Any) -> dict[str, Any]:
    policy = {"automated": automated} if automated is not None else {}
    return {"metadata": {"name": "web", "namespace": "argocd", **metadata}, "spec": {"syncPolicy": policy}}


AUTO = app({"prune": True})
SET = ParentName(name="root")


def application_set(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "set"}, "spec": spec}


def test_the_application_set_is_found_by_its_owner_reference() -> None:
    owned = app(ownerReferences=[{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "set", "controller": True}])
    assert owner.application_set_of(owned) == "set"
    assert owner.application_set_of(app(ownerReferences=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}])) == ""
    assert owner.application_set_of(body("32-audit", 7)) == ""


def test_an_application_set_takes_a_stopped_auto_sync_back() -> None:
    found = owner.judge_application_set("set", application_set(), AUTO)
    assert (found.kind, found.name, found.reverts) == ("applicationset", "set", True)


@pytest.mark.parametrize(
    "rule",
    [
        {"jsonPointers": ["/spec/syncPolicy"]},
        {"jsonPointers": ["/spec/syncPolicy/automated"]},
        {"jsonPointers": ["/metadata/labels", "/spec/syncPolicy/automated/enabled"]},
        {"jqPathExpressions": [".spec.syncPolicy.automated.enabled"]},
        {"jqPathExpressions": [".spec.syncPolicy.automated.enabled?"]},
        {"name": "web", "jsonPointers": ["/spec/syncPolicy"]},
    ],
)
def test_an_application_set_that_ignores_auto_sync_leaves_it_alone(rule: dict[str, Any]) -> None:
    assert not owner.judge_application_set("set", application_set(ignoreApplicationDifferences=[rule]), AUTO).reverts


@pytest.mark.parametrize(
    "rule",
    [
        {"jsonPointers": ["/spec/syncPolicy/automated/prune"]},
        {"jsonPointers": ["/spec/sync"]},
        {"jsonPointers": ["/spec/syncPolicy/automated/enabled/x"]},
        {"jsonPointers": ["/", ""]},
        {"jqPathExpressions": [".spec.source", "."]},
        {"jqPathExpressions": ['.spec.syncPolicy | select(.automated.enabled == "x")']},
        {"name": "other", "jsonPointers": ["/spec/syncPolicy"]},
        {},
    ],
)
def test_rules_about_something_else_do_not_help(rule: dict[str, Any]) -> None:
    assert owner.judge_application_set("set", application_set(ignoreApplicationDifferences=[rule]), AUTO).reverts


@pytest.mark.parametrize(("policy", "reverts"), [("create-only", False), ("create-delete", False), ("create-update", True), ("sync", True), ("", True)])
def test_policies_of_an_application_set(policy: str, reverts: bool) -> None:
    assert owner.judge_application_set("set", application_set(syncPolicy={"applicationsSync": policy}), AUTO).reverts is reverts


def test_without_auto_sync_an_application_set_has_nothing_to_take_back_unless_it_rolls_by_itself() -> None:
    assert not owner.judge_application_set("set", application_set(), app()).reverts
    assert owner.judge_application_set("set", application_set(strategy={"type": "RollingSync"}), app()).reverts


def test_an_application_set_that_cannot_be_read_counts_as_one_that_reverts() -> None:
    found = owner.judge_application_set("set", None, AUTO, why_unread="permission denied")
    assert found.reverts
    assert "permission denied" in found.says


def test_the_parent_is_named_by_a_tracking_id_about_this_very_application() -> None:
    mine = app(annotations={owner.TRACKING: "root:argoproj.io/Application:argocd/web"})
    assert owner.parent_of(mine, tracking_by_label=False) == ParentName(name="root")
    elsewhere = app(annotations={owner.TRACKING: "team-a_root:argoproj.io/Application:argocd/web"})
    assert owner.parent_of(elsewhere, tracking_by_label=False) == ParentName(name="root", namespace="team-a")


@pytest.mark.parametrize(
    "tracking",
    ["root:argoproj.io/Application:argocd/other", "root:/ConfigMap:argocd/web", "root:argoproj.io/ApplicationSet:argocd/web", "nonsense", ""],
)
def test_a_copied_or_foreign_tracking_id_names_no_parent(tracking: str) -> None:
    assert owner.parent_of(app(annotations={owner.TRACKING: tracking}), tracking_by_label=False) is None


def test_the_label_counts_only_where_argo_cd_tracks_by_it() -> None:
    labelled = app(labels={owner.INSTANCE_LABEL: "root"})
    assert owner.parent_of(labelled, tracking_by_label=False) is None
    assert owner.parent_of(labelled, tracking_by_label=True) == ParentName(name="root", sure=False)
    assert owner.parent_of(app(labels={owner.INSTANCE_LABEL: "web"}), tracking_by_label=True) is None


HEALING = app({"selfHeal": True})
NOT_HEALING = app({"prune": True})
BY_HAND = app()


@pytest.mark.parametrize(
    ("parent", "declared", "reverts", "words"),
    [
        (HEALING, app({"prune": True}), False, "a stopped auto-sync stays"),
        (HEALING, app({}), False, "a stopped auto-sync stays"),
        (HEALING, app({"enabled": True}), True, "puts it back at once"),
        (NOT_HEALING, app({"enabled": True}), False, "its next sync starts auto-sync again"),
        (BY_HAND, app({"enabled": True}), False, "its next sync by hand"),
        (HEALING, app({}, annotations={"argocd.argoproj.io/sync-options": "Prune=false, Replace=true"}), True, "replaces this one"),
        (BY_HAND, app({}, annotations={"argocd.argoproj.io/sync-options": "Replace=true"}), False, "stays"),
    ],
)
def test_a_parent_undoes_only_what_its_git_says(parent: dict[str, Any], declared: dict[str, Any], reverts: bool, words: str) -> None:
    found = owner.judge_parent(SET, parent, declared, AUTO)
    assert (found.kind, found.name, found.reverts) == ("parent", "root", reverts)
    assert words in found.says


def test_replace_among_the_parents_own_options_wipes_it_too() -> None:
    parent = {"spec": {"syncPolicy": {"automated": {}, "syncOptions": ["Replace=true"]}}}
    assert owner.judge_parent(SET, parent, app({}), AUTO).reverts


def test_a_parent_that_cannot_be_read_counts_as_one_that_reverts() -> None:
    found = owner.judge_parent(SET, None, None, AUTO, why_unread="permission denied")
    assert found.reverts
    assert "permission denied" in found.says
    assert not owner.judge_parent(SET, None, None, app(), why_unread="permission denied").reverts


def test_an_application_that_is_not_auto_synced_has_nothing_to_take_back() -> None:
    assert not owner.judge_parent(SET, HEALING, app({"enabled": True}), app()).reverts


def test_an_image_updater_is_named_and_undoes_nothing() -> None:
    found = owner.image_updater_of(app(annotations={"argocd-image-updater.argoproj.io/image-list": "web=registry.example/web"}))
    assert found is not None
    assert (found.kind, found.reverts) == ("image updater", False)
    assert owner.image_updater_of(app()) is None
