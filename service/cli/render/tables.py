"""Columns for a window of any width: what fits beside each other stands there, the rest below, and no word is broken for want of room."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from service.cli.render.words import Doc

_GAP: Final = "  "
_INDENT: Final = "    "


def grid(*, columns: int) -> Table:
    """Columns without headers; the last one takes what the terminal leaves."""
    made = Table.grid(padding=(0, 2, 0, 0))
    for number in range(columns):
        made.add_column(no_wrap=number < columns - 1, overflow="fold")
    made.pad_edge = False
    return made


class Listing:
    """One row a thing: short cells, and a sentence in the last column. Where a narrow window leaves the sentence too little room it stands below its row.

    `below` names a column that goes below too where the others do not fit beside it: one that may be long, such as a target's name.
    """

    def __init__(self, *headers: str, below: str = "") -> None:
        self._headers, self._below = headers, headers.index(below) if below else -1
        self._rows: list[list[Text]] = []

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def add_row(self, *cells: str | Text) -> None:
        """One cell for each header."""
        *short, sentence = (Text(cell) if isinstance(cell, str) else cell for cell in cells)
        self._rows.append([*(Text(" ".join(cell.plain.split()), style=cell.style) for cell in short), sentence])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Beside each other if everything fits, or at least takes no more lines so; else below each other."""
        width, last = options.max_width, len(self._headers) - 1
        beside = list(range(last))
        room = width - self._width(beside) - len(_GAP)
        if room > 0 and self._height(console, room) <= self.row_count + self._height(console, width - len(_INDENT), least=0):
            yield from self._lines(beside, width, room, console)
            return
        if self._below >= 0 and self._width(beside) > width:
            beside.remove(self._below)
        yield from self._lines(beside, width, 0, console)

    def _width(self, columns: Sequence[int]) -> int:
        return sum(self._widest(column) for column in columns) + len(_GAP) * (len(columns) - 1)

    def _widest(self, column: int) -> int:
        return max(cell_len(self._headers[column]), *(row[column].cell_len for row in self._rows))

    def _height(self, console: Console, room: int, *, least: int = 1) -> int:
        """Lines of all sentences, each in that many columns; a word that would be broken is as bad as a line too many for every row."""
        broken = any(cell_len(word) > room for row in self._rows for word in row[-1].plain.split())
        return sum(max(len(row[-1].wrap(console, room)) if row[-1] else 0, least) for row in self._rows) + (len(self._rows) + 1 if broken else 0)

    def _lines(self, beside: Sequence[int], width: int, room: int, console: Console) -> Iterator[RenderableType]:
        """`room`: columns that the sentence has beside its row; 0 = it stands below it."""
        widths = [self._widest(column) for column in beside]
        titles = [Text(self._headers[column]) for column in beside] + ([Text(self._headers[-1])] if room else [])
        head = _row(titles, widths)
        head.stylize("dim")
        yield head
        for row in self._rows:
            first = _row([row[column] for column in beside], widths)
            said = list(row[-1].wrap(console, room)) if room and row[-1] else []
            if said:
                first.append(" " * (sum(widths) + len(_GAP) * len(widths) - first.cell_len)).append_text(said[0])
            yield _trimmed(first)
            yield from (_trimmed(Text(" " * (sum(widths) + len(_GAP) * len(widths))).append_text(line)) for line in said[1:])
            under = [column for column in range(len(self._headers)) if column not in beside and row[column]] if not room else []
            for column in under:
                yield from (_trimmed(Text(_INDENT).append_text(line)) for line in row[column].wrap(console, width - len(_INDENT)))


def _row(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for number, cell in enumerate(cells):
        line.append_text(cell)
        if number < len(cells) - 1:
            line.append(" " * (widths[number] - cell.cell_len) + _GAP)
    return line


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line


def and_more(document: Doc, listing: Listing) -> RenderableType:
    """The rows; and that there are more, where only a part was asked for."""
    if not document.get("next_cursor"):
        return listing
    return Group(listing, Text(f"the newest {listing.row_count}; there are more: --all, or a larger --limit", style="dim"))
