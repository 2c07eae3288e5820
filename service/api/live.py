"""The live view: one look at the store for all streams of events together, however many watch.

A stream asks the store nothing: it waits at the feed of its subject, and the loop that `wiring` runs reads what is new for every feed in two queries,
at once when this process committed something and every second for what another replica did.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from service.api.problems import ProblemError
from service.api.reads import AlertRecords, EventReads, OperationReads
from service.domain.model import Incident, Operation
from service.domain.ports import AuditEvent

LOOK_EVERY = 1.0
"""Seconds after which the store is looked at although this process wrote nothing."""

LIMIT = 200
"""Streams at once. A caller has at most half of them, so that nobody can take them all."""

KEEP_ALIVE = 15.0
"""Seconds of silence after which a stream says that it lives; proxies close what says nothing, most after a minute."""

Subject = Operation | Incident


@dataclass(slots=True, eq=False)
class Feed:
    """What is known of one subject: what it is now, and all its audit rows up to then or further. `stamp` grows with every change of it."""

    now: Subject
    rows: list[AuditEvent] = field(default_factory=list)
    stamp: int = 0
    mark: object = None
    waiting: set[asyncio.Event] = field(default_factory=set)

    @property
    def over(self) -> bool:
        """Whether nothing will follow: an operation has ended, an incident is closed."""
        return (self.now.done_at if isinstance(self.now, Operation) else self.now.closed_at) is not None


class Live:
    """The feeds that somebody watches, and the loop's work on them."""

    def __init__(self, *, events: EventReads, operations: OperationReads, alerts: AlertRecords, limit: int = LIMIT, keep_alive: float = KEEP_ALIVE) -> None:
        self._events = events
        self._operations = operations
        self._alerts = alerts
        self._limit = limit
        self.keep_alive = keep_alive
        self._feeds: dict[str, Feed] = {}
        self._callers: dict[str, int] = {}
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(self._callers.values())

    def nudge(self) -> None:
        """Something was committed here: look soon. Costs nothing while nobody watches."""
        if self._feeds:
            self._news.set()

    def wake(self) -> None:
        """Let every stream look around at once: the service goes down."""
        for feed in self._feeds.values():
            for one in feed.waiting:
                one.set()

    async def beat(self) -> None:
        """Wait for news, at most a second, then look: what the loop runs."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), LOOK_EVERY)
        await self.look()

    async def look(self) -> None:
        """Read what is new for every feed and wake those who wait at them. The subject first, its rows after it: the last row is there when it has ended."""
        async with self._looking:
            self._news.clear()
            feeds = dict(self._feeds)
            if not feeds:
                return
            marks = await self._operations.marks([one for one, feed in feeds.items() if isinstance(feed.now, Operation)])
            moved: dict[str, Subject | None] = {one: await self._operations.load(one) for one, mark in marks.items() if feeds[one].mark != mark}
            newer = await self._events.newer({one: len(feed.rows) for one, feed in feeds.items()})
            moved |= {one: await self._alerts.incident(one) for one in newer if one not in marks}
            for one, feed in feeds.items():  # nothing is changed before everything was read: a store that fails in between costs no news
                if one in moved or one in newer or not feed.stamp:
                    feed.now, feed.mark = moved.get(one) or feed.now, marks.get(one)
                    feed.rows.extend(newer.get(one, ()))
                    feed.stamp += 1
                    for waits in feed.waiting:
                        waits.set()

    @contextlib.contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """A place for one stream; raises the 503 when all are taken, or half of them by this caller."""
        mine = self._callers.get(caller, 0)
        if self.streams >= self._limit:
            raise ProblemError("too_many_streams", f"{self.streams} streams are open already; ask with `wait` or `after` instead", retry_after=10)
        if mine >= max(self._limit // 2, 1):
            raise ProblemError("too_many_streams", f"{mine} streams of this token's subject are open already; close some", retry_after=10)
        self._callers[caller] = mine + 1
        try:
            yield
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    @contextlib.asynccontextmanager
    async def feed(self, subject: Subject) -> AsyncIterator[tuple[Feed, Callable[[], Awaitable[bool]]]]:
        """The subject's feed, filled, and what waits for its next change: True when something came, False after the keep-alive time."""
        news = asyncio.Event()
        feed = self._feeds.setdefault(subject.id, Feed(now=subject))
        feed.waiting.add(news)

        async def change() -> bool:
            try:
                await asyncio.wait_for(news.wait(), self.keep_alive)
            except TimeoutError:
                return False
            news.clear()
            return True

        try:
            if not feed.stamp:
                await self.look()
                news.clear()
            yield feed, change
        finally:
            feed.waiting.discard(news)
            if not feed.waiting and self._feeds.get(subject.id) is feed:
                del self._feeds[subject.id]
