"""What a target looked like before and after."""

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.words import Doc, command, day_and_clock, docs_of, list_of, text

_DIFF: Final = {"+": "green", "-": "red", "@": "cyan"}


def captures(document: Doc) -> RenderableType:
    """Each moment with what it holds and what is missing, the texts where they came with it, then the differences of the manifests."""
    parts: list[RenderableType] = []
    for one in docs_of(document.get("captures")):
        parts.append(Text(f"{day_and_clock(one.get('at'))}  {text(one.get('says'))}", style="bold"))
        for item in docs_of(one.get("items")):
            parts.append(Text(f"  {text(item.get('kind')):<9} {text(item.get('name'))}  {text(item.get('size'))} characters"))
            parts += [_line(f"    {line}", "dim") for line in text(item.get("text")).splitlines()]
        parts += [Text(f"  missing   {text(says)}", style="yellow") for says in list_of(one.get("missing"))]
    for one in docs_of(document.get("differences")):
        parts += ["", Text(f"{text(one.get('name'))} differs", style="bold")]
        parts += [_line(line, _DIFF.get(line[:1], "")) for line in text(one.get("diff")).splitlines()[2:]]
    return Group(*parts) if parts else Text("nothing was captured")


def _line(line: str, style: str) -> Text:
    """A line of a file: broken, a difference could not be read or applied."""
    whole = command(line)
    whole.stylize(style)
    return whole
