"""Reads schema state from migration text: can OLD's code still run against the schema that NEW left behind?

The first of the three lines of evidence about the schema (the live catalogue and declarations are others' work). Pure: no I/O, no clock, nothing executed,
no exception for any text. Everything that is not understood is `unknown`, never skipped and never safe.

    files = [MigrationFile(path=p, change=Change.ADDED, text=t) for p, t in changed if is_migration(p)]
    reading = read_range(files, Dialect.POSTGRES)
    reading.verdict                 # SAFE | WARN | BREAKS | UNKNOWN: the worst of the statements
    summary(reading)                # one sentence, worst findings first

- `is_migration(path)` names the tool a path belongs to, whatever its role; pass every such file of the range to `read_range`. `recognise` also gives its role.
- `beside(paths, names_in)` names unchanged files that readers need too: pass their texts to `read_range`.
- `needed(texts, names_in)` names the earlier migrations that say what a new one changes; those that say nothing of it (`matters`) may stay away.
- `places(texts)` names the folders that the tools' own configuration says migrations are in, and the places that are none of the repository's.
- `may_carry_migrations(path)` is true for lock files, manifests and image files: their change can bring migrations that are not in this tree.
- `read_range(files, dialect)` reads the whole range at once. `read_sql(sql, dialect)` reads one forward migration.
- `read_folder(files, dialect)` is for files of which nobody said where the range begins, `read_each(files, dialect)` judges each alone.
- `read_dump(path, text, dialect)` gives the shape of a schema; `read_range(..., shape=...)` decides with it what the text leaves open. The dumps that Rails and
  dbmate keep are found by themselves, and held against the migrations.
- Verdicts follow the statement table of the safety notes: compatible = safe; fine in shape but dependent on rows or OLD's code = warn; block = breaks.
- No file at all reads as safe: the caller holds the proof that the difference between the two revisions was complete.

Read are plain SQL (PostgreSQL, MySQL and MariaDB, SQLite) and what `readers` has a reader for; other migrations are unknown by name of their tool. A reader
produces the same `operations`, which `judgement` decides about. Cost is linear in the text and bounded by `ranges.MAX_*`: 4 MB take seconds of CPU, so call it
off the event loop.
"""

from service.domain.schema.advice import ADVICE, Advice, advice_of
from service.domain.schema.beside import beside
from service.domain.schema.by_file import read_each, read_folder
from service.domain.schema.dumps import read_dump
from service.domain.schema.earlier import matters, needed
from service.domain.schema.folders import NAMES as CONFIGURATION_NAMES
from service.domain.schema.folders import Elsewhere, Place, places
from service.domain.schema.layouts import Recognised, Role, Tool, is_migration, leads_to_migrations, may_carry_migrations, recognise
from service.domain.schema.ranges import read_range, read_sql
from service.domain.schema.reading import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, StatementReading, summary
from service.domain.schema.shapes import Shape

__all__ = [
    "ADVICE",
    "CONFIGURATION_NAMES",
    "Advice",
    "Change",
    "Dialect",
    "Elsewhere",
    "MigrationFile",
    "Place",
    "Recognised",
    "Role",
    "SchemaReading",
    "SchemaVerdict",
    "Shape",
    "StatementReading",
    "Tool",
    "advice_of",
    "beside",
    "is_migration",
    "leads_to_migrations",
    "matters",
    "may_carry_migrations",
    "needed",
    "places",
    "read_dump",
    "read_each",
    "read_folder",
    "read_range",
    "read_sql",
    "recognise",
    "summary",
]
