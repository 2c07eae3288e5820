"""What burns and burned, and what senders told."""

from collections.abc import Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.operating import event, state
from service.cli.render.tables import Listing, and_more
from service.cli.render.words import Doc, ago, command, docs_of, said, short, text, word


def incidents(document: Doc, now: datetime) -> RenderableType:
    """One line an incident, newest first."""
    found = docs_of(document.get("incidents"))
    if not found:
        return Text("no incidents")
    grouped = any(docs_of(one.get("same_cause")) for one in found)
    listing = Listing("incident", "target", "state", "began", "alerts", *(("same cause",) if grouped else ()), below="target")
    for one in found:
        names = dict.fromkeys(text(episode.get("alert")) for episode in docs_of(one.get("episodes")))
        said, others = word(one.get("outcome") or one.get("state")), (_others(one),) if grouped else ()
        listing.add_row(short(one.get("id")), text(one.get("target")), said, ago(one.get("began_at"), now), ", ".join(names), *others)
    return and_more(document, listing)


def _others(document: Doc) -> str:
    """The targets of the other incidents of one cause, those that are over in brackets."""
    others = ((text(one.get("target")), one.get("state")) for one in docs_of(document.get("same_cause")))
    return ", ".join(target if state == "open" else f"({target})" for target, state in others)


def incident(document: Doc, told: Doc, now: datetime) -> RenderableType:
    """One incident: what burns, what happened in order, and the operations that answer it."""
    head = Text().append(text(document.get("target")), style="bold").append("    ").append_text(word(document.get("outcome") or document.get("state")))
    about = f"incident {short(document.get('id'))} · began {ago(document.get('began_at'), now)}"
    parts: list[RenderableType] = [head, Text(about, style="dim")]
    suspect = document.get("suspect")
    if isinstance(suspect, Mapping):
        parts.append(Text(f"suspect: {text(suspect.get('title'))}"))
    if docs_of(document.get("same_cause")):
        parts.append(Text(f"for the same cause: {_others(document)}"))
    parts += [event(one) for one in docs_of(told.get("events"))]
    return Group(*parts, *(_answering(one) for one in docs_of(document.get("operations"))))


def _answering(operation: Doc) -> Text:
    identity = short(operation.get("id"))
    look = "audit" if operation.get("outcome") else "watch"
    return command(f"operation {identity}, {state(operation)}: backout {look} {identity}")


def alerts(document: Doc, now: datetime) -> RenderableType:
    """One line an alert, newest first: since when, where it went and why."""
    found = docs_of(document.get("alerts"))
    if not found:
        return Text("no alerts")
    listing = Listing("began", "alert", "state", "went to", "because")
    for one in found:
        went = text(one.get("target")) or text(one.get("disposition")).replace("_", " ") or "not looked at yet"
        times = f" \u00d7{one['times_seen']}" if isinstance(one.get("times_seen"), int) and one["times_seen"] > 1 else ""
        began, name, where = ago(one.get("starts_at"), now), text(one.get("alert")) + times, Text(went, style="" if one.get("target") else "yellow")
        listing.add_row(began, name, "firing" if one.get("firing") else "ended", where, said(one.get("says")))
    return and_more(document, listing)
