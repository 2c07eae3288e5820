"""Where a command reads and writes: the streams, whether a person is there, colour or not, and data made harmless before it is shown.

Answers go to stdout; questions, progress beside a JSON document, and failures go to stderr. What is shown is decided in `render`.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from os import environ
from typing import Any, Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from service.cli.failure import CommandFailed

WIDTH: Final = 100
"""Columns where nobody's window says otherwise (a pipe, a file)."""

_IN_BACKTICKS: Final = re.compile(r"`[^`]*`")
_KEPT: Final = "\ue000"
"""Stands for a blank at which no line ends."""
_DIRECTION = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
_SHOWN: Final[Mapping[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"},
    **dict.fromkeys((0x7F, *range(0x80, 0xA0), *_DIRECTION), "\ufffd"),
}
_ESCAPED: Final[Mapping[int, str]] = {code: f"\\u{code:04x}" for code in (0x7F, *range(0x80, 0xA0), *_DIRECTION, 0x2028, 0x2029)}


def clean(value: Any) -> Any:
    """A JSON value whose texts cannot steer a terminal: control characters and changes of the writing direction become visible signs."""
    if isinstance(value, str):
        return value.translate(_SHOWN)
    if isinstance(value, Mapping):
        return {clean(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


def as_json_text(document: Any) -> str:
    """One JSON document, readable, with everything escaped that could steer a terminal."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=str).translate(_ESCAPED)


def utc_now() -> datetime:
    """The wall clock of the person's machine; only ages on the screen are counted from it."""
    return datetime.fromtimestamp(time.time(), UTC)


@dataclass(slots=True, kw_only=True)
class Terminal:
    """The streams and surroundings of one command. `as_json`: one JSON document on stdout and nothing else; `color` False: plain text."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    environment: Mapping[str, str] = field(default_factory=lambda: environ)
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    color: bool = True
    as_json: bool = False
    _status: str = ""

    @property
    def a_person_is_there(self) -> bool:
        """Whether a question would be read and could be answered."""
        return not self.as_json and self.stdin.isatty() and self.stderr.isatty()

    @property
    def _dumb(self) -> bool:
        """Whether the window can only append, or nobody says what it can."""
        return self.environment.get("TERM", "dumb") == "dumb"

    @property
    def width(self) -> int:
        """Columns that stdout has."""
        return self._console(self.stdout).width

    def show(self, *parts: RenderableType) -> None:
        """Write to stdout for a person; nothing with `as_json`. Sentences are wrapped; what must not be broken (a command to copy) runs over, uncropped."""
        if self.as_json:
            return
        self.status("")
        if self.stdout.isatty():
            self._console(self.stdout).print(Group(*parts), crop=False)
        else:  # tables fill their columns with spaces, which nobody wants in a file
            page = StringIO()
            self._console(page).print(Group(*parts), crop=False)
            self.stdout.write("\n".join(line.rstrip(" ") for line in page.getvalue().split("\n")))
        self.stdout.flush()

    def status(self, line: str) -> None:
        """One line at the bottom that the next one, or the next thing shown, takes the place of; "" takes it away. Nothing where no window is."""
        if self.as_json or not self.stdout.isatty() or self._dumb:
            return
        shown = Text(one_line(line))
        shown.truncate(max(self.width - 1, 1), overflow="ellipsis")
        if shown.plain != self._status:
            self._status = shown.plain
            self.stdout.write(f"\r\x1b[2K{shown.plain}")
            self.stdout.flush()

    def write(self, text: str) -> None:
        """Write text to stdout as it is."""
        self.stdout.write(text if text.endswith("\n") else text + "\n")
        self.stdout.flush()

    def line(self, document: Any) -> None:
        """One JSON document on one line, for commands that tell as it happens."""
        self.stdout.write(json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).translate(_ESCAPED) + "\n")
        self.stdout.flush()

    def answer(self, document: Any, *parts: RenderableType) -> None:
        """The result of a command: the document with `as_json`, else the parts."""
        if self.as_json:
            self.write(as_json_text(document))
        else:
            self.show(*parts)

    def note(self, *parts: RenderableType) -> None:
        """Write to stderr: progress, remarks; lines are not broken."""
        self.status("")
        self._console(self.stderr).print(Group(*parts), soft_wrap=True)

    def ask(self, question: str) -> str:
        """The person's answer without the line end; the end of the input is an empty answer, which is never a yes."""
        self.stderr.write(question)
        self.stderr.flush()
        return self.stdin.readline().strip()

    def fail(self, failed: CommandFailed) -> None:
        """Say the cause and the next step on stderr; with `as_json` also as the one document on stdout."""
        for line in failed.cause.splitlines():
            self._say(f"{failed.prefix}{one_line(line)}")
        if failed.next_step:
            self._say(f"  next: {one_line(failed.next_step)}")
        if self.as_json:
            self.write(as_json_text({"error": {"cause": failed.cause, "next_step": failed.next_step, "exit_code": int(failed.code)}}))

    def _say(self, line: str) -> None:
        """One line to stderr; in a window it ends between words, and a command in backticks stays in one piece, to be copied."""
        parts = [line]
        if self.stderr.isatty() and not self._dumb:
            console = self._console(self.stderr)
            whole = _IN_BACKTICKS.sub(lambda found: found[0].replace(" ", _KEPT), line)
            first, *more = (one.plain for one in Text(whole).wrap(console, console.width - 2))
            parts = [first, *(f"  {one}" for one in more)]
        for part in parts:
            self.stderr.write(part.replace(_KEPT, " ").rstrip() + "\n")

    def _console(self, stream: TextIO) -> Console:
        plain = not self.color or bool(self.environment.get("NO_COLOR")) or not stream.isatty()
        return Console(
            file=stream,
            width=None if stream.isatty() else WIDTH,
            color_system=None if plain else "auto",
            no_color=plain,
            markup=False,
            highlight=False,
            emoji=False,
            _environ=self.environment,
        )


def one_line(text: str) -> str:
    """The text without line ends and control characters."""
    return str(clean(" ".join(text.split())))
