"""Which part of a migration file goes forward, for tools that keep both ways in one file."""

import re

from service.domain.schema.layouts import Recognised, Tool

_MARKERS = (
    # The tool, the line that starts a forward part, the line that starts a backward part. Exact case, as the tools compare them.
    (Tool.GOOSE, re.compile(r"^\s*--\s*\+goose\s+Up\b"), re.compile(r"^\s*--\s*\+goose\s+Down\b")),
    (Tool.DBMATE, re.compile(r"^--\s*migrate:up\b"), re.compile(r"^--\s*migrate:down\b")),
    (Tool.GENERIC, re.compile(r"^\s*--\s*\+migrate\s+Up\b"), re.compile(r"^\s*--\s*\+migrate\s+Down\b")),  # sql-migrate
)
_TOOLS_OF_ONE_FILE = frozenset({Tool.GOOSE, Tool.DBMATE, Tool.SQLX, Tool.ATLAS, Tool.GENERIC})
_MYBATIS = re.compile(r"^\s*--\s*//(?!\s*@)"), re.compile(r"^\s*--\s*//\s*@UNDO\b", re.IGNORECASE)
"""MyBatis Migrations: a file begins with `-- // what it does`, and goes back from `-- //@UNDO` to its end (MigrationReader of mybatis/migrations)."""


def forward_part(text: str, found: Recognised | None) -> str:
    """Blank the lines of backward parts, so that line numbers stay. Only for tools that run one file both ways, and only behind their own forward mark."""
    if found is not None and found.tool not in _TOOLS_OF_ONE_FILE:
        return text
    lines = text.split("\n")
    for _, up, down in _MARKERS:
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
        return "\n".join(lines)
    begins, undo = _MYBATIS
    first = next((line for line in lines if line.strip()), "")
    if begins.match(first):
        ends = next((index for index, line in enumerate(lines) if undo.match(line)), len(lines))
        lines[ends:] = [""] * (len(lines) - ends)
    return "\n".join(lines)
