"""A plan: its steps, the findings that are no pass, and the digest that an approval is bound to."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from service.cli.render.answers import findings
from service.cli.render.checks import from_to, two_persons
from service.cli.render.tables import grid
from service.cli.render.words import Doc, ago, clock, command, doc_of, docs_of, joined, list_of, said, text


def plan(document: Doc, now: datetime) -> RenderableType:
    """The plan for a terminal: what, from where to where, the steps, the findings that are no pass, and the digest an approval is bound to."""
    verdict = doc_of(document.get("verdict"))
    target = text(document.get("target"))
    head = Text().append(target, style="bold").append(f"    {from_to(document.get('suspect'), document.get('goal'))}")
    made = Text(f"made {ago(document.get('made_at'), now)}, act before {clock(document.get('act_before'))}", style="dim")
    way = joined((text(document.get("way")).replace("_", " "), text(document.get("method")), text(document.get("scope"))))
    parts: list[RenderableType] = [head, Text(f"{way} — {said(document.get('because'))}"), made, ""]
    steps = docs_of(document.get("steps"))
    parts += _steps(steps) if steps else [Text("no steps: this way is closed", style="red")]
    parts += ["", findings(docs_of(verdict.get("findings")), now, everything=False, more=f"`backout check {target} --all` shows them")]
    parts += ["", Text(f"digest {text(document.get('digest'))}", style="dim")]
    if document.get("overrides"):
        parts.append(Text(f"This plan is carried out against {', '.join(map(text, list_of(document['overrides'])))}.", style="bold red"))
    elif verdict.get("verdict") == "block":
        recommended = doc_of(verdict.get("recommended"))
        parts.append(
            Text(f"This plan is not carried out. Instead: {text(recommended.get('way')).replace('_', ' ')} — {said(recommended.get('because'))}", style="red")
        )
        parts += two_persons(document, target)
    return Group(*parts)


def _steps(steps: Sequence[Doc]) -> Iterator[RenderableType]:
    for number, step in enumerate(steps, start=1):
        marks = joined(("by a person" if step.get("owner") == "person" else "", _may_fail(step), "" if step.get("effect") else "reads only"))
        title = grid(columns=2)
        title.add_row(f"{number:>2}", Text(text(step.get("says"))).append(f"   ({marks})" if marks else "", style="dim"))
        yield title
        lines = (
            ("done when", step.get("done_when")),
            ("else", step.get("fallback")),
            ("undo", doc_of(step.get("undo")).get("says")),
            ("stays", step.get("stands")),
        )
        yield from (Padding(Text(f"{label}: {text(value)}", style="dim"), (0, 0, 0, 4)) for label, value in lines if value)
        if step.get("command"):
            by_hand = command(f"    by hand: {text(step['command'])}")
            by_hand.stylize("dim")
            yield by_hand


def _may_fail(step: Doc) -> str:
    if not step.get("optional"):
        return ""
    return "may fail where a person asked or approved" if step.get("needed_for") else "may fail"


def next_of(document: Doc) -> Iterator[RenderableType]:
    """What to do with a plan that was only made; nothing for one that blocks, which says itself what instead, or has no steps."""
    if doc_of(document.get("verdict")).get("verdict") != "block" and document.get("steps"):
        naming = f", naming {', '.join(text(rule) for rule in list_of(document.get('must_name')))}" if document.get("must_name") else ""
        yield command(f"To carry it out{naming}: backout rollback {text(document.get('target'))}")
