"""A story whose terminal is a text."""

from io import StringIO

from service.cli.demo.telling import Story
from service.cli.terminal import Terminal
from service.wiring.parts import SystemClock
from tests.unit.service.cli.conftest import Screen


class Told(Story):
    """Tells into a text: a file, or with `columns` a window of so many columns."""

    def __init__(self, clock: SystemClock | None = None, columns: int = 0) -> None:
        surroundings = {"TERM": "xterm", "COLUMNS": str(columns)} if columns else {}
        super().__init__(terminal=Terminal(stdout=Screen() if columns else StringIO(), environment=surroundings, color=False), clock=clock or SystemClock())

    @property
    def text(self) -> str:
        file = self.terminal.stdout
        assert isinstance(file, StringIO)
        return file.getvalue()
