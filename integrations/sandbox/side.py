"""What a sandbox world asks of a delivery system in it: one *side*. A world may have several, and each of its shops is deployed by one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.domain.model import TargetId


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One release as it was shipped: source commit and its repository, image and its digest, configuration commit."""

    app: str
    version: str
    repository: str
    source: str
    image: str
    digest: str
    config: str


class Side(Protocol):
    """One delivery system with the shops that it deploys."""

    kind: str
    """As in the settings."""
    title: str
    """As people call it."""
    label: str
    """The label that names a shop in series and alerts."""
    shortened: str
    """What goes faster here than there, in a sentence; "" for nothing."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    async def open(self) -> None:
        """Start it, with an account for Backout and one for a person."""
        ...

    async def close(self) -> None:
        """Stop it; what was not opened is closed already."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Backout's settings for it."""
        ...

    def target(self, app: str) -> TargetId:
        """The shop as Backout calls it."""
        ...

    def namespace(self, app: str) -> str:
        """Where the shop runs, as its alerts say."""
        ...

    async def deploy_first(self, shipped: Shipped, replicas: int, *, auto_sync: bool) -> None:
        """Begin to deploy the first release of a shop that is not there yet. `auto_sync` where there is such a thing."""
        ...

    async def deploy_next(self, shipped: Shipped) -> None:
        """Begin to deploy a release that was just shipped."""
        ...

    def called(self, shipped: Shipped) -> str:
        """A release as this system's users call it."""
        ...

    def replicas(self, app: str) -> int:
        """How many pods the shop wants."""
        ...

    def pods(self, app: str) -> Sequence[tuple[str, bool]]:
        """(digest, ready) of each pod of the shop."""
        ...

    # --- what Backout did, as this system saw it ---------------------------------------------------------------------------

    def writes(self) -> int:
        """How many writing requests of Backout's account it was sent."""
        ...

    def asks(self, app: str) -> int:
        """How often Backout asked it to take the shop's release back."""
        ...

    async def times_taken_back(self, app: str) -> int:
        """How often that happened."""
        ...

    async def kept_away(self, app: str) -> Mapping[str, bool]:
        """What has to be so of a shop whose bad release was taken back and is held away: a sentence, and whether it is."""
        ...


def deployment(app: str, image: str, replicas: int) -> dict[str, Any]:
    """The manifest of a shop."""
    labels = {"app": app}
    container = {"name": "main", "image": image}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def write_private(path: Path, text: str) -> None:
    """A file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")
