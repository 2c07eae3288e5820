"""What the command line's tests share: a terminal of strings, the fake service, golden files."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import RenderableType

from service.cli.app import run
from service.cli.terminal import Terminal
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.fake_service import FakeService

GOLDEN = Path(__file__).parent / "golden"


class Screen(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as exactly one JSON document."""
        return json.loads(self.out)


@dataclass(kw_only=True)
class Shell:
    """Runs commands against the fake service. `typed` is what a person types; None = nobody is there."""

    environment: dict[str, str] = field(default_factory=dict)
    naps: list[float] = field(default_factory=list)

    def __call__(self, *arguments: str, typed: str | None = None, out: StringIO | None = None) -> Ran:
        stdin, stderr = (StringIO(), StringIO()) if typed is None else (Screen(typed), Screen())
        stdout = out if out is not None else StringIO()
        here = {"TERM": "dumb", **self.environment}
        terminal = Terminal(stdin=stdin, stdout=stdout, stderr=stderr, environment=here, now=lambda: NOW, sleep=self.naps.append)
        code = run(arguments, terminal)
        return Ran(code=code, out=stdout.getvalue(), err=stderr.getvalue())


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as running:
        yield running


@pytest.fixture
def shell(service: FakeService) -> Shell:
    return Shell(environment={"BACKOUT_SERVER": service.url})


@pytest.fixture
def golden() -> Callable[[str, RenderableType], None]:
    """Compares what is printed at width 100 without colour with golden/NAME.txt. BACKOUT_WRITE_GOLDEN=1 writes the file, and fails: look at it."""

    def compare(name: str, *parts: RenderableType) -> None:
        stdout = StringIO()
        Terminal(stdout=stdout, environment={}).show(*parts)
        printed = "".join(f"{line.rstrip()}\n" for line in stdout.getvalue().splitlines())
        file = GOLDEN / f"{name}.txt"
        if os.environ.get("BACKOUT_WRITE_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(printed, encoding="utf-8")
            pytest.fail(f"{file.name} was written; look at it")
        assert printed == file.read_text(encoding="utf-8")
        assert max(map(len, printed.splitlines())) <= 100

    return compare
