"""Shops that are Helm charts: releases that are parameters of the Application, commits of a repository with values, or versions in a Helm repository.

They ship and look, with a person's account; they know nothing of Backout.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from tests.contract.argocd.charts import ChartRepository
from tests.real.lab.client import LabClient, deployment
from tests.real.shop import Shipped, Shop

IMAGE = "{{ .Values.image }}"


def chart(name: str, folder: str = "deploy/", more: Mapping[str, str | None] | None = None) -> Mapping[str, str | None]:
    """The files of a chart that is one Deployment of the value `image`; `more` are further templates."""
    about = {"apiVersion": "v2", "name": name, "version": "1.0.0"}
    return {
        f"{folder}Chart.yaml": json.dumps(about),
        f"{folder}templates/app.yaml": deployment(name, IMAGE, replicas=2),
        **{f"{folder}templates/{file}": text for file, text in (more or {}).items()},
    }


class ParameterShop(Shop):
    """One commit for ever; a release is a change of `helm.parameters`, as an image updater or a person with the UI makes it."""

    @property
    def parameters(self) -> list[dict[str, str]]:
        """What the Application sets now."""
        return [{"name": name, "value": value} for name, value in self._values.items()]

    def __init__(self, client: LabClient, name: str, **more: Any) -> None:
        """Arguments as of `Shop`."""
        super().__init__(client, name, **more)
        self._values: dict[str, str] = {}
        self._commit = ""

    async def create_application(self) -> None:
        """With the parameters of its first release."""
        source = {"repoURL": self.config.url, "path": "deploy", "targetRevision": "main", "helm": {"parameters": self.parameters}}
        await self.client.create_application(self.name, self.config, namespace=self.name, auto_sync=self._auto_sync, spec={"source": source})

    async def _ship(self, version: str, errors: float, files: Mapping[str, str], config_files: Mapping[str, str | None]) -> Shipped:
        """The next image, and the parameters that name it. `config_files` are templates of the chart, of the first release alone."""
        source, image = await self.build(version, errors, files)
        if self._commit:
            await self.set(image=image)
        else:
            self._values["image"] = image
            self._commit = await self.config.commit(chart(self.name, more=config_files), "the chart")
        return Shipped(version=version, source=source, image=image, config=self._commit)

    async def set(self, **values: str) -> None:
        """A person changes parameters of the Application."""
        self._values |= values
        await self.edit({"op": "replace", "path": "/spec/source/helm/parameters", "value": self.parameters})


class PairShop(Shop):
    """Two sources: a chart that stays, and a repository with values, whose commits are the releases."""

    async def create_application(self) -> None:
        """A chart from `config`'s neighbour, with values from `config`."""
        charts = await self.client.create_repository(f"{self.name}-charts")
        await charts.commit(chart(self.name), "the chart")
        sources: list[Mapping[str, Any]] = [
            {"repoURL": charts.url, "path": "deploy", "targetRevision": "main", "helm": {"valueFiles": ["$values/prod.yaml"]}},
            {"repoURL": self.config.url, "targetRevision": "main", "ref": "values"},
        ]
        await self.client.create_application(self.name, self.config, namespace=self.name, auto_sync=self._auto_sync, spec={"sources": sources, "source": None})

    def manifests(self, image: str) -> Mapping[str, str]:
        """The values of a release."""
        return {"prod.yaml": yaml.safe_dump({"image": image})}

    async def until_live(self, shipped: Shipped) -> None:
        """Deploy it and wait until its pods alone serve."""
        await self.client.application(self.name, refresh=True)
        if not self._auto_sync:
            answer = await self.client.sync(self.name)
            assert answer.good, answer
        await self.until_running(shipped)


class PackedShop(Shop):
    """A chart of a Helm repository; each release is a version of it, and the newest is followed."""

    first_version = "1.0.0"

    def __init__(self, client: LabClient, name: str, *, charts: ChartRepository, **more: Any) -> None:
        """`charts` is where versions are published."""
        super().__init__(client, name, **more)
        self._charts = charts

    async def create_application(self) -> None:
        """Following the newest 1.x."""
        source = {"repoURL": self._charts.url, "chart": "shop", "targetRevision": "1.x"}
        await self.client.create_application(self.name, self.config, namespace=self.name, auto_sync=self._auto_sync, spec={"source": source})

    async def _ship(self, version: str, errors: float, files: Mapping[str, str], config_files: Mapping[str, str | None]) -> Shipped:
        """A new version of the chart with the new image in it."""
        source, image = await self.build(version, errors, files)
        self._charts.publish("shop", f"{version}.0", packed(self.name, image, {name: text for name, text in config_files.items() if text}))
        return Shipped(version=version, source=source, image=image, config=f"{version}.0")


def packed(name: str, image: str, more: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The files of a packed chart: one Deployment of that image, and further templates."""
    templates = {"app.yaml": deployment(name, image, replicas=2), **(more or {})}
    return {f"templates/{file}": text for file, text in templates.items()}
