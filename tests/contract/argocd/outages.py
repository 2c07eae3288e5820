"""Taking away what Argo CD stands on, and Argo CD's API itself: by the sandbox's faults, or by killing the lab's servers and starting them again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from integrations.sandbox.argocd.server import SandboxArgoCD
from tests.real.lab.client import LabClient, until
from tests.real.test_outages import change_settings

CONTROLLER, KUBERNETES, REDIS, REPO_SERVER = "argocd-application-controller", "kube-apiserver", "redis", "argocd-repo-server"
API = "argocd-server"


class Outages(Protocol):
    """What a test may take away. A server is gone inside of the block, and answers again after it."""

    def without(self, server: str) -> AbstractAsyncContextManager[None]: ...
    def hanging(self, server: str = KUBERNETES) -> AbstractAsyncContextManager[None]:
        """Inside of the block that server (Kubernetes' API, or Argo CD's own) takes connections and answers nothing."""
        ...

    async def change_settings(self) -> None:
        """A setting that argocd-server restarts itself for; answers at once."""
        ...

    async def forget(self) -> None:
        """Redis is emptied and the repo-server has lost its clones; both answer again."""
        ...


class SandboxOutages:
    """By faults."""

    def __init__(self, sandbox: SandboxArgoCD) -> None:
        self._sandbox = sandbox
        self._restarting: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def without(self, server: str) -> AsyncIterator[None]:
        """See `Outages`."""
        if server == API:
            await self._sandbox.kill()
            try:
                yield
            finally:
                await self._sandbox.listen()
            return
        fault = {CONTROLLER: "controller_down", KUBERNETES: "kube_down", REDIS: "redis_down", REPO_SERVER: "repo_server_down"}[server]
        setattr(self._sandbox.faults, fault, True)
        try:
            yield
        finally:
            setattr(self._sandbox.faults, fault, False)
            if server == REDIS:
                self._sandbox.lose_redis()

    @asynccontextmanager
    async def hanging(self, server: str = KUBERNETES) -> AsyncIterator[None]:
        """See `Outages`."""
        fault = {KUBERNETES: "kube_hangs", API: "api_hangs"}[server]
        setattr(self._sandbox.faults, fault, True)
        try:
            yield
        finally:
            setattr(self._sandbox.faults, fault, False)

    async def change_settings(self) -> None:
        """See `Outages`."""
        self._restarting = self._sandbox.change_settings()

    async def forget(self) -> None:
        """See `Outages`."""
        self._sandbox.repositories.flush_manifests()
        self._sandbox.repositories.drop_clones()
        self._sandbox.lose_redis()


class RealOutages:
    """By SIGKILL."""

    def __init__(self, client: LabClient) -> None:
        self._client = client

    @asynccontextmanager
    async def without(self, server: str) -> AsyncIterator[None]:
        """See `Outages`. Others use the lab too: it is left only when Argo CD reads and renders again."""
        self._client.kill(server)
        try:
            yield
        finally:
            await self._client.start_again(server)
            await until(self._works, what=f"Argo CD to work again with {server}")

    @asynccontextmanager
    async def hanging(self, server: str = KUBERNETES) -> AsyncIterator[None]:
        """By SIGSTOP; see `Outages`."""
        self._client.pause(server)
        try:
            yield
        finally:
            self._client.resume(server)
            await until(self._works, what=f"Argo CD to work again with {server} going on")

    async def _works(self) -> bool:
        """For every application that is there a refresh (the controller, Kubernetes), and what it renders (the repo-server, Redis)."""
        argocd = self._client.argocd()
        listed = await argocd.call("GET", "/api/v1/applications")
        names = [one["metadata"]["name"] for one in listed.body["items"] or []] if listed.good else [""]
        paths = [f"/api/v1/applications/{name}{part}" for name in names for part in ("?refresh=normal", "/manifests")]
        answers = [await argocd.call("GET", path) for path in paths]
        return all(answer.good or answer.status == 404 for answer in answers)  # 404: it is being deleted

    async def change_settings(self) -> None:
        """See `Outages`."""
        await change_settings(self._client)

    async def forget(self) -> None:
        """See `Outages`."""
        await self._client.forget()
