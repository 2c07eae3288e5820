"""What `backout init` wrote and `backout doctor` found."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import grid
from service.cli.render.words import STYLES, Doc, command, docs_of, list_of, text


def init(document: Doc) -> RenderableType:
    """What was written, and what to do now."""
    parts: list[RenderableType] = [Text(f"written to {text(document.get('dir'))}: {', '.join(map(text, list_of(document.get('written'))))}")]
    if document.get("kept"):
        parts.append(Text(f"kept as they were: {', '.join(map(text, list_of(document['kept'])))}", style="dim"))
    for number, step in enumerate(docs_of(document.get("next")), start=1):
        parts += ["", Text(f"{number}. {text(step.get('says'))}", style="bold"), *(command(f"   {text(line)}") for line in list_of(step.get("commands")))]
    return Group(*parts)


def doctor(lines: Sequence[Doc]) -> RenderableType:
    """One line a check: what, what was found, ok, no or `!`; the fix below what is not well."""
    table = grid(columns=3)
    before = ""
    for one in lines:
        what, well = text(one.get("what")), text(one.get("well"))
        says = Text(text(one.get("says")))
        if one.get("fix") and well != "ok":
            says.append(f"\n→ {text(one['fix'])}", style="bold")
        table.add_row("" if what == before else what, Text("!" if well == "warn" else well, style=STYLES.get(well, "")), says)
        before = what
    return table
