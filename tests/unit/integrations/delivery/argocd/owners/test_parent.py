from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from integrations.delivery.argocd.owners import parent
from integrations.delivery.argocd.owners.parent import ParentName


def app(automated: Any = None, **metadata: Any) -> dict[str, Any]:
    policy = {"automated": automated} if automated is not None else {}
    return {"metadata": {"name": "web", "namespace": "argocd", **metadata}, "spec": {"syncPolicy": policy, "source": {"repoURL": "a"}}}


AUTO = app({"prune": True})
ROOT = ParentName(name="root")


def test_the_parent_is_named_by_a_tracking_id_about_this_very_application() -> None:
    mine = app(annotations={parent.TRACKING: "root:argoproj.io/Application:argocd/web"})
    assert parent.name_of(mine, tracking_by_label=False) == ParentName(name="root")
    elsewhere = app(annotations={parent.TRACKING: "team-a_root:argoproj.io/Application:argocd/web"})
    assert parent.name_of(elsewhere, tracking_by_label=False) == ParentName(name="root", namespace="team-a")


@pytest.mark.parametrize(
    "tracking",
    ["root:argoproj.io/Application:argocd/other", "root:/ConfigMap:argocd/web", "root:argoproj.io/ApplicationSet:argocd/web", "nonsense", ""],
)
def test_a_copied_or_foreign_tracking_id_names_no_parent(tracking: str) -> None:
    assert parent.name_of(app(annotations={parent.TRACKING: tracking}), tracking_by_label=False) is None


def test_the_label_counts_only_where_argo_cd_tracks_by_it() -> None:
    labelled = app(labels={parent.INSTANCE_LABEL: "root"})
    assert parent.name_of(labelled, tracking_by_label=False) is None
    assert parent.name_of(labelled, tracking_by_label=True) == ParentName(name="root", sure=False)
    assert parent.name_of(app(labels={parent.INSTANCE_LABEL: "web"}), tracking_by_label=True) is None


HEALING = app({"selfHeal": True})
NOT_HEALING = app({"prune": True})
BY_HAND = app()


@pytest.mark.parametrize(
    ("root", "declared", "reverts", "later", "words"),
    [
        (HEALING, app({"prune": True}), False, False, "a stopped auto-sync stays"),
        (HEALING, app({}), False, False, "a stopped auto-sync stays"),
        (HEALING, app({"enabled": True}), True, False, "puts it back at once"),
        (NOT_HEALING, app({"enabled": True}), False, True, "its next sync starts auto-sync again"),
        (BY_HAND, app({"enabled": True}), False, True, "its next sync by hand"),
        (HEALING, app({}, annotations={"argocd.argoproj.io/sync-options": "Prune=false, Replace=true"}), True, False, "replaces this one"),
        (BY_HAND, app({}, annotations={"argocd.argoproj.io/sync-options": "Replace=true"}), False, False, "stays"),
    ],
)
def test_a_parent_undoes_only_what_its_git_says(root: dict[str, Any], declared: dict[str, Any], reverts: bool, later: bool, words: str) -> None:
    found = parent.judge(ROOT, root, declared, AUTO)
    assert (found.kind, found.name, found.reverts, found.later) == ("parent", "root", reverts, later)
    assert words in found.says


def test_replace_among_the_parents_own_options_wipes_it_too() -> None:
    root = {"spec": {"syncPolicy": {"automated": {}, "syncOptions": ["Replace=true"]}}}
    found = parent.judge(ROOT, root, app({}), AUTO)
    assert (found.reverts, found.reverts_pin) == (True, True)


def test_a_parent_that_cannot_be_read_counts_as_one_that_reverts() -> None:
    found = parent.judge(ROOT, None, None, AUTO, why_unread="permission denied")
    assert found.reverts
    assert "permission denied" in found.says
    assert not parent.judge(ROOT, None, None, app(), why_unread="permission denied").reverts


def test_an_application_that_is_not_auto_synced_has_nothing_to_take_back() -> None:
    assert not parent.judge(ROOT, HEALING, app({"enabled": True}), app()).reverts


def ignoring(*pointers: str, respect: bool, about: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    rule = {"group": "argoproj.io", "kind": "Application", "jsonPointers": list(pointers), **about}
    options = {"syncOptions": ["RespectIgnoreDifferences=true"]} if respect else {}
    return {"spec": {"syncPolicy": {"automated": {"selfHeal": True}, **options}, "ignoreDifferences": [rule]}}


AUTOMATED, REVISION = "/spec/syncPolicy/automated", "/spec/source/targetRevision"


def test_a_parent_that_ignores_auto_sync_and_respects_that_in_its_syncs_leaves_it_stopped() -> None:
    found = parent.judge(ROOT, ignoring(AUTOMATED, respect=True), app({"enabled": True}), AUTO)
    assert (found.reverts, found.later) == (False, False)
    assert found.says.endswith("a stopped auto-sync stays, for it ignores differences of auto-sync")


def test_a_parent_that_only_ignores_it_does_not_heal_it_and_overwrites_it_with_its_next_sync() -> None:
    found = parent.judge(ROOT, ignoring(AUTOMATED, respect=False), app({"enabled": True}), AUTO)
    assert (found.reverts, found.later) == (False, True)
    assert found.says.endswith("its next sync starts auto-sync again")


@pytest.mark.parametrize("about", [{"kind": "ConfigMap"}, {"group": "apps"}, {"name": "other"}, {"namespace": "elsewhere"}])
def test_what_a_parent_ignores_of_others_is_nothing_to_us(about: dict[str, str]) -> None:
    assert parent.judge(ROOT, ignoring(AUTOMATED, respect=True, about=about), app({"enabled": True}), AUTO).reverts


@pytest.mark.parametrize("about", [{"kind": "*"}, {"group": "*"}, {"name": "web"}, {"namespace": "argocd"}, {"namespace": "*"}])
def test_what_a_parent_ignores_of_all_counts_for_us(about: dict[str, str]) -> None:
    assert not parent.judge(ROOT, ignoring(AUTOMATED, respect=True, about=about), app({"enabled": True}), AUTO).reverts


def test_a_pin_under_a_parent_is_taken_back_unless_its_revision_is_ignored_in_drift_and_in_syncs() -> None:
    assert parent.judge(ROOT, HEALING, app({}), AUTO).reverts_pin
    assert parent.judge(ROOT, NOT_HEALING, app({}), AUTO).reverts_pin
    assert not parent.judge(ROOT, BY_HAND, app({}), AUTO).reverts_pin
    assert parent.judge(ROOT, ignoring(REVISION, respect=False), app({}), AUTO).reverts_pin
    found = parent.judge(ROOT, ignoring(REVISION, respect=True), app({"enabled": True}), AUTO)
    assert (found.reverts, found.reverts_pin) == (True, False)
    assert found.says.endswith("it ignores differences of the revision, so a pin stays")
