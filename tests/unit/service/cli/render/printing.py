"""What a part looks like on a page, or on a person's screen."""

from collections.abc import Callable
from io import StringIO

from rich.console import RenderableType

from service.cli.terminal import Terminal
from tests.unit.service.cli.conftest import Screen

Golden = Callable[..., None]
"""The fixture `golden`."""


def printed(*parts: RenderableType, color: bool = False, columns: int = 0) -> str:
    """In a file at 100 columns; with `color` or `columns` on a screen, of that many columns."""
    screen = color or columns
    stdout = Screen() if screen else StringIO()
    surroundings = {"TERM": "xterm-256color", "COLUMNS": str(columns or 100)} if screen else {}
    Terminal(stdout=stdout, environment=surroundings, color=color).show(*parts)
    return stdout.getvalue()
