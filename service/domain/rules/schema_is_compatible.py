"""The goal release can run on the schema that the release under suspicion left behind, by lines of evidence that must agree.

One is the text of the migrations between the source revisions of the images, never of the configuration's revision. The other is the databases themselves:
their schema, and the version tables of migration tools, now and while the goal release lived. The third is what the release itself declares. Where no
database is declared, a migration that reads as harmless is a warning, not a pass. Where text and databases disagree, it is unknown; what a database shows to
be gone is a no, whatever the text says.

Problem: The new release changed the schema; the old code meets columns that are gone, values it cannot read, inserts that fail. Then going back makes it
worse.

Read: The source revision of each image (its labels; tags, build and bake of an image of machines), and every migration between the two in Git; of each
declared database the catalogue, now and as Backout kept it while the goal release lived alone, with the version tables of migration tools. Nobody's code is
run. Of other rows one thing is asked: whether any is beyond a limit that is looser than it was (NULL, longer, larger, a new label). Where PostgreSQL counts
them, the statements that the goal release ran then, which are prepared on today's schema and not run.

Decides: The same images, or no migration between them: pass. Migrations that read as harmless: pass where every declared database still has all that the goal
release had, else warn, for no database was asked. One that takes away what the old release may still use: no, with a hotfix instead; unknown where what is
gone was used by none of the statements that it ran for a day. A statement of its own that cannot be prepared any more: no. A statement, file or revision that
is not understood: unknown. A migration that ran and is not in Git, one that ran in part, a version table that could not be read: unknown. One
that failed, or runs now: no. A row that the goal release was not made for: no; where nobody may look: unknown. A release that migrates when it starts, with a
tool that ends at what it does not know (Alembic, golang-migrate, sqitch): no. None has run yet: warn, for a person has to keep it so.

Fix: Do what the sentence names (put the column back, give the default back), or ship a hotfix on the release that is live. Next time take away in a later
release than the one that stops using it.

Declare: `declares.databases`: the databases of `evidence.databases` that the target uses. `declares.migrates_at_start`: whether its pods migrate when they
start. In labels of the images: `backout.dev/schema-version` and `backout.dev/min-compatible-schema`, `backout.dev/phase` (none, expand, migrate, contract),
`backout.dev/data-change` (none, append, rewrite), `backout.dev/never-rollback`. A label may say no by itself; it never makes a yes. A waiver in
`.backout.yaml` of the older release's own source, merged before the change, makes a block of the text a warning, and a pass where every declared database
still has all. A person who knows the code ticks a warning; a block needs two (`--override`).

Elsewhere: Decided for everything that is built from Git, wherever it runs.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from service.domain import keys
from service.domain.applied import forward
from service.domain.declared import declared, declared_on_target, shown
from service.domain.derived import doubt, exact_images, goal_images_key, image_keys, labels_key, listed, live_already, live_keys, together
from service.domain.documents import DocumentError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import FileChange, ImageConfig, SourceChange
from service.domain.live_schema import LiveSchema, catalog_keys, live_schema, uses_it_nowhere
from service.domain.live_statements import HOTFIX
from service.domain.model import Image, Release, Way
from service.domain.rule import Case, Direction, Rule
from service.domain.schema import SchemaVerdict, StatementReading
from service.domain.schema.reading import worst
from service.domain.schema_change import SchemaChange, schema_change
from service.domain.start_up import start_up, tools_of
from service.domain.verdict import Answer, Finding, Line, blocks, passes, unknown, warns
from service.domain.waivers import FILE
from service.domain.waivers import declared as declared_in

SHORT = 7
SHOWN = 3
"""Statements told in the sentence; the evidence names more."""
SHOWN_EVIDENCE = 20
HEADLINE = 100
"""Signs that are read at a glance, at night."""

LABEL_IMAGES = "Build images with the labels (machine images: tags) org.opencontainers.image.revision and .source, or map their repositories in the settings."
READ_GIT = "Give Backout read access to that repository with its history."


@dataclass(frozen=True, slots=True)
class Range:
    """One repository whose source differs between the releases: the goal's revision and the suspect's.

    `derived`: a tool worked one of them out (see `ImageConfig`), and may have taken the commit of another repository.
    """

    repository: str
    old: str
    new: str
    derived: bool = False


def needs(case: Case) -> Iterable[Key[Any]]:
    """The images of both releases, then the labels of those that differ, then what differs between their source revisions."""
    newer, older = _both(case)
    if newer is None or older is None:
        return
    yield from live_keys(case)
    if not case.deploys:
        return
    yield keys.state(case.target)
    yield from image_keys(case, newer)
    yield from image_keys(case, older)
    new, old = exact_images(case, newer), exact_images(case, older)
    if isinstance(new, Absent) or isinstance(old, Absent):
        return
    yield goal_images_key(case, newer)
    left, came = _differing(new.value, old.value)
    configs = _config_keys(newer, left, older, came)
    yield from configs
    if left or came:
        yield from catalog_keys(case, older)
    if all(isinstance(case.facts.read(key), Known) for key in configs):
        yield from (keys.source_change(one.repository, one.old, one.new) for one in _ranges(case, left, came) if isinstance(one, Range))


def ask(case: Case) -> Finding:
    """Same images need nothing; else every source revision, the whole difference, and each migration in it.

    Forward the question is whether there would be a way back: the release that is live must run on the schema that the new one leaves behind.
    """
    newer, older = _both(case)
    if newer is None or older is None:
        return unknown("Without both releases nobody can say which migrations lie between them.", clears="Known once both releases are.")
    if case.goal is not None and not case.deploys:
        return live_already(case, case.goal)
    new, old = exact_images(case, newer), exact_images(case, older)
    if isinstance(new, Absent):
        return doubt(f"Which source release {newer.name} was built from is unknown", new, clears=LABEL_IMAGES)
    if isinstance(old, Absent):
        return doubt(f"Which source release {older.name} was built from is unknown", old, clears=LABEL_IMAGES)
    rendered = case.facts.read(goal_images_key(case, newer))
    proof = (*new.evidence, *old.evidence, *((rendered.evidence,) if isinstance(rendered, Known) else ()))
    left, came = _differing(new.value, old.value)
    hidden = _hidden(rendered, newer, new.value)
    if hidden is not None:
        return hidden
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether the target itself declares anything about going back is unknown", state, clears="Make the delivery system reachable.")
    proof = (*proof, state.evidence)
    own = declared_on_target(state, _labels(case, older, came), newer, older)
    if not left and not came:
        if own:
            finding = together(own)
            lines = tuple(Line(source="declared", answer=one.answer, says=one.says) for one in own)
            return replace(finding, says=_headline(finding, newer, older), lines=lines, evidence=tuple(dict.fromkeys((*finding.evidence, *proof))))
        return passes(f"Releases {newer.name} and {older.name} run the same images, so no migration lies between them.", *proof)
    ranges = tuple(_ranges(case, left, came))
    files = _files(case, ranges)
    live = live_schema(case, newer, older, files)
    parts = [part for one in ranges for part in (_judge(case, one, newer, older, live) if isinstance(one, Range) else (one,))]
    starting = _starting(case, live, files, newer, older)
    new_labels, old_labels = _labels(case, newer, left), _labels(case, older, came)
    said = (*declared(new_labels, old_labels, newer, older), *own)
    proven = all(part.answer is Answer.PASS for part in parts)
    # Where the text proves that no migration lies between, what could not be seen is no doubt; what contradicts it is.
    shown = live.findings if proven else live.all
    labels = tuple(fact.evidence for fact in (*new_labels, *old_labels))
    finding = together([*parts, *shown, *said, *starting])
    told = (*finding.evidence, *proof, *labels)
    if finding.answer is Answer.PASS:
        return replace(finding, evidence=tuple(dict.fromkeys(told)), lines=())
    lines = _lines([part for part in parts if part not in live.all], live, said, starting)
    return replace(finding, says=_headline(finding, newer, older), lines=lines, clears=_clears(finding.clears, newer), evidence=tuple(dict.fromkeys(told)))


def _headline(finding: Finding, newer: Release, older: Release) -> str:
    """The sentence that is read first, short enough for it: the first of several; where that is long, the answer alone, for the lines have the reason."""
    first = re.split(r"(?<=[.]) (?=[A-Z])", finding.says, maxsplit=1)[0]
    without_reason = re.sub(r"(?<= is unknown): .*", ".", first)
    match finding.answer:
        case Answer.BLOCK:
            short = f"Release {older.name} cannot run on what release {newer.name} left."
        case Answer.WARN:
            short = f"Release {older.name} runs on what release {newer.name} left only if a person confirms."
        case _:
            short = f"Whether release {older.name} can run on what release {newer.name} left is unknown."
    return next(
        (one for one in (first, without_reason, short) if len(one) <= HEADLINE),
        "Whether the earlier release can run on today's schema: see the lines of evidence.",
    )


def _clears(text: str, newer: Release) -> str:
    """What would change the answer, with the hotfix, which several parts may know as the last resort, once at the end."""
    last = f"Else {HOTFIX} on {newer.name}."
    if last not in text:
        return text
    rest = " ".join(text.replace(last, "").split())
    return f"{rest} {last}" if rest else last.removeprefix("Else ").capitalize()


def _files(case: Case, ranges: Sequence[Range | Finding]) -> tuple[FileChange, ...]:
    """What differs in Git, of every repository that could be compared."""
    found = [case.facts.read(keys.source_change(one.repository, one.old, one.new)) for one in ranges if isinstance(one, Range) and one.old != one.new]
    return tuple(dict.fromkeys(file for change in found if isinstance(change, Known) for file in change.value.files))


def _starting(case: Case, live: LiveSchema, files: Sequence[FileChange], newer: Release, older: Release) -> tuple[Finding, ...]:
    """Whether the older release can start at all; what has not run stops nobody."""
    brought = forward(files)
    if not brought or live.not_run:
        return ()
    found = start_up(live.ran_by | tools_of(brought), case.policy.declares.migrates_at_start, newer, older, live.evidence)
    return () if found is None else (found,)


def _labels(case: Case, release: Release, images: Sequence[Image]) -> tuple[Known[ImageConfig], ...]:
    return tuple(fact for image in images if isinstance(fact := case.facts.read(labels_key(release, image)), Known))


def _config_keys(newer: Release, left: Sequence[Image], older: Release, came: Sequence[Image]) -> tuple[Key[ImageConfig], ...]:
    return (*(labels_key(newer, image) for image in left), *(labels_key(older, image) for image in came))


def _lines(text: Sequence[Finding], live: LiveSchema, said: Sequence[Finding], starting: Sequence[Finding]) -> tuple[Line, ...]:
    """What each of the three lines of evidence says by itself, those without a word among them: nobody has to guess what was not asked."""
    found = [line for part in text for line in part.lines or (Line(source="text", answer=part.answer, says=part.says),) if line.says]
    if live.asked:
        seen = [Line(source="database", answer=one.answer, says=one.says) for one in live.all]
        found += seen or [Line(source="database", answer=Answer.PASS, says=f"{live.says[:1].upper()}{live.says[1:]}.")]
    else:
        found.append(Line(source="database", answer=Answer.UNKNOWN, says="No database is declared for this target, so none was asked."))
    own = (*said, *starting)
    found += [Line(source="declared", answer=one.answer, says=one.says) for one in own]
    if not own:
        found.append(Line(source="declared", answer=Answer.UNKNOWN, says="The images declare nothing about going back."))
    return tuple(dict.fromkeys(found))


def _both(case: Case) -> tuple[Release | None, Release | None]:
    """The release that may have changed the schema, and the one that has to run on it: back it is the suspect, forward the release to go to."""
    return (case.goal, case.suspect) if case.direction is Direction.FORWARD else (case.suspect, case.goal)


def _hidden(rendered: Fact[tuple[Image, ...]], suspect: Release, seen: Sequence[Image]) -> Finding | None:
    """The unknown that stands for an image which the release has but no pod was seen running: a hook or Job that migrates ends before anybody looks."""
    if isinstance(rendered, Absent):
        says = f"Whether a hook or Job of release {suspect.name} migrates with an image of its own is unknown"
        return doubt(says, rendered, clears="Make the delivery system render the release.")
    known = {image.repository for image in seen}
    other = sorted(one.reference for one in rendered.value for image in seen if one.repository == image.repository and _disagree(one, image))
    if other:
        return unknown(
            f"Release {suspect.name} is rendered with {listed(other)}, but other pods were recorded as its own; which migrations it came with is unknown.",
            rendered.evidence,
            clears="Let Backout watch the next release; this one needs a person.",
        )
    others = sorted({image.repository for image in rendered.value} - known)
    if not others:
        return None
    return unknown(
        f"Release {suspect.name} also has {listed(others)}, which Backout never saw running (a hook or a Job?); what it migrates is unknown.",
        rendered.evidence,
        clears="A person who knows that image ticks it.",
    )


def _disagree(rendered: Image, recorded: Image) -> bool:
    """Whether manifest and record cannot both be of one release: another digest, or another tag where the manifest names none."""
    if rendered.digest is not None:
        return rendered.digest != recorded.digest
    return rendered.reference != recorded.reference and recorded.proof == "pods"


def _differing(new: Iterable[Image], old: Iterable[Image]) -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    """The images that only the suspect has, and those that only the goal has, each content once."""
    left = {image.exact: image for image in new if image.exact}
    came = {image.exact: image for image in old if image.exact}
    return tuple(left[exact] for exact in sorted(left.keys() - came.keys())), tuple(came[exact] for exact in sorted(came.keys() - left.keys()))


def _ranges(case: Case, left: Sequence[Image], came: Sequence[Image]) -> Iterator[Range | Finding]:
    """The source ranges to read, or the finding that stands for an image whose source is not known or has no counterpart."""
    newer, older = _both(case)
    if newer is None or older is None:
        return
    new: dict[str, set[str]] = {}
    old: dict[str, set[str]] = {}
    derived: set[str] = set()
    complete = True
    for release, images, revisions in ((newer, left, new), (older, came, old)):
        for image in images:
            config = case.facts.read(labels_key(release, image))
            if isinstance(config, Absent):
                yield doubt(f"The source revision of {image.repository} is unknown", config, clears=LABEL_IMAGES)
                complete = False
            elif not (config.value.revision and config.value.repository):
                yield unknown(f"The image {image.repository} does not say which source revision it was built from.", config.evidence, clears=LABEL_IMAGES)
                complete = False
            else:
                revisions.setdefault(config.value.repository, set()).add(config.value.revision)
                derived |= {config.value.revision} if config.value.derived else set()
    if not complete:
        return
    for repository in sorted(new.keys() | old.keys()):
        before, after = old.get(repository, set()), new.get(repository, set())
        if not before or not after:
            there = "go to" if case.direction is Direction.FORWARD else "go back to"
            which = ("leave" if newer is case.suspect else there) if after else ("leave" if older is case.suspect else there)
            release = newer if after else older
            yield unknown(
                f"Only the release to {which} ({release.name}) has code of {repository}, so there is no range of migrations to read.",
                clears="Look at what that code does to the database.",
            )
        else:
            yield from (Range(repository, one, other, derived=bool({one, other} & derived)) for one in sorted(before) for other in sorted(after))


def _judge(case: Case, one: Range, suspect: Release, goal: Release, live: LiveSchema) -> Iterator[Finding]:
    if one.old == one.new and not one.derived:
        yield passes(f"Both releases were built from {one.new[:SHORT]} of {one.repository}.")
        return
    change = case.facts.read(keys.source_change(one.repository, one.old, one.new))
    between = f"between {one.old[:SHORT]} and {one.new[:SHORT]}"
    if isinstance(change, Absent) and one.old == one.new:
        yield doubt(f"Whether {one.repository} has {one.new[:SHORT]}, which both images name, is unknown", change, clears=READ_GIT)
    elif isinstance(change, Absent):
        yield doubt(f"What differs in {one.repository} {between} is unknown", change, clears=READ_GIT)
    elif not change.value.has_code:
        yield unknown(
            f"{one.repository} holds only configuration, so it cannot show whether there are migrations {between}.",
            change.evidence,
            clears="Map the image to the repository of its source code.",
        )
    elif one.old == one.new:
        yield passes(f"Both releases were built from {one.new[:SHORT]} of {one.repository}.", change.evidence)
    else:
        yield from _read(change, between, suspect, goal, live, case.facts.now.date())


def _read(change: Known[SourceChange], between: str, suspect: Release, goal: Release, live: LiveSchema, today: date) -> Iterator[Finding]:
    files, repository = change.value.files, change.value.repository
    found, signed = _signed(change.value, schema_change(change.value), live, today, goal)
    note = f" Release {suspect.name} is the older source of the two." if change.value.backwards else ""
    if found.carriers:
        paths = [file.path for file in found.carriers]
        yield unknown(
            f"{listed(paths, limit=SHOWN)} differ{'s' if len(paths) == 1 else ''}; a changed dependency can bring migrations of its own.{note}",
            change.evidence,
            clears="A person who knows the changed dependencies ticks it.",
        )
    if found.migrations:
        yield from _statements(change, found, suspect, goal, note, live)
        if signed:
            passed = any(one.answer is Answer.PASS for one in signed)
            says = f"What would break by its text is waived in {FILE} of release {goal.name}, and every database agrees." if passed else ""
            proof = replace(change.evidence, what=f"{FILE} at {change.value.old[:SHORT]}")
            yield Finding(answer=Answer.PASS, says=says, evidence=(proof,), lines=signed)
    elif not found.carriers:
        count = f"{len(files)} file{'' if len(files) == 1 else 's'} of {repository} differ{'s' if len(files) == 1 else ''}"
        yield passes(f"No migration {between} ({count}).{note}", change.evidence)


def _signed(change: SourceChange, found: SchemaChange, live: LiveSchema, today: date, goal: Release) -> tuple[SchemaChange, tuple[Line, ...]]:
    """What the repository waived before the newer release was made: it was merged there, and the older release brought it, so no change waives itself.

    A statement that is waived passes where every database still has what the older release had; else a person ticks it. What a database shows to be gone, or
    a row that cannot be read, stays a no all the same.
    """
    try:
        waivers = declared_in(None if change.backwards else change.declarations).waivers
    except DocumentError as error:
        return found, (Line(source="declared", answer=Answer.UNKNOWN, says=f"{FILE} of release {goal.name} {error}, so nothing in it counts."),)
    verdict = SchemaVerdict.SAFE if live.agrees else SchemaVerdict.WARN
    lines: list[Line] = []
    statements: list[StatementReading] = []
    for one in found.reading.statements:
        waiver = next((each for each in waivers if not each.over(today) and each.covers(one.rule, one.path, one.objects)), None)
        if waiver is None or one.verdict.severity <= verdict.severity:
            statements.append(one)
            continue
        says = f"{_place(one)} is waived in {FILE} of release {goal.name}: {shown(waiver.reason)}."
        lines.append(Line(source="declared", answer=_ANSWERS[verdict], says=says))
        statements.append(replace(one, verdict=verdict))
    kept = tuple(statements)
    return replace(found, reading=replace(found.reading, statements=kept, verdict=worst(kept))), tuple(dict.fromkeys(lines))


def _statements(change: Known[SourceChange], found: SchemaChange, suspect: Release, goal: Release, note: str, live: LiveSchema) -> Iterator[Finding]:
    migrations, reading = found.migrations, found.reading
    if found.unclear:
        yield unknown(
            f"How {listed([file.path for file in found.unclear])} changed is not understood.", change.evidence, clears="A person reads these migrations."
        )
    told = [one for one in reading.statements if one.verdict is reading.verdict]
    proof = (*(_evidence(change, one) for one in told[:SHOWN_EVIDENCE] if one.verdict is not SchemaVerdict.SAFE), change.evidence)
    clears = _named(" ".join(dict.fromkeys(f"Clear when {one.clears.rstrip('.')}." for one in told[:SHOWN] if one.clears)), goal)
    lines = tuple(_text_lines(told, goal))
    count = f"{len(migrations)} migration file{'' if len(migrations) == 1 else 's'}"
    match reading.verdict:
        case SchemaVerdict.BREAKS if live.has_all and live.not_run:
            says = f"By their text the migrations of release {suspect.name} stand in the way; none has run yet.{note}"
            yield _with(lines, warns(says, *proof, *live.evidence, clears="Keep them from running before you go back, and confirm it."))
        case SchemaVerdict.BREAKS if live.has_all:
            says = f"Text and database disagree whether release {goal.name} can run on the schema of release {suspect.name}.{note}"
            ask_for = "Find out whether that migration ran there, and whether every database of the target is declared."
            yield _with(lines, unknown(says, *proof, *live.evidence, clears=ask_for))
        case SchemaVerdict.BREAKS if live.unused and all(_STILL_READ.fullmatch(one.rule) for one in told):
            says = f"Release {goal.name} was not seen to use what release {suspect.name} took away.{note}"
            yield _with(lines, unknown(says, *proof, clears=uses_it_nowhere(goal)))
        case SchemaVerdict.BREAKS:
            says = f"{_broken(told, suspect, goal)}{note}"
            mend = f"{clears} Else {HOTFIX} on {suspect.name}.".strip()
            yield _with(lines, blocks(says, *proof, clears=mend, instead=Way.HOTFIX, overridable=True))
        case SchemaVerdict.UNKNOWN:
            says = f"Whether release {goal.name} can run on what release {suspect.name} left is unknown.{note}"
            yield _with(lines, unknown(says, *proof, clears=clears or "A person reads the migration."))
        case SchemaVerdict.WARN:
            says = f"Release {goal.name} runs on what release {suspect.name} left only if a person confirms.{note}"
            yield _with(lines, warns(says, *proof, clears=clears))
        case SchemaVerdict.SAFE if live.agrees and not found.unclear:
            says = f"Release {suspect.name} came with {count}; by their text release {goal.name} can run on that schema, and {live.says}.{note}"
            yield passes(says, *proof, *live.evidence)
        case SchemaVerdict.SAFE if live.asked:  # what the databases show, or do not, decides
            says = f"By the text of its migrations release {goal.name} can run on the schema of release {suspect.name}.{note}"
            yield _with((Line(source="text", answer=Answer.PASS, says=says),), passes(says, *proof))
            yield from live.all
        case SchemaVerdict.SAFE:
            harmless = f"{count} ({listed([file.path for file in migrations], limit=SHOWN)}): by the text release {goal.name} can run on what they leave."
            says = f"By text release {goal.name} can run on the schema of release {suspect.name}; no database was asked.{note}"
            line = Line(source="text", answer=Answer.PASS, says=harmless)
            yield _with((line,), warns(says, *proof, clears="A person confirms it, or the policy lets this rule's warning pass."))


def _with(lines: tuple[Line, ...], finding: Finding) -> Finding:
    return replace(finding, lines=lines)


def _text_lines(told: Sequence[StatementReading], goal: Release) -> Iterator[Line]:
    """Each statement with its place; more than a few are counted."""
    for one in told[:SHOWN]:
        what = _named(one.says.rstrip("."), goal)
        still = f", which release {goal.name} may still read" if _STILL_READ.fullmatch(one.rule) else ""
        by = _OPERATION.match(one.statement) if one.path.endswith(".py") else None
        yield Line(source="text", answer=_ANSWERS[one.verdict], says=f"{_place(one)} {f'{by[1]} ' if by else ''}{what}{still}.")
    if len(told) > SHOWN:
        files = len({one.path for one in told[SHOWN:]})
        yield Line(source="text", answer=_ANSWERS[told[0].verdict], says=f"{len(told) - SHOWN} more in {files} file{'' if files == 1 else 's'}.")


_OPERATION = re.compile(r"(?:migrations|op|batch_op)\.(\w+)\(")
"""The word by which the author of a Django or Alembic migration knows what stands there."""
_ANSWERS = {SchemaVerdict.SAFE: Answer.PASS, SchemaVerdict.WARN: Answer.WARN, SchemaVerdict.UNKNOWN: Answer.UNKNOWN, SchemaVerdict.BREAKS: Answer.BLOCK}
_PAST = {
    "adds": "added",
    "changes": "changed",
    "creates": "created",
    "deletes": "deleted",
    "drops": "dropped",
    "leaves": "left",
    "makes": "made",
    "puts": "put",
    "rebuilds": "rebuilt",
    "redefines": "redefined",
    "removes": "removed",
    "renames": "renamed",
    "replaces": "replaced",
    "revokes": "revoked",
    "sets": "set",
}
_STILL_READ = re.compile(r"(column|table|view|materialized_view)_(dropped|renamed)")


def _broken(told: Sequence[StatementReading], suspect: Release, goal: Release) -> str:
    """`Release 57 dropped column orders.legacy_status, which release 56 may still read.`: as much of the first as a headline holds, the others counted."""
    verb, _, rest = told[0].says.rstrip(".").partition(" ")
    what = f"Release {suspect.name} {_named(f'{_PAST.get(verb, verb)} {rest}'.strip(), goal)}"
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    harm = f", which release {goal.name} may still read" if _STILL_READ.fullmatch(told[0].rule) else f"; release {goal.name} may not run on that"
    tries = (f"{what}{harm}{more}.", f"{what}{more}.", f"{what.split(', ', maxsplit=1)[0].split(' (', maxsplit=1)[0]}{more}.")
    return next((one for one in tries if len(one) <= HEADLINE), f"Release {goal.name} cannot run on what release {suspect.name} left{more}.")


def _named(text: str, goal: Release) -> str:
    """The reader of migrations says OLD for the release to go back to; a person knows its name."""
    return re.sub(r"\bOLD\b", f"release {goal.name}", text)


def _place(one: StatementReading) -> str:
    return f"{one.path}:{one.line}" if one.line else one.path


def _evidence(change: Known[SourceChange], one: StatementReading) -> Evidence:
    return Evidence(source=change.evidence.source, what=_place(one), read_at=change.evidence.read_at, digest=change.evidence.digest)


RULE = Rule(name="schema_is_compatible", question="Can the goal release run on today's schema?", ask=ask, needs=needs)
