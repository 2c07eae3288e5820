"""Captures what a target looked like before an operation's effect and after its end, beside the story and never in its way.

Looks at the rows, not at the story: an operation that is alive and wrote nothing yet wants its *before*, one that wrote and has ended its *after*. A
restart changes nothing about that. What cannot be had within five seconds is missing, and the record says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from service.domain.errors import BackoutError
from service.domain.ports import Basket, Capture, Captures, Capturing, Clock, StandBack, Wanted, at_once

SECONDS = 5.0
AT_ONCE = 4
"""Captures of one instance at a time. Those beyond wait for a later round, which looks again whether the act has begun meanwhile."""

Begin = Callable[[str, Callable[[], Awaitable[None]]], None]
"""Runs something once in the background, under that name."""


class Capturer:
    """One `round` every quarter of a second, in one process. It waits for no capture: a target that hangs never delays another one.

    It does `stand_back` before what was read is written down: to have read it in time is what counts, and the act waits for neither.
    """

    def __init__(
        self,
        *,
        deliveries: Mapping[str, Capturing],
        captures: Captures,
        clock: Clock,
        begin: Begin,
        seconds: float = SECONDS,
        stand_back: StandBack = at_once,
    ) -> None:
        self._begin = begin
        self._stand_back = stand_back
        self._here: set[Wanted] = set()
        self._reading: set[Wanted] = set()
        self._deliveries = deliveries
        self._captures = captures
        self._clock = clock
        self._seconds = seconds

    async def round(self) -> None:
        """Begin to capture what is wanted now and is not being captured."""
        for each in await self._captures.wanted(self._clock.now()):
            there = sum(1 for one in self._reading if one.target.instance == each.target.instance)
            if there < AT_ONCE and not any((one.operation_id, one.moment) == (each.operation_id, each.moment) for one in self._here):
                self._here.add(each)
                self._reading.add(each)
                self._begin("captures", partial(self._one, each))

    async def _one(self, wanted: Wanted) -> None:
        try:
            began, basket, now = await self._take(wanted)
            self._reading.discard(wanted)  # the next one's place is free while this one stands back
            await self._stand_back()
            await self._captures.keep(wanted, Capture(items=tuple(basket.items), missing=tuple(basket.missing)), _says(wanted, basket, now - began), now)
        finally:
            self._reading.discard(wanted)
            self._here.discard(wanted)

    async def _take(self, wanted: Wanted) -> tuple[datetime, Basket, datetime]:
        """When it was begun, what there is, and when it was read."""
        began, basket = self._clock.now(), Basket()
        delivery = self._deliveries.get(wanted.target.instance)
        if wanted.late:
            basket.missing.append("everything: Backout had begun to act when it came to look")
        elif delivery is None:
            basket.missing.append(f"everything: the delivery instance {wanted.target.instance} is not configured any more")
        else:
            try:
                async with asyncio.timeout(self._seconds):
                    await delivery.capture(wanted.target, basket)
            except TimeoutError:
                basket.missing.append(f"whatever did not come within {self._seconds:g} s")
            except BackoutError as error:
                basket.missing.append(f"everything else: {error}")
        return began, basket, self._clock.now()


WORDS = (("manifest", "manifest", "manifests"), ("events", "list of events", "lists of events"), ("log", "log", "logs"))


def _says(wanted: Wanted, basket: Basket, took: timedelta) -> str:
    """One line for the story; each thing that is missing stands in the capture itself, with its reason."""
    kept = [(sum(1 for one in basket.items if one.kind == kind), one, many) for kind, one, many in WORDS]
    counts = [f"{count} {one if count == 1 else many}" for count, one, many in kept if count]
    missing = ""
    if len(basket.missing) == 1:
        missing = f"; missing: {basket.missing[0]}"
    elif basket.missing:
        missing = f"; {len(basket.missing)} things are missing"
    return f"captured {wanted.moment} the act: {', '.join(counts) or 'nothing'}, in {took.total_seconds():.1f} s{missing}"
