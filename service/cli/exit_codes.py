"""The exit codes, a public contract for scripts, and which words of the service lead to which. A word that is not known is never a success."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a command ended, for the shell."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    BLOCKED = 3
    NOT_RECOVERED = 4
    UNKNOWN = 5
    WAITING = 6
    ENDED = 7


OUTCOMES: Final[Mapping[str, ExitCode]] = {
    "recovered": ExitCode.DONE,
    "suggested": ExitCode.DONE,
    "observed": ExitCode.DONE,
    "refused": ExitCode.BLOCKED,
    "not_recovered": ExitCode.NOT_RECOVERED,
    "inconclusive": ExitCode.UNKNOWN,
    "failed": ExitCode.ERROR,
    "cancelled": ExitCode.ENDED,
    "rejected": ExitCode.ENDED,
    "expired": ExitCode.ENDED,
}
"""By the outcome of an operation that has ended."""

ANSWERS: Final[Mapping[str, ExitCode]] = {"pass": ExitCode.DONE, "warn": ExitCode.DONE, "unknown": ExitCode.UNKNOWN, "block": ExitCode.BLOCKED}
"""By the worst answer of a verdict."""

AWAITING_APPROVAL: Final = "awaiting_approval"
"""The phase in which an operation waits for a person."""


def of_verdict(answer: str, *, strict: bool = False) -> ExitCode:
    """The code of a verdict's word; with `strict` a warning counts as a block."""
    if strict and answer == "warn":
        return ExitCode.BLOCKED
    return ANSWERS.get(answer, ExitCode.UNKNOWN)


def of_operation(outcome: str | None, phase: str) -> ExitCode:
    """The code of an operation: by its outcome, or while it is alive 6 if it waits for a person, else 5, for nobody knows yet how it ends."""
    if outcome:
        return OUTCOMES.get(outcome, ExitCode.UNKNOWN)
    return ExitCode.WAITING if phase == AWAITING_APPROVAL else ExitCode.UNKNOWN
