"""What an operator says about one Spinnaker, reached through its Gate. Nothing here is a secret: credentials stand in files that are read again when used."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from integrations.delivery.spinnaker import expressions
from integrations.http import Address

PLACES = ("revision", "image", "version", "account", "namespace", "name")
"""What a parameter's value may name: revision (or server group) and first image of the release to go back to, its version, and the target's own names."""
PLACE = re.compile(r"\{(\w+)\}")

Auth = Literal["none", "api_token", "bearer", "basic", "x509", "header"]

NEEDS = {
    "none": (),
    "api_token": ("token_file",),
    "bearer": ("token_file",),
    "basic": ("token_file",),
    "x509": ("certificate_file", "key_file"),
    "header": ("user",),
}
"""What each way to log in needs, and what the others must not have."""


class RollbackPipeline(BaseModel):
    """The team's own rollback pipeline for some targets: they go back by it and by nothing else.

    A value of `parameters` may name what is filled in for the release to go back to, as in `{image}`; see `PLACES`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    pipeline: Annotated[str, Field(min_length=1)]
    """Its name, in the target's own application."""
    targets: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Targets without the instance's name; `*` stands for any text: `k8s/shop/deployment/*`."""
    parameters: Mapping[str, str] = Field(default_factory=dict)
    """What it is started with. A parameter that is left out gets the pipeline's own default."""

    @field_validator("parameters")
    @classmethod
    def _known_places(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if strange := [place for place in PLACE.findall(text) if place not in PLACES]:
                raise ValueError(f"{name}: there is no {{{strange[0]}}}; there are {', '.join(PLACES)}")
            if expressions.MARK in text:
                raise ValueError(f"{name}: {expressions.MARK} would be evaluated by Spinnaker")
        return value


class Settings(BaseModel):
    """One Gate; `name` is the first half of its targets' ids, e.g. `spin` in `spin:prod-k8s/shop/deployment/checkout`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    kind: Literal["spinnaker"] = "spinnaker"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Name of the instance in target ids, URLs and logs."""
    url: Address
    """Base address of Gate, with its root path if it has one; for x509 that of its API port."""
    auth: Auth
    """How Backout logs in: none, api_token (Gate 2026.2 and newer, the best), bearer (OAuth2), basic (also LDAP), x509, header (Gate trusts the network)."""
    token_file: Path | None = None
    """File with the API token, the bearer token, or `user:password` for basic."""
    certificate_file: Path | None = None
    """Client certificate (PEM) for x509."""
    key_file: Path | None = None
    """Its key (PEM, without a passphrase)."""
    user: str = ""
    """The user that Gate is told in header mode."""
    ca_file: Path | None = None
    """CA that signed the server's certificate; default: the system's. Certificates are always verified."""
    applications: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")], ...], Field(min_length=1)]
    """Spinnaker applications to look after: only what belongs to them is a target."""
    shut_triggers: bool = False
    """Whether a rollback may switch triggers off that would deploy the bad version again, until its hold ends. It saves the pipelines whole, as they were read:
    that needs WRITE in the application, and the right to each trigger's `runAsUser`."""
    rollback_pipelines: tuple[RollbackPipeline, ...] = ()
    """Rollback pipelines of teams. The first one that names a target is the way back there, and the only one."""
    packages: Mapping[str, str] = Field(default_factory=dict)
    """Package of a machine image (`package_name` of its build) -> repository of its source, as under `evidence.git`. For images without the tag
    `org.opencontainers.image.source`: Spinnaker knows the commit that a package was built from, and not of which repository."""
    timeout_seconds: Annotated[float, Field(gt=0, le=130)] = 30.0
    """For each read. Gate itself gives its backends 120 s (recording 09c)."""
    write_timeout_seconds: Annotated[float, Field(gt=0, le=130)] = 20.0
    """For each write. Gate may go on for 120 s after that: no answer means nothing, so it is looked for, and nothing is sent again before that time is over."""
    retry_seconds: Annotated[float, Field(ge=0, le=120)] = 30.0
    """How long an act keeps trying while nobody answers at Gate's address, or Gate turns it away before doing anything (429, 503)."""

    @model_validator(mode="after")
    def _what_the_login_needs(self) -> Self:
        """Exactly what the way to log in needs: a file that is not used would be believed to be."""
        wanted = NEEDS[self.auth]
        given = {name: getattr(self, name) for name in ("token_file", "certificate_file", "key_file", "user")}
        missing = [name for name in wanted if not given[name]]
        if missing:
            raise ValueError(f"auth {self.auth} needs {' and '.join(missing)}")
        unused = [name for name, value in given.items() if value and name not in wanted]
        if unused:
            raise ValueError(f"auth {self.auth} does not use {' and '.join(unused)}")
        if not self.user.isprintable():
            raise ValueError("user: expected one line")
        return self
