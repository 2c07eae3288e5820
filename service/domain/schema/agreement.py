"""Compares what migrations do to OLD's dump with NEW's dump: two witnesses of one change, which have to say the same.

Where every migration was read, a contradiction is unknown: one of the two is not what the database has. Where one was not (a loop, a helper, a condition), the
dump tells what it did to the tables, and what that does to OLD is judged as if the migration had said it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from service.domain.schema.judgement import Finding, Judge
from service.domain.schema.operations import Kind, Operation
from service.domain.schema.reading import Dialect, SchemaVerdict
from service.domain.schema.shapes import Shape, differences, nothing_but

MOST = 50
"""So many contradictions are told: more only say once more that the dump is of something else."""


def contradictions(old: Shape, new: Shape, operations: Iterable[Operation], dialect: Dialect) -> Iterator[Finding]:
    """What NEW's dump says beside the operations of the range; nothing where both agree."""
    seen, blind, judge = old.copy(), False, Judge(dialect)
    for operation in operations:
        blind |= operation.perhaps or nothing_but(operation)
        seen.apply(operation)
        judge.judge(operation)  # so that it knows what the range made itself
    for change in islice(differences(seen, new), MOST):
        finding = judge.judge(change)
        if not blind:
            clears = "the dump is written anew by the tool, or the missing migration is added"
            yield Finding("dump_disagrees", SchemaVerdict.UNKNOWN, _told(change, old), clears, finding.objects)
        elif finding.verdict in {SchemaVerdict.BREAKS, SchemaVerdict.WARN}:
            finding.says = f"{finding.says}: so says the dump, and the migrations were not read to the end"
            yield finding


def _told(change: Operation, old: Shape) -> str:
    shown = f"column {change.table}.{change.name}" if change.name else f"table {change.table}"
    had = bool(old.has(change.table, change.name) if change.name else old.knows(change.table))
    match change.kind:
        case Kind.DROP_TABLE | Kind.DROP_COLUMN:
            return f"has no {shown}, which no migration of this range drops" if had else f"has no {shown}, which a migration of this range adds"
        case Kind.CREATE_TABLE | Kind.ADD_COLUMN:
            return f"still has {shown}, which a migration of this range drops" if had else f"has {shown}, which no migration of this range adds"
        case Kind.SET_NOT_NULL | Kind.DROP_NOT_NULL:
            return f"and the migrations say different things of whether {shown} may be NULL"
        case Kind.CHANGE_TYPE:
            return f"and the migrations say different things of the type of {shown}"
        case _:
            return f"and the migrations say different things of the default of {shown}"
