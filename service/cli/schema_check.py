"""The work of `backout schema check`: reads, judges, tells. Nothing is executed, and nothing but the named files is touched."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import typer

from service.cli import findings, rows
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.migrations import STDIN, read_paths, read_schema
from service.cli.reports import FORMS, Report, summary
from service.cli.terminal import Terminal, as_json_text
from service.domain.schema import Dialect, MigrationFile, SchemaReading, SchemaVerdict, Shape, read_each, read_folder, read_range
from service.domain.schema.reading import worst

_CODES: Final[Mapping[SchemaVerdict, ExitCode]] = {
    SchemaVerdict.SAFE: ExitCode.DONE,
    SchemaVerdict.WARN: ExitCode.DONE,
    SchemaVerdict.UNKNOWN: ExitCode.UNKNOWN,
    SchemaVerdict.BREAKS: ExitCode.BLOCKED,
}


def run(
    terminal: Terminal, paths: Sequence[str], dialect: str, form: str, *, schema: str = "", strict: bool, each: bool = False, whole: bool = False
) -> ExitCode:
    """Answer about these paths in a form (text, json, jsonl, sarif, junit, github); the exit code is the verdict, but for jsonl 0 when all was answered.

    `schema` is a dump of the schema from which the migrations begin, "" for none. `each` judges every file alone; `whole` says that all files are new to the
    old release. Of several files without either, be they named by a shell's pattern or as a folder, nobody knows where the range begins.
    """
    if dialect and dialect.lower() not in rows.DIALECTS:
        raise CommandFailed(f"--dialect {dialect} is none that is read", f"one of {', '.join(rows.DIALECTS)}", ExitCode.USAGE)
    chosen = rows.DIALECTS.get(dialect.lower(), Dialect.UNKNOWN)
    shape = read_schema(schema, chosen) if schema else None
    if each and whole:
        raise CommandFailed("--each and --range are two answers", "take one of them", ExitCode.USAGE)
    with _piped(terminal):
        if form == "jsonl" and list(paths) == [STDIN]:
            if shape is not None:
                raise CommandFailed("--schema goes with files, and these are rows", "name the migrations as files", ExitCode.USAGE)
            for answer in rows.answers(_bytes_of(terminal), chosen):
                terminal.line(answer)
            return ExitCode.DONE
        files = read_paths(paths, _bytes_of(terminal))
        reading = _reading(files, chosen, shape, each=each, several=not whole)
        code = ExitCode.BLOCKED if strict and reading.verdict is SchemaVerdict.WARN else _CODES[reading.verdict]
        _tell(terminal, reading, findings.report(reading, len(files), int(code)), form)
    return ExitCode.DONE if form == "jsonl" else code


def _reading(files: Sequence[MigrationFile], dialect: Dialect, shape: Shape | None, *, each: bool, several: bool) -> SchemaReading:
    if each:
        return read_each(files, dialect, shape=shape)
    return read_folder(files, dialect, shape=shape) if several else read_range(files, dialect, shape=shape)


def _tell(terminal: Terminal, reading: SchemaReading, report: Report, form: str) -> None:
    match form:
        case "json":
            terminal.write(as_json_text(findings.document(reading, int(report.about["files"]))))
        case "jsonl":
            for path in dict.fromkeys(one.path for one in reading.statements):
                own = tuple(one for one in reading.statements if one.path == path)
                part = SchemaReading(dialect=reading.dialect, statements=own, verdict=worst(own))
                terminal.line({"id": path, "verdict": part.verdict.value, "reasons": findings.reasons(part)})
        case "sarif" | "github" | "junit":
            terminal.write(FORMS[form](report))
            if form == "github":
                _write_summary(terminal, summary(report))
        case _:
            terminal.write("\n".join(findings.lines(reading)))


def _write_summary(terminal: Terminal, text: str) -> None:
    """Append to the job's summary, for GitHub shows only so many annotations a step."""
    file = terminal.environment.get("GITHUB_STEP_SUMMARY", "")
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise CommandFailed(f"the summary cannot be written to {file}: {(error.strerror or 'unknown error').lower()}") from error


def _bytes_of(terminal: Terminal) -> BinaryIO:
    """Stdin before anybody decodes it: what is not UTF-8 must not end the command."""
    raw = getattr(terminal.stdin, "buffer", None)
    return raw if raw is not None else BytesIO(terminal.stdin.read().encode("utf-8", errors="surrogatepass"))


@contextmanager
def _piped(terminal: Terminal) -> Iterator[None]:
    """A reader that goes away (`| head`) ends the command without a word, and not as a success."""
    try:
        yield
        terminal.stdout.flush()
    except BrokenPipeError as error:
        if terminal.stdout is sys.stdout:
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  nothing may be flushed into the pipe at exit
        raise typer.Exit(ExitCode.ERROR) from error
