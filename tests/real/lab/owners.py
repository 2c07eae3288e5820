"""Tools that write Applications through the Kubernetes API, played by what each of them is known to write, under its own field manager.

None of them runs here. Argo CD Image Updater, Kargo, Flux and Helm need registries, Git forges and controllers of their own, and two of them cannot be
had from the Go proxy. What they write is taken from their sources (Image Updater `pkg/argocd`, Kargo `argocd_updater.go`, Flux' kustomize-controller,
Helm 3's labels); what Kubernetes and Argo CD make of it is real.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.real.lab.client import ARGOCD_NAMESPACE, LabClient
from tests.real.lab.kubernetes import APPLY

APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD_NAMESPACE}/applications"
MERGE = "application/merge-patch+json"


async def patch_application(client: LabClient, name: str, change: Mapping[str, Any], *, by: str) -> None:
    """A merge patch under the field manager `by`."""
    await client.kube.must("PATCH", f"{APPLICATIONS}/{name}?fieldManager={by}", json.dumps(change), content_type=MERGE)


async def apply_application(client: LabClient, name: str, body: Mapping[str, Any], *, by: str) -> None:
    """A server-side apply by force under the field manager `by`; `body` is the object without its kind and name. Makes the object if there is none."""
    metadata = {**body.get("metadata", {}), "name": name, "namespace": ARGOCD_NAMESPACE}
    whole = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **body, "metadata": metadata}
    await client.kube.must("PATCH", f"{APPLICATIONS}/{name}?fieldManager={by}&force=true", json.dumps(whole), content_type=APPLY)
