"""What keeps bad releases away, what it waits for, and what ends it."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import Listing, and_more
from service.cli.render.words import Doc, ago, command, docs_of, said, short, text


def holds(document: Doc, now: datetime) -> RenderableType:
    """One line a hold, with what ends it by hand."""
    found, orphans = docs_of(document.get("holds")), docs_of(document.get("orphans"))
    lost = Group(*(line for one in orphans for line in _orphan(one)))
    if not found:
        return Group(Text("no holds"), lost) if orphans else Text("no holds")
    listing = Listing("hold", "target", "since", "review", "reason")
    for one in found:
        review = "ended" if one.get("state") == "ended" else ago(one.get("review_at"), now)
        reason = said(one.get("reason"))
        if one.get("state") == "ended":
            reason = f"ended by {text(one.get('ended_by'))}: {said(one.get('ended_because'))}"
        listing.add_row(
            short(one.get("id")),
            text(one.get("target")),
            ago(one.get("opened_at"), now),
            Text(f"{review}, {one['reviews']} past" if one.get("reviews") else review, style="yellow" if one.get("review_due") or one.get("reviews") else ""),
            reason,
        )
    return Group(and_more(document, listing), lost) if orphans else and_more(document, listing)


def _orphan(one: Doc) -> Iterator[RenderableType]:
    yield Text(f"orphaned: {said(one.get('says'))}", style="yellow")
    yield command(f"  to take the mark off: {text(one.get('clears'))}")


def hold(document: Doc, now: datetime) -> RenderableType:
    """One hold: what is held and why, what it waits for, and what is not as it was left."""
    lines = [
        Text(f"hold {short(document.get('id'))} on {text(document.get('target'))}: {said(document.get('reason'))}", style="bold"),
        Text(f"since {ago(document.get('opened_at'), now)}, owner {text(document.get('owner'))}, next review {ago(document.get('review_at'), now)}"),
    ]
    if document.get("reviews"):
        count = int(document["reviews"])
        lines.append(Text(f"{count} {'review' if count == 1 else 'reviews'} came and went", style="yellow"))
    for one in docs_of(document.get("releases")):
        what = f"only it has {said(one.get('bad'))}" if one.get("bad") else "what only it has is not known yet"
        lines.append(Text(f"held    {text(one.get('title'))}: {what}"))
    seen = document.get("watch") or {}
    if document.get("state") == "ended":
        lines.append(Text(f"ended by {text(document.get('ended_by'))}: {said(document.get('ended_because'))}"))
    elif seen:
        lines.append(Text(f"desired {text(seen.get('desired'))[:12] or 'not known'}: {said(seen.get('says'))}"))
        lines += [Text(f"changed {said(trouble)}", style="yellow") for trouble in seen.get("troubles") or ()]
        if seen.get("operation"):
            lines.append(command(f"last tried: backout audit {short(seen['operation'])}"))
    else:
        lines.append(Text("it was not looked at yet"))
    if document.get("state") != "ended":
        lines.append(command(f"To end it by hand: backout holds end {short(document.get('id'))} --reason …"))
    return Group(*lines)


def hold_ended(document: Doc) -> RenderableType:
    """That a hold ended, by whom and why."""
    return Text(
        f"hold {short(document.get('id'))} on {text(document.get('target'))} ended by {text(document.get('ended_by'))}: {said(document.get('ended_because'))}"
    )
