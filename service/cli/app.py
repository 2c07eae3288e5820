"""The command `backout`: its commands in the order in which a person meets them, and the one place where a failure becomes words and an exit code."""

from collections.abc import Callable, Sequence

import typer

from service.cli.commands import deciding, here, init, looking, policy, schema
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.terminal import Terminal

_CODES = "Exit codes: 0 done or safe, 1 error, 2 usage, 3 blocked, 4 not recovered, 5 unknown or inconclusive, 6 waiting for a person, 7 cancelled or expired."


def _group(help_text: str, *, alone: bool = False) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        epilog=_CODES,
        add_completion=False,
        invoke_without_command=alone,
        no_args_is_help=not alone,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def make_app() -> typer.Typer:
    """All commands."""
    app = _group("Takes production back to safety, and says beforehand whether it can.")
    plain: tuple[Callable[..., None], ...] = (
        *(init.init, here.serve, here.doctor, here.demo),
        *(looking.targets, looking.check, looking.plan, looking.operations, looking.incidents, looking.alerts, looking.audit, looking.captures),
        *(deciding.rollback, deciding.watch, deciding.approve, deciding.override, deciding.reject, deciding.cancel, deciding.stop, deciding.resume),
        here.version,
    )
    for command in plain:
        app.command()(command)
    holds = _group(looking.holds.__doc__ or "", alone=True)
    holds.callback()(looking.holds)
    holds.command("show")(looking.show_hold)
    holds.command("end")(deciding.end_hold)
    app.add_typer(holds, name="holds")
    token = _group("Keys and tokens for the API.")
    token.command("create")(here.create)
    token.command("key")(here.key)
    app.add_typer(token, name="token")
    reading = _group("Migrations, judged without executing anything.")
    reading.command("check")(schema.check)
    app.add_typer(reading, name="schema")
    policies = _group("Policies of the settings, tried without a service.")
    policies.command("test")(policy.try_cases)
    app.add_typer(policies, name="policy")
    helping = _group(here.say_help.__doc__ or "", alone=True)
    helping.callback()(here.say_help)
    helping.command("settings")(here.settings)
    app.add_typer(helping, name="help")
    return app


def run(arguments: Sequence[str], terminal: Terminal) -> int:
    """Run one command; answers its exit code. Nothing but a defect of our own raises."""
    command = typer.main.get_command(make_app())
    try:
        command.main(args=list(arguments), prog_name="backout", obj=terminal)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(ExitCode.ERROR if left.code else ExitCode.DONE)
    except CommandFailed as failed:
        terminal.fail(failed)
        return int(failed.code)
    return int(ExitCode.DONE)
