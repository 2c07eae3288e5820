"""One moment of one target: what was just read for an operation need not be read again for its next question, unless something was sent since.

Several questions follow each other within milliseconds: what became of the last step, what the next one finds. The moment belongs to the task that asks
(a context variable) and is begun anew with every transition that begins from the row, and with each look of readiness; without one everything is read
anew. Whoever is about to write reads anew all the same (`anew`): each act rests on a look of its own.
"""

from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from service.domain.ports import Clock

T = TypeVar("T")

LASTS = timedelta(seconds=1)
"""From the beginning of a read; the story's own bound between the last look and a request is longer."""


@dataclass(frozen=True, slots=True)
class Begun:
    """When a read began, and how often something had been sent by then."""

    at: datetime
    sent: int


class Moment:
    """What was read, by what it is about; each serves for as long as it `lasts`."""

    def __init__(self, clock: Clock, *, lasts: timedelta = LASTS) -> None:
        self._clock = clock
        self._lasts = lasts
        self._sent = 0
        self._seen: dict[Hashable, tuple[Begun, Any]] = {}

    def begin(self) -> Begun:
        """A read begins."""
        return Begun(at=self._clock.now(), sent=self._sent)

    def keep(self, about: Hashable, seen: Any, begun: Begun) -> None:
        """What it showed."""
        self._seen[about] = (begun, seen)

    def recall(self, about: Hashable) -> Any | None:
        """What was just read of it; None if nothing was, if it is too old (a clock that was set back says so too), or if something was sent since."""
        begun, seen = self._seen.get(about, (None, None))
        if begun is None or begun.sent != self._sent or not timedelta(0) <= self._clock.now() - begun.at <= self._lasts:
            return None
        return seen

    def sending(self) -> None:
        """Something is sent, or was: nothing that was read before counts any more."""
        self._sent += 1


MOMENT: ContextVar[Moment | None] = ContextVar("backout_moment", default=None)


def sending() -> None:
    """This task sends something that changes what it reads."""
    moment = MOMENT.get()
    if moment is not None:
        moment.sending()


async def read_once(about: Hashable, read: Callable[[], Awaitable[T]], *, anew: bool = False, serves: Callable[[T], bool] = lambda _seen: True) -> T:
    """What that read shows; within one moment an earlier one serves as well if it `serves`, unless it has to be `anew`."""
    moment = MOMENT.get()
    if moment is None:
        return await read()
    seen: T | None = None if anew else moment.recall(about)
    if seen is not None and serves(seen):
        return seen
    begun = moment.begin()
    looked = await read()
    moment.keep(about, looked, begun)
    return looked
