from typing import Any

import pytest

from integrations.delivery.argocd.owners import application_set
from tests.unit.integrations.delivery.argocd.recordings import body


def app(automated: Any = None, *, sources: int = 0, **metadata: Any) -> dict[str, Any]:
    policy = {"automated": automated} if automated is not None else {}
    source: dict[str, Any] = {"sources": [{"repoURL": "a"}] * sources} if sources else {"source": {"repoURL": "a"}}
    return {"metadata": {"name": "web", "namespace": "argocd", **metadata}, "spec": {"syncPolicy": policy, **source}}


AUTO = app({"prune": True})


def made(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "set"}, "spec": spec}


def ignoring(*rules: dict[str, Any]) -> dict[str, Any]:
    return made(ignoreApplicationDifferences=list(rules))


def test_the_application_set_is_found_by_its_owner_reference() -> None:
    owned = app(ownerReferences=[{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "set", "controller": True}])
    assert application_set.name_of(owned) == "set"
    assert application_set.name_of(app(ownerReferences=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}])) == ""
    assert application_set.name_of(body("32-audit", 7)) == ""


def test_an_application_set_takes_a_stopped_auto_sync_and_a_pin_back() -> None:
    found = application_set.judge("set", made(), AUTO)
    assert (found.kind, found.name, found.reverts, found.reverts_pin) == ("applicationset", "set", True, True)
    assert found.fix == "Revert the change in Git, or add ignoreApplicationDifferences for /spec/syncPolicy/automated/enabled to ApplicationSet set."


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
def test_an_application_set_that_ignores_auto_sync_leaves_it_alone_and_takes_a_pin_back(rule: dict[str, Any]) -> None:
    found = application_set.judge("set", ignoring(rule), AUTO)
    assert (found.reverts, found.reverts_pin) == (False, True)


@pytest.mark.parametrize(
    "rule",
    [
        {"jsonPointers": ["/spec/syncPolicy/automated/prune"]},
        {"jsonPointers": ["/spec/sync"]},
        {"jsonPointers": ["/spec/syncPolicy/automated/enabled/x"]},
        {"jsonPointers": ["/", ""]},
        {"jsonPointers": "/spec/syncPolicy"},
        {"jqPathExpressions": [".spec.source", "."]},
        {"jqPathExpressions": ['.spec.syncPolicy | select(.automated.enabled == "x")']},
        {"name": "other", "jsonPointers": ["/spec/syncPolicy"]},
        {},
    ],
)
def test_rules_about_something_else_do_not_help(rule: dict[str, Any]) -> None:
    assert application_set.judge("set", ignoring(rule), AUTO).reverts


@pytest.mark.parametrize(
    "rule", [{"jsonPointers": ["/spec/source/targetRevision"]}, {"jsonPointers": ["/spec/source"]}, {"jqPathExpressions": [".spec.source.targetRevision"]}]
)
def test_an_application_set_that_ignores_the_revision_leaves_a_pin_alone_and_says_so(rule: dict[str, Any]) -> None:
    found = application_set.judge("set", ignoring(rule), AUTO)
    assert (found.reverts, found.reverts_pin) == (True, False)
    assert found.says.endswith("it ignores differences of the revision, so a pin stays")


@pytest.mark.parametrize(
    ("rule", "keeps"),
    [
        ({"jqPathExpressions": [".spec.sources[].targetRevision"]}, True),
        ({"jsonPointers": ["/spec/sources"]}, True),
        ({"jsonPointers": ["/spec/sources/0/targetRevision", "/spec/sources/1/targetRevision"]}, True),
        ({"jsonPointers": ["/spec/sources/0/targetRevision"]}, False),
        ({"jqPathExpressions": [".spec.sources[1].targetRevision"]}, False),
        ({"jsonPointers": ["/spec/source/targetRevision"]}, False),
    ],
)
def test_of_several_sources_each_revision_has_to_be_ignored(rule: dict[str, Any], *, keeps: bool) -> None:
    assert application_set.judge("set", ignoring(rule), app({}, sources=2)).reverts_pin is not keeps


@pytest.mark.parametrize(("policy", "reverts"), [("create-only", False), ("create-delete", False), ("create-update", True), ("sync", True), ("", True)])
def test_policies_of_an_application_set(policy: str, reverts: bool) -> None:
    found = application_set.judge("set", made(syncPolicy={"applicationsSync": policy}), AUTO)
    assert (found.reverts, found.reverts_pin) == (reverts, reverts)


def test_without_auto_sync_an_application_set_has_nothing_to_take_back_unless_it_rolls_by_itself() -> None:
    assert not application_set.judge("set", made(), app()).reverts
    assert application_set.judge("set", made(strategy={"type": "RollingSync"}), app()).reverts


@pytest.mark.parametrize(("version", "when"), [((3, 2), "once it is out of sync"), ((3, 3), "at each new revision")])
def test_a_rolling_sync_undoes_everything_and_says_when(version: tuple[int, int], when: str) -> None:
    rolling = made(strategy={"type": "RollingSync"}, ignoreApplicationDifferences=[{"jsonPointers": ["/spec"]}])
    found = application_set.judge("set", rolling, AUTO, version=version)
    assert (found.reverts, found.reverts_pin) == (True, True)
    assert found.says.endswith(f"it would sync the application again {when}")


def test_an_application_set_that_cannot_be_read_counts_as_one_that_reverts() -> None:
    found = application_set.judge("set", None, AUTO, why_unread="permission denied")
    assert (found.reverts, found.reverts_pin) == (True, True)
    assert "permission denied" in found.says
    assert "applicationsets, get" in found.fix
