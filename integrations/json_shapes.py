"""JSON of other people's servers, read without trust: fields that are missing, null or of another type are ordinary and never an error."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from service.domain.model import Json

Body = Mapping[str, Json]
"""An object as a server sent it."""


def part(value: Json, *path: str) -> Body:
    """The object at that path; {} where anything on the way is missing or null."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def entries(value: Json) -> Sequence[Body]:
    """The objects of a list; empty lists come as null."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def items(value: Json) -> Sequence[Json]:
    """All of a list, whatever each of it is; nothing for anything else."""
    return value if isinstance(value, list) else []


def text(value: Json) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def texts(value: Json) -> tuple[str, ...]:
    """The strings of a list that are not empty."""
    return tuple(item for item in value if isinstance(item, str) and item) if isinstance(value, list) else ()


def number(value: Json) -> int | None:
    """A whole number, also one that came as a string of digits; None for anything else (true and false are no numbers)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS else None


def epoch(value: Json) -> datetime | None:
    """A time in milliseconds since 1970 as UTC; None for anything that is none or lies outside the calendar."""
    milliseconds = number(value)
    if milliseconds is None or not 0 < milliseconds < _LAST_MOMENT:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


_DIGITS = 18
_LAST_MOMENT = 253_402_300_800_000
"""The year 10000 in milliseconds."""
