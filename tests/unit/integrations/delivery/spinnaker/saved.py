"""Saved pipelines for tests, as Deck writes them."""

from typing import Any

from integrations.delivery.spinnaker.pipelines import Pipeline, pipeline_of


def deploy_manifest(name: str = "web", *, namespace: str = "ns", account: str = "k8s", **more: Any) -> dict[str, Any]:
    manifest = {"kind": "Deployment", "metadata": {"name": name, "namespace": namespace}}
    return {"type": "deployManifest", "refId": "1", "name": "deploy", "cloudProvider": "kubernetes", "account": account, "manifests": [manifest], **more}


def trigger(kind: str = "git", *, enabled: bool = True, **more: Any) -> dict[str, Any]:
    return {"type": kind, "enabled": enabled, **more}


def pipeline(*stages: dict[str, Any], id: str = "p1", triggers: Any = (), **more: Any) -> Pipeline:  # noqa: A002 - the field's own name
    found = pipeline_of({"id": id, "application": "shop", "name": f"pipeline {id}", "stages": list(stages), "triggers": list(triggers), **more})
    assert found is not None
    return found
