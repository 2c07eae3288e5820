"""What every command begins with: the options they share, the terminal, and for HTTP commands the service at its address."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from service.cli.client import DEFAULT_SERVER, Service, read_token
from service.cli.terminal import Terminal

Server = Annotated[str, typer.Option("--server", metavar="URL", help=f"The service's address; else BACKOUT_SERVER, else {DEFAULT_SERVER}.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Exactly one JSON document on stdout; never asks.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text; so does NO_COLOR.")]
Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="The settings file; else BACKOUT_CONFIG, else backout.yaml.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the record.")]

NO_FILE = Path()
"""Stands for an option that was not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command's terminal and service."""

    terminal: Terminal
    service: Service


def terminal_of(ctx: typer.Context, *, as_json: bool = False, no_color: bool = False) -> Terminal:
    """The terminal that `app.run` gave, told what this command wants of it."""
    terminal: Terminal = ctx.ensure_object(Terminal)
    terminal.as_json = as_json
    terminal.color = terminal.color and not no_color
    return terminal


def session(ctx: typer.Context, server: str, *, as_json: bool, no_color: bool) -> Session:
    """For a command over HTTP. The token comes from the environment alone: a command line is read by other people."""
    terminal = terminal_of(ctx, as_json=as_json, no_color=no_color)
    environment = terminal.environment
    address = server or environment.get("BACKOUT_SERVER", "") or DEFAULT_SERVER
    return Session(terminal=terminal, service=Service(address, read_token(environment)))


def settings_file(terminal: Terminal, config: Path) -> Path:
    """The settings file that was named, or the usual one."""
    return config if config != NO_FILE else Path(terminal.environment.get("BACKOUT_CONFIG", "") or "backout.yaml")
