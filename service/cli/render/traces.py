"""The whole story of an operation as a tree, as wide as the window."""

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from service.cli.render.words import STYLES, Doc, doc_of, docs_of, list_of, said, text, word
from service.cli.terminal import WIDTH

_HIDDEN_SPANS: Final = frozenset({"operation.accepted", "operation.completed"})
_TOOK: Final = 8
"""Columns for the time that something took."""
_ROOMY: Final = 40
"""Columns that a sentence beside its name needs; with fewer it stands below the name."""
_RULER: Final = Console(file=StringIO(), width=WIDTH, color_system=None, _environ={})
"""Knows how wide signs are; nothing is printed on it."""


def trace(document: Doc, width: int = WIDTH) -> RenderableType:
    """The operation's trace as a tree of at most `width` columns, then those of its holds' ends; what is wrong with a trace is shown, never hidden."""
    parts: list[RenderableType] = []
    for one in docs_of(document.get("traces")):
        parts += ["", *_one_trace(one, width)] if parts else _one_trace(one, width)
    if not parts:
        return Text("no spans yet")
    if view := doc_of(document.get("links")).get("trace_view"):
        parts.append(Text(text(view), style="dim"))
    return Group(*parts)


def _one_trace(document: Doc, width: int) -> list[RenderableType]:
    outcome = "running" if document.get("running") else text(document.get("outcome")).replace("_", " ") or "ended"
    head = Text().append(f"{text(document.get('name'))}    ", style="bold").append(outcome, style=STYLES.get(outcome, ""))
    seconds = _seconds(doc_of(document.get("root")))
    head.append(f"    {seconds} s" if seconds else "")
    parts: list[RenderableType] = [head, *_branch([one for one in docs_of(document.get("spans")) if one.get("name") not in _HIDDEN_SPANS], "", width)]
    if orphans := docs_of(document.get("orphans")):
        parts += [Text("without their parent:"), *_branch(orphans, "", width)]
    parts += [Text(f"! {text(fault)}", style="red") for fault in list_of(document.get("faults"))]
    parts.append(Text(f"trace {text(document.get('trace_id'))}", style="dim"))
    return parts


def _branch(spans: Sequence[Doc], bars: str, width: int) -> Iterable[Text]:
    """The lines of siblings and all below them; `bars` are the box characters of their ancestors."""
    names = max((cell_len(text(one.get("name"))) for one in spans), default=0)
    answers = max((len(text(one.get("answer"))) for one in spans), default=0)
    under = width - len(bars) - names - answers - (6 if answers else 4) - _TOOK < _ROOMY
    for number, one in enumerate(spans, start=1):
        last, children = number == len(spans), docs_of(one.get("children"))
        below = bars + ("  " if last else "│ ")
        first = Text(f"{bars}{'└' if last else '├'} ", style="dim").append(_filled(text(one.get("name")), names + 2), style="not dim")
        more = Text(below + ("│" if children else ""), style="dim")
        more.append(" " * ((len(below) + 4 if under else cell_len(first.plain)) - cell_len(more.plain)))
        if answers:
            first.append_text(word(one.get("answer"))).append(" " * (answers + 2 - len(text(one.get("answer")))))
            more.append("" if under else " " * (answers + 2))
        says = Text("failed: " if one.get("failed") and not one.get("answer") else "", style="red").append(said(one.get("says")), style="not red")
        if waived := doc_of(one.get("attributes")).get("backout.waived"):
            says.append(f" ({text(waived)})")
        took = "" if one.get("answer") else _seconds(one)
        if under:
            first.append(f"{took:>{max(width - cell_len(first.plain), 0)}}" if took else "")
            yield from _lines(first, more, says, max(width - cell_len(more.plain), 1))
        else:
            yield from _lines(first, more, says, width - cell_len(first.plain) - _TOOK, took)
        yield from _branch(children, below, width)


def _lines(first: Text, more: Text, says: Text, room: int, took: str | None = None) -> Iterable[Text]:
    """A sentence in its column of `room`: the first line behind the name and before the time, the others below it. Without a time all of it is below."""
    lines = list(says.wrap(_RULER, room))
    if took is None:
        yield _whole(first)
    elif not lines:
        lines = [Text()]
    for number, part in enumerate(lines):
        line = (more if number or took is None else first).copy().append_text(part)
        if took and not number:
            line.append(" " * max(room - cell_len(part.plain), 0)).append(f"{took:>{_TOOK}}")
        yield _whole(line)


def _whole(line: Text) -> Text:
    line.rstrip()
    line.no_wrap, line.overflow = True, "ignore"
    return line


def _filled(value: str, width: int) -> str:
    return value + " " * max(width - cell_len(value), 0)


def _seconds(one: Doc) -> str:
    """Three places below a second, one above; nothing for a moment."""
    seconds = one.get("seconds")
    if not isinstance(seconds, int | float) or seconds <= 0:
        return ""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"
