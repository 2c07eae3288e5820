"""Several migration files of which nobody said where the range begins: which of them the old release has already is not known.

Read as one range, what an earlier file made and a later one takes away cancels. That is right for the migrations of one deploy, and a wrong yes for a whole
folder: the old release may well know what the earlier file made. So each statement that owes its yes to another file is told, or each file is judged alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from service.domain.schema.earlier import Earlier, order
from service.domain.schema.layouts import recognise
from service.domain.schema.ranges import MAX_FILE_CHARACTERS, read_range, told_dialect
from service.domain.schema.reading import Dialect, MigrationFile, SchemaReading, SchemaVerdict, StatementReading, worst
from service.domain.schema.shapes import Shape

_CANCELLED = frozenset({"made_in_this_range", "renamed_back"})
"""Rules of what is harmless only because of another statement of the range."""


def read_each(files: Sequence[MigrationFile], dialect: Dialect, *, shape: Shape | None = None) -> SchemaReading:
    """Each file by itself, as if the old release had all the others: nothing cancels between two files, and the earlier ones say what there was."""
    before = _Before(files, dialect, shape)
    statements = tuple(one for file in files for one in _alone(file, files, dialect, before.of(file)).statements)
    return SchemaReading(dialect=dialect, statements=statements, verdict=worst(statements))


def read_folder(files: Sequence[MigrationFile], dialect: Dialect, *, shape: Shape | None = None) -> SchemaReading:
    """One range, in which what is harmless only because of another file is for a person to say: a warning, whatever it would be by itself."""
    reading = read_range(files, dialect, shape=shape)
    by_path = {file.path: file for file in files}
    leaning = {one.path for one in reading.statements if one.rule in _CANCELLED} & by_path.keys() if len(files) > 1 else set()
    alone: dict[tuple[str, int, str], list[StatementReading]] = {}
    before = _Before(files, reading.dialect, shape)
    for path in leaning:
        for one in _alone(by_path[path], files, reading.dialect, before.of(by_path[path])).statements:
            alone.setdefault((one.path, one.line, one.statement), []).append(one)
    of_range: dict[tuple[str, int, str], list[StatementReading]] = {}
    for one in reading.statements:
        of_range.setdefault((one.path, one.line, one.statement), []).append(one)
    statements = []
    for one in reading.statements:
        key = (one.path, one.line, one.statement)
        ours, theirs = of_range[key], alone.get(key, [])
        # One statement may be told in several parts, which come in the same order; where they do not, the worst of them stands for each.
        same = theirs[next(number for number, part in enumerate(ours) if part is one)] if len(theirs) == len(ours) else max(theirs, key=_severity, default=None)
        statements.append(_told(one, same))
    kept = tuple(statements)
    return SchemaReading(dialect=reading.dialect, statements=kept, verdict=worst(kept))


def _severity(one: StatementReading) -> int:
    return one.verdict.severity


def _told(one: StatementReading, alone: StatementReading | None) -> StatementReading:
    if alone is None or alone.verdict is SchemaVerdict.SAFE or one.rule not in _CANCELLED or one.verdict is not SchemaVerdict.SAFE:
        return one
    return replace(
        one,
        rule="made_by_an_earlier_file",
        verdict=SchemaVerdict.WARN,
        says=f"{alone.says.rstrip('.')}; an earlier file here made that",
        clears="OLD has that earlier file no more than this one",
    )


class _Before:
    """What there was before each file: by the dump that somebody gave, else by the earlier files of its folder."""

    def __init__(self, files: Sequence[MigrationFile], dialect: Dialect, shape: Shape | None) -> None:
        self._shape = shape
        self._learned: dict[str, Shape] = {}
        dialect = told_dialect(files) if dialect is Dialect.UNKNOWN else dialect
        if shape is not None or dialect is Dialect.UNKNOWN:
            return
        by_root: dict[str, list[MigrationFile]] = {}
        for file in files:
            if file.text is not None and file.path.lower().endswith(".sql"):
                by_root.setdefault((found.root if (found := recognise(file.path)) is not None else file.path.rpartition("/")[0]), []).append(file)
        for root, own in by_root.items():
            earlier = Earlier(dialect)
            for file in sorted(own, key=lambda one: order(root, one.path)):
                text = (file.text or "")[:MAX_FILE_CHARACTERS]
                if (known := earlier.before(text)) is not None:
                    self._learned[file.path] = known
                earlier.learn(file.path, text)

    def of(self, file: MigrationFile) -> Shape | None:
        return self._shape if self._shape is not None else self._learned.get(file.path)


def _alone(file: MigrationFile, files: Sequence[MigrationFile], dialect: Dialect, shape: Shape | None) -> SchemaReading:
    """The file by itself; a Python migration may need what stands beside it to be understood."""
    beside = {other.path: other.text for other in files if other is not file and other.text is not None} if file.path.endswith(".py") else {}
    return read_range([file], dialect, beside=beside, shape=shape)
