"""What a difference between two source revisions means for the schema: its migrations, and the files that may bring migrations from elsewhere. Pure."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from service.domain.keys import FileChange, SourceChange
from service.domain.schema import (
    Change,
    Dialect,
    MigrationFile,
    SchemaReading,
    SchemaVerdict,
    StatementReading,
    is_migration,
    leads_to_migrations,
    may_carry_migrations,
    read_range,
)
from service.domain.schema.reading import worst


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """A difference sorted by what it does to the schema.

    `migrations` are files that migration tools apply or depend on, `reading` is what they leave behind. `carriers` may bring migrations of other packages or
    repositories: unknown until those were read. `unclear` are migrations of which nobody can say how they changed.
    """

    migrations: tuple[FileChange, ...]
    carriers: tuple[FileChange, ...]
    unclear: tuple[FileChange, ...]
    reading: SchemaReading


def schema_change(change: SourceChange) -> SchemaChange:
    """Sort and read a difference. Takes seconds of CPU for megabytes of SQL: call it off the event loop where texts may be large."""
    migrations = tuple(file for file in change.files if is_migration(file.path) or any(fnmatchcase(file.path, pattern) for pattern in change.patterns))
    carriers = tuple(file for file in change.files if file not in migrations and _carries(file))
    clear = [file for file in migrations if file.change in set(Change)]
    files = [MigrationFile(path=file.path, change=Change(file.change), text=file.text, why_no_text=file.why_no_text) for file in clear]
    before = {file.path: file.before for file in change.files if file.before is not None}
    dialect = Dialect(change.dialect) if change.dialect in set(Dialect) else Dialect.UNKNOWN
    reading = read_range(files, dialect, beside=dict(change.beside), before=before)
    if change.elsewhere:
        statements = (*reading.statements, *(_elsewhere(path, says) for path, says in change.elsewhere))
        reading = replace(reading, statements=statements, verdict=worst(statements))
    return SchemaChange(
        migrations=migrations,
        carriers=carriers,
        unclear=tuple(file for file in migrations if file not in clear),
        reading=reading,
    )


def _elsewhere(path: str, says: str) -> StatementReading:
    clears = "a person says that no migration of that place ran, or the configuration names a folder of this repository"
    return StatementReading(path=path, line=0, statement="", rule="migrations_elsewhere", verdict=SchemaVerdict.UNKNOWN, says=says, clears=clears)


def told(reading: SchemaReading) -> tuple[StatementReading, ...]:
    """The statements that a person has to hear of, worst first; all are harmless when there are none."""
    return tuple(one for one in reading.worst_first() if one.verdict is not SchemaVerdict.SAFE)


def _carries(file: FileChange) -> bool:
    if file.what == "submodule":  # its content is in another repository, and moves without a file of this one moving
        return True
    return may_carry_migrations(file.path) or (file.what == "link" and leads_to_migrations(file.path))
