"""A shop in the lab, run as its team would: source and configuration in two Git repositories, an image a release, an Application of its own.

It ships and looks, with a person's account; it knows nothing of Backout and judges nothing.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from tests.real.lab.client import ARGOCD_NAMESPACE, GitRepository, LabClient, deployment, until

IMAGE_REVISION, IMAGE_SOURCE = "org.opencontainers.image.revision", "org.opencontainers.image.source"
MANIFEST = "deploy/app.yaml"
ERRORS_OF_A_GOOD_RELEASE = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One release: source commit, image reference by digest, configuration commit."""

    version: str
    source: str
    image: str
    config: str


class Shop:
    """One application; its name is also its namespace and the label its traffic is counted by."""

    first_version = "1.0"
    """What Backout calls the release that it is opened with."""

    def __init__(
        self, client: LabClient, name: str, *, source: GitRepository, config: GitRepository, auto_sync: bool, app_spec: Mapping[str, Any] | None = None
    ) -> None:
        self.client, self.name, self.source, self.config, self.app_spec = client, name, source, config, app_spec
        self._auto_sync = auto_sync
        self._undeclare: Callable[[], Awaitable[None]] | None = None

    @classmethod
    async def open(
        cls,
        client: LabClient,
        *,
        auto_sync: bool = True,
        errors: float = ERRORS_OF_A_GOOD_RELEASE,
        config_files: Mapping[str, str] | None = None,
        declare: "Declare | None" = None,
        **more: Any,
    ) -> Self:
        """A new shop with release 1.0 live and healthy. `config_files`: further files of its configuration; `more`: what a shop of that kind takes besides.

        `app_spec` (in `more`) are fields of the Application's spec.
        `declare` makes the Application in another way than by Argo CD's API, and answers how to take away what made it.
        """
        name = f"shop-{secrets.token_hex(3)}"
        source, config = await client.create_repository(f"{name}-source"), await client.create_repository(f"{name}-config")
        shop = cls(client, name, source=source, config=config, auto_sync=auto_sync, **more)
        shipped = await shop._ship("1.0", errors, {}, config_files or {})
        await client.create_namespace(name)
        if declare is None:
            await shop.create_application()
        else:
            shop._undeclare = await declare(shop)
        await shop.until_live(shipped)
        return shop

    async def create_application(self) -> None:
        """A person makes the Application by Argo CD's API."""
        await self.client.create_application(self.name, self.config, namespace=self.name, auto_sync=self._auto_sync, spec=self.app_spec)

    async def close(self) -> None:
        """Take the application and its pods away, so that its alerts end and the next test's Backout does not see it."""
        if self._undeclare is not None:
            await self._undeclare()
        if await self.client.kube_get(f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD_NAMESPACE}/applications/{self.name}") is not None:
            await self.client.delete_application(self.name)

    async def release(
        self,
        version: str,
        *,
        errors: float = ERRORS_OF_A_GOOD_RELEASE,
        files: Mapping[str, str] | None = None,
        config_files: Mapping[str, str] | None = None,
    ) -> Shipped:
        """Ship the next release and wait until its pods serve. `files` are of its source, `config_files` of its configuration."""
        shipped = await self._ship(version, errors, files or {}, config_files or {})
        await self.until_live(shipped)
        return shipped

    async def ship(self, version: str, *, errors: float = ERRORS_OF_A_GOOD_RELEASE, config_files: Mapping[str, str | None] | None = None) -> Shipped:
        """Only commit, push and refresh; whether it is deployed is Argo CD's matter. A file without a text is removed."""
        shipped = await self._ship(version, errors, {}, config_files or {})
        await self.client.application(self.name, refresh=True)
        return shipped

    def manifests(self, image: str) -> Mapping[str, str]:
        """The files of a release's configuration."""
        return {MANIFEST: deployment(self.name, image, replicas=2)}

    async def _ship(self, version: str, errors: float, files: Mapping[str, str], config_files: Mapping[str, str | None]) -> Shipped:
        source, image = await self.build(version, errors, files)
        config = await self.config.commit({**self.manifests(image), **config_files}, f"{self.name}: {version}")
        return Shipped(version=version, source=source, image=image, config=config)

    async def build(self, version: str, errors: float = ERRORS_OF_A_GOOD_RELEASE, files: Mapping[str, str] | None = None) -> tuple[str, str]:
        """A new source commit and the image that is built of it; answers both."""
        source = await self.source.commit({"src/app.py": f"VERSION = {version!r}\n", **(files or {})}, f"{self.name} {version}")
        labels = {IMAGE_REVISION: source, IMAGE_SOURCE: self.source.url}
        digest = await self.client.push_image(f"team/{self.name}", version=version, errors=errors, labels=labels)
        return source, self.client.image(f"team/{self.name}", digest)

    async def until_live(self, shipped: Shipped) -> None:
        """Deploy it (a person syncs where Argo CD does not by itself) and wait until its pods alone serve."""
        await self.client.application(self.name, refresh=True)
        if not self._auto_sync:
            answer = await self.client.sync(self.name)
            assert answer.good, answer
        await self.client.until_application(self.name, revision=shipped.config)
        await self.until_running(shipped)

    async def until_running(self, shipped: Shipped) -> None:
        """Wait until the ready pods run that release's digest and no other."""

        async def only_that() -> bool:
            return await self.running() == {shipped.image}

        await until(only_that, what=f"{self.name} to run {shipped.version}")

    async def until_recorded(self, shipped: Shipped) -> tuple[int, str, str]:
        """Wait until the history's newest entry is that release (its pods may serve before); answers the entry."""

        async def recorded() -> tuple[int, str, str] | None:
            newest = (await self.history())[-1]
            return newest if newest[1] == shipped.config else None

        found = await until(recorded, what=f"{shipped.version} in the history of {self.name}")
        assert found is not None
        return found

    async def deploy_wanted(self) -> None:
        """A person deploys what the Application wants now."""
        before = (await self.history())[-1]
        await self.client.application(self.name, refresh=True)
        answer = await self.client.sync(self.name)
        assert answer.good, answer

        async def deployed() -> bool:
            app = await self.application(refresh="normal")
            return (await self.history())[-1] != before and app.get("operation") is None and app["status"]["health"]["status"] == "Healthy"

        await until(deployed, what=f"{self.name} to be deployed")

    async def deploy(self, image: str, message: str) -> str:
        """A person deploys that image, named as they like; answers the configuration's revision."""
        revision = await self.config.commit({MANIFEST: deployment(self.name, image, replicas=2)}, message)
        await self.deploy_wanted()
        return revision

    async def restart(self) -> None:
        """Somebody deletes all pods; the new ones run what their image's name means then."""
        await self.client.kube.must("DELETE", f"/api/v1/namespaces/{self.name}/pods")

    async def running(self) -> set[str]:
        """`repository@digest` of what the ready pods run."""
        return await self.client.running_images(self.name)

    async def application(self, *, refresh: str = "") -> Any:
        """The Application now; `refresh` is normal or hard."""
        return await self.client.argocd().must("GET", f"/api/v1/applications/{self.name}{f'?refresh={refresh}' if refresh else ''}")

    async def history(self) -> list[tuple[int, str, str]]:
        """What was deployed, oldest first: history id, revision, who did it ("" = Argo CD by itself)."""
        entries = (await self.application())["status"]["history"]
        return [(entry["id"], entry["revision"], entry.get("initiatedBy", {}).get("username", "")) for entry in entries]

    async def told_by(self, account: str) -> list[str]:
        """What Argo CD's events say that this account did to the application, in order."""
        events = (await self.client.argocd().must("GET", f"/api/v1/applications/{self.name}/events"))["items"] or []
        mine = [event for event in events if event["message"].startswith(f"{account} ")]
        return [event["message"] for event in sorted(mine, key=lambda event: event["metadata"]["creationTimestamp"])]

    async def edit(self, *operations: Mapping[str, Any]) -> None:
        """A person changes the Application by JSON patch."""
        await self.client.argocd().must(
            "PATCH",
            f"/api/v1/applications/{self.name}",
            {"name": self.name, "patchType": "json", "patch": json.dumps(operations)},
        )


Declare = Callable[[Shop], Awaitable[Callable[[], Awaitable[None]]]]
"""Makes a shop's Application; answers how to take away what made it."""
