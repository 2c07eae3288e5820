"""What `backout init` writes for a Spinnaker: its part of the settings, the least rights in Fiat, and where Echo sends its events. Pure text.

The rights are those of docs/spinnaker.md; what rests on reading Spinnaker's source alone is marked there. WRITE on an application is asked for only where
Backout may switch triggers off, for whoever has it may save any pipeline.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.cli.kit_text import NAME, is_address, quoted, with_comment

APPLICATION: Final = re.compile(r"[A-Za-z0-9._-]{1,250}")
AUTHS: Final[Mapping[str, tuple[str, ...]]] = {
    "api_token": ("    token_file: gate-token",),
    "bearer": ("    token_file: gate-token",),
    "basic": ("    token_file: gate-token",),
    "x509": ("    certificate_file: gate.crt", "    key_file: gate.key"),
    "header": ("    user: {role}",),
    "none": (),
}
"""How Backout logs in -> the settings that go with it."""
HOW: Final[Mapping[str, str]] = {
    "api_token": "the API token of a service account (Gate 2026.2 and newer)",
    "bearer": "an access token of your identity provider, renewed by you",
    "basic": "user:password on one line",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinnakerWishes:
    """What the person said of a Spinnaker; `role` is Backout's in Fiat, and the name of its account."""

    gate_url: str
    applications: tuple[str, ...]
    instance: str = "spin"
    auth: str = "api_token"
    role: str = "backout"
    may_shut_triggers: bool = False

    def faults(self) -> list[str]:
        """What is wrong with them, one sentence each."""
        found = [f"{self.instance!r} is no name for an instance: expected a-z, 0-9 and -"] if not NAME.fullmatch(self.instance) else []
        found += [f"{self.role!r} is no name for a role: expected a-z, 0-9 and -"] if not NAME.fullmatch(self.role) else []
        found += ["name at least one Spinnaker application: only what belongs to those is looked after"] if not self.applications else []
        found += [f"{one!r} is no application: name each one, without *" for one in self.applications if not APPLICATION.fullmatch(one)]
        found += [f"{self.auth!r} is no way to log in: expected {', '.join(AUTHS)}"] if self.auth not in AUTHS else []
        return found + ([] if is_address(self.gate_url, required=True) else [f"{self.gate_url!r} is no address of Gate: expected https://…"])

    def delivery(self) -> list[str]:
        """The lines of its instance in the settings."""
        login = [line.format(role=self.role) for line in AUTHS[self.auth]]
        told = [with_comment(login[0], HOW[self.auth]), *login[1:]] if self.auth in HOW else login
        shuts = "switches triggers off that would deploy the bad version again; needs WRITE on the applications"
        return [
            "  - kind: spinnaker",
            with_comment(
                f"    name: {self.instance}",
                f"targets are called {self.instance}:<account>/<namespace>/deployment/<name>, and {self.instance}:<account>/<region>/<cluster>",
            ),
            with_comment(f"    url: {quoted(self.gate_url)}", "Gate's address, not Deck's"),
            f"    auth: {self.auth}",
            *told,
            with_comment(f"    applications: [{', '.join(map(quoted, self.applications))}]", "only what belongs to these is looked after"),
            *([with_comment("    shut_triggers: true", shuts)] if self.may_shut_triggers else []),
        ]

    def files(self, public_url: str) -> Mapping[str, str]:
        """Name -> text."""
        return {"spinnaker-rights.yaml": self.rights(), "spinnaker-echo.yaml": self.echo(public_url)}

    def rights(self) -> str:
        """What the role may do, application by application and in the accounts they are deployed to."""
        write = f", WRITE: [{self.role}]" if self.may_shut_triggers else ""
        because = "EXECUTE to cancel a run; WRITE to switch a trigger off" if self.may_shut_triggers else "EXECUTE to cancel a run; no WRITE"
        rows = "".join(f"  {quoted(one)}: {{READ: [{self.role}], EXECUTE: [{self.role}]{write}}}\n" for one in self.applications)
        return f"""\
# Made by `backout init`: what the role {self.role} may do in Spinnaker, and nothing more. Where Fiat is off, everybody who reaches Gate may do everything.
# It is a list for whoever keeps Spinnaker's permissions: add the role to what is there already, and take nobody's away.
applications:   # Deck: the application's Config, Edit Application Attributes, Permissions. {because}
{rows}accounts:       # Clouddriver: `permissions` of each account that they are deployed to. WRITE to undo a roll-out
  permissions: {{READ: [{self.role}], WRITE: [{self.role}]}}
"""

    def echo(self, public_url: str) -> str:
        """A part of Echo's own configuration."""
        return f"""\
# Made by `backout init`: put this into echo-local.yml. Echo then tells Backout when a run begins or ends, so that a deploy is heard of at once.
# It is a hint and never a fact: without it Backout polls, and a lost event costs only freshness.
rest:
  enabled: true
  endpoints:
    - wrap: false
      url: {quoted(public_url.rstrip("/") + "/v1/events/spinnaker")}
      headersFile: /opt/spinnaker/config/backout-headers   # one line: `Authorization: Bearer …` with the text of the file alert-token
"""

    def next_steps(self, at: str) -> list[tuple[str, list[str]]]:
        """What to do in Spinnaker."""
        rights: tuple[str, list[str]] = (
            f"Spinnaker: make a service account {self.role} with the role {self.role}, and give that the rights of {at}/spinnaker-rights.yaml",
            [],
        )
        token: list[tuple[str, list[str]]] = []
        if self.auth == "api_token":
            body = f'{{"name": "{self.role}", "principalType": "SERVICE_ACCOUNT", "principalId": "{self.role}"}}'
            curl = (
                f"""curl -sS --fail --max-redirs 0 -H "$GATE_AUTH" -H "Content-Type: application/json" -d '{body}' {self.gate_url.rstrip("/")}/auth/apiTokens"""
            )
            token = [
                (f"Its token, as an administrator of Spinnaker ($GATE_AUTH); put the `token` of the answer into {at}/gate-token", [f"(umask 077; {curl})"])
            ]
        elif self.auth in HOW:
            token = [(f"Put {HOW[self.auth]} into {at}/gate-token, readable by its owner alone", [])]
        elif self.auth == "x509":
            token = [(f"Put a client certificate of {self.role} and its key into {at}/gate.crt and {at}/gate.key", [])]
        return [rights, *token, (f"Echo: put {at}/spinnaker-echo.yaml into echo-local.yml (it may be left out; then Backout polls)", [])]
