"""Operations: in a list, live, waiting for a person, and ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import Listing, and_more, grid
from service.cli.render.words import STYLES, Doc, ago, clock, command, doc_of, docs_of, joined, list_of, moment, said, short, span_of, text, word

_NOW: Final[Mapping[str, str]] = {
    "begin": "looking at the target and asking every rule",
    "awaiting_approval": "waiting for a person",
    "decided": "looking again before acting on the decision",
    "act": "the next step",
    "act_send": "sending",
    "act_watch": "waiting until it is done",
    "stuck": "looking what became of it",
    "verify": "measuring whether it helped",
    "take_back": "taking back what was done",
    "take_back_send": "taking back",
    "take_back_watch": "waiting until it is taken back",
}
"""What an operation does in a phase, for the line at the bottom; a phase of a newer service is shown by its own word."""


def operations(document: Doc, now: datetime) -> RenderableType:
    """One line an operation, newest first."""
    found = docs_of(document.get("operations"))
    if not found:
        return Text("no operations")
    listing = Listing("operation", "target", "state", "mode", "began", "says", below="target")
    for one in found:
        row = (short(one.get("id")), text(one.get("target")), word(state(one)), text(one.get("mode")), ago(one.get("created_at"), now), said(one.get("says")))
        listing.add_row(*row)
    return and_more(document, listing)


def state(operation: Doc) -> str:
    """The outcome, or while it is alive its phase, as words."""
    return text(operation.get("outcome") or operation.get("phase") or "unknown").replace("_", " ")


def operation_head(document: Doc) -> RenderableType:
    """What is being followed."""
    about = Text().append(text(document.get("target")), style="bold")
    if document.get("suspect") or document.get("goal"):
        about.append(f"    {text(document.get('suspect')) or '?'} → {text(document.get('goal')) or '?'}")
    mode, why = f"mode {text(document.get('mode'))}", text(document.get("why_mode"))
    how = joined((f"operation {short(document.get('id'))}", "" if why.startswith(mode) else mode, why))
    return Group(about, Text(how, style="dim"))


def event(document: Doc) -> RenderableType:
    """One live line: when, what kind, the sentence."""
    kind = text(document.get("kind")).replace("_", " ")
    table = grid(columns=3)
    table.columns[1].min_width = 15
    style = "red" if kind in {"stuck", "withdrawn", "taken away", "not taken back", "answer lost", "late", "approval void"} else "dim"
    table.add_row(Text(clock(document.get("at")), style="dim"), Text(kind, style=style), said(document.get("says")))
    return table


def under_way(document: Doc, since: datetime | None, now: datetime) -> str:
    """What is being done now, and for how long already."""
    phase = text(document.get("phase"))
    doing = _NOW.get(phase, phase.replace("_", " "))
    lasts = f" · {span_of((now - since).total_seconds())}" if since and now > since else ""
    return f"now: {joined((doing, text(document.get('says'))), ': ')}{lasts}"


def ended(document: Doc) -> RenderableType:
    """How the operation ended, in how long, and where to look next."""
    outcome = state(document)
    began, done = moment(document.get("created_at")), moment(document.get("done_at"))
    took = f" after {(done - began).total_seconds():.1f} s" if began and done else ""
    touched = "" if document.get("first_effect_at") else "nothing was touched"
    head = (
        Text()
        .append(outcome, style=f"bold {STYLES.get(outcome, '')}".strip())
        .append(took)
        .append(f"    trace {text(document.get('trace_id'))[:8]}", style="dim")
    )
    lines: list[RenderableType] = [head, Text(joined((said(document.get("says")), touched)))]
    if (override := doc_of(document.get("override"))).get("confirmed_by"):
        rules, by, because = ", ".join(map(text, list_of(override.get("rules")))), text(override["confirmed_by"]), text(override.get("confirmed_because"))
        lines.append(Text(f"overridden: {rules}, confirmed by {by}: {because}"))
    if document.get("hold"):
        lines.append(Text(f"the bad release stays away until hold {short(document['hold'])} ends: backout holds"))  # true of one that ended, too
    if outcome == "refused":
        lines.append(command(f"what speaks against it now, and what instead: backout check {text(document.get('target'))}"))
    lines.append(Text(f"the whole story: backout audit {short(document.get('id'))}", style="dim"))
    return Group(*lines)


def waiting(document: Doc, now: datetime) -> RenderableType:
    """That it waits for a person, until when, what an approval has to name, and the commands."""
    identity, names = short(document.get("id")), [text(rule) for rule in list_of(document.get("must_name"))]
    accept = f" --accept {','.join(names)}" if names else ""
    if document.get("override"):
        return _waiting_for_another(document, identity, now)
    until = f", until {clock(document['act_before'])} ({ago(document['act_before'], now)})" if document.get("act_before") else ""
    return Group(
        Text(f"{text(document.get('target'))} waits for a person{until}", style="bold yellow"),
        Text(said(document.get("says"))),
        command(f"approve: backout approve {identity}{accept}"),
        command(f"reject:  backout reject {identity} --reason …"),
    )


def _waiting_for_another(document: Doc, identity: str, now: datetime) -> RenderableType:
    until = f", until {clock(document['act_before'])} ({ago(document['act_before'], now)})" if document.get("act_before") else ""
    return Group(
        Text(f"{text(document.get('target'))} waits for a second person{until}", style="bold yellow"),
        override_asked(document),
        command(f"confirm, as somebody else: backout override {identity} --reason …"),
        command(f"reject:                    backout reject {identity} --reason …"),
    )


def override_asked(document: Doc) -> RenderableType:
    """Who wants which block overridden, and why."""
    asked = doc_of(document.get("override"))
    by = doc_of(asked.get("asked_by"))
    rules = ", ".join(text(rule) for rule in list_of(asked.get("rules")))
    return Text(f"{text(by.get('kind'))}:{text(by.get('name'))} asks to override {rules}: {text(asked.get('reason'))}", style="bold")


def request_taken(document: Doc, what: str) -> RenderableType:
    """That a decision arrived, and how to see what comes of it."""
    return command(f"{what} · {text(document.get('target'))} · {state(document)} · follow it: backout watch {short(document.get('id'))}")
