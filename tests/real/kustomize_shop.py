"""A shop whose configuration is a kustomization, as Argo CD Image Updater needs it: what it writes are overrides of images."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.real.lab.client import ARGOCD_NAMESPACE, IN_CLUSTER
from tests.real.lab.owners import patch_application
from tests.real.shop import IMAGE_REVISION, IMAGE_SOURCE, MANIFEST, Shipped, Shop

UPDATER = "argocd-image-updater"
UPDATED_BY = f"{UPDATER}.argoproj.io"


class KustomizeShop(Shop):
    """The images that its repository names are of release 1.0; every other comes from an override."""

    def manifests(self, image: str) -> Mapping[str, str]:
        """A kustomization of the one Deployment."""
        return {**super().manifests(image), "deploy/kustomization.yaml": json.dumps({"resources": [MANIFEST.rpartition("/")[2]]})}

    async def push(self, version: str, *, errors: float) -> str:
        """A new image of a new source commit, in the registry and nowhere else; its reference by digest."""
        source = await self.source.commit({"src/app.py": f"VERSION = {version!r}\n"}, f"{self.name} {version}")
        labels = {IMAGE_REVISION: source, IMAGE_SOURCE: self.source.url}
        return self.client.image(f"team/{self.name}", await self.client.push_image(f"team/{self.name}", version=version, errors=errors, labels=labels))

    async def write_override(self, image: str) -> None:
        """Image Updater with write-back method argocd: the override stands in the spec. It writes through Kubernetes, as its deployment does by default."""
        await patch_application(self.client, self.name, {"spec": {"source": {"kustomize": {"images": [image]}}}}, by=UPDATER)
        await self.client.application(self.name, refresh=True)

    async def commit_override(self, image: str) -> str:
        """Image Updater with write-back method git: the override stands in a file that Argo CD reads beside the kustomization. Answers the commit."""
        file = {f"deploy/.argocd-source-{self.name}.yaml": json.dumps({"kustomize": {"images": [image]}})}
        revision = await self.config.commit(file, f"build: automatic update of {self.name}")
        await self.client.application(self.name, refresh=True)
        return revision

    async def until_runs(self, image: str) -> None:
        """Wait until that image alone serves."""
        await self.until_running(Shipped(version="", source="", image=image, config=""))


def updated(method: str) -> Callable[[Shop], Awaitable[Callable[[], Awaitable[None]]]]:
    """An auto-synced application that Image Updater looks after, by write-back method `argocd` or `git`."""

    async def declare(shop: Shop) -> Callable[[], Awaitable[None]]:
        notes = {f"{UPDATED_BY}/image-list": f"app={shop.client.image(f'team/{shop.name}', 'x').partition('@')[0]}"}
        spec: Mapping[str, Any] = {
            "project": "default",
            "source": {"repoURL": shop.config.url, "path": "deploy", "targetRevision": "main"},
            "destination": {"server": IN_CLUSTER, "namespace": shop.name},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        }
        metadata = {"name": shop.name, "namespace": ARGOCD_NAMESPACE, "annotations": {**notes, f"{UPDATED_BY}/write-back-method": method}}
        await shop.client.argocd().must("POST", "/api/v1/applications", {"metadata": metadata, "spec": spec})

        async def undo() -> None:
            """Nobody makes it again."""

        return undo

    return declare
