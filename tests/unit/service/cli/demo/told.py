"""A story whose console is a text."""

from io import StringIO

from rich.console import Console

from service.cli.demo.telling import Story
from service.wiring.parts import SystemClock


class Told(Story):
    """Tells into a text."""

    def __init__(self, clock: SystemClock | None = None) -> None:
        super().__init__(console=Console(file=StringIO(), width=160, highlight=False), clock=clock or SystemClock())

    @property
    def text(self) -> str:
        file = self.console.file
        assert isinstance(file, StringIO)
        return file.getvalue()
