"""A shop whose pods are rolled out in steps by Argo Rollouts. It ships and looks, with a person's account; it knows nothing of Backout."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from tests.real.lab.client import GitRepository, LabClient, until
from tests.real.shop import MANIFEST, Shipped, Shop

NO_STEPS: Mapping[str, Any] = {"canary": {}}
HALF_THEN_STOP: Mapping[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
HALF_THEN_ON: Mapping[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": "4s"}}]}}
UNDER_ANALYSIS: Mapping[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"analysis": {"templates": [{"templateName": "watch"}]}}]}}
BY_HAND: Mapping[str, Any] = {"blueGreen": {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": False}}


class RolloutShop(Shop):
    """One application that is one Rollout."""

    def __init__(
        self,
        client: LabClient,
        name: str,
        *,
        source: GitRepository,
        config: GitRepository,
        auto_sync: bool,
        strategy: Mapping[str, Any],
        spec: Mapping[str, Any],
    ) -> None:
        """`strategy` and `spec` (further fields) are what the next release is shipped with; both may be changed in between."""
        super().__init__(client, name, source=source, config=config, auto_sync=auto_sync)
        self.strategy, self.spec = strategy, spec
        self._analysed = False

    def manifests(self, image: str) -> Mapping[str, str]:
        """A Rollout, and for blue-green the two Services that it switches."""
        rollout = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": self.name, "labels": {"app": self.name}},
            "spec": {
                "replicas": 2,
                "progressDeadlineSeconds": 20,
                "selector": {"matchLabels": {"app": self.name}},
                "strategy": dict(self.strategy),
                "template": {
                    "metadata": {"labels": {"app": self.name}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image}]},
                },
                **self.spec,
            },
        }
        services = [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": self.name}, "ports": [{"port": 80}]}}
            for name in ("active", "preview")
            if "blueGreen" in self.strategy
        ]
        self._analysed = self._analysed or "watch" in json.dumps(self.strategy)  # from then on: nobody prunes it
        analysis = [self._analysis()] if self._analysed else []
        return {MANIFEST: yaml.safe_dump_all([rollout, *services, *analysis])}

    def _analysis(self) -> Mapping[str, Any]:
        """A measurement that goes on and on, and is content with everything."""
        prometheus = {"address": self.client.lab.prometheus_url, "query": "vector(0)"}
        metric = {"name": "errors", "interval": "2s", "count": 200, "successCondition": "result[0] < 1", "provider": {"prometheus": prometheus}}
        return {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "watch"}, "spec": {"metrics": [metric]}}

    async def halfway(self, version: str, *, errors: float) -> Shipped:
        """Ship the next release and wait until it stands where a person has to say go on."""
        shipped = await self.ship(version, errors=errors)
        if not self._auto_sync:
            answer = await self.client.sync(self.name)
            assert answer.good, answer
        await self.client.until_application(self.name, health="Suspended", revision=shipped.config)
        return shipped

    async def at_once(self, version: str, *, errors: float) -> Shipped:
        """Ship the next release with a strategy that has no steps, so that it is promoted as soon as its pods are ready."""
        before, self.strategy = self.strategy, NO_STEPS
        try:
            return await self.release(version, errors=errors)
        finally:
            self.strategy = before

    async def status(self) -> Mapping[str, Any]:
        """What the Rollout's controller says of it."""
        found: Mapping[str, Any] = (await self.client.kube_get(f"/apis/argoproj.io/v1alpha1/namespaces/{self.name}/rollouts/{self.name}"))["status"]
        return found

    async def until_status(self, **wanted: Any) -> Mapping[str, Any]:
        """Wait until the status says so."""

        async def there() -> Mapping[str, Any] | None:
            status = await self.status()
            return status if all(status.get(name) == value for name, value in wanted.items()) else None

        return await until(there, what=f"the Rollout of {self.name} to say {json.dumps(wanted)}") or {}
