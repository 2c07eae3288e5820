"""Shares commits: what comes while one is under way is done together in the next, so that a storm costs commits and not one for each who asks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from service.domain.errors import UnavailableError

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """`do` takes up to `most` items in one transaction and answers one result for each, or raises and then has done nothing for any of them.

    Who asks waits for the commit that holds his item. An item that makes a transaction fail spoils it for none of the others: they are done one by one.
    """

    def __init__(self, do: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int) -> None:
        self._do = do
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._working: asyncio.Task[None] | None = None

    async def one(self, item: T) -> R:
        """The item's own result, after its commit. Raises what `do` raised for it; being cancelled while waiting takes nothing back."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, mine))
        if self._working is None or self._working.done():  # a task of its own: the commit of many does not end with the request of one
            self._working = loop.create_task(self._work())
        return await mine

    async def _work(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                await self._commit(some)
            except UnavailableError as error:  # whoever came meanwhile is told as well, instead of waiting as long again
                away, self._waiting = [*some, *self._waiting], []
                for _, waiter in away:
                    _fail(waiter, error)

    async def _commit(self, some: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._do([item for item, _ in some])
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  it is the asker's, and is raised there
            if len(some) == 1:
                _fail(some[0][1], error)
                return
            for alone in some:
                await self._commit([alone])
            return
        for (_, waiter), result in zip(some, results, strict=True):
            if not waiter.done():
                waiter.set_result(result)


def _fail(waiter: "asyncio.Future[R]", error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
