import inspect
import re
from pathlib import Path

import pytest
import typer

from service.cli.app import make_app
from tests.unit.service.cli.conftest import Shell

DOCS = Path(__file__).parents[4] / "docs" / "cli.md"
IN_PROCESS = {"init", "serve", "demo", "help", "version", "token", "doctor", "policy", "schema"}


def commands() -> dict[str, set[str]]:
    """Every command, as a person types it, with its options."""
    found = {}
    for name, command in vars(typer.main.get_command(make_app()))["commands"].items():
        inner = getattr(command, "commands", {})
        for path, one in ((name, command), *((f"{name} {sub}", below) for sub, below in inner.items())):
            found[path] = {option for parameter in one.params for option in parameter.opts if option.startswith("--")}
    return found


def test_every_promised_command_is_there() -> None:
    beginning = "init serve doctor demo policy token help version schema"
    looking = "targets check plan watch operations incidents alerts audit captures holds"
    deciding = "rollback approve override reject cancel stop resume"
    promised = f"{beginning} {looking} {deciding}"
    assert set(promised.split()) == {path.split()[0] for path in commands()}
    assert {"holds end", "policy test", "schema check", "token create", "token key", "help settings"} <= set(commands())


def test_every_http_command_speaks_json_without_colour_to_any_server() -> None:
    for path, options in commands().items():
        if path.split()[0] not in IN_PROCESS:
            assert {"--json", "--no-color", "--server"} <= options, path


def test_every_command_and_option_has_a_sentence() -> None:
    for info in (
        *make_app().registered_commands,
        *(one for group in make_app().registered_groups if group.typer_instance for one in group.typer_instance.registered_commands),
    ):
        assert info.callback is not None
        assert inspect.getdoc(info.callback), info.callback


def test_the_guide_names_every_command_and_every_option() -> None:
    guide = DOCS.read_text(encoding="utf-8")
    for path, options in commands().items():
        assert re.search(rf"`backout {path}\b", guide), path
        assert not [option for option in options if option not in guide], path


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("check", "--help"), ("holds", "end", "-h"), ("token", "create", "--help")])
def test_help_is_no_error(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert Shell()(*arguments).code == 0
    assert "Usage: backout" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), ("chek",), ("plan",), ("targets", "--colour"), ("targets", "more"), ("token",), ("watch",)])
def test_wrong_usage_is_code_2_on_stderr_without_a_traceback(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    ran = Shell()(*arguments)
    told = capsys.readouterr()
    assert ran.code == 2
    assert "Usage: backout" in told.err + told.out
    assert "Traceback" not in told.err


def test_a_misspelt_command_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    Shell()("chekc", "prod:a")
    assert "check" in capsys.readouterr().err


@pytest.mark.parametrize("group", [(), ("holds",), ("token",), ("schema",), ("policy",), ("help",)])
def test_in_a_list_of_commands_each_is_told_whole_at_eighty_columns(
    group: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert Shell()(*group, "--help").code == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert listed
    assert not [line for line in listed if not line.endswith(".")]
    assert not [line for line in listed if line.endswith("...") or line.startswith("   ")]


@pytest.mark.parametrize(
    ("command", "usage"), [("check", "check [OPTIONS] [TARGET]"), ("incidents", "incidents [OPTIONS] [ID]"), ("targets", "targets [OPTIONS]")]
)
def test_what_may_be_left_out_stands_in_one_pair_of_brackets(command: str, usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    Shell()(command, "--help")
    assert f"Usage: backout {usage}\n" in capsys.readouterr().out
