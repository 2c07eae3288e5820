"""What the declared databases say of the schema: today's catalogue and version tables against those of the time when the older release lived alone.

The statements that it ran then are prepared again (`live_statements`). Two of three things are told apart. What contradicts or hurts is a finding, whatever
the text of the migrations says. What could not be seen is a doubt, which counts only where there may be migrations at all. That all is there, and that
nothing has run, are the two things that a text can be compared with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain import keys
from service.domain.applied import Progress, before, forward, progress, together
from service.domain.catalog import Catalog, Harm, Missed, VersionTable, missed
from service.domain.derived import doubt, listed
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.keys import FileChange
from service.domain.live_statements import HOTFIX, LiveStatements, live_statements, statement_keys
from service.domain.model import Release, Way
from service.domain.relaxed import MOST, Relaxed, relaxed
from service.domain.rule import Case, Direction
from service.domain.verdict import Finding, blocks, unknown, warns

SHOWN = 3
"""Things that are missed, told in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSchema:
    """What the databases show together.

    `asked`: a database is declared, and the direction is back. `has_all`: each has everything that the older release had. `not_run`: by their version tables
    none of the range's migrations has run, and it is known of each. `findings` are all that is no pass, `unseen` what could not be seen. `says` tells `has_all`
    and what ran for a sentence, and `evidence` is what it rests on. `ran_by` are the tools by whose tables migrations of the range ran. `unused`: something is
    gone, and none of the statements that the older release was seen to run uses it. `statements` is how many of these there are.
    """

    asked: bool = False
    has_all: bool = False
    not_run: bool = False
    findings: tuple[Finding, ...] = ()
    unseen: tuple[Finding, ...] = ()
    says: str = ""
    evidence: tuple[Evidence, ...] = ()
    ran_by: frozenset[str] = frozenset()
    unused: bool = False
    statements: int = 0

    @property
    def agrees(self) -> bool:
        """Whether nothing speaks against a harmless text."""
        return self.has_all and not self.findings and not self.unseen

    @property
    def all(self) -> tuple[Finding, ...]:
        """Findings and doubts."""
        return (*self.findings, *self.unseen)


def catalog_keys(case: Case, older: Release) -> Iterator[Key[Any]]:
    """The facts that `live_schema` reads."""
    for name in case.policy.declares.databases:
        yield keys.catalog(name)
        then_key = keys.catalog_then(case.target, older.key, name)
        yield then_key
        now, then = case.facts.read(keys.catalog(name)), case.facts.read(then_key)
        if isinstance(now, Known) and isinstance(then, Known) and not now.value.busy:
            loose = relaxed(then.value, now.value)
            if 0 < len(loose) <= MOST:
                yield keys.left_rows(name, loose)
        yield from statement_keys(case, older, name)


def live_schema(case: Case, newer: Release, older: Release, files: Sequence[FileChange]) -> LiveSchema:
    """Each declared database now, against what it was while the older release lived; `files` are what differs in Git, as far as it is known.

    Going forward the newer release's migrations have not run yet, so today's schema says nothing of what they will leave behind.
    """
    names = case.policy.declares.databases
    if not names or case.direction is Direction.FORWARD:
        return LiveSchema()
    findings: list[Finding] = []
    unseen: list[Finding] = []
    pairs: list[tuple[str, Known[Catalog], Known[Catalog]]] = []
    own: dict[str, LiveStatements] = {}
    unused = False
    for name in names:
        now, then = case.facts.read(keys.catalog(name)), case.facts.read(keys.catalog_then(case.target, older.key, name))
        if isinstance(now, Absent):
            unseen.append(doubt(f"What the schema of database {name} is now is unknown", now, clears="Let Backout's role connect to it."))
        elif now.value.busy:
            says = f"The schema of database {name} is being changed right now: {now.value.busy}."
            findings.append(blocks(says, now.evidence, clears="Wait until that migration has ended, then ask again."))
        else:
            own[name] = live_statements(case, name, now, newer, older)
            findings += own[name].findings
            unseen += own[name].unseen
        if isinstance(now, Absent) or now.value.busy:
            continue
        if isinstance(then, Absent):
            says = f"What release {older.name} needs of database {name} is unknown"
            unseen.append(doubt(says, then, now.evidence, clears="It is read for releases that go live from now on."))
        else:
            pairs.append((name, now, then))
    for name, now, then in pairs:
        rows = _rows(case, name, relaxed(then.value, now.value), newer, older)
        findings += rows.findings
        unseen += rows.unseen
        shape = [one for one in missed(then.value, now.value) if one.about not in rows.settled]
        gone = [one for one in shape if one.named] if own[name].unused else []
        findings += _missed(name, [one for one in shape if one not in gone], (now.evidence, then.evidence), newer, older)
        findings += _unused(name, gone, own[name], (now.evidence, then.evidence), older)
        unused = unused or bool(gone)
        if now.value.unseen:
            says = f"Backout's role may not see {' and '.join(now.value.unseen)} of database {name}."
            findings.append(warns(says, now.evidence, clears="Grant it the rights that docs/databases.md names, or a person looks."))
    has_all = len(pairs) == len(names) and not findings
    ran = _versions(pairs, newer, older, forward(files))
    findings += ran.findings
    unseen += ran.unseen
    says = f"{listed(names)} still {'has' if len(names) == 1 else 'have'} everything that release {older.name} had" if has_all else ""
    if has_all and (told := [one.says for one in own.values() if one.says]):
        says = f"{says}, also for {' and '.join(told)}"
    evidence = tuple(fact.evidence for _, now, then in pairs for fact in (now, then)) + tuple(one for of in own.values() for one in of.evidence)
    return LiveSchema(
        asked=True,
        has_all=has_all,
        not_run=ran.not_run,
        findings=tuple(findings),
        unseen=tuple(unseen),
        says=says,
        evidence=evidence,
        ran_by=ran.by,
        unused=unused,
        statements=sum(one.number for one in own.values()),
    )


def _missed(name: str, found: Sequence[Missed], proof: tuple[Evidence, ...], newer: Release, older: Release) -> Iterator[Finding]:
    """One finding for what hurts, one for what may."""
    for harm in (Harm.DOES, Harm.MAY):
        some = [one for one in found if one.harm is harm]
        if not some:
            continue
        what = "; ".join(one.what for one in some[:SHOWN]) + (f"; and {len(some) - SHOWN} more" if len(some) > SHOWN else "")
        mend = "; or ".join(dict.fromkeys(one.mend for one in some[:SHOWN]))
        if harm is Harm.DOES:
            says = f"In database {name} {what}: release {older.name} was made for it."
            clears = f"{mend[:1].upper()}{mend[1:]}. Else {HOTFIX} on {newer.name}."
            yield blocks(says, *proof, clears=clears, instead=Way.HOTFIX, overridable=True)
        else:
            yield warns(f"In database {name} {what}; release {older.name} may not expect that.", *proof, clears=f"{mend[:1].upper()}{mend[1:]}.")


def _unused(name: str, gone: Sequence[Missed], own: LiveStatements, proof: tuple[Evidence, ...], older: Release) -> Iterator[Finding]:
    """What is gone and what none of many statements uses: schema and statements disagree, so a person who knows the code decides."""
    if not gone:
        return
    what = listed((one.what for one in gone), limit=SHOWN)
    says = f"In database {name} {what}, but no use of that is among {own.says}."
    yield unknown(says, *proof, *own.evidence, clears=uses_it_nowhere(older))


def uses_it_nowhere(older: Release) -> str:
    """What clears the doubt whether the older release uses something, of which none of its statements speaks."""
    return f"A person who knows release {older.name} confirms that nothing else in it uses that: jobs that run seldom, functions, triggers."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    findings: tuple[Finding, ...] = ()
    unseen: tuple[Finding, ...] = ()
    settled: frozenset[str] = frozenset()


def _rows(case: Case, name: str, loose: Sequence[Relaxed], newer: Release, older: Release) -> _Rows:
    """What the rows say of each limit that is looser than it was. `settled` are the things of which a comparison of shapes need not speak any more."""
    if not loose:
        return _Rows()
    clears = f"Let Backout's role read {listed(dict.fromkeys(f'{one.table} ({one.column})' for one in loose), limit=SHOWN)}, or a person looks."
    if len(loose) > MOST:
        says = f"In database {name} {len(loose)} limits are looser than they were, more than the {MOST} that are asked after in rows."
        return _Rows(unseen=(unknown(says, clears="A person looks whether rows break them."),))
    fact = case.facts.read(keys.left_rows(name, tuple(loose)))
    if isinstance(fact, Absent):
        says = f"Whether rows of database {name} are more than release {older.name} can read is unknown"
        return _Rows(unseen=(doubt(says, fact, clears=clears),))
    broken = [one.relaxed for one in fact.value if one.found]
    hidden = [one for one in fact.value if one.found is None]
    findings: list[Finding] = []
    unseen: list[Finding] = []
    if broken:
        what = listed(broken, limit=SHOWN)
        says = f"In database {name} {what}: release {older.name} was made for rows without."
        mend = f"Change those rows back. Else {HOTFIX} on {newer.name}."
        findings.append(blocks(says, fact.evidence, clears=mend, instead=Way.HOTFIX, overridable=True))
    if hidden:
        what = "; ".join(f"{one.relaxed} ({one.why})" for one in hidden[:SHOWN])
        unseen.append(unknown(f"Nobody can say whether in database {name} {what}.", fact.evidence, clears=clears))
    loud = {one.relaxed.about for one in fact.value if one.found is None}
    return _Rows(findings=tuple(findings), unseen=tuple(unseen), settled=frozenset(one.about for one in loose) - loud)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    findings: tuple[Finding, ...]
    unseen: tuple[Finding, ...]
    not_run: bool
    by: frozenset[str] = frozenset()


def _versions(pairs: Sequence[tuple[str, Known[Catalog], Known[Catalog]]], newer: Release, older: Release, files: Sequence[FileChange]) -> _Ran:
    """Every version table of every database, then all of them together against the files of the range."""
    findings: list[Finding] = []
    unseen: list[Finding] = []
    told: list[Progress] = []
    by: set[str] = set()
    tables = [(name, table, now, then) for name, now, then in pairs for table in now.value.applied]
    for name, table, now, then in tables:
        was = before(then.value, table)
        where = f"the version table {table.table} ({table.tool}) of database {name}"
        findings += _trouble(name, table, was, now.evidence)
        if table.unread:
            unseen.append(unknown(f"What {where} says is unknown: {table.unread}.", now.evidence, clears=f"Let Backout's role read {table.table}."))
        elif was is None:
            says = f"What {where} said while release {older.name} lived is not known."
            unseen.append(unknown(says, now.evidence, clears="It is read for releases that go live from now on; for this one a person looks."))
        else:
            one = progress(was, table, files)
            told.append(one)
            by |= {table.tool} if one.ran else set()
            findings += _contradictions(one, where, older, (now.evidence, then.evidence))
    together_ = together(told, [table for _, table, _, _ in tables], files)
    proof = tuple(dict.fromkeys(now.evidence for _, now, _ in pairs))
    if together_.missing and pairs:
        says = f"No version table of {listed(together_.missing)} is seen in {listed(name for name, _, _ in pairs)}, so whether these migrations ran is unknown."
        unseen.append(unknown(says, *proof, clears="Name its schema in evidence.databases."))
    paths = {file.path for file in files}
    not_run = bool(paths) and together_.waiting == paths
    if together_.waiting and together_.ran:
        says = f"Of the migrations of release {newer.name} {len(together_.ran)} ran and {listed(sorted(together_.waiting), limit=SHOWN)} did not."
        findings.append(unknown(says, *proof, clears="Find out where that migration stopped, and finish it or take it back."))
    elif not_run:
        says = f"By the version tables no migration of release {newer.name} has run yet ({listed(sorted(paths), limit=SHOWN)})."
        findings.append(warns(says, *proof, clears="Keep them from running before you go back, and confirm it."))
    return _Ran(findings=tuple(findings), unseen=tuple(unseen), not_run=not_run, by=frozenset(by))


def _trouble(name: str, table: VersionTable, was: VersionTable | None, evidence: Evidence) -> Iterator[Finding]:
    """A tool that works now, and what failed since: what lived with the older release already was no harm to it."""
    if table.locked:
        says = f"{table.tool} holds its lock in database {name} ({table.table}): a migration runs, or one was killed."
        yield blocks(says, evidence, clears=f"Wait until that migration has ended; if it was killed, take the lock away as {table.tool} tells.")
    fresh = [one for one in table.wrong if was is None or one not in was.wrong]
    if fresh:
        says = f"In database {name} {table.tool} says of its migrations: {listed(fresh, limit=SHOWN)}."
        yield blocks(says, evidence, clears=f"Repair that migration as {table.tool} tells, then ask again.", overridable=True)


def _contradictions(one: Progress, where: str, older: Release, proof: tuple[Evidence, ...]) -> Iterator[Finding]:
    if one.strange:
        says = f"By {where} {listed(one.strange, limit=SHOWN)} ran after release {older.name} lived, which is not among the migrations in Git."
        yield unknown(says, *proof, clears="Find out who ran it and what it changed.")
    if one.gone:
        says = f"By {where} {listed(one.gone, limit=SHOWN)} ran while release {older.name} lived, and is not written there any more."
        yield unknown(says, *proof, clears="Find out who took it back and what that changed.")
