"""Commands that run in this process: serve, doctor, demo, token, help, version, and what other commands do without a service.

Everything of the service is imported when it is needed, and only through `service.wiring` (tokens: `service.api.tokens`): it takes half a second to load.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from service.cli import render
from service.cli.asking import names
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.session import NO_FILE, AsJson, Config, NoColor, settings_file, terminal_of
from service.cli.terminal import Terminal

SANDBOXES: Final = ("argocd", "spinnaker")
"""Delivery systems that the demo can be played on, as `integrations.sandbox.world` has them (which takes half a second to load)."""
_UNITS: Final[Mapping[str, int]] = {"m": 60, "h": 3600, "d": 86400}


@contextmanager
def told() -> Iterator[None]:
    """The service's own errors carry a sentence: say it. Those about settings begin with `file:line:`."""
    from service.domain.errors import BackoutError, NotFoundError, SettingsError  # noqa: PLC0415  see the module's docstring

    try:
        yield
    except SettingsError as error:
        raise CommandFailed(str(error), "put it right; `backout help settings` explains each setting", prefix="") from error
    except NotFoundError as error:
        raise CommandFailed(str(error), "`backout operations` lists what there is") from error
    except BackoutError as error:
        raise CommandFailed(str(error), "`backout doctor` says what is not well") from error


def serve(ctx: typer.Context, config: Config = NO_FILE) -> None:
    """Run the service until it is told to stop."""
    from service import wiring  # noqa: PLC0415  see the module's docstring

    with told():
        code = wiring.serve(settings_file(terminal_of(ctx), config))
    raise typer.Exit(code)


def doctor(ctx: typer.Context, config: Config = NO_FILE, as_json: AsJson = False, no_color: NoColor = False) -> None:
    """Check each connection and right that the service needs. Exit 1 when one is missing."""
    import asyncio  # noqa: PLC0415  see the module's docstring

    from service.wiring.checking import doctor as look  # noqa: PLC0415  see the module's docstring

    terminal = terminal_of(ctx, as_json=as_json, no_color=no_color)
    with told():
        checked = asyncio.run(look(settings_file(terminal, config)))
    lines = [{"what": one.what, "well": one.well, "says": one.says, "fix": one.fix} for one in checked]
    ready = bool(lines) and all(one["well"] in {"ok", "warn"} for one in lines)
    terminal.answer({"ok": ready, "checks": lines}, render.doctor(lines))
    if not ready:
        raise typer.Exit(ExitCode.ERROR)


def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running to play with.")] = False,
    delivery: Annotated[str, typer.Option("--delivery", metavar="NAME", help="On which sandbox: argocd or spinnaker.")] = "argocd",
    as_json: AsJson = False,
) -> None:
    """Play the story on this machine, in three scenes."""
    terminal = terminal_of(ctx, as_json=as_json)
    if delivery not in SANDBOXES:
        raise CommandFailed(f"there is no sandbox {delivery}", f"--delivery {' or '.join(SANDBOXES)}", ExitCode.USAGE)
    from service.cli.demo import run  # noqa: PLC0415  see the module's docstring

    with told():
        code = run(terminal, keep=keep, delivery=delivery)
    raise typer.Exit(code)


def create(
    ctx: typer.Context,
    subject: Annotated[str, typer.Option("--subject", metavar="NAME", help="Who it is for: alice, or service:portal.")],
    scope: Annotated[list[str], typer.Option("--scope", metavar="SCOPE,…", help="What it may do, for example targets:read,operations:read.")],
    targets: Annotated[list[str], typer.Option("--targets", metavar="PATTERN,…", help="Which targets it may see, for example prod:shop-*.")],
    expires: Annotated[str, typer.Option("--expires", metavar="30d", help="How long it lives: 30m, 12h, 30d.")] = "30d",
    keys: Annotated[Path, typer.Option("--keys", metavar="FILE", help="The keys file; else the one that the settings name.", show_default=False)] = NO_FILE,
    config: Config = NO_FILE,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Write it to a new file that only you can read.", show_default=False)
    ] = NO_FILE,
    as_json: AsJson = False,
) -> None:
    """Make a token. It goes to stdout alone (or to --output), and is kept nowhere."""
    from datetime import timedelta  # noqa: PLC0415  see the module's docstring

    from service.api.tokens import create_token  # noqa: PLC0415  see the module's docstring

    terminal = terminal_of(ctx, as_json=as_json)
    seconds = _seconds(expires)
    file = keys if keys != NO_FILE else _keys_file(settings_file(terminal, config))
    try:
        token = create_token(
            _read_keys(file), subject=subject, scopes=names(scope), targets=names(targets), expires=timedelta(seconds=seconds), now=terminal.now()
        )
    except ValueError as error:
        raise CommandFailed(str(error), "see `backout token create --help`", ExitCode.USAGE) from error
    about = {"subject": subject, "scopes": names(scope), "targets": names(targets), "expires_in_s": seconds}
    if output != NO_FILE:
        new_private_file(output, token + "\n")
        terminal.answer({**about, "file": str(output)}, Text(f"written to {output}; use it with: export BACKOUT_TOKEN_FILE={output}"))
    elif as_json:
        terminal.answer({**about, "token": token})
    else:
        terminal.write(token)


def key(
    ctx: typer.Context,
    keys: Annotated[Path, typer.Option("--keys", metavar="FILE", help="The keys file to make.")],
    add: Annotated[bool, typer.Option("--add", help="Add a newer key to the file; tokens of the older ones stay good.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key that tokens are signed with. Its file can be read by you alone."""
    from service.api.tokens import new_key  # noqa: PLC0415  see the module's docstring

    terminal = terminal_of(ctx, as_json=as_json)
    fresh = new_key()
    if add:
        document = _read_keys(keys)
        _replace_private_file(keys, json.dumps({**document, "keys": [*document.get("keys", ()), fresh]}, indent=2) + "\n")
    else:
        new_private_file(keys, json.dumps({"keys": [fresh]}, indent=2) + "\n")
    terminal.answer({"kid": fresh["kid"], "file": str(keys)}, Text(f"key {fresh['kid']} is in {keys}; name the file in the settings: auth.keys_file"))


def settings(ctx: typer.Context, path: Annotated[str, typer.Argument(metavar="PATH", help="For example delivery.argocd.", show_default=False)] = "") -> None:
    """Explain the settings, or the one at a path."""
    from service import wiring  # noqa: PLC0415  see the module's docstring
    from service.domain.errors import SettingsError  # noqa: PLC0415  see the module's docstring

    try:
        terminal_of(ctx).write(wiring.settings_help(path))
    except SettingsError as error:
        raise CommandFailed(str(error), "`backout help settings` lists the sections", ExitCode.USAGE) from error


def version(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415  seldom needed
    from importlib.metadata import version as installed  # noqa: PLC0415  seldom needed

    try:
        number = installed("backout")
    except PackageNotFoundError as error:
        raise CommandFailed("which version this is cannot be found out: it is not installed", "make install") from error
    terminal_of(ctx, as_json=as_json).answer({"version": number}, Text(f"backout {number}"))


def audit_from_store(store: str, identity: str) -> Mapping[str, Any]:
    """The document of GET /v1/operations/{id}/trace, from the store alone."""
    import asyncio  # noqa: PLC0415  see the module's docstring

    from service import wiring  # noqa: PLC0415  see the module's docstring

    with told():
        return asyncio.run(wiring.audit_from_store(store, identity))


def write_stop_file(config: Path, reason: str) -> Path:
    """Write the stop file that the settings name; answers where it is."""
    from service import wiring  # noqa: PLC0415  see the module's docstring

    with told():
        file = wiring.stop_file(config)
    if file is None:
        raise CommandFailed(f"NOT stopped: the service is away, and {config} names no stop_file", "stop the service's process, or give it a stop_file")
    try:
        file.write_text(" ".join(reason.split()) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"NOT stopped: {file} cannot be written: {(error.strerror or 'unknown error').lower()}", "write that file as its owner") from error
    return file


# --- files ---------------------------------------------------------------------------------------------------------------


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text.strip())
    if not found:
        raise CommandFailed(f"--expires {text} is no length of time", "give minutes, hours or days: 30m, 12h, 30d", ExitCode.USAGE)
    return int(found[1]) * _UNITS[found[2]]


def _keys_file(config: Path) -> Path:
    from service.settings import load  # noqa: PLC0415  see the module's docstring
    from service.wiring.parts import kinds  # noqa: PLC0415  see the module's docstring

    with told():
        return load(config, kinds()).auth.keys_file


def _read_keys(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {(error.strerror or 'unknown error').lower()}", f"make it: backout token key --keys {file}") from error
    except ValueError:
        raise CommandFailed(f"{file} is no keys file: it is not JSON", "make another: backout token key --keys FILE") from None
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise CommandFailed(f"{file} is no keys file: expected an object with a list `keys`", "make another: backout token key --keys FILE")
    return document


def new_private_file(file: Path, body: str) -> None:
    """Make the file with mode 0600; never through a link and never over what is there."""
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(f"{file} is there already, and is not overwritten", "name a new file") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {(error.strerror or 'unknown error').lower()}", "name another file") from error
    with os.fdopen(number, "w", encoding="utf-8") as stream:
        stream.write(body)


def _replace_private_file(file: Path, body: str) -> None:
    """Put a new file in the old one's place in one move, so that a reader sees the one or the other."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    new_private_file(beside, body)
    try:
        beside.replace(file)
    except OSError as error:
        beside.unlink()
        raise CommandFailed(f"{file} cannot be replaced: {(error.strerror or 'unknown error').lower()}", "look at who owns it") from error


def say_help(ctx: typer.Context) -> None:
    """Help on the commands, or on the settings."""
    if ctx.invoked_subcommand is None and ctx.parent is not None:
        terminal: Terminal = terminal_of(ctx)
        terminal.write(ctx.parent.get_help())
