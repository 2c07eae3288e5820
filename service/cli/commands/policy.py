"""`backout policy test`: what the settings' policies would make of cases that were written down. Needs no service, asks nobody, changes nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from service.cli.commands.here import told
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.session import NO_FILE, AsJson, Config, NoColor, settings_file, terminal_of
from service.cli.terminal import one_line

Cases = Annotated[list[Path], typer.Argument(metavar="FILE", help="Cases in YAML or JSON (docs/policy.md).")]


def try_cases(ctx: typer.Context, cases: Cases, config: Config = NO_FILE, as_json: AsJson = False, no_color: NoColor = False) -> None:
    """Apply the policies of the settings to recorded cases and compare. Exit 1 when one comes out otherwise than expected."""
    from service.wiring.rehearsing import rehearse_files  # noqa: PLC0415  commands over HTTP load nothing of the service

    terminal = terminal_of(ctx, as_json=as_json, no_color=no_color)
    with told():
        done = rehearse_files(settings_file(terminal, config), cases)
    if isinstance(done, str):
        raise CommandFailed(done, "docs/policy.md says what a case is")
    rows = [
        {
            "file": file,
            "name": one.case.name,
            "target": str(one.case.target),
            "policy": one.match,
            "ok": not one.differs,
            "got": one.got,
            "expected": one.case.expect,
            "says": one.says,
            "held": list(one.held),
            "faults": list(one.faults),
        }
        for file, one in done
    ]
    failed = sum(1 for one in rows if not one["ok"])
    ended = f"{len(rows)} case{'s' if len(rows) != 1 else ''}, {f'{failed} came out otherwise than expected' if failed else 'each as expected'}"
    terminal.answer({"ok": not failed, "cases": rows}, _table(rows), Text(f"\n{ended}.", style="bold red" if failed else "bold green"))
    if failed:
        raise typer.Exit(ExitCode.ERROR)


def _table(rows: Sequence[Any]) -> Table:
    """One line a case; below one that differs what was expected and why it came otherwise."""
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    for column in ("", "case", "target", "mode", "verdict", "does"):
        table.add_column(column, no_wrap=column != "case")
    for one in rows:
        got = one["got"]
        says = Text(one_line(one["name"]))
        if not one["ok"]:
            for name, wanted in one["expected"].items():
                if got[name] != wanted:
                    says.append(f"\n{name}: expected {_shown(wanted)}, got {_shown(got[name])}", style="red")
            says.append(f"\nit says: {one_line(one['says'])}")
        for fault in one["faults"]:
            says.append(f"\n{one_line(fault)}", style="red")
        table.add_row("ok" if one["ok"] else "NO", says, one_line(one["target"]), got["mode"], got["verdict"], got["does"])
    return table


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
