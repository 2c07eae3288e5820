"""Reads all migration files of a revision range at once and returns one reading: the package's entry point for text.

It puts the files in the order of application, takes the parts that go forward, bounds the work, and runs `scanning`, `statements` and `judgement` over them,
one judgement per migration root; files that are no plain SQL go to the `readers` of their tool. Recognising paths is `layouts`. No I/O, no clock: work is
bounded by size. Never raises for any text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType

from service.domain.schema.agreement import contradictions
from service.domain.schema.configuration import configured_dialect
from service.domain.schema.cursor import MAX_GRAMMAR_CHARACTERS, Session
from service.domain.schema.dumps import dumps_of, read_dump
from service.domain.schema.earlier import Earlier, order
from service.domain.schema.forward import forward_part
from service.domain.schema.judgement import Finding, Judge
from service.domain.schema.layouts import Recognised, Role, Tool, recognise
from service.domain.schema.operations import Kind, unknown
from service.domain.schema.readers import READ_CHANGED, READERS, Reader, Root, Step
from service.domain.schema.reading import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, StatementReading, worst
from service.domain.schema.scanning import Statement, split
from service.domain.schema.shapes import Shape
from service.domain.schema.statements import read

MAX_FILE_CHARACTERS = 1_000_000
MAX_RANGE_CHARACTERS = 4_000_000
MAX_STATEMENTS = 5_000
MAX_STATEMENT_SHOWN = 160
_REAL_DIALECTS = (Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE)
_ASK_FOR_SQL = "the migration is read by a person, or its SQL is produced beforehand and read instead"
_OTHER_DELIMITER = re.compile(r"--\s*atlas:delimiter\b|--changeset\b[^\n]*\bendDelimiter:(?!;)", re.IGNORECASE)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_MARKS = {
    # Tool: the endings of its files, and what no other tool's files say
    Tool.ALEMBIC: ({"py"}, re.compile(r"^from\s+alembic\s+import\b|^import\s+alembic\b", re.MULTILINE)),
    Tool.DJANGO: (
        {"py"},
        re.compile(r"^from\s+django\.db\s+import\b[^\n]*\bmigrations\b|^from\s+django\.db\.migrations\b|\bmigrations\.Migration\b", re.MULTILINE),
    ),
    Tool.RAILS: ({"rb"}, re.compile(r"\bActiveRecord::Migration\b")),
    Tool.LIQUIBASE: ({"xml", "yaml", "yml", "json", "sql"}, re.compile(r"\bdatabaseChangeLog\b|^\s*--\s*liquibase\s+formatted\s+sql\b", re.MULTILINE)),
    Tool.KNEX: ({"js", "ts", "cjs", "mjs"}, re.compile(r"\bexports\.up\s*=\s*(?:async\s+)?(?:function\s*)?\(?\s*knex\b|\bup\s*\(\s*knex\b")),
}
_TEXTS_IN_CODE = re.compile(r"\'{3}.*?\'{3}|\"{3}.*?\"{3}|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`[^`]*`", re.DOTALL)
_HINTS = {
    Dialect.MYSQL: re.compile(
        r"`\w|\bENGINE\s*=|\bAUTO_INCREMENT\b|\bUNSIGNED\b|\b(?:MODIFY|CHANGE)\s+COLUMN\b|\bON\s+DUPLICATE\s+KEY\b|\bFOREIGN_KEY_CHECKS\b", re.IGNORECASE
    ),
    Dialect.POSTGRES: re.compile(
        r"\$\$|::\s*\w|\b(?:BIG|SMALL)?SERIAL\b|\bJSONB\b|\bTIMESTAMPTZ\b|\bWITH(?:OUT)?\s+TIME\s+ZONE\b|\bALTER\s+COLUMN\s+\S+\s+(?:SET\s+DATA\s+)?TYPE\b|\b(?:SET|DROP)\s+NOT\s+NULL\b"
        r"|\bCONCURRENTLY\b|\bCREATE\s+(?:EXTENSION|TYPE)\b|\bALTER\s+TYPE\b|\bBYTEA\b",
        re.IGNORECASE,
    ),
    Dialect.SQLITE: re.compile(r"\bPRAGMA\b|\bAUTOINCREMENT\b|\bWITHOUT\s+ROWID\b", re.IGNORECASE),
}


def read_range(
    files: Sequence[MigrationFile],
    dialect: Dialect,
    *,
    beside: Mapping[str, str] = _NOTHING,
    before: Mapping[str, str] = _NOTHING,
    shape: Shape | None = None,
) -> SchemaReading:
    """Return what the migration files of a range leave behind for OLD, statement by statement.

    `files` are all migration files (`is_migration`) that differ between the two revisions, in any order. Nothing in them is executed. With
    `Dialect.UNKNOWN` the dialect is taken from the tools' own configuration, else from unmistakable words of the text; without any, the worst reading of all
    dialects stands. `beside` are texts of unchanged files that readers need (see `beside.beside`), `before` OLD's texts of changed ones, both by path.
    `shape` is the schema from which the range begins, where somebody has it (see `read_dump`): it decides what the text leaves open.
    """
    around = _Around(beside, before)
    if dialect is Dialect.UNKNOWN:
        dialect = configured_dialect(beside)
    if dialect is not Dialect.UNKNOWN:
        return _read_as(files, dialect, _Cutter(), around, shape, sure=True)
    hinted = _hinted_dialects(files)
    candidates = hinted if len(hinted) == 1 else _REAL_DIALECTS
    cut = _Cutter()
    readings = [_read_as(files, candidate, cut, around, shape, sure=False) for candidate in candidates]
    return max(readings, key=lambda reading: (reading.verdict.severity, sum(one.verdict.severity for one in reading.statements)))


def told_dialect(files: Iterable[MigrationFile]) -> Dialect:
    """The dialect of which unmistakable words stand in plain SQL, UNKNOWN where that is none or several."""
    hinted = _hinted_dialects(files)
    return hinted[0] if len(hinted) == 1 else Dialect.UNKNOWN


def read_sql(sql: str, dialect: Dialect, *, path: str = "text.sql") -> SchemaReading:
    """Return the reading of one migration given as text: of its forward part where it says both ways."""
    return read_range([MigrationFile(path=path, change=Change.ADDED, text=sql)], dialect)


def _hinted_dialects(files: Iterable[MigrationFile]) -> tuple[Dialect, ...]:
    texts = [file.text[:MAX_FILE_CHARACTERS] for file in files if file.text is not None and file.path.lower().endswith(".sql")]
    return tuple(dialect for dialect, hint in _HINTS.items() if any(hint.search(text) for text in texts))


def _read_as(files: Sequence[MigrationFile], dialect: Dialect, cut: "_Cutter", around: "_Around", shape: Shape | None, *, sure: bool) -> SchemaReading:
    placed = sorted(((_recognised(file), file) for file in files), key=lambda pair: _order(*pair))
    has_forward = any(found is None or found.role is Role.FORWARD for found, _ in placed)
    statements: list[StatementReading] = []
    budget = _Budget()
    for folder, group in groupby(placed, key=lambda pair: _root(*pair)):
        of_root = list(group)
        readers = _readers(folder, dialect, [file for _, file in of_root], {found.tool for found, _ in of_root if found}, around)
        sessions = [Session.of(dialect, grammar_characters=budget.grammar_characters)]
        dumps = _dumps(folder, of_root, files, around, dialect)
        sessions[0].definitions = shape is not None or dumps is not None
        read_of_root: list[tuple[MigrationFile, Step | Finding]] = []
        for found, file in _in_order(of_root, readers):
            reader = readers.get(found.tool) if found else None
            parts = _read_file(found, file, reader, sessions, budget, cut, has_forward=has_forward, has_before=file.path in around.before, sure=sure)
            read_of_root += [(file, part) for part in parts]
        before = shape if shape is not None else _learned(folder, of_root, around, dialect)
        statements += _judged(read_of_root, Judge(dialect, before), dumps, dialect)
    frozen = tuple(statements)
    return SchemaReading(dialect=dialect, statements=frozen, verdict=worst(frozen))


def _judged(read_of_root: Sequence[tuple[MigrationFile, Step | Finding]], judge: Judge, dumps: "_Dumps | None", dialect: Dialect) -> list[StatementReading]:
    """Judge what was read of one root, and hold it against the dumps of both revisions where they are known."""
    operations = [part.operation for _, part in read_of_root if isinstance(part, Step)]
    against: list[Finding] = []
    if dumps is not None:
        left_out = [
            unknown(part.rule, part.says, part.clears) for _, part in read_of_root if isinstance(part, Finding) and part.verdict is SchemaVerdict.UNKNOWN
        ]
        against = list(contradictions(dumps.old, dumps.new, [*operations, *left_out], dialect))
        if not against:  # what OLD's dump says is so
            judge = Judge(dialect, dumps.old)
    findings: list[tuple[MigrationFile, Step | None, Finding]] = []
    for file, parts in groupby(read_of_root, key=itemgetter(0)):
        judge.begin_file()
        findings += [(file, part, judge.judge(part.operation)) if isinstance(part, Step) else (file, None, part) for _, part in parts]
    # Only now: later statements of the same root may have changed earlier findings.
    judged = [_reading(file, step, finding) for file, step, finding in findings]
    return judged + [_reading(dumps.file, None, finding) for finding in against] if dumps is not None else judged


@dataclass(frozen=True, slots=True)
class _Dumps:
    """What the tool's dump said the schema was in OLD and says it is in NEW."""

    file: MigrationFile
    old: Shape
    new: Shape


def _dumps(
    folder: str, placed: Sequence[tuple[Recognised | None, MigrationFile]], files: Sequence[MigrationFile], around: "_Around", dialect: Dialect
) -> _Dumps | None:
    """The dumps that belong to a root, None where there are none in both revisions, or one cannot be read."""
    tools = dict.fromkeys(found.tool for found, _ in placed if found is not None and found.role is Role.FORWARD)
    changed = {file.path: file for file in files}
    for path in (path for tool in tools for path in dumps_of(tool, folder)):
        file = changed.get(path) or MigrationFile(path=path, change=Change.MODIFIED, text=around.beside.get(path))
        before = around.before.get(path) if path in changed else file.text
        if file.text is None or before is None or file.change is not Change.MODIFIED:
            continue
        new = read_dump(path, file.text, dialect)
        old = new if before == file.text else read_dump(path, before, dialect)
        return _Dumps(file, old, new) if old is not None and new is not None else None
    return None


def _learned(folder: str, placed: Sequence[tuple[Recognised | None, MigrationFile]], around: "_Around", dialect: Dialect) -> Shape | None:
    """What unchanged migrations of the same folder made before the first new one, as far as their texts are here."""
    added = [file for _, file in placed if file.change is Change.ADDED and file.text is not None]
    first = min((order(folder, file.path) for file in added), default=None)
    found = ((path, recognise(path)) for path in around.beside if path.lower().endswith(".sql"))
    paths = [path for path, of in found if of is not None and of.root == folder and first is not None and order(folder, path) < first]
    if not paths:
        return None
    earlier = Earlier(dialect)
    for path in sorted(paths, key=lambda one: order(folder, one)):
        earlier.learn(path, around.beside[path])
    return earlier.before("\n".join(file.text for file in added if file.text is not None))


def _recognised(file: MigrationFile) -> Recognised | None:
    """What a file is by its path; whose a file is whose path does not say it, or that writes Python, stands in its text."""
    found = recognise(file.path)
    if file.text is None or (found is not None and (found.role is not Role.FORWARD or not file.path.endswith(".py"))):
        return found
    ending = file.path.rpartition(".")[2].lower()
    says = [tool for tool, (endings, mark) in _MARKS.items() if ending in endings and mark.search(file.text[:MAX_FILE_CHARACTERS])]
    if len(says) != 1:
        return found
    return Recognised(says[0], Role.FORWARD, found.root if found is not None else file.path.rpartition("/")[0])


@dataclass(frozen=True, slots=True)
class _Around:
    """Texts by path: unchanged files that readers need, and OLD's of changed ones."""

    beside: Mapping[str, str]
    before: Mapping[str, str]


def _readers(folder: str, dialect: Dialect, files: Sequence[MigrationFile], tools: Iterable[Tool], around: "_Around") -> dict[Tool, Reader]:
    texts = {file.path: file.text for file in files if file.text is not None and len(file.text) <= MAX_FILE_CHARACTERS}
    root = Root(folder=folder, dialect=dialect, files=texts, beside=around.beside, before=around.before)
    return {tool: READERS[tool](root) for tool in tools if tool in READERS}


def _in_order(placed: Sequence[tuple[Recognised | None, MigrationFile]], readers: Mapping[Tool, Reader]) -> list[tuple[Recognised | None, MigrationFile]]:
    """Put the files of tools that know a better order than the names' into it, behind the others."""
    by_path = {file.path: (found, file) for found, file in placed}
    of_reader: dict[Tool, list[str]] = {}
    others = []
    for found, file in placed:
        if found is not None and found.tool in readers and file.text is not None and file.change is Change.ADDED and found.role is Role.FORWARD:
            of_reader.setdefault(found.tool, []).append(file.path)
        else:
            others.append((found, file))
    return [*others, *(by_path[path] for tool, paths in of_reader.items() for path in readers[tool].order(paths))]


class _Cutter:
    """Cuts a text once per dialect, however many readings ask."""

    def __init__(self) -> None:
        self._cut: dict[tuple[Dialect, str], list[Statement]] = {}

    def __call__(self, text: str, dialect: Dialect) -> list[Statement]:
        key = (dialect, text)
        if key not in self._cut:
            self._cut[key] = split(text, dialect)
        return self._cut[key]


class _Budget:
    """How much text and how many statements a range may still cost."""

    def __init__(self) -> None:
        self.characters = MAX_RANGE_CHARACTERS
        self.statements = MAX_STATEMENTS
        self.grammar_characters = [MAX_GRAMMAR_CHARACTERS]


def _root(found: Recognised | None, file: MigrationFile) -> str:
    return found.root if found else file.path.rpartition("/")[0]


def _order(found: Recognised | None, file: MigrationFile) -> tuple[str, bool, list[tuple[int, int, str]]]:
    """Order files as tools apply them: by root, then by version with numbers compared as numbers; Flyway's repeatable ones come last."""
    root = _root(found, file)
    inside = file.path[len(root) :].lstrip("/")
    return root, bool(found and found.tool is Tool.FLYWAY and inside[:1] in "Rr"), order(root, file.path)


def _read_file(
    found: Recognised | None,
    file: MigrationFile,
    reader: Reader | None,
    sessions: list[Session],
    budget: _Budget,
    cut: "_Cutter",
    *,
    has_forward: bool,
    has_before: bool,
    sure: bool,
) -> Iterable[Step | Finding]:
    plain = file.path.lower().endswith(".sql")
    grown = found is not None and found.tool in READ_CHANGED and not plain and file.change is Change.MODIFIED and has_before
    whole = _judge_file(found, replace(file, change=Change.ADDED) if grown else file, has_forward=has_forward, can_be_read=plain or reader is not None)
    if whole is not None:
        yield whole
        return
    text = file.text
    if text is None:
        yield _unknown("not_readable", f"cannot be read: {file.why_no_text or 'its text is missing'}", "the file becomes readable")
        return
    budget.characters -= len(text)
    if len(text) > MAX_FILE_CHARACTERS or budget.characters < 0:
        yield _unknown("too_large", f"is too large to be read ({len(text)} characters)", "a person reads it, or it is split")
        return
    dialect = sessions[0].dialect
    # Tools differ in whether one connection runs all files: a schema left set by an earlier one may or may not hold here.
    session = Session.of(dialect, moved=any(one.moved for one in sessions), grammar_characters=budget.grammar_characters)
    session.definitions = sessions[0].definitions
    sessions.append(session)

    def sql(part: str, line: int) -> Iterable[Step]:
        yield from _sql(part, line, session, cut, sure=sure)

    if plain:
        if "\0" in text or _OTHER_DELIMITER.search(text):
            yield _unknown("not_understood", "is binary or cuts its statements in its own way", "a person reads it")
            return
        steps = sql(forward_part(text.removeprefix("\ufeff").replace("\r\n", "\n"), found), 1)
    else:
        steps = reader.read(file.path, sql) if reader is not None else ()
    for step in steps:
        if budget.statements <= 0:
            says = f"has statements beyond the {MAX_STATEMENTS} that are read in one range"
            yield _unknown("too_large", says, "a person reads them, or the range is made smaller")
            return
        budget.statements -= 1
        if step.operation.kind in {Kind.NOTE, Kind.WRITE}:  # the values in code may be secrets, and a finding is printed in a job's log
            step = replace(step, shown=_TEXTS_IN_CODE.sub("'…'", step.shown)) if not plain else step  # noqa: PLW2901
        yield step


def _sql(text: str, line: int, session: Session, cut: "_Cutter", *, sure: bool) -> Iterable[Step]:
    """The operations of a text; `line` is where it begins in its file. With the dialect not sure, only what all of them cut alike is read."""
    dialect = session.dialect
    statements = cut(text, dialect)
    if not sure and any([one.text for one in cut(text, other)] != [one.text for one in statements] for other in _REAL_DIALECTS if other is not dialect):
        yield Step(0, "", unknown("dialect_not_known", "reads differently in different databases", "the target declares its database dialect"))
        return
    for statement in statements:
        for operation in read(statement, session):
            yield Step(line + statement.line - 1, statement.shown, operation)


def _judge_file(found: Recognised | None, file: MigrationFile, *, has_forward: bool, can_be_read: bool) -> Finding | None:
    """Return the finding for a file whose statements are not read, None for one whose are."""
    tool = found.tool.value if found else "an unknown tool"
    if found and found.role is Role.SNAPSHOT:
        if has_forward:
            return Finding("snapshot_changed", SchemaVerdict.SAFE, f"{file.change.value} schema snapshot of {tool}, which follows the migrations in this range")
        return _unknown(
            "snapshot_changed", f"{file.change.value} schema snapshot of {tool} without a migration beside it", "the change is shown to be no schema change"
        )
    if found and found.role is Role.SETTINGS:
        return _unknown(
            "settings_changed", f"{file.change.value} settings of {tool}, which decide what migrations run", "a person confirms that the same migrations run"
        )
    if file.change is not Change.ADDED:
        if found and found.role is Role.BACKWARD:
            return Finding("undo_changed", SchemaVerdict.SAFE, f"{file.change.value} undo or check script, never applied going forward")
        return _unknown(
            "migration_rewritten",
            f"{file.change.value} migration: what it did when it was applied is not in its text",
            "the version table shows whether it was applied, and with which text",
        )
    if found and found.role is Role.BACKWARD:
        return Finding("undo_changed", SchemaVerdict.SAFE, "added undo or check script, never applied going forward")
    if not can_be_read:
        return _unknown("not_plain_sql", f"is a migration of {tool} that is not plain SQL", _ASK_FOR_SQL)
    return None


def _unknown(rule: str, says: str, clears: str) -> Finding:
    return Finding(rule, SchemaVerdict.UNKNOWN, says, clears)


def _reading(file: MigrationFile, step: Step | None, finding: Finding) -> StatementReading:
    shown = " ".join(step.shown[: MAX_STATEMENT_SHOWN * 4].split()) if step else ""
    if len(shown) > MAX_STATEMENT_SHOWN:
        shown = shown[: MAX_STATEMENT_SHOWN - 3] + "..."
    return StatementReading(
        path=file.path,
        line=step.line if step else 0,
        statement=shown,
        rule=finding.rule,
        verdict=finding.verdict,
        says=finding.says,
        clears=finding.clears,
        objects=finding.objects,
    )
