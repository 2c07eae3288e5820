"""What every reader of a migration tool shares: the step it finds, the root whose files it reads, and how SQL inside a migration is read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.schema.operations import Operation, unknown
from service.domain.schema.reading import Dialect

MAX_CODE_CHARACTERS = 300_000
"""Longer code is not parsed: no migration that a person wrote is that long, and a parser needs hundreds of bytes for each."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation and where it stands: the line counted from 1 (0: the file as a whole) and the piece of text to show."""

    line: int
    shown: str
    operation: Operation


Sql = Callable[[str, int], Iterable[Step]]
"""Reads SQL that a migration holds as a text: the text, and the line on which it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The files of one migration root, texts by path: `files` are NEW's of the files of the range, `beside` unchanged ones, `before` OLD's of changed ones."""

    folder: str
    dialect: Dialect
    files: Mapping[str, str]
    beside: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)

    def name(self, text: str, *, of_table: bool = False) -> str:
        """A name as the database compares it, for names that the tool quotes: see `statements.identifier`."""
        if self.dialect is Dialect.POSTGRES or (of_table and self.dialect is Dialect.MYSQL):
            return text
        return text.lower()


class Reader(Protocol):
    """Reads the migrations of one tool in one root. Made once for a root; nothing is executed, and no text makes it raise."""

    def __init__(self, root: Root) -> None:
        """Look at the root as a whole."""

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """The paths in the order in which the tool applies them."""

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """Yield what one migration of the range does, in order."""


def not_literal(line: int, shown: str, what: str) -> Step:
    """The step for something whose meaning is computed when it runs."""
    clears = "a person reads it and confirms that OLD still runs, or it is written with literal names and values"
    return Step(line, shown, unknown("not_literal", f"is not read, for {what}", clears))


def not_understood(line: int, shown: str, what: str) -> Step:
    """The step for something that is literal, but not known here."""
    return Step(line, shown, unknown("not_understood", f"is not understood ({what})", "a person reads it and confirms that OLD still runs"))
