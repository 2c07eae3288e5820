"""One read for all who ask the same thing at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from integrations import pacing
from service.domain.errors import BackoutError, TemporaryError

A = TypeVar("A", bound=Hashable)
L = TypeVar("L")


class Looks(Generic[A, L]):
    """Live reads of targets, or of what several targets share, by what they are about. `room` waits until there is room for a read, where that is rationed."""

    def __init__(self, get: Callable[[A], Awaitable[L]], *, room: Callable[[], Awaitable[None]] | None = None) -> None:
        self._get = get
        self._room = room
        self._asked: dict[tuple[A, pacing.Pace | None], asyncio.Future[L]] = {}

    async def look(self, about: A) -> L:
        """One live read for all who ask for it in the same turn of the loop, or while it waits for room; it begins after each of them asked.

        Raises what reading raises.
        """
        asked = (about, pacing.PACE.get())  # who is in a hurry shares no look with one that waits for its turn
        if asked in self._asked:
            return await asyncio.shield(self._asked[asked])
        mine = self._asked[asked] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.sleep(0)
            if self._room is not None:
                await self._room()
            del self._asked[asked]  # whoever asks from here on asks anew
            looked = await self._get(about)
        except BaseException as error:
            if self._asked.get(asked) is mine:
                del self._asked[asked]
            mine.set_exception(error if isinstance(error, BackoutError) else TemporaryError(f"the read of {about} was ended"))
            mine.exception()  # there may be nobody beside us who hears of it
            raise
        mine.set_result(looked)
        return looked
