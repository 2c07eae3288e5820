"""Images of a registry whose tags can be moved: the lab's own, or one in this process that the sandbox's pods pull from."""

import hashlib
from typing import Protocol

from tests.real.lab.client import LabClient


class Images(Protocol):
    """What a test may push."""

    async def push(self, repository: str, tag: str, content: str) -> tuple[str, str]:
        """Other content is another image. Answers the reference by tag, which from now on means this one, and the image's digest."""
        ...


class SandboxImages:
    """In this process; `digest_of` is what the sandbox's pods ask."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def digest_of(self, image: str) -> str | None:
        """What the tag means now; None for an image of somewhere else."""
        return self._digests.get(image)

    async def push(self, repository: str, tag: str, content: str) -> tuple[str, str]:
        """See `Images`."""
        reference = f"registry.example/{repository}:{tag}"
        self._digests[reference] = "sha256:" + hashlib.sha256(f"{repository} {content}".encode()).hexdigest()
        return reference, self._digests[reference]


class RealImages:
    """In the lab's registry."""

    def __init__(self, client: LabClient) -> None:
        self._client = client

    async def push(self, repository: str, tag: str, content: str) -> tuple[str, str]:
        """See `Images`."""
        digest = await self._client.push_image(repository, version=content, tag=tag)
        return f"{self._client.lab.registry_host}/{repository}:{tag}", digest
