"""A source of facts that a test fills: a value, a function that gives one, an `Absent`, an error to raise, or one that never answers."""

import asyncio
from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import Any

from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.ports import Clock


class Hanging:
    """An answer that never comes."""


HANGING = Hanging()


class FakeFacts:
    """Implements `FactSource` for the kinds it was told of; what it was not told of is absent. `asked` remembers every key."""

    def __init__(self, clock: Clock, *kinds: str) -> None:
        self._clock = clock
        self._kinds = frozenset(kinds)
        self._answers: dict[Hashable, Any] = {}
        self.asked: list[Key[Any]] = []

    @property
    def kinds(self) -> frozenset[str]:
        """What it was made for, and what it was told since."""
        return self._kinds | {key.kind for key in self._answers if isinstance(key, Key)}

    def tell(self, key: Key[Any], value: Any) -> None:
        """Answer that key with this from now on."""
        self._answers[key] = value

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, stamped now."""
        self.asked.append(key)
        answer = self._answers.get(key, Absent(f"nobody told of the {key}"))
        value = answer() if isinstance(answer, Callable) else answer  # type: ignore[arg-type]  # Callable is no class to mypy, and is one to isinstance
        if isinstance(value, Hanging):
            await asyncio.Event().wait()
        if isinstance(value, Exception):
            raise value
        if isinstance(value, Absent):
            return value
        return Known(value=value, evidence=Evidence(source="fake", what=str(key), read_at=self._clock.now()), good_for=timedelta(minutes=1))
