"""Logs of containers: of a node that has a kubelet for as long as a test wants it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from integrations.sandbox.argocd.server import SandboxArgoCD
from tests.real.lab import logs
from tests.real.lab.client import LabClient


class Logs(Protocol):
    """What a test may have written by containers."""

    def written(self, lines: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Inside of the block every container's log can be read, and is these lines: a time (RFC 3339), a space, a text."""
        ...


class SandboxLogs:
    """In this process."""

    def __init__(self, sandbox: SandboxArgoCD) -> None:
        self._sandbox = sandbox

    @asynccontextmanager
    async def written(self, lines: Sequence[str]) -> AsyncIterator[None]:
        """See `Logs`."""
        self._sandbox.containers_wrote(lines)
        try:
            yield
        finally:
            self._sandbox.containers_wrote(None)


class RealLogs:
    """By a kubelet's endpoint that the real Kubernetes API server reads."""

    def __init__(self, client: LabClient, folder: Path) -> None:
        self._client, self._folder = client, folder

    @asynccontextmanager
    async def written(self, lines: Sequence[str]) -> AsyncIterator[None]:
        """See `Logs`."""
        async with logs.served(self._client, lines, self._folder):
            yield
