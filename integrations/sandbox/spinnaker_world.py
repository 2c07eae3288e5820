"""The small production of `world.py`, deployed by Spinnaker: a sandbox Gate instead of Argo CD, one application and one deploy pipeline a shop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Timings
from integrations.sandbox.world import Shipped, World
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock

ACCOUNT = "prod-k8s"
PACE = 0.1
"""Ten times as fast as recorded: an undo takes a second, and Clouddriver's cache lags three."""


class SpinnakerWorld(World):
    """As `World`; the shop's namespace, application and Deployment bear its name. Shops in `pushed` are deployed by a trigger, whose run goes on."""

    label = "spinnaker_app"

    def __init__(self, *, folder: Path, clock: Clock, webhook: str, fast: bool = False) -> None:
        super().__init__(folder=folder, clock=clock, webhook=webhook, fast=fast)
        self.gate = SandboxGate(clock=clock, timings=Timings(pace=PACE))
        self.pushed: set[str] = set()

    def target(self, app: str) -> TargetId:
        """The shop's Deployment."""
        return TargetId("sandbox", f"{ACCOUNT}/{app}/deployment/{app}")

    def _delivery(self) -> Mapping[str, Any]:
        return {"kind": "spinnaker", "name": "sandbox", "url": self.gate.url, "auth": "none", "applications": sorted(self._shops)}

    async def _open_delivery(self) -> None:
        self.gate.add_account(ACCOUNT)
        await self.gate.start()

    async def _close_delivery(self) -> None:
        await self.gate.stop()

    async def _deploy_first(self, app: str, shipped: Shipped, replicas: int, *, auto_sync: bool) -> None:
        del auto_sync  # Spinnaker deploys what somebody starts
        self.gate.add_application(app)
        manifest = self._deployment(app, self._image(shipped), replicas)
        self.gate.kubernetes.runs(
            app, account=ACCOUNT, namespace=app, name=app, image=self._image(shipped), replicas=replicas, template=manifest["spec"]["template"]
        )

    async def _deploy_next(self, app: str, shipped: Shipped) -> None:
        """The deploy pipeline, which was saved with the new image, is run: by a person, or by a push (`pushed`) and then it has more to do after it."""
        manifest = {**self._deployment(app, self._image(shipped), self._replicas(app)), "metadata": {"name": app, "namespace": app}}
        stage = {
            "type": "deployManifest",
            "name": "deploy",
            "refId": "1",
            "requisiteStageRefIds": [],
            "account": ACCOUNT,
            "cloudProvider": "kubernetes",
            "source": "text",
            "moniker": {"app": app},
            "manifests": [manifest],
        }
        again = {**stage, "refId": "3", "requisiteStageRefIds": ["2"], "name": "deploy again"}
        after = [{"type": "wait", "waitTime": 3600, "refId": "2", "requisiteStageRefIds": ["1"]}, again] if app in self.pushed else []
        self.gate.save_pipeline({"application": app, "name": f"deploy {app} {shipped.version}", "stages": [stage, *after]})
        if self._session is None:
            raise TemporaryError("the world is not started")
        path = f"{self.gate.url}/pipelines/{app}/deploy%20{app}%20{shipped.version}"
        async with self._session.post(path, json={"type": "docker" if app in self.pushed else "manual", "user": "alice"}) as answer:
            if answer.status >= 300:
                raise TemporaryError(f"Gate answered {answer.status}: {(await answer.text())[:200]}")

    def _image(self, shipped: Shipped) -> str:
        return f"{self.registry_host}/shop/{shipped.app}@{shipped.digest}"

    def _replicas(self, app: str) -> int:
        return next(one.replicas for one in self.gate.kubernetes.workloads if one.application == app)

    def _pods(self, app: str) -> Sequence[tuple[str, bool]]:
        kubernetes = self.gate.kubernetes
        found = [one for one in kubernetes.workloads if one.application == app]
        return [(image.partition("@")[2], True) for workload in found for image, ready in kubernetes.serving(workload) for _ in range(ready)]
