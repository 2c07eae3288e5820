from io import BytesIO, StringIO, TextIOWrapper

import pytest

from service.cli.app import run
from service.cli.commands.schema import Format
from service.cli.terminal import Terminal


def code(*arguments: str) -> int:
    terminal = Terminal(stdin=TextIOWrapper(BytesIO(b"ALTER TABLE a ALTER b SET NOT NULL")), stdout=StringIO(), stderr=StringIO(), environment={})
    return run(("schema", "check", *arguments), terminal)


@pytest.mark.parametrize("form", list(Format))
def test_every_form_and_option_reaches_the_check(form: Format) -> None:
    assert code("--format", form.value, "-") == 0
    assert code("--format", form.value, "--strict", "--dialect", "postgres", "-") == (0 if form is Format.JSONL else 3)


def test_it_is_wrong_usage_without_a_path_or_with_a_form_that_is_not_there() -> None:
    assert {code(), code("--format", "xml", "-"), code("--dialect", "oracle", "-")} == {2}
