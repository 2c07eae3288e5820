"""Writing an Application past Argo CD's API, as controllers with Kubernetes rights do: through the lab's kube-apiserver, or the sandbox's back door."""

import json
from typing import Any, Protocol

from integrations.sandbox.argocd.patching import merge
from integrations.sandbox.argocd.server import SandboxArgoCD
from tests.real.lab.client import LabClient
from tests.real.lab.owners import apply_application, patch_application

Json = dict[str, Any]


class Hands(Protocol):
    """What a test may write. `by` is the field manager, under which Kubernetes records who wrote what."""

    async def patch(self, name: str, change: Json, *, by: str) -> None:
        """A merge patch."""
        ...

    async def apply(self, name: str, body: Json, *, by: str) -> None:
        """A server-side apply of these fields, by force."""
        ...


class SandboxHands:
    """In this process."""

    def __init__(self, sandbox: SandboxArgoCD) -> None:
        self._sandbox = sandbox

    async def patch(self, name: str, change: Json, *, by: str) -> None:
        """See `Hands`."""

        def write(app: Json) -> None:
            merged = merge(app, change)
            app.clear()
            app.update(merged)

        self._sandbox.write_by_kubernetes(name, write, by=by)

    async def apply(self, name: str, body: Json, *, by: str) -> None:
        """See `Hands`."""
        self._sandbox.apply_by_kubernetes(name, json.loads(json.dumps(body)), by=by)


class RealHands:
    """By the Kubernetes API."""

    def __init__(self, client: LabClient) -> None:
        self._client = client

    async def patch(self, name: str, change: Json, *, by: str) -> None:
        """See `Hands`."""
        await patch_application(self._client, name, change, by=by)

    async def apply(self, name: str, body: Json, *, by: str) -> None:
        """See `Hands`."""
        await apply_application(self._client, name, body, by=by)
