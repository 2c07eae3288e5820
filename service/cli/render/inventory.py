"""What there is: one line a target, worst first."""

from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import Listing
from service.cli.render.words import Doc, ago, doc_of, docs_of, list_of, moment, short, span_of, text, word

_HEALTH: Final = ("Degraded", "Missing", "Unknown", "Progressing", "Suspended", "Healthy")


def targets(document: Doc, now: datetime) -> RenderableType:
    """One line a target, worst first; what could not be listed is said first."""
    listed = docs_of(document.get("targets"))
    parts: list[RenderableType] = []
    for instance in docs_of(document.get("instances")):
        if not instance.get("complete") or instance.get("trouble"):
            why = text(instance.get("trouble")) or "it has not been listed in full yet"
            parts.append(Text(f"! {text(instance.get('instance'))}: {why}; a target that is missing below may exist all the same", style="yellow"))
        elif instance.get("stream") == "down":
            why = text(instance.get("stream_trouble"))
            parts.append(
                Text(f"! {text(instance.get('instance'))} does not tell its changes, so they are noticed by the next list only: {why}", style="yellow")
            )
    if not document.get("complete") and not parts:
        parts.append(Text("! not every instance could be listed; a target that is missing below may exist all the same", style="yellow"))
    if not listed:
        return Group(*parts, Text("no targets that this token may see"))
    listing = Listing("target", "health", "mode", "runs", "since", "now")
    for target in sorted(listed, key=_badness):
        live = doc_of(target.get("live"))
        runs = text(live.get("version")) or _version(target.get("images"))
        since = span_of((now - at).total_seconds()) if (at := moment(live.get("since"))) else ""
        listing.add_row(text(target.get("id")), word(target.get("health")), text(target.get("mode")), runs, since, _state(target, now))
    return Group(*parts, listing)


def _badness(target: Doc) -> tuple[bool, bool, bool, int, str]:
    health = text(target.get("health"))
    rank = _HEALTH.index(health) if health in _HEALTH else 2
    return (not target.get("incident"), not target.get("operation"), not target.get("hold"), rank, text(target.get("id")))


def _version(images: Any) -> str:
    """The tags of the images, each once; an image without one shows the beginning of its digest."""
    found: dict[str, None] = {}
    for image in list_of(images):
        name, _, digest = text(image).partition("@")
        _, _, tag = name.rpartition("/")[2].partition(":")
        found[tag or digest.removeprefix("sha256:")[:7] or name] = None
    shown = list(found)
    return ", ".join(shown[:2]) + (f" +{len(shown) - 2}" if len(shown) > 2 else "")  # noqa: PLR2004  two fit into the column


def _state(target: Doc, now: datetime) -> Text:
    """Why a person should look, with the id that leads further: what is being done, what burns, what is held; else how fresh the line is."""
    open_here = [what for what in ("operation", "incident", "hold") if target.get(what)]
    if not open_here and target.get("disarmed_until"):
        return Text(disarmed(target), style="yellow")
    if not open_here:
        return Text(f"no incident, seen {ago(target.get('listed_at'), now)}", style="dim")
    first, *rest = open_here
    words = f"{first} {short(target[first])}" + (f" ({', '.join(rest)})" if rest else "")
    words += f", {disarmed(target)}" if target.get("disarmed_until") else ""
    return Text(words, style="red" if target.get("incident") else "yellow")


def disarmed(document: Doc) -> str:
    """`disarmed until 17:03 UTC`: Backout rolled it back by itself, and does not do so again before."""
    until = moment(document.get("disarmed_until"))
    return f"disarmed until {until:%H:%M} UTC" if until else ""
