"""Reads all migration files of a revision range at once and returns one reading: the package's entry point for text.

It puts the files in the order of application, takes the parts that go forward, bounds the work, and runs `scanning`, `statements` and `judgement` over them,
one judgement per migration root. Recognising paths is `layouts`. No I/O, no clock: work is bounded by size. Never raises for any text.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from service.domain.schema.judgement import Finding, Judge
from service.domain.schema.layouts import Recognised, Role, Tool, recognise
from service.domain.schema.reading import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, StatementReading, worst
from service.domain.schema.scanning import Statement, split
from service.domain.schema.statements import MAX_GRAMMAR_CHARACTERS, Session, read

MAX_FILE_CHARACTERS = 1_000_000
MAX_RANGE_CHARACTERS = 4_000_000
MAX_STATEMENTS = 5_000
MAX_STATEMENT_SHOWN = 160
_REAL_DIALECTS = (Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE)
_ASK_FOR_SQL = "the migration is read by a person, or its SQL is produced beforehand and read instead"
_MARKERS = {
    # Tool: the line that starts a forward part, the line that starts a backward part. Exact case, as the tools compare them.
    Tool.GOOSE: (re.compile(r"^\s*--\s*\+goose\s+Up\b"), re.compile(r"^\s*--\s*\+goose\s+Down\b")),
    Tool.DBMATE: (re.compile(r"^--\s*migrate:up\b"), re.compile(r"^--\s*migrate:down\b")),
    Tool.GENERIC: (re.compile(r"^\s*--\s*\+migrate\s+Up\b"), re.compile(r"^\s*--\s*\+migrate\s+Down\b")),  # sql-migrate
}
_OTHER_DELIMITER = re.compile(r"--\s*atlas:delimiter\b|--changeset\b[^\n]*\bendDelimiter:(?!;)", re.IGNORECASE)
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


def read_range(files: Sequence[MigrationFile], dialect: Dialect) -> SchemaReading:
    """Return what the migration files of a range leave behind for OLD, statement by statement.

    `files` are all migration files (`is_migration`) that differ between the two revisions, in any order. Nothing in them is executed. With
    `Dialect.UNKNOWN` the dialect is taken from unmistakable words of the text; without any, the worst reading of all dialects stands.
    """
    if dialect is not Dialect.UNKNOWN:
        return _read_as(files, dialect, _Cutter(), sure=True)
    hinted = _hinted_dialects(files)
    candidates = hinted if len(hinted) == 1 else _REAL_DIALECTS
    cut = _Cutter()
    readings = [_read_as(files, candidate, cut, sure=False) for candidate in candidates]
    return max(readings, key=lambda reading: (reading.verdict.severity, sum(one.verdict.severity for one in reading.statements)))


def read_sql(sql: str, dialect: Dialect, *, path: str = "migration.sql") -> SchemaReading:
    """Return the reading of one forward migration given as text."""
    return read_range([MigrationFile(path=path, change=Change.ADDED, text=sql)], dialect)


def _hinted_dialects(files: Iterable[MigrationFile]) -> tuple[Dialect, ...]:
    texts = [file.text[:MAX_FILE_CHARACTERS] for file in files if file.text is not None and file.path.lower().endswith(".sql")]
    return tuple(dialect for dialect, hint in _HINTS.items() if any(hint.search(text) for text in texts))


def _read_as(files: Sequence[MigrationFile], dialect: Dialect, cut: "_Cutter", *, sure: bool) -> SchemaReading:
    placed = sorted(((recognise(file.path), file) for file in files), key=lambda pair: _order(*pair))
    has_forward = any(found is None or found.role is Role.FORWARD for found, _ in placed)
    statements: list[StatementReading] = []
    budget = _Budget()
    for _, group in groupby(placed, key=lambda pair: _root(*pair)):
        judge, sessions = Judge(dialect), [Session.of(dialect, grammar_characters=budget.grammar_characters)]
        findings: list[tuple[MigrationFile, Statement | None, Finding]] = []
        for found, file in group:
            read_of_file = _read_file(found, file, judge, sessions, budget, cut, has_forward=has_forward, sure=sure)
            findings += [(file, statement, finding) for statement, finding in read_of_file]
        # Only now: later statements of the same root may have changed earlier findings.
        statements += [_reading(file, statement, finding) for file, statement, finding in findings]
    frozen = tuple(statements)
    return SchemaReading(dialect=dialect, statements=frozen, verdict=worst(frozen))


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
    parts = [(0, int(part), "") if part.isdecimal() and len(part) < 64 else (1, 0, part) for part in re.split(r"(\d+)", inside) if part]  # noqa: PLR2004  int() refuses thousands of digits
    return root, bool(found and found.tool is Tool.FLYWAY and inside[:1] in "Rr"), parts


def _read_file(
    found: Recognised | None,
    file: MigrationFile,
    judge: Judge,
    sessions: list[Session],
    budget: _Budget,
    cut: "_Cutter",
    *,
    has_forward: bool,
    sure: bool,
) -> Iterable[tuple[Statement | None, Finding]]:
    whole = _judge_file(found, file, has_forward=has_forward)
    if whole is not None:
        yield None, whole
        return
    text = file.text
    if text is None:
        yield None, _unknown("not_readable", f"cannot be read: {file.why_no_text or 'its text is missing'}", "the file becomes readable")
        return
    budget.characters -= len(text)
    if len(text) > MAX_FILE_CHARACTERS or budget.characters < 0:
        yield None, _unknown("too_large", f"is too large to be read ({len(text)} characters)", "a person reads it, or it is split")
        return
    if "\0" in text or _OTHER_DELIMITER.search(text):
        yield None, _unknown("not_understood", "is binary or cuts its statements in its own way", "a person reads it")
        return
    dialect = sessions[0].dialect
    text = _forward_part(text.removeprefix("\ufeff").replace("\r\n", "\n"), found)
    statements = cut(text, dialect)
    if not sure and any([one.text for one in cut(text, other)] != [one.text for one in statements] for other in _REAL_DIALECTS if other is not dialect):
        yield None, _unknown("dialect_not_known", "reads differently in different databases", "the target declares its database dialect")
        return
    # Tools differ in whether one connection runs all files: a schema left set by an earlier one may or may not hold here.
    session = Session.of(dialect, moved=any(one.moved for one in sessions), grammar_characters=budget.grammar_characters)
    sessions.append(session)
    for statement in statements:
        if budget.statements <= 0:
            yield (
                None,
                _unknown(
                    "too_large", f"has statements beyond the {MAX_STATEMENTS} that are read in one range", "a person reads them, or the range is made smaller"
                ),
            )
            return
        operations = read(statement, session)
        budget.statements -= len(operations)
        for operation in operations:
            yield statement, judge.judge(operation)


def _judge_file(found: Recognised | None, file: MigrationFile, *, has_forward: bool) -> Finding | None:
    """Return the finding for a file whose statements are not read, None for one whose are."""
    name = file.path.rsplit("/", 1)[-1]
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
    if not name.lower().endswith(".sql"):
        return _unknown("not_plain_sql", f"is a migration of {tool} that is not plain SQL", _ASK_FOR_SQL)
    return None


def _unknown(rule: str, says: str, clears: str) -> Finding:
    return Finding(rule, SchemaVerdict.UNKNOWN, says, clears)


def _forward_part(text: str, found: Recognised | None) -> str:
    """Blank the lines of backward parts, so that line numbers stay. Only for tools that run one file both ways, and only behind their own forward mark."""
    if found is not None and found.tool not in {Tool.GOOSE, Tool.DBMATE, Tool.SQLX, Tool.ATLAS, Tool.GENERIC}:
        return text
    lines = text.split("\n")
    for up, down in _MARKERS.values():
        if not any(up.match(line) for line in lines):
            continue
        forward, seen = True, False
        for index, line in enumerate(lines):
            if up.match(line):
                forward = seen = True
            elif down.match(line) and seen:
                forward = False
            if not forward:
                lines[index] = ""
        break
    return "\n".join(lines)


def _reading(file: MigrationFile, statement: Statement | None, finding: Finding) -> StatementReading:
    shown = " ".join(statement.text[: MAX_STATEMENT_SHOWN * 4].split()) if statement else ""
    if len(shown) > MAX_STATEMENT_SHOWN:
        shown = shown[: MAX_STATEMENT_SHOWN - 3] + "..."
    return StatementReading(
        path=file.path,
        line=statement.line if statement else 0,
        statement=shown,
        rule=finding.rule,
        verdict=finding.verdict,
        says=finding.says,
        clears=finding.clears,
        objects=finding.objects,
    )
