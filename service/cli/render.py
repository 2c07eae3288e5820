"""JSON documents as a person reads them: pure functions from the shapes of openapi.yaml to rich renderables. No I/O, no clock: `now` is passed in.

All text of the documents is data: it is made harmless (`terminal.clean`) and never read as markup. Colour only repeats what the words say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.cli.terminal import WIDTH, clean

Doc = Mapping[str, Any]

SHORT_ID: Final = 8
"""Signs of an id that are shown behind its kind; as a prefix they find it again."""

_STYLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("pass", "good", "ok", "recovered", "Healthy"), "green"),
    **dict.fromkeys(("warn", "waived", "unknown", "inconclusive", "expired", "awaiting approval", "Progressing", "Suspended", "Unknown"), "yellow"),
    **dict.fromkeys(("block", "bad", "no", "not recovered", "failed", "refused", "Degraded", "Missing"), "red"),
}
_WORST_FIRST: Final = ("block", "unknown", "warn", "pass")
_HEALTH: Final = ("Degraded", "Missing", "Unknown", "Progressing", "Suspended", "Healthy")
_VERDICTS: Final[Mapping[str, str]] = {
    "pass": "can go back",
    "warn": "can go back, with warnings",
    "unknown": "not known whether it can go back",
    "block": "cannot go back",
}
_HIDDEN_SPANS: Final = frozenset({"operation.accepted", "operation.completed"})
_HOUR, _DAY = 3600, 86400
_TOOK, _NARROWEST = 8, 24
_EVIDENCE: Final = 3
"""Pieces of evidence that are shown of a finding unless everything is wanted; the telling one stands first."""
_RULER: Final = Console(file=StringIO(), width=WIDTH, color_system=None, _environ={})
"""Knows how wide signs are; nothing is printed on it."""


# --- small words ---------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """A JSON value as text that cannot steer a terminal; null is empty."""
    return "" if value is None else str(clean(str(value)))


def short(identity: Any) -> str:
    """The beginning of an id; enough of it to name it on the command line."""
    kind, line, number = text(identity).rpartition("_")
    return f"{kind}{line}{number[:SHORT_ID]}"


def moment(value: Any) -> datetime | None:
    """The time, or None when there is none or it cannot be read."""
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return read if read.tzinfo else None


def clock(value: Any) -> str:
    """`14:02:07Z`, or the text as it came."""
    at = moment(value)
    return f"{at:%H:%M:%S}Z" if at else text(value)


def day_and_clock(value: Any) -> str:
    """`2026-05-04 14:02:07Z`, or the text as it came."""
    at = moment(value)
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else text(value)


def span_of(seconds: float, *, whole: bool = True) -> str:
    """A length of time in one unit: `4 s`, `3 min`, `5 h`, `2 d`; rounded unless only `whole` ones count (what is due in 6 d 23 h is due in 7 d)."""
    seconds = abs(seconds)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds / size + (0 if whole else 0.5))} {unit}"
    return f"{int(seconds)} s"


def ago(value: Any, now: datetime) -> str:
    """`4 s ago`, `in 7 d`; the text as it came when it is no time."""
    at = moment(value)
    if at is None:
        return text(value)
    seconds = (now - at).total_seconds()
    return f"{span_of(seconds)} ago" if seconds >= 0 else f"in {span_of(seconds, whole=False)}"


def word(value: Any) -> Text:
    """A state's word, coloured by what it means."""
    said = text(value).replace("_", " ")
    return Text(said, style=_STYLES.get(said, ""))


def command(line: str) -> Text:
    """A line with a command to copy: never broken."""
    return Text(line, no_wrap=True, overflow="ignore")


def _docs(value: Any) -> list[Doc]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, Sequence) and not isinstance(value, str) else []


def _doc(value: Any) -> Doc:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _grid(*, columns: int, indent: int = 0) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for number in range(columns):
        table.add_column(no_wrap=number < columns - 1, overflow="fold")
    table.pad_edge = bool(indent)
    return table


def _table(*headers: str, folds: str = "") -> Table:
    """The last column takes what the terminal leaves; with `folds` that one gives way too, where a long value in it would leave the last nothing."""
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for header in headers[:-1]:
        table.add_column(header, no_wrap=header != folds, overflow="fold")
    table.add_column(headers[-1], overflow="fold")
    return table


def _joined(parts: Iterable[str], between: str = " · ") -> str:
    return between.join(part for part in parts if part)


# --- targets -------------------------------------------------------------------------------------------------------------


def targets(document: Doc, now: datetime) -> RenderableType:
    """One line a target, worst first; what could not be listed is said first."""
    listed = _docs(document.get("targets"))
    parts: list[RenderableType] = []
    for instance in _docs(document.get("instances")):
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
    table = _table("target", "health", "mode", "runs", "since", "now")
    for target in sorted(listed, key=_badness):
        live = _doc(target.get("live"))
        runs = text(live.get("version")) or _version(target.get("images"))
        since = span_of((now - at).total_seconds()) if (at := moment(live.get("since"))) else ""
        table.add_row(text(target.get("id")), word(target.get("health")), text(target.get("mode")), runs, since, _state(target, now))
    return Group(*parts, table)


def _badness(target: Doc) -> tuple[bool, bool, bool, int, str]:
    health = text(target.get("health"))
    rank = _HEALTH.index(health) if health in _HEALTH else 2
    return (not target.get("incident"), not target.get("operation"), not target.get("hold"), rank, text(target.get("id")))


def _version(images: Any) -> str:
    """The tags of the images, each once; an image without one shows the beginning of its digest."""
    found: dict[str, None] = {}
    for image in _list(images):
        name, _, digest = text(image).partition("@")
        _, _, tag = name.rpartition("/")[2].partition(":")
        found[tag or digest.removeprefix("sha256:")[:7] or name] = None
    shown = list(found)
    return ", ".join(shown[:2]) + (f" +{len(shown) - 2}" if len(shown) > 2 else "")  # noqa: PLR2004  two fit into the column


def _state(target: Doc, now: datetime) -> Text:
    """Why a person should look, with the id that leads further: what is being done, what burns, what is held; else how fresh the line is."""
    open_here = [what for what in ("operation", "incident", "hold") if target.get(what)]
    if not open_here and target.get("disarmed_until"):
        return Text(_disarmed(target), style="yellow")
    if not open_here:
        return Text(f"no incident, seen {ago(target.get('listed_at'), now)}", style="dim")
    first, *rest = open_here
    words = f"{first} {short(target[first])}" + (f" ({', '.join(rest)})" if rest else "")
    words += f", {_disarmed(target)}" if target.get("disarmed_until") else ""
    return Text(words, style="red" if target.get("incident") else "yellow")


def _disarmed(document: Doc) -> str:
    """`disarmed until 17:03 UTC`: Backout rolled it back by itself, and does not do so again before."""
    until = moment(document.get("disarmed_until"))
    return f"disarmed until {until:%H:%M} UTC" if until else ""


# --- standing verdicts ---------------------------------------------------------------------------------------------------


def badness_of_verdict(verdict: str) -> int:
    """Higher is worse; a word that is not known is as bad as unknown."""
    return len(_WORST_FIRST) - (_WORST_FIRST.index(verdict) if verdict in _WORST_FIRST else _WORST_FIRST.index("unknown"))


def standings(document: Doc, now: datetime, *, everything: bool = False) -> RenderableType:
    """Which targets could go back now, worst first: verdict, since when, how old, and what stands in the way. Passes are counted unless all are wanted."""
    listed = _docs(document.get("targets"))
    parts: list[RenderableType] = []
    if not document.get("complete"):
        parts.append(Text("! not every instance could be listed; a target that is missing below may exist all the same", style="yellow"))
    if not listed:
        return Group(*parts, Text("no targets that this token may see"))
    table, passes = _table("target", "can go back", "since", "looked at", "why not"), 0
    for target in sorted(listed, key=lambda one: (-badness_of_verdict(_standing(one)), text(one.get("id")))):
        verdict, short_ = _standing(target), _doc(target.get("readiness"))
        if verdict == "pass":
            passes += 1
            if not everything:
                continue
        why = "" if verdict == "pass" else text(short_.get("says")) or "nobody has looked yet"
        since = span_of((now - at).total_seconds()) if (at := moment(short_.get("since"))) else ""
        looked = ago(short_.get("as_of"), now) if short_ else "never"
        table.add_row(text(target.get("id")), word(verdict), since, looked, why)
    parts += [table] if table.row_count else []
    counted = f"{passes} of {len(listed)} target{'s' if len(listed) != 1 else ''} could go back now"
    return Group(*parts, Text(counted, style="green" if passes == len(listed) else "dim"))


def _standing(target: Doc) -> str:
    return text(_doc(target.get("readiness")).get("verdict")) or "unknown"


# --- check and plan ------------------------------------------------------------------------------------------------------


def check(document: Doc, now: datetime, *, everything: bool = False) -> RenderableType:
    """Whether the target can go back, the findings worst first, and what to do next. `everything` shows the passes too."""
    verdict = text(document.get("verdict"))
    target = text(document.get("target"))
    head = Text()
    head.append(target, style="bold").append("    ").append(_verdict(document), style=f"bold {_STYLES.get(verdict, '')}".strip())
    head.append(f"    as of {ago(document.get('as_of'), now)}", style="dim")
    parts: list[RenderableType] = [head, Text(_from_to(document.get("from"), document.get("to")))]
    if document.get("says") and (verdict != "pass" or everything):
        parts.append(Text(text(document["says"]), style="dim"))
    standing = _doc(document.get("readiness"))
    if standing and standing.get("verdict") != verdict:
        parts.append(Text(f"it stood at {text(standing.get('verdict'))} when it was looked at {ago(standing.get('as_of'), now)}", style="dim"))
    if document.get("disarmed_until"):
        parts.append(Text(f"{_disarmed(document)}: Backout rolled it back by itself; until then a person decides", style="yellow"))
    parts += ["", findings(_docs(document.get("findings")), now, everything=everything, more="`--all` shows them"), "", *_next(document, target)]
    return Group(*parts)


def _verdict(document: Doc) -> str:
    verdict = text(document.get("verdict"))
    if not document.get("plan_digest") and verdict in {"pass", "warn"}:
        return "there is no way back to offer"
    return _VERDICTS.get(verdict, f"not known ({verdict or 'no verdict'})")


def _from_to(suspect: Any, goal: Any) -> str:
    left, right = (text(_doc(one).get("title") or _doc(one).get("release")) for one in (suspect, goal))
    return f"{left or 'nothing under suspicion'} → {right or 'nothing to go back to'}"


def findings(found: Sequence[Doc], now: datetime, *, everything: bool, more: str) -> RenderableType:
    """One block a finding: answer and sentence, each line of evidence, what would change it, rule and sources. Passes are counted unless all are wanted."""
    if not found:
        return Text("unknown  nobody was asked", style="yellow")
    table = _grid(columns=2)
    table.columns[0].min_width = len("unknown")
    passes = 0
    for finding in sorted(found, key=_rank):
        answer = "waived" if finding.get("waived") else text(finding.get("answer"))
        if answer == "pass" and not everything:
            passes += 1
            continue
        about = _grid(columns=2)
        for label, value in _about(finding, now, everything=everything):
            about.add_row(Text(label, style="dim"), value)
        table.add_row(word(answer), Group(Text(text(finding.get("says")), style="" if answer == "pass" else "bold"), about))
    if passes:
        table.add_row(Text(f"pass \u00d7{passes}", style="green"), Text(more, style="dim"))
    return table


def _rank(finding: Doc) -> tuple[bool, int]:
    answer = text(finding.get("answer"))
    return (bool(finding.get("waived")) or answer == "pass", _WORST_FIRST.index(answer) if answer in _WORST_FIRST else 1)


def _about(finding: Doc, now: datetime, *, everything: bool) -> Iterable[tuple[str, str]]:
    for line in _docs(finding.get("lines")):
        yield text(line.get("source")), f"{text(line.get('answer'))}: {text(line.get('says'))}"
    if finding.get("waived"):
        yield "waived", text(finding["waived"]).removeprefix("waived ")
    if finding.get("clears"):
        yield "clears", text(finding["clears"])
    if finding.get("instead"):
        yield "instead", text(finding["instead"]).replace("_", " ")
    for added in _list(finding.get("adds")):
        yield "adds", text(added)
    stops = finding.get("gate") and finding.get("answer") == "unknown"
    yield "rule", text(finding.get("rule")) + (" (not knowing this stops automation)" if stops else "")
    every = _docs(finding.get("evidence"))
    shown = every if everything else every[:_EVIDENCE]
    for number, evidence in enumerate(shown):
        yield "seen in" if not number else "", f"{text(evidence.get('what'))} ({text(evidence.get('source'))}, {ago(evidence.get('read_at'), now)})"
    if len(every) > len(shown):
        yield "", f"and {len(every) - len(shown)} more"


def _next(document: Doc, target: str) -> Iterable[Text]:
    recommended = _doc(document.get("recommended"))
    way = text(recommended.get("way"))
    verdict = text(document.get("verdict"))
    if document.get("operation"):
        yield command(f"Under way: backout watch {short(document['operation'])}")
    if document.get("hold"):
        yield command(f"Held by {short(document['hold'])}: backout holds")
    if verdict in {"pass", "warn"} and document.get("plan_digest"):
        naming = f", naming {', '.join(text(rule) for rule in _list(document.get('must_name')))}" if document.get("must_name") else ""
        yield command(f"To go back{naming}: backout rollback {target}")
    elif way and way not in {"rollback", "abort", "none"}:
        yield Text(f"Instead: {way.replace('_', ' ')} — {text(recommended.get('because'))}")
    elif verdict == "unknown" and document.get("plan_digest"):
        yield command(f"Find out what is missing above, or decide, naming each unknown: backout rollback {target}")
    elif recommended.get("because"):
        yield Text(f"Why: {text(recommended['because'])}")
    yield from _two_persons(document, target)


def plan(document: Doc, now: datetime) -> RenderableType:
    """The plan for a terminal: what, from where to where, the steps, the findings that are no pass, and the digest an approval is bound to."""
    verdict = _doc(document.get("verdict"))
    target = text(document.get("target"))
    head = Text().append(target, style="bold").append(f"    {_from_to(document.get('suspect'), document.get('goal'))}")
    made = Text(f"made {ago(document.get('made_at'), now)}, act before {clock(document.get('act_before'))}", style="dim")
    way = _joined((text(document.get("way")).replace("_", " "), text(document.get("method")), text(document.get("scope"))))
    parts: list[RenderableType] = [head, Text(f"{way} — {text(document.get('because'))}"), made, ""]
    steps = _docs(document.get("steps"))
    parts.append(_steps(steps) if steps else Text("no steps: this way is closed", style="red"))
    parts += ["", findings(_docs(verdict.get("findings")), now, everything=False, more=f"`backout check {target} --all` shows them")]
    parts += ["", Text(f"digest {text(document.get('digest'))}", style="dim")]
    if document.get("overrides"):
        parts.append(Text(f"This plan is carried out against {', '.join(map(text, _list(document['overrides'])))}.", style="bold red"))
    elif verdict.get("verdict") == "block":
        recommended = _doc(verdict.get("recommended"))
        parts.append(
            Text(f"This plan is not carried out. Instead: {text(recommended.get('way')).replace('_', ' ')} — {text(recommended.get('because'))}", style="red")
        )
        parts += _two_persons(document, target)
    return Group(*parts)


def _two_persons(document: Doc, target: str) -> Iterable[Text]:
    """How two persons override what blocks, where they may."""
    rules = ",".join(text(rule) for rule in _list(document.get("must_override")))
    if rules:
        yield Text("Two persons who know better may override it together: one asks, another one confirms.", style="dim")
        yield command(f"backout rollback {target} --override {rules} --reason …")


def _steps(steps: Sequence[Doc]) -> RenderableType:
    table = _grid(columns=2)
    for number, step in enumerate(steps, start=1):
        marks = _joined(("by a person" if step.get("owner") == "person" else "", _may_fail(step), "" if step.get("effect") else "reads only"))
        about = [Text(text(step.get("says"))).append(f"   ({marks})" if marks else "", style="dim")]
        undo = _doc(step.get("undo"))
        lines = (
            ("done when", step.get("done_when")),
            ("else", step.get("fallback")),
            ("undo", undo.get("says")),
            ("stays", step.get("stands")),
            ("by hand", step.get("command")),
        )
        about += [Text(f"{label}: {text(value)}", style="dim") for label, value in lines if value]
        table.add_row(f"{number:>2}", Group(*about))
    return table


def _may_fail(step: Doc) -> str:
    if not step.get("optional"):
        return ""
    return "may fail where a person asked or approved" if step.get("needed_for") else "may fail"


# --- operations ----------------------------------------------------------------------------------------------------------


def operations(document: Doc, now: datetime) -> RenderableType:
    """One line an operation, newest first."""
    found = _docs(document.get("operations"))
    if not found:
        return Text("no operations")
    table = _table("operation", "target", "state", "mode", "began", "says", folds="target")
    for one in found:
        row = (short(one.get("id")), text(one.get("target")), word(state(one)), text(one.get("mode")), ago(one.get("created_at"), now), text(one.get("says")))
        table.add_row(*row)
    return _and_more(document, table)


def _and_more(document: Doc, table: Table) -> RenderableType:
    """The table; and that there is more, where only a part was asked for."""
    if not document.get("next_cursor"):
        return table
    return Group(table, Text(f"the newest {table.row_count}; there are more: --all, or a larger --limit", style="dim"))


def state(operation: Doc) -> str:
    """The outcome, or while it is alive its phase, as words."""
    return text(operation.get("outcome") or operation.get("phase") or "unknown").replace("_", " ")


def operation_head(document: Doc) -> RenderableType:
    """What is being followed."""
    about = Text().append(text(document.get("target")), style="bold")
    if document.get("suspect") or document.get("goal"):
        about.append(f"    {text(document.get('suspect')) or '?'} → {text(document.get('goal')) or '?'}")
    mode, why = f"mode {text(document.get('mode'))}", text(document.get("why_mode"))
    how = _joined((f"operation {short(document.get('id'))}", "" if why.startswith(mode) else mode, why))
    return Group(about, Text(how, style="dim"))


def event(document: Doc) -> RenderableType:
    """One live line: when, what kind, the sentence."""
    kind = text(document.get("kind")).replace("_", " ")
    table = _grid(columns=3)
    table.columns[1].min_width = 15
    style = "red" if kind in {"stuck", "withdrawn", "taken away", "not taken back", "answer lost", "late", "approval void"} else "dim"
    table.add_row(Text(clock(document.get("at")), style="dim"), Text(kind, style=style), text(document.get("says")))
    return table


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


def under_way(document: Doc, since: datetime | None, now: datetime) -> str:
    """What is being done now, and for how long already."""
    phase = text(document.get("phase"))
    doing = _NOW.get(phase, phase.replace("_", " "))
    lasts = f" · {span_of((now - since).total_seconds())}" if since and now > since else ""
    return f"now: {_joined((doing, text(document.get('says'))), ': ')}{lasts}"


def ended(document: Doc) -> RenderableType:
    """How the operation ended, in how long, and where to look next."""
    outcome = state(document)
    began, done = moment(document.get("created_at")), moment(document.get("done_at"))
    took = f" after {(done - began).total_seconds():.1f} s" if began and done else ""
    touched = "" if document.get("first_effect_at") else "nothing was touched"
    head = (
        Text()
        .append(outcome, style=f"bold {_STYLES.get(outcome, '')}".strip())
        .append(took)
        .append(f"    trace {text(document.get('trace_id'))[:8]}", style="dim")
    )
    lines: list[RenderableType] = [head, Text(_joined((text(document.get("says")), touched)))]
    if (override := _doc(document.get("override"))).get("confirmed_by"):
        rules, by, because = ", ".join(map(text, _list(override.get("rules")))), text(override["confirmed_by"]), text(override.get("confirmed_because"))
        lines.append(Text(f"overridden: {rules}, confirmed by {by}: {because}"))
    if document.get("hold"):
        lines.append(Text(f"the bad release stays away until hold {short(document['hold'])} ends: backout holds"))  # true of one that ended, too
    if outcome == "refused":
        lines.append(command(f"what speaks against it now, and what instead: backout check {text(document.get('target'))}"))
    lines.append(Text(f"the whole story: backout audit {short(document.get('id'))}", style="dim"))
    return Group(*lines)


def waiting(document: Doc, now: datetime) -> RenderableType:
    """That it waits for a person, until when, what an approval has to name, and the commands."""
    identity, names = short(document.get("id")), [text(rule) for rule in _list(document.get("must_name"))]
    accept = f" --accept {','.join(names)}" if names else ""
    if document.get("override"):
        return _waiting_for_another(document, identity, now)
    until = f", until {clock(document['act_before'])} ({ago(document['act_before'], now)})" if document.get("act_before") else ""
    return Group(
        Text(f"{text(document.get('target'))} waits for a person{until}", style="bold yellow"),
        Text(text(document.get("says"))),
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
    asked = _doc(document.get("override"))
    by = _doc(asked.get("asked_by"))
    rules = ", ".join(text(rule) for rule in _list(asked.get("rules")))
    return Text(f"{text(by.get('kind'))}:{text(by.get('name'))} asks to override {rules}: {text(asked.get('reason'))}", style="bold")


def request_taken(document: Doc, what: str) -> RenderableType:
    """That a decision arrived, and how to see what comes of it."""
    return command(f"{what} · {text(document.get('target'))} · {state(document)} · follow it: backout watch {short(document.get('id'))}")


# --- incidents, holds, stop ----------------------------------------------------------------------------------------------


def incidents(document: Doc, now: datetime) -> RenderableType:
    """One line an incident, newest first."""
    found = _docs(document.get("incidents"))
    if not found:
        return Text("no incidents")
    grouped = any(_docs(one.get("same_cause")) for one in found)
    table = _table("incident", "target", "state", "began", "alerts", *(("same cause",) if grouped else ()), folds="target")
    for one in found:
        names = dict.fromkeys(text(episode.get("alert")) for episode in _docs(one.get("episodes")))
        said, others = word(one.get("outcome") or one.get("state")), (_others(one),) if grouped else ()
        table.add_row(short(one.get("id")), text(one.get("target")), said, ago(one.get("began_at"), now), ", ".join(names), *others)
    return _and_more(document, table)


def _others(document: Doc) -> str:
    """The targets of the other incidents of one cause, those that are over in brackets."""
    others = ((text(one.get("target")), one.get("state")) for one in _docs(document.get("same_cause")))
    return ", ".join(target if state == "open" else f"({target})" for target, state in others)


def incident(document: Doc, told: Doc, now: datetime) -> RenderableType:
    """One incident: what burns, what happened in order, and the operations that answer it."""
    head = Text().append(text(document.get("target")), style="bold").append("    ").append_text(word(document.get("outcome") or document.get("state")))
    about = f"incident {short(document.get('id'))} · began {ago(document.get('began_at'), now)}"
    parts: list[RenderableType] = [head, Text(about, style="dim")]
    suspect = document.get("suspect")
    if isinstance(suspect, Mapping):
        parts.append(Text(f"suspect: {text(suspect.get('title'))}"))
    if _docs(document.get("same_cause")):
        parts.append(Text(f"for the same cause: {_others(document)}"))
    parts += [event(one) for one in _docs(told.get("events"))]
    answering = ((short(one.get("id")), state(one)) for one in _docs(document.get("operations")))
    return Group(*parts, *(command(f"operation {identity}, {how}: backout watch {identity}") for identity, how in answering))


def alerts(document: Doc, now: datetime) -> RenderableType:
    """One line an alert, newest first: since when, where it went and why."""
    found = _docs(document.get("alerts"))
    if not found:
        return Text("no alerts")
    table = _table("began", "alert", "state", "went to", "because")
    for one in found:
        went = text(one.get("target")) or text(one.get("disposition")).replace("_", " ") or "not looked at yet"
        times = f" \u00d7{one['times_seen']}" if isinstance(one.get("times_seen"), int) and one["times_seen"] > 1 else ""
        began, name, where = ago(one.get("starts_at"), now), text(one.get("alert")) + times, Text(went, style="" if one.get("target") else "yellow")
        table.add_row(began, name, "firing" if one.get("firing") else "ended", where, text(one.get("says")))
    return _and_more(document, table)


def holds(document: Doc, now: datetime) -> RenderableType:
    """One line a hold, with what ends it by hand."""
    found, orphans = _docs(document.get("holds")), _docs(document.get("orphans"))
    lost = Group(*(line for one in orphans for line in _orphan(one)))
    if not found:
        return Group(Text("no holds"), lost) if orphans else Text("no holds")
    table = _table("hold", "target", "since", "review", "reason")
    for one in found:
        review = "ended" if one.get("state") == "ended" else ago(one.get("review_at"), now)
        reason = text(one.get("reason"))
        if one.get("state") == "ended":
            reason = f"ended by {text(one.get('ended_by'))}: {text(one.get('ended_because'))}"
        table.add_row(
            short(one.get("id")),
            text(one.get("target")),
            ago(one.get("opened_at"), now),
            Text(f"{review}, {one['reviews']} past" if one.get("reviews") else review, style="yellow" if one.get("review_due") or one.get("reviews") else ""),
            reason,
        )
    return Group(_and_more(document, table), lost) if orphans else _and_more(document, table)


def _orphan(one: Doc) -> Iterator[RenderableType]:
    yield Text(f"orphaned: {text(one.get('says'))}", style="yellow")
    yield command(f"  to take the mark off: {text(one.get('clears'))}")


def hold(document: Doc, now: datetime) -> RenderableType:
    """One hold: what is held and why, what it waits for, and what is not as it was left."""
    lines = [
        Text(f"hold {short(document.get('id'))} on {text(document.get('target'))}: {text(document.get('reason'))}", style="bold"),
        Text(f"since {ago(document.get('opened_at'), now)}, owner {text(document.get('owner'))}, next review {ago(document.get('review_at'), now)}"),
    ]
    if document.get("reviews"):
        count = int(document["reviews"])
        lines.append(Text(f"{count} {'review' if count == 1 else 'reviews'} came and went", style="yellow"))
    for one in _docs(document.get("releases")):
        what = f"only it has {text(one.get('bad'))}" if one.get("bad") else "what only it has is not known yet"
        lines.append(Text(f"held    {text(one.get('title'))}: {what}"))
    seen = document.get("watch") or {}
    if document.get("state") == "ended":
        lines.append(Text(f"ended by {text(document.get('ended_by'))}: {text(document.get('ended_because'))}"))
    elif seen:
        lines.append(Text(f"desired {text(seen.get('desired'))[:12] or 'not known'}: {text(seen.get('says'))}"))
        lines += [Text(f"changed {trouble}", style="yellow") for trouble in seen.get("troubles") or ()]
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
        f"hold {short(document.get('id'))} on {text(document.get('target'))} ended by {text(document.get('ended_by'))}: {text(document.get('ended_because'))}"
    )


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
    table = _table("when", "what")
    for one in _docs(events.get("events")):
        table.add_row(day_and_clock(one.get("at")), text(one.get("says")))
    told = table if table.row_count else Text("the switch was never turned")
    return Group(told, "", stop(switch) if switch.get("stopped") else Text("now: not stopped", style="green"))


# --- the trace -----------------------------------------------------------------------------------------------------------


def trace(document: Doc, width: int = WIDTH) -> RenderableType:
    """The operation's trace as a tree of at most `width` columns, then those of its holds' ends; what is wrong with a trace is shown, never hidden."""
    parts: list[RenderableType] = []
    for one in _docs(document.get("traces")):
        parts += ["", *_one_trace(one, width)] if parts else _one_trace(one, width)
    if not parts:
        return Text("no spans yet")
    if view := _doc(document.get("links")).get("trace_view"):
        parts.append(Text(text(view), style="dim"))
    return Group(*parts)


def captures(document: Doc) -> RenderableType:
    """Each moment with what it holds and what is missing, the texts where they came with it, then the differences of the manifests."""
    parts: list[RenderableType] = []
    for one in _docs(document.get("captures")):
        parts.append(Text(f"{day_and_clock(one.get('at'))}  {text(one.get('says'))}", style="bold"))
        for item in _docs(one.get("items")):
            parts.append(Text(f"  {text(item.get('kind')):<9} {text(item.get('name'))}  {text(item.get('size'))} characters"))
            parts += [Text(f"    {line}", style="dim") for line in text(item.get("text")).splitlines()]
        parts += [Text(f"  missing   {text(says)}", style="yellow") for says in _list(one.get("missing"))]
    for one in _docs(document.get("differences")):
        parts += ["", Text(f"{text(one.get('name'))} differs", style="bold")]
        parts += [Text(line, style=_DIFF.get(line[:1], "")) for line in text(one.get("diff")).splitlines()[2:]]
    return Group(*parts) if parts else Text("nothing was captured")


_DIFF = {"+": "green", "-": "red", "@": "cyan"}


def _one_trace(document: Doc, width: int) -> list[RenderableType]:
    outcome = "running" if document.get("running") else text(document.get("outcome")).replace("_", " ") or "ended"
    head = Text().append(f"{text(document.get('name'))}    ", style="bold").append(outcome, style=_STYLES.get(outcome, ""))
    seconds = _seconds(_doc(document.get("root")))
    head.append(f"    {seconds} s" if seconds else "")
    parts: list[RenderableType] = [head, *_branch([one for one in _docs(document.get("spans")) if one.get("name") not in _HIDDEN_SPANS], "", width)]
    if orphans := _docs(document.get("orphans")):
        parts += [Text("without their parent:"), *_branch(orphans, "", width)]
    parts += [Text(f"! {text(fault)}", style="red") for fault in _list(document.get("faults"))]
    parts.append(Text(f"trace {text(document.get('trace_id'))}", style="dim"))
    return parts


def _branch(spans: Sequence[Doc], bars: str, width: int) -> Iterable[Text]:
    """The lines of siblings and all below them; `bars` are the box characters of their ancestors."""
    names = max((cell_len(text(one.get("name"))) for one in spans), default=0)
    answers = max((len(text(one.get("answer"))) for one in spans), default=0)
    for number, one in enumerate(spans, start=1):
        last, children = number == len(spans), _docs(one.get("children"))
        below = bars + ("  " if last else "│ ")
        first = Text(f"{bars}{'└' if last else '├'} ", style="dim").append(_filled(text(one.get("name")), names + 2), style="not dim")
        more = Text(below + ("│" if children else ""), style="dim")
        more.append(" " * (cell_len(first.plain) - cell_len(more.plain)))
        if answers:
            first.append_text(word(one.get("answer"))).append(" " * (answers + 2 - len(text(one.get("answer")))))
            more.append(" " * (answers + 2))
        says = Text("failed: " if one.get("failed") and not one.get("answer") else "", style="red").append(text(one.get("says")), style="not red")
        if waived := _doc(one.get("attributes")).get("backout.waived"):
            says.append(f" ({text(waived)})")
        room = max(width - cell_len(first.plain) - _TOOK, _NARROWEST)
        yield from _lines(first, more, says, room, "" if one.get("answer") else _seconds(one))
        yield from _branch(children, below, width)


def _lines(first: Text, more: Text, says: Text, room: int, took: str) -> Iterable[Text]:
    """A sentence in its column: the first line behind the name and with the time, the others below it."""
    wrapped = list(says.wrap(_RULER, room)) or [Text()]
    for number, part in enumerate(wrapped):
        line = (more if number else first).copy().append_text(part)
        if took and not number:
            line.append(" " * max(room - cell_len(part.plain), 0)).append(f"{took:>{_TOOK}}")
        line.rstrip()
        line.no_wrap, line.overflow = True, "ignore"
        yield line


def _filled(value: str, width: int) -> str:
    return value + " " * max(width - cell_len(value), 0)


def _seconds(one: Doc) -> str:
    """Three places below a second, one above; nothing for a moment."""
    seconds = one.get("seconds")
    if not isinstance(seconds, int | float) or seconds <= 0:
        return ""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"


# --- init ---


def init(document: Doc) -> RenderableType:
    """What was written, and what to do now."""
    parts: list[RenderableType] = [Text(f"written to {text(document.get('dir'))}: {', '.join(map(text, _list(document.get('written'))))}")]
    if document.get("kept"):
        parts.append(Text(f"kept as they were: {', '.join(map(text, _list(document['kept'])))}", style="dim"))
    for number, step in enumerate(_docs(document.get("next")), start=1):
        parts += ["", Text(f"{number}. {text(step.get('says'))}", style="bold"), *(command(f"   {text(line)}") for line in _list(step.get("commands")))]
    return Group(*parts)


# --- doctor --------------------------------------------------------------------------------------------------------------


def doctor(lines: Sequence[Doc]) -> RenderableType:
    """One line a check: what, what was found, ok, no or `!`; the fix below what is not well."""
    table = _grid(columns=3)
    before = ""
    for one in lines:
        what, well = text(one.get("what")), text(one.get("well"))
        says = Text(text(one.get("says")))
        if one.get("fix") and well != "ok":
            says.append(f"\n→ {text(one['fix'])}", style="bold")
        table.add_row("" if what == before else what, Text("!" if well == "warn" else well, style=_STYLES.get(well, "")), says)
        before = what
    return table
