"""Renders a plan as a Markdown checklist that a person can follow without Backout: what to do, what to expect, when to stop, and what would make it wrong.

Text only; what is in the plan is decided elsewhere. A way that a verdict does not let through appears without its commands: as the reason why not, never as
something to paste. Every value that comes from outside is escaped, so that it can neither change the document's shape nor hide in it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from service.domain.facts import Evidence
from service.domain.model import Release
from service.domain.planning.plan import Plan, Step
from service.domain.verdict import Answer, Finding

FLAG_RULES = ("shared_services_are_untouched", "schema_is_compatible", "caches_stay_coherent", "prune_deletes_no_data")
"""Rules about state that outlives a release: their doubts stand at the head of the plan."""

SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|~&$!^])")
LIST_START = re.compile(r"^(\d{1,9})([.)])|^([-+=])")


def to_markdown(plan: Plan) -> str:
    """The whole checklist, ending in a line feed. Times are UTC."""
    lines = [
        f"# {escape(plan.title)}",
        "",
        f"**Do this:** {_do_this(plan)}  ",
        f"**Expected:** release {escape(plan.goal.title)} runs and is measured as well; how long that takes was not measured for this target.  ",
        f"**Stops if:** {_stops_if(plan)}",
        "",
        *_flags(plan),
        "",
    ]
    sections = (
        ("Prepare", _prepare(plan)),
        ("Validate", _validate(plan)),
        ("Execute", _steps(plan, _execute(plan)) if _execute(plan) else ["- [ ] No step is known for this way."]),
        ("Verify", _verify(plan)),
        ("Hold", _hold(plan)),
        ("Document", _document(plan)),
    )
    for number, (name, body) in enumerate(sections, start=1):
        lines += [f"## {number} {name}", "", *body, ""]
    lines.append(f"**This plan is wrong if** {_wrong_if(plan)}")
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """One line of plain text, whatever came in: no markup, no link, no line break, no invisible character."""
    flat = " ".join("".join(" " if c.isspace() else c for c in text if c.isspace() or _visible(c)).split())
    safe = SPECIAL.sub(r"\\\1", flat).replace("://", ":\\//").replace("@", "\\@").replace("www.", "www\\.")
    return LIST_START.sub(lambda found: f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}", safe)


def code(text: str) -> str:
    """A code span that holds the text as it is, on one line, with a fence longer than any run of backticks inside."""
    flat = " ".join("".join(" " if c.isspace() else c for c in text if c.isspace() or _visible(c)).split())
    fence = "`" * (_longest(flat) + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}" if flat else ""


def block(text: str, *, indent: str = "  ") -> list[str]:
    """A fenced block that holds the text's lines as they are; its fence is longer than any inside."""
    kept = ["".join(c for c in line if c == "\t" or _visible(c)) for line in text.strip().splitlines()]
    fence = "`" * max(3, _longest("\n".join(kept)) + 1)
    return [f"{indent}{line}".rstrip() for line in (f"{fence}sh", *kept, fence)]


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _visible(character: str) -> bool:
    """Neither a control nor a format character (which could turn the reading direction round), nor half of a broken one."""
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def _allowed(plan: Plan) -> bool:
    """Whether the verdict lets this way be shown as something to do (a person still ticks each warning)."""
    return plan.verdict.worst <= Answer.WARN


def _optional(step: Step) -> str:
    if not step.optional:
        return ""
    return "; optional where a person asked or approved" if step.needed_for else "; optional"


def _do_this(plan: Plan) -> str:
    whole = "the whole target" if plan.scope == "full" else f"a part of the target ({escape(plan.scope)})"
    releases = f"from release {escape(plan.suspect.title)} to release {escape(plan.goal.title)}"
    way = f"{escape(plan.way.replace('_', ' '))} of {whole} {releases}; method {escape(plan.method)}"
    if plan.verdict.worst is Answer.BLOCK:
        return f"do not go this way: {escape(plan.verdict.because)} Instead: {escape(plan.verdict.recommended.replace('_', ' '))}."
    if plan.verdict.worst is Answer.UNKNOWN:
        return f"nothing yet, something is not known: {escape(plan.verdict.because)} The way would be {way}."
    return f"{way}. {escape(plan.because)}".strip()


def _stops_if(plan: Plan) -> str:
    return (
        f"a step that is not optional fails · a person or another tool acts on the target · nothing was written by {_at(plan.act_before)} UTC · "
        "the error does not fall back inside its bound"
    )


def _flags(plan: Plan) -> Iterator[str]:
    doubts = [f for f in plan.verdict.findings if f.answer is not Answer.PASS]
    state = [f for f in doubts if f.rule in FLAG_RULES]
    others = [f for f in doubts if f.rule not in FLAG_RULES]
    asked = {f.rule for f in plan.verdict.findings}
    if state:
        yield from (f"> **Flag** {_answer(f)} {escape(f.says)}" for f in state)
    elif set(FLAG_RULES) <= asked:
        yield "> Flags: none for shared services, data or caches."
    else:
        yield "> Flags: whether shared services, data or caches are touched was not asked completely."
    yield from (f"> **Open** {_answer(f)} {escape(f.says)}" for f in others)
    yield "> Backup: this plan takes none and has looked at none."


def _answer(finding: Finding) -> str:
    return f"{finding.answer.word}{' (' + escape(finding.waived) + ')' if finding.waived else ''} ·"


def _prepare(plan: Plan) -> Iterator[str]:
    yield f"- [x] Release under suspicion is {_release(plan.suspect)}, deploy started {_at(plan.suspect.started_at)} UTC"
    yield f"- [x] Release to go back to is {_release(plan.goal)}, deployed {_at(plan.goal.deployed_at or plan.goal.started_at)} UTC"
    for finding in plan.verdict.findings:
        yield from (f"- [ ] {escape(step)} — *{code(finding.rule)}*" for step in finding.adds)
    yield from _steps(plan, _before(plan))


def _validate(plan: Plan) -> Iterator[str]:
    if not plan.verdict.findings:
        yield "- [ ] Nobody was asked whether this is safe."
    for finding in plan.verdict.findings:
        ticked = "x" if finding.answer is Answer.PASS else " "
        yield f"- [{ticked}] {code(finding.rule)} **{finding.answer.word}** {escape(finding.says)}"
        if finding.waived:
            yield f"  - {escape(finding.waived)}"
        yield from (f"  - {one.source}, **{one.answer.word}**: {escape(one.says)}" for one in finding.lines)
        if finding.clears and finding.answer is not Answer.PASS:
            yield f"  - clears: {escape(finding.clears)}"
        yield from (f"  - seen in {_evidence(one)}" for one in finding.evidence)


def _evidence(one: Evidence) -> str:
    digest = f", {code(one.digest)}" if one.digest else ""
    return f"{escape(one.source)}: {escape(one.what)}, read {_at(one.read_at)} UTC{digest}"


def _before(plan: Plan) -> Sequence[Step]:
    """The steps that come before the one that the way is named after."""
    return plan.steps[: _main(plan)]


def _execute(plan: Plan) -> Sequence[Step]:
    return tuple(step for step in plan.steps[_main(plan) :] if not _holds(step))


def _holding(plan: Plan) -> Sequence[Step]:
    return tuple(step for step in plan.steps[_main(plan) :] if _holds(step))


def _main(plan: Plan) -> int:
    wanted = plan.way.replace("_", "")
    return next((number for number, step in enumerate(plan.steps) if step.name.replace("_", "") == wanted), 0)


def _holds(step: Step) -> bool:
    return "hold" in step.name.split("_")


def _steps(plan: Plan, steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield f"- [ ] {escape(step.says)} — *{escape(step.owner)}{_optional(step)}*"
        if step.done_when:
            yield f"  - done when: {escape(step.done_when)}"
        if step.fallback:
            yield f"  - if it fails: {escape(step.fallback)}"
        if step.undo:
            yield f"  - undo: {escape(step.undo.says)}"
        if step.stands:
            yield f"  - cannot be undone: {escape(step.stands)}"
        if step.command and _allowed(plan):
            yield from ("", *block(step.command), "")


def _verify(plan: Plan) -> Iterator[str]:
    yield f"- [ ] Every ready pod runs exactly the images of release {_release(plan.goal)}, by digest"
    yield "- [ ] The measured error is back inside its bound for the whole bake time, with fresh samples and at least a fifth of the traffic before"
    yield "- [ ] The alert no longer fires, by our own query; a quiet webhook proves nothing"
    yield "- [ ] Else stay back, keep the hold, and call a person; never go forward by itself"


def _hold(plan: Plan) -> Iterator[str]:
    yield from _steps(plan, _holding(plan))
    yield f"- [ ] Release {_release(plan.suspect)} stays away until a release without its changes is live and verified"
    yield "- [ ] The hold is listed with owner and review date"
    yield from ("", *block("backout holds"), "")


def _document(plan: Plan) -> Iterator[str]:
    bound = f"digest {code(plan.digest)}, policy {code(plan.policy_version)}, mode {code(plan.mode.word)}"
    yield f"- [ ] Plan {code(plan.id)}, {bound}, asked for by {escape(str(plan.requested_by))}"
    if plan.tags:
        yield f"- [ ] Tags: {', '.join(map(code, plan.tags))}"
    yield "- [ ] The operation's trace is complete: `backout audit ID`"


def _wrong_if(plan: Plan) -> str:
    target, suspect = escape(str(plan.target)), escape(plan.suspect.title)
    return (
        f"what runs on {target} is no longer release {suspect}, or {target} or something it depends on was changed after {_at(plan.made_at)} UTC, "
        "or one of the answers above is another one now."
    )


def _release(release: Release) -> str:
    return escape(release.title)


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
