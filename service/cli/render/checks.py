"""Whether one target can go back, why not, and what to do next."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.render.answers import findings
from service.cli.render.inventory import disarmed
from service.cli.render.words import STYLES, Doc, ago, command, doc_of, docs_of, list_of, said, short, text

_VERDICTS: Final[Mapping[str, str]] = {
    "pass": "can go back",
    "warn": "can go back, with warnings",
    "unknown": "not known whether it can go back",
    "block": "cannot go back",
}


def check(document: Doc, now: datetime, *, everything: bool = False) -> RenderableType:
    """Whether the target can go back, the findings worst first, and what to do next. `everything` shows the passes too."""
    verdict = text(document.get("verdict"))
    target = text(document.get("target"))
    head = Text()
    head.append(target, style="bold").append("    ").append(_verdict(document), style=f"bold {STYLES.get(verdict, '')}".strip())
    head.append(f"    as of {ago(document.get('as_of'), now)}", style="dim")
    parts: list[RenderableType] = [head, Text(from_to(document.get("from"), document.get("to")))]
    if document.get("says") and (verdict != "pass" or everything):
        parts.append(Text(said(document["says"]), style="dim"))
    standing = doc_of(document.get("readiness"))
    if standing and standing.get("verdict") != verdict:
        parts.append(Text(f"it stood at {text(standing.get('verdict'))} when it was looked at {ago(standing.get('as_of'), now)}", style="dim"))
    if document.get("disarmed_until"):
        parts.append(Text(f"{disarmed(document)}: Backout rolled it back by itself; until then a person decides", style="yellow"))
    parts += ["", _answers(document, now, everything=everything), "", *_next(document, target)]
    return Group(*parts)


def _answers(document: Doc, now: datetime, *, everything: bool) -> RenderableType:
    found = docs_of(document.get("findings"))
    return findings(found, now, everything=everything, more="`--all` shows them", no_goal=not document.get("to"))


def _verdict(document: Doc) -> str:
    verdict = text(document.get("verdict"))
    if not document.get("plan_digest") and verdict in {"pass", "warn"}:
        return "there is no way back to offer"
    return _VERDICTS.get(verdict, f"not known ({verdict or 'no verdict'})")


def from_to(suspect: Any, goal: Any) -> str:
    """Which release is left, and which one comes back."""
    left, right = (text(doc_of(one).get("title") or doc_of(one).get("release")) for one in (suspect, goal))
    return f"{left or 'nothing under suspicion'} → {right or 'nothing to go back to'}"


def _next(document: Doc, target: str) -> Iterable[Text]:
    recommended = doc_of(document.get("recommended"))
    way = text(recommended.get("way"))
    verdict = text(document.get("verdict"))
    if document.get("operation"):
        yield command(f"Under way: backout watch {short(document['operation'])}")
    if document.get("hold"):
        yield command(f"Held by {short(document['hold'])}: backout holds")
    if verdict in {"pass", "warn"} and document.get("plan_digest"):
        naming = f", naming {', '.join(text(rule) for rule in list_of(document.get('must_name')))}" if document.get("must_name") else ""
        yield command(f"To go back{naming}: backout rollback {target}")
    elif way and way not in {"rollback", "abort", "none"}:
        yield Text(f"Instead: {way.replace('_', ' ')} — {said(recommended.get('because'))}")
    elif verdict == "unknown" and document.get("plan_digest"):
        yield command(f"Find out what is missing above, or decide, naming each unknown: backout rollback {target}")
    elif recommended.get("because"):
        yield Text(f"Why: {said(recommended['because'])}")
    yield from two_persons(document, target)


def two_persons(document: Doc, target: str) -> Iterable[Text]:
    """How two persons override what blocks, where they may."""
    rules = ",".join(text(rule) for rule in list_of(document.get("must_override")))
    if rules:
        yield Text("Two persons who know better may override it together: one asks, another one confirms.", style="dim")
        yield command(f"backout rollback {target} --override {rules} --reason …")
