"""The words of a schema reading: which files changed, what each statement does to OLD, and one sentence for a person on call.

Only values and the order of severity live here; recognising files is `layouts`, reading SQL is `statements`, deciding is `judgement`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Change(StrEnum):
    """What a revision range did to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


class Dialect(StrEnum):
    """Which database executes the migrations; `UNKNOWN` makes the reader prove the dialect from the text or read under all of them."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    SQLITE = "sqlite"
    UNKNOWN = "unknown"


class SchemaVerdict(StrEnum):
    """What OLD meets when it runs against the schema that NEW left behind."""

    SAFE = "safe"
    """OLD's statements still run and read what they did; nothing here asks for a person."""
    WARN = "warn"
    """The shape holds, or breaks only under a condition the text cannot show: a person ticks it."""
    BREAKS = "breaks"
    """OLD fails, or reads data that is not there any more."""
    UNKNOWN = "unknown"
    """Not understood. Never to be read as safe."""

    @property
    def severity(self) -> int:
        """Position when the worst one speaks first: breaks, unknown, warn, safe (0)."""
        return _SEVERITY[self]


_SEVERITY = {SchemaVerdict.SAFE: 0, SchemaVerdict.WARN: 1, SchemaVerdict.UNKNOWN: 2, SchemaVerdict.BREAKS: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFile:
    """One file that the range touched: its path with forward slashes, and NEW's text of it.

    `text` is None when the text could not be had (too large, not UTF-8, a symbolic link, a missing blob); `why_no_text` then says so.
    """

    path: str
    change: Change
    text: str | None = None
    why_no_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementReading:
    """What one statement (or one action of an `ALTER TABLE`) means for OLD.

    `line` counts from 1, 0 speaks of the file as a whole. `statement` is shortened to one line. `rule` is a stable name such as `column_dropped`.
    `says` is a clause without a subject ("drops column orders.legacy_status"); `clears` says what would change the verdict, empty when nothing needs to.
    `objects` are the tables, columns (`table.column`) and other objects that it touches, as normalised for the dialect.
    """

    path: str
    line: int
    statement: str
    rule: str
    verdict: SchemaVerdict
    says: str
    clears: str = ""
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaReading:
    """Every statement of the range in the order read, and the worst verdict among them (safe when there is none)."""

    dialect: Dialect
    statements: tuple[StatementReading, ...]
    verdict: SchemaVerdict

    def worst_first(self) -> tuple[StatementReading, ...]:
        """Return the statements by falling severity; equals keep the order of the range."""
        return tuple(sorted(self.statements, key=lambda one: -one.verdict.severity))


def worst(statements: tuple[StatementReading, ...]) -> SchemaVerdict:
    """Return the worst verdict, safe for none: the caller holds the proof that nothing was left out of the range."""
    return max((one.verdict for one in statements), key=lambda verdict: verdict.severity, default=SchemaVerdict.SAFE)


_LEADS = {
    SchemaVerdict.BREAKS: "the release that would come back cannot run on this schema",
    SchemaVerdict.UNKNOWN: "whether the release that would come back can run on this schema is unknown",
    SchemaVerdict.WARN: "the release that would come back runs on this schema only if a person confirms",
}


def summary(reading: SchemaReading, *, limit: int = 3) -> str:
    """Say a reading in one sentence, worst findings first, at most `limit` of them; the rest is counted."""
    if not reading.statements:
        return "no migration statement in the range"
    if reading.verdict is SchemaVerdict.SAFE:
        files = len({one.path for one in reading.statements})
        return f"all {len(reading.statements)} migration statements in {files} files leave the schema usable for the release that would come back"
    findings = [one for one in reading.worst_first() if one.verdict is not SchemaVerdict.SAFE]
    shown = "; ".join(f"{one.path}{f':{one.line}' if one.line else ''} {one.says}" for one in findings[:limit])
    rest = len(findings) - limit
    return f"{_LEADS[reading.verdict]}: {shown}" + (f"; and {rest} more" if rest > 0 else "")
