"""Applies the policies of a settings file to recorded cases: `backout policy test`. Reads those files and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from service.domain.documents import DocumentError
from service.domain.rehearsal import Rehearsed, read_cases, rehearse
from service.domain.rules import RULES
from service.settings import load
from service.wiring.parts import kinds


class _UnreadableError(DocumentError):
    """A file that a case names."""


def rehearse_files(config: Path, files: Sequence[Path]) -> list[tuple[str, Rehearsed]] | str:
    """File and result of every case in order, or the sentence of the first file that cannot be read. SettingsError when the settings are wrong."""
    policies = load(config, kinds()).policies
    done: list[tuple[str, Rehearsed]] = []
    for file in files:
        try:
            cases = read_cases(_text(file), RULES, lambda name, beside=file: _text(beside.parent / name))  # type: ignore[misc]  # mypy sees no default in a lambda
        except _UnreadableError as error:
            return str(error)
        except DocumentError as error:
            return f"{file} {error}"
        done += [(str(file), rehearse(case, policies)) for case in cases]
    return done


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise _UnreadableError(f"{file} cannot be read: {(error.strerror or 'unknown error').lower()}") from error
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"{file} is no UTF-8") from error
