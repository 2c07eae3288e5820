from pathlib import Path

from service.cli.client import DEFAULT_SERVER
from service.cli.session import NO_FILE, settings_file
from service.cli.terminal import Terminal
from tests.unit.service.cli.conftest import Shell
from tests.unit.service.cli.fake_service import FakeService


def test_the_settings_file_is_the_named_one_then_the_environments_then_the_usual_one() -> None:
    there = Terminal(environment={"BACKOUT_CONFIG": "b.yaml"})
    assert settings_file(there, Path("a.yaml")) == Path("a.yaml")
    assert settings_file(there, NO_FILE) == Path("b.yaml")
    assert settings_file(Terminal(environment={}), NO_FILE) == Path("backout.yaml")


def test_an_empty_variable_counts_as_none() -> None:
    ran = Shell(environment={"BACKOUT_SERVER": ""})("targets", "--server", "")
    assert DEFAULT_SERVER in ran.err or ran.code == 0


def test_a_wrong_server_is_a_usage_error() -> None:
    ran = Shell()("targets", "--server", "localhost:8080")
    assert ran.code == 2
    assert "--server wants a URL" in ran.err


def test_a_token_file_that_cannot_be_read_ends_the_command_before_anybody_is_asked(service: FakeService) -> None:
    ran = Shell(environment={"BACKOUT_SERVER": service.url, "BACKOUT_TOKEN_FILE": "none"})("targets")
    assert ran.code == 1
    assert ran.err.startswith("backout: the file none (BACKOUT_TOKEN_FILE) cannot be read")
    assert service.heard == []
