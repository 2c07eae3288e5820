"""A report with one finding of each kind, and texts of somebody who wants to steer the reader."""

from typing import Any

from service.cli.reports import Entry, Report

BLOCK = Entry(
    rule="column_dropped",
    answer="block",
    path="db/a b,c:d.sql",
    line=3,
    says="Drops column orders.status.",
    why="Gone.",
    do="Later.",
    statement="ALTER TABLE orders DROP COLUMN status",
)
UNKNOWN = Entry(rule="dependencies_changed", answer="unknown", path="uv.lock", line=0, says="Dependencies changed.")
WARN = Entry(rule="index_dropped", answer="warn", path="db/x.sql", line=1, says="Drops index i.")
WAIVED = Entry(rule="column_dropped", answer="block", path="db/y.sql", line=1, says="Drops column a.b.", waived="unused | since 2.3")
EVIL = Entry(
    rule="not_understood",
    answer="unknown",
    path="db/\x1b[2J\n::error::x.sql",
    line=1,
    says="Is not understood (<script>alert(1)</script> \x00 \x1b]0;x\x07 ]]> ::warning::\n::error::gotcha % `rm` @everyone [x](http://y)).",
)


def report(*entries: Entry, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "title": "backout check --repo",
        "about": {"from": "main", "to": "HEAD"},
        "answer": "block",
        "says": "No: going back breaks.",
        "code": 3,
        "entries": entries,
        "harmless": 2,
        "remarks": ("a remark",),
        "not_decided": ("goal_images_exist",),
    }
    return Report(**(values | changes))
