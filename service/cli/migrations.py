"""Reads migration files from disk or stdin for commands that need no service: bounded in size, no link followed inside a folder, nothing executed.

What cannot be read comes back as a file without text and with the reason, so that it is judged as unknown and never left out.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.domain.schema import Change, Dialect, MigrationFile, Shape, is_migration, read_dump
from service.domain.schema.ranges import MAX_FILE_CHARACTERS

STDIN: Final = "-"
STDIN_PATH: Final = "stdin.sql"
MAX_FILES: Final = 20_000
_MAX_BYTES: Final = MAX_FILE_CHARACTERS * 4
"""No text of more bytes has few enough characters."""
_LFS: Final = b"version https://git-lfs.github.com/spec/"


def read_paths(paths: Sequence[str], stdin: BinaryIO) -> list[MigrationFile]:
    """The migration files at these paths, as added ones. A folder gives every `.sql` below it and what a migration tool would know by its path.

    CommandFailed when a path is not there, and when there is no migration at all: no answer is not a good answer.
    """
    files: list[MigrationFile] = []
    for path in paths:
        if path == STDIN:
            files.append(_file(STDIN_PATH, stdin.read(_MAX_BYTES + 1)))
            continue
        named = Path(path)
        if not named.exists():
            raise CommandFailed(f"there is no {path}", "name files or folders that are there, or - for stdin", ExitCode.USAGE)
        files += [_read(one) for one in _below(named)] if named.is_dir() else [_read(named, follow=True)]
        if len(files) > MAX_FILES:
            raise CommandFailed(f"more than {MAX_FILES} migration files", "name fewer folders", ExitCode.UNKNOWN)
    if not files:
        raise CommandFailed(f"no migration in {', '.join(paths)}", "name the folder that holds them, or the files", ExitCode.UNKNOWN)
    return files


def read_schema(path: str, dialect: Dialect) -> Shape:
    """The shape that a dump says the schema has; CommandFailed when it cannot be read, for an answer without it would look like one with it."""
    why = "it is not there"
    if Path(path).is_file():
        file = _read(Path(path), follow=True)
        why = file.why_no_text or "it makes no table that is understood here"
        if file.text is not None and dialect is Dialect.UNKNOWN:
            why = "say --dialect postgres, mysql or sqlite, whose dump it is"
        elif file.text is not None and (shape := read_dump(path, file.text, dialect)) is not None:
            return shape
    hint = "pg_dump --schema-only, mysqldump --no-data, sqlite3 FILE .schema, or Rails' schema.rb"
    raise CommandFailed(f"the schema {path} cannot be read: {why}", hint, ExitCode.USAGE)


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(one for one in folders if one != ".git")
        for name in sorted(names):
            if name.lower().endswith(".sql") or is_migration((Path(here) / name).as_posix()):
                yield Path(here) / name
        yield from (Path(here) / one for one in folders if (Path(here) / one).is_symlink() and is_migration(f"{Path(here, one).as_posix()}/1_x.sql"))


def _read(path: Path, *, follow: bool = False) -> MigrationFile:
    try:
        about = path.stat() if follow else path.lstat()
        if stat.S_ISLNK(about.st_mode):
            return _without(path, "it is a symbolic link")
        if about.st_size > _MAX_BYTES:
            return _without(path, f"it has {about.st_size} bytes, more than are read")
        with path.open("rb") as stream:
            return _file(path.as_posix(), stream.read(_MAX_BYTES + 1))
    except OSError as error:
        return _without(path, (error.strerror or "unknown error").lower())


def _file(path: str, content: bytes) -> MigrationFile:
    if len(content) > _MAX_BYTES:
        return _without(Path(path), f"it has more than {_MAX_BYTES} bytes")
    if content.startswith(_LFS):
        return _without(Path(path), "it is a pointer to Git LFS, whose content is not here")
    try:
        return MigrationFile(path=path, change=Change.ADDED, text=content.decode("utf-8"))
    except UnicodeDecodeError:
        return _without(Path(path), "it is not UTF-8")


def _without(path: Path, why: str) -> MigrationFile:
    return MigrationFile(path=path.as_posix(), change=Change.ADDED, why_no_text=why)
