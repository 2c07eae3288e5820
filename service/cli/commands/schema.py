"""`backout schema check`: can the old release run on what these migrations leave behind? Needs no service, no settings and no network."""

from enum import StrEnum
from typing import Annotated

import typer

from service.cli.session import terminal_of


class Format(StrEnum):
    """How the answer is written."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"


Paths = Annotated[list[str], typer.Argument(metavar="PATH", help="Migration files, folders of them, or - for stdin.")]


def check(
    ctx: typer.Context,
    paths: Paths,
    dialect: Annotated[str, typer.Option("--dialect", metavar="postgres|mysql|sqlite", help="Whose SQL it is; else it is taken from the text.")] = "",
    form: Annotated[Format, typer.Option("--format", help="jsonl answers rows {id, dialect, sql} of stdin one by one, and then exits 0.")] = Format.TEXT,
    schema: Annotated[
        str, typer.Option("--schema", metavar="FILE", help="A dump of the schema before these migrations: decides what their text leaves open.")
    ] = "",
    each: Annotated[bool, typer.Option("--each", help="Judge each file by itself: the old release has all the others.")] = False,
    whole: Annotated[bool, typer.Option("--range", help="All files are new to the old release: what one makes and another takes away cancels.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 on a warning too.")] = False,
) -> None:
    """Say whether the old release can run after these migrations. They are judged statement by statement; nothing is executed."""
    from service.cli.schema_check import run  # noqa: PLC0415  commands over HTTP load nothing of the service

    raise typer.Exit(run(terminal_of(ctx), paths, dialect, form.value, schema=schema, strict=strict, each=each, whole=whole))
