"""What the rules answered, with what each answer rests on and what would change it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import grid
from service.cli.render.words import WORST_FIRST, Doc, ago, docs_of, list_of, said, text, word

_EVIDENCE: Final = 3
"""Pieces of evidence that are shown of a finding unless everything is wanted; the telling one stands first."""


def findings(found: Sequence[Doc], now: datetime, *, everything: bool, more: str, no_goal: bool = False) -> RenderableType:
    """One block a finding: answer and sentence, each line of evidence, what would change it, rule and sources.

    Unless everything is wanted the passes are counted; so are, with `no_goal`, the unknowns beside a block: without a release to go back to they follow.
    """
    if not found:
        return Text("unknown  nobody was asked", style="yellow")
    table = grid(columns=2)
    table.columns[0].min_width = len("unknown")
    passes, following = 0, 0
    blocked = no_goal and any(finding.get("answer") == "block" for finding in found)
    for finding in sorted(found, key=_rank):
        answer = "waived" if finding.get("waived") else text(finding.get("answer"))
        if answer == "pass" and not everything:
            passes += 1
            continue
        if answer == "unknown" and blocked and not everything:
            following += 1
            continue
        about = grid(columns=2)
        for label, value in _about(finding, now, everything=everything):
            about.add_row(Text(label, style="dim"), value)
        table.add_row(word(answer), Group(Text(said(finding.get("says")), style="" if answer == "pass" else "bold"), about))
    if following:
        says = f"without a release to go back to; {more}"
        table.add_row(Text(f"unknown \u00d7{following}", style="yellow"), Text(says, style="dim"))
    if passes:
        table.add_row(Text(f"pass \u00d7{passes}", style="green"), Text(more, style="dim"))
    return table


def _rank(finding: Doc) -> tuple[bool, int]:
    answer = text(finding.get("answer"))
    return (bool(finding.get("waived")) or answer == "pass", WORST_FIRST.index(answer) if answer in WORST_FIRST else 1)


def _about(finding: Doc, now: datetime, *, everything: bool) -> Iterable[tuple[str, str]]:
    for line in docs_of(finding.get("lines")):
        yield text(line.get("source")), f"{text(line.get('answer'))}: {said(line.get('says'))}"
    if finding.get("waived"):
        yield "waived", text(finding["waived"]).removeprefix("waived ")
    if finding.get("clears"):
        yield "clears", said(finding["clears"])
    if finding.get("instead"):
        yield "instead", text(finding["instead"]).replace("_", " ")
    for added in list_of(finding.get("adds")):
        yield "adds", said(added)
    stops = finding.get("gate") and finding.get("answer") == "unknown"
    yield "rule", text(finding.get("rule")) + (" (not knowing this stops automation)" if stops else "")
    every = docs_of(finding.get("evidence"))
    shown = every if everything else every[:_EVIDENCE]
    for number, evidence in enumerate(shown):
        yield "seen in" if not number else "", f"{said(evidence.get('what'))} ({text(evidence.get('source'))}, {ago(evidence.get('read_at'), now)})"
    if len(every) > len(shown):
        yield "", f"and {len(every) - len(shown)} more"
