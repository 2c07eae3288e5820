"""A small file that is read at every question and parsed again only when its content changed: credentials that rotate without a restart.

Reading each time costs microseconds, and unlike a look at the modification time it cannot miss a change.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

LIMIT = 1 << 20
"""Bytes. A credential file beyond this is something else."""


class Rereading(Generic[T]):
    """`now` gives the parsed content. Raises OSError when it cannot be read, ValueError (from `parse`) when it is not as expected."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self._parse = parse
        self._seen: tuple[bytes, T] | None = None

    def now(self) -> T:
        """The content as it is now."""
        with self.path.open("rb") as file:
            raw = file.read(LIMIT + 1)
        if len(raw) > LIMIT:
            raise ValueError(f"{self.path.name} is larger than {LIMIT} bytes")
        if self._seen is None or self._seen[0] != raw:
            self._seen = (raw, self._parse(raw.decode()))
        return self._seen[1]
