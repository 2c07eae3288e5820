"""What an operator says about one Argo CD. Nothing here is a secret: the token stands in a file that is read again for each request."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """One Argo CD instance; `name` is the first half of its targets' ids, e.g. `prod` in `prod:checkout`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["argocd"] = "argocd"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Name of the instance in target ids, URLs and logs."""
    url: str
    """Base address of argocd-server, with its root path if it has one; https unless it is on loopback."""
    token_file: Path
    """File with an API token of an account of our own (never admin): its name is how our acts are told from a person's."""
    ca_file: Path | None = None
    """CA that signed the server's certificate; default: the system's. Certificates are always verified."""
    projects: tuple[str, ...] = ()
    """AppProjects to look at; empty = all. Naming them lets a short list be told from a token that may not read."""
    namespace: str = "argocd"
    """The control plane's namespace: applications in others are named `namespace/application`."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For each exchange; the recorded server answers within 0.1 s."""
    refresh_timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    """How long the application controller may take to answer a refresh before it counts as not there (recorded: 0.05 s)."""
    slot_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 20.0
    """How long a terminated operation may hold on to the application (recorded: 0.2 s)."""
    read_back_seconds: tuple[float, ...] = (0.0, 2.0, 5.0)
    """When, after auto-sync was stopped, it is looked at whether somebody took that back (an owner does within 0.01 to 5.8 s)."""
    denied_for_seconds: Annotated[float, Field(ge=0, le=120)] = 30.0
    """How long an act keeps trying while Argo CD refuses connections (20 s when it restarts itself, recording 02) or answers a bare `permission
    denied` (a Kubernetes API that is away looks the same)."""
    watch: bool = True
    """Whether changes are heard of by one open watch (within a second) besides the list; off where a proxy cannot stream."""
