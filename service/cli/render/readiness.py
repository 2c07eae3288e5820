"""Which targets could go back now, alert or not: the standing verdicts."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.tables import Listing
from service.cli.render.words import Doc, ago, badness_of_verdict, doc_of, docs_of, moment, said, span_of, text, word


def standings(document: Doc, now: datetime, *, everything: bool = False) -> RenderableType:
    """Which targets could go back now, worst first: verdict, since when, how old, and what stands in the way. Passes are counted unless all are wanted."""
    listed = docs_of(document.get("targets"))
    parts: list[RenderableType] = []
    if not document.get("complete"):
        parts.append(Text("! not every instance could be listed; a target that is missing below may exist all the same", style="yellow"))
    if not listed:
        return Group(*parts, Text("no targets that this token may see"))
    listing, passes = Listing("target", "can go back", "since", "looked at", "why not"), 0
    for target in sorted(listed, key=lambda one: (-badness_of_verdict(_standing(one)), text(one.get("id")))):
        verdict, short_ = _standing(target), doc_of(target.get("readiness"))
        if verdict == "pass":
            passes += 1
            if not everything:
                continue
        why = "" if verdict == "pass" else said(short_.get("says")) or "nobody has looked yet"
        since = span_of((now - at).total_seconds()) if (at := moment(short_.get("since"))) else ""
        looked = ago(short_.get("as_of"), now) if short_ else "never"
        listing.add_row(text(target.get("id")), word(verdict), since, looked, why)
    parts += [listing] if listing.row_count else []
    counted = f"{passes} of {len(listed)} target{'s' if len(listed) != 1 else ''} could go back now"
    return Group(*parts, Text(counted, style="green" if passes == len(listed) else "dim"))


def _standing(target: Doc) -> str:
    return text(doc_of(target.get("readiness")).get("verdict")) or "unknown"
