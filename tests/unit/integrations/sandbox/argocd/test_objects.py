from typing import Any

import pytest

from integrations.sandbox.argocd.objects import Key, is_automated, known_spec, no_status, options, project_fields, prune_paths, sources, wire
from integrations.sandbox.argocd.settings import V2_14, V3_2_11, V3_5_1

ONE = {"repoURL": "file:///r", "path": "deploy", "targetRevision": "main"}


def app(**spec: Any) -> dict[str, Any]:
    status = no_status() | {
        "history": [{"id": 0}],
        "health": {"status": "Healthy"},
        "resources": [{"version": "v1", "kind": "ConfigMap", "namespace": "n", "name": "c"}],
    }
    status |= {"operationState": {"phase": "Succeeded", "syncResult": {"revision": "abc"}}}
    return {"metadata": {"name": "web", "labels": {"a": "1"}}, "spec": {"project": "default", "source": ONE, **spec}, "status": status}


@pytest.mark.parametrize(("automated", "on"), [(None, False), ({}, True), ({"enabled": True}, True), ({"enabled": False}, False), ({"enabled": None}, True)])
def test_auto_sync_is_on_unless_switched_off(automated: Any, on: bool) -> None:
    policy = {} if automated is None else {"automated": automated}

    assert is_automated(app(syncPolicy=policy)) is on


def test_a_stored_spec_knows_only_its_fields_and_no_zero_values() -> None:
    spec = {
        "source": ONE | {"nonsense": 1, "chart": ""},
        "destination": {"server": "s", "x": 1},
        "project": "default",
        "syncPolicy": {"automated": {"prune": False, "selfHeal": True, "enabled": False, "x": 1}, "syncOptions": []},
        "sources": [],
        "info": [],
        "unknown": {},
        "revisionHistoryLimit": 0,
    }

    assert known_spec(spec, V3_2_11) == {
        "source": ONE,
        "destination": {"server": "s"},
        "project": "default",
        "syncPolicy": {"automated": {"selfHeal": True, "enabled": False}},
        "revisionHistoryLimit": 0,
    }


def test_before_3_1_enabled_is_dropped_and_auto_sync_stays_on() -> None:
    spec = known_spec({"syncPolicy": {"automated": {"prune": True, "enabled": False}}}, V2_14)

    assert spec["syncPolicy"] == {"automated": {"prune": True}}
    assert is_automated({"spec": spec})
    assert not V2_14.proven
    assert V3_2_11.proven


def test_several_sources_win_over_one() -> None:
    two = [ONE, ONE | {"path": "b"}]

    assert sources({"source": {"repoURL": ""}, "sources": two}) == two
    assert sources({"source": ONE}) == [ONE]
    assert sources({"source": {"repoURL": ""}}) == []


def test_resource_health_is_filled_in_on_request_only() -> None:
    healthy: dict[tuple[str, str, str, str], dict[str, Any]] = {("", "ConfigMap", "n", "c"): {"status": "Healthy"}}

    assert wire(app(), healthy)["status"]["resources"][0]["health"] == {"status": "Healthy"}
    assert "health" not in wire(app())["status"]["resources"][0]
    assert list(wire(app())["status"])[:4] == ["resources", "sync", "health", "history"]


def test_the_catalogue_of_a_list_ends_at_its_own_fields() -> None:
    told = project_fields(app(), "items.metadata.name,items.spec.project,items.status.history,items.status.operationState.operation.sync", V3_2_11)

    assert told == {"metadata": {"name": "web"}, "status": {"operationState": {"operation": {"sync": {"revision": "abc"}}}}}
    assert project_fields(app(), "items.spec.project", V3_5_1) == {"spec": {"project": "default"}}


def test_a_minus_excludes_within_the_catalogue() -> None:
    told = project_fields(app(), "-items.spec,items.spec.source", V3_2_11)

    assert "source" not in told.get("spec", {})
    assert told["metadata"] == {"name": "web", "labels": {"a": "1"}}
    assert "history" not in told["status"]


def test_a_watch_is_reduced_to_paths_or_without_them() -> None:
    message = {"result": {"type": "ADDED", "application": {"metadata": {"name": "web"}, "spec": {"a": 1}}}}

    assert prune_paths(message, "result.type,result.application.spec.a,result.nosuch") == {"result": {"type": "ADDED", "application": {"spec": {"a": 1}}}}
    assert prune_paths(message, "-result.application.spec") == {"result": {"type": "ADDED", "application": {"metadata": {"name": "web"}}}}


def test_keys_put_namespaced_objects_where_the_application_lands() -> None:
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}

    assert Key.of(manifest, "shop") == Key("apps", "Deployment", "shop", "web")
    assert Key.of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}, "shop").namespace == ""
    assert Key.of(manifest, "shop").shown() == "apps/Deployment/web"
    assert options({"metadata": {"annotations": {"argocd.argoproj.io/sync-options": "Prune=false, Replace=true"}}}) == {"Prune=false", "Replace=true"}
