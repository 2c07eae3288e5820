import json
from datetime import UTC
from io import StringIO

import pytest

from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.terminal import WIDTH, Terminal, as_json_text, clean, one_line, utc_now
from tests.unit.service.cli.conftest import Screen


def plain(stdin: str = "", *, as_json: bool = False) -> Terminal:
    return Terminal(stdin=StringIO(stdin), stdout=StringIO(), stderr=StringIO(), environment={}, as_json=as_json)


def out(terminal: Terminal) -> str:
    assert isinstance(terminal.stdout, StringIO)
    return terminal.stdout.getvalue()


def err(terminal: Terminal) -> str:
    assert isinstance(terminal.stderr, StringIO)
    return terminal.stderr.getvalue()


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x07", "\x08\x08", "\x7f", "\x9b31m", "\u202egnp.exe", "\u2066x", "\r"])
def test_control_characters_become_visible_signs(evil: str) -> None:
    made = clean({"a": [f"x{evil}y"], evil: 1})
    assert evil not in json.dumps(made, ensure_ascii=False)
    assert made["a"][0].startswith("x")
    assert made["a"][0].endswith("y")


def test_clean_leaves_other_values_and_line_ends_alone() -> None:
    assert clean({"n": 1, "none": None, "text": "a\n\tb · ü ✓"}) == {"n": 1, "none": None, "text": "a\n\tb · ü ✓"}


def test_json_on_stdout_means_the_same_and_cannot_steer_the_terminal() -> None:
    document = {"says": "\x1b[2J \x9b \u202e \u2028 ü"}
    body = as_json_text(document)
    assert json.loads(body) == document
    assert not {"\x1b", "\x9b", "\u202e", "\u2028"} & set(body)
    assert "ü" in body


def test_with_json_only_the_document_goes_to_stdout() -> None:
    terminal = plain(as_json=True)
    terminal.show("for a person")
    terminal.answer({"a": 1}, "for a person")
    assert json.loads(out(terminal)) == {"a": 1}


def test_without_json_only_the_parts_go_to_stdout() -> None:
    terminal = plain()
    terminal.answer({"a": 1}, "for", "a person")
    assert out(terminal) == "for\na person\n"


def test_text_gets_one_line_end() -> None:
    terminal = plain()
    terminal.write("a")
    terminal.write("b\n")
    assert out(terminal) == "a\nb\n"


def test_a_pipe_is_a_hundred_columns_wide_and_keeps_every_sign() -> None:
    terminal = plain()
    assert terminal.width == WIDTH
    terminal.show("word " * 50)
    assert max(map(len, out(terminal).splitlines())) <= WIDTH
    assert out(terminal).split() == ["word"] * 50


def test_lines_in_a_file_do_not_end_in_spaces() -> None:
    terminal = plain()
    terminal.show("a   ", "", "b")
    assert out(terminal) == "a\n\nb\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_no_color_in_the_environment_means_plain_text_on_a_terminal(environment: dict[str, str]) -> None:
    from rich.text import Text  # noqa: PLC0415  only here

    for terminal in (
        Terminal(stdout=Screen(), environment={"TERM": "xterm", **environment}),
        Terminal(stdout=Screen(), environment={"TERM": "xterm"}, color=False),
    ):
        terminal.show(Text("red", style="bold red"))
        assert out(terminal) == "red\n"


def test_a_person_is_there_only_on_a_terminal_and_without_json() -> None:
    assert Terminal(stdin=Screen(), stderr=Screen()).a_person_is_there
    assert not Terminal(stdin=Screen(), stderr=Screen(), as_json=True).a_person_is_there
    assert not Terminal(stdin=StringIO(), stderr=Screen()).a_person_is_there
    assert not Terminal(stdin=Screen(), stderr=StringIO()).a_person_is_there


def test_a_question_goes_to_stderr_and_the_end_of_the_input_is_no_answer() -> None:
    terminal = plain(" yes \n")
    assert terminal.ask("sure? ") == "yes"
    assert terminal.ask("sure? ") == ""
    assert err(terminal) == "sure? sure? "
    assert out(terminal) == ""


def test_a_failure_is_one_line_cause_and_one_line_next_step() -> None:
    terminal = plain()
    terminal.fail(CommandFailed("it \x1b[2J  burns", "put\x07 it out"))
    assert err(terminal) == "backout: it ␛[2J burns\n  next: put␇ it out\n"
    assert out(terminal) == ""


def test_in_a_window_a_failure_ends_its_lines_between_words_and_keeps_commands_whole() -> None:
    terminal = Terminal(stdout=StringIO(), stderr=Screen(), environment={"TERM": "xterm", "COLUMNS": "40"})
    terminal.fail(CommandFailed("the file /nonexistent cannot be read: no such file", "make one with `backout token create`, then go on"))
    assert err(terminal).splitlines() == [
        "backout: the file /nonexistent cannot",
        "  be read: no such file",
        "  next: make one with",
        "  `backout token create`, then go on",
    ]


def test_a_command_that_is_wider_than_the_window_loses_nothing() -> None:
    terminal = Terminal(stdout=StringIO(), stderr=Screen(), environment={"TERM": "xterm", "COLUMNS": "20"})
    terminal.fail(CommandFailed("x", "`backout token create --subject alice` first"))
    assert "".join(err(terminal).split()) == "backout:xnext:`backouttokencreate--subjectalice`first"


def test_wrong_settings_stand_at_the_beginning_of_their_lines() -> None:
    terminal = plain()
    terminal.fail(CommandFailed("backout.yaml:9: a\nbackout.yaml:12: b", prefix=""))
    assert err(terminal) == "backout.yaml:9: a\nbackout.yaml:12: b\n"


def test_with_json_a_failure_is_the_one_document() -> None:
    terminal = plain(as_json=True)
    terminal.fail(CommandFailed("it burns", "put it out", ExitCode.BLOCKED))
    assert json.loads(out(terminal)) == {"error": {"cause": "it burns", "next_step": "put it out", "exit_code": 3}}
    assert err(terminal).startswith("backout: it burns\n")


def test_one_line_has_no_line_ends() -> None:
    assert one_line(" a\n b\r\nc ") == "a b c"


def test_the_wall_clock_is_in_utc() -> None:
    assert utc_now().tzinfo is UTC
