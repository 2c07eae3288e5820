"""Identifiers as Spinnaker makes them: ULIDs for executions and stages, UUIDs for all else. Given a seed, the same ones again."""

import random
import uuid
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Ids:
    """Makes identifiers. `seed` None: other ones each time."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  identifiers, not secrets

    def ulid(self, millis: int) -> str:
        """26 characters that sort by `millis`, milliseconds since 1970."""
        number = (millis << 80) | self._random.getrandbits(80)
        return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))

    def uuid(self) -> str:
        """A random UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
