"""Keeps expressions out of what is sent to Spinnaker: Orca evaluates `${…}` in parameters, in every stage's context and in reasons (contract 1.4, care D10).

Nothing is escaped, for there is no escape that every place honours: what holds `${` is refused. Source only: no recording shows an evaluated parameter.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from service.domain.errors import RefusedError

MARK = "${"


def strings_of(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from strings_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings_of(inner)


def refuse(value: Any, what: str, *, was_there: Any = None) -> None:
    """RefusedError, naming the request and not the text, if a string of the value holds an expression.

    `was_there`: what was just read from Spinnaker and is sent back; the expressions in it are Spinnaker's own.
    """
    own = {text for text in strings_of(was_there) if MARK in text}
    if any(MARK in text and text not in own for text in strings_of(value)):
        raise RefusedError(f"{what}: a value holds {MARK}, which Spinnaker would evaluate; it is not sent")
