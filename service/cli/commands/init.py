"""`backout init`: asks for your own names, or takes them as options, and writes the files to begin with. Runs in this process; asks no server anything."""

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from service.cli import kit, render
from service.cli.asking import names
from service.cli.commands.here import new_private_file, told
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.kit_spinnaker import SpinnakerWishes
from service.cli.session import AsJson, NoColor, terminal_of
from service.cli.terminal import Terminal

_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"n", "no"})


def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to write.")] = Path("backout"),
    argocd_url: Annotated[str, typer.Option("--argocd-url", metavar="URL", help="Argo CD's address.", show_default=False)] = "",
    project: Annotated[list[str], typer.Option("--project", metavar="NAME,…", help="An Argo CD project it may look after.", show_default=False)] = [],  # noqa: B006
    instance: Annotated[str, typer.Option("--instance", metavar="NAME", help="First half of the targets' names.")] = "prod",
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="The account in Argo CD.")] = "backout",
    namespace: Annotated[str, typer.Option("--namespace", metavar="NAME", help="Where Argo CD runs.")] = "argocd",
    auto_sync: Annotated[bool, typer.Option("--auto-sync/--no-auto-sync", help="Whether it may stop auto-sync (the right `update`).")] = True,
    rollouts: Annotated[bool, typer.Option("--rollouts", help="There are Argo Rollouts: it may abort one.")] = False,
    promote_full: Annotated[bool, typer.Option("--promote-full", help="And it may promote one in full.")] = False,
    gate_url: Annotated[str, typer.Option("--gate-url", metavar="URL", help="The address of Spinnaker's Gate.", show_default=False)] = "",
    application: Annotated[list[str], typer.Option("--application", metavar="NAME,…", help="A Spinnaker application.", show_default=False)] = [],  # noqa: B006
    gate_instance: Annotated[str, typer.Option("--gate-instance", metavar="NAME", help="First half of the names of Spinnaker's targets.")] = "spin",
    gate_auth: Annotated[str, typer.Option("--gate-auth", metavar="HOW", help="api_token, bearer, basic, x509, header or none.")] = "api_token",
    gate_role: Annotated[str, typer.Option("--gate-role", metavar="NAME", help="The role, and account, in Spinnaker.")] = "backout",
    shut_triggers: Annotated[bool, typer.Option("--shut-triggers", help="It may switch triggers off in Spinnaker (the right WRITE).")] = False,
    prometheus_url: Annotated[str, typer.Option("--prometheus-url", metavar="URL", help="Prometheus' address.", show_default=False)] = "",
    notify_url: Annotated[str, typer.Option("--notify-url", metavar="URL", help="A webhook that tells the person on call.", show_default=False)] = "",
    public_url: Annotated[str, typer.Option("--public-url", metavar="URL", help="Where Alertmanager and people reach Backout.")] = "http://127.0.0.1:8080",
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="observe, suggest, approve or auto.")] = "observe",
    force: Annotated[bool, typer.Option("--force", help="Write over the files of an earlier `init`; keys and tokens are kept.")] = False,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Write settings, alert route and rights for your names. For Argo CD, Spinnaker or both; asks for what is missing."""
    terminal = terminal_of(ctx, as_json=as_json, no_color=no_color)
    projects, applications = names(project), names(application)
    if terminal.a_person_is_there and not ((argocd_url and projects) or (gate_url and applications)):
        argocd_url = argocd_url or _asked(terminal, "Argo CD's address (https://…), or nothing where there is none", "")
        if argocd_url or projects:
            projects = projects or names([_asked(terminal, "Its projects that Backout looks after, separated by commas", "")])
            instance = _asked(terminal, "A name for this Argo CD; targets are called NAME:application", instance)
            auto_sync = _yes(terminal, "May Backout stop auto-sync? It needs the right `update`, which may change any field of a spec", default=auto_sync)
            rollouts = _yes(terminal, "Are there Argo Rollouts?", default=rollouts)
        gate_url = gate_url or _asked(terminal, "The address of Spinnaker's Gate (https://…), or nothing where there is none", "")
        if gate_url or applications:
            applications = applications or names([_asked(terminal, "Its applications that Backout looks after, separated by commas", "")])
            gate_instance = _asked(terminal, "A name for this Spinnaker; targets are called NAME:account/namespace/deployment/name", gate_instance)
            question = "May Backout switch triggers off that would deploy a bad version again? It needs WRITE on the applications"
            shut_triggers = _yes(terminal, question, default=shut_triggers)
        prometheus_url = _asked(terminal, "Prometheus' address, if there is one", prometheus_url)
        notify_url = _asked(terminal, "A webhook that tells the person on call, if there is one", notify_url)
        public_url = _asked(terminal, "The address under which Alertmanager reaches Backout", public_url)
    spinnaker = None
    if gate_url or applications:
        spinnaker = SpinnakerWishes(
            gate_url=gate_url,
            applications=tuple(applications),
            instance=gate_instance,
            auth=gate_auth,
            role=gate_role,
            may_shut_triggers=shut_triggers,
        )
    wishes = kit.Wishes(
        argocd_url=argocd_url,
        projects=tuple(projects),
        spinnaker=spinnaker,
        instance=instance,
        account=account,
        namespace=namespace,
        may_stop_auto_sync=auto_sync,
        rollouts=rollouts,
        promote_full=promote_full,
        prometheus_url=prometheus_url,
        notify_url=notify_url,
        public_url=public_url,
        mode=mode,
    )
    faults = wishes.faults()
    if faults:
        raise CommandFailed(
            "\n".join(faults),
            "see `backout init --help`; without a terminal --argocd-url and --project are needed, or --gate-url and --application",
            ExitCode.USAGE,
        )
    texts = kit.files(wishes)
    _would_load(texts["backout.yaml"])
    written, kept = _write(folder, texts, force=force)
    steps = kit.next_steps(wishes, str(folder))
    document = {"dir": str(folder), "written": written, "kept": kept, "next": [{"says": says, "commands": commands} for says, commands in steps]}
    terminal.answer(document, render.init(document))


def _asked(terminal: Terminal, question: str, default: str) -> str:
    return terminal.ask(f"{question}{f' [{default}]' if default else ''}: ") or default


def _yes(terminal: Terminal, question: str, *, default: bool) -> bool:
    while True:
        said = terminal.ask(f"{question} [{'yes' if default else 'no'}]: ").lower()
        if not said:
            return default
        if said in _YES | _NO:
            return said in _YES


def _would_load(text: str) -> None:
    """The settings are read as `serve` would read them, before anything is written."""
    from service.settings import load  # noqa: PLC0415  loads the service, which HTTP commands do without
    from service.wiring.parts import kinds  # noqa: PLC0415  see above

    with tempfile.TemporaryDirectory() as folder, told():
        file = Path(folder) / "backout.yaml"
        file.write_text(text, encoding="utf-8")
        load(file, kinds())


def _write(folder: Path, texts: Mapping[str, str], *, force: bool) -> tuple[list[str], list[str]]:
    """Write everything or, when a file would be overwritten, nothing; answers what was written and what was kept. Secrets are never replaced."""
    there = [name for name in texts if (folder / name).exists() or (folder / name).is_symlink()]
    if there and not force:
        raise CommandFailed(f"{folder} has {', '.join(there)} already; nothing was written", "name another --dir, or write over them with --force")
    linked = [name for name in there if (folder / name).is_symlink()]
    if linked:
        raise CommandFailed(f"{', '.join(linked)} in {folder} is a link; nothing was written", "take it away, or name another --dir")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            beside = folder / f".{name}.{secrets.token_hex(4)}"
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, folder / name)  # noqa: PTH105  in one move, so that nobody reads half of it
    except OSError as error:
        raise CommandFailed(f"{folder} cannot be written: {(error.strerror or 'unknown error').lower()}", "name another --dir") from error
    written, kept = list(texts), []
    for name, make in SECRETS.items():
        if (folder / name).exists():
            kept.append(name)
        else:
            new_private_file(folder / name, make())
            written.append(name)
    return written, kept


def _keys() -> str:
    from service.api.tokens import new_key  # noqa: PLC0415  loads the service, which HTTP commands do without

    return json.dumps({"keys": [new_key()]}, indent=2) + "\n"


SECRETS: Final[Mapping[str, Callable[[], str]]] = {"keys.json": _keys, "alert-token": lambda: secrets.token_urlsafe(32) + "\n"}
"""Made if they are not there, readable by their owner alone."""
