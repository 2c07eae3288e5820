"""The stop switch."""

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import Listing
from service.cli.render.words import Doc, day_and_clock, docs_of, text


def stop(document: Doc) -> RenderableType:
    """The stop switch as it is now."""
    if document.get("stopped"):
        reason = text(document.get("reason"))
        return Group(
            Text(reason if reason.startswith("stopped") else f"stopped: {reason}", style="bold red"),
            Text("Backout changes nothing any more, but for taking back what is half done. To go on: backout resume"),
        )
    return Text("not stopped: Backout may act again, as its modes allow", style="bold green")


def stop_history(switch: Doc, events: Doc) -> RenderableType:
    """Who turned the switch, newest last, and how it stands now."""
    listing = Listing("when", "what")
    for one in docs_of(events.get("events")):
        listing.add_row(day_and_clock(one.get("at")), text(one.get("says")))
    told = listing if listing.row_count else Text("the switch was never turned")
    return Group(told, "", stop(switch) if switch.get("stopped") else Text("now: not stopped", style="green"))
